package sfnapi

import (
	"context"
	"encoding/json"
	"math"
	"time"

	"latchkey/local/states/engine"
)

// seconds is a time as JSON 1.0 writes it.
type seconds time.Time

// MarshalJSON writes seconds since 1970 with milliseconds.
func (s seconds) MarshalJSON() ([]byte, error) {
	return json.Marshal(math.Round(float64(time.Time(s).UnixNano())/1e6) / 1e3)
}

// optional is a time that is left out if it is zero.
func optional(t time.Time) *seconds {
	if t.IsZero() {
		return nil
	}
	s := seconds(t)
	return &s
}

type arnRequest struct {
	ExecutionARN    string `json:"executionArn"`
	StateMachineARN string `json:"stateMachineArn"`
}

type pageRequest struct {
	MaxResults   int    `json:"maxResults"`
	NextToken    string `json:"nextToken"`
	ReverseOrder bool   `json:"reverseOrder"`
}

func (p pageRequest) page() engine.Page {
	return engine.Page{Limit: p.MaxResults, Token: p.NextToken, Reverse: p.ReverseOrder}
}

type included struct {
	Included bool `json:"included"`
}

type empty struct{}

func operations(e *engine.Engine) map[string]operation {
	return map[string]operation{
		"StartExecution":                   typed(start(e)),
		"DescribeExecution":                typed(describe(e)),
		"GetExecutionHistory":              typed(history(e)),
		"ListExecutions":                   typed(list(e)),
		"StopExecution":                    typed(stop(e)),
		"RedriveExecution":                 typed(redrive(e)),
		"ListStateMachines":                typed(machines(e)),
		"DescribeStateMachine":             typed(describeMachine(e)),
		"DescribeStateMachineForExecution": typed(machineForExecution(e)),
		"SendTaskSuccess":                  typed(sendSuccess(e)),
		"SendTaskFailure":                  typed(sendFailure(e)),
		"SendTaskHeartbeat":                typed(sendHeartbeat(e)),
		"ValidateStateMachineDefinition":   typed(validate),
	}
}

type startRequest struct {
	arnRequest

	Name  string `json:"name"`
	Input string `json:"input"`
}

func start(e *engine.Engine) func(context.Context, startRequest) (any, error) {
	return func(ctx context.Context, in startRequest) (any, error) {
		x, err := e.Start(ctx, in.StateMachineARN, in.Name, in.Input)
		return struct {
			ExecutionARN string  `json:"executionArn"`
			StartDate    seconds `json:"startDate"`
		}{x.ARN, seconds(x.Started)}, err
	}
}

// execution is an execution in lists and descriptions.
type execution struct {
	ExecutionARN    string        `json:"executionArn"`
	StateMachineARN string        `json:"stateMachineArn"`
	Name            string        `json:"name"`
	Status          engine.Status `json:"status"`
	StartDate       seconds       `json:"startDate"`
	StopDate        *seconds      `json:"stopDate,omitempty"`
	RedriveCount    int           `json:"redriveCount"`
	RedriveDate     *seconds      `json:"redriveDate,omitempty"`
}

func wireExecution(x engine.Execution) execution {
	return execution{
		ExecutionARN: x.ARN, StateMachineARN: x.MachineARN, Name: x.Name, Status: x.Status,
		StartDate: seconds(x.Started), StopDate: optional(x.Stopped),
		RedriveCount: x.RedriveCount, RedriveDate: optional(x.Redriven),
	}
}

type description struct {
	execution

	Input               string    `json:"input"`
	InputDetails        included  `json:"inputDetails"`
	Output              string    `json:"output,omitempty"`
	OutputDetails       *included `json:"outputDetails,omitempty"`
	Error               string    `json:"error,omitempty"`
	Cause               string    `json:"cause,omitempty"`
	RedriveStatus       string    `json:"redriveStatus"`
	RedriveStatusReason string    `json:"redriveStatusReason,omitempty"`
}

func describe(e *engine.Engine) func(context.Context, arnRequest) (any, error) {
	return func(_ context.Context, in arnRequest) (any, error) {
		x, err := e.Describe(in.ExecutionARN)
		d := description{
			execution: wireExecution(x), Input: x.Input, InputDetails: included{true}, Output: x.Output,
			Error: x.Error, Cause: x.Cause, RedriveStatus: "REDRIVABLE", RedriveStatusReason: x.NotRedrivable,
		}
		if x.Status == engine.Succeeded {
			d.OutputDetails = &included{true}
		}
		if x.NotRedrivable != "" {
			d.RedriveStatus = "NOT_REDRIVABLE"
		}
		return d, err
	}
}

type listRequest struct {
	arnRequest
	pageRequest

	StatusFilter  engine.Status `json:"statusFilter"`
	RedriveFilter string        `json:"redriveFilter"`
	MapRunARN     string        `json:"mapRunArn"`
}

func list(e *engine.Engine) func(context.Context, listRequest) (any, error) {
	return func(_ context.Context, in listRequest) (any, error) {
		if in.RedriveFilter != "" || in.MapRunARN != "" {
			return nil, &engine.Error{Code: engine.ValidationException, Message: "redriveFilter and mapRunArn are not supported here"}
		}
		all, next, err := e.List(in.StateMachineARN, in.StatusFilter, in.page())
		out := struct {
			Executions []execution `json:"executions"`
			NextToken  string      `json:"nextToken,omitempty"`
		}{[]execution{}, next}
		for _, x := range all {
			out.Executions = append(out.Executions, wireExecution(x))
		}
		return out, err
	}
}

