package azurekv_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"testing"
	"time"

	"latchkey/local/pocket"
	"latchkey/shared/atlas"
	"latchkey/shared/kms"
	"latchkey/shared/kms/azurekv"
	"latchkey/shared/kms/kmstest"
	"latchkey/shared/verdict"
)

// vault is a Key Vault that is reached over the network, with an application that may get, encrypt and decrypt with
// two keys of it.
type vault struct {
	tenant, app, secret string
	key, other          string // their identifiers, URLs
	transport           http.RoundTripper
}

func (v vault) open(t testing.TB, secret, id string) *kms.Key {
	t.Helper()
	c, err := azurekv.NewSecretCredential(v.tenant, v.app, secret, azurekv.Options{Transport: v.transport, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := atlas.ParseAzureKeyID(id)
	if err != nil {
		t.Fatal(err)
	}
	k, err := azurekv.Open(c, parsed)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (v vault) harness(t *testing.T) *kmstest.Harness {
	return &kmstest.Harness{
		Key: v.open(t, v.secret, v.key), Other: v.open(t, v.secret, v.other),
		Breaks: map[kmstest.Break]kmstest.Breaking{
			kmstest.BadCredentials: {
				Do:     func(t testing.TB) *kms.Key { return v.open(t, "not-the-secret", v.key) },
				Reason: verdict.CredentialsInvalid,
			},
			kmstest.UnknownKey: {
				Do:     func(t testing.TB) *kms.Key { return v.open(t, v.secret, v.key+"-nobody") },
				Reason: verdict.KeyNotFound,
			},
		},
	}
}

// TestConformanceElsewhere is for a Key Vault of one's own: a key in it, another one, and an application.
func TestConformanceElsewhere(t *testing.T) {
	v := vault{
		tenant: os.Getenv("LATCHKEY_KEY_VAULT_TENANT"), app: os.Getenv("LATCHKEY_KEY_VAULT_CLIENT_ID"), secret: os.Getenv("LATCHKEY_KEY_VAULT_CLIENT_SECRET"),
		key: os.Getenv("LATCHKEY_KEY_VAULT_KEY"), other: os.Getenv("LATCHKEY_KEY_VAULT_OTHER_KEY"), transport: http.DefaultTransport,
	}
	if v.key == "" {
		t.Skip("set LATCHKEY_KEY_VAULT_KEY and the others to the identifiers of keys and an application's credentials")
	}
	kmstest.RunElsewhere(t, v.harness)
}

// TestConformanceOverTLS keeps the test above from being one that nobody can run.
func TestConformanceOverTLS(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	proxy, err := pocket.NewProxy(w.clouds, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { proxy.Close() }) //nolint:errcheck // nothing is kept
	server := httptest.NewServer(proxy)
	t.Cleanup(server.Close)
	address, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(proxy.Certificate())
	transport := &http.Transport{Proxy: http.ProxyURL(address), TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	t.Cleanup(transport.CloseIdleConnections)
	kmstest.RunElsewhere(t, vault{
		tenant: customerTenant, app: w.app, secret: w.secret, key: keyURL, other: vaultURL + "/keys/other", transport: transport,
	}.harness)
}
