package projectapi

import (
	"context"
	"strings"

	"latchkey/shared/atlas"
	"latchkey/shared/httpapi"
	"latchkey/shared/project"
)

// orgView is an organisation on the wire (CONTRACT 7.2).
type orgView struct {
	ID                        string       `json:"id"`
	IsDeleted                 bool         `json:"isDeleted"`
	Links                     []atlas.Link `json:"links"`
	Name                      string       `json:"name"`
	SkipDefaultAlertsSettings bool         `json:"skipDefaultAlertsSettings"`
}

func viewOrg(r *httpapi.Request, o project.Org) orgView {
	return orgView{
		ID: o.ID, Name: o.Name, Links: links(r, "/orgs/"+o.ID, "groups", "teams", "users"), SkipDefaultAlertsSettings: o.SkipDefaultAlerts,
	}
}

// listOrgs lists the one organisation that the caller belongs to.
func (a API) listOrgs(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	o, err := a.Projects.FindOrg(ctx, r.Caller.OrgID)
	if err != nil {
		return httpapi.Response{}, err
	}
	var found []orgView
	if hasPrefix(o.Name, r.Query.Get("name")) {
		found = append(found, viewOrg(r, o))
	}
	return httpapi.List(r, found)
}

func (a API) getOrg(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	o, err := a.Projects.FindOrg(ctx, r.OrgID())
	if err != nil {
		return httpapi.Response{}, err
	}
	return httpapi.OK(viewOrg(r, o)), nil
}

func (a API) listOrgGroups(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	visible, err := a.Projects.Visible(ctx, r.Caller)
	if err != nil {
		return httpapi.Response{}, err
	}
	var found []project.Group
	for _, g := range visible {
		if hasPrefix(g.Name, r.Query.Get("name")) {
			found = append(found, g)
		}
	}
	return httpapi.List(r, viewGroups(r, found))
}

// hasPrefix compares without regard to case, as the name filters of the API do.
func hasPrefix(name, prefix string) bool {
	n, p := []rune(name), []rune(prefix)
	return len(n) >= len(p) && strings.EqualFold(string(n[:len(p)]), prefix)
}

// orgSettingsView says how organisations are run here. Nothing of it can be changed.
type orgSettingsView struct {
	APIAccessListRequired    bool   `json:"apiAccessListRequired"`
	GenAIFeaturesEnabled     bool   `json:"genAIFeaturesEnabled"`
	MaxSecretValidityInHours int    `json:"maxServiceAccountSecretValidityInHours"`
	MultiFactorAuthRequired  bool   `json:"multiFactorAuthRequired"`
	RestrictEmployeeAccess   bool   `json:"restrictEmployeeAccess"`
	SecurityContact          string `json:"securityContact"`
	StreamsCrossGroupEnabled bool   `json:"streamsCrossGroupEnabled"`
}

// maxSecretValidityInHours is the longest life that a service account's secret can get: a year.
const maxSecretValidityInHours = 8760

func (a API) getOrgSettings(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	if _, err := a.Projects.FindOrg(ctx, r.OrgID()); err != nil {
		return httpapi.Response{}, err
	}
	return httpapi.OK(orgSettingsView{MaxSecretValidityInHours: maxSecretValidityInHours}), nil
}
