package snapshot

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"
	"unicode/utf8"

	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/cluster"
	"latchkey/shared/identity"
	"latchkey/shared/kms"
	"latchkey/shared/ledger"
	"latchkey/shared/snapshot/due"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

// Clusters keeps clusters and tells their nodes what to do; cluster.Service is the one in use.
type Clusters interface {
	Get(ctx context.Context, groupID, name string) (cluster.Deployment, error)
	Load(ctx context.Context, clusterID string) (cluster.Deployment, error)
	Names(ctx context.Context, groupID string) ([]string, error)
	SetDesired(ctx context.Context, clusterID, nodeID string, o cluster.Order) (cluster.Node, error)
}

// Keys opens keys that the ledger names; encryption.Service is the one in use.
type Keys interface {
	KeyOf(ctx context.Context, groupID string, cmk ledger.CMK, fresh bool) (*kms.Key, error)
}

// Gate admits callers; identity.Gate is the one in use. A restore to another group needs a role in
// that group too.
type Gate interface {
	Admit(ctx context.Context, c identity.Caller, a identity.Attempt) error
}

// Service performs the use cases. Gate and Keys are needed by Restore alone; everything else is
// required.
type Service struct {
	Table    store.Table
	Journal  audit.Journal
	Clusters Clusters
	Gate     Gate
	Keys     Keys
	Now      func() time.Time
	Log      *slog.Logger
}

// Types of events on snapshots and restores, as the real service calls them.
const (
	EventRequested       audit.Type = "CPS_ON_DEMAND_SNAPSHOT_REQUESTED"
	EventStarted         audit.Type = "CPS_SNAPSHOT_STARTED"
	EventSuccessful      audit.Type = "CPS_SNAPSHOT_SUCCESSFUL"
	EventFailed          audit.Type = "CPS_SNAPSHOT_FAILED"
	EventDeleted         audit.Type = "CPS_SNAPSHOT_DELETED"
	EventRetention       audit.Type = "CPS_SNAPSHOT_RETENTION_MODIFIED"
	EventSchedule        audit.Type = "CPS_SNAPSHOT_SCHEDULE_UPDATED"
	EventRestoreAsked    audit.Type = "CPS_RESTORE_REQUESTED"
	EventRestored        audit.Type = "CPS_RESTORE_SUCCESSFUL"
	EventRestoreFailed   audit.Type = "CPS_RESTORE_FAILED"
	EventRestoreCanceled audit.Type = "CPS_RESTORE_CANCELED"
)

func (s *Service) mint() string { return atlas.NewID(s.Now()) }

func (s *Service) event(t audit.Type, by audit.Actor, orgID, groupID, clusterName string) audit.Event {
	e := audit.New(s.Now(), t, by, orgID, groupID)
	e.ClusterName = clusterName
	return e
}

// attempts bounds how often a change is made again because something else was written to the
// same records at the same time.
const attempts = 8

// kick begins what a change that is stored demands. What fails here is made up for by the schedule.
func (s *Service) kick(ctx context.Context, clusterID string) {
	ctx = context.WithoutCancel(ctx)
	if err := s.Advance(ctx, clusterID); err != nil {
		s.Log.LogAttrs(ctx, slog.LevelError, "backups not advanced", slog.String("clusterId", clusterID), slog.String("error", err.Error()))
	}
}

// find reads a cluster of a group by its name, also one that has been deleted and of which
// snapshots are kept. Of several the youngest is found.
func (s *Service) find(ctx context.Context, groupID, name string) (cluster.Deployment, error) {
	d, err := s.Clusters.Get(ctx, groupID, name)
	if atlas.CodeOf(err) != atlas.ClusterNotFound {
		return d, err
	}
	kept, queryErr := store.All(ctx, s.Table, store.Query{PK: keys.Group(groupID).PK, Prefix: keys.RetainedPrefix(name)})
	if queryErr != nil {
		return cluster.Deployment{}, fmt.Errorf("find backups of %s: %w", name, queryErr)
	}
	if len(kept) == 0 {
		return cluster.Deployment{}, err
	}
	return s.Clusters.Load(ctx, kept[len(kept)-1].SK[len(keys.RetainedPrefix(name)):])
}

// backedUp is find for what a cluster without backups does not have.
func (s *Service) backedUp(ctx context.Context, groupID, name string) (cluster.Deployment, error) {
	d, err := s.Clusters.Get(ctx, groupID, name)
	switch {
	case err != nil:
		return d, err
	case d.Deleting():
		return d, atlas.Fail(atlas.ClusterAlreadyRequestedDeletion, d.Name)
	case !d.Settings.Backup:
		return d, atlas.Fail(atlas.BackupJobNotFound)
	}
	return d, nil
}

