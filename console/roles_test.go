package console_test

import (
	"maps"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Where access roles are.
const (
	rolesPage  = overview + "/roles"
	accessAPI  = "/api/atlas/v2/groups/" + groupID + "/cloudProviderAccess"
	tenantRole = "arn:aws:iam::111122223333:role/latchkey"
	awsID      = "32b6e34b3d91647abb20e711"
	azureID    = "32b6e34b3d91647abb20e712"
	googleID   = "32b6e34b3d91647abb20e713"
	azureApp   = "9efedfcc-2eca-4b27-a613-0cad1e114cb7"
	azureSP    = "6f1b0000-0000-4000-8000-00000000000a"
	azureDir   = "6f1b0000-0000-4000-8000-00000000000b"
)

func usage() any { return []any{map[string]any{"featureId": nil, "featureType": "ENCRYPTION_AT_REST"}} }

func awsAccess(more map[string]any) map[string]any {
	return merged(map[string]any{
		"providerName": "AWS", "roleId": awsID, "atlasAWSAccountArn": "arn:aws:iam::999999999999:root", "atlasAssumedRoleExternalId": "external-7",
		"iamAssumedRoleArn": nil, "authorizedDate": nil, "createdDate": "2026-01-02T03:04:05Z", "featureUsages": []any{},
	}, more)
}

func azureAccess(more map[string]any) map[string]any {
	return merged(map[string]any{
		"providerName": "AZURE", "_id": azureID, "atlasAzureAppId": azureApp, "servicePrincipalId": azureSP, "tenantId": azureDir,
		"createdDate": "2026-01-02T03:04:05Z", "lastUpdatedDate": "2026-01-02T03:04:05Z", "featureUsages": []any{},
	}, more)
}

func googleAccess(status string) map[string]any {
	return map[string]any{
		"providerName": "GCP", "roleId": googleID, "gcpServiceAccountForAtlas": "us@p.iam.gserviceaccount.com", "status": status,
		"createdDate": "2026-01-02T03:04:05Z", "featureUsages": []any{},
	}
}

func merged(a, b map[string]any) map[string]any {
	maps.Copy(a, b)
	return a
}

// accessWorld is a project with a role of each provider, seen by somebody with a role.
func accessWorld(t *testing.T, as string) *world {
	t.Helper()
	w := open(t, "")
	w.signIn()
	w.api.set("GET /api/atlas/v2", map[string]any{"appName": "x", "apiKey": map[string]any{"roles": []any{map[string]any{"groupId": groupID, "roleName": as}}}})
	w.roles(awsAccess(nil), azureAccess(nil), googleAccess("COMPLETE"))
	w.identities(map[string]any{"cloudProvider": "AWS", "identity": "arn:aws:iam::999999999999:root"},
		map[string]any{"cloudProvider": "AZURE", "identity": azureApp}, map[string]any{"cloudProvider": "GCP", "identity": nil})
	w.api.set("GET /api/latchkey/v1/groups/"+groupID+"/clusters", page())
	return w
}

// identities are whom tenants let in.
func (w *world) identities(all ...any) {
	w.api.set("GET /api/latchkey/v1/groups/"+groupID+"/cloudProviderAccess/identities", map[string]any{"identities": append([]any{}, all...)})
}

func page(items ...any) map[string]any {
	if items == nil {
		items = []any{}
	}
	return map[string]any{"results": items, "totalCount": len(items), "links": []any{}}
}

// roles are the access roles of the project, in the list and by their ids.
func (w *world) roles(aws, azure, google map[string]any) {
	w.api.set("GET "+accessAPI, map[string]any{"awsIamRoles": []any{aws}, "azureServicePrincipals": []any{azure}, "gcpServiceAccounts": []any{google}})
	w.api.set("GET "+accessAPI+"/"+awsID, aws)
	w.api.set("GET "+accessAPI+"/"+azureID, azure)
	w.api.set("GET "+accessAPI+"/"+googleID, google)
}

func (a answer) has(t *testing.T, status int, all ...string) {
	t.Helper()
	if a.StatusCode != status {
		t.Errorf("answer = %d, want %d", a.StatusCode, status)
	}
	for _, want := range all {
		if !strings.Contains(a.body, want) {
			t.Errorf("it lacks %q", want)
		}
	}
}

func (a answer) lacks(t *testing.T, all ...string) {
	t.Helper()
	for _, unwanted := range all {
		if strings.Contains(a.body, unwanted) {
			t.Errorf("it has %q", unwanted)
		}
	}
}

func (a answer) leads(t *testing.T, to string) {
	t.Helper()
	if got := a.Header.Get("Location"); a.StatusCode != 303 || got != to {
		t.Errorf("answer = %d, leads to %q, want %q: %.300s", a.StatusCode, got, to, a.body)
	}
}

func TestRoles_tellsHowEachStands(t *testing.T) {
	t.Parallel()
	w := accessWorld(t, "GROUP_OWNER")
	a := w.get(rolesPage)
	a.has(t, 200, "Not named yet", "Not authorised yet", azureSP, "us@p.iam.gserviceaccount.com", "Authorised", "nothing", awsID, azureID, googleID,
		`href="`+rolesPage+`/new?from=list"`, `hx-get="`+rolesPage+"/"+awsID+`/delete"`)
	a.lacks(t, "every 5s")

	w.roles(awsAccess(map[string]any{"iamAssumedRoleArn": tenantRole, "authorizedDate": "2026-02-03T04:05:06Z", "featureUsages": usage()}),
		azureAccess(map[string]any{"lastUpdatedDate": "2026-03-04T05:06:07Z"}), googleAccess("IN_PROGRESS"))
	a = w.get(rolesPage)
	a.has(t, 200, tenantRole, "3 Feb 2026", "4 Mar 2026", "Being made", "every 5s", `href="`+overview+`/advanced#key-AWS">Encryption at Rest`)
	a.lacks(t, "Not authorised yet")
}

func TestRoles_offersNothingToWhoeverMayOnlyRead(t *testing.T) {
	t.Parallel()
	w := accessWorld(t, "GROUP_READ_ONLY")
	for _, path := range []string{"", "/new", "/" + awsID, "/" + azureID, "/" + awsID + "/delete"} {
		a := w.get(rolesPage + path)
		a.has(t, 200, "Project Owner")
		a.lacks(t, "roles/new", "Delete</a>", "Validate and finish</button>", `type="submit">Continue`, `type="submit">Delete`)
	}
}

func TestRoleNew_asksForTheProviderAndRemembersWhereOneCameFrom(t *testing.T) {
	t.Parallel()
	w := accessWorld(t, "GROUP_OWNER")
	w.get(rolesPage+"/new?from=list").has(t, 200, "AWS KMS", "Azure Key Vault", "Google Cloud KMS", "?from=list&amp;provider=AZURE")
	w.api.set("POST "+accessAPI, awsAccess(nil))
	w.get(rolesPage+"/new?provider=AWS&from=role").has(t, 200, "external ID", `name="from" value="role"`, overview+"/advanced/AWS/role")
	w.post(rolesPage+"/new", url.Values{"provider": {"AWS"}, "from": {"role"}}).leads(t, rolesPage+"/"+awsID+"?from=role")
	if diff := cmp.Diff(`{"providerName":"AWS"}`, w.api.sent("POST "+accessAPI)); diff != "" {
		t.Error(diff)
	}
	w.post(rolesPage+"/new", url.Values{"provider": {"IBM"}}).has(t, 422, "Choose a provider.")
}

func TestRoleNew_ofAzureNamesTheApplicationAndChecksTheIDs(t *testing.T) {
	t.Parallel()
	w := accessWorld(t, "GROUP_OWNER")
	w.get(rolesPage+"/new?provider=AZURE").has(t, 200, "az ad sp create", "--id "+azureApp, `name="servicePrincipalId"`, `name="tenantId"`)
	a := w.post(rolesPage+"/new", url.Values{"provider": {"AZURE"}, "servicePrincipalId": {"x<1"}, "tenantId": {azureDir}})
	a.has(t, 422, "It must be a UUID", `value="x&lt;1"`, azureDir, `name="provider" value="AZURE"`)
	if w.api.sent("POST "+accessAPI) != "" {
		t.Error("it was sent")
	}
	w.api.set("POST "+accessAPI, refused{400, "INVALID_ATTRIBUTE", "Invalid attribute tenantId specified.", ""})
	w.post(rolesPage+"/new", url.Values{"provider": {"AZURE"}, "servicePrincipalId": {azureSP}, "tenantId": {azureDir}}).
		has(t, 400, `id="f-tenantId-error"`, "INVALID_ATTRIBUTE")
	w.api.set("POST "+accessAPI, azureAccess(nil))
	w.post(rolesPage+"/new", url.Values{"provider": {"AZURE"}, "servicePrincipalId": {azureSP}, "tenantId": {azureDir}}).leads(t, rolesPage+"/"+azureID)
	if diff := cmp.Diff(`{"providerName":"AZURE","servicePrincipalId":"`+azureSP+`","tenantId":"`+azureDir+`"}`, w.api.sent("POST "+accessAPI)); diff != "" {
		t.Error(diff)
	}
}

func TestRoleNew_offersOnlyWhatTheServiceHas(t *testing.T) {
	t.Parallel()
	w := accessWorld(t, "GROUP_OWNER")
	w.identities(map[string]any{"cloudProvider": "AWS", "identity": "x"})
	w.get(rolesPage+"/new").lacks(t, "provider=AZURE", "provider=GCP")
	a := w.get(rolesPage + "/new?provider=AZURE")
	a.has(t, 200, "has not set up its own identity")
	a.lacks(t, `type="submit">Continue`)
	w.identities()
	w.get(rolesPage+"/new").has(t, 200, "at any provider")
}

func TestRole_ofAWSShowsWhatToPaste(t *testing.T) {
	t.Parallel()
	w := accessWorld(t, "GROUP_OWNER")
	a := w.get(rolesPage + "/" + awsID)
	a.has(t, 200, "arn:aws:iam::999999999999:root", "external-7", "sts:ExternalId", "aws iam create-role", "Trust relationships", "Validate and finish",
		`id="trust-policy"`, `id="trust-statement"`, `hx-post="`+rolesPage+"/"+awsID+`/check/iamAssumedRoleArn"`)
	a.lacks(t, "Use it for a key")
}

func TestRole_isValidatedAndLeadsBackWithItChosen(t *testing.T) {
	t.Parallel()
	for from, want := range map[string]string{
		"":     overview + "/advanced/AWS?roleId=" + awsID,
		"role": overview + "/advanced/AWS/role?roleId=" + awsID,
		"list": rolesPage,
		"//x":  overview + "/advanced/AWS?roleId=" + awsID,
	} {
		w := accessWorld(t, "GROUP_OWNER")
		w.api.set("PATCH "+accessAPI+"/"+awsID, awsAccess(nil))
		w.post(rolesPage+"/"+awsID, url.Values{"iamAssumedRoleArn": {" " + tenantRole + " "}, "from": {from}}).leads(t, want)
		if diff := cmp.Diff(`{"iamAssumedRoleArn":"`+tenantRole+`","providerName":"AWS"}`, w.api.sent("PATCH "+accessAPI+"/"+awsID)); diff != "" {
			t.Error(diff)
		}
		w.get(rolesPage).has(t, 200, "The access role works")
	}
}

func TestRole_thatDoesNotWorkSaysWhyAndWhatToDo(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		id   string
		no   refused
		want []string
	}{
		"of AWS": {awsID, refused{400, "CANNOT_ASSUME_ROLE", "Cannot assume role.", ""}, []string{
			`id="f-iamAssumedRoleArn-error"`, "Cannot assume role. (CANNOT_ASSUME_ROLE)", "What to look at", "sts:AssumeRole", tenantRole, `name="from" value="role"`,
		}},
		"of Azure": {azureID, refused{400, "CLOUD_PROVIDER_ACCESS_AZURE_SERVICE_PRINCIPAL_INVALID", "Not it.", ""}, []string{
			`id="f-servicePrincipalId-error"`, "not that of the application",
		}},
		"because Azure is slow": {azureID, refused{400, "CANNOT_AUTHENTICATE_SERVICE_PRINCIPAL", "No.", ""}, []string{`id="f-tenantId-error"`, "some minutes"}},
		"now":                   {awsID, refused{503, "SERVICE_UNAVAILABLE", "Later.", "30"}, []string{"Try again in 30 seconds.", tenantRole}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := accessWorld(t, "GROUP_OWNER")
			w.api.set("PATCH "+accessAPI+"/"+tt.id, tt.no)
			a := w.post(rolesPage+"/"+tt.id, url.Values{"iamAssumedRoleArn": {tenantRole}, "servicePrincipalId": {azureSP}, "tenantId": {azureDir}, "from": {"role"}})
			a.has(t, tt.no.status, append(tt.want, tt.no.code)...)
			w.get(rolesPage).lacks(t, "The access role works")
		})
	}
}

