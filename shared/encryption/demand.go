package encryption

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"latchkey/shared/access"
	"latchkey/shared/atlas"
	"latchkey/shared/kms"
	"latchkey/shared/validity"
	"latchkey/shared/verdict"
)

// Enforcer acts on what a tenant did to a key.
type Enforcer interface {
	// Enforce stops the nodes that use the key while it is not valid, or starts them again. It
	// is called when a verdict says so and now and then while that lasts, so it must be
	// idempotent. What is stored says so when it is called; revision is that of the key's
	// configuration, which stays the same while a key becomes invalid and valid in turns.
	Enforce(ctx context.Context, groupID string, p atlas.Provider, revision int64, valid bool) error
}

// Get reads a group's settings and validates every enabled key on demand. Calls within five
// seconds share one check.
//
// Reading starts nodes but never stops any: that a key has become valid again is stored and
// acted on at once, and that it is no longer valid is shown, while the schedule of checks, which
// knows how many other keys failed alike, confirms it within a minute.
func (s *Service) Get(ctx context.Context, groupID string) (Settings, error) {
	settings, err := s.Load(ctx, groupID)
	if err != nil {
		return Settings{}, err
	}
	for p, v := range s.checkAll(ctx, settings, false) {
		if err := s.noted(ctx, &settings, p, v); err != nil {
			return Settings{}, err
		}
	}
	return settings, nil
}

// noted stores what a read found out about a key, and shows it in the settings.
func (s *Service) noted(ctx context.Context, settings *Settings, p atlas.Provider, v verdict.Verdict) error {
	state := settings.Key(p)
	if state == nil {
		return nil // disabled meanwhile
	}
	before := *state
	isLost := v.Class() == verdict.Invalid && before.Valid
	if isLost {
		v.Reason = verdict.Unconfirmed
	}
	if !isLost || before.Verdict.Reason != verdict.Implausible {
		if err := s.Record(ctx, settings, p, v); err != nil {
			return err
		}
	}
	state = settings.Key(p)
	if state == nil || state.Revision != v.Settings {
		return nil // changed meanwhile, and proved by whoever changed it
	}
	if !before.Valid && state.Valid {
		s.enforce(ctx, settings.GroupID, p)
	}
	if settings.isUrgentlyUntold(p) {
		s.tellSoon(ctx, *settings, p)
	}
	state.Valid = state.Valid && !isLost
	return nil
}

// Finding is what a validation on demand concluded on one key.
type Finding struct {
	Provider atlas.Provider
	// Verdict is the one of this check. If too many keys fail alike to be believed, it says so.
	Verdict verdict.Verdict
	// Valid is the newest conclusive verdict.
	Valid bool
	// Since is when the class last changed.
	Since time.Time
}

// Validate checks every enabled key of a group with fresh credentials, stores the verdicts, and
// has nodes stopped or started at once.
func (s *Service) Validate(ctx context.Context, groupID string) ([]Finding, error) {
	settings, err := s.Load(ctx, groupID)
	if err != nil {
		return nil, err
	}
	verdicts := s.checkAll(ctx, settings, true)
	findings := []Finding{}
	for _, p := range settings.Enabled() {
		v := verdicts[p]
		isHeld, err := s.recordUnlessHeld(ctx, &settings, p, &v)
		if err != nil {
			return nil, err
		}
		state := settings.Key(p)
		if state == nil {
			continue // disabled meanwhile
		}
		if !isHeld {
			s.enforce(ctx, groupID, p)
		}
		if settings.isUrgentlyUntold(p) {
			s.tellSoon(ctx, settings, p)
		}
		findings = append(findings, Finding{Provider: p, Verdict: v, Valid: state.Valid, Since: state.Verdict.Since})
	}
	return findings, nil
}

// recordUnlessHeld stores a verdict, unless the key failed with so many others that it is not believed:
// its owner must not stop its nodes by asking why.
func (s *Service) recordUnlessHeld(ctx context.Context, settings *Settings, p atlas.Provider, v *verdict.Verdict) (isHeld bool, err error) {
	state := settings.Key(p)
	if state != nil && v.Class() == verdict.Invalid && state.Verdict.Reason == verdict.Implausible {
		v.Reason = verdict.Implausible
		return true, nil
	}
	// That the key was seen to be as it was is stored too: whoever looked at it earlier may not
	// have stored yet that it was otherwise.
	return false, s.record(ctx, settings, p, *v, true)
}

