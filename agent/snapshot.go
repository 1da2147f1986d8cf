package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/node/protocol"
)

// Snapshot is what is known of a snapshot besides its files. It holds no secret: whoever has the
// store alone can open nothing.
type Snapshot struct {
	ID        string    `json:"id"`
	GroupID   string    `json:"groupId"`
	ClusterID string    `json:"clusterId"`
	NodeID    string    `json:"nodeId"`
	TakenAt   time.Time `json:"takenAt"`
	// Key is the wrapped master key that the files are under, nil where they are not encrypted.
	Key *SnapshotKey `json:"key,omitempty"`
}

// SnapshotKey is the master key of a snapshot as its node kept it.
type SnapshotKey struct {
	ID      string              `json:"id"`
	Check   []byte              `json:"check"` // recognises the key when it is released
	Wrapped protocol.WrappedKey `json:"wrapped"`
}

// SnapshotSink takes the files of a snapshot. Names are relative paths with slashes. A file is
// finished when it is closed, before the next is created.
type SnapshotSink interface {
	Create(name string) (io.WriteCloser, error)
}

// SnapshotFiles are the files of a snapshot. A file that is not what was written fails with
// ErrSnapshotDamaged, at the latest where io.EOF would be.
type SnapshotFiles interface {
	Names() []string
	Open(name string) (io.ReadCloser, error)
}

// Snapshots is where snapshots are kept: agent/snapshotdir is the one in use. Every node that may
// restore a snapshot must reach the store that it is in.
type Snapshots interface {
	// Save makes a snapshot of what fill writes, wholly or not at all; it is safe when Save
	// returns its size. A snapshot that is there already stays, and fill is not called.
	Save(ctx context.Context, s Snapshot, fill func(context.Context, SnapshotSink) error) (bytes int64, err error)
	// Open finds a snapshot, or fails with ErrNoSnapshot or ErrSnapshotDamaged.
	Open(ctx context.Context, id string) (Snapshot, SnapshotFiles, error)
	// Delete removes a snapshot. Deleting one that is not there does nothing.
	Delete(ctx context.Context, id string) error
}

// Errors of Snapshots. All others pass: the store is full, or cannot be reached.
var (
	ErrNoSnapshot      = errors.New("agent: no such snapshot")
	ErrSnapshotDamaged = errors.New("agent: the snapshot is damaged")
)

// errSnapshots wraps what fails of the snapshot store.
var errSnapshots = errors.New("agent: the snapshot store")

// snapshot copies the data to the snapshot store. The control plane knows which key the copy
// needs before there is a copy, so that no snapshot outlives its key unnoticed: neither a lost
// acknowledgement nor a rotation right afterwards can make the ledger forget it.
func (w *worker) snapshot(ctx context.Context, c protocol.Command) (bytes int64, err error) {
	switch {
	case w.cfg.Snapshots == nil:
		return 0, &impossible{protocol.ReasonUnsupported}
	case w.lost != nil:
		return 0, w.lost
	case c.Target == protocol.Stop:
		return 0, &impossible{protocol.ReasonNotRunning}
	}
	if err := w.hold(ctx, c, true); err != nil {
		return 0, err
	}
	if w.cfg.Engine.Status().Phase != Running {
		return 0, errNotReady
	}
	if w.ring.Next != nil { // the data would be under one of two keys
		if err := w.moveToNext(ctx); err != nil {
			return 0, err
		}
	}
	s, keep := w.portrait(c.SnapshotID)
	if err := w.cfg.Client.keep(ctx, keep); err != nil {
		return 0, final(err)
	}
	bytes, err = w.cfg.Snapshots.Save(ctx, s, w.cfg.Engine.Snapshot)
	switch {
	case errors.Is(err, ErrUnsupported):
		return 0, &impossible{protocol.ReasonUnsupported}
	case err != nil:
		return 0, fmt.Errorf("%w: save: %w", errSnapshots, err)
	}
	return bytes, nil
}

// portrait describes a snapshot of the data as it is now.
func (w *worker) portrait(id string) (Snapshot, protocol.KeepRequest) {
	s := Snapshot{
		ID: id, GroupID: w.node.GroupID, ClusterID: w.node.ClusterID, NodeID: w.node.NodeID, TakenAt: w.cfg.Client.serverTime().UTC(),
	}
	keep := protocol.KeepRequest{SnapshotID: id}
	if k := w.ring.Current; k != nil {
		s.Key = &SnapshotKey{ID: k.KeyID, Check: k.Check, Wrapped: k.Wrapped}
		keep.KeyID, keep.Wrapped = k.KeyID, k.Wrapped
	}
	return s, keep
}

// restore puts a snapshot in place of the data, once per restore. Everything that can be refused
// is found out before the data is touched: the snapshot is there and whole, and its key is the
// node's own. From the moment that Restoring is on disk there is no way but forward, and any
// start goes it.
func (w *worker) restore(ctx context.Context, c protocol.Command) error {
	if w.lost != nil || w.ring.RestoredFor != c.RestoreID {
		if w.ring.Restoring == nil || w.ring.Restoring.RestoreID != c.RestoreID {
			if err := w.prepareRestore(ctx, c); err != nil {
				return err
			}
		}
		if err := w.putBack(ctx); err != nil {
			return err
		}
	}
	if err := w.hold(ctx, c, true); err != nil {
		return err
	}
	return w.renew(ctx, c)
}

// prepareRestore leaves the data as it is unless it returns nil.
func (w *worker) prepareRestore(ctx context.Context, c protocol.Command) error {
	key, err := w.readyToRestore(ctx, c)
	if err != nil {
		return err
	}
	begun := w.ring
	begun.Dropping, begun.Restoring = 0, &restoring{SnapshotID: c.SnapshotID, RestoreID: c.RestoreID, Key: key, Lost: w.lost != nil}
	return w.keep(begun)
}

