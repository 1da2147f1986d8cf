package snapshotdir_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"latchkey/agent"
	"latchkey/agent/snapshotdir"
)

const (
	id    = "650000000000000000000050"
	nodeA = "65000000000000000000000a"
	nodeB = "65000000000000000000000b"
)

var errFill = errors.New("the engine failed")

func filled(files map[string]string) func(context.Context, agent.SnapshotSink) error {
	return func(_ context.Context, sink agent.SnapshotSink) error {
		for name, content := range files {
			w, err := sink.Create(name)
			if err != nil {
				return err
			}
			if _, err := io.WriteString(w, content); err != nil {
				return err
			}
			if err := w.Close(); err != nil {
				return err
			}
		}
		return nil
	}
}

var content = map[string]string{"table": "t", "stores/a/000001.sst": strings.Repeat("x", 100_000), "stores/a/empty": ""}

func save(t *testing.T, d *snapshotdir.Dir) {
	t.Helper()
	bytes, err := d.Save(t.Context(), agent.Snapshot{ID: id, NodeID: nodeA}, filled(content))
	if err != nil || bytes != 100_001 {
		t.Fatalf("Save = %d, %v", bytes, err)
	}
}

func readAll(files agent.SnapshotFiles) (map[string]string, error) {
	got := map[string]string{}
	for _, name := range files.Names() {
		f, err := files.Open(name)
		if err != nil {
			return nil, err
		}
		b, err := io.ReadAll(f)
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, err
		}
		got[name] = string(b)
	}
	return got, nil
}

func TestASnapshotIsReadBackAsItWasSaved(t *testing.T) {
	t.Parallel()
	d := snapshotdir.New(filepath.Join(t.TempDir(), "not", "there", "yet"))
	save(t, d)
	s, files, err := d.Open(t.Context(), id)
	if err != nil || s.NodeID != nodeA {
		t.Fatalf("Open = %+v, %v", s, err)
	}
	got, err := readAll(files)
	if err != nil || len(got) != len(content) {
		t.Fatalf("%d files, %v", len(got), err)
	}
	for name, want := range content {
		if got[name] != want {
			t.Errorf("%s differs", name)
		}
	}
}

func TestSavingAgainChangesNothing(t *testing.T) {
	t.Parallel()
	d := snapshotdir.New(t.TempDir())
	save(t, d)
	bytes, err := d.Save(t.Context(), agent.Snapshot{ID: id, NodeID: nodeB}, func(context.Context, agent.SnapshotSink) error {
		t.Error("the data was copied again")
		return nil
	})
	if err != nil || bytes != 100_001 {
		t.Errorf("Save = %d, %v", bytes, err)
	}
}

func TestAnotherNodeThatWasQuickerIsAsGood(t *testing.T) {
	t.Parallel()
	d := snapshotdir.New(t.TempDir())
	_, err := d.Save(t.Context(), agent.Snapshot{ID: id, NodeID: nodeB}, func(ctx context.Context, sink agent.SnapshotSink) error {
		save(t, d)
		return filled(map[string]string{"mine": "1"})(ctx, sink)
	})
	if err != nil {
		t.Fatal(err)
	}
	if s, _, err := d.Open(t.Context(), id); err != nil || s.NodeID != nodeA {
		t.Errorf("Open = %+v, %v", s, err)
	}
}

// entries are the names in a directory.
func entries(t *testing.T, dir string) []string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

func TestASnapshotThatBrokeOffIsNotThere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := snapshotdir.New(dir)
	canceled, cancel := context.WithCancel(t.Context())
	for name, fill := range map[string]func(context.Context, agent.SnapshotSink) error{
		"the engine fails": func(ctx context.Context, sink agent.SnapshotSink) error {
			return errors.Join(filled(content)(ctx, sink), errFill)
		},
		"it is called off": func(ctx context.Context, sink agent.SnapshotSink) error {
			cancel()
			return filled(content)(ctx, sink)
		},
		"a file is left open": func(_ context.Context, sink agent.SnapshotSink) error { _, err := sink.Create("a"); return err },
		"a path leads out":    filled(map[string]string{"../../x": "1"}),
		"an absolute path":    filled(map[string]string{"/tmp/x": "1"}),
		"a file twice": func(ctx context.Context, sink agent.SnapshotSink) error {
			return errors.Join(filled(content)(ctx, sink), filled(content)(ctx, sink))
		},
	} {
		if _, err := d.Save(canceled, agent.Snapshot{ID: id, NodeID: nodeA}, fill); err == nil {
			t.Errorf("%s: Save worked", name)
		}
		if left := entries(t, dir); len(left) != 0 {
			t.Errorf("%s: %v is left", name, left)
		}
		if _, _, err := d.Open(t.Context(), id); !errors.Is(err, agent.ErrNoSnapshot) {
			t.Errorf("%s: Open = %v", name, err)
		}
	}
	save(t, d)
}

