package endpoint

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/kms"
	"latchkey/shared/store"
	"latchkey/shared/verdict"
)

// Ref names an endpoint.
type Ref struct {
	GroupID    string
	Provider   atlas.Provider
	EndpointID string
}

// Outcome is what the workflow does after a step.
type Outcome string

// The outcomes. Those behind Prove end the execution.
const (
	Wait  Outcome = "wait"  // and take another step
	Prove Outcome = "prove" // that the key opens through the endpoint

	Settled   Outcome = "active"            // it carries traffic
	Awaiting  Outcome = "pendingAcceptance" // for the tenant to approve; Watch looks on
	GaveUp    Outcome = "failed"
	Recreated Outcome = "recreated" // another one takes its place
	Gone      Outcome = "deleted"
	Suspended Outcome = "suspended" // for longer than an execution should run; Watch starts the next
)

// Step is the outcome of a step.
type Step struct {
	Outcome     Outcome
	WaitSeconds int
}

// maxExecution is how long an execution goes on. It bounds its history, to a small part of
// the 25,000 events that Step Functions keeps.
const maxExecution = 24 * time.Hour

// waitSeconds is how long to wait before another look at what has been going on since then. The
// clouds need minutes; whatever takes longer takes hours.
func waitSeconds(age time.Duration) int {
	switch {
	case age < 2*time.Minute:
		return 5
	case age < 15*time.Minute:
		return 15
	case age < time.Hour:
		return 60
	}
	return 300
}

func (s *Service) wait(e Endpoint, started time.Time) Step {
	if !started.IsZero() && s.Now().Sub(started) >= maxExecution {
		return Step{Outcome: Suspended}
	}
	return Step{Outcome: Wait, WaitSeconds: waitSeconds(s.Now().Sub(e.Since))}
}

// Advance takes the next step towards what is wanted of an endpoint: being there, or not. It may
// be cut short and repeated at any point. started is when the execution began that asks for it.
func (s *Service) Advance(ctx context.Context, ref Ref, started time.Time) (Step, error) {
	var step Step
	err := store.Again(attempts, func() error {
		set, err := s.load(ctx, ref.GroupID, ref.Provider)
		if err != nil {
			return err
		}
		e, ok := set.Find(ref.EndpointID)
		if !ok {
			step = Step{Outcome: Gone}
			return nil
		}
		cloud, ok := s.Clouds[ref.Provider]
		if !ok {
			return atlas.Fail(atlas.EARProviderNotSupported, ref.Provider)
		}
		w := work{Service: s, ctx: ctx, cloud: cloud, set: set, e: e, started: started}
		step, err = w.do()
		return err
	})
	return step, err
}

// work is one step for one endpoint.
type work struct {
	*Service
	ctx     context.Context //nolint:containedctx // it lives as long as one call
	cloud   Cloud
	set     Set
	e       Endpoint
	started time.Time
}

func (w work) handle() Handle { return w.set.handle(w.e) }

func (s Set) handle(e Endpoint) Handle {
	return Handle{GroupID: s.GroupID, EndpointID: e.ID, Region: normal(s.Provider, e.Region), Target: e.Target, ResourceID: e.ResourceID}
}

func (w work) do() (Step, error) {
	switch w.e.Status {
	case Initiating, PendingAcceptance:
		return w.provision()
	case Active:
		return w.look()
	case Failed, PendingRecreation:
		return w.release()
	case Deleting:
		return w.remove()
	}
	return Step{}, errors.New("endpoint: the status " + string(w.e.Status) + " is none")
}

// provision makes the endpoint, or sees how far it is.
func (w work) provision() (Step, error) {
	o, err := w.cloud.Find(w.ctx, w.handle())
	creates := err == nil && o.State == Missing && w.e.ResourceID == ""
	if creates {
		o, err = w.cloud.Create(w.ctx, w.handle())
	}
	if err != nil {
		return w.troubled(err)
	}
	next, proves := w.e.observe(o, w.Now())
	if next != w.e {
		err := w.progress(w.ctx, w.set, w.set.with(next))
		if creates && errors.Is(err, store.ErrConflict) {
			return Step{}, errors.Join(err, w.undo())
		}
		if err != nil {
			return Step{}, err
		}
	}
	switch {
	case proves:
		return Step{Outcome: Prove}, nil
	case next.Status == PendingAcceptance && o.State == AwaitingApproval:
		return Step{Outcome: Awaiting}, nil
	}
	return w.wait(next, w.started), nil
}

// undo removes what was made for an endpoint that has failed or ended meanwhile, by a step that
// took too long.
func (w work) undo() error {
	latest, err := w.load(w.ctx, w.set.GroupID, w.set.Provider)
	if err != nil {
		return err
	}
	if e, ok := latest.Find(w.e.ID); ok && (e.Status == Initiating || e.Status == PendingAcceptance) {
		return nil
	}
	return w.cloud.Delete(w.ctx, w.handle())
}

// troubled goes on after a cloud's refusal. An endpoint that cannot be made, or is not made in
// time, has failed.
func (w work) troubled(err error) (Step, error) {
	w.Log.WarnContext(w.ctx, "cloud refused a step of a private endpoint", slog.String("groupId", w.set.GroupID),
		slog.String("endpointId", w.e.ID), slog.String("error", err.Error()))
	message, isFinal := asRefused(err)
	if !isFinal && w.e.isDue(w.Now()) {
		message, isFinal = w.e.overdue(), true
	}
	if !isFinal || w.e.Status != Initiating && w.e.Status != PendingAcceptance {
		return w.wait(w.e, w.started), nil
	}
	next := w.e.to(Failed, message, w.Now())
	return w.wait(next, w.started), w.progress(w.ctx, w.set, w.set.with(next))
}

