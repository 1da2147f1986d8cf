package cluster

import (
	"context"
	"errors"
	"reflect"

	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/identity"
	"latchkey/shared/project"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

// Create makes a cluster and begins to build it.
func (s *Service) Create(ctx context.Context, caller identity.Caller, groupID string, r atlas.ClusterRequest) (Deployment, error) {
	var c Cluster
	err := store.Again(attempts, func() error {
		var err error
		c, err = s.create(ctx, caller, groupID, r)
		return err
	})
	if err != nil {
		return Deployment{}, err
	}
	s.carryOut(ctx, c)
	return s.Load(ctx, c.ID)
}

func (s *Service) create(ctx context.Context, caller identity.Caller, groupID string, r atlas.ClusterRequest) (Cluster, error) {
	g, err := s.Projects.Open(ctx, groupID)
	if err != nil {
		return Cluster{}, err
	}
	c, err := Draft(Owner{GroupID: g.ID, OrgID: g.OrgID}, r, s.Now(), s.mint)
	if err != nil {
		return Cluster{}, err
	}
	switch _, err := s.Table.Get(ctx, keys.ClusterName(groupID, c.Name)); {
	case err == nil:
		return Cluster{}, atlas.Fail(atlas.DuplicateClusterName, c.Name, groupID)
	case !errors.Is(err, store.ErrNotFound):
		return Cluster{}, err
	}
	if err := s.checkLocations(ctx, Cluster{}, c); err != nil {
		return Cluster{}, err
	}
	claims, err := s.rely(ctx, caller, Cluster{}, c, Change{Provider: c.Spec.Provider != None})
	if err != nil {
		return Cluster{}, err
	}
	count, err := s.Projects.Occupy(ctx, groupID, project.Clusters, 1)
	if err != nil {
		return Cluster{}, err
	}
	events := []audit.Event{s.event(EventCreated, c, audit.By(caller)).With("encryptionAtRestProvider", string(c.Spec.Provider))}
	return s.commit(ctx, Cluster{}, c, events, append(claims, count)...)
}

// Update changes a cluster, and begins the work on its nodes unless that has to wait. A change
// that changes nothing writes nothing.
func (s *Service) Update(ctx context.Context, caller identity.Caller, groupID, name string, r atlas.ClusterRequest) (Deployment, error) {
	var c Cluster
	var ch Change
	err := store.Again(attempts, func() error {
		var err error
		c, ch, err = s.update(ctx, caller, groupID, name, r)
		return err
	})
	if err != nil {
		return Deployment{}, err
	}
	if ch.Spec {
		s.carryOut(ctx, c)
	}
	return s.Load(ctx, c.ID)
}

func (s *Service) update(ctx context.Context, caller identity.Caller, groupID, name string, r atlas.ClusterRequest) (Cluster, Change, error) {
	d, err := s.Get(ctx, groupID, name)
	if err != nil {
		return Cluster{}, Change{}, err
	}
	next, ch, err := d.Apply(r, s.Now(), s.mint)
	if err != nil || ch.None() {
		return d.Cluster, ch, err
	}
	if err := s.checkLocations(ctx, d.Cluster, next); err != nil {
		return Cluster{}, Change{}, err
	}
	claims, err := s.rely(ctx, caller, d.Cluster, next, ch)
	if err != nil {
		return Cluster{}, Change{}, err
	}
	if ch.Spec {
		unrestored, err := s.unrestored(ctx, d.ID)
		if err != nil {
			return Cluster{}, Change{}, err
		}
		claims = append(claims, unrestored)
	}
	events := []audit.Event{s.event(EventUpdateSubmitted, next, audit.By(caller)).With("changes", changed(d.Cluster, next))}
	if d.Plan == nil && next.Plan != nil {
		events = append(events, s.event(EventUpdateStarted, next, audit.System()))
	}
	next, err = s.commit(ctx, d.Cluster, next, events, claims...)
	return next, ch, err
}

// unrestored is the condition that no restore to the cluster is in progress. A change of its nodes
// is refused rather than queued: it was asked for with the data of now in mind, and the restore is
// to the cluster of now, as it was checked. A deletion is not refused; it ends the restore.
func (s *Service) unrestored(ctx context.Context, clusterID string) (store.Op, error) {
	_, err := s.Table.Get(ctx, keys.Restoring(clusterID))
	switch {
	case err == nil:
		return store.Op{}, atlas.Fail(atlas.ClusterRestoreInProgress)
	case !errors.Is(err, store.ErrNotFound):
		return store.Op{}, err
	}
	return store.Check(keys.Restoring(clusterID), 0), nil
}

// changed describes an update in the activity feed.
func changed(before, after Cluster) map[string]any {
	all := map[string]any{}
	for _, m := range []struct {
		name     string
		from, to any
	}{
		{"encryptionAtRestProvider", before.Spec.Provider, after.Spec.Provider},
		{"paused", before.Spec.Paused, after.Spec.Paused},
		{"mongoDBMajorVersion", before.Spec.Release.Major, after.Spec.Release.Major},
		{"clusterType", before.Spec.Type, after.Spec.Type},
		{"terminationProtectionEnabled", before.Settings.TerminationProtection, after.Settings.TerminationProtection},
		{"backupEnabled", before.Settings.Backup, after.Settings.Backup},
	} {
		if m.from != m.to {
			all[m.name] = []any{m.from, m.to}
		}
	}
	if !reflect.DeepEqual(before.Spec.Shards, after.Spec.Shards) {
		all["replicationSpecs"] = true
	}
	return all
}

// rely checks that the caller may make a change that only a Project Owner may, and that a key on which the cluster
// begins to rely is there and valid. It returns the operations that make the cluster one of the
// key's, having read their records before the settings: see usage.
func (s *Service) rely(ctx context.Context, caller identity.Caller, before, after Cluster, ch Change) ([]store.Op, error) {
	claims, err := s.claims(ctx, before, after)
	if err != nil {
		return nil, err
	}
	if ch.Provider || ch.Protection {
		owner := identity.Attempt{Operation: "protectGroupCluster", Rule: identity.OwnGroup, GroupID: after.GroupID}
		if err := s.Gate.Admit(ctx, caller, owner); err != nil {
			return nil, err
		}
	}
	if !ch.Provider || after.Spec.Provider == None {
		return claims, nil
	}
	enabled, valid, err := s.Keys.KeyState(ctx, after.GroupID, after.Spec.Provider)
	switch {
	case err != nil:
		return nil, err
	case !enabled:
		return nil, atlas.Fail(atlas.EARNotEnabled, after.GroupID).Hinting("Configure %s at PATCH /encryptionAtRest first.", after.Spec.Provider)
	case !valid:
		return nil, atlas.Fail(atlas.EARSettingsInvalid)
	}
	return claims, nil
}

// Deletion is what a client says of a deletion.
type Deletion struct {
	RetainBackups *bool // nil leaves it as the cluster's own setting
}

// Delete begins the end of a cluster. Its name stays taken, and what it relies on stays in
// use, until its nodes are gone: see FinishDelete.
func (s *Service) Delete(ctx context.Context, caller identity.Caller, groupID, name string, r Deletion) error {
	var c Cluster
	err := store.Again(attempts, func() error {
		d, err := s.Get(ctx, groupID, name)
		if err != nil {
			return err
		}
		if err := d.checkDelete(); err != nil {
			return err
		}
		next := d.Cluster
		if r.RetainBackups != nil {
			next.Settings.RetainBackups = *r.RetainBackups
		}
		next.Spec.Revision++
		next = next.begin(Delete, s.Now())
		events := []audit.Event{s.event(EventDeleteSubmitted, next, audit.By(caller)).With("retainBackups", next.Settings.RetainBackups)}
		c, err = s.commit(ctx, d.Cluster, next, events)
		return err
	})
	if err != nil {
		return err
	}
	s.carryOut(ctx, c)
	return nil
}

// UpdateArgs changes the arguments of a cluster's processes. merge changes the present ones.
func (s *Service) UpdateArgs(ctx context.Context, caller identity.Caller, groupID, name string, merge func(*ProcessArgs) error) (ProcessArgs, error) {
	var args ProcessArgs
	err := store.Again(attempts, func() error {
		d, err := s.Get(ctx, groupID, name)
		if err != nil {
			return err
		}
		switch {
		case d.Deleting():
			return atlas.Fail(atlas.ClusterAlreadyRequestedDeletion, d.Name)
		case d.Spec.Paused:
			return atlas.Fail(atlas.CannotUpdatePausedCluster, d.Name)
		}
		next := d.Cluster
		if next.Args, err = d.Args.clone(); err != nil {
			return err
		}
		if err := merge(&next.Args); err != nil {
			return err
		}
		if next.Args, err = next.Args.check(); err != nil {
			return err
		}
		args = next.Args
		if reflect.DeepEqual(next.Args, d.Args) {
			return nil
		}
		_, err = s.commit(ctx, d.Cluster, next, []audit.Event{s.event(EventArgsSubmitted, next, audit.By(caller))})
		return err
	})
	return args, err
}
