package asl_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/local/states/asl"
)

const (
	lambdaTask = `"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "Parameters": {"FunctionName": "f"}`
	tokenTask  = `"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken", "Parameters": {"FunctionName": "f", "Payload": {"t.$": "$$.Task.Token"}}`
	done       = `"Done": {"Type": "Succeed"}`
)

func states(s string) string { return `{"StartAt": "A", "States": {` + s + `}}` }

func TestParse_refuses_what_it_would_not_execute_as_written(t *testing.T) {
	tests := map[string]struct {
		definition string
		want       string // in the error
	}{
		"no JSON":                   {`{`, "test.asl.json: "},
		"not an object":             {`[]`, "the definition is not an object"},
		"more than one value":       {`{}{}`, "test.asl.json: "},
		"a placeholder":             {states(`"A": {` + strings.Replace(lambdaTask, `"f"`, `"${CheckFunctionArn}"`, 1) + `, "End": true}`), "${CheckFunctionArn} has not been substituted"},
		"no start":                  {`{"States": {` + done + `}}`, "has no StartAt"},
		"a start that is not there": {`{"StartAt": "B", "States": {` + done + `}}`, `StartAt names "B"`},
		"no states":                 {`{"StartAt": "A", "States": {}}`, "has no States"},
		"an unknown top field":      {`{"StartAt": "Done", "Staets": 1, "States": {` + done + `}}`, `the field "Staets"`},
		"another version":           {`{"StartAt": "Done", "Version": "2.0", "States": {` + done + `}}`, "Version is none of 1.0"},
		"JSONata":                   {`{"StartAt": "Done", "QueryLanguage": "JSONata", "States": {` + done + `}}`, "QueryLanguage is none of JSONPath"},
		"JSONata in a state":        {states(`"A": {"Type": "Pass", "QueryLanguage": "JSONata", "End": true}`), `state "A": QueryLanguage`},
		"variables":                 {states(`"A": {"Type": "Pass", "Assign": {"x": 1}, "End": true}`), `the field "Assign"`},
		"a field twice":             {states(`"A": {"Type": "Pass", "Next": "B", "Next": "Done"}, ` + done), `States > A has the name "Next" twice`},
		"a state twice":             {states(`"A": {"Type": "Succeed"}, "A": {"Type": "Succeed"}`), `States has the name "A" twice`},
		"a state of the same name within": {
			states(`"A": {"Type": "Parallel", "Branches": [{"StartAt": "A", "States": {"A": {"Type": "Succeed"}}}], "End": true}`), `state "A": there are two states of this name`,
		},
		"a long name":               {strings.ReplaceAll(states(`"A": {"Type": "Succeed"}`), `"A"`, `"`+strings.Repeat("ä", 81)+`"`), "has from 1 to 80 characters"},
		"an unknown type":           {states(`"A": {"Type": "Activity"}`), `state "A": there is no type of state "Activity"`},
		"an unknown field":          {states(`"A": {"Type": "Pass", "Retry": [], "End": true}`), `state "A": a Pass state has the field "Retry"`},
		"neither next nor end":      {states(`"A": {"Type": "Pass"}`), `state "A": a state has either`},
		"both next and end":         {states(`"A": {"Type": "Pass", "Next": "Done", "End": true}, ` + done), "either a Next or an End"},
		"an end that is no boolean": {states(`"A": {"Type": "Pass", "End": "yes"}`), "End is neither true nor false"},
		"a next that is not there":  {states(`"A": {"Type": "Pass", "Next": "B"}`), `state "A": it leads to "B"`},
		"a catch to nowhere":        {states(`"A": {` + lambdaTask + `, "End": true, "Catch": [{"ErrorEquals": ["E"], "Next": "B"}]}`), `it leads to "B"`},
		"a default to nowhere":      {states(`"A": {"Type": "Choice", "Choices": [{"Variable": "$.a", "IsNull": true, "Next": "Done"}], "Default": "B"}, ` + done), `it leads to "B"`},
		"a next out of a branch": {
			states(`"A": {"Type": "Parallel", "Branches": [{"StartAt": "B", "States": {"B": {"Type": "Pass", "Next": "Done"}}}], "Next": "Done"}, ` + done),
			`state "B": it leads to "Done", which is no state beside it`,
		},
		"a state nothing leads to": {states(`"A": {"Type": "Pass", "End": true}, "B": {"Type": "Pass", "Next": "A"}`), `state "B": nothing leads to it`},
		"a state that never ends":  {states(`"A": {"Type": "Pass", "Next": "B"}, "B": {"Type": "Pass", "Next": "A"}`), `state "A": it never leads to an end`},
		"another service":          {states(`"A": {"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage", "End": true}`), "is not supported"},
		"an SDK integration":       {states(`"A": {"Type": "Task", "Resource": "arn:aws:states:::aws-sdk:lambda:invoke", "End": true}`), "is not supported"},
		"another pattern of calls": {states(`"A": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke.sync", "End": true}`), "is not supported"},
		"no function":              {states(`"A": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "Parameters": {}, "End": true}`), "no FunctionName"},
		"no parameters":            {states(`"A": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "End": true}`), "has no Parameters"},
		"an argument of no effect": {states(`"A": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "Parameters": {"FunctionName": "f", "LogType": "Tail"}, "End": true}`), `"LogType"`},
		"an invocation that returns early": {
			states(`"A": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "Parameters": {"FunctionName": "f", "InvocationType": "Event"}, "End": true}`), "InvocationType is none of",
		},
		"a token that is not passed on": {
			states(`"A": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken", "Parameters": {"FunctionName": "f"}, "End": true}`), "nobody could end the task",
		},
		"a token where there is none":      {states(`"A": {"Type": "Pass", "Parameters": {"t.$": "$$.Task.Token"}, "End": true}`), "known only in the Parameters of a task that waits"},
		"an item where there is none":      {states(`"A": {"Type": "Pass", "Parameters": {"t.$": "$$.Map.Item.Value"}, "End": true}`), "known only in a Map state"},
		"an unknown part of the context":   {states(`"A": {"Type": "Pass", "Parameters": {"t.$": "$$.Execution.Owner"}, "End": true}`), "is not in the context object"},
		"a heartbeat nobody can send":      {states(`"A": {` + lambdaTask + `, "HeartbeatSeconds": 5, "End": true}`), "expected to send heartbeats"},
		"a heartbeat longer than all":      {states(`"A": {` + tokenTask + `, "HeartbeatSeconds": 60, "TimeoutSeconds": 60, "End": true}`), "not less than TimeoutSeconds"},
		"two time-outs":                    {states(`"A": {` + lambdaTask + `, "TimeoutSeconds": 60, "TimeoutSecondsPath": "$.t", "End": true}`), "both TimeoutSeconds and TimeoutSecondsPath"},
		"no time at all":                   {states(`"A": {` + lambdaTask + `, "TimeoutSeconds": 0, "End": true}`), "TimeoutSeconds is not an integer from 1"},
		"half a second":                    {states(`"A": {"Type": "Wait", "Seconds": 0.5, "End": true}`), "Seconds is not an integer"},
		"no wait":                          {states(`"A": {"Type": "Wait", "End": true}`), "exactly one of Seconds"},
		"two waits":                        {states(`"A": {"Type": "Wait", "Seconds": 1, "SecondsPath": "$.s", "End": true}`), "exactly one of Seconds"},
		"a time that is none":              {states(`"A": {"Type": "Wait", "Timestamp": "tomorrow", "End": true}`), "is not a timestamp"},
		"a result path into many":          {states(`"A": {"Type": "Pass", "ResultPath": "$.a[*]", "End": true}`), "is not a reference path"},
		"a result path into the context":   {states(`"A": {"Type": "Pass", "ResultPath": "$$.a", "End": true}`), "cannot be written"},
		"a path that is none":              {states(`"A": {"Type": "Pass", "InputPath": "a.b", "End": true}`), "does not begin with $"},
		"a path with a function":           {states(`"A": {"Type": "Pass", "InputPath": "$.a.length()", "End": true}`), "InputPath:"},
		"parameters that are no object":    {states(`"A": {"Type": "Pass", "Parameters": "$.a", "End": true}`), "a payload template is an object"},
		"a member given twice":             {states(`"A": {"Type": "Pass", "Parameters": {"a": 1, "a.$": "$.a"}, "End": true}`), "both as it is and computed"},
		"a computed number":                {states(`"A": {"Type": "Pass", "Parameters": {"a.$": 1}, "End": true}`), "is not a string"},
		"an unknown function":              {states(`"A": {"Type": "Pass", "Parameters": {"a.$": "States.MathRandom(1, 2)"}, "End": true}`), `no intrinsic function "States.MathRandom"`},
		"a function with too few":          {states(`"A": {"Type": "Pass", "Parameters": {"a.$": "States.MathAdd(1)"}, "End": true}`), "does not take 1 arguments"},
		"no choices":                       {states(`"A": {"Type": "Choice", "Default": "Done"}, ` + done), "has no Choices"},
		"a choice that ends":               {states(`"A": {"Type": "Choice", "Choices": [{"Variable": "$.a", "IsNull": true, "Next": "Done"}], "End": true}, ` + done), `the field "End"`},
		"a choice without a next":          {states(`"A": {"Type": "Choice", "Choices": [{"Variable": "$.a", "IsNull": true}], "Default": "Done"}, ` + done), "has no Next"},
		"a next within and":                {states(`"A": {"Type": "Choice", "Choices": [{"And": [{"Variable": "$.a", "IsNull": true, "Next": "Done"}], "Next": "Done"}]}, ` + done), `the field "Next"`},
		"two comparisons":                  {states(`"A": {"Type": "Choice", "Choices": [{"Variable": "$.a", "IsNull": true, "IsString": true, "Next": "Done"}]}, ` + done), "compares twice"},
		"an unknown comparison":            {states(`"A": {"Type": "Choice", "Choices": [{"Variable": "$.a", "StringContains": "x", "Next": "Done"}]}, ` + done), "no comparison that is known"},
		"a number compared as a string":    {states(`"A": {"Type": "Choice", "Choices": [{"Variable": "$.a", "StringEquals": 1, "Next": "Done"}]}, ` + done), "value of the wrong kind"},
		"a pattern by path":                {states(`"A": {"Type": "Choice", "Choices": [{"Variable": "$.a", "StringMatchesPath": "$.b", "Next": "Done"}]}, ` + done), "no comparison that is known"},
		"a distributed map":                {states(`"A": {"Type": "Map", "ItemProcessor": {"ProcessorConfig": {"Mode": "DISTRIBUTED"}, "StartAt": "B", "States": {"B": {"Type": "Succeed"}}}, "End": true}`), "Mode is none of INLINE"},
		"tolerated failures":               {states(`"A": {"Type": "Map", "ToleratedFailureCount": 1, "ItemProcessor": {"StartAt": "B", "States": {"B": {"Type": "Succeed"}}}, "End": true}`), `the field "ToleratedFailureCount"`},
		"two processors":                   {states(`"A": {"Type": "Map", "Iterator": {}, "ItemProcessor": {"StartAt": "B", "States": {"B": {"Type": "Succeed"}}}, "End": true}`), "either ItemProcessor or"},
		"no branches":                      {states(`"A": {"Type": "Parallel", "End": true}`), "has no Branches"},
		"States.ALL beside others":         {states(`"A": {` + lambdaTask + `, "End": true, "Retry": [{"ErrorEquals": ["States.ALL", "E"]}]}`), "does not stand alone"},
		"States.ALL before others":         {states(`"A": {` + lambdaTask + `, "End": true, "Retry": [{"ErrorEquals": ["States.ALL"]}, {"ErrorEquals": ["E"]}]}`), "in the last entry"},
		"an unknown error of the language": {states(`"A": {` + lambdaTask + `, "End": true, "Retry": [{"ErrorEquals": ["States.Timeuot"]}]}`), "no error of the language"},
		"an error nobody can catch":        {states(`"A": {` + lambdaTask + `, "End": true, "Retry": [{"ErrorEquals": ["States.Runtime"]}]}`), "neither retried nor caught"},
		"a retry of nothing":               {states(`"A": {` + lambdaTask + `, "End": true, "Retry": [{"ErrorEquals": []}]}`), "ErrorEquals"},
		"a back-off that shrinks":          {states(`"A": {` + lambdaTask + `, "End": true, "Retry": [{"ErrorEquals": ["E"], "BackoffRate": 0.5}]}`), "BackoffRate is not a number from 1"},
		"an unknown jitter":                {states(`"A": {` + lambdaTask + `, "End": true, "Retry": [{"ErrorEquals": ["E"], "JitterStrategy": "HALF"}]}`), "JitterStrategy is none of NONE, FULL"},
		"an error both ways":               {states(`"A": {"Type": "Fail", "Error": "E", "ErrorPath": "$.e"}`), "both Error and ErrorPath"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := asl.Parse("test.asl.json", []byte(tt.definition))
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "test.asl.json: ") {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestParse_reports_everything_at_once(t *testing.T) {
	_, err := asl.Parse("x.asl.json", []byte(states(`"A": {"Type": "Pass", "Next": "B", "X": 1}, "C": {"Type": "Wait", "End": true}`)))
	want := `x.asl.json: state "A": a Pass state has the field "X", which is unknown or not supported there
x.asl.json: state "C": a Wait state has exactly one of Seconds, SecondsPath, Timestamp and TimestampPath
x.asl.json: state "A": it leads to "B", which is no state beside it
x.asl.json: state "C": nothing leads to it`
	if diff := cmp.Diff(want, fmt.Sprint(err)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestParse_reads_every_field(t *testing.T) {
	m, err := asl.Parse("x.asl.json", []byte(`{"Comment": "c", "Version": "1.0", "TimeoutSeconds": 60, "StartAt": "A", "States": {
		"A": {`+tokenTask+`, "Comment": "why", "TimeoutSeconds": 50, "HeartbeatSecondsPath": "$.h", "Next": "B",
			"Retry": [{"ErrorEquals": ["E"], "IntervalSeconds": 3, "BackoffRate": 1.5, "MaxAttempts": 0, "MaxDelaySeconds": 9, "JitterStrategy": "FULL"}, {"ErrorEquals": ["States.ALL"]}],
			"Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.e", "Next": "B"}]},
		"B": {"Type": "Map", "MaxConcurrency": 3, "ItemProcessor": {"ProcessorConfig": {"Mode": "INLINE"}, "StartAt": "C", "States": {"C": {"Type": "Succeed"}}}, "End": true}}}`))
	if err != nil {
		t.Fatal(err)
	}
	a, b := m.States["A"], m.States["B"]
	wantRetry := []asl.Retrier{
		{Errors: []string{"E"}, Interval: 3 * time.Second, BackoffRate: 1.5, MaxDelay: 9 * time.Second, FullJitter: true},
		{Errors: []string{"States.ALL"}, Interval: time.Second, BackoffRate: 2, MaxAttempts: 3},
	}
	if diff := cmp.Diff(wantRetry, a.Retry); diff != "" {
		t.Errorf("retry (-want +got):\n%s", diff)
	}
	if m.Timeout != time.Minute || m.Comment != "c" || a.Comment != "why" || a.Timeout.Fixed != 50 || a.Heartbeat.Path.String() != "$.h" ||
		!a.Resource.WaitForToken || a.Resource.Action() != "invoke.waitForTaskToken" || b.MaxConcurrency != 3 || b.Processor.StartAt != "C" {
		t.Errorf("%+v\n%+v\n%+v", m, a, b)
	}
	if diff := cmp.Diff([]string{"B", "B"}, a.Successors()); diff != "" {
		t.Error(diff)
	}
}

func TestSubstitute_fills_placeholders_in(t *testing.T) {
	text := []byte(`{"a": "${CheckKeyFunctionArn}", "b": "${X}${X}", "c": "States.Format('{}', $.a)"}`)
	if diff := cmp.Diff([]string{"CheckKeyFunctionArn", "X"}, asl.Substitutions(text)); diff != "" {
		t.Error(diff)
	}
	got, err := asl.Substitute(text, map[string]string{"CheckKeyFunctionArn": `arn:"x"`, "X": "1"})
	if want := `{"a": "arn:\"x\"", "b": "11", "c": "States.Format('{}', $.a)"}`; err != nil || string(got) != want {
		t.Errorf("got %s, %v", got, err)
	}
	if _, err := asl.Substitute(text, map[string]string{"X": "1"}); err == nil || !strings.Contains(err.Error(), "CheckKeyFunctionArn") {
		t.Errorf("a missing value: %v", err)
	}
}

// FuzzParse holds the loader to this: it never panics, and what it accepts it accepts again,
// with every state reachable and every successor there.
func FuzzParse(f *testing.F) {
	f.Add([]byte(states(`"A": {` + tokenTask + `, "Retry": [{"ErrorEquals": ["E"]}], "End": true}`)))
	f.Add([]byte(states(`"A": {"Type": "Choice", "Choices": [{"Not": {"Or": [{"Variable": "$.a[?(@.b == 1)]", "IsPresent": true}]}, "Next": "Done"}]}, ` + done)))
	f.Add([]byte(states(`"A": {"Type": "Map", "ItemProcessor": {"StartAt": "B", "States": {"B": {"Type": "Pass", "Parameters": {"x.$": "States.Format('{}\\'', $$.Map.Item.Value)"}, "End": true}}}, "End": true}`)))
	f.Add([]byte(states(`"A": {"Type": "Wait", "TimestampPath": "$['a'][0]", "Next": "B"}, "B": {"Type": "Fail", "CausePath": "States.JsonToString($)"}`)))
	f.Add([]byte(states(`"A": {"Type": "Parallel", "Branches": [{"StartAt": "B", "States": {"B": {"Type": "Succeed"}}}], "ResultPath": null, "End": true}`)))
	files, err := filepath.Glob("../../../statemachines/*.asl.json")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := asl.Parse("fuzz", data)
		if err != nil {
			return
		}
		if !json.Valid(data) {
			t.Fatalf("accepted what is no JSON: %q", data)
		}
		checkFlow(t, &m.Flow)
		if _, err := asl.Parse("fuzz", []byte(m.Source)); err != nil {
			t.Fatalf("does not accept its own source: %v", err)
		}
	})
}

func checkFlow(t *testing.T, flow *asl.Flow) {
	t.Helper()
	if flow.States[flow.StartAt] == nil {
		t.Fatalf("starts at %q", flow.StartAt)
	}
	for _, s := range flow.States {
		for _, next := range s.Successors() {
			if flow.States[next] == nil {
				t.Fatalf("%q leads to %q", s.Name, next)
			}
		}
		for _, branch := range s.Branches {
			checkFlow(t, branch)
		}
		if s.Processor != nil {
			checkFlow(t, s.Processor)
		}
	}
}