// look makes sure that an active endpoint is still there, and begins another one if it is not.
func (w work) look() (Step, error) {
	o, err := w.cloud.Find(w.ctx, w.handle())
	if err != nil {
		return w.troubled(err)
	}
	if !isLost(o) {
		return Step{Outcome: Settled}, nil
	}
	id := atlas.NewID(w.Now())
	after := w.set.recreate(w.e, id, o, w.Now())
	if err := w.progress(w.ctx, w.set, after); err != nil {
		return Step{}, err
	}
	replacement, _ := after.Find(id)
	w.begin(w.ctx, w.set.GroupID, w.set.Provider, replacement)
	return w.wait(replacement, w.started), nil
}

// release removes from the cloud what an endpoint no longer needs that is still listed.
func (w work) release() (Step, error) {
	end := Step{Outcome: GaveUp}
	if w.e.Status == PendingRecreation {
		end.Outcome = Recreated
	}
	if w.e.Released {
		return end, nil
	}
	gone, err := w.clear()
	if err != nil {
		return w.troubled(err)
	}
	if !gone {
		return w.wait(w.e, w.started), nil
	}
	next := w.e
	next.Released = true
	return end, w.progress(w.ctx, w.set, w.set.with(next))
}

// remove ends an endpoint.
func (w work) remove() (Step, error) {
	gone, err := w.clear()
	if err != nil {
		return w.troubled(err)
	}
	if !gone {
		return w.wait(w.e, w.started), nil
	}
	return Step{Outcome: Gone}, w.progress(w.ctx, w.set, w.set.without(w.e.ID))
}

// clear has the cloud remove what was made, and reports whether it has.
func (w work) clear() (gone bool, err error) {
	if err := w.cloud.Delete(w.ctx, w.handle()); err != nil {
		return false, err
	}
	o, err := w.cloud.Find(w.ctx, w.handle())
	return err == nil && o.State == Missing, err
}

// Prover proves that a group's key is reached through an endpoint; encryption.Service is the one
// in use.
type Prover interface {
	// ProveWay opens the key's probe through the endpoint. Errors are *verdict.Failure, or the
	// client's.
	ProveWay(ctx context.Context, groupID string, p atlas.Provider, way kms.PrivateEndpoint) error
}

// Proof is how the group's key opened through an endpoint.
type Proof struct {
	// Address is what was proved; "" if there was nothing to prove.
	Address string
	Reason  verdict.Reason // OK if the key opened
}

// Try finds out whether the group's key opens through an endpoint that a cloud has made. It is apart
// from Advance because it uses the tenant's key, which whoever may change networks may not, and
// it writes nothing.
func (s *Service) Try(ctx context.Context, ref Ref) (Proof, error) {
	set, err := s.load(ctx, ref.GroupID, ref.Provider)
	if err != nil {
		return Proof{}, err
	}
	e, ok := set.Find(ref.EndpointID)
	if !ok || !e.isProvable() {
		return Proof{Reason: verdict.Cancelled}, nil
	}
	proof := Proof{Address: e.Address, Reason: verdict.OK}
	if err := s.Prover.ProveWay(ctx, ref.GroupID, ref.Provider, set.way(e)); err != nil {
		proof.Reason = verdict.Internal
		if f, ok := errors.AsType[*verdict.Failure](err); ok {
			proof.Reason = f.Reason
		}
		s.Log.WarnContext(ctx, "key not reached through a private endpoint", slog.String("groupId", ref.GroupID),
			slog.String("endpointId", e.ID), slog.String("reason", string(proof.Reason)), slog.String("error", err.Error()))
	}
	return proof, nil
}

// isProvable reports whether a key may be tried through the endpoint.
func (e Endpoint) isProvable() bool {
	return (e.Status == Initiating || e.Status == PendingAcceptance) && e.Address != ""
}

// Conclude makes an endpoint active if the key was proved to open through it, or says why it is not.
func (s *Service) Conclude(ctx context.Context, ref Ref, proof Proof, started time.Time) (Step, error) {
	var step Step
	err := store.Again(attempts, func() error {
		set, err := s.load(ctx, ref.GroupID, ref.Provider)
		if err != nil {
			return err
		}
		e, ok := set.Find(ref.EndpointID)
		switch {
		case !ok || !e.isProvable() || e.Address != proof.Address:
			step = Step{Outcome: Wait, WaitSeconds: 1} // Advance knows what has become of it
			return nil
		case proof.Reason != verdict.OK:
			step = s.wait(e, started)
			return s.unproved(ctx, set, e, proof.Reason)
		}
		step = Step{Outcome: Settled}
		after := set.activate(e, s.Now())
		if err := s.progress(ctx, set, after); err != nil {
			return err
		}
		for _, other := range after.Endpoints {
			if old, _ := set.Find(other.ID); other.Status == Deleting && old.Status != Deleting {
				s.begin(ctx, ref.GroupID, ref.Provider, other)
			}
		}
		return nil
	})
	return step, err
}

// unproved notes why the key did not open through an endpoint.
func (s *Service) unproved(ctx context.Context, set Set, e Endpoint, reason verdict.Reason) error {
	next := e
	next.Message = "The endpoint is there, but the key does not open through it: " + string(reason) + ". It becomes active once it does."
	if next.Message == e.Message {
		return nil
	}
	return s.progress(ctx, set, set.with(next))
}
