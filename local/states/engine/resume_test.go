package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"

	"latchkey/local/states/engine"
	"latchkey/local/states/journal"
	"latchkey/local/states/statestest"
)

// everything has a transition of every kind: a pass, a task with a retry, a wait, a token, a choice, a
// map and a parallel state with tasks, waits and a token in them, and a failure that is caught.
const everything = `
	"Begin": {"Type": "Pass", "Result": "x", "ResultPath": "$.begun", "Next": "Work"},
	"Work": {` + invoke + `, "ResultSelector": {"n.$": "$.Payload.n"}, "ResultPath": "$.work", "Next": "Rest",
		"Retry": [{"ErrorEquals": ["BUSY"], "IntervalSeconds": 30, "MaxAttempts": 2}]},
	"Rest": {"Type": "Wait", "Seconds": 300, "Next": "Ask"},
	"Ask": {` + askPlain + `, "ResultPath": "$.answer", "Next": "Enough?"},
	"Enough?": {"Type": "Choice", "Choices": [{"Variable": "$.work.n", "NumericEquals": 7, "Next": "Each"}], "Default": "Not enough"},
	"Not enough": {"Type": "Fail", "Error": "NOT_ENOUGH"},
	"Each": {"Type": "Map", "ItemsPath": "$.items", "MaxConcurrency": 2, "ResultPath": "$.each", "Next": "Both",
		"ItemProcessor": {"StartAt": "Try item", "States": {
			"Try item": {` + echoes + `, "Next": "Rest item"},
			"Rest item": {"Type": "Wait", "Seconds": 5, "End": true}}}},
	"Both": {"Type": "Parallel", "ResultPath": "$.both", "Next": "Break", "Branches": [
		{"StartAt": "Left", "States": {"Left": {` + echoes + `, "End": true}}},
		{"StartAt": "Right", "States": {"Right": {` + askPlain + `, "Next": "Rest right"}, "Rest right": {"Type": "Wait", "Seconds": 60, "End": true}}}]},
	"Break": {` + breaks + `, "End": true, "Catch": [{"ErrorEquals": ["BROKEN"], "ResultPath": "$.error", "Next": "End"}]},
	"End": {"Type": "Succeed"}`

const (
	askPlain = `"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken",
		"Parameters": {"FunctionName": "ask", "Payload": {"token.$": "$$.Task.Token"}}`
	echoes = `"Type": "Task", "Resource": "arn:aws:lambda:us-east-1:123456789012:function:echo"`
	breaks = `"Type": "Task", "Resource": "arn:aws:lambda:us-east-1:123456789012:function:break"`
)

// everythingWorld answers each token ten seconds after it was handed out, on whatever engine
// is open by then.
func everythingWorld(t *testing.T) (*world, func(context.Context)) {
	t.Helper()
	asked := make(chan string, 1000)
	begun := time.Now()
	r := machine(t, "Begin", everything)
	r.Functions = map[string]statestest.Function{
		"work": func(context.Context, json.RawMessage) (any, error) {
			if time.Since(begun) < 20*time.Second {
				return nil, statestest.Fails("BUSY")
			}
			return map[string]int{"n": 7}, nil
		},
		"echo": echo, "break": statestest.Script(statestest.Fails("BROKEN")),
		"ask": func(_ context.Context, payload json.RawMessage) (any, error) {
			var in struct{ Token string }
			err := json.Unmarshal(payload, &in)
			asked <- in.Token
			return nil, err
		},
	}
	w := newWorld(t, r)
	return w, func(ctx context.Context) {
		for {
			select {
			case <-ctx.Done():
				return
			case token := <-asked:
				time.Sleep(10 * time.Second)
				for { // as a function of ours would: until it is acknowledged or of no use any more
					err := w.current().SendTaskSuccess(ctx, token, `{"ok": true}`)
					if err == nil || ctx.Err() != nil || codeOf(err) == engine.TaskTimedOut {
						break
					}
					time.Sleep(time.Second)
				}
			}
		}
	}
}

const (
	everythingInput  = `{"items": [1, 2, 3]}`
	everythingOutput = `{"answer":{"ok":true},"begun":"x","both":[%[1]s,{"ok":true}],"each":[1,2,3],"error":{"Cause":"{\"errorMessage\":\"BROKEN\",\"errorType\":\"BROKEN\"}","Error":"BROKEN"},"items":[1,2,3],"work":{"n":7}}`
)