func TestWhatACrashLeftIsRemovedByTheNodeThatCrashed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := snapshotdir.New(dir)
	for _, node := range []string{nodeA, nodeB} {
		if err := os.MkdirAll(filepath.Join(dir, "."+id+"."+node+".partial", "files"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	save(t, d)
	if left := entries(t, dir); len(left) != 2 || left[0] != "."+id+"."+nodeB+".partial" {
		t.Errorf("%v is left", left)
	}
}

// A snapshot that was altered anywhere is noticed before its end is read.
func TestEveryDamageIsNoticed(t *testing.T) {
	t.Parallel()
	at := func(dir, name string) string { return filepath.Join(dir, id, name) }
	for name, damage := range map[string]func(dir string) error{
		"a byte of a file":    func(dir string) error { return flip(at(dir, "files/stores/a/000001.sst"), 70_000) },
		"a byte more":         func(dir string) error { return extend(at(dir, "files/table")) },
		"a file cut off":      func(dir string) error { return os.Truncate(at(dir, "files/stores/a/000001.sst"), 99_999) },
		"a file gone":         func(dir string) error { return os.Remove(at(dir, "files/table")) },
		"a byte of the list":  func(dir string) error { return flip(at(dir, "snapshot.json"), 200) },
		"the list gone":       func(dir string) error { return os.Remove(at(dir, "snapshot.json")) },
		"the list cut off":    func(dir string) error { return os.Truncate(at(dir, "snapshot.json"), 50) },
		"an empty list":       func(dir string) error { return os.Truncate(at(dir, "snapshot.json"), 0) },
		"another's name":      func(dir string) error { return os.Rename(filepath.Join(dir, id), filepath.Join(dir, nodeA)) },
		"a link to elsewhere": func(dir string) error { return relink(at(dir, "files/table")) },
	} {
		dir := t.TempDir()
		d := snapshotdir.New(dir)
		save(t, d)
		if err := damage(dir); err != nil {
			t.Fatal(err)
		}
		asked := id
		if name == "another's name" {
			asked = nodeA
		}
		_, files, err := d.Open(t.Context(), asked)
		if err == nil {
			_, err = readAll(files)
		}
		if err == nil || !errors.Is(err, agent.ErrSnapshotDamaged) && name != "a link to elsewhere" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func flip(path string, at int) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	b[at] ^= 1
	return os.WriteFile(path, b, 0o600)
}

func extend(path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, 'x'), 0o600)
}

func relink(path string) error {
	return errors.Join(os.Remove(path), os.Symlink("/etc/hostname", path))
}

func TestADeletedSnapshotIsGoneAndDeletingIsRepeatable(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := snapshotdir.New(dir)
	save(t, d)
	if err := os.Mkdir(filepath.Join(dir, "."+nodeB+".deleted"), 0o700); err != nil { // a crash left it
		t.Fatal(err)
	}
	for range 2 {
		if err := d.Delete(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if left := entries(t, dir); len(left) != 0 {
			t.Errorf("%v is left", left)
		}
	}
	if _, _, err := d.Open(t.Context(), id); !errors.Is(err, agent.ErrNoSnapshot) {
		t.Errorf("Open = %v", err)
	}
}

func TestAMountThatIsAwayHasNotLostItsSnapshots(t *testing.T) {
	t.Parallel()
	d := snapshotdir.New(filepath.Join(t.TempDir(), "away"))
	if _, _, err := d.Open(t.Context(), id); err == nil || errors.Is(err, agent.ErrNoSnapshot) {
		t.Errorf("Open = %v", err)
	}
	if err := d.Delete(t.Context(), id); err == nil {
		t.Error("Delete worked")
	}
}

func TestNamesAreNoPaths(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := snapshotdir.New(filepath.Join(dir, "snapshots"))
	save(t, d)
	for _, bad := range []string{"", ".", "..", "../x", strings.Repeat("g", 24), id + "/", "." + id} {
		if _, err := d.Save(t.Context(), agent.Snapshot{ID: bad, NodeID: nodeA}, filled(content)); err == nil {
			t.Errorf("Save(%q) worked", bad)
		}
		if _, err := d.Save(t.Context(), agent.Snapshot{ID: nodeB, NodeID: bad}, filled(content)); err == nil {
			t.Errorf("Save by %q worked", bad)
		}
		if _, _, err := d.Open(t.Context(), bad); err == nil {
			t.Errorf("Open(%q) worked", bad)
		}
		if err := d.Delete(t.Context(), bad); err == nil {
			t.Errorf("Delete(%q) worked", bad)
		}
	}
}

func TestOnlyTheOwnerMayRead(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "snapshots")
	save(t, snapshotdir.New(dir))
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestTheListHoldsNoMoreThanItMust(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := snapshotdir.New(dir)
	key := &agent.SnapshotKey{ID: "k", Check: []byte{1}}
	if _, err := d.Save(t.Context(), agent.Snapshot{ID: id, NodeID: nodeA, Key: key}, filled(nil)); err != nil {
		t.Fatal(err)
	}
	list, err := os.ReadFile(filepath.Join(dir, id, "snapshot.json"))
	if err != nil || !bytes.Contains(list, []byte(`"id": "k"`)) {
		t.Errorf("%s, %v", list, err)
	}
	if s, files, err := d.Open(t.Context(), id); err != nil || s.Key.ID != "k" || len(files.Names()) != 0 {
		t.Errorf("Open = %+v, %v", s, err)
	}
}