type historyRequest struct {
	arnRequest
	pageRequest

	IncludeExecutionData *bool `json:"includeExecutionData"`
}

func history(e *engine.Engine) func(context.Context, historyRequest) (any, error) {
	return func(_ context.Context, in historyRequest) (any, error) {
		events, next, err := e.History(in.ExecutionARN, in.page())
		out := struct {
			Events    []map[string]any `json:"events"`
			NextToken string           `json:"nextToken,omitempty"`
		}{[]map[string]any{}, next}
		for _, ev := range events {
			out.Events = append(out.Events, wireEvent(ev, in.IncludeExecutionData == nil || *in.IncludeExecutionData))
		}
		return out, err
	}
}

func wireEvent(ev engine.Event, withData bool) map[string]any {
	out := map[string]any{"id": ev.ID, "previousEventId": ev.Previous, "timestamp": seconds(ev.At), "type": ev.Type}
	if ev.Field == "" {
		return out
	}
	out[ev.Field] = ev.Details
	if !withData {
		var d map[string]any
		if json.Unmarshal(ev.Details, &d) == nil {
			for _, data := range []string{"input", "output", "parameters"} {
				delete(d, data)
			}
			out[ev.Field] = d
		}
	}
	return out
}

type stopRequest struct {
	arnRequest

	Error string `json:"error"`
	Cause string `json:"cause"`
}

func stop(e *engine.Engine) func(context.Context, stopRequest) (any, error) {
	return func(ctx context.Context, in stopRequest) (any, error) {
		at, err := e.Stop(ctx, in.ExecutionARN, in.Error, in.Cause)
		return map[string]any{"stopDate": seconds(at)}, err
	}
}

type redriveRequest struct {
	arnRequest

	ClientToken string `json:"clientToken"`
}

func redrive(e *engine.Engine) func(context.Context, redriveRequest) (any, error) {
	return func(ctx context.Context, in redriveRequest) (any, error) {
		at, err := e.Redrive(ctx, in.ExecutionARN, in.ClientToken)
		return map[string]any{"redriveDate": seconds(at)}, err
	}
}

func machines(e *engine.Engine) func(context.Context, pageRequest) (any, error) {
	return func(context.Context, pageRequest) (any, error) {
		list := []map[string]any{} // all on one page: there are as many as files
		for _, m := range e.Machines() {
			list = append(list, map[string]any{
				"stateMachineArn": m.ARN, "name": m.Name, "type": "STANDARD", "creationDate": seconds(m.Created),
			})
		}
		return map[string]any{"stateMachines": list}, nil
	}
}

func wireMachine(m engine.Machine) map[string]any {
	return map[string]any{
		"stateMachineArn": m.ARN, "name": m.Name, "definition": m.Definition, "roleArn": m.RoleARN,
		"loggingConfiguration": map[string]any{"level": "OFF", "includeExecutionData": false},
		"tracingConfiguration": map[string]any{"enabled": false},
	}
}

func describeMachine(e *engine.Engine) func(context.Context, arnRequest) (any, error) {
	return func(_ context.Context, in arnRequest) (any, error) {
		m, err := e.DescribeMachine(in.StateMachineARN)
		out := wireMachine(m)
		out["status"], out["type"], out["creationDate"] = "ACTIVE", "STANDARD", seconds(m.Created)
		return out, err
	}
}

func machineForExecution(e *engine.Engine) func(context.Context, arnRequest) (any, error) {
	return func(_ context.Context, in arnRequest) (any, error) {
		m, err := e.MachineForExecution(in.ExecutionARN)
		out := wireMachine(m)
		out["updateDate"] = seconds(m.Created)
		return out, err
	}
}

type taskRequest struct {
	TaskToken string `json:"taskToken"`
	Output    string `json:"output"`
	Error     string `json:"error"`
	Cause     string `json:"cause"`
}

func sendSuccess(e *engine.Engine) func(context.Context, taskRequest) (any, error) {
	return func(ctx context.Context, in taskRequest) (any, error) {
		return empty{}, e.SendTaskSuccess(ctx, in.TaskToken, in.Output)
	}
}

func sendFailure(e *engine.Engine) func(context.Context, taskRequest) (any, error) {
	return func(ctx context.Context, in taskRequest) (any, error) {
		return empty{}, e.SendTaskFailure(ctx, in.TaskToken, in.Error, in.Cause)
	}
}

func sendHeartbeat(e *engine.Engine) func(context.Context, taskRequest) (any, error) {
	return func(ctx context.Context, in taskRequest) (any, error) {
		return empty{}, e.SendTaskHeartbeat(ctx, in.TaskToken)
	}
}

type validateRequest struct {
	Definition string `json:"definition"`
}

func validate(_ context.Context, in validateRequest) (any, error) {
	out := map[string]any{"result": "OK", "diagnostics": []any{}, "truncated": false}
	if err := engine.Validate(in.Definition); err != nil {
		out["result"] = "FAIL"
		out["diagnostics"] = []any{map[string]any{
			"severity": "ERROR", "code": "SCHEMA_VALIDATION_FAILED", "message": err.Error(),
		}}
	}
	return out, nil
}
