package azurecloud_test

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"latchkey/local/pocket"
	"latchkey/local/pocket/azurecloud"
)

const (
	tenantID     = "6f1b0000-0000-4000-8000-000000000002"
	operator     = "6f1b0000-0000-4000-8000-0000000000aa"
	subscription = "6f1b0000-0000-4000-8000-000000000003"
	admin        = "administrator"
	version      = "?api-version=2025-07-01"
	vault        = "http://kv-kms.vault.azure.net"
	arm          = "http://management.azure.com/subscriptions/" + subscription + "/resourceGroups/rg-kms/providers/Microsoft.KeyVault/vaults/kv-kms"
	graph        = "http://graph.microsoft.com/v1.0"
	login        = "http://login.microsoftonline.com/" + tenantID + "/oauth2/v2.0/token"
)

// key is the one RSA key of these tests, since making one takes a tenth of a second.
var key = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

// world is a cloud behind a listener that is used as a proxy, as `curl -x` does.
type world struct {
	cloud  *azurecloud.Cloud
	faults *pocket.Faults
	client *http.Client
	now    time.Time
	lag    time.Duration
	clouds *pocket.Clouds
}

func (w *world) clock() time.Time { return w.now }

func newWorld(t testing.TB, state pocket.State, lag time.Duration) *world {
	t.Helper()
	w := &world{now: time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC), lag: lag}
	w.open(t, azurecloud.Config{
		State: state, Now: w.clock, AdminToken: admin, Tenant: tenantID, Lag: lag,
		GenerateKey: func(int) (*rsa.PrivateKey, error) { return key(), nil },
	})
	return w
}

func (w *world) open(t testing.TB, cfg azurecloud.Config) {
	t.Helper()
	var err error
	w.faults = &pocket.Faults{}
	if w.cloud, err = azurecloud.New(cfg); err != nil {
		t.Fatal(err)
	}
	w.clouds = pocket.New(w.faults, func(*http.Request) string { return "" }, w.cloud.Services()...)
	server := httptest.NewServer(w.clouds)
	t.Cleanup(server.Close)
	proxy, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	w.client = &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(proxy)}}
}

// reply is an answer with its body read as JSON.
type reply struct {
	status int
	header http.Header
	text   string
	body   map[string]any
}

// at reads a member by its path: "error.innererror.code".
func (r reply) at(path string) string {
	var v any = r.body
	for name := range strings.SplitSeq(path, ".") {
		m, ok := v.(map[string]any)
		if !ok {
			return ""
		}
		v = m[name]
	}
	if v == nil {
		return ""
	}
	return fmt.Sprint(v)
}

func (w *world) do(t testing.TB, token, method, target, body string, headers ...string) reply {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := w.client.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	out := reply{status: resp.StatusCode, header: resp.Header, text: string(text)}
	dec := json.NewDecoder(strings.NewReader(out.text))
	dec.UseNumber()
	dec.Decode(&out.body) //nolint:errcheck // not every answer is JSON
	return out
}

// must does what an administrator does and expects success.
func (w *world) must(t testing.TB, method, target, body string, headers ...string) reply {
	t.Helper()
	r := w.do(t, admin, method, target, body, headers...)
	if r.status >= 300 {
		t.Fatalf("%s %s: %d %s", method, target, r.status, r.text)
	}
	return r
}

// app registers an application with a secret and a service principal.
func (w *world) app(t testing.TB) (appID, object, secret, principal string) {
	t.Helper()
	a := w.must(t, "POST", graph+"/applications", `{"displayName":"customer"}`)
	s := w.must(t, "POST", graph+"/applications/"+a.at("id")+"/addPassword", `{}`)
	p := w.must(t, "POST", graph+"/servicePrincipals", `{"appId":"`+a.at("appId")+`"}`)
	return a.at("appId"), a.at("id"), s.at("secretText"), p.at("id")
}

