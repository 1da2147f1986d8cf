package bolt_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/shared/store"
	"latchkey/shared/store/bolt"
	"latchkey/shared/store/linear"
)

// rounds is how many histories a test makes: make linear sets it, otherwise a few.
func rounds(few uint64) uint64 {
	if n, err := strconv.ParseUint(os.Getenv("LATCHKEY_LINEAR_ROUNDS"), 10, 32); err == nil {
		return n
	}
	return few
}

// forgetful is a table of which some answers are lost, before or after the effect.
type forgetful struct {
	store.Table
	calls atomic.Int64
}

var errLost = errors.New("no answer")

func (f *forgetful) Write(ctx context.Context, ops ...store.Op) error {
	switch f.calls.Add(1) % 9 {
	case 3:
		return errLost
	case 7:
		return errors.Join(errLost, f.Table.Write(ctx, ops...))
	}
	return f.Table.Write(ctx, ops...)
}

func openAt(t *testing.T, path string) *bolt.Table {
	t.Helper()
	table, err := bolt.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func TestTable_is_linearizable(t *testing.T) {
	for seed := range rounds(6) {
		table := openAt(t, filepath.Join(t.TempDir(), "table.db"))
		h := linear.Load{Seed: seed, Clients: 4, Steps: 25}.Run(t, table)
		if h.Unknown() > 0 {
			t.Errorf("seed %d: of %d writes nobody knows the outcome", seed, h.Unknown())
		}
		if err := table.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTable_is_linearizable_to_clients_that_miss_answers(t *testing.T) {
	for seed := range rounds(4) {
		table := openAt(t, filepath.Join(t.TempDir(), "table.db"))
		h := linear.Load{Seed: seed, Clients: 4, Steps: 15}.Run(t, &forgetful{Table: table})
		if h.Unknown() == 0 {
			t.Errorf("seed %d: every answer arrived", seed)
		}
		if err := table.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// impatient gives up on some writes, which then have not happened or have been answered.
type impatient struct {
	store.Table
	calls atomic.Int64
}

func (i *impatient) Write(ctx context.Context, ops ...store.Op) error {
	if i.calls.Add(1)%3 == 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, 300*time.Microsecond)
		defer cancel()
	}
	err := i.Table.Write(ctx, ops...)
	if errors.Is(err, context.DeadlineExceeded) { // says the table: nothing has happened
		return &store.ConflictError{Key: ops[0].Item.Key}
	}
	return err
}

func TestTable_is_linearizable_and_does_nothing_for_who_gave_up(t *testing.T) {
	for seed := range rounds(4) {
		table := openAt(t, filepath.Join(t.TempDir(), "table.db"))
		h := linear.Load{Seed: seed, Clients: 6, Steps: 15, Busy: true}.Run(t, &impatient{Table: table})
		if h.Unknown() > 0 {
			t.Errorf("seed %d: of %d writes nobody knows the outcome", seed, h.Unknown())
		}
		if err := table.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
