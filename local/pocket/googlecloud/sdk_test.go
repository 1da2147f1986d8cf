package googlecloud_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	kmsapi "cloud.google.com/go/kms/apiv1"
	"cloud.google.com/go/kms/apiv1/kmspb"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"
	iamapi "google.golang.org/api/iam/v1"
	"google.golang.org/api/impersonate"
	"google.golang.org/api/iterator"
	"google.golang.org/api/option"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"latchkey/local/pocket"
)

// client is an HTTP client that sends a fixed token.
func (w *world) client(token string) *http.Client {
	return &http.Client{Transport: &oauth2.Transport{
		Base: w.transport, Source: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: token}),
	}}
}

func (w *world) sdk(t testing.TB, hc *http.Client) *kmsapi.KeyManagementClient {
	t.Helper()
	c, err := kmsapi.NewKeyManagementRESTClient(t.Context(), option.WithHTTPClient(hc))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestGooglesClientAdministersKeys(t *testing.T) {
	w := newWorld(t, pocket.Memory(), 0)
	ctx, c := t.Context(), w.sdk(t, w.client(adminToken))
	location := "projects/example.com:tenant/locations/global"
	r, err := c.CreateKeyRing(ctx, &kmspb.CreateKeyRingRequest{Parent: location, KeyRingId: "kr"})
	if err != nil {
		t.Fatal(err)
	}
	k, err := c.CreateCryptoKey(ctx, &kmspb.CreateCryptoKeyRequest{
		Parent: r.GetName(), CryptoKeyId: "atlas",
		CryptoKey: &kmspb.CryptoKey{Purpose: kmspb.CryptoKey_ENCRYPT_DECRYPT, Labels: map[string]string{"a": "b"}},
	})
	if err != nil || k.GetPrimary().GetState() != kmspb.CryptoKeyVersion_ENABLED || k.GetLabels()["a"] != "b" {
		t.Fatalf("%v, %v", k, err)
	}
	v2, err := c.CreateCryptoKeyVersion(ctx, &kmspb.CreateCryptoKeyVersionRequest{Parent: k.GetName(), CryptoKeyVersion: &kmspb.CryptoKeyVersion{}})
	if err != nil || !strings.HasSuffix(v2.GetName(), "/2") {
		t.Fatalf("%v, %v", v2, err)
	}
	k, err = c.UpdateCryptoKeyPrimaryVersion(ctx, &kmspb.UpdateCryptoKeyPrimaryVersionRequest{Name: k.GetName(), CryptoKeyVersionId: "2"})
	if err != nil || k.GetPrimary().GetName() != v2.GetName() {
		t.Fatalf("%v, %v", k, err)
	}
	v2.State = kmspb.CryptoKeyVersion_DISABLED
	v2, err = c.UpdateCryptoKeyVersion(ctx, &kmspb.UpdateCryptoKeyVersionRequest{
		CryptoKeyVersion: v2, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"state"}},
	})
	if err != nil || v2.GetState() != kmspb.CryptoKeyVersion_DISABLED {
		t.Fatalf("%v, %v", v2, err)
	}
	v2, err = c.DestroyCryptoKeyVersion(ctx, &kmspb.DestroyCryptoKeyVersionRequest{Name: v2.GetName()})
	if err != nil || !v2.GetDestroyTime().AsTime().Equal(w.now.AddDate(0, 0, 30)) {
		t.Fatalf("%v, %v", v2, err)
	}
	v2, err = c.RestoreCryptoKeyVersion(ctx, &kmspb.RestoreCryptoKeyVersionRequest{Name: v2.GetName()})
	if err != nil || v2.GetState() != kmspb.CryptoKeyVersion_DISABLED || v2.GetDestroyTime() != nil {
		t.Fatalf("%v, %v", v2, err)
	}
	n := 0
	for it := c.ListCryptoKeyVersions(ctx, &kmspb.ListCryptoKeyVersionsRequest{Parent: k.GetName()}); ; n++ {
		if _, err := it.Next(); errors.Is(err, iterator.Done) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if n != 2 {
		t.Errorf("%d versions are listed", n)
	}
}

