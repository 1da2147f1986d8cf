package engine_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/local/states/engine"
	"latchkey/local/states/statestest"
)

func TestStart_is_idempotent_while_the_execution_runs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, machine(t, "A", `"A": {"Type": "Wait", "Seconds": 60, "End": true}`))
		w.open()
		arn := w.start("x", `{"a":1}`)
		time.Sleep(time.Second)
		again, err := w.Start(t.Context(), w.MachineARN("test"), "x", `{"a":1}`)
		if err != nil || again.ARN != arn || !again.Started.Equal(time.Now().Add(-time.Second)) {
			t.Errorf("the same again: %+v, %v", again, err)
		}
		if _, err := w.Start(t.Context(), w.MachineARN("test"), "x", `{"a":2}`); codeOf(err) != engine.ExecutionAlreadyExists {
			t.Errorf("another input: %v", err)
		}
		statestest.Await(t, w.Engine, arn)
		if _, err := w.Start(t.Context(), w.MachineARN("test"), "x", `{"a":1}`); codeOf(err) != engine.ExecutionAlreadyExists {
			t.Errorf("after its end: %v", err)
		}
		w.close()
	})
}

func TestStart_refuses_what_the_service_refuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, machine(t, "A", `"A": {"Type": "Succeed"}`))
		w.open()
		machineARN := w.MachineARN("test")
		tests := map[string]struct {
			arn, name, input string
			want             engine.Code
		}{
			"another machine":         {w.MachineARN("other"), "x", "{}", engine.StateMachineDoesNotExist},
			"another account":         {strings.Replace(machineARN, "123456789012", "210987654321", 1), "x", "{}", engine.StateMachineDoesNotExist},
			"an ARN of something":     {"arn:aws:iam::123456789012:role/x", "x", "{}", engine.InvalidArn},
			"a name with a slash":     {machineARN, "a/b", "{}", engine.InvalidName},
			"a name with a NUL":       {machineARN, "a\x00b", "{}", engine.InvalidName},
			"a long name":             {machineARN, strings.Repeat("x", 81), "{}", engine.InvalidName},
			"an input that isn't one": {machineARN, "x", "{", engine.InvalidExecutionInput},
			"two inputs":              {machineARN, "x", "{}{}", engine.InvalidExecutionInput},
			"a large input":           {machineARN, "x", `"` + strings.Repeat("x", 256<<10) + `"`, engine.InvalidExecutionInput},
		}
		for name, tt := range tests {
			if _, err := w.Start(t.Context(), tt.arn, tt.name, tt.input); codeOf(err) != tt.want {
				t.Errorf("%s: %v, want %s", name, err, tt.want)
			}
		}
		w.close()
	})
}

func TestStart_makes_up_names(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, machine(t, "A", `"A": {"Type": "Succeed"}`))
		w.open()
		if a, b := w.start("", ""), w.start("", ""); a == b {
			t.Errorf("two executions are %s", a)
		}
		w.close()
	})
}

func TestStart_is_accepted_before_run(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, machine(t, "A", `"A": {"Type": "Succeed"}`))
		w.open()
		w.close()
		if _, err := w.Start(t.Context(), w.MachineARN("test"), "x", ""); err == nil {
			t.Error("an engine that has been stopped took an execution")
		}
	})
}

func TestStop_aborts_what_is_under_way(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gone := make(chan struct{})
		r := machine(t, "A", `"A": {`+invoke+`, "End": true, "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "B"}]}, "B": {"Type": "Succeed"}`)
		r.Functions = map[string]statestest.Function{"work": func(ctx context.Context, _ json.RawMessage) (any, error) {
			<-ctx.Done()
			close(gone)
			return nil, ctx.Err()
		}}
		w := newWorld(t, r)
		w.open()
		arn := w.start("x", "{}")
		time.Sleep(time.Minute)
		at, err := w.Stop(t.Context(), arn, "OPERATOR", "because")
		if err != nil || !at.Equal(time.Now()) {
			t.Errorf("stopped at %v, %v", at, err)
		}
		<-gone
		time.Sleep(time.Minute)
		again, err := w.Stop(t.Context(), arn, "SECOND", "")
		if err != nil || !again.Equal(at) {
			t.Errorf("stopped again at %v, %v", again, err)
		}
		x, _ := w.Describe(arn)
		if x.Status != engine.Aborted || x.Error != "OPERATOR" || x.Cause != "because" {
			t.Errorf("%+v", x)
		}
		w.close()
	})
}

