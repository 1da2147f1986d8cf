package adminapi_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/atlas-sdk/v20250312018/admin"

	"latchkey/shared/atlas"
	"latchkey/shared/identity"
	"latchkey/shared/project"
)

func TestGroups_LiveThroughTheOfficialSDK(t *testing.T) {
	r := newRig(t)
	api := r.client(r.owner).ProjectsApi
	ctx := t.Context()
	tags := []admin.ResourceTag{{Key: "env", Value: "prod"}}
	created, resp, err := api.CreateGroup(ctx, &admin.Group{
		Name: "p1", OrgId: r.org.Org.ID, ClusterCount: 9, Created: time.Unix(0, 0), Tags: &tags,
		WithDefaultAlertsSettings: new(true),
	}).ProjectOwnerId(r.org.Owner.ID).Execute()
	if err != nil {
		t.Fatal(err)
	}
	id := created.GetId()
	self := r.url + v2 + "/groups/" + id
	if resp.StatusCode != http.StatusCreated || resp.Header.Get("Location") != self {
		t.Errorf("answers %d, Location %q", resp.StatusCode, resp.Header.Get("Location"))
	}
	link := func(name string) admin.Link {
		return admin.Link{Href: new(self + "/" + name), Rel: new(r.url + "/" + name)}
	}
	want := &admin.Group{
		ClusterCount: 0, Created: r.clock.Now(), Id: &id, Name: "p1", OrgId: r.org.Org.ID, Tags: &tags,
		WithDefaultAlertsSettings: new(true),
		Links: &[]admin.Link{
			{Href: &self, Rel: new("self")},
			link("containers"), link("clusters"), link("databaseUsers"),
			link("peers"), link("processes"), link("whitelist"),
		},
	}
	if diff := cmp.Diff(want, created); diff != "" {
		t.Errorf("created (-want +got):\n%s", diff)
	}
	read, _, err := api.GetGroup(ctx, id).Execute()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, read); diff != "" {
		t.Errorf("read (-want +got):\n%s", diff)
	}
	empty := []admin.ResourceTag{}
	updated, _, err := api.UpdateGroup(ctx, id, &admin.GroupUpdate{Name: new("p2"), Tags: &empty}).Execute()
	if err != nil || updated.Name != "p2" || updated.Tags != nil || !*updated.WithDefaultAlertsSettings {
		t.Errorf("updated: %+v, %v", updated, err)
	}
	list, _, err := api.ListGroups(ctx).Execute()
	if err != nil || list.GetTotalCount() != 2 {
		t.Errorf("listed: %+v, %v", list, err)
	}
	if _, err := api.DeleteGroup(ctx, id).Execute(); err != nil {
		t.Fatal(err)
	}
	_, resp, err = api.GetGroup(ctx, id).Execute()
	if apiErr, ok := admin.AsError(err); !ok || resp.StatusCode != 404 || apiErr.GetErrorCode() != "GROUP_NOT_FOUND" {
		t.Errorf("after the deletion: %v", err)
	}
}

func TestGroups_TerraformsBodyIsTakenAsItComes(t *testing.T) {
	r := newRig(t)
	a := r.do(r.owner, "POST", v2+"/groups?projectOwnerId=", `{"clusterCount":0,"created":"0001-01-01T00:00:00Z","name":"tf","orgId":"`+
		r.org.Org.ID+`","tags":[],"withDefaultAlertsSettings":true,"links":null,"regionUsageRestrictions":null,"future":{}}`)
	if a.status != http.StatusCreated {
		t.Errorf("%+v", a)
	}
}

