package badgerengine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"latchkey/agent/dump"
)

// Sizes of a store. A suite on one machine runs many nodes, each with several stores, and
// Badger's own defaults take hundreds of megabytes for each.
const (
	memTableSize = 2 << 20
	valueLogSize = 8 << 20
	cacheSize    = 1 << 20
	// valueThreshold is from what size on values go to the value log; below, they must fit
	// into a batch, which Badger sizes by the memtable.
	valueThreshold = 64 << 10
	memTables      = 2
	compactors     = 2 // the fewest that Badger accepts
)

// storeOptions open one database. secret is nil where nothing is encrypted.
func storeOptions(dir string, secret []byte) badger.Options {
	o := badger.DefaultOptions(dir).
		WithLogger(nil).      // it would print keys that clients chose
		WithSyncWrites(true). // what is acknowledged survives a crash
		WithMetricsEnabled(false).
		WithCompression(options.None). // compressed sizes tell about content
		WithMemTableSize(memTableSize).
		WithNumMemtables(memTables).
		WithValueLogFileSize(valueLogSize).
		WithValueThreshold(valueThreshold).
		WithNumCompactors(compactors).
		WithBlockCacheSize(cacheSize).
		WithCompactL0OnClose(false)
	if secret != nil {
		o = o.WithEncryptionKey(secret).WithIndexCacheSize(cacheSize)
	}
	return o
}

// database opens a database that the table knows.
func (e *Engine) database(name string) (*badger.DB, error) {
	if db, ok := e.open[name]; ok {
		return db, nil
	}
	entry, ok := e.table.Databases[name]
	if !ok {
		return nil, nil //nolint:nilnil // there is no such database, which is an answer
	}
	secret, err := e.table.Key(name, e.key)
	if err != nil {
		return nil, err
	}
	if err := e.hasRoom(); err != nil {
		clear(secret)
		return nil, err
	}
	dir := filepath.Join(e.cfg.Dir, stores, entry.ID)
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return nil, err
	}
	options := storeOptions(dir, secret)
	if e.cfg.Options != nil {
		options = e.cfg.Options(options)
	}
	db, err := badger.Open(options) // it keeps secret, which must not be cleared
	if err != nil {
		clear(secret)
		return nil, fmt.Errorf("open database %q: %w", name, err)
	}
	e.open[name] = db
	return db, nil
}

// create opens a database, and makes it if it is new. Its key is in the stored table before
// anything is written under it.
func (e *Engine) create(name string) (*badger.DB, error) {
	if _, ok := e.table.Databases[name]; !ok {
		table, err := e.table.With(name, e.key)
		if err != nil {
			return nil, err
		}
		if err := e.store(table); err != nil {
			return nil, err
		}
		e.table = table
	}
	return e.database(name)
}

// Put stores a value. It is on disk when Put returns. It returns ErrNoRoom while the disk is nearly full.
func (e *Engine) Put(_ context.Context, database, key string, value []byte) error {
	write := func(db *badger.DB) error {
		if err := e.hasRoom(); err != nil {
			return err
		}
		return db.Update(func(tx *badger.Txn) error { return tx.Set(stored(key), value) })
	}
	e.mu.RLock()
	db, ok := e.open[database]
	if e.running() && ok {
		defer e.mu.RUnlock()
		return write(db)
	}
	e.mu.RUnlock()
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.running() {
		return ErrNotRunning
	}
	db, err := e.create(database)
	if err != nil {
		return err
	}
	return write(db)
}

// stored is a key as Badger takes it: it refuses empty ones and some prefixes of its own.
func stored(key string) []byte { return append([]byte{'k'}, key...) }

// Get reads a value; found is false where there is none.
func (e *Engine) Get(_ context.Context, database, key string) (value []byte, found bool, err error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if !e.running() {
		return nil, false, ErrNotRunning
	}
	db, ok := e.open[database]
	if !ok {
		return nil, false, nil
	}
	err = db.View(func(tx *badger.Txn) error {
		item, err := tx.Get(stored(key))
		if err != nil {
			return err
		}
		value, err = item.ValueCopy(nil)
		return err
	})
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, false, nil
	}
	return value, err == nil, err
}

// Scan calls fn for the keys of a database that begin with prefix, in order. fn must not write.
func (e *Engine) Scan(ctx context.Context, database, prefix string, fn func(key string, value []byte) error) error {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if !e.running() {
		return ErrNotRunning
	}
	return e.scan(ctx, database, prefix, fn)
}

func (e *Engine) scan(ctx context.Context, database, prefix string, fn func(key string, value []byte) error) error {
	db, ok := e.open[database]
	if !ok {
		return nil
	}
	return db.View(func(tx *badger.Txn) error {
		opts := badger.DefaultIteratorOptions
		opts.Prefix = stored(prefix)
		it := tx.NewIterator(opts)
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			value, err := it.Item().ValueCopy(nil)
			if err != nil {
				return err
			}
			if err := fn(string(it.Item().Key()[1:]), value); err != nil {
				return err
			}
		}
		return nil
	})
}

// Export writes all data, each database as of one moment, for the Source of another node. It
// goes over the wire in the clear: send it to nodes of the same cluster only.
func (e *Engine) Export(ctx context.Context, w io.Writer) error {
	if !e.running() { // before the lock: two nodes that both copy must not wait for each other
		return ErrNotRunning
	}
	e.mu.RLock()
	defer e.mu.RUnlock()
	if !e.running() {
		return ErrNotRunning
	}
	out := dump.NewWriter(w)
	for _, database := range slices.Sorted(maps.Keys(e.open)) {
		err := e.scan(ctx, database, "", func(key string, value []byte) error {
			return out.Write(dump.Record{Database: database, Key: key, Value: value})
		})
		if err != nil {
			return err
		}
	}
	return out.Close()
}

// batches write the records of a copy, many at a time.
type batches struct {
	engine *Engine
	open   map[string]*badger.WriteBatch
}

func (b *batches) put(r dump.Record) error {
	if err := b.engine.hasRoom(); err != nil {
		return err
	}
	batch, ok := b.open[r.Database]
	if !ok {
		db, err := b.engine.create(r.Database)
		if err != nil {
			return err
		}
		batch = db.NewWriteBatch()
		b.open[r.Database] = batch
	}
	return batch.Set(stored(r.Key), r.Value)
}

func (b *batches) flush() error {
	for name, batch := range b.open {
		if err := batch.Flush(); err != nil {
			return err
		}
		delete(b.open, name)
	}
	return nil
}

// cancel gives up what was not flushed.
func (b *batches) cancel() {
	for _, batch := range b.open {
		batch.Cancel()
	}
}
