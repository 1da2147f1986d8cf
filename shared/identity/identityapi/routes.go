// Package identityapi offers the operations on API keys and service accounts, and the OAuth
// token endpoint: paths, wire shapes and what a request may ask for.
//
// Its invariant: nobody gives away more than they hold. Organisation roles are granted by
// Organization Owners only; who owns a project grants roles in that project, and handles the
// names and secrets of those identities alone that reach nothing else.
package identityapi

import (
	"context"
	"net/http"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/httpapi"
	"latchkey/shared/identity"
	"latchkey/shared/identity/directory"
	"latchkey/shared/identity/keyring"
)

// API serves the operations of this package. All fields are required.
type API struct {
	Directory *directory.Directory
	Keyring   *keyring.Keyring
	Groups    identity.GroupFinder
	Now       func() time.Time
}

const (
	org   = "/api/atlas/v2/orgs/{orgId}"
	group = "/api/atlas/v2/groups/{groupId}"

	keys     = "/apiKeys"
	key      = keys + "/{apiUserId}"
	accounts = "/serviceAccounts"
	account  = accounts + "/{clientId}"
	secrets  = account + "/secrets"
	secret   = secrets + "/{secretId}"
)

var (
	keyVersions     = []atlas.Version{atlas.V20230101}
	accountVersions = []atlas.Version{atlas.V20240805}

	// overseeOrg is "Organization Read Only" in Appendix A: service accounts are shown to
	// fewer than API keys are.
	overseeOrg = identity.Rule{Scope: identity.InOrg, Roles: []identity.Role{identity.OrgOwner, identity.OrgReadOnly}}
	// assignAccount is "Organization Owner" in Appendix A, for a path that names a group.
	assignAccount = identity.Rule{Scope: identity.InGroup, Roles: []identity.Role{identity.OrgOwner}}
)

// Routes lists the operations.
func (a API) Routes() []httpapi.Route {
	routes := append(a.orgKeyRoutes(), a.groupKeyRoutes()...)
	routes = append(routes, a.orgAccountRoutes()...)
	routes = append(routes, a.groupAccountRoutes()...)
	return append(routes, a.oauthRoutes()...)
}

// family makes the routes that have all but a few things in common.
type family struct {
	root     string
	versions []atlas.Version
	limit    httpapi.EndpointSet
}

func (f family) route(operation, method, path string, rule identity.Rule, h httpapi.Handler) httpapi.Route {
	return httpapi.Route{
		Operation: operation, Method: method, Path: f.root + path, Versions: f.versions, Rule: rule, Limit: f.limit, Handle: h,
	}
}

func (a API) orgKeyRoutes() []httpapi.Route {
	f := family{org, keyVersions, httpapi.LimitOrg}
	return []httpapi.Route{
		f.route("listOrgApiKeys", http.MethodGet, keys, identity.ReadOrg, a.listOrgKeys),
		f.route("createOrgApiKey", http.MethodPost, keys, identity.OwnOrg, httpapi.JSON(a.createOrgKey)),
		f.route("getOrgApiKey", http.MethodGet, key, identity.ReadOrg, a.getOrgKey),
		f.route("updateOrgApiKey", http.MethodPatch, key, identity.OwnOrg, httpapi.JSON(a.updateOrgKey)),
		f.route("deleteOrgApiKey", http.MethodDelete, key, identity.OwnOrg, a.deleteOrgKey),
	}
}

func (a API) groupKeyRoutes() []httpapi.Route {
	f := family{group, keyVersions, httpapi.LimitGroup}
	return []httpapi.Route{
		f.route("listGroupApiKeys", http.MethodGet, keys, identity.ReadGroup, a.inOpenGroup(a.listGroupKeys)),
		f.route("createGroupApiKey", http.MethodPost, keys, identity.AdministerGroup, a.inOpenGroup(httpapi.JSON(a.createGroupKey))),
		f.route("addGroupApiKey", http.MethodPost, key, identity.AdministerGroup, a.inOpenGroup(httpapi.JSON(a.addGroupKey))),
		f.route("updateGroupApiKeyRoles", http.MethodPatch, key, identity.AdministerGroup, a.inOpenGroup(httpapi.JSON(a.updateGroupKey))),
		f.route("removeGroupApiKey", http.MethodDelete, key, identity.AdministerGroup, a.inOpenGroup(a.removeGroupKey)),
	}
}

