package cluster_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/atlas-sdk/v20250312018/admin"

	"latchkey/shared/cluster"
	"latchkey/shared/httpapi"
)

// sdk is the official client, talking to the API over a socket.
func (w *world) sdk() *admin.APIClient {
	w.t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		ctx := httpapi.WithBase(httpapi.WithCaller(r.Context(), w.caller), "https://cloud.example")
		w.api.ServeHTTP(rw, r.WithContext(ctx))
	}))
	w.t.Cleanup(server.Close)
	client, err := admin.NewClient(admin.UseBaseURL(server.URL), admin.UseHTTPClient(server.Client()))
	if err != nil {
		w.t.Fatal(err)
	}
	return client
}

func TestTheOfficialClientUnderstandsClusters(t *testing.T) {
	w := newWorld(t)
	client := w.sdk()
	ctx := t.Context()
	aws, region, kind, name, size, provider := "AWS", "US_EAST_1", "REPLICASET", "c1", "M10", "AWS"
	nodes, priority := 3, 7
	made, resp, err := client.ClustersApi.CreateCluster(ctx, w.group, &admin.ClusterDescription20240805{
		Name: &name, ClusterType: &kind, EncryptionAtRestProvider: &provider,
		ReplicationSpecs: &[]admin.ReplicationSpec20240805{{RegionConfigs: &[]admin.CloudRegionConfig20240805{{
			ProviderName: &aws, RegionName: &region, Priority: &priority,
			ElectableSpecs: &admin.HardwareSpec20240805{InstanceSize: &size, NodeCount: &nodes},
		}}}},
	}).Execute()
	if err != nil || resp.StatusCode != http.StatusCreated || made.GetStateName() != "CREATING" {
		t.Fatalf("create: %v, %v", made, err)
	}
	w.work("c1")
	got, _, err := client.ClustersApi.GetCluster(ctx, w.group, "c1").Execute()
	if err != nil || got.GetStateName() != "IDLE" || got.GetEncryptionAtRestProvider() != "AWS" || got.GetReplicationSpecs()[0].GetZoneName() != "Zone 1" {
		t.Errorf("get: %v, %v", got, err)
	}
	if _, _, err := client.ClustersApi.UpdateCluster(ctx, w.group, "c1", got).Execute(); err != nil {
		t.Errorf("the client's own document is refused: %v", err)
	}
	list, _, err := client.ClustersApi.ListClusters(ctx, w.group).Execute()
	if err != nil || list.GetTotalCount() != 1 || len(list.GetResults()) != 1 {
		t.Errorf("list: %v, %v", list, err)
	}
	args, _, err := client.ClustersApi.GetProcessArgs(ctx, w.group, "c1").Execute()
	if err != nil || args.GetMinimumEnabledTlsProtocol() != "TLS1_2" {
		t.Errorf("process arguments: %v, %v", args, err)
	}
	processes, _, err := client.MonitoringAndLogsApi.ListGroupProcesses(ctx, w.group).Execute()
	if err != nil || len(processes.GetResults()) != 3 {
		t.Fatalf("processes: %v, %v", processes, err)
	}
	process := processes.GetResults()[0]
	if one, _, err := client.MonitoringAndLogsApi.GetGroupProcess(ctx, w.group, process.GetId()).Execute(); err != nil || one.GetUserAlias() != process.GetUserAlias() {
		t.Errorf("process %s: %v, %v", process.GetId(), one, err)
	}
	containers, _, err := client.NetworkPeeringApi.ListGroupContainers(ctx, w.group).ProviderName("AWS").Execute()
	if err != nil || len(containers.GetResults()) != 1 || containers.GetResults()[0].GetRegionName() != "US_EAST_1" {
		t.Errorf("containers: %v, %v", containers, err)
	}
	regions, _, err := client.ClustersApi.ListClusterProviderRegions(ctx, w.group).Providers([]string{"AWS", "GCP"}).Tier("M10").Execute()
	if err != nil || len(regions.GetResults()) != 2 || len(regions.GetResults()[0].GetInstanceSizes()) != 1 {
		t.Errorf("regions: %v, %v", regions, err)
	}
	details, _, err := client.ClustersApi.ListClusterDetails(ctx).Execute()
	if err != nil || len(details.GetResults()) != 1 || details.GetResults()[0].GetClusters()[0].GetAvailability() != "available" {
		t.Errorf("clusters of the organization: %v, %v", details, err)
	}
	if _, err := client.ClustersApi.DeleteCluster(ctx, w.group, "c1").RetainBackups(false).Execute(); err != nil {
		t.Errorf("delete: %v", err)
	}
	w.work("c1")
	_, _, err = client.ClustersApi.GetCluster(ctx, w.group, "c1").Execute()
	if !admin.IsErrorCode(err, "CLUSTER_NOT_FOUND") {
		t.Errorf("a cluster that is gone: %v", err)
	}
}

