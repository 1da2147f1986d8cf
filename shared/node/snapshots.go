package node

import (
	"context"
	"errors"
	"log/slog"

	"latchkey/shared/atlas"
	"latchkey/shared/cluster"
	"latchkey/shared/ledger"
	"latchkey/shared/node/protocol"
	"latchkey/shared/snapshot"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
	"latchkey/shared/verdict"
)

// Keep enters into the ledger what a snapshot will need, before the node takes it. It needs no
// customer key, and neither an enabled cluster: nothing is opened, and nothing leaves.
func (s *Service) Keep(ctx context.Context, n cluster.Node, req protocol.KeepRequest) error {
	if !atlas.ValidID(req.SnapshotID) {
		return atlas.Fail(atlas.InvalidAttribute, "snapshotId")
	}
	if req.KeyID != "" {
		if err := checkKeyID(req.KeyID); err != nil {
			return err
		}
	}
	return s.change(ctx, n, func(n cluster.Node) error { return s.keep(ctx, n, req) })
}

func (s *Service) keep(ctx context.Context, n cluster.Node, req protocol.KeepRequest) error {
	var own *ledger.Entry
	if req.KeyID != "" {
		e, err := s.find(ctx, n, req.KeyID, req.Wrapped)
		if err != nil {
			return err
		}
		own = &e
	}
	ops, err := snapshot.Announce(ctx, s.Table, n, req.SnapshotID, own)
	if err != nil || len(ops) == 0 {
		return err
	}
	// Another command, or another agent, in the meantime makes this one's announcement void.
	ops = append(ops, store.Check(keys.Node(n.ClusterID, n.ID), n.Version()))
	if own != nil {
		ops = append(ops, own.Check())
	}
	return s.Table.Write(ctx, ops...)
}

// Adopt makes the master key of a snapshot one of the node's own: it wraps the same secret anew,
// bound to the node, under the key that the node's cluster uses now, and enters that copy into the
// ledger. Only a node that was told to prepare for, or to restore, the very snapshot may, and only
// until it has acknowledged. To a node that has adopted the key before, and now restores, the copy of
// then is answered without asking for the customer's key of the snapshot: all nodes are ready by
// then, and what is begun must not fail for some of them.
//
// The secret stays the same because the snapshot's files are under it; the node rotates to a key
// of its own as soon as it has them. That Adopt answers a wrapped copy instead of the secret
// leaves one way for a secret to reach a node, Release, with all that is checked there; and
// since the copy is the node's own from here on, what becomes of the snapshot, of its customer key
// and of its cluster in the middle of a restore no longer matters to the restore.
func (s *Service) Adopt(ctx context.Context, n cluster.Node, req protocol.AdoptRequest) (protocol.AdoptResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if !atlas.ValidID(req.SnapshotID) {
		return protocol.AdoptResponse{}, atlas.Fail(atlas.InvalidAttribute, "snapshotId")
	}
	if n.Desired.Provider == cluster.None || n.Desired.Provider == "" {
		return protocol.AdoptResponse{}, atlas.Fail(atlas.NodeNotEncrypted, n.ID)
	}
	if err := s.checkEnabled(ctx, n); err != nil {
		return protocol.AdoptResponse{}, err
	}
	kept, err := snapshot.Needed(ctx, s.Table, n, req.SnapshotID)
	if err != nil {
		return protocol.AdoptResponse{}, err
	}
	copies, err := ledger.OfNode(ctx, s.Table, n.ClusterID, n.ID)
	if err != nil {
		return protocol.AdoptResponse{}, err
	}
	if e, ok := latest(copies, kept.KeyID, n.Desired.Provider); ok && n.Desired.Command == cluster.RestoreCommand {
		return protocol.AdoptResponse{KeyID: e.KeyID, Wrapped: wire(e)}, nil
	}
	if len(copies) >= maxCopies {
		return protocol.AdoptResponse{}, atlas.Fail(atlas.TooManyMasterKeys, n.ID, len(copies))
	}
	secret, err := s.unwrap(ctx, n, kept)
	if err != nil {
		return protocol.AdoptResponse{}, unusable(err)
	}
	defer clear(secret)
	e, err := s.wrap(ctx, n, kept.KeyID, n.Desired.Provider, secret, kept.MadeAt())
	if err != nil {
		return protocol.AdoptResponse{}, err
	}
	s.Log.LogAttrs(ctx, slog.LevelInfo, "master key of a snapshot adopted", slog.String("nodeId", n.ID), slog.String("clusterId", n.ClusterID),
		slog.String("groupId", n.GroupID), slog.String("keyId", e.KeyID), slog.String("snapshotId", req.SnapshotID),
		slog.String("cmk", kept.CMK.Name), slog.String("cmkVersion", kept.CMK.Version))
	return protocol.AdoptResponse{KeyID: e.KeyID, Wrapped: wire(e)}, nil
}

// unusable tells a snapshot whose key is no longer valid from a node whose key isn't.
func unusable(err error) error {
	f, ok := errors.AsType[*verdict.Failure](err)
	if ok && f.Class() == verdict.Invalid || atlas.CodeOf(err) == atlas.EARNotEnabled {
		return atlas.Fail(atlas.InvalidSnapshotRestoreEncryption).Because(err)
	}
	return err
}
