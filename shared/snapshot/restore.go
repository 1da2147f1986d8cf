package snapshot

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/cluster"
	"latchkey/shared/identity"
	"latchkey/shared/kms"
	"latchkey/shared/ledger"
	"latchkey/shared/snapshot/due"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
	"latchkey/shared/verdict"
)

// Delivery is how a snapshot comes back.
type Delivery string

// The ways that the API knows. Only Automated is offered.
const (
	Automated   Delivery = "automated"
	Download    Delivery = "download"
	PointInTime Delivery = "pointInTime"
)

// RestoreRequest asks for a restore.
type RestoreRequest struct {
	Delivery          Delivery
	SnapshotID        string
	TargetGroupID     string
	TargetClusterName string
}

// RestoreRule is who may restore, from a group and to another one.
var RestoreRule = identity.Rule{Scope: identity.InGroup, Roles: []identity.Role{
	identity.GroupOwner, identity.GroupBackupManager,
}}

// restoring is the record of the restore whose target a cluster is.
type restoring struct {
	ClusterID string `json:"clusterId"` // of the snapshot
	JobID     string `json:"jobId"`
}

// Restore begins to put a snapshot in place of the data of a cluster, which may be another one or
// in another group of the organisation. Every node of the target restores the same files, at the
// same time: it is down meanwhile, and no node is left with data of before that could outvote the
// others.
func (s *Service) Restore(ctx context.Context, c identity.Caller, groupID, name string, r RestoreRequest) (Job, error) {
	x, err := s.restorable(ctx, groupID, name, r)
	if err != nil {
		return Job{}, err
	}
	if r.TargetGroupID != groupID {
		attempt := identity.Attempt{Operation: "restoreToGroupCluster", Rule: RestoreRule, GroupID: r.TargetGroupID}
		if err := s.Gate.Admit(ctx, c, attempt); err != nil {
			return Job{}, err
		}
	}
	if err := s.proveKeys(ctx, x); err != nil {
		return Job{}, err
	}
	var j Job
	err = store.Again(attempts, func() error {
		if x, err = s.Get(ctx, groupID, name, r.SnapshotID); err != nil {
			return err
		}
		target, err := s.target(ctx, r, x)
		if err != nil {
			return err
		}
		j = Job{
			ID: s.mint(), ClusterID: x.ClusterID, ClusterName: x.ClusterName, GroupID: x.GroupID, OrgID: x.OrgID, SnapshotID: x.ID,
			TakenAt: x.Created, State: JobQueued, Created: s.Now().UTC().Truncate(time.Second),
			Target: Target{ClusterID: target.ID, ClusterName: target.Name, GroupID: target.GroupID},
		}
		return s.startJob(ctx, c, j, x, target.Cluster)
	})
	if err != nil {
		return Job{}, err
	}
	s.kick(ctx, j.Target.ClusterID)
	return j, nil
}

// restorable finds the snapshot that a request asks for.
func (s *Service) restorable(ctx context.Context, groupID, name string, r RestoreRequest) (Snapshot, error) {
	switch r.Delivery {
	case Automated, Download, PointInTime:
	case "":
		return Snapshot{}, atlas.Fail(atlas.MissingAttribute, "deliveryType")
	default:
		return Snapshot{}, atlas.Fail(atlas.InvalidEnumValue, string(r.Delivery))
	}
	if r.Delivery == PointInTime {
		if _, err := s.find(ctx, groupID, name); err != nil {
			return Snapshot{}, err
		}
		return Snapshot{}, atlas.Fail(atlas.UnsupportedDeliveryMethod).Hinting("Continuous backup is not offered here. Restore a snapshot instead.")
	}
	if r.SnapshotID == "" {
		return Snapshot{}, atlas.Fail(atlas.MissingAttribute, "snapshotId")
	}
	x, err := s.Get(ctx, groupID, name, r.SnapshotID)
	switch {
	case err != nil:
		return Snapshot{}, err
	case x.Status != Completed:
		return Snapshot{}, atlas.Fail(atlas.SnapshotNotFound, r.SnapshotID, name).Hinting("It is not completed.")
	case r.Delivery == Download && x.Encrypted():
		return Snapshot{}, atlas.Fail(atlas.CannotDownloadEncryptedSnapshot)
	case r.Delivery == Download:
		return Snapshot{}, atlas.Fail(atlas.UnsupportedDeliveryMethod).Hinting("Downloads are not offered here. Restore to a cluster instead.")
	case r.TargetClusterName == "":
		return Snapshot{}, atlas.Fail(atlas.MissingAttribute, "targetClusterName")
	case !atlas.ValidID(r.TargetGroupID):
		return Snapshot{}, atlas.Fail(atlas.MissingAttribute, "targetGroupId")
	}
	return x, nil
}

