package runtimeapi

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"time"
)

// process is one process of a function, with a Runtime API of its own.
type process struct {
	f      *Function
	cmd    *exec.Cmd
	server *http.Server
	served int // invocations; only who has acquired the process reads and writes it

	events    chan *invocation // handed to whoever asks for the next event
	ready     chan struct{}    // closed when the first event was asked for
	readyOnce sync.Once
	ended     chan struct{} // closed when the process has ended and can be heard no more
	exit      error         // how it ended; valid once ended is closed

	mu      sync.Mutex
	current *invocation // taken, not answered
	refused error       // what the program says prevents it from starting
}

// invocation is one event on its way through a process.
type invocation struct {
	id       string
	payload  []byte
	deadline time.Time
	answered chan answer // holds one
}

// answer is the end of an invocation.
type answer struct {
	payload []byte
	err     error
}

// outputDelay is how long the output of an ended process is waited for, which a process that it
// started in turn may hold open.
const outputDelay = time.Second

// start starts a process that is ended by its function, not by ctx.
func start(ctx context.Context, f *Function) (*process, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("runtimeapi: %w", err)
	}
	p := &process{f: f, events: make(chan *invocation), ready: make(chan struct{}), ended: make(chan struct{})}
	// No time-outs: programs wait for the next event as long as it takes.
	p.server = &http.Server{Handler: p.api(), ReadHeaderTimeout: time.Minute}
	p.cmd = exec.CommandContext(context.WithoutCancel(ctx), f.cfg.Program) //nolint:gosec // G204: the suite's own programs
	p.cmd.Env = append([]string{"AWS_LAMBDA_RUNTIME_API=" + listener.Addr().String()}, f.cfg.Environment...)
	p.cmd.Dir = filepath.Dir(f.cfg.Program)
	output := &output{log: f.cfg.Log}
	p.cmd.Stdout, p.cmd.Stderr = output, output
	p.cmd.WaitDelay = outputDelay
	p.cmd.SysProcAttr = attributes()
	started := make(chan error)
	go p.run(listener, output, started)
	return p, <-started
}

// run starts the process and waits for its end on one thread of its own, because Linux ends a
// child with the thread that started it.
func (p *process) run(listener net.Listener, out *output, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := p.cmd.Start(); err != nil {
		listener.Close() //nolint:errcheck // nobody has connected
		started <- fmt.Errorf("runtimeapi: %w", err)
		return
	}
	go p.server.Serve(listener) //nolint:errcheck // it ends when it is closed
	started <- nil
	p.exit = p.cmd.Wait()
	p.server.Close() //nolint:errcheck // whoever was connected is gone
	out.flush()
	close(p.ended)
}

func (p *process) hasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

func (p *process) kill() { p.cmd.Process.Kill() } //nolint:errcheck // it fails for one that has ended

// end kills the process and returns when it has ended.
func (p *process) end() {
	p.kill()
	<-p.ended
}

// waitUntilReady returns when the process asks for its first event.
func (p *process) waitUntilReady() error {
	timer := time.NewTimer(p.f.cfg.InitTimeout)
	defer timer.Stop()
	select {
	case <-p.ready:
		return nil
	case <-p.ended:
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.refused != nil {
			return p.refused
		}
		return p.exitError()
	case <-timer.C:
		p.end()
		return timedOut(p.f.cfg.InitTimeout)
	}
}

// exitError says how the process ended. Only for a process that has.
func (p *process) exitError() error {
	if p.exit == nil {
		return failed(typeExit, "Runtime exited without providing a reason")
	}
	return failed(typeExit, "Runtime exited with error: %v", p.exit)
}

func timedOut(after time.Duration) error {
	return failed(typeTimeout, "Task timed out after %.2f seconds", after.Seconds())
}

// invoke hands an event to the process and waits for the answer. begun is false if the process
// had ended before.
func (p *process) invoke(inv *invocation) (out []byte, begun bool, err error) {
	timer := time.NewTimer(p.f.cfg.Timeout)
	defer timer.Stop()
	inv.deadline = p.f.cfg.Now().Add(p.f.cfg.Timeout)
	select {
	case p.events <- inv:
	case <-p.ended:
		return nil, false, nil
	case <-timer.C: // it does something else than ask for an event
		p.end()
		return nil, true, timedOut(p.f.cfg.Timeout)
	}
	p.served++
	select {
	case a := <-inv.answered:
		return a.payload, true, a.err
	case <-timer.C:
		p.end()
		return nil, true, timedOut(p.f.cfg.Timeout)
	case <-p.ended:
	}
	select {
	case a := <-inv.answered: // it answered and ended, as after a panic
		return a.payload, true, a.err
	default:
		return nil, true, p.exitError()
	}
}