func TestProcessArgumentsLookAsTheRealServiceShowsThem(t *testing.T) {
	w := newWorld(t)
	w.create("c1", "")
	const want = `{"changeStreamOptionsPreAndPostImagesExpireAfterSeconds":null,"chunkMigrationConcurrency":null,"customOpensslCipherConfigTls12":[],"customOpensslCipherConfigTls13":[],"defaultMaxTimeMS":null,"defaultWriteConcern":"majority","javascriptEnabled":true,"minimumEnabledTlsProtocol":"TLS1_2","noTableScan":false,"oplogMinRetentionHours":null,"oplogSizeMB":null,"queryStatsLogVerbosity":null,"sampleRefreshIntervalBIConnector":null,"sampleSizeBIConnector":null,"tlsCipherConfigMode":"DEFAULT","transactionLifetimeLimitSeconds":null}`
	url := "/api/atlas/v2/groups/" + w.group + "/clusters/c1/processArgs"
	got, _ := w.raw(http.MethodGet, url, "")
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
	before := w.load("c1").Version()
	w.must(http.MethodPatch, "/clusters/c1/processArgs", string(got))
	if after := w.load("c1").Version(); after != before {
		t.Error("sending the arguments back changes them")
	}
	w.version = "2023-01-01"
	old := w.must(http.MethodPatch, "/clusters/c1/processArgs", `{"defaultReadConcern":"local","oplogSizeMB":2000,"minimumEnabledTlsProtocol":"TLS1_3"}`)
	if _, has := old["failIndexKeyTooLong"]; !has || old["defaultReadConcern"] != "local" {
		t.Errorf("2023-01-01 shows %v", old)
	}
	w.version = "2024-08-05"
	recent := w.must(http.MethodGet, "/clusters/c1/processArgs", "")
	if _, has := recent["defaultReadConcern"]; has || recent["oplogSizeMB"] != 2000.0 {
		t.Errorf("2024-08-05 shows %v", recent)
	}
	if recent = w.must(http.MethodPatch, "/clusters/c1/processArgs", `{"oplogSizeMB":null}`); recent["oplogSizeMB"] != nil {
		t.Errorf("null leaves %v", recent["oplogSizeMB"])
	}
	tls, _ := w.must(http.MethodGet, "/clusters/c1", "")["advancedConfiguration"].(map[string]any)
	if tls["minimumEnabledTlsProtocol"] != "TLS1_3" {
		t.Errorf("the cluster shows %v", tls)
	}
}

