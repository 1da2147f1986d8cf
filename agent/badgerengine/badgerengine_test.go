package badgerengine_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"latchkey/agent"
	"latchkey/agent/badgerengine"
	"latchkey/agent/enginetest"
)

func open(t *testing.T, dir string, source enginetest.Source) *badgerengine.Engine {
	t.Helper()
	e := badgerengine.New(badgerengine.Config{Dir: dir, Source: badgerengine.Source(source), Now: time.Now})
	t.Cleanup(func() { e.Stop(t.Context()) }) //nolint:errcheck // tested elsewhere
	return e
}

var harness = enginetest.Harness{
	Checks: 5, // a store takes tens of milliseconds to open and to close
	Place: func(t *testing.T) string {
		t.Helper()
		return filepath.Join(t.TempDir(), "data")
	},
	Open: func(t *testing.T, place string, source enginetest.Source) agent.Engine {
		t.Helper()
		return open(t, place, source)
	},
}

func TestEngine(t *testing.T) { enginetest.Run(t, harness) }

func TestEngine_asAStore(t *testing.T) { enginetest.RunStore(t, harness) }

func start(t *testing.T, e *badgerengine.Engine, key *agent.MasterKey) {
	t.Helper()
	if err := e.Start(t.Context(), key); err != nil {
		t.Fatal(err)
	}
}

