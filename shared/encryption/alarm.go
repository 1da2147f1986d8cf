package encryption

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"latchkey/shared/alert"
	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/store"
	"latchkey/shared/verdict"
)

// Alerts are told what holds of groups' keys; alert.Service is the one in use. Saying the same again
// must be harmless.
type Alerts interface {
	Raise(ctx context.Context, groupID string, c alert.Condition) error
	Clear(ctx context.Context, groupID string, t audit.Type, subject string, observed time.Time) error
	// Watch keeps the dates of a key; no dates at all forget the key.
	Watch(ctx context.Context, groupID string, p atlas.Provider, d alert.Dates) error
}

// Told is what alerts were last told of a provider's key. What is stored of the key says what they should
// know; whoever finds a difference tells it and stores that, so a crash at any point is made up for by
// the next check.
type Told struct {
	Invalid     bool        `json:"invalid,omitempty"`
	Unreachable bool        `json:"unreachable,omitempty"`
	Dates       alert.Dates `json:"dates,omitzero"`
}

// stands is what alerts should know of a provider's key: nothing while the provider is disabled.
func (s Settings) stands(p atlas.Provider) Told {
	state := s.Key(p)
	if state == nil {
		return Told{}
	}
	return Told{Invalid: !state.Valid, Unreachable: state.Unreachable, Dates: s.dates(p)}
}

// isUrgentlyUntold reports whether alerts don't know yet that something is wrong with a provider's key, or
// no longer is, or that the provider was disabled.
func (s Settings) isUrgentlyUntold(p atlas.Provider) bool {
	told, isTold := s.Told[p]
	if s.Key(p) == nil {
		return isTold
	}
	stands := s.stands(p)
	return told.Invalid != stands.Invalid || told.Unreachable != stands.Unreachable
}

// Left lists the providers that were disabled and of which alerts still know something.
func (s Settings) Left() []atlas.Provider {
	var left []atlas.Provider
	for _, p := range atlas.Providers() {
		if s.Key(p) == nil && s.isUrgentlyUntold(p) {
			left = append(left, p)
		}
	}
	return left
}

// noting returns the settings with what alerts were told of a provider's key.
func (s Settings) noting(p atlas.Provider, t Told) Settings {
	s = s.clone()
	if s.Told == nil {
		s.Told = map[atlas.Provider]Told{}
	}
	s.Told[p] = t
	if s.Key(p) == nil {
		delete(s.Told, p)
	}
	return s
}

// Tell tells alerts what is stored of a provider's key, unless they know. With again also what holds and is
// known: a configuration that was made since has no alert of it yet. It comes after what it tells
// was stored, and writes nothing if there is nothing to tell.
func (s *Service) Tell(ctx context.Context, settings *Settings, p atlas.Provider, again bool) error {
	if s.Alerts == nil {
		return nil
	}
	for range recordAttempts {
		told, stands := settings.Told[p], settings.stands(p)
		isKnown := told.same(stands)
		if isKnown && !again {
			return nil
		}
		if err := s.tell(ctx, *settings, p, told, again); err != nil {
			return fmt.Errorf("tell of the %s key of %s: %w", p, settings.GroupID, err)
		}
		if isKnown {
			return nil
		}
		next := settings.noting(p, stands)
		put, err := next.put()
		if err != nil {
			return err
		}
		if err = s.Table.Write(ctx, put); err == nil {
			next.version++
			*settings = next
			return nil
		}
		if !errors.Is(err, store.ErrConflict) {
			return fmt.Errorf("store what is told of the %s key of %s: %w", p, settings.GroupID, err)
		}
		if *settings, err = s.Load(ctx, settings.GroupID); err != nil {
			return err
		}
		again = true // somebody else may have told meanwhile, before or after this
	}
	return fmt.Errorf("store what is told of the %s key of %s: %w", p, settings.GroupID, store.ErrConflict)
}

