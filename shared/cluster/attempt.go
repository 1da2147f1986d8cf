package cluster

import (
	"context"
	"fmt"
	"time"

	"latchkey/shared/store"
	"latchkey/shared/store/keys"
	"latchkey/shared/workflow"
)

// A plan is carried out by executions of a workflow, its attempts. One ends when it has done
// much, when the cluster is disabled, or by a fault; the next one goes on where it was. Which
// attempt is the present one is in the cluster's record, written before the execution is
// started: the one before can do nothing from then on, and if the start is lost, Resume makes up
// for it.

// KeyPatience is how long the key that a plan needs may be out of use before the plan is rolled
// back: "Provisioning blocked by IP restrictions keeps retrying up to 3 days" (CONTRACT 3.7). It
// counts from when the key was first found so, not from the plan's start: an initial sync may
// take days, and must not be lost for a minute's outage on the fourth.
const KeyPatience = 3 * 24 * time.Hour

// Executions starts workflows, and knows which have ended.
type Executions interface {
	// Ensure starts an execution unless one of its name was started before, and reports whether
	// that one has ended.
	Ensure(ctx context.Context, x workflow.Execution) (ended bool, err error)
}

// input is what the workflow is told of a plan.
type input struct {
	ClusterID string `json:"clusterId"`
	GroupID   string `json:"groupId"`
	Revision  int64  `json:"revision"`
	Attempt   int64  `json:"attempt"`
}

// Execution is the present attempt at the plan.
func (p Plan) Execution() workflow.Execution {
	return workflow.Execution{
		Kind: workflow.EncryptCluster, GroupID: p.GroupID, Subject: p.ClusterID, Version: []int64{p.Spec.Revision, p.Attempt},
		Input: input{ClusterID: p.ClusterID, GroupID: p.GroupID, Revision: p.Spec.Revision, Attempt: p.Attempt},
	}
}

// IsCarriedOutBy reports whether an attempt at the plan of a revision may act.
func (c Cluster) IsCarriedOutBy(revision, attempt int64) bool {
	return c.Plan != nil && c.Plan.Spec.Revision == revision && c.Plan.Attempt == attempt
}

// Suspended reports whether the plan in progress waits for a key to be given back. A deletion
// does not: nodes need no key to go.
func (c Cluster) Suspended() bool { return c.Plan != nil && c.Disabled != nil && !c.Deleting() }

// CanRollBack reports whether giving up the plan in progress leads anywhere else: neither from a
// deletion nor from a way back.
func (c Cluster) CanRollBack() bool {
	return c.Plan != nil && !c.Deleting() && (c.Applied == nil || !c.Plan.Spec.sameAs(*c.Applied))
}

// retried returns the cluster with the next attempt at its plan.
func (c Cluster) retried() Cluster {
	plan := *c.Plan
	plan.Attempt++
	c.Plan = &plan
	return c
}

// NextAttempt makes the attempt after the one that is named the present one, and starts it.
// Repeated, it starts it again, which is harmless; late, it does nothing.
func (s *Service) NextAttempt(ctx context.Context, clusterID string, revision, attempt int64) error {
	var c Cluster
	err := store.Again(attempts, func() error {
		d, err := s.Load(ctx, clusterID)
		if err != nil {
			return err
		}
		c = d.Cluster
		if !c.IsCarriedOutBy(revision, attempt) || c.Suspended() {
			return nil
		}
		c, err = s.commit(ctx, c, c.retried(), nil)
		return err
	})
	if err != nil || !c.IsCarriedOutBy(revision, attempt+1) || c.Suspended() {
		return err
	}
	return s.Starter.Start(ctx, c.Plan.Execution())
}

