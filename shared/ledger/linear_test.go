package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/local/pocket/dynamocloud/dynamotest"
	"latchkey/shared/atlas"
	"latchkey/shared/ledger"
	"latchkey/shared/store"
	"latchkey/shared/store/bolt"
	"latchkey/shared/store/dynamo"
	"latchkey/shared/store/keys"
	"latchkey/shared/store/linear"
)

// holding is what a node holds: a copy of its master key, under a version of a customer key.
type holding struct{ CMK ledger.CMK }

const (
	raceGroup   = "650000000000000000000001"
	raceCluster = "650000000000000000000002"
	raceKey     = "master"
)

var raceNodes = []string{"65000000000000000000000a", "65000000000000000000000b"}

func raceCMK(n int) ledger.CMK {
	return ledger.CMK{Provider: atlas.AWS, Name: fmt.Sprint("arn:key-", n), Version: "1"}
}

// keeper is a client that keeps the ledger of nodes, as the service for agents does.
type keeper struct {
	table store.Table
	rand  *rand.Rand
}

func (k *keeper) step(ctx context.Context) {
	node, cmk := raceNodes[k.rand.IntN(len(raceNodes))], raceCMK(k.rand.IntN(3))
	switch n := k.rand.IntN(10); {
	case n < 3:
		k.record(ctx, node, cmk)
	case n < 7:
		k.acknowledge(ctx, node, cmk)
	case n < 8:
		ledger.Find(ctx, k.table, raceCluster, node, raceKey, cmk) //nolint:errcheck // what it sees is in the history
	case n < 9:
		ledger.OfNode(ctx, k.table, raceCluster, node) //nolint:errcheck // what it sees is in the history
	default:
		ledger.NeededBy(ctx, k.table, raceGroup, cmk.Provider, cmk.Name) //nolint:errcheck // what it sees is in the history
	}
}

// record enters a copy before the node has it.
func (k *keeper) record(ctx context.Context, node string, cmk ledger.CMK) {
	e := ledger.Entry{
		GroupID: raceGroup, ClusterID: raceCluster, NodeID: node, KeyID: raceKey, CMK: cmk, Blob: fmt.Append(nil, k.rand.Uint64()),
	}
	if put, err := e.Put(); err == nil {
		k.table.Write(ctx, put) //nolint:errcheck // it may be there
	}
}

// acknowledge notes that a node holds another copy, and strikes out what it held.
func (k *keeper) acknowledge(ctx context.Context, node string, cmk ledger.CMK) {
	now, err := ledger.Find(ctx, k.table, raceCluster, node, raceKey, cmk)
	if err != nil {
		return
	}
	held, version, err := store.Load[holding](ctx, k.table, keys.Node(raceCluster, node))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return
	}
	item, err := store.Encode(keys.Node(raceCluster, node), version, holding{cmk})
	if err != nil {
		return
	}
	ops := []store.Op{store.Put(item), now.Check()}
	if version > 0 && held.CMK != cmk {
		if old, err := ledger.Find(ctx, k.table, raceCluster, node, raceKey, held.CMK); err == nil {
			ops = append(ops, old.Delete())
		}
	}
	k.table.Write(ctx, ops...) //nolint:errcheck // what happened is seen in the end
}

// race has keepers work at the same time. Every call must be explained by one order of all, what a node holds must be
// in the ledger, and what needs a customer key is in the end what the index says.
func race(t *testing.T, table, reliable store.Table, seed uint64, overNetwork bool) error {
	t.Helper()
	h := linear.Record(table, overNetwork)
	var all sync.WaitGroup
	for n := range 4 {
		k := &keeper{h.Client(n), rand.New(rand.NewPCG(seed, uint64(n)))}
		all.Go(func() {
			for range 12 {
				if overNetwork {
					time.Sleep(time.Duration(k.rand.IntN(5)) * time.Millisecond)
				}
				k.step(t.Context())
			}
		})
	}
	all.Wait()
	if err := h.Check(filepath.Join(t.ArtifactDir(), fmt.Sprintf("ledger-%d.html", seed))); err != nil {
		return err
	}
	return consistent(t.Context(), reliable)
}

