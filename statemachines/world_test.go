// Package statemachines_test executes the very files that are deployed, in virtual time, over
// functions that follow a script.
package statemachines_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/local/states/asl"
	"latchkey/local/states/engine"
	"latchkey/local/states/statestest"
	"latchkey/shared/atlas"
	"latchkey/shared/task"
)

// object is a JSON object.
type object = map[string]any

// call is one call of a function: what it is asked, and how it ends.
type call struct {
	function string // without "FunctionArn"
	payload  object // all of it
	answer   object // nil if it never succeeds
	// failures come before the answer, each the name of an error.
	failures []string
	state    string // that calls
}

// specification is one way through a machine.
type specification struct {
	calls  []call
	path   []string
	waits  []time.Duration // of Wait states
	output object          // "" unless it succeeds
	err    string          // Error of the Fail state
	// after are the calls that follow where a state's failure is no end, by the state.
	after map[string][]call
}

// script answers calls in their order and complains of others.
type script struct {
	t     *testing.T
	mu    sync.Mutex
	calls []call
}

func (s *script) function(name string) statestest.Function {
	return func(ctx context.Context, payload json.RawMessage) (any, error) {
		next, failure := s.next(name, payload)
		switch {
		case failure == "States.Timeout":
			<-ctx.Done()
			return nil, ctx.Err()
		case failure == "Lambda.Unknown", failure != "" && !strings.HasPrefix(failure, "Lambda."):
			return nil, statestest.Fails(failure)
		case failure != "":
			return nil, &engine.ServiceError{Code: strings.TrimPrefix(failure, "Lambda."), Message: "so it goes"}
		}
		return next.answer, nil
	}
}

// next is the call that is expected, or the name of the error that it ends in this time.
func (s *script) next(name string, payload json.RawMessage) (call, string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.calls) == 0 {
		s.t.Errorf("%s is called once too often with %s", name, payload)
		return call{}, task.Panicked
	}
	c := s.calls[0]
	var got object
	if err := json.Unmarshal(payload, &got); err != nil {
		s.t.Error(err)
	}
	if diff := cmp.Diff(c.payload, got); diff != "" || c.function != name {
		s.t.Errorf("%s is called in the place of %s; want (-) and payload (+):\n%s", name, c.function, diff)
	}
	if len(c.failures) > 0 {
		failure := c.failures[0]
		if s.calls[0].failures = c.failures[1:]; len(s.calls[0].failures) == 0 && c.answer == nil {
			s.calls = s.calls[1:]
		}
		return call{}, failure
	}
	s.calls = s.calls[1:]
	return c, ""
}

func load(t *testing.T, kind string) *asl.Machine {
	t.Helper()
	return statestest.Load(t, kind+".asl.json", nil)
}

// execute runs a machine over calls, of which none may be left.
func execute(t *testing.T, m *asl.Machine, input string, calls []call) statestest.Result {
	t.Helper()
	s := &script{t: t, calls: slices.Clone(calls)}
	r := statestest.Execute(t, statestest.Run{Machine: m, Input: input, Functions: map[string]statestest.Function{
		"FleetTasksFunctionArn": s.function("FleetTasks"), "KeyTasksFunctionArn": s.function("KeyTasks"),
		"NetworkTasksFunctionArn": s.function("NetworkTasks"),
	}})
	if len(s.calls) > 0 {
		t.Errorf("%d calls were never made, beginning with %+v", len(s.calls), s.calls[0].payload)
	}
	return r
}

// check holds a machine to its specifications, and demands that together they visit every state.
func check(t *testing.T, kind, input string, specs map[string]specification) {
	t.Helper()
	m := load(t, kind)
	visited := map[string]bool{}
	for name, spec := range specs {
		t.Run(name, func(t *testing.T) {
			r := execute(t, m, input, spec.calls)
			for _, state := range r.Path {
				visited[state] = true
			}
			if diff := cmp.Diff(spec.path, r.Path); diff != "" {
				t.Errorf("path, want (-) and got (+):\n%s", diff)
			}
			if diff := cmp.Diff(spec.waits, r.Waits); diff != "" {
				t.Errorf("waits, want (-) and got (+):\n%s", diff)
			}
			if r.Error != spec.err {
				t.Errorf("it ends in %q (%s), want %q", r.Error, r.Cause, spec.err)
			}
			if spec.err == "" {
				var output object
				if err := json.Unmarshal([]byte(r.Output), &output); err != nil {
					t.Error(err)
				}
				if diff := cmp.Diff(spec.output, output); diff != "" {
					t.Errorf("output, want (-) and got (+):\n%s", diff)
				}
			}
			if spec.err != "" && !strings.Contains(r.Cause, ".") {
				t.Errorf("the operator is told %q", r.Cause)
			}
		})
	}
	for _, state := range slices.Sorted(maps.Keys(m.States)) {
		if !visited[state] {
			t.Errorf("no specification visits %q", state)
		}
	}
	checkFaults(t, m, input, specs)
	checkElsewhere(t, kind, input, specs)
}

// isFaulty reports whether a call fails as it is.
func isFaulty(calls []call) bool {
	return slices.ContainsFunc(calls, func(c call) bool { return len(c.failures) > 0 })
}

