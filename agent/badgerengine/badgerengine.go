// Package badgerengine is an embedded database under the agent: one Badger store per database,
// each encrypted under a random key of its own, which the node's master key wraps in a table.
//
// Its one invariant: without the master key nothing that was put into an encrypted engine can
// be read from its directory, names of databases excepted; and rotating the master key rewrites
// that table only. The suite on one machine imports it, so that a node there really encrypts.
package badgerengine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/badger/v4"

	"latchkey/agent"
	"latchkey/agent/dump"
	"latchkey/agent/keytable"
	"latchkey/agent/statedir"
)

// ErrNotRunning is returned for data of an engine that is not running.
var ErrNotRunning = errors.New("badgerengine: not running")

var errRunning = errors.New("badgerengine: running")

const (
	tableFile = "keytable.json"
	newTable  = tableFile + ".new"
	stores    = "stores" // below it, one directory per database
	dirMode   = 0o700
)

// Source opens a stream of another node's data, made by Export, or nil where this is the first
// node. An engine without data reads it when it starts.
type Source func(ctx context.Context) (io.ReadCloser, error)

// Config is what an engine needs.
type Config struct {
	// Dir holds the files. It is made if it is not there, and belongs to this engine alone.
	Dir    string
	Source Source // nil: always the first node
	Now    func() time.Time
	// Options may change those of the stores; nil leaves them. What encrypts, and what makes acknowledged
	// writes safe, is not to be changed.
	Options func(badger.Options) badger.Options
	// Free is how many bytes are free on the disk of a directory; nil asks the system.
	Free func(dir string) (uint64, error)
}

// Engine implements agent.Engine. It is safe for concurrent use.
type Engine struct {
	cfg    Config
	status atomic.Pointer[agent.Status] // apart from mu: it is read while a long copy holds mu

	mu    sync.RWMutex // written by what changes the engine, read by what uses its data
	files *statedir.OS // the directory, locked
	table keytable.Table
	key   *agent.MasterKey
	open  map[string]*badger.DB // by database
}

// New returns a stopped engine; it does no I/O.
func New(cfg Config) *Engine {
	e := &Engine{cfg: cfg}
	e.show(agent.Status{Phase: agent.Stopped})
	return e
}

func (e *Engine) show(s agent.Status) { e.status.Store(&s) }

func (e *Engine) running() bool { return e.Status().Phase == agent.Running }

// Status implements agent.Engine.
func (e *Engine) Status() agent.Status { return *e.status.Load() }

// Start implements agent.Engine.
func (e *Engine) Start(ctx context.Context, key *agent.MasterKey) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.running() {
		return nil
	}
	at := e.cfg.Now()
	if err := e.begin(key); err != nil {
		return errors.Join(err, e.close())
	}
	e.show(agent.Status{Phase: agent.Syncing, StartedAt: at})
	if err := e.complete(ctx); err != nil {
		return errors.Join(err, e.close())
	}
	if err := e.openAll(ctx); err != nil {
		return errors.Join(err, e.close())
	}
	e.show(agent.Status{Phase: agent.Running, StartedAt: at})
	return nil
}

// begin locks the directory and opens its table.
func (e *Engine) begin(key *agent.MasterKey) error {
	files, err := statedir.Open(e.cfg.Dir)
	if err != nil {
		return err
	}
	e.files, e.open = files, map[string]*badger.DB{}
	if e.table, err = e.load(key); err != nil {
		return err
	}
	if err := e.table.Opens(key); err != nil {
		return err
	}
	if key != nil {
		e.key = key.Clone()
	}
	return nil
}

// load reads the table, or begins one. A directory that has stores and no table is not new: its
// keys are lost, and beginning anew would hide that.
func (e *Engine) load(key *agent.MasterKey) (keytable.Table, error) {
	content, err := e.files.ReadFile(tableFile)
	if err == nil {
		return keytable.Parse(content)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return keytable.Table{}, err
	}
	if _, err := os.Stat(filepath.Join(e.cfg.Dir, stores)); !errors.Is(err, fs.ErrNotExist) {
		return keytable.Table{}, fmt.Errorf("%s is missing: %w", tableFile, errors.Join(keytable.ErrDamaged, err))
	}
	table, err := keytable.New(key)
	if err != nil {
		return keytable.Table{}, err
	}
	return table, e.store(table)
}

