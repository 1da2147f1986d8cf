package encryption

import (
	"context"
	"errors"
	"fmt"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/store"
	"latchkey/shared/verdict"
)

// recordAttempts bounds how often storing a verdict is repeated after a conflict.
const recordAttempts = 5

// Record applies a verdict to the settings and stores it, unless it changes nothing, is about
// another configuration, or a later one is already there. Events tell of changes of class.
func (s *Service) Record(ctx context.Context, settings *Settings, p atlas.Provider, v verdict.Verdict) error {
	return s.record(ctx, settings, p, v, false)
}

// record applies a verdict; with always, also one that changes nothing but its own time.
func (s *Service) record(ctx context.Context, settings *Settings, p atlas.Provider, v verdict.Verdict, always bool) error {
	for range recordAttempts {
		before := settings.clone()
		if !always && before.says(p, v) || !settings.conclude(p, v, s.Now()) {
			return nil
		}
		ops, err := s.verdictOps(before, *settings, p)
		if err != nil {
			return err
		}
		err = s.Table.Write(ctx, ops...)
		if err == nil {
			settings.version++
			return nil
		}
		if !errors.Is(err, store.ErrConflict) {
			return fmt.Errorf("store verdict on %s key of %s: %w", p, settings.GroupID, err)
		}
		if *settings, err = s.Load(ctx, settings.GroupID); err != nil {
			return err
		}
	}
	return fmt.Errorf("store verdict on %s key of %s: %w", p, settings.GroupID, store.ErrConflict)
}

// says reports whether a verdict on a provider's key would change nothing but its own time.
func (s Settings) says(p atlas.Provider, v verdict.Verdict) bool {
	state := s.Key(p)
	return state != nil && v.SameConclusion(state.Verdict)
}

// clocksDiffer is how far the clocks of two instances may be apart. A check that is to have begun
// further in the future than that was timed by a clock that was wrong: it counts as an old one, or
// else nothing that becomes of the key would count until time has caught up.
const clocksDiffer = 2 * time.Minute

// conclude applies a verdict to a provider's key, unless it is about another configuration or a
// later one is already there. It is pure.
func (s *Settings) conclude(p atlas.Provider, v verdict.Verdict, now time.Time) bool {
	state := s.Key(p)
	if state == nil || state.Revision != v.Settings {
		return false
	}
	old := state.Verdict
	if old.StartedAt.After(now.Add(clocksDiffer)) {
		old.StartedAt = time.Time{}
	}
	if !v.Supersedes(old) {
		return false
	}
	v.Since = v.StartedAt
	if v.Class() == state.Verdict.Class() {
		v.Since = state.Verdict.Since
	}
	state.Verdict = v
	switch v.Class() {
	case verdict.Valid:
		state.Valid = true
	case verdict.Invalid:
		state.Valid = false
	case verdict.Unreachable, verdict.Throttled, verdict.Inconclusive:
	}
	return true
}

// verdictOps stores settings with a new verdict and the events that follow from it.
func (s *Service) verdictOps(before, after Settings, p atlas.Provider) ([]store.Op, error) {
	put, err := after.put()
	if err != nil {
		return nil, err
	}
	ops := []store.Op{put}
	old, now := before.Key(p).Verdict, after.Key(p).Verdict
	for _, t := range transitions(p, old.Class(), now.Class(), before.Key(p).Valid) {
		e := audit.New(s.Now(), t, audit.System(), after.OrgID, after.GroupID).
			With("reason", string(now.Reason)).With("key", after.keyName(p)).
			With("providerCode", now.ProviderCode).With("providerRequestId", now.RequestID)
		op, err := s.Journal.Put(e)
		if err != nil {
			return nil, err
		}
		ops = append(ops, op)
	}
	return ops, nil
}

// transitions are the events of a change of class (CONTRACT 5.4). wasValid is what the last
// conclusive verdict said.
func transitions(p atlas.Provider, from, to verdict.Class, wasValid bool) []audit.Type {
	var types []audit.Type
	if from == verdict.Unreachable && to != verdict.Unreachable && to != verdict.Inconclusive {
		types = append(types, audit.NetworkAccessRestored)
	}
	switch {
	case to == verdict.Unreachable && from != verdict.Unreachable:
		types = append(types, audit.NetworkAccessDenied)
	case to == verdict.Invalid && wasValid:
		types = append(types, audit.Type(string(p)+"_ENCRYPTION_KEY_INVALID"), audit.ConfigNoLongerValid)
	case to == verdict.Valid && !wasValid:
		types = append(types, audit.Type(string(p)+"_ENCRYPTION_KEY_VALID"), audit.ConfigIsValid)
	}
	return types
}
