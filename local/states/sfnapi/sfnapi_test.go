package sfnapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"latchkey/integration/clitest"
	"latchkey/local/pocket"
	"latchkey/local/states/asl"
	"latchkey/local/states/engine"
	"latchkey/local/states/journal"
	"latchkey/local/states/sfnapi"
	"latchkey/local/states/statestest"
)

const definition = `{"StartAt": "Check", "States": {
	"Check": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "TimeoutSeconds": 30,
		"Parameters": {"FunctionName": "check", "Payload.$": "$"}, "ResultPath": "$.check", "ResultSelector": {"ok.$": "$.Payload.ok"}, "Next": "Each",
		"Retry": [{"ErrorEquals": ["BUSY"], "IntervalSeconds": 1}], "Catch": [{"ErrorEquals": ["KEY_DISABLED"], "Next": "Disabled"}]},
	"Each": {"Type": "Map", "ItemsPath": "$.items", "ResultPath": null, "Next": "Ask",
		"ItemProcessor": {"StartAt": "Item", "States": {"Item": {"Type": "Pass", "End": true}}}},
	"Ask": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken", "TimeoutSeconds": 3600, "HeartbeatSeconds": 1800,
		"Parameters": {"FunctionName": "ask", "Payload": {"token.$": "$$.Task.Token"}}, "End": true},
	"Disabled": {"Type": "Fail", "Error": "KEY_DISABLED", "Cause": "Enable the key."}}}`

// service is an engine with its API.
type service struct {
	*engine.Engine
	handler http.Handler
	client  *sfn.Client

	mu    sync.Mutex
	token string
}

func newService(t *testing.T) *service {
	t.Helper()
	s := &service{}
	functions := map[string]statestest.Function{
		"check": func(_ context.Context, payload json.RawMessage) (any, error) {
			if strings.Contains(string(payload), "disabled") {
				return nil, statestest.Fails("KEY_DISABLED")
			}
			return map[string]bool{"ok": true}, nil
		},
		"ask": func(_ context.Context, payload json.RawMessage) (any, error) {
			var in struct{ Token string }
			err := json.Unmarshal(payload, &in)
			s.mu.Lock()
			defer s.mu.Unlock()
			s.token = in.Token
			return nil, err
		},
	}
	log := slog.New(slog.DiscardHandler)
	s.Engine = engine.New(engine.Config{
		Journal: journal.Memory(), Machines: map[string]*asl.Machine{"rotate-key": statestest.Parse(t, "rotate-key.asl.json", definition)},
		Invoke: statestest.Invoker(functions), Now: time.Now, Rand: rand.NewPCG(1, 2), Log: log,
	})
	s.handler = sfnapi.Handler(s.Engine, log)
	s.client = sfn.New(sfn.Options{
		Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", ""),
		HTTPClient: &http.Client{Transport: pocket.Transport(s.handler)}, Retryer: aws.NopRetryer{},
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *service) lastToken() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.token
}

func (s *service) start(t *testing.T, name, input string) string {
	t.Helper()
	out, err := s.client.StartExecution(t.Context(), &sfn.StartExecutionInput{
		StateMachineArn: aws.String(s.MachineARN("rotate-key")), Name: aws.String(name), Input: aws.String(input),
	})
	if err != nil {
		t.Fatal(err)
	}
	return *out.ExecutionArn
}

func TestClient_sees_an_execution_from_start_to_end(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		arn := s.start(t, "x", `{"items": [1]}`)
		time.Sleep(1500 * time.Millisecond)
		synctest.Wait()
		if _, err := s.client.SendTaskHeartbeat(t.Context(), &sfn.SendTaskHeartbeatInput{TaskToken: aws.String(s.lastToken())}); err != nil {
			t.Error(err)
		}
		_, err := s.client.SendTaskSuccess(t.Context(), &sfn.SendTaskSuccessInput{TaskToken: aws.String(s.lastToken()), Output: aws.String(`"yes"`)})
		if err != nil {
			t.Error(err)
		}
		x, err := s.client.DescribeExecution(t.Context(), &sfn.DescribeExecutionInput{ExecutionArn: aws.String(arn)})
		if err != nil {
			t.Fatal(err)
		}
		if x.Status != types.ExecutionStatusSucceeded || aws.ToString(x.Output) != `"yes"` || aws.ToString(x.Input) != `{"items": [1]}` ||
			x.StopDate.Sub(*x.StartDate) != 1500*time.Millisecond || x.RedriveStatus != types.ExecutionRedriveStatusNotRedrivable {
			t.Errorf("%+v", x)
		}
		if diff := cmp.Diff(wantEvents, events(t, s, arn)); diff != "" {
			t.Errorf("history (-want +got):\n%s", diff)
		}
	})
}

