package storetest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/shared/store"
)

func testPut(t *testing.T, table store.Table) {
	wantVersion(t, table, key("a"), 0)
	first := item("a", "one")
	write(t, table, store.Put(first))
	wantVersion(t, table, key("a"), 1)
	wantError(t, table.Write(t.Context(), store.Put(first)), store.ErrConflict, "put of an item that exists")

	second := item("a", "two")
	second.Version = 1
	write(t, table, store.Put(second))
	wantVersion(t, table, key("a"), 2)
	wantError(t, table.Write(t.Context(), store.Put(second)), store.ErrConflict, "put over a newer version")
	second.Version = 3
	wantError(t, table.Write(t.Context(), store.Put(second)), store.ErrConflict, "put over a version to come")

	missing := item("b", "one")
	missing.Version = 1
	wantError(t, table.Write(t.Context(), store.Put(missing)), store.ErrConflict, "put over an item that is gone")
	if got := get(t, table, key("a")); string(got.Body) != `"two"` {
		t.Errorf("a refused put changed the item to %s", got.Body)
	}
	wantVersion(t, table, key("b"), 0)
}

func testDelete(t *testing.T, table store.Table) {
	put(t, table, item("a", "one"))
	wantError(t, table.Write(t.Context(), store.Delete(key("a"), 2)), store.ErrConflict, "delete of another version")
	wantError(t, table.Write(t.Context(), store.Delete(key("a"), 0)), store.ErrConflict, "delete of nothing where something is")
	wantError(t, table.Write(t.Context(), store.Delete(key("b"), 1)), store.ErrConflict, "delete of an item that does not exist")
	wantVersion(t, table, key("a"), 1)
	write(t, table, store.Delete(key("a"), 1))
	wantVersion(t, table, key("a"), 0)
	wantError(t, table.Write(t.Context(), store.Delete(key("a"), 1)), store.ErrConflict, "second delete")
	write(t, table, store.Delete(key("a"), 0))
	put(t, table, item("a", "again"))
	wantVersion(t, table, key("a"), 1)
}

func testCheck(t *testing.T, table store.Table) {
	put(t, table, item("a", "one"))
	write(t, table, store.Check(key("a"), 1))
	write(t, table, store.Check(key("b"), 0))
	write(t, table, store.Check(key("a"), 1), store.Check(key("b"), 0))
	wantVersion(t, table, key("a"), 1)
	wantVersion(t, table, key("b"), 0)
	wantError(t, table.Write(t.Context(), store.Check(key("a"), 0)), store.ErrConflict, "check that an item is missing")
	wantError(t, table.Write(t.Context(), store.Check(key("a"), 2)), store.ErrConflict, "check of another version")
	wantError(t, table.Write(t.Context(), store.Check(key("b"), 1)), store.ErrConflict, "check of a missing item")
}

func testRoundTrip(t *testing.T, table store.Table) {
	second := time.Date(2031, 2, 3, 4, 5, 6, 0, time.UTC)
	items := map[string]store.Item{
		"bare":                           {Body: []byte(`{}`)},
		"body":                           {Body: []byte(`{"a":[1,2.50,null],"b":"ü\u0000\ud83d\ude00😀<>&","c":""}`)},
		"spaces":                         {Body: []byte(" { \"a\" :\t1 }\n")},
		"indexed":                        {Body: []byte(`1`), Index: store.Key{PK: "I#1", SK: "x"}},
		"expires":                        {Body: []byte(`1`), Expires: second},
		"empty":                          {},
		"packed":                         {Body: fmt.Appendf(nil, `{"a":%q}`, strings.Repeat("ü, ", 1000)), Index: store.Key{PK: "I#1", SK: "y"}, Packed: true},
		"packed of no use":               {Body: []byte(`7`), Packed: true},
		"packed and empty":               {Packed: true},
		"all":                            {Body: []byte(`"x"`), Index: store.Key{PK: "I#ü😀", SK: "\x00\U0010FFFF"}, Expires: second.Add(time.Hour)},
		"ü😀 #/\x00\x7f\u2028\U0010FFFF":  {Body: []byte(`"unicode"`)},
		strings.Repeat("s", store.MaxSK): {Body: []byte(`"a long sort key"`)},
	}
	for sk, want := range items {
		want.Key = key(sk)
		put(t, table, want)
		want.Version, want.Packed = 1, false // which is not told
		wantItem(t, get(t, table, want.Key), want)
	}
	long := item("x", "a long partition key")
	long.PK = strings.Repeat("p", store.MaxPK)
	put(t, table, long)
	wantVersion(t, table, long.Key, 1)

	fraction := item("fraction", "x")
	fraction.Expires = second.Add(999 * time.Millisecond).In(time.FixedZone("", 7200))
	put(t, table, fraction)
	if got := get(t, table, fraction.Key).Expires; !got.Equal(second) || got.Location() != time.UTC {
		t.Errorf("expires = %v, want %v: whole seconds in UTC", got, second)
	}
	testReplace(t, table)
}

