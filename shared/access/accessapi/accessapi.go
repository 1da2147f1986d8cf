// Package accessapi offers cloud provider access over HTTP (CONTRACT 4).
package accessapi

import (
	"context"
	"net/http"

	"latchkey/shared/access"
	"latchkey/shared/atlas"
	"latchkey/shared/httpapi"
	"latchkey/shared/identity"
)

const (
	base           = "/api/atlas/v2/groups/{groupId}/cloudProviderAccess"
	identitiesPath = "/api/latchkey/v1/groups/{groupId}/cloudProviderAccess/identities"
)

// Routes are the five operations, and one of Latchkey's own.
func Routes(s *access.Service) []httpapi.Route {
	a := api{s}
	route := func(operation, method, path string, rule identity.Rule, h httpapi.Handler) httpapi.Route {
		return httpapi.Route{
			Operation: operation, Method: method, Path: base + path, Versions: []atlas.Version{atlas.V20230101},
			Rule: rule, Limit: httpapi.LimitAccess, Handle: h,
		}
	}
	return []httpapi.Route{
		route("listGroupCloudProviderAccess", http.MethodGet, "", identity.ReadGroup, a.list),
		route("createGroupCloudProviderAccess", http.MethodPost, "", identity.OwnGroup, httpapi.JSON(a.create)),
		route("getGroupCloudProviderAccess", http.MethodGet, "/{roleId}", identity.ReadGroup, a.get),
		route("authorizeGroupCloudProviderAccessRole", http.MethodPatch, "/{roleId}", identity.OwnGroup, httpapi.JSON(a.authorize)),
		route("deauthorizeGroupCloudProviderAccessRole", http.MethodDelete, "/{cloudProvider}/{roleId}", identity.OwnGroup, a.delete),
		{
			Operation: "listGroupCloudProviderAccessIdentities", Method: http.MethodGet, Path: identitiesPath,
			Rule: identity.ReadGroup, Limit: httpapi.LimitAccess, Handle: a.identities,
		},
	}
}

type api struct{ service *access.Service }

func (a api) list(ctx context.Context, req *httpapi.Request) (httpapi.Response, error) {
	roles, inUse, err := a.service.List(ctx, req.GroupID())
	if err != nil {
		return httpapi.Response{}, err
	}
	answer := atlas.CloudProviderAccess{
		AWSIAMRoles: []atlas.AWSRole{}, AzureServicePrincipals: []atlas.AzureRole{}, GCPServiceAccounts: []atlas.GoogleRole{},
	}
	for _, role := range roles {
		switch w := a.wire(role, inUse[role.ID]).(type) {
		case atlas.AWSRole:
			answer.AWSIAMRoles = append(answer.AWSIAMRoles, w)
		case atlas.AzureRole:
			answer.AzureServicePrincipals = append(answer.AzureServicePrincipals, w)
		case atlas.GoogleRole:
			answer.GCPServiceAccounts = append(answer.GCPServiceAccounts, w)
		}
	}
	return httpapi.OK(answer), nil
}

// identityView is who a tenant lets in before there is a role that says so: at Azure, the service
// principal of an application must be there before the role that names it.
type identityView struct {
	Provider atlas.Provider `json:"cloudProvider"`
	Identity *string        `json:"identity"`
}

func (a api) identities(ctx context.Context, req *httpapi.Request) (httpapi.Response, error) {
	all, err := a.service.Identities(ctx, req.GroupID())
	if err != nil {
		return httpapi.Response{}, err
	}
	views := make([]identityView, len(all))
	for i, who := range all {
		views[i].Provider = who.Provider
		if who.Name != "" {
			views[i].Identity = &who.Name
		}
	}
	return httpapi.OK(map[string][]identityView{"identities": views}), nil
}

// create answers 200, as the real service does, not 201.
func (a api) create(ctx context.Context, req *httpapi.Request, body atlas.CloudProviderAccessRequest) (httpapi.Response, error) {
	role, err := a.service.Create(ctx, req.Caller, req.GroupID(), body)
	return a.answer(role, false, err)
}

func (a api) get(ctx context.Context, req *httpapi.Request) (httpapi.Response, error) {
	role, inUse, err := a.service.Get(ctx, req.GroupID(), req.Param("roleId"))
	return a.answer(role, inUse, err)
}

func (a api) authorize(ctx context.Context, req *httpapi.Request, body atlas.CloudProviderAccessRequest) (httpapi.Response, error) {
	role, inUse, err := a.service.Authorize(ctx, req.Caller, req.GroupID(), req.Param("roleId"), body)
	return a.answer(role, inUse, err)
}

func (a api) delete(ctx context.Context, req *httpapi.Request) (httpapi.Response, error) {
	err := a.service.Delete(ctx, req.Caller, req.GroupID(), req.Param("cloudProvider"), req.Param("roleId"))
	return httpapi.NoContent(), err
}

func (a api) answer(role access.Role, inUse bool, err error) (httpapi.Response, error) {
	if err != nil {
		return httpapi.Response{}, err
	}
	return httpapi.OK(a.wire(role, inUse)), nil
}

// wire is the role as the API shows it: an atlas.AWSRole, AzureRole or GoogleRole.
func (a api) wire(r access.Role, inUse bool) any {
	usages := []atlas.FeatureUsage{}
	if inUse {
		usages = append(usages, atlas.FeatureUsage{FeatureType: atlas.FeatureEncryptionAtRest})
	}
	created := atlas.Time(r.Created)
	switch {
	case r.AWS != nil:
		w := atlas.AWSRole{
			AtlasAWSAccountARN: a.service.AWSPrincipalARN, AtlasAssumedRoleExternalID: r.AWS.ExternalID,
			CreatedDate: created, FeatureUsages: usages, ProviderName: r.Provider, RoleID: r.ID,
		}
		if !r.AWS.AuthorizedAt.IsZero() {
			date := atlas.Time(r.AWS.AuthorizedAt)
			w.AuthorizedDate, w.IAMAssumedRoleARN = &date, &r.AWS.ARN
		}
		return w
	case r.Azure != nil:
		return atlas.AzureRole{
			ID: r.ID, AtlasAzureAppID: r.Azure.AppID, CreatedDate: created, FeatureUsages: usages,
			LastUpdatedDate: atlas.Time(r.Azure.Updated), ProviderName: r.Provider,
			ServicePrincipalID: r.Azure.ServicePrincipalID, TenantID: r.Azure.TenantID,
		}
	}
	return atlas.GoogleRole{
		CreatedDate: created, FeatureUsages: usages, GCPServiceAccountForApp: r.Google.Email,
		ProviderName: r.Provider, RoleID: r.ID, Status: string(r.Google.Status),
	}
}
