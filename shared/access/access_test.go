package access_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/shared/access"
	"latchkey/shared/access/accessapi"
	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/encryption"
	"latchkey/shared/httpapi"
	"latchkey/shared/identity"
	"latchkey/shared/store"
	"latchkey/shared/store/bolt"
	"latchkey/shared/store/keys"
	"latchkey/shared/verdict"
)

const (
	groupID   = "650000000000000000000001"
	orgID     = "650000000000000000000002"
	appID     = "9efedfcc-2eca-4b27-a613-0cad1e114cb7"
	tenantID  = "6f1b0000-0000-4000-8000-000000000002"
	principal = "6f1b0000-0000-4000-8000-000000000004"
	roleARN   = "arn:aws:iam::111122223333:role/atlas-kms"
)

var owner = identity.Caller{Kind: identity.KindAPIKey, ID: "650000000000000000000060", Name: "abcdefgh", OrgID: orgID}

// clouds are the tenants' clouds as the use case sees them: who trusts us, by our rules.
type clouds struct {
	trusts   map[string]string // role ARN -> external id that it demands
	tenants  map[string]string // tenant -> object id of our service principal
	accounts map[string]bool   // Google service accounts
	fails    verdict.Reason    // every call fails with it; "" is none
	wavers   bool              // whether AWS is away when it should refuse an external id
}

func (c *clouds) AssumeRole(_ context.Context, _, arn, externalID string) error {
	if c.fails != "" {
		return verdict.Failed(c.fails, "set to fail")
	}
	want, ok := c.trusts[arn]
	switch {
	case ok && (want == externalID || want == anybody):
		return nil
	case ok && c.wavers:
		return verdict.Failed(verdict.ProviderError, "set to fail for strangers")
	}
	return verdict.Failed(verdict.RoleDenied, "not trusted")
}

// anybody is the external id of a role that demands none.
const anybody = "*"

func (c *clouds) ServicePrincipal(_ context.Context, tenant, _ string) (string, error) {
	if c.fails != "" {
		return "", verdict.Failed(c.fails, "set to fail")
	}
	if id, ok := c.tenants[tenant]; ok {
		return id, nil
	}
	return "", verdict.Failed(verdict.RoleDenied, "no service principal")
}

func (c *clouds) NewEmail() string {
	return fmt.Sprintf("mongodb-atlas-%016d@p-0123456789abcdefghij0123.iam.gserviceaccount.com", len(c.accounts))
}

func (c *clouds) Create(_ context.Context, email string) error {
	if c.fails != "" {
		return verdict.Failed(c.fails, "set to fail")
	}
	c.accounts[email] = true
	return nil
}

func (c *clouds) Delete(_ context.Context, email string) error {
	if c.fails != "" {
		return verdict.Failed(c.fails, "set to fail")
	}
	delete(c.accounts, email)
	return nil
}

type world struct {
	*clouds
	t       *testing.T
	table   store.Table
	service *access.Service
	api     *httpapi.API
}

type admitAll struct{}

func (admitAll) Admit(context.Context, identity.Caller, identity.Attempt) error { return nil }

