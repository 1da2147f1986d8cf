package adminapi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/atlas-sdk/v20250312018/admin"

	"latchkey/shared/atlas"
	"latchkey/shared/cluster"
	"latchkey/shared/encryption"
	"latchkey/shared/endpoint"
	"latchkey/shared/identity"
	"latchkey/shared/identity/directory"
	"latchkey/shared/identity/identitytest"
	"latchkey/shared/project"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
	"latchkey/shared/suite"
	"latchkey/shared/suite/adminapi"
	"latchkey/shared/verdict"
	"latchkey/shared/workflow"
)

// fleet is what stands behind the clusters of a rig: workflows that begin, and nodes that obey.
type fleet struct {
	*rig
	group string

	mu      sync.Mutex
	started []string
}

// Start implements suite.Starter.
func (f *fleet) Start(_ context.Context, x workflow.Execution) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	name, err := x.Name()
	f.started = append(f.started, name)
	return err
}

func (f *fleet) starts() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.started)
}

// newFleet is a rig with a group in which a key at AWS and one at Google are configured.
func newFleet(t *testing.T) *fleet {
	t.Helper()
	return newFleetOver(t, identitytest.Table(t))
}

func newFleetOver(t testing.TB, table store.Table, configure ...func(*adminapi.Deps)) *fleet {
	t.Helper()
	f := &fleet{}
	configure = append(configure, func(d *adminapi.Deps) { d.Start, d.Domain = f, "example.net" })
	f.rig = newRigOver(t, table, configure...)
	f.group = f.create("databases").GetId()
	item, err := f.table.Get(t.Context(), keys.Encryption(f.group))
	if err != nil {
		t.Fatal(err)
	}
	settings, err := encryption.Stored(item)
	if err != nil {
		t.Fatal(err)
	}
	valid := encryption.KeyState{Revision: 1, Valid: true, Verdict: verdict.Verdict{Reason: verdict.OK, Settings: 1}}
	settings.AWS = &encryption.AWS{Key: valid, KeyID: "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab", Region: "US_EAST_1"}
	settings.Google = &encryption.Google{Key: valid, KeyVersion: "projects/p1/locations/us-east4/keyRings/kr/cryptoKeys/k/cryptoKeyVersions/1"}
	if item, err = store.Encode(item.Key, item.Version, settings); err != nil {
		t.Fatal(err)
	}
	if err := f.table.Write(t.Context(), store.Put(item)); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fleet) service() *cluster.Service {
	return suite.Clusters(suite.ClusterDeps{
		Table: f.table, Journal: f.journal, Projects: &project.Service{Table: f.table, Journal: f.journal, Now: f.clock.Now},
		Start: f, Now: f.clock.Now, Log: slog.New(slog.DiscardHandler), Domain: "example.net",
	})
}

// obey has the nodes of a cluster do what they are told, and its plan end, as workflows and
// agents do.
func (f *fleet) obey(name string) {
	f.t.Helper()
	ctx, clusters := f.t.Context(), f.service()
	for range 20 {
		d, err := clusters.Get(ctx, f.group, name)
		if atlas.CodeOf(err) == atlas.ClusterNotFound || err == nil && d.Plan == nil {
			return
		}
		f.must(err)
		for i, n := range d.Nodes {
			if n.PublicKey == nil {
				n.PublicKey = []byte("key")
				op, err := n.Put()
				f.must(err)
				f.must(f.table.Write(ctx, op))
			}
			_, err := clusters.ReportNode(ctx, d.ID, n.ID, cluster.Reported{
				State: n.Desired.State, Provider: n.Desired.Provider, Acked: n.Desired.Number, Addresses: []string{fmt.Sprintf("203.0.113.%d", i+1)},
			})
			f.must(err)
		}
		if d.Deleting() {
			_, err = clusters.FinishDelete(ctx, d.ID)
		} else {
			_, err = clusters.MarkReady(ctx, d.ID, d.Plan.Spec.Revision)
		}
		f.must(err)
	}
	f.t.Fatalf("the plans of %s never end", name)
}

