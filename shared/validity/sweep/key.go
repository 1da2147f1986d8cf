package sweep

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/encryption"
	"latchkey/shared/store"
	"latchkey/shared/verdict"
)

// begin begins to check the keys of one item of the index.
func (r *run) begin(ctx context.Context, t *turn, at mark, item store.Item, pending *backlog) {
	settings, err := encryption.Stored(item)
	if err != nil {
		r.fail(ctx, settings, "", err)
		return
	}
	own := copies(settings, item)
	for _, p := range settings.Enabled() {
		if !t.asks(p) {
			continue
		}
		settings := own()
		pending.add()
		r.lanes.enter(settings, p, func(leave func(), ok bool) {
			defer pending.done()
			if !ok {
				r.leave(t, at)
				return
			}
			r.check(ctx, t, settings, p, leave)
		})
	}
	for _, p := range settings.Left() {
		settings := own()
		pending.add()
		go func() {
			defer pending.done()
			if err := r.Settings.Tell(ctx, &settings, p, false); err != nil && atlas.CodeOf(err) != atlas.GroupNotFound {
				r.fail(ctx, settings, p, err)
			}
		}()
	}
}

// copies gives each key of a group settings of its own, since storing a verdict changes them. Most groups have one
// key, which can have what was read.
func copies(settings encryption.Settings, item store.Item) func() encryption.Settings {
	isTaken := false
	return func() encryption.Settings {
		if !isTaken {
			isTaken = true
			return settings
		}
		again, _ := encryption.Stored(item) // as it could be read before
		return again
	}
}

// leave notes that a key must wait for the next run, since the time of this one is over.
func (r *run) leave(t *turn, at mark) {
	if t.leave(at); t.wants == nil {
		r.count(func(result *Result) { result.Left++ })
	}
}

// check checks one key and acts on the verdict. It calls leave when the key's provider is asked nothing more.
func (r *run) check(ctx context.Context, t *turn, settings encryption.Settings, p atlas.Provider, leave func()) {
	if t.wants != nil && (!t.asks(p) || r.hasChecked(settings.GroupID, p)) { // enough others were asked meanwhile, or it was itself
		leave()
		return
	}
	before := *settings.Key(p)
	v := r.Settings.Check(ctx, settings, p)
	var defect error
	isInspected := v.Class() == verdict.Valid && t.includes(encryption.SweepMinute(settings.GroupID), 60)
	if isInspected {
		defect = r.Settings.Inspect(ctx, &settings, p)
	}
	var dateErr error
	if !isInspected && r.isDated(t, settings.GroupID, before, v) {
		dateErr = r.Settings.InspectDates(ctx, &settings, p)
	}
	leave()
	r.checked(settings.GroupID, before, p, v)
	if dateErr != nil && atlas.CodeOf(dateErr) != atlas.GroupNotFound {
		r.fail(ctx, settings, p, dateErr)
	}
	if isInspected {
		r.inspected(ctx, settings, p, defect)
	}
	if v.Class() == verdict.Invalid && before.Valid {
		r.suspect(suspect{settings: settings, provider: p, verdict: v})
		return
	}
	r.conclude(ctx, t, settings, p, v)
}

// isDated reports whether a key that is not inspected is asked for its dates: once an hour while it is
// invalid, when its deletion was scheduled, and when it is valid again.
func (r *run) isDated(t *turn, groupID string, before encryption.KeyState, v verdict.Verdict) bool {
	switch v.Class() {
	case verdict.Valid:
		return !before.Valid
	case verdict.Invalid:
		isNew := v.Reason == verdict.KeyPendingDeletion && before.Verdict.Reason != v.Reason && before.Verdict.Reason != verdict.Implausible
		return isNew || t.includes(encryption.SweepMinute(groupID), 60)
	case verdict.Unreachable, verdict.Throttled, verdict.Inconclusive:
	}
	return false
}

// conclude stores a verdict, has it enforced if it is time, and told.
func (r *run) conclude(ctx context.Context, t *turn, settings encryption.Settings, p atlas.Provider, v verdict.Verdict) {
	if v.Class() == verdict.Inconclusive && settings.Key(p) != nil && !v.SameConclusion(settings.Key(p).Verdict) {
		r.Log.WarnContext(ctx, "check inconclusive", slog.String("groupId", settings.GroupID), slog.String("provider", string(p)),
			slog.String("reason", string(v.Reason)), slog.String("providerCode", v.ProviderCode), slog.String("providerRequestId", v.RequestID))
	}
	err := r.Settings.Record(ctx, &settings, p, v)
	if err == nil {
		err = errors.Join(r.enforce(ctx, t, settings, p), r.tell(ctx, t, settings, p))
	}
	if err != nil && atlas.CodeOf(err) != atlas.GroupNotFound { // closed meanwhile
		r.fail(ctx, settings, p, err)
	}
}

