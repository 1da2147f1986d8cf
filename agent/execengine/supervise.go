//go:build unix

package execengine

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"time"

	"latchkey/agent"
)

// launch writes the key file and starts a process.
func (e *Engine) launch(key *agent.MasterKey) (*process, error) {
	path := ""
	if key != nil {
		var err error
		if path, err = e.keyFile.write(key, e.cfg.KeyFormat); err != nil {
			return nil, err
		}
	}
	args, err := e.command.render(path)
	if err == nil {
		var p *process
		if p, err = e.spawn(args); err == nil {
			return p, nil
		}
	}
	e.forgetKeyFile()
	return nil, err
}

// supervise sees to it that the program runs until ctx ends, or until it has failed too often.
func (e *Engine) supervise(ctx context.Context, r *run, p *process) {
	defer close(r.done)
	delay, failures := e.cfg.RestartDelay, 0
	for {
		began := e.cfg.Now()
		e.attend(ctx, p)
		e.forgetKeyFile()
		if ctx.Err() != nil {
			return
		}
		how := p.describe()
		if p.err == nil && e.cfg.Restart == OnFailure {
			e.show(agent.Exited, how)
			return
		}
		if e.cfg.Now().Sub(began) >= steady {
			delay, failures = e.cfg.RestartDelay, 0
		}
		for {
			if failures++; failures > maxRestarts {
				e.show(agent.Failed, fmt.Sprintf("%s, %d times", how, failures))
				return
			}
			e.show(agent.Starting, how)
			e.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "the program ended and is started again", slog.String("how", how), slog.Duration("in", delay))
			if !pause(ctx, delay) {
				return
			}
			delay = min(2*delay, maxRestartDelay)
			var err error
			if p, err = e.launch(r.key); err == nil {
				break
			}
			how = err.Error()
		}
	}
}

// attend waits for the process to end, and ends it when ctx does. Meanwhile it removes the key
// file as soon as the program is ready.
func (e *Engine) attend(ctx context.Context, p *process) {
	watching, stop := context.WithCancel(ctx)
	ready := make(chan bool, 1)
	go func() {
		defer close(ready)
		ready <- e.isReady(watching)
	}()
	defer func() {
		stop()
		for range ready { // until the goroutine has ended
		}
	}()
	for news := ready; ; {
		select {
		case <-p.exited:
			return
		case <-ctx.Done():
			p.stop(e.cfg.Grace)
			return
		case yes := <-news:
			if news = nil; yes {
				e.forgetKeyFile()
				e.show(agent.Running, "")
			}
		}
	}
}

// isReady waits until the program is ready; false means that ctx ended first.
func (e *Engine) isReady(ctx context.Context) bool {
	if e.cfg.Ready == "" {
		return pause(ctx, e.cfg.KeepKey)
	}
	const interval, timeout = 250 * time.Millisecond, 2 * time.Second
	dialer := net.Dialer{Timeout: timeout}
	for {
		conn, err := dialer.DialContext(ctx, "tcp", e.cfg.Ready)
		if err == nil {
			conn.Close() //nolint:errcheck // that it opened is all that counts
			return true
		}
		if !pause(ctx, interval) {
			return false
		}
	}
}

// pause waits; false means that ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func (e *Engine) forgetKeyFile() {
	if err := e.keyFile.remove(); err != nil {
		e.cfg.Log.Error("the key file is not removed", slog.Any("error", err))
	}
}
