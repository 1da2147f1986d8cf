package encryption

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"latchkey/shared/access"
	"latchkey/shared/alert"
	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/identity"
	"latchkey/shared/kms"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
	"latchkey/shared/verdict"
)

// updateTimeout bounds a whole update: API Gateway cuts a request off after 29 seconds, and a
// client must learn how its update ended.
const updateTimeout = 25 * time.Second

// attemptTimeout bounds one attempt to validate a key, so that a provider that hangs leaves
// time to say so.
const attemptTimeout = 10 * time.Second

// keyExpiryMargin is how long an Azure key must still be valid to be configured (CLIENTS D:
// AZURE_KEY_VAULT_KEY_EXPIRING, 48 h).
const keyExpiryMargin = 48 * time.Hour

// Update merges a client's update, proves the result at the providers, and stores it. Nothing
// is stored unless everything was proved. It returns CONCURRENT_MODIFICATION if somebody else
// changed the configuration meanwhile.
func (s *Service) Update(ctx context.Context, c identity.Caller, groupID string, u atlas.EncryptionAtRestUpdate) (Settings, error) {
	ctx, cancel := context.WithTimeout(ctx, updateTimeout)
	defer cancel()
	restraints, err := s.restraintsBefore(ctx, groupID, u)
	if err != nil {
		return Settings{}, err
	}
	current, err := s.Load(ctx, groupID)
	if err != nil {
		return Settings{}, err
	}
	if u, err = s.withoutRepeats(ctx, current, u); err != nil {
		return Settings{}, err
	}
	next, changes, err := current.Apply(u, s.Policy)
	if err != nil {
		return Settings{}, err
	}
	unused, err := restraints.check(current, next, changes)
	if err != nil {
		return Settings{}, err
	}
	if len(changes) == 0 && next.SearchNodes == current.SearchNodes {
		return current, nil
	}
	next.Revision, next.Updated = current.Revision+1, s.Now().UTC()
	relied, err := s.prove(ctx, current, &next, changes)
	if err != nil {
		s.recordRefusal(ctx, c, current, changes, err)
		return Settings{}, err
	}
	stored, begun, err := s.settle(ctx, c, current, next, changes, slices.Concat(relied, unused))
	if err != nil {
		return Settings{}, err
	}
	s.carryOut(ctx, begun)
	for _, change := range changes {
		if change.Kind == Modify && change.validates() {
			s.enforce(ctx, groupID, change.Provider) // this may have given access back
		}
		s.tellSoon(ctx, stored, change.Provider)
	}
	stored.warn(current, changes)
	return stored, nil
}

// proof is what proving one change yields.
type proof struct {
	state  *KeyState // the validated key; nil for a change without validation
	secret []byte    // the new sealed static secret
	role   *access.Role
	relied []store.Op
}