// readyToRestore reads a snapshot wholly and gets its master key, nil where it is not encrypted.
// It changes nothing on the node. PREPARE is no more than this: every node of a cluster has said
// that it could restore before the first one does.
func (w *worker) readyToRestore(ctx context.Context, c protocol.Command) (*wrappedKey, error) {
	if w.cfg.Snapshots == nil {
		return nil, &impossible{protocol.ReasonUnsupported}
	}
	s, files, err := w.cfg.Snapshots.Open(ctx, c.SnapshotID)
	if err == nil {
		err = verify(ctx, files)
	}
	switch {
	case errors.Is(err, ErrNoSnapshot):
		return nil, &impossible{protocol.ReasonNoSnapshot}
	case errors.Is(err, ErrSnapshotDamaged):
		return nil, &impossible{protocol.ReasonSnapshotDamaged}
	case err != nil:
		return nil, fmt.Errorf("%w: open: %w", errSnapshots, err)
	case (s.Key == nil) != (c.Provider == protocol.NoProvider):
		return nil, &impossible{protocol.ReasonSnapshotMismatch}
	case s.Key == nil:
		return nil, nil //nolint:nilnil // a snapshot without a key is one
	}
	return w.adopt(ctx, s)
}

// adopt gets the snapshot's master key as one of the node's own, and sees it released once: it is
// the key that the snapshot was taken under, and it opens.
func (w *worker) adopt(ctx context.Context, s Snapshot) (*wrappedKey, error) {
	answer, err := w.cfg.Client.adopt(ctx, protocol.AdoptRequest{SnapshotID: s.ID})
	if err != nil {
		return nil, final(fmt.Errorf("adopt the master key of snapshot %s: %w", s.ID, err))
	}
	if answer.KeyID != s.Key.ID || len(answer.Wrapped.Blob) == 0 {
		return nil, errMismatch
	}
	adopted := wrappedKey{KeyID: answer.KeyID, Check: s.Key.Check, Wrapped: answer.Wrapped}
	key, err := w.release(ctx, adopted)
	if err != nil {
		return nil, err
	}
	key.Destroy()
	return &adopted, nil
}

// putBack finishes a restore that was begun: from the beginning, since what was left of it could
// be anything.
func (w *worker) putBack(ctx context.Context) error {
	r := w.ring.Restoring
	if w.cfg.Snapshots == nil {
		return fmt.Errorf("%w: none is configured", errSnapshots)
	}
	_, files, err := w.cfg.Snapshots.Open(ctx, r.SnapshotID)
	if err != nil {
		return fmt.Errorf("%w: open: %w", errSnapshots, err)
	}
	if err := w.stop(ctx); err != nil {
		return err
	}
	err = w.cfg.Engine.Restore(ctx, files)
	switch {
	case errors.Is(err, ErrUnsupported):
		return w.giveUpRestore()
	case errors.Is(err, ErrSnapshotDamaged):
		return fmt.Errorf("%w: %w", errSnapshots, err)
	case err != nil:
		return fmt.Errorf("restore: %w", err)
	}
	return w.keep(ring{Plain: r.Key == nil, Current: r.Key, ResyncedFor: w.ring.ResyncedFor, RestoredFor: r.RestoreID})
}

// giveUpRestore returns to the data that is there, of an engine that can't be restored.
func (w *worker) giveUpRestore() error {
	untouched, lost := w.ring, w.ring.Restoring.Lost
	untouched.Restoring = nil
	if lost {
		if err := w.cfg.State.Remove(keysFile); err != nil {
			return err
		}
		w.ring, w.lost = untouched, ErrKeysLost
		return &impossible{protocol.ReasonUnsupported}
	}
	if err := w.keep(untouched); err != nil {
		return err
	}
	return &impossible{protocol.ReasonUnsupported}
}

// renew gives restored data a master key of its own. Until then the node shares one with the
// snapshot and with every other node that was restored from it, so whoever learned one of them
// could open them all. An engine that can't change its key keeps it until the next resync.
func (w *worker) renew(ctx context.Context, c protocol.Command) error {
	if w.ring.Current == nil || c.Target == protocol.Stop {
		return nil
	}
	err := w.rotate(ctx, c)
	if last, ok := errors.AsType[*impossible](err); ok && last.reason == protocol.ReasonUnsupported {
		return nil
	}
	return err
}

// purge removes a snapshot from the store.
func (w *worker) purge(ctx context.Context, c protocol.Command) error {
	if w.cfg.Snapshots == nil {
		return &impossible{protocol.ReasonUnsupported}
	}
	if err := w.cfg.Snapshots.Delete(ctx, c.SnapshotID); err != nil {
		return fmt.Errorf("%w: delete: %w", errSnapshots, err)
	}
	return nil
}

// verify reads every file of a snapshot once.
func verify(ctx context.Context, files SnapshotFiles) error {
	for _, name := range files.Names() {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		f, err := files.Open(name)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, f)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// finalCodes are refusals about snapshots that asking again does not change.
var finalCodes = map[atlas.Code]bool{
	atlas.SnapshotNotFound: true, atlas.InvalidSnapshotRestoreEncryption: true, atlas.NodeNotEncrypted: true,
}

// final makes a refusal for good the end of the command.
func final(err error) error {
	if refused, ok := errors.AsType[*APIError](err); ok && finalCodes[refused.Code] {
		return &impossible{string(refused.Code)}
	}
	return err
}