// Request is an on-demand snapshot.
type Request struct {
	Description   string
	RetentionDays int
}

// maxDescription is how long descriptions are, in characters.
const maxDescription = 500

// Take requests a snapshot now. At most one that was requested is unfinished at a time.
func (s *Service) Take(ctx context.Context, c identity.Caller, groupID, name string, r Request) (Snapshot, error) {
	retention := Retention{Unit: Days, Value: r.RetentionDays}
	if !retention.valid() {
		return Snapshot{}, atlas.Fail(atlas.InvalidAttribute, "retentionInDays")
	}
	if utf8.RuneCountInString(r.Description) > maxDescription {
		return Snapshot{}, atlas.Fail(atlas.InvalidAttribute, "description")
	}
	var taken Snapshot
	err := store.Again(attempts, func() error {
		d, err := s.backedUp(ctx, groupID, name)
		if err != nil {
			return err
		}
		p, err := loadPolicy(ctx, s.Table, d.Cluster)
		if err != nil {
			return err
		}
		list, err := all(ctx, s.Table, d.ID)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(list, func(x Snapshot) bool { return x.Frequency == OnDemand && x.unfinished() }) {
			return atlas.Fail(atlas.UnfinishedOnDemandSnapshot)
		}
		taken = s.draft(d.Cluster, OnDemand, retention)
		taken.Description = r.Description
		e := s.event(EventRequested, audit.By(c), d.OrgID, d.GroupID, d.Name).With("snapshotId", taken.ID)
		return s.request(ctx, p, taken, e)
	})
	if err != nil {
		return Snapshot{}, err
	}
	s.kick(ctx, taken.ClusterID)
	return taken, nil
}

// draft is a new snapshot, to be taken.
func (s *Service) draft(c cluster.Cluster, f Frequency, r Retention) Snapshot {
	at := s.Now().UTC().Truncate(time.Second)
	return Snapshot{
		ID: s.mint(), ClusterID: c.ID, ClusterName: c.Name, GroupID: c.GroupID, OrgID: c.OrgID, Sharded: c.Spec.Type != cluster.ReplicaSet,
		Status: Queued, Frequency: f, Requested: at, Retention: r, Expires: r.From(at),
	}
}

// request stores a new snapshot. The policy's version keeps two from being requested at once.
func (s *Service) request(ctx context.Context, p policy, x Snapshot, events ...audit.Event) error {
	record, err := x.put()
	if err != nil {
		return err
	}
	schedule, err := p.put()
	if err != nil {
		return err
	}
	return s.commit(ctx, x.ClusterID, s.Now(), []store.Op{record, schedule}, events)
}

// commit stores what changed of a cluster's snapshots, with events, and when to look at them next.
func (s *Service) commit(ctx context.Context, clusterID string, next time.Time, ops []store.Op, events []audit.Event) error {
	told, err := s.Journal.PutAll(events...)
	if err != nil {
		return err
	}
	wake, err := due.Wake(ctx, s.Table, clusterID, next)
	if err != nil {
		return err
	}
	return s.Table.Write(ctx, slices.Concat(ops, told, []store.Op{wake})...)
}

// List reads the snapshots of a cluster, newest first.
func (s *Service) List(ctx context.Context, groupID, name string) ([]Snapshot, error) {
	d, err := s.find(ctx, groupID, name)
	if err != nil {
		return nil, err
	}
	list, err := all(ctx, s.Table, d.ID)
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(x Snapshot) bool { return !x.Removed.IsZero() })
	slices.Reverse(list)
	return list, nil
}

// Get reads one snapshot. It returns SNAPSHOT_NOT_FOUND if there is none.
func (s *Service) Get(ctx context.Context, groupID, name, id string) (Snapshot, error) {
	d, err := s.find(ctx, groupID, name)
	if err != nil {
		return Snapshot{}, err
	}
	x, err := load(ctx, s.Table, d.ID, id)
	if errors.Is(err, errNone) || err == nil && !x.Removed.IsZero() {
		return Snapshot{}, atlas.Fail(atlas.SnapshotNotFound, id, name)
	}
	return x, err
}

