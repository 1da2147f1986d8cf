package identityapi_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/atlas-sdk/v20250312018/admin"

	"latchkey/shared/audit"
	"latchkey/shared/identity"
	"latchkey/shared/identity/directory"
)

// roles renders a key's roles in the order of the wire.
func roles(k *admin.ApiKeyUserDetails) []string {
	var all []string
	for _, r := range k.GetRoles() {
		all = append(all, r.GetRoleName()+"@"+r.GetOrgId()+r.GetGroupId())
	}
	return all
}

func TestTheOfficialClientManagesAnOrganisationsKeys(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	api := b.sdk(b.owner).ProgrammaticAPIKeysApi
	ctx := t.Context()

	made, resp, err := api.CreateOrgApiKey(ctx, b.orgID, &admin.CreateAtlasOrganizationApiKey{Desc: "ci", Roles: []string{"ORG_READ_ONLY"}}).Execute()
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(err)
	}
	fresh := credentials{made.GetId(), made.GetPublicKey(), made.GetPrivateKey()}
	if _, _, err := b.sdk(fresh).ProgrammaticAPIKeysApi.GetOrgApiKey(ctx, b.orgID, fresh.id).Execute(); err != nil {
		t.Errorf("the new key cannot be used: %v", err)
	}
	got, _, err := api.GetOrgApiKey(ctx, b.orgID, fresh.id).Execute()
	if err != nil {
		t.Fatal(err)
	}
	if want := "********-****-****-" + fresh.private[24:]; got.GetPrivateKey() != want {
		t.Errorf("the private key is shown as %q, want %q", got.GetPrivateKey(), want)
	}
	if diff := cmp.Diff([]string{"ORG_READ_ONLY@" + b.orgID}, roles(got)); diff != "" {
		t.Error(diff)
	}
	changed, _, err := api.UpdateOrgApiKey(ctx, b.orgID, fresh.id, &admin.UpdateAtlasOrganizationApiKey{
		Desc: new("cd"), Roles: &[]string{"ORG_GROUP_CREATOR", "ORG_MEMBER"},
	}).Execute()
	if err != nil || changed.GetDesc() != "cd" {
		t.Fatalf("%q, %v", changed.GetDesc(), err)
	}
	if diff := cmp.Diff([]string{"ORG_GROUP_CREATOR@" + b.orgID, "ORG_MEMBER@" + b.orgID}, roles(changed)); diff != "" {
		t.Error(diff)
	}
	list, _, err := api.ListOrgApiKeys(ctx, b.orgID).Execute()
	if err != nil || list.GetTotalCount() != 2 {
		t.Errorf("%d keys, %v", list.GetTotalCount(), err)
	}
	if resp, err := api.DeleteOrgApiKey(ctx, b.orgID, fresh.id).Execute(); err != nil || resp.StatusCode != http.StatusNoContent {
		t.Error(err)
	}
	_, resp, err = api.GetOrgApiKey(ctx, b.orgID, fresh.id).Execute()
	if !admin.IsErrorCode(err, "API_KEY_NOT_FOUND") || resp.StatusCode != http.StatusNotFound {
		t.Errorf("after deletion: %v", err)
	}
	if got := b.do(fresh, http.MethodGet, b.org("/apiKeys"), v2023, ""); got.status != http.StatusUnauthorized {
		t.Errorf("a deleted key is answered %d", got.status)
	}
}

func TestTheOfficialClientManagesAProjectsKeys(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ctx := t.Context()
	api := b.sdk(b.projectOwner()).ProgrammaticAPIKeysApi

	made, _, err := api.CreateGroupApiKey(ctx, b.groupID, &admin.CreateAtlasProjectApiKey{Desc: "ci", Roles: []string{"GROUP_READ_ONLY"}}).Execute()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"ORG_MEMBER@" + b.orgID, "GROUP_READ_ONLY@" + b.groupID}, roles(made)); diff != "" {
		t.Error(diff)
	}
	changed, _, err := api.UpdateApiKeyRoles(ctx, b.groupID, made.GetId(), &admin.UpdateAtlasProjectApiKey{Roles: &[]string{"GROUP_OWNER"}}).Execute()
	if err != nil || roles(changed)[1] != "GROUP_OWNER@"+b.groupID {
		t.Errorf("%v, %v", roles(changed), err)
	}
	other := b.key(directory.Grants{})
	assign := []admin.UserAccessRoleAssignment{{Roles: &[]string{"GROUP_CLUSTER_MANAGER"}}, {Roles: &[]string{"GROUP_READ_ONLY"}}}
	if resp, err := api.AddGroupApiKey(ctx, b.groupID, other.id, &assign).Execute(); err != nil || resp.StatusCode != http.StatusNoContent {
		t.Error(err)
	}
	list, _, err := api.ListGroupApiKeys(ctx, b.groupID).Execute()
	if err != nil || list.GetTotalCount() != 3 {
		t.Errorf("%d keys, %v", list.GetTotalCount(), err)
	}
	if resp, err := api.RemoveGroupApiKey(ctx, b.groupID, other.id).Execute(); err != nil || resp.StatusCode != http.StatusNoContent {
		t.Error(err)
	}
	if _, err := api.RemoveGroupApiKey(ctx, b.groupID, other.id).Execute(); !admin.IsErrorCode(err, "API_KEY_NOT_FOUND") {
		t.Errorf("removed twice: %v", err)
	}
}