func TestTask_answers_of_an_attempt_that_was_given_up_are_not_taken(t *testing.T) {
	var calls atomic.Int64
	run := machine(t, "A", `"A": {`+invoke+`, "TimeoutSeconds": 60, "OutputPath": "$.Payload", "End": true, "Retry": [{"ErrorEquals": ["States.Timeout"]}]}`)
	run.Functions = map[string]statestest.Function{"work": func(context.Context, json.RawMessage) (any, error) {
		n := calls.Add(1)
		time.Sleep(time.Duration(130-40*n) * time.Second) // 90 s, heeding nothing, and then 50 s
		return n, nil
	}}
	if got := statestest.Execute(t, run); got.Output != "2" || got.Took != 111*time.Second {
		t.Errorf("output %s after %v", got.Output, got.Took)
	}
}

func TestHistory_says_what_a_failure_stopped(t *testing.T) {
	tests := map[string]struct {
		states string
		want   string
	}{
		"the other branches of a parallel state": {
			`"A": {"Type": "Parallel", "Branches": [
				{"StartAt": "B", "States": {"B": {"Type": "Wait", "Seconds": 60, "End": true}}},
				{"StartAt": "C", "States": {"C": {"Type": "Fail", "Error": "E"}}}], "End": true}`,
			"ExecutionStarted ParallelStateEntered ParallelStateStarted WaitStateEntered FailStateEntered WaitStateAborted ParallelStateFailed ExecutionFailed",
		},
		"the other iterations of a map, and what is in them": {
			`"A": {"Type": "Map", "End": true, "ItemProcessor": {"StartAt": "B", "States": {
				"B": {"Type": "Choice", "Choices": [{"Variable": "$", "NumericEquals": 1, "Next": "C"}], "Default": "D"},
				"C": {"Type": "Parallel", "Branches": [{"StartAt": "E", "States": {"E": {"Type": "Wait", "Seconds": 60, "End": true}}}], "End": true},
				"D": {"Type": "Fail", "Error": "E"}}}}`,
			"ExecutionStarted MapStateEntered MapStateStarted MapIterationStarted MapIterationStarted ChoiceStateEntered ChoiceStateExited " +
				"ChoiceStateEntered ChoiceStateExited ParallelStateEntered ParallelStateStarted FailStateEntered MapIterationFailed ParallelStateAborted " +
				"MapIterationAborted MapStateFailed ExecutionFailed",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			run := machine(t, "A", tt.states)
			run.Input = "[1, 2]"
			var got []string
			for _, ev := range statestest.Execute(t, run).Events {
				got = append(got, ev.Type)
			}
			if diff := cmp.Diff(strings.Fields(tt.want), got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestTimeoutSeconds_of_the_machine_end_the_execution(t *testing.T) {
	run := machine(t, "A", `"A": {"Type": "Wait", "Seconds": 3600, "End": true}`)
	run.Machine.Timeout = time.Minute
	got := statestest.Execute(t, run)
	if got.Status != engine.TimedOut || got.Error != "States.Timeout" || got.Took != time.Minute {
		t.Errorf("%+v", got)
	}
}

func TestRedrive_continues_from_what_did_not_succeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var broken atomic.Bool
		broken.Store(true)
		var worked atomic.Int64
		r := machine(t, "Before", `"Before": {"Type": "Pass", "Next": "Each"},
			"Each": {"Type": "Map", "ItemsPath": "$.items", "End": true, "ItemProcessor": {"StartAt": "Work", "States": {
				"Work": {`+invoke+`, "OutputPath": "$.Payload", "End": true}}}}`)
		r.Functions = map[string]statestest.Function{"work": func(_ context.Context, payload json.RawMessage) (any, error) {
			worked.Add(1)
			if string(payload) == "3" {
				time.Sleep(time.Second)
				if broken.Load() {
					return nil, statestest.Fails("BROKEN")
				}
			}
			return payload, nil
		}}
		w := newWorld(t, r)
		w.open()
		arn := w.start("x", `{"items": [1, 2, 3]}`)
		if r := statestest.Await(t, w.Engine, arn); r.Error != "BROKEN" {
			t.Fatalf("%+v", r)
		}
		broken.Store(false)
		w.close()
		w.open()
		at, err := w.Redrive(t.Context(), arn, "token")
		if err != nil {
			t.Fatal(err)
		}
		if again, err := w.Redrive(t.Context(), arn, "token"); err != nil || !again.Equal(at) {
			t.Errorf("the same redrive: %v, %v", again, err)
		}
		if _, err := w.Redrive(t.Context(), arn, ""); codeOf(err) != engine.ExecutionNotRedrivable {
			t.Errorf("a redrive of what runs: %v", err)
		}
		got := statestest.Await(t, w.Engine, arn)
		if got.Output != "[1,2,3]" || worked.Load() != 4 {
			t.Errorf("output %s after %d calls", got.Output, worked.Load())
		}
		if _, err := w.Redrive(t.Context(), arn, ""); codeOf(err) != engine.ExecutionNotRedrivable {
			t.Errorf("a redrive of what succeeded: %v", err)
		}
		w.close()
	})
}

func TestRedrive_does_anything_that_was_aborted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, answer := everythingWorld(t)
		ctx, cancel := context.WithCancel(t.Context())
		w.open()
		go answer(ctx)
		for i := range 45 { // every ten seconds of its life
			arn := w.start(strconv.Itoa(i), everythingInput)
			time.Sleep(time.Duration(i) * 10 * time.Second)
			synctest.Wait()
			if _, err := w.Stop(ctx, arn, "STOP", ""); err != nil {
				t.Fatal(err)
			}
			x, err := w.Describe(arn)
			if err != nil {
				t.Fatal(err)
			}
			if x.Status == engine.Aborted {
				if _, err := w.Redrive(ctx, arn, ""); err != nil {
					t.Fatal(err)
				}
			}
			if r := statestest.Await(t, w.Engine, arn); r.Status != engine.Succeeded {
				t.Errorf("stopped after %d s and redriven: %s %s", 10*i, r.Status, r.Error)
			}
		}
		cancel()
		w.close()
	})
}