// TestRun_resumes_after_a_kill_between_any_two_writes kills the engine before its first, second,
// third… write, opens another over what had been written, and expects the very same end.
func TestRun_resumes_after_a_kill_between_any_two_writes(t *testing.T) {
	writes := 0
	for kill := 1; ; kill++ { // the write that starts the execution is acknowledged
		killed := false
		synctest.Test(t, func(t *testing.T) {
			w, answer := everythingWorld(t)
			ctx, cancel := context.WithCancel(t.Context())
			d := &dying{Journal: w.journal, left: kill, died: make(chan struct{})}
			stable := w.journal
			w.journal = d
			w.open()
			arn := w.start("x", everythingInput)
			go answer(ctx)
			killed = waitForDeathOrEnd(t, w, d, arn)
			w.close()
			if killed {
				w.journal = stable
				w.open()
			}
			var r statestest.Result
			if killed {
				r = statestest.Await(t, w.Engine, arn)
				w.close()
			} else {
				r = statestest.Read(t, w.Engine, arn)
			}
			cancel()
			checkEverything(t, kill, r)
		})
		if t.Failed() {
			t.Fatalf("killed after %d writes", kill)
		}
		if !killed {
			writes = kill
			break
		}
	}
	if writes < 15 {
		t.Errorf("there were only %d places to be killed at", writes)
	}
}

// TestRun_resumes_after_any_number_of_kills does the same with lives of random lengths.
func TestRun_resumes_after_any_number_of_kills(t *testing.T) {
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 0))
		synctest.Test(t, func(t *testing.T) {
			w, answer := everythingWorld(t)
			ctx, cancel := context.WithCancel(t.Context())
			stable, arn := w.journal, ""
			for lives := 1; ; lives++ {
				d := &dying{Journal: stable, left: 1 + random.IntN(4), died: make(chan struct{})}
				w.journal = d
				w.open()
				if lives == 1 {
					arn = w.start("x", everythingInput)
					go answer(ctx)
				}
				killed := waitForDeathOrEnd(t, w, d, arn)
				w.close()
				if !killed {
					break
				}
			}
			cancel()
			checkEverything(t, int(seed), statestest.Read(t, w.Engine, arn))
		})
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func waitForDeathOrEnd(t *testing.T, w *world, d *dying, arn string) bool {
	t.Helper()
	for {
		synctest.Wait()
		select {
		case <-d.died:
			return true
		default:
		}
		x, err := w.Describe(arn)
		if err != nil {
			t.Fatal(err)
		}
		if x.Status != engine.Running {
			return false
		}
		time.Sleep(time.Second)
	}
}

func checkEverything(t *testing.T, kill int, r statestest.Result) {
	t.Helper()
	left := `{"answer":{"ok":true},"begun":"x","each":[1,2,3],"items":[1,2,3],"work":{"n":7}}`
	want := compact(t, fmt.Sprintf(everythingOutput, left))
	if diff := cmp.Diff(want, compact(t, r.Output)); diff != "" {
		t.Errorf("killed after %d writes: output (-want +got):\n%s", kill, diff)
	}
	path := "Begin Work Rest Ask Enough? Each Try item Try item Rest item Rest item Try item Rest item Both Left Right Rest right Break End"
	if got := strings.Join(r.Path, " "); got != path {
		t.Errorf("killed after %d writes: path\n%s, want\n%s", kill, got, path)
	}
	for i, ev := range r.Events {
		if ev.ID != int64(i+1) || ev.Previous >= ev.ID {
			t.Errorf("event %d has the id %d and follows %d", i+1, ev.ID, ev.Previous)
		}
	}
	// Waits end when they would have ended anyway: 30 + 300 + 10 + 5 + 5 + 10 + 60, and what passes
	// between a kill and the next look at the world.
	if least := 420 * time.Second; r.Took < least || r.Took > least+20*time.Second {
		t.Errorf("killed after %d writes: took %v", kill, r.Took)
	}
}

func TestRun_continues_a_wait_to_its_first_deadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, machine(t, "A", `"A": {"Type": "Wait", "Seconds": 3600, "End": true}`))
		w.open()
		arn := w.start("x", "{}")
		time.Sleep(time.Hour / 2)
		w.close()
		time.Sleep(time.Hour / 4)
		w.open()
		if r := statestest.Await(t, w.Engine, arn); r.Waits[0] != time.Hour {
			t.Errorf("waited %v", r.Waits)
		}
		w.start("late", "{}")
		synctest.Wait()
		w.close()
		time.Sleep(3 * time.Hour)
		w.open()
		if r := statestest.Await(t, w.Engine, strings.Replace(arn, ":x", ":late", 1)); r.Took != 3*time.Hour {
			t.Errorf("ended %v after its start", r.Took)
		}
		w.close()
	})
}