func TestAStoppedNodeHasNoData(t *testing.T) {
	w := newWorld(t)
	d := w.create("c1", `"encryptionAtRestProvider":"AWS",`)
	types := func() (types []string) {
		list, _ := w.must(http.MethodGet, "/processes", "")["results"].([]any)
		for _, p := range list {
			process, _ := p.(map[string]any)
			if kind, ok := process["typeName"].(string); ok {
				types = append(types, kind)
			}
		}
		return types
	}
	if diff := cmp.Diff([]string{"REPLICA_PRIMARY", "REPLICA_SECONDARY", "REPLICA_SECONDARY"}, types()); diff != "" {
		t.Error(diff)
	}
	if err := w.service.Disable(t.Context(), d.ID, "AWS", "KEY_DISABLED"); err != nil {
		t.Fatal(err)
	}
	w.obey(w.load("c1"))
	if diff := cmp.Diff([]string{"NO_DATA", "NO_DATA", "NO_DATA"}, types()); diff != "" {
		t.Error(diff)
	}
	w.fail(http.MethodGet, "/processes/nowhere:27017", "", 404, "RESOURCE_NOT_FOUND")
}

func TestContainersFollowTheClusters(t *testing.T) {
	w := newWorld(t)
	w.must(http.MethodPost, "/clusters", `{"name":"c1","clusterType":"REPLICASET","replicationSpecs":[{"regionConfigs":[
		{"providerName":"AWS","regionName":"US_EAST_1","priority":7,"electableSpecs":{"instanceSize":"M10","nodeCount":3}},
		{"providerName":"AZURE","regionName":"US_EAST_2","priority":6,"electableSpecs":{"instanceSize":"M10","nodeCount":1}},
		{"providerName":"GCP","regionName":"CENTRAL_US","priority":5,"electableSpecs":{"instanceSize":"M10","nodeCount":1}},
		{"providerName":"GCP","regionName":"WESTERN_US","priority":0,"readOnlySpecs":{"instanceSize":"M10","nodeCount":1}}]}]}`)
	all, _ := w.must(http.MethodGet, "/containers/all", "")["results"].([]any)
	var got []string
	for _, c := range all {
		container, _ := c.(map[string]any)
		id, _ := container["id"].(string)
		if one := w.must(http.MethodGet, "/containers/"+id, ""); !cmp.Equal(one, container) {
			t.Errorf("the container is %v in the list and %v by itself", container, one)
		}
		delete(container, "id")
		b, err := json.Marshal(container)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(b))
	}
	want := []string{
		`{"providerName":"AWS","provisioned":true,"regionName":"US_EAST_1"}`,
		`{"providerName":"AZURE","provisioned":true,"region":"US_EAST_2"}`,
		`{"providerName":"GCP","provisioned":true,"regions":["CENTRAL_US","WESTERN_US"]}`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	w.fail(http.MethodGet, "/containers/650000000000000000000099", "", 404, "RESOURCE_NOT_FOUND")
	w.fail(http.MethodGet, "/containers?providerName=IBM", "", 400, "INVALID_ENUM_VALUE")
}

