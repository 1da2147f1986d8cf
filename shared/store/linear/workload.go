package linear

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"latchkey/shared/store"
)

// Load is what clients do at the same time.
type Load struct {
	Seed           uint64
	Clients, Steps int
	// Busy is whether the table may refuse a write because others write the same items.
	Busy bool
	// Lasting is whether nothing is ever deleted, so that each version of an item comes once.
	Lasting bool
	// Pause is how long a client waits between two calls at most; 0 leaves the order to the scheduler.
	Pause time.Duration
	// Lag is how long the index may take until it is what the table holds.
	Lag time.Duration
}

// The items that all clients fight for: most in one partition, for queries and transactions.
var contested = [...]store.Key{{PK: "P", SK: "a"}, {PK: "P", SK: "b"}, {PK: "P", SK: "c"}, {PK: "Q", SK: "a"}}

const indexPartition = "IDX"

// Run has clients use an empty table, checks what they were told, and then that its index is what the table holds.
// It returns the history.
func (l Load) Run(t testing.TB, table store.Table) *History {
	t.Helper()
	h := Record(table, l.Busy)
	var clients sync.WaitGroup
	for n := range l.Clients {
		w := &worker{
			load: l, table: h.Client(n), name: n,
			rand: rand.New(rand.NewPCG(l.Seed, uint64(n))), //nolint:gosec // chooses what to do, guards nothing
		}
		clients.Go(func() { w.work(t.Context()) })
	}
	clients.Wait()
	last := h.Client(l.Clients)
	if err := l.converged(t.Context(), last); err != nil {
		t.Errorf("seed %d: %v", l.Seed, err)
	}
	if err := h.Check(filepath.Join(t.ArtifactDir(), fmt.Sprintf("history-%d.html", l.Seed))); err != nil {
		t.Errorf("seed %d: %v (go test -artifacts keeps a picture of it)", l.Seed, err)
	}
	return h
}

// converged compares the index to the table until they are alike.
func (l Load) converged(ctx context.Context, table store.Table) error {
	const interval = 50 * time.Millisecond
	for waited := time.Duration(0); ; waited += interval {
		err := compare(ctx, table)
		if err == nil || waited >= l.Lag {
			return err
		}
		if err := wait(ctx, interval); err != nil {
			return err
		}
	}
}

func compare(ctx context.Context, table store.Table) error {
	want := map[store.Key]content{}
	for _, key := range contested {
		item, err := table.Get(ctx, key)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		want[key] = contentOf(item)
	}
	found, err := store.All(ctx, table, store.Query{PK: indexPartition, Index: true})
	if err != nil {
		return err
	}
	got := map[store.Key]content{}
	for _, item := range found {
		got[item.Key] = contentOf(item)
	}
	if len(got) != len(found) || !maps.Equal(got, want) {
		return fmt.Errorf("linear: the index holds %v, the table %v", got, want)
	}
	return nil
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// worker is one client.
type worker struct {
	load   Load
	table  store.Table
	name   int
	writes int
	rand   *rand.Rand
	known  [len(contested)]int64 // the versions that it saw last
}

func (w *worker) work(ctx context.Context) {
	for range w.load.Steps {
		if w.load.Pause > 0 {
			if err := wait(ctx, time.Duration(w.rand.Int64N(int64(w.load.Pause)))); err != nil {
				return
			}
		}
		w.step(ctx)
	}
}

// step does one thing. What fails is in the history; the client goes on.
func (w *worker) step(ctx context.Context) {
	i, j := w.rand.IntN(len(contested)), w.rand.IntN(len(contested)-1)
	if j >= i {
		j++
	}
	switch n := w.rand.IntN(20); {
	case n < 6: // the use of most entities: read it and store it changed
		w.read(ctx, i)
		w.write(ctx, w.put(i, w.known[i]))
	case n < 10: // two items that change together
		w.read(ctx, i)
		w.read(ctx, j)
		w.write(ctx, w.put(i, w.known[i]), w.put(j, w.known[j]))
	case n < 12: // one that may change only while another stays as it is
		w.read(ctx, i)
		w.read(ctx, j)
		w.write(ctx, w.put(i, w.known[i]), store.Check(contested[j], w.known[j]))
	case n < 14:
		w.write(ctx, w.remove(i))
	case n < 15:
		w.write(ctx, w.put(i, 0))
	case n < 16: // what it believes may be old
		w.write(ctx, w.put(i, w.known[i]), w.remove(j))
	case n < 17:
		w.write(ctx, store.Check(contested[i], w.known[i]))
	case n < 18:
		w.query(ctx, store.Query{PK: indexPartition, Index: true})
	default:
		w.query(ctx, store.Query{PK: contested[i].PK, Descending: w.rand.IntN(2) == 0, Limit: w.rand.IntN(3)})
	}
}

func (w *worker) read(ctx context.Context, i int) {
	item, err := w.table.Get(ctx, contested[i])
	if err == nil || errors.Is(err, store.ErrNotFound) {
		w.known[i] = item.Version
	}
}

func (w *worker) query(ctx context.Context, q store.Query) {
	page, err := w.table.Query(ctx, q)
	if err != nil {
		return
	}
	for _, item := range page.Items {
		if i := slices.Index(contested[:], item.Key); i >= 0 {
			w.known[i] = item.Version
		}
	}
}

// remove deletes an item, or makes sure that it has not changed where nothing is deleted.
func (w *worker) remove(i int) store.Op {
	if w.load.Lasting {
		return store.Check(contested[i], w.known[i])
	}
	return store.Delete(contested[i], w.known[i])
}

// put stores what nobody else ever stores.
func (w *worker) put(i int, version int64) store.Op {
	w.writes++
	body := fmt.Sprintf(`"%d.%d"`, w.name, w.writes)
	return store.Put(store.Item{
		Key: contested[i], Version: version, Body: []byte(body), Index: store.Key{PK: indexPartition, SK: body},
	})
}

func (w *worker) write(ctx context.Context, ops ...store.Op) {
	if err := w.table.Write(ctx, ops...); err != nil {
		return
	}
	for _, op := range ops {
		i := slices.Index(contested[:], op.Item.Key)
		switch op.Kind {
		case store.OpPut:
			w.known[i] = op.Item.Version + 1
		case store.OpDelete:
			w.known[i] = 0
		case store.OpCheck:
		}
	}
}