func consistent(ctx context.Context, table store.Table) error {
	needed := map[string][]store.Key{}
	for _, node := range raceNodes {
		copies, err := ledger.OfNode(ctx, table, raceCluster, node)
		if err != nil {
			return err
		}
		for _, e := range copies {
			needed[e.CMK.Name] = append(needed[e.CMK.Name], e.Key())
		}
		held, _, err := store.Load[holding](ctx, table, keys.Node(raceCluster, node))
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil || !slices.ContainsFunc(copies, func(e ledger.Entry) bool { return e.CMK == held.CMK }) {
			return fmt.Errorf("node %s holds a copy under %s that is not in the ledger: %w", node, held.CMK.Name, err)
		}
	}
	for n := range 3 {
		cmk := raceCMK(n)
		entries, err := ledger.NeededBy(ctx, table, raceGroup, cmk.Provider, cmk.Name)
		if err != nil {
			return err
		}
		if len(entries) != len(needed[cmk.Name]) {
			return fmt.Errorf("%d entries need %s, the index says %d", len(needed[cmk.Name]), cmk.Name, len(entries))
		}
	}
	return nil
}

// linearRounds is how many histories a test makes: make linear sets it, otherwise a few.
func linearRounds(few uint64) uint64 {
	if n, err := strconv.ParseUint(os.Getenv("LATCHKEY_LINEAR_ROUNDS"), 10, 32); err == nil {
		return n
	}
	return few
}

func embedded(t *testing.T) store.Table {
	t.Helper()
	table, err := bolt.Open(filepath.Join(t.TempDir(), "table.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { table.Close() }) //nolint:errcheck // the folder goes away
	return table
}

func TestLedger_is_linearizable_over_the_embedded_table(t *testing.T) {
	for seed := range linearRounds(4) {
		table := embedded(t)
		if err := race(t, table, table, seed, false); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
	}
}

// guarded has every write be a transaction, since entries come back under the same key: see dynamo.Table.Write.
type guarded struct{ store.Table }

func (g guarded) Write(ctx context.Context, ops ...store.Op) error {
	return g.Table.Write(ctx, append(ops, store.Check(store.Key{PK: "P", SK: "never"}, 0))...)
}

func TestLedger_is_linearizable_over_DynamoDB(t *testing.T) {
	for seed := range linearRounds(4) {
		synctest.Test(t, func(t *testing.T) {
			n := dynamotest.New(t, time.Now, seed)
			if err := dynamo.CreateTable(t.Context(), n.Client(), "latchkey"); err != nil {
				t.Fatal(err)
			}
			brittle, reliable := guarded{dynamo.New(n.Brittle(), "latchkey")}, dynamo.New(n.Client(), "latchkey")
			if err := race(t, brittle, reliable, seed, true); err != nil {
				t.Errorf("seed %d: %v", seed, err)
			}
		})
	}
}

// unconditional is a table that does what it is told, whatever has changed since.
type unconditional struct{ store.Table }

func (u unconditional) Write(ctx context.Context, ops ...store.Op) error {
	for {
		var current []store.Op
		for _, op := range ops {
			item, err := u.Get(ctx, op.Item.Key)
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return err
			}
			op.Item.Version = item.Version
			current = append(current, op)
		}
		if err := u.Table.Write(ctx, current...); !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
}

func TestLedger_that_is_not_linearizable_is_found_out(t *testing.T) {
	const most = 20
	for seed := range uint64(most) {
		table := embedded(t)
		if race(t, unconditional{table}, table, seed, false) != nil {
			return
		}
	}
	t.Errorf("%d histories without conditions look right", most)
}
