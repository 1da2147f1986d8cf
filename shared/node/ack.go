package node

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/cluster"
	"latchkey/shared/ledger"
	"latchkey/shared/node/protocol"
	"latchkey/shared/snapshot"
	"latchkey/shared/store"
)

// Ack takes in that a node has finished a command, or that it can't carry it out. In the same
// transaction the ledger strikes out the copies that the node no longer has, and a node that has
// destroyed itself goes. Acknowledging again, late or out of order is harmless: only the
// acknowledgement of the command of now says what the node has now.
func (s *Service) Ack(ctx context.Context, n cluster.Node, req protocol.AckRequest) error {
	if err := checkAck(req); err != nil {
		return err
	}
	if req.Outcome == protocol.Failed {
		s.Log.LogAttrs(ctx, slog.LevelWarn, "a node cannot carry out its command", slog.String("nodeId", n.ID),
			slog.String("groupId", n.GroupID), slog.Int64("command", req.Command), slog.String("reason", bounded(req.Reason)))
	}
	return s.change(ctx, n, func(n cluster.Node) error { return s.acknowledge(ctx, n, req) })
}

func checkAck(req protocol.AckRequest) error {
	if req.Outcome != protocol.Done && req.Outcome != protocol.Failed {
		return atlas.Fail(atlas.InvalidEnumValue, bounded(string(req.Outcome)))
	}
	for _, id := range []string{req.KeyID, req.NextKeyID} {
		if id != "" && checkKeyID(id) != nil {
			return checkKeyID(id)
		}
	}
	if req.NextKeyID != "" && (req.KeyID == "" || req.KeyID == req.NextKeyID) {
		return atlas.Fail(atlas.InvalidAttribute, "nextKeyId")
	}
	if req.SnapshotBytes < 0 {
		return atlas.Fail(atlas.InvalidAttribute, "snapshotBytes")
	}
	if req.Command < 1 || req.Command > maxNumber {
		return atlas.Fail(atlas.InvalidAttribute, "command")
	}
	return nil
}

func (s *Service) acknowledge(ctx context.Context, n cluster.Node, req protocol.AckRequest) error {
	if req.Command > n.Desired.Number {
		return nil // never given; the next heartbeat numbers above it
	}
	ops, err := s.strike(ctx, n, req)
	if err != nil {
		return err
	}
	if req.Command == n.Desired.Number {
		about, err := snapshot.Acknowledge(ctx, s.Table, n, outcome(req))
		if err != nil {
			return err
		}
		ops = append(ops, about...)
	}
	reported := n.Reported
	reported.Acked, reported.Failure = req.Command, cluster.Failure{}
	if req.Outcome == protocol.Failed {
		reported.Failure = cluster.Failure{Command: req.Command, Reason: bounded(req.Reason)}
	}
	next, changed := n.Report(reported, s.Now())
	if !changed && len(ops) == 0 {
		return nil
	}
	put, err := next.Put()
	if err != nil {
		return err
	}
	if err := s.Table.Write(ctx, append(ops, put)...); err != nil {
		return fmt.Errorf("acknowledge command %d of node %s: %w", req.Command, n.ID, err)
	}
	if !next.Gone.IsZero() {
		s.Log.LogAttrs(ctx, slog.LevelInfo, "node deleted", slog.String("nodeId", n.ID), slog.String("clusterId", n.ClusterID),
			slog.String("groupId", n.GroupID))
	}
	return nil
}

// outcome is what an acknowledgement says of a command about a snapshot.
func outcome(req protocol.AckRequest) snapshot.Outcome {
	o := snapshot.Outcome{Bytes: req.SnapshotBytes}
	if req.Outcome == protocol.Failed {
		o.Failure = cmp.Or(bounded(req.Reason), "UNKNOWN")
	}
	return o
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
	unneeded, err := snapshot.Unneeded(ctx, s.Table, n)
	if err != nil {
		return nil, err
	}
	var ops []store.Op
	for _, e := range obsolete(copies, n.Desired, unneeded, req) {
		ops = append(ops, e.Delete())
	}
	return ops, nil
}

// obsolete are the copies that a node can't need after it has carried out its latest command.
// unneeded is a key that it would hold only if it had been restored.
// It is pure, and errs on the side of keeping: a copy too many delays the end of a customer key,
// a copy too few is data lost.
func obsolete(copies []ledger.Entry, done cluster.Desired, unneeded string, req protocol.AckRequest) []ledger.Entry {
	replaced := done.Command == cluster.ResyncCommand || done.Command == cluster.RestoreCommand
	// A node that was stopped while it replaced its data goes on with that when it starts, and what it says it
	// has then is all. A restore that is still to come may have adopted a key already.
	started := done.Command == cluster.StartCommand && done.Unfinished == (cluster.Backup{})
	if done.Command == cluster.DeleteCommand || (replaced || started && done.Provider == cluster.None) && req.KeyID == "" {
		return copies // the data is not there, or no longer encrypted
	}
	held := map[string]ledger.CMK{}
	if req.KeyID != "" {
		held[req.KeyID] = cmkOf(req.Wrapped)
	}
	if req.NextKeyID != "" {
		held[req.NextKeyID] = cmkOf(req.NextWrapped)
	}
	// These commands leave the node with what it mentions and nothing else. After any other one,
	// another key may be one that it forgot to mention.
	all := done.Command == cluster.RotateCommand || replaced || started
	var others []ledger.Entry
	known := 0
	former := func(ledger.Entry) bool { return false }
	if done.Command == cluster.RewrapCommand {
		former = beforeRewrap(copies, req)
	}
	for _, e := range copies {
		switch cmk, holds := held[e.KeyID]; {
		case holds && e.CMK == cmk:
			known++
		case holds || all || e.KeyID == unneeded || former(e):
			others = append(others, e)
		}
	}
	if known == 0 || known < len(held) {
		return nil // a node that holds what the ledger does not know is not to be believed
	}
	return others
}

// sameTime is how far apart the clocks of two instances may be, generously.
const sameTime = time.Minute

// beforeRewrap tells copies that were made before a node made all of its copies anew, the one of the key
// in use first. It holds no such copy any more, whatever it mentions: it was never stored, since the
// answer was lost and the agent ended.
func beforeRewrap(copies []ledger.Entry, req protocol.AckRequest) func(ledger.Entry) bool {
	fresh := cmkOf(req.Wrapped)
	i := slices.IndexFunc(copies, func(e ledger.Entry) bool { return e.KeyID == req.KeyID && e.CMK == fresh })
	return func(e ledger.Entry) bool {
		return i >= 0 && e.CMK != fresh && e.Wrapped.Add(sameTime).Before(copies[i].Wrapped)
	}
}

func cmkOf(w protocol.WrappedKey) ledger.CMK {
	return ledger.CMK{Provider: atlas.Provider(w.Provider), Name: w.CMK, Version: w.Version}
}
