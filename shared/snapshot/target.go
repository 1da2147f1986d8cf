package snapshot

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"latchkey/shared/audit"
	"latchkey/shared/cluster"
)

const (
	// lateAfter is how long a restore waits for a node whose shard can do without it.
	lateAfter = 24 * time.Hour
	// silence is after how long without a word a node is not asked to prepare any more, if its
	// shard can do without it. Heartbeats are noted every 15 minutes.
	silence = 30 * time.Minute
)

// restore advances the restore whose target the cluster is.
func (v *visit) restore(ctx context.Context) error {
	if v.job == nil {
		return nil
	}
	v.by(v.now.Add(poll))
	switch {
	case !v.d.Deleted.IsZero() || v.d.Deleting():
		return v.failJob(ctx, "TARGET_DELETED")
	case v.job.State == JobQueued && v.job.Asked.IsZero():
		return v.askMembers(ctx)
	case v.job.State == JobQueued:
		return v.beginJob(ctx)
	}
	if err := v.tellMembers(ctx); err != nil {
		return err
	}
	return v.collect(ctx)
}

// askMembers begins to have the nodes prepare, once the cluster is at rest and all of them have
// done what they were told before.
func (v *visit) askMembers(ctx context.Context) error {
	busy := slices.ContainsFunc(v.snapshots, func(x Snapshot) bool { return x.Status == InProgress })
	waits := slices.ContainsFunc(v.d.Nodes, func(n cluster.Node) bool {
		return n.PublicKey == nil || !n.Acked() && n.Desired.Order != prepareOrder(*v.job)
	})
	if busy || waits || !v.calm() {
		return nil
	}
	j := *v.job
	j.Asked = v.now
	if err := v.putJob(ctx, j); err != nil {
		return err
	}
	return v.beginJob(ctx)
}

func (v *visit) putJob(ctx context.Context, j Job) error {
	put, err := j.put()
	if err != nil {
		return err
	}
	if err := v.Table.Write(ctx, put); err != nil {
		return err
	}
	j.version++
	v.job, v.wrote = &j, true
	return nil
}

// beginJob tells the nodes to restore once all of them are ready to: they have read the snapshot
// wholly, and its key is theirs, whatever becomes of the customer's key of then. One that refuses
// ends the job before anything was touched. Whether a node is ready is read from the node, so that
// one that was given something else to do meanwhile is asked again.
func (v *visit) beginJob(ctx context.Context) error {
	x, err := load(ctx, v.Table, v.job.ClusterID, v.job.SnapshotID)
	if errors.Is(err, errNone) || err == nil && (x.Status != Completed || !x.Removed.IsZero()) {
		return v.failJob(ctx, "SNAPSHOT_NOT_FOUND")
	}
	if err != nil {
		return err
	}
	j := *v.job
	if !v.calm() { // the key was taken: nodes are asked anew when it is back
		j.Asked = time.Time{}
		return v.putJob(ctx, j)
	}
	if x.Encrypted() != (v.d.Applied.Provider != cluster.None) || len(x.Parts) != len(v.d.Applied.Shards) {
		return v.failJob(ctx, "TARGET_CHANGED")
	}
	members := v.members(x)
	ready, err := v.prepare(ctx, members)
	if err != nil || !ready {
		return err
	}
	j.State, j.Begun, j.Nodes = JobInProgress, v.now, members
	if err := v.putJob(ctx, j); err != nil {
		return err
	}
	return v.tellMembers(ctx)
}

func prepareOrder(j Job) string { return "prepare-" + j.ID }

// prepare tells the nodes to prepare that do not know, and reports whether all of them are ready,
// and of each shard at least one: a node that is not heard of is waited for no longer than that.
// It ends the job if a node refuses.
func (v *visit) prepare(ctx context.Context, members []Member) (ready bool, err error) {
	shards, waiting := map[string]bool{}, false
	for _, m := range members {
		n, _ := v.node(m.NodeID)
		told := n.Desired.Order == prepareOrder(*v.job)
		shards[m.ShardID] = shards[m.ShardID] || told && n.Acked() && !n.Failed()
		switch {
		case told && n.Failed():
			return false, v.failJob(ctx, n.Reported.Failure.Reason)
		case told && n.Acked():
			continue
		case !told && n.Acked():
			b := cluster.Backup{ClusterID: v.job.ClusterID, SnapshotID: v.job.SnapshotID, PartID: m.PartID, RestoreID: v.job.ID}
			if err := v.tell(ctx, n, cluster.Order{ID: prepareOrder(*v.job), Command: cluster.PrepareCommand, Backup: b}); err != nil {
				return false, err
			}
		}
		waiting = waiting || !v.silent(n)
	}
	if waiting {
		return false, nil
	}
	late := v.now.Sub(v.job.Asked) > lateAfter
	for _, shard := range v.d.Applied.Shards {
		switch {
		case !shards[shard.ID] && late:
			return false, v.failJob(ctx, "NODE_GONE")
		case !shards[shard.ID]:
			return false, nil
		}
	}
	return true, nil
}

// silent reports whether a node need not be waited for any longer to prepare.
func (v *visit) silent(n cluster.Node) bool {
	asked := v.now.Sub(v.job.Asked)
	return asked > lateAfter || asked > silence && v.now.Sub(n.Reported.LastSeen) > silence
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
	switch {
	case reason != "" && anyOf(restored):
		v.Log.LogAttrs(ctx, slog.LevelError, "a cluster is restored in part", slog.String("restoreJobId", v.job.ID),
			slog.String("clusterId", v.d.ID), slog.String("groupId", v.d.GroupID), slog.String("reason", reason))
		return v.failJob(ctx, PartlyRestored)
	case reason != "":
		return v.failJob(ctx, reason)
	}
	v.job.State = JobFinished
	if err := v.endJob(ctx, *v.job, v.jobEvent(EventRestored)); err != nil {
		return err
	}
	v.job, v.wrote = nil, true
	return nil
}

func anyOf(set map[string]bool) bool {
	for _, is := range set {
		if is {
			return true
		}
	}
	return false
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
