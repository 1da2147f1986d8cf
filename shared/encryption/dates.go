package encryption

import (
	"context"
	"slices"
	"time"

	"latchkey/shared/alert"
	"latchkey/shared/atlas"
	"latchkey/shared/kms"
)

// datesTimeout bounds how long a provider is asked for dates, which nothing waits for.
const datesTimeout = 5 * time.Second

// askDates asks a key's provider for its dates; ok is false if it does not answer.
func askDates(ctx context.Context, key *kms.Key) (d kms.Dates, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, datesTimeout)
	defer cancel()
	d, err := key.Dates(ctx)
	return d, err == nil
}

// InspectDates asks a provider for the dates of its key, also of one that can't be used, and stores what
// has changed. That it does not answer is no failure: what is known is kept.
func (s *Service) InspectDates(ctx context.Context, settings *Settings, p atlas.Provider) error {
	state := settings.Key(p)
	d, ok := s.lookUpDates(ctx, *settings, p)
	if !ok {
		return nil
	}
	return s.observe(ctx, settings, p, state.Revision, observation{version: state.Version, expires: state.Expires, dates: &d})
}

func (s *Service) lookUpDates(ctx context.Context, settings Settings, p atlas.Provider) (kms.Dates, bool) {
	ref, err := s.reference(ctx, settings, p, credential{})
	if err != nil {
		return kms.Dates{}, false
	}
	key, err := s.Keys.Open(ref)
	if err != nil {
		return kms.Dates{}, false
	}
	return askDates(ctx, key)
}

// learned is what is known of a key's dates once it was asked again. That it was rotated stays known
// where the permission to see that was taken away.
func learned(known, told kms.Dates) kms.Dates {
	if told.Rotated.IsZero() {
		told.Rotated = known.Rotated
	}
	if told.Created.IsZero() {
		told.Created = known.Created
	}
	return told
}

// lastRotation is since when a key has the material that it encrypts with: as the provider tells, or as was
// seen here, whichever is later; else since the group uses it.
func (k KeyState) lastRotation() time.Time {
	last := k.Rotated
	for _, at := range []time.Time{k.Dates.Created, k.Dates.Rotated} {
		if at.After(last) {
			last = at
		}
	}
	if last.IsZero() {
		return k.Since
	}
	return last
}

// dates are what alerts should know of the age and the end of a provider's key.
func (s Settings) dates(p atlas.Provider) alert.Dates {
	state, name := s.Key(p), s.keyName(p)
	d := alert.Dates{Rotation: alert.Rotation{Provider: p, Name: name, Since: second(state.lastRotation())}}
	add := func(e alert.Ending, name string, at time.Time) {
		d.Expiries = append(d.Expiries, alert.Expiry{Provider: p, Ending: e, Name: name, At: second(at)})
	}
	if end := s.credentialsEnd(p); !end.IsZero() {
		add(alert.ClientSecret, s.Azure.ClientID, end)
	}
	if end := state.end(); !end.IsZero() {
		add(alert.KeyExpiry, name, end)
	}
	if end := state.Dates.Deletes; !end.IsZero() {
		add(map[atlas.Provider]alert.Ending{atlas.AWS: alert.Deletion, atlas.Azure: alert.Deletion, atlas.GCP: alert.Destruction}[p], name, end)
	}
	if s.Azure != nil && p == atlas.Azure {
		switch state.Dates.Recovery {
		case kms.Unrecoverable: // which has no purge protection either
			add(alert.SoftDeleteOff, s.Azure.VaultName, time.Time{})
		case kms.Purgeable:
			add(alert.PurgeProtectionOff, s.Azure.VaultName, time.Time{})
		case kms.Protected, kms.RecoveryUnknown:
		}
	}
	return d
}

// end is when a key ends of its own accord; zero if it does not.
func (k KeyState) end() time.Time {
	if k.Dates.Expires.IsZero() {
		return k.Expires
	}
	return k.Dates.Expires
}

// credentialsEnd is when the client secret of an Azure application ends: as the tenant said, or as was found
// out; zero if nobody knows.
func (s Settings) credentialsEnd(p atlas.Provider) time.Time {
	if p != atlas.Azure || s.Azure.RoleID != "" {
		return time.Time{}
	}
	said, seen := s.Azure.SecretExpires, s.Azure.Key.CredentialsEnded
	if said.IsZero() || !seen.IsZero() && seen.Before(said) {
		return seen
	}
	return said
}

// second is a time as alerts keep it.
func second(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Second)
}

func sameDates(a, b alert.Dates) bool {
	return a.Rotation.Name == b.Rotation.Name && a.Rotation.Since.Equal(b.Rotation.Since) &&
		slices.EqualFunc(a.Expiries, b.Expiries, func(x, y alert.Expiry) bool {
			return x.Ending == y.Ending && x.Name == y.Name && x.At.Equal(y.At)
		})
}