// ChangeRetention changes how long a snapshot is kept, counted from when it was taken, together
// with what the ledger says of it.
func (s *Service) ChangeRetention(ctx context.Context, c identity.Caller, groupID, name, id string, r Retention) (Snapshot, error) {
	if !slices.Contains([]string{Days, Weeks, Months, Years}, r.Unit) {
		return Snapshot{}, atlas.Fail(atlas.InvalidEnumValue, r.Unit)
	}
	if !r.valid() {
		return Snapshot{}, atlas.Fail(atlas.InvalidAttribute, "retentionValue")
	}
	var changed Snapshot
	err := store.Again(attempts, func() error {
		x, err := s.Get(ctx, groupID, name, id)
		if err != nil {
			return err
		}
		if x.Status != Completed {
			return atlas.Fail(atlas.CannotModifyInProgressSnapshot)
		}
		changed = x
		changed.Retention, changed.Expires = r, r.From(x.Created)
		e := s.event(EventRetention, audit.By(c), x.OrgID, x.GroupID, x.ClusterName).With("snapshotId", id).With("expiresAt", atlas.Time(changed.Expires))
		return s.reschedule(ctx, changed, e)
	})
	return changed, err
}

// reschedule stores a snapshot that expires at another time.
func (s *Service) reschedule(ctx context.Context, x Snapshot, events ...audit.Event) error {
	put, err := x.put()
	if err != nil {
		return err
	}
	ops := []store.Op{put}
	entries, err := x.entries(ctx, s.Table)
	if err != nil {
		return err
	}
	for _, e := range entries {
		op, err := e.Until(x.Expires).Put()
		if err != nil {
			return err
		}
		ops = append(ops, op)
	}
	return s.commit(ctx, x.ClusterID, x.Expires, ops, events)
}

// Delete removes a snapshot for everybody. Its customer keys are no longer needed for it from
// then on; its files go as soon as a node has removed them.
func (s *Service) Delete(ctx context.Context, c identity.Caller, groupID, name, id string) error {
	var clusterID string
	err := store.Again(attempts, func() error {
		x, err := s.Get(ctx, groupID, name, id)
		if err != nil {
			return err
		}
		clusterID = x.ClusterID
		if x.Status == InProgress {
			return atlas.Fail(atlas.CannotDeleteInProgressSnapshot, id)
		}
		restoring, err := s.restoring(ctx, x)
		if err != nil {
			return err
		}
		if restoring {
			return atlas.Fail(atlas.ClusterRestoreInProgress)
		}
		return s.remove(ctx, x, s.event(EventDeleted, audit.By(c), x.OrgID, x.GroupID, x.ClusterName).With("snapshotId", id))
	})
	if err != nil {
		return err
	}
	s.kick(ctx, clusterID)
	return nil
}

// remove takes a snapshot out of the ledger and out of everybody's sight. The record stays while
// there are files.
func (s *Service) remove(ctx context.Context, x Snapshot, events ...audit.Event) error {
	entries, err := x.entries(ctx, s.Table)
	if err != nil {
		return err
	}
	var ops []store.Op
	for _, e := range entries {
		ops = append(ops, e.Delete())
	}
	if x.Removed = s.Now().UTC(); len(x.Parts) == 0 {
		ops = append(ops, x.delete())
	} else {
		put, err := x.put()
		if err != nil {
			return err
		}
		ops = append(ops, put)
	}
	return s.commit(ctx, x.ClusterID, s.Now(), ops, events)
}

// policy is the record of a cluster's schedule.
type policy struct {
	ClusterID string   `json:"clusterId"`
	Schedule  Schedule `json:"schedule"`
	// Ran is until when the schedule has been looked at.
	Ran time.Time `json:"ran"`
	// Reapply: the schedule's retention is to be applied to snapshots that it took before.
	Reapply bool `json:"reapply,omitempty"`

	version int64
}

// loadPolicy reads a cluster's schedule, or the default one. The default's ids follow from the
// cluster's, so that they are the same before it is stored.
func loadPolicy(ctx context.Context, t store.Table, c cluster.Cluster) (policy, error) {
	p, version, err := store.Load[policy](ctx, t, keys.BackupPolicy(c.ID))
	if errors.Is(err, store.ErrNotFound) {
		return policy{ClusterID: c.ID, Schedule: DefaultSchedule(c.Created, idsOf(c.ID)), Ran: c.Created}, nil
	}
	if err != nil {
		return policy{}, fmt.Errorf("load backup policy of %s: %w", c.ID, err)
	}
	p.version = version
	return p, nil
}

// idsOf mints ids that follow from another.
func idsOf(id string) func() string {
	n := 0
	return func() string {
		n++
		sum := sha256.Sum256(fmt.Appendf(nil, "latchkey backup policy %s %d", id, n))
		return hex.EncodeToString(sum[:12])
	}
}

func (p policy) put() (store.Op, error) {
	item, err := store.Encode(keys.BackupPolicy(p.ClusterID), p.version, p)
	return store.Put(item), err
}
