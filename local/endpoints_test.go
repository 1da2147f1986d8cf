package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/atlas-sdk/v20250312018/admin"

	"latchkey/local/pocket/awscloud/awssdk"
	"latchkey/shared/atlas"
	"latchkey/shared/endpoint"
)

// lag is how late a status may follow its cloud (CONTRACT 3.5).
const lag = 3 * time.Minute

// ways are the private endpoints of a project at a provider, as a client sees them.
type ways struct {
	*estate
	provider, region string
}

func (w ways) api() admin.EncryptionAtRestUsingCustomerKeyManagementApi {
	return w.client.EncryptionAtRestUsingCustomerKeyManagementApi
}

func (w ways) create() (*admin.EARPrivateEndpoint, error) {
	made, _, err := w.api().CreateRestPrivateEndpoint(w.t.Context(), w.owner.GroupID, w.provider,
		&admin.EARPrivateEndpoint{RegionName: &w.region}).Execute()
	return made, err
}

// get is one endpoint; its status is GONE if there is none.
func (w ways) get(id string) *admin.EARPrivateEndpoint {
	w.t.Helper()
	e, _, err := w.api().GetRestPrivateEndpoint(w.t.Context(), w.owner.GroupID, w.provider, id).Execute()
	if admin.IsErrorCode(err, "RESOURCE_NOT_FOUND") {
		return &admin.EARPrivateEndpoint{Status: new("GONE")}
	}
	w.must(err)
	return e
}

func (w ways) await(id, status string, most time.Duration) {
	w.t.Helper()
	w.untilIn(most, id+" is "+status, func() bool { return w.get(id).GetStatus() == status })
}

func (w ways) list() []admin.EARPrivateEndpoint {
	w.t.Helper()
	page, _, err := w.api().ListRestPrivateEndpoints(w.t.Context(), w.owner.GroupID, w.provider).Execute()
	w.must(err)
	return page.GetResults()
}

func (w ways) remove(id string) error {
	_, err := w.api().RequestPrivateEndpointDeletion(w.t.Context(), w.owner.GroupID, w.provider, id).Execute()
	return err
}

// patch updates the configuration of keys.
func (w ways) patch(update admin.EncryptionAtRest) error {
	_, _, err := w.api().UpdateEncryptionAtRest(w.t.Context(), w.owner.GroupID, &update).Execute()
	return err
}

func (w ways) refused(err error, code string) {
	w.t.Helper()
	if !admin.IsErrorCode(err, code) {
		w.t.Errorf("error = %v, want %s", err, code)
	}
}

// valid reads whether the key opens now, however it is reached.
func (w ways) valid() bool {
	w.t.Helper()
	time.Sleep(time.Minute) // checks within seconds are shared
	got, _, err := w.api().GetEncryptionAtRest(w.t.Context(), w.owner.GroupID).Execute()
	w.must(err)
	if w.provider == "AWS" {
		return got.AwsKms.GetValid()
	}
	return got.AzureKeyVault.GetValid()
}

// address is where the one active endpoint answers.
func (w ways) address() string {
	w.t.Helper()
	ways, inForce, err := endpoint.Network{Table: w.suite.table}.Ways(w.t.Context(), w.owner.GroupID, atlas.Provider(w.provider))
	w.must(err)
	if len(ways) != 1 || !inForce {
		w.t.Fatalf("ways %+v, in force %v", ways, inForce)
	}
	return ways[0].Address
}

// fails makes a host fail for good.
func (w ways) fails(host string) {
	w.t.Helper()
	r := httptest.NewRequestWithContext(w.t.Context(), http.MethodPost, "http://127.0.0.1/_pocket/faults", strings.NewReader(`{"host":"`+host+`","fault":"down"}`))
	rec := httptest.NewRecorder()
	w.suite.clouds.ServeHTTP(rec, r)
	if rec.Code >= http.StatusBadRequest {
		w.t.Fatalf("faults answer %d %s", rec.Code, rec.Body)
	}
}

// shows demands what a cluster tells of private networking, to whoever asks for it.
func (e *estate) shows(name, networking string) {
	e.t.Helper()
	if shown := e.get("/api/atlas/v2/groups/" + e.owner.GroupID + "/clusters/" + name); !strings.Contains(string(shown), `"encryptionAtRestPrivateNetworking":"`+networking+`"`) {
		e.t.Errorf("the cluster shows of private networking not %s but %s", networking, shown)
	}
}

// denied is how often the KMS was found unreachable, by the events.
func (w ways) denied() int {
	n := 0
	for _, name := range w.events() {
		if name == "ENCRYPTION_AT_REST_KMS_NETWORK_ACCESS_DENIED" {
			n++
		}
	}
	return n
}

