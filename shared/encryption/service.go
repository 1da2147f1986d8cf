package encryption

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"latchkey/shared/access"
	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/consistency"
	"latchkey/shared/kms"
	"latchkey/shared/seal"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
	"latchkey/shared/validity"
	"latchkey/shared/verdict"
)

// Sealer seals static credentials.
type Sealer interface {
	Seal(ctx context.Context, plaintext []byte, c seal.Context) (seal.Sealed, error)
	Open(ctx context.Context, s seal.Sealed, c seal.Context) ([]byte, error)
}

// Vaults asks Azure Resource Manager whether a vault is where a configuration says it is. A
// failure is a *verdict.Failure; not being allowed to ask is none.
type Vaults interface {
	CheckVault(ctx context.Context, ref kms.Reference) error
}

// Clusters tells which clusters rely on a provider's key.
type Clusters interface {
	// UsedBy lists the names of those that do, and an operation that makes a transaction
	// conflict with any that begins to. It must be asked before the settings are read.
	UsedBy(ctx context.Context, groupID string, p atlas.Provider) (names []string, unchanged store.Op, err error)
}

// Service is the use case "encryption at rest".
type Service struct {
	Table    store.Table
	Journal  audit.Journal
	Sealer   Sealer
	Keys     validity.Keyring
	Vaults   Vaults
	Clusters Clusters
	// Endpoints are the private ways to keys; nil if the deployment has none.
	Endpoints Endpoints
	// Enforcer acts at once on what is found outside the schedule of checks; nil leaves it all
	// to the schedule.
	Enforcer Enforcer
	// Alerts are told what holds of keys; nil leaves that to services that have them.
	Alerts Alerts
	// Start carries changes of keys on at once after they were committed; nil leaves that to the
	// schedule that resumes them.
	Start    Starter
	Checker  *validity.Checker
	Patience consistency.Patience
	Policy   Policy
	Now      func() time.Time
	Log      *slog.Logger
}

// Load reads a group's settings. It returns GROUP_NOT_FOUND if the group is closed.
func (s *Service) Load(ctx context.Context, groupID string) (Settings, error) {
	settings, version, err := store.Load[Settings](ctx, s.Table, keys.Encryption(groupID))
	if errors.Is(err, store.ErrNotFound) {
		return Settings{}, atlas.Fail(atlas.GroupNotFound, groupID)
	}
	if err != nil {
		return Settings{}, fmt.Errorf("load encryption settings of %s: %w", groupID, err)
	}
	settings.version = version
	return settings, nil
}

// KeyState tells whether a provider is enabled for a group and its key valid, by the newest
// conclusive verdict. A key that somebody was just told is invalid counts as that.
func (s *Service) KeyState(ctx context.Context, groupID string, p atlas.Provider) (enabled, valid bool, err error) {
	settings, err := s.Load(ctx, groupID)
	if err != nil {
		return false, false, err
	}
	state := settings.Key(p)
	return state != nil, state != nil && state.Valid && state.Verdict.Reason != verdict.Unconfirmed, nil
}

// RolesInUse implements access.Usage.
func (s *Service) RolesInUse(ctx context.Context, groupID string) (map[string]bool, store.Op, error) {
	settings, err := s.Load(ctx, groupID)
	if err != nil {
		return nil, store.Op{}, err
	}
	ids := map[string]bool{}
	for _, p := range atlas.Providers() {
		if id := settings.RoleID(p); id != "" {
			ids[id] = true
		}
		if f, ok := settings.Fallback(p); ok && settings.back(f).RoleID(p) != "" {
			ids[settings.back(f).RoleID(p)] = true
		}
	}
	return ids, store.Check(keys.Encryption(groupID), settings.version), nil
}

// ProveRole implements access.Usage: the group's key must open its probe through the role. The settings
// follow the role, since they keep it.
func (s *Service) ProveRole(ctx context.Context, role access.Role) (follow store.Op, err error) {
	p := role.Provider
	settings, err := s.Load(ctx, role.GroupID)
	if err != nil {
		return store.Op{}, err
	}
	if settings.RoleID(p) != role.ID {
		return settings.Unchanged(), nil // it is used by a way back alone, which reads it
	}
	ref, err := s.reference(ctx, settings, p, credential{role: &role})
	if err != nil {
		return store.Op{}, refusal(err, settings, p, ref)
	}
	state := settings.Key(p)
	err = s.Patience.Try(ctx, func(ctx context.Context) error { return s.checkProbe(ctx, ref, state.Probe) })
	if err != nil {
		return store.Op{}, refusal(err, settings, p, ref)
	}
	next := settings.clone()
	next.keepRole(p, &role)
	return next.put()
}
