package azurecloud_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"latchkey/local/pocket"
	"latchkey/local/pocket/azurecloud"
)

func TestGraphManagesApplicationsAndPrincipals(t *testing.T) {
	w := newWorld(t, pocket.Memory(), 0)
	appID, object, _, principal := w.app(t)
	values := func(target string) int {
		return len(w.must(t, "GET", target, "").body["value"].([]any))
	}
	expect(t, "application by its id", w.must(t, "GET", graph+"/applications(appId='"+appID+"')", ""), 200, "id", object)
	expect(t, "principal by application", w.must(t, "GET", graph+"/servicePrincipals(appId='"+appID+"')", ""), 200, "id", principal)
	expect(t, "principal", w.must(t, "GET", graph+"/servicePrincipals/"+principal, ""), 200, "appId", appID)
	filter := "?$filter=" + url.QueryEscape("appId eq '"+appID+"'")
	if n := values(graph+"/servicePrincipals") + values(graph+"/servicePrincipals"+filter) + values(graph+"/applications"); n != 3 {
		t.Errorf("%d listed", n)
	}
	if n := len(w.must(t, "GET", graph+"/applications", "", azurecloud.TenantHeader, operator).body["value"].([]any)); n != 0 {
		t.Errorf("another tenant lists %d applications", n)
	}
	for name, c := range map[string]struct {
		method, target, body string
		status               int
	}{
		"a principal twice":            {"POST", "/servicePrincipals", `{"appId":"` + appID + `"}`, 409},
		"a principal of nothing":       {"POST", "/servicePrincipals", `{"appId":"` + operator + `"}`, 400},
		"an application without name":  {"POST", "/applications", `{}`, 400},
		"an unknown audience":          {"POST", "/applications", `{"displayName":"x","signInAudience":"Everybody"}`, 400},
		"an unknown application":       {"GET", "/applications/" + operator, "", 404},
		"an unknown principal":         {"GET", "/servicePrincipals/" + operator, "", 404},
		"an unknown secret":            {"POST", "/applications/" + object + "/removePassword", `{"keyId":"x"}`, 400},
		"an unknown filter":            {"GET", "/servicePrincipals?$filter=x", "", 400},
		"an unknown collection":        {"GET", "/users", "", 400},
		"an unknown action":            {"POST", "/applications/" + object + "/explode", "", 405},
		"no JSON":                      {"POST", "/applications", "{", 400},
		"a method that is not allowed": {"PUT", "/servicePrincipals", "", 405},
	} {
		expect(t, name, w.do(t, admin, c.method, graph+c.target, c.body), c.status, "", "")
	}
	expect(t, "no tenant", w.do(t, admin, "GET", graph+"/applications", "", azurecloud.TenantHeader, "mine"), 400, "", "")
	w.must(t, "DELETE", graph+"/applications/"+object, "")
	expect(t, "principal of a deleted application", w.do(t, admin, "GET", graph+"/servicePrincipals/"+principal, ""), 404, "", "")
}

