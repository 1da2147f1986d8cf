package encryption

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/kms"
	"latchkey/shared/ledger"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
	"latchkey/shared/verdict"
	"latchkey/shared/workflow"
)

// Starter starts workflows. Starting the same execution again is harmless.
type Starter interface {
	Start(ctx context.Context, x workflow.Execution) error
}

// finality says what cannot be undone of an update that leads to role-based access at a provider, ""
// of any other: "you can't undo the role-based access configuration" (AWS KMS document).
func finality(current, next Settings, p atlas.Provider) string {
	switch {
	case next.roleOnly(p) && !current.roleOnly(p):
		return "Role-based from now on. This cannot be undone: static credentials are refused for ever."
	case next.isSwitching(p) && !current.isSwitching(p):
		return "Switching to role-based access. Once every wrapped key was opened by the role the former credentials are destroyed; " +
			"this cannot be undone then, and static credentials are refused for ever."
	}
	return ""
}

// Warnings say what cannot be undone of the update that returned these settings, by provider.
func (s Settings) Warnings() []string { return s.warnings }

// warn notes what cannot be undone of an update.
func (s *Settings) warn(current Settings, changes []Change) {
	for _, change := range changes {
		if text := finality(current, *s, change.Provider); text != "" {
			s.warnings = append(s.warnings, string(change.Provider)+": "+text)
		}
	}
}

// Latchkey's own events of changes of keys, and of how they are reached: the documents know one of a
// rotation that starts, and none of how any change ends.
const (
	EventChangeStarted audit.Type = "ENCRYPTION_AT_REST_CHANGE_STARTED"
	// EventChangeFinished tells that nothing leads back from the change any more.
	EventChangeFinished audit.Type = "ENCRYPTION_AT_REST_CHANGE_FINISHED"
	// EventChangeRolledBack tells that the former configuration is in use again.
	EventChangeRolledBack audit.Type = "ENCRYPTION_AT_REST_CHANGE_ROLLED_BACK"
)

// changeEvent is an event of a change.
func (s *Service) changeEvent(t audit.Type, by audit.Actor, of Settings, c Changeover) audit.Event {
	return audit.New(s.Now(), t, by, of.OrgID, of.GroupID).With("provider", string(c.Provider)).With("change", string(c.Kind))
}

// Changeover reads what is known of the last change of a provider's key; the zero one if there was
// none.
func (s *Service) Changeover(ctx context.Context, groupID string, p atlas.Provider) (Changeover, error) {
	c, version, err := store.Load[Changeover](ctx, s.Table, keys.Changeover(groupID, string(p)))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return Changeover{}, fmt.Errorf("load the change of the %s key of %s: %w", p, groupID, err)
	}
	c.version = version
	return c, nil
}

// begin keeps the ways back from changes that are about to be stored, and returns what has to be
// carried out then, with the operations that store it and tell of it.
func (s *Service) begin(ctx context.Context, by audit.Actor, current Settings, next *Settings, changes []Change) ([]Changeover, []store.Op, error) {
	all, err := current.begun(next, changes, s.Now())
	if err != nil {
		return nil, nil, err
	}
	var ops []store.Op
	for i := range all {
		last, err := s.Changeover(ctx, next.GroupID, all[i].Provider)
		if err != nil {
			return nil, nil, err
		}
		all[i].version = last.version
		if f, isHeld := current.Fallback(last.Provider); isHeld && f.Revision == last.Revision && last.Kind == workflow.RotateKey {
			all[i].Kind = workflow.RotateKey // nodes may be under a key that neither the way back nor the new one names
		}
		put, err := all[i].Put()
		if err != nil {
			return nil, nil, err
		}
		event, err := s.Journal.Put(s.changeEvent(EventChangeStarted, by, *next, all[i]))
		if err != nil {
			return nil, nil, err
		}
		ops = append(ops, put, event)
	}
	return all, ops, nil
}

// carryOut starts the workflows of changes. What can't be started now is by the schedule that
// resumes them.
func (s *Service) carryOut(ctx context.Context, changes []Changeover) {
	if s.Start == nil {
		return
	}
	for _, c := range changes {
		if err := s.Start.Start(context.WithoutCancel(ctx), c.Execution()); err != nil {
			s.Log.ErrorContext(ctx, "change of a key not carried on at once", slog.String("groupId", c.GroupID),
				slog.String("provider", string(c.Provider)), slog.String("error", err.Error()))
		}
	}
}

// Note stores what an attempt at a change has found out. It fails with store.ErrConflict if somebody
// else wrote meanwhile.
func (s *Service) Note(ctx context.Context, c Changeover) (Changeover, error) {
	put, err := c.Put()
	if err == nil {
		err = s.Table.Write(ctx, put)
	}
	c.version++
	return c, err
}