// How long enforcing is repeated. Whoever stores a verdict, also outside the sweep, only stores
// it: enforcing follows from what is stored, so no crash between the two loses it.
const (
	// A change is enforced at once and by every run for some minutes, then in the group's own
	// minute: a revocation as long as it lasts,
	enforceEachRun = 5 * time.Minute
	// and that nodes may run again for this long, which should outlast any outage of what enforces.
	enforceRelease = 6 * time.Hour
)

func (r *run) enforce(ctx context.Context, t *turn, settings encryption.Settings, p atlas.Provider) error {
	if r.Enforcer == nil || !r.isEnforced(t, settings, p) {
		return nil
	}
	// What the index had may be old; what is acted on is not.
	latest, err := r.Settings.Load(ctx, settings.GroupID)
	if err != nil {
		return err
	}
	if !r.isEnforced(t, latest, p) {
		return nil
	}
	state := latest.Key(p)
	isValid := state.Verdict.Class() == verdict.Valid
	if err := r.Enforcer.Enforce(ctx, latest.GroupID, p, state.Revision, isValid); err != nil {
		return fmt.Errorf("enforce that the %s key of %s is valid=%t: %w", p, latest.GroupID, isValid, err)
	}
	r.count(func(result *Result) { result.Enforced++ })
	return nil
}

// isEnforced reports whether it is time to enforce what is stored of a key.
func (r *run) isEnforced(t *turn, settings encryption.Settings, p atlas.Provider) bool {
	state := settings.Key(p)
	if state == nil {
		return false
	}
	age := r.now.Sub(state.Verdict.Since)
	isTime := age < enforceEachRun ||
		t.includes(encryption.SweepMinute(settings.GroupID)%encryption.SweepSlots, encryption.SweepSlots)
	switch state.Verdict.Class() {
	case verdict.Invalid:
		return isTime
	case verdict.Valid:
		return isTime && age < enforceRelease
	case verdict.Unreachable, verdict.Throttled, verdict.Inconclusive:
	}
	return false
}

// week is how often, in minutes, alerts are told again of a key that is well. They know it, and look at its
// dates by themselves; it is a precaution, of which each costs two reads.
const week = 7 * 24 * 60

// tell tells alerts what is stored of a key. What holds is told again by every run for some minutes after
// a change, then in the group's own minute, and the dates of a key that is well once a week.
func (r *run) tell(ctx context.Context, t *turn, settings encryption.Settings, p atlas.Provider) error {
	state := settings.Key(p)
	if state == nil {
		return nil
	}
	period := encryption.SweepSlots
	if state.Valid && !state.Unreachable {
		period = week
	}
	isTime := period < week && r.now.Sub(state.Verdict.Since) < enforceEachRun
	again := isTime || t.includes(encryption.SweepMinuteOf(settings.GroupID, week)%period, period)
	return r.Settings.Tell(ctx, &settings, p, again)
}

func (r *run) count(fn func(*Result)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fn(&r.result)
}

func (r *run) checked(groupID string, before encryption.KeyState, p atlas.Provider, v verdict.Verdict) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.attempted++
	r.done[subject{groupID, p}] = true
	r.result.Verdicts[v.Class()]++
	if before.Valid {
		r.valid[p]++
	}
}

// hasChecked reports whether the run has checked a key before: one that is valid again has moved to the slot of its
// group, where it would count twice.
func (r *run) hasChecked(groupID string, p atlas.Provider) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.done[subject{groupID, p}]
}

// inspected counts a thorough check and tells the operator of a key that fails it.
func (r *run) inspected(ctx context.Context, settings encryption.Settings, p atlas.Provider, defect error) {
	f, isDefect := errors.AsType[*verdict.Failure](defect)
	r.count(func(result *Result) {
		result.Inspected++
		if isDefect {
			result.Defective++
		}
	})
	switch {
	case isDefect:
		r.Log.WarnContext(ctx, "key opens what it sealed and is otherwise unfit", slog.String("groupId", settings.GroupID),
			slog.String("provider", string(p)), slog.String("reason", string(f.Reason)), slog.String("providerCode", f.ProviderCode))
	case defect != nil && atlas.CodeOf(defect) != atlas.GroupNotFound:
		r.fail(ctx, settings, p, defect)
	}
}

// maxFailures is how many failures an error names.
const maxFailures = 10

// fail notes that something beside the check went wrong with a key.
func (r *run) fail(ctx context.Context, settings encryption.Settings, p atlas.Provider, err error) {
	r.Log.ErrorContext(ctx, "key not swept", slog.String("groupId", settings.GroupID), slog.String("provider", string(p)), slog.String("error", err.Error()))
	r.mu.Lock()
	defer r.mu.Unlock()
	r.result.Failed++
	if len(r.failures) < maxFailures {
		r.failures = append(r.failures, err)
	}
}
