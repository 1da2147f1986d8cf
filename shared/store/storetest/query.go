package storetest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"latchkey/shared/store"
)

func keyed(sks ...string) []store.Item {
	items := make([]store.Item, len(sks))
	for i, sk := range sks {
		items[i] = item(sk, sk)
	}
	return items
}

func testPrefix(t *testing.T, table store.Table) {
	const last = string('\U0010FFFF')
	sks := []string{
		"A", "A#", "A#1", "A#2", "AB#1", "B", "\u007f", "\u007f1", "ÿ", "ÿ1", "Ā", "\ud7ff1", "\ue000", last, last + "1", last + last, "a\x00b", "a\x00", "a",
	}
	put(t, table, keyed(sks...)...)
	// Other partitions whose keys embrace this one must not show.
	for _, pk := range []string{"P", "P#", "P#1\x00", "P#10", "P#1A", "P#2", "\x00", last} {
		i := item("A#1", "elsewhere")
		i.PK = pk
		put(t, table, i)
	}
	slices.Sort(sks)
	prefixes := append([]string{"", "A#3", "A#1x", "\ud7ff", "C"}, sks...)
	for _, prefix := range prefixes {
		want := []string{}
		for _, sk := range sks {
			if strings.HasPrefix(sk, prefix) {
				want = append(want, sk)
			}
		}
		wantSortKeys(t, table, store.Query{PK: "P#1", Prefix: prefix}, want...)
		slices.Reverse(want)
		wantSortKeys(t, table, store.Query{PK: "P#1", Prefix: prefix, Descending: true, Limit: 2}, want...)
	}
	wantSortKeys(t, table, store.Query{PK: "P#3"})
}

func testBounds(t *testing.T, table store.Table) {
	sks := []string{"A#9", "T#1", "T#2", "T#2x", "T#3", "T#4", "U#0"}
	put(t, table, keyed(sks...)...)
	for _, prefix := range []string{"", "T#", "T#2"} {
		for _, from := range []string{"", "A", "T#", "T#2", "T#2y", "T#3", "U", "Z"} {
			for _, until := range []string{"", "A", "T#2", "T#2x", "T#4", "U", "Z"} {
				want := []string{}
				for _, sk := range sks {
					if strings.HasPrefix(sk, prefix) && sk >= from && (until == "" || sk < until) {
						want = append(want, sk)
					}
				}
				q := store.Query{PK: "P#1", Prefix: prefix, From: from, Until: until}
				wantSortKeys(t, table, q, want...)
				slices.Reverse(want)
				q.Descending, q.Limit = true, 1
				wantSortKeys(t, table, q, want...)
			}
		}
	}
}

func numbered(n int) (sks []string) {
	for i := range n {
		sks = append(sks, fmt.Sprintf("I#%03d", i))
	}
	return sks
}

func testPages(t *testing.T, table store.Table) {
	sks := numbered(20)
	put(t, table, keyed(sks...)...)
	put(t, table, keyed("H#0", "J#0")...)
	for _, limit := range []int{0, 1, 3, 19, 20, 21, 1000, 1 << 40} {
		q := store.Query{PK: "P#1", Prefix: "I#", Limit: limit}
		wantSortKeys(t, table, q, sks...)
		back := slices.Clone(sks)
		slices.Reverse(back)
		q.Descending = true
		wantSortKeys(t, table, q, back...)
	}
	page, err := table.Query(t.Context(), store.Query{PK: "P#1", Prefix: "I#", Limit: 5})
	if err != nil || len(page.Items) != 5 || page.Next == "" {
		t.Fatalf("first page = %d items, next %q, %v; want 5 and a next", len(page.Items), page.Next, err)
	}
	want := item(sks[2], sks[2])
	want.Version = 1
	wantItem(t, page.Items[2], want)
	again, err := table.Query(t.Context(), store.Query{PK: "P#1", Prefix: "I#", Limit: 2, After: page.Next})
	if err != nil || len(again.Items) != 2 || again.Items[0].SK != sks[5] {
		t.Errorf("second page with another limit = %+v, %v; want it to start with %s", again, err, sks[5])
	}
}

