package maintenance

import (
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/due"
)

// Plan is a maintenance that is to come.
type Plan struct {
	ID   string `json:"id"`
	What string `json:"what"` // what is to be done: "ROTATE_MASTER_KEYS"
	// Wanted is when it should be done; if that can't be, it is done at the next opportunity.
	// MustBy is when it must be done, deferrals aside.
	Wanted time.Time `json:"wanted"`
	MustBy time.Time `json:"mustBy"`
	// Start is when it begins.
	Start time.Time `json:"start"`
	// Announced is whether the tenant was told of Start. From then on the window stays.
	Announced bool `json:"announced,omitempty"`
	// Before is the start that was announced before this one; zero without. Its announcement ends
	// with the next, at the latest.
	Before    time.Time `json:"before,omitzero"`
	Deferrals int       `json:"deferrals,omitempty"`
	// AutoDeferred is whether the automatic deferral has been used.
	AutoDeferred bool `json:"autoDeferred,omitempty"`
	// ASAP is whether the tenant asked to begin at once.
	ASAP bool `json:"asap,omitempty"`
	// Begun is when it began; zero before.
	Begun time.Time `json:"begun,omitzero"`
}

// Add returns the window with a plan: in the last opportunity before it is wanted, or else in the first
// one that leaves time for the notice. There is one plan at a time; a second is refused.
func (w Window) Add(p Plan, now time.Time) (Window, error) {
	if w.Plan != nil {
		return w, atlas.Fail(atlas.MaintenanceAlreadyScheduled)
	}
	p.Start = w.opportunity(p.Wanted, now)
	w.Plan = &p
	return w, nil
}

// opportunity is when something may begin that is wanted by a time.
func (w Window) opportunity(wanted, now time.Time) time.Time {
	first := w.Next(now.Add(Notice))
	if !w.Defined() {
		return due.Later(first, w.Next(wanted))
	}
	last := w.Next(wanted.AddDate(0, 0, -daysPerWeek).Add(time.Nanosecond))
	if last.After(wanted) {
		last = w.Next(wanted.AddDate(0, 0, -2*daysPerWeek))
	}
	return due.Later(first, last)
}

// replan moves a plan that was not announced to where the window is now. Its deferrals count no
// longer. One that was announced keeps the window where it is.
func (w Window) replan(before Window, now time.Time) (Window, error) {
	if w.Plan == nil || !w.moved(before) {
		return w, nil
	}
	if w.Plan.Announced || !w.Plan.Begun.IsZero() {
		return before, atlas.Fail(atlas.MaintenanceAlreadyScheduled)
	}
	p := *w.Plan
	p.Start, p.Deferrals, p.AutoDeferred = w.opportunity(p.Wanted, now), 0, false
	if p.Start.After(p.MustBy) {
		return before, atlas.Fail(atlas.MaintenanceNonCompliant, atlas.Time(p.MustBy))
	}
	w.Plan = &p
	return w, nil
}

// hasten lets the plan begin at once if the client asks for it.
func (w Window) hasten(asap *bool, now time.Time) (Window, error) {
	if asap == nil || !*asap {
		return w, nil
	}
	if w.Plan == nil {
		return w, atlas.Fail(atlas.MaintenanceNotScheduled)
	}
	if w.Plan.Begun.IsZero() && !w.Plan.ASAP {
		p := w.Plan.withdrawn()
		p.ASAP, p.Announced, p.Start = true, true, due.Earlier(p.Start, now)
		w.Plan = &p
	}
	return w, nil
}

// Defer returns the window with its plan put off by a week.
func (w Window) Defer() (Window, error) {
	switch {
	case !w.Defined():
		return w, atlas.Fail(atlas.MaintenanceWindowNotDefined)
	case w.Plan == nil || !w.Plan.Announced || w.Plan.ASAP || !w.Plan.Begun.IsZero():
		return w, atlas.Fail(atlas.MaintenanceNotScheduled)
	case w.Plan.Deferrals >= MaxDeferrals:
		return w, atlas.Fail(atlas.MaintenanceDeferralsExceeded)
	}
	return w.putOff(), nil
}