func TestGooglesClientsAuthenticateWithAKeyFile(t *testing.T) {
	w := withKey(t, 0)
	email, file := w.newAccount(t, "cmk-user")
	w.grant(t, kms+key, "serviceAccount:"+email, "roles/cloudkms.cryptoKeyEncrypterDecrypter")
	cfg, err := google.JWTConfigFromJSON(file, "https://www.googleapis.com/auth/cloudkms")
	if err != nil {
		t.Fatal(err)
	}
	w.now = time.Now() // the library signs with the real clock
	ctx := context.WithValue(t.Context(), oauth2.HTTPClient, &http.Client{Transport: w.transport})
	c := w.sdk(t, cfg.Client(ctx))
	sealed, err := c.Encrypt(ctx, &kmspb.EncryptRequest{Name: version, Plaintext: []byte("hello"), AdditionalAuthenticatedData: []byte("aad")})
	if err != nil {
		t.Fatal(err)
	}
	opened, err := c.Decrypt(ctx, &kmspb.DecryptRequest{Name: key, Ciphertext: sealed.GetCiphertext(), AdditionalAuthenticatedData: []byte("aad")})
	if err != nil || string(opened.GetPlaintext()) != "hello" || sealed.GetName() != version {
		t.Errorf("%v, %v", opened, err)
	}
	if _, err := c.GetCryptoKeyVersion(ctx, &kmspb.GetCryptoKeyVersionRequest{Name: version}); err == nil {
		t.Error("a user of the key could read it")
	}
}

func TestGooglesClientsMakeAndImpersonateAccounts(t *testing.T) {
	w := newWorld(t, pocket.Memory(), 0)
	ctx := t.Context()
	admin, err := iamapi.NewService(ctx, option.WithHTTPClient(w.client(adminToken)))
	if err != nil {
		t.Fatal(err)
	}
	sa, err := admin.Projects.ServiceAccounts.Create("projects/tenant-1", &iamapi.CreateServiceAccountRequest{
		AccountId: "target", ServiceAccount: &iamapi.ServiceAccount{DisplayName: "Target"},
	}).Do()
	if err != nil || sa.Email != "target@tenant-1.iam.gserviceaccount.com" || sa.DisplayName != "Target" {
		t.Fatalf("%v, %v", sa, err)
	}
	caller, _ := w.newAccount(t, "caller")
	_, err = admin.Projects.ServiceAccounts.SetIamPolicy(sa.Name, &iamapi.SetIamPolicyRequest{Policy: &iamapi.Policy{
		Bindings: []*iamapi.Binding{{Role: "roles/iam.serviceAccountTokenCreator", Members: []string{"serviceAccount:" + caller}}},
	}}).Do()
	if err != nil {
		t.Fatal(err)
	}
	source, err := impersonate.CredentialsTokenSource(ctx, impersonate.CredentialsConfig{
		TargetPrincipal: sa.Email, Scopes: []string{"https://www.googleapis.com/auth/cloudkms"},
	}, option.WithHTTPClient(w.client(w.token(t, caller))))
	if err != nil {
		t.Fatal(err)
	}
	if token, err := source.Token(); err != nil || !token.Expiry.Equal(w.now.Add(time.Hour)) {
		t.Errorf("%v, %v", token, err)
	}
	keys, err := admin.Projects.ServiceAccounts.Keys.List("projects/tenant-1/serviceAccounts/" + caller).Do()
	if err != nil || len(keys.Keys) != 1 {
		t.Errorf("%v, %v", keys, err)
	}
	all, err := admin.Projects.ServiceAccounts.List("projects/tenant-1").Do()
	if err != nil || len(all.Accounts) != 2 {
		t.Errorf("%v, %v", all, err)
	}
	if _, err := admin.Projects.ServiceAccounts.Delete(sa.Name).Do(); err != nil {
		t.Error(err)
	}
	if _, err := source.Token(); err == nil {
		t.Error("a deleted account was impersonated")
	}
}

func TestAPersonUsesTheListenerAsAProxy(t *testing.T) {
	w := withKey(t, 0)
	server := httptest.NewServer(w.handler)
	defer server.Close()
	proxy, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	hc := &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(proxy)}}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, kms+version, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+adminToken)
	resp, err := hc.Do(r)
	if err != nil || resp.StatusCode != http.StatusOK || resp.Body.Close() != nil {
		t.Fatalf("%v, %v", resp, err)
	}
}
