package directory

import (
	"context"
	"errors"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/identity/token"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

// NewServiceAccount is what a service account is made from.
type NewServiceAccount struct {
	OrgID, Name, Description string
	Grants                   Grants
	SecretLife               time.Duration
}

// CreateServiceAccount makes a service account with its first secret, and returns the secret's
// value, which is kept nowhere.
func (d *Directory) CreateServiceAccount(ctx context.Context, by audit.Actor, spec NewServiceAccount) (account ServiceAccount, secret string, err error) {
	existing, err := d.ServiceAccounts(ctx, spec.OrgID)
	if err != nil {
		return ServiceAccount{}, "", err
	}
	if len(existing) >= MaxPerOrg {
		return ServiceAccount{}, "", atlas.Fail(atlas.MaxServiceAccountsReached, MaxPerOrg)
	}
	err = store.Again(attempts, func() error {
		account, secret, err = d.createServiceAccount(ctx, by, spec)
		return err
	})
	return account, secret, err
}

func (d *Directory) createServiceAccount(ctx context.Context, by audit.Actor, spec NewServiceAccount) (ServiceAccount, string, error) {
	now := d.Now()
	first, value := NewSecret(now, spec.SecretLife)
	a := ServiceAccount{
		ClientID: newClientID(now), OrgID: spec.OrgID, Name: spec.Name, Description: spec.Description, Created: now.UTC(),
		Grants: spec.Grants.InOrg(spec.Grants.OrgRoles), Secrets: []Secret{first},
	}
	a.at = pair{record: keys.ServiceAccount(a.ClientID), listing: keys.ServiceAccountID(a.OrgID, a.ClientID)}
	ops, err := a.put()
	if err != nil {
		return ServiceAccount{}, "", err
	}
	ownership, err := d.handOver(ctx, a.OrgID, a.ClientID, false, a.IsOwner(), atlas.CannotDeleteLastAdmin)
	if err != nil {
		return ServiceAccount{}, "", err
	}
	events := scribe{now, by, a.portrait()}.creation(ServiceAccountCreated, serviceAccountEvents)
	return a, value, d.write(ctx, events, append(ops, ownership...)...)
}

// FindByClientID reads an account by its client id: one read. found is false if there is none.
func (d *Directory) FindByClientID(ctx context.Context, clientID string) (account ServiceAccount, found bool, err error) {
	if !ValidClientID(clientID) {
		return ServiceAccount{}, false, nil
	}
	account, version, err := store.Load[ServiceAccount](ctx, d.Table, keys.ServiceAccount(clientID))
	if errors.Is(err, store.ErrNotFound) {
		return ServiceAccount{}, false, nil
	}
	account.at = pair{record: keys.ServiceAccount(clientID), recordVersion: version}
	return account, err == nil, err
}

// ServiceAccount reads an organisation's account. It returns SERVICE_ACCOUNT_NOT_FOUND if
// there is none.
func (d *Directory) ServiceAccount(ctx context.Context, orgID, clientID string) (ServiceAccount, error) {
	a, found, err := d.FindByClientID(ctx, clientID)
	if err != nil {
		return ServiceAccount{}, err
	}
	if !found || a.OrgID != orgID {
		return ServiceAccount{}, atlas.Fail(atlas.ServiceAccountNotFound, clientID)
	}
	return d.withListing(ctx, a)
}

// withListing adds what is needed to write both of the account's items.
func (d *Directory) withListing(ctx context.Context, a ServiceAccount) (ServiceAccount, error) {
	listing, err := d.Table.Get(ctx, keys.ServiceAccountID(a.OrgID, a.ClientID))
	if errors.Is(err, store.ErrNotFound) {
		return ServiceAccount{}, atlas.Fail(atlas.ServiceAccountNotFound, a.ClientID) // deleted since it was read
	}
	a.at.listing, a.at.listingVersion = listing.Key, listing.Version
	return a, err
}

// ServiceAccounts lists an organisation's accounts, oldest first.
func (d *Directory) ServiceAccounts(ctx context.Context, orgID string) ([]ServiceAccount, error) {
	return list[ServiceAccount](ctx, d.Table, orgID, keys.ServiceAccountPrefix)
}

// ChangeServiceAccount applies a change to an account. change is pure: it may be called again
// when somebody else changes the account at the same time. A change that changes nothing
// writes nothing.
func (d *Directory) ChangeServiceAccount(ctx context.Context, by audit.Actor, orgID, clientID string, change func(ServiceAccount) (ServiceAccount, error)) (account ServiceAccount, err error) {
	err = store.Again(attempts, func() error {
		before, err := d.ServiceAccount(ctx, orgID, clientID)
		if err != nil {
			return err
		}
		if account, err = change(before); err != nil {
			return err
		}
		events := scribe{d.Now(), by, account.portrait()}.change(before.portrait(), serviceAccountEvents)
		if len(events) == 0 {
			return nil
		}
		ownership, err := d.handOver(ctx, orgID, clientID, before.IsOwner(), account.IsOwner(), atlas.CannotDemoteLastOrgOwner)
		if err != nil {
			return err
		}
		ops, err := account.put()
		if err != nil {
			return err
		}
		return d.write(ctx, events, append(ops, ownership...)...)
	})
	return account, err
}

// DeleteServiceAccount removes an account. Its tokens end at once.
func (d *Directory) DeleteServiceAccount(ctx context.Context, by audit.Actor, orgID, clientID string) error {
	return store.Again(attempts, func() error {
		a, err := d.ServiceAccount(ctx, orgID, clientID)
		if err != nil {
			return err
		}
		ownership, err := d.handOver(ctx, orgID, clientID, a.IsOwner(), false, atlas.CannotDeleteLastAdmin)
		if err != nil {
			return err
		}
		events := scribe{d.Now(), by, a.portrait()}.deletion(ServiceAccountDeleted)
		return d.write(ctx, events, append(a.at.remove(), ownership...)...)
	})
}

// NoteUse records that a secret was used, unless it was noted within the hour. A conflict
// means that somebody else writes the account; the next use will be noted.
func (d *Directory) NoteUse(ctx context.Context, a ServiceAccount, secretID string) error {
	used, worth := a.Used(secretID, d.Now())
	if !worth {
		return nil
	}
	used, err := d.withListing(ctx, used)
	if err != nil {
		return err
	}
	ops, err := used.put()
	if err != nil {
		return err
	}
	if err := d.Table.Write(ctx, ops...); !errors.Is(err, store.ErrConflict) {
		return err
	}
	return nil
}

// Revoke ends a token. A token that does not count any more is left as it is.
func (d *Directory) Revoke(ctx context.Context, t token.Token) error {
	return store.Again(attempts, func() error {
		a, found, err := d.FindByClientID(ctx, t.ClientID)
		if err != nil || !found {
			return err
		}
		a, changed := a.WithRevoked(t, d.Now())
		if !changed {
			return nil
		}
		item, err := store.Encode(a.at.record, a.at.recordVersion, a)
		if err != nil {
			return err
		}
		return d.Table.Write(ctx, store.Put(item))
	})
}
