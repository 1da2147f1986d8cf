//go:build unix

// Package execengine supervises any database program under the agent and hands it the master
// key as a file in memory, for as long as it needs to start.
//
// Its one invariant: the key file is on tmpfs (unless the operator said otherwise), readable by
// its owner only, and gone once the program is ready or has ended. The agent's command imports it.
package execengine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"latchkey/agent"
)

// Restart says when a program that ended by itself is started again.
type Restart string

// The policies.
const (
	Always    Restart = "always"
	OnFailure Restart = "on-failure" // not after exit code 0
)

// Defaults of Config.
const (
	DefaultKeepKey      = 30 * time.Second
	DefaultGrace        = 2 * time.Minute
	DefaultRestartDelay = time.Second
	// maxRestartDelay and maxRestarts bound what is tried with the key in memory. After that
	// the agent has the key released again, which a revoked one is not.
	maxRestartDelay = time.Minute
	maxRestarts     = 5
	// steady is how long a program must run for its earlier failures to be forgotten.
	steady = 10 * time.Minute
)

// Config is what an engine needs. Command and WipeCommand are text/template per argument, with
// {{.KeyFile}}, which is empty where nothing is encrypted. An argument that renders to nothing
// is left out: {{if .KeyFile}}--enableEncryption{{end}}.
type Config struct {
	// Name tells the key files of several agents on one host apart: letters, digits, - and _.
	Name    string
	Command []string
	// WipeCommand removes the data, for RESYNC and DELETE; it runs while the program is stopped.
	// Without it what is in DataDir is removed, and without that those are not supported.
	WipeCommand []string
	// DataDir is where the program keeps all of its data and nothing else, for SNAPSHOT and
	// RESTORE. Without it those are not supported.
	DataDir string
	Dir     string   // the program's working directory, "" for the agent's
	Env     []string // the program's whole environment
	// Output gets what the program prints, line by line.
	Output io.Writer

	KeyDir    string
	KeyFormat Format
	// AllowDisk accepts a KeyDir that is not in memory.
	AllowDisk bool
	// Ready is a TCP address that accepts connections once the program is ready. Without it
	// the program counts as ready after KeepKey.
	Ready   string
	KeepKey time.Duration // 0 means DefaultKeepKey

	Restart      Restart       // "" means Always
	RestartDelay time.Duration // before the first restart; it doubles. 0 means DefaultRestartDelay
	Grace        time.Duration // from SIGTERM to SIGKILL. 0 means DefaultGrace

	Log *slog.Logger
	Now func() time.Time
}

// Engine implements agent.Engine for a program.
type Engine struct {
	cfg     Config
	command arguments
	wipe    arguments
	keyFile keyFile
	status  atomic.Pointer[agent.Status]

	mu  sync.Mutex
	run *run // nil while stopped
}

// run is one Start to Stop, over any number of processes.
type run struct {
	key    *agent.MasterKey // nil where nothing is encrypted
	cancel context.CancelFunc
	done   chan struct{} // closed when nothing of the run is left
}

var validName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// New checks the configuration; it starts nothing.
func New(cfg Config) (*Engine, error) {
	if !validName.MatchString(cfg.Name) {
		return nil, fmt.Errorf("execengine: %q is no name: letters, digits, - and _ only", cfg.Name)
	}
	if len(cfg.Command) == 0 {
		return nil, errors.New("execengine: no command")
	}
	if cfg.Restart != "" && cfg.Restart != Always && cfg.Restart != OnFailure {
		return nil, fmt.Errorf("execengine: unknown restart policy %q", cfg.Restart)
	}
	if _, err := cfg.KeyFormat.encode(nil); err != nil {
		return nil, err
	}
	e := &Engine{cfg: withDefaults(cfg), keyFile: keyFile{parent: cfg.KeyDir, name: cfg.Name, allowDisk: cfg.AllowDisk}}
	var err error
	if e.command, err = parseArguments(cfg.Command); err != nil {
		return nil, err
	}
	if e.wipe, err = parseArguments(cfg.WipeCommand); err != nil {
		return nil, err
	}
	e.show(agent.Stopped, "")
	return e, nil
}

