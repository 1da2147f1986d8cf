package bolt_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/shared/store"
	"latchkey/shared/store/bolt"
	"latchkey/shared/store/storetest"
)

func open(t testing.TB, path string) *bolt.Table {
	t.Helper()
	table, err := bolt.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := table.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return table
}

func tempFile(t testing.TB) string { return filepath.Join(t.TempDir(), "table.db") }

func TestTable(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Table { return open(t, tempFile(t)) })
}

func TestOpen_what_was_written_is_there_after_reopening(t *testing.T) {
	path := tempFile(t)
	table, err := bolt.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	item := store.Item{Key: store.Key{PK: "P", SK: "S"}, Index: store.Key{PK: "I", SK: "S"}, Body: []byte(`1`)}
	if err := table.Write(t.Context(), store.Put(item)); err != nil {
		t.Fatal(err)
	}
	if err := table.Close(); err != nil {
		t.Fatal(err)
	}
	if err := table.Write(t.Context(), store.Put(item)); err == nil {
		t.Error("a closed table accepted a write")
	}
	table = open(t, path)
	if got, err := table.Get(t.Context(), item.Key); err != nil || got.Version != 1 {
		t.Errorf("get after reopening = %+v, %v", got, err)
	}
	if page, err := table.Query(t.Context(), store.Query{PK: "I", Index: true}); err != nil || len(page.Items) != 1 {
		t.Errorf("the index after reopening = %+v, %v", page, err)
	}
}

func TestOpen_a_second_opener_is_told_which_file_is_in_use(t *testing.T) {
	path := tempFile(t)
	open(t, path)
	start := time.Now()
	second, err := bolt.Open(path)
	if err == nil {
		t.Fatal(errors.Join(errors.New("the file was opened twice"), second.Close()))
	}
	if !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "in use") {
		t.Errorf("the error %q does not say which file is in use", err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %v to find out", took)
	}
}

func TestOpen_nobody_else_can_read_the_file(t *testing.T) {
	loose := tempFile(t)
	table, err := bolt.Open(loose)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(table.Close(), os.Chmod(loose, 0o644)); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{tempFile(t), loose} {
		open(t, path)
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode = %v, %v; want 0600", info.Mode(), err)
		}
	}
}

