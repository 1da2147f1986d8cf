package sim

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"go.mongodb.org/atlas-sdk/v20250312018/admin"

	"latchkey/shared/ledger"
)

// snapshot is a snapshot of a cluster as its tenant was told of it.
type snapshot struct {
	id      string
	cluster *cluster
	// encrypted is that it needs a customer key, and expires until when it is kept; zero until it is completed.
	encrypted bool
	expires   time.Time
	// asked is how long the tenant wants it to be kept, 0 if it did not say; gone that it has deleted it, or may have.
	asked time.Duration
	gone  bool
}

// promised is whether the snapshot must be there: it was told to be completed, and neither is over nor was deleted.
func (s *snapshot) promised() bool {
	return !s.expires.IsZero() && !s.gone && !s.cluster.going && time.Now().Before(s.expires)
}

// promised are those of a cluster that must be there.
func (c *cluster) promised() (all []*snapshot) {
	for _, s := range c.snapshots {
		if s.promised() {
			all = append(all, s)
		}
	}
	return all
}

// promised are all snapshots of all tenants that must be there.
func (w *World) promised() (all []*snapshot) {
	for _, t := range w.tenants {
		for _, c := range t.clusters {
			all = append(all, c.promised()...)
		}
	}
	return all
}

// oneOf is one of some snapshots, nil if there are none.
func (t *tenant) oneOf(all []*snapshot) *snapshot {
	if len(all) == 0 {
		return nil
	}
	return all[t.rng.IntN(len(all))]
}

const day = 24 * time.Hour

// snapshot takes a snapshot of a cluster.
func (t *tenant) snapshot(ctx context.Context) {
	c := t.clusters[t.rng.IntN(len(t.clusters))]
	taken, _, err := t.client.CloudBackupsApi.TakeSnapshots(ctx, t.group, c.name,
		&admin.DiskBackupOnDemandSnapshotRequest{Description: new("sim"), RetentionInDays: new(1)}).Execute()
	if t.how(err, "takes a snapshot of "+c.name) == done {
		c.snapshots = append(c.snapshots, &snapshot{id: taken.GetId(), cluster: c, asked: day})
	}
}

// readSnapshots reads a cluster's snapshots. What was told to be completed is there.
func (t *tenant) readSnapshots(ctx context.Context, c *cluster) outcome {
	got, _, err := t.client.CloudBackupsApi.ListBackupSnapshots(ctx, t.group, c.name).ItemsPerPage(500).Execute()
	how := t.how(err, "reads the snapshots of "+c.name)
	if how != done {
		return how
	}
	listed := map[string]admin.DiskBackupReplicaSet{}
	for _, l := range got.GetResults() {
		listed[l.GetId()] = l
	}
	for _, s := range c.promised() {
		if l, ok := listed[s.id]; !ok || l.GetStatus() != "completed" || !l.GetExpiresAt().Equal(s.expires) {
			t.world.failf("I7: the snapshot %s of %s of %s was completed, and kept until %s, and is %q until %s (listed: %t)",
				s.id, c.name, t.name, s.expires, l.GetStatus(), l.GetExpiresAt(), ok)
		}
	}
	for _, l := range got.GetResults() {
		if l.GetStatus() == "completed" {
			t.learn(c, l)
		}
	}
	return done
}

// learn notes that a snapshot is completed.
func (t *tenant) learn(c *cluster, l admin.DiskBackupReplicaSet) {
	i := slices.IndexFunc(c.snapshots, func(s *snapshot) bool { return s.id == l.GetId() })
	if i < 0 {
		i, c.snapshots = len(c.snapshots), append(c.snapshots, &snapshot{id: l.GetId(), cluster: c})
	}
	s := c.snapshots[i]
	s.expires, s.encrypted = l.GetExpiresAt(), l.GetMasterKeyUUID() != ""
	if kept := s.expires.Sub(l.GetCreatedAt()); kept < s.asked {
		t.world.failf("I7: the snapshot %s of %s of %s is kept for %s, and %s was acknowledged", s.id, c.name, t.name, kept, s.asked)
	}
}

// lookAtSnapshots reads those of one cluster.
func (t *tenant) lookAtSnapshots(ctx context.Context) {
	t.readSnapshots(ctx, t.clusters[t.rng.IntN(len(t.clusters))])
}

