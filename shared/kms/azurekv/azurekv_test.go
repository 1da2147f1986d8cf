package azurekv_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/local/pocket"
	"latchkey/local/pocket/azurecloud"
	"latchkey/shared/atlas"
	"latchkey/shared/kms"
	"latchkey/shared/kms/azurekv"
	"latchkey/shared/verdict"
)

var use = kms.Binding{GroupID: "650000000000000000000001", Use: "test"}

func reasonOf(err error) verdict.Reason {
	if err == nil {
		return verdict.OK
	}
	if f, ok := errors.AsType[*verdict.Failure](err); ok {
		return f.Reason
	}
	return ""
}

func TestAKeyWithoutVersionEncryptsWithTheCurrentOneAndPinsIt(t *testing.T) {
	w := newWorld(t)
	k := open(t, w.asCustomer(t, w.secret), "atlas")
	first, err := k.Encrypt(t.Context(), []byte("one"), use)
	if err != nil {
		t.Fatal(err)
	}
	w.post(t, keyURL+"/rotate", "")
	second, err := k.Encrypt(t.Context(), []byte("two"), use)
	if err != nil || second.Version == first.Version || !atlas.ValidAzureKeyVersion(second.Version) {
		t.Fatalf("after rotation the version is %q (was %q), %v", second.Version, first.Version, err)
	}
	// Disabling the old version must not touch what the new one encrypted, nor the reverse.
	w.patch(t, keyURL+"/"+first.Version, `{"attributes":{"enabled":false}}`)
	if got, err := k.Decrypt(t.Context(), second, use); err != nil || string(got) != "two" {
		t.Errorf("the new version decrypts to %q, %v", got, err)
	}
	if _, err := k.Decrypt(t.Context(), first, use); reasonOf(err) != verdict.KeyDisabled {
		t.Errorf("the disabled old version gives %v", err)
	}
}

func TestAKeyWithVersionUsesThatVersionAfterRotation(t *testing.T) {
	w := newWorld(t)
	c := w.asCustomer(t, w.secret)
	d, err := open(t, c, "atlas").Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	pinned := open(t, c, "atlas/"+d.Version)
	w.post(t, keyURL+"/rotate", "")
	s, err := pinned.Encrypt(t.Context(), []byte("x"), use)
	if err != nil || s.Version != d.Version {
		t.Errorf("encrypted with %q, want %q, %v", s.Version, d.Version, err)
	}
	if got, err := pinned.Describe(t.Context()); err != nil || got.Version != d.Version {
		t.Errorf("describe = %+v, %v", got, err)
	}
}

func TestDescribeTellsWhenAKeyExpiresAndAcceptsItUntilThen(t *testing.T) {
	w := newWorld(t)
	k := open(t, w.asCustomer(t, w.secret), "atlas")
	soon := time.Now().Add(time.Hour).Truncate(time.Second).UTC()
	w.patch(t, keyURL, `{"attributes":{"exp":`+strconv.FormatInt(soon.Unix(), 10)+`}}`)
	d, err := k.Describe(t.Context())
	if err != nil || !d.Expires.Equal(soon) || d.Created.IsZero() {
		t.Errorf("describe = %+v, %v", d, err)
	}
}

func TestEncryptingWithAnExpiredKeyFails(t *testing.T) {
	w := newWorld(t)
	k := open(t, w.asCustomer(t, w.secret), "atlas")
	for attribute, want := range map[string]verdict.Reason{
		`"exp":1000000000,"nbf":0`:          verdict.KeyExpired,
		`"exp":9000000000,"nbf":8000000000`: verdict.KeyNotActive,
	} {
		w.patch(t, keyURL, `{"attributes":{`+attribute+`}}`)
		if _, err := k.Encrypt(t.Context(), []byte("x"), use); reasonOf(err) != want {
			t.Errorf("with %s encrypt gives %v, want %s", attribute, err, want)
		}
	}
}