// wantEvents are type, previous event and what its details say.
var wantEvents = []string{
	"ExecutionStarted 0",
	"TaskStateEntered 0 Check",
	"TaskScheduled 2 lambda invoke 30",
	"TaskStarted 3 lambda invoke",
	"TaskSucceeded 4 lambda invoke",
	"TaskStateExited 5 Check",
	"MapStateEntered 6 Each",
	"MapStateStarted 7 1",
	"MapIterationStarted 8 Each",
	"PassStateEntered 9 Item",
	"PassStateExited 10 Item",
	"MapIterationSucceeded 11 Each",
	"MapStateSucceeded 12",
	"MapStateExited 13 Each",
	"TaskStateEntered 14 Ask",
	"TaskScheduled 15 lambda invoke.waitForTaskToken 3600",
	"TaskStarted 16 lambda invoke.waitForTaskToken",
	"TaskSubmitted 17 lambda invoke.waitForTaskToken",
	"TaskSucceeded 18 lambda invoke.waitForTaskToken",
	"TaskStateExited 19 Ask",
	"ExecutionSucceeded 20 \"yes\"",
}

func events(t *testing.T, s *service, arn string) []string {
	t.Helper()
	var all []string
	pages := sfn.NewGetExecutionHistoryPaginator(s.client, &sfn.GetExecutionHistoryInput{ExecutionArn: aws.String(arn), MaxResults: 4})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, ev := range page.Events {
			all = append(all, strings.Join(append([]string{string(ev.Type), itoa(ev.PreviousEventId)}, said(ev)...), " "))
		}
	}
	return all
}

func itoa(n int64) string {
	b, _ := json.Marshal(n)
	return string(b)
}

// said reads the typed details that the SDK has decoded.
func said(ev types.HistoryEvent) []string {
	switch {
	case ev.StateEnteredEventDetails != nil:
		return []string{*ev.StateEnteredEventDetails.Name}
	case ev.StateExitedEventDetails != nil:
		return []string{*ev.StateExitedEventDetails.Name}
	case ev.TaskScheduledEventDetails != nil:
		d := ev.TaskScheduledEventDetails
		return []string{*d.ResourceType, *d.Resource, itoa(*d.TimeoutInSeconds)}
	case ev.TaskStartedEventDetails != nil:
		return []string{*ev.TaskStartedEventDetails.ResourceType, *ev.TaskStartedEventDetails.Resource}
	case ev.TaskSubmittedEventDetails != nil:
		return []string{*ev.TaskSubmittedEventDetails.ResourceType, *ev.TaskSubmittedEventDetails.Resource}
	case ev.TaskSucceededEventDetails != nil:
		return []string{*ev.TaskSucceededEventDetails.ResourceType, *ev.TaskSucceededEventDetails.Resource}
	case ev.MapStateStartedEventDetails != nil:
		return []string{itoa(int64(ev.MapStateStartedEventDetails.Length))}
	case ev.MapIterationStartedEventDetails != nil:
		return []string{*ev.MapIterationStartedEventDetails.Name}
	case ev.MapIterationSucceededEventDetails != nil:
		return []string{*ev.MapIterationSucceededEventDetails.Name}
	case ev.ExecutionSucceededEventDetails != nil:
		return []string{*ev.ExecutionSucceededEventDetails.Output}
	}
	return nil
}

