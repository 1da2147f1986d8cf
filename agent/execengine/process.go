//go:build unix

package execengine

import (
	"bytes"
	"fmt"
	"io"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// pipeDelay is how long output is awaited from children that a program left behind.
const pipeDelay = 5 * time.Second

// process is one process with a group of its own.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{} // closed once it is reaped
	err    error         // how it ended; to be read after exited
}

// spawn starts a process. It outlives any context: only stop ends it.
func (e *Engine) spawn(args []string) (*process, error) {
	cmd := exec.Command(args[0], args[1:]...) //nolint:gosec,noctx // the operator's own command; stop ends it gently
	cmd.Dir, cmd.Env, cmd.WaitDelay = e.cfg.Dir, e.cfg.Env, pipeDelay
	if cmd.Env == nil {
		cmd.Env = []string{}
	}
	out := &lines{out: e.cfg.Output}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", args[0], err)
	}
	p := &process{cmd: cmd, exited: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		out.flush()
		p.signal(syscall.SIGKILL) // whatever of its group it left behind
		close(p.exited)
	}()
	return p, nil
}

// signal goes to the whole group. A group that is gone is no error.
func (p *process) signal(s syscall.Signal) {
	syscall.Kill(-p.cmd.Process.Pid, s) //nolint:errcheck // ESRCH: there is nobody left
}

// stop ends the group, gently for as long as grace allows, and returns when it is gone.
func (p *process) stop(grace time.Duration) {
	p.signal(syscall.SIGTERM)
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.exited:
		return
	case <-timer.C:
	}
	p.signal(syscall.SIGKILL)
	<-p.exited
}

// describe says how the process ended.
func (p *process) describe() string {
	if p.err == nil {
		return "exit status 0"
	}
	return p.err.Error()
}

// maxLine is where a line without an end is cut.
const maxLine = 64 << 10

// lines passes output on in whole lines, so that those of several writers don't mix.
type lines struct {
	mu   sync.Mutex
	out  io.Writer
	rest []byte
}

// Write implements io.Writer. It never fails: a program must not die of its log.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rest = append(l.rest, p...)
	for {
		end := bytes.IndexByte(l.rest, '\n')
		if end < 0 && len(l.rest) < maxLine {
			return len(p), nil
		}
		if end < 0 || end > maxLine {
			end = maxLine - 1
		}
		l.print(l.rest[:end+1])
		l.rest = append(l.rest[:0], l.rest[end+1:]...)
	}
}

func (l *lines) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.rest) > 0 {
		l.print(l.rest)
		l.rest = nil
	}
}

func (l *lines) print(line []byte) {
	line = append([]byte("[database] "), bytes.TrimSuffix(line, []byte("\n"))...)
	l.out.Write(append(line, '\n')) //nolint:errcheck // see Write
}
