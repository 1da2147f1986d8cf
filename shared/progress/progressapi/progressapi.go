// Package progressapi tells over HTTP what is going on in a project: how its clusters and their nodes
// stand, and which workflows run. It is Latchkey's own: the documents have no operations for it.
package progressapi

import (
	"context"
	"net/http"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/httpapi"
	"latchkey/shared/identity"
	"latchkey/shared/progress"
)

// Clusters tells how clusters stand; progress.Reader is the one in use.
type Clusters interface {
	Names(ctx context.Context, groupID string) ([]string, error)
	List(ctx context.Context, groupID string, names []string) ([]progress.Cluster, error)
	Get(ctx context.Context, groupID, name string) (progress.Cluster, error)
}

// API serves the operations of this package. All fields are required.
type API struct {
	Clusters  Clusters
	Workflows Workflows
}

const group = "/api/latchkey/v1/groups/{groupId}"

// Routes lists the operations.
func (a API) Routes() []httpapi.Route {
	get := func(operation, path string, limit httpapi.EndpointSet, h httpapi.Handler) httpapi.Route {
		return httpapi.Route{
			Operation: operation, Method: http.MethodGet, Path: group + path, Rule: identity.ReadGroup, Limit: limit, Handle: h,
		}
	}
	return []httpapi.Route{
		get("listGroupClusterProgress", "/clusters", httpapi.LimitClusters, a.listClusters),
		get("getGroupClusterProgress", "/clusters/{clusterName}", httpapi.LimitClusters, a.getCluster),
		get("listGroupWorkflows", "/workflows", httpapi.LimitEvents, a.listWorkflows), // "events; processes and monitoring" are one set
	}
}

// optional is a string, null for none.
func optional[S ~string](s S) *S {
	if s == "" {
		return nil
	}
	return &s
}

// optionalTime is a time as the API writes it, null if it has not come.
func optionalTime(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	return optional(atlas.Time(t))
}

// listed is never null.
func listed(ids []string) []string { return append([]string{}, ids...) }
