package identityapi_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/atlas-sdk/v20250312018/admin"

	"latchkey/shared/audit"
	"latchkey/shared/identity"
	"latchkey/shared/identity/directory"
)

func TestTheOfficialClientManagesAnOrganisationsServiceAccounts(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ctx := t.Context()
	api := b.sdk(b.owner).ServiceAccountsApi

	made, resp, err := api.CreateOrgServiceAccount(ctx, b.orgID, &admin.OrgServiceAccountRequest{
		Name: "ci", Description: "for the pipeline", Roles: []string{"ORG_READ_ONLY"}, SecretExpiresAfterHours: 8,
	}).Execute()
	if err != nil || resp.StatusCode != http.StatusCreated {
		t.Fatal(err)
	}
	first := made.GetSecrets()[0]
	if !strings.HasPrefix(first.GetSecret(), "mdb_sa_sk_") || !first.GetExpiresAt().Equal(b.clock.Now().Add(8*time.Hour)) {
		t.Errorf("secret %+v", first)
	}
	got, _, err := api.GetOrgServiceAccount(ctx, b.orgID, made.GetClientId()).Execute()
	if err != nil {
		t.Fatal(err)
	}
	shown := got.GetSecrets()[0]
	if shown.HasSecret() || !strings.HasSuffix(shown.GetMaskedSecretValue(), first.GetSecret()[len(first.GetSecret())-4:]) {
		t.Errorf("shown as %+v", shown)
	}
	changed, _, err := api.UpdateOrgServiceAccount(ctx, made.GetClientId(), b.orgID, &admin.OrgServiceAccountUpdateRequest{
		Name: new("cd"), Roles: &[]string{"ORG_MEMBER"},
	}).Execute()
	if err != nil || changed.GetName() != "cd" || changed.GetDescription() != "for the pipeline" {
		t.Errorf("%+v, %v", changed, err)
	}
	second, resp, err := api.CreateOrgSecret(ctx, b.orgID, made.GetClientId(), &admin.ServiceAccountSecretRequest{SecretExpiresAfterHours: 8760}).Execute()
	if err != nil || resp.StatusCode != http.StatusCreated || second.GetSecret() == "" {
		t.Fatal(err)
	}
	_, _, err = api.CreateOrgSecret(ctx, b.orgID, made.GetClientId(), &admin.ServiceAccountSecretRequest{SecretExpiresAfterHours: 8}).Execute()
	if !admin.IsErrorCode(err, "MAX_SERVICE_ACCOUNT_SECRETS_REACHED") {
		t.Errorf("a third secret: %v", err)
	}
	if _, err := api.DeleteOrgSecret(ctx, made.GetClientId(), first.GetId(), b.orgID).Execute(); err != nil {
		t.Error(err)
	}
	list, _, err := api.ListOrgServiceAccounts(ctx, b.orgID).Execute()
	if err != nil || list.GetTotalCount() != 1 || len(list.GetResults()[0].GetSecrets()) != 1 {
		t.Errorf("%+v, %v", list, err)
	}
	if _, err := api.DeleteOrgServiceAccount(ctx, made.GetClientId(), b.orgID).Execute(); err != nil {
		t.Error(err)
	}
	if _, _, err := api.GetOrgServiceAccount(ctx, b.orgID, made.GetClientId()).Execute(); !admin.IsErrorCode(err, "SERVICE_ACCOUNT_NOT_FOUND") {
		t.Errorf("after deletion: %v", err)
	}
}

func TestTheOfficialClientManagesAProjectsServiceAccounts(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ctx := t.Context()
	api := b.sdk(b.projectOwner()).ServiceAccountsApi

	made, _, err := api.CreateGroupServiceAccount(ctx, b.groupID, &admin.GroupServiceAccountRequest{
		Name: "ci", Description: "x", Roles: []string{"GROUP_OWNER"}, SecretExpiresAfterHours: 8,
	}).Execute()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"GROUP_OWNER"}, made.GetRoles()); diff != "" {
		t.Error(diff)
	}
	inOrg, _, err := b.sdk(b.owner).ServiceAccountsApi.GetOrgServiceAccount(ctx, b.orgID, made.GetClientId()).Execute()
	if diff := cmp.Diff([]string{"ORG_MEMBER"}, inOrg.GetRoles()); diff != "" || err != nil {
		t.Errorf("in the organisation: %s, %v", diff, err)
	}
	if _, _, err := api.UpdateGroupServiceAccount(ctx, made.GetClientId(), b.groupID, &admin.GroupServiceAccountUpdateRequest{Roles: &[]string{"GROUP_READ_ONLY"}}).Execute(); err != nil {
		t.Error(err)
	}
	second, _, err := api.CreateGroupSecret(ctx, b.groupID, made.GetClientId(), &admin.ServiceAccountSecretRequest{SecretExpiresAfterHours: 9}).Execute()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := api.DeleteGroupSecret(ctx, made.GetClientId(), second.GetId(), b.groupID).Execute(); err != nil {
		t.Error(err)
	}
	got, _, err := api.GetGroupServiceAccount(ctx, b.groupID, made.GetClientId()).Execute()
	if err != nil || got.GetRoles()[0] != "GROUP_READ_ONLY" || len(got.GetSecrets()) != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := api.DeleteGroupServiceAccount(ctx, made.GetClientId(), b.groupID).Execute(); err != nil {
		t.Error(err)
	}
	if list, _, err := api.ListGroupServiceAccounts(ctx, b.groupID).Execute(); err != nil || list.GetTotalCount() != 0 {
		t.Errorf("still listed: %v", err)
	}
	if _, _, err := api.GetGroupServiceAccount(ctx, b.groupID, made.GetClientId()).Execute(); !admin.IsErrorCode(err, "SERVICE_ACCOUNT_NOT_FOUND") {
		t.Errorf("still there: %v", err)
	}
	if _, _, err := b.sdk(b.owner).ServiceAccountsApi.GetOrgServiceAccount(ctx, b.orgID, made.GetClientId()).Execute(); err != nil {
		t.Errorf("gone from the organisation too: %v", err)
	}
}

