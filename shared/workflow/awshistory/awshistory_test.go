package awshistory_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"latchkey/local/pocket"
	"latchkey/local/states/asl"
	"latchkey/local/states/engine"
	"latchkey/local/states/journal"
	"latchkey/local/states/sfnapi"
	"latchkey/local/states/statestest"
	"latchkey/shared/workflow"
	"latchkey/shared/workflow/awshistory"
	"latchkey/shared/workflow/awssfn"
)

const (
	group = "5f1a0c8e9b3d4f2a6c7e8d90"
	// secret is in what the execution is told, and in what its function answers and fails with.
	secret = "no-bodys-business"
)

// machine asks a function, waits, and asks again: for as long as the function says.
const machine = `{"StartAt": "Ask", "States": {
	"Ask": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "Parameters": {"FunctionName": "f", "Payload": {"a.$": "$"}},
		"ResultSelector": {"again.$": "$.Payload.again", "said.$": "$.Payload.said"},
		"Retry": [{"ErrorEquals": ["BUSY"], "IntervalSeconds": 2, "MaxAttempts": 3}], "Next": "Again?"},
	"Again?": {"Type": "Choice", "Choices": [{"Variable": "$.again", "BooleanEquals": true, "Next": "Wait"}], "Default": "Give up"},
	"Wait": {"Type": "Wait", "Seconds": 60, "Next": "Ask"},
	"Give up": {"Type": "Fail", "Error": "GivenUp", "Cause": "because of no-bodys-business"}}}`

// world is the machine in an engine behind the official client.
type world struct {
	*awshistory.Reader
	starter *awssfn.Starter
	calls   atomic.Int64 // to Step Functions
	invoke  func(n int) (string, error)
	asked   int
}

// counted counts requests.
type counted struct {
	http.RoundTripper
	n *atomic.Int64
}

func (c counted) RoundTrip(r *http.Request) (*http.Response, error) {
	c.n.Add(1)
	return c.RoundTripper.RoundTrip(r)
}

func inWorld(t *testing.T, fn func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w, log := &world{}, slog.New(slog.DiscardHandler)
		e := engine.New(engine.Config{
			Journal: journal.Memory(), Now: time.Now, Rand: rand.NewPCG(1, 2), Log: log,
			Invoke: func(context.Context, string, []byte) ([]byte, error) {
				w.asked++
				said, err := w.invoke(w.asked)
				return []byte(said), err
			},
			Machines: map[string]*asl.Machine{"switch-role": statestest.Parse(t, "x", machine)},
		})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- e.Run(ctx) }()
		client := sfn.New(sfn.Options{
			Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", ""),
			HTTPClient: &http.Client{Transport: counted{pocket.Transport(sfnapi.Handler(e, log)), &w.calls}},
		})
		arns := map[workflow.Kind]string{workflow.SwitchRole: e.MachineARN("switch-role")}
		w.Reader, w.starter = awshistory.NewReader(client, arns, time.Now), awssfn.NewStarter(client, arns)
		fn(t, w)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func execution() workflow.Execution {
	return workflow.Execution{
		Kind: workflow.SwitchRole, GroupID: group, Subject: "AWS", Version: []int64{1}, Input: map[string]string{"told": secret},
	}
}

// path writes steps in one line.
func path(steps []workflow.Step) string {
	var b strings.Builder
	for _, s := range steps {
		fmt.Fprintf(&b, "%s/%d%s ", s.State, s.Attempts, s.Error)
	}
	return strings.TrimSpace(b.String())
}

func TestRead_tells_the_steps_and_nothing_that_was_said(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.invoke = func(n int) (string, error) {
			switch n {
			case 2, 3:
				return "", &engine.FunctionError{Payload: []byte(`{"errorType":"BUSY","errorMessage":"` + secret + `"}`)}
			case 4:
				return `{"again":false,"said":"` + secret + `"}`, nil
			}
			return `{"again":true,"said":"` + secret + `"}`, nil
		}
		x := execution()
		if _, err := w.Read(t.Context(), x); !errors.Is(err, workflow.ErrNoExecution) {
			t.Errorf("before its start: %v", err)
		}
		if err := w.starter.Start(t.Context(), x); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		run, err := w.Read(t.Context(), x)
		if err != nil || run.Status != workflow.Running || run.IsCut || !run.Stopped.IsZero() {
			t.Errorf("while it waits: %+v, %v", run, err)
		}
		if got := path(run.Steps); got != "Ask/1 Again?/0 Wait/0" || !run.Steps[2].Exited.IsZero() || run.Steps[1].Exited.IsZero() {
			t.Errorf("while it waits it went through %s", got)
		}
		time.Sleep(53 * time.Second)
		if run, err = w.Read(t.Context(), x); err != nil || path(run.Steps) != "Ask/1 Again?/0 Wait/0 Ask/2BUSY" {
			t.Errorf("while it tries again it went through %s, %v", path(run.Steps), err)
		}
		time.Sleep(time.Minute)
		run, err = w.Read(t.Context(), x)
		if err != nil || run.Status != workflow.Failed || run.Error != "GivenUp" || path(run.Steps) != "Ask/1 Again?/0 Wait/0 Ask/3BUSY Again?/0 Give up/0" {
			t.Errorf("at its end: %s, %+v, %v", path(run.Steps), run, err)
		}
		if text, err := json.Marshal(run); err != nil || strings.Contains(string(text), secret) {
			t.Errorf("it tells what was said: %s, %v", text, err)
		}
		before := w.calls.Load()
		time.Sleep(9 * time.Minute)
		if _, err := w.Read(t.Context(), x); err != nil || w.calls.Load() != before {
			t.Errorf("what has ended is asked about again: %d calls, %v", w.calls.Load()-before, err)
		}
	})
}

func TestRead_reads_the_end_of_a_long_history_in_few_calls(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.invoke = func(int) (string, error) { return `{"again":true,"said":""}`, nil }
		x := execution()
		if err := w.starter.Start(t.Context(), x); err != nil {
			t.Fatal(err)
		}
		time.Sleep(8*time.Hour + 10*time.Second)
		before := w.calls.Load()
		for range 10 { // many ask at once
			run, err := w.Read(t.Context(), x)
			if err != nil || !run.IsCut || len(run.Steps) > 200 || len(run.Steps) < 20 || run.Steps[len(run.Steps)-1].State != "Wait" {
				t.Fatalf("%d steps, %+v, %v", len(run.Steps), run.Status, err)
			}
		}
		if calls := w.calls.Load() - before; calls != 3 {
			t.Errorf("%d calls", calls)
		}
		time.Sleep(6 * time.Second)
		if _, err := w.Read(t.Context(), x); err != nil || w.calls.Load()-before != 6 {
			t.Errorf("after a while: %d calls, %v", w.calls.Load()-before, err)
		}
	})
}

func TestRead_takes_an_error_that_is_no_code_for_unknown(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.invoke = func(int) (string, error) {
			return "", &engine.FunctionError{Payload: []byte(`{"errorType":"` + secret + ` and more","errorMessage":"x"}`)}
		}
		x := execution()
		if err := w.starter.Start(t.Context(), x); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		run, err := w.Read(t.Context(), x)
		if err != nil || run.Error != "UNKNOWN" || path(run.Steps) != "Ask/1UNKNOWN" {
			t.Errorf("%+v, %v", run, err)
		}
	})
}
