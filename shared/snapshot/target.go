package snapshot

import (
	"context"
	"errors"
	"slices"
	"time"

	"latchkey/shared/audit"
	"latchkey/shared/cluster"
)

// lateAfter is how long a restore waits for a node whose shard is restored without it.
const lateAfter = 24 * time.Hour

// restore advances the restore whose target the cluster is.
func (v *visit) restore(ctx context.Context) error {
	if v.job == nil {
		return nil
	}
	v.by(v.now.Add(poll))
	switch {
	case !v.d.Deleted.IsZero() || v.d.Deleting():
		return v.failJob(ctx, "TARGET_DELETED")
	case v.job.State == JobQueued:
		return v.beginJob(ctx)
	}
	if err := v.tellMembers(ctx); err != nil {
		return err
	}
	return v.collect(ctx)
}

// beginJob tells the nodes, once the cluster is at rest and all of them have done what they were
// told before.
func (v *visit) beginJob(ctx context.Context) error {
	x, err := load(ctx, v.Table, v.job.ClusterID, v.job.SnapshotID)
	if errors.Is(err, errNone) || err == nil && (x.Status != Completed || !x.Removed.IsZero()) {
		return v.failJob(ctx, "SNAPSHOT_NOT_FOUND")
	}
	if err != nil {
		return err
	}
	busy := slices.ContainsFunc(v.snapshots, func(x Snapshot) bool { return x.Status == InProgress })
	waits := slices.ContainsFunc(v.d.Nodes, func(n cluster.Node) bool { return n.PublicKey == nil || !n.Acked() })
	if busy || waits || !v.calm() {
		return nil
	}
	if x.Encrypted() != (v.d.Applied.Provider != cluster.None) || len(x.Parts) != len(v.d.Applied.Shards) {
		return v.failJob(ctx, "TARGET_CHANGED")
	}
	j := *v.job
	j.State, j.Begun, j.Nodes = JobInProgress, v.now, v.members(x)
	put, err := j.put()
	if err != nil {
		return err
	}
	if err := v.Table.Write(ctx, put); err != nil {
		return err
	}
	j.version++
	v.job, v.wrote = &j, true
	return v.tellMembers(ctx)
}

// members are the target's nodes with the part that each restores: shards in the order of their
// numbers get the parts in theirs.
func (v *visit) members(x Snapshot) []Member {
	shards := slices.Clone(v.d.Applied.Shards)
	slices.SortFunc(shards, func(a, b cluster.Shard) int { return a.Number - b.Number })
	var list []Member
	for _, n := range v.d.Nodes {
		i := slices.IndexFunc(shards, func(s cluster.Shard) bool { return s.ID == n.ShardID })
		if i >= 0 && !n.Leaving() {
			list = append(list, Member{NodeID: n.ID, ShardID: n.ShardID, PartID: x.Parts[i].ID})
		}
	}
	return list
}

// tellMembers tells the nodes that have not restored yet, unless they know: one that was stopped
// in between takes it up again by itself.
func (v *visit) tellMembers(ctx context.Context) error {
	for _, m := range v.job.Nodes {
		n, there := v.node(m.NodeID)
		known := n.Desired.Backup.RestoreID == v.job.ID && n.Desired.Command == cluster.RestoreCommand || n.Desired.Unfinished.RestoreID == v.job.ID
		if m.Outcome != "" || !there || known {
			continue
		}
		b := cluster.Backup{ClusterID: v.job.ClusterID, SnapshotID: v.job.SnapshotID, PartID: m.PartID, RestoreID: v.job.ID}
		if err := v.tell(ctx, n, cluster.Order{ID: "restore-" + v.job.ID, Command: cluster.RestoreCommand, Backup: b}); err != nil {
			return err
		}
	}
	return nil
}

// collect ends the job when every node has an outcome.
func (v *visit) collect(ctx context.Context) error {
	j := *v.job
	restored := map[string]bool{} // shards of which a node is restored
	for _, m := range j.Nodes {
		restored[m.ShardID] = restored[m.ShardID] || m.Outcome == Restored
	}
	waiting := false
	for i, m := range j.Nodes {
		_, there := v.node(m.NodeID)
		switch {
		case m.Outcome != "":
		case !there:
			j = j.with(i, func(m *Member) { m.Outcome = Gone })
		case restored[m.ShardID] && v.now.Sub(j.Begun) > lateAfter:
			j = j.with(i, func(m *Member) { m.Outcome = Late })
		default:
			waiting = true
		}
	}
	v.job = &j
	if waiting {
		return nil
	}
	return v.conclude(ctx, restored)
}

// conclude ends a job whose nodes have all come to an end. In a shard of which one node at least
// is restored, those that are not copy from it: nodes that refused, and nodes that are new since
// the job began and may have copied from one that was not restored yet. A shard of which no node
// is restored has its old data, whole.
func (v *visit) conclude(ctx context.Context, restored map[string]bool) error {
	for _, n := range v.d.Nodes {
		i := v.job.node(n.ID)
		if n.Leaving() || !restored[n.ShardID] || i >= 0 && v.job.Nodes[i].Outcome != Refused {
			continue
		}
		if err := v.tell(ctx, n, cluster.Order{ID: "restored-" + v.job.ID, Command: cluster.ResyncCommand}); err != nil {
			return err
		}
	}
	var reason string
	for _, m := range v.job.Nodes {
		if !restored[m.ShardID] && reason == "" {
			reason = "NODE_GONE"
		}
		if !restored[m.ShardID] && m.Failure != "" {
			reason = m.Failure
		}
	}
	if reason != "" {
		return v.failJob(ctx, reason)
	}
	v.job.State = JobFinished
	if err := v.endJob(ctx, *v.job, v.jobEvent(EventRestored)); err != nil {
		return err
	}
	v.job, v.wrote = nil, true
	return nil
}

func (v *visit) failJob(ctx context.Context, reason string) error {
	v.job.State, v.job.Failure = JobFailed, reason
	if err := v.endJob(ctx, *v.job, v.jobEvent(EventRestoreFailed).With("reason", reason)); err != nil {
		return err
	}
	v.job, v.wrote = nil, true
	return nil
}

func (v *visit) jobEvent(t audit.Type) audit.Event {
	j := v.job
	return v.event(t, audit.System(), j.OrgID, j.Target.GroupID, j.Target.ClusterName).With("snapshotId", j.SnapshotID).With("restoreJobId", j.ID)
}
