package snapshot

import (
	"context"
	"errors"
	"slices"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/cluster"
)

// begin begins the snapshot that waits longest, one at a time, while the cluster is at rest. A
// node of each shard takes its part: one that is not the primary, if there is one.
func (v *visit) begin(ctx context.Context) error {
	i := slices.IndexFunc(v.snapshots, func(x Snapshot) bool { return x.Status == Queued && x.Removed.IsZero() })
	if i < 0 {
		return nil
	}
	v.by(v.now.Add(poll))
	busy := slices.ContainsFunc(v.snapshots, func(x Snapshot) bool { return x.Status == InProgress })
	if busy || v.job != nil || !v.calm() {
		return nil
	}
	x := v.snapshots[i]
	shards := slices.Clone(v.d.Applied.Shards)
	slices.SortFunc(shards, func(a, b cluster.Shard) int { return a.Number - b.Number })
	x.Parts = nil
	for _, shard := range shards {
		n, ok := v.taker(shard.ID)
		if !ok {
			return nil
		}
		id := x.ID
		if x.Sharded {
			id = v.mint()
		}
		x.Parts = append(x.Parts, Part{
			ID: id, ShardID: shard.ID, Shard: shard.Number, ReplicaSetName: v.d.ReplicaSetName(shard.Number), CloudProvider: n.Provider, NodeID: n.ID,
		})
	}
	x.Status, x.Created, x.Version, x.Provider = InProgress, v.now.Truncate(time.Second), v.d.Applied.Release.Full, v.d.Applied.Provider
	x.Expires = x.Retention.From(x.Created)
	if err := v.put(ctx, i, x, EventStarted); err != nil {
		return err
	}
	return v.tellTakers(ctx, x)
}

// taker is the node of a shard that disturbs the least.
func (v *visit) taker(shardID string) (cluster.Node, bool) {
	primary, _ := v.d.Primary(shardID)
	var found cluster.Node
	for _, n := range v.d.Nodes {
		if n.ShardID != shardID || n.Leaving() || !n.Settled() || !n.Running() || n.PublicKey == nil {
			continue
		}
		if found.ID == "" || found.ID == primary.ID {
			found = n
		}
	}
	return found, found.ID != ""
}

// tellTakers tells the nodes of an unfinished snapshot what to do, unless they know. A node that
// has been given something else to do is told again only when it has done that.
func (v *visit) tellTakers(ctx context.Context, x Snapshot) error {
	for _, p := range x.Parts {
		if p.Done {
			continue
		}
		n, ok := v.node(p.NodeID)
		o := cluster.Order{
			ID: "snapshot-" + p.ID, Command: cluster.SnapshotCommand, Backup: cluster.Backup{ClusterID: x.ClusterID, SnapshotID: x.ID, PartID: p.ID},
		}
		if !ok || n.Desired.Order == o.ID || !n.Settled() {
			continue
		}
		if err := v.tell(ctx, n, o); err != nil {
			return err
		}
	}
	return nil
}

// tell gives a node an order. A node that is gone needs none.
func (v *visit) tell(ctx context.Context, n cluster.Node, o cluster.Order) error {
	told, err := v.Clusters.SetDesired(ctx, n.ClusterID, n.ID, o)
	if errors.Is(err, cluster.ErrNoNode) {
		return nil
	}
	if i := slices.IndexFunc(v.d.Nodes, func(m cluster.Node) bool { return m.ID == n.ID }); err == nil && i >= 0 {
		v.d.Nodes[i] = told
	}
	v.by(v.now.Add(poll))
	return err
}

func (v *visit) node(id string) (cluster.Node, bool) {
	i := slices.IndexFunc(v.d.Nodes, func(n cluster.Node) bool { return n.ID == id })
	if i < 0 || v.d.Nodes[i].Leaving() {
		return cluster.Node{}, false
	}
	return v.d.Nodes[i], true
}

// finish ends the snapshot in progress when its parts are done, or when they can't be.
func (v *visit) finish(ctx context.Context) error {
	for i, x := range v.snapshots {
		if x.Status != InProgress {
			continue
		}
		v.by(v.now.Add(poll))
		reason, over := v.verdictOn(x)
		switch {
		case !over:
			if err := v.tellTakers(ctx, x); err != nil {
				return err
			}
		case reason != "":
			if err := v.fail(ctx, i, reason); err != nil {
				return err
			}
		default:
			x.Status, x.Finished = Completed, v.now
			if err := v.put(ctx, i, x, EventSuccessful); err != nil {
				return err
			}
		}
	}
	return nil
}

// verdictOn tells whether a snapshot in progress is over, and why it failed if it did.
func (v *visit) verdictOn(x Snapshot) (reason string, over bool) {
	done := 0
	for _, p := range x.Parts {
		if p.Failure != "" {
			return p.Failure, true
		}
		if p.Done {
			done++
			continue
		}
		if _, there := v.node(p.NodeID); !there {
			return "NODE_GONE", true
		}
	}
	switch {
	case done == len(x.Parts):
		return "", true
	case v.d.Disabled != nil:
		return string(atlas.NodeDisabled), true
	case v.d.Deleting():
		return "CLUSTER_DELETED", true
	case v.now.Sub(x.Created) > patience:
		return "TIMED_OUT", true
	}
	return "", false
}

// fail ends a snapshot without success.
func (v *visit) fail(ctx context.Context, i int, reason string) error {
	x := v.snapshots[i]
	x.Status, x.Failure, x.Finished = Failed, reason, v.now
	if shown := v.now.Add(failedFor); shown.Before(x.Expires) {
		x.Expires = shown
	}
	v.by(x.Expires)
	return v.put(ctx, i, x, EventFailed)
}
