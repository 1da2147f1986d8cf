package identityapi

import (
	"context"
	"slices"

	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/httpapi"
	"latchkey/shared/identity"
	"latchkey/shared/identity/directory"
)

// keyView is an API key on the wire (CONTRACT 7.3).
type keyView struct {
	Desc       string       `json:"desc"`
	ID         string       `json:"id"`
	Links      []atlas.Link `json:"links"`
	PrivateKey string       `json:"privateKey"`
	PublicKey  string       `json:"publicKey"`
	Roles      []roleView   `json:"roles"`
}

// roleView is one role in an organisation or in a group.
type roleView struct {
	GroupID  string        `json:"groupId,omitempty"`
	OrgID    string        `json:"orgId,omitempty"`
	RoleName identity.Role `json:"roleName"`
}

// viewKey shows a key, its private key redacted.
func viewKey(r *httpapi.Request, k directory.APIKey) keyView {
	v := keyView{
		Desc: k.Desc, ID: k.ID, Links: r.Self("/orgs/" + k.OrgID + "/apiKeys/" + k.ID),
		PrivateKey: k.Redacted, PublicKey: k.PublicKey, Roles: []roleView{},
	}
	for _, role := range k.OrgRoles {
		v.Roles = append(v.Roles, roleView{OrgID: k.OrgID, RoleName: role})
	}
	for _, groupID := range k.Groups() {
		for _, role := range k.GroupRoles[groupID] {
			v.Roles = append(v.Roles, roleView{GroupID: groupID, RoleName: role})
		}
	}
	return v
}

func showKey(r *httpapi.Request, k directory.APIKey, err error) (httpapi.Response, error) {
	if err != nil {
		return httpapi.Response{}, err
	}
	return httpapi.OK(viewKey(r, k)), nil
}

func (a API) listOrgKeys(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	return a.listKeys(ctx, r, func(directory.APIKey) bool { return true })
}

func (a API) listGroupKeys(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	return a.listKeys(ctx, r, func(k directory.APIKey) bool { return k.HasGroup(r.GroupID()) })
}

func (a API) listKeys(ctx context.Context, r *httpapi.Request, shown func(directory.APIKey) bool) (httpapi.Response, error) {
	all, err := a.Directory.APIKeys(ctx, r.Caller.OrgID)
	if err != nil {
		return httpapi.Response{}, err
	}
	views := []keyView{}
	for _, k := range all {
		if shown(k) {
			views = append(views, viewKey(r, k))
		}
	}
	return httpapi.List(r, views)
}

func (a API) getOrgKey(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	k, err := a.Directory.APIKey(ctx, r.OrgID(), r.Param("apiUserId"))
	return showKey(r, k, err)
}

// keyBody is what clients send. nil members are unset.
type keyBody struct {
	Desc  *string          `json:"desc"`
	Roles *[]identity.Role `json:"roles"`
}

// check refuses what is wrong with the members that are set.
func (b keyBody) check(orgID, groupID string) error {
	if b.Desc != nil {
		if err := checkDesc(*b.Desc); err != nil {
			return err
		}
	}
	if b.Roles == nil {
		return nil
	}
	if len(*b.Roles) == 0 {
		return atlas.Fail(atlas.MissingAPIKeyRoles)
	}
	return checkRoles(orgID, groupID, *b.Roles)
}

// complete demands the members that a new key needs.
func (b keyBody) complete() error {
	if b.Desc == nil {
		return atlas.Fail(atlas.APIKeyRequiresDescription)
	}
	if b.Roles == nil {
		return atlas.Fail(atlas.MissingAPIKeyRoles)
	}
	return nil
}

func (a API) createOrgKey(ctx context.Context, r *httpapi.Request, b keyBody) (httpapi.Response, error) {
	return a.createKey(ctx, r, b, func(roles []identity.Role) directory.Grants {
		return directory.Grants{OrgRoles: roles}
	})
}

func (a API) createGroupKey(ctx context.Context, r *httpapi.Request, b keyBody) (httpapi.Response, error) {
	return a.createKey(ctx, r, b, func(roles []identity.Role) directory.Grants {
		return directory.Grants{}.InGroup(r.GroupID(), roles)
	})
}

