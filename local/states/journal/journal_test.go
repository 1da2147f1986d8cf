package journal_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"
	"pgregory.net/rapid"

	"latchkey/local/states/journal"
)

func open(t *testing.T) journal.Journal {
	t.Helper()
	db, err := bbolt.Open(filepath.Join(t.TempDir(), "journal.db"), 0o600, &bbolt.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	j, err := journal.Bolt(db, "journal")
	if err != nil {
		t.Fatal(err)
	}
	return j
}

type entry struct{ Sort, Value string }

func scan(t *rapid.T, j journal.Journal, part, from string, reverse bool, limit int) []entry {
	var all []entry
	err := j.Scan(part, from, reverse, func(sort string, value []byte) bool {
		all = append(all, entry{sort, string(value)})
		return len(all) < limit
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// The file and the memory are held against a plain map, and so against each other.
func TestJournal_behaves_as_a_sorted_map(t *testing.T) {
	file := open(t)
	round := 0
	rapid.Check(t, func(t *rapid.T) {
		round++
		part := func() string {
			return fmt.Sprintf("%d/%s", round, rapid.SampledFrom([]string{"a", "ab", "b"}).Draw(t, "part"))
		}
		sort := rapid.StringMatching(`[a-c]{1,2}`)
		model := map[journal.Key]string{}
		memory := journal.Memory()
		for range rapid.IntRange(0, 8).Draw(t, "writes") {
			var changes []journal.Change
			for range rapid.IntRange(0, 30).Draw(t, "changes") {
				key := journal.Key{Part: part(), Sort: sort.Draw(t, "sort")}
				if rapid.Bool().Draw(t, "delete") {
					changes = append(changes, journal.Delete(key.Part, key.Sort))
					delete(model, key)
					continue
				}
				value := rapid.StringMatching(`[x-z]{1,3}`).Draw(t, "value")
				changes = append(changes, journal.Put(key.Part, key.Sort, []byte(value)))
				model[key] = value
			}
			for _, j := range []journal.Journal{file, memory} {
				if err := j.Write(changes); err != nil {
					t.Fatal(err)
				}
			}
		}
		from := rapid.StringMatching(`[a-c]{0,2}`).Draw(t, "from")
		reverse := rapid.Bool().Draw(t, "reverse")
		limit := rapid.IntRange(1, 12).Draw(t, "limit")
		in := part()
		want := expected(model, in, from, reverse, limit)
		for _, j := range []journal.Journal{file, memory} {
			if diff := cmp.Diff(want, scan(t, j, in, from, reverse, limit)); diff != "" {
				t.Errorf("%T (-want +got):\n%s", j, diff)
			}
			got, err := j.Get(journal.Key{Part: in, Sort: "a"})
			if want := model[journal.Key{Part: in, Sort: "a"}]; err != nil || string(got) != want {
				t.Errorf("%T holds %q, %v, want %q", j, got, err, want)
			}
		}
	})
}

func expected(model map[journal.Key]string, part, from string, reverse bool, limit int) []entry {
	var all []entry
	for key, value := range model {
		isBeyond := from == "" || !reverse && key.Sort > from || reverse && key.Sort < from
		if key.Part == part && isBeyond {
			all = append(all, entry{key.Sort, value})
		}
	}
	slices.SortFunc(all, func(a, b entry) int {
		if (a.Sort < b.Sort) != reverse {
			return -1
		}
		return 1
	})
	return all[:min(limit, len(all))]
}

func TestScan_reads_parts_of_many_pages(t *testing.T) {
	for _, j := range []journal.Journal{open(t), journal.Memory()} {
		var changes []journal.Change
		for i := range 500 {
			changes = append(changes, journal.Put("part", fmt.Sprintf("%04d", i), []byte("x")))
		}
		if err := j.Write(changes); err != nil {
			t.Fatal(err)
		}
		n := 0
		err := j.Scan("part", "", false, func(sort string, _ []byte) bool {
			n++
			return j.Write([]journal.Change{journal.Delete("part", sort)}) == nil
		})
		if err != nil || n != 500 {
			t.Errorf("%T: scanned %d documents, %v", j, n, err)
		}
	}
}

func TestWrite_refuses_keys_that_would_meet_others(t *testing.T) {
	if err := open(t).Write([]journal.Change{journal.Put("a\x00b", "c", []byte("x"))}); err == nil {
		t.Error("a part with a NUL was accepted")
	}
}