func TestRole_isNotSentIfItIsNone(t *testing.T) {
	t.Parallel()
	w := accessWorld(t, "GROUP_OWNER")
	w.post(rolesPage+"/"+awsID, url.Values{"iamAssumedRoleArn": {"arn:aws:iam::1:user/x"}}).has(t, 422, "It must be the ARN of an IAM role", "arn:aws:iam::1:user/x")
	w.post(rolesPage+"/"+azureID, url.Values{"servicePrincipalId": {azureSP}}).has(t, 422, "It must be a UUID")
	for _, id := range []string{awsID, azureID} {
		if w.api.sent("PATCH "+accessAPI+"/"+id) != "" {
			t.Error("it was sent")
		}
	}
}

func TestRole_ofGoogleIsFollowedUntilItIsMade(t *testing.T) {
	t.Parallel()
	w := accessWorld(t, "GROUP_OWNER")
	w.roles(awsAccess(nil), azureAccess(nil), googleAccess("IN_PROGRESS"))
	a := w.get(rolesPage + "/" + googleID + "?from=role")
	a.has(t, 200, "Being made", `hx-get="`+rolesPage+"/"+googleID+`/state?from=role"`, "every 5s", "serviceAccount:us@p.iam.gserviceaccount.com", "roles/cloudkms.cryptoKeyEncrypterDecrypter")
	a.lacks(t, "Use it for a key", "Validate and finish")
	w.roles(awsAccess(nil), azureAccess(nil), googleAccess("COMPLETE"))
	a = w.get(rolesPage + "/" + googleID + "/state?from=role")
	a.has(t, 200, "Authorised", overview+"/advanced/GCP/role?roleId="+googleID)
	a.lacks(t, "every 5s", "<html")
	w.roles(awsAccess(nil), azureAccess(nil), googleAccess("FAILED"))
	a = w.get(rolesPage + "/" + googleID)
	a.has(t, 200, "Not made", "make a new one")
	a.lacks(t, "every 5s", "serviceAccount:us@")
}

