package identityapi

import (
	"context"

	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/httpapi"
	"latchkey/shared/identity"
	"latchkey/shared/identity/directory"
)

// accountView is a service account on the wire (CONTRACT 7.4).
type accountView struct {
	ClientID    string          `json:"clientId"`
	CreatedAt   string          `json:"createdAt"`
	Description string          `json:"description"`
	Name        string          `json:"name"`
	Roles       []identity.Role `json:"roles"` // in the place that the path names
	Secrets     []secretView    `json:"secrets"`
}

// secretView is a secret. Its value is there only when the secret was made by this request.
type secretView struct {
	CreatedAt         string  `json:"createdAt"`
	ExpiresAt         string  `json:"expiresAt"`
	ID                string  `json:"id"`
	LastUsedAt        *string `json:"lastUsedAt,omitempty"`
	MaskedSecretValue string  `json:"maskedSecretValue,omitempty"`
	Secret            string  `json:"secret,omitempty"`
}

func viewAccount(a directory.ServiceAccount, groupID string) accountView {
	v := accountView{
		ClientID: a.ClientID, CreatedAt: atlas.Time(a.Created), Description: a.Description, Name: a.Name,
		Roles: a.OrgRoles, Secrets: []secretView{},
	}
	if groupID != "" {
		v.Roles = a.GroupRoles[groupID]
	}
	for _, s := range a.Secrets {
		v.Secrets = append(v.Secrets, viewSecret(s))
	}
	return v
}

func viewSecret(s directory.Secret) secretView {
	v := secretView{
		CreatedAt: atlas.Time(s.Created), ExpiresAt: atlas.Time(s.Expires), ID: s.ID, MaskedSecretValue: s.Masked,
	}
	if s.LastUsed != nil {
		at := atlas.Time(*s.LastUsed)
		v.LastUsedAt = &at
	}
	return v
}

// reveal shows the value of a secret in the place of its mask.
func (v secretView) reveal(value string) secretView {
	v.MaskedSecretValue, v.Secret = "", value
	return v
}

// isIn reports whether the account is in the place that the path names.
func isIn(a directory.ServiceAccount, r *httpapi.Request) bool {
	return r.GroupID() == "" || a.HasGroup(r.GroupID())
}

func (a API) listAccounts(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	all, err := a.Directory.ServiceAccounts(ctx, r.Caller.OrgID)
	if err != nil {
		return httpapi.Response{}, err
	}
	views := []accountView{}
	for _, account := range all {
		if isIn(account, r) {
			views = append(views, viewAccount(account, r.GroupID()))
		}
	}
	return httpapi.List(r, views)
}

func (a API) getAccount(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	found, err := a.Directory.ServiceAccount(ctx, r.Caller.OrgID, r.Param("clientId"))
	if err != nil {
		return httpapi.Response{}, err
	}
	if !isIn(found, r) {
		return httpapi.Response{}, atlas.Fail(atlas.ServiceAccountNotFound, found.ClientID)
	}
	return httpapi.OK(viewAccount(found, r.GroupID())), nil
}

// accountBody is what clients send. nil members are unset.
type accountBody struct {
	Name        *string          `json:"name"`
	Description *string          `json:"description"`
	Roles       *[]identity.Role `json:"roles"`

	SecretExpiresAfterHours *int `json:"secretExpiresAfterHours"`
}

// check collects what is wrong with the members that are set.
func (b accountBody) check(f *faults) {
	f.text("name", b.Name, maxName)
	f.text("description", b.Description, maxText)
	f.roles(b.Roles)
}

func (a API) createAccount(ctx context.Context, r *httpapi.Request, b accountBody) (httpapi.Response, error) {
	var f faults
	f.required("name", b.Name != nil)
	f.required("description", b.Description != nil)
	f.required("roles", b.Roles != nil)
	b.check(&f)
	life := f.secretLife(b.SecretExpiresAfterHours)
	if err := f.err(); err != nil {
		return httpapi.Response{}, err
	}
	if err := checkRoles(r.Caller.OrgID, r.GroupID(), *b.Roles); err != nil {
		return httpapi.Response{}, err
	}
	grants := directory.Grants{OrgRoles: *b.Roles}
	if r.GroupID() != "" {
		grants = directory.Grants{}.InGroup(r.GroupID(), *b.Roles)
	}
	made, value, err := a.Directory.CreateServiceAccount(ctx, audit.By(r.Caller), directory.NewServiceAccount{
		OrgID: r.Caller.OrgID, Name: *b.Name, Description: *b.Description, Grants: grants, SecretLife: life,
	})
	if err != nil {
		return httpapi.Response{}, err
	}
	v := viewAccount(made, r.GroupID())
	v.Secrets[0] = v.Secrets[0].reveal(value)
	return httpapi.Created(v, r.Base+r.Path+"/"+made.ClientID), nil
}

func (a API) updateAccount(ctx context.Context, r *httpapi.Request, b accountBody) (httpapi.Response, error) {
	var f faults
	b.check(&f)
	if err := f.err(); err != nil {
		return httpapi.Response{}, err
	}
	if b.Roles != nil {
		if err := checkRoles(r.Caller.OrgID, r.GroupID(), *b.Roles); err != nil {
			return httpapi.Response{}, err
		}
	}
	return a.showChanged(ctx, r, func(account directory.ServiceAccount) (directory.ServiceAccount, error) {
		described := b.describe(account)
		if (described.Name != account.Name || described.Description != account.Description) && !mayHandle(r, account.Grants) {
			return account, beyondProject(r, "name and description")
		}
		if b.Roles != nil {
			described.Grants = inPlace(account.Grants, r, *b.Roles)
		}
		return described, nil
	})
}