// Finish ends a change for good: in one transaction the way back is destroyed with its secret, a
// role becomes final, and an event tells so. A change that is none of the settings' any more is
// over without that.
func (s *Service) Finish(ctx context.Context, c Changeover) error {
	return s.end(ctx, c, Finished, "", func(current Settings) (Settings, []audit.Event, bool) {
		next, ok := current.finish(c.Provider, c.Revision)
		e := s.changeEvent(EventChangeFinished, audit.System(), next, c).With("wrappedKeys", c.Proved)
		if next.roleOnly(c.Provider) && !current.roleOnly(c.Provider) {
			e = e.With("access", "Role-based from now on; the former credentials are destroyed, and static credentials are refused for ever.")
		}
		return next, []audit.Event{e}, ok
	})
}

// Restore takes the way back from a change: in one transaction the former configuration returns, and
// an event tells so.
func (s *Service) Restore(ctx context.Context, c Changeover, reason verdict.Reason) error {
	err := s.end(ctx, c, Restored, reason, func(current Settings) (Settings, []audit.Event, bool) {
		next, ok := current.restore(c.Provider, c.Revision, s.Now())
		var events []audit.Event
		for _, t := range []audit.Type{audit.ConfigurationValidationFailed, EventChangeRolledBack} {
			events = append(events, s.changeEvent(t, audit.System(), next, c).With("reason", string(reason)).
				With("restored", "The former configuration is in use again."))
		}
		if ok {
			was, is := current.Key(c.Provider), next.Key(c.Provider)
			for _, t := range transitions(c.Provider, *was, *is) {
				events = append(events, audit.New(s.Now(), t, audit.System(), next.OrgID, next.GroupID).
					With("key", next.keyName(c.Provider)))
			}
		}
		return next, events, ok
	})
	if err == nil {
		s.enforce(ctx, c.GroupID, c.Provider)
	}
	return err
}

