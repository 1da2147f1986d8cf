package azurekv_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"latchkey/local/pocket"
	"latchkey/local/pocket/azurecloud"
	"latchkey/shared/atlas"
	"latchkey/shared/kms/azurekv"
	"latchkey/shared/verdict"
)

var rightVault = azurekv.Vault{SubscriptionID: subscription, ResourceGroup: "rg-kms", Name: "kv-kms"}

func checkVault(t *testing.T, w *world, v azurekv.Vault) error {
	t.Helper()
	id, err := atlas.ParseAzureKeyID(vaultURL + "/keys/atlas")
	if err != nil {
		t.Fatal(err)
	}
	return w.asCustomer(t, w.secret).CheckVault(t.Context(), v, id)
}

// mayRead lets the customer's application read what is in the subscription.
func (w *world) mayRead(t testing.TB) {
	t.Helper()
	scope, _, _ := strings.Cut(vaultPath, "/resourceGroups/")
	w.put(t, scope+"/providers/Microsoft.Authorization/roleAssignments/11111111-2222-4333-8444-555555555555",
		`{"properties":{"roleDefinitionId":"/x/`+azurecloud.RoleGeneralReader+`","principalId":"`+w.appPrincipal+`"}}`)
}

func TestCheckVault_AVaultMustBeWhereItIsSaidToBe(t *testing.T) {
	w := newWorld(t)
	w.mayRead(t)
	w.put(t, strings.ReplaceAll(vaultPath, "kv-kms", "kv-other"), `{"location":"eastus2","properties":{"tenantId":"`+customerTenant+`"}}`)
	for name, c := range map[string]struct {
		vault azurekv.Vault
		want  verdict.Reason
	}{
		"right":                     {rightVault, verdict.OK},
		"right in another spelling": {azurekv.Vault{SubscriptionID: strings.ToUpper(subscription), ResourceGroup: "RG-KMS", Name: "KV-kms"}, verdict.OK},
		"another subscription":      {azurekv.Vault{SubscriptionID: "6f1b0000-0000-4000-8000-00000000dead", ResourceGroup: "rg-kms", Name: "kv-kms"}, verdict.RequestInvalid},
		"another resource group":    {azurekv.Vault{SubscriptionID: subscription, ResourceGroup: "rg-x (ü)", Name: "kv-kms"}, verdict.RequestInvalid},
		"a vault that is not there": {azurekv.Vault{SubscriptionID: subscription, ResourceGroup: "rg-kms", Name: "kv-none"}, verdict.RequestInvalid},
		"another vault":             {azurekv.Vault{SubscriptionID: subscription, ResourceGroup: "rg-kms", Name: "kv-other"}, verdict.RequestInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			if got := reasonOf(checkVault(t, w, c.vault)); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestCheckVault_WhoMayNotAskIsNotRefused(t *testing.T) {
	w := newWorld(t)
	if err := checkVault(t, w, rightVault); err != nil {
		t.Errorf("without a role: %v", err)
	}
	w.faults.Set(pocket.Fault{Host: "login.microsoftonline.com", Kind: pocket.Firewall})
	if err := checkVault(t, w, rightVault); err != nil {
		t.Errorf("without a token for management: %v", err)
	}
}

func TestCheckVault_OutagesAreNobodysFault(t *testing.T) {
	for _, host := range []string{"login.microsoftonline.com", "management.azure.com"} {
		for kind, want := range map[pocket.FaultKind]verdict.Class{
			pocket.Throttle: verdict.Throttled, pocket.ServerError: verdict.Unreachable, pocket.Down: verdict.Unreachable,
		} {
			t.Run(host+" "+string(kind), func(t *testing.T) {
				w := newWorld(t)
				w.mayRead(t)
				w.faults.Set(pocket.Fault{Host: host, Kind: kind})
				if got := reasonOf(checkVault(t, w, rightVault)); got.Class() != want {
					t.Errorf("got %s, want class %s", got, want)
				}
			})
		}
	}
}

func TestCheckVault_NamesThatAreNoneMakeNoRequest(t *testing.T) {
	w := newWorld(t)
	for name, v := range map[string]azurekv.Vault{
		"subscription": {SubscriptionID: "../x", ResourceGroup: "rg-kms", Name: "kv-kms"},
		"dots":         {SubscriptionID: subscription, ResourceGroup: "..", Name: "kv-kms"},
		"slash":        {SubscriptionID: subscription, ResourceGroup: "a/b", Name: "kv-kms"},
		"query":        {SubscriptionID: subscription, ResourceGroup: "a?b", Name: "kv-kms"},
		"vault":        {SubscriptionID: subscription, ResourceGroup: "rg-kms", Name: "kv/../x"},
	} {
		if got := reasonOf(checkVault(t, w, v)); got != verdict.RequestInvalid {
			t.Errorf("%s: %s", name, got)
		}
	}
	if n := w.requests.Load(); n != 0 {
		t.Errorf("%d requests", n)
	}
}

// answering replaces Resource Manager's answers.
type answering struct {
	http.RoundTripper
	status int
	body   string
}

func (a answering) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host != "management.azure.com" {
		return a.RoundTripper.RoundTrip(r)
	}
	return &http.Response{
		StatusCode: a.status, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(a.body)), Request: r,
	}, nil
}

func TestCheckVault_OnlyKnownAnswersBlameTheTenant(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		want   verdict.Reason
	}{
		"subscription id":       {400, `{"error":{"code":"InvalidSubscriptionId"}}`, verdict.RequestInvalid},
		"unknown code":          {404, `{"error":{"code":"SomethingElse"}}`, verdict.Internal},
		"a code of key vault's": {404, `{"error":{"code":"KeyNotFound"}}`, verdict.Internal},
		"no vault":              {200, `{}`, verdict.ProviderError},
		"no JSON":               {200, `<html>`, verdict.ProviderError},
		"another address":       {200, `{"properties":{"vaultUri":"https://kv-kms.vault.azure.cn/"}}`, verdict.RequestInvalid},
		"a foreign tenant":      {401, `{"error":{"code":"InvalidAuthenticationTokenTenant"}}`, verdict.OK},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.transport = answering{w.transport, c.status, c.body}
			if got := reasonOf(checkVault(t, w, rightVault)); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestCheckVault_AHangingResourceManagerTimesOut(t *testing.T) {
	w := newWorld(t)
	w.hurried.Store(true)
	if got := reasonOf(checkVault(t, w, rightVault)); got != verdict.TimedOut {
		t.Errorf("got %s", got)
	}
}