func (w *world) vault(t testing.TB) {
	t.Helper()
	w.must(t, "PUT", arm+version, `{"location":"eastus2","properties":{"tenantId":"`+tenantID+`","sku":{"family":"A","name":"standard"},"accessPolicies":[]}}`)
	w.must(t, "POST", vault+"/keys/atlas/create"+version, `{"kty":"RSA"}`)
}

func (w *world) token(t testing.TB, appID, secret string) reply {
	t.Helper()
	form := url.Values{
		"grant_type": {"client_credentials"}, "client_id": {appID}, "client_secret": {secret}, "scope": {"https://vault.azure.net/.default"},
	}
	return w.do(t, "", "POST", login, form.Encode())
}

func (w *world) policy(t testing.TB, principal string, permissions ...string) {
	t.Helper()
	list, err := json.Marshal(permissions)
	if err != nil {
		t.Fatal(err)
	}
	w.must(t, "PUT", arm+"/accessPolicies/replace"+version,
		`{"properties":{"accessPolicies":[{"tenantId":"`+tenantID+`","objectId":"`+principal+`","permissions":{"keys":`+string(list)+`}}]}}`)
}

func expect(t testing.TB, what string, r reply, status int, path, want string) {
	t.Helper()
	if r.status != status || path != "" && r.at(path) != want {
		t.Errorf("%s: %d %s, want %d with %s = %s", what, r.status, r.text, status, path, want)
	}
	if r.header.Get("X-Ms-Request-Id") == "" {
		t.Errorf("%s: the answer has no x-ms-request-id", what)
	}
}

func TestAPersonCanSetEverythingUpThroughTheProxy(t *testing.T) {
	w := newWorld(t, pocket.Memory(), 0)
	w.vault(t)
	appID, _, secret, principal := w.app(t)
	w.policy(t, principal, "get", "encrypt", "decrypt")
	granted := w.token(t, appID, secret)
	expect(t, "token", granted, 200, "token_type", "Bearer")
	token := granted.at("access_token")

	body, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	for _, claim := range []string{`"oid":"` + principal + `"`, `"appid":"` + appID + `"`, `"tid":"` + tenantID + `"`, `"aud":"https://vault.azure.net"`, `"iss":"https://sts.windows.net/` + tenantID + `/"`} {
		if !strings.Contains(string(body), claim) {
			t.Errorf("the token says %s, not %s", body, claim)
		}
	}
	sealed := w.do(t, token, "POST", vault+"/keys/atlas//encrypt"+version, `{"alg":"RSA-OAEP-256","value":"c2VjcmV0"}`)
	expect(t, "encrypt", sealed, 200, "", "")
	opened := w.do(t, token, "POST", strings.Replace(sealed.at("kid"), "https", "http", 1)+"/decrypt"+version, `{"alg":"RSA-OAEP-256","value":"`+sealed.at("value")+`"}`)
	expect(t, "decrypt", opened, 200, "value", "c2VjcmV0")
	expect(t, "wrap without permission", w.do(t, token, "POST", vault+"/keys/atlas/wrapkey"+version, `{"alg":"RSA-OAEP","value":"c2VjcmV0"}`), 403, "error.innererror.code", "ForbiddenByPolicy")
	wrapped := w.must(t, "POST", vault+"/keys/atlas/wrapkey"+version, `{"alg":"RSA-OAEP","value":"c2VjcmV0"}`)
	expect(t, "unwrap", w.must(t, "POST", vault+"/keys/atlas/unwrapkey"+version, `{"alg":"RSA-OAEP","value":"`+wrapped.at("value")+`"}`), 200, "value", "c2VjcmV0")
}