func TestOpen_refuses_a_file_that_is_no_table(t *testing.T) {
	path := tempFile(t)
	if err := os.WriteFile(path, []byte(strings.Repeat("no table ", 5000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if table, err := bolt.Open(path); err == nil {
		t.Error("a text file was opened as a table", table.Close())
	} else if !strings.Contains(err.Error(), path) {
		t.Errorf("the error %q does not name the file", err)
	}
	if _, err := bolt.Open(filepath.Join(t.TempDir(), "missing", "table.db")); err == nil {
		t.Error("a file in a missing folder was opened")
	}
}

// A kill of the process can't show this, since the system still writes what it has been given.
func TestOpen_every_commit_is_synced(t *testing.T) {
	if !open(t, tempFile(t)).Syncs() {
		t.Error("the file is open without syncing")
	}
}

func TestWrite_an_error_of_the_context_means_that_nothing_happened(t *testing.T) {
	table := open(t, tempFile(t))
	var group sync.WaitGroup
	outcomes := make([]error, 400)
	for i := range outcomes {
		ctx, cancel := context.WithCancel(t.Context())
		group.Go(func() {
			item := store.Item{Key: store.Key{PK: "P", SK: strconv.Itoa(i)}}
			outcomes[i] = table.Write(ctx, store.Put(item))
			cancel()
		})
		if i%2 == 0 {
			group.Go(cancel)
		}
	}
	group.Wait()
	cancelled := 0
	for i, err := range outcomes {
		_, missing := table.Get(t.Context(), store.Key{PK: "P", SK: strconv.Itoa(i)})
		if (err == nil) != (missing == nil) || (err != nil && !errors.Is(err, context.Canceled)) {
			t.Errorf("write %d = %v, and reading it = %v", i, err, missing)
		}
		if err != nil {
			cancelled++
		}
	}
	t.Logf("%d of %d writes were cancelled", cancelled, len(outcomes))
}

// A write that is cancelled while it waits is withdrawn; one whose commit has begun is not,
// and says truthfully that it happened.
func TestWrite_is_withdrawn_until_its_commit_begins(t *testing.T) {
	table := open(t, tempFile(t))
	for round := range 30 {
		ctx, cancel := context.WithCancel(t.Context())
		begin := func(ctx context.Context, name string) <-chan error {
			outcome := make(chan error, 1)
			before := table.Waiting()
			go func() {
				outcome <- table.Write(ctx, store.Put(store.Item{Key: store.Key{PK: "P", SK: fmt.Sprint(name, round)}}))
			}()
			until(func() bool { return table.Waiting() > before })
			return outcome
		}
		releaseTurn := table.HoldTurn()
		withdrawn, withdraw := context.WithCancel(t.Context())
		early := begin(withdrawn, "early")
		withdraw()
		if err := <-early; !errors.Is(err, context.Canceled) {
			t.Errorf("the write that was waiting: %v, want context.Canceled", err)
		}
		one, two := begin(ctx, "one"), begin(ctx, "two")
		releaseFile, err := table.HoldFile()
		if err != nil {
			t.Fatal(err)
		}
		releaseTurn()
		until(func() bool { return table.Waiting() == 0 })
		cancel()
		runtime.Gosched()
		if err := releaseFile(); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(<-one, <-two); err != nil {
			t.Errorf("the writes whose commit had begun: %v", err)
		}
		if n := count(t, table, "P", false); n != 2*(round+1) {
			t.Errorf("%d items, want %d", n, 2*(round+1))
		}
	}
}

func until(condition func() bool) {
	for !condition() {
		runtime.Gosched()
	}
}

func TestExpire_removes_what_is_due_from_the_table_and_the_index(t *testing.T) {
	table := open(t, tempFile(t))
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	put := func(sk string, version int64, expires time.Time) {
		t.Helper()
		item := store.Item{
			Key: store.Key{PK: "P", SK: sk}, Version: version, Expires: expires, Index: store.Key{PK: "I", SK: sk}, Body: []byte(`1`),
		}
		if err := table.Write(t.Context(), store.Put(item)); err != nil {
			t.Fatal(err)
		}
	}
	put("for ever", 0, time.Time{})
	put("later", 0, now.Add(time.Second))
	put("now", 0, now)
	put("long ago", 0, time.Unix(1, 0))
	put("prolonged", 0, now.Add(-time.Hour))
	put("prolonged", 1, now.Add(time.Hour))
	put("kept after all", 0, now.Add(-time.Hour))
	put("kept after all", 1, time.Time{})
	put("shortened", 0, now.Add(time.Hour))
	put("shortened", 1, now.Add(-time.Hour))

	if n := count(t, table, "P", false); n != 7 {
		t.Errorf("%d items before expiry, want 7: readers remove nothing", n)
	}
	for _, want := range []int{3, 0} {
		if n, err := table.Expire(t.Context(), now); n != want || err != nil {
			t.Errorf("expire = %d, %v; want %d", n, err, want)
		}
	}
	if n, m := count(t, table, "P", false), count(t, table, "I", true); n != 4 || m != 4 {
		t.Errorf("%d items and %d in the index remain, want 4 and 4", n, m)
	}
	put("now", 0, now) // its key is free again
}

func TestExpire_removes_any_number_and_stops_when_told(t *testing.T) {
	table := open(t, tempFile(t))
	const n = 1201
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() {
			item := store.Item{Key: store.Key{PK: "P", SK: strconv.Itoa(i)}, Expires: time.Unix(100, 0)}
			if err := table.Write(t.Context(), store.Put(item)); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := table.Expire(ctx, time.Unix(100, 0)); got != 0 || err == nil {
		t.Errorf("expire with a cancelled context = %d, %v", got, err)
	}
	if got, err := table.Expire(t.Context(), time.Unix(100, 0)); got != n || err != nil {
		t.Errorf("expire = %d, %v; want %d", got, err, n)
	}
	if left := count(t, table, "P", false); left != 0 {
		t.Errorf("%d items are left", left)
	}
}

func count(t testing.TB, table *bolt.Table, pk string, index bool) int {
	t.Helper()
	items, err := store.All(t.Context(), table, store.Query{PK: pk, Index: index})
	if err != nil {
		t.Fatal(err)
	}
	return len(items)
}
