package adminapi_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"latchkey/shared/atlas"
	"latchkey/shared/httpapi"
	"latchkey/shared/identity"
	"latchkey/shared/identity/directory"
	"latchkey/shared/suite/adminapi"
)

func TestStatus_TellsWhoIsCallingWithAllTheirRoles(t *testing.T) {
	r := newRig(t, func(d *adminapi.Deps) { d.Build = strings.Repeat("ab", 20) })
	k := r.key(r.org.Org.ID, identity.OrgMember, map[string][]identity.Role{r.org.GroupID: {identity.GroupOwner}})
	status, _, err := r.client(k).RootApi.GetSystemStatus(t.Context()).Execute()
	if err != nil {
		t.Fatal(err)
	}
	if status.AppName != "MongoDB Atlas" || status.Build != strings.Repeat("ab", 20) || status.Throttling {
		t.Errorf("%+v", status)
	}
	if status.ApiKey.Id != k.ID || status.ApiKey.PublicKey != k.PublicKey || status.ApiKey.AccessList == nil {
		t.Errorf("%+v", status.ApiKey)
	}
	var roles []string
	for _, role := range status.ApiKey.Roles {
		roles = append(roles, role.GetOrgId()+role.GetGroupId()+" "+role.GetRoleName())
	}
	if diff := cmp.Diff([]string{r.org.Org.ID + " ORG_MEMBER", r.org.GroupID + " GROUP_OWNER"}, roles); diff != "" {
		t.Errorf("roles (-want +got):\n%s", diff)
	}
	for _, path := range []string{v2, v2 + "/"} {
		if a := r.do(k, "GET", path, ""); a.status != 200 {
			t.Errorf("GET %s answers %d", path, a.status)
		}
	}
}

func TestRateLimits_AreToldThroughTheOfficialSDK(t *testing.T) {
	r := newRig(t)
	api, ctx := r.client(r.owner).RateLimitingApi, t.Context()
	all, _, err := api.ListRateLimits(ctx).Execute()
	if err != nil || all.GetTotalCount() != len(httpapi.EndpointSets()) {
		t.Fatalf("%+v, %v", all, err)
	}
	one, _, err := api.GetRateLimit(ctx, "encryptionAtRest").Execute()
	if err != nil {
		t.Fatal(err)
	}
	var endpoints []string
	for _, e := range one.GetEndpoints() {
		endpoints = append(endpoints, e.GetMethod()+" "+e.GetPath())
	}
	slices.Sort(endpoints)
	want := []string{ // another function serves these
		"DELETE /api/atlas/v2/groups/{groupId}/encryptionAtRest/{cloudProvider}/privateEndpoints/{endpointId}",
		"GET /api/atlas/v1.0/groups/{groupId}/encryptionAtRest",
		"GET /api/atlas/v2/groups/{groupId}/encryptionAtRest",
		"GET /api/atlas/v2/groups/{groupId}/encryptionAtRest/{cloudProvider}/privateEndpoints",
		"GET /api/atlas/v2/groups/{groupId}/encryptionAtRest/{cloudProvider}/privateEndpoints/{endpointId}",
		"GET /api/latchkey/v1/groups/{groupId}/encryptionAtRest/keys",
		"GET /api/latchkey/v1/groups/{groupId}/encryptionAtRest/{cloudProvider}/privateEndpointRegions",
		"PATCH /api/atlas/v1.0/groups/{groupId}/encryptionAtRest",
		"PATCH /api/atlas/v2/groups/{groupId}/encryptionAtRest",
		"POST /api/atlas/v2/groups/{groupId}/encryptionAtRest/{cloudProvider}/privateEndpoints",
		"POST /api/latchkey/v1/groups/{groupId}/encryptionAtRest/validate",
	}
	if diff := cmp.Diff(want, endpoints); diff != "" {
		t.Errorf("endpoints (-want +got):\n%s", diff)
	}
	if one.Capacity.GetValue() != 2000 || one.RefillRate.GetValue() != 1000 || one.RefillDurationSeconds.GetValue() != 60 ||
		one.GetScope() != "GROUP" {
		t.Errorf("%+v", one)
	}
	scopes := func(query string) string {
		a := r.do(r.owner, "GET", v2+"/rateLimits?"+query, "")
		var page atlas.Page[struct{ Scope, EndpointSetID string }]
		if err := json.Unmarshal([]byte(a.body), &page); err != nil || a.status != 200 {
			t.Fatalf("%s: %+v", query, a)
		}
		seen := map[string]bool{}
		for _, s := range page.Results {
			seen[s.Scope] = true
		}
		var names []string
		for _, scope := range []string{"GROUP", "ORG", "USER", "IP"} {
			if seen[scope] {
				names = append(names, scope)
			}
		}
		return strings.Join(names, " ")
	}
	for query, want := range map[string]string{
		"": "GROUP ORG USER IP", "groupId=" + r.org.GroupID: "GROUP", "orgId=" + r.org.Org.ID: "ORG",
		"userId=" + r.owner.PublicKey: "USER", "userId=" + r.owner.ID: "USER", "ipAddress=198.51.100.7": "IP",
		"name=Events&name=Organizations": "GROUP ORG", "endpointPath=%2Fapi%2Fatlas%2Fv2%2Forgs": "USER",
	} {
		if got := scopes(query); got != want {
			t.Errorf("%s lists %q, want %q", query, got, want)
		}
	}
}