// transient are the failures that go away by themselves, or that may.
var transient = []string{
	"Lambda.TooManyRequestsException", "Lambda.ServiceException", "Lambda.AWSLambdaException", "Lambda.SdkClientException",
	"Lambda.ClientExecutionTimeoutException", "Lambda.Unknown", asl.ErrTimeout, task.TimedOut, string(atlas.ConcurrentModification), string(atlas.UnexpectedError),
}

// checkFaults makes every Task state fail in every way that its Retry names, and in ways that it
// does not name, on the way that some specification takes through it.
func checkFaults(t *testing.T, m *asl.Machine, input string, specs map[string]specification) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(m.States)) {
		state := m.States[name]
		if state.Type != asl.Task {
			continue
		}
		t.Run(name+" may fail", func(t *testing.T) {
			spec, at := through(t, specs, name)
			if len(state.Retry) != 1 || len(state.Catch) != 1 || state.Timeout.Fixed == 0 {
				t.Fatal("a task has a time-out, one Retry and one Catch")
			}
			retrier := state.Retry[0]
			for _, failure := range transient {
				if !slices.Contains(retrier.Errors, failure) {
					t.Errorf("%s is not retried", failure)
				}
			}
			for _, failure := range retrier.Errors {
				checkRetried(t, m, input, spec, at, failure)
			}
			checkCaught(t, m, input, spec, at, repeat(retrier.Errors[0], retrier.MaxAttempts+1))
			for _, failure := range []string{task.Panicked, task.InvalidInput, "Lambda.ResourceNotFoundException"} {
				checkCaught(t, m, input, spec, at, []string{failure})
			}
		})
	}
}

// through finds a specification without faults of its own that calls from a state, and the call.
func through(t *testing.T, specs map[string]specification, state string) (spec specification, at int) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(specs)) {
		spec := specs[name]
		i := slices.IndexFunc(spec.calls, func(c call) bool { return c.state == state })
		if i >= 0 && !isFaulty(spec.calls) && spec.err == "" {
			return spec, i
		}
	}
	t.Fatalf("no specification calls from %q", state)
	return specification{}, 0
}

func repeat(s string, n int) []string { return slices.Repeat([]string{s}, n) }

func failing(calls []call, at int, failures []string) []call {
	calls = slices.Clone(calls)
	calls[at].failures = failures
	return calls
}

// checkRetried demands that a failure is retried as often as the state says, ever later, and then
// makes no difference.
func checkRetried(t *testing.T, m *asl.Machine, input string, spec specification, at int, failure string) {
	t.Helper()
	state := m.States[spec.calls[at].state]
	retrier := state.Retry[0]
	r := execute(t, m, input, failing(spec.calls, at, repeat(failure, retrier.MaxAttempts)))
	if diff := cmp.Diff(spec.path, r.Path); diff != "" {
		t.Errorf("%s changes the path:\n%s", failure, diff)
	}
	if len(r.Waits) != len(spec.waits)+retrier.MaxAttempts {
		t.Fatalf("%s: %d waits, want %d", failure, len(r.Waits), len(spec.waits)+retrier.MaxAttempts)
	}
	first := slices.Index(r.Waits, retryWaits(r.Waits, spec.waits)[0])
	for i := range retrier.MaxAttempts {
		most := retrier.Delay(i, func() float64 { return 1 })
		if wait := r.Waits[first+i]; wait > most || most > retrier.MaxDelay {
			t.Errorf("%s: retry %d waits %s, want at most %s", failure, i, wait, most)
		}
	}
}

// retryWaits are the waits that are not those of Wait states. Jitter makes them no whole seconds.
func retryWaits(waits, ofStates []time.Duration) []time.Duration {
	left := slices.Clone(waits)
	for _, w := range ofStates {
		if i := slices.Index(left, w); i >= 0 {
			left = slices.Delete(left, i, i+1)
		}
	}
	return left
}

// checkCaught demands that failures lead where the state's Catch says, with their name kept.
func checkCaught(t *testing.T, m *asl.Machine, input string, spec specification, at int, failures []string) {
	t.Helper()
	state := m.States[spec.calls[at].state]
	calls := failing(spec.calls[:at+1], at, failures)
	calls[at].answer = nil
	r := execute(t, m, input, append(calls, spec.after[state.Name]...))
	i := slices.Index(r.Path, state.Catch[0].Next)
	if i < 1 || r.Path[i-1] != state.Name {
		t.Errorf("%v at %q leads along %v, want to %q", failures, state.Name, r.Path, state.Catch[0].Next)
	}
}

// with is an object with more members.
func with(o, more object) object {
	sum := maps.Clone(o)
	maps.Copy(sum, more)
	return sum
}

// number is how JSON has a whole number.
func number(n int) float64 { return float64(n) }

func seconds(n ...int) []time.Duration {
	var all []time.Duration
	for _, s := range n {
		all = append(all, time.Duration(s)*time.Second)
	}
	return all
}

func parse(t *testing.T, text string) object {
	t.Helper()
	var o object
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		t.Fatal(fmt.Errorf("%s: %w", text, err))
	}
	return o
}
