package linear_test

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"

	"latchkey/shared/store"
	"latchkey/shared/store/bolt"
	"latchkey/shared/store/linear"
)

// broken is a table that breaks a promise.
type broken struct {
	store.Table
	write func(ctx context.Context, table store.Table, ops []store.Op) error
	get   func(ctx context.Context, table store.Table, key store.Key) (store.Item, error)
}

func (b broken) Write(ctx context.Context, ops ...store.Op) error {
	if b.write == nil {
		return b.Table.Write(ctx, ops...)
	}
	return b.write(ctx, b.Table, ops)
}

func (b broken) Get(ctx context.Context, key store.Key) (store.Item, error) {
	if b.get == nil {
		return b.Table.Get(ctx, key)
	}
	return b.get(ctx, b.Table, key)
}

// unconditional does what an operation says, whatever is stored.
func unconditional(ctx context.Context, table store.Table, ops []store.Op) error {
	for {
		var current []store.Op
		for _, op := range ops {
			item, err := table.Get(ctx, op.Item.Key)
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return err
			}
			op.Item.Version = item.Version
			current = append(current, op)
		}
		if err := table.Write(ctx, current...); !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
}

// tables that break one promise each.
func tables() map[string]func() broken {
	return map[string]func() broken{
		"every condition is lost": func() broken { return broken{write: unconditional} },
		"checks are lost": func() broken {
			return broken{write: func(ctx context.Context, table store.Table, ops []store.Op) error {
				var kept []store.Op
				for _, op := range ops {
					if op.Kind != store.OpCheck {
						kept = append(kept, op)
					}
				}
				if len(kept) == 0 {
					return nil
				}
				return table.Write(ctx, kept...)
			}}
		},
		"transactions are torn": func() broken {
			return broken{write: func(ctx context.Context, table store.Table, ops []store.Op) error {
				for _, op := range ops {
					if err := table.Write(ctx, op); err != nil {
						return err
					}
				}
				return nil
			}}
		},
		"some writes are acknowledged and do not happen": func() broken {
			var mu sync.Mutex
			n := 0
			return broken{write: func(ctx context.Context, table store.Table, ops []store.Op) error {
				mu.Lock()
				n++
				skip := n%10 == 0
				mu.Unlock()
				if skip {
					return nil
				}
				return table.Write(ctx, ops...)
			}}
		},
		"some writes happen and are refused": func() broken {
			var mu sync.Mutex
			n := 0
			return broken{write: func(ctx context.Context, table store.Table, ops []store.Op) error {
				err := table.Write(ctx, ops...)
				mu.Lock()
				n++
				lie := n%5 == 0
				mu.Unlock()
				if err == nil && lie {
					return &store.ConflictError{Key: ops[0].Item.Key}
				}
				return err
			}}
		},
		"reads are of an earlier state": func() broken {
			var mu sync.Mutex
			last := map[store.Key]store.Item{}
			return broken{get: func(ctx context.Context, table store.Table, key store.Key) (store.Item, error) {
				item, err := table.Get(ctx, key)
				mu.Lock()
				defer mu.Unlock()
				before, known := last[key]
				last[key] = item
				if err == nil && known && before.Version > 0 {
					return before, nil
				}
				return item, err
			}}
		},
	}
}

func open(t *testing.T) store.Table {
	t.Helper()
	table, err := bolt.Open(filepath.Join(t.TempDir(), "table.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { table.Close() }) //nolint:errcheck // the folder goes away
	return table
}

// silent is a test that may fail.
type silent struct {
	*testing.T
	failed bool
}

func (s *silent) Errorf(string, ...any) { s.failed = true }

func TestRun_finds_tables_that_break_a_promise(t *testing.T) {
	for name, table := range tables() {
		t.Run(name, func(t *testing.T) {
			const most = 20
			for seed := range uint64(most) {
				b := table()
				b.Table = open(t)
				attempt := &silent{T: t}
				linear.Load{Seed: seed, Clients: 3, Steps: 15, Busy: true}.Run(attempt, b)
				if attempt.failed {
					return
				}
			}
			t.Errorf("%d histories look right", most)
		})
	}
}

func TestCheck_lets_what_is_unknown_happen_late_or_never(t *testing.T) {
	ctx, key := t.Context(), store.Key{PK: "P", SK: "a"}
	item := store.Item{Key: key, Body: []byte(`1`)}
	lost := errors.New("no answer")
	for name, c := range map[string]struct {
		happens bool
		answer  error
		fails   bool
	}{
		"an unknown write that happened":     {true, lost, false},
		"an unknown write that did not":      {false, lost, false},
		"a refused write that happened":      {true, &store.ConflictError{Key: key}, true},
		"an acknowledged write that did not": {false, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			h := linear.Record(broken{Table: open(t), write: func(ctx context.Context, table store.Table, ops []store.Op) error {
				if c.happens {
					if err := table.Write(ctx, ops...); err != nil {
						return err
					}
				}
				return c.answer
			}}, true)
			client := h.Client(0)
			client.Write(ctx, store.Put(item)) //nolint:errcheck // it is what is tested
			client.Get(ctx, key)               //nolint:errcheck // what it sees is recorded
			if err := h.Check(""); (err != nil) != c.fails {
				t.Errorf("the check says %v", err)
			}
		})
	}
}
