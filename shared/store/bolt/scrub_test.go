package bolt_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"go.etcd.io/bbolt"
	"pgregory.net/rapid"

	"latchkey/shared/store"
	"latchkey/shared/store/bolt"
)

func TestScrub_leaves_nothing_of_what_was_deleted_or_replaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "table.db")
	table := open(t, path)
	secret := strings.Repeat("sealed secret ", 40)
	inFile := func() bool {
		t.Helper()
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Contains(content, []byte("sealed secret"))
	}
	for _, size := range []int{1, 40} { // in a page among others, and over several pages
		replaced, deleted := store.Key{PK: "P", SK: "replaced"}, store.Key{PK: "P", SK: "deleted"}
		body := []byte(`{"secret":"` + strings.Repeat(secret, size) + `"}`)
		must(t, table, store.Put(store.Item{Key: replaced, Body: body}), store.Put(store.Item{Key: deleted, Body: body}))
		must(t, table, store.Put(store.Item{Key: replaced, Version: 1, Body: []byte(`{}`)}), store.Delete(deleted, 1))
		if !inFile() {
			t.Fatal("this test would not notice")
		}
		if err := table.Scrub(); err != nil {
			t.Fatal(err)
		}
		if inFile() {
			t.Error("the file still holds it")
		}
		if item, err := table.Get(t.Context(), replaced); err != nil || string(item.Body) != "{}" {
			t.Errorf("what is there: %s, %v", item.Body, err)
		}
		must(t, table, store.Delete(replaced, 2))
	}
}

func must(t *testing.T, table *bolt.Table, ops ...store.Op) {
	t.Helper()
	if err := table.Write(t.Context(), ops...); err != nil {
		t.Fatal(err)
	}
}

// Whatever was written, scrubbing changes nothing that can be read, and the file stays sound.
func TestScrub_changes_nothing_that_is_there(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		path := filepath.Join(t.TempDir(), rapid.StringMatching("[a-z]{12}").Draw(r, "name"))
		table, err := bolt.Open(path)
		if err != nil {
			r.Fatal(err)
		}
		want := map[string]string{}
		versions := map[string]int64{}
		for i := range rapid.IntRange(1, 40).Draw(r, "writes") {
			name := fmt.Sprint("k", rapid.IntRange(0, 9).Draw(r, "item"))
			key := store.Key{PK: "P", SK: name}
			if versions[name] > 0 && rapid.Bool().Draw(r, "delete") {
				if err := table.Write(t.Context(), store.Delete(key, versions[name])); err != nil {
					r.Fatal(err)
				}
				delete(want, name)
				delete(versions, name)
			} else {
				body := fmt.Sprintf("%q", strings.Repeat(strconv.Itoa(i), rapid.IntRange(1, 9000).Draw(r, "size")))
				if err := table.Write(t.Context(), store.Put(store.Item{Key: key, Version: versions[name], Body: []byte(body)})); err != nil {
					r.Fatal(err)
				}
				want[name] = body
				versions[name]++
			}
			if rapid.Bool().Draw(r, "scrub") {
				if err := table.Scrub(); err != nil {
					r.Fatal(err)
				}
			}
		}
		if rapid.Bool().Draw(r, "reopen") {
			if err := table.Close(); err != nil {
				r.Fatal(err)
			}
			if table, err = bolt.Open(path); err != nil {
				r.Fatal(err)
			}
		}
		items, err := store.All(t.Context(), table, store.Query{PK: "P", Prefix: "k"})
		if err != nil || len(items) != len(want) {
			r.Errorf("%d of %d items, %v", len(items), len(want), err)
		}
		for _, item := range items {
			if string(item.Body) != want[item.SK] {
				r.Errorf("%s is %.20s, want %.20s", item.SK, item.Body, want[item.SK])
			}
		}
		if err := table.Close(); err != nil {
			r.Fatal(err)
		}
		sound(r, path)
	})
}

// sound demands that a file is as bbolt wants it.
func sound(t interface {
	Fatal(args ...any)
	Error(args ...any)
}, path string,
) {
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // only read
	err = db.View(func(tx *bbolt.Tx) error {
		for err := range tx.Check() {
			t.Error(err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestScrub_beside_readers_and_writers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "table.db")
	table := open(t, path)
	var all sync.WaitGroup
	for worker := range 4 {
		all.Go(func() {
			key := store.Key{PK: "P", SK: fmt.Sprint("k", worker)}
			for i := range int64(60) {
				body := fmt.Sprintf("%q", strings.Repeat(strconv.Itoa(worker), 3000+int(i)))
				if err := table.Write(t.Context(), store.Put(store.Item{Key: key, Version: i, Body: []byte(body)})); err != nil {
					t.Error(err)
				}
				if item, err := table.Get(t.Context(), key); err != nil || string(item.Body) != body {
					t.Errorf("%.20s, %v", item.Body, err)
				}
				if worker == 0 {
					if err := table.Scrub(); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	all.Wait()
}