func TestAKeyThatMayNotDecryptIsUnsuitable(t *testing.T) {
	w := newWorld(t)
	w.patch(t, keyURL, `{"key_ops":["encrypt","wrapKey","unwrapKey"]}`)
	k := open(t, w.asCustomer(t, w.secret), "atlas")
	if _, err := k.Describe(t.Context()); reasonOf(err) != verdict.KeyUnsuitable {
		t.Errorf("describe gives %v", err)
	}
	s, err := k.Encrypt(t.Context(), []byte("x"), use)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Decrypt(t.Context(), s, use); reasonOf(err) != verdict.KeyUnsuitable {
		t.Errorf("decrypt gives %v", err)
	}
}

func TestRolesAdmitAsAccessPoliciesDo(t *testing.T) {
	w := newWorld(t)
	w.patch(t, vaultPath, `{"properties":{"enableRbacAuthorization":true}}`)
	k := open(t, w.asLatchkey(t, latchkeySecret), "atlas")
	if _, err := k.Describe(t.Context()); reasonOf(err) != verdict.AccessDenied {
		t.Errorf("access policies of a vault with roles gives %v", err)
	}
	role := vaultPath + "/providers/Microsoft.Authorization/roleAssignments/11111111-2222-4333-8444-555555555555"
	w.put(t, role, `{"properties":{"roleDefinitionId":"/providers/Microsoft.Authorization/roleDefinitions/12338af0-0e69-4776-bea7-57ae8d297424","principalId":"`+w.ourPrincipal+`"}}`)
	if _, _, err := k.NewProbe(t.Context(), use.GroupID); err != nil {
		t.Errorf("with the role: %v", err)
	}
	w.delete(t, role)
	if _, _, err := k.NewProbe(t.Context(), use.GroupID); reasonOf(err) != verdict.AccessDenied {
		t.Errorf("without the role: %v", err)
	}
}

func TestAVaultOfAnotherTenantIsAccessDenied(t *testing.T) {
	w := newWorld(t)
	k := open(t, w.asCustomer(t, w.secret), "atlas")
	w.patch(t, vaultPath, `{"properties":{"tenantId":"`+operatorTenant+`"}}`)
	_, err := k.Describe(t.Context())
	f, ok := errors.AsType[*verdict.Failure](err)
	if !ok || f.Reason != verdict.AccessDenied || f.ProviderCode != "Unauthorized" || f.RequestID == "" {
		t.Errorf("describe gives %v", err)
	}
}

func TestADeletedVaultCannotBeReached(t *testing.T) {
	w := newWorld(t)
	k := open(t, w.asCustomer(t, w.secret), "atlas")
	w.delete(t, vaultPath)
	if _, err := k.Describe(t.Context()); reasonOf(err) != verdict.ConnectFailed {
		t.Errorf("describe gives %v", err)
	}
}

func TestAPrivateVaultRefusesOurNetwork(t *testing.T) {
	w := newWorld(t)
	k := open(t, w.asCustomer(t, w.secret), "atlas")
	w.patch(t, vaultPath, `{"properties":{"publicNetworkAccess":"Disabled"}}`)
	_, err := k.Describe(t.Context())
	if f, _ := errors.AsType[*verdict.Failure](err); f == nil || f.Reason != verdict.NetworkRefused || f.ProviderCode != "ForbiddenByConnection" {
		t.Errorf("describe gives %v", err)
	}
}

func TestAHealthyCheckIsOneRequest(t *testing.T) {
	w := newWorld(t)
	c := w.asCustomer(t, w.secret)
	p, _, err := open(t, c, "atlas").NewProbe(t.Context(), use.GroupID)
	if err != nil {
		t.Fatal(err)
	}
	before := w.requests.Load()
	if err := open(t, c, "atlas").CheckProbe(t.Context(), use.GroupID, p); err != nil {
		t.Fatal(err)
	}
	if n := w.requests.Load() - before; n != 1 {
		t.Errorf("a check with cached credentials took %d requests", n)
	}
}