func TestTheLoginRefusesAsEntraDoes(t *testing.T) {
	w := newWorld(t, pocket.Memory(), 0)
	appID, object, secret, principal := w.app(t)
	expired := w.must(t, "POST", graph+"/applications/"+object+"/addPassword", `{"passwordCredential":{"endDateTime":"2026-11-23T00:00:00Z"}}`)
	w.now = w.now.Add(48 * time.Hour)
	foreign := w.must(t, "POST", graph+"/applications", `{"displayName":"theirs","signInAudience":"AzureADMultipleOrgs"}`, azurecloud.TenantHeader, operator)
	theirSecret := w.must(t, "POST", graph+"/applications/"+foreign.at("id")+"/addPassword", `{}`, azurecloud.TenantHeader, operator).at("secretText")
	private := w.must(t, "POST", graph+"/applications", `{"displayName":"theirs alone"}`, azurecloud.TenantHeader, operator)
	for name, c := range map[string]struct {
		app, secret string
		status      int
		kind, code  string
	}{
		"wrong secret":                       {appID, "wrong", 401, "invalid_client", "7000215"},
		"no secret":                          {appID, "", 401, "invalid_client", "7000218"},
		"expired secret":                     {appID, expired.at("secretText"), 401, "invalid_client", "7000222"},
		"unknown application":                {tenantID, secret, 400, "unauthorized_client", "700016"},
		"application of another tenant":      {private.at("appId"), "x", 400, "unauthorized_client", "700016"},
		"multi-tenant one without principal": {foreign.at("appId"), theirSecret, 401, "invalid_client", "7000229"},
	} {
		r := w.token(t, c.app, c.secret)
		expect(t, name, r, c.status, "error", c.kind)
		if r.at("error_codes") != "["+c.code+"]" || !strings.HasPrefix(r.at("error_description"), "AADSTS"+c.code+": ") {
			t.Errorf("%s: %s", name, r.text)
		}
	}
	w.must(t, "PATCH", graph+"/servicePrincipals/"+principal, `{"accountEnabled":false}`)
	expect(t, "disabled principal", w.token(t, appID, secret), 400, "error_codes", "[7000112]")
	w.must(t, "PATCH", graph+"/servicePrincipals/"+principal, `{"accountEnabled":true}`)
	expect(t, "enabled principal", w.token(t, appID, secret), 200, "", "")
	w.must(t, "POST", graph+"/servicePrincipals", `{"appId":"`+foreign.at("appId")+`"}`)
	expect(t, "admitted application", w.token(t, foreign.at("appId"), theirSecret), 200, "", "")
	elsewhere := strings.Replace(login, tenantID, subscription, 1)
	expect(t, "unknown tenant", w.do(t, "", "POST", elsewhere, "grant_type=client_credentials&client_id="+appID), 400, "error_codes", "[90002]")
	expect(t, "unknown tenant's configuration", w.do(t, "", "GET", strings.Replace(elsewhere, "oauth2/v2.0/token", "v2.0/.well-known/openid-configuration", 1), ""), 400, "error", "invalid_tenant")
	w.must(t, "POST", graph+"/applications/"+object+"/removePassword", `{"keyId":"`+w.must(t, "GET", graph+"/applications/"+object, "").body["passwordCredentials"].([]any)[0].(map[string]any)["keyId"].(string)+`"}`)
	expect(t, "removed secret", w.token(t, appID, secret), 401, "error_codes", "[7000215]")
}

