package azurepe_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/local/pocket"
	"latchkey/local/pocket/azurecloud"
	"latchkey/shared/endpoint"
	"latchkey/shared/endpoint/azurepe"
	"latchkey/shared/endpoint/endpointtest"
)

const (
	operatorTenant       = "6f1b0000-0000-4000-8000-0000000000aa"
	operatorSubscription = "6f1b0000-0000-4000-8000-0000000000ab"
	customerTenant       = "6f1b0000-0000-4000-8000-000000000002"
	customerSubscription = "6f1b0000-0000-4000-8000-000000000003"
	app                  = "9efedfcc-2eca-4b27-a613-0cad1e114cb7"
	adminToken           = "administrator"
	manager              = "https://management.azure.com"
	vaultID              = "/subscriptions/" + customerSubscription + "/resourceGroups/rg-kms/providers/Microsoft.KeyVault/vaults/kv-kms"
	group                = "/subscriptions/" + operatorSubscription + "/resourceGroups/rg-net"
)

// world is a customer's vault and the operator's subscription in a pocket Azure.
type world struct {
	t      testing.TB
	cloud  *azurecloud.Cloud
	faults *pocket.Faults
	http   http.RoundTripper
	azure  *azurepe.Cloud

	mu    sync.Mutex
	ahead time.Duration
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, faults: &pocket.Faults{}}
	cloud, err := azurecloud.New(azurecloud.Config{
		State: pocket.Memory(), Now: w.now, AdminToken: adminToken, Tenant: customerTenant,
		EndpointDelay: func() time.Duration { return time.Minute }, EndpointQuota: 3,
	})
	must(t, err)
	w.cloud = cloud
	principal, err := cloud.SeedApplication(azurecloud.Seed{Tenant: operatorTenant, AppID: app, Name: "Latchkey", Secret: "s", MultiTenant: true})
	must(t, err)
	w.http = pocket.Transport(pocket.New(w.faults, func(*http.Request) string { return "" }, cloud.Services()...))
	w.admin(http.MethodPut, vaultID, `{"location":"eastus2","properties":{"tenantId":"`+customerTenant+`","accessPolicies":[]}}`)
	w.admin(http.MethodPut, group+"/providers/Microsoft.Authorization/roleAssignments/11111111-2222-4333-8444-555555555555",
		`{"properties":{"roleDefinitionId":"/x/`+azurecloud.RoleNetworkContributor+`","principalId":"`+principal+`"}}`)
	w.azure, err = azurepe.New(azurepe.Config{
		SubscriptionID: operatorSubscription, App: azurepe.App{TenantID: operatorTenant, ClientID: app, Secret: "s"}, Transport: w.http,
		Networks: map[string]endpoint.AzureNetwork{
			"US_EAST_2":    {Location: "eastus2", ResourceGroup: "rg-net", SubnetID: group + "/providers/Microsoft.Network/virtualNetworks/v/subnets/s"},
			"EUROPE_NORTH": {Location: "northeurope", ResourceGroup: "rg-other", SubnetID: "/x"},
		},
	})
	must(t, err)
	return w
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Add(w.ahead)
}

func (w *world) settle(testing.TB) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ahead += time.Minute
}

// admin does what a person would with curl and an administrator's token.
func (w *world) admin(method, path, body string) string {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), method, manager+path+"?api-version=2024-05-01", strings.NewReader(body))
	must(w.t, err)
	r.Header.Set("Authorization", "Bearer "+adminToken)
	resp, err := w.http.RoundTrip(r)
	must(w.t, err)
	text, err := io.ReadAll(resp.Body)
	must(w.t, err)
	if resp.StatusCode >= 300 {
		w.t.Fatalf("%s %s: %d %s", method, path, resp.StatusCode, text)
	}
	return string(text)
}

// decide approves or rejects a connection as the vault's owner does.
func (w *world) decide(status string) func(testing.TB, endpoint.Observation) {
	return func(_ testing.TB, o endpoint.Observation) {
		w.admin(http.MethodPut, vaultID+"/privateEndpointConnections/"+o.Connection,
			`{"properties":{"privateLinkServiceConnectionState":{"status":"`+status+`","description":"by the owner"}}}`)
	}
}

func (w *world) fault(kind pocket.FaultKind) func(testing.TB) func() {
	return func(testing.TB) func() {
		w.faults.Set(pocket.Fault{Host: "management.azure.com", Kind: kind})
		return w.faults.Clear
	}
}