// store replaces the table in one step. It keeps no predecessor, which would not know of the
// newest database, or be under a key that is gone.
func (e *Engine) store(t keytable.Table) error {
	content, err := t.Encode()
	if err != nil {
		return err
	}
	if err := e.files.WriteSynced(newTable, content); err != nil {
		return err
	}
	if err := e.files.Rename(newTable, tableFile); err != nil {
		return err
	}
	return e.files.Sync()
}

// complete copies the data of another node, unless that was done before. What an interrupted
// copy left is dropped first.
func (e *Engine) complete(ctx context.Context) error {
	if e.table.Complete {
		return nil
	}
	fresh, err := keytable.New(e.key)
	if err != nil {
		return err
	}
	if err := os.RemoveAll(filepath.Join(e.cfg.Dir, stores)); err != nil {
		return err
	}
	if err := e.store(fresh); err != nil {
		return err
	}
	e.table = fresh
	if e.cfg.Source != nil {
		if err := e.copy(ctx); err != nil {
			return fmt.Errorf("copy from another node: %w", err)
		}
	}
	whole := e.table
	whole.Complete = true
	if err := e.store(whole); err != nil {
		return err
	}
	e.table = whole
	return nil
}

func (e *Engine) copy(ctx context.Context) error {
	stream, err := e.cfg.Source(ctx)
	if err != nil || stream == nil {
		return err
	}
	defer stream.Close() //nolint:errcheck // it was only read
	batches := batches{engine: e, open: map[string]*badger.WriteBatch{}}
	defer batches.cancel()
	err = dump.Read(stream, func(r dump.Record) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return batches.put(r)
	})
	if err != nil {
		return err
	}
	return batches.flush()
}

// openAll opens every database, so that a store that cannot be opened is a failed start rather
// than a surprise later.
func (e *Engine) openAll(ctx context.Context) error {
	for name := range e.table.Databases {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if _, err := e.database(name); err != nil {
			return err
		}
	}
	return nil
}

// Stop implements agent.Engine.
func (e *Engine) Stop(context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.close()
}

// close closes what is open and forgets the key.
func (e *Engine) close() error {
	var errs []error
	for name, db := range e.open {
		if err := db.Close(); err != nil {
			errs = append(errs, fmt.Errorf("close database %q: %w", name, err))
		}
	}
	if e.files != nil {
		errs = append(errs, e.files.Close())
	}
	e.key.Destroy()
	e.key, e.open, e.files, e.table = nil, nil, nil, keytable.Table{}
	e.show(agent.Status{Phase: agent.Stopped})
	return errors.Join(errs...)
}

// Rotate implements agent.Engine. Only the table is written, in one step; the stores and their
// keys stay.
func (e *Engine) Rotate(_ context.Context, next *agent.MasterKey) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.running() {
		return ErrNotRunning
	}
	var err error
	e.table, e.key, err = e.table.Turn(e.key, next, e.store)
	return err
}

// Wipe implements agent.Engine. The stores go first: as long as the table is there, what is
// left belongs to it.
func (e *Engine) Wipe(context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.files != nil {
		return errRunning
	}
	files, err := statedir.Open(e.cfg.Dir)
	if err != nil {
		return err
	}
	return errors.Join(wipe(e.cfg.Dir, files), files.Close())
}

func wipe(dir string, files *statedir.OS) error {
	if err := os.RemoveAll(filepath.Join(dir, stores)); err != nil {
		return err
	}
	if err := files.Sync(); err != nil {
		return err
	}
	for _, name := range []string{newTable, tableFile} {
		if err := files.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return files.Sync()
}