// Check refuses a key directory that Start would refuse, before there is a key to write.
func (e *Engine) Check() error { return e.keyFile.check() }

func withDefaults(cfg Config) Config {
	for value, standard := range map[*time.Duration]time.Duration{
		&cfg.KeepKey: DefaultKeepKey, &cfg.Grace: DefaultGrace, &cfg.RestartDelay: DefaultRestartDelay,
	} {
		if *value == 0 {
			*value = standard
		}
	}
	return cfg
}

func (e *Engine) show(p agent.Phase, detail string) {
	s := agent.Status{Phase: p, Detail: detail}
	if p == agent.Starting || p == agent.Running {
		s.StartedAt = e.cfg.Now()
		if old := e.status.Load(); p == agent.Running && old != nil {
			s.StartedAt = old.StartedAt
		}
	}
	e.status.Store(&s)
}

// Status implements agent.Engine.
func (e *Engine) Status() agent.Status { return *e.status.Load() }

// Start implements agent.Engine. The key stays in memory while the program runs, so that one
// that crashes comes back although the KMS cannot be reached just then.
func (e *Engine) Start(ctx context.Context, key *agent.MasterKey) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if e.run != nil {
		select {
		case <-e.run.done: // it gave up by itself
			e.end()
		default:
			return nil
		}
	}
	return e.begin(ctx, key)
}

// begin starts a run. e.mu is held, and there is none.
func (e *Engine) begin(ctx context.Context, key *agent.MasterKey) error {
	r := &run{done: make(chan struct{})}
	if key != nil {
		r.key = key.Clone()
	}
	e.show(agent.Starting, "")
	first, err := e.launch(r.key)
	if err != nil {
		r.key.Destroy()
		e.show(agent.Stopped, err.Error())
		return err
	}
	var running context.Context
	running, r.cancel = context.WithCancel(context.WithoutCancel(ctx))
	e.run = r
	go e.supervise(running, r, first)
	return nil
}

// end forgets a run of which nothing is left. e.mu is held.
func (e *Engine) end() {
	e.run.cancel()
	e.run.key.Destroy()
	e.run = nil
}

// Stop implements agent.Engine: SIGTERM to the whole process group, and SIGKILL after the grace
// period, or when ctx ends.
func (e *Engine) Stop(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.halt(ctx)
}

// halt ends the run, if there is one. e.mu is held.
func (e *Engine) halt(ctx context.Context) error {
	if e.run == nil {
		e.show(agent.Stopped, "")
		return nil
	}
	e.run.cancel()
	select {
	case <-e.run.done:
	case <-ctx.Done():
		return context.Cause(ctx) // the run goes on ending; Stop again to wait for it
	}
	e.end()
	e.show(agent.Stopped, "")
	return nil
}

// Rotate implements agent.Engine. Programs that take their key from a file cannot change it
// without rewriting their data; a resync does that.
func (e *Engine) Rotate(context.Context, *agent.MasterKey) error { return agent.ErrUnsupported }

// Wipe implements agent.Engine by the operator's command, or by clearing the data directory.
func (e *Engine) Wipe(ctx context.Context) error {
	if len(e.wipe) == 0 && e.cfg.DataDir == "" {
		return agent.ErrUnsupported
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.run != nil {
		return errRunning
	}
	if len(e.wipe) == 0 {
		return clearDir(e.cfg.DataDir)
	}
	args, err := e.wipe.render("")
	if err != nil {
		return err
	}
	p, err := e.spawn(args)
	if err != nil {
		return fmt.Errorf("wipe: %w", err)
	}
	select {
	case <-p.exited:
	case <-ctx.Done():
		p.stop(e.cfg.Grace)
		return context.Cause(ctx)
	}
	if p.err != nil {
		return fmt.Errorf("wipe: %w", p.err)
	}
	return nil
}
