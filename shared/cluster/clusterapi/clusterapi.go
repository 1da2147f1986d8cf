// Package clusterapi offers clusters over HTTP: paths, the shapes of each version, and nothing
// else (CONTRACT 6). All versions show one stored cluster.
package clusterapi

import (
	"net/http"
	"slices"
	"strings"

	"latchkey/shared/atlas"
	"latchkey/shared/cluster"
	"latchkey/shared/httpapi"
	"latchkey/shared/identity"
	"latchkey/shared/project"
)

// API serves the operations of this package.
type API struct {
	Clusters *cluster.Service
	Projects *project.Service
}

const (
	group       = "/api/atlas/v2/groups/{groupId}"
	clusters    = group + "/clusters"
	one         = clusters + "/{clusterName}"
	allClusters = "/api/atlas/v2/clusters"
)

// manage lets those change clusters who may; some members of a cluster need a Project Owner.
var manage = identity.Rule{Scope: identity.InGroup, Roles: []identity.Role{identity.GroupOwner, identity.GroupClusterManager}}

// The versions of the operations and what is said of the old ones (CONTRACT 1.1, Appendix A).
// 2023-01-01 shows clusters as v1.0 does, which Terraform's oldest resource still uses.
var (
	first         = []atlas.Version{atlas.V20230101}
	readVersions  = []atlas.Version{atlas.V20230101, atlas.V20230201, atlas.V20240805}
	writeVersions = []atlas.Version{atlas.V20230101, atlas.V20230201, atlas.V20240805, atlas.V20241023}
	argsVersions  = []atlas.Version{atlas.V20230101, atlas.V20240805}
	endVersions   = []atlas.Version{atlas.V20230101, atlas.V20230201}
	flexVersions  = []atlas.Version{atlas.V20241113}

	replaced2024 = httpapi.Deprecation{Deprecation: "Mon, 5 Aug 2024 00:00:00 GMT", Sunset: "Thu, 1 Jul 2027 00:00:00 GMT"}
	deprecated   = map[atlas.Version]httpapi.Deprecation{
		atlas.V20230101: replaced2024, atlas.V20230201: replaced2024,
	}
	writeDeprecated = map[atlas.Version]httpapi.Deprecation{
		atlas.V20230101: replaced2024, atlas.V20230201: replaced2024,
		atlas.V20240805: {Deprecation: "Wed, 23 Oct 2024 00:00:00 GMT", Sunset: "Mon, 1 Mar 2027 00:00:00 GMT"},
	}
	endDeprecated = map[atlas.Version]httpapi.Deprecation{
		atlas.V20230101: {Deprecation: "Wed, 1 Feb 2023 00:00:00 GMT", Sunset: "Thu, 1 Jul 2027 00:00:00 GMT"},
	}
)

// Routes lists the operations.
func (a API) Routes() []httpapi.Route {
	routes := append(a.clusterRoutes(), a.estateRoutes()...)
	for _, r := range slices.Clone(routes) {
		if slices.Contains(legacyOperations, r.Operation) {
			routes = append(routes, legacyRoute(r))
		}
	}
	return routes
}

// legacyOperations are those that Terraform's oldest resource for clusters asks v1.0 for.
var legacyOperations = []string{
	"listGroupClusters", "createGroupCluster", "getGroupCluster", "updateGroupCluster", "deleteGroupCluster",
	"listGroupContainers", "listGroupContainerAll", "getGroupContainer",
}

// legacyRoute is the same operation in v1.0: plain application/json.
func legacyRoute(r httpapi.Route) httpapi.Route {
	r.Path = strings.Replace(r.Path, "/api/atlas/v2/", "/api/atlas/v1.0/", 1)
	r.Versions, r.Deprecated = nil, nil
	return r
}

// versioned is a route with versions of which some are deprecated.
func versioned(operation, method, path string, v []atlas.Version, d map[atlas.Version]httpapi.Deprecation, rule identity.Rule, h httpapi.Handler) httpapi.Route {
	return httpapi.Route{
		Operation: operation, Method: method, Path: path, Versions: v, Deprecated: d, Rule: rule,
		Limit: httpapi.LimitClusters, Handle: h,
	}
}

// get is a route that has one version and that every role may use.
func get(operation, path string, h httpapi.Handler) httpapi.Route {
	return versioned(operation, http.MethodGet, path, first, nil, identity.ReadGroup, h)
}

func (a API) clusterRoutes() []httpapi.Route {
	read, own := identity.ReadGroup, identity.OwnGroup
	return []httpapi.Route{
		versioned("listGroupClusters", http.MethodGet, clusters, readVersions, deprecated, read, a.list),
		versioned("createGroupCluster", http.MethodPost, clusters, writeVersions, writeDeprecated, own, a.create),
		versioned("getGroupCluster", http.MethodGet, one, readVersions, deprecated, read, a.get),
		versioned("updateGroupCluster", http.MethodPatch, one, writeVersions, writeDeprecated, manage, a.update),
		versioned("deleteGroupCluster", http.MethodDelete, one, endVersions, endDeprecated, own, a.delete),
		versioned("getGroupClusterProcessArgs", http.MethodGet, one+"/processArgs", argsVersions, deprecated, read, a.getArgs),
		versioned("updateGroupClusterProcessArgs", http.MethodPatch, one+"/processArgs", argsVersions, deprecated, manage, a.updateArgs),
		versioned("autoGroupClusterScalingConfiguration", http.MethodGet, one+"/autoScalingConfiguration",
			[]atlas.Version{atlas.V20240805}, nil, read, a.getScalingMode),
		get("getGroupClusterStatus", one+"/status", a.getStatus),
		get("listGroupClusterProviderRegions", clusters+"/provider/regions", a.listRegions),
	}
}

func (a API) estateRoutes() []httpapi.Route {
	process := func(operation, path string, h httpapi.Handler) httpapi.Route {
		r := get(operation, path, h)
		r.Limit = httpapi.LimitEvents // "events; processes and monitoring" are one set
		return r
	}
	org := get("listClusterDetails", allClusters, a.listInOrg)
	org.Rule, org.Limit = identity.AnyCaller, httpapi.LimitGroups
	return []httpapi.Route{
		org,
		get("listGroupContainers", group+"/containers", a.listContainers),
		get("listGroupContainerAll", group+"/containers/all", a.listAllContainers),
		get("getGroupContainer", group+"/containers/{containerId}", a.getContainer),
		process("listGroupProcesses", group+"/processes", a.listProcesses),
		process("getGroupProcess", group+"/processes/{processId}", a.getProcess),
		versioned("listGroupFlexClusters", http.MethodGet, group+"/flexClusters", flexVersions, nil, identity.ReadGroup, a.listFlex),
		versioned("getGroupFlexCluster", http.MethodGet, group+"/flexClusters/{name}", flexVersions, nil, identity.ReadGroup, a.getFlex),
	}
}