func TestRateLimits_OfOthersAreNotTold(t *testing.T) {
	r := newRig(t)
	for query, want := range map[string]atlas.Code{
		"groupId=650000000000000000000099": atlas.UserCannotAccessGroup, "groupId=x": atlas.InvalidGroupID,
		"orgId=650000000000000000000099": atlas.UserCannotAccessOrg, "userId=somebody": atlas.UserUnauthorized, "ipAddress=192.0.2.1": atlas.UserUnauthorized,
	} {
		for _, path := range []string{"/rateLimits?", "/rateLimits/events?"} {
			if a := r.do(r.owner, "GET", v2+path+query, ""); a.code(t) != want {
				t.Errorf("%s answers %+v", query, a)
			}
		}
	}
	if a := r.do(r.owner, "GET", v2+"/rateLimits/nonsense", ""); a.status != 404 || a.code(t) != atlas.ResourceNotFound {
		t.Errorf("%+v", a)
	}
	if a := r.at("2024-10-23", r.owner, "GET", v2+"/rateLimits", ""); a.status != 406 {
		t.Errorf("before its first version it answers %+v", a)
	}
}

func TestRateLimits_OfAGroupAreToldToItsMembers(t *testing.T) {
	r := newRig(t)
	in := map[string][]identity.Role{r.org.GroupID: {identity.GroupReadOnly}}
	for _, tt := range []struct {
		key  directory.APIKey
		want int
	}{{r.key(r.org.Org.ID, identity.OrgMember, in), 200}, {r.key(r.org.Org.ID, identity.OrgMember, nil), 401}} {
		if a := r.do(tt.key, "GET", v2+"/rateLimits?groupId="+r.org.GroupID, ""); a.status != tt.want {
			t.Errorf("%v: %+v", tt.key.GroupRoles, a)
		}
	}
}

func TestControlPlane_IsToldToEverybody(t *testing.T) {
	const config = `{"outbound":{"aws":{"us-east-1":["198.51.100.2/32"]}},"inbound":{"gcp":{"europe-west4":["2001:db8::/64"]}},` +
		`"gateways":[{"name":"gw1","ips":{"outbound":["198.51.100.3/32"]}}]}`
	c, err := adminapi.ParseControlPlane([]byte(config), "eu-west-1")
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		config adminapi.ControlPlane
		want   string
	}{
		"configured": {c, `{"inbound":{"aws":{},"azure":{},"gcp":{"europe-west4":["2001:db8::/64"]}},"outbound":{"aws":{"us-east-1":["198.51.100.2/32"]},"azure":{},"gcp":{}},` +
			`"gateways":[{"name":"gw1","ips":{"inbound":[],"outbound":["198.51.100.3/32"]}}]}`},
		"not configured": {adminapi.ControlPlane{}, `{"inbound":{"aws":{},"azure":{},"gcp":{}},"outbound":{"aws":{},"azure":{},"gcp":{}}}`},
	} {
		r := newRig(t, func(d *adminapi.Deps) { d.ControlPlane = tt.config })
		a := r.at("2023-11-15", directory.APIKey{}, "GET", v2+"/unauth/controlPlaneIPAddresses", "")
		if a.status != 200 || a.body != tt.want {
			t.Errorf("%s: %+v", name, a)
		}
		if _, _, err := r.client(r.owner).RootApi.ListControlPlaneAddresses(t.Context()).Execute(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestParseControlPlane_TakesAShortListAndRefusesMistakes(t *testing.T) {
	c, err := adminapi.ParseControlPlane([]byte(` ["198.51.100.2/32","2001:db8::/64"] `), "eu-west-1")
	want := map[string][]string{"eu-west-1": {"198.51.100.2/32", "2001:db8::/64"}}
	if err != nil || !cmp.Equal(want, c.Outbound.AWS) {
		t.Errorf("%+v, %v", c, err)
	}
	for _, empty := range []string{"", "  ", "[]", "{}"} {
		if c, err := adminapi.ParseControlPlane([]byte(empty), "eu-west-1"); err != nil || c.Outbound.AWS != nil {
			t.Errorf("%q: %+v, %v", empty, c, err)
		}
	}
	for _, wrong := range []string{
		`["198.51.100.2"]`, `["198.51.100.2/24"]`, `["0.0.0.0/0"]`, `["::/0"]`, `["198.51.100.300/32"]`, `[7]`, `["198.51.100.2/32"`, `[] []`, `nonsense`,
		`{"outbound":{"aws":{"US_EAST_1":["198.51.100.2/32"]}}}`, `{"outbound":{"ibm":{}}}`, `{"inbound":{"azure":{"eastus":["x"]}}}`,
		`{"gateways":[{"name":"g","ips":{"inbound":["x"]}}]}`, `{"gateways":[` + strings.Repeat(`{},`, 25) + `{}]}`,
	} {
		if c, err := adminapi.ParseControlPlane([]byte(wrong), "eu-west-1"); err == nil {
			t.Errorf("%s is taken as %+v", wrong, c)
		}
	}
}

func TestCompanion_AnswersTheCommandLineClient(t *testing.T) {
	r := newRig(t)
	nobody := directory.APIKey{}
	version := r.do(nobody, "GET", "/api/private/unauth/nds/defaultMongoDBMajorVersion", "")
	if version.body != "8.0" || !strings.HasPrefix(version.header.Get("Content-Type"), "text/plain") {
		t.Errorf("%+v", version)
	}
	if a := r.do(nobody, "GET", "/api/private/ipinfo", ""); a.body != `{"currentIpv4Address":"198.51.100.7"}` {
		t.Errorf("%+v", a)
	}
	for _, path := range []string{"v1.0/telemetry/events", "unauth/telemetry/events"} {
		if a := r.do(nobody, "POST", "/api/private/"+path, `[{"source":"atlascli"}]`); a.status != 204 || a.body != "" {
			t.Errorf("%s answers %+v", path, a)
		}
	}
}