func TestRoleDelete_saysWhereItIsUsedAndShowsWhyItIsRefused(t *testing.T) {
	t.Parallel()
	w := accessWorld(t, "GROUP_OWNER")
	delete := rolesPage + "/" + awsID + "/delete"
	w.get(delete).lacks(t, "It is in use", "Clusters that depend")
	w.roles(awsAccess(map[string]any{"iamAssumedRoleArn": tenantRole, "authorizedDate": "2026-02-03T04:05:06Z", "featureUsages": usage()}), azureAccess(nil), googleAccess("COMPLETE"))
	w.api.set("GET /api/latchkey/v1/groups/"+groupID+"/clusters", page(
		map[string]any{"name": "mine", "encryptionAtRestProvider": "AWS"}, map[string]any{"name": "other", "encryptionAtRestProvider": "NONE"}))
	a := w.get(delete)
	a.has(t, 200, "It is in use", "Encryption at Rest", overview+"/clusters/mine", "Back to access roles", tenantRole)
	a.lacks(t, "clusters/other", "cannot be undone", `type="submit">Delete`)
	w.api.set("DELETE "+accessAPI+"/AWS/"+awsID, refused{400, "AWS_IAM_ROLE_IN_USE", "It is still in use.", ""})
	w.post(delete, url.Values{"provider": {"AWS"}}).has(t, 400, "AWS_IAM_ROLE_IN_USE", "It is still in use.", "It is in use")
	w.api.set("DELETE "+accessAPI+"/AWS/"+awsID, map[string]any{})
	w.post(delete, url.Values{"provider": {"AWS"}}).leads(t, rolesPage)
	w.get(rolesPage).has(t, 200, "The access role was deleted.")
}