// deleteSnapshot deletes a snapshot before it expires.
func (t *tenant) deleteSnapshot(ctx context.Context) {
	s := t.oneOf(t.clusters[t.rng.IntN(len(t.clusters))].promised())
	if s == nil {
		return
	}
	s.gone = true
	_, err := t.client.CloudBackupsApi.DeleteClusterBackupSnapshot(ctx, t.group, s.cluster.name, s.id).Execute()
	if t.how(err, "deletes a snapshot of "+s.cluster.name) == denied && admin.IsErrorCode(err, "ATLAS_CLUSTER_RESTORE_IN_PROGRESS") {
		s.gone = false
	}
}

// restoreSnapshot has a cluster begin again with what a snapshot holds, of its own or of another cluster.
func (t *tenant) restoreSnapshot(ctx context.Context) {
	c := t.clusters[t.rng.IntN(len(t.clusters))]
	if t.readSnapshots(ctx, c) != done {
		return
	}
	s := t.oneOf(c.promised())
	if s == nil {
		return
	}
	to := t.clusters[t.rng.IntN(len(t.clusters))]
	if fitting := t.fitting(s); fitting != nil && t.rng.IntN(8) > 0 {
		to = fitting
	}
	t.restoreTo(ctx, s, to) //nolint:errcheck // refused or lost, it is one of many
}

// restoreTo asks for a restore.
func (t *tenant) restoreTo(ctx context.Context, s *snapshot, to *cluster) (job string, err error) {
	begun, _, err := t.client.CloudBackupsApi.CreateBackupRestoreJob(ctx, t.group, s.cluster.name, &admin.DiskBackupSnapshotRestoreJob{
		DeliveryType: "automated", SnapshotId: &s.id, TargetClusterName: &to.name, TargetGroupId: &t.group,
	}).Execute()
	what := "restores "
	if to != s.cluster {
		what = "restores another cluster's snapshot to "
	}
	if t.how(err, what+to.name) == denied && admin.IsErrorCode(err, "SNAPSHOT_NOT_FOUND") && s.promised() {
		t.world.failf("I7: the snapshot %s of %s of %s is not found, and was completed", s.id, s.cluster.name, t.name)
	}
	return begun.GetId(), err
}

// fitting is a cluster that is encrypted as a snapshot is, its own if that is; nil if there is none.
func (t *tenant) fitting(s *snapshot) *cluster {
	fits := func(c *cluster) bool { return c.sure && s.encrypted == (c.provider != unencrypted) }
	if fits(s.cluster) {
		return s.cluster
	}
	if i := slices.IndexFunc(t.clusters, fits); i >= 0 {
		return t.clusters[i]
	}
	return nil
}

// copied looks whether the ledger has what each snapshot needs that must be there.
func (c *checks) copied() {
	for _, s := range c.world.promised() {
		c.copyOf(s)
	}
}

// copyOf is the ledger's copy for an encrypted snapshot; ok is false if it needs none.
func (c *checks) copyOf(s *snapshot) (e ledger.Entry, ok bool) {
	if !s.encrypted {
		return e, false
	}
	k, there := c.world.vault.saved[s.id]
	if !there || k.Key == nil {
		c.world.failf("I5: the files of the snapshot %s of %s are not kept, or not encrypted", s.id, s.cluster.name)
		return e, false
	}
	entries, err := ledger.OfCluster(c.world.ctx, c.world.table, k.ClusterID)
	if err != nil {
		c.world.fail(err)
		return e, false
	}
	i := slices.IndexFunc(entries, func(e ledger.Entry) bool { return e.SnapshotID == s.id && e.KeyID == k.Key.ID })
	if i < 0 {
		c.world.failf("I5: the snapshot %s of %s needs the master key %s, and the ledger has no copy for it", s.id, s.cluster.name, k.Key.ID)
		return e, false
	}
	return entries[i], true
}

// told looks whether a tenant is told of every key that its snapshots need: it retires what is not listed, unless it knows of
// a newer key than the report.
func (c *checks) told(k *custody, r keyReport) {
	if r.InUse == nil || k.spelled(r.InUse.Name, r.InUse.Version) != k.present() {
		return
	}
	for _, cl := range k.tenant.clusters {
		for _, s := range cl.promised() {
			e, ok := c.copyOf(s)
			if !ok || string(e.CMK.Provider) != k.provider() {
				continue
			}
			needed := k.spelled(e.CMK.Name, e.CMK.Version)
			is := func(n namedKey) bool { return k.spelled(n.Name, n.Version) == needed }
			if !is(*r.InUse) && !slices.ContainsFunc(r.Former, is) {
				c.world.failf("I5: the snapshot %s of %s of %s needs %s, which the tenant is not told to keep", s.id, cl.name, k.tenant.name, needed)
			}
		}
	}
}

