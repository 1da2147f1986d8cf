package tenancy

import (
	"context"
	"path/filepath"
	"sync/atomic"

	"latchkey/bench/ratio"
	"latchkey/shared/store"
	"latchkey/shared/store/bolt"
	"latchkey/shared/store/keys"
)

// Table is a table whose use is counted.
type Table struct {
	store.Table

	reads, queries, writes atomic.Int64
}

// OpenTable opens an empty table in the lab.
func OpenTable(lab *ratio.Lab, name string) (*Table, error) {
	db, err := bolt.Open(filepath.Join(lab.Dir, name+".db"))
	if err != nil {
		return nil, err
	}
	lab.Defer(func() { db.Close() }) //nolint:errcheck // its folder goes away
	return &Table{Table: db}, nil
}

// Reads counts the items that were read one by one.
func (t *Table) Reads() int64 { return t.reads.Load() }

// Queries counts the pages that were read.
func (t *Table) Queries() int64 { return t.queries.Load() }

// Writes counts the transactions, but for the one in which each run of the schedule notes how far it came.
func (t *Table) Writes() int64 { return t.writes.Load() }

// Get implements store.Table.
func (t *Table) Get(ctx context.Context, key store.Key) (store.Item, error) {
	t.reads.Add(1)
	return t.Table.Get(ctx, key)
}

// Query implements store.Table.
func (t *Table) Query(ctx context.Context, q store.Query) (store.Page, error) {
	t.queries.Add(1)
	return t.Table.Query(ctx, q)
}

// Write implements store.Table.
func (t *Table) Write(ctx context.Context, ops ...store.Op) error {
	if len(ops) != 1 || ops[0].Item.Key != keys.SweepProgress() {
		t.writes.Add(1)
	}
	return t.Table.Write(ctx, ops...)
}