func newWorld(t *testing.T) *world {
	t.Helper()
	table, err := bolt.Open(filepath.Join(t.TempDir(), "table.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { table.Close() }) //nolint:errcheck // the folder goes away
	now := func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }
	c := &clouds{trusts: map[string]string{}, tenants: map[string]string{}, accounts: map[string]bool{}}
	journal := audit.Journal{Table: table, Now: now}
	log := slog.New(slog.DiscardHandler)
	service := &access.Service{
		Table: table, Journal: journal, Usage: &encryption.Service{Table: table, Journal: journal, Now: now, Log: log},
		AWS: c, Azure: c, Google: c, Now: now, Log: log,
		AWSPrincipalARN: "arn:aws:iam::999900001111:root", AzureAppID: appID,
	}
	op, err := encryption.Create(groupID, orgID)
	if err != nil {
		t.Fatal(err)
	}
	if err := table.Write(t.Context(), op); err != nil {
		t.Fatal(err)
	}
	api := httpapi.New(httpapi.Config{Gate: admitAll{}, Now: now, Log: log}, accessapi.Routes(service))
	return &world{clouds: c, t: t, table: table, service: service, api: api}
}

// call performs a request and returns status, decoded body and error code.
func (w *world) call(method, path, body string) (int, map[string]any, string) {
	w.t.Helper()
	r := httptest.NewRequestWithContext(w.t.Context(), method, "/api/atlas/v2/groups/"+groupID+"/cloudProviderAccess"+path, strings.NewReader(body))
	r.Header.Set("Accept", "application/vnd.atlas.2024-11-13+json")
	r = r.WithContext(httpapi.WithCaller(r.Context(), owner))
	rec := httptest.NewRecorder()
	w.api.ServeHTTP(rec, r)
	answer := map[string]any{}
	if rec.Body.Len() > 0 {
		if err := json.Unmarshal(rec.Body.Bytes(), &answer); err != nil {
			w.t.Fatalf("%s %s answers %q", method, path, rec.Body)
		}
	}
	code, _ := answer["errorCode"].(string)
	return rec.Code, answer, code
}

func (w *world) create(body string) map[string]any {
	w.t.Helper()
	status, answer, _ := w.call(http.MethodPost, "", body)
	if status != http.StatusOK {
		w.t.Fatalf("create answers %d %v", status, answer)
	}
	return answer
}

// use makes the group's settings use a role.
func (w *world) use(roleID string) {
	w.t.Helper()
	s, version, err := store.Load[encryption.Settings](w.t.Context(), w.table, keys.Encryption(groupID))
	if err != nil {
		w.t.Fatal(err)
	}
	s.AWS = &encryption.AWS{RoleID: roleID}
	item, err := store.Encode(keys.Encryption(groupID), version, s)
	if err == nil {
		err = w.table.Write(w.t.Context(), store.Put(item))
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func TestAnAWSRoleIsCreatedAuthorizedAndRemoved(t *testing.T) {
	w := newWorld(t)
	role := w.create(`{"providerName":"AWS"}`)
	id, _ := role["roleId"].(string)
	external, _ := role["atlasAssumedRoleExternalId"].(string)
	if role["authorizedDate"] != nil || role["iamAssumedRoleArn"] != nil || role["atlasAWSAccountArn"] != "arn:aws:iam::999900001111:root" {
		t.Errorf("a new role is %v", role)
	}
	if other := w.create(`{"providerName":"AWS"}`); other["atlasAssumedRoleExternalId"] == external {
		t.Error("two roles have the same external id")
	}
	body := `{"providerName":"AWS","iamAssumedRoleArn":"` + roleARN + `"}`
	if status, _, code := w.call(http.MethodPatch, "/"+id, body); status != 400 || code != "CANNOT_ASSUME_ROLE" {
		t.Errorf("an untrusting role gives %d %s", status, code)
	}
	w.trusts[roleARN] = external
	status, answer, _ := w.call(http.MethodPatch, "/"+id, body)
	if status != 200 || answer["authorizedDate"] != "2026-01-02T03:04:05Z" || answer["iamAssumedRoleArn"] != roleARN {
		t.Errorf("authorize answers %d %v", status, answer)
	}
	if _, again, _ := w.call(http.MethodGet, "/"+id, ""); again["authorizedDate"] == nil {
		t.Errorf("the authorization was not stored: %v", again)
	}
	if status, _, _ := w.call(http.MethodDelete, "/AWS/"+id, ""); status != 204 {
		t.Errorf("delete answers %d", status)
	}
	if status, _, code := w.call(http.MethodGet, "/"+id, ""); status != 404 || code != "CLOUD_PROVIDER_ACCESS_ROLE_NOT_FOUND" {
		t.Errorf("a removed role gives %d %s", status, code)
	}
}

// A role that accepts any external id could be named by every tenant. That it does not is seen, not guessed.
func TestAnAWSRoleMustRefuseOtherExternalIDs(t *testing.T) {
	w := newWorld(t)
	role := w.create(`{"providerName":"AWS"}`)
	id, _ := role["roleId"].(string)
	external, _ := role["atlasAssumedRoleExternalId"].(string)
	body := `{"providerName":"AWS","iamAssumedRoleArn":"` + roleARN + `"}`
	w.trusts[roleARN] = anybody
	if status, _, code := w.call(http.MethodPatch, "/"+id, body); status != 400 || code != "CANNOT_ASSUME_ROLE" {
		t.Errorf("a role that anybody may use gives %d %s", status, code)
	}
	w.trusts[roleARN], w.wavers = external, true
	if status, _, code := w.call(http.MethodPatch, "/"+id, body); status != 503 {
		t.Errorf("a role of which nobody knows whether it refuses others gives %d %s", status, code)
	}
	if _, again, _ := w.call(http.MethodGet, "/"+id, ""); again["authorizedDate"] != nil {
		t.Errorf("it was authorized: %v", again)
	}
	w.wavers = false
	if status, _, code := w.call(http.MethodPatch, "/"+id, body); status != 200 {
		t.Errorf("a role that refuses others gives %d %s", status, code)
	}
}

func TestARoleInUseShowsItAndStays(t *testing.T) {
	w := newWorld(t)
	id, _ := w.create(`{"providerName":"AWS"}`)["roleId"].(string)
	w.use(id)
	_, answer, _ := w.call(http.MethodGet, "/"+id, "")
	usages, _ := json.Marshal(answer["featureUsages"])
	if string(usages) != `[{"featureId":null,"featureType":"ENCRYPTION_AT_REST"}]` {
		t.Errorf("usages %s", usages)
	}
	status, answer, code := w.call(http.MethodDelete, "/AWS/"+id, "")
	params, _ := json.Marshal(answer["parameters"])
	want := `["Cannot remove the AWS IAM role (` + id + `) because it is still in use."]`
	if status != 400 || code != "AWS_IAM_ROLE_IN_USE" || string(params) != want {
		t.Errorf("delete answers %d %s %s", status, code, params)
	}
}

func TestAnAzureServicePrincipalIsVerified(t *testing.T) {
	w := newWorld(t)
	role := w.create(`{"providerName":"AZURE","servicePrincipalId":"` + principal + `","tenantId":"` + tenantID + `"}`)
	id, _ := role["_id"].(string)
	if _, has := role["roleId"]; has || role["atlasAzureAppId"] != appID {
		t.Errorf("a new service principal is %v", role)
	}
	body := `{"providerName":"AZURE","servicePrincipalId":"` + principal + `","tenantId":"` + tenantID + `","atlasAzureAppId":"` + appID + `"}`
	for _, step := range []struct {
		objectID, code string
	}{
		{"", "CANNOT_AUTHENTICATE_SERVICE_PRINCIPAL"},
		{"6f1b0000-0000-4000-8000-00000000ffff", "CLOUD_PROVIDER_ACCESS_AZURE_SERVICE_PRINCIPAL_INVALID"},
		{principal, ""},
	} {
		if step.objectID != "" {
			w.tenants[tenantID] = step.objectID
		}
		if _, answer, code := w.call(http.MethodPatch, "/"+id, body); code != step.code {
			t.Errorf("with object id %q: %v", step.objectID, answer)
		}
	}
}

func TestAGoogleAccountIsMadeAndRemoved(t *testing.T) {
	w := newWorld(t)
	role := w.create(`{"providerName":"GCP"}`)
	id, _ := role["roleId"].(string)
	email, _ := role["gcpServiceAccountForAtlas"].(string)
	if role["status"] != "COMPLETE" || !w.accounts[email] {
		t.Errorf("a new service account is %v", role)
	}
	if status, _, _ := w.call(http.MethodPatch, "/"+id, `{"providerName":"GCP"}`); status != 200 {
		t.Errorf("the provider name alone is refused with %d", status)
	}
	w.fails = verdict.TimedOut
	if status, _, code := w.call(http.MethodDelete, "/GCP/"+id, ""); status != 503 {
		t.Errorf("delete while Google is away answers %d %s", status, code)
	}
	if status, _, _ := w.call(http.MethodGet, "/"+id, ""); status != 404 {
		t.Errorf("a role whose deletion has begun answers %d", status)
	}
	w.fails = ""
	if status, _, _ := w.call(http.MethodDelete, "/GCP/"+id, ""); status != 204 || w.accounts[email] {
		t.Errorf("finishing the deletion answers %d; account there: %t", status, w.accounts[email])
	}
}

func TestAnInterruptedGoogleAccountIsFinishedWhenAskedFor(t *testing.T) {
	w := newWorld(t)
	w.fails = verdict.ConnectFailed
	role := w.create(`{"providerName":"GCP"}`)
	id, _ := role["roleId"].(string)
	if role["status"] != "IN_PROGRESS" {
		t.Errorf("while Google is away: %v", role)
	}
	w.fails = ""
	if _, answer, _ := w.call(http.MethodGet, "/"+id, ""); answer["status"] != "COMPLETE" {
		t.Errorf("when it is back: %v", answer)
	}
	w.fails = verdict.OurCredentials
	if role := w.create(`{"providerName":"GCP"}`); role["status"] != "FAILED" {
		t.Errorf("refused for good: %v", role)
	}
}

func TestBadRequestsWriteNothing(t *testing.T) {
	w := newWorld(t)
	aws, _ := w.create(`{"providerName":"AWS"}`)["roleId"].(string)
	before, err := store.All(t.Context(), w.table, store.Query{PK: keys.Group(groupID).PK})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		method, path, body string
		status             int
		code               string
	}{
		"no provider":              {"POST", "", `{}`, 400, "MISSING_ATTRIBUTE"},
		"an unknown provider":      {"POST", "", `{"providerName":"ORACLE"}`, 400, "INVALID_ENUM_VALUE"},
		"a provider of no string":  {"POST", "", `{"providerName":7}`, 400, "INVALID_JSON_ATTRIBUTE"},
		"no JSON":                  {"POST", "", `{`, 400, "MALFORMED_JSON"},
		"Azure without its ids":    {"POST", "", `{"providerName":"AZURE"}`, 400, "MISSING_ATTRIBUTE"},
		"Azure with a bad id":      {"POST", "", `{"providerName":"AZURE","servicePrincipalId":"x","tenantId":"` + tenantID + `"}`, 400, "INVALID_ATTRIBUTE"},
		"Azure with another app":   {"POST", "", `{"providerName":"AZURE","servicePrincipalId":"` + principal + `","tenantId":"` + tenantID + `","atlasAzureAppId":"` + tenantID + `"}`, 400, "INVALID_ATTRIBUTE"},
		"no ARN":                   {"PATCH", "/" + aws, `{"providerName":"AWS"}`, 400, "MISSING_ATTRIBUTE"},
		"an ARN of a user":         {"PATCH", "/" + aws, `{"providerName":"AWS","iamAssumedRoleArn":"arn:aws:iam::111122223333:user/me"}`, 400, "INVALID_ATTRIBUTE"},
		"another provider's role":  {"PATCH", "/" + aws, `{"providerName":"GCP"}`, 404, "CLOUD_PROVIDER_ACCESS_ROLE_NOT_FOUND"},
		"an unknown role":          {"GET", "/65000000000000000000ffff", ``, 404, "CLOUD_PROVIDER_ACCESS_ROLE_NOT_FOUND"},
		"an id that is none":       {"GET", "/nonsense", ``, 404, "CLOUD_PROVIDER_ACCESS_ROLE_NOT_FOUND"},
		"deleting another kind":    {"DELETE", "/GCP/" + aws, ``, 404, "CLOUD_PROVIDER_ACCESS_ROLE_NOT_FOUND"},
		"deleting an unknown kind": {"DELETE", "/IBM/" + aws, ``, 400, "INVALID_ENUM_VALUE"},
	} {
		t.Run(name, func(t *testing.T) {
			if status, _, code := w.call(c.method, c.path, c.body); status != c.status || code != c.code {
				t.Errorf("%d %s, want %d %s", status, code, c.status, c.code)
			}
		})
	}
	after, err := store.All(t.Context(), w.table, store.Query{PK: keys.Group(groupID).PK})
	if err != nil || len(after) != len(before) {
		t.Errorf("%d items before and %d after, %v", len(before), len(after), err)
	}
}

func TestEveryChangeIsAnEvent(t *testing.T) {
	w := newWorld(t)
	role := w.create(`{"providerName":"AWS"}`)
	id, _ := role["roleId"].(string)
	w.trusts[roleARN], _ = role["atlasAssumedRoleExternalId"].(string)
	w.call(http.MethodPatch, "/"+id, `{"providerName":"AWS","iamAssumedRoleArn":"`+roleARN+`"}`)
	w.call(http.MethodDelete, "/AWS/"+id, "")
	events, _, err := w.service.Journal.List(t.Context(), keys.GroupScope(groupID), audit.Filter{}, 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	types := []string{}
	for _, e := range events {
		types = append(types, string(e.Type))
		if e.Actor.Name != "abcdefgh" {
			t.Errorf("%s was done by %+v", e.Type, e.Actor)
		}
	}
	slices.Sort(types)
	want := []string{"CLOUD_PROVIDER_ACCESS_AWS_IAM_ROLE_ADDED", "CLOUD_PROVIDER_ACCESS_AWS_IAM_ROLE_DELETED", "CLOUD_PROVIDER_ACCESS_AWS_IAM_ROLE_UPDATED"}
	if !slices.Equal(types, want) {
		t.Errorf("events %v", types)
	}
}

func TestAProviderThatIsNotSetUpIsRefused(t *testing.T) {
	w := newWorld(t)
	w.service.Google = nil
	if status, _, code := w.call(http.MethodPost, "", `{"providerName":"GCP"}`); status != 400 || code != "ENCRYPTION_AT_REST_PROVIDER_NOT_SUPPORTED" {
		t.Errorf("%d %s", status, code)
	}
}

func TestARoleOfAnotherGroupIsNotFound(t *testing.T) {
	w := newWorld(t)
	id, _ := w.create(`{"providerName":"AWS"}`)["roleId"].(string)
	_, err := access.Find(t.Context(), w.table, "650000000000000000000099", id)
	if e, ok := errors.AsType[*atlas.Error](err); !ok || e.Code != atlas.RoleNotFound {
		t.Errorf("got %v", err)
	}
}

func TestADirectoryOfAzureBelongsToOneOrganisation(t *testing.T) {
	w := newWorld(t)
	w.tenants[tenantID] = principal
	body := `{"providerName":"AZURE","servicePrincipalId":"` + principal + `","tenantId":"` + tenantID + `"}`
	mine, _ := w.create(body)["_id"].(string)
	role, err := access.Find(t.Context(), w.table, groupID, mine)
	if err != nil || role.Authorized() {
		t.Errorf("a service principal that nobody verified may be used: %v", err)
	}
	if status, answer, _ := w.call(http.MethodPatch, "/"+mine, body); status != 200 {
		t.Fatalf("authorize answers %v", answer)
	}
	stranger := owner
	stranger.OrgID = "650000000000000000000099"
	theirs, _ := w.create(body)["_id"].(string)
	_, _, err = w.service.Authorize(t.Context(), stranger, groupID, theirs, atlas.CloudProviderAccessRequest{ProviderName: new("AZURE")})
	if atlas.CodeOf(err) != atlas.AzureServicePrincipalInvalid {
		t.Errorf("a stranger who names the directory gets %v", err)
	}
	if role, err := access.Find(t.Context(), w.table, groupID, theirs); err != nil || role.Authorized() {
		t.Errorf("the stranger's role is authorized: %v", err)
	}
	if status, _, _ := w.call(http.MethodDelete, "/AZURE/"+mine, ""); status != 204 {
		t.Errorf("delete answers %d", status)
	}
	if _, _, err = w.service.Authorize(t.Context(), stranger, groupID, theirs, atlas.CloudProviderAccessRequest{ProviderName: new("AZURE")}); err != nil {
		t.Errorf("a directory that nobody uses any more is refused: %v", err)
	}
}

// What is admitted to a directory of Azure must be there before the role that names it.
func TestIdentitiesAreToldBeforeThereIsARole(t *testing.T) {
	w := newWorld(t)
	ask := func() string {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/latchkey/v1/groups/"+groupID+"/cloudProviderAccess/identities", nil)
		rec := httptest.NewRecorder()
		w.api.ServeHTTP(rec, r.WithContext(httpapi.WithCaller(r.Context(), owner)))
		return strings.TrimSpace(rec.Body.String())
	}
	const aws, azure, google = `{"cloudProvider":"AWS","identity":"arn:aws:iam::999900001111:root"}`, `{"cloudProvider":"AZURE","identity":"` + appID + `"}`,
		`{"cloudProvider":"GCP","identity":null}`
	if got, want := ask(), `{"identities":[`+aws+","+azure+","+google+`]}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	w.service.Azure = nil
	if got, want := ask(), `{"identities":[`+aws+","+google+`]}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if err := w.table.Write(t.Context(), store.Delete(keys.Encryption(groupID), 1)); err != nil {
		t.Fatal(err)
	}
	if got := ask(); !strings.Contains(got, "GROUP_NOT_FOUND") {
		t.Errorf("of a closed project: %s", got)
	}
}