func TestAnAccountIsInvitedByAnOrganisationOwnerOnly(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	a := b.account(directory.Grants{})
	invite := &admin.GroupServiceAccountRoleAssignment{Roles: []string{"GROUP_OWNER"}}
	_, _, err := b.sdk(b.projectOwner()).ServiceAccountsApi.InviteGroupServiceAccount(t.Context(), a.id, b.groupID, invite).Execute()
	if !admin.IsErrorCode(err, "USER_UNAUTHORIZED") {
		t.Errorf("by a project owner: %v", err)
	}
	got, resp, err := b.sdk(b.owner).ServiceAccountsApi.InviteGroupServiceAccount(t.Context(), a.id, b.groupID, invite).Execute()
	if err != nil || resp.StatusCode != http.StatusOK || got.GetRoles()[0] != "GROUP_OWNER" {
		t.Errorf("by an organisation owner: %+v, %v", got, err)
	}
	if n := b.count(directory.ServiceAccountAddedToGroup); n != 1 {
		t.Errorf("%d events", n)
	}
}

// account makes a service account directly. private is its secret.
func (b *bench) account(g directory.Grants) credentials {
	b.t.Helper()
	a, secret, err := b.dir.CreateServiceAccount(b.t.Context(), audit.System(), directory.NewServiceAccount{
		OrgID: b.orgID, Name: "ci", Description: "x", Grants: g, SecretLife: 8 * time.Hour,
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return credentials{id: a.ClientID, public: a.Secrets[0].ID, private: secret}
}

// Otherwise the owner of one project could take over the organisation by way of an account
// that works in both.
func TestAProjectOwnerGetsNoSecretOfAnAccountThatReachesFurther(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	project := b.projectOwner()
	owner := []identity.Role{identity.GroupOwner}
	far := b.account(directory.Grants{OrgRoles: []identity.Role{identity.OrgOwner}}.InGroup(b.groupID, owner))
	wide := b.account(directory.Grants{}.InGroup(b.groupID, owner).InGroup("650000000000000000000077", owner))
	near := b.account(directory.Grants{}.InGroup(b.groupID, owner))
	outside := b.account(directory.Grants{})
	tests := map[string]struct {
		by, account credentials
		want        string
	}{
		"an owner of the organisation": {project, far, "USER_UNAUTHORIZED"},
		"an account of two projects":   {project, wide, "USER_UNAUTHORIZED"},
		"an account of this project":   {project, near, ""},
		"an account of none":           {project, outside, "SERVICE_ACCOUNT_NOT_FOUND"},
		"by an organisation owner":     {b.owner, far, ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := b.group("/serviceAccounts/" + tc.account.id + "/secrets")
			if got := b.do(tc.by, http.MethodPost, path, v2024, `{"secretExpiresAfterHours":8}`); got.code() != tc.want {
				t.Errorf("a new secret answered %d %s", got.status, got.text)
			}
			if got := b.do(tc.by, http.MethodDelete, path+"/"+tc.account.public, v2024, ""); got.code() != tc.want {
				t.Errorf("the end of a secret answered %d %s", got.status, got.text)
			}
		})
	}
}

// Otherwise the owner of any project could make an identity that others rely on look like
// something to be deleted.
func TestAProjectOwnerRenamesNothingThatReachesFurther(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	project := b.projectOwner()
	owner := []identity.Role{identity.GroupOwner}
	near := directory.Grants{}.InGroup(b.groupID, owner)
	wide := near.InGroup("650000000000000000000077", owner)
	far := directory.Grants{OrgRoles: []identity.Role{identity.OrgOwner}}.InGroup(b.groupID, owner)
	const roles = `"roles":["GROUP_READ_ONLY"]`
	tests := map[string]struct {
		by      credentials
		grants  directory.Grants
		members string // of the body besides the new name
		want    string
	}{
		"an owner of the organisation":      {project, far, "", "USER_UNAUTHORIZED"},
		"one of two projects":               {project, wide, "", "USER_UNAUTHORIZED"},
		"one of two projects, and its role": {project, wide, "," + roles, "USER_UNAUTHORIZED"},
		"one of this project":               {project, near, "", ""},
		"by an organisation owner":          {b.owner, far, "," + roles, ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := b.group("/serviceAccounts/" + b.account(tc.grants).id)
			if got := b.do(tc.by, http.MethodPatch, path, v2024, `{"name":"unused"`+tc.members+`}`); got.code() != tc.want {
				t.Errorf("naming an account answered %d %s", got.status, got.text)
			}
			path = b.group("/apiKeys/" + b.key(tc.grants).id)
			if got := b.do(tc.by, http.MethodPatch, path, v2023, `{"desc":"unused"`+tc.members+`}`); got.code() != tc.want {
				t.Errorf("describing a key answered %d %s", got.status, got.text)
			}
		})
	}
	for _, path := range []string{"/apiKeys/" + b.key(directory.Grants{}).id, "/apiKeys/" + b.key(wide).id} {
		if got := b.do(project, http.MethodPatch, b.group(path), v2023, `{"desc":"k",`+roles+`}`); got.code() != "" {
			t.Errorf("roles in the project, with the description as it is, answered %d %s", got.status, got.text)
		}
	}
}

