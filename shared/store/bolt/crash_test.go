package bolt_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/shared/store"
	"latchkey/shared/store/bolt"
)

// crashFile makes the test binary a writer on the named file instead of running tests.
const crashFile = "LATCHKEY_TEST_CRASH_FILE"

func TestMain(m *testing.M) {
	if path := os.Getenv(crashFile); path != "" {
		if err := writeUntilKilled(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

const crashWriters = 4

// pair is what one transaction of a writer writes: the same number in two partitions, one of
// them indexed.
func pair(writer int, version int64) []store.Op {
	body := fmt.Appendf(nil, `{"n":%d,"pad":%q}`, version+1, strings.Repeat("x", 3000))
	left := store.Item{Key: store.Key{PK: "LEFT", SK: strconv.Itoa(writer)}, Version: version, Body: body}
	right := store.Item{Key: store.Key{PK: "RIGHT", SK: strconv.Itoa(writer)}, Version: version, Body: body}
	left.Index = store.Key{PK: "IDX", SK: fmt.Sprintf("%d at %d", writer, version+1)}
	return []store.Op{store.Put(left), store.Put(right)}
}

// writeUntilKilled prints "writer version" for every acknowledged write.
func writeUntilKilled(path string) error {
	table, err := bolt.Open(path)
	if err != nil {
		return err
	}
	if _, err := table.Subscribe(time.Now, consumer, slow); err != nil {
		return err
	}
	var out sync.Mutex
	failed := make(chan error)
	for w := range crashWriters {
		go func() {
			for {
				version := int64(0)
				ctx := context.Background()
				if item, err := table.Get(ctx, store.Key{PK: "LEFT", SK: strconv.Itoa(w)}); err == nil {
					version = item.Version
				}
				if err := table.Write(ctx, pair(w, version)...); err != nil {
					failed <- err
					return
				}
				out.Lock()
				fmt.Fprintf(os.Stdout, "%d %d\n", w, version+1) //nolint:errcheck // the parent may be gone
				out.Unlock()
			}
		}()
	}
	return <-failed
}

func TestWrite_what_was_acknowledged_survives_a_kill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "table.db")
	told := replay{}
	for round := range 8 {
		acknowledged := killAfter(t, path, 20+13*round)
		table, err := bolt.Open(path)
		if err != nil {
			t.Fatalf("open after the kill: %v", err)
		}
		for w, want := range acknowledged {
			checkWriter(t, table, w, want)
		}
		if n := count(t, table, "IDX", true); n != crashWriters {
			t.Errorf("the index holds %d items, want %d", n, crashWriters)
		}
		feed := subscribe(t, table, time.Now)
		told.read(t, feed)
		told.compare(t, table)
		if round%2 == 0 { // the next one goes on behind what was forgotten, or begins with what was not
			if err := forget(t, feed, told.after); err != nil {
				t.Fatal(err)
			}
		}
		if err := table.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// killAfter runs a writer, kills it when it has acknowledged so many writes, and returns the
// last version that each of its goroutines acknowledged.
func killAfter(t *testing.T, path string, lines int) [crashWriters]int64 {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), crashFile+"="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var acknowledged [crashWriters]int64
	scanner := bufio.NewScanner(out)
	for n := 0; scanner.Scan(); n++ { // also what it prints between the order to die and its death
		if n == lines {
			if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
				t.Fatal(err)
			}
		}
		var w int
		var version int64
		if _, err := fmt.Sscanf(scanner.Text(), "%d %d", &w, &version); err == nil {
			acknowledged[w] = max(acknowledged[w], version)
		}
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("the writer ended by itself")
	}
	return acknowledged
}

func checkWriter(t *testing.T, table *bolt.Table, writer int, acknowledged int64) {
	t.Helper()
	type body struct{ N int64 }
	var n [2]int64
	for i, pk := range []string{"LEFT", "RIGHT"} {
		got, version, err := store.Load[body](t.Context(), table, store.Key{PK: pk, SK: strconv.Itoa(writer)})
		if errors.Is(err, store.ErrNotFound) && acknowledged == 0 {
			continue
		}
		if err != nil || got.N != version || version < acknowledged {
			t.Errorf("writer %d: %s is %d at version %d, %v; %d was acknowledged", writer, pk, got.N, version, err, acknowledged)
		}
		n[i] = got.N
	}
	if n[0] != n[1] {
		t.Errorf("writer %d: half a transaction: %d and %d", writer, n[0], n[1])
	}
}