// putOff moves the plan to the same time a week later, where it is announced anew.
func (w Window) putOff() Window {
	p := w.Plan.withdrawn()
	p.Start = w.unprotected(p.Start.In(w.Location()).AddDate(0, 0, daysPerWeek)).UTC()
	p.Deferrals++
	w.Plan = &p
	return w
}

// withdrawn returns the plan after its start, if that was announced, no longer counts.
func (p Plan) withdrawn() Plan {
	if p.Announced {
		p.Before, p.Announced = p.Start, false
	}
	return p
}

// ToggleAutoDefer returns the window with automatic deferral turned on or off.
func (w Window) ToggleAutoDefer() (Window, error) {
	if !w.Defined() {
		return w, atlas.Fail(atlas.MaintenanceWindowNotDefined)
	}
	w.AutoDefer = !w.AutoDefer
	return w, nil
}

// Step is what is to be done about a plan.
type Step int

// The steps.
const (
	Nothing  Step = iota
	Announce      // tell the tenant when it begins
	PutOff        // it was announced to a project that defers automatically
	Begin         // it may run
	Miss          // nobody began it in its window: it waits for another
)

// Due is the step that is due at a time.
func (w Window) Due(now time.Time) Step {
	p := w.Plan
	switch {
	case p == nil || !p.Begun.IsZero():
		return Nothing
	case p.ASAP:
		return Begin
	case !p.Announced && !now.Before(p.Start.Add(-Notice)):
		if w.AutoDefer && !p.AutoDeferred && p.Deferrals < MaxDeferrals && w.Defined() {
			return PutOff
		}
		return Announce
	case p.Announced && !now.Before(p.Start):
		if w.missed(now) {
			return Miss
		}
		return Begin
	}
	return Nothing
}

// missed reports whether the window of the plan's start is over, and another comes in time. Without a
// window any hour is as good.
func (w Window) missed(now time.Time) bool {
	return w.Defined() && now.After(w.Plan.Start.Add(lateness)) && !w.Next(now.Add(Notice)).After(w.Plan.MustBy.Add(-takes))
}

// wait returns the window with its plan at the next opportunity, where it is announced anew. It is no
// deferral of the tenant's.
func (w Window) wait(now time.Time) Window {
	p := w.Plan.withdrawn()
	p.Start = w.Next(now.Add(Notice))
	w.Plan = &p
	return w
}

// MayRun reports whether the planned maintenance may do its work at a time: once its time has
// come, and from then until it is finished.
func (w Window) MayRun(now time.Time) bool {
	return w.Plan != nil && (!w.Plan.Begun.IsZero() || w.Due(now) == Begin)
}

// next is when the next step is due; ok is false if none will be by itself.
func (w Window) next() (at time.Time, ok bool) {
	p := w.Plan
	switch {
	case p == nil || !p.Begun.IsZero():
		return time.Time{}, false
	case p.Announced:
		return p.Start, true
	}
	return p.Start.Add(-Notice), true
}

// announce returns the window after its plan was announced. What comes so late that the notice
// would be short begins at the first opportunity after it.
func (w Window) announce(now time.Time) Window {
	p := *w.Plan
	if p.Start.Before(now.Add(Notice - lateness)) {
		p.Start = w.Next(now.Add(Notice))
	}
	p.Announced = true
	w.Plan = &p
	return w
}

const (
	// lateness is how late an announcement and a beginning may be: the schedule that makes them runs every few
	// minutes, and a window is an hour long.
	lateness = time.Hour
	// takes is how long maintenance may take.
	takes = 24 * time.Hour
)

// autoDefer returns the window after its plan was put off automatically.
func (w Window) autoDefer() Window {
	w = w.putOff()
	w.Plan.AutoDeferred = true
	return w
}

// begin and finish return the window when its plan begins and when it is done or no longer
// needed.
func (w Window) begin(now time.Time) Window {
	p := *w.Plan
	p.Begun = now
	w.Plan = &p
	return w
}

func (w Window) finish() Window {
	w.Plan = nil
	return w
}
