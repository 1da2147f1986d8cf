// Package encryptionapi offers encryption at rest over HTTP (CONTRACT 3).
package encryptionapi

import (
	"context"
	"net/http"

	"latchkey/shared/atlas"
	"latchkey/shared/encryption"
	"latchkey/shared/httpapi"
	"latchkey/shared/identity"
	"latchkey/shared/verdict"
)

// Routes are GET and PATCH of the configuration, in the versioned API and in v1.0, which a
// curl line of the documents still uses; and the validation that an owner asks for, which is
// Latchkey's own and has no versions yet.
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
	validate := httpapi.Route{
		Operation: "validateGroupEncryptionAtRest", Method: http.MethodPost,
		Path: "/api/latchkey/v1/groups/{groupId}/encryptionAtRest/validate",
		Rule: identity.OwnGroup, Limit: httpapi.LimitEncryption, Handle: a.validate,
	}
	return []httpapi.Route{get, update, legacy(get), legacy(update), validate}
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
	return httpapi.OK(updatedView{settings.Wire(), settings.Warnings()}), nil
}

// updatedView adds to what the API answers what the client can't undo. The official clients ignore it.
type updatedView struct {
	atlas.EncryptionAtRest
	Warnings []string `json:"warnings,omitempty"`
}

// findingView is what a validation found out about one key.
type findingView struct {
	Provider  atlas.Provider `json:"provider"`
	Valid     bool           `json:"valid"` // by the newest conclusive verdict
	Class     verdict.Class  `json:"class"`
	Reason    verdict.Reason `json:"reason"`
	CheckedAt string         `json:"checkedAt"`
	Since     string         `json:"since"` // when the class last changed
	// ProviderCode and RequestID are what the provider said, for its support.
	ProviderCode *string `json:"providerCode"`
	RequestID    *string `json:"providerRequestId"`
}

// validate answers what it found, of the providers that are enabled. A body is ignored.
func (a api) validate(ctx context.Context, req *httpapi.Request) (httpapi.Response, error) {
	findings, err := a.service.Validate(ctx, req.GroupID())
	if err != nil {
		return httpapi.Response{}, err
	}
	views := make([]findingView, len(findings))
	for i, f := range findings {
		views[i] = findingView{
			Provider: f.Provider, Valid: f.Valid, Class: f.Verdict.Class(), Reason: f.Verdict.Reason,
			CheckedAt: atlas.Time(f.Verdict.StartedAt), Since: atlas.Time(f.Since),
			ProviderCode: optional(f.Verdict.ProviderCode), RequestID: optional(f.Verdict.RequestID),
		}
	}
	return httpapi.OK(map[string]any{"providers": views}), nil
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