func TestRun_invokes_again_what_it_does_not_know_the_outcome_of(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := []string{}
		r := machine(t, "A", `"A": {`+invoke+`, "End": true, "OutputPath": "$.Payload", "TimeoutSeconds": 600}`)
		r.Functions = map[string]statestest.Function{"work": func(ctx context.Context, payload json.RawMessage) (any, error) {
			calls = append(calls, string(payload))
			if len(calls) == 1 {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return "done", nil
		}}
		w := newWorld(t, r)
		w.open()
		arn := w.start("x", `{"id":7}`)
		synctest.Wait()
		w.close()
		w.open()
		got := statestest.Await(t, w.Engine, arn)
		if diff := cmp.Diff([]string{`{"id":7}`, `{"id":7}`}, calls); diff != "" || got.Output != `"done"` {
			t.Errorf("output %s, calls (-want +got):\n%s", got.Output, diff)
		}
		w.close()
	})
}

func TestRun_does_not_invoke_what_has_timed_out_meanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		r := machine(t, "A", `"A": {`+invoke+`, "End": true, "TimeoutSeconds": 600}`)
		r.Functions = map[string]statestest.Function{"work": func(ctx context.Context, _ json.RawMessage) (any, error) {
			calls++
			<-ctx.Done()
			return nil, ctx.Err()
		}}
		w := newWorld(t, r)
		w.open()
		arn := w.start("x", "")
		synctest.Wait()
		w.close()
		time.Sleep(time.Hour)
		w.open()
		if got := statestest.Await(t, w.Engine, arn); got.Error != "States.Timeout" || calls != 1 {
			t.Errorf("ended with %q after %d calls", got.Error, calls)
		}
		w.close()
	})
}

func TestRun_resumes_from_a_file(t *testing.T) {
	path := filepath.Join(t.TempDir(), "states.db")
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, machine(t, "A", `"A": {"Type": "Wait", "Seconds": 60, "Next": "B"}, "B": {"Type": "Pass", "Result": "<done>", "End": true}`))
		open := func() *bbolt.DB {
			db, err := bbolt.Open(path, 0o600, nil)
			if err != nil {
				t.Fatal(err)
			}
			if w.journal, err = journal.Bolt(db, "executions"); err != nil {
				t.Fatal(err)
			}
			w.open()
			return db
		}
		db := open()
		arn := w.start("x", "")
		synctest.Wait()
		w.close()
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		db = open()
		if got := statestest.Await(t, w.Engine, arn); got.Output != `"<done>"` || got.Took != time.Minute {
			t.Errorf("%+v", got)
		}
		w.close()
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestRun_ends_with_the_error_of_its_journal_and_acknowledges_nothing_after_it(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := asking(t, "")
		w.close()
		w.journal = &dying{Journal: w.journal, left: 1, died: make(chan struct{})}
		w.open()
		arn := w.start("x", "")
		if err := <-w.ended; !errors.Is(err, errKilled) {
			t.Errorf("ended with %v", err)
		}
		if _, err := w.Start(t.Context(), w.MachineARN("test"), "y", ""); err == nil {
			t.Error("an execution was started")
		}
		if _, err := w.Stop(t.Context(), arn, "", ""); err == nil {
			t.Error("an execution was stopped")
		}
		w.cancel()
	})
}

func TestRun_fails_only_what_has_a_definition_that_is_not_accepted_any_more(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, machine(t, "A", `"A": {"Type": "Wait", "Seconds": 60, "End": true}`))
		w.open()
		old := w.start("old", "")
		w.close()
		err := w.journal.Scan("definition", "", false, func(hash string, _ []byte) bool {
			return w.journal.Write([]journal.Change{journal.Put("definition", hash, []byte(`{"StartAt": "A", "States": {}}`))}) == nil
		})
		if err != nil {
			t.Fatal(err)
		}
		w.machine = machine(t, "A", `"A": {"Type": "Succeed"}`).Machine
		w.open()
		if got := statestest.Await(t, w.Engine, old); got.Error != "States.Runtime" || !strings.Contains(got.Cause, "not accepted any more") {
			t.Errorf("%+v", got)
		}
		if _, err := w.Redrive(t.Context(), old, ""); codeOf(err) != engine.ExecutionNotRedrivable {
			t.Errorf("a redrive of it: %v", err)
		}
		if got := statestest.Await(t, w.Engine, w.start("new", "")); got.Status != engine.Succeeded {
			t.Errorf("%+v", got)
		}
		w.close()
	})
}

func TestRun_keeps_the_definition_an_execution_was_started_with(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, machine(t, "A", `"A": {"Type": "Wait", "Seconds": 60, "Next": "Old"}, "Old": {"Type": "Succeed"}`))
		w.open()
		arn := w.start("x", "{}")
		w.close()
		w.machine = machine(t, "New", `"New": {"Type": "Succeed"}`).Machine
		w.open()
		if diff := cmp.Diff([]string{"A", "Old"}, statestest.Await(t, w.Engine, arn).Path); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]string{"New"}, statestest.Await(t, w.Engine, w.start("y", "{}")).Path); diff != "" {
			t.Error(diff)
		}
		w.close()
	})
}