// The way of the encryption-at-rest document: an Organization Owner has no access to a
// project's keys until it adds itself as Project Owner.
func TestAnOrganisationOwnerAddsItselfToAProject(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	assign := []admin.UserAccessRoleAssignment{{Roles: &[]string{"GROUP_OWNER"}}}
	if _, err := b.sdk(b.owner).ProgrammaticAPIKeysApi.AddGroupApiKey(t.Context(), b.groupID, b.owner.id, &assign).Execute(); err != nil {
		t.Fatal(err)
	}
	k, _, err := b.dir.FindByPublicKey(t.Context(), b.owner.public)
	if err != nil || !identity.OwnGroup.Allows(nil, k.GroupRoles[b.groupID]) {
		t.Errorf("roles %v, %v", k.GroupRoles, err)
	}
	if n := b.count("API_KEY_ADDED_TO_GROUP"); n != 1 {
		t.Errorf("%d events", n)
	}
}

func TestKeysThatCannotBeMade(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	tests := map[string]struct {
		path, body string
		want       string
	}{
		"no description":              {b.org("/apiKeys"), `{"roles":["ORG_MEMBER"]}`, "API_KEY_REQUIRES_DESCRIPTION"},
		"a null description":          {b.org("/apiKeys"), `{"desc":null,"roles":["ORG_MEMBER"]}`, "API_KEY_REQUIRES_DESCRIPTION"},
		"an empty description":        {b.org("/apiKeys"), `{"desc":"","roles":["ORG_MEMBER"]}`, "API_KEY_REQUIRES_DESCRIPTION"},
		"a long description":          {b.org("/apiKeys"), `{"desc":"` + strings.Repeat("é", 251) + `","roles":["ORG_MEMBER"]}`, "INVALID_ATTRIBUTE"},
		"no roles":                    {b.org("/apiKeys"), `{"desc":"ci"}`, "MISSING_API_KEY_ROLES"},
		"an empty list of roles":      {b.org("/apiKeys"), `{"desc":"ci","roles":[]}`, "MISSING_API_KEY_ROLES"},
		"a role that is none":         {b.org("/apiKeys"), `{"desc":"ci","roles":["ORG_KING"]}`, "INVALID_ENUM_VALUE"},
		"a project's role":            {b.org("/apiKeys"), `{"desc":"ci","roles":["GROUP_OWNER"]}`, "INVALID_ROLE_FOR_ORG"},
		"very many roles":             {b.org("/apiKeys"), `{"desc":"ci","roles":[` + strings.Repeat(`"ORG_MEMBER",`, 60) + `"ORG_MEMBER"]}`, "INVALID_ATTRIBUTE"},
		"an organisation's role":      {b.group("/apiKeys"), `{"desc":"ci","roles":["ORG_OWNER"]}`, "INVALID_ROLE_FOR_GROUP"},
		"a project role that is none": {b.group("/apiKeys"), `{"desc":"ci","roles":["GROUP_KING"]}`, "INVALID_ENUM_VALUE"},
		"roles of the wrong type":     {b.org("/apiKeys"), `{"desc":"ci","roles":"ORG_MEMBER"}`, "INVALID_JSON_ATTRIBUTE"},
		"no JSON":                     {b.org("/apiKeys"), `{`, "MALFORMED_JSON"},
		"assigned without roles":      {b.group("/apiKeys/" + b.owner.id), `[]`, "MISSING_API_KEY_ROLES"},
		"assigned an org's role":      {b.group("/apiKeys/" + b.owner.id), `[{"roles":["ORG_OWNER"]}]`, "INVALID_ROLE_FOR_GROUP"},
		"assigned with an object":     {b.group("/apiKeys/" + b.owner.id), `{"roles":["GROUP_OWNER"]}`, "INVALID_JSON"},
		"assigned an unknown key":     {b.group("/apiKeys/650000000000000000000099"), `[{"roles":["GROUP_OWNER"]}]`, "API_KEY_NOT_FOUND"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := b.do(b.owner, http.MethodPost, tc.path, v2023, tc.body); got.code() != tc.want {
				t.Errorf("answered %d %s, want %s", got.status, got.text, tc.want)
			}
		})
	}
}

