package sim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"latchkey/agent"
)

// vault is the store that all nodes keep their snapshots in.
type vault struct {
	saved map[string]savedSnapshot
}

// savedSnapshot is a snapshot with its files.
type savedSnapshot struct {
	agent.Snapshot

	files map[string][]byte
	has   map[string]string // what was written before, and so is in it
}

// Save implements agent.Snapshots.
func (v *vault) Save(ctx context.Context, s agent.Snapshot, fill func(context.Context, agent.SnapshotSink) error) (int64, error) {
	if k, ok := v.saved[s.ID]; ok {
		return k.size(), nil
	}
	k := savedSnapshot{s, map[string][]byte{}, map[string]string{}}
	if err := fill(ctx, k); err != nil {
		return 0, err
	}
	v.saved[s.ID] = k
	return k.size(), nil
}

// Open implements agent.Snapshots.
func (v *vault) Open(_ context.Context, id string) (agent.Snapshot, agent.SnapshotFiles, error) {
	k, ok := v.saved[id]
	if !ok {
		return agent.Snapshot{}, nil, agent.ErrNoSnapshot
	}
	return k.Snapshot, k, nil
}

// Delete implements agent.Snapshots.
func (v *vault) Delete(_ context.Context, id string) error {
	delete(v.saved, id)
	return nil
}

func (k savedSnapshot) size() (bytes int64) {
	for _, content := range k.files {
		bytes += int64(len(content))
	}
	return bytes
}

// Create implements agent.SnapshotSink.
func (k savedSnapshot) Create(name string) (io.WriteCloser, error) {
	if _, ok := k.files[name]; ok {
		return nil, fmt.Errorf("sim: %s is there already", name)
	}
	return &file{k: k, name: name}, nil
}

// Names implements agent.SnapshotFiles.
func (k savedSnapshot) Names() []string { return slices.Sorted(maps.Keys(k.files)) }

// Open implements agent.SnapshotFiles.
func (k savedSnapshot) Open(name string) (io.ReadCloser, error) {
	content, ok := k.files[name]
	if !ok {
		return nil, errors.New("sim: no such file in the snapshot")
	}
	return io.NopCloser(bytes.NewReader(content)), nil
}

// file is a file that is being written.
type file struct {
	bytes.Buffer

	k    savedSnapshot
	name string
}

// Close implements io.Closer.
func (f *file) Close() error {
	f.k.files[f.name] = f.Bytes()
	return nil
}