func (f *fleet) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func shard(zone string) admin.ReplicationSpec20240805 {
	size, nodes := "M10", 3
	return admin.ReplicationSpec20240805{ZoneName: &zone, RegionConfigs: &[]admin.CloudRegionConfig20240805{{
		ProviderName: new("AWS"), RegionName: new("US_EAST_1"), Priority: new(7),
		ElectableSpecs: &admin.HardwareSpec20240805{InstanceSize: &size, NodeCount: &nodes},
	}}}
}

func TestClusters_LiveThroughTheOfficialSDK(t *testing.T) {
	for name, c := range map[string]struct {
		kind   string
		shards []admin.ReplicationSpec20240805
		nodes  int
	}{
		"replica set":    {"REPLICASET", []admin.ReplicationSpec20240805{shard("Zone 1")}, 3},
		"sharded":        {"SHARDED", []admin.ReplicationSpec20240805{shard("Zone 1"), shard("Zone 1")}, 6},
		"global cluster": {"GEOSHARDED", []admin.ReplicationSpec20240805{shard("Europe"), shard("Americas")}, 6},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t)
			client, ctx, g := f.client(f.owner), t.Context(), f.group
			made, resp, err := client.ClustersApi.CreateCluster(ctx, g, &admin.ClusterDescription20240805{
				Name: new("c1"), ClusterType: &c.kind, ReplicationSpecs: &c.shards, EncryptionAtRestProvider: new("AWS"),
			}).Execute()
			if err != nil || resp.StatusCode != http.StatusCreated || made.GetStateName() != "CREATING" {
				t.Fatalf("%+v, %v", made, err)
			}
			f.obey("c1")
			one, _, err := client.ClustersApi.GetCluster(ctx, g, "c1").Execute()
			if err != nil || one.GetStateName() != "IDLE" || one.GetEncryptionAtRestProvider() != "AWS" ||
				len(one.GetReplicationSpecs()) != len(c.shards) || !strings.Contains(one.ConnectionStrings.GetStandard(), "example.net") {
				t.Errorf("%+v, %v", one, err)
			}
			processes, _, err := client.MonitoringAndLogsApi.ListGroupProcesses(ctx, g).Execute()
			if err != nil || processes.GetTotalCount() != c.nodes {
				t.Errorf("%d processes, %v", processes.GetTotalCount(), err)
			}
			f.readAround(client, c.nodes/3)
			if resp, err = client.ClustersApi.DeleteCluster(ctx, g, "c1").Execute(); err != nil || resp.StatusCode != http.StatusAccepted {
				t.Fatal(err)
			}
			f.obey("c1")
			if _, _, err = client.ClustersApi.GetCluster(ctx, g, "c1").Execute(); !admin.IsErrorCode(err, "CLUSTER_NOT_FOUND") {
				t.Errorf("gone: %v", err)
			}
			if _, err := client.ProjectsApi.DeleteGroup(ctx, g).Execute(); err != nil {
				t.Errorf("the cluster that is gone keeps its project: %v", err)
			}
		})
	}
}