// The addresses are what customers put on the access lists of their keys.
func TestTheAddressesOfNodesAreListedByCluster(t *testing.T) {
	w := newWorld(t)
	w.create("c1", "")
	w.must(http.MethodPost, "/clusters", body("c2", ""))
	got, _ := w.raw(http.MethodGet, "/api/atlas/v2/groups/"+w.group+"/ipAddresses", "")
	const addresses = `["203.0.113.1","203.0.113.2","203.0.113.3"]`
	want := `{"groupId":"` + w.group + `","services":{"clusters":[{"clusterName":"c1","futureInbound":[],"futureOutbound":[],"inbound":` + addresses + `,"outbound":` + addresses + `},` +
		`{"clusterName":"c2","futureInbound":[],"futureOutbound":[],"inbound":[],"outbound":[]}]}}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
}

func TestFlexClustersDoNotExist(t *testing.T) {
	w := newWorld(t)
	w.create("c1", "")
	w.fail(http.MethodGet, "/flexClusters/none", "", 404, "CLUSTER_NOT_FOUND")
	answer := w.fail(http.MethodGet, "/flexClusters/c1", "", 400, "CANNOT_USE_NON_FLEX_CLUSTER_IN_FLEX_API")
	if answer["detail"] != "Cannot use non-flex cluster c1 in the flex API." {
		t.Errorf("detail %v", answer["detail"])
	}
	if list := w.must(http.MethodGet, "/flexClusters", ""); list["totalCount"] != 0.0 {
		t.Errorf("list %v", list)
	}
}

func TestListsHavePagesSortedByName(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"b", "a", "c"} {
		w.must(http.MethodPost, "/clusters", body(name, ""))
	}
	names := func(query string) (names []string, total any, links int) {
		page := w.must(http.MethodGet, "/clusters"+query, "")
		results, _ := page["results"].([]any)
		for _, r := range results {
			c, _ := r.(map[string]any)
			if name, ok := c["name"].(string); ok {
				names = append(names, name)
			}
		}
		list, _ := page["links"].([]any)
		return names, page["totalCount"], len(list)
	}
	for query, want := range map[string][]string{
		"?includeDeletedWithRetainedBackups=true": {"a", "b", "c"}, "?itemsPerPage=2": {"a", "b"}, "?itemsPerPage=2&pageNum=2": {"c"},
		"?pageNum=9": nil,
	} {
		if got, total, _ := names(query); !slices.Equal(got, want) || total != 3.0 {
			t.Errorf("%s lists %v of %v, want %v", query, got, total, want)
		}
	}
	if _, _, links := names("?itemsPerPage=1&pageNum=2"); links != 3 {
		t.Errorf("a page in the middle has %d links", links)
	}
}

func TestAGroupThatIsClosedHasNoClusters(t *testing.T) {
	w := newWorld(t)
	if err := w.projects.Close(t.Context(), w.caller, w.group); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/clusters", "/clusters/provider/regions", "/containers", "/processes", "/flexClusters"} {
		w.fail(http.MethodGet, path, "", 404, "GROUP_NOT_FOUND")
	}
	w.fail(http.MethodPost, "/clusters", body("c1", ""), 404, "GROUP_NOT_FOUND")
}

func TestHostNamesAreSafe(t *testing.T) {
	w := newWorld(t)
	w.must(http.MethodPost, "/clusters", body("A-Very-Long-Name-Inde---With-Hyphens-Where-It-Is-Cut", ""))
	d := w.load("A-Very-Long-Name-Inde---With-Hyphens-Where-It-Is-Cut")
	for _, n := range d.Nodes {
		label, _, _ := strings.Cut(n.Alias, ".")
		if len(label) > 63 || strings.ToLower(label) != label || strings.Contains(label, "--") || label[0] == '-' {
			t.Errorf("a node is called %s", n.Alias)
		}
	}
	if d.State() != cluster.Creating {
		t.Errorf("the cluster is %s", d.State())
	}
}

// Agents report addresses with ports, and names too; an access list takes neither.
func TestOnlyAddressesThatAnAccessListTakesAreListed(t *testing.T) {
	w := newWorld(t)
	d := w.create("c1", "")
	n := d.Nodes[slices.IndexFunc(d.Nodes, func(n cluster.Node) bool { return n.Index == 0 })]
	report := n.Reported
	report.Addresses = []string{
		"203.0.113.9:27017", "203.0.113.9", "[2001:db8::1]:27017", "2001:0db8::2", "[::ffff:203.0.113.8]:1", "fe80::1%eth0",
		"node-0.example.net:27017", "node-0.example.net", "203.0.113.7/24", ":27017", "0.0.0.0:27017",
	}
	if _, err := w.service.ReportNode(t.Context(), n.ClusterID, n.ID, report); err != nil {
		t.Fatal(err)
	}
	got, _ := w.raw(http.MethodGet, "/api/atlas/v2/groups/"+w.group+"/ipAddresses", "")
	const want = `"inbound":["2001:db8::1","2001:db8::2","203.0.113.2","203.0.113.3","203.0.113.8","203.0.113.9"]`
	if !strings.Contains(string(got), want) {
		t.Errorf("%s\ndoes not have %s", got, want)
	}
}