func TestResourceManagerRefusesWhatIsWrong(t *testing.T) {
	w := newWorld(t, pocket.Memory(), 0)
	w.vault(t)
	group := strings.TrimSuffix(arm, "kv-kms")
	role := arm + "/providers/Microsoft.Authorization/roleAssignments/"
	for name, c := range map[string]struct {
		method, target, body string
		status               int
		code                 string
	}{
		"no api-version":         {"GET", arm, "", 400, "MissingApiVersionParameter"},
		"no location":            {"PUT", group + "kv-new" + version, "{}", 400, "LocationRequired"},
		"a bad vault name":       {"PUT", group + "1" + version, `{"location":"x"}`, 400, "VaultNameNotValid"},
		"a name in use":          {"PUT", strings.Replace(arm, "rg-kms", "rg-other", 1) + version, `{"location":"x"}`, 409, "VaultAlreadyExists"},
		"another group":          {"GET", strings.Replace(arm, "rg-kms", "rg-other", 1) + version, "", 404, "ResourceNotFound"},
		"an unknown vault":       {"GET", group + "kv-none" + version, "", 404, "ResourceNotFound"},
		"no soft delete":         {"PATCH", arm + version, `{"properties":{"enableSoftDelete":false}}`, 400, "BadRequest"},
		"a bad tenant":           {"PATCH", arm + version, `{"properties":{"tenantId":"x"}}`, 400, "BadRequest"},
		"a bad rule":             {"PATCH", arm + version, `{"properties":{"networkAcls":{"ipRules":[{"value":"x"}]}}}`, 400, "BadRequest"},
		"a bad action":           {"PATCH", arm + version, `{"properties":{"networkAcls":{"defaultAction":"Maybe"}}}`, 400, "BadRequest"},
		"no policies":            {"PUT", arm + "/accessPolicies/add" + version, `{}`, 400, "BadRequest"},
		"a bad policy operation": {"PUT", arm + "/accessPolicies/guess" + version, `{"properties":{"accessPolicies":[]}}`, 400, "BadRequest"},
		"an unknown child":       {"GET", arm + "/children" + version, "", 404, "InvalidResourceType"},
		"an unknown provider":    {"GET", "http://management.azure.com/x" + version, "", 404, "InvalidResourceType"},
		"a bad assignment id":    {"PUT", role + "x" + version, `{}`, 400, "InvalidRoleAssignmentId"},
		"an empty assignment":    {"PUT", role + operator + version, `{}`, 400, "BadRequestFormat"},
		"an unknown assignment":  {"GET", role + operator + version, "", 404, "RoleAssignmentNotFound"},
		"purging a live vault": {"POST", "http://management.azure.com/subscriptions/" + subscription +
			"/providers/Microsoft.KeyVault/locations/x/deletedVaults/kv-kms/purge" + version, "", 404, "DeletedVaultNotFound"},
	} {
		expect(t, name, w.do(t, admin, c.method, c.target, c.body), c.status, "error.code", c.code)
	}
	if r := w.do(t, admin, "DELETE", role+operator+version, ""); r.status != 204 {
		t.Errorf("removing an unknown assignment: %d", r.status)
	}
	expect(t, "the vault", w.must(t, "GET", arm+version, ""), 200, "properties.vaultUri", "https://kv-kms.vault.azure.net/")
	expect(t, "discovery", w.do(t, "", "GET", "http://login.microsoftonline.com/common/discovery/instance?api-version=1.1&authorization_endpoint="+
		url.QueryEscape("https://login.microsoftonline.com/"+tenantID+"/oauth2/v2.0/authorize"), ""), 200,
		"tenant_discovery_endpoint", "https://login.microsoftonline.com/"+tenantID+"/v2.0/.well-known/openid-configuration")
}

// No request may bring the cloud down, whoever sends it.
func FuzzServe(f *testing.F) {
	for _, target := range []string{vault + "/keys/atlas//encrypt", vault + "//", arm, arm + "/accessPolicies/add", login, graph + "/applications(appId='x')/y"} {
		u, err := url.Parse(target)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(http.MethodPost, u.Host, u.Path, "{}")
	}
	f.Add(http.MethodPut, "management.azure.com", "/\u0130\u0130/providers/microsoft.authorization/roleassignments/", `{"properties":null}`)
	now := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	cloud, err := azurecloud.New(azurecloud.Config{State: pocket.Memory(), Now: func() time.Time { return now }, AdminToken: admin, Tenant: tenantID})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, method, host, path, body string) {
		if strings.HasSuffix(path, "create") || strings.HasSuffix(path, "rotate") {
			t.Skip("makes a key")
		}
		r := httptest.NewRequest(http.MethodGet, "/?api-version=1", strings.NewReader(body))
		r.Method, r.Host, r.URL.Path = method, host, path
		r.Header.Set("Authorization", "Bearer "+admin)
		c := &pocket.Call{Request: r, Host: host, Body: []byte(body)}
		defer func() {
			if p := recover(); p != nil && fmt.Sprint(p) != http.ErrAbortHandler.Error() {
				t.Errorf("%s %s%s panics: %v", method, host, path, p)
			}
		}()
		for _, s := range cloud.Services() {
			if s.Serves(host) {
				s.Operation(c)
				s.Refuse(httptest.NewRecorder(), c, pocket.Deny)
				s.Serve(httptest.NewRecorder(), c)
			}
		}
	})
}