func TestClient_decodes_every_refusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		arn := s.start(t, "x", `{"items": []}`)
		synctest.Wait()
		ctx := t.Context()
		start := func(machine, name, input string) error {
			_, err := s.client.StartExecution(ctx, &sfn.StartExecutionInput{StateMachineArn: aws.String(machine), Name: aws.String(name), Input: aws.String(input)})
			return err
		}
		send := func(token string) error {
			_, err := s.client.SendTaskSuccess(ctx, &sfn.SendTaskSuccessInput{TaskToken: aws.String(token), Output: aws.String("{}")})
			return err
		}
		token := s.lastToken()
		if err := send(token); err != nil {
			t.Fatal(err)
		}
		_, notThere := s.client.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: aws.String(arn + "y")})
		_, redriven := s.client.RedriveExecution(ctx, &sfn.RedriveExecutionInput{ExecutionArn: aws.String(arn)})
		is := func(err error, want any) {
			t.Helper()
			if !errors.As(err, want) {
				t.Errorf("got %v, want %T", err, want)
			}
		}
		machine := s.MachineARN("rotate-key")
		is(start(machine, "x", `{"other": 1}`), new(*types.ExecutionAlreadyExists))
		is(start(machine, "a b", `{}`), new(*types.InvalidName))
		is(start(machine, "y", `{`), new(*types.InvalidExecutionInput))
		is(start(machine+"y", "y", `{}`), new(*types.StateMachineDoesNotExist))
		is(start("arn:aws:iam::1:role/x", "y", `{}`), new(*types.InvalidArn))
		is(notThere, new(*types.ExecutionDoesNotExist))
		is(redriven, new(*types.ExecutionNotRedrivable))
		is(send(token), new(*types.TaskTimedOut))
		is(send("nonsense"), new(*types.InvalidToken))
		is(send("dGVzdC9ub2JvZHkvMC8xL3M"), new(*types.TaskDoesNotExist))
	})
}

func TestClient_stops_redrives_lists_and_describes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		ctx := t.Context()
		failed := s.start(t, "disabled", `{"state": "disabled"}`)
		running := s.start(t, "x", `{"items": []}`)
		synctest.Wait()
		if _, err := s.client.StopExecution(ctx, &sfn.StopExecutionInput{ExecutionArn: aws.String(running), Error: aws.String("OPERATOR"), Cause: aws.String("c")}); err != nil {
			t.Error(err)
		}
		list, err := s.client.ListExecutions(ctx, &sfn.ListExecutionsInput{StateMachineArn: aws.String(s.MachineARN("rotate-key")), StatusFilter: types.ExecutionStatusFailed})
		if err != nil || len(list.Executions) != 1 || *list.Executions[0].ExecutionArn != failed {
			t.Errorf("%+v, %v", list, err)
		}
		x, err := s.client.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: aws.String(failed)})
		if err != nil || aws.ToString(x.Error) != "KEY_DISABLED" || aws.ToString(x.Cause) != "Enable the key." {
			t.Errorf("%+v, %v", x, err)
		}
		if out, err := s.client.RedriveExecution(ctx, &sfn.RedriveExecutionInput{ExecutionArn: aws.String(running)}); err != nil || out.RedriveDate == nil {
			t.Error(err)
		}
		machines, err := s.client.ListStateMachines(ctx, &sfn.ListStateMachinesInput{})
		if err != nil || len(machines.StateMachines) != 1 || machines.StateMachines[0].Type != types.StateMachineTypeStandard {
			t.Errorf("%+v, %v", machines, err)
		}
		m, err := s.client.DescribeStateMachine(ctx, &sfn.DescribeStateMachineInput{StateMachineArn: machines.StateMachines[0].StateMachineArn})
		if err != nil || *m.Definition != definition {
			t.Errorf("%+v, %v", m, err)
		}
		of, err := s.client.DescribeStateMachineForExecution(ctx, &sfn.DescribeStateMachineForExecutionInput{ExecutionArn: aws.String(running)})
		if err != nil || *of.Definition != definition {
			t.Errorf("%+v, %v", of, err)
		}
		v, err := s.client.ValidateStateMachineDefinition(ctx, &sfn.ValidateStateMachineDefinitionInput{Definition: aws.String(`{"StartAt": "A", "States": {}}`)})
		if err != nil || v.Result != types.ValidateStateMachineDefinitionResultCodeFail || len(v.Diagnostics) != 1 {
			t.Errorf("%+v, %v", v, err)
		}
	})
}