// end stores the end of a change. It is repeated over verdicts that are stored meanwhile, and does
// nothing if the change has ended, or is another one's by now.
func (s *Service) end(ctx context.Context, c Changeover, state ChangeState, reason verdict.Reason,
	of func(Settings) (Settings, []audit.Event, bool),
) error {
	for range recordAttempts {
		current, err := s.Load(ctx, c.GroupID)
		if err != nil {
			return err
		}
		stored, err := s.Changeover(ctx, c.GroupID, c.Provider)
		if err != nil || !stored.IsCarriedOutBy(c.Revision, c.Attempt) {
			return err
		}
		stored.State, stored.Reason, stored.Ended = state, reason, s.Now().UTC()
		next, events, ok := of(current)
		if !ok { // the provider was disabled
			stored.State, next, events = Abandoned, current, nil
		}
		err = s.storeEnd(ctx, next, stored, events)
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return fmt.Errorf("end the change of the %s key of %s: %w", c.Provider, c.GroupID, store.ErrConflict)
}

func (s *Service) storeEnd(ctx context.Context, next Settings, c Changeover, events []audit.Event) error {
	put, err := next.put()
	if err != nil {
		return err
	}
	note, err := c.Put()
	if err != nil {
		return err
	}
	ops := []store.Op{put, note}
	for _, e := range events {
		op, err := s.Journal.Put(e)
		if err != nil {
			return err
		}
		ops = append(ops, op)
	}
	return s.Table.Write(ctx, ops...)
}

// EntryProof is what trying to open a wrapped key has shown.
type EntryProof struct {
	// Reason is OK if the change takes nothing away from the wrapped key.
	Reason verdict.Reason
	// OpensBefore: the new way does not open it and the way back does.
	OpensBefore bool
	// Gone: no way will ever open it again, so the change takes nothing away.
	Gone bool
}

// ProveEntry finds out whether a change that is under way takes anything away from a wrapped key.
// Where both ways are one there is nothing to be asked. The way back is asked only about what the
// new way does not open. An error is a fault of our own.
func (s *Service) ProveEntry(ctx context.Context, settings Settings, e ledger.Entry) (EntryProof, error) {
	f, isHeld := settings.Fallback(e.CMK.Provider)
	if !isHeld {
		return EntryProof{Reason: verdict.OK}, nil
	}
	after, err := s.wayTo(ctx, settings, e.CMK)
	if code := atlas.CodeOf(err); code == atlas.RoleNotFound || code == atlas.RoleNotAuthorized {
		err = &verdict.Failure{Reason: verdict.RoleDenied, Err: err} // of the new way alone
	}
	if err != nil && !isFailure(err) {
		return EntryProof{}, err
	}
	before, beforeErr := s.wayTo(ctx, settings.back(f), e.CMK)
	if err == nil && beforeErr == nil && after.Equal(before) {
		return EntryProof{Reason: verdict.OK}, nil
	}
	if err == nil {
		err = s.opens(ctx, after, e, true)
	}
	reason := reasonOf(err)
	if reason.Class() != verdict.Invalid {
		return EntryProof{Reason: reason}, nil
	}
	if beforeErr == nil {
		beforeErr = s.opens(ctx, before, e, false)
	}
	back := reasonOf(beforeErr)
	return EntryProof{Reason: reason, OpensBefore: back == verdict.OK, Gone: isGone(reason) && isGone(back)}, nil
}

// OpensFormerly reports whether the way back from a change opens what the present key has sealed, so that
// it can take the new one's place.
func (s *Service) OpensFormerly(ctx context.Context, settings Settings, p atlas.Provider) bool {
	f, isHeld := settings.Fallback(p)
	if !isHeld {
		return false
	}
	ref, err := s.reference(ctx, settings.back(f), p, credential{})
	return err == nil && s.checkProbe(ctx, ref, settings.Key(p).Probe) == nil
}

// isGone reports whether a key with a failure never comes back.
func isGone(r verdict.Reason) bool { return r == verdict.KeyDeleted || r == verdict.KeyNotFound }

// opens opens a wrapped key, with fresh credentials too if cached ones say that it can't be.
func (s *Service) opens(ctx context.Context, ref kms.Reference, e ledger.Entry, cached bool) error {
	open := func(fresh bool) error {
		ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
		defer cancel()
		key, err := s.openKey(ref, fresh)
		if err != nil {
			return err
		}
		secret, err := key.Decrypt(ctx, kms.Sealed{Blob: e.Blob, Version: e.CMK.Version}, e.Binding())
		clear(secret)
		return err
	}
	if !cached {
		return open(true)
	}
	err := open(false)
	if reasonOf(err).Class() == verdict.Invalid {
		return open(true)
	}
	return err
}

// wayTo is how settings reach a key of the ledger, whether they still name it or not.
func (s *Service) wayTo(ctx context.Context, settings Settings, cmk ledger.CMK) (kms.Reference, error) {
	current, err := s.publicReference(ctx, settings, cmk.Provider, credential{})
	if err != nil {
		return kms.Reference{}, err
	}
	ref, err := settings.referenceOf(cmk)
	if err != nil {
		return kms.Reference{}, &verdict.Failure{Reason: verdict.Internal, Err: fmt.Errorf("the ledger's key %s: %w", cmk.Name, err)}
	}
	ref, _ = withAccessOf(ref, current)
	if ref.Azure != nil { // where the configured vault is says nothing of the ledger's, and opens nothing
		ref.Azure.SubscriptionID, ref.Azure.ResourceGroup, ref.Azure.VaultName = "", "", ""
	}
	return ref, s.direct(ctx, settings, cmk.Provider, &ref)
}

func isFailure(err error) bool {
	_, ok := errors.AsType[*verdict.Failure](err)
	return ok
}

// reasonOf is the reason of an error; Internal for one that is no *verdict.Failure.
func reasonOf(err error) verdict.Reason {
	if err == nil {
		return verdict.OK
	}
	if f, ok := errors.AsType[*verdict.Failure](err); ok {
		return f.Reason
	}
	return verdict.Internal
}

// CMK names the key that a provider's configuration wraps with, as the ledger does.
func (s Settings) CMK(p atlas.Provider) (ledger.CMK, error) {
	cmk := ledger.CMK{Provider: p, Name: s.keyName(p), Version: s.Key(p).Version}
	switch p {
	case atlas.AWS:
		name, region, err := s.AWS.named()
		if err != nil {
			return ledger.CMK{}, err
		}
		if name.IsMultiRegion() {
			name = name.InRegion(region)
		}
		cmk.Name = name.String()
		return cmk.At(cmk.Version), nil
	case atlas.Azure:
		id, err := atlas.ParseAzureKeyID(s.Azure.KeyIdentifier)
		cmk.Name = azureName(id)
		return cmk, err
	case atlas.GCP:
	}
	version, err := atlas.ParseGoogleKeyVersion(s.Google.KeyVersion)
	if err == nil {
		cmk.Name = version.CryptoKey()
	}
	return cmk, err
}

// CMKs names the keys that a provider's configuration and the way back from it wrap with.
func (s Settings) CMKs(p atlas.Provider) ([]ledger.CMK, error) {
	now, err := s.CMK(p)
	f, isHeld := s.Fallback(p)
	if err != nil || !isHeld {
		return []ledger.CMK{now}, err
	}
	former, err := s.back(f).CMK(p)
	return []ledger.CMK{now, former}, err
}

// CommitTime is how long after a change was stored somebody may still wrap with the former key, having
// read the settings before.
const CommitTime = time.Minute

// Wraps reports whether an entry is wrapped by the key that is configured since a change was begun. A
// key of which the provider has made yet another version since then counts as the same.
func (s Settings) Wraps(e ledger.Entry, since time.Time) (bool, error) {
	now, err := s.CMK(e.CMK.Provider)
	if err != nil {
		return false, err
	}
	if e.CMK.Provider == atlas.AWS {
		return e.CMK.Name == now.Name || areReplicas(e.CMK.Name, now.Name), nil
	}
	return e.CMK.Name == now.Name && (e.CMK.Version == now.Version || e.Wrapped.Sub(since) > CommitTime), nil
}
