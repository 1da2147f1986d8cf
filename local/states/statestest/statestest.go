// Package statestest executes state machines in tests, in virtual time, with functions that are
// real handlers or follow a script, so that a test of a definition reads as a specification:
// given how the tasks end, the exact path, output and waits.
//
// Its invariant: what it reports was read from the execution's history. Tests import it.
package statestest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambda/messages"

	"latchkey/local/states/asl"
	"latchkey/local/states/engine"
	"latchkey/local/states/journal"
	"latchkey/shared/task"
)

// Function is what a Task state calls.
type Function func(ctx context.Context, payload json.RawMessage) (any, error)

// Handler makes a Function of a real handler.
func Handler(h lambda.Handler) Function {
	return func(ctx context.Context, payload json.RawMessage) (any, error) {
		out, err := h.Invoke(ctx, payload)
		return json.RawMessage(out), err
	}
}

// Script answers the first call with the first outcome and so on; the last one answers all
// further calls. An outcome is an error, or what the function returns.
func Script(outcomes ...any) Function {
	var mu sync.Mutex
	return func(context.Context, json.RawMessage) (any, error) {
		mu.Lock()
		defer mu.Unlock()
		outcome := outcomes[0]
		if len(outcomes) > 1 {
			outcomes = outcomes[1:]
		}
		if err, ok := outcome.(error); ok {
			return nil, err
		}
		return outcome, nil
	}
}

// Fails is the error of a function that reports a code.
func Fails(code string) error { return task.Error(code, code) }

// After is f, a while later. It heeds its context.
func After(d time.Duration, f Function) Function {
	return func(ctx context.Context, payload json.RawMessage) (any, error) {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
			return f(ctx, payload)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Run is one execution to be.
type Run struct {
	Machine *asl.Machine
	// Input is JSON; "" is {}.
	Input string
	// Functions by their names.
	Functions map[string]Function
	// Meanwhile acts from outside while the execution runs: it answers tokens, or stops it.
	Meanwhile func(ctx context.Context, e *engine.Engine, executionARN string)
	// Seed decides what is drawn at random: jitter, UUIDs and tokens.
	Seed uint64
}

// Result is how an execution went.
type Result struct {
	Status engine.Status
	// Path are the states in the order they were entered.
	Path []string
	// Output is JSON; "" unless it succeeded.
	Output string
	// Error and Cause of an execution that did not succeed.
	Error, Cause string
	// Waits are how long Wait states and delays before retries took, in the order they ended.
	Waits []time.Duration
	// Took is how long the execution ran.
	Took time.Duration
	// Events is its history.
	Events []engine.Event
}

// name of the machine and the execution under test.
const name = "test"

// Execute runs an execution to its end in virtual time.
func Execute(t *testing.T, r Run) Result {
	t.Helper()
	var result Result
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		e := engine.New(engine.Config{
			Journal: journal.Memory(), Machines: map[string]*asl.Machine{name: r.Machine}, Invoke: Invoker(r.Functions),
			Now: time.Now, Rand: rand.NewPCG(1, r.Seed), Log: slog.New(slog.DiscardHandler),
		})
		ended := make(chan error, 1)
		go func() { ended <- e.Run(ctx) }()
		x, err := e.Start(ctx, e.MachineARN(name), name, r.Input)
		if err != nil {
			t.Fatal(err)
		}
		if r.Meanwhile != nil {
			go r.Meanwhile(ctx, e, x.ARN)
		}
		result = Await(t, e, x.ARN)
		cancel()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	})
	return result
}

// longest is how long Await waits, in virtual time: a year, which is as long as Step Functions lets
// an execution run.
const longest = 366 * 24 * time.Hour

// Await returns when an execution has closed. It must be called in a synctest bubble.
func Await(t testing.TB, e *engine.Engine, executionARN string) Result {
	t.Helper()
	for nap, waited := time.Millisecond, time.Duration(0); waited < longest; waited += nap {
		synctest.Wait()
		x, err := e.Describe(executionARN)
		if err != nil {
			t.Fatal(err)
		}
		if x.Status != engine.Running {
			return Read(t, e, executionARN)
		}
		time.Sleep(nap)
		nap = min(2*nap, time.Hour)
	}
	t.Fatalf("%s does not end", executionARN)
	return Result{}
}

