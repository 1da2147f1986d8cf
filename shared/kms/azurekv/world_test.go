package azurekv_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/local/pocket"
	"latchkey/local/pocket/azurecloud"
	"latchkey/shared/atlas"
	"latchkey/shared/kms"
	"latchkey/shared/kms/azurekv"
)

const (
	operatorTenant = "6f1b0000-0000-4000-8000-0000000000aa"
	customerTenant = "6f1b0000-0000-4000-8000-000000000002"
	subscription   = "6f1b0000-0000-4000-8000-000000000003"
	latchkeyApp    = "9efedfcc-2eca-4b27-a613-0cad1e114cb7"
	latchkeySecret = "latchkeys-own-secret"
	adminToken     = "administrator"
	vaultURL       = "https://kv-kms.vault.azure.net"
	vaultPath      = "https://management.azure.com/subscriptions/" + subscription + "/resourceGroups/rg-kms/providers/Microsoft.KeyVault/vaults/kv-kms"
	graph          = "https://graph.microsoft.com/v1.0"
)

// pool hands out a few RSA keys in turn, since making one takes a tenth of a second.
var pool = sync.OnceValue(func() []*rsa.PrivateKey {
	keys := make([]*rsa.PrivateKey, 4)
	for i := range keys {
		k, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		keys[i] = k
	}
	return keys
})

// world is a cloud with a customer's vault and two keys in it, to which two applications have
// access: one of the customer's own and Latchkey's.
type world struct {
	cloud     *azurecloud.Cloud
	faults    *pocket.Faults
	clouds    *pocket.Clouds
	transport http.RoundTripper
	hurried   atomic.Bool // a hanging service is given up at once
	requests  atomic.Int64

	app, appObject, secret string // the customer's application
	appPrincipal           string
	ourPrincipal           string
}

func newWorld(t testing.TB) *world {
	t.Helper()
	keys, next := pool(), 0
	w := &world{faults: &pocket.Faults{}}
	cloud, err := azurecloud.New(azurecloud.Config{
		State: pocket.Memory(), Now: time.Now, AdminToken: adminToken, Tenant: customerTenant,
		GenerateKey: func(int) (*rsa.PrivateKey, error) { next++; return keys[next%len(keys)], nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cloud.SeedApplication(azurecloud.Seed{
		Tenant: operatorTenant, AppID: latchkeyApp, Name: "Latchkey", Secret: latchkeySecret, MultiTenant: true,
	}); err != nil {
		t.Fatal(err)
	}
	w.cloud = cloud
	w.clouds = pocket.New(w.faults, func(*http.Request) string { return "" }, cloud.Services()...)
	w.transport = pocket.Transport(w.clouds)
	w.put(t, vaultPath, `{"location":"eastus2","properties":{"tenantId":"`+customerTenant+`","sku":{"family":"A","name":"standard"},"accessPolicies":[]}}`)
	for _, name := range []string{"atlas", "other"} {
		w.post(t, vaultURL+"/keys/"+name+"/create", `{"kty":"RSA","key_size":2048}`)
	}
	app := w.post(t, graph+"/applications", `{"displayName":"customer"}`)
	w.app, w.appObject = app["appId"].(string), app["id"].(string)
	w.secret = w.addSecret(t, w.appObject, "")
	w.appPrincipal = w.post(t, graph+"/servicePrincipals", `{"appId":"`+w.app+`"}`)["id"].(string)
	w.ourPrincipal = w.post(t, graph+"/servicePrincipals", `{"appId":"`+latchkeyApp+`"}`)["id"].(string)
	w.grant(t)
	return w
}

// RoundTrip counts requests and gives up on a hanging service at once if asked to.
func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	w.requests.Add(1)
	if !w.hurried.Load() {
		return w.transport.RoundTrip(r)
	}
	ctx, cancel := context.WithDeadline(r.Context(), time.Now())
	defer cancel()
	return w.transport.RoundTrip(r.WithContext(ctx))
}

func (w *world) addSecret(t testing.TB, object, end string) string {
	t.Helper()
	body := `{"passwordCredential":{"displayName":"s"}}`
	if end != "" {
		body = `{"passwordCredential":{"displayName":"s","startDateTime":"2020-01-01T00:00:00Z","endDateTime":"` + end + `"}}`
	}
	return w.post(t, graph+"/applications/"+object+"/addPassword", body)["secretText"].(string)
}

func (w *world) grant(t testing.TB) {
	t.Helper()
	w.policies(t, "add")
}

func (w *world) policies(t testing.TB, kind string) {
	t.Helper()
	var list []string
	for _, id := range []string{w.appPrincipal, w.ourPrincipal} {
		list = append(list, fmt.Sprintf(`{"tenantId":%q,"objectId":%q,"permissions":{"keys":["get","encrypt","decrypt"]}}`, customerTenant, id))
	}
	w.put(t, vaultPath+"/accessPolicies/"+kind, `{"properties":{"accessPolicies":[`+strings.Join(list, ",")+`]}}`)
}

func (w *world) put(t testing.TB, url, body string) map[string]any {
	t.Helper()
	return w.admin(t, http.MethodPut, url, body)
}

func (w *world) post(t testing.TB, url, body string) map[string]any {
	t.Helper()
	return w.admin(t, http.MethodPost, url, body)
}

func (w *world) patch(t testing.TB, url, body string) map[string]any {
	t.Helper()
	return w.admin(t, http.MethodPatch, url, body)
}

func (w *world) delete(t testing.TB, url string) map[string]any {
	t.Helper()
	return w.admin(t, http.MethodDelete, url, "")
}

// admin does what a person with an administrator's token would do with curl.
func (w *world) admin(t testing.TB, method, url, body string) map[string]any {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url+"?api-version=2025-07-01", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+adminToken)
	resp, err := w.transport.RoundTrip(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	text, _ := io.ReadAll(resp.Body)
	if resp.StatusCode >= 300 {
		t.Fatalf("%s %s: %d %s", method, url, resp.StatusCode, text)
	}
	var out map[string]any
	if len(text) > 0 {
		if err := json.Unmarshal(text, &out); err != nil {
			t.Fatalf("%s %s: %s", method, url, text)
		}
	}
	return out
}

func (w *world) options() azurekv.Options { return azurekv.Options{Transport: w, Now: time.Now} }

// asCustomer is a fresh credential of the customer's application.
func (w *world) asCustomer(t testing.TB, secret string) *azurekv.Credential {
	t.Helper()
	c, err := azurekv.NewSecretCredential(customerTenant, w.app, secret, w.options())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// asLatchkey is a fresh credential of Latchkey's application in the customer's tenant.
func (w *world) asLatchkey(t testing.TB, secret string) *azurekv.Credential {
	t.Helper()
	c, err := azurekv.App{ClientID: latchkeyApp, HomeTenant: operatorTenant, Secret: secret}.In(customerTenant, w.options())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func open(t testing.TB, c *azurekv.Credential, name string) *kms.Key {
	t.Helper()
	id, err := atlas.ParseAzureKeyID(vaultURL + "/keys/" + name)
	if err != nil {
		t.Fatal(err)
	}
	k, err := azurekv.Open(c, id)
	if err != nil {
		t.Fatal(err)
	}
	return k
}