func TestCredentialsShareNoTokens(t *testing.T) {
	w := newWorld(t)
	if _, err := open(t, w.asCustomer(t, w.secret), "atlas").Describe(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Same tenant, same application, another secret: a shared cache would let it in.
	if _, err := open(t, w.asCustomer(t, "wrong"), "atlas").Describe(t.Context()); reasonOf(err) != verdict.CredentialsInvalid {
		t.Errorf("a wrong secret gives %v", err)
	}
}

func TestObjectIDIsTheServicePrincipalInTheCustomersTenant(t *testing.T) {
	w := newWorld(t)
	got, err := w.asLatchkey(t, latchkeySecret).ObjectID(t.Context())
	if err != nil || got != w.ourPrincipal {
		t.Errorf("object id %q, %v; want %q", got, err, w.ourPrincipal)
	}
	w.delete(t, graph+"/servicePrincipals/"+w.ourPrincipal)
	_, err = w.asLatchkey(t, latchkeySecret).ObjectID(t.Context())
	f, _ := errors.AsType[*verdict.Failure](err)
	if f == nil || f.Reason != verdict.RoleDenied || f.ProviderCode != "AADSTS7000229" || f.RequestID == "" {
		t.Errorf("without a service principal: %v", err)
	}
	c, err := azurekv.App{ClientID: latchkeyApp, Secret: latchkeySecret}.In("6f1b0000-0000-4000-8000-0000000000ff", w.options())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.ObjectID(t.Context()); reasonOf(err) != verdict.RoleDenied {
		t.Errorf("in an unknown tenant: %v", err)
	}
}

func TestAnApplicationThatIsGoneAtHomeIsOurFault(t *testing.T) {
	w := newWorld(t)
	k := open(t, w.asLatchkey(t, latchkeySecret), "atlas")
	w.atHome(t, http.MethodDelete, "", "")
	if _, err := k.Describe(t.Context()); reasonOf(err) != verdict.OurCredentials {
		t.Errorf("describe gives %v", err)
	}
}

// atHome does something to Latchkey's application in the operator's tenant.
func (w *world) atHome(t *testing.T, method, path, body string) map[string]any {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, graph+"/applications(appId='"+latchkeyApp+"')"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+adminToken)
	r.Header.Set(azurecloud.TenantHeader, operatorTenant)
	resp, err := w.transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	if resp.StatusCode >= 300 {
		t.Fatalf("%s %s answers %s", method, path, resp.Status)
	}
	var answer map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return answer
}

// What befalls Latchkey's own secret is never the tenant's act, even when the tenant has
// withdrawn its trust as well.
func TestASecretOfOursThatIsNoLongerGoodIsOurFault(t *testing.T) {
	w := newWorld(t)
	expired := w.atHome(t, http.MethodPost, "/addPassword",
		`{"passwordCredential":{"displayName":"s","startDateTime":"2020-01-01T00:00:00Z","endDateTime":"2021-01-01T00:00:00Z"}}`)["secretText"].(string)
	for _, trusted := range []bool{true, false} {
		if !trusted {
			w.delete(t, graph+"/servicePrincipals/"+w.ourPrincipal)
		}
		for secret, code := range map[string]string{expired: "AADSTS7000222", "wrong": "AADSTS7000215"} {
			_, err := open(t, w.asLatchkey(t, secret), "atlas").Describe(t.Context())
			f, _ := errors.AsType[*verdict.Failure](err)
			if f == nil || f.Reason != verdict.OurCredentials || f.ProviderCode != code {
				t.Errorf("trusted %t: %v, want %s", trusted, err, code)
			}
		}
	}
}