func TestPrivateEndpoints_atAWSCarryTheKeysTraffic(t *testing.T) {
	inEstate(t, func(e *estate) {
		w := ways{e, "AWS", "US_EAST_1"}
		const public = "kms.us-east-1.amazonaws.com"
		networking := func(required bool) admin.EncryptionAtRest {
			return admin.EncryptionAtRest{AwsKms: &admin.AWSKMSConfiguration{RequirePrivateNetworking: &required}}
		}
		_, err := w.create()
		w.refused(err, "ENCRYPTION_AT_REST_PRIVATE_NETWORKING_NOT_REQUIRED")
		e.must(w.patch(networking(true)))
		_, err = ways{e, "AWS", "SA_EAST_1"}.create()
		w.refused(err, "INVALID_REGION")

		made, err := w.create()
		e.must(err)
		if made.GetStatus() != "INITIATING" || made.GetRegionName() != "US_EAST_1" || made.GetCloudProvider() != "AWS" {
			t.Errorf("made %+v", made)
		}
		_, err = w.create()
		w.refused(err, "ENCRYPTION_AT_REST_PRIVATE_ENDPOINT_ALREADY_EXISTS")
		w.refused(w.remove(made.GetId()), "ENCRYPTION_AT_REST_PRIVATE_ENDPOINT_DELETE_BLOCKED_DURING_PROVISIONING")
		w.await(made.GetId(), "ACTIVE", lag)
		w.refused(w.patch(networking(false)), "CANNOT_DISABLE_ENCRYPTION_AT_REST_REQUIRE_PRIVATE_NETWORKING_WHILE_PRIVATE_ENDPOINTS_EXIST")
		w.refused(w.patch(e.key.disable), "CANNOT_DISABLE_ENCRYPTION_AT_REST_DUE_TO_PRIVATE_ENDPOINTS")

		// With the public address down, keys are checked, released and wrapped as before.
		w.fails(public)
		e.create("A", "AWS")
		e.wrote("A", 100)
		denied := w.denied()
		if !w.valid() || w.denied() != denied {
			t.Errorf("the key is not reached through its endpoint: %v", e.events())
		}
		e.wherePrivateNetworkingLets()

		// Without the endpoint nothing takes the public address instead, and nothing stops.
		e.kms("")
		w.fails(w.address())
		e.until("the key is out of reach", func() bool { return w.valid() && w.denied() > denied })
		if got := e.processes(); got != allRun {
			t.Errorf("the processes are %s", got)
		}
		e.kms("")

		// Somebody removes the endpoint in the operator's console: there is another one in its place.
		console := ec2.NewFromConfig(awssdk.Config(e.clouds, "us-east-1", e.suite.secrets.OperatorRoot))
		e.second(console.DeleteVpcEndpoints(e.t.Context(), &ec2.DeleteVpcEndpointsInput{VpcEndpointIds: []string{w.get(made.GetId()).GetPrivateEndpointConnectionName()}}))
		e.untilIn(lag, "it is replaced", func() bool { return len(w.list()) == 2 && w.list()[0].GetStatus() == "PENDING_RECREATION" })
		again := w.list()[1].GetId()
		w.await(again, "ACTIVE", 2*lag)
		e.readable("A")

		e.must(w.remove(again))
		if got := w.get(again).GetStatus(); got != "DELETING" && got != "GONE" {
			t.Errorf("it is %s", got)
		}
		e.until("nothing is left", func() bool { return len(w.list()) == 0 })
		left, err := console.DescribeVpcEndpoints(e.t.Context(), &ec2.DescribeVpcEndpointsInput{})
		e.must(err)
		if len(left.VpcEndpoints) != 0 {
			t.Errorf("left at AWS: %v", left.VpcEndpoints)
		}
		e.must(w.patch(networking(false)))
		if !w.valid() {
			t.Error("the key is not reached at its public address again")
		}
	})
}

// Clusters that run when private networking comes into force go on with it, and start with it alone.
func TestPrivateEndpoints_takeOverClustersThatRun(t *testing.T) {
	inEstate(t, func(e *estate) {
		w := ways{e, "AWS", "US_EAST_1"}
		required := func(is bool) admin.EncryptionAtRest {
			return admin.EncryptionAtRest{AwsKms: &admin.AWSKMSConfiguration{RequirePrivateNetworking: &is}}
		}
		e.populate("A", "B", "C")
		before, masters := e.stores("A"), e.masterKeys()
		e.must(w.patch(required(true)))
		e.shows("A", "INACTIVE")
		made, err := w.create()
		e.must(err)
		w.await(made.GetId(), "ACTIVE", lag)
		e.shows("A", "ACTIVE")

		e.lasting = []string{"kms.us-east-1.amazonaws.com"}
		e.last()
		denied := w.denied()
		e.unwritten("A", before)
		e.restarted()
		if !w.valid() || w.denied() != denied {
			t.Errorf("the key is not reached through its endpoint: %v", e.events())
		}
		for _, name := range []string{"A", "B", "C"} {
			e.wrote(name, 10)
		}
		if diff := cmp.Diff(masters, e.masterKeys()); diff != "" {
			t.Errorf("master keys before (-) and now (+):\n%s", diff)
		}

		e.lasting = nil
		e.kms("")
		e.must(w.remove(made.GetId()))
		e.until("nothing is left", func() bool { return len(w.list()) == 0 })
		e.shows("A", "INACTIVE")
		e.must(w.patch(required(false)))
		e.restarted()
	})
}