// testReplace demands that a put leaves nothing of the item before it.
func testReplace(t *testing.T, table store.Table) {
	full := get(t, table, key("all"))
	write(t, table, store.Put(store.Item{Key: full.Key, Version: full.Version, Body: []byte(`2`)}))
	wantItem(t, get(t, table, full.Key), store.Item{Key: full.Key, Version: 2, Body: []byte(`2`)})
}

func testTransaction(t *testing.T, table store.Table) {
	put(t, table, item("old", "1"), item("gone", "1"), item("guard", "1"))
	changed := item("old", "2")
	changed.Version = 1
	ops := []store.Op{
		store.Put(item("new", "1")), store.Put(changed), store.Delete(key("gone"), 1), store.Check(key("guard"), 1), store.Check(key("none"), 0),
	}
	failing := []store.Op{
		store.Check(key("guard2"), 7), store.Check(key("guard3"), 1), store.Put(store.Item{Key: key("missing"), Version: 1}), store.Delete(key("missing"), 1),
	}
	for _, bad := range failing {
		for _, at := range []int{0, 2, len(ops)} {
			all := append(append(append([]store.Op{}, ops[:at]...), bad), ops[at:]...)
			wantError(t, table.Write(t.Context(), all...), store.ErrConflict, fmt.Sprintf("a transaction with %+v", bad))
		}
	}
	wantVersion(t, table, key("new"), 0)
	wantVersion(t, table, key("old"), 1)
	wantVersion(t, table, key("gone"), 1)

	other := item("elsewhere", "1")
	other.PK = "P#2"
	write(t, table, append(ops, store.Put(other))...)
	wantVersion(t, table, key("new"), 1)
	wantVersion(t, table, key("old"), 2)
	wantVersion(t, table, key("gone"), 0)
	wantVersion(t, table, key("guard"), 1)
	wantVersion(t, table, other.Key, 1)
}

func testConflict(t *testing.T, table store.Table) {
	put(t, table, item("a", "1"))
	single := table.Write(t.Context(), store.Put(item("a", "2")))
	several := table.Write(t.Context(), store.Put(item("b", "1")), store.Check(key("a"), 1), store.Check(key("c"), 5), store.Put(item("d", "1")))
	for err, want := range map[error]store.Key{single: key("a"), several: key("c")} {
		conflict, ok := errors.AsType[*store.ConflictError](err)
		if !ok || conflict.Key != want || !errors.Is(err, store.ErrConflict) {
			t.Errorf("error %v (%T), want a *ConflictError on %s", err, err, want)
		}
	}
}

func testTransactionLimits(t *testing.T, table store.Table) {
	wantError(t, table.Write(t.Context()), store.ErrTooManyWrites, "no operation")
	full := make([]store.Op, 0, store.MaxWrites+1)
	for i := range store.MaxWrites {
		full = append(full, store.Put(item(fmt.Sprintf("i%03d", i), "x")))
	}
	over := append(full, store.Put(item("one more", "x"))) //nolint:gocritic // capacity is reserved
	wantError(t, table.Write(t.Context(), over...), store.ErrTooManyWrites, "101 operations")
	wantVersion(t, table, key("i000"), 0)
	write(t, table, full...)
	wantVersion(t, table, key("i099"), 1)

	for _, twice := range [][]store.Op{
		{store.Put(item("a", "1")), store.Put(item("a", "2"))},
		{store.Check(key("a"), 0), store.Put(item("a", "1"))},
		{store.Put(item("b", "1")), store.Delete(key("a"), 0), store.Check(key("a"), 0)},
	} {
		wantError(t, table.Write(t.Context(), twice...), store.ErrTooManyWrites, "one key twice")
	}
	wantVersion(t, table, key("a"), 0)
	wantVersion(t, table, key("b"), 0)
}