// The home tenant is asked only when a tenant seems to have removed the application.
func TestOurHomeIsAskedOnlyInDoubt(t *testing.T) {
	w := newWorld(t)
	healthy := w.requests.Load()
	c := w.asLatchkey(t, latchkeySecret)
	if _, err := c.ObjectID(t.Context()); err != nil {
		t.Fatal(err)
	}
	healthy = w.requests.Load() - healthy
	without, err := azurekv.App{ClientID: latchkeyApp, Secret: latchkeySecret}.In(customerTenant, w.options())
	if err != nil {
		t.Fatal(err)
	}
	before := w.requests.Load()
	if _, err := without.ObjectID(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := w.requests.Load() - before; n != healthy {
		t.Errorf("a sign-in takes %d requests with a home and %d without", healthy, n)
	}
	w.delete(t, graph+"/servicePrincipals/"+w.ourPrincipal)
	before = w.requests.Load()
	if _, err := w.asLatchkey(t, latchkeySecret).ObjectID(t.Context()); reasonOf(err) != verdict.RoleDenied {
		t.Errorf("without a service principal: %v", err)
	}
	if n := w.requests.Load() - before; n != 2*healthy {
		t.Errorf("a refusal takes %d requests, want %d", n, 2*healthy)
	}
}

func TestAnUnconfiguredApplicationIsOurFault(t *testing.T) {
	for _, app := range []azurekv.App{{}, {ClientID: latchkeyApp}} {
		if _, err := app.In(customerTenant, azurekv.Options{Now: time.Now}); reasonOf(err) != verdict.OurCredentials {
			t.Errorf("%+v gives %v", app, err)
		}
	}
}

func TestLoginFaultsAreClassified(t *testing.T) {
	for kind, want := range map[pocket.FaultKind]verdict.Reason{
		pocket.Throttle: verdict.RateLimited, pocket.ServerError: verdict.ProviderError, pocket.Down: verdict.ConnectFailed,
		pocket.Firewall: verdict.NetworkRefused, pocket.Deny: verdict.RoleDenied,
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			// Only the customer's tenant fails: the application works at home.
			w.faults.Set(pocket.Fault{Host: "login.microsoftonline.com", Kind: kind, Operation: "Token", Count: tries(kind)})
			_, err := open(t, w.asLatchkey(t, latchkeySecret), "atlas").Describe(t.Context())
			if f, _ := errors.AsType[*verdict.Failure](err); f == nil || f.Reason != want || (kind != pocket.Down && (f.ProviderCode == "" || f.RequestID == "")) {
				t.Errorf("%s gives %v, want %s", kind, err, want)
			}
		})
	}
}

// tries is how often the SDK asks when it gets an answer of a kind.
func tries(kind pocket.FaultKind) int {
	if kind == pocket.Down || kind == pocket.ServerError {
		return 2
	}
	return 1
}

func TestAHungServiceTimesOutWithinTheCallersDeadline(t *testing.T) {
	for _, host := range []string{"login.microsoftonline.com", "kv-kms.vault.azure.net"} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			k := open(t, w.asCustomer(t, w.secret), "atlas")
			w.faults.Set(pocket.Fault{Host: host, Kind: pocket.Timeout})
			for _, limit := range []time.Duration{time.Second, time.Minute} {
				ctx, cancel := context.WithTimeout(t.Context(), limit)
				start := time.Now()
				_, err := k.Describe(ctx)
				cancel()
				if took := time.Since(start); reasonOf(err) != verdict.TimedOut || took > min(limit, 10*time.Second) {
					t.Errorf("%s, limit %s: %v after %s", host, limit, err, took)
				}
			}
			synctest.Wait()
		})
	}
}

func TestACallThatIsCancelledWhileLoggingInIsCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.faults.Set(pocket.Fault{Host: "login.microsoftonline.com", Kind: pocket.Timeout})
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			time.Sleep(time.Second)
			cancel()
		}()
		if _, err := open(t, w.asCustomer(t, w.secret), "atlas").Describe(ctx); reasonOf(err) != verdict.Cancelled {
			t.Errorf("describe gives %v", err)
		}
	})
}

func TestATokenIsRenewedBeforeItExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		k := open(t, w.asCustomer(t, w.secret), "atlas")
		p, _, err := k.NewProbe(t.Context(), use.GroupID)
		if err != nil {
			t.Fatal(err)
		}
		for range 100 { // a day of checks
			time.Sleep(15 * time.Minute)
			if err := k.CheckProbe(t.Context(), use.GroupID, p); err != nil {
				t.Fatalf("at %s: %v", time.Now(), err)
			}
		}
	})
}

