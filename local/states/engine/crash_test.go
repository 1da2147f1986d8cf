package engine_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/bbolt"

	"latchkey/local/states/asl"
	"latchkey/local/states/engine"
	"latchkey/local/states/journal"
	"latchkey/local/states/statestest"
)

// crashFile makes the test binary start executions in the named file instead of running tests.
const crashFile = "LATCHKEY_TEST_STATES_FILE"

const crashMachine = `{"StartAt": "Work", "States": {
	"Work": {` + invoke + `, "OutputPath": "$.Payload", "Next": "Each"},
	"Each": {"Type": "Map", "End": true, "ItemProcessor": {"StartAt": "Work on item", "States": {"Work on item": {` + invoke + `, "OutputPath": "$.Payload", "End": true}}}}}}`

func TestMain(m *testing.M) {
	if path := os.Getenv(crashFile); path != "" {
		if err := startUntilKilled(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// onFile opens an engine over a file.
func onFile(path string) (*engine.Engine, *bbolt.DB, error) {
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		return nil, nil, err
	}
	j, err := journal.Bolt(db, "executions")
	if err != nil {
		return nil, nil, err
	}
	m, err := asl.Parse("crash.asl.json", []byte(crashMachine))
	if err != nil {
		return nil, nil, err
	}
	return engine.New(engine.Config{
		Journal: j, Machines: map[string]*asl.Machine{"test": m}, Now: time.Now, Rand: rand.NewPCG(1, 2), Log: slog.New(slog.DiscardHandler),
		Invoke: statestest.Invoker(map[string]statestest.Function{"work": echo}),
	}), db, nil
}

// startUntilKilled prints the name of every execution whose start was acknowledged.
func startUntilKilled(path string) error {
	e, _, err := onFile(path)
	if err != nil {
		return err
	}
	ctx := context.Background()
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	for {
		x, err := e.Start(ctx, e.MachineARN("test"), "", "[1,2,3]")
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintln(os.Stdout, x.ARN); err != nil {
			return err
		}
	}
}

func TestStart_what_was_acknowledged_survives_a_kill_of_the_process(t *testing.T) {
	path := filepath.Join(t.TempDir(), "states.db")
	for round := range 5 {
		started := killAfter(t, path, 10+17*round)
		synctest.Test(t, func(t *testing.T) {
			e, db, err := onFile(path)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- e.Run(ctx) }()
			for _, arn := range started {
				if r := statestest.Await(t, e, arn); r.Output != "[1,2,3]" {
					t.Errorf("%s: %+v", arn, r)
				}
			}
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// killAfter kills the process once it has started so many executions, and returns all that were
// acknowledged by then.
func killAfter(t *testing.T, path string, lines int) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), crashFile+"="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var started []string
	for scanner := bufio.NewScanner(out); scanner.Scan(); {
		if strings.HasPrefix(scanner.Text(), "arn:") {
			started = append(started, scanner.Text())
		}
		if len(started) == lines {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("the process ended by itself")
	}
	return started
}