func TestList_and_History_page(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, machine(t, "A", `"A": {"Type": "Choice", "Choices": [{"Variable": "$.fail", "BooleanEquals": true, "Next": "B"}], "Default": "C"},
			"B": {"Type": "Fail"}, "C": {"Type": "Succeed"}`))
		w.open()
		want := []string{}
		for i := range 25 {
			w.start(fmt.Sprintf("x%02d", i), fmt.Sprintf(`{"fail": %t}`, i%5 == 0))
			time.Sleep(time.Second)
			if i%5 == 0 {
				want = append([]string{fmt.Sprintf("x%02d", i)}, want...)
			}
		}
		got := []string{}
		for page := (engine.Page{Limit: 2}); ; {
			list, next, err := w.List(w.MachineARN("test"), engine.Failed, page)
			if err != nil || len(list) > 2 {
				t.Fatal(len(list), err)
			}
			for _, x := range list {
				got = append(got, x.Name)
			}
			if next == "" {
				break
			}
			page.Token = next
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("failed executions (-want +got):\n%s", diff)
		}
		arn := strings.Replace(w.MachineARN("test"), "stateMachine", "execution", 1) + ":x01"
		events, next, err := w.History(arn, engine.Page{Limit: 1, Reverse: true})
		if err != nil || len(events) != 1 || next == "" || events[0].Type != "ExecutionSucceeded" {
			t.Errorf("%+v %q %v", events, next, err)
		}
		if _, _, err := w.History(arn, engine.Page{Token: "%"}); codeOf(err) != engine.InvalidToken {
			t.Errorf("a bad token: %v", err)
		}
		if _, _, err := w.History(arn+"y", engine.Page{}); codeOf(err) != engine.ExecutionDoesNotExist {
			t.Errorf("an execution that is not there: %v", err)
		}
		w.close()
	})
}

func TestJitter_is_drawn_from_the_given_source(t *testing.T) {
	run := machine(t, "A", `"A": {`+invoke+`, "End": true, "Retry": [{"ErrorEquals": ["E"], "IntervalSeconds": 100, "MaxAttempts": 5, "JitterStrategy": "FULL", "BackoffRate": 1}]}`)
	waits := map[uint64][]time.Duration{}
	for _, seed := range []uint64{1, 2, 1} {
		run.Functions, run.Seed = map[string]statestest.Function{"work": statestest.Script(statestest.Fails("E"))}, seed
		got := statestest.Execute(t, run).Waits
		for _, d := range got {
			if d < 0 || d >= 100*time.Second {
				t.Errorf("waited %v", d)
			}
		}
		if before, ok := waits[seed]; ok && !cmp.Equal(before, got) {
			t.Errorf("the same seed waited %v and %v", before, got)
		}
		waits[seed] = got
	}
	if cmp.Equal(waits[1], waits[2]) {
		t.Errorf("two seeds wait the same: %v", waits)
	}
}

func TestRun_executes_thousands_at_once(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int64
		r := machine(t, "A", `"A": {`+invoke+`, "Next": "B"}, "B": {"Type": "Wait", "Seconds": 3600, "End": true}`)
		r.Functions = map[string]statestest.Function{"work": func(context.Context, json.RawMessage) (any, error) {
			most.Store(max(most.Load(), now.Add(1)))
			time.Sleep(time.Second)
			now.Add(-1)
			return nil, nil
		}}
		w := newWorld(t, r)
		w.open()
		const n = 3000
		var arn string
		for i := range n {
			arn = w.start(strconv.Itoa(i), "{}")
		}
		statestest.Await(t, w.Engine, arn)
		time.Sleep(time.Hour)
		list, _, err := w.List(w.MachineARN("test"), engine.Running, engine.Page{})
		if err != nil || len(list) > 0 || most.Load() > 256 {
			t.Errorf("%d still run, %v; %d functions ran at once", len(list), err, most.Load())
		}
		w.close()
	})
}