// readAround reads all that belongs to a cluster c1 with a number of shards.
func (f *fleet) readAround(client *admin.APIClient, shards int) {
	f.t.Helper()
	ctx, g := f.t.Context(), f.group
	list, _, err := client.ClustersApi.ListClusters(ctx, g).Execute()
	if err != nil || list.GetTotalCount() != 1 {
		f.t.Errorf("list: %+v, %v", list, err)
	}
	mode, _, err := client.ClustersApi.AutoScalingConfiguration(ctx, g, "c1").Execute()
	if err != nil || mode.GetAutoScalingMode() != "CLUSTER_WIDE_SCALING" {
		f.t.Errorf("scaling: %+v, %v", mode, err)
	}
	status, _, err := client.ClustersApi.GetClusterStatus(ctx, g, "c1").Execute()
	if err != nil || status.GetChangeStatus() != "APPLIED" {
		f.t.Errorf("status: %+v, %v", status, err)
	}
	regions, _, err := client.ClustersApi.ListClusterProviderRegions(ctx, g).Execute()
	if err != nil || regions.GetTotalCount() != 3 {
		f.t.Errorf("regions: %v", err)
	}
	containers, _, err := client.NetworkPeeringApi.ListGroupContainers(ctx, g).ProviderName("AWS").Execute()
	if err != nil || containers.GetTotalCount() != 1 {
		f.t.Errorf("containers: %+v, %v", containers, err)
	}
	container := containers.GetResults()[0]
	if _, _, err := client.NetworkPeeringApi.GetGroupContainer(ctx, g, container.GetId()).Execute(); err != nil {
		f.t.Error(err)
	}
	if all, _, err := client.NetworkPeeringApi.ListGroupContainerAll(ctx, g).Execute(); err != nil || all.GetTotalCount() != 1 {
		f.t.Errorf("containers: %+v, %v", all, err)
	}
	ips, _, err := client.ProjectsApi.GetGroupIpAddresses(ctx, g).Execute()
	if err != nil || len(ips.Services.GetClusters()) != 1 || len(ips.Services.GetClusters()[0].GetInbound()) != 3*shards {
		f.t.Errorf("addresses: %+v, %v", ips, err)
	}
	details, _, err := client.ClustersApi.ListClusterDetails(ctx).Execute()
	if err != nil {
		f.t.Errorf("details: %v", err)
	}
	for _, d := range details.GetResults() {
		if d.GetGroupId() == g && (len(d.GetClusters()) != 1 || d.GetClusters()[0].GetNodeCount() != 3*shards) {
			f.t.Errorf("details: %+v", d)
		}
	}
	f.changeArgs(client)
}

func (f *fleet) changeArgs(client *admin.APIClient) {
	f.t.Helper()
	ctx, g := f.t.Context(), f.group
	args, _, err := client.ClustersApi.GetProcessArgs(ctx, g, "c1").Execute()
	if err != nil || args.GetMinimumEnabledTlsProtocol() != "TLS1_2" {
		f.t.Errorf("arguments: %+v, %v", args, err)
	}
	args.SetNoTableScan(true)
	changed, _, err := client.ClustersApi.UpdateProcessArgs(ctx, g, "c1", args).Execute()
	if err != nil || !changed.GetNoTableScan() {
		f.t.Errorf("arguments: %+v, %v", changed, err)
	}
}

func TestClusters_AreOneInAllVersions(t *testing.T) {
	f := newFleet(t)
	path := v2 + "/groups/" + f.group + "/clusters"
	const old = `{"name":"c1","clusterType":"SHARDED","diskSizeGB":40,"replicationSpecs":[{"numShards":2,"zoneName":"Zone 1","regionConfigs":` +
		`[{"providerName":"AWS","regionName":"US_EAST_1","priority":7,"electableSpecs":{"instanceSize":"M30","nodeCount":3}}]}]}`
	if a := f.at("2023-02-01", f.owner, "POST", path, old); a.status != http.StatusCreated || a.header.Get("Sunset") == "" ||
		a.header.Get("Content-Type") != "application/vnd.atlas.2023-02-01+json;charset=utf-8" {
		t.Fatalf("%+v", a)
	}
	f.obey("c1")
	read := func(version string) map[string]any {
		a := f.at(version, f.owner, "GET", path+"/c1", "")
		var body map[string]any
		if err := json.Unmarshal([]byte(a.body), &body); err != nil || a.status != http.StatusOK {
			t.Fatalf("%+v, %v", a, err)
		}
		return body
	}
	count := func(body map[string]any) int { specs, _ := body["replicationSpecs"].([]any); return len(specs) }
	before, after := read("2023-02-01"), read("2024-10-23")
	if count(before) != 1 || before["diskSizeGB"] != 40.0 || count(after) != 2 || after["diskSizeGB"] != nil || before["id"] != after["id"] {
		t.Errorf("%v\n%v", before, after)
	}
	for _, version := range []string{"2024-08-05", "2024-10-23"} {
		if a := f.at(version, f.owner, "PATCH", path+"/c1", `{"tags":[{"key":"version","value":"`+version+`"}]}`); a.status != http.StatusOK ||
			!strings.Contains(a.header.Get("Content-Type"), version) || !strings.Contains(a.body, version) {
			t.Errorf("%+v", a)
		}
	}
	for method, version := range map[string]string{"GET": "2022-01-01", "POST": "2022-01-01"} {
		if a := f.at(version, f.owner, method, path, old); a.status != http.StatusNotAcceptable {
			t.Errorf("%s %s: %+v", method, version, a)
		}
	}
}