// tell tells alerts what they should know and, as far as told says, do not.
func (s *Service) tell(ctx context.Context, settings Settings, p atlas.Provider, told Told, again bool) error {
	stands, observed, class := settings.stands(p), s.Now().UTC(), verdict.Class("")
	if state := settings.Key(p); state != nil {
		observed, class = state.Verdict.StartedAt, state.Verdict.Class()
	}
	facts := settings.facts(p, s.Now())
	say := func(t audit.Type, was, is, isSeen bool) error {
		switch {
		case is && (!was || again && isSeen):
			return s.Alerts.Raise(ctx, settings.GroupID, alert.Condition{Type: t, Subject: string(p), Facts: facts, Observed: observed})
		case was && !is:
			return s.Alerts.Clear(ctx, settings.GroupID, t, string(p), observed)
		}
		return nil
	}
	isOut := class == verdict.Unreachable || class == verdict.Throttled
	err := errors.Join(
		say(alert.KeyInvalid(p), told.Invalid, stands.Invalid, class == verdict.Invalid),
		say(alert.ConfigNoLongerValid, told.Invalid, stands.Invalid, class == verdict.Invalid),
		say(alert.NetworkAccessDenied, told.Unreachable, stands.Unreachable, isOut),
	)
	if again || !sameDates(told.Dates, stands.Dates) {
		err = errors.Join(err, s.Alerts.Watch(ctx, settings.GroupID, p, stands.Dates))
	}
	return err
}

// tellSoon tells alerts what was just stored. What fails here is made up for by the schedule of checks.
func (s *Service) tellSoon(ctx context.Context, settings Settings, p atlas.Provider) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), enforceTimeout)
	defer cancel()
	if err := s.Tell(ctx, &settings, p, false); err != nil && atlas.CodeOf(err) != atlas.GroupNotFound { // closed meanwhile
		s.Log.ErrorContext(ctx, "alerts not told at once", slog.String("groupId", settings.GroupID),
			slog.String("provider", string(p)), slog.String("error", err.Error()))
	}
}

func (t Told) same(o Told) bool {
	return t.Invalid == o.Invalid && t.Unreachable == o.Unreachable && sameDates(t.Dates, o.Dates)
}

// facts say what is the matter with a provider's key, for people.
func (s Settings) facts(p atlas.Provider, now time.Time) alert.Facts {
	state := s.Key(p)
	if state == nil {
		return alert.Facts{}
	}
	v := state.Verdict
	f := alert.Facts{Summary: fmt.Sprintf("The %s key %s can't be used.", providerNames[p], s.keyName(p)), Remedy: remedies[v.Reason]}
	switch v.Class() {
	case verdict.Invalid:
		days := int64(now.Sub(v.Since) / (24 * time.Hour))
		f.Value = alert.Value{Number: days, Units: alert.Days, More: now.After(v.Since.Add(time.Duration(days) * 24 * time.Hour))}
	case verdict.Unreachable, verdict.Throttled:
		f.Summary = fmt.Sprintf("The %s key %s can't be reached.", providerNames[p], s.keyName(p))
	case verdict.Valid, verdict.Inconclusive:
		return f
	}
	f.Summary += " Reason: " + string(v.Reason)
	if v.ProviderCode != "" {
		f.Summary += " (" + v.ProviderCode + ")"
	}
	f.Summary += "."
	return f
}

var providerNames = map[atlas.Provider]string{atlas.AWS: "AWS KMS", atlas.Azure: "Azure Key Vault", atlas.GCP: "Google Cloud KMS"}

// remedies say what people can do about a failure.
var remedies = map[verdict.Reason]string{
	verdict.KeyDisabled:        "Enable the key at its provider. Clusters start again by themselves.",
	verdict.KeyPendingDeletion: "Cancel the key's deletion at its provider and enable the key. Data that it encrypts can't be recovered once it is gone.",
	verdict.KeyDeleted:         "Recover the key at its provider if it still can be.",
	verdict.KeyNotFound:        "Recover the key at its provider if it was deleted, or correct the encryption at rest settings.",
	verdict.KeyPendingImport:   "Import the key material into the key again.",
	verdict.KeyExpired:         "Set a later expiration date for the key, or make a new version and update the key identifier.",
	verdict.KeyNotActive:       "Set an earlier activation date for the key.",
	verdict.AccessDenied:       "Give the role or the credentials the permission to use the key again.",
	verdict.RoleDenied:         "Restore the role, or its trust in Latchkey.",
	verdict.CredentialsInvalid: "Update the encryption at rest settings with valid credentials, or switch to a role.",
	verdict.CredentialsExpired: "Update the encryption at rest settings with new credentials, or switch to a role.",
	verdict.NetworkRefused:     "Let the addresses of the control plane through the key's network rules; see GET /api/atlas/v2/unauth/controlPlaneIPAddresses. Clusters keep running.",
	verdict.RateLimited:        "Raise the quota of the key's account, or use the key less elsewhere. Clusters keep running.",
	verdict.ConnectFailed:      "Clusters keep running. See whether the provider has an outage, and whether the key's network can be reached.",
	verdict.TimedOut:           "Clusters keep running. See whether the provider has an outage, and whether the key's network can be reached.",
	verdict.ProviderError:      "Clusters keep running. See whether the provider has an outage.",
}