// NoteKey notes since when the key that the plan of a revision needs can't be used, or that it
// can. It writes only what changes.
func (s *Service) NoteKey(ctx context.Context, clusterID string, revision int64, usable bool) error {
	return store.Again(attempts, func() error {
		d, err := s.Load(ctx, clusterID)
		if err != nil || d.Plan == nil || d.Plan.Spec.Revision != revision || usable == d.Plan.Blocked.IsZero() {
			return err
		}
		plan, next := *d.Plan, d.Cluster
		plan.Blocked = time.Time{}
		if !usable {
			plan.Blocked = s.Now().UTC()
		}
		next.Plan = &plan
		_, err = s.commit(ctx, d.Cluster, next, nil)
		return err
	})
}

// OrderResync tells the node that the plan of a revision turns to next to rebuild its data. The
// transaction demands that nobody has changed the cluster since the node was chosen, so that a
// late call takes no second node down. ok is false if there is no node to turn to.
func (s *Service) OrderResync(ctx context.Context, clusterID string, revision, attempt int64) (ordered Node, ok bool, err error) {
	err = store.Again(attempts, func() error {
		ordered, ok = Node{}, false
		d, err := s.Load(ctx, clusterID)
		if err != nil || !d.IsCarriedOutBy(revision, attempt) {
			return err
		}
		next, found := d.NextResync()
		if !found {
			return nil
		}
		next = next.Told(Order{
			ID: d.Plan.name(), Command: ResyncCommand, State: next.Desired.State, Provider: d.Plan.Spec.Provider, KeyID: next.Desired.KeyID,
		})
		put, err := next.Put()
		if err != nil {
			return err
		}
		ordered, ok = next, true
		return s.Table.Write(ctx, put, store.Check(keys.Cluster(clusterID), d.version))
	})
	return ordered, ok && err == nil, err
}

// Resumption is what Resume did.
type Resumption struct {
	// Plans is how many there are; Suspended of them wait for a key.
	Plans     int `json:"plans"`
	Suspended int `json:"suspended"`
	// Restarted are those whose workflow had ended before they did.
	Restarted int `json:"restarted"`
	// Oldest is how long ago the oldest that is not suspended was begun.
	Oldest time.Duration `json:"-"`
}

// Resume sees to it that every plan in progress is carried out: it starts what was never
// started, and the next attempt where one has ended. It goes on past a cluster that fails, and
// returns the last error.
func (s *Service) Resume(ctx context.Context, x Executions) (Resumption, error) {
	place := keys.PlanInProgress("")
	items, err := store.All(ctx, s.Table, store.Query{Index: true, PK: place.PK, Prefix: keys.PlanPrefix})
	if err != nil {
		return Resumption{}, fmt.Errorf("list plans in progress: %w", err)
	}
	var r Resumption
	for _, item := range items {
		id := item.Index.SK[len(keys.PlanPrefix):]
		if resumeErr := s.resume(ctx, x, id, &r); resumeErr != nil {
			err = fmt.Errorf("resume work on cluster %s: %w", id, resumeErr)
		}
	}
	return r, err
}

func (s *Service) resume(ctx context.Context, x Executions, clusterID string, r *Resumption) error {
	if err := s.Settle(ctx, clusterID); err != nil {
		return err
	}
	d, err := s.Load(ctx, clusterID)
	if err != nil || d.Plan == nil {
		return err
	}
	r.Plans++
	if d.Suspended() {
		r.Suspended++
		return s.resumeSuspended(ctx, d)
	}
	r.Oldest = max(r.Oldest, s.Now().Sub(d.Plan.Started))
	ended, err := x.Ensure(ctx, d.Plan.Execution())
	if err != nil || !ended {
		return err
	}
	r.Restarted++
	return s.NextAttempt(ctx, clusterID, d.Plan.Spec.Revision, d.Plan.Attempt)
}

// resumeSuspended gives up the creation of a cluster whose key was taken away for so long. It
// never ran, so nobody has data in it. An update waits as long as it takes: there are data, and
// neither going on nor going back can do without the key.
func (s *Service) resumeSuspended(ctx context.Context, d Deployment) error {
	if d.Applied != nil || s.Now().Sub(d.Disabled.Since) < KeyPatience {
		return nil
	}
	return s.RollBack(ctx, d.ID, d.Plan.Spec.Revision, d.Disabled.Reason)
}
