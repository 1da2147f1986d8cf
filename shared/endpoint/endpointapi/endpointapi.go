// Package endpointapi offers private endpoints over HTTP (CONTRACT 3).
package endpointapi

import (
	"context"
	"net/http"

	"latchkey/shared/atlas"
	"latchkey/shared/endpoint"
	"latchkey/shared/httpapi"
	"latchkey/shared/identity"
)

const (
	all = "/api/atlas/v2/groups/{groupId}/encryptionAtRest/{cloudProvider}/privateEndpoints"
	one = all + "/{endpointId}"

	regions = "/api/latchkey/v1/groups/{groupId}/encryptionAtRest/{cloudProvider}/privateEndpointRegions"
)

// Routes lists the operations. Even reading needs a Project Owner (CONTRACT 2.4).
func Routes(s *endpoint.Service) []httpapi.Route {
	a := api{s}
	route := func(operation, method, path string, h httpapi.Handler) httpapi.Route {
		return httpapi.Route{
			Operation: operation, Method: method, Path: path, Versions: []atlas.Version{atlas.V20230101},
			Rule: identity.OwnGroup, Limit: httpapi.LimitEncryption, Handle: h,
		}
	}
	return []httpapi.Route{
		route("listGroupEncryptionAtRestPrivateEndpoints", http.MethodGet, all, a.list),
		route("createGroupEncryptionAtRestPrivateEndpoint", http.MethodPost, all, httpapi.JSON(a.create)),
		route("getGroupEncryptionAtRestPrivateEndpoint", http.MethodGet, one, a.get),
		route("requestGroupEncryptionAtRestPrivateEndpointDeletion", http.MethodDelete, one, a.delete),
		{
			Operation: "listGroupEncryptionAtRestPrivateEndpointRegions", Method: http.MethodGet, Path: regions,
			Rule: identity.ReadGroup, Limit: httpapi.LimitEncryption, Handle: a.regions,
		},
	}
}

type api struct{ service *endpoint.Service }

// view is an endpoint as the API shows it (schema EARPrivateEndpoint).
type view struct {
	CloudProvider  atlas.Provider  `json:"cloudProvider"`
	ErrorMessage   *string         `json:"errorMessage"`
	ID             string          `json:"id"`
	ConnectionName *string         `json:"privateEndpointConnectionName"`
	RegionName     string          `json:"regionName"`
	Status         endpoint.Status `json:"status"`
}

func viewOf(p atlas.Provider, e endpoint.Endpoint) view {
	return view{
		CloudProvider: p, ErrorMessage: optional(e.Message), ID: e.ID, ConnectionName: optional(e.Connection),
		RegionName: e.Region, Status: e.Status,
	}
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// provider reads the provider of the path. Google Cloud KMS has no private endpoints in the API.
func provider(r *httpapi.Request) (atlas.Provider, error) {
	p, err := atlas.ParseProvider(r.Param("cloudProvider"))
	if err == nil && p == atlas.GCP {
		err = atlas.Fail(atlas.InvalidEnumValue, string(p)).Hinting("There are private endpoints at AWS and AZURE.")
	}
	return p, err
}

// endpointID reads the id of the path.
func endpointID(r *httpapi.Request) (string, error) {
	id := r.Param("endpointId")
	if !atlas.ValidID(id) {
		return "", atlas.Fail(atlas.InvalidPathParameter, "endpointId").Hinting("It must have 24 hexadecimal digits.")
	}
	return id, nil
}

func (a api) list(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	p, err := provider(r)
	if err != nil {
		return httpapi.Response{}, err
	}
	endpoints, err := a.service.List(ctx, r.GroupID(), p)
	if err != nil {
		return httpapi.Response{}, err
	}
	views := make([]view, len(endpoints))
	for i, e := range endpoints {
		views[i] = viewOf(p, e)
	}
	return httpapi.List(r, views)
}

// regions tells where endpoints can be made, so that nobody has to find out by refusals.
func (a api) regions(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	p, err := provider(r)
	if err != nil {
		return httpapi.Response{}, err
	}
	offered, err := a.service.Offered(ctx, r.GroupID(), p)
	if err != nil {
		return httpapi.Response{}, err
	}
	return httpapi.OK(map[string][]string{"regions": append([]string{}, offered...)}), nil
}

// creation is the body of POST. The provider that clients send along is the path's.
type creation struct {
	RegionName *string `json:"regionName"`
}

func (a api) create(ctx context.Context, r *httpapi.Request, body creation) (httpapi.Response, error) {
	p, err := provider(r)
	if err != nil {
		return httpapi.Response{}, err
	}
	region := ""
	if body.RegionName != nil {
		region = *body.RegionName
	}
	made, err := a.service.Create(ctx, r.Caller, r.GroupID(), p, region)
	if err != nil {
		return httpapi.Response{}, err
	}
	return httpapi.Response{Status: http.StatusAccepted, Body: viewOf(p, made)}, nil
}

func (a api) get(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	p, err := provider(r)
	if err != nil {
		return httpapi.Response{}, err
	}
	id, err := endpointID(r)
	if err != nil {
		return httpapi.Response{}, err
	}
	e, err := a.service.Get(ctx, r.GroupID(), p, id)
	if err != nil {
		return httpapi.Response{}, err
	}
	return httpapi.OK(viewOf(p, e)), nil
}

// delete answers once the endpoint is DELETING: clients take any other status for a failure. A body,
// which a curl line of the documents sends, is ignored.
func (a api) delete(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	p, err := provider(r)
	if err != nil {
		return httpapi.Response{}, err
	}
	id, err := endpointID(r)
	if err != nil {
		return httpapi.Response{}, err
	}
	if err := a.service.Delete(ctx, r.Caller, r.GroupID(), p, id); err != nil {
		return httpapi.Response{}, err
	}
	return httpapi.NoContent(), nil
}