func TestAVaultRefusesAsKeyVaultDoes(t *testing.T) {
	w := newWorld(t, pocket.Memory(), 0)
	w.vault(t)
	appID, _, secret, principal := w.app(t)
	token := w.token(t, appID, secret).at("access_token")
	r := w.do(t, "", "GET", vault+"/keys/atlas"+version, "")
	expect(t, "no token", r, 401, "error.code", "Unauthorized")
	if got := r.header.Get("WWW-Authenticate"); got != `Bearer authorization="https://login.microsoftonline.com/`+tenantID+`", resource="https://vault.azure.net"` {
		t.Errorf("challenge %s", got)
	}
	expect(t, "forged token", w.do(t, token[:len(token)-4]+"AAAA", "GET", vault+"/keys/atlas"+version, ""), 401, "error.code", "Unauthorized")
	expect(t, "no permission", w.do(t, token, "GET", vault+"/keys/atlas"+version, ""), 403, "error.innererror.code", "ForbiddenByPolicy")
	w.policy(t, principal, "get", "decrypt", "encrypt")
	expect(t, "no api-version", w.do(t, token, "GET", vault+"/keys/atlas", ""), 400, "error.code", "BadParameter")
	expect(t, "unknown key", w.do(t, token, "GET", vault+"/keys/none"+version, ""), 404, "error.code", "KeyNotFound")
	expect(t, "damaged ciphertext", w.do(t, token, "POST", vault+"/keys/atlas/decrypt"+version, `{"alg":"RSA-OAEP-256","value":"AAAA"}`), 400, "error.code", "BadParameter")
	w.must(t, "PATCH", arm+version, `{"properties":{"networkAcls":{"defaultAction":"Deny","ipRules":[{"value":"203.0.113.7"}]}}}`)
	expect(t, "firewall", w.do(t, token, "GET", vault+"/keys/atlas"+version, ""), 403, "error.innererror.code", "ForbiddenByFirewall")
	w.must(t, "PATCH", arm+version, `{"properties":{"networkAcls":{"defaultAction":"Deny","ipRules":[{"value":"127.0.0.0/8"}]}}}`)
	expect(t, "address in the rules", w.do(t, token, "GET", vault+"/keys/atlas"+version, ""), 200, "key.kty", "RSA")
	w.now = w.now.Add(time.Hour)
	expect(t, "expired token", w.do(t, token, "GET", vault+"/keys/atlas"+version, ""), 401, "error.code", "Unauthorized")
	for kind, want := range map[pocket.FaultKind]int{pocket.Deny: 403, pocket.Firewall: 403, pocket.Throttle: 429, pocket.ServerError: 503} {
		w.faults.Set(pocket.Fault{Host: "kv-kms.vault.azure.net", Kind: kind, Operation: "GetKey", Count: 1})
		expect(t, string(kind), w.do(t, admin, "GET", vault+"/keys/atlas"+version, ""), want, "", "")
	}
	if r := w.do(t, admin, "GET", "http://nowhere.vault.azure.net/keys/x"+version, ""); r.status != 502 {
		t.Errorf("a vault that does not exist: %d %s", r.status, r.text)
	}
}

func TestKeysLiveAsTheyDoInKeyVault(t *testing.T) {
	w := newWorld(t, pocket.Memory(), 0)
	w.vault(t)
	first := w.must(t, "GET", vault+"/keys/atlas"+version, "").at("key.kid")
	second := w.must(t, "POST", vault+"/keys/atlas/rotate"+version, "").at("key.kid")
	if first == second || w.must(t, "GET", vault+"/keys/atlas"+version, "").at("key.kid") != second {
		t.Error("the new version is not the current one")
	}
	if list := w.must(t, "GET", vault+"/keys/atlas/versions"+version, "").body["value"].([]any); len(list) != 2 {
		t.Errorf("%d versions", len(list))
	}
	encrypt := func(name string) reply {
		return w.do(t, admin, "POST", vault+"/keys/"+name+"/encrypt"+version, `{"alg":"RSA-OAEP-256","value":"AAAA"}`)
	}
	for attribute, inner := range map[string]string{
		`"enabled":false`: "KeyDisabled", `"enabled":true,"exp":1000000000`: "KeyExpired", `"enabled":true,"exp":9000000000,"nbf":8000000000`: "KeyNotYetValid",
	} {
		w.must(t, "PATCH", vault+"/keys/atlas"+version, `{"attributes":{`+attribute+`}}`)
		expect(t, attribute, encrypt("atlas"), 403, "error.innererror.code", inner)
		if inner != "KeyDisabled" { // expired keys go on decrypting
			r := w.do(t, admin, "POST", vault+"/keys/atlas/decrypt"+version, `{"alg":"RSA-OAEP-256","value":"AAAA"}`)
			expect(t, "decrypt with "+attribute, r, 400, "error.code", "BadParameter")
		}
		w.must(t, "PATCH", vault+"/keys/atlas"+version, `{"attributes":{"enabled":true,"nbf":1,"exp":9000000000}}`)
	}
	w.must(t, "PATCH", vault+"/keys/atlas"+version, `{"key_ops":["decrypt"]}`)
	expect(t, "key_ops", encrypt("atlas"), 403, "error.innererror.code", "KeyOperationForbidden")

	w.must(t, "DELETE", vault+"/keys/atlas"+version, "")
	expect(t, "deleted key", encrypt("atlas"), 404, "error.code", "KeyNotFound")
	expect(t, "name of a deleted key", w.do(t, admin, "POST", vault+"/keys/atlas/create"+version, "{}"), 409, "error.innererror.code", "ObjectIsDeletedButRecoverable")
	w.must(t, "POST", vault+"/deletedkeys/atlas/recover"+version, "")
	w.must(t, "GET", vault+"/keys/atlas"+version, "")
	w.must(t, "DELETE", vault+"/keys/atlas"+version, "")
	w.must(t, "PATCH", arm+version, `{"properties":{"enablePurgeProtection":true}}`)
	expect(t, "purge protection", w.do(t, admin, "DELETE", vault+"/deletedkeys/atlas"+version, ""), 403, "error.code", "Forbidden")
	w.now = w.now.AddDate(0, 0, 91)
	expect(t, "after its retention", w.do(t, admin, "GET", vault+"/deletedkeys/atlas"+version, ""), 404, "error.code", "KeyNotFound")
	w.must(t, "POST", vault+"/keys/atlas/create"+version, "{}")
}