func TestUnknownMembersAndNullsAreNoChange(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	got := b.do(b.owner, http.MethodPatch, b.org("/apiKeys/"+b.owner.id), v2023,
		`{"desc":null,"roles":null,"id":"x","privateKey":"y","publicKey":"z","links":[],"more":{}}`)
	if got.status != http.StatusOK || got.body["desc"] != "k" || got.body["publicKey"] != b.owner.public {
		t.Errorf("answered %d %s", got.status, got.text)
	}
	if n := b.count("API_KEY_ROLES_CHANGED") + b.count("API_KEY_DESCRIPTION_CHANGED"); n != 0 {
		t.Errorf("%d events of nothing", n)
	}
}

func TestTheLastOwnerStays(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	path := b.org("/apiKeys/" + b.owner.id)
	if got := b.do(b.owner, http.MethodPatch, path, v2023, `{"roles":["ORG_MEMBER"]}`); got.status != http.StatusForbidden || got.code() != "CANNOT_DEMOTE_LAST_ORG_OWNER" {
		t.Errorf("demotion answered %d %s", got.status, got.text)
	}
	if got := b.do(b.owner, http.MethodDelete, path, v2023, ""); got.status != http.StatusForbidden || got.code() != "CANNOT_DELETE_LAST_ADMIN" {
		t.Errorf("deletion answered %d %s", got.status, got.text)
	}
}

func TestWhoMayManageKeys(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	project, member := b.projectOwner(), b.key(directory.Grants{})
	body := `{"desc":"ci","roles":["GROUP_OWNER"]}`
	tests := map[string]struct {
		by           credentials
		method, path string
		body, want   string
	}{
		"a member lists the organisation's keys":       {member, http.MethodGet, b.org("/apiKeys"), "", ""},
		"a member makes none":                          {member, http.MethodPost, b.org("/apiKeys"), `{"desc":"ci","roles":["ORG_MEMBER"]}`, "USER_UNAUTHORIZED"},
		"a member lists no project's keys":             {member, http.MethodGet, b.group("/apiKeys"), "", "USER_UNAUTHORIZED"},
		"a project owner makes project keys":           {project, http.MethodPost, b.group("/apiKeys"), body, ""},
		"a project owner makes no organisation keys":   {project, http.MethodPost, b.org("/apiKeys"), `{"desc":"ci","roles":["ORG_OWNER"]}`, "USER_UNAUTHORIZED"},
		"a project owner cannot make itself org owner": {project, http.MethodPatch, b.org("/apiKeys/" + project.id), `{"roles":["ORG_OWNER"]}`, "USER_UNAUTHORIZED"},
		"a project owner deletes no keys":              {project, http.MethodDelete, b.org("/apiKeys/" + b.owner.id), "", "USER_UNAUTHORIZED"},
		"nobody reaches another organisation":          {b.owner, http.MethodGet, "/api/atlas/v2/orgs/650000000000000000000099/apiKeys", "", "USER_CANNOT_ACCESS_ORG"},
		"nobody reaches a foreign group":               {b.owner, http.MethodGet, "/api/atlas/v2/groups/650000000000000000000099/apiKeys", "", "USER_CANNOT_ACCESS_GROUP"},
		"an id that is none":                           {b.owner, http.MethodGet, "/api/atlas/v2/orgs/x/apiKeys", "", "INVALID_ORG_ID"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := b.do(tc.by, tc.method, tc.path, v2023, tc.body)
			if got.code() != tc.want || (tc.want == "") != (got.status < 300) {
				t.Errorf("answered %d %s, want %q", got.status, got.text, tc.want)
			}
		})
	}
}

func TestAClosedGroupIsNotFoundEvenForItsOwner(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	owner := b.projectOwner()
	system := identity.Caller{Kind: identity.KindSystem, ID: "system", OrgID: b.orgID}
	if err := b.projects.Close(t.Context(), system, b.groupID); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/apiKeys", "/serviceAccounts"} {
		if got := b.do(owner, http.MethodGet, b.group(path), v2024, ""); got.status != http.StatusNotFound || got.code() != "GROUP_NOT_FOUND" {
			t.Errorf("%s answered %d %s", path, got.status, got.text)
		}
	}
}

func TestADeniedAttemptIsRecorded(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.do(b.key(directory.Grants{}), http.MethodPost, b.org("/apiKeys"), v2023, `{}`)
	if n := b.count(audit.AccessDenied); n != 1 {
		t.Errorf("%d denials, want 1: the first half of the exchange must leave no trace", n)
	}
}

func TestAnOldVersionIsRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	if got := b.do(b.owner, http.MethodGet, b.org("/serviceAccounts"), v2023, ""); got.status != http.StatusNotAcceptable {
		t.Errorf("answered %d", got.status)
	}
	if got := b.do(b.owner, http.MethodGet, b.org("/apiKeys"), v2024, ""); got.header.Get("Content-Type") != v2023+";charset=utf-8" {
		t.Errorf("content type %q", got.header.Get("Content-Type"))
	}
}