// RoleProved implements access.Usage: the proof was a check of the key that is reached through the
// role. If the key was not valid before, nodes start at once. It is stored in any case: a check that began before
// it may not have stored its refusal yet.
func (s *Service) RoleProved(ctx context.Context, role access.Role, began time.Time) {
	ctx = context.WithoutCancel(ctx) // the role is changed, whether or not its owner still waits
	p := role.Provider
	settings, err := s.Load(ctx, role.GroupID)
	if err != nil || settings.RoleID(p) != role.ID {
		s.logUnrecorded(ctx, role, err)
		return
	}
	wasValid := settings.Key(p).Valid
	v := verdict.Verdict{Reason: verdict.OK, Settings: settings.Key(p).Revision, StartedAt: began.UTC()}
	if err := s.record(ctx, &settings, p, v, true); err != nil {
		s.logUnrecorded(ctx, role, err)
		return
	}
	if wasValid {
		return
	}
	s.enforce(ctx, role.GroupID, p)
	s.tellSoon(ctx, settings, p)
}

// logUnrecorded tells that the schedule of checks has to find out what a proof has shown.
func (s *Service) logUnrecorded(ctx context.Context, role access.Role, err error) {
	if err != nil && atlas.CodeOf(err) != atlas.GroupNotFound { // closed meanwhile
		s.Log.ErrorContext(ctx, "verdict of a proof not stored", slog.String("groupId", role.GroupID),
			slog.String("provider", string(role.Provider)), slog.String("error", err.Error()))
	}
}

// enforceTimeout bounds how long a client waits for nodes to be told.
const enforceTimeout = 3 * time.Second

// enforce has what is stored of a key acted on, which may be newer than what the caller found
// out. What fails here is made up for by the schedule of checks.
func (s *Service) enforce(ctx context.Context, groupID string, p atlas.Provider) {
	if s.Enforcer == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), enforceTimeout)
	defer cancel()
	latest, err := s.Load(ctx, groupID)
	if err == nil {
		err = s.enforceStored(ctx, latest, p)
	}
	if err != nil && atlas.CodeOf(err) != atlas.GroupNotFound { // closed meanwhile
		s.Log.ErrorContext(ctx, "verdict not enforced at once", slog.String("groupId", groupID), slog.String("provider", string(p)),
			slog.String("error", err.Error()))
	}
}

func (s *Service) enforceStored(ctx context.Context, settings Settings, p atlas.Provider) error {
	state := settings.Key(p)
	if state == nil {
		return nil
	}
	switch state.Verdict.Class() {
	case verdict.Valid, verdict.Invalid:
		return s.Enforcer.Enforce(ctx, settings.GroupID, p, state.Revision, state.Valid)
	case verdict.Unreachable, verdict.Throttled, verdict.Inconclusive:
	}
	return nil
}

// checkAll checks the keys of all enabled providers at the same time; with anew, not making use
// of a check that somebody else has just had.
func (s *Service) checkAll(ctx context.Context, settings Settings, anew bool) map[atlas.Provider]verdict.Verdict {
	var mu sync.Mutex
	var wg sync.WaitGroup
	verdicts := map[atlas.Provider]verdict.Verdict{}
	for _, p := range settings.Enabled() {
		wg.Go(func() {
			v := s.Checker.Check(ctx, s.subject(settings, p, anew))
			mu.Lock()
			defer mu.Unlock()
			verdicts[p] = v
		})
	}
	wg.Wait()
	return verdicts
}

func (s *Service) subject(settings Settings, p atlas.Provider, anew bool) validity.Subject {
	state := settings.Key(p)
	subject := validity.Subject{
		GroupID: settings.GroupID, Name: string(p), Revision: state.Revision, Probe: state.Probe,
		Expires: state.Expires, Fresh: true, Anew: anew,
		Ref: func(ctx context.Context) (kms.Reference, error) { return s.reference(ctx, settings, p, credential{}) },
	}
	if settings.role(p) != nil {
		subject.Latest = func(ctx context.Context) (kms.Reference, error) { return s.latestReference(ctx, settings, p) }
	}
	if f, ok := settings.Fallback(p); ok && sameKey(settings.back(f), settings, p) {
		subject.Former = func(ctx context.Context) (kms.Reference, error) {
			return s.reference(ctx, settings.back(f), p, credential{})
		}
	}
	return subject
}

// latestReference is reference with the access role as it is now. The settings may have been read before it was
// changed, and nodes must not stop for what the former role may no longer do.
func (s *Service) latestReference(ctx context.Context, settings Settings, p atlas.Provider) (kms.Reference, error) {
	role, err := s.findRole(ctx, settings.GroupID, p, settings.RoleID(p))
	if err != nil {
		return kms.Reference{}, err
	}
	return s.reference(ctx, settings, p, credential{role: role})
}
