package sim

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"latchkey/local/states/journal"
	"latchkey/shared/store"
)

// table is the table as the functions reach it, step by step.
type table struct {
	store.Table

	conductor *conductor
	// wrote is told of every write at its turn, with the items as they were before.
	wrote func(ctx context.Context, ops []store.Op, before map[store.Key]store.Item)
}

// errUnavailable is what a table says that can't answer just now.
var errUnavailable = fmt.Errorf("table: %w: throttled", errInjected)

func (t *table) read(ctx context.Context, what string) error {
	f, err := t.conductor.enter(ctx, reading, what)
	if err == nil && f.kind == refused {
		return errUnavailable
	}
	return err
}

// Get implements store.Table.
func (t *table) Get(ctx context.Context, key store.Key) (store.Item, error) {
	if err := t.read(ctx, key.String()); err != nil {
		return store.Item{}, err
	}
	return t.Table.Get(ctx, key)
}

// Query implements store.Table.
func (t *table) Query(ctx context.Context, q store.Query) (store.Page, error) {
	if err := t.read(ctx, fmt.Sprintf("%s %s* %t %v", q.PK, q.Prefix, q.Index, q.After)); err != nil {
		return store.Page{}, err
	}
	return t.Table.Query(ctx, q)
}

// Write implements store.Table.
func (t *table) Write(ctx context.Context, ops ...store.Op) error {
	f, err := t.conductor.enter(ctx, writing, describe(ops))
	if err != nil {
		return err
	}
	switch f.kind { //nolint:exhaustive // the others are written
	case refused:
		return errUnavailable
	case contended:
		return &store.ConflictError{Key: ops[f.draw%uint64(len(ops))].Item.Key}
	}
	before := map[store.Key]store.Item{}
	for _, op := range ops {
		if item, err := t.Table.Get(ctx, op.Item.Key); err == nil {
			before[op.Item.Key] = item
		}
	}
	if err := t.Table.Write(ctx, ops...); err != nil {
		return err
	}
	t.wrote(ctx, ops, before)
	switch f.kind {
	case killedAfter:
		processOf(ctx).end()
		return errDead
	case lost:
		return errUnavailable
	default:
		return nil
	}
}

func describe(ops []store.Op) string {
	all := make([]string, len(ops)) // in order: in a transaction there is none
	for i, op := range ops {
		all[i] = fmt.Sprintf("%d %s@%d", op.Kind, op.Item.Key, op.Item.Version)
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// records is the journal of the workflows' engine.
type records struct {
	journal.Journal

	conductor *conductor
	by        *process
	secrets   *secrets
}

// Write implements journal.Journal.
func (r *records) Write(changes []journal.Change) error {
	what := make([]string, len(changes))
	for i, c := range changes {
		what[i] = c.Part + "/" + c.Sort
	}
	f, err := r.conductor.enter(within(context.Background(), r.by), journaling, strings.Join(what, " "))
	if err != nil {
		return err
	}
	for i, c := range changes {
		r.secrets.look("the workflows' journal", []byte(what[i]))
		r.secrets.look("the workflows' journal", c.Value)
	}
	if err := r.Journal.Write(changes); err != nil {
		return err
	}
	if f.kind == killedAfter {
		r.by.end()
		return errDead
	}
	return nil
}