// createKey answers 200 with the private key in full, once.
func (a API) createKey(ctx context.Context, r *httpapi.Request, b keyBody, grants func([]identity.Role) directory.Grants) (httpapi.Response, error) {
	if err := b.complete(); err != nil {
		return httpapi.Response{}, err
	}
	if err := b.check(r.Caller.OrgID, r.GroupID()); err != nil {
		return httpapi.Response{}, err
	}
	k, privateKey, err := a.Directory.CreateAPIKey(ctx, audit.By(r.Caller), directory.NewAPIKey{
		OrgID: r.Caller.OrgID, Desc: *b.Desc, Grants: grants(*b.Roles),
	})
	if err != nil {
		return httpapi.Response{}, err
	}
	v := viewKey(r, k)
	v.PrivateKey = privateKey
	return httpapi.OK(v), nil
}

func (a API) updateOrgKey(ctx context.Context, r *httpapi.Request, b keyBody) (httpapi.Response, error) {
	if err := b.check(r.OrgID(), ""); err != nil {
		return httpapi.Response{}, err
	}
	k, err := a.changeKey(ctx, r, func(k directory.APIKey) (directory.APIKey, error) {
		if b.Roles != nil {
			k.Grants = k.InOrg(*b.Roles)
		}
		return b.describe(k), nil
	})
	return showKey(r, k, err)
}

// updateGroupKey sets a key's roles in the group, whether or not it had any there: that is how
// older clients add a key to a project.
func (a API) updateGroupKey(ctx context.Context, r *httpapi.Request, b keyBody) (httpapi.Response, error) {
	if err := b.check("", r.GroupID()); err != nil {
		return httpapi.Response{}, err
	}
	k, err := a.changeKey(ctx, r, func(k directory.APIKey) (directory.APIKey, error) {
		if b.Roles == nil && !k.HasGroup(r.GroupID()) {
			return k, atlas.Fail(atlas.APIKeyNotFound, k.ID)
		}
		described := b.describe(k)
		if described.Desc != k.Desc && !mayHandle(r, k.Grants) {
			return k, beyondProject(r, "description")
		}
		if b.Roles != nil {
			described.Grants = k.InGroup(r.GroupID(), *b.Roles)
		}
		return described, nil
	})
	return showKey(r, k, err)
}

func (b keyBody) describe(k directory.APIKey) directory.APIKey {
	if b.Desc != nil {
		k.Desc = *b.Desc
	}
	return k
}

// assignment is one element of the array that assigns a key to a group.
type assignment struct {
	Roles []identity.Role `json:"roles"`
}

// addGroupKey gives a key of the organisation roles in the group, besides those it has there.
func (a API) addGroupKey(ctx context.Context, r *httpapi.Request, b []assignment) (httpapi.Response, error) {
	var roles []identity.Role
	for _, one := range b {
		roles = append(roles, one.Roles...)
	}
	if err := (keyBody{Roles: &roles}).check("", r.GroupID()); err != nil {
		return httpapi.Response{}, err
	}
	_, err := a.changeKey(ctx, r, func(k directory.APIKey) (directory.APIKey, error) {
		k.Grants = k.AlsoInGroup(r.GroupID(), slices.Clone(roles))
		return k, nil
	})
	return done(err)
}

func (a API) removeGroupKey(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	_, err := a.changeKey(ctx, r, func(k directory.APIKey) (directory.APIKey, error) {
		if !k.HasGroup(r.GroupID()) {
			return k, atlas.Fail(atlas.APIKeyNotFound, k.ID)
		}
		k.Grants = k.InGroup(r.GroupID(), nil)
		return k, nil
	})
	return done(err)
}

func (a API) deleteOrgKey(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	return done(a.Directory.DeleteAPIKey(ctx, audit.By(r.Caller), r.OrgID(), r.Param("apiUserId")))
}

func (a API) changeKey(ctx context.Context, r *httpapi.Request, change func(directory.APIKey) (directory.APIKey, error)) (directory.APIKey, error) {
	return a.Directory.ChangeAPIKey(ctx, audit.By(r.Caller), r.Caller.OrgID, r.Param("apiUserId"), change)
}

// done answers 204 unless something failed.
func done(err error) (httpapi.Response, error) {
	if err != nil {
		return httpapi.Response{}, err
	}
	return httpapi.NoContent(), nil
}