func handle(id string) endpoint.Handle {
	return endpoint.Handle{
		GroupID: "650000000000000000000001", EndpointID: id, Region: "US_EAST_2",
		Target: endpoint.Target{Environment: "AZURE", VaultID: vaultID, VaultHost: "kv-kms.vault.azure.net"},
	}
}

func TestCloud_doesWhatEveryCloudMust(t *testing.T) {
	endpointtest.Run(t, func(t *testing.T) *endpointtest.Harness {
		w := newWorld(t)
		return &endpointtest.Harness{
			Cloud: w.azure, Handle: handle, Settle: w.settle, Approve: w.decide("Approved"), Reject: w.decide("Rejected"),
			Remove: func(_ testing.TB, o endpoint.Observation) { w.admin(http.MethodDelete, o.ResourceID, "") },
			Break:  func(t testing.TB, o endpoint.Observation) { must(t, w.cloud.FailEndpoint(o.ResourceID, "no capacity")) },
			Count: func(t testing.TB) int {
				n := 0
				for _, id := range []string{"650000000000000000000020", "650000000000000000000021"} {
					if o, err := w.azure.Find(t.Context(), handle(id)); err != nil || o.State != endpoint.Missing {
						n++
					}
				}
				return n
			},
			Throttle: w.fault(pocket.Throttle), Outage: w.fault(pocket.Down), Deny: w.fault(pocket.Deny),
			Exhaust: func(t testing.TB) {
				for i := range 3 {
					_, err := w.azure.Create(t.Context(), handle(fmt.Sprintf("65000000000000000000003%d", i)))
					must(t, err)
				}
			},
			Unknown: func(id string) endpoint.Handle {
				h := handle(id)
				h.Region = "BRAZIL_SOUTH"
				return h
			},
		}
	})
}

const one = "650000000000000000000020"

func TestCloud_theOwnerMayRemoveTheConnection(t *testing.T) {
	w := newWorld(t)
	o, err := w.azure.Create(t.Context(), handle(one))
	must(t, err)
	w.settle(t)
	if list := w.admin(http.MethodGet, vaultID+"/privateEndpointConnections", ""); !strings.Contains(list, "pec-"+one) || !strings.Contains(list, "Pending") {
		t.Error(list)
	}
	if shown := w.admin(http.MethodGet, vaultID, ""); !strings.Contains(shown, "pec-"+one) {
		t.Error(shown)
	}
	w.decide("Approved")(t, o)
	w.admin(http.MethodDelete, vaultID+"/privateEndpointConnections/"+o.Connection, "")
	o, err = w.azure.Find(t.Context(), handle(one))
	if err != nil || o.State != endpoint.Rejected {
		t.Errorf("%+v, %v", o, err)
	}
}

func TestCloud_refusesForGood(t *testing.T) {
	w := newWorld(t)
	noVault, china := handle(one), handle(one)
	noVault.Target.VaultID += "x"
	china.Target.Environment = "AZURE_CHINA"
	for name, h := range map[string]endpoint.Handle{"no such vault": noVault, "another environment": china} {
		_, err := w.azure.Create(t.Context(), h)
		f, ok := errors.AsType[*endpoint.Failure](err)
		if !ok || f.Kind != endpoint.Refused || f.Message == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	h := handle(one)
	h.Region = "EUROPE_NORTH" // a resource group in which it may do nothing
	_, err := w.azure.Create(t.Context(), h)
	if f, ok := errors.AsType[*endpoint.Failure](err); !ok || f.Kind != endpoint.Denied || f.Code != "AuthorizationFailed" || f.RequestID == "" {
		t.Errorf("got %v", err)
	}
}

func TestCloud_anIdentityThatIsRefusedIsTheOperators(t *testing.T) {
	w := newWorld(t)
	bad, err := azurepe.New(azurepe.Config{
		SubscriptionID: operatorSubscription, App: azurepe.App{TenantID: operatorTenant, ClientID: app, Secret: "wrong"}, Transport: w.http,
		Networks: map[string]endpoint.AzureNetwork{"US_EAST_2": {ResourceGroup: "rg-net"}},
	})
	must(t, err)
	_, err = bad.Find(t.Context(), handle(one))
	f, ok := errors.AsType[*endpoint.Failure](err)
	if !ok || f.Kind != endpoint.Denied || strings.Contains(err.Error(), "wrong") {
		t.Errorf("got %v", err)
	}
	if _, err := azurepe.New(azurepe.Config{App: azurepe.App{TenantID: "x"}}); err == nil {
		t.Error("ids that are none are taken")
	}
}
