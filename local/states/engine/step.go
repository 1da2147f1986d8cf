package engine

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"latchkey/local/states/asl"
)

// maxData bounds inputs, outputs and results, in bytes; Step Functions' own limit.
const maxData = 256 << 10

// step executes the state that a frame has come to.
func (x *execution) step(b *batch, f *frame) {
	s := x.state(f)
	if f.Entered.IsZero() {
		f.Entered = x.e.cfg.Now()
		f.EnteredEvent = x.event(b, f, string(s.Type)+"StateEntered", "stateEnteredEventDetails", details{
			"name": s.Name, "input": string(f.Input), "inputDetails": whole,
		})
	}
	b.touch(f)
	if failure := x.execute(b, f, s); failure != nil {
		x.fail(b, f, s, x.located(f, failure))
	}
}

// execute does what the state is for, up to where it has to wait.
func (x *execution) execute(b *batch, f *frame, s *asl.State) *asl.Failure {
	if s.Type == asl.Fail {
		return x.failState(b, f, s)
	}
	raw := parsed(f.Input)
	env := x.env(f, raw)
	input, failure := s.InputPath.Apply("InputPath", env)
	if failure != nil {
		return failure
	}
	env.Input = input
	switch s.Type {
	case asl.Pass:
		return x.pass(b, f, s, env)
	case asl.Wait:
		f.WakeAt, failure = s.Until.From(x.e.cfg.Now(), env)
		f.Phase = waiting
		return failure
	case asl.Choice:
		return x.choose(b, f, s, env)
	case asl.Succeed:
		return x.exit(b, f, s, input)
	case asl.Task:
		return x.call(b, f, s, env)
	case asl.Map:
		return x.startMap(b, f, s, env)
	case asl.Parallel:
		return x.startParallel(b, f, s, env)
	case asl.Fail: // above
	}
	return nil
}

func (x *execution) pass(b *batch, f *frame, s *asl.State, env *asl.Env) *asl.Failure {
	result := env.Input
	if s.Parameters != nil {
		var failure *asl.Failure
		if result, failure = s.Parameters.Fill(env); failure != nil {
			return failure
		}
	}
	if s.Result != nil {
		result = *s.Result
	}
	return x.finish(b, f, s, result)
}

func (x *execution) choose(b *batch, f *frame, s *asl.State, env *asl.Env) *asl.Failure {
	next := s.Default
	for _, rule := range s.Choices {
		ok, failure := rule.Holds(env)
		if failure != nil {
			return failure
		}
		if ok {
			next = rule.Next
			break
		}
	}
	if next == "" {
		return asl.Fails(asl.ErrNoChoiceMatched, "No choice rule matched and there is no Default.")
	}
	output, failure := s.OutputPath.Apply("OutputPath", env)
	if failure != nil {
		return failure
	}
	return x.leave(b, f, s, output, next)
}

func (x *execution) failState(b *batch, f *frame, s *asl.State) *asl.Failure {
	env := x.env(f, parsed(f.Input))
	name, failure := s.Error.Of(env)
	if failure != nil {
		return failure
	}
	cause, failure := s.Cause.Of(env)
	if failure != nil {
		return failure
	}
	x.failFlow(b, f, &asl.Failure{Name: name, Cause: cause})
	return nil
}

// endWait continues after a Wait state.
func (x *execution) endWait(b *batch, f *frame) {
	s := x.state(f)
	b.touch(f)
	output, failure := s.InputPath.Apply("InputPath", x.env(f, parsed(f.Input)))
	if failure == nil {
		failure = x.exit(b, f, s, output)
	}
	if failure != nil {
		x.fail(b, f, s, x.located(f, failure))
	}
}

// finish combines a state's result with its input and leaves the state.
func (x *execution) finish(b *batch, f *frame, s *asl.State, result any) *asl.Failure {
	raw := parsed(f.Input)
	if s.ResultSelector != nil {
		var failure *asl.Failure
		if result, failure = s.ResultSelector.Fill(x.env(f, result)); failure != nil {
			return failure
		}
	}
	combined, failure := s.ResultPath.Apply(raw, result)
	if failure != nil {
		return failure
	}
	return x.exit(b, f, s, combined)
}

