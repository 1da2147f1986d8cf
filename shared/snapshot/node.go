package snapshot

import (
	"context"
	"errors"

	"latchkey/shared/atlas"
	"latchkey/shared/cluster"
	"latchkey/shared/ledger"
	"latchkey/shared/store"
)

// This file is what package node needs when agents ask: what nodes say of snapshots and restores
// becomes part of the transaction that takes it in.

// Announce are the operations that enter what a part of a snapshot will need, before there is
// one. own is the node's own copy in the ledger, nil where its data is not encrypted. Only the
// node that was told to take the part may announce it; others get SNAPSHOT_NOT_FOUND. There are
// none if the same was announced before.
func Announce(ctx context.Context, t store.Table, n cluster.Node, partID string, own *ledger.Entry) ([]store.Op, error) {
	b := n.Desired.Backup
	if n.Desired.Command != cluster.SnapshotCommand || n.Acked() || b.PartID != partID || b.ClusterID != n.ClusterID {
		return nil, atlas.Fail(atlas.SnapshotNotFound, partID, n.ClusterID)
	}
	s, err := load(ctx, t, b.ClusterID, b.SnapshotID)
	i := s.part(partID)
	if errors.Is(err, errNone) || err == nil && (s.Status != InProgress || i < 0 || s.Parts[i].NodeID != n.ID) {
		return nil, atlas.Fail(atlas.SnapshotNotFound, partID, n.ClusterID)
	}
	if err != nil {
		return nil, err
	}
	before := s.Parts[i]
	keyID, cmk := "", ledger.CMK{}
	if own != nil {
		keyID, cmk = own.KeyID, own.CMK
	}
	if before.Announced && before.KeyID == keyID && before.CMK == cmk {
		return nil, nil
	}
	provider := cmk.Provider
	if own == nil {
		provider = cluster.None
	}
	if provider != s.Provider || before.Announced && before.KeyID != keyID {
		return nil, atlas.Fail(atlas.SnapshotNotFound, partID, n.ClusterID).
			Hinting("The data is under another key than when the snapshot began, and what was saved of it may be too.")
	}
	ops, err := exchange(ctx, t, s, before, own)
	if err != nil {
		return nil, err
	}
	put, err := s.with(i, func(p *Part) { p.Announced, p.KeyID, p.CMK = true, keyID, cmk }).put()
	return append(ops, put), err
}

// exchange enters what a part needs now in place of what it needed before: the first attempt was
// cut short, and the node's key is wrapped by another one since.
func exchange(ctx context.Context, t store.Table, s Snapshot, before Part, own *ledger.Entry) ([]store.Op, error) {
	var ops []store.Op
	if before.KeyID != "" {
		old, err := ledger.FindKept(ctx, t, before.ID, s.ClusterID, before.NodeID, before.KeyID, before.CMK)
		if err != nil && !errors.Is(err, ledger.ErrNoEntry) {
			return nil, err
		}
		if err == nil {
			ops = append(ops, old.Delete())
		}
	}
	if own != nil {
		put, err := own.Kept(before.ID, s.Expires).Put()
		if err != nil {
			return nil, err
		}
		ops = append(ops, put)
	}
	return ops, nil
}

// Needed is the ledger's copy of the master key of the snapshot that a node was told to restore, or
// to prepare for.
// It returns SNAPSHOT_NOT_FOUND to every other node, and for every other snapshot.
func Needed(ctx context.Context, t store.Table, n cluster.Node, partID string) (ledger.Entry, error) {
	refusal := atlas.Fail(atlas.SnapshotNotFound, partID, n.ClusterID)
	b := n.Desired.Backup
	restores := n.Desired.Command == cluster.RestoreCommand || n.Desired.Command == cluster.PrepareCommand
	if !restores || n.Acked() || b.PartID != partID {
		return ledger.Entry{}, refusal
	}
	s, err := load(ctx, t, b.ClusterID, b.SnapshotID)
	i := s.part(partID)
	if errors.Is(err, errNone) || err == nil && (s.Status != Completed || !s.Removed.IsZero() || i < 0 || s.Parts[i].KeyID == "") {
		return ledger.Entry{}, refusal
	}
	if err != nil {
		return ledger.Entry{}, err
	}
	p := s.Parts[i]
	e, err := ledger.FindKept(ctx, t, p.ID, s.ClusterID, p.NodeID, p.KeyID, p.CMK)
	if errors.Is(err, ledger.ErrNoEntry) {
		return ledger.Entry{}, refusal
	}
	return e, err
}

