// Package runtimeapi runs a function's program as AWS Lambda does: in processes of its own, each
// of which asks for its events at the Lambda Runtime API.
//
// Its invariant: every invocation is answered, whatever the program does (fail, crash, hang,
// answer too much), and no process outlives its Function. A process serves one invocation at a
// time; one that crashed or ran into its time-out is gone, and the next invocation gets another.
// Where Lambda refuses invocations beyond its concurrency, a Function lets them wait.
package runtimeapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/lambda/messages"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/google/uuid"
)

// Config is a function. Program, Timeout, Now and Log are required.
type Config struct {
	// Program is the path of the executable: what is deployed as bootstrap.
	Program string
	// Name and ARN are the function's.
	Name, ARN string
	// Environment is all that the program finds in its environment ("NAME=value"), but for
	// AWS_LAMBDA_RUNTIME_API.
	Environment []string
	// Timeout ends an invocation, and the process with it.
	Timeout time.Duration
	// InitTimeout is how long a process may take until it asks for its first event; 0 is
	// Lambda's 10 s.
	InitTimeout time.Duration
	// Processes is how many may run at once; 0 is 4.
	Processes int
	// Invocations is how many a process serves before another takes its place; 0 is any
	// number. With 1 nothing in a process's memory is there for the next invocation.
	Invocations int
	// Now is the time that programs see.
	Now func() time.Time
	// Log gets what the program writes.
	Log *slog.Logger
}

const (
	defaultInitTimeout = 10 * time.Second
	defaultProcesses   = 4
)

// Function runs one function. It is a lambda.Handler. It is safe for concurrent use.
type Function struct {
	cfg   Config
	slots chan struct{} // one for each process that may serve

	mu     sync.Mutex
	idle   []*process
	all    map[*process]struct{}
	closed bool
}

// New returns a function that has no process yet. It is to be closed.
func New(cfg Config) *Function {
	if cfg.InitTimeout == 0 {
		cfg.InitTimeout = defaultInitTimeout
	}
	if cfg.Processes == 0 {
		cfg.Processes = defaultProcesses
	}
	return &Function{cfg: cfg, slots: make(chan struct{}, cfg.Processes), all: map[*process]struct{}{}}
}

// Longest is how long an invocation can take that need not wait for others: a process starts,
// and runs into the time-out.
func (f *Function) Longest() time.Duration { return f.cfg.InitTimeout + f.cfg.Timeout }

// Warm starts a process, so that the next invocation need not. It returns when the process asks
// for its first event, and fails as an invocation would.
func (f *Function) Warm(ctx context.Context) error {
	p, err := f.acquire(ctx)
	if err != nil {
		return err
	}
	f.release(p)
	return nil
}

// Invoke has a process handle an event. Its errors are messages.InvokeResponse_Error, with the
// type and the message that Lambda gives them, or the end of ctx while it waited for a process.
func (f *Function) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	inv := &invocation{id: uuid.NewString(), payload: payload, answered: make(chan answer, 1)}
	if lc, ok := lambdacontext.FromContext(ctx); ok && lc.AwsRequestID != "" {
		inv.id = lc.AwsRequestID
	}
	for {
		p, err := f.acquire(ctx)
		if err != nil {
			return nil, inName(inv.id, err)
		}
		out, begun, err := p.invoke(inv)
		f.release(p)
		if begun {
			return out, inName(inv.id, err)
		}
		// The process had ended before it took the event: nothing has happened.
	}
}

var errClosed = errors.New("runtimeapi: the function is closed")

// acquire returns a process that waits for an event, after it has waited for a free slot.
func (f *Function) acquire(ctx context.Context) (*process, error) {
	select {
	case f.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	p, err := f.idleOrNew(ctx)
	if err != nil {
		<-f.slots
		return nil, err
	}
	return p, nil
}

func (f *Function) idleOrNew(ctx context.Context) (*process, error) {
	f.mu.Lock()
	for len(f.idle) > 0 {
		p := f.idle[len(f.idle)-1]
		f.idle = f.idle[:len(f.idle)-1]
		if !p.hasEnded() {
			f.mu.Unlock()
			return p, nil
		}
	}
	if f.closed {
		f.mu.Unlock()
		return nil, errClosed
	}
	p, err := start(ctx, f)
	if err == nil {
		f.all[p] = struct{}{}
	}
	f.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if err := p.waitUntilReady(); err != nil {
		f.forget(p)
		return nil, err
	}
	return p, nil
}

// release gives a process back, or ends it if it has served its time.
func (f *Function) release(p *process) {
	if p.hasEnded() || f.cfg.Invocations > 0 && p.served >= f.cfg.Invocations {
		f.forget(p)
	} else {
		f.mu.Lock()
		f.idle = append(f.idle, p)
		f.mu.Unlock()
	}
	<-f.slots
}

// forget ends a process and waits for its end.
func (f *Function) forget(p *process) {
	p.end()
	f.mu.Lock()
	delete(f.all, p)
	f.mu.Unlock()
}

// Processes are the ids of the processes that run.
func (f *Function) Processes() []int {
	f.mu.Lock()
	defer f.mu.Unlock()
	var ids []int
	for p := range f.all {
		if !p.hasEnded() {
			ids = append(ids, p.cmd.Process.Pid)
		}
	}
	return ids
}

// Close ends all processes, whatever they are doing.
func (f *Function) Close() error {
	f.mu.Lock()
	f.closed = true
	all := f.all
	f.all, f.idle = map[*process]struct{}{}, nil
	f.mu.Unlock()
	for p := range all {
		p.kill()
	}
	for p := range all {
		p.end()
	}
	return nil
}

// failed is an error of a type that Lambda has.
func failed(kind, format string, args ...any) messages.InvokeResponse_Error {
	return messages.InvokeResponse_Error{Type: kind, Message: fmt.Sprintf(format, args...)}
}

// inName puts the request id before messages about the process, as Lambda does.
func inName(id string, err error) error {
	e, ok := errors.AsType[messages.InvokeResponse_Error](err)
	if !ok || e.Type != typeExit && e.Type != typeTimeout {
		return err
	}
	e.Message = "RequestId: " + id + " Error: " + e.Message
	return e
}

// The types of what goes wrong with a process.
const (
	typeExit     = "Runtime.ExitError"
	typeTimeout  = "Sandbox.Timedout"
	typeTooLarge = "Function.ResponseSizeTooLarge"
)
