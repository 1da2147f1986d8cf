package enginetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"testing"

	"latchkey/agent"
)

// Copy is a snapshot in memory: a sink and, afterwards, its files. It breaks when told to.
type Copy struct {
	Files map[string][]byte
	order []string
	// Room is how many bytes can be written or read before everything fails; 0 is no bound.
	Room int
	// Before runs ahead of every file.
	Before func()
}

// ErrBroken is what a Copy without room fails with.
var ErrBroken = errors.New("enginetest: the copy broke off")

func (c *Copy) use(n int) error {
	if c.Room == 0 {
		return nil
	}
	if c.Room -= n; c.Room <= 0 {
		c.Room = -1
		return ErrBroken
	}
	return nil
}

// Create implements agent.SnapshotSink.
func (c *Copy) Create(name string) (io.WriteCloser, error) {
	if c.Before != nil {
		c.Before()
	}
	if c.Files == nil {
		c.Files = map[string][]byte{}
	}
	if _, twice := c.Files[name]; twice {
		return nil, errors.New("enginetest: a file twice")
	}
	c.order = append(c.order, name)
	c.Files[name] = []byte{}
	return &part{c: c, name: name}, c.use(1)
}

type part struct {
	c    *Copy
	name string
}

func (p *part) Write(b []byte) (int, error) {
	p.c.Files[p.name] = append(p.c.Files[p.name], b...)
	return len(b), p.c.use(len(b))
}

func (*part) Close() error { return nil }

// Names implements agent.SnapshotFiles.
func (c *Copy) Names() []string { return slices.Clone(c.order) }

// Open implements agent.SnapshotFiles.
func (c *Copy) Open(name string) (io.ReadCloser, error) {
	content, ok := c.Files[name]
	if !ok {
		return nil, agent.ErrSnapshotDamaged
	}
	if err := c.use(1); err != nil {
		return nil, err
	}
	return io.NopCloser(&source{c: c, r: bytes.NewReader(content)}), nil
}

type source struct {
	c *Copy
	r *bytes.Reader
}

func (s *source) Read(b []byte) (int, error) {
	n, err := s.r.Read(b[:min(len(b), 512)])
	if broken := s.c.use(n); broken != nil {
		return 0, broken
	}
	return n, err
}

// Holds reports whether any file of the copy holds secret.
func (c *Copy) Holds(secret []byte) bool {
	for name, content := range c.Files {
		if bytes.Contains(content, secret) || bytes.Contains([]byte(name), secret) {
			return true
		}
	}
	return false
}

// snapshots tests what all engines must do, also those that cannot be copied.
func (h Harness) snapshots(t *testing.T) {
	e := h.Open(t, h.Place(t), nil)
	if err := e.Snapshot(t.Context(), &Copy{}); err == nil {
		t.Error("a stopped engine was copied")
	}
	must(t, e.Start(t.Context(), Key(1)))
	for range 2 { // an engine that was copied goes on
		copied := &Copy{}
		if err := e.Snapshot(t.Context(), copied); err != nil && !errors.Is(err, agent.ErrUnsupported) {
			t.Errorf("Snapshot = %v", err)
		}
		if copied.Holds(Key(1).Bytes()) {
			t.Error("the master key is in the copy")
		}
		if s := e.Status(); s.Phase == agent.Stopped || s.Phase == agent.Failed {
			t.Errorf("status %+v after Snapshot", s)
		}
	}
	if err := e.Restore(t.Context(), &Copy{}); err == nil {
		t.Error("a running engine was restored")
	}
	must(t, e.Stop(t.Context()))
	want(t, e, agent.Stopped)
}

// copyOf is a snapshot of a running engine.
func copyOf(t *testing.T, e Store) *Copy {
	t.Helper()
	c := &Copy{}
	must(t, e.Snapshot(t.Context(), c))
	want(t, e, agent.Running)
	return c
}

