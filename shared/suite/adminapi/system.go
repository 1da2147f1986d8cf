package adminapi

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"

	"latchkey/shared/atlas"
	"latchkey/shared/httpapi"
	"latchkey/shared/identity"
	"latchkey/shared/identity/directory"
)

// system answers what clients ask the service about itself.
type system struct {
	controlPlane ControlPlane
	build        string
	identities   *directory.Directory
}

func (s system) routes() []httpapi.Route {
	return []httpapi.Route{
		{
			Operation: "getSystemStatus", Method: http.MethodGet, Path: "/api/atlas/v2",
			Versions: []atlas.Version{atlas.V20230101}, Rule: identity.AnyCaller, Limit: httpapi.LimitOrgs, Handle: s.status,
		},
		{
			Operation: "listControlPlaneIpAddresses", Method: http.MethodGet, Path: "/api/atlas/v2/unauth/controlPlaneIPAddresses",
			Versions: []atlas.Version{atlas.V20231115}, Rule: identity.Anyone, Limit: httpapi.LimitOpen, Handle: s.addresses,
		},
	}
}

// statusView is what clients check their credentials with (CONTRACT 7.5).
type statusView struct {
	APIKey     apiKeyView   `json:"apiKey"`
	AppName    string       `json:"appName"`
	Build      string       `json:"build"`
	Links      []atlas.Link `json:"links"`
	Throttling bool         `json:"throttling"`
}

type apiKeyView struct {
	AccessList []string   `json:"accessList"`
	ID         string     `json:"id"`
	PublicKey  string     `json:"publicKey"`
	Roles      []roleView `json:"roles"`
}

type roleView struct {
	GroupID  string        `json:"groupId,omitempty"`
	OrgID    string        `json:"orgId,omitempty"`
	RoleName identity.Role `json:"roleName"`
}

// noBuild stands for a program that was not built from a commit. Clients expect 40 digits.
var noBuild = strings.Repeat("0", 40)

func (s system) status(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	groups, err := s.identities.GroupRoles(ctx, r.Caller)
	if err != nil {
		return httpapi.Response{}, err
	}
	roles := []roleView{}
	for _, role := range r.Caller.OrgRoles {
		roles = append(roles, roleView{OrgID: r.Caller.OrgID, RoleName: role})
	}
	for _, groupID := range slices.Sorted(maps.Keys(groups)) {
		for _, role := range groups[groupID] {
			roles = append(roles, roleView{GroupID: groupID, RoleName: role})
		}
	}
	build := s.build
	if build == "" {
		build = noBuild
	}
	return httpapi.OK(statusView{
		APIKey:  apiKeyView{AccessList: []string{}, ID: r.Caller.ID, PublicKey: r.Caller.Name, Roles: roles},
		AppName: "MongoDB Atlas", Build: build, Links: r.Self(""),
	}), nil
}

func (s system) addresses(context.Context, *httpapi.Request) (httpapi.Response, error) {
	return httpapi.OK(s.controlPlane.view()), nil
}
