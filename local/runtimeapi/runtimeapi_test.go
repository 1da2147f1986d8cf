package runtimeapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambda/messages"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/google/go-cmp/cmp"

	"latchkey/local/lambdasvc"
	"latchkey/local/runtimeapi"
)

// behaviour makes this test's own executable a function: what it does when it starts.
const behaviour = "TEST_FUNCTION"

func TestMain(m *testing.M) {
	switch os.Getenv(behaviour) {
	case "":
		os.Exit(m.Run())
	case "exits at once":
		os.Exit(3)
	case "refuses to start":
		body := strings.NewReader(`{"errorType":"Config","errorMessage":"no table"}`)
		http.Post("http://"+os.Getenv("AWS_LAMBDA_RUNTIME_API")+"/2018-06-01/runtime/init/error", "application/json", body) //nolint:errcheck // the process ends anyway
		os.Exit(1)
	case "never asks":
		select {}
	}
	lambda.Start(handle)
}

// event is what the function is told to do.
type event struct{ Do, Text string }

// report is what the function knows.
type report struct {
	PID         int
	Text        string
	RequestID   string
	ARN         string
	Left        time.Duration
	Environment []string
}

func handle(ctx context.Context, e event) (any, error) {
	switch e.Do {
	case "fail":
		return nil, errors.New(e.Text)
	case "panic":
		panic(e.Text)
	case "exit":
		os.Exit(7)
	case "vanish":
		syscall.Kill(os.Getpid(), syscall.SIGKILL) //nolint:errcheck // nobody is there to check
	case "hang":
		select {}
	case "too much":
		return strings.Repeat("x", lambdasvc.MaxPayload), nil
	case "print":
		fmt.Fprintln(os.Stdout, e.Text) //nolint:errcheck // the log tells
	}
	lc, _ := lambdacontext.FromContext(ctx)
	deadline, _ := ctx.Deadline()
	return report{
		PID: os.Getpid(), Text: e.Text, RequestID: lc.AwsRequestID, ARN: lc.InvokedFunctionArn,
		Left: time.Until(deadline), Environment: os.Environ(),
	}, nil
}

// logged is a log that tests read while programs write.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newFunction(t *testing.T, change func(*runtimeapi.Config)) (*runtimeapi.Function, *logged) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var l logged
	cfg := runtimeapi.Config{
		Program: program, Name: "f", ARN: "arn:aws:lambda:us-east-1:123456789012:function:f", Environment: []string{behaviour + "=runs"},
		Timeout: 20 * time.Second, Now: time.Now, Log: slog.New(slog.NewJSONHandler(&l, nil)),
	}
	if change != nil {
		change(&cfg)
	}
	f := runtimeapi.New(cfg)
	t.Cleanup(func() { f.Close() }) //nolint:errcheck // it never fails
	return f, &l
}

func invoke(ctx context.Context, f *runtimeapi.Function, e event) (report, error) {
	payload, _ := json.Marshal(e)
	out, err := f.Invoke(ctx, payload)
	if err != nil {
		return report{}, err
	}
	var r report
	return r, json.Unmarshal(out, &r)
}

// served fails the test if the function does not serve, and tells by which process it did.
func served(t *testing.T, f *runtimeapi.Function) int {
	t.Helper()
	r, err := invoke(t.Context(), f, event{Text: "hello"})
	if err != nil || r.Text != "hello" {
		t.Fatalf("invoke: %+v, %v", r, err)
	}
	return r.PID
}

func runs(pid int) bool { return syscall.Kill(pid, 0) == nil }

func TestInvoke_gives_a_program_what_Lambda_gives_it(t *testing.T) {
	f, _ := newFunction(t, nil)
	ctx := lambdacontext.NewContext(t.Context(), &lambdacontext.LambdaContext{AwsRequestID: "id-1"})
	got, err := invoke(ctx, f, event{Text: "x"})
	if err != nil {
		t.Fatal(err)
	}
	if got.RequestID != "id-1" || got.ARN != "arn:aws:lambda:us-east-1:123456789012:function:f" || got.Left < 10*time.Second || got.Left > 20*time.Second {
		t.Errorf("context = %+v", got)
	}
	var names []string
	for _, variable := range got.Environment {
		name, _, _ := strings.Cut(variable, "=")
		names = append(names, name)
	}
	if diff := cmp.Diff([]string{"AWS_LAMBDA_RUNTIME_API", behaviour, "_X_AMZN_TRACE_ID"}, names); diff != "" {
		t.Errorf("environment (-want +got):\n%s", diff)
	}
}

func TestInvoke_fails_as_Lambda_does(t *testing.T) {
	for name, test := range map[string]struct {
		event         event
		kind, message string
		ends          bool // the process
	}{
		"an error":         {event{Do: "fail", Text: "no such thing"}, "errorString", "no such thing", false},
		"a panic":          {event{Do: "panic", Text: "oh"}, "string", "oh", true},
		"an exit":          {event{Do: "exit"}, "Runtime.ExitError", "RequestId: id Error: Runtime exited with error: exit status 7", true},
		"a signal":         {event{Do: "vanish"}, "Runtime.ExitError", "RequestId: id Error: Runtime exited with error: signal: killed", true},
		"a time-out":       {event{Do: "hang"}, "Sandbox.Timedout", "RequestId: id Error: Task timed out after 2.00 seconds", true},
		"too large a body": {event{Do: "too much"}, "Function.ResponseSizeTooLarge", "Response payload size exceeded maximum allowed payload size (6291456 bytes).", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, _ := newFunction(t, func(c *runtimeapi.Config) {
				if test.event.Do == "hang" {
					c.Timeout = 2 * time.Second
				}
			})
			before := served(t, f)
			ctx := lambdacontext.NewContext(t.Context(), &lambdacontext.LambdaContext{AwsRequestID: "id"})
			_, err := invoke(ctx, f, test.event)
			got, ok := errors.AsType[messages.InvokeResponse_Error](err)
			if !ok || got.Type != test.kind || got.Message != test.message {
				t.Errorf("error = %q %q (%v)", got.Type, got.Message, err)
			}
			after := served(t, f)
			if test.ends != (after != before) || test.ends && runs(before) {
				t.Errorf("process %d, then %d", before, after)
			}
		})
	}
}

