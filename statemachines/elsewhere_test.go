package statemachines_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/local/states/asl"
	"latchkey/local/states/engine"
	"latchkey/local/states/statestest"
	"latchkey/shared/task"
)

// The interpreters made elsewhere that execute the same ways through the machines; integration/statemachines.sh
// starts them, sets these, and runs the tests of this package. Without them nothing here happens.
const (
	// stepFunctionsVariable is the URL of a Step Functions.
	stepFunctionsVariable = "LATCHKEY_STEPFUNCTIONS_ENDPOINT"
	// lambdaVariable is the address at which that Step Functions looks for Lambda.
	lambdaVariable = "LATCHKEY_LAMBDA_ADDRESS"
	// nodeVariable is the folder of npm's modules with aws-local-stepfunctions.
	nodeVariable = "LATCHKEY_NODE_MODULES"
)

// trial is one execution that every interpreter has to make alike.
type trial struct {
	Definition json.RawMessage `json:"definition"`
	Input      json.RawMessage `json:"input"`

	name  string
	calls []call
}

// outcome is what an execution did.
type outcome struct {
	Path   []string
	Output any // JSON; nil unless it succeeded
	Error  string
	Cause  string
	Asked  []any // what functions were asked, in order
}

// interpreter executes all trials, of which each finds its functions among those that are served.
type interpreter func(t *testing.T, trials []trial) []outcome

func elsewhere() map[string]interpreter {
	interpreters := map[string]interpreter{}
	if os.Getenv(stepFunctionsVariable) != "" {
		interpreters["Step Functions"] = onStepFunctions
	}
	if os.Getenv(nodeVariable) != "" {
		interpreters["aws-local-stepfunctions"] = onNode
	}
	return interpreters
}

// checkElsewhere has interpreters made elsewhere go every way that is specified, and every way on which a task
// fails, and compares them to our own.
func checkElsewhere(t *testing.T, kind, input string, specs map[string]specification) {
	t.Helper()
	interpreters := elsewhere()
	if len(interpreters) == 0 {
		return
	}
	trials := trialsOf(t, kind, input, specs)
	want := onOurs(t, trials)
	for name, interpret := range interpreters {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // most of it is waiting
			got := interpret(t, trials)
			for i, tr := range trials {
				if diff := cmp.Diff(want[i], got[i]); diff != "" {
					t.Errorf("%s: ours (-) and theirs (+):\n%s", tr.name, diff)
				}
			}
			if t.Failed() {
				return
			}
			t.Logf("%d executions with the same path, calls, output and error", len(trials))
		})
	}
}

// trialsOf are the ways that are specified, and for each task the ways on which it fails.
func trialsOf(t *testing.T, kind, input string, specs map[string]specification) []trial {
	t.Helper()
	m := load(t, kind)
	var trials []trial
	add := func(name string, calls []call, timesOut string) {
		prefix := fmt.Sprintf("%s-%d-", kind, len(trials))
		trials = append(trials, trial{
			name: name, Definition: hurried(t, kind, prefix, timesOut), Input: json.RawMessage(input), calls: hurriedCalls(calls),
		})
	}
	for _, name := range slices.Sorted(maps.Keys(specs)) {
		add(name, specs[name].calls, "")
	}
	for _, name := range slices.Sorted(maps.Keys(m.States)) {
		state := m.States[name]
		if state.Type != asl.Task {
			continue
		}
		spec, at := through(t, specs, name)
		retried := failing(spec.calls, at, []string{"UNEXPECTED_ERROR", "Lambda.TooManyRequestsException", "Lambda.ServiceException"})
		add(name+": retried", retried, "")
		add(name+": timed out, retried", failing(spec.calls, at, []string{asl.ErrTimeout}), name)
		for _, failures := range [][]string{
			repeat("UNEXPECTED_ERROR", state.Retry[0].MaxAttempts+1), {task.Panicked}, {"Lambda.ResourceNotFoundException"},
		} {
			calls := failing(spec.calls[:at+1], at, failures)
			calls[at].answer = nil
			add(fmt.Sprintf("%s: caught after %d %s", name, len(failures), failures[0]), append(calls, spec.after[name]...), "")
		}
	}
	return trials
}

// soon is the time-out in seconds of a state that is to time out. An answer never takes as long.
const soon = 6

// hurried is a machine's definition with functions of its own, whose retries follow at once, as does the time-out of one
// state.
func hurried(t *testing.T, kind, prefix, timesOut string) json.RawMessage {
	t.Helper()
	data, err := os.ReadFile(kind + ".asl.json")
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]string{}
	for _, name := range asl.Substitutions(data) {
		values[name] = prefix + name
	}
	if data, err = asl.Substitute(data, values); err != nil {
		t.Fatal(err)
	}
	var definition object
	if err := json.Unmarshal(data, &definition); err != nil {
		t.Fatal(err)
	}
	for name, state := range definition["States"].(object) {
		retriers, _ := state.(object)["Retry"].([]any)
		for _, retrier := range retriers {
			r := retrier.(object)
			r["IntervalSeconds"], r["BackoffRate"] = 1, 1
			delete(r, "MaxDelaySeconds")
		}
		if name == timesOut {
			state.(object)["TimeoutSeconds"] = soon
		}
	}
	if data, err = json.Marshal(definition); err != nil {
		t.Fatal(err)
	}
	return data
}

