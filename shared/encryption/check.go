package encryption

import (
	"context"
	"errors"
	"fmt"
	"time"

	"latchkey/shared/alert"
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
		before, after := settings.clone(), settings.clone()
		if !after.conclude(p, v, s.Now()) || !always && before.says(after, p) {
			return nil
		}
		ops, err := s.verdictOps(before, after, p)
		if err != nil {
			return err
		}
		err = s.Table.Write(ctx, ops...)
		if err == nil {
			*settings = after
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

// says reports whether settings with a new verdict on a provider's key say the same but for its time.
func (s Settings) says(after Settings, p atlas.Provider) bool {
	was, is := s.Key(p), after.Key(p)
	return is.Verdict.SameConclusion(was.Verdict) && is.Valid == was.Valid && is.Unreachable == was.Unreachable
}

// throttledLong is after how long a key whose provider asks us to slow down counts as unreachable. Bursts
// end within minutes.
const throttledLong = 30 * time.Minute

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
		state.Valid, state.Unreachable, state.CredentialsEnded = true, false, time.Time{}
	case verdict.Invalid:
		state.Valid, state.Unreachable = false, false
		if v.Reason == verdict.CredentialsExpired && state.CredentialsEnded.IsZero() {
			state.CredentialsEnded = v.StartedAt
		}
	case verdict.Unreachable:
		state.Unreachable = true
	case verdict.Throttled:
		state.Unreachable = state.Unreachable || now.Sub(v.Since) >= throttledLong
	case verdict.Inconclusive:
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
	now := after.Key(p).Verdict
	for _, t := range transitions(p, *before.Key(p), *after.Key(p)) {
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

// transitions are the events of what became of a key (CONTRACT 5.4): it became valid or invalid by the last
// conclusive verdict, reachable or unreachable.
func transitions(p atlas.Provider, before, after KeyState) []audit.Type {
	var types []audit.Type
	switch {
	case before.Unreachable && !after.Unreachable:
		types = append(types, audit.NetworkAccessRestored)
	case !before.Unreachable && after.Unreachable:
		types = append(types, audit.NetworkAccessDenied)
	}
	switch {
	case before.Valid && !after.Valid:
		types = append(types, alert.KeyInvalid(p), audit.ConfigNoLongerValid)
	case !before.Valid && after.Valid:
		types = append(types, audit.Type(p)+"_ENCRYPTION_KEY_VALID", audit.ConfigIsValid)
	}
	return types
}