func TestWarm_fails_if_the_program_does_not_start(t *testing.T) {
	for start, want := range map[string]string{
		"exits at once":    "Runtime exited with error: exit status 3",
		"refuses to start": "no table",
		"never asks":       "Task timed out after 1.00 seconds",
	} {
		t.Run(start, func(t *testing.T) {
			t.Parallel()
			f, _ := newFunction(t, func(c *runtimeapi.Config) {
				c.Environment, c.InitTimeout = []string{behaviour + "=" + start}, time.Second
			})
			err := f.Warm(t.Context())
			if got, ok := errors.AsType[messages.InvokeResponse_Error](err); !ok || got.Message != want {
				t.Errorf("warm: %v, want %s", err, want)
			}
			if _, err := f.Invoke(t.Context(), []byte("{}")); err == nil {
				t.Error("it serves all the same")
			}
		})
	}
	f, _ := newFunction(t, func(c *runtimeapi.Config) { c.Program += ".none" })
	if err := f.Warm(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a program that is not there: %v", err)
	}
}

func TestInvoke_uses_processes_up_to_the_bound(t *testing.T) {
	f, _ := newFunction(t, func(c *runtimeapi.Config) { c.Processes = 2 })
	var mu sync.Mutex
	processes := map[int]int{}
	var all sync.WaitGroup
	for range 40 {
		all.Go(func() {
			r, err := invoke(t.Context(), f, event{})
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			processes[r.PID]++
			mu.Unlock()
		})
	}
	all.Wait()
	if len(processes) > 2 {
		t.Errorf("processes = %v", processes)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var hanging sync.WaitGroup
	for range 2 {
		hanging.Go(func() { invoke(t.Context(), f, event{Do: "hang"}) }) //nolint:errcheck // it ends with the function
	}
	for f.Busy() < 2 {
		runtime.Gosched()
	}
	cancel()
	if _, err := invoke(ctx, f, event{}); !errors.Is(err, context.Canceled) {
		t.Errorf("an invocation that need not wait any longer: %v", err)
	}
	f.Close() //nolint:errcheck // it never fails
	hanging.Wait()
}

func TestInvoke_replaces_a_process_that_has_served_its_time(t *testing.T) {
	f, _ := newFunction(t, func(c *runtimeapi.Config) { c.Invocations = 1 })
	first, second := served(t, f), served(t, f)
	if first == second || runs(first) {
		t.Errorf("processes %d and %d", first, second)
	}
}

func TestInvoke_replaces_a_process_that_ended_between_invocations(t *testing.T) {
	f, _ := newFunction(t, nil)
	first := served(t, f)
	syscall.Kill(first, syscall.SIGKILL) //nolint:errcheck // the next invocation tells
	for runs(first) {
		runtime.Gosched()
	}
	// Until its end is noticed, an invocation may still go to it, and fails as on Lambda.
	answer, err := invoke(t.Context(), f, event{})
	for ; err != nil && t.Context().Err() == nil; answer, err = invoke(t.Context(), f, event{}) {
		runtime.Gosched()
	}
	if answer.PID == first {
		t.Error("a process serves that was killed")
	}
}

func TestClose_ends_every_process(t *testing.T) {
	f, _ := newFunction(t, nil)
	pid := served(t, f)
	if diff := cmp.Diff([]int{pid}, f.Processes()); diff != "" {
		t.Errorf("processes (-want +got):\n%s", diff)
	}
	f.Close() //nolint:errcheck // it never fails
	if left := f.Processes(); runs(pid) || len(left) > 0 {
		t.Errorf("process %d still runs, or is among %v", pid, left)
	}
	if _, err := f.Invoke(t.Context(), []byte("{}")); err == nil {
		t.Error("a closed function serves")
	}
}

func TestOutput_goes_to_the_log(t *testing.T) {
	f, l := newFunction(t, func(c *runtimeapi.Config) { c.Invocations = 1 })
	for _, line := range []string{`{"level":"ERROR","message":"it broke"}`, `{"level":"DEBUG","message":"detail"}`, "plain"} {
		if _, err := invoke(t.Context(), f, event{Do: "print", Text: line}); err != nil {
			t.Fatal(err)
		}
	}
	for part, want := range map[string]bool{
		`"level":"ERROR","msg":"function log","record":{"level":"ERROR","message":"it broke"}`: true,
		`"level":"WARN","msg":"function log","text":"plain"`:                                   true,
		"detail": false,
	} {
		if strings.Contains(l.String(), part) != want {
			t.Errorf("log has %s: %t\n%s", part, !want, l)
		}
	}
}