func TestHistory_without_data_holds_none(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		arn := s.start(t, "x", `{"items": [], "mark": "hunter2"}`)
		synctest.Wait()
		out, err := s.client.GetExecutionHistory(t.Context(), &sfn.GetExecutionHistoryInput{ExecutionArn: aws.String(arn), IncludeExecutionData: aws.Bool(false)})
		if err != nil {
			t.Fatal(err)
		}
		if text, _ := json.Marshal(out.Events); strings.Contains(string(text), "hunter2") || !strings.Contains(string(text), "Check") {
			t.Errorf("%s", text)
		}
	})
}

func TestHandler_refuses_what_is_not_its_protocol(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		for name, change := range map[string]func(*http.Request){
			"another method":     func(r *http.Request) { r.Method = http.MethodGet },
			"another media type": func(r *http.Request) { r.Header.Set("Content-Type", "application/json") },
			"another service":    func(r *http.Request) { r.Header.Set("X-Amz-Target", "DynamoDB_20120810.GetItem") },
			"an operation that is not here": func(r *http.Request) {
				r.Header.Set("X-Amz-Target", "AWSStepFunctions.CreateStateMachine")
			},
			"a body that is no JSON": func(r *http.Request) { r.Body = http.NoBody },
		} {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader("{}"))
			r.Header.Set("Content-Type", "application/x-amz-json-1.0")
			r.Header.Set("X-Amz-Target", "AWSStepFunctions.ListStateMachines")
			change(r)
			w := httptest.NewRecorder()
			s.handler.ServeHTTP(w, r)
			if w.Code != http.StatusBadRequest {
				t.Errorf("%s: %d %s", name, w.Code, w.Body)
			}
		}
	})
}

