package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/cluster"
	"latchkey/shared/ledger"
	"latchkey/shared/node/protocol"
)

// When an agent shall call again, in seconds.
const (
	steady  = 60
	pending = 5 // a command is not acknowledged, or the node is not yet what it should be
)

// What a report may hold. A node has a handful of addresses; a name has 253 characters.
const (
	maxAddresses = 16
	maxAddress   = 300
	// maxNumber keeps the numbers of commands from ever overflowing.
	maxNumber = int64(1) << 53
)

// Heartbeat takes in what a node says of itself, and answers what it should be doing. A steady
// node costs no read beyond its authentication, and a write every 15 minutes.
func (s *Service) Heartbeat(ctx context.Context, n cluster.Node, r protocol.Report) (protocol.HeartbeatResponse, error) {
	if err := checkReport(r); err != nil {
		return protocol.HeartbeatResponse{}, err
	}
	n, err := s.catchUp(ctx, n, r.CommandAcked)
	if err != nil {
		return protocol.HeartbeatResponse{}, err
	}
	reported, err := s.reported(ctx, n, r)
	if err != nil {
		return protocol.HeartbeatResponse{}, err
	}
	next, store := n.Report(reported, s.Now())
	if store {
		s.note(ctx, n, r)
		next, err = s.Nodes.ReportNode(ctx, n.ClusterID, n.ID, reported)
		if errors.Is(err, cluster.ErrNoNode) {
			return protocol.HeartbeatResponse{}, protocol.Refuse(s.Now())
		}
		if err != nil {
			return protocol.HeartbeatResponse{}, fmt.Errorf("store the report of node %s: %w", n.ID, err)
		}
	}
	answer := protocol.HeartbeatResponse{
		Command: command(next.Desired), NextInSeconds: interval(next),
		Acknowledge: !next.Acked() && r.CommandAcked == next.Desired.Number,
	}
	// A node must hear that it should stop even while the seal is away; it knows a key already.
	if answer.ControlPlaneKey, err = s.Recipients.Public(ctx); err != nil {
		s.Log.LogAttrs(ctx, slog.LevelError, "no key to seal to", slog.String("error", err.Error()))
	}
	return answer, nil
}

func checkReport(r protocol.Report) error {
	switch r.State {
	case protocol.StateStopped, protocol.StateStarting, protocol.StateWaitingKMS, protocol.StateDisabled, protocol.StateSyncing,
		protocol.StateRunning, protocol.StateStopping, protocol.StateFailed, protocol.StateDeleted:
	default:
		return atlas.Fail(atlas.InvalidEnumValue, bounded(string(r.State)))
	}
	if r.KeyID != "" && !keyIDForm.MatchString(r.KeyID) {
		return atlas.Fail(atlas.InvalidAttribute, "keyId")
	}
	if r.CommandAcked < 0 || r.CommandAcked > maxNumber {
		return atlas.Fail(atlas.InvalidAttribute, "commandAcked")
	}
	if len(r.Addresses) > maxAddresses {
		return atlas.Fail(atlas.InvalidAttribute, "addresses")
	}
	for _, a := range r.Addresses {
		if a == "" || len(a) > maxAddress {
			return atlas.Fail(atlas.InvalidAttribute, "addresses")
		}
	}
	return nil
}

// reported is a report as the node's record keeps it.
func (s *Service) reported(ctx context.Context, n cluster.Node, r protocol.Report) (cluster.Reported, error) {
	// Acked is left out: a command is finished with its acknowledgement, which says how it ended
	// and what the node holds now, together with what the ledger has of it.
	out := cluster.Reported{State: power(r.State), KeyID: r.KeyID, StartedAt: s.plausible(r.StartedAt), Addresses: r.Addresses}
	var err error
	out.Provider, err = s.providerOf(ctx, n, r)
	return out, err
}

// power is what a state means for the question whether the process runs; "" in between.
func power(st protocol.State) cluster.Power {
	switch st {
	case protocol.StateRunning:
		return cluster.Run
	case protocol.StateStopped, protocol.StateWaitingKMS, protocol.StateDisabled, protocol.StateFailed, protocol.StateDeleted:
		return cluster.Stop
	case protocol.StateStarting, protocol.StateSyncing, protocol.StateStopping:
	}
	return ""
}