func testLargePages(t *testing.T, table store.Table) {
	var sks []string
	for i := range 12 {
		big := sized(fmt.Sprintf("big%02d", i), 300_000)
		put(t, table, big)
		sks = append(sks, big.SK)
	}
	page, err := table.Query(t.Context(), store.Query{PK: "P#1"})
	if err != nil || len(page.Items) == len(sks) || page.Next == "" {
		t.Errorf("a page of %d items of 300 kB, next %q, %v; want fewer and a next", len(page.Items), page.Next, err)
	}
	wantSortKeys(t, table, store.Query{PK: "P#1"}, sks...)
	wantSortKeys(t, table, store.Query{PK: "P#1", Prefix: "big0", Limit: 7}, sks[:10]...)
}

func testPlaces(t *testing.T, table store.Table) {
	put(t, table, keyed(numbered(9)...)...)
	secret := item("I#005", "of somebody else")
	secret.PK = "P#2"
	put(t, table, secret)
	good := store.Query{PK: "P#1", Prefix: "I#", Limit: 3}
	page, err := table.Query(t.Context(), good)
	if err != nil || page.Next == "" {
		t.Fatalf("first page: %v", err)
	}
	for name, q := range map[string]store.Query{
		"another partition": {PK: "P#2", Prefix: "I#"}, "another prefix": {PK: "P#1", Prefix: "I"}, "no prefix": {PK: "P#1"},
		"the other direction": {PK: "P#1", Prefix: "I#", Descending: true}, "the index": {PK: "P#1", Prefix: "I#", Index: true},
		"other bounds": {PK: "P#1", Prefix: "I#", From: "I#001"}, "an end": {PK: "P#1", Prefix: "I#", Until: "I#009"},
	} {
		q.After = page.Next
		_, err := table.Query(t.Context(), q)
		wantError(t, err, store.ErrBadCursor, "a place of another query, "+name)
	}
	tampered := []string{"x", "0", "====", "\x00", "ü", page.Next + "A", page.Next[1:], page.Next + "\n", page.Next + "=", strings.Repeat("A", 5000)}
	for i := range page.Next {
		for _, c := range []string{"A", "B", "_", ""} {
			if s := page.Next[:i] + c + page.Next[i+1:]; s != page.Next {
				tampered = append(tampered, s)
			}
		}
		if i > 0 {
			tampered = append(tampered, page.Next[:i])
		}
	}
	for _, s := range tampered {
		good.After = s
		if got, err := table.Query(t.Context(), good); err == nil {
			t.Errorf("the tampered place %q was accepted: %d items", s, len(got.Items))
		}
	}
}