// wherePrivateNetworkingLets asks for nodes where there is no endpoint.
func (e *estate) wherePrivateNetworkingLets() {
	e.t.Helper()
	const refused = "ENCRYPTION_AT_REST_PRIVATE_NETWORKING_NOT_SUPPORTED"
	for name, place := range map[string][2]string{"in another region": {"AWS", "US_WEST_2"}, "in another cloud": {"AZURE", "US_EAST_2"}} {
		specs := size("M10")
		config := &(*(*specs)[0].RegionConfigs)[0]
		config.ProviderName, config.RegionName = &place[0], &place[1]
		_, _, err := e.client.ClustersApi.CreateCluster(e.t.Context(), e.owner.GroupID, &admin.ClusterDescription20240805{
			Name: new("B"), ClusterType: new("REPLICASET"), ReplicationSpecs: specs,
		}).Execute()
		if !admin.IsErrorCode(err, refused) {
			e.t.Errorf("a cluster %s: %v", name, err)
		}
	}
	specs := size("M10")
	beside := (*(*specs)[0].RegionConfigs)[0]
	beside.RegionName, beside.Priority = new("US_WEST_2"), new(6)
	beside.ElectableSpecs = &admin.HardwareSpec20240805{InstanceSize: new("M10"), NodeCount: new(2)}
	*(*specs)[0].RegionConfigs = append(*(*specs)[0].RegionConfigs, beside)
	_, _, err := e.client.ClustersApi.UpdateCluster(e.t.Context(), e.owner.GroupID, "A", &admin.ClusterDescription20240805{ReplicationSpecs: specs}).Execute()
	if !admin.IsErrorCode(err, refused) {
		e.t.Errorf("nodes in another region: %v", err)
	}
}

func TestPrivateEndpoints_atAzureAreApprovedByTheTenant(t *testing.T) {
	inEstate(t, func(e *estate) {
		w := ways{e, "AZURE", "US_EAST_2"}
		const vault = "https://management.azure.com/subscriptions/6f1b0000-0000-4000-8000-000000000003/resourceGroups/rg-kms/providers/Microsoft.KeyVault/vaults/kv-kms"
		const version = "?api-version=2023-07-01"
		answer := func(name, status string) {
			e.cloud(http.MethodPut, vault+"/privateEndpointConnections/"+name+version,
				`{"properties":{"privateLinkServiceConnectionState":{"status":"`+status+`","description":"by the owner"}}}`)
		}
		bring := e.bringAzure(e.client)
		bring.update.AzureKeyVault.RequirePrivateNetworking = new(true)
		e.must(w.patch(bring.update))
		rejected, err := w.create()
		e.must(err)
		w.await(rejected.GetId(), "PENDING_ACCEPTANCE", lag)
		answer(w.get(rejected.GetId()).GetPrivateEndpointConnectionName(), "Rejected")
		w.await(rejected.GetId(), "FAILED", lag)
		if message := w.get(rejected.GetId()).GetErrorMessage(); !strings.Contains(message, "by the owner") {
			t.Errorf("errorMessage = %q", message)
		}
		e.must(w.remove(rejected.GetId()))
		w.await(rejected.GetId(), "GONE", lag)

		made, err := w.create()
		e.must(err)
		w.await(made.GetId(), "PENDING_ACCEPTANCE", lag)
		time.Sleep(24 * time.Hour) // the tenant takes its time
		answer(w.get(made.GetId()).GetPrivateEndpointConnectionName(), "Approved")
		w.await(made.GetId(), "ACTIVE", lag)

		// The vault admits nobody from the public network any more.
		e.cloud(http.MethodPatch, vault+version, `{"properties":{"networkAcls":{"defaultAction":"Deny","ipRules":[]}}}`)
		denied := w.denied()
		if !w.valid() || w.denied() != denied {
			t.Errorf("the key is not reached through its endpoint: %v", e.events())
		}

		answer(w.get(made.GetId()).GetPrivateEndpointConnectionName(), "Rejected")
		e.untilIn(lag, "it is replaced", func() bool { return len(w.list()) == 2 })
		again := w.list()[1].GetId()
		w.await(again, "PENDING_ACCEPTANCE", lag)
		answer(w.get(again).GetPrivateEndpointConnectionName(), "Approved")
		w.await(again, "ACTIVE", lag)
		if !w.valid() {
			t.Error("the key is not valid")
		}
		e.must(w.remove(again))
		e.until("nothing is left", func() bool { return len(w.list()) == 0 })
		e.cloud(http.MethodPatch, vault+version, `{"properties":{"networkAcls":{"defaultAction":"Allow"}}}`)
		e.must(w.patch(bring.disable))
		for _, event := range []string{"CREATED", "PENDING_ACCEPTANCE", "ACTIVE", "PENDING_RECREATION", "FAILED", "DELETED"} {
			if !e.event("ENCRYPTION_AT_REST_PRIVATE_ENDPOINT_" + event) {
				t.Errorf("no event %s in %v", event, e.events())
			}
		}
	})
}
