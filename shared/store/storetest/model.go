package storetest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"latchkey/shared/store"
)

// model is the table as a map, and the random program that compares the two.
type model struct {
	t     *testing.T
	table store.Table
	space string // begins every partition key, so that programs share a table
	tries *int   // how often a query of the index is repeated until it is right
	items map[store.Key]store.Item
}

func testModel(t *testing.T, table store.Table) {
	program, tries := 0, indexTries
	rapid.Check(t, func(rt *rapid.T) {
		program++
		m := &model{t: t, table: table, space: fmt.Sprintf("M%d#", program), tries: &tries, items: map[store.Key]store.Item{}}
		rt.Repeat(map[string]func(*rapid.T){
			"write": m.write,
			"get":   m.get,
			"query": m.query,
		})
	})
}

// texts are short and share prefixes, and hold what is hard to order.
func texts() *rapid.Generator[string] {
	parts := []string{"A", "A#", "B#", "é", "ÿ", "Ā", "\ud7ff", "\U0010FFFF", "\x00", "~"}
	return rapid.Custom(func(rt *rapid.T) string {
		return strings.Join(rapid.SliceOfN(rapid.SampledFrom(parts), 1, 3).Draw(rt, "parts"), "")
	})
}

func (m *model) key(rt *rapid.T) store.Key {
	if known := m.known(); len(known) > 0 && rapid.Bool().Draw(rt, "known") {
		return rapid.SampledFrom(known).Draw(rt, "key")
	}
	return store.Key{PK: m.pk(rt), SK: texts().Draw(rt, "sk")}
}

func (m *model) pk(rt *rapid.T) string {
	return m.space + rapid.SampledFrom([]string{"1", "1\x00", "12"}).Draw(rt, "pk")
}

func (m *model) known() []store.Key {
	return slices.SortedFunc(maps.Keys(m.items), func(a, b store.Key) int { return strings.Compare(a.String(), b.String()) })
}

func (m *model) op(rt *rapid.T) store.Op {
	k := m.key(rt)
	version := m.items[k].Version
	if rapid.IntRange(0, 4).Draw(rt, "stale") == 0 {
		version = int64(rapid.IntRange(0, 3).Draw(rt, "version"))
	}
	switch rapid.SampledFrom([]store.OpKind{store.OpPut, store.OpPut, store.OpPut, store.OpDelete, store.OpCheck}).Draw(rt, "kind") {
	case store.OpDelete:
		return store.Delete(k, version)
	case store.OpCheck:
		return store.Check(k, version)
	case store.OpPut:
	}
	i := store.Item{Key: k, Version: version, Body: fmt.Appendf(nil, "%d", rapid.IntRange(0, 99).Draw(rt, "body"))}
	if rapid.Bool().Draw(rt, "packed") {
		i.Body, i.Packed = fmt.Appendf(nil, `{"groupId":%s,"revision":1}`, i.Body), true
	}
	if rapid.Bool().Draw(rt, "indexed") {
		i.Index = store.Key{PK: m.pk(rt), SK: texts().Draw(rt, "index")}
	}
	if rapid.Bool().Draw(rt, "expires") {
		i.Expires = time.Unix(4_000_000_000+int64(rapid.IntRange(0, 9).Draw(rt, "second")), 0).UTC()
	}
	return store.Put(i)
}

func (m *model) write(rt *rapid.T) {
	distinct := func(op store.Op) store.Key { return op.Item.Key }
	ops := rapid.SliceOfNDistinct(rapid.Custom(m.op), 1, 5, distinct).Draw(rt, "ops")
	var failing []store.Key
	for _, op := range ops {
		if m.items[op.Item.Key].Version != op.Item.Version {
			failing = append(failing, op.Item.Key)
		}
	}
	err := m.table.Write(m.t.Context(), ops...)
	if len(failing) > 0 {
		conflict, ok := errors.AsType[*store.ConflictError](err)
		if !ok || !slices.Contains(failing, conflict.Key) {
			rt.Fatalf("write: %v, want a conflict on one of %q", err, failing)
		}
		return
	}
	if err != nil {
		rt.Fatalf("write: %v", err)
	}
	for _, op := range ops {
		switch op.Kind {
		case store.OpPut:
			i := op.Item
			i.Version, i.Packed = i.Version+1, false
			m.items[i.Key] = i
		case store.OpDelete:
			delete(m.items, op.Item.Key)
		case store.OpCheck:
		}
	}
}

func (m *model) get(rt *rapid.T) {
	k := m.key(rt)
	got, err := m.table.Get(m.t.Context(), k)
	want, exists := m.items[k]
	if !exists && !errors.Is(err, store.ErrNotFound) || exists && err != nil {
		rt.Fatalf("get %q: %v, exists: %t", k, err, exists)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		rt.Fatalf("get %q (-want +got):\n%s", k, diff)
	}
}

func (m *model) query(rt *rapid.T) {
	bound := rapid.OneOf(rapid.Just(""), texts())
	q := store.Query{
		PK: m.pk(rt), Prefix: bound.Draw(rt, "prefix"), From: bound.Draw(rt, "from"), Until: bound.Draw(rt, "until"),
		Index: rapid.Bool().Draw(rt, "index"), Descending: rapid.Bool().Draw(rt, "descending"),
		Limit: rapid.SampledFrom([]int{0, 1, 2, 100}).Draw(rt, "limit"),
	}
	want := m.matching(q)
	complaint := ""
	for range *m.tries {
		got, err := store.All(m.t.Context(), m.table, q)
		if err != nil {
			rt.Fatalf("query %s: %v", describe(q), err)
		}
		// Items with one key in the index come in any order.
		if complaint = cmp.Diff(sorted(want), sorted(got), cmpopts.EquateEmpty()); complaint == "" {
			complaint = disorder(q, got)
		}
		if complaint == "" || !q.Index {
			break
		}
		<-time.After(indexInterval)
	}
	if complaint != "" {
		*m.tries = 2 // it is wrong, not late: look for the shortest program without waiting
		rt.Fatalf("query %s (-want +got):\n%s", describe(q), complaint)
	}
}

func (m *model) matching(q store.Query) (want []store.Item) {
	for _, k := range m.known() {
		i := m.items[k]
		if q.Index {
			k = i.Index
		}
		if k.PK == q.PK && strings.HasPrefix(k.SK, q.Prefix) && k.SK >= q.From && (q.Until == "" || k.SK < q.Until) {
			want = append(want, i)
		}
	}
	return want
}

func sorted(items []store.Item) []store.Item {
	return slices.SortedFunc(slices.Values(items), func(a, b store.Item) int { return strings.Compare(a.String(), b.String()) })
}

func disorder(q store.Query, items []store.Item) string {
	for n := 1; n < len(items); n++ {
		a, b := q.PlaceOf(items[n-1]).SK, q.PlaceOf(items[n]).SK
		if (!q.Descending && a > b) || (q.Descending && a < b) {
			return fmt.Sprintf("%q comes before %q", a, b)
		}
	}
	return ""
}
