package cluster

import (
	"context"

	"latchkey/shared/atlas"
	"latchkey/shared/verdict"
)

// Next is what becomes of an attempt at a plan.
type Next string

// What may become of an attempt.
const (
	// Ended: the plan is done, or this attempt at it is over.
	Ended Next = "ENDED"
	// OnHold: the cluster is disabled. Giving the key back starts the next attempt.
	OnHold Next = "ON_HOLD"
	// Waits: nodes are at work, or a key is out of use.
	Waits Next = "WAITS"
	// NeedsKey: whether a provider's key can be used has to be found out before the next step.
	NeedsKey Next = "NEEDS_KEY"
	// Hopeless: the plan must be rolled back.
	Hopeless Next = "HOPELESS"
)

// Progress is how far an attempt has come.
type Progress struct {
	Next     Next
	Provider atlas.Provider // whose key is needed
	Reason   string         // why the plan is hopeless
}

// Advance takes the next step of a plan, if there is one to be taken. key is what was found out
// about the key that the last call asked for, "" if nothing was.
func (s *Service) Advance(ctx context.Context, clusterID string, revision, attempt int64, key verdict.Reason) (Progress, error) {
	if err := s.Settle(ctx, clusterID); err != nil {
		return Progress{}, err
	}
	d, err := s.Load(ctx, clusterID)
	switch {
	case err != nil:
		return Progress{}, err
	case !d.IsCarriedOutBy(revision, attempt):
		return Progress{Next: Ended}, nil
	case d.Suspended():
		return Progress{Next: OnHold}, nil
	case d.Deleting():
		done, err := s.FinishDelete(ctx, clusterID)
		return endedIf(done), err
	case d.Reached():
		done, err := s.MarkReady(ctx, clusterID, revision)
		return endedIf(done), err
	}
	if reason := d.failure(); reason != "" && d.CanRollBack() {
		return Progress{Next: Hopeless, Reason: reason}, nil
	}
	if p := d.needsKey(); p != "" {
		if key == "" {
			return Progress{Next: NeedsKey, Provider: p}, nil
		}
		if halted, err := s.heed(ctx, d, key); halted.Next != "" || err != nil {
			return halted, err
		}
	}
	if _, ok := d.NextResync(); ok {
		_, _, err = s.OrderResync(ctx, clusterID, revision, attempt)
	}
	return Progress{Next: Waits}, err
}

func endedIf(done bool) Progress {
	if done {
		return Progress{Next: Ended}
	}
	return Progress{Next: Waits}
}

// needsKey is the provider whose key the plan's next step needs: to encrypt the next node, or to
// know why nodes do not run that could not without it. It is "" while nodes are at work, however
// long they take, so that waiting for them asks the tenant's KMS nothing.
func (d Deployment) needsKey() atlas.Provider {
	p := d.target().Provider
	if p == None || d.power() != Run {
		return ""
	}
	if !d.Plan.Blocked.IsZero() { // until it is found usable, whatever nodes say
		return p
	}
	if _, ok := d.NextResync(); ok {
		return p
	}
	for _, n := range d.Nodes {
		if n.isDown() && n.Desired.Provider == p && n.Reported.State == Stop {
			return p
		}
	}
	return ""
}

// failure is why a node can't rebuild its data, "" if none said so. Trying again would not help.
func (d Deployment) failure() string {
	for _, n := range d.Nodes {
		if n.Failed() && n.Desired.Command == ResyncCommand {
			return n.Reported.Failure.Reason
		}
	}
	return ""
}

// heed acts on what was found out about the key that a plan needs. Next is "" if the plan can go
// on.
//
// A key that can't be used for so long (KeyPatience) that nobody expects it any more ends the
// plan, whoever is at fault. That holds for INVALID too: its nodes are stopped by whoever enforces
// verdicts, which suspends the plan, and what is left here is a key that opens and does not seal,
// or a verdict that is not believed. Only a fault of our own never counts.
func (s *Service) heed(ctx context.Context, d Deployment, key verdict.Reason) (Progress, error) {
	switch key.Class() {
	case verdict.Inconclusive:
		return Progress{Next: Waits}, nil
	case verdict.Valid:
		if d.Plan.Blocked.IsZero() {
			return Progress{}, nil
		}
		return Progress{}, s.NoteKey(ctx, d.ID, d.Plan.Spec.Revision, true)
	case verdict.Unreachable, verdict.Throttled, verdict.Invalid:
	}
	if d.Plan.Blocked.IsZero() {
		return Progress{Next: Waits}, s.NoteKey(ctx, d.ID, d.Plan.Spec.Revision, false)
	}
	if s.Now().Sub(d.Plan.Blocked) >= KeyPatience && d.CanRollBack() {
		return Progress{Next: Hopeless, Reason: string(key)}, nil
	}
	return Progress{Next: Waits}, nil
}