func TestAKeyIsSafeForConcurrentUse(t *testing.T) {
	w := newWorld(t)
	k := open(t, w.asCustomer(t, w.secret), "atlas")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, _, err := k.NewProbe(t.Context(), use.GroupID); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestAKeyOfAnotherEnvironmentIsRefused(t *testing.T) {
	w := newWorld(t)
	id, err := atlas.ParseAzureKeyID("https://kv-kms.vault.azure.cn/keys/atlas")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := azurekv.Open(w.asCustomer(t, w.secret), id); atlas.CodeOf(err) != atlas.AzureEnvironmentNotSupported {
		t.Errorf("open gives %v", err)
	}
}

func TestEveryEnvironmentUsesItsOwnHosts(t *testing.T) {
	for _, env := range atlas.AzureEnvironments() {
		t.Run(string(env), func(t *testing.T) {
			w := newWorld(t)
			vault := "https://" + strings.ToLower(strings.ReplaceAll(string(env), "_", "-")) + "." + env.VaultSuffix()
			if len(env) > 18 {
				vault = "https://usgov." + env.VaultSuffix()
			}
			name, _, _ := strings.Cut(strings.TrimPrefix(vault, "https://"), ".")
			w.put(t, "https://"+env.ManagementHost()+"/subscriptions/"+subscription+"/resourceGroups/rg/providers/Microsoft.KeyVault/vaults/"+name,
				`{"location":"x","properties":{"accessPolicies":[{"tenantId":"`+customerTenant+`","objectId":"`+w.appPrincipal+`","permissions":{"keys":["all"]}}]}}`)
			w.post(t, vault+"/keys/k/create", "")
			hosts := &hostLog{base: w}
			c, err := azurekv.NewSecretCredential(customerTenant, w.app, w.secret, azurekv.Options{Environment: env, Transport: hosts, Now: time.Now})
			if err != nil {
				t.Fatal(err)
			}
			id, err := atlas.ParseAzureKeyID(vault + "/keys/k")
			if err != nil {
				t.Fatal(err)
			}
			k, err := azurekv.Open(c, id)
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := k.NewProbe(t.Context(), use.GroupID); err != nil {
				t.Error(err)
			}
			for host := range hosts.seen {
				if host != env.LoginHost() && "https://"+host != vault {
					t.Errorf("%s was called", host)
				}
			}
		})
	}
}

type hostLog struct {
	base http.RoundTripper
	seen map[string]bool
}

func (h *hostLog) RoundTrip(r *http.Request) (*http.Response, error) {
	if h.seen == nil {
		h.seen = map[string]bool{}
	}
	h.seen[r.URL.Host] = true
	return h.base.RoundTrip(r)
}

// Microsoft documents the levels; the days tell custom retention apart.
func TestDatesTellWhatBecomesOfADeletedKey(t *testing.T) {
	for name, c := range map[string]struct {
		properties string
		want       kms.Recovery
		days       int
	}{
		"no soft delete":                     {`"enableSoftDelete":false`, kms.Unrecoverable, 0},
		"soft delete":                        {`"enableSoftDelete":true`, kms.Purgeable, 90},
		"soft delete for a week":             {`"softDeleteRetentionInDays":7`, kms.Purgeable, 7},
		"purge protection":                   {`"enablePurgeProtection":true`, kms.Protected, 90},
		"purge protection for a short while": {`"enablePurgeProtection":true,"softDeleteRetentionInDays":10`, kms.Protected, 10},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			policies := fmt.Sprintf(`[{"tenantId":%q,"objectId":%q,"permissions":{"keys":["get"]}}]`, customerTenant, w.ourPrincipal)
			w.put(t, strings.Replace(vaultPath, "kv-kms", "kv-two", 1), `{"location":"eastus2","properties":{"tenantId":"`+customerTenant+
				`","sku":{"family":"A","name":"standard"},"accessPolicies":`+policies+`,`+c.properties+`}}`)
			url := strings.Replace(vaultURL, "kv-kms", "kv-two", 1) + "/keys/atlas"
			w.post(t, url+"/create", `{"kty":"RSA","key_size":2048,"attributes":{"nbf":1700000000,"exp":4000000000}}`)
			id, err := atlas.ParseAzureKeyID(url)
			if err != nil {
				t.Fatal(err)
			}
			k, err := azurekv.Open(w.asLatchkey(t, latchkeySecret), id)
			if err != nil {
				t.Fatal(err)
			}
			d, err := k.Dates(t.Context())
			if err != nil || d.Recovery != c.want || d.RecoverableDays != c.days || d.NotBefore.Unix() != 1700000000 || d.Expires.Unix() != 4000000000 {
				t.Errorf("%+v, %v", d, err)
			}
		})
	}
}
