package sim

import (
	"context"
	"fmt"
	"hash/fnv"
	"regexp"

	"latchkey/local/lambdasvc"
)

// function is one of the template's functions as Lambda runs it: an instance handles one invocation at a
// time and is used again until it dies; when all are busy, there is a new one, which knows nothing of what
// the others remember.
type function struct {
	name      string
	conductor *conductor
	start     func() (lambdasvc.Invoker, error) // a cold start
	idle      []lambdasvc.Invoker
	deployed  int // how often; instances of before are not used again
	ran       int // invocations
	fail      func(error)
}

// errExit is what Lambda tells of a function whose process ended.
var errExit = &lambdasvc.Error{Type: "Runtime.ExitError", Message: "RequestId: sim Error: Runtime exited with error: signal: killed"}

// Invoke implements lambdasvc.Invoker.
func (f *function) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	by := processOf(ctx)
	met, err := f.conductor.enter(ctx, invoking, f.name+" "+about(payload))
	if err != nil || met.kind == refused {
		return nil, errExit
	}
	f.ran++
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	p := &process{name: fmt.Sprintf("%s.%d<%s", f.name, f.ran, by.name), died: stop}
	of := f.deployed
	instance, err := f.instance()
	if err != nil {
		f.fail(fmt.Errorf("%s does not start: %w", f.name, err))
		return nil, errExit
	}
	out, err := instance.Invoke(within(ctx, p), payload)
	if met.kind == repeated && !p.dead { // whoever invoked it did not hear of the first time
		out, err = instance.Invoke(within(ctx, p), payload)
	}
	if p.dead {
		return nil, errExit
	}
	if of == f.deployed {
		f.idle = append(f.idle, instance)
	}
	if met.kind == lost {
		return nil, errExit
	}
	return out, err
}

// instance is one that is idle, or a new one.
func (f *function) instance() (lambdasvc.Invoker, error) {
	if len(f.idle) == 0 {
		return f.start()
	}
	last := len(f.idle) - 1
	instance := f.idle[last]
	f.idle = f.idle[:last]
	return instance, nil
}

// telling is what tells requests apart that are made at the same instant, whatever else is in them: what was
// drawn at random for each, and the order of what has none, are not the same in each run.
var telling = regexp.MustCompile(`"(?:rawPath|path|KeyId)":"([^"]*)"|(RoleArn=[^&]*)`)

// about tells contents apart.
func about(content []byte) string {
	if m := telling.FindSubmatch(content); m != nil {
		return string(m[1]) + string(m[2])
	}
	h := fnv.New32a()
	h.Write(content)
	return fmt.Sprintf("%08x", h.Sum32())
}
