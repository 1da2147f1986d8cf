package engine

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"latchkey/local/states/asl"
)

// call begins a Task state's invocation.
func (x *execution) call(b *batch, f *frame, s *asl.State, env *asl.Env) *asl.Failure {
	c := &invocation{Try: x.lastEvent + 1}
	f.Call = c
	if s.Resource.WaitForToken {
		c.Token = x.newToken(f.ID, c.Try)
		context, _ := env.Context.(map[string]any)
		context["Task"] = map[string]any{"Token": c.Token}
	}
	timeout, failure := s.Timeout.Of("TimeoutSecondsPath", env)
	if failure != nil {
		return failure
	}
	if c.Every, failure = s.Heartbeat.Of("HeartbeatSecondsPath", env); failure != nil {
		return failure
	}
	input, failure := x.parameters(s, env)
	if failure != nil {
		return failure
	}
	data, failure := within(s.Name, input)
	if failure != nil {
		return failure
	}
	if failure := c.address(s, input, data); failure != nil {
		return failure
	}
	f.Phase = invoking
	now := x.e.cfg.Now()
	if timeout > 0 {
		c.Deadline = now.Add(timeout)
	}
	if c.Every > 0 {
		c.Heartbeat = now.Add(c.Every)
	}
	x.scheduled(b, f, s, data, timeout)
	b.launches = append(b.launches, f.ID)
	return nil
}

// address finds out which function is called with what.
func (c *invocation) address(s *asl.State, input any, data json.RawMessage) *asl.Failure {
	if s.Resource.Function != "" {
		c.Function, c.Payload = s.Resource.Function, data
		return nil
	}
	parameters, _ := input.(map[string]any)
	name, ok := parameters["FunctionName"].(string)
	if !ok || name == "" {
		return asl.Fails(asl.ErrRuntime, "The value of the field 'FunctionName' is not a string")
	}
	c.Function, c.Payload = bareFunction(name), json.RawMessage("{}")
	if payload, ok := parameters["Payload"]; ok {
		c.Payload = encode(payload)
	}
	return nil
}

// bareFunction is the name in a function's name, partial or full ARN, without its qualifier.
func bareFunction(name string) string {
	if _, last, ok := strings.Cut(name, ":function:"); ok {
		name = last
	}
	name, _, _ = strings.Cut(name, ":")
	return name
}

// scheduled writes the events of an invocation's beginning.
func (x *execution) scheduled(b *batch, f *frame, s *asl.State, data json.RawMessage, timeout time.Duration) {
	d := details{}
	if timeout > 0 {
		d["timeoutInSeconds"] = int64(timeout.Seconds())
	}
	if f.Call.Every > 0 {
		d["heartbeatInSeconds"] = int64(f.Call.Every.Seconds())
	}
	if s.Resource.Function != "" {
		d["resource"], d["input"], d["inputDetails"] = s.Resource.Name, string(data), whole
		x.event(b, f, "LambdaFunctionScheduled", "lambdaFunctionScheduledEventDetails", d)
		x.event(b, f, "LambdaFunctionStarted", "", nil)
		return
	}
	d["region"], d["parameters"] = x.e.cfg.Region, string(data)
	x.taskEvent(b, f, s, "Scheduled", d)
	x.taskEvent(b, f, s, "Started", details{})
}

// taskEvent writes an event of the name that the kind of resource gives it.
func (x *execution) taskEvent(b *batch, f *frame, s *asl.State, what string, d details) {
	if s.Resource.Function != "" {
		x.event(b, f, "LambdaFunction"+what, "lambdaFunction"+what+"EventDetails", d)
		return
	}
	d["resourceType"], d["resource"] = s.Resource.Kind(), s.Resource.Action()
	x.event(b, f, "Task"+what, "task"+what+"EventDetails", d)
}

// launch invokes a frame's function and reports the outcome to the execution. What it calls is in
// the journal by now.
func (x *execution) launch(ctx context.Context, f *frame) {
	ctx, cancel := context.WithCancel(ctx)
	x.cancels[f.ID] = cancel
	id, c := f.ID, *f.Call
	go func() {
		select {
		case x.e.slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		var out []byte
		err := ctx.Err() // it may have been given up while it waited for its turn
		if err == nil {
			out, err = x.e.cfg.Invoke(ctx, c.Function, c.Payload)
		}
		<-x.e.slots
		if ctx.Err() != nil {
			return
		}
		x.send(ctx, message{apply: func(b *batch) error {
			x.invoked(b, id, c.Try, out, err)
			return nil
		}})
	}()
}

// invoked takes an invocation's outcome, unless it comes too late.
func (x *execution) invoked(b *batch, id string, try int64, out []byte, err error) {
	f := x.frames[id]
	if f == nil || f.Phase != invoking || f.Call.Try != try {
		return
	}
	b.touch(f)
	x.cancel(f)
	s := x.state(f)
	if err != nil {
		x.taskFailed(b, f, s, failureOf(err))
		return
	}
	result, failure := x.resultOf(s, out)
	if failure != nil {
		x.taskFailed(b, f, s, failure)
		return
	}
	if s.Resource.WaitForToken {
		x.taskEvent(b, f, s, "Submitted", details{"output": string(encode(result)), "outputDetails": whole})
		f.Phase = submitted
		return
	}
	x.taskSucceeded(b, f, s, result)
}

// resultOf is a function's answer in the shape that the resource gives it.
func (x *execution) resultOf(s *asl.State, out []byte) (any, *asl.Failure) {
	if len(out) == 0 {
		out = []byte("null")
	}
	payload, err := asl.Unmarshal(out)
	if err != nil {
		return nil, asl.Fails("Lambda.Unknown", "The function did not return JSON: %v", err)
	}
	if s.Resource.Function != "" {
		return payload, nil
	}
	return map[string]any{
		"ExecutedVersion": "$LATEST",
		"Payload":         payload,
		"StatusCode":      int64(200),
		"SdkHttpMetadata": map[string]any{
			"AllHttpHeaders": map[string]any{}, "HttpHeaders": map[string]any{}, "HttpStatusCode": int64(200),
		},
		"SdkResponseMetadata": map[string]any{"RequestId": uuidFrom(x.rand)},
	}, nil
}

// taskSucceeded ends a Task state with a result.
func (x *execution) taskSucceeded(b *batch, f *frame, s *asl.State, result any) {
	data, failure := within(s.Resource.Kind(), result)
	if failure != nil {
		x.taskFailed(b, f, s, failure)
		return
	}
	x.taskEvent(b, f, s, "Succeeded", details{"output": string(data), "outputDetails": whole})
	if failure := x.finish(b, f, s, result); failure != nil {
		x.fail(b, f, s, x.located(f, failure))
	}
}

func (x *execution) taskFailed(b *batch, f *frame, s *asl.State, failure *asl.Failure) {
	x.taskEvent(b, f, s, "Failed", failureDetails(failure))
	x.fail(b, f, s, failure)
}

// callTimedOut ends an invocation that has taken too long or missed a heartbeat.
func (x *execution) callTimedOut(b *batch, f *frame) {
	failure := &asl.Failure{Name: asl.ErrTimeout}
	if d := f.Call.Deadline; d.IsZero() || x.e.cfg.Now().Before(d) {
		failure.Also = asl.ErrHeartbeatTimeout
	}
	s := x.state(f)
	x.taskEvent(b, f, s, "TimedOut", failureDetails(failure))
	x.fail(b, f, s, failure)
}