// exit filters a state's output and goes where its Next says.
func (x *execution) exit(b *batch, f *frame, s *asl.State, output any) *asl.Failure {
	output, failure := s.OutputPath.Apply("OutputPath", x.env(f, output))
	if failure != nil {
		return failure
	}
	return x.leave(b, f, s, output, s.Next)
}

// leave goes to the next state, or ends the flow if that is "".
func (x *execution) leave(b *batch, f *frame, s *asl.State, output any, next string) *asl.Failure {
	data, failure := within(s.Name, output)
	if failure != nil {
		return failure
	}
	x.event(b, f, string(s.Type)+"StateExited", "stateExitedEventDetails", details{
		"name": s.Name, "output": string(data), "outputDetails": whole,
	})
	x.drop(b, f)
	f.Call, f.WakeAt, f.Attempts, f.Retries = nil, time.Time{}, nil, 0
	b.touch(f)
	if next == "" {
		x.endFlow(b, f, data)
		return nil
	}
	f.State, f.Input, f.Entered = next, data, time.Time{}
	x.makeReady(b, f)
	return nil
}

// within encodes a value and holds it against the size limit.
func within(name string, v any) (json.RawMessage, *asl.Failure) {
	data, err := asl.Marshal(v)
	if err != nil {
		return nil, asl.Fails(asl.ErrRuntime, "%v", err)
	}
	if len(data) > maxData {
		return nil, asl.Fails(asl.ErrDataLimitExceeded,
			"The state/task '%s' returned a result with a size exceeding the maximum number of bytes service limit.", name)
	}
	return data, nil
}

// located says in the cause of the language's own errors where they happened.
func (x *execution) located(f *frame, failure *asl.Failure) *asl.Failure {
	if !strings.HasPrefix(failure.Name, "States.") || failure.Name == asl.ErrTimeout || failure.Name == asl.ErrDataLimitExceeded {
		return failure
	}
	out := *failure
	out.Cause = fmt.Sprintf("An error occurred while executing the state '%s' (entered at the event id #%d). %s",
		f.State, f.EnteredEvent, failure.Cause)
	return &out
}

// fail retries a state, or goes where it catches the failure, or ends the flow.
func (x *execution) fail(b *batch, f *frame, s *asl.State, failure *asl.Failure) {
	b.touch(f)
	x.cancel(f)
	f.Call = nil
	for i, r := range s.Retry {
		if !failure.Matches(r.Errors) {
			continue
		}
		f.Attempts = append(f.Attempts, make([]int, max(0, len(s.Retry)-len(f.Attempts)))...)
		if f.Attempts[i] >= r.MaxAttempts {
			break // the first entry that names the failure decides
		}
		x.drop(b, f)
		f.Phase, f.WakeAt = backoff, x.e.cfg.Now().Add(r.Delay(f.Attempts[i], x.rand.Float64))
		f.Attempts[i]++
		f.Retries++
		return
	}
	for _, c := range s.Catch {
		if !failure.Matches(c.Errors) {
			continue
		}
		output, wrong := c.ResultPath.Apply(parsed(f.Input), failure.Output())
		if wrong == nil {
			wrong = x.leave(b, f, s, output, c.Next)
		}
		if wrong != nil {
			x.failFlow(b, f, x.located(f, wrong))
		}
		return
	}
	x.failFlow(b, f, failure)
}

// endFlow ends a flow that has got to an end.
func (x *execution) endFlow(b *batch, f *frame, output json.RawMessage) {
	parent, index, ok := x.parent(f)
	if !ok {
		x.succeed(b, f, output)
		return
	}
	f.Phase, f.Output, f.Input = done, output, nil
	x.childEnded(b, parent, f, index)
}

// failFlow ends a flow that has failed. It keeps the frame for a redrive.
func (x *execution) failFlow(b *batch, f *frame, failure *asl.Failure) {
	f.Phase = failed
	b.touch(f)
	parent, index, ok := x.parent(f)
	if !ok {
		x.close(b, Failed, failure)
		return
	}
	x.childFailed(b, parent, f, index, failure)
}