func TestRoleFields_areCheckedAsOneTypes(t *testing.T) {
	t.Parallel()
	w := accessWorld(t, "GROUP_OWNER")
	for _, tt := range []struct{ member, value, want string }{
		{"iamAssumedRoleArn", tenantRole, "The role latchkey in the AWS account 111122223333."},
		{"iamAssumedRoleArn", "arn:aws:iam::111122223333:user/latchkey", "It must be the ARN of an IAM role"},
		{"tenantId", "contoso.onmicrosoft.com", "It must be a UUID"},
		{"servicePrincipalId", azureSP, ""},
		{"servicePrincipalId", "", ""},
		{"nothing", "x", ""},
	} {
		a := w.post(rolesPage+"/new/check/"+tt.member, url.Values{tt.member: {tt.value}})
		a.has(t, 200, tt.want)
		if tt.want == "" && strings.TrimSpace(a.body) != "" {
			t.Errorf("%s %s: %s", tt.member, tt.value, a.body)
		}
	}
	w.post(rolesPage+"/new/check/tenantId", url.Values{"tenantId": {azureDir}, "servicePrincipalId": {azureDir}}).has(t, 200, "the same ID")
}

func TestRoles_areText(t *testing.T) {
	t.Parallel()
	const hostile = `"><script>alert(1)</script>`
	w := accessWorld(t, "GROUP_OWNER")
	w.roles(awsAccess(map[string]any{"iamAssumedRoleArn": hostile, "authorizedDate": hostile, "atlasAssumedRoleExternalId": hostile, "featureUsages": []any{map[string]any{"featureType": hostile}}}),
		azureAccess(map[string]any{"servicePrincipalId": hostile, "atlasAzureAppId": hostile + "'"}), merged(googleAccess(hostile), map[string]any{"gcpServiceAccountForAtlas": hostile}))
	for _, path := range []string{"", "/new?provider=AZURE&from=" + url.QueryEscape(hostile), "/new?from=" + url.QueryEscape(hostile), "/" + awsID, "/" + azureID, "/" + googleID, "/" + awsID + "/delete"} {
		a := w.get(rolesPage + path)
		a.has(t, 200)
		a.lacks(t, "<script>alert")
		if inline.MatchString(a.body) {
			t.Errorf("%s has %q", path, inline.FindString(a.body))
		}
	}
	w.get(rolesPage+"/32b6e34b3d91647abb20e799").has(t, 404, "RESOURCE_NOT_FOUND")
}

func TestRole_isChosenInTheFormThatItWasMadeFor(t *testing.T) {
	t.Parallel()
	w := networkWorld(t, false, single)
	other := "32b6e34b3d91647abb20e719"
	w.api.set("GET "+accessAPI, map[string]any{"azureServicePrincipals": []any{}, "gcpServiceAccounts": []any{}, "awsIamRoles": []any{
		awsAccess(map[string]any{"iamAssumedRoleArn": tenantRole, "authorizedDate": "2026-02-03T04:05:06Z"}),
		awsAccess(map[string]any{"iamAssumedRoleArn": tenantRole + "-2", "authorizedDate": "2026-02-03T04:05:06Z", "roleId": other}),
		awsAccess(map[string]any{"roleId": "32b6e34b3d91647abb20e720"}),
	}})
	w.get(overview+"/advanced/AWS?roleId="+other).has(t, 200, `value="`+other+`" selected`, `name="was-roleId" value="`+awsID+`"`, "roles/new?provider=AWS&amp;from=")
	for _, unknown := range []string{"", "32b6e34b3d91647abb20e720", `"><b>`} {
		w.get(overview+"/advanced/AWS?roleId="+url.QueryEscape(unknown)).has(t, 200, `value="`+awsID+`" selected`)
	}
}