// plausible drops a time that no process can have started at, and no table can keep.
func (s *Service) plausible(at time.Time) time.Time {
	if at.Year() < 2000 || at.After(s.Now().Add(24*time.Hour)) {
		return time.Time{}
	}
	return at.UTC()
}

// providerOf tells whose key encrypts a node's data: agents report the master key alone, and the
// ledger knows what wraps it.
func (s *Service) providerOf(ctx context.Context, n cluster.Node, r protocol.Report) (atlas.Provider, error) {
	switch {
	case r.KeyID == "" && r.State == protocol.StateRunning:
		return cluster.None, nil
	case r.KeyID == n.Reported.KeyID && (r.KeyID == "" || n.Reported.Provider != ""):
		return n.Reported.Provider, nil
	case r.KeyID == "":
		return "", nil // it has dropped its data
	}
	copies, err := ledger.OfNode(ctx, s.Table, n.ClusterID, n.ID)
	if err != nil {
		return "", err
	}
	for _, e := range copies {
		if e.KeyID == r.KeyID {
			return e.CMK.Provider, nil
		}
	}
	return "", nil
}

// leap is how far commands are numbered above what an agent has finished: it may have accepted
// some that it has not.
const leap = 1000

// catchUp numbers a node's command above all that its agent has seen, if the agent knows later
// ones: the table was restored from a backup, and the agent would ignore it for long.
func (s *Service) catchUp(ctx context.Context, n cluster.Node, acked int64) (cluster.Node, error) {
	if acked <= n.Desired.Number {
		return n, nil
	}
	err := s.change(ctx, n, func(current cluster.Node) error {
		n = current
		if acked <= n.Desired.Number {
			return nil
		}
		n.Desired.Number = acked + leap
		put, err := n.Put()
		if err != nil {
			return err
		}
		s.Log.LogAttrs(ctx, slog.LevelWarn, "the agent knows later commands", slog.String("nodeId", n.ID),
			slog.Int64("acked", acked), slog.Int64("renumbered", n.Desired.Number))
		if err := s.Table.Write(ctx, put); err != nil {
			return err
		}
		n, err = s.Nodes.Node(ctx, n.ClusterID, n.ID)
		return err
	})
	return n, err
}

// note logs a change for the worse.
func (s *Service) note(ctx context.Context, n cluster.Node, r protocol.Report) {
	if r.Reason == "" {
		return
	}
	s.Log.LogAttrs(ctx, slog.LevelWarn, "a node is not as it should be", slog.String("nodeId", n.ID), slog.String("clusterId", n.ClusterID),
		slog.String("groupId", n.GroupID), slog.String("state", string(r.State)), slog.String("reason", bounded(r.Reason)))
}

// bounded keeps a hostile agent from filling the log.
func bounded(text string) string { return text[:min(len(text), 100)] }

// command is what is desired of a node in the agents' words.
func command(d cluster.Desired) protocol.Command {
	kinds := map[cluster.Command]protocol.Kind{
		cluster.StopCommand: protocol.KindStop, cluster.StartCommand: protocol.KindStart, cluster.RotateCommand: protocol.KindRotate,
		cluster.RewrapCommand: protocol.KindRewrap, cluster.ResyncCommand: protocol.KindResync, cluster.DeleteCommand: protocol.KindDelete,
		cluster.SnapshotCommand: protocol.KindSnapshot, cluster.PrepareCommand: protocol.KindPrepare, cluster.RestoreCommand: protocol.KindRestore,
		cluster.PurgeCommand: protocol.KindPurge,
	}
	target := protocol.Stop
	if d.State == cluster.Run {
		target = protocol.Run
	}
	return protocol.Command{
		Number: d.Number, Kind: cmp.Or(kinds[d.Command], protocol.KindNone), Target: target,
		Provider: cmp.Or(string(d.Provider), protocol.NoProvider), SnapshotID: d.Backup.PartID, RestoreID: d.Backup.RestoreID,
	}
}

// interval is when an agent shall call again. A node that can't do what it was told has nothing to
// wait for until it is told something else.
func interval(n cluster.Node) int {
	if n.Settled() || n.Failed() {
		return steady
	}
	return pending
}
