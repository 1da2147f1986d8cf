package snapshot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"latchkey/shared/audit"
	"latchkey/shared/cluster"
	"latchkey/shared/snapshot/due"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

const (
	// poll is how soon work in progress is looked at again.
	poll = time.Minute
	// patience is how long a snapshot may take. A node that has not finished it by then is told
	// to leave it, so that it holds up nothing else.
	patience = 6 * time.Hour
	// failedFor is how long a failed snapshot is shown.
	failedFor = 7 * 24 * time.Hour
	// margin is what a run leaves of its time.
	margin = 5 * time.Second
)

// Run advances the backups of every cluster that is due, until there is none or time runs out. It
// goes on past a cluster that fails, and returns how many there were and the last error.
func (s *Service) Run(ctx context.Context) (clusters int, err error) {
	listErr := due.Each(ctx, s.Table, s.Now(), func(clusterID string) bool {
		if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < margin || ctx.Err() != nil {
			return false // the next run goes on; what is due stays due
		}
		clusters++
		if advanceErr := s.Advance(ctx, clusterID); advanceErr != nil {
			err = fmt.Errorf("backups of cluster %s: %w", clusterID, advanceErr)
			s.Log.LogAttrs(ctx, slog.LevelError, "backups not advanced", slog.String("clusterId", clusterID), slog.String("error", advanceErr.Error()))
		}
		return true
	})
	return clusters, errors.Join(err, listErr)
}

// Advance does everything that is to be done now about a cluster's backups: as the source of
// snapshots and as the target of a restore. It is idempotent, and may be cut short and repeated at
// any point: each step is decided from what is stored and what the nodes have said.
func (s *Service) Advance(ctx context.Context, clusterID string) error {
	return store.Again(attempts, func() error {
		look, err := due.Begin(ctx, s.Table, clusterID)
		if err != nil {
			return err
		}
		v := &visit{Service: s, now: s.Now().UTC()}
		if err := v.read(ctx, clusterID); err != nil {
			return err
		}
		for _, step := range []func(context.Context) error{
			v.end, v.schedule, v.expire, v.reapply, v.finish, v.restore, v.begin, v.purge, v.settle,
		} {
			if err := step(ctx); err != nil {
				return err
			}
		}
		// Steps may have woken the cluster themselves; what they knew is in next already.
		if look, err = v.latest(ctx, look); err != nil {
			return err
		}
		op, ok, err := look.Done(v.next)
		if err != nil || !ok {
			return err
		}
		return s.Table.Write(ctx, op)
	})
}

// visit is one look at a cluster.
type visit struct {
	*Service

	now       time.Time
	d         cluster.Deployment
	policy    policy
	snapshots []Snapshot
	job       *Job // whose target the cluster is
	wrote     bool
	next      time.Time // when to look again, zero for never
}

func (v *visit) read(ctx context.Context, clusterID string) (err error) {
	if v.d, err = v.Clusters.Load(ctx, clusterID); err != nil {
		return err
	}
	if v.policy, err = loadPolicy(ctx, v.Table, v.d.Cluster); err != nil {
		return err
	}
	if v.snapshots, err = all(ctx, v.Table, clusterID); err != nil {
		return err
	}
	return v.readJob(ctx)
}

func (v *visit) readJob(ctx context.Context) error {
	claim, _, err := store.Load[restoring](ctx, v.Table, keys.Restoring(v.d.ID))
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	j, err := loadJob(ctx, v.Table, claim.ClusterID, claim.JobID)
	if err == nil {
		v.job = &j
	}
	return err
}

// by asks to be looked at again at a time, or earlier.
func (v *visit) by(at time.Time) {
	if !at.IsZero() && (v.next.IsZero() || at.Before(v.next)) {
		v.next = at
	}
}

// latest is the look to end: the one of the beginning, unless the visit itself has woken the
// cluster since. Then everything is looked at again in a moment, which misses nothing.
func (v *visit) latest(ctx context.Context, look due.Look) (due.Look, error) {
	if !v.wrote {
		return look, nil
	}
	v.by(v.now.Add(poll))
	return due.Begin(ctx, v.Table, v.d.ID)
}

