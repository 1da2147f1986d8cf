// Package projectapi offers the operations on organisations, projects and what clients read
// along with a project: paths, wire shapes and nothing else.
package projectapi

import (
	"context"
	"net/http"

	"latchkey/shared/atlas"
	"latchkey/shared/httpapi"
	"latchkey/shared/identity"
	"latchkey/shared/project"
)

// ClusterAddresses tells the IP addresses of a group's clusters.
type ClusterAddresses interface {
	// ClusterAddresses lists the clusters of an open group with their addresses.
	ClusterAddresses(ctx context.Context, groupID string) ([]ClusterIPs, error)
}

// API serves the operations of this package.
type API struct {
	Projects *project.Service
	// Addresses may be nil: then no cluster has an address.
	Addresses ClusterAddresses
}

const (
	groups = "/api/atlas/v2/groups"
	group  = groups + "/{groupId}"
	orgs   = "/api/atlas/v2/orgs"
	org    = orgs + "/{orgId}"
)

var (
	first = []atlas.Version{atlas.V20230101}
	// users changed their shape; the old one is deprecated (CONTRACT Appendix A).
	userVersions    = []atlas.Version{atlas.V20230101, atlas.V20250219}
	userDeprecation = map[atlas.Version]httpapi.Deprecation{atlas.V20230101: {
		Deprecation: "Wed, 19 Feb 2025 00:00:00 GMT", Sunset: "Thu, 1 Jul 2027 00:00:00 GMT",
	}}
)

// Routes lists the operations.
func (a API) Routes() []httpapi.Route {
	return append(append(a.orgRoutes(), a.groupRoutes()...), a.neighbourRoutes()...)
}

func route(operation, method, path string, rule identity.Rule, limit httpapi.EndpointSet, h httpapi.Handler) httpapi.Route {
	return httpapi.Route{
		Operation: operation, Method: method, Path: path, Versions: first, Rule: rule, Limit: limit, Handle: h,
	}
}

func usersRoute(operation, path string, rule identity.Rule, limit httpapi.EndpointSet, h httpapi.Handler) httpapi.Route {
	r := route(operation, http.MethodGet, path, rule, limit, h)
	r.Versions, r.Deprecated = userVersions, userDeprecation
	return r
}

func (a API) orgRoutes() []httpapi.Route {
	read := identity.ReadOrg
	return []httpapi.Route{
		route("listOrgs", http.MethodGet, orgs, identity.AnyCaller, httpapi.LimitOrgs, a.listOrgs),
		route("getOrg", http.MethodGet, org, read, httpapi.LimitOrg, a.getOrg),
		route("getOrgGroups", http.MethodGet, org+"/groups", read, httpapi.LimitOrg, a.listOrgGroups),
		route("getOrgSettings", http.MethodGet, org+"/settings", read, httpapi.LimitOrg, a.getOrgSettings),
		usersRoute("listOrgUsers", org+"/users", read, httpapi.LimitOrg, a.listOrgUsers),
	}
}

func (a API) groupRoutes() []httpapi.Route {
	return []httpapi.Route{
		route("listGroups", http.MethodGet, groups, identity.AnyCaller, httpapi.LimitGroups, a.listGroups),
		route("createGroup", http.MethodPost, groups, identity.CreateGroup, httpapi.LimitGroups, httpapi.JSON(a.createGroup)),
		route("getGroupByName", http.MethodGet, groups+"/byName/{groupName}", identity.AnyCaller, httpapi.LimitGroups, a.getGroupByName),
		route("getGroup", http.MethodGet, group, identity.ReadGroup, httpapi.LimitGroup, a.getGroup),
		route("updateGroup", http.MethodPatch, group, identity.AdministerGroup, httpapi.LimitGroup, httpapi.JSON(a.updateGroup)),
		route("deleteGroup", http.MethodDelete, group, identity.AdministerGroup, httpapi.LimitGroup, a.deleteGroup),
	}
}

func (a API) neighbourRoutes() []httpapi.Route {
	get := func(operation, path string, h httpapi.Handler) httpapi.Route {
		return route(operation, http.MethodGet, group+path, identity.ReadGroup, httpapi.LimitGroup, h)
	}
	set := func(operation, method, path string, h httpapi.Handler) httpapi.Route {
		return route(operation, method, group+path, identity.AdministerGroup, httpapi.LimitGroup, h)
	}
	return []httpapi.Route{
		usersRoute("listGroupUsers", group+"/users", identity.ReadGroup, httpapi.LimitGroup, a.listGroupUsers),
		get("listGroupTeams", "/teams", a.listNothing),
		get("listGroupAccessListEntries", "/accessList", a.listNothing),
		get("getGroupIpAddresses", "/ipAddresses", a.getIPAddresses),
		get("getGroupSettings", "/settings", a.getSettings),
		set("updateGroupSettings", http.MethodPatch, "/settings", a.updateSettings),
		get("getGroupManagedSlowMs", "/managedSlowMs", a.getManagedSlowMs),
		set("enableGroupManagedSlowMs", http.MethodPost, "/managedSlowMs/enable", a.setManagedSlowMs(true)),
		set("disableGroupManagedSlowMs", http.MethodDelete, "/managedSlowMs/disable", a.setManagedSlowMs(false)),
		get("listGroupLimits", "/limits", a.listLimits),
		get("getGroupLimit", "/limits/{limitName}", a.getLimit),
		set("setGroupLimit", http.MethodPatch, "/limits/{limitName}", httpapi.JSON(a.setLimit)),
		set("deleteGroupLimit", http.MethodDelete, "/limits/{limitName}", a.deleteLimit),
	}
}