func (b accountBody) describe(account directory.ServiceAccount) directory.ServiceAccount {
	if b.Name != nil {
		account.Name = *b.Name
	}
	if b.Description != nil {
		account.Description = *b.Description
	}
	return account
}

// inPlace sets the roles in the group or the organisation that the path names.
func inPlace(g directory.Grants, r *httpapi.Request, roles []identity.Role) directory.Grants {
	if r.GroupID() != "" {
		return g.InGroup(r.GroupID(), roles)
	}
	return g.InOrg(roles)
}

// inviteAccount assigns an account of the organisation to the group.
func (a API) inviteAccount(ctx context.Context, r *httpapi.Request, b accountBody) (httpapi.Response, error) {
	var f faults
	f.required("roles", b.Roles != nil)
	f.roles(b.Roles)
	if err := f.err(); err != nil {
		return httpapi.Response{}, err
	}
	if err := checkGroupRoles(r.GroupID(), *b.Roles); err != nil {
		return httpapi.Response{}, err
	}
	changed, err := a.Directory.ChangeServiceAccount(ctx, audit.By(r.Caller), r.Caller.OrgID, r.Param("clientId"),
		func(account directory.ServiceAccount) (directory.ServiceAccount, error) {
			account.Grants = account.InGroup(r.GroupID(), *b.Roles)
			return account, nil
		})
	if err != nil {
		return httpapi.Response{}, err
	}
	return httpapi.OK(viewAccount(changed, r.GroupID())), nil
}

func (a API) deleteAccount(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	return done(a.Directory.DeleteServiceAccount(ctx, audit.By(r.Caller), r.OrgID(), r.Param("clientId")))
}

// removeAccount takes an account out of the group. It stays in the organisation, and its
// secrets stay valid.
func (a API) removeAccount(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	_, err := a.changeAccount(ctx, r, func(account directory.ServiceAccount) (directory.ServiceAccount, error) {
		account.Grants = account.InGroup(r.GroupID(), nil)
		return account, nil
	})
	return done(err)
}

// secretBody is what clients send for a new secret.
type secretBody struct {
	SecretExpiresAfterHours *int `json:"secretExpiresAfterHours"`
}

func (a API) createSecret(ctx context.Context, r *httpapi.Request, b secretBody) (httpapi.Response, error) {
	var f faults
	life := f.secretLife(b.SecretExpiresAfterHours)
	if err := f.err(); err != nil {
		return httpapi.Response{}, err
	}
	now := a.Now()
	made, value := directory.NewSecret(now, life)
	_, err := a.changeAccount(ctx, r, func(account directory.ServiceAccount) (directory.ServiceAccount, error) {
		if !mayHandle(r, account.Grants) {
			return account, beyondProject(r, "secrets")
		}
		return account.WithSecret(made, now)
	})
	if err != nil {
		return httpapi.Response{}, err
	}
	return httpapi.Created(viewSecret(made).reveal(value), r.Base+r.Path+"/"+made.ID), nil
}

func (a API) deleteSecret(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	_, err := a.changeAccount(ctx, r, func(account directory.ServiceAccount) (directory.ServiceAccount, error) {
		if !mayHandle(r, account.Grants) {
			return account, beyondProject(r, "secrets")
		}
		return account.WithoutSecret(r.Param("secretId"))
	})
	return done(err)
}

// mayHandle reports whether an identity's secrets, and what it is known by, are the caller's to
// change. They are not a Project Owner's if the identity reaches beyond the project: with a
// secret come all its roles, and others know it by its name.
func mayHandle(r *httpapi.Request, g directory.Grants) bool {
	return r.GroupID() == "" || g.OnlyInGroup(r.GroupID()) || identity.OwnOrg.Allows(r.Caller.OrgRoles, nil)
}

// beyondProject refuses to change a part of an identity for the reason that mayHandle tells.
func beyondProject(r *httpapi.Request, part string) error {
	return atlas.Fail(atlas.UserUnauthorized).
		Hinting("It has roles beyond project %s, so to change its %s needs the role ORG_OWNER.", r.GroupID(), part)
}

// changeAccount changes an account that is in the place that the path names.
func (a API) changeAccount(ctx context.Context, r *httpapi.Request, change func(directory.ServiceAccount) (directory.ServiceAccount, error)) (directory.ServiceAccount, error) {
	return a.Directory.ChangeServiceAccount(ctx, audit.By(r.Caller), r.Caller.OrgID, r.Param("clientId"),
		func(account directory.ServiceAccount) (directory.ServiceAccount, error) {
			if !isIn(account, r) {
				return account, atlas.Fail(atlas.ServiceAccountNotFound, account.ClientID)
			}
			return change(account)
		})
}

func (a API) showChanged(ctx context.Context, r *httpapi.Request, change func(directory.ServiceAccount) (directory.ServiceAccount, error)) (httpapi.Response, error) {
	changed, err := a.changeAccount(ctx, r, change)
	if err != nil {
		return httpapi.Response{}, err
	}
	return httpapi.OK(viewAccount(changed, r.GroupID())), nil
}