// Terraform reads at one version and sends what it read back at another.
func TestClusters_SentBackAsTheyWereReadDoNotChange(t *testing.T) {
	f := newFleet(t)
	path := v2 + "/groups/" + f.group + "/clusters"
	body := `{"backupEnabled":false,"clusterType":"REPLICASET","encryptionAtRestProvider":"NONE","labels":[],"name":"c1","replicationSpecs":[{"regionConfigs":` +
		`[{"electableSpecs":{"instanceSize":"M10","nodeCount":3},"priority":7,"providerName":"AWS","regionName":"US_EAST_1"}],"zoneName":"ZoneName managed by Terraform"}],"tags":[]}`
	if a := f.at("2024-10-23", f.owner, "POST", path, body); a.status != http.StatusCreated {
		t.Fatalf("%+v", a)
	}
	f.obey("c1")
	begun := f.starts()
	echo := f.at("2024-08-05", f.owner, "GET", path+"/c1", "")
	again := f.at("2024-10-23", f.owner, "PATCH", path+"/c1", echo.body)
	if again.status != http.StatusOK || f.starts() != begun {
		t.Errorf("%+v, %d workflows", again, f.starts()-begun)
	}
	if diff := cmp.Diff(echo.body, again.body); diff != "" {
		t.Error(diff)
	}
	if a := f.at("2024-10-23", f.owner, "PATCH", path+"/c1", strings.Replace(echo.body, `"NONE"`, `"GCP"`, 1)); a.status != http.StatusOK ||
		!strings.Contains(a.body, `"UPDATING"`) || f.starts() != begun+1 {
		t.Errorf("%+v", a)
	}
}

// The private endpoints are another function's; clusters tell of them by what is stored.
func TestClusters_TellOfPrivateEndpointsAndTakeWhatTheyToldBack(t *testing.T) {
	f := newFleet(t)
	path := v2 + "/groups/" + f.group + "/clusters/c1"
	shards := []admin.ReplicationSpec20240805{shard("Zone 1")}
	_, _, err := f.client(f.owner).ClustersApi.CreateCluster(t.Context(), f.group, &admin.ClusterDescription20240805{
		Name: new("c1"), ClusterType: new("REPLICASET"), ReplicationSpecs: &shards, EncryptionAtRestProvider: new("AWS"),
	}).Execute()
	f.must(err)
	f.obey("c1")
	version := int64(0)
	for _, c := range []struct {
		status endpoint.Status
		want   string
	}{{endpoint.Initiating, "INACTIVE"}, {endpoint.Active, "ACTIVE"}, {endpoint.PendingRecreation, "ACTIVE"}, {endpoint.Deleting, "INACTIVE"}} {
		item, err := store.Encode(keys.PrivateEndpoints(f.group, "AWS"), version, endpoint.Set{
			GroupID: f.group, Provider: atlas.AWS, Endpoints: []endpoint.Endpoint{{ID: "650000000000000000000071", Region: "US_EAST_1", Status: c.status}},
		})
		f.must(err)
		f.must(f.table.Write(t.Context(), store.Put(item)))
		version++
		for _, v := range []string{"2023-01-01", "2023-02-01", "2024-08-05"} {
			shown := f.at(v, f.owner, "GET", path, "")
			if !strings.Contains(shown.body, `"encryptionAtRestPrivateNetworking":"`+c.want+`"`) {
				t.Errorf("%s, while the endpoint is %s: %s", v, c.status, shown.body)
			}
			begun, opposite := f.starts(), strings.NewReplacer(`"ACTIVE"`, `"INACTIVE"`, `"INACTIVE"`, `"ACTIVE"`).Replace(shown.body)
			for _, body := range []string{shown.body, opposite} {
				if again := f.at(v, f.owner, "PATCH", path, body); again.status != http.StatusOK || again.body != shown.body || f.starts() != begun {
					t.Errorf("%s sent back: %d workflows, %+v", v, f.starts()-begun, again)
				}
			}
		}
		one, _, err := f.client(f.owner).ClustersApi.GetCluster(t.Context(), f.group, "c1").Execute()
		if err != nil || one.GetEncryptionAtRestProvider() != "AWS" {
			t.Errorf("the official client reads %+v, %v", one, err)
		}
	}
}