// sized is an item of exactly n bytes as limits are counted.
func sized(sk string, n int) store.Item {
	i := item(sk, "")
	i.Body = []byte(strconv.Quote(strings.Repeat("x", n-len(i.PK)-len(i.SK)-2)))
	return i
}

func testItemLimits(t *testing.T, table store.Table) {
	for _, n := range []int{300_000, store.MaxItem} {
		want := sized(strconv.Itoa(n), n)
		put(t, table, want)
		want.Version = 1
		wantItem(t, get(t, table, want.Key), want)
	}
	tooLarge := sized("over", store.MaxItem+1)
	wantError(t, table.Write(t.Context(), store.Put(tooLarge)), store.ErrTooLarge, "an item of one byte too many")
	wantError(t, table.Write(t.Context(), store.Put(item("a", "1")), store.Put(tooLarge)), store.ErrTooLarge, "a transaction with it")
	wantVersion(t, table, key("over"), 0)
	wantVersion(t, table, key("a"), 0)

	indexed := sized("indexed", store.MaxItem)
	indexed.Index = store.Key{PK: "I", SK: "I"}
	wantError(t, table.Write(t.Context(), store.Put(indexed)), store.ErrTooLarge, "an item whose index makes it too large")

	var ops []store.Op
	for i := range store.MaxTransaction/store.MaxItem + 1 {
		ops = append(ops, store.Put(sized(fmt.Sprintf("t%02d", i), store.MaxItem)))
	}
	wantError(t, table.Write(t.Context(), ops...), store.ErrTooLarge, "a transaction that is too large as a whole")
	wantVersion(t, table, key("t00"), 0)
}

func testMalformed(t *testing.T, table store.Table) {
	put(t, table, item("a", "1"))
	long, notUTF8 := strings.Repeat("x", store.MaxPK+1), "a\xff"
	keys := map[string]store.Key{
		"an empty partition key": {SK: "a"}, "an empty sort key": {PK: "P#1"}, "an empty key": {},
		"a long partition key": {PK: long, SK: "a"}, "a long sort key": {PK: "P#1", SK: long[:store.MaxSK+1]},
		"a partition key that is not UTF-8": {PK: notUTF8, SK: "a"}, "a sort key that is not UTF-8": {PK: "P#1", SK: notUTF8},
	}
	for name, k := range keys {
		for _, op := range []store.Op{store.Put(store.Item{Key: k}), store.Delete(k, 1), store.Check(k, 0)} {
			wantError(t, table.Write(t.Context(), op), store.ErrInvalid, name)
			wantError(t, table.Write(t.Context(), store.Put(item("b", "1")), op), store.ErrInvalid, name)
		}
		want := store.ErrNotFound
		if k.PK == "" || k.SK == "" {
			want = store.ErrInvalid
		}
		_, err := table.Get(t.Context(), k)
		wantError(t, err, want, "get with "+name)
		if k != (store.Key{}) {
			wantError(t, table.Write(t.Context(), store.Put(store.Item{Key: key("b"), Index: k})), store.ErrInvalid, "index with "+name)
		}
	}
	for name, i := range map[string]store.Item{
		"a body that is not UTF-8": {Body: []byte(notUTF8)},
		"a negative version":       {Version: -1},
		"a time before 1970":       {Expires: time.Unix(-1, 0)},
	} {
		i.Key = key("b")
		wantError(t, table.Write(t.Context(), store.Put(i)), store.ErrInvalid, name)
	}
	wantError(t, table.Write(t.Context(), store.Op{Item: item("b", "1")}), store.ErrInvalid, "an operation of no kind")
	wantVersion(t, table, key("b"), 0)
	for name, q := range map[string]store.Query{
		"no partition": {}, "a long partition": {PK: long}, "a partition that is not UTF-8": {PK: notUTF8},
		"a prefix that is not UTF-8": {PK: "P#1", Prefix: "\xff"}, "a bound that is not UTF-8": {PK: "P#1", Until: "\xff"},
		"a long bound": {PK: "P#1", From: long}, "a negative limit": {PK: "P#1", Limit: -1},
	} {
		_, err := table.Query(t.Context(), q)
		wantError(t, err, store.ErrInvalid, "query with "+name)
	}
}