// put stores a snapshot that this visit changed, with an event if t is not "".
func (v *visit) put(ctx context.Context, i int, x Snapshot, t audit.Type) error {
	op, err := x.put()
	if err != nil {
		return err
	}
	ops := []store.Op{op}
	if t != "" {
		e := v.event(t, audit.System(), x.OrgID, x.GroupID, x.ClusterName).With("snapshotId", x.ID)
		if x.Failure != "" {
			e = e.With("reason", x.Failure)
		}
		put, err := v.Journal.Put(e)
		if err != nil {
			return err
		}
		ops = append(ops, put)
	}
	if x.Status == Failed { // nobody can restore it, so nothing needs its keys
		entries, err := x.entries(ctx, v.Table)
		if err != nil {
			return err
		}
		for _, e := range entries {
			ops = append(ops, e.Delete())
		}
	}
	if err := v.Table.Write(ctx, ops...); err != nil {
		return err
	}
	x.version++
	v.snapshots[i], v.wrote = x, true
	return nil
}

// calm reports whether the cluster is at rest and serves.
func (v *visit) calm() bool {
	return v.d.Deleted.IsZero() && v.d.Applied != nil && v.d.Plan == nil && v.d.Disabled == nil && !v.d.Spec.Paused
}

// end deals with a cluster that is no more: its snapshots go with it unless its tenant keeps them.
func (v *visit) end(ctx context.Context) error {
	if v.d.Deleted.IsZero() {
		return nil
	}
	kept := 0
	for i, x := range v.snapshots {
		switch {
		case !x.Removed.IsZero():
		case x.unfinished():
			if err := v.fail(ctx, i, "CLUSTER_DELETED"); err != nil {
				return err
			}
			kept++
		case !v.d.Settings.RetainBackups:
			busy, err := v.restoring(ctx, x)
			if err == nil && !busy {
				err = v.drop(ctx, i)
			}
			if err != nil {
				return err
			}
			if busy {
				v.by(v.now.Add(poll))
			}
		default:
			kept++
		}
	}
	return v.keepName(ctx, kept > 0 && v.d.Settings.RetainBackups)
}

// keepName makes the cluster be found by its name while snapshots of it are kept.
func (v *visit) keepName(ctx context.Context, keep bool) error {
	key := keys.RetainedBackups(v.d.GroupID, v.d.Name, v.d.ID)
	item, err := v.Table.Get(ctx, key)
	found := err == nil
	switch {
	case err != nil && !errors.Is(err, store.ErrNotFound):
		return err
	case keep == found:
		return nil
	case found:
		return v.Table.Write(ctx, store.Delete(key, item.Version))
	}
	item, err = store.Encode(key, 0, map[string]string{"clusterId": v.d.ID})
	if err != nil {
		return err
	}
	return v.Table.Write(ctx, store.Put(item))
}

// drop removes a snapshot.
func (v *visit) drop(ctx context.Context, i int) error {
	x := v.snapshots[i]
	if err := v.remove(ctx, x); err != nil {
		return err
	}
	x.Removed, x.version = v.now, x.version+1
	v.snapshots[i], v.wrote = x, true
	return nil
}

// schedule requests the snapshots that are due. While one is unfinished no other is: the items
// that become due meanwhile are looked at when it is over.
func (v *visit) schedule(ctx context.Context) error {
	if !v.d.Deleted.IsZero() || v.d.Deleting() || !v.d.Settings.Backup {
		return nil
	}
	if v.d.Applied == nil {
		v.by(v.now.Add(poll)) // its nodes are being built
		return nil
	}
	items := v.policy.Schedule.Due(v.policy.Ran, v.now)
	v.by(v.policy.Schedule.Next(v.now))
	busy := slices.ContainsFunc(v.snapshots, func(x Snapshot) bool { return x.Frequency != OnDemand && x.unfinished() })
	if len(items) == 0 || busy || v.d.Spec.Paused {
		return nil
	}
	longest := longest(items)
	x := v.draft(v.d.Cluster, longest.Frequency, longest.Retention)
	for _, item := range items {
		x.PolicyItems = append(x.PolicyItems, item.ID)
	}
	v.policy.Ran = v.now
	if err := v.request(ctx, v.policy, x); err != nil {
		return err
	}
	x.version, v.policy.version, v.wrote = 1, v.policy.version+1, true
	v.snapshots = append(v.snapshots, x)
	return nil
}

