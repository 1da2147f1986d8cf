package store_test

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"latchkey/shared/store"
)

// sortKeys draws short texts around the places where successors are hard to find.
func sortKeys(least int) *rapid.Generator[string] {
	letters := []rune{0, 'a', 'b', 0x7f, 0x80, 'ÿ', 'Ā', 0x7ff, 0x800, 0xd7ff, 0xe000, 0xffff, 0x10000, utf8.MaxRune - 1, utf8.MaxRune}
	return rapid.Map(rapid.SliceOfN(rapid.SampledFrom(letters), least, 4), func(r []rune) string { return string(r) })
}

func queries() *rapid.Generator[store.Query] {
	return rapid.Custom(func(rt *rapid.T) store.Query {
		return store.Query{
			PK: sortKeys(1).Draw(rt, "pk"), Prefix: sortKeys(0).Draw(rt, "prefix"), From: sortKeys(0).Draw(rt, "from"), Until: sortKeys(0).Draw(rt, "until"),
			Index: rapid.Bool().Draw(rt, "index"), Descending: rapid.Bool().Draw(rt, "descending"),
		}
	})
}

func selects(q store.Query, sk string) bool {
	return strings.HasPrefix(sk, q.Prefix) && sk >= q.From && (q.Until == "" || sk < q.Until)
}

func TestRange_holds_exactly_what_prefix_and_bounds_select(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		q, sk := queries().Draw(rt, "query"), sortKeys(1).Draw(rt, "sk")
		if rapid.Bool().Draw(rt, "near") {
			sk = q.Prefix + sk
		}
		low, high, ok := q.Range()
		if got := ok && sk >= low && (high == "" || sk < high); got != selects(q, sk) {
			rt.Fatalf("the range %q to %q, %t holds %q: %t; prefix %q from %q until %q", low, high, ok, sk, got, q.Prefix, q.From, q.Until)
		}
		if !utf8.ValidString(high) {
			rt.Fatalf("the end %q of the range is not UTF-8", high)
		}
	})
}

func TestPlace_reads_what_NextAfter_wrote_for_the_same_query_only(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		q, other := queries().Draw(rt, "query"), queries().Draw(rt, "other")
		sk := q.Prefix + sortKeys(1).Draw(rt, "sk")
		if !selects(q, sk) {
			return
		}
		item := store.Item{Key: store.Key{PK: q.PK, SK: sk}}
		if q.Index {
			item = store.Item{Key: store.Key{PK: "p", SK: sortKeys(1).Draw(rt, "own")}, Index: item.Key}
		}
		next := q.NextAfter(item)
		q.After, q.Limit = next, 7
		if got, started, err := q.Place(); err != nil || !started || got != q.PlaceOf(item) {
			rt.Fatalf("place = %+v, %t, %v; want %+v", got, started, err, q.PlaceOf(item))
		}
		other.After, other.Limit = next, 7
		if _, _, err := other.Place(); other != q && !errors.Is(err, store.ErrBadCursor) {
			rt.Fatalf("the place of %+v was accepted by %+v: %v", q, other, err)
		}
	})
}

func FuzzPlace(f *testing.F) {
	q := store.Query{PK: "P", Prefix: "A#"}
	f.Add(q.NextAfter(store.Item{Key: store.Key{PK: "P", SK: "A#1"}}), "P", "A#", false)
	q.Index = true
	f.Add(q.NextAfter(store.Item{Key: store.Key{PK: "X", SK: "Y"}, Index: store.Key{PK: "P", SK: "A#1"}}), "P", "A#", true)
	f.Add("", "", "", false)
	f.Fuzz(func(t *testing.T, after, pk, prefix string, index bool) {
		q := store.Query{PK: pk, Prefix: prefix, Index: index, After: after}
		p, started, err := q.Place()
		if started && (err != nil || !strings.HasPrefix(p.SK, prefix) || (p.Item != store.Key{}) != index) {
			t.Errorf("place = %+v, %v", p, err)
		}
	})
}
