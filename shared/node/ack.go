package node

import (
	"context"
	"fmt"
	"log/slog"

	"latchkey/shared/atlas"
	"latchkey/shared/cluster"
	"latchkey/shared/ledger"
	"latchkey/shared/node/protocol"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

// Ack takes in that a node has finished a command. In the same transaction the ledger strikes
// out the copies that the node no longer has. Acknowledging again, late or out of order is
// harmless: only the acknowledgement of the command of now says what the node has now.
func (s *Service) Ack(ctx context.Context, n cluster.Node, req protocol.AckRequest) error {
	if req.Outcome != protocol.Done && req.Outcome != protocol.Failed {
		return atlas.Fail(atlas.InvalidEnumValue, bounded(string(req.Outcome)))
	}
	if req.KeyID != "" {
		if err := checkKeyID(req.KeyID); err != nil {
			return err
		}
	}
	if req.Command < 1 || req.Command > maxNumber {
		return atlas.Fail(atlas.InvalidAttribute, "command")
	}
	if req.Outcome == protocol.Failed {
		s.Log.LogAttrs(ctx, slog.LevelWarn, "a node cannot carry out its command", slog.String("nodeId", n.ID),
			slog.String("groupId", n.GroupID), slog.Int64("command", req.Command), slog.String("reason", bounded(req.Reason)))
	}
	return s.change(ctx, n, func(n cluster.Node) error { return s.acknowledge(ctx, n, req) })
}

func (s *Service) acknowledge(ctx context.Context, n cluster.Node, req protocol.AckRequest) error {
	if n.Leaving() && req.Command == n.Desired.Number && req.Outcome == protocol.Failed {
		return nil // a node that can't destroy its data stays until a person looks
	}
	ops, err := s.strike(ctx, n, req)
	if err != nil {
		return err
	}
	reported := n.Reported
	reported.Acked = req.Command
	next, changed := n.Report(reported, s.Now())
	if !changed && len(ops) == 0 {
		return nil
	}
	if n.Leaving() && next.Acked() {
		return s.bury(ctx, n, ops)
	}
	put, err := next.Put()
	if err != nil {
		return err
	}
	if err := s.Table.Write(ctx, append(ops, put)...); err != nil {
		return fmt.Errorf("acknowledge command %d of node %s: %w", req.Command, n.ID, err)
	}
	return nil
}

// bury removes a node that has destroyed its data and keys. Its agent is remembered for a while:
// the answer may be lost, and it asks until it has one.
func (s *Service) bury(ctx context.Context, n cluster.Node, ops []store.Op) error {
	item, err := store.Encode(keys.GoneNode(n.ClusterID, n.ID), 0, gone{PublicKey: n.PublicKey})
	if err != nil {
		return err
	}
	item.Expires = s.Now().Add(goneFor)
	ops = append(ops, store.Put(item), store.Delete(keys.Node(n.ClusterID, n.ID), n.Version()))
	if err := s.Table.Write(ctx, ops...); err != nil {
		return fmt.Errorf("remove node %s: %w", n.ID, err)
	}
	s.Log.LogAttrs(ctx, slog.LevelInfo, "node deleted", slog.String("nodeId", n.ID), slog.String("clusterId", n.ClusterID),
		slog.String("groupId", n.GroupID))
	return nil
}

// strike are the operations that strike out the copies of master keys that a node has no more.
func (s *Service) strike(ctx context.Context, n cluster.Node, req protocol.AckRequest) ([]store.Op, error) {
	if req.Outcome != protocol.Done || req.Command != n.Desired.Number {
		return nil, nil
	}
	copies, err := ledger.OfNode(ctx, s.Table, n.ClusterID, n.ID)
	if err != nil {
		return nil, err
	}
	var ops []store.Op
	for _, e := range obsolete(copies, n.Desired.Command, req) {
		ops = append(ops, e.Delete())
	}
	return ops, nil
}

// obsolete are the copies that a node can't need after it has carried out its latest command.
// It is pure, and errs on the side of keeping: a copy too many delays the end of a customer key,
// a copy too few is data lost.
func obsolete(copies []ledger.Entry, done cluster.Command, req protocol.AckRequest) []ledger.Entry {
	if done == cluster.DeleteCommand {
		return copies
	}
	if req.KeyID == "" {
		if done == cluster.ResyncCommand {
			return copies // the data is no longer encrypted, or not there
		}
		return nil
	}
	held := ledger.CMK{Provider: atlas.Provider(req.Wrapped.Provider), Name: req.Wrapped.CMK, Version: req.Wrapped.Version}
	// After a rotation or a resync the node has one key. After anything else it may have the
	// next key of an unfinished rotation too, which the acknowledgement does not mention.
	alone := done == cluster.RotateCommand || done == cluster.ResyncCommand
	var others []ledger.Entry
	known := false
	for _, e := range copies {
		switch {
		case e.KeyID == req.KeyID && e.CMK == held:
			known = true
		case alone || e.KeyID == req.KeyID:
			others = append(others, e)
		}
	}
	if !known {
		return nil
	}
	return others
}
