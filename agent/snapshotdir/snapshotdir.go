// Package snapshotdir keeps snapshots in a directory, which may be a mount that the nodes of many
// clusters share.
//
// Its one invariant: a snapshot is there wholly or not at all. It is written under another name,
// synced, and then renamed; its manifest has a checksum for every file and one for itself, so
// that what rots, or was altered, is noticed before it becomes anybody's data. Programs hand it
// to the agent; it never sees a key.
package snapshotdir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"latchkey/agent"
	"latchkey/shared/atlas"
)

const (
	dirMode  = 0o700
	fileMode = 0o600

	manifestFile = "snapshot.json"
	content      = "files" // below it, the snapshot's own
	partial      = ".partial"
	deleted      = ".deleted"
)

// Dir implements agent.Snapshots. Nodes use one directory at the same time, each of them for
// one call at a time.
type Dir struct{ path string }

// New keeps snapshots below a directory, which is made when the first is taken.
func New(path string) *Dir { return &Dir{path} }

var errID = errors.New("snapshotdir: not the id of a snapshot")

// Save implements agent.Snapshots. What a crash of this node left of an earlier attempt is
// removed first.
func (d *Dir) Save(ctx context.Context, s agent.Snapshot, fill func(context.Context, agent.SnapshotSink) error) (int64, error) {
	if !atlas.ValidID(s.ID) || !atlas.ValidID(s.NodeID) {
		return 0, errID
	}
	root, err := d.open()
	if err != nil {
		return 0, err
	}
	defer root.Close() //nolint:errcheck // nothing is written through it
	if m, err := readManifest(root, s.ID); err == nil {
		return m.Bytes, nil
	} else if !errors.Is(err, agent.ErrNoSnapshot) {
		return 0, err
	}
	if err := sweep(root, "."+s.NodeID+partial); err != nil {
		return 0, err
	}
	work := "." + s.ID + "." + s.NodeID + partial
	bytes, err := write(ctx, root, work, s, fill)
	if err == nil {
		err = place(root, work, s.ID)
	}
	if err != nil {
		return 0, errors.Join(err, root.RemoveAll(work))
	}
	return bytes, nil
}

func (d *Dir) open() (*os.Root, error) {
	if err := os.MkdirAll(d.path, dirMode); err != nil {
		return nil, fmt.Errorf("make the snapshot directory: %w", err)
	}
	return os.OpenRoot(d.path)
}

// sweep removes what crashes left: entries that no snapshot has the name of.
func sweep(root *os.Root, suffix string) error {
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") && strings.HasSuffix(e.Name(), suffix) {
			if err := root.RemoveAll(e.Name()); err != nil {
				return err
			}
		}
	}
	return nil
}

// write makes the whole snapshot under a name that nobody reads.
func write(ctx context.Context, root *os.Root, work string, s agent.Snapshot, fill func(context.Context, agent.SnapshotSink) error) (int64, error) {
	if err := root.MkdirAll(work+"/"+content, dirMode); err != nil {
		return 0, err
	}
	sub, err := root.OpenRoot(work)
	if err != nil {
		return 0, err
	}
	defer sub.Close() //nolint:errcheck // every file in it is synced
	out := &sink{ctx: ctx, root: sub, dirs: map[string]bool{".": true, content: true}}
	if err := fill(ctx, out); err != nil {
		return 0, err
	}
	if out.open != nil {
		return 0, errOpen
	}
	m := manifest{Format: format, Snapshot: s, Files: out.files, Bytes: out.bytes}
	if err := m.write(sub); err != nil {
		return 0, err
	}
	for dir := range out.dirs {
		if err := agent.SyncDir(sub, dir); err != nil {
			return 0, err
		}
	}
	return m.Bytes, nil
}

// place gives a finished snapshot its name. Another node may have been quicker: its snapshot is
// as good, and was read back whole.
func place(root *os.Root, work, id string) error {
	if err := root.Rename(work, id); err != nil {
		if _, there := readManifest(root, id); there != nil {
			return err
		}
		return root.RemoveAll(work)
	}
	return agent.SyncDir(root, ".")
}

// Open implements agent.Snapshots. The files' checksums are compared while they are read.
func (d *Dir) Open(_ context.Context, id string) (agent.Snapshot, agent.SnapshotFiles, error) {
	if !atlas.ValidID(id) {
		return agent.Snapshot{}, nil, errID
	}
	root, err := os.OpenRoot(d.path)
	if errors.Is(err, fs.ErrNotExist) {
		return agent.Snapshot{}, nil, fmt.Errorf("%s: %w", id, errNotMounted)
	}
	if err != nil {
		return agent.Snapshot{}, nil, err
	}
	defer root.Close() //nolint:errcheck // it was only read
	m, err := readManifest(root, id)
	if err != nil {
		return agent.Snapshot{}, nil, err
	}
	return m.Snapshot, files{dir: d.path, id: id, manifest: m}, nil
}

// errNotMounted keeps a mount that is away from passing for one without snapshots, which would
// end a restore for good.
var errNotMounted = errors.New("snapshotdir: the directory is not there")

// Delete implements agent.Snapshots. The snapshot is renamed first, so that it is never there in
// part; removing what was renamed is repeated by whoever deletes next.
func (d *Dir) Delete(_ context.Context, id string) error {
	if !atlas.ValidID(id) {
		return errID
	}
	root, err := os.OpenRoot(d.path)
	if errors.Is(err, fs.ErrNotExist) {
		return errNotMounted
	}
	if err != nil {
		return err
	}
	defer root.Close() //nolint:errcheck // its changes are synced
	if err := root.Rename(id, "."+id+deleted); err == nil {
		if err := agent.SyncDir(root, "."); err != nil {
			return err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return sweep(root, deleted)
}