func TestGroups_WhatIsWrongIsSaid(t *testing.T) {
	r := newRig(t)
	r.create("taken")
	org := `"orgId":"` + r.org.Org.ID + `"`
	for body, want := range map[string]struct {
		status int
		code   atlas.Code
	}{
		`{` + org + `}`:                                          {400, atlas.MissingAttribute},
		`{"name":"x"}`:                                           {400, atlas.MissingAttribute},
		`{"name":null,` + org + `}`:                              {400, atlas.MissingAttribute},
		`{"name":7,` + org + `}`:                                 {400, atlas.InvalidJSONAttribute},
		`{"name":"a/b",` + org + `}`:                             {400, atlas.InvalidGroupName},
		`{"name":"taken",` + org + `}`:                           {409, atlas.GroupAlreadyExists},
		`{"name":"x","orgId":"650000000000000000000099"}`:        {401, atlas.UserCannotAccessOrg},
		`{"name":"x",` + org + `,"tags":[null]}`:                 {400, atlas.InvalidAttribute},
		`{"name":"x",` + org + `,"regionUsageRestrictions":"x"}`: {400, atlas.InvalidEnumValue},
		`{"name":"x",`:                                           {400, atlas.MalformedJSON},
		`[]`:                                                     {400, atlas.InvalidJSON},
	} {
		if a := r.do(r.owner, "POST", v2+"/groups", body); a.status != want.status || a.code(t) != want.code {
			t.Errorf("%s answers %+v", body, a)
		}
	}
}

func TestGroups_AreFoundByNamesOfAllScripts(t *testing.T) {
	r := newRig(t)
	for _, name := range []string{"plain", "two words", "été 日本", "a+b&c@d,e:f(g)'h", "-_."} {
		g := r.create(name)
		for _, escaped := range []string{url.PathEscape(name), strings.ReplaceAll(url.QueryEscape(name), "+", "%20")} {
			a := r.do(r.owner, "GET", v2+"/groups/byName/"+escaped, "")
			if a.status != 200 || !strings.Contains(a.body, g.GetId()) {
				t.Errorf("%s answers %+v", escaped, a)
			}
		}
	}
	for _, name := range []string{"nobody", "a%2Fb", "%00", strings.Repeat("x", 5000)} {
		if a := r.do(r.owner, "GET", v2+"/groups/byName/"+name, ""); a.status != 404 || a.code(t) != atlas.GroupNameNotFound {
			t.Errorf("%.20s answers %d %.200s", name, a.status, a.body)
		}
	}
}