// prove validates every change at its provider, at the same time, and completes next with the
// outcome. It returns the conditions that the validation relied on.
func (s *Service) prove(ctx context.Context, current Settings, next *Settings, changes []Change) ([]store.Op, error) {
	proofs := make([]proof, len(changes))
	group, ctx := errgroup.WithContext(ctx)
	for i, change := range changes {
		group.Go(func() (err error) {
			proofs[i], err = s.proveOne(ctx, current, *next, change)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var relied []store.Op
	for i, change := range changes {
		p := proofs[i]
		relied = append(relied, p.relied...)
		if p.state != nil {
			*next.Key(change.Provider) = *p.state
			next.keepRole(change.Provider, p.role)
		}
		if p.secret != nil {
			next.setSecret(change.Provider, p.secret)
		}
	}
	return relied, nil
}

func (s *Service) proveOne(ctx context.Context, current, next Settings, change Change) (proof, error) {
	p := change.Provider
	if change.Kind == Disable {
		return proof{}, s.proveAccessible(ctx, current, p, kms.Reference{})
	}
	if !change.validates() {
		return proof{}, nil
	}
	var out proof
	if roleID := next.RoleID(p); roleID != "" {
		role, err := s.findRole(ctx, next.GroupID, p, roleID)
		if err != nil {
			return proof{}, refusal(err, next, p, kms.Reference{})
		}
		out.role = role
		out.relied = append(out.relied, store.Check(keys.Role(next.GroupID, roleID), role.Version()))
	}
	ref, err := s.reference(ctx, next, p, credential{secret: change.Secret, role: out.role})
	if err != nil {
		return proof{}, refusal(err, next, p, ref)
	}
	if out.state, err = s.validate(ctx, current, next, change, ref); err != nil {
		return proof{}, err
	}
	if change.Secret != "" {
		if out.secret, err = s.Sealer.Seal(ctx, []byte(change.Secret), secretContext(next.GroupID, p)); err != nil {
			return proof{}, fmt.Errorf("seal %s secret: %w", p, err)
		}
	}
	return out, nil
}

// validate checks the new key thoroughly, and that nothing sealed so far is lost: the same
// key must still open its old probe, and a key that is replaced must be accessible.
func (s *Service) validate(ctx context.Context, current, next Settings, change Change, ref kms.Reference) (*KeyState, error) {
	p := change.Provider
	old := current.Key(p)
	if old != nil && change.KeyChanged {
		if err := s.proveAccessible(ctx, current, p, ref); err != nil {
			return nil, err
		}
	}
	var probe kms.Probe
	var description kms.Description
	var dates kms.Dates
	err := s.Patience.Try(ctx, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
		defer cancel()
		key, err := s.Keys.Renew(ref)
		if err != nil {
			return err
		}
		if old != nil && !change.KeyChanged {
			if err := key.CheckProbe(ctx, next.GroupID, old.Probe); err != nil {
				return err
			}
		}
		if probe, description, err = key.NewProbe(ctx, next.GroupID); err != nil {
			return err
		}
		dates, _ = askDates(ctx, key) // or else with the next inspection
		return nil
	})
	if err == nil {
		err = s.checkExtras(ctx, ref, description)
	} else if s.isMisplaced(ctx, ref, err) {
		err = verdict.Failed(verdict.RequestInvalid, "there is no such vault: %w", err)
	}
	if err != nil {
		return nil, refusal(err, next, p, ref)
	}
	state := s.newState(next, old, change, probe, description)
	state.Dates = dates
	if old != nil && !change.KeyChanged {
		state.Dates = learned(old.Dates, dates)
	}
	return state, nil
}

// checkExtras are the demands on a key that is being configured, beyond that it works.
func (s *Service) checkExtras(ctx context.Context, ref kms.Reference, d kms.Description) error {
	if !d.Expires.IsZero() && d.Expires.Sub(s.Now()) < keyExpiryMargin {
		return verdict.Failed(verdict.KeyExpiring, "expires at %s", d.Expires.Format(time.RFC3339))
	}
	return s.checkVault(ctx, ref)
}

// isMisplaced finds out whether a vault that can't be reached is not there at all: its name
// does not resolve then, which looks like an outage.
func (s *Service) isMisplaced(ctx context.Context, ref kms.Reference, err error) bool {
	failure, ok := errors.AsType[*verdict.Failure](err)
	if !ok || failure.Reason != verdict.ConnectFailed {
		return false
	}
	answer, ok := errors.AsType[*verdict.Failure](s.checkVault(ctx, ref))
	return ok && answer.Reason == verdict.RequestInvalid
}

// checkVault asks whether an Azure key's vault is where the configuration says.
func (s *Service) checkVault(ctx context.Context, ref kms.Reference) error {
	if ref.Azure == nil || s.Vaults == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	return s.Vaults.CheckVault(ctx, ref)
}

func (s *Service) newState(next Settings, old *KeyState, change Change, probe kms.Probe, d kms.Description) *KeyState {
	now := s.Now().UTC()
	state := &KeyState{
		Revision: next.Revision, Probe: probe, Version: d.Version, Since: now, Expires: d.Expires, Valid: true,
		Verdict: verdict.Verdict{Reason: verdict.OK, Settings: next.Revision, StartedAt: now, Since: now},
	}
	switch {
	case old != nil && !change.KeyChanged:
		state.Since, state.Rotated = old.Since, old.Rotated
		if isApart(change.Provider, old.Version, d.Version) { // the next inspection tells of it, and knows what needs the former
			state.Version, state.Probe = old.Version, old.Probe
		}
	case old != nil:
		state.Rotated = now
	}
	return state
}

// proveAccessible demands that the current key can still be used, in the stored way or, while
// credentials and key change together, in the new way: "You cannot change a key or disable
// Encryption at Rest using Customer Key Management without a valid key".
func (s *Service) proveAccessible(ctx context.Context, current Settings, p atlas.Provider, replacement kms.Reference) error {
	state := current.Key(p)
	ref, err := s.reference(ctx, current, p, credential{})
	if err == nil {
		err = s.checkProbe(ctx, ref, state.Probe)
	}
	if err == nil {
		return nil
	}
	if alternative, ok := withAccessOf(ref, replacement); ok && s.checkProbe(ctx, alternative, state.Probe) == nil {
		return nil
	}
	failure, isVerdict := errors.AsType[*verdict.Failure](err)
	_, isClients := errors.AsType[*atlas.Error](err) // the role is gone or no longer authorized
	if isClients || isVerdict && failure.Class() == verdict.Invalid {
		return atlas.Fail(atlas.EARSettingsInvalid).Because(err)
	}
	return refusal(err, current, p, ref)
}

func (s *Service) checkProbe(ctx context.Context, ref kms.Reference, probe kms.Probe) error {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	key, err := s.Keys.Renew(ref)
	if err != nil {
		return err
	}
	return key.CheckProbe(ctx, ref.GroupID, probe)
}

// withAccessOf is the key of ref reached with the credentials of other, on the way of ref. ok is false if other
// is of another provider or none.
func withAccessOf(ref, other kms.Reference) (kms.Reference, bool) {
	switch {
	case ref.AWS != nil && other.AWS != nil:
		mixed := *other.AWS
		mixed.KeyName, mixed.Region, mixed.Endpoint = ref.AWS.KeyName, ref.AWS.Region, ref.AWS.Endpoint
		ref.AWS = &mixed
	case ref.Azure != nil && other.Azure != nil:
		mixed := *other.Azure
		mixed.KeyIdentifier, mixed.Environment, mixed.PrivateAddress = ref.Azure.KeyIdentifier, ref.Azure.Environment, ref.Azure.PrivateAddress
		ref.Azure = &mixed
	case ref.Google != nil && other.Google != nil:
		mixed := *other.Google
		mixed.KeyVersion = ref.Google.KeyVersion
		ref.Google = &mixed
	default:
		return ref, false
	}
	return ref, true
}

// commitAttempts bounds how often a commit is repeated because a verdict was stored meanwhile.
const commitAttempts = 4

// settle stores proved changes with the ways back from them, and returns those that are to be carried out.
// What a workflow notes of an earlier change meanwhile is no conflict: this one takes its place.
func (s *Service) settle(
	ctx context.Context, c identity.Caller, current, next Settings, changes []Change, conditions []store.Op,
) (stored Settings, begun []Changeover, err error) {
	for range commitAttempts {
		var ops []store.Op
		if begun, ops, err = s.begin(ctx, audit.By(c), current, &next, changes); err != nil {
			return Settings{}, nil, err
		}
		stored, err = s.commit(ctx, c, current, next, changes, slices.Concat(conditions, ops))
		conflict, ok := errors.AsType[*store.ConflictError](err)
		isNoted := ok && slices.ContainsFunc(begun, func(b Changeover) bool {
			return conflict.Key == keys.Changeover(b.GroupID, string(b.Provider))
		})
		if !isNoted {
			return stored, begun, err
		}
	}
	return Settings{}, nil, err
}

// commit stores the new settings with their events. A verdict that was stored since the
// settings were read is no conflict: it is kept, and the commit is repeated.
func (s *Service) commit(ctx context.Context, c identity.Caller, current, next Settings, changes []Change, relied []store.Op) (Settings, error) {
	events, err := s.events(c, current, next, changes)
	if err != nil {
		return Settings{}, err
	}
	for range commitAttempts {
		put, err := next.put()
		if err != nil {
			return Settings{}, err
		}
		reminders, err := alert.CreateRotations(ctx, s.Table, next.GroupID, next.OrgID, s.Now(), enabled(changes)...)
		if err != nil {
			return Settings{}, err
		}
		err = s.Table.Write(ctx, slices.Concat([]store.Op{put}, relied, events, reminders)...)
		if err == nil {
			next.version++
			return next, nil
		}
		conflict, ok := errors.AsType[*store.ConflictError](err)
		if ok && conflict.Key == keys.AlertRegister(next.GroupID) {
			continue // somebody configures alerts
		}
		if !ok || conflict.Key != keys.Encryption(next.GroupID) {
			return Settings{}, err
		}
		latest, loadErr := s.Load(ctx, next.GroupID)
		if loadErr != nil {
			return Settings{}, loadErr
		}
		if latest.Revision != current.Revision {
			return Settings{}, err
		}
		next.adopt(latest)
	}
	return Settings{}, atlas.Fail(atlas.ConcurrentModification)
}

// enabled lists the providers that changes enable.
func enabled(changes []Change) []atlas.Provider {
	var providers []atlas.Provider
	for _, change := range changes {
		if change.Kind == Enable {
			providers = append(providers, change.Provider)
		}
	}
	return providers
}

// adopt takes over what was stored meanwhile: the version, what alerts were told, and the verdicts on
// the blocks that the update leaves alone.
func (s *Settings) adopt(latest Settings) {
	s.version, s.Told = latest.version, latest.Told
	for _, p := range atlas.Providers() {
		mine, theirs := s.Key(p), latest.Key(p)
		if mine != nil && theirs != nil && mine.Revision == theirs.Revision {
			mine.Verdict, mine.Valid, mine.Unreachable = theirs.Verdict, theirs.Valid, theirs.Unreachable
			mine.CredentialsEnded = theirs.CredentialsEnded
			s.keepRole(p, latest.role(p))
		}
	}
}

// events are the operations that record an update.
func (s *Service) events(c identity.Caller, current, next Settings, changes []Change) ([]store.Op, error) {
	now := s.Now()
	updated := audit.New(now, audit.ConfigurationUpdated, audit.By(c), next.OrgID, next.GroupID)
	all := []audit.Event{}
	for _, change := range changes {
		p := change.Provider
		updated = updated.With(string(p), change.Fields)
		if change.Kind == Modify && change.KeyChanged {
			for _, t := range []audit.Type{audit.KeyRotationStarted, audit.Type(p) + "_ENCRYPTION_KEY_ROTATED"} {
				all = append(all, audit.New(now, t, audit.By(c), next.OrgID, next.GroupID).
					With("from", current.keyName(p)).With("to", next.keyName(p)))
			}
		}
		if change.Kind == Modify && change.validates() {
			for _, t := range transitions(p, *current.Key(p), *next.Key(p)) {
				all = append(all, audit.New(now, t, audit.By(c), next.OrgID, next.GroupID).With("key", next.keyName(p)))
			}
		}
		if change.validates() {
			all = append(all, audit.New(now, audit.ConfigurationValidationSucceeded, audit.By(c), next.OrgID, next.GroupID).
				With("provider", string(p)))
		}
		if text := finality(current, next, p); text != "" {
			updated = updated.With(string(p)+" access", text)
		}
	}
	ops := make([]store.Op, 0, len(all)+1)
	for _, e := range append([]audit.Event{updated}, all...) {
		op, err := s.Journal.Put(e)
		if err != nil {
			return nil, err
		}
		ops = append(ops, op)
	}
	return ops, nil
}

// recordRefusal keeps that an update failed its validation. The client gets the refusal even
// if it can't be recorded.
func (s *Service) recordRefusal(ctx context.Context, c identity.Caller, current Settings, changes []Change, refused error) {
	e := audit.New(s.Now(), audit.ConfigurationValidationFailed, audit.By(c), current.OrgID, current.GroupID).
		With("errorCode", string(atlas.CodeOf(refused)))
	for _, change := range changes {
		e = e.With(string(change.Provider), change.Fields)
	}
	if err := s.Journal.Append(context.WithoutCancel(ctx), e); err != nil {
		s.Log.ErrorContext(ctx, "refusal not recorded",
			slog.String("groupId", current.GroupID), slog.String("error", err.Error()))
	}
}