// testStablePaging deletes the item that each page ended with and inserts around the place.
func testStablePaging(t *testing.T, table store.Table) {
	for _, descending := range []bool{false, true} {
		var stay []store.Item
		kind := fmt.Sprintf("%t#", descending)
		for i := range 30 {
			stay = append(stay, item(fmt.Sprintf("%s%02d", kind, i), "stays"))
		}
		put(t, table, stay...)
		seen := map[string]int{}
		gone := map[string]bool{}
		q := store.Query{PK: "P#1", Prefix: kind, Limit: 4, Descending: descending}
		for n := 0; ; n++ {
			page, err := table.Query(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			for _, i := range page.Items {
				seen[i.SK]++
			}
			if page.Next == "" || len(page.Items) == 0 {
				break
			}
			last := page.Items[len(page.Items)-1]
			if n%2 == 0 {
				write(t, table, store.Delete(last.Key, last.Version))
				gone[last.SK] = true
			}
			put(t, table, item(last.SK+"x", "new"), item(last.SK[:len(last.SK)-1]+"!"+strconv.Itoa(n), "new"))
			q.After = page.Next
		}
		for _, i := range stay {
			if seen[i.SK] != 1 && !gone[i.SK] || seen[i.SK] > 1 {
				t.Errorf("%s was seen %d times, want once", i.SK, seen[i.SK])
			}
		}
	}
}

// testPagingUnderWrites pages, in the table and in the index, while others insert and delete.
func testPagingUnderWrites(t *testing.T, table store.Table) {
	var stay []store.Item
	var want []string
	for i := range 60 {
		s := item(fmt.Sprintf("I#%03d", i), "stays")
		s.Index = store.Key{PK: "IDX", SK: s.SK}
		stay, want = append(stay, s), append(want, s.SK)
	}
	put(t, table, stay...)
	wantSortKeys(t, table, store.Query{PK: "IDX", Index: true}, want...)

	stop := make(chan struct{})
	var group sync.WaitGroup
	for w := range 3 {
		group.Go(func() { churn(t, table, w, stop) })
	}
	for _, q := range []store.Query{
		{PK: "P#1", Prefix: "I#", Limit: 7},
		{PK: "P#1", Prefix: "I#", Limit: 5, Descending: true},
		{PK: "IDX", Prefix: "I#", Limit: 6, Index: true},
	} {
		for range 3 {
			got, err := sortKeys(t.Context(), table, q)
			if err != nil {
				t.Errorf("query %s: %v", describe(q), err)
				break
			}
			if q.Descending {
				slices.Reverse(got)
			}
			if !slices.IsSorted(got) {
				t.Errorf("query %s is out of order: %q", describe(q), got)
			}
			kept := slices.DeleteFunc(got, func(sk string) bool { return strings.Contains(sk, "churn") })
			if diff := cmp.Diff(want, kept); diff != "" {
				t.Errorf("query %s missed or repeated what existed throughout (-want +got):\n%s", describe(q), diff)
			}
		}
	}
	close(stop)
	group.Wait()
}

func churn(t *testing.T, table store.Table, worker int, stop <-chan struct{}) {
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		default:
		}
		i := item(fmt.Sprintf("I#%03d churn%d", n*7%60, worker), "comes and goes")
		i.Index = store.Key{PK: "IDX", SK: i.SK}
		if err := table.Write(t.Context(), store.Put(i)); err != nil {
			t.Errorf("insert: %v", err)
			return
		}
		if err := table.Write(t.Context(), store.Delete(i.Key, 1)); err != nil {
			t.Errorf("delete: %v", err)
			return
		}
	}
}

func testIndex(t *testing.T, table store.Table) {
	i := item("a", "1")
	i.Index = store.Key{PK: "IDX", SK: "one"}
	put(t, table, i, item("never indexed", "1"))
	idx := store.Query{PK: "IDX", Index: true}
	wantSortKeys(t, table, idx, "one")

	i.Version, i.Index.SK = 1, "two"
	write(t, table, store.Put(i))
	wantSortKeys(t, table, idx, "two")

	i.Version, i.Index.PK = 2, "OTHER"
	write(t, table, store.Put(i))
	wantSortKeys(t, table, idx)
	wantSortKeys(t, table, store.Query{PK: "OTHER", Index: true}, "two")

	i.Version, i.Index = 3, store.Key{}
	write(t, table, store.Put(i))
	wantSortKeys(t, table, store.Query{PK: "OTHER", Index: true})
	wantVersion(t, table, i.Key, 4)

	i.Version, i.Index = 4, store.Key{PK: "IDX", SK: "back"}
	write(t, table, store.Put(i))
	eventually(t, idx, func() string {
		page, err := table.Query(t.Context(), idx)
		if err != nil {
			return err.Error()
		}
		want := i
		want.Version = 5
		return cmp.Diff([]store.Item{want}, page.Items)
	})
	write(t, table, store.Delete(i.Key, 5))
	wantSortKeys(t, table, idx)
	// The index is not the table: its keys can't be read, and the table's are not in it.
	wantVersion(t, table, store.Key{PK: "IDX", SK: "back"}, 0)
	wantSortKeys(t, table, store.Query{PK: "P#1", Index: true})
	wantSortKeys(t, table, store.Query{PK: "IDX"})
}