// expire removes what need not be kept any longer.
func (v *visit) expire(ctx context.Context) error {
	for i, x := range v.snapshots {
		if !x.Removed.IsZero() || x.unfinished() {
			continue
		}
		if x.Expires.After(v.now) {
			v.by(x.Expires)
			continue
		}
		busy, err := v.restoring(ctx, x)
		if err != nil {
			return err
		}
		if busy {
			v.by(v.now.Add(poll))
			continue
		}
		if err := v.drop(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

// reapply gives scheduled snapshots the retention that their items have now.
func (v *visit) reapply(ctx context.Context) error {
	if !v.policy.Reapply {
		return nil
	}
	for i, x := range v.snapshots {
		var items []Item
		for _, item := range v.policy.Schedule.Items {
			if slices.Contains(x.PolicyItems, item.ID) {
				items = append(items, item)
			}
		}
		if len(items) == 0 || x.Status != Completed || !x.Removed.IsZero() {
			continue
		}
		x.Retention = longest(items).Retention
		x.Expires = x.Retention.From(x.Created)
		if x.Expires.Equal(v.snapshots[i].Expires) {
			continue
		}
		if err := v.reschedule(ctx, x); err != nil {
			return err
		}
		x.version++
		v.snapshots[i], v.wrote = x, true
	}
	v.policy.Reapply = false
	put, err := v.policy.put()
	if err != nil {
		return err
	}
	v.policy.version++
	return v.Table.Write(ctx, put)
}

// settle ends what nodes were told about snapshots and can't, or need not, do any more. Until then
// they would hold up the plans of their cluster.
func (v *visit) settle(ctx context.Context) error {
	for _, n := range v.d.Nodes {
		if !v.unsettled(n) {
			continue
		}
		v.by(v.now.Add(poll))
		wanted, err := v.wanted(ctx, n)
		if err != nil {
			return err
		}
		if wanted {
			continue
		}
		o := cluster.Order{ID: "after-" + n.Desired.Order, Command: cluster.StartCommand}
		if n.Desired.Backup.RestoreID != "" {
			o.Backup = n.Desired.Backup // tells which key it adopted in vain
		}
		if n.Desired.Command == cluster.RestoreCommand {
			if o, err = v.afterRestore(ctx, n, o); err != nil {
				return err
			}
		}
		if err := v.tell(ctx, n, o); err != nil {
			return err
		}
	}
	return nil
}

// unsettled reports whether a node has something to do, or to let go of, that is about a snapshot.
func (v *visit) unsettled(n cluster.Node) bool {
	switch {
	case n.Desired.Backup == (cluster.Backup{}) || n.Leaving() || n.Desired.Command == cluster.StartCommand:
		return false
	case n.Desired.Command == cluster.PrepareCommand:
		return true
	}
	return !n.Acked() || n.Failed()
}

// afterRestore is what a node is told that could not restore. If the others did, before it answered
// at all, then it copies from them: its own data is of another time.
func (v *visit) afterRestore(ctx context.Context, n cluster.Node, o cluster.Order) (cluster.Order, error) {
	j, err := loadJob(ctx, v.Table, n.Desired.Backup.ClusterID, n.Desired.Backup.RestoreID)
	if errors.Is(err, errNoJob) || err == nil && j.State == JobFinished {
		o.Command, o.Backup, err = cluster.ResyncCommand, cluster.Backup{}, nil
	}
	return o, err
}

// wanted reports whether it still matters that a node does what it was told.
func (v *visit) wanted(ctx context.Context, n cluster.Node) (bool, error) {
	if n.Desired.Command == cluster.PrepareCommand {
		return v.job != nil && v.job.ID == n.Desired.Backup.RestoreID, nil
	}
	if n.Desired.Command == cluster.RestoreCommand {
		// Nothing but its end ends a restore; one that the node refused ends with the job.
		return !n.Failed() || v.job != nil && v.job.ID == n.Desired.Backup.RestoreID, nil
	}
	if n.Failed() {
		return false, nil
	}
	x, i, ok, err := find(ctx, v.Table, n)
	if err != nil || !ok {
		return false, err
	}
	if n.Desired.Command == cluster.PurgeCommand {
		return x.Parts[i].Purger.NodeID == n.ID, nil
	}
	return x.Status == InProgress && x.Parts[i].NodeID == n.ID && !x.Parts[i].Done, nil
}