// target finds the cluster that a snapshot is to be restored to, and says why it can't be.
func (s *Service) target(ctx context.Context, r RestoreRequest, x Snapshot) (cluster.Deployment, error) {
	d, err := s.Clusters.Get(ctx, r.TargetGroupID, r.TargetClusterName)
	if err != nil {
		return cluster.Deployment{}, err
	}
	switch {
	case d.Deleting():
		return d, atlas.Fail(atlas.ClusterAlreadyRequestedDeletion, d.Name)
	case d.Spec.Paused:
		return d, atlas.Fail(atlas.ClusterPausedCannotRestore)
	case x.Encrypted() != (d.Spec.Provider != cluster.None):
		// Data that is not encrypted must not end on a cluster that its tenant believes to be, nor
		// encrypted data on one that has no customer key to be under.
		return d, atlas.Fail(atlas.InvalidSnapshotRestoreEncryption)
	case x.Sharded != (d.Spec.Type != cluster.ReplicaSet) || len(x.Parts) != len(d.Spec.Shards):
		return d, atlas.Fail(atlas.InvalidClusterConfiguration).Hinting("The snapshot has %d shards, cluster %s has %d.", len(x.Parts), d.Name, len(d.Spec.Shards))
	case major(x.Version) > major(d.Spec.Release.Full):
		return d, atlas.Fail(atlas.InvalidClusterConfiguration).Hinting("The snapshot is of version %s, cluster %s has %s.", x.Version, d.Name, d.Spec.Release.Full)
	}
	return d, nil
}

// major is a version's first number; files of an older one can be read by a newer one.
func major(version string) (n int) {
	fmt.Sscanf(version, "%d", &n) //nolint:errcheck // 0 is older than every version
	return n
}

// startJob stores a new job. The target's record keeps a second one from starting, and the cluster
// from being changed; so the cluster must be as it was checked.
func (s *Service) startJob(ctx context.Context, c identity.Caller, j Job, x Snapshot, target cluster.Cluster) error {
	_, err := s.Table.Get(ctx, keys.Restoring(j.Target.ClusterID))
	if err == nil {
		return atlas.Fail(atlas.ClusterRestoreInProgress)
	}
	if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	claim, err := store.Encode(keys.Restoring(j.Target.ClusterID), 0, restoring{ClusterID: j.ClusterID, JobID: j.ID})
	if err != nil {
		return err
	}
	put, err := j.put()
	if err != nil {
		return err
	}
	e, err := s.Journal.Put(s.event(EventRestoreAsked, audit.By(c), j.OrgID, j.Target.GroupID, j.Target.ClusterName).
		With("snapshotId", j.SnapshotID).With("restoreJobId", j.ID))
	if err != nil {
		return err
	}
	wake, err := due.Wake(ctx, s.Table, j.Target.ClusterID, s.Now())
	if err != nil {
		return err
	}
	// Storing the snapshot again makes its removal at the same time conflict.
	touch, err := x.put()
	if err != nil {
		return err
	}
	return s.Table.Write(ctx, put, store.Put(claim), e, wake, touch, store.Check(keys.Cluster(target.ID), target.Version()))
}

// proveKeys opens what the snapshot's parts need, with the customer's keys of then. A key that has
// become invalid is told at once, rather than by nodes that are ready to restore.
func (s *Service) proveKeys(ctx context.Context, x Snapshot) error {
	if !x.Encrypted() {
		return nil
	}
	entries, err := x.entries(ctx, s.Table)
	if err != nil {
		return err
	}
	if len(entries) < len(x.Parts) {
		return atlas.Fail(atlas.InvalidSnapshotRestoreEncryption)
	}
	proved := map[ledger.CMK]bool{}
	for _, e := range entries {
		if proved[e.CMK] {
			continue
		}
		if err := s.proveKey(ctx, e); err != nil {
			return err
		}
		proved[e.CMK] = true
	}
	return nil
}

