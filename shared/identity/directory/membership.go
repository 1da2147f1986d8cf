package directory

import (
	"context"

	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/identity"
	"latchkey/shared/store"
)

// Grant returns the operations that give a caller's own identity more roles in a group. They
// belong in the transaction that creates the group, which conflicts if the identity changes
// meanwhile. Latchkey itself holds no roles, so it gets no operations.
func (d *Directory) Grant(ctx context.Context, c identity.Caller, groupID string, roles []identity.Role) ([]store.Op, error) {
	switch c.Kind {
	case identity.KindAPIKey:
		return d.grantKey(ctx, c, groupID, roles)
	case identity.KindServiceAccount:
		return d.grantAccount(ctx, c, groupID, roles)
	case identity.KindSystem:
	}
	return nil, nil
}

func (d *Directory) grantKey(ctx context.Context, c identity.Caller, groupID string, roles []identity.Role) ([]store.Op, error) {
	before, err := d.APIKey(ctx, c.OrgID, c.ID)
	if err != nil {
		return nil, gone(err)
	}
	after := before
	after.Grants = before.AlsoInGroup(groupID, roles)
	ops, err := after.put()
	if err != nil {
		return nil, err
	}
	events := scribe{d.Now(), audit.By(c), after.portrait()}.change(before.portrait(), apiKeyEvents)
	return d.withEvents(ops, events)
}

func (d *Directory) grantAccount(ctx context.Context, c identity.Caller, groupID string, roles []identity.Role) ([]store.Op, error) {
	before, err := d.ServiceAccount(ctx, c.OrgID, c.ID)
	if err != nil {
		return nil, gone(err)
	}
	after := before
	after.Grants = before.AlsoInGroup(groupID, roles)
	ops, err := after.put()
	if err != nil {
		return nil, err
	}
	events := scribe{d.Now(), audit.By(c), after.portrait()}.change(before.portrait(), serviceAccountEvents)
	return d.withEvents(ops, events)
}

// Withdraw takes the roles in a closed group from every identity of its organisation. Otherwise
// the record of a key that makes and closes groups for a living, a pipeline's say, would grow
// until the table takes no more of it. It may be cut short and repeated.
func (d *Directory) Withdraw(ctx context.Context, orgID, groupID string) error {
	apiKeys, err := d.APIKeys(ctx, orgID)
	if err != nil {
		return err
	}
	for _, k := range apiKeys {
		if !k.HasGroup(groupID) {
			continue
		}
		_, err := d.ChangeAPIKey(ctx, audit.System(), orgID, k.ID, func(k APIKey) (APIKey, error) {
			k.Grants = k.InGroup(groupID, nil)
			return k, nil
		})
		if err != nil && atlas.CodeOf(err) != atlas.APIKeyNotFound { // deleted meanwhile
			return err
		}
	}
	return d.withdrawAccounts(ctx, orgID, groupID)
}

func (d *Directory) withdrawAccounts(ctx context.Context, orgID, groupID string) error {
	accounts, err := d.ServiceAccounts(ctx, orgID)
	if err != nil {
		return err
	}
	for _, a := range accounts {
		if !a.HasGroup(groupID) {
			continue
		}
		_, err := d.ChangeServiceAccount(ctx, audit.System(), orgID, a.ClientID, func(a ServiceAccount) (ServiceAccount, error) {
			a.Grants = a.InGroup(groupID, nil)
			return a, nil
		})
		if err != nil && atlas.CodeOf(err) != atlas.ServiceAccountNotFound { // deleted meanwhile
			return err
		}
	}
	return nil
}

// GroupRoles reads all roles that a caller holds in groups. The Caller itself knows only those
// in the group that its request names.
func (d *Directory) GroupRoles(ctx context.Context, c identity.Caller) (map[string][]identity.Role, error) {
	switch c.Kind {
	case identity.KindAPIKey:
		k, err := d.APIKey(ctx, c.OrgID, c.ID)
		return k.GroupRoles, gone(err)
	case identity.KindServiceAccount:
		a, err := d.ServiceAccount(ctx, c.OrgID, c.ID)
		return a.GroupRoles, gone(err)
	case identity.KindSystem:
	}
	return nil, nil
}

// gone turns "no such identity" into what a caller hears whose identity was deleted while its
// request was on its way.
func gone(err error) error {
	if code := atlas.CodeOf(err); code == atlas.APIKeyNotFound || code == atlas.ServiceAccountNotFound {
		return atlas.Fail(atlas.UserUnauthorized).Because(err)
	}
	return err
}
