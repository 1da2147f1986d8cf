// Package encryptionapi offers encryption at rest over HTTP (CONTRACT 3).
package encryptionapi

import (
	"context"
	"net/http"

	"latchkey/shared/atlas"
	"latchkey/shared/encryption"
	"latchkey/shared/httpapi"
	"latchkey/shared/identity"
)

// Routes are GET and PATCH of the configuration, in the versioned API and in v1.0, which a
// curl line of the documents still uses.
func Routes(s *encryption.Service) []httpapi.Route {
	a := api{s}
	get := httpapi.Route{
		Operation: "getGroupEncryptionAtRest", Method: http.MethodGet,
		Path: "/api/atlas/v2/groups/{groupId}/encryptionAtRest", Versions: []atlas.Version{atlas.V20230101},
		Rule: identity.ReadGroup, Limit: httpapi.LimitEncryption, Handle: a.get,
	}
	update := get
	update.Operation, update.Method = "updateGroupEncryptionAtRest", http.MethodPatch
	update.Rule, update.Handle = identity.OwnGroup, httpapi.JSON(a.update)
	return []httpapi.Route{get, update, legacy(get), legacy(update)}
}

// legacy is the same operation in v1.0: plain application/json.
func legacy(r httpapi.Route) httpapi.Route {
	r.Path, r.Versions = "/api/atlas/v1.0/groups/{groupId}/encryptionAtRest", nil
	return r
}

type api struct{ service *encryption.Service }

func (a api) get(ctx context.Context, req *httpapi.Request) (httpapi.Response, error) {
	settings, err := a.service.Get(ctx, req.GroupID())
	if err != nil {
		return httpapi.Response{}, err
	}
	return httpapi.OK(settings.Wire()), nil
}

func (a api) update(ctx context.Context, req *httpapi.Request, body atlas.EncryptionAtRestUpdate) (httpapi.Response, error) {
	settings, err := a.service.Update(ctx, req.Caller, req.GroupID(), body)
	if err != nil {
		return httpapi.Response{}, err
	}
	return httpapi.OK(settings.Wire()), nil
}