func (a API) orgAccountRoutes() []httpapi.Route {
	f := family{org, accountVersions, httpapi.LimitOrg}
	return []httpapi.Route{
		f.route("listOrgServiceAccounts", http.MethodGet, accounts, overseeOrg, a.listAccounts),
		f.route("createOrgServiceAccount", http.MethodPost, accounts, identity.OwnOrg, httpapi.JSON(a.createAccount)),
		f.route("getOrgServiceAccount", http.MethodGet, account, overseeOrg, a.getAccount),
		f.route("updateOrgServiceAccount", http.MethodPatch, account, identity.OwnOrg, httpapi.JSON(a.updateAccount)),
		f.route("deleteOrgServiceAccount", http.MethodDelete, account, identity.OwnOrg, a.deleteAccount),
		f.route("createOrgServiceAccountSecret", http.MethodPost, secrets, identity.OwnOrg, httpapi.JSON(a.createSecret)),
		f.route("deleteOrgServiceAccountSecret", http.MethodDelete, secret, identity.OwnOrg, a.deleteSecret),
	}
}

func (a API) groupAccountRoutes() []httpapi.Route {
	f := family{group, accountVersions, httpapi.LimitGroup}
	read, own := identity.ReadGroup, identity.AdministerGroup
	return []httpapi.Route{
		f.route("listGroupServiceAccounts", http.MethodGet, accounts, read, a.inOpenGroup(a.listAccounts)),
		f.route("createGroupServiceAccount", http.MethodPost, accounts, own, a.inOpenGroup(httpapi.JSON(a.createAccount))),
		f.route("getGroupServiceAccount", http.MethodGet, account, read, a.inOpenGroup(a.getAccount)),
		f.route("updateGroupServiceAccount", http.MethodPatch, account, own, a.inOpenGroup(httpapi.JSON(a.updateAccount))),
		f.route("deleteGroupServiceAccount", http.MethodDelete, account, own, a.inOpenGroup(a.removeAccount)),
		f.route("createGroupServiceAccountSecret", http.MethodPost, secrets, own, a.inOpenGroup(httpapi.JSON(a.createSecret))),
		f.route("deleteGroupServiceAccountSecret", http.MethodDelete, secret, own, a.inOpenGroup(a.deleteSecret)),
		f.route("inviteGroupServiceAccount", http.MethodPost, account+":invite", assignAccount, a.inOpenGroup(httpapi.JSON(a.inviteAccount))),
	}
}

// oauthRoutes are unversioned and authenticate their clients themselves.
func (a API) oauthRoutes() []httpapi.Route {
	f := family{root: "/api/oauth", limit: httpapi.LimitOpen}
	return []httpapi.Route{
		f.route("issueAccessToken", http.MethodPost, "/token", identity.Anyone, a.issueToken),
		f.route("revokeAccessToken", http.MethodPost, "/revoke", identity.Anyone, a.revokeToken),
	}
}

// inOpenGroup runs an operation only while the group of the path is open. The gate lets a
// caller with a role pass without reading the group.
func (a API) inOpenGroup(next httpapi.Handler) httpapi.Handler {
	return func(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
		orgID, closed, found, err := a.Groups.FindGroup(ctx, r.GroupID())
		if err != nil {
			return httpapi.Response{}, err
		}
		if !found || closed || orgID != r.Caller.OrgID {
			return httpapi.Response{}, atlas.Fail(atlas.GroupNotFound, r.GroupID())
		}
		return next(ctx, r)
	}
}
