package encryption

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/kms"
	"latchkey/shared/ledger"
	"latchkey/shared/store"
	"latchkey/shared/verdict"
)

// Inspect checks a provider's key beyond the probe: describe, encrypt, decrypt. It stores the
// key's version and dates if they have changed.
//
// It concludes no verdict, since VALID means that what is sealed opens: a key that no longer
// encrypts would be INVALID here and VALID at the next check, and nodes would stop and start in
// turns. Its failure is a *verdict.Failure for the operator. The exception is a key that has
// expired, which goes on decrypting at Azure: that it has is stored, and checks act on it.
func (s *Service) Inspect(ctx context.Context, settings *Settings, p atlas.Provider) error {
	state := settings.Key(p)
	revision := state.Revision
	seen, failure := s.describe(ctx, *settings, p)
	if failure != nil {
		f, ok := errors.AsType[*verdict.Failure](failure)
		now := s.Now().UTC()
		seen.version, seen.expires = state.Version, state.Expires
		if ok && f.Reason == verdict.KeyExpired && (state.Expires.IsZero() || state.Expires.After(now)) {
			seen.expires = now
		}
	}
	if err := s.reseal(ctx, *settings, p, &seen); err != nil {
		return err
	}
	if err := s.observe(ctx, settings, p, revision, seen); err != nil {
		return err
	}
	return failure
}

// reseal leaves the new probe in what was seen only if the stored one is to give way to it: it was sealed by a
// version of the key that no node needs any more, and that may therefore be disabled. As long as nodes need
// that version the key is as good as it is.
func (s *Service) reseal(ctx context.Context, settings Settings, p atlas.Provider, seen *observation) error {
	by, isFormer, err := settings.probedBy(p, seen.version)
	if err != nil || !isFormer || seen.probe == nil {
		seen.probe = nil
		return err
	}
	clusters, err := ledger.Clusters(ctx, s.Table, settings.GroupID, by)
	if err != nil {
		return err
	}
	for _, id := range clusters {
		entries, err := ledger.OfCluster(ctx, s.Table, id)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(entries, func(e ledger.Entry) bool { return e.CMK == by && e.SnapshotID == "" }) {
			seen.probe = nil
			return nil
		}
	}
	return nil
}

// isApart reports whether a key's versions are two that its owner can disable apart. Google's configuration names
// one, and former material of AWS opens as long as the key does.
func isApart(p atlas.Provider, one, other string) bool { return p == atlas.Azure && one != other }

// probedBy is the version by which the stored probe is sealed. isFormer is whether that can be taken away while
// another one, which wraps now, is kept.
func (s Settings) probedBy(p atlas.Provider, now string) (by ledger.CMK, isFormer bool, err error) {
	sealed := s.Key(p).Probe.Sealed.Version
	if !isApart(p, sealed, now) {
		return ledger.CMK{}, false, nil
	}
	by, err = s.CMK(p)
	by.Version = sealed
	return by, err == nil, err
}

// ProbedBy is the former version of a provider's key by which the key is still checked, so that it must not be
// taken away yet; ok is false if there is none.
func (s Settings) ProbedBy(p atlas.Provider) (by ledger.CMK, ok bool, err error) {
	return s.probedBy(p, s.Key(p).Version)
}

// observation is what an inspection saw.
type observation struct {
	version string
	expires time.Time
	dates   *kms.Dates // nil if they could not be asked for
	probe   *kms.Probe // nil if the stored one is kept
}

// isNew reports whether what was seen differs from what is known.
func (o observation) isNew(k KeyState) bool {
	return k.Version != o.version || !k.Expires.Equal(o.expires) || o.probe != nil || o.dates != nil && learned(k.Dates, *o.dates) != k.Dates
}

// note returns what is known of the key once it was seen.
func (k KeyState) note(o observation) KeyState {
	k.Version, k.Expires = o.version, o.expires
	if o.dates != nil {
		k.Dates = learned(k.Dates, *o.dates)
	}
	if o.probe != nil {
		k.Probe = *o.probe
	}
	return k
}

func (s *Service) describe(ctx context.Context, settings Settings, p atlas.Provider) (observation, error) {
	ref, err := s.reference(ctx, settings, p, credential{})
	if err != nil {
		return observation{}, err
	}
	key, err := s.Keys.Open(ref)
	if err != nil {
		return observation{}, err
	}
	limited, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	probe, d, err := key.NewProbe(limited, settings.GroupID)
	seen := observation{version: d.Version, expires: d.Expires.UTC()}
	if err == nil {
		seen.probe = &probe
	}
	if dates, ok := askDates(ctx, key); ok {
		seen.dates = &dates
	}
	return seen, err
}

// observationOps stores settings with what an inspection saw. A key that its provider gave new material
// since was rotated: what wraps from now on is new, and what was wrapped opens as before.
func (s *Service) observationOps(settings *Settings, p atlas.Provider, from string) ([]store.Op, error) {
	state := settings.Key(p)
	var events []store.Op
	if isRotation(p, from, state.Version) {
		state.Since, state.Rotated = s.Now().UTC(), s.Now().UTC()
		e := audit.New(s.Now(), audit.Type(string(p)+"_ENCRYPTION_KEY_ROTATED"), audit.System(), settings.OrgID, settings.GroupID).
			With("from", from).With("to", state.Version).With("by", "the key's provider")
		op, err := s.Journal.Put(e)
		if err != nil {
			return nil, err
		}
		events = append(events, op)
	}
	put, err := settings.put()
	return append([]store.Op{put}, events...), err
}

// isRotation reports whether a key that shows another version was given new material. AWS names the
// material behind the key's ARN, where it tells it; a replica of a multi-Region key is the same key.
func isRotation(p atlas.Provider, from, to string) bool {
	if from == "" || from == to {
		return false
	}
	if p != atlas.AWS {
		return true
	}
	fromKey, fromMaterial, _ := strings.Cut(from, "#")
	toKey, toMaterial, _ := strings.Cut(to, "#")
	if fromKey != toKey && !areReplicas(fromKey, toKey) {
		return true // an alias that points to another key by now
	}
	return fromMaterial != "" && toMaterial != "" && fromMaterial != toMaterial
}

// observe stores what an inspection saw of the configuration with the revision.
func (s *Service) observe(ctx context.Context, settings *Settings, p atlas.Provider, revision int64, seen observation) error {
	for range recordAttempts {
		state := settings.Key(p)
		if state == nil || state.Revision != revision || !seen.isNew(*state) {
			return nil
		}
		from := state.Version
		*state = state.note(seen)
		ops, err := s.observationOps(settings, p, from)
		if err != nil {
			return err
		}
		err = s.Table.Write(ctx, ops...)
		if err == nil {
			settings.version++
			return nil
		}
		if !errors.Is(err, store.ErrConflict) {
			return fmt.Errorf("store what is seen of the %s key of %s: %w", p, settings.GroupID, err)
		}
		if *settings, err = s.Load(ctx, settings.GroupID); err != nil {
			return err
		}
	}
	return fmt.Errorf("store what is seen of the %s key of %s: %w", p, settings.GroupID, store.ErrConflict)
}
