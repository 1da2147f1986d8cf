// Package memengine is a database in memory under the agent, for simulations of months and of
// hundreds of nodes. It encrypts what it keeps exactly as an engine with files does, so a
// mistake with keys shows in the data.
//
// Its invariant is the engines': what the Disk holds opens with the master key alone. Its Disk
// outlives it, as files outlive a process.
package memengine

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"latchkey/agent"
	"latchkey/agent/dump"
	"latchkey/agent/keytable"
)

// ErrNotRunning is returned for data of an engine that is not running.
var ErrNotRunning = errors.New("memengine: not running")

// Disk is what survives the engine. The zero value is empty. One engine uses it at a time.
type Disk struct {
	mu    sync.Mutex
	table []byte                       // keytable, encoded; nil for none
	files map[string]map[string][]byte // by database id, then by key
}

// Bytes is everything on the disk, for tests that look for plaintext.
func (d *Disk) Bytes() []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := slices.Clone(d.table)
	for _, file := range d.files {
		for _, value := range file {
			all = append(all, value...)
		}
	}
	return all
}

// Source opens a stream of another node's data, made by Export, or nil where this is the first
// node. An engine without data reads it when it starts.
type Source func(ctx context.Context) (io.ReadCloser, error)

// Config is what an engine needs.
type Config struct {
	Disk   *Disk
	Source Source // nil: always the first node
	Now    func() time.Time
}

// Engine implements agent.Engine. It is safe for concurrent use.
type Engine struct {
	cfg Config

	status atomic.Pointer[agent.Status] // apart from mu: it is read while a long copy holds mu
	mu     sync.Mutex
	table  keytable.Table
	key    *agent.MasterKey
	open   map[string]cipher.AEAD // by database; nil values where nothing is encrypted
}

// New returns a stopped engine over a disk.
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
	table, err := e.load(key)
	if err != nil {
		return err
	}
	if err := table.Opens(key); err != nil {
		return err
	}
	e.table, e.open = table, map[string]cipher.AEAD{}
	if key != nil {
		e.key = key.Clone()
	}
	at := e.cfg.Now()
	e.show(agent.Status{Phase: agent.Syncing, StartedAt: at})
	if err := e.complete(ctx, key); err != nil {
		e.close()
		return err
	}
	e.show(agent.Status{Phase: agent.Running, StartedAt: at})
	return nil
}

// load reads the table, or begins one.
func (e *Engine) load(key *agent.MasterKey) (keytable.Table, error) {
	e.cfg.Disk.mu.Lock()
	content := e.cfg.Disk.table
	e.cfg.Disk.mu.Unlock()
	if content != nil {
		return keytable.Parse(content)
	}
	table, err := keytable.New(key)
	if err != nil {
		return keytable.Table{}, err
	}
	return table, e.store(table)
}

func (e *Engine) store(t keytable.Table) error {
	content, err := t.Encode()
	if err != nil {
		return err
	}
	e.cfg.Disk.mu.Lock()
	defer e.cfg.Disk.mu.Unlock()
	e.cfg.Disk.table = content
	return nil
}

// complete copies the data of another node, unless that was done before. What an interrupted
// copy left is dropped.
func (e *Engine) complete(ctx context.Context, key *agent.MasterKey) error {
	if e.table.Complete {
		return nil
	}
	table, err := keytable.New(key)
	if err != nil {
		return err
	}
	e.table = table
	if e.cfg.Source != nil {
		if err := e.copy(ctx); err != nil {
			return fmt.Errorf("copy from another node: %w", err)
		}
	}
	e.table.Complete = true
	return e.store(e.table)
}

func (e *Engine) copy(ctx context.Context) error {
	stream, err := e.cfg.Source(ctx)
	if err != nil || stream == nil {
		return err
	}
	defer stream.Close() //nolint:errcheck // it was only read
	return dump.Read(stream, e.put)
}

// Stop implements agent.Engine.
func (e *Engine) Stop(context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.close()
	return nil
}

func (e *Engine) close() {
	e.key.Destroy()
	e.key, e.open = nil, nil
	e.show(agent.Status{Phase: agent.Stopped})
}

// Fail stops the engine as a crash of its process would.
func (e *Engine) Fail(detail string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.close()
	e.show(agent.Status{Phase: agent.Failed, Detail: detail})
}

// Rotate implements agent.Engine.
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

// Wipe implements agent.Engine.
func (e *Engine) Wipe(context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.running() {
		return errors.New("memengine: running")
	}
	e.cfg.Disk.mu.Lock()
	defer e.cfg.Disk.mu.Unlock()
	e.cfg.Disk.table, e.cfg.Disk.files = nil, nil
	return nil
}

// Snapshot implements agent.Engine.
func (e *Engine) Snapshot(_ context.Context, sink agent.SnapshotSink) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.running() {
		return ErrNotRunning
	}
	e.cfg.Disk.mu.Lock()
	defer e.cfg.Disk.mu.Unlock()
	var data bytes.Buffer
	out := dump.NewWriter(&data)
	for _, id := range slices.Sorted(maps.Keys(e.cfg.Disk.files)) {
		for key, stored := range e.cfg.Disk.files[id] {
			if err := out.Write(dump.Record{Database: id, Key: key, Value: stored}); err != nil {
				return err
			}
		}
	}
	if err := errors.Join(out.Close(), save(sink, dataFile, data.Bytes())); err != nil {
		return err
	}
	return save(sink, tableFile, e.cfg.Disk.table)
}