// prove restores one snapshot of each cluster, in a world where all is well, and demands what was in it.
func (t *tenant) prove(ctx context.Context) {
	for _, c := range slices.Clone(t.clusters) {
		for t.readSnapshots(ctx, c) != done {
			if !t.waits(ctx) {
				return
			}
		}
		s := t.oneOf(c.promised())
		switch {
		case s == nil:
			continue
		case !t.opens(s):
			continue
		}
		if to := t.prepared(ctx, s); to != nil {
			t.comesBack(ctx, s, to)
		}
	}
}

// waits passes a minute; it returns false if the world ends.
func (t *tenant) waits(ctx context.Context) bool {
	return t.world.sleep(ctx, time.Minute) && t.world.awaitTurn(ctx, "waits for a restore")
}

// opens is whether a snapshot's key can open it: its provider is enabled.
func (t *tenant) opens(s *snapshot) bool {
	if !s.encrypted {
		return true
	}
	e, ok := t.world.checks.copyOf(s)
	if !ok {
		return false
	}
	k := t.at(string(e.CMK.Provider))
	return k != nil && k.brought
}

// prepared is a cluster that a snapshot can be restored to: one that is encrypted as it is, or its own once that is.
// It is nil if there can be none.
func (t *tenant) prepared(ctx context.Context, s *snapshot) *cluster {
	to := t.fitting(s)
	if to == nil {
		next := unencrypted
		if s.encrypted {
			next = t.inUse().provider()
		}
		t.encrypt(ctx, s.cluster, next)
		to = t.fitting(s)
	}
	for to != nil && t.stateOf(ctx, to) != "IDLE" {
		if !t.waits(ctx) {
			return nil
		}
	}
	return to
}

// comesBack restores a snapshot and compares.
func (t *tenant) comesBack(ctx context.Context, s *snapshot, to *cluster) {
	id, err := t.restoreTo(ctx, s, to)
	for ; err != nil; id, err = t.restoreTo(ctx, s, to) {
		if model, ok := admin.AsError(err); ok && model.GetError() < 500 && model.GetErrorCode() != "ATLAS_CLUSTER_RESTORE_IN_PROGRESS" {
			t.world.failf("I5: the snapshot %s of %s of %s can't be restored: %w", s.id, s.cluster.name, t.name, err)
			return
		}
		if !t.waits(ctx) { // one that was begun before has not ended
			return
		}
	}
	for {
		job, _, err := t.client.CloudBackupsApi.GetBackupRestoreJob(ctx, t.group, s.cluster.name, id).Execute()
		switch {
		case err != nil:
		case job.GetFailed() || job.GetCancelled():
			t.world.failf("I5: the restore of the snapshot %s of %s of %s fails", s.id, s.cluster.name, t.name)
			return
		case job.FinishedAt != nil && t.world.serves(t, to):
			t.world.checks.restored(s, t, to)
			return
		}
		if !t.waits(ctx) {
			return
		}
	}
}

// serves is whether all nodes of a cluster run.
func (w *World) serves(t *tenant, c *cluster) bool {
	return !slices.ContainsFunc(w.hosts, func(h *host) bool { return h.isOf(t, c) && !h.runs() })
}

func (h *host) isOf(t *tenant, c *cluster) bool {
	return !h.gone && h.GroupID == t.group && h.ClusterName == c.name
}

// restored demands of every node what was in a snapshot, value by value.
func (c *checks) restored(s *snapshot, t *tenant, to *cluster) {
	k := c.world.vault.saved[s.id]
	for _, h := range c.world.hosts {
		if !h.isOf(t, to) {
			continue
		}
		if !maps.Equal(h.has, k.has) {
			c.world.failf("I8: %s has %d values of another time than its snapshot %s, which has %d", h.name(), len(h.has), s.id, len(k.has))
		}
		if err := h.readable(); err != nil {
			c.world.fail(fmt.Errorf("after the restore of %s: %w", s.id, err))
		}
	}
	t.said("has a snapshot back, value by value")
}

// all has all tenants do something at the same time, and waits for it.
func (w *World) all(do func(*tenant, context.Context)) {
	var acting sync.WaitGroup
	for _, t := range w.tenants {
		acting.Go(func() { do(t, within(w.ctx, t.proc)) })
	}
	acting.Wait()
}
