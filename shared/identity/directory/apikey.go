package directory

import (
	"context"
	"errors"
	"fmt"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/identity"
	"latchkey/shared/seal"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

// APIKey is an API key.
type APIKey struct {
	Grants

	ID        string    `json:"id"`
	OrgID     string    `json:"orgId"`
	Desc      string    `json:"desc"`
	PublicKey string    `json:"publicKey"`
	Redacted  string    `json:"redacted"` // the private key as it may be shown
	Created   time.Time `json:"created"`
	// Sealed is the private key; see Directory.PrivateKey. Lists come without it.
	Sealed seal.Sealed `json:"sealed,omitempty"`

	at pair
}

// Caller is who a request signed with the key comes from.
func (k APIKey) Caller() identity.Caller {
	return identity.Caller{
		Kind: identity.KindAPIKey, ID: k.ID, Name: k.PublicKey, OrgID: k.OrgID,
		OrgRoles: k.OrgRoles, GroupRoles: k.GroupRoles,
	}
}

func (k APIKey) portrait() portrait {
	return portrait{id: k.ID, name: k.PublicKey, orgID: k.OrgID, description: k.Desc, grants: k.Grants}
}

// put stores the key and its listing.
func (k APIKey) put() ([]store.Op, error) {
	listing := k
	listing.Sealed = nil
	return k.at.put(k, listing)
}

// sealContext binds a private key to the one public key that it belongs to. The scope is a
// kind of its own, so that the authorizer may be allowed to open these secrets and no others.
func (k APIKey) sealContext() seal.Context {
	return seal.Context{Scope: "apiKey/" + k.PublicKey, Field: "privateKey"}
}

// NewAPIKey is what an API key is made from.
type NewAPIKey struct {
	OrgID  string
	Desc   string
	Grants Grants
	// PublicKey and PrivateKey are given when the operator chooses them (first-time set-up);
	// empty ones are generated.
	PublicKey, PrivateKey string
}

// CreateAPIKey makes an API key and returns it with its private key, which nothing but the
// client will ever show again.
func (d *Directory) CreateAPIKey(ctx context.Context, by audit.Actor, spec NewAPIKey) (key APIKey, privateKey string, err error) {
	existing, err := d.APIKeys(ctx, spec.OrgID)
	if err != nil {
		return APIKey{}, "", err
	}
	if len(existing) >= MaxPerOrg {
		return APIKey{}, "", atlas.Fail(atlas.MaxAPIKeysReached, MaxPerOrg)
	}
	if spec.PrivateKey == "" {
		spec.PrivateKey = newPrivateKey()
	}
	err = store.Again(attempts, func() error { // with another public key, should the first one be taken
		key, err = d.createAPIKey(ctx, by, spec)
		return err
	})
	return key, spec.PrivateKey, err
}

func (d *Directory) createAPIKey(ctx context.Context, by audit.Actor, spec NewAPIKey) (APIKey, error) {
	if spec.PublicKey == "" {
		spec.PublicKey = newPublicKey()
	}
	now := d.Now()
	k := APIKey{
		ID: atlas.NewID(now), OrgID: spec.OrgID, Desc: spec.Desc, PublicKey: spec.PublicKey, Redacted: redact(spec.PrivateKey),
		Created: now.UTC(), Grants: spec.Grants.InOrg(spec.Grants.OrgRoles),
	}
	k.at = pair{record: keys.APIKey(k.PublicKey), listing: keys.APIKeyID(k.OrgID, k.ID)}
	var err error
	if k.Sealed, err = d.Sealer.Seal(ctx, []byte(spec.PrivateKey), k.sealContext()); err != nil {
		return APIKey{}, fmt.Errorf("seal private key: %w", err)
	}
	ops, err := k.put()
	if err != nil {
		return APIKey{}, err
	}
	ownership, err := d.handOver(ctx, k.OrgID, k.ID, false, k.IsOwner(), atlas.CannotDeleteLastAdmin)
	if err != nil {
		return APIKey{}, err
	}
	events := scribe{now, by, k.portrait()}.creation(APIKeyCreated, apiKeyEvents)
	return k, d.write(ctx, events, append(ops, ownership...)...)
}

// FindByPublicKey reads a key by what its holder signs with: one read. found is false if there
// is none.
func (d *Directory) FindByPublicKey(ctx context.Context, publicKey string) (key APIKey, found bool, err error) {
	if !ValidPublicKey(publicKey) {
		return APIKey{}, false, nil
	}
	key, version, err := store.Load[APIKey](ctx, d.Table, keys.APIKey(publicKey))
	if errors.Is(err, store.ErrNotFound) {
		return APIKey{}, false, nil
	}
	key.at = pair{record: keys.APIKey(publicKey), recordVersion: version}
	return key, err == nil, err
}

// PrivateKey opens the private key of a key that was found by its public key.
func (d *Directory) PrivateKey(ctx context.Context, k APIKey) (string, error) {
	plain, err := d.Sealer.Open(ctx, k.Sealed, k.sealContext())
	if err != nil {
		return "", fmt.Errorf("open private key of %s: %w", k.PublicKey, err)
	}
	return string(plain), nil
}

// APIKey reads an organisation's key by its id. It returns API_KEY_NOT_FOUND if there is none.
func (d *Directory) APIKey(ctx context.Context, orgID, id string) (APIKey, error) {
	listing, version, err := store.Load[APIKey](ctx, d.Table, keys.APIKeyID(orgID, id))
	if errors.Is(err, store.ErrNotFound) {
		return APIKey{}, atlas.Fail(atlas.APIKeyNotFound, id)
	}
	if err != nil {
		return APIKey{}, err
	}
	k, found, err := d.FindByPublicKey(ctx, listing.PublicKey)
	if err != nil {
		return APIKey{}, err
	}
	if !found || k.ID != id {
		return APIKey{}, atlas.Fail(atlas.APIKeyNotFound, id) // deleted since its listing was read
	}
	k.at.listing, k.at.listingVersion = keys.APIKeyID(orgID, id), version
	return k, nil
}

// APIKeys lists an organisation's keys, oldest first.
func (d *Directory) APIKeys(ctx context.Context, orgID string) ([]APIKey, error) {
	return list[APIKey](ctx, d.Table, orgID, keys.APIKeyPrefix)
}

// ChangeAPIKey applies a change to a key. change is pure: it may be called again when somebody
// else changes the key at the same time. A change that changes nothing writes nothing.
func (d *Directory) ChangeAPIKey(ctx context.Context, by audit.Actor, orgID, id string, change func(APIKey) (APIKey, error)) (key APIKey, err error) {
	err = store.Again(attempts, func() error {
		before, err := d.APIKey(ctx, orgID, id)
		if err != nil {
			return err
		}
		if key, err = change(before); err != nil {
			return err
		}
		events := scribe{d.Now(), by, key.portrait()}.change(before.portrait(), apiKeyEvents)
		if len(events) == 0 {
			return nil
		}
		ownership, err := d.handOver(ctx, orgID, id, before.IsOwner(), key.IsOwner(), atlas.CannotDemoteLastOrgOwner)
		if err != nil {
			return err
		}
		ops, err := key.put()
		if err != nil {
			return err
		}
		return d.write(ctx, events, append(ops, ownership...)...)
	})
	return key, err
}

// DeleteAPIKey removes a key. From then on nothing is signed with it.
func (d *Directory) DeleteAPIKey(ctx context.Context, by audit.Actor, orgID, id string) error {
	return store.Again(attempts, func() error {
		k, err := d.APIKey(ctx, orgID, id)
		if err != nil {
			return err
		}
		ownership, err := d.handOver(ctx, orgID, id, k.IsOwner(), false, atlas.CannotDeleteLastAdmin)
		if err != nil {
			return err
		}
		events := scribe{d.Now(), by, k.portrait()}.deletion(APIKeyDeleted)
		return d.write(ctx, events, append(k.at.remove(), ownership...)...)
	})
}