func TestClusters_AreEncryptedByOwnersAlone(t *testing.T) {
	f := newFleet(t)
	path := v2 + "/groups/" + f.group + "/clusters"
	in := func(role identity.Role) directory.APIKey {
		return f.key(f.org.Org.ID, identity.OrgMember, map[string][]identity.Role{f.group: {role}})
	}
	body := func(name, provider string) string {
		return `{"name":"` + name + `","clusterType":"REPLICASET","encryptionAtRestProvider":"` + provider + `","replicationSpecs":[{"regionConfigs":` +
			`[{"providerName":"AZURE","regionName":"US_EAST_2","priority":7,"electableSpecs":{"instanceSize":"M10","nodeCount":3}}]}]}`
	}
	if a := f.do(in(identity.GroupOwner), "POST", path, body("c1", "NONE")); a.status != http.StatusCreated {
		t.Fatalf("%+v", a)
	}
	f.obey("c1")
	f.clock.Advance(time.Second)
	for role, want := range map[identity.Role][3]int{
		identity.GroupReadOnly:       {401, 401, 401},
		identity.GroupClusterManager: {401, 401, 200},
	} {
		key := in(role)
		got := [3]int{
			f.do(key, "POST", path, body("c2", "NONE")).status,
			f.do(key, "PATCH", path+"/c1", `{"encryptionAtRestProvider":"AWS"}`).status,
			f.do(key, "PATCH", path+"/c1", `{"backupEnabled":true}`).status,
		}
		if got != want {
			t.Errorf("%s: create, encrypt, change answer %v, want %v", role, got, want)
		}
	}
	// The key's cloud need not be the nodes'.
	if a := f.do(in(identity.GroupOwner), "PATCH", path+"/c1", `{"encryptionAtRestProvider":"AWS"}`); a.status != http.StatusOK {
		t.Errorf("%+v", a)
	}
}

func TestClusters_AreNoMoreThanTheLimitSays(t *testing.T) {
	f := newFleet(t)
	group := v2 + "/groups/" + f.group
	const limit = "/limits/atlas.project.deployment.clusters"
	create := func(name string) answer {
		return f.do(f.owner, "POST", group+"/clusters", `{"name":"`+name+`","clusterType":"REPLICASET","replicationSpecs":[{"regionConfigs":`+
			`[{"providerName":"AWS","regionName":"US_EAST_1","priority":7,"electableSpecs":{"instanceSize":"M10","nodeCount":3}}]}]}`)
	}
	if a := f.do(f.owner, "PATCH", group+limit, `{"value":1}`); a.status != http.StatusOK {
		t.Fatalf("%+v", a)
	}
	if a := create("c1"); a.status != http.StatusCreated {
		t.Fatalf("%+v", a)
	}
	if a := create("c2"); a.status != http.StatusBadRequest || a.code(t) != atlas.MaxClustersExceeded {
		t.Errorf("%+v", a)
	}
	if a := f.do(f.owner, "GET", group+limit, ""); !strings.Contains(a.body, `"currentUsage":1`) {
		t.Errorf("%+v", a)
	}
	f.do(f.owner, "DELETE", group+limit, "")
	if a := create("c2"); a.status != http.StatusCreated {
		t.Errorf("%+v", a)
	}
}