func (s *Service) proveKey(ctx context.Context, e ledger.Entry) error {
	key, err := s.Keys.KeyOf(ctx, e.GroupID, e.CMK, true) // whoever asks wants to know what is so now
	if err == nil {
		var secret []byte
		secret, err = key.Decrypt(ctx, kms.Sealed{Blob: e.Blob, Version: e.CMK.Version}, e.Binding())
		clear(secret)
	}
	f, ok := errors.AsType[*verdict.Failure](err)
	switch {
	case err == nil:
		return nil
	case atlas.CodeOf(err) == atlas.EARNotEnabled || ok && f.Class() == verdict.Invalid:
		return atlas.Fail(atlas.InvalidSnapshotRestoreEncryption).Because(err).
			Hinting("The key that was active when the snapshot was taken is no longer valid: %s.", e.CMK.Name)
	case ok && (f.Class() == verdict.Unreachable || f.Class() == verdict.Throttled):
		return atlas.Fail(atlas.KMSUnreachable).Because(err)
	}
	return fmt.Errorf("prove the key of snapshot %s: %w", e.SnapshotID, err)
}

// Jobs reads the restores of a cluster's snapshots, newest first.
func (s *Service) Jobs(ctx context.Context, groupID, name string) ([]Job, error) {
	d, err := s.find(ctx, groupID, name)
	if err != nil {
		return nil, err
	}
	list, err := s.jobs(ctx, d.ID)
	slices.Reverse(list)
	return list, err
}

func (s *Service) jobs(ctx context.Context, clusterID string) ([]Job, error) {
	items, err := store.All(ctx, s.Table, store.Query{PK: keys.Cluster(clusterID).PK, Prefix: keys.RestoreJobPrefix})
	if err != nil {
		return nil, fmt.Errorf("list restore jobs of %s: %w", clusterID, err)
	}
	list := make([]Job, 0, len(items))
	for _, item := range items {
		j, err := store.Decode[Job](item)
		if err != nil {
			return nil, err
		}
		j.version = item.Version
		list = append(list, j)
	}
	return list, nil
}

// restoring reports whether a snapshot is being restored.
func (s *Service) restoring(ctx context.Context, x Snapshot) (bool, error) {
	list, err := s.jobs(ctx, x.ClusterID)
	return slices.ContainsFunc(list, func(j Job) bool { return j.SnapshotID == x.ID && !j.Over() }), err
}

// Job reads one restore. It returns RESTORE_JOB_NOT_FOUND if there is none.
func (s *Service) Job(ctx context.Context, groupID, name, id string) (Job, error) {
	d, err := s.find(ctx, groupID, name)
	if err != nil {
		return Job{}, err
	}
	j, err := loadJob(ctx, s.Table, d.ID, id)
	if errors.Is(err, errNoJob) {
		return Job{}, atlas.Fail(atlas.RestoreJobNotFound, id, name)
	}
	return j, err
}

// Cancel calls a restore off that no node has been told of. Once nodes have been, it is carried to
// its end: a cluster of which some nodes were restored and others not would be of two minds.
func (s *Service) Cancel(ctx context.Context, c identity.Caller, groupID, name, id string) error {
	return store.Again(attempts, func() error {
		j, err := s.Job(ctx, groupID, name, id)
		if err != nil {
			return err
		}
		if j.State != JobQueued {
			return atlas.Fail(atlas.MethodNotAllowed, "DELETE").Hinting("The restore has begun, or is over.")
		}
		j.State = JobCancelled
		e := s.event(EventRestoreCanceled, audit.By(c), j.OrgID, j.Target.GroupID, j.Target.ClusterName).With("restoreJobId", j.ID)
		return s.endJob(ctx, j, e)
	})
}

// endJob stores a job that is over, and gives its target free.
func (s *Service) endJob(ctx context.Context, j Job, e audit.Event) error {
	j.Finished = s.Now().UTC()
	put, err := j.put()
	if err != nil {
		return err
	}
	event, err := s.Journal.Put(e)
	if err != nil {
		return err
	}
	ops := []store.Op{put, event}
	claim, version, err := store.Load[restoring](ctx, s.Table, keys.Restoring(j.Target.ClusterID))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if err == nil && claim.JobID == j.ID {
		ops = append(ops, store.Delete(keys.Restoring(j.Target.ClusterID), version))
	}
	for _, id := range slices.Compact([]string{j.ClusterID, j.Target.ClusterID}) {
		wake, err := due.Wake(ctx, s.Table, id, s.Now())
		if err != nil {
			return err
		}
		ops = append(ops, wake)
	}
	return s.Table.Write(ctx, ops...)
}