func TestAVaultCanBeDeletedRecoveredAndPurged(t *testing.T) {
	w := newWorld(t, pocket.Memory(), 0)
	w.vault(t)
	w.must(t, "DELETE", arm+version, "")
	expect(t, "deleted vault", w.do(t, admin, "GET", arm+version, ""), 404, "error.code", "ResourceNotFound")
	if r := w.do(t, admin, "GET", vault+"/keys/atlas"+version, ""); r.status != 502 {
		t.Errorf("the deleted vault answers %d", r.status)
	}
	expect(t, "name of a deleted vault", w.do(t, admin, "PUT", arm+version, `{"location":"x"}`), 409, "error.code", "ConflictError")
	w.must(t, "PUT", arm+version, `{"location":"eastus2","properties":{"createMode":"recover"}}`)
	w.must(t, "GET", vault+"/keys/atlas"+version, "")
	w.must(t, "DELETE", arm+version, "")
	w.must(t, "POST", "http://management.azure.com/subscriptions/"+subscription+"/providers/Microsoft.KeyVault/locations/eastus2/deletedVaults/kv-kms/purge"+version, "")
	w.must(t, "PUT", arm+version, `{"location":"eastus2"}`)
	expect(t, "key of a purged vault", w.do(t, admin, "GET", vault+"/keys/atlas"+version, ""), 404, "error.code", "KeyNotFound")
}

func TestAccessTakesEffectLate(t *testing.T) {
	w := newWorld(t, pocket.Memory(), 5*time.Minute)
	w.vault(t)
	appID, _, secret, principal := w.app(t)
	expect(t, "new principal", w.token(t, appID, secret), 401, "error_codes", "[7000229]")
	w.now = w.now.Add(5 * time.Minute)
	token := w.token(t, appID, secret).at("access_token")
	get := func() reply { return w.do(t, token, "GET", vault+"/keys/atlas"+version, "") }
	w.policy(t, principal, "get")
	expect(t, "new policy", get(), 403, "error.innererror.code", "ForbiddenByPolicy")
	w.now = w.now.Add(5 * time.Minute)
	expect(t, "settled policy", get(), 200, "", "")

	w.must(t, "PATCH", arm+version, `{"properties":{"enableRbacAuthorization":true}}`)
	role := arm + "/providers/Microsoft.Authorization/roleAssignments/11111111-2222-4333-8444-555555555555" + version
	w.must(t, "PUT", role, `{"properties":{"roleDefinitionId":"/x/`+azurecloud.RoleReader+`","principalId":"`+principal+`"}}`)
	expect(t, "new role", get(), 403, "error.innererror.code", "ForbiddenByRbac")
	w.now = w.now.Add(5 * time.Minute)
	expect(t, "settled role", get(), 200, "", "")
	w.must(t, "DELETE", role, "")
	expect(t, "removed role", get(), 200, "", "")
	w.now = w.now.Add(5 * time.Minute)
	expect(t, "settled removal", get(), 403, "error.innererror.code", "ForbiddenByRbac")
}