func TestGroups_InUseAreNotDeleted(t *testing.T) {
	r := newRig(t)
	op, err := r.projects.Occupy(t.Context(), r.org.GroupID, project.Clusters, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.table.Write(t.Context(), op); err != nil {
		t.Fatal(err)
	}
	if a := r.do(r.owner, "DELETE", v2+"/groups/"+r.org.GroupID, ""); a.status != 409 || a.code(t) != atlas.CannotCloseGroupClusters {
		t.Errorf("%+v", a)
	}
	g, _, err := r.client(r.owner).ProjectsApi.GetGroup(t.Context(), r.org.GroupID).Execute()
	if err != nil || g.ClusterCount != 1 {
		t.Errorf("%+v, %v", g, err)
	}
}

// TestNeighbours_AnswerTheReadsThatTerraformMakesWithAProject is the provider's refresh.
func TestNeighbours_AnswerTheReadsThatTerraformMakesWithAProject(t *testing.T) {
	r := newRig(t)
	client, ctx, g := r.client(r.owner), t.Context(), r.org.GroupID
	teams, _, err := client.TeamsApi.ListGroupTeams(ctx, g).Execute()
	if err != nil || teams.GetTotalCount() != 0 || teams.Results == nil {
		t.Errorf("teams: %+v, %v", teams, err)
	}
	limits, _, err := client.ProjectsApi.ListGroupLimits(ctx, g).Execute()
	if err != nil || len(limits) != 9 {
		t.Errorf("limits: %+v, %v", limits, err)
	}
	ips, _, err := client.ProjectsApi.GetGroupIpAddresses(ctx, g).Execute()
	if err != nil || ips.GetGroupId() != g || ips.Services == nil || ips.Services.Clusters == nil || len(*ips.Services.Clusters) != 0 {
		t.Errorf("ipAddresses: %+v, %v", ips, err)
	}
	slow, _, err := client.PerformanceAdvisorApi.GetManagedSlowMs(ctx, g).Execute()
	if err != nil || !slow {
		t.Errorf("managedSlowMs: %t, %v", slow, err)
	}
	users, _, err := client.MongoDBCloudUsersApi.ListGroupUsers(ctx, g).Execute()
	if err != nil || users.GetTotalCount() != 1 {
		t.Fatalf("users: %+v, %v", users, err)
	}
	user := users.GetResults()[0]
	if user.Username != "owner@acme.example" || user.OrgMembershipStatus != "ACTIVE" || !cmp.Equal(user.Roles, []string{"GROUP_OWNER"}) {
		t.Errorf("user: %+v", user)
	}
	list, _, err := client.ProjectIPAccessListApi.ListAccessListEntries(ctx, g).Execute()
	if err != nil || list.GetTotalCount() != 0 {
		t.Errorf("accessList: %+v, %v", list, err)
	}
}

func TestNeighbours_BareValuesStayBare(t *testing.T) {
	r := newRig(t)
	g := v2 + "/groups/" + r.org.GroupID
	if a := r.do(r.owner, "GET", g+"/managedSlowMs", ""); a.body != "true" {
		t.Errorf("%+v", a)
	}
	if a := r.do(r.owner, "GET", g+"/limits", ""); !strings.HasPrefix(a.body, "[{") {
		t.Errorf("%+v", a)
	}
	if a := r.do(r.owner, "GET", g+"/teams", ""); a.body != `{"links":[{"href":"`+r.url+g+
		`/teams?includeCount=true&pageNum=1&itemsPerPage=100","rel":"self"}],"results":[],"totalCount":0}` {
		t.Errorf("%+v", a)
	}
	if a := r.do(r.owner, "GET", g+"/ipAddresses", ""); a.body != `{"groupId":"`+r.org.GroupID+`","services":{"clusters":[]}}` {
		t.Errorf("%+v", a)
	}
}

func TestNeighbours_ManagedSlowMsIsSwitched(t *testing.T) {
	r := newRig(t)
	api, g := r.client(r.owner).PerformanceAdvisorApi, r.org.GroupID
	for _, step := range []bool{false, false, true} {
		var err error
		if step {
			_, err = api.EnableManagedSlowMs(t.Context(), g).Execute()
		} else {
			_, err = api.DisableManagedSlowMs(t.Context(), g).Execute()
		}
		if err != nil {
			t.Fatal(err)
		}
		if got, _, err := api.GetManagedSlowMs(t.Context(), g).Execute(); err != nil || got != step {
			t.Errorf("got %t, %v; want %t", got, err, step)
		}
	}
}

func TestNeighbours_SettingsChangeOnlyWhereTold(t *testing.T) {
	r := newRig(t)
	path := v2 + "/groups/" + r.org.GroupID + "/settings"
	const defaults = `{"isAtlasHomePageAiAssistantEnabled":true,"isClusterAiAssistantEnabled":true,"isCollectDatabaseSpecificsStatisticsEnabled":true,` +
		`"isDataExplorerEnabled":true,"isDataExplorerGenAIFeaturesEnabled":true,"isDataExplorerGenAISampleDocumentPassingEnabled":false,` +
		`"isDataValidationEnabled":true,"isExtendedStorageSizesEnabled":false,"isNativeRerankingEnabled":false,"isPerformanceAdvisorEnabled":true,` +
		`"isRealtimePerformancePanelEnabled":true,"isSchemaAdvisorEnabled":true}`
	changed := strings.Replace(defaults, `"isDataExplorerEnabled":true`, `"isDataExplorerEnabled":false`, 1)
	for _, step := range []struct{ body, want string }{
		{`{}`, defaults},
		{`{"isDataExplorerEnabled":null,"isFuture":true}`, defaults},
		{`{"isDataExplorerEnabled":false,"isSchemaAdvisorEnabled":true}`, changed},
		{`{"isSchemaAdvisorEnabled":true}`, changed},
		{defaults, defaults},
	} {
		if a := r.do(r.owner, "PATCH", path, step.body); a.status != 200 || a.body != step.want {
			t.Errorf("PATCH %s answers %+v", step.body, a)
		}
		if a := r.do(r.owner, "GET", path, ""); a.body != step.want {
			t.Errorf("after %s: %s", step.body, a.body)
		}
	}
	a := r.do(r.owner, "PATCH", path, `{"isDataExplorerEnabled":"no"}`)
	if a.status != 400 || a.code(t) != atlas.InvalidJSONAttribute {
		t.Errorf("%+v", a)
	}
}

func TestNeighbours_ALimitIsSetReadAndReset(t *testing.T) {
	r := newRig(t)
	api, ctx, g := r.client(r.owner).ProjectsApi, t.Context(), r.org.GroupID
	const name = "atlas.project.deployment.clusters"
	set, _, err := api.SetGroupLimit(ctx, name, g, &admin.DataFederationLimit{Name: name, Value: 30, MaximumLimit: admin.PtrInt64(1)}).Execute()
	if err != nil || set.Value != 30 || *set.DefaultLimit != 25 || *set.MaximumLimit != 100 || *set.CurrentUsage != 0 {
		t.Errorf("%+v, %v", set, err)
	}
	if _, err := api.DeleteGroupLimit(ctx, name, g).Execute(); err != nil {
		t.Fatal(err)
	}
	if l, _, err := api.GetGroupLimit(ctx, name, g).Execute(); err != nil || l.Value != 25 {
		t.Errorf("%+v, %v", l, err)
	}
	path := v2 + "/groups/" + g + "/limits/"
	for _, tt := range []struct {
		name, body string
		status     int
		code       atlas.Code
	}{
		{name, `{"value":7.0}`, 200, ""},
		{name, `{"value":7.5}`, 400, atlas.InvalidJSONAttribute},
		{name, `{"value":1e300}`, 400, atlas.InvalidJSONAttribute},
		{name, `{}`, 400, atlas.MissingAttribute},
		{name, `{"value":true}`, 400, atlas.InvalidJSONAttribute},
		{name, `{"value":1000}`, 400, atlas.InvalidAttribute},
		{"nonsense", `{"value":1}`, 400, atlas.InvalidEnumValue},
	} {
		a := r.do(r.owner, "PATCH", path+tt.name, tt.body)
		if a.status != tt.status || (tt.code != "" && a.code(t) != tt.code) {
			t.Errorf("%s %s answers %+v", tt.name, tt.body, a)
		}
	}
}

func TestOrgs_AreReadThroughTheOfficialSDK(t *testing.T) {
	r := newRig(t)
	r.create("p1")
	client, ctx, id := r.client(r.owner), t.Context(), r.org.Org.ID
	for name, want := range map[string]int{"": 1, "acm": 1, "ACME": 1, "other": 0, "Acme and more": 0} {
		orgs, _, err := client.OrganizationsApi.ListOrgs(ctx).Name(name).Execute()
		if err != nil || orgs.GetTotalCount() != want {
			t.Errorf("%q: %+v, %v", name, orgs, err)
		}
	}
	org, _, err := client.OrganizationsApi.GetOrg(ctx, id).Execute()
	if err != nil || org.GetName() != "Acme" || org.GetIsDeleted() || org.SkipDefaultAlertsSettings == nil {
		t.Errorf("%+v, %v", org, err)
	}
	for name, want := range map[string]int{"": 2, "P": 2, "p1": 1, "q": 0} {
		groups, _, err := client.OrganizationsApi.GetOrgGroups(ctx, id).Name(name).Execute()
		if err != nil || groups.GetTotalCount() != want {
			t.Errorf("%q: %+v, %v", name, groups, err)
		}
	}
	settings, _, err := client.OrganizationsApi.GetOrgSettings(ctx, id).Execute()
	if err != nil || settings.GetApiAccessListRequired() || settings.GetMaxServiceAccountSecretValidityInHours() != 8760 {
		t.Errorf("%+v, %v", settings, err)
	}
	users, _, err := client.MongoDBCloudUsersApi.ListOrgUsers(ctx, id).Execute()
	if err != nil || users.GetTotalCount() != 1 {
		t.Fatalf("%+v, %v", users, err)
	}
	u := users.GetResults()[0]
	if u.Username != "owner@acme.example" || !cmp.Equal(u.Roles.GetOrgRoles(), []string{"ORG_OWNER"}) || len(u.Roles.GetGroupRoleAssignments()) != 2 {
		t.Errorf("%+v", u)
	}
}

func TestUsers_KeepTheirOldShapeAtTheOldVersion(t *testing.T) {
	r := newRig(t)
	for path, self := range map[string]string{"/orgs/" + r.org.Org.ID + "/users": "", "/groups/" + r.org.GroupID + "/users": ""} {
		a := r.at("2023-01-01", r.owner, "GET", v2+path, "")
		want := `"emailAddress":"owner@acme.example","links":[{"href":"` + r.url + v2 + "/users/" + r.org.Owner.ID +
			`","rel":"self"}],"roles":[{"orgId":"` + r.org.Org.ID + `","roleName":"ORG_OWNER"},{"groupId":"` + r.org.GroupID + `","roleName":"GROUP_OWNER"}],"teamIds":[]`
		if a.status != 200 || !strings.Contains(a.body, want) {
			t.Errorf("%s%s answers %+v", path, self, a)
		}
		if a.header.Get("Sunset") == "" || !strings.Contains(a.header.Get("Content-Type"), "2023-01-01") {
			t.Errorf("%s: headers %v", path, a.header)
		}
	}
}

func TestUsers_AreFiltered(t *testing.T) {
	r := newRig(t)
	g := r.create("without the owner")
	for path, want := range map[string]string{
		"/orgs/" + r.org.Org.ID + "/users?username=OWNER@acme.example":           `"totalCount":1`,
		"/orgs/" + r.org.Org.ID + "/users?username=x@y.example":                  `"totalCount":0`,
		"/orgs/" + r.org.Org.ID + "/users?orgMembershipStatus=ACTIVE":            `"totalCount":1`,
		"/orgs/" + r.org.Org.ID + "/users?orgMembershipStatus=PENDING":           `"totalCount":0`,
		"/orgs/" + r.org.Org.ID + "/users?orgMembershipStatus=NONSENSE":          `INVALID_ENUM_VALUE`,
		"/groups/" + g.GetId() + "/users?includeOrgUsers=true&flattenTeams=true": `"totalCount":1`,
		"/groups/" + g.GetId() + "/users?includeOrgUsers=perhaps":                `INVALID_QUERY_PARAMETER`,
	} {
		if a := r.do(r.owner, "GET", v2+path, ""); !strings.Contains(a.body, want) {
			t.Errorf("%s answers %+v", path, a)
		}
	}
}

func TestGroups_AMemberListsOnlyWhatItMayRead(t *testing.T) {
	r := newRig(t)
	r.create("hidden")
	member := r.key(r.org.Org.ID, identity.OrgMember, map[string][]identity.Role{r.org.GroupID: {identity.GroupReadOnly}})
	list, _, err := r.client(member).ProjectsApi.ListGroups(t.Context()).Execute()
	if err != nil || list.GetTotalCount() != 1 || list.GetResults()[0].GetId() != r.org.GroupID {
		t.Errorf("%+v, %v", list, err)
	}
}