// The files of a snapshot.
const (
	tableFile = "keytable.json"
	dataFile  = "data" // what the disk holds, as it holds it
)

func save(sink agent.SnapshotSink, name string, content []byte) error {
	w, err := sink.Create(name)
	if err != nil {
		return err
	}
	if _, err := w.Write(content); err != nil {
		return errors.Join(err, w.Close())
	}
	return w.Close()
}

// Restore implements agent.Engine. The disk changes in one step, when all files are read.
func (e *Engine) Restore(ctx context.Context, files agent.SnapshotFiles) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.running() {
		return errors.New("memengine: running")
	}
	table, err := read(files, tableFile)
	if err != nil {
		return err
	}
	content, err := read(files, dataFile)
	if err != nil {
		return err
	}
	data := map[string]map[string][]byte{}
	err = dump.Read(bytes.NewReader(content), func(r dump.Record) error {
		if data[r.Database] == nil {
			data[r.Database] = map[string][]byte{}
		}
		data[r.Database][r.Key] = r.Value
		return context.Cause(ctx)
	})
	if err != nil {
		return err
	}
	e.cfg.Disk.mu.Lock()
	defer e.cfg.Disk.mu.Unlock()
	e.cfg.Disk.table, e.cfg.Disk.files = table, data
	return nil
}

func read(files agent.SnapshotFiles, name string) ([]byte, error) {
	f, err := files.Open(name)
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(f)
	return content, errors.Join(err, f.Close())
}

// Put stores a value.
func (e *Engine) Put(_ context.Context, database, key string, value []byte) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.running() {
		return ErrNotRunning
	}
	return e.put(dump.Record{Database: database, Key: key, Value: value})
}

func (e *Engine) put(r dump.Record) error {
	if _, ok := e.table.Databases[r.Database]; !ok {
		table, err := e.table.With(r.Database, e.key)
		if err != nil {
			return err
		}
		if err := e.store(table); err != nil {
			return err
		}
		e.table = table
	}
	aead, err := e.aead(r.Database)
	if err != nil {
		return err
	}
	stored := slices.Clone(r.Value)
	if aead != nil {
		stored = aead.Seal(nil, nil, r.Value, []byte(r.Key)) //nolint:gosec // the AEAD makes its nonces itself
	}
	d, id := e.cfg.Disk, e.table.Databases[r.Database].ID
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.files == nil {
		d.files = map[string]map[string][]byte{}
	}
	if d.files[id] == nil {
		d.files[id] = map[string][]byte{}
	}
	d.files[id][r.Key] = stored
	return nil
}

// aead is the cipher of a database, nil where nothing is encrypted.
func (e *Engine) aead(database string) (cipher.AEAD, error) {
	if aead, ok := e.open[database]; ok {
		return aead, nil
	}
	secret, err := e.table.Key(database, e.key)
	if err != nil {
		return nil, err
	}
	defer clear(secret)
	var aead cipher.AEAD
	if secret != nil {
		block, err := aes.NewCipher(secret)
		if err != nil {
			return nil, err
		}
		if aead, err = cipher.NewGCMWithRandomNonce(block); err != nil {
			return nil, err
		}
	}
	e.open[database] = aead
	return aead, nil
}

// Get reads a value; found is false where there is none.
func (e *Engine) Get(ctx context.Context, database, key string) (value []byte, found bool, err error) {
	err = e.Scan(ctx, database, key, func(k string, v []byte) error {
		if k == key {
			value, found = v, true
		}
		return nil
	})
	return value, found, err
}

// Scan calls fn for the keys of a database that begin with prefix, in order.
func (e *Engine) Scan(_ context.Context, database, prefix string, fn func(key string, value []byte) error) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.running() {
		return ErrNotRunning
	}
	return e.scan(database, prefix, fn)
}

func (e *Engine) scan(database, prefix string, fn func(key string, value []byte) error) error {
	entry, ok := e.table.Databases[database]
	if !ok {
		return nil
	}
	aead, err := e.aead(database)
	if err != nil {
		return err
	}
	e.cfg.Disk.mu.Lock()
	file := maps.Clone(e.cfg.Disk.files[entry.ID])
	e.cfg.Disk.mu.Unlock()
	for _, key := range slices.Sorted(maps.Keys(file)) {
		if !strings.HasPrefix(key, prefix) {
			continue
		}
		value := slices.Clone(file[key])
		if aead != nil {
			if value, err = aead.Open(nil, nil, value, []byte(key)); err != nil {
				return keytable.ErrDamaged
			}
		}
		if err := fn(key, value); err != nil {
			return err
		}
	}
	return nil
}

// Export writes all data, for the Source of another node.
func (e *Engine) Export(_ context.Context, w io.Writer) error {
	if !e.running() { // before the lock: two nodes that both copy must not wait for each other
		return ErrNotRunning
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.running() {
		return ErrNotRunning
	}
	out := dump.NewWriter(w)
	for _, database := range slices.Sorted(maps.Keys(e.table.Databases)) {
		err := e.scan(database, "", func(key string, value []byte) error {
			return out.Write(dump.Record{Database: database, Key: key, Value: value})
		})
		if err != nil {
			return err
		}
	}
	return out.Close()
}
