package statestest

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/bbolt"

	"latchkey/local/states/engine"
	"latchkey/local/states/journal"
	"latchkey/shared/store"
)

// Process is Step Functions with executions that are kept in a file, and the functions that it calls. It
// can be killed with all of them: neither a transition nor a write of a task is kept after that. It lives
// in a synctest bubble.
type Process struct {
	*Killer

	t    testing.TB
	path string
	at   int
	boot func(journal.Journal) *engine.Engine
	stop func()
}

// NewProcess returns a process that is not started yet and that is killed once, at a write as NewKiller
// has it. boot is called at every start for the engine of the new process.
func NewProcess(t testing.TB, at int, lost bool, boot func(journal.Journal) *engine.Engine) *Process {
	t.Helper()
	return &Process{Killer: NewKiller(nil, 0, lost), t: t, at: at, path: filepath.Join(t.TempDir(), "workflows.db"), boot: boot}
}

// Start starts the process, over what the last one kept.
func (p *Process) Start() {
	p.t.Helper()
	db, err := bbolt.Open(p.path, 0o600, &bbolt.Options{Timeout: time.Second, NoSync: true}) // the machine goes on
	p.must(err)
	kept, err := journal.Bolt(db, "executions")
	p.must(err)
	p.Revive(kept, p.at)
	p.at = 0 // it is killed once
	ctx, end := context.WithCancel(p.t.Context())
	ended, run := make(chan error, 1), p.boot(p.Killer)
	go func() { ended <- run.Run(ctx) }()
	p.stop = func() {
		synctest.Wait()
		end()
		if err := <-ended; err != nil && !errors.Is(err, ErrKilled) {
			p.t.Error(err)
		}
		p.must(db.Close())
	}
}

// Stop ends the process once nothing is under way in it.
func (p *Process) Stop() {
	p.t.Helper()
	p.stop()
}

// Restart starts the next process if this one was killed, and reports whether it was.
func (p *Process) Restart() (killed bool) {
	p.t.Helper()
	if p.Alive() == nil {
		return false
	}
	p.Stop()
	p.Start()
	return true
}

// Table is a table as the process writes it: no more once it was killed.
func (p *Process) Table(t store.Table) store.Table { return mortal{t, p.Killer} }

type mortal struct {
	store.Table

	killer *Killer
}

func (m mortal) Write(ctx context.Context, ops ...store.Op) error {
	if err := m.killer.Alive(); err != nil {
		return err
	}
	return m.Table.Write(ctx, ops...)
}

func (p *Process) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}