// contents reads every file of an engine.
func contents(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 && !strings.HasPrefix(path, filepath.Join(dir, "stores")) {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		files[path], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestNothingOfTheDataCanBeReadInTheFiles(t *testing.T) {
	t.Parallel()
	for name, key := range map[string]*agent.MasterKey{"encrypted": enginetest.Key(1), "not encrypted": nil} {
		dir := harness.Place(t)
		e := open(t, dir, nil)
		start(t, e, key)
		big := []byte(strings.Repeat(enginetest.Canary, 60_000)) // goes to the value log
		for k, value := range map[string][]byte{"small": []byte(enginetest.Canary), "key-" + enginetest.Canary: {1}, "big": big} {
			if err := e.Put(t.Context(), "db", k, value); err != nil {
				t.Fatal(err)
			}
		}
		while := contents(t, dir)
		if err := e.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		for when, files := range map[string]map[string][]byte{"running": while, "stopped": contents(t, dir)} {
			found := false
			for path, content := range files {
				if bytes.Contains(content, []byte(enginetest.Canary)) {
					found = true
					if key != nil {
						t.Errorf("%s, %s: the canary is in %s", name, when, path)
					}
				}
				if bytes.Contains(content, enginetest.Key(1).Bytes()) {
					t.Errorf("%s, %s: the master key is in %s", name, when, path)
				}
			}
			if !found && key == nil {
				t.Errorf("%s, %s: this test would not find the canary", name, when)
			}
		}
	}
}

func TestASnapshotTellsNoMoreThanTheFilesDo(t *testing.T) {
	t.Parallel()
	for name, key := range map[string]*agent.MasterKey{"encrypted": enginetest.Key(1), "not encrypted": nil} {
		e := open(t, harness.Place(t), nil)
		start(t, e, key)
		big := []byte(strings.Repeat(enginetest.Canary, 60_000)) // goes to the value log
		for k, value := range map[string][]byte{"key-" + enginetest.Canary: {1}, "big": big} {
			if err := e.Put(t.Context(), "db", k, value); err != nil {
				t.Fatal(err)
			}
		}
		var c enginetest.Copy
		if err := e.Snapshot(t.Context(), &c); err != nil {
			t.Fatal(err)
		}
		if c.Holds([]byte(enginetest.Canary)) != (key == nil) || c.Holds(enginetest.Key(1).Bytes()) {
			t.Errorf("%s: the snapshot tells a secret", name)
		}
		restored := open(t, harness.Place(t), nil)
		if err := restored.Restore(t.Context(), &c); err != nil {
			t.Fatal(err)
		}
		start(t, restored, key)
		if got, found, err := restored.Get(t.Context(), "db", "big"); err != nil || !found || !bytes.Equal(got, big) {
			t.Errorf("%s: a large value came back as %d bytes, %t, %v", name, len(got), found, err)
		}
	}
}

func TestARotationRewritesTheKeyTableOnly(t *testing.T) {
	t.Parallel()
	dir := harness.Place(t)
	e := open(t, dir, nil)
	start(t, e, enginetest.Key(1))
	for _, database := range []string{"a", "b"} {
		if err := e.Put(t.Context(), database, "k", []byte("v")); err != nil {
			t.Fatal(err)
		}
	}
	before := contents(t, dir)
	if err := e.Rotate(t.Context(), enginetest.Key(2)); err != nil {
		t.Fatal(err)
	}
	for path, content := range contents(t, dir) {
		changed := !bytes.Equal(content, before[path])
		if changed != (filepath.Base(path) == "keytable.json") {
			t.Errorf("%s changed: %t", path, changed)
		}
	}
}

func TestEachDatabaseHasAKeyOfItsOwn(t *testing.T) {
	t.Parallel()
	dir := harness.Place(t)
	e := open(t, dir, nil)
	start(t, e, enginetest.Key(1))
	for _, database := range []string{"a", "b"} {
		if err := e.Put(t.Context(), database, "k", []byte("v")); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	stores, err := filepath.Glob(filepath.Join(dir, "stores", "*"))
	if err != nil || len(stores) != 2 {
		t.Fatalf("stores %v, %v", stores, err)
	}
	swap := filepath.Join(dir, "swap")
	for _, move := range [][2]string{{stores[0], swap}, {stores[1], stores[0]}, {swap, stores[1]}} {
		if err := os.Rename(move[0], move[1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Start(t.Context(), enginetest.Key(1)); err == nil {
		t.Error("a store opened with another database's key")
	}
}

func TestALostKeyTableIsNotTakenForANewNode(t *testing.T) {
	t.Parallel()
	dir := harness.Place(t)
	e := open(t, dir, nil)
	start(t, e, enginetest.Key(1))
	if err := e.Put(t.Context(), "db", "k", []byte("v")); err != nil {
		t.Fatal(err)
	}
	if err := e.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	table := filepath.Join(dir, "keytable.json")
	for how, damage := range map[string]func() error{
		"torn":    func() error { return os.WriteFile(table, []byte(`{"format":1,`), 0o600) },
		"missing": func() error { return os.Remove(table) },
	} {
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		if err := e.Start(t.Context(), enginetest.Key(1)); err == nil {
			t.Errorf("%s: it started", how)
		}
	}
	if err := e.Wipe(t.Context()); err != nil {
		t.Fatal(err)
	}
	start(t, e, enginetest.Key(2))
}

func TestOneDirectoryIsForOneEngine(t *testing.T) {
	t.Parallel()
	dir := harness.Place(t)
	start(t, open(t, dir, nil), enginetest.Key(1))
	second := open(t, dir, nil)
	if err := second.Start(t.Context(), enginetest.Key(1)); err == nil {
		t.Error("two engines share a directory")
	}
	if err := second.Wipe(t.Context()); err == nil {
		t.Error("it wiped the data of a running engine")
	}
}

func TestEngine_stops_writing_before_the_disk_is_full(t *testing.T) {
	dir, left := filepath.Join(t.TempDir(), "data"), uint64(1<<30)
	config := badgerengine.Config{Dir: dir, Now: time.Now, Free: func(string) (uint64, error) { return left, nil }}
	e := badgerengine.New(config)
	start(t, e, nil)
	put := func(database, key string) error { return e.Put(t.Context(), database, key, []byte("value")) }
	if err := put("db", "k"); err != nil {
		t.Fatal(err)
	}
	left = 1 << 20
	for name, err := range map[string]error{"a value": put("db", "l"), "the first value of a database": put("new", "k")} {
		if !errors.Is(err, badgerengine.ErrNoRoom) {
			t.Errorf("%s without room: %v", name, err)
		}
	}
	if got, found, err := e.Get(t.Context(), "db", "k"); string(got) != "value" || !found || err != nil {
		t.Errorf("what is there can't be read: %q %t %v", got, found, err)
	}
	left = 1 << 30
	if err := errors.Join(put("db", "l"), put("new", "k"), e.Stop(t.Context())); err != nil {
		t.Errorf("with room again: %v", err)
	}
	left = 1 << 20
	if err := e.Start(t.Context(), nil); !errors.Is(err, badgerengine.ErrNoRoom) {
		t.Errorf("start without room: %v", err)
	}
	left = 1 << 30
	start(t, e, nil)
	if _, found, err := e.Get(t.Context(), "db", "l"); !found || err != nil {
		t.Errorf("after the start: %t %v", found, err)
	}
	if err := e.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}