func TestAccountsThatCannotBeMade(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	body := func(name, description, roles, hours string) string {
		return `{"name":` + name + `,"description":` + description + `,"roles":` + roles + `,"secretExpiresAfterHours":` + hours + `}`
	}
	long := `"` + strings.Repeat("a", 251) + `"`
	tests := map[string]struct{ body, code, field string }{
		"nothing":                    {`{}`, "VALIDATION_ERROR", "name"},
		"no name":                    {body("null", `"x"`, `["ORG_MEMBER"]`, "8"), "VALIDATION_ERROR", "name"},
		"an empty name":              {body(`""`, `"x"`, `["ORG_MEMBER"]`, "8"), "VALIDATION_ERROR", "name"},
		"a name with a tag":          {body(`"<b>"`, `"x"`, `["ORG_MEMBER"]`, "8"), "VALIDATION_ERROR", "name"},
		"a long name":                {body(long, `"x"`, `["ORG_MEMBER"]`, "8"), "VALIDATION_ERROR", "name"},
		"no description":             {body(`"ci"`, "null", `["ORG_MEMBER"]`, "8"), "VALIDATION_ERROR", "description"},
		"a long description":         {body(`"ci"`, long, `["ORG_MEMBER"]`, "8"), "VALIDATION_ERROR", "description"},
		"no roles":                   {body(`"ci"`, `"x"`, "null", "8"), "VALIDATION_ERROR", "roles"},
		"empty roles":                {body(`"ci"`, `"x"`, "[]", "8"), "VALIDATION_ERROR", "roles"},
		"a role that is none":        {body(`"ci"`, `"x"`, `["ORG_KING"]`, "8"), "INVALID_ENUM_VALUE", ""},
		"a project's role":           {body(`"ci"`, `"x"`, `["GROUP_OWNER"]`, "8"), "INVALID_ROLE_FOR_ORG", ""},
		"no life of the secret":      {body(`"ci"`, `"x"`, `["ORG_MEMBER"]`, "null"), "VALIDATION_ERROR", "secretExpiresAfterHours"},
		"a secret of seven hours":    {body(`"ci"`, `"x"`, `["ORG_MEMBER"]`, "7"), "VALIDATION_ERROR", "secretExpiresAfterHours"},
		"a secret of over a year":    {body(`"ci"`, `"x"`, `["ORG_MEMBER"]`, "8761"), "VALIDATION_ERROR", "secretExpiresAfterHours"},
		"a secret of an absurd time": {body(`"ci"`, `"x"`, `["ORG_MEMBER"]`, "9223372036854775807"), "VALIDATION_ERROR", "secretExpiresAfterHours"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := b.do(b.owner, http.MethodPost, b.org("/serviceAccounts"), v2024, tc.body)
			if got.code() != tc.code || !strings.Contains(got.text, `"field":"`+tc.field) && tc.field != "" {
				t.Errorf("answered %d %s, want %s for %q", got.status, got.text, tc.code, tc.field)
			}
		})
	}
	if n := b.count(directory.ServiceAccountCreated); n != 0 {
		t.Errorf("%d accounts were made", n)
	}
}

func TestNamesOfAllLanguagesAreAccepted(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, name := range []string{"ci-1_a.b, c'd", "Schlüssel", "鍵", strings.Repeat("é", 64)} {
		got := b.do(b.owner, http.MethodPost, b.org("/serviceAccounts"), v2024,
			`{"name":"`+name+`","description":"x","roles":["ORG_MEMBER"],"secretExpiresAfterHours":8}`)
		if got.status != http.StatusCreated || got.body["name"] != name || got.header.Get("Location") == "" {
			t.Errorf("%q answered %d %s", name, got.status, got.text)
		}
	}
}

func TestMembersSeeNoServiceAccounts(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	member := b.key(directory.Grants{})
	if got := b.do(member, http.MethodGet, b.org("/serviceAccounts"), v2024, ""); got.code() != "USER_UNAUTHORIZED" {
		t.Errorf("answered %d %s", got.status, got.text)
	}
}