// hurriedCalls are calls whose answers let nobody wait for more than a second.
func hurriedCalls(calls []call) []call {
	calls = slices.Clone(calls)
	for i, c := range calls {
		if _, waits := c.answer["waitSeconds"]; waits {
			calls[i].answer = with(c.answer, object{"waitSeconds": 1})
		}
	}
	return calls
}

// answers gives a trial's answers, in their order, whatever is asked, and keeps what was asked.
type answers struct {
	mu    sync.Mutex
	calls []call
	asked []any
}

func (a *answers) function(name string) statestest.Function {
	return func(ctx context.Context, payload json.RawMessage) (any, error) {
		answer, failure := a.next(name, payload)
		service, isService := strings.CutPrefix(failure, "Lambda.")
		switch {
		case failure == asl.ErrTimeout:
			<-ctx.Done()
			return nil, ctx.Err()
		case isService:
			return nil, &engine.ServiceError{Code: service, Message: "so it goes"}
		case failure != "":
			return nil, statestest.Fails(failure)
		}
		return answer, nil
	}
}

func (a *answers) next(name string, payload json.RawMessage) (answer object, failure string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var p object
	if err := json.Unmarshal(payload, &p); err != nil {
		panic(err)
	}
	if since, ok := p["since"].(string); ok {
		if _, err := time.Parse(time.RFC3339, since); err == nil {
			p["since"] = "when it began"
		}
	}
	a.asked = append(a.asked, object{name: p})
	if len(a.calls) == 0 {
		return nil, task.Panicked
	}
	c := &a.calls[0]
	if len(c.failures) > 0 {
		failure, c.failures = c.failures[0], c.failures[1:]
	} else {
		answer = c.answer
	}
	if failure == "" || len(c.failures) == 0 && c.answer == nil {
		a.calls = a.calls[1:]
	}
	return answer, failure
}

// scripts are the answers to trials, and all their functions.
func scripts(trials []trial) ([]*answers, map[string]statestest.Function) {
	var all []*answers
	functions := map[string]statestest.Function{}
	for _, tr := range trials {
		a := &answers{calls: slices.Clone(tr.calls)}
		all = append(all, a)
		for _, name := range functionNames.FindAllStringSubmatch(string(tr.Definition), -1) {
			functions[name[1]] = a.function(name[1][strings.LastIndexByte(name[1], '-')+1:])
		}
	}
	return all, functions
}

var functionNames = regexp.MustCompile(`"FunctionName":"([^"]+)"`)

// onOurs executes trials in virtual time.
func onOurs(t *testing.T, trials []trial) []outcome {
	t.Helper()
	all, functions := scripts(trials)
	outcomes := make([]outcome, len(trials))
	for i, tr := range trials {
		r := statestest.Execute(t, statestest.Run{
			Machine: statestest.Parse(t, tr.name, string(tr.Definition)), Input: string(tr.Input), Functions: functions,
		})
		outcomes[i] = outcomeOf(t, r.Path, r.Output, r.Error, r.Cause, all[i])
	}
	return outcomes
}

// serviceDetails are what a message of the Lambda service ends with: it differs by interpreter and by request.
var serviceDetails = regexp.MustCompile(`so it goes.*`)

func outcomeOf(t *testing.T, path []string, output, failure, cause string, asked *answers) outcome {
	t.Helper()
	asked.mu.Lock()
	defer asked.mu.Unlock()
	o := outcome{Path: path, Error: failure, Cause: cause, Asked: asked.asked}
	if output != "" {
		if err := json.Unmarshal([]byte(output), &o.Output); err != nil {
			t.Fatalf("output %q: %v", output, err)
		}
		if members, ok := o.Output.(object); ok {
			if f, ok := members["failure"].(object); ok {
				f["Cause"] = serviceDetails.ReplaceAllString(fmt.Sprint(f["Cause"]), "so it goes")
			}
		}
	}
	return o
}

// serviceStatus is the status with which Lambda answers an error of its own.
func serviceStatus(code string) int {
	switch code {
	case "TooManyRequestsException":
		return http.StatusTooManyRequests
	case "ResourceNotFoundException":
		return http.StatusNotFound
	}
	return http.StatusInternalServerError
}

// serveLambda serves functions as Lambda does. It returns the URL.
func serveLambda(t *testing.T, address string, functions map[string]statestest.Function) string {
	t.Helper()
	invoke := statestest.Invoker(functions)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /2015-03-31/functions/{name}/invocations", func(w http.ResponseWriter, r *http.Request) {
		var payload bytes.Buffer
		if _, err := payload.ReadFrom(r.Body); err != nil {
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), (soon+2)*time.Second)
		defer cancel()
		answer, err := invoke(ctx, r.PathValue("name"), payload.Bytes())
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Amzn-Requestid", rand.Text())
		failed, isFunction := errors.AsType[*engine.FunctionError](err)
		service, isService := errors.AsType[*engine.ServiceError](err)
		switch {
		case isFunction:
			w.Header().Set("X-Amz-Function-Error", "Unhandled")
			answer = failed.Payload
		case isService:
			w.Header().Set("X-Amzn-Errortype", service.Code)
			w.WriteHeader(serviceStatus(service.Code))
			answer = fmt.Appendf(nil, `{"Type":"User","message":%q}`, service.Message)
		}
		w.Write(answer) //nolint:errcheck // whoever asked may have gone, by time-out
	})
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}}
	server.Start()
	t.Cleanup(server.Close)
	return server.URL
}