func testCancelled(t *testing.T, table store.Table) {
	put(t, table, item("a", "1"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := table.Get(ctx, key("a"))
	wantError(t, err, context.Canceled, "get")
	_, err = table.Query(ctx, store.Query{PK: "P#1"})
	wantError(t, err, context.Canceled, "query")
	wantError(t, table.Write(ctx, store.Put(item("b", "1"))), context.Canceled, "write")
	wantError(t, table.Write(ctx, store.Put(item("b", "1")), store.Put(item("c", "1"))), context.Canceled, "transaction")
	wantVersion(t, table, key("b"), 0)
}

// testRecovers demands that refusals leave nothing behind that hurts.
func testRecovers(t *testing.T, table store.Table) {
	put(t, table, item("a", "1"))
	for range 20 {
		wantError(t, table.Write(t.Context(), store.Put(item("a", "2")), store.Put(item("b", "2"))), store.ErrConflict, "put")
		_, err := table.Query(t.Context(), store.Query{PK: "P#1", After: "?"})
		wantError(t, err, store.ErrBadCursor, "query")
	}
	wantSortKeys(t, table, store.Query{PK: "P#1"}, "a")
	put(t, table, item("b", "1"))
}

type counter struct{ N int }

// testIncrements counts in one item from many goroutines at once. Each retries on conflict,
// and re-reads what it conflicted with.
func testIncrements(t *testing.T, table store.Table) {
	const workers, each = 8, 12
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for range each {
				if err := increment(t.Context(), table, key("counter")); err != nil {
					t.Errorf("increment: %v", err)
					return
				}
			}
		})
	}
	group.Wait()
	got, version, err := store.Load[counter](t.Context(), table, key("counter"))
	if err != nil || got.N != workers*each || version != workers*each {
		t.Errorf("counter = %d at version %d, %v; want %d", got.N, version, err, workers*each)
	}
}

func increment(ctx context.Context, table store.Table, k store.Key) error {
	for {
		c, version, err := store.Load[counter](ctx, table, k)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		c.N++
		next, err := store.Encode(k, version, c)
		if err != nil {
			return err
		}
		// A second operation makes it a transaction for every other increment.
		ops := []store.Op{store.Put(next)}
		if c.N%2 == 0 {
			ops = append(ops, store.Check(key("nothing"), 0))
		}
		if err := table.Write(ctx, ops...); !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
}

func testCreations(t *testing.T, table store.Table) {
	const workers = 12
	var won atomic.Int64
	var group sync.WaitGroup
	for i := range workers {
		group.Go(func() {
			name, own := item("name", strconv.Itoa(i)), item(fmt.Sprintf("own%d", i), "x")
			switch err := table.Write(t.Context(), store.Put(name), store.Put(own)); {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, store.ErrConflict):
				t.Errorf("create: %v", err)
			}
		})
	}
	group.Wait()
	keys, err := sortKeys(t.Context(), table, store.Query{PK: "P#1", Prefix: "own"})
	if won.Load() != 1 || len(keys) != 1 || err != nil {
		t.Errorf("%d creations won and left %v, %v; want one", won.Load(), keys, err)
	}
}

func testPacked(t *testing.T, table store.Table) {
	const writers, each = 8, 10
	body := func(writer, n int) string { return strings.Repeat(fmt.Sprintf("%d of %d, ", n, writer), 50+n) }
	var group sync.WaitGroup
	for writer := range writers {
		group.Go(func() {
			for n := range each {
				i := item(strconv.Itoa(writer), body(writer, n))
				i.Version, i.Packed = int64(n), n%3 > 0
				if err := table.Write(t.Context(), store.Put(i)); err != nil {
					t.Errorf("write: %v", err)
					return
				}
				got, err := table.Get(t.Context(), i.Key)
				if err != nil || string(got.Body) != string(i.Body) {
					t.Errorf("of what writer %d wrote %q is read, %v", writer, got.Body, err)
				}
			}
		})
	}
	group.Wait()
}
