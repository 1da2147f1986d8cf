package cluster

import (
	"context"
	"fmt"

	"latchkey/shared/audit"
	"latchkey/shared/project"
	"latchkey/shared/store"
)

// The use cases in this file are steps of workflows: idempotent, and harmless when they come
// late.

// MarkReady ends the plan of a revision if the nodes have reached what it wants, and begins the
// next one if a change waits for it. done is true once the plan has ended, however it did.
func (s *Service) MarkReady(ctx context.Context, clusterID string, revision int64) (done bool, err error) {
	var c Cluster
	err = store.Again(attempts, func() error {
		done = false
		d, err := s.Load(ctx, clusterID)
		if err != nil {
			return err
		}
		if d.Plan == nil || d.Plan.Spec.Revision != revision {
			done, c = true, d.Cluster
			return nil
		}
		if !d.Reached() {
			return nil
		}
		c, err = s.finish(ctx, d.Cluster)
		done = err == nil
		return err
	})
	if err == nil && done && c.Plan != nil && c.Plan.Spec.Revision != revision {
		s.carryOut(ctx, c)
	}
	return done, err
}

// finish ends the plan in progress with success.
func (s *Service) finish(ctx context.Context, before Cluster) (Cluster, error) {
	ended := *before.Plan
	next := before
	next.Applied, next.Plan = &ended.Spec, nil
	t := EventUpdateCompleted
	if ended.Kind == Create {
		t = EventReady
	}
	events := []audit.Event{s.event(t, next, audit.System())}
	if next.Queued() {
		next = next.begin(Update, s.Now())
		events = append(events, s.event(EventUpdateStarted, next, audit.System()))
	}
	claims, err := s.claims(ctx, before, next)
	if err != nil {
		return Cluster{}, err
	}
	return s.commit(ctx, before, next, events, claims...)
}

// RollBack gives up the plan of a revision, and everything that waits for it: the cluster
// becomes again what it last was. One that never was anything is deleted. The keys that nodes
// may meanwhile need stay in use until the way back is done. A plan that is a way back itself goes
// on: there is no other.
func (s *Service) RollBack(ctx context.Context, clusterID string, revision int64, reason string) error {
	var c Cluster
	err := store.Again(attempts, func() error {
		d, err := s.Load(ctx, clusterID)
		if err != nil {
			return err
		}
		c = d.Cluster
		if d.Plan == nil || d.Plan.Spec.Revision != revision || !d.CanRollBack() {
			return nil
		}
		next, kind := d.Cluster, Delete
		if d.Applied != nil {
			kind = Update
			next.Spec = d.Applied.clone()
		}
		next.Spec.Revision = d.Spec.Revision + 1
		next = next.begin(kind, s.Now())
		claims, err := s.claims(ctx, d.Cluster, next)
		if err != nil {
			return err
		}
		events := []audit.Event{s.event(EventRolledBack, next, audit.System()).With("reason", reason)}
		c, err = s.commit(ctx, d.Cluster, next, events, claims...)
		return err
	})
	if err == nil {
		s.carryOut(ctx, c)
	}
	return err
}

// FinishDelete ends a cluster whose nodes are gone. In one transaction its name becomes free,
// its group may close, and the keys that encrypted it may be disabled. done is false while
// there are nodes.
func (s *Service) FinishDelete(ctx context.Context, clusterID string) (done bool, err error) {
	err = store.Again(attempts, func() error {
		done = false
		d, err := s.Load(ctx, clusterID)
		if err != nil {
			return err
		}
		if !d.Deleted.IsZero() {
			done = true
			return nil
		}
		if !d.Deleting() {
			return fmt.Errorf("cluster %s is not being deleted", clusterID)
		}
		if len(d.Nodes) > 0 {
			return nil
		}
		done = true
		return s.end(ctx, d.Cluster)
	})
	return done && err == nil, err
}

func (s *Service) end(ctx context.Context, before Cluster) error {
	next := before
	next.Plan, next.Disabled, next.Deleted = nil, nil, s.Now().UTC()
	claims, err := s.claims(ctx, before, next)
	if err != nil {
		return err
	}
	count, err := s.Projects.Occupy(ctx, before.GroupID, project.Clusters, -1)
	if err != nil {
		return err
	}
	events := []audit.Event{s.event(EventDeleted, next, audit.System())}
	_, err = s.commit(ctx, before, next, events, append(claims, count)...)
	return err
}

// SetDesired gives a node an order. What the order leaves empty stays as it is; whether the
// node runs is the cluster's to say. A node that is leaving takes no more orders.
func (s *Service) SetDesired(ctx context.Context, clusterID, nodeID string, o Order) (Node, error) {
	return s.changeNode(ctx, clusterID, nodeID, func(n Node) (Node, bool) {
		if n.Leaving() {
			return n, false
		}
		if o.State = n.Desired.State; o.Provider == "" {
			o.Provider = n.Desired.Provider
		}
		if o.KeyID == "" {
			o.KeyID = n.Desired.KeyID
		}
		next := n.Told(o)
		return next, next.Desired != n.Desired
	})
}

// ReportNode takes in what a node says of itself, and returns the node with what is desired of
// it. It returns ErrNoNode for a node that is gone.
func (s *Service) ReportNode(ctx context.Context, clusterID, nodeID string, r Reported) (Node, error) {
	return s.changeNode(ctx, clusterID, nodeID, func(n Node) (Node, bool) { return n.Report(r, s.Now()) })
}

func (s *Service) changeNode(ctx context.Context, clusterID, nodeID string, change func(Node) (Node, bool)) (Node, error) {
	var node Node
	err := store.Again(attempts, func() error {
		n, err := s.Node(ctx, clusterID, nodeID)
		if err != nil {
			return err
		}
		next, store := change(n)
		node = next
		if !store {
			return nil
		}
		op, err := next.Put()
		if err != nil {
			return err
		}
		node.version++
		return s.Table.Write(ctx, op)
	})
	return node, err
}