func TestClient_hears_of_a_stopped_engine(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	e := engine.New(engine.Config{
		Journal: journal.Memory(), Machines: map[string]*asl.Machine{"rotate-key": statestest.Parse(t, "x", definition)},
		Invoke: statestest.Invoker(nil), Now: time.Now, Rand: rand.NewPCG(1, 2), Log: log,
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := e.Run(ctx); err != nil {
		t.Fatal(err)
	}
	client := sfn.New(sfn.Options{
		Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", ""),
		HTTPClient: &http.Client{Transport: pocket.Transport(sfnapi.Handler(e, log))}, Retryer: aws.NopRetryer{},
	})
	_, err := client.StartExecution(t.Context(), &sfn.StartExecutionInput{StateMachineArn: aws.String(e.MachineARN("rotate-key"))})
	if failure, ok := errors.AsType[smithy.APIError](err); !ok || failure.ErrorCode() != "InternalFailure" {
		t.Errorf("got %v", err)
	}
}

// TestCLI runs the AWS CLI over the network.
func TestCLI(t *testing.T) {
	program := clitest.Program(t, "aws")
	s := newService(t)
	server := httptest.NewServer(s.handler)
	defer server.Close()
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), program, append([]string{"stepfunctions", "--endpoint-url", server.URL, "--output", "text"}, args...)...)
		cmd.Env = append(cmd.Environ(), "AWS_ACCESS_KEY_ID=AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY=secret", "AWS_DEFAULT_REGION=us-east-1", "AWS_CONFIG_FILE=/dev/null")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("aws %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return strings.TrimSpace(string(out))
	}
	arn := run("start-execution", "--state-machine-arn", s.MachineARN("rotate-key"), "--name", "cli", "--input", `{"state": "disabled"}`, "--query", "executionArn")
	described := ""
	for range 20 { // each call takes a while, so the execution has long ended
		if described = run("describe-execution", "--execution-arn", arn, "--query", "[status,error]"); !strings.HasPrefix(described, "RUNNING") {
			break
		}
	}
	if described != "FAILED\tKEY_DISABLED" {
		t.Errorf("describe-execution: %q", described)
	}
	types := run("get-execution-history", "--execution-arn", arn, "--query", "events[].type")
	want := "ExecutionStarted TaskStateEntered TaskScheduled TaskStarted TaskFailed TaskStateExited FailStateEntered ExecutionFailed"
	if got := strings.Join(strings.Fields(types), " "); got != want {
		t.Errorf("get-execution-history:\n%s, want\n%s", got, want)
	}
	if got := run("list-executions", "--state-machine-arn", s.MachineARN("rotate-key"), "--query", "executions[].name"); got != "cli" {
		t.Errorf("list-executions: %q", got)
	}
	if got := run("redrive-execution", "--execution-arn", arn); got == "" {
		t.Error("redrive-execution said nothing")
	}
	theCLIStops(t, run, s.MachineARN("rotate-key"))
}

// theCLIStops looks for what runs, stops it, and lists what was stopped, a page at a time.
func theCLIStops(t *testing.T, run func(args ...string) string, machine string) {
	t.Helper()
	for _, name := range []string{"one", "two", "three"} { // each waits for its token
		run("start-execution", "--state-machine-arn", machine, "--name", name, "--input", `{"items": []}`)
	}
	list := func(status string, more ...string) []string {
		return strings.Fields(run(append([]string{
			"list-executions", "--state-machine-arn", machine, "--status-filter", status, "--query", "executions[].executionArn",
		}, more...)...))
	}
	running := list("RUNNING", "--page-size", "1")
	if len(running) != 3 {
		t.Fatalf("list-executions finds %q", running)
	}
	if first := list("RUNNING", "--max-items", "1"); len(first) == 0 || first[0] != running[0] {
		t.Errorf("list-executions --max-items 1: %q", first)
	}
	for _, arn := range running[:2] {
		run("stop-execution", "--execution-arn", arn, "--error", "OPERATOR", "--cause", "a test")
	}
	if got := list("ABORTED"); len(got) != 2 {
		t.Errorf("stopped are %q", got)
	}
	for args, want := range map[string]string{
		"describe-execution --execution-arn " + running[0] + " --query [status,error,cause,redriveStatus]":              "ABORTED\tOPERATOR\ta test\tREDRIVABLE",
		"get-execution-history --execution-arn " + running[0] + " --reverse-order --query events[0].type --max-items 1": "ExecutionAborted",
		"describe-state-machine-for-execution --execution-arn " + running[0] + " --query name":                          "rotate-key",
		"describe-state-machine --state-machine-arn " + machine + " --query [name,status]":                              "rotate-key\tACTIVE",
		"list-state-machines --query stateMachines[].name":                                                              "rotate-key",
	} {
		if got := run(strings.Fields(args)...); !strings.HasPrefix(got, want) {
			t.Errorf("aws stepfunctions %s: %q", args, got)
		}
	}
	run("redrive-execution", "--execution-arn", running[0])
	if got := list("RUNNING"); len(got) != 2 {
		t.Errorf("after one was redriven %q run", got)
	}
}
