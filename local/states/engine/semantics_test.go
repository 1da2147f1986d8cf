package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/local/states/engine"
	"latchkey/local/states/statestest"
)

// machine is a definition of the states given, beginning at the first.
func machine(t testing.TB, startAt, states string) statestest.Run {
	t.Helper()
	return statestest.Run{Machine: statestest.Parse(t, "test.asl.json", `{"StartAt": "`+startAt+`", "States": {`+states+`}}`)}
}

const invoke = `"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "Parameters": {"FunctionName": "work", "Payload.$": "$"}`

func seconds(n ...float64) []time.Duration {
	var all []time.Duration
	for _, s := range n {
		all = append(all, time.Duration(s*float64(time.Second)))
	}
	return all
}

func TestExecution_follows_the_specification(t *testing.T) {
	fails := statestest.Fails
	tests := map[string]struct {
		start, states string
		input         string
		work          statestest.Function
		wantPath      []string
		wantOutput    string
		wantError     string
		wantWaits     []time.Duration
	}{
		"pass replaces its input by its result": {
			start: "A", states: `"A": {"Type": "Pass", "Result": {"a": 1}, "End": true}`,
			wantPath: []string{"A"}, wantOutput: `{"a":1}`,
		},
		"pass puts its parameters at the result path": {
			start:  "A",
			states: `"A": {"Type": "Pass", "InputPath": "$.in", "Parameters": {"b.$": "$.b", "n.$": "States.MathAdd($.b, 1)"}, "ResultPath": "$.out.deep", "End": true}`,
			input:  `{"in": {"b": 2}}`, wantPath: []string{"A"}, wantOutput: `{"in":{"b":2},"out":{"deep":{"b":2,"n":3}}}`,
		},
		"a null result path discards the result": {
			start: "A", states: `"A": {"Type": "Pass", "Result": 1, "ResultPath": null, "End": true}`,
			input: `{"a": true}`, wantPath: []string{"A"}, wantOutput: `{"a":true}`,
		},
		"null input and output paths are empty objects": {
			start: "A", states: `"A": {"Type": "Pass", "InputPath": null, "Next": "B"}, "B": {"Type": "Succeed", "OutputPath": null}`,
			input: `{"a": true}`, wantPath: []string{"A", "B"}, wantOutput: `{}`,
		},
		"an output path that finds nothing ends the execution": {
			start: "A", states: `"A": {"Type": "Pass", "OutputPath": "$.b", "End": true}`,
			wantPath: []string{"A"}, wantError: "States.Runtime",
		},
		"a result path through what is no object cannot be caught": {
			start: "A", states: `"A": {"Type": "Pass", "ResultPath": "$.a.b", "End": true}`, input: `{"a": 1}`,
			wantPath: []string{"A"}, wantError: "States.ResultPathMatchFailure",
		},
		"waits are as long as they say": {
			start: "A",
			states: `"A": {"Type": "Wait", "Seconds": 90, "Next": "B"}, "B": {"Type": "Wait", "SecondsPath": "$.s", "Next": "C"},
				"C": {"Type": "Wait", "TimestampPath": "$.t", "Next": "D"}, "D": {"Type": "Wait", "Timestamp": "1999-01-01T00:00:00Z", "End": true}`,
			input:    `{"s": 3600, "t": "2000-01-01T02:00:00Z"}`, // a bubble begins at midnight, 2000-01-01
			wantPath: []string{"A", "B", "C", "D"}, wantOutput: `{"s": 3600, "t": "2000-01-01T02:00:00Z"}`,
			wantWaits: seconds(90, 3600, 7200-3690, 0),
		},
		"a choice takes the first rule that holds": {
			start: "A",
			states: `"A": {"Type": "Choice", "Choices": [{"Variable": "$.n", "NumericGreaterThan": 5, "Next": "Big"},
				{"Variable": "$.n", "NumericGreaterThan": 1, "Next": "Small"}], "Default": "None"},
				"Big": {"Type": "Succeed"}, "Small": {"Type": "Succeed"}, "None": {"Type": "Fail", "Error": "None", "Cause": "why"}`,
			input: `{"n": 3}`, wantPath: []string{"A", "Small"}, wantOutput: `{"n":3}`,
		},
		"a choice without a rule that holds fails": {
			start:  "A",
			states: `"A": {"Type": "Choice", "Choices": [{"Variable": "$.n", "IsPresent": true, "Next": "B"}]}, "B": {"Type": "Succeed"}`,
			input:  `{}`, wantPath: []string{"A"}, wantError: "States.NoChoiceMatched",
		},
		"a choice on what is not there is a mistake": {
			start:  "A",
			states: `"A": {"Type": "Choice", "Choices": [{"Variable": "$.n", "StringEquals": "x", "Next": "B"}], "Default": "B"}, "B": {"Type": "Succeed"}`,
			input:  `{}`, wantPath: []string{"A"}, wantError: "States.Runtime",
		},
		"a fail state's error and cause may be computed": {
			start: "A", states: `"A": {"Type": "Fail", "ErrorPath": "$.e", "CausePath": "States.Format('node {}', $.n)"}`,
			input: `{"e": "Broken", "n": 7}`, wantPath: []string{"A"}, wantError: "Broken",
		},
		"a task's result has the shape of lambda:invoke": {
			start:  "A",
			states: `"A": {` + invoke + `, "ResultSelector": {"got.$": "$.Payload.a", "status.$": "$.StatusCode", "v.$": "$.ExecutedVersion"}, "ResultPath": "$.r", "End": true}`,
			input:  `{"in": 1}`, work: statestest.Script(map[string]any{"a": "<b>"}),
			wantPath: []string{"A"}, wantOutput: `{"in":1,"r":{"got":"<b>","status":200,"v":"$LATEST"}}`,
		},
		"a function by its ARN answers as it is": {
			start:  "A",
			states: `"A": {"Type": "Task", "Resource": "arn:aws:lambda:us-east-1:123456789012:function:work", "End": true}`,
			input:  `{"in": 1}`, work: echo, wantPath: []string{"A"}, wantOutput: `{"in":1}`,
		},
		"a retry backs off by its rate up to its longest delay": {
			start: "A",
			states: `"A": {` + invoke + `, "End": true, "OutputPath": "$.Payload",
				"Retry": [{"ErrorEquals": ["BUSY"], "IntervalSeconds": 2, "BackoffRate": 3, "MaxDelaySeconds": 10, "MaxAttempts": 5}]}`,
			work:     statestest.Script(fails("BUSY"), fails("BUSY"), fails("BUSY"), "done"),
			wantPath: []string{"A"}, wantOutput: `"done"`, wantWaits: seconds(2, 6, 10),
		},
		"attempts are counted for each entry of Retry": {
			start: "A",
			states: `"A": {` + invoke + `, "End": true, "OutputPath": "$.Payload", "Retry": [
				{"ErrorEquals": ["A"], "IntervalSeconds": 1, "MaxAttempts": 2}, {"ErrorEquals": ["States.ALL"], "IntervalSeconds": 5, "MaxAttempts": 1}]}`,
			work:     statestest.Script(fails("A"), fails("B"), fails("A"), "done"),
			wantPath: []string{"A"}, wantOutput: `"done"`, wantWaits: seconds(1, 5, 2),
		},
		"attempts that are used up lead to the catch, not to the next retry": {
			start: "A",
			states: `"A": {` + invoke + `, "End": true, "Retry": [{"ErrorEquals": ["A"], "MaxAttempts": 1}, {"ErrorEquals": ["States.ALL"]}],
				"Catch": [{"ErrorEquals": ["States.TaskFailed"], "Next": "B", "ResultPath": "$.error"}]}, "B": {"Type": "Pass", "OutputPath": "$.error.Error", "End": true}`,
			work: statestest.Script(fails("A")), wantPath: []string{"A", "B"}, wantOutput: `"A"`, wantWaits: seconds(1),
		},
		"retries begin anew when a state is entered again": {
			start: "A",
			states: `"A": {` + invoke + `, "Next": "B", "ResultPath": null, "Retry": [{"ErrorEquals": ["E"], "MaxAttempts": 1}]},
				"B": {"Type": "Choice", "Choices": [{"Variable": "$.again", "IsPresent": true, "Next": "D"}], "Default": "C"},
				"C": {"Type": "Pass", "Result": true, "ResultPath": "$.again", "Next": "A"}, "D": {"Type": "Succeed"}`,
			work:     statestest.Script(fails("E"), 1, fails("E"), 2),
			wantPath: []string{"A", "B", "C", "A", "B", "D"}, wantOutput: `{"again":true}`, wantWaits: seconds(1, 1),
		},
		"a catch hands on error and cause": {
			start: "A",
			states: `"A": {` + invoke + `, "End": true, "Catch": [{"ErrorEquals": ["KEY_DISABLED"], "Next": "B"}]},
				"B": {"Type": "Pass", "Parameters": {"e.$": "$.Error", "m.$": "States.StringToJson($.Cause)"}, "OutputPath": "$.m.errorType", "End": true}`,
			work: statestest.Script(fails("KEY_DISABLED")), wantPath: []string{"A", "B"}, wantOutput: `"KEY_DISABLED"`,
		},
		"a wrapped error has lost its name": {
			start:  "A",
			states: `"A": {` + invoke + `, "End": true, "Catch": [{"ErrorEquals": ["KEY_DISABLED"], "Next": "B"}]}, "B": {"Type": "Succeed"}`,
			work:   statestest.Script(errors.New("KEY_DISABLED")), wantPath: []string{"A"}, wantError: "errorString",
		},
		"a function that is not there": {
			start: "A", states: `"A": {` + strings.Replace(invoke, "work", "nobody", 1) + `, "End": true}`,
			wantPath: []string{"A"}, wantError: "Lambda.ResourceNotFoundException",
		},
		"throttling is retried by its name": {
			start: "A",
			states: `"A": {` + invoke + `, "End": true, "OutputPath": "$.Payload",
				"Retry": [{"ErrorEquals": ["Lambda.TooManyRequestsException"]}]}`,
			work:     statestest.Script(&engine.ServiceError{Code: "TooManyRequestsException", Message: "slow down"}, "ok"),
			wantPath: []string{"A"}, wantOutput: `"ok"`, wantWaits: seconds(1),
		},
		"a refused invocation is a matter of permissions": {
			start:  "A",
			states: `"A": {` + invoke + `, "End": true, "Catch": [{"ErrorEquals": ["States.Permissions"], "Next": "B"}]}, "B": {"Type": "Succeed"}`,
			work:   statestest.Script(&engine.ServiceError{Code: "AccessDeniedException", Message: "no"}), wantPath: []string{"A", "B"},
			wantOutput: `{"Cause":"no","Error":"Lambda.AccessDeniedException"}`,
		},
		"a task that takes too long": {
			start: "A",
			states: `"A": {` + invoke + `, "TimeoutSeconds": 60, "End": true, "Retry": [{"ErrorEquals": ["States.TaskFailed"]}, {"ErrorEquals": ["States.Timeout"], "MaxAttempts": 1}],
				"Catch": [{"ErrorEquals": ["States.ALL"], "Next": "B"}]}, "B": {"Type": "Succeed"}`,
			work:     statestest.After(2*time.Minute, statestest.Script("late")),
			wantPath: []string{"A", "B"}, wantOutput: `{"Cause":"","Error":"States.Timeout"}`, wantWaits: seconds(1),
		},
		"a parameter that is not there can be caught": {
			start: "A",
			states: `"A": {` + strings.Replace(invoke, `"$"`, `"$.x"`, 1) + `, "End": true,
				"Catch": [{"ErrorEquals": ["States.ParameterPathFailure"], "Next": "B", "ResultPath": null}]}, "B": {"Type": "Succeed"}`,
			wantPath: []string{"A", "B"}, wantOutput: `{}`,
		},
		"a function that fails within a template can be caught": {
			start: "A",
			states: `"A": {` + strings.Replace(invoke, `"$"`, `"States.StringToJson('{')"`, 1) + `, "End": true,
				"Catch": [{"ErrorEquals": ["States.IntrinsicFailure"], "Next": "B", "ResultPath": null}]}, "B": {"Type": "Succeed"}`,
			wantPath: []string{"A", "B"}, wantOutput: `{}`,
		},
		"a result that is too large is caught by nothing general": {
			start: "A",
			states: `"A": {` + invoke + `, "End": true, "Retry": [{"ErrorEquals": ["States.ALL"]}],
				"Catch": [{"ErrorEquals": ["States.ALL"], "Next": "B"}]}, "B": {"Type": "Succeed"}`,
			work: statestest.Script(strings.Repeat("x", 256<<10)), wantPath: []string{"A"}, wantError: "States.DataLimitExceeded",
		},
		"the context object": {
			start: "A",
			states: `"A": {"Type": "Pass", "Parameters": {"e.$": "$$.Execution.Name", "id.$": "$$.Execution.Id", "in.$": "$$.Execution.Input.x",
				"at.$": "$$.Execution.StartTime", "s.$": "$$.State.Name", "t.$": "$$.State.EnteredTime", "r.$": "$$.State.RetryCount",
				"m.$": "$$.StateMachine.Name", "role.$": "$$.Execution.RoleArn"}, "End": true}`,
			input: `{"x": 5}`, wantPath: []string{"A"},
			wantOutput: `{"at":"2000-01-01T00:00:00.000Z","e":"test","id":"arn:aws:states:us-east-1:123456789012:execution:test:test","in":5,
				"m":"test","r":0,"role":"arn:aws:iam::123456789012:role/latchkey-workflows","s":"A","t":"2000-01-01T00:00:00.000Z"}`,
		},
		"map works on each item": {
			start: "A",
			states: `"A": {"Type": "Map", "ItemsPath": "$.items", "MaxConcurrency": 2, "ItemSelector": {"i.$": "$$.Map.Item.Index", "v.$": "$$.Map.Item.Value", "k.$": "$.k"},
				"ItemProcessor": {"ProcessorConfig": {"Mode": "INLINE"}, "StartAt": "B", "States": {"B": {"Type": "Wait", "Seconds": 10, "End": true}}},
				"ResultPath": "$.out", "OutputPath": "$.out", "End": true}`,
			input: `{"items": ["x", "y", "z"], "k": true}`, wantPath: []string{"A", "B", "B", "B"},
			wantOutput: `[{"i":0,"k":true,"v":"x"},{"i":1,"k":true,"v":"y"},{"i":2,"k":true,"v":"z"}]`, wantWaits: seconds(10, 10, 10),
		},
		"map over nothing": {
			start: "A", states: `"A": {"Type": "Map", "Iterator": {"StartAt": "B", "States": {"B": {"Type": "Pass", "End": true}}}, "End": true}`,
			input: `[]`, wantPath: []string{"A"}, wantOutput: `[]`,
		},
		"map over what is no list": {
			start: "A", states: `"A": {"Type": "Map", "Iterator": {"StartAt": "B", "States": {"B": {"Type": "Pass", "End": true}}}, "End": true}`,
			input: `{}`, wantPath: []string{"A"}, wantError: "States.Runtime",
		},
		"one iteration that fails fails the map, which may be retried": {
			start: "A",
			states: `"A": {"Type": "Map", "MaxConcurrency": 1, "Iterator": {"StartAt": "B", "States": {"B": {` + invoke + `, "OutputPath": "$.Payload", "End": true}}},
				"Retry": [{"ErrorEquals": ["E"], "MaxAttempts": 1}], "End": true}`,
			input: `[1, 2]`, work: statestest.Script("one", fails("E"), "one", "two"),
			wantPath: []string{"A", "B", "B", "B", "B"}, wantOutput: `["one","two"]`, wantWaits: seconds(1),
		},
		"parallel branches get the same input and join": {
			start: "A",
			states: `"A": {"Type": "Parallel", "Branches": [{"StartAt": "B", "States": {"B": {"Type": "Wait", "Seconds": 60, "End": true}}},
				{"StartAt": "C", "States": {"C": {"Type": "Pass", "Result": 2, "End": true}}}], "ResultSelector": {"first.$": "$[0]", "second.$": "$[1]"}, "End": true}`,
			input: `{"n": 1}`, wantPath: []string{"A", "B", "C"}, wantOutput: `{"first":{"n":1},"second":2}`, wantWaits: seconds(60),
		},
		"a branch that fails stops the others": {
			start: "A",
			states: `"A": {"Type": "Parallel", "Branches": [{"StartAt": "B", "States": {"B": {"Type": "Wait", "Seconds": 3600, "End": true}}},
				{"StartAt": "C", "States": {"C": {"Type": "Fail", "Error": "E", "Cause": "c"}}}],
				"Catch": [{"ErrorEquals": ["States.BranchFailed"], "Next": "D"}], "End": true}, "D": {"Type": "Succeed"}`,
			wantPath: []string{"A", "B", "C", "D"}, wantOutput: `{"Cause":"c","Error":"E"}`,
		},
		"a loop that never waits ends at the history's limit": {
			start:  "A",
			states: `"A": {"Type": "Choice", "Choices": [{"Variable": "$.never", "IsPresent": true, "Next": "B"}], "Default": "A"}, "B": {"Type": "Succeed"}`,
			input:  `{}`, wantError: "States.Runtime",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			run := machine(t, tt.start, tt.states)
			run.Input, run.Functions = tt.input, map[string]statestest.Function{"work": tt.work}
			got := statestest.Execute(t, run)
			if tt.wantPath != nil {
				if diff := cmp.Diff(tt.wantPath, got.Path); diff != "" {
					t.Errorf("path (-want +got):\n%s", diff)
				}
			}
			if got.Error != tt.wantError {
				t.Errorf("error %q: %s, want %q", got.Error, got.Cause, tt.wantError)
			}
			if diff := cmp.Diff(compact(t, tt.wantOutput), compact(t, got.Output)); diff != "" {
				t.Errorf("output (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.wantWaits, got.Waits); diff != "" {
				t.Errorf("waits (-want +got):\n%s", diff)
			}
		})
	}
}

func echo(_ context.Context, payload json.RawMessage) (any, error) { return payload, nil }

func compact(t *testing.T, text string) any {
	t.Helper()
	if text == "" {
		return nil
	}
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}
