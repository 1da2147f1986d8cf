package cluster

import (
	"context"
	"fmt"
	"log/slog"

	"latchkey/shared/audit"
	"latchkey/shared/snapshot/due"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

// commit writes a changed record with its events and more. before is the cluster as it was
// read, zero for a new one. The record of the name follows a plan that begins or ends.
func (s *Service) commit(ctx context.Context, before, after Cluster, events []audit.Event, more ...store.Op) (Cluster, error) {
	after = after.remembering(before.Plan, s.Now())
	record, err := after.put()
	if err != nil {
		return Cluster{}, err
	}
	name, err := s.rename(ctx, before, after)
	if err != nil {
		return Cluster{}, err
	}
	ops := append(append([]store.Op{record}, name...), more...)
	if after.Settings.Backup != before.Settings.Backup || !after.Deleted.IsZero() {
		wake, err := due.Wake(ctx, s.Table, after.ID, s.Now())
		if err != nil {
			return Cluster{}, err
		}
		ops = append(ops, wake)
	}
	told, err := s.Journal.PutAll(events...)
	if err != nil {
		return Cluster{}, err
	}
	if err := s.Table.Write(ctx, append(ops, told...)...); err != nil {
		return Cluster{}, err
	}
	after.version++
	return after, nil
}

// rename changes the record of the cluster's name, if it has to change.
func (s *Service) rename(ctx context.Context, before, after Cluster) ([]store.Op, error) {
	if before.ID == "" {
		op, err := after.point(0)
		return []store.Op{op}, err
	}
	ended := !after.Deleted.IsZero()
	if !ended && (before.Plan == nil) == (after.Plan == nil) {
		return nil, nil
	}
	item, err := s.Table.Get(ctx, keys.ClusterName(after.GroupID, after.Name))
	if err != nil {
		return nil, fmt.Errorf("find the name of cluster %s: %w", after.ID, err)
	}
	if ended {
		return []store.Op{store.Delete(item.Key, item.Version)}, nil
	}
	op, err := after.point(item.Version)
	return []store.Op{op}, err
}

// Settle makes the records of a cluster's nodes what its record wants. It may be cut short and
// repeated at any point.
func (s *Service) Settle(ctx context.Context, clusterID string) error {
	for {
		var changes NodeChanges
		err := store.Again(attempts, func() error {
			d, err := s.Load(ctx, clusterID)
			if err != nil {
				return err
			}
			changes = d.Reconcile(d.Nodes, Naming{Domain: s.Domain, Mint: s.mint}, s.Now())
			return s.writeNodes(ctx, d.Cluster, changes)
		})
		if err != nil || changes.None() {
			return err
		}
	}
}

// writeNodes writes as many changes as one transaction holds, provided that the cluster still
// wants them.
func (s *Service) writeNodes(ctx context.Context, c Cluster, changes NodeChanges) error {
	if changes.None() {
		return nil
	}
	ops := []store.Op{store.Check(keys.Cluster(c.ID), c.version)}
	for _, n := range changes.Delete {
		ops = append(ops, store.Delete(keys.Node(n.ClusterID, n.ID), n.version))
	}
	for _, n := range changes.Put {
		op, err := n.Put()
		if err != nil {
			return err
		}
		ops = append(ops, op)
	}
	return s.Table.Write(ctx, ops[:min(len(ops), store.MaxWrites)]...)
}

// carryOut begins what a change that is already stored demands. What fails here is made up for
// by Resume, so the change stands.
func (s *Service) carryOut(ctx context.Context, c Cluster) {
	ctx = context.WithoutCancel(ctx)
	err := s.Settle(ctx, c.ID)
	if err == nil && c.Plan != nil {
		err = s.Starter.Start(ctx, c.Plan.Execution())
	}
	if err != nil {
		s.Log.ErrorContext(ctx, "work on cluster not begun", slog.String("clusterId", c.ID), slog.String("error", err.Error()))
	}
}