// Unneeded is the id of the master key that a node adopted for a restore that is called off, once
// it runs without having been restored; "" if there is none.
func Unneeded(ctx context.Context, t store.Table, n cluster.Node) (keyID string, err error) {
	b := n.Desired.Backup
	if n.Desired.Command != cluster.StartCommand || n.Desired.State != cluster.Run || b.RestoreID == "" {
		return "", nil
	}
	s, i, ok, err := find(ctx, t, n)
	if err != nil || !ok {
		return "", err
	}
	return s.Parts[i].KeyID, nil
}

// Outcome is how a node's command about a snapshot ended.
type Outcome struct {
	Failure string // "" if it was carried out
	Bytes   int64
}

// Acknowledge are the operations that take in that a node has finished its present command, if
// that is about a snapshot. There are none for what is known already.
func Acknowledge(ctx context.Context, t store.Table, n cluster.Node, o Outcome) ([]store.Op, error) {
	switch n.Desired.Command {
	case cluster.SnapshotCommand:
		return taken(ctx, t, n, o)
	case cluster.PurgeCommand:
		return purged(ctx, t, n, o)
	case cluster.RestoreCommand:
		return restored(ctx, t, n, o)
	default:
		return nil, nil
	}
}

// find reads the snapshot that a node's command is about, and the place of the part. ok is false
// if there is no such snapshot any more.
func find(ctx context.Context, t store.Table, n cluster.Node) (s Snapshot, i int, ok bool, err error) {
	b := n.Desired.Backup
	s, err = load(ctx, t, b.ClusterID, b.SnapshotID)
	if errors.Is(err, errNone) {
		return Snapshot{}, 0, false, nil
	}
	i = s.part(b.PartID)
	return s, i, err == nil && i >= 0, err
}

func taken(ctx context.Context, t store.Table, n cluster.Node, o Outcome) ([]store.Op, error) {
	s, i, ok, err := find(ctx, t, n)
	if err != nil || !ok || s.Status != InProgress || s.Parts[i].NodeID != n.ID || s.Parts[i].Done {
		return nil, err
	}
	if o.Failure == "" && !s.Parts[i].Announced {
		o.Failure = "UNANNOUNCED" // nothing knows what such a snapshot needs
	}
	put, err := s.with(i, func(p *Part) { p.Done, p.Failure, p.Bytes = o.Failure == "", o.Failure, max(0, o.Bytes) }).put()
	return []store.Op{put}, err
}

// purged drops a part whose files are gone, and with the last one the record.
func purged(ctx context.Context, t store.Table, n cluster.Node, o Outcome) ([]store.Op, error) {
	s, i, ok, err := find(ctx, t, n)
	if err != nil || !ok || s.Removed.IsZero() || s.Parts[i].Purger.NodeID != n.ID {
		return nil, err
	}
	if o.Failure != "" {
		put, err := s.with(i, func(p *Part) { p.Tries, p.Purger = p.Tries+1, Purger{} }).put()
		return []store.Op{put}, err
	}
	return s.without(i)
}

// without are the operations that drop a part of a removed snapshot.
func (s Snapshot) without(i int) ([]store.Op, error) {
	if len(s.Parts) == 1 {
		return []store.Op{s.delete()}, nil
	}
	s.Parts = append(append([]Part(nil), s.Parts[:i]...), s.Parts[i+1:]...)
	put, err := s.put()
	return []store.Op{put}, err
}

func restored(ctx context.Context, t store.Table, n cluster.Node, o Outcome) ([]store.Op, error) {
	b := n.Desired.Backup
	j, err := loadJob(ctx, t, b.ClusterID, b.RestoreID)
	if errors.Is(err, errNoJob) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	i := j.node(n.ID)
	if j.State != JobInProgress || i < 0 || j.Nodes[i].Outcome != "" {
		return nil, nil
	}
	j = j.with(i, func(m *Member) {
		if m.Outcome = Restored; o.Failure != "" {
			m.Outcome, m.Failure = Refused, o.Failure
		}
	})
	put, err := j.put()
	return []store.Op{put}, err
}