func (h Harness) snapshotAndRestore(t *testing.T) {
	for name, key := range map[string]func() *agent.MasterKey{
		"encrypted": func() *agent.MasterKey { return Key(1) }, "not encrypted": func() *agent.MasterKey { return nil },
	} {
		e := h.run(t, h.Place(t), key(), nil)
		must(t, e.Put(t.Context(), "db", "stays", []byte(Canary)))
		must(t, e.Put(t.Context(), "other", "goes", []byte("1")))
		c := copyOf(t, e)
		if c.Holds([]byte(Canary)) != (key() == nil) {
			t.Errorf("%s: the canary is in the copy: %t", name, key() != nil)
		}
		must(t, e.Put(t.Context(), "db", "stays", []byte("changed")))
		must(t, e.Put(t.Context(), "db", "later", []byte("2")))
		must(t, e.Put(t.Context(), "new", "k", []byte("3")))
		must(t, e.Stop(t.Context()))
		must(t, e.Restore(t.Context(), c))
		elsewhere, ok := h.Open(t, h.Place(t), nil).(Store)
		if !ok {
			t.Fatal("the engine holds no data")
		}
		must(t, elsewhere.Restore(t.Context(), c))
		for _, restored := range []Store{e, elsewhere} {
			want(t, restored, agent.Stopped)
			must(t, restored.Start(t.Context(), key()))
			if get(t, restored, "db", "stays") != Canary || get(t, restored, "other", "goes") != "1" ||
				get(t, restored, "db", "later") != "(none)" || get(t, restored, "new", "k") != "(none)" {
				t.Errorf("%s: the data is not that of the snapshot", name)
			}
			must(t, restored.Put(t.Context(), "db", "again", []byte("4")))
			must(t, restored.Stop(t.Context()))
		}
	}
}

func (h Harness) restoredKey(t *testing.T) {
	e := h.run(t, h.Place(t), Key(1), nil)
	must(t, e.Put(t.Context(), "db", "k", []byte("1")))
	c := copyOf(t, e)
	must(t, e.Rotate(t.Context(), Key(2)))
	must(t, e.Stop(t.Context()))
	must(t, e.Restore(t.Context(), c))
	if err := e.Start(t.Context(), Key(2)); !errors.Is(err, agent.ErrWrongKey) {
		t.Errorf("the key of after the snapshot opens it: %v", err)
	}
	must(t, e.Start(t.Context(), Key(1)))
	must(t, e.Rotate(t.Context(), Key(3)))
	if get(t, e, "db", "k") != "1" {
		t.Error("the data differs under a new key")
	}
	must(t, e.Stop(t.Context()))
}

func (h Harness) brokenSnapshot(t *testing.T) {
	e := h.run(t, h.Place(t), Key(1), nil)
	must(t, e.Put(t.Context(), "db", "k", []byte("1")))
	if err := e.Snapshot(t.Context(), &Copy{Room: 20}); !errors.Is(err, ErrBroken) {
		t.Errorf("Snapshot = %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := e.Snapshot(ctx, &Copy{Before: cancel}); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("Snapshot = %v", err)
	}
	want(t, e, agent.Running)
	if get(t, e, "db", "k") != "1" {
		t.Error("the data is gone")
	}
	must(t, e.Stop(t.Context()))
}

// brokenRestore breaks a restore off at many places: what is left opens as the old data, as the
// snapshot's, or not at all, and restoring again helps.
func (h Harness) brokenRestore(t *testing.T) {
	first := h.run(t, h.Place(t), Key(1), nil)
	must(t, first.Put(t.Context(), "db", "k", []byte("snapshot")))
	c := copyOf(t, first)
	must(t, first.Stop(t.Context()))
	for _, room := range []int{1, 2, 3, 600, 1500, 5000} {
		place := h.Place(t)
		e := h.run(t, place, Key(2), nil)
		must(t, e.Put(t.Context(), "db", "k", []byte("old")))
		must(t, e.Stop(t.Context()))
		broken := &Copy{Files: c.Files, order: c.order, Room: room}
		if err := e.Restore(t.Context(), broken); err != nil {
			for key, value := range map[byte]string{1: "snapshot", 2: "old"} {
				if e.Start(t.Context(), Key(key)) == nil && get(t, e, "db", "k") != value && get(t, e, "db", "k") != "(none)" {
					t.Errorf("%d bytes: key %d opens %q", room, key, get(t, e, "db", "k"))
				}
				must(t, e.Stop(t.Context()))
			}
		}
		again, ok := h.Open(t, place, nil).(Store)
		if !ok {
			t.Fatal("the engine holds no data")
		}
		must(t, again.Restore(t.Context(), c))
		must(t, again.Start(t.Context(), Key(1)))
		if get(t, again, "db", "k") != "snapshot" {
			t.Errorf("%d bytes: the data is not the snapshot's", room)
		}
		must(t, again.Stop(t.Context()))
	}
}
