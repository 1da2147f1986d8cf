package dynamo_test

import (
	"context"
	"os"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/local/pocket/dynamocloud/dynamotest"
	"latchkey/shared/store"
	"latchkey/shared/store/dynamo"
	"latchkey/shared/store/linear"
)

// rounds is how many histories a test makes: make linear sets it, otherwise a few.
func rounds(few uint64) uint64 {
	if n, err := strconv.ParseUint(os.Getenv("LATCHKEY_LINEAR_ROUNDS"), 10, 32); err == nil {
		return n
	}
	return few
}

// guarded has every write be a transaction.
type guarded struct{ store.Table }

func (g guarded) Write(ctx context.Context, ops ...store.Op) error {
	return g.Table.Write(ctx, append(ops, store.Check(store.Key{PK: "P", SK: "never"}, 0))...)
}

// Time is the bubble's, so pauses and retries cost none, and every request may overtake every other.
func testNetwork(t *testing.T, load linear.Load, of func(store.Table) store.Table) {
	load.Clients, load.Steps, load.Busy, load.Pause, load.Lag = 4, 12, true, 5*time.Millisecond, time.Second
	met, unknown := map[string]int{}, 0
	for seed := range rounds(8) {
		synctest.Test(t, func(t *testing.T) {
			n := dynamotest.New(t, time.Now, seed)
			load.Seed = seed
			unknown += load.Run(t, of(dynamo.New(n.Brittle(), newTable(t, n.Client())))).Unknown()
			for what, times := range n.Met() {
				met[what] += times
			}
		})
	}
	for _, what := range []string{
		dynamotest.RequestLost, dynamotest.AnswerLost, dynamotest.Throttled, dynamotest.Broken, dynamotest.BusyTransaction,
	} {
		if met[what] == 0 {
			t.Errorf("nothing was told of %q", what)
		}
	}
	t.Logf("met %v; %d outcomes unknown", met, unknown)
}

// An item that is deleted begins with version 1 when it is made again. Whoever puts single items may not
// have that happen meanwhile, see Write.
func TestTable_is_linearizable_over_a_network_that_fails(t *testing.T) {
	testNetwork(t, linear.Load{Lasting: true}, func(table store.Table) store.Table { return table })
}

func TestTable_is_linearizable_to_transactions_whatever_is_deleted(t *testing.T) {
	testNetwork(t, linear.Load{}, func(table store.Table) store.Table { return guarded{table} })
}