func testIndexPages(t *testing.T, table store.Table) {
	var sks []string
	for i := range 23 {
		in := item(fmt.Sprintf("item%02d", 99-i), "x") // the order in the table is another one
		in.Index = store.Key{PK: "IDX", SK: fmt.Sprintf("K#%02d\x00", i)}
		sks = append(sks, in.Index.SK)
		put(t, table, in)
	}
	other := item("zz", "x")
	other.Index = store.Key{PK: "IDX2", SK: "K#05"}
	put(t, table, other)
	for _, limit := range []int{0, 1, 4, 23} {
		wantSortKeys(t, table, store.Query{PK: "IDX", Index: true, Prefix: "K#", Limit: limit}, sks...)
		wantSortKeys(t, table, store.Query{PK: "IDX", Index: true, Prefix: "K#1", Limit: limit}, sks[10:20]...)
		wantSortKeys(t, table, store.Query{PK: "IDX", Index: true, Prefix: "K#", From: "K#03\x00", Until: "K#07\x00", Limit: limit}, sks[3:7]...)
		back := slices.Clone(sks[5:])
		slices.Reverse(back)
		wantSortKeys(t, table, store.Query{PK: "IDX", Index: true, From: "K#05", Limit: limit, Descending: true}, back...)
	}
}

// testIndexBytes orders keys of the index of which one continues another, with the bytes that
// an adapter may use to separate it from what follows.
func testIndexBytes(t *testing.T, table store.Table) {
	sks := []string{"a", "a\x00", "a\x00\x00", "a\x00\x00b", "a\x00\x01", "a\x00b", "a\x01", "a#", "ab", "aÿ", "a\U0010FFFF", "b"}
	slices.Sort(sks)
	for i, sk := range sks {
		in := item(fmt.Sprintf("%c", 'z'-i), "x")
		in.Index = store.Key{PK: "IDX", SK: sk}
		put(t, table, in)
	}
	for i, prefix := range append([]string{""}, sks...) {
		want := slices.DeleteFunc(slices.Clone(sks), func(sk string) bool { return !strings.HasPrefix(sk, prefix) })
		wantSortKeys(t, table, store.Query{PK: "IDX", Index: true, Prefix: prefix, Limit: i % 3}, want...)
		from := slices.DeleteFunc(slices.Clone(sks), func(sk string) bool { return sk < prefix })
		wantSortKeys(t, table, store.Query{PK: "IDX", Index: true, From: prefix, Limit: i % 2}, from...)
		if prefix != "" {
			until := slices.DeleteFunc(slices.Clone(sks), func(sk string) bool { return sk >= prefix })
			wantSortKeys(t, table, store.Query{PK: "IDX", Index: true, Until: prefix, Limit: i % 2}, until...)
		}
	}
}

func testIndexTies(t *testing.T, table store.Table) {
	var want []string
	for i := range 17 {
		in := item(fmt.Sprintf("item%02d", i), "x")
		in.PK = fmt.Sprintf("P#%d", i%3)
		in.Index = store.Key{PK: "IDX", SK: "same"}
		put(t, table, in)
		want = append(want, in.String())
	}
	slices.Sort(want)
	for _, q := range []store.Query{
		{PK: "IDX", Index: true, Limit: 4},
		{PK: "IDX", Index: true, Limit: 4, Descending: true},
		{PK: "IDX", Index: true, Prefix: "s", From: "same", Until: "samf", Limit: 3},
		{PK: "IDX", Index: true, Prefix: "s", From: "r", Limit: 1, Descending: true},
	} {
		eventually(t, q, func() string {
			items, err := store.All(t.Context(), table, q)
			if err != nil {
				return err.Error()
			}
			var got []string
			for _, i := range items {
				got = append(got, i.String())
			}
			slices.Sort(got)
			return cmp.Diff(want, got)
		})
	}
	// Items at the very end of the bounds are not selected, however many there are.
	for _, descending := range []bool{false, true} {
		wantSortKeys(t, table, store.Query{PK: "IDX", Index: true, From: "a", Until: "same", Limit: 2, Descending: descending})
	}
}
