package engine

import (
	"slices"

	"latchkey/local/states/asl"
)

// maxInline bounds the iterations of a Map state that run at once; Step Functions' own limit
// for maps that are part of their execution.
const maxInline = 40

func (x *execution) startParallel(b *batch, f *frame, s *asl.State, env *asl.Env) *asl.Failure {
	input, failure := x.parameters(s, env)
	if failure != nil {
		return failure
	}
	data, failure := within(s.Name, input)
	if failure != nil {
		return failure
	}
	f.Phase, f.Length, f.Started = joining, len(s.Branches), len(s.Branches)
	x.event(b, f, "ParallelStateStarted", "", nil)
	for i, branch := range s.Branches {
		x.addChild(b, &frame{ID: childID(f, i), State: branch.StartAt, Input: data, Event: f.Event})
	}
	return nil
}

func (x *execution) addChild(b *batch, c *frame) {
	x.frames[c.ID] = c
	x.makeReady(b, c)
}

// parameters builds what a state works on.
func (x *execution) parameters(s *asl.State, env *asl.Env) (any, *asl.Failure) {
	if s.Parameters == nil {
		return env.Input, nil
	}
	return s.Parameters.Fill(env)
}

func (x *execution) startMap(b *batch, f *frame, s *asl.State, env *asl.Env) *asl.Failure {
	items, failure := mapItems(s, env)
	if failure != nil {
		return failure
	}
	f.Phase, f.Length, f.Started, f.items = joining, len(items), 0, items
	x.event(b, f, "MapStateStarted", "mapStateStartedEventDetails", details{"length": len(items)})
	if len(items) == 0 {
		return x.join(b, f, s)
	}
	return x.startIterations(b, f, s)
}

func mapItems(s *asl.State, env *asl.Env) ([]any, *asl.Failure) {
	v := env.Input
	if s.ItemsPath != nil {
		found, ok := s.ItemsPath.Find(env)
		if !ok {
			return nil, asl.Fails(asl.ErrRuntime, "Invalid path '%s': it could not be found in the input", s.ItemsPath)
		}
		v = found
	}
	items, ok := v.([]any)
	if !ok {
		return nil, asl.Fails(asl.ErrRuntime, "Reference path for the items of a Map state must reference an array.")
	}
	return items, nil
}

// startIterations starts as many iterations as may run.
func (x *execution) startIterations(b *batch, f *frame, s *asl.State) *asl.Failure {
	if f.Started == f.Length {
		return nil
	}
	limit := maxInline
	if s.MaxConcurrency > 0 {
		limit = min(limit, s.MaxConcurrency)
	}
	active := 0
	for _, c := range x.children(f) {
		if c.Phase != done {
			active++
		}
	}
	env := x.env(f, parsed(f.Input))
	input, failure := s.InputPath.Apply("InputPath", env)
	if failure != nil {
		return failure
	}
	env.Input = input
	if f.items == nil { // the process was started anew since the map was entered
		if f.items, failure = mapItems(s, env); failure != nil {
			return failure
		}
	}
	for ; active < limit && f.Started < f.Length; active++ {
		if failure := x.startIteration(b, f, s, env); failure != nil {
			return failure
		}
	}
	return nil
}

func (x *execution) startIteration(b *batch, f *frame, s *asl.State, env *asl.Env) *asl.Failure {
	index := f.Started
	value := f.items[index]
	input := value
	if s.Parameters != nil {
		context, _ := env.Context.(map[string]any)
		context["Map"] = map[string]any{"Item": itemContext(index, value)}
		var failure *asl.Failure
		if input, failure = s.Parameters.Fill(env); failure != nil {
			return failure
		}
	}
	data, failure := within(s.Name, input)
	if failure != nil {
		return failure
	}
	f.Started++
	b.touch(f)
	c := &frame{
		ID: childID(f, index), State: s.Processor.StartAt, Input: data, Event: f.Event,
		Item: &mapItem{Index: index, Value: encode(value)},
	}
	x.event(b, c, "MapIterationStarted", "mapIterationStartedEventDetails", iteration(s, index))
	x.addChild(b, c)
	return nil
}

func iteration(s *asl.State, index int) details { return details{"name": s.Name, "index": index} }

// childEnded continues a Map or Parallel state one of whose flows is done.
func (x *execution) childEnded(b *batch, f, child *frame, index int) {
	s := x.state(f)
	b.touch(child)
	if s.Type == asl.Map {
		x.event(b, child, "MapIterationSucceeded", "mapIterationSucceededEventDetails", iteration(s, index))
	}
	failure := x.startIterations(b, f, s)
	if failure == nil && x.allDone(f) {
		f.Event = child.Event
		failure = x.join(b, f, s)
	}
	if failure != nil {
		x.abortChildren(b, f, s)
		x.fail(b, f, s, x.located(f, failure))
	}
}

func (x *execution) allDone(f *frame) bool {
	return f.Started == f.Length && !slices.ContainsFunc(x.children(f), func(c *frame) bool { return c.Phase != done })
}

// join ends a Map or Parallel state whose flows are all done.
func (x *execution) join(b *batch, f *frame, s *asl.State) *asl.Failure {
	outputs := []any{}
	for _, c := range x.children(f) {
		outputs = append(outputs, parsed(c.Output))
	}
	if _, failure := within(s.Name, outputs); failure != nil {
		return failure
	}
	x.event(b, f, string(s.Type)+"StateSucceeded", "", nil)
	return x.finish(b, f, s, outputs)
}

// childFailed ends a Map or Parallel state one of whose flows has failed.
func (x *execution) childFailed(b *batch, f, child *frame, index int, failure *asl.Failure) {
	s := x.state(f)
	if s.Type == asl.Map {
		x.event(b, child, "MapIterationFailed", "mapIterationFailedEventDetails", iteration(s, index))
	}
	f.Event = child.Event
	x.abortChildren(b, f, s)
	x.event(b, f, string(s.Type)+"StateFailed", "", nil)
	if s.Type == asl.Parallel {
		failure = &asl.Failure{Name: failure.Name, Cause: failure.Cause, Also: asl.ErrBranchFailed}
	}
	x.fail(b, f, s, failure)
}

// abortChildren stops what still runs beneath a state.
func (x *execution) abortChildren(b *batch, f *frame, s *asl.State) {
	for i, c := range x.children(f) {
		if c.Phase == done || c.Phase == failed || c.Phase == aborted {
			continue
		}
		inner := x.state(c)
		if c.Phase == joining {
			x.abortChildren(b, c, inner)
		} else {
			c.Phase = aborted
		}
		x.cancel(c)
		b.touch(c)
		switch inner.Type {
		case asl.Task, asl.Wait, asl.Map, asl.Parallel:
			if !c.Entered.IsZero() {
				x.event(b, c, string(inner.Type)+"StateAborted", "", nil)
			}
		case asl.Choice, asl.Pass, asl.Succeed, asl.Fail: // they take no time to be aborted in
		}
		if s.Type == asl.Map {
			x.event(b, c, "MapIterationAborted", "mapIterationAbortedEventDetails", iteration(s, i))
		}
	}
}
