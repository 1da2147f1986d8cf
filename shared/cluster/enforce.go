package cluster

import (
	"context"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/store"
	"latchkey/shared/verdict"
)

// DependsOn reports whether a provider's key encrypts a node of the cluster, or is about to. A
// key that no node uses yet stops nothing, though a plan may want to use it.
func (d Deployment) DependsOn(p atlas.Provider) bool {
	if !d.Deleted.IsZero() {
		return false
	}
	for _, n := range d.Nodes {
		if !n.Leaving() && (n.Desired.Provider == p || n.Reported.Provider == p) {
			return true
		}
	}
	return false
}

// Judged returns the cluster as the verdicts on its group's keys want it: disabled while a key
// that encrypts its nodes is INVALID, enabled once the key for which it is disabled is VALID and
// no other is INVALID. Other verdicts, and none, change nothing. It returns the type of the event
// that tells of a change, "" if there is none. A cluster that is being deleted is left alone: its
// nodes need no key to go.
func (d Deployment) Judged(verdicts map[atlas.Provider]verdict.Verdict, now time.Time) (Cluster, audit.Type) {
	c := d.Cluster
	if c.Deleting() || !c.Deleted.IsZero() {
		return c, ""
	}
	released := c.Disabled == nil || verdicts[c.Disabled.Provider].Class() == verdict.Valid || !d.DependsOn(c.Disabled.Provider)
	if !released {
		return c, ""
	}
	for _, p := range atlas.Providers() {
		if v := verdicts[p]; v.Class() == verdict.Invalid && d.DependsOn(p) {
			c.Disabled = &Disabled{Provider: p, Reason: string(v.Reason), Since: now.UTC()}
			return c, EventInstanceDisabled
		}
	}
	if c.Disabled == nil {
		return c, ""
	}
	c.Disabled = nil
	switch {
	case c.Plan != nil:
		c = c.retried()
		c.Plan.Blocked = time.Time{}
	case c.Queued():
		c = c.begin(Update, now)
	}
	return c, EventInstanceEnabled
}

// Obeys reports whether the verdicts leave nothing to be told to the cluster's nodes.
func (d Deployment) Obeys(verdicts map[atlas.Provider]verdict.Verdict) bool {
	_, t := d.Judged(verdicts, time.Time{})
	return t == "" && d.told()
}

// told reports whether every node has been told to run or to stop, as the cluster's record says.
func (d Deployment) told() bool {
	for _, n := range d.Nodes {
		if !n.Leaving() && n.Desired.State != d.power() {
			return false
		}
	}
	return true
}

// Enforce makes a cluster what the verdicts on its group's keys want, and tells its nodes, also
// when the last time was cut short before that. All nodes are told at once. To start them in
// turns would protect nothing, since no majority is there to be kept, and the sooner there is one
// the better; what changes the nodes waits until they run.
func (s *Service) Enforce(ctx context.Context, clusterID string, verdicts map[atlas.Provider]verdict.Verdict) error {
	var c Cluster
	resumes := false
	err := store.Again(attempts, func() error {
		d, err := s.Load(ctx, clusterID)
		if err != nil {
			return err
		}
		next, t := d.Judged(verdicts, s.Now())
		c, resumes = next, t == EventInstanceEnabled && next.Plan != nil
		if t == "" {
			return nil
		}
		e := s.event(t, next, audit.System())
		if next.Disabled != nil {
			e = e.With("provider", string(next.Disabled.Provider)).With("reason", next.Disabled.Reason)
		}
		c, err = s.commit(ctx, d.Cluster, next, []audit.Event{e})
		return err
	})
	if err != nil {
		return err
	}
	if err := s.Settle(ctx, clusterID); err != nil || !resumes {
		return err
	}
	return s.Starter.Start(ctx, c.Plan.Execution())
}

// Disable stops the nodes of a cluster that a provider's key encrypts, which is INVALID for a
// reason.
func (s *Service) Disable(ctx context.Context, clusterID string, p atlas.Provider, reason verdict.Reason) error {
	return s.Enforce(ctx, clusterID, map[atlas.Provider]verdict.Verdict{p: {Reason: reason}})
}

// Enable starts the nodes of a cluster that was disabled for a provider's key, and goes on with
// its plan or begins to apply the change that waited for the key.
func (s *Service) Enable(ctx context.Context, clusterID string, p atlas.Provider) error {
	return s.Enforce(ctx, clusterID, map[atlas.Provider]verdict.Verdict{p: {Reason: verdict.OK}})
}
