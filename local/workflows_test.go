package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"go.mongodb.org/atlas-sdk/v20250312018/admin"

	"latchkey/local/stack"
	"latchkey/shared/atlas"
	"latchkey/shared/workflow"
)

// asProgram makes the test's own program behave as the suite's, so that it can be killed.
const asProgram = "LATCHKEY_TEST_AS_PROGRAM"

// clockAhead is by how much the clock of such a program is ahead of ours.
const clockAhead = "LATCHKEY_TEST_CLOCK_AHEAD"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		if ahead, err := time.ParseDuration(os.Getenv(clockAhead)); err == nil {
			runAhead(ahead)
			return
		}
		main()
		return
	}
	// Some tests wait for programs and disks, and the last ones would have the machine to themselves: twice as
	// many at a time keep it busy.
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		if err := flag.Set("test.parallel", strconv.Itoa(2*runtime.GOMAXPROCS(0))); err != nil {
			panic(err)
		}
	}
	// The tests make much garbage and hold little: collecting it four times as seldom saves a tenth of the time.
	debug.SetGCPercent(400)
	os.Exit(m.Run())
}

func runAhead(ahead time.Duration) {
	cfg, err := parseFlags(os.Args[1:], os.Stderr)
	if err == nil {
		cfg.now = func() time.Time { return time.Now().Add(ahead) }
		err = run(context.Background(), cfg, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// startProgram runs the suite as a program of its own, and returns what it prints and how to kill
// it, as kill -9 does.
func startProgram(t *testing.T, flags ...string) (at map[string]string, kill func()) {
	t.Helper()
	return startProgramIn(t, nil, flags...)
}

// startProgramIn is startProgram with further variables in its environment.
func startProgramIn(t *testing.T, environment []string, flags ...string) (at map[string]string, kill func()) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], flags...)
	cmd.Env = append(append(os.Environ(), asProgram+"=1"), environment...)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill = func() {
		cmd.Process.Kill() //nolint:errcheck // it may have ended
		cmd.Wait()         //nolint:errcheck // it was killed
	}
	t.Cleanup(kill)
	return untilReady(t, stdout), kill
}

func stepFunctions(address string) *sfn.Client {
	return sfn.New(sfn.Options{
		Region: "us-east-1", BaseEndpoint: &address, Credentials: credentials.NewStaticCredentialsProvider("any", "any", ""),
	})
}

// createCluster has a cluster made, whose nodes nobody runs: its plan waits for them.
func createCluster(t *testing.T, r *running) {
	t.Helper()
	_, _, err := r.byKey().ClustersApi.CreateCluster(t.Context(), r.owner.GroupID, &admin.ClusterDescription20240805{
		Name: aws.String("c1"), ClusterType: aws.String("REPLICASET"),
		ReplicationSpecs: &[]admin.ReplicationSpec20240805{{RegionConfigs: &[]admin.CloudRegionConfig20240805{{
			ProviderName: aws.String("AWS"), RegionName: aws.String("US_EAST_1"), Priority: aws.Int(7),
			ElectableSpecs: &admin.HardwareSpec20240805{InstanceSize: aws.String("M10"), NodeCount: aws.Int(3)},
		}}}},
	}).Execute()
	if err != nil {
		t.Fatal(err)
	}
}

// waits returns the history of an execution once it is longer than it was and has come to a Wait
// state again.
func waits(t *testing.T, client *sfn.Client, execution *string, longer int) []types.HistoryEvent {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		history, err := client.GetExecutionHistory(ctx, &sfn.GetExecutionHistoryInput{ExecutionArn: execution, MaxResults: 1000})
		if err != nil {
			t.Fatal(err)
		}
		if n := len(history.Events); n > longer && history.Events[n-1].Type == types.HistoryEventTypeWaitStateEntered {
			return history.Events
		}
		timer := time.NewTimer(20 * time.Millisecond)
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	t.Fatal("the execution does not go on")
	return nil
}

func TestAnExecutionGoesOnAfterTheProgramWasKilled(t *testing.T) {
	t.Parallel()
	flags := append(testFlags(filepath.Join(t.TempDir(), "data")), "-no-fleet")
	at, kill := startProgram(t, flags...)
	createCluster(t, &running{t: t, base: at["API"], owner: stack.Owner{GroupID: at["GROUP_ID"], PublicKey: at["PUBLIC_KEY"], PrivateKey: at["PRIVATE_KEY"]}})

	client := stepFunctions(at["states"])
	machines, err := client.ListStateMachines(t.Context(), &sfn.ListStateMachinesInput{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range machines.StateMachines {
		names = append(names, aws.ToString(m.Name))
	}
	var kinds []string
	for _, kind := range workflow.Kinds() {
		kinds = append(kinds, "latchkey-"+string(kind))
	}
	slices.Sort(kinds)
	if !slices.Equal(names, kinds) {
		t.Fatalf("state machines %q, want %q", names, kinds)
	}
	list, err := client.ListExecutions(t.Context(), &sfn.ListExecutionsInput{StateMachineArn: machines.StateMachines[0].StateMachineArn})
	if err != nil || len(list.Executions) != 1 || list.Executions[0].Status != types.ExecutionStatusRunning {
		t.Fatalf("executions: %+v, %v", list, err)
	}
	execution := list.Executions[0].ExecutionArn
	before := waits(t, client, execution, 0)
	kill()

	at, _ = startProgram(t, flags...)
	after := waits(t, stepFunctions(at["states"]), execution, len(before))
	for i, e := range before {
		if after[i].Id != e.Id || after[i].Type != e.Type || !aws.ToTime(after[i].Timestamp).Equal(aws.ToTime(e.Timestamp)) {
			t.Errorf("event %d was %s and is %s", e.Id, e.Type, after[i].Type)
		}
	}
	if next := after[len(before)]; next.Type != types.HistoryEventTypeWaitStateExited {
		t.Errorf("it goes on with %s", next.Type)
	}
}

func TestAgentsAreServedAtAnAddressOfTheirOwn(t *testing.T) {
	at, stop := launch(t, testConfig(t))
	for path, want := range map[string]string{
		"/api/latchkey/v1/nodes/heartbeat": string(atlas.NodeTokenRefused), // an agent without a token
		"/api/atlas/v2/groups":             string(atlas.ResourceNotFound), // served at the API's address only
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, at["nodes"]+path, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err = errors.Join(err, resp.Body.Close()); err != nil || !strings.Contains(string(body), `"`+want+`"`) {
			t.Errorf("%s: %d %s %v, want %s", path, resp.StatusCode, body, err, want)
		}
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}