func TestRolesReachDownFromTheirScope(t *testing.T) {
	w := newWorld(t, pocket.Memory(), 0)
	w.vault(t)
	w.must(t, "PATCH", arm+version, `{"properties":{"enableRbacAuthorization":true}}`)
	appID, _, secret, principal := w.app(t)
	token := w.token(t, appID, secret).at("access_token")
	group := strings.TrimSuffix(arm, "/providers/Microsoft.KeyVault/vaults/kv-kms")
	for scope, want := range map[string]int{
		strings.TrimSuffix(group, "/resourceGroups/rg-kms"): 200, strings.ToUpper(group[len("http://management.azure.com"):]): 200, arm: 200, arm + "/keys/atlas": 200,
		arm + "/keys/other": 403, group + "-2": 403, arm + "2": 403,
	} {
		if strings.HasPrefix(scope, "/") {
			scope = "http://management.azure.com" + scope
		}
		role := scope + "/providers/Microsoft.Authorization/roleAssignments/11111111-2222-4333-8444-555555555555" + version
		w.must(t, "PUT", role, `{"properties":{"roleDefinitionId":"/x/`+azurecloud.RoleCryptoUser+`","principalId":"`+principal+`"}}`)
		expect(t, scope, w.do(t, token, "GET", vault+"/keys/atlas"+version, ""), want, "", "")
		w.must(t, "DELETE", role, "")
	}
}

func TestOnlyTheAdministratorManages(t *testing.T) {
	w := newWorld(t, pocket.Memory(), 0)
	appID, _, secret, _ := w.app(t)
	for _, token := range []string{"", "guess", w.token(t, appID, secret).at("access_token")} {
		expect(t, "graph", w.do(t, token, "GET", graph+"/applications", ""), 401, "", "")
		expect(t, "arm", w.do(t, token, "PUT", arm+version, `{"location":"x"}`), 401, "", "")
	}
}

func TestTheCloudSurvivesARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "azure.db")
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, pocket.Bolt(db), 0)
	w.vault(t)
	appID, _, secret, principal := w.app(t)
	w.policy(t, principal, "decrypt", "encrypt")
	token := w.token(t, appID, secret).at("access_token")
	sealed := w.do(t, token, "POST", vault+"/keys/atlas/encrypt"+version, `{"alg":"RSA-OAEP-256","value":"c2VjcmV0"}`)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if db, err = bbolt.Open(path, 0o600, nil); err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // the test is over
	again := newWorld(t, pocket.Bolt(db), 0)
	opened := again.do(t, token, "POST", strings.Replace(sealed.at("kid"), "https", "http", 1)+"/decrypt"+version, `{"alg":"RSA-OAEP-256","value":"`+sealed.at("value")+`"}`)
	expect(t, "decrypt after a restart", opened, 200, "value", "c2VjcmV0")
	expect(t, "token after a restart", again.token(t, appID, secret), 200, "", "")
}

func TestSeedingIsRepeatable(t *testing.T) {
	w := newWorld(t, pocket.Memory(), time.Hour)
	seed := azurecloud.Seed{Tenant: operator, AppID: "9EFEDFCC-2eca-4b27-a613-0cad1e114cb7", Name: "Latchkey", Secret: "s1", MultiTenant: true}
	first, err := w.cloud.SeedApplication(seed)
	if err != nil {
		t.Fatal(err)
	}
	again, err := w.cloud.SeedApplication(seed)
	if err != nil || again != first {
		t.Errorf("seeded again: %s, %v; was %s", again, err, first)
	}
	form := url.Values{
		"grant_type": {"client_credentials"}, "client_id": {seed.AppID}, "client_secret": {"s1"}, "scope": {"https://vault.azure.net/.default"},
	}
	expect(t, "token at home", w.do(t, "", "POST", strings.Replace(login, tenantID, operator, 1), form.Encode()), 200, "", "")
}
