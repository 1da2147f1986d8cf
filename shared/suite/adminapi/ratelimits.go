package adminapi

import (
	"context"
	"net/http"
	"slices"

	"latchkey/shared/access/accessapi"
	"latchkey/shared/atlas"
	"latchkey/shared/encryption/encryptionapi"
	"latchkey/shared/endpoint/endpointapi"
	"latchkey/shared/httpapi"
	"latchkey/shared/identity"
	"latchkey/shared/identity/directory"
	"latchkey/shared/snapshot/snapshotapi"
)

// rateLimits tells clients what limits they have.
type rateLimits struct {
	gate       identity.Gate
	identities *directory.Directory
	routes     []httpapi.Route // of the whole suite
}

func (l *rateLimits) endpoints() []httpapi.Route {
	route := func(operation, path string, h httpapi.Handler) httpapi.Route {
		return httpapi.Route{
			Operation: operation, Method: http.MethodGet, Path: "/api/atlas/v2/rateLimits" + path,
			Versions: []atlas.Version{atlas.V20250312}, Rule: identity.AnyCaller, Limit: httpapi.LimitOrgs, Handle: h,
		}
	}
	return []httpapi.Route{
		route("listRateLimits", "", l.list), route("getRateLimit", "/{endpointSetId}", l.get),
	}
}

// elsewhere are the routes that other functions serve, so that clients are told of all operations
// that share a limit. They are only listed, never called, so they have no services behind them.
func elsewhere() []httpapi.Route {
	return slices.Concat(encryptionapi.Routes(nil), endpointapi.Routes(nil), accessapi.Routes(nil), snapshotapi.API{}.KeyRoutes())
}

// endpointSetView is an endpoint set on the wire. The applied values are the defaults: nobody
// has limits of their own.
type endpointSetView struct {
	Capacity              valueView          `json:"capacity"`
	EndpointSetID         string             `json:"endpointSetId"`
	EndpointSetName       string             `json:"endpointSetName"`
	Endpoints             []endpointView     `json:"endpoints"`
	RefillDurationSeconds valueView          `json:"refillDurationSeconds"`
	RefillRate            valueView          `json:"refillRate"`
	Scope                 httpapi.LimitScope `json:"scope"`
}

type valueView struct {
	Value int `json:"value"`
}

type endpointView struct {
	Method string `json:"method"`
	Path   string `json:"path"`
}

func (l *rateLimits) view(s httpapi.EndpointSet) endpointSetView {
	v := endpointSetView{
		Capacity: valueView{s.Capacity}, EndpointSetID: s.ID, EndpointSetName: s.Name, Endpoints: []endpointView{},
		RefillDurationSeconds: valueView{60}, RefillRate: valueView{s.Refill}, Scope: s.Scope,
	}
	for _, r := range l.routes {
		if r.Limit.ID == s.ID {
			v.Endpoints = append(v.Endpoints, endpointView{Method: r.Method, Path: r.Path})
		}
	}
	return v
}

func (l *rateLimits) list(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	scope, err := l.scope(ctx, r)
	if err != nil {
		return httpapi.Response{}, err
	}
	names, paths := r.Query["name"], r.Query["endpointPath"]
	var views []endpointSetView
	for _, s := range httpapi.EndpointSets() {
		v := l.view(s)
		hasPath := slices.ContainsFunc(v.Endpoints, func(e endpointView) bool { return slices.Contains(paths, e.Path) })
		if (scope == "" || s.Scope == scope) && (len(names) == 0 || slices.Contains(names, s.Name)) && (len(paths) == 0 || hasPath) {
			views = append(views, v)
		}
	}
	return httpapi.List(r, views)
}

func (l *rateLimits) get(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	if _, err := l.scope(ctx, r); err != nil {
		return httpapi.Response{}, err
	}
	id := r.Param("endpointSetId")
	sets := httpapi.EndpointSets()
	i := slices.IndexFunc(sets, func(s httpapi.EndpointSet) bool { return s.ID == id })
	if i < 0 {
		return httpapi.Response{}, atlas.Fail(atlas.ResourceNotFound, id)
	}
	return httpapi.OK(l.view(sets[i])), nil
}

// scope reads for whom the limits are asked, which selects the sets of that scope, and checks
// that the caller may ask. "" selects all sets.
func (l *rateLimits) scope(ctx context.Context, r *httpapi.Request) (httpapi.LimitScope, error) {
	q := r.Query
	switch {
	case q.Has("groupId"):
		return httpapi.PerGroup, l.admitGroup(ctx, r, q.Get("groupId"))
	case q.Has("orgId"):
		a := identity.Attempt{Operation: "listRateLimits", Rule: identity.ReadOrg, OrgID: q.Get("orgId")}
		return httpapi.PerOrg, l.gate.Admit(ctx, r.Caller, a)
	case q.Has("userId"):
		if id := q.Get("userId"); id != r.Caller.ID && id != r.Caller.Name {
			return "", atlas.Fail(atlas.UserUnauthorized).Hinting("A caller may ask only for its own limits.")
		}
		return httpapi.PerUser, nil
	case q.Has("ipAddress"):
		if q.Get("ipAddress") != r.Caller.RemoteAddress {
			return "", atlas.Fail(atlas.UserUnauthorized).Hinting("A caller may ask only for the limits of its own address.")
		}
		return httpapi.PerIP, nil
	}
	return "", nil
}

// admitGroup checks access to a group that the path does not name, so that the caller comes
// without its roles there.
func (l *rateLimits) admitGroup(ctx context.Context, r *httpapi.Request, groupID string) error {
	if !atlas.ValidID(groupID) {
		return atlas.Fail(atlas.InvalidGroupID, groupID)
	}
	c := r.Caller
	var err error
	if c.GroupRoles, err = l.identities.GroupRoles(ctx, c); err != nil {
		return err
	}
	return l.gate.Admit(ctx, c, identity.Attempt{Operation: "listRateLimits", Rule: identity.ReadGroup, GroupID: groupID})
}