// Read returns how an execution went so far.
func Read(t testing.TB, e *engine.Engine, executionARN string) Result {
	t.Helper()
	x, err := e.Describe(executionARN)
	if err != nil {
		t.Fatal(err)
	}
	r := Result{Status: x.Status, Output: x.Output, Error: x.Error, Cause: x.Cause}
	if !x.Stopped.IsZero() {
		r.Took = x.Stopped.Sub(x.Started)
	}
	for page := (engine.Page{Limit: 1000}); ; {
		events, next, err := e.History(executionARN, page)
		if err != nil {
			t.Fatal(err)
		}
		r.Events = append(r.Events, events...)
		if next == "" {
			break
		}
		page.Token = next
	}
	r.Path, r.Waits = pathOf(r.Events), waitsOf(r.Events)
	return r
}

func pathOf(events []engine.Event) []string {
	path := []string{}
	for _, ev := range events {
		if strings.HasSuffix(ev.Type, "StateEntered") {
			var d struct{ Name string }
			if json.Unmarshal(ev.Details, &d) == nil {
				path = append(path, d.Name)
			}
		}
	}
	return path
}

// waitsOf finds the events that waited for nothing but time: the ends of Wait states, and
// beginnings that do not follow directly on their state's being entered.
func waitsOf(events []engine.Event) []time.Duration {
	starts := []string{"TaskScheduled", "LambdaFunctionScheduled", "MapStateStarted", "ParallelStateStarted"}
	var waits []time.Duration
	for _, ev := range events {
		if ev.Previous == 0 {
			continue
		}
		before := events[ev.Previous-1]
		isRetry := slices.Contains(starts, ev.Type) && before.Type != "ExecutionRedriven" &&
			(!strings.HasSuffix(before.Type, "StateEntered") || ev.At.After(before.At))
		if ev.Type == "WaitStateExited" || isRetry {
			waits = append(waits, ev.At.Sub(before.At))
		}
	}
	return waits
}

// Invoker calls functions as Lambda does, and shapes their errors as its Go runtime does.
func Invoker(functions map[string]Function) engine.Invoke {
	return func(ctx context.Context, function string, payload []byte) ([]byte, error) {
		f, ok := functions[function]
		if !ok {
			return nil, &engine.ServiceError{Code: "ResourceNotFoundException", Message: "Function not found: " + function}
		}
		out, err := f(ctx, payload)
		if service, ok := errors.AsType[*engine.ServiceError](err); ok {
			return nil, service
		}
		if err != nil {
			return nil, &engine.FunctionError{Payload: shape(err)}
		}
		return json.Marshal(out)
	}
}

// shape is an error as Lambda answers it: named by the type of the outermost value, unless that
// is a messages.InvokeResponse_Error itself.
func shape(err error) []byte {
	e, ok := err.(messages.InvokeResponse_Error) //nolint:errorlint // the runtime does not unwrap either
	if !ok {
		kind := strings.TrimPrefix(fmt.Sprintf("%T", err), "*")
		e = messages.InvokeResponse_Error{Type: kind[strings.LastIndexByte(kind, '.')+1:], Message: err.Error()}
	}
	b, _ := json.Marshal(e) //nolint:errchkjson // strings always marshal
	return b
}

// Load reads a definition from a file. A ${Name} that substitutions do not have becomes Name, so
// "${CheckKeyFunctionArn}" is the function "CheckKeyFunctionArn" of Run.Functions.
func Load(t testing.TB, path string, substitutions map[string]string) *asl.Machine {
	t.Helper()
	data, err := os.ReadFile(path) //nolint:gosec // G304: the test names the file
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]string{}
	for _, name := range asl.Substitutions(data) {
		values[name] = name
	}
	maps.Copy(values, substitutions)
	if data, err = asl.Substitute(data, values); err != nil {
		t.Fatal(err)
	}
	return Parse(t, filepath.Base(path), string(data))
}

// Parse reads a definition.
func Parse(t testing.TB, file, definition string) *asl.Machine {
	t.Helper()
	m, err := asl.Parse(file, []byte(definition))
	if err != nil {
		t.Fatal(err)
	}
	return m
}
