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
	err := again(func() error {
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

// Prove proves that the group's key opens through an endpoint that the cloud has made, which is
// active from then on. It is a step of its own because it uses the tenant's key, which
// whoever may change networks may not.
func (s *Service) Prove(ctx context.Context, ref Ref, started time.Time) (Step, error) {
	var step Step
	err := again(func() error {
		set, err := s.load(ctx, ref.GroupID, ref.Provider)
		if err != nil {
			return err
		}
		e, ok := set.Find(ref.EndpointID)
		if !ok || e.Status != Initiating && e.Status != PendingAcceptance || e.Address == "" {
			step = Step{Outcome: Wait, WaitSeconds: 1} // Advance knows what has become of it
			return nil
		}
		if err := s.Prover.ProveWay(ctx, ref.GroupID, ref.Provider, set.way(e)); err != nil {
			step = s.wait(e, started)
			return s.unproved(ctx, set, e, err)
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
func (s *Service) unproved(ctx context.Context, set Set, e Endpoint, err error) error {
	reason := string(verdict.Internal)
	if f, ok := errors.AsType[*verdict.Failure](err); ok {
		reason = string(f.Reason)
		if f.ProviderCode != "" {
			reason += " (" + f.ProviderCode + ")"
		}
	} else if code := atlas.CodeOf(err); code != atlas.UnexpectedError {
		reason = string(code)
	}
	s.Log.WarnContext(ctx, "key not reached through a private endpoint", slog.String("groupId", set.GroupID),
		slog.String("endpointId", e.ID), slog.String("error", err.Error()))
	next := e
	next.Message = "The endpoint is there, but the key does not open through it: " + reason + ". It becomes active once it does."
	if next.Message == e.Message {
		return nil
	}
	return s.progress(ctx, set, set.with(next))
}
