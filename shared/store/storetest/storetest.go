// Package storetest is the contract of store.Table as a suite that every adapter passes. It
// is imported by tests only.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/shared/store"
)

// Run runs the suite. open returns an empty table and removes it when the test ends.
func Run(t *testing.T, open func(t *testing.T) store.Table) {
	tests := map[string]func(*testing.T, store.Table){
		"a put demands the version that was read":            testPut,
		"a delete demands the version that was read":         testDelete,
		"a check demands a version and changes nothing":      testCheck,
		"an item comes back as it was stored":                testRoundTrip,
		"a transaction happens whole or not at all":          testTransaction,
		"a conflict names an item that failed":               testConflict,
		"a transaction has limits":                           testTransactionLimits,
		"an item has limits":                                 testItemLimits,
		"malformed keys and items are refused":               testMalformed,
		"a cancelled context stops the call":                 testCancelled,
		"concurrent increments lose nothing":                 testIncrements,
		"of concurrent creations one wins":                   testCreations,
		"packed bodies are kept apart":                       testPacked,
		"a prefix selects what starts with it":               testPrefix,
		"from and until bound the prefix":                    testBounds,
		"pages follow each other in both directions":         testPages,
		"a page is bounded in bytes":                         testLargePages,
		"a place of another query is refused":                testPlaces,
		"what exists throughout is paged exactly once":       testStablePaging,
		"paging goes on while others write":                  testPagingUnderWrites,
		"the index follows its items":                        testIndex,
		"the index is ordered, bounded and paged":            testIndexPages,
		"the index orders keys by their bytes":               testIndexBytes,
		"the index pages items that share a key":             testIndexTies,
		"the table does what a map would do in all cases":    testModel,
		"an error of one query does not harm the next calls": testRecovers,
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func key(sk string) store.Key { return store.Key{PK: "P#1", SK: sk} }

func item(sk, body string) store.Item {
	return store.Item{Key: key(sk), Body: fmt.Appendf(nil, "%q", body)}
}

// put stores items that do not exist yet, whatever their number.
func put(t testing.TB, table store.Table, items ...store.Item) {
	t.Helper()
	for len(items) > 0 {
		n := min(len(items), store.MaxWrites)
		ops := make([]store.Op, n)
		for i := range ops {
			ops[i] = store.Put(items[i])
		}
		write(t, table, ops...)
		items = items[n:]
	}
}

func write(t testing.TB, table store.Table, ops ...store.Op) {
	t.Helper()
	if err := table.Write(t.Context(), ops...); err != nil {
		t.Fatalf("write: %v", err)
	}
}

func get(t testing.TB, table store.Table, k store.Key) store.Item {
	t.Helper()
	got, err := table.Get(t.Context(), k)
	if err != nil {
		t.Fatalf("get %s: %v", k, err)
	}
	return got
}

func wantVersion(t testing.TB, table store.Table, k store.Key, want int64) {
	t.Helper()
	got, err := table.Get(t.Context(), k)
	if want == 0 {
		if !errors.Is(err, store.ErrNotFound) {
			t.Errorf("get %s = version %d, %v; want ErrNotFound", k, got.Version, err)
		}
		return
	}
	if err != nil || got.Version != want {
		t.Errorf("get %s = version %d, %v; want version %d", k, got.Version, err, want)
	}
}

func wantError(t testing.TB, err, want error, what string) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: error %v, want %v", what, err, want)
	}
}

// wantItem compares items; an empty body is no body.
func wantItem(t testing.TB, got, want store.Item) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmp.Comparer(bytes.Equal)); diff != "" {
		t.Errorf("item (-want +got):\n%s", diff)
	}
}

// sortKeys reads all pages and lists the sort keys. It fails if the pages do not end.
func sortKeys(ctx context.Context, table store.Table, q store.Query) ([]string, error) {
	const most = 10_000
	all := []string{}
	for range most {
		page, err := table.Query(ctx, q)
		if err != nil {
			return nil, err
		}
		if q.Limit > 0 && len(page.Items) > q.Limit {
			return nil, fmt.Errorf("a page of %d items, the limit is %d", len(page.Items), q.Limit)
		}
		for _, i := range page.Items {
			if q.Index {
				all = append(all, i.Index.SK)
			} else {
				all = append(all, i.SK)
			}
		}
		if page.Next == "" {
			return all, nil
		}
		q.After = page.Next
	}
	return nil, errors.New("the pages have no end")
}

func wantSortKeys(t testing.TB, table store.Table, q store.Query, want ...string) {
	t.Helper()
	if want == nil {
		want = []string{}
	}
	eventually(t, q, func() string {
		got, err := sortKeys(t.Context(), table, q)
		if err != nil {
			return err.Error()
		}
		return cmp.Diff(want, got)
	})
}

// How long the suite waits for an index to catch up. DynamoDB needs milliseconds.
const (
	indexTries    = 100
	indexInterval = 100 * time.Millisecond
)

// eventually demands that complaint becomes "". A query of the table must satisfy it at once;
// one of the index may lag, and only then does this wait.
func eventually(t testing.TB, q store.Query, complaint func() string) {
	t.Helper()
	tries := 1
	if q.Index {
		tries = indexTries
	}
	for i := range tries {
		said := complaint()
		if said == "" {
			return
		}
		if i == tries-1 {
			t.Errorf("query %s: %s", describe(q), said)
			return
		}
		select {
		case <-time.After(indexInterval):
		case <-t.Context().Done():
		}
	}
}

func describe(q store.Query) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%q prefix %q", q.PK, q.Prefix)
	if q.From != "" || q.Until != "" {
		fmt.Fprintf(&b, " from %q until %q", q.From, q.Until)
	}
	fmt.Fprintf(&b, " index %t descending %t limit %d", q.Index, q.Descending, q.Limit)
	return b.String()
}
