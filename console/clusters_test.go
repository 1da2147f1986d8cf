package console_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Where the API and the pages of clusters are.
const (
	clusterList = overview + "/clusters"
	shop        = clusterList + "/shop"
	clustersAPI = "/api/atlas/v2/groups/" + groupID + "/clusters"
	progressAPI = "/api/latchkey/v1/groups/" + groupID + "/clusters"
	awsKey      = "arn:aws:kms:us-east-1:111122223333:key/0f0e0d0c-1111-4222-8333-444455556666"
)

// aCluster is the cluster "shop" as the API shows it, at rest.
func aCluster(changes object) object {
	hardware := func(nodes int) object { return object{"instanceSize": "M10", "nodeCount": nodes, "diskSizeGB": 30.0} }
	c := object{
		"id": "32b6e34b3d91647abb20e7c1", "name": "shop", "stateName": "IDLE", "clusterType": "REPLICASET", "encryptionAtRestProvider": "AWS",
		"encryptionAtRestPrivateNetworking": "INACTIVE", "backupEnabled": true, "mongoDBVersion": "8.0.1", "createDate": "2026-01-02T03:04:05Z",
		"connectionStrings": object{"standard": "mongodb://shop-00:27017", "standardSrv": "mongodb+srv://shop"},
		"replicationSpecs": []any{object{"id": "32b6e34b3d91647abb20e7d1", "zoneId": "32b6e34b3d91647abb20e7e1", "zoneName": "Zone 1", "regionConfigs": []any{object{
			"providerName": "AWS", "regionName": "US_EAST_1", "priority": 7, "electableSpecs": hardware(3), "readOnlySpecs": hardware(0), "analyticsSpecs": hardware(1),
			"effectiveElectableSpecs": hardware(3),
		}}}},
	}
	maps.Copy(c, changes)
	return c
}

// itsProgress is how it stands.
func itsProgress(changes object) object {
	node := func(id, role, state string) object {
		return object{
			"id": id, "hostname": id + ".example.net", "shard": 0, "typeName": role, "cloudProvider": "AWS", "regionName": "US_EAST_1", "state": state, "silent": false,
			"lastSeenAt": "2026-01-02T03:04:05Z", "task": nil,
			"masterKey": object{"madeAt": "2026-01-01T00:00:00Z", "wrappedAt": "2026-01-01T00:00:00Z", "cloudProvider": "AWS", "key": awsKey, "version": "v-7"},
		}
	}
	p := object{
		"id": "32b6e34b3d91647abb20e7c1", "name": "shop", "stateName": "IDLE", "availability": "available", "paused": false, "disabled": nil, "plan": nil, "restore": nil,
		"nodeCounts": object{"total": 3, "running": 3, "silent": 0},
		"nodes":      []any{node("n0", "REPLICA_PRIMARY", "RUNNING"), node("n1", "REPLICA_SECONDARY", "RUNNING"), node("n2", "REPLICA_SECONDARY", "RUNNING")},
	}
	maps.Copy(p, changes)
	return p
}

// clusterWorld is a project with the cluster "shop", encrypted with a key of AWS, seen by somebody.
func clusterWorld(t *testing.T, role string) *world {
	t.Helper()
	w := open(t, "")
	w.signIn()
	w.as(role)
	w.stand(aCluster(nil), itsProgress(nil))
	w.api.set("GET "+clustersAPI+"/provider/regions", listed(
		object{"provider": "AWS", "instanceSizes": []any{
			object{"name": "M10", "availableRegions": []any{object{"name": "EU_WEST_1"}, object{"name": "US_EAST_1", "default": true}}},
			object{"name": "M30", "availableRegions": []any{object{"name": "US_EAST_1", "default": true}}},
		}},
	))
	w.api.set("GET "+settingsAPI, object{
		"awsKms":         object{"enabled": true, "valid": true, "customerMasterKeyID": awsKey},
		"azureKeyVault":  object{"enabled": true, "valid": true, "keyIdentifier": "https://kv.vault.azure.net/keys/k/1"},
		"googleCloudKms": object{"enabled": false},
	})
	w.api.set("GET "+settingsAPI+"/AWS/privateEndpoints", listed())
	w.api.set("GET "+ownAPI+"/encryptionAtRest/keys", listed(inUse("AWS", awsKey, true)))
	w.api.set("GET "+ownAPI+"/masterKeys", object{"rotation": object{"state": "RESTING"}, "masterKeys": []any{}})
	w.api.set("GET /api/atlas/v2/groups/"+groupID+"/ipAddresses", object{"services": object{"clusters": []any{
		object{"clusterName": "shop", "outbound": []any{"192.0.2.7"}}, object{"clusterName": "other", "outbound": []any{"192.0.2.8"}},
	}}})
	return w
}

// stand has the API show a cluster.
func (w *world) stand(cluster, progress object) {
	w.api.set("GET "+clustersAPI, listed(cluster))
	w.api.set("GET "+clustersAPI+"/shop", cluster)
	w.api.set("GET "+progressAPI, listed(progress))
	w.api.set("GET "+progressAPI+"/shop", progress)
}

func inUse(provider, key string, valid bool) object {
	return object{
		"cloudProvider": provider, "lastChange": nil, "formerKeys": []any{},
		"keyInUse": object{"key": key, "version": "v-7", "masterKeyUUID": map[bool]string{true: keyUUID}[key == awsKey], "status": object{"valid": valid, "reason": "KEY_DISABLED"}, "privateNetworking": object{"inForce": false}},
	}
}

// says demands that an answer has texts, white space aside, and that it has not those with "!".
func (a answer) says(t *testing.T, texts ...string) {
	t.Helper()
	body := strings.Join(strings.Fields(a.body), " ")
	for _, text := range texts {
		text, isAbsent := strings.CutPrefix(text, "!")
		if strings.Contains(body, text) == isAbsent {
			t.Errorf("%s: %q is there: %t\n%s", a.Request.URL.Path, text, isAbsent, body)
		}
	}
}

func TestClusters_areListedWithStateAndKey(t *testing.T) {
	t.Parallel()
	w := clusterWorld(t, "GROUP_OWNER")
	w.get(clusterList).says(t, "shop</a>", ">Ready<", "AWS US_EAST_1", "4 × M10", ">AWS KMS<", ">Inactive<", "Create a cluster", "!hx-trigger")
	w.stand(aCluster(object{"encryptionAtRestProvider": "NONE", "encryptionAtRestPrivateNetworking": "", "stateName": "UPDATING"}),
		itsProgress(object{"plan": plan(object{"kind": "update"})}))
	w.get(clusterList).says(t, "Being changed", "No key of yours", "(1 of 3)", "hx-trigger", "fragments/clusters?page=1")
	w.get(overview+"/fragments/clusters?page=1").says(t, `<div id="clusters"`, "!<html")
	w.api.set("GET "+clustersAPI, listed())
	w.api.set("GET "+progressAPI, listed())
	w.get(clusterList).says(t, "No clusters", overview+"/new-cluster")
}

func TestClusters_tellWhichAreDisabledAndWhereTryAgainIs(t *testing.T) {
	t.Parallel()
	w := clusterWorld(t, "GROUP_OWNER")
	w.stand(aCluster(nil), itsProgress(object{
		"disabled":   object{"cloudProvider": "AWS", "reason": "KEY_DISABLED", "since": "2026-01-02T03:04:05Z"},
		"nodeCounts": object{"total": 3, "running": 0, "silent": 0},
	}))
	for _, path := range []string{clusterList, shop} {
		w.get(path).says(t, "due to invalid Encryption at Rest settings", "the key is disabled", "KEY_DISABLED", overview+`/advanced">Advanced`, "Try again", ">Disabled<",
			"2 Jan 2026, 03:04:05 UTC", "AWS KMS, not valid", "!hx-trigger")
	}
	w.stand(aCluster(nil), itsProgress(object{"disabled": object{"cloudProvider": "AWS", "reason": "KEY_DISABLED"}}))
	w.get(clusterList).says(t, "hx-trigger") // nodes are being stopped
}

func TestClusters_offerReadersNoChanges(t *testing.T) {
	t.Parallel()
	for role, sees := range map[string]map[string][]string{
		"GROUP_READ_ONLY": {
			clusterList: {"!Create a cluster", "takes a Project Owner"}, shop: {"!Edit Configuration", "!Delete…", "!>Pause<", "takes a Project Owner or"},
			shop + "/edit": {"!Review Changes", "takes a Project Owner or"}, shop + "/delete": {"!Delete the cluster", "takes a Project Owner"},
			overview + "/new-cluster": {"!Review Changes", "takes a Project Owner"},
		},
		"GROUP_CLUSTER_MANAGER": {
			clusterList: {"!Create a cluster"}, shop: {"Edit Configuration", ">Pause<", "!Delete…"},
			shop + "/edit": {"Review Changes", "!Manage your own encryption keys", "only a Project Owner"},
		},
	} {
		w := clusterWorld(t, role)
		for path, texts := range sees {
			w.get(path).says(t, texts...)
		}
	}
}

func TestCluster_showsWhichKeyWrapsEachNode(t *testing.T) {
	t.Parallel()
	w := clusterWorld(t, "GROUP_OWNER")
	a := w.get(shop)
	a.says(t, "n0.example.net", "Primary, AWS US_EAST_1", awsKey, "Version <code class=\"long\">v-7", "mongodb&#43;srv://shop", "192.0.2.7", "!192.0.2.8",
		"Require Private Networking", "reached over the public network", "!hx-trigger")
	if n := strings.Count(a.body, awsKey); n != 3 {
		t.Errorf("the key is shown %d times", n)
	}
	w.stand(aCluster(object{"encryptionAtRestPrivateNetworking": "ACTIVE"}), itsProgress(nil))
	w.api.set("GET "+settingsAPI+"/AWS/privateEndpoints", listed(object{"regionName": "EU_WEST_1", "status": "ACTIVE"}))
	w.get(shop).says(t, ">Active<", "US_EAST_1: <span class=\"badge bad\">No endpoint")
}

// plan is work on the nodes.
func plan(changes object) object {
	p := object{
		"kind": "update", "beganAt": "2026-01-02T00:00:00Z", "fromProvider": "NONE", "toProvider": "AWS", "nodes": 3, "nodesDone": 1, "syncingNodeIds": []any{},
		"waitsFor": nil, "waitsSince": nil, "reason": nil, "awaitedNodeIds": []any{"n1", "n2"}, "changeQueued": false,
	}
	maps.Copy(p, changes)
	return p
}

func TestCluster_tellsHowFarWorkIs(t *testing.T) {
	t.Parallel()
	change := func(kind string, awaited ...any) object {
		r := inUse("AWS", awsKey, true)
		r["lastChange"] = object{"kind": kind, "state": "UNDER_WAY", "nodesLeft": 1, "remaining": object{"nodes": 4, "awaitedNodes": awaited}}
		return r
	}
	disabled := object{"cloudProvider": "AWS", "reason": "KEY_DELETED", "since": "2026-01-02T03:04:05Z"}
	for name, tt := range map[string]struct {
		progress object
		keys     object
		master   object
		want     []string
	}{
		"an initial sync": {
			progress: object{"plan": plan(object{"syncingNodeIds": []any{"n1"}})},
			want:     []string{"encrypted with your key in AWS KMS", "Node 2 of 3 rebuilds its data now: n1.example.net", `max="3" value="1"`, "hx-trigger", "!It waits"},
		},
		"on the way out": {
			progress: object{"plan": plan(object{"fromProvider": "AWS", "toProvider": "NONE", "waitsFor": "NODES", "changeQueued": true})},
			want:     []string{"the data leave your key in AWS KMS", "It waits for n1.example.net, n2.example.net.", "Another change follows"},
		},
		"without the key": {
			progress: object{"plan": plan(object{"waitsFor": "KEY", "waitsSince": "2026-01-02T03:04:05Z", "reason": "NETWORK_REFUSED"})},
			want:     []string{"network rules refuse access", "It is tried until", "5 Jan 2026, 03:04:05 UTC", "the change is rolled back", "hx-trigger"},
		},
		"being created, without the key": {
			progress: object{"stateName": "CREATING", "plan": plan(object{"kind": "create", "fromProvider": nil, "waitsFor": "KEY", "waitsSince": "2026-01-02T03:04:05Z"})},
			want:     []string{"is being created", "5 Jan 2026", "the creation is rolled back"},
		},
		"suspended": {
			progress: object{"disabled": disabled, "nodeCounts": object{"total": 3, "running": 0, "silent": 0}, "plan": plan(object{"waitsFor": "KEY", "waitsSince": "2026-01-02T03:04:05Z"})},
			want:     []string{"for as long as that takes", "!It is tried until", "!hx-trigger"},
		},
		"a restore": {
			progress: object{"restore": object{"id": "j", "fromClusterName": "old", "phase": "PREPARING", "nodes": 3, "nodesDone": 2, "awaitedNodeIds": []any{"n2"}}},
			want:     []string{"A snapshot of old is being restored", "2 of 3 nodes are ready", "it can be cancelled", "It waits for n2.example.net", "hx-trigger"},
		},
		"a rewrap": {
			keys: change("rotate-key", object{"clusterName": "shop", "nodeId": "n2"}, object{"clusterName": "other", "nodeId": "n9"}),
			want: []string{"The new key in AWS KMS wraps the master keys anew", "3 of 4 nodes are done", "it waits for n2.example.net.", "!n9", "hx-trigger"},
		},
		"a rotation": {
			master: object{"rotation": object{"state": "UNDER_WAY"}, "masterKeys": []any{
				object{"clusterName": "shop", "nodeId": "n0", "state": "CURRENT"},
				object{"clusterName": "shop", "nodeId": "n1", "state": "TOLD"},
				object{"clusterName": "other", "nodeId": "n7", "state": "TOLD"},
			}},
			want: []string{"every 90 days", "1 of 2 nodes are done", "Left are n1.example.net", "!n7"},
		},
		"a node that cannot": {
			progress: object{"nodes": []any{object{"id": "n0", "typeName": "NO_DATA", "state": "WAITING_FOR_AGENT", "task": object{"command": "rewrap", "failed": true, "reason": "ACCESS_DENIED"}}}},
			want:     []string{"Waits for its agent", "cannot do what it was told (rewrap): the key refuses access"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := clusterWorld(t, "GROUP_OWNER")
			w.stand(aCluster(nil), itsProgress(tt.progress))
			if tt.keys != nil {
				w.api.set("GET "+ownAPI+"/encryptionAtRest/keys", listed(tt.keys))
			}
			if tt.master != nil {
				w.api.set("GET "+ownAPI+"/masterKeys", tt.master)
			}
			w.get(shop).says(t, tt.want...)
			w.get(shop+"/state").says(t, "!<html", `<div id="state"`)
		})
	}
}

// draft is a form that was filled in.
func draft(changes url.Values) url.Values {
	d := url.Values{"drafted": {"on"}, "cloud": {"AWS"}, "name": {"books"}, "size": {"M10"}, "region0": {"US_EAST_1"}, "nodes0": {"3"}, "provider": {"AWS"}, "backup": {"on"}}
	maps.Copy(d, changes)
	return d
}

// applied are the fields of the form that applies a review.
func (a answer) applied() url.Values {
	form := url.Values{}
	for _, m := range regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`).FindAllStringSubmatch(a.body, -1) {
		form.Set(m[1], m[2])
	}
	return form
}

// sent demands that a request had a body.
func (w *world) demands(route string, want any) {
	w.t.Helper()
	var got any
	if err := json.Unmarshal([]byte(w.api.sent(route)), &got); err != nil {
		w.t.Fatalf("%s: %v in %q", route, err, w.api.sent(route))
	}
	text, err := json.Marshal(want)
	if err != nil {
		w.t.Fatal(err)
	}
	var wanted any
	if err := json.Unmarshal(text, &wanted); err != nil {
		w.t.Fatal(err)
	}
	if diff := cmp.Diff(wanted, got); diff != "" {
		w.t.Errorf("%s: want (-) and got (+):\n%s", route, diff)
	}
}

func TestCreate_isReviewedThenApplied(t *testing.T) {
	t.Parallel()
	w := clusterWorld(t, "GROUP_OWNER")
	w.get(overview+"/new-cluster").says(t, "Manage your own encryption keys", "Yes, with AWS KMS", `value="GCP" disabled`, "Review Changes", `value="US_EAST_1" selected`)
	review := w.get(overview + "/new-cluster/review?" + draft(url.Values{"region1": {"EU_WEST_1"}, "nodes1": {"2"}}).Encode())
	review.says(t, "Review Changes", "<strong>books</strong>", "<strong>Yes, with AWS KMS</strong>", awsKey, "5 nodes are made", "three days", "Apply Changes")
	w.api.set("POST "+clustersAPI, aCluster(nil))
	a := w.post(overview+"/new-cluster/review", review.applied())
	if a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != clusterList+"/books" {
		t.Errorf("it is answered %d %s", a.StatusCode, a.Header.Get("Location"))
	}
	region := func(name string, priority, nodes int) object {
		return object{"providerName": "AWS", "regionName": name, "priority": priority, "electableSpecs": object{"instanceSize": "M10", "nodeCount": nodes}}
	}
	w.demands("POST "+clustersAPI, object{
		"name": "books", "clusterType": "REPLICASET", "encryptionAtRestProvider": "AWS", "backupEnabled": true, "terminationProtectionEnabled": false,
		"replicationSpecs": []any{object{"regionConfigs": []any{region("US_EAST_1", 7, 3), region("EU_WEST_1", 6, 2)}}},
	})
}

func TestCreate_showsTheFormAgainWithWhatIsWrong(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change url.Values
		want   string
	}{
		"a hostile name":         {url.Values{"name": {`"><script>alert(1)</script>`}}, "does not begin with a hyphen"},
		"an even number":         {url.Values{"nodes0": {"4"}}, "These are 4."},
		"a region twice":         {url.Values{"region1": {"US_EAST_1"}, "nodes1": {"2"}}, "chosen twice"},
		"a provider that is off": {url.Values{"provider": {"GCP"}}, "set up and valid"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := clusterWorld(t, "GROUP_OWNER")
			d := draft(tt.change)
			a := w.get(overview + "/new-cluster/review?" + d.Encode())
			a.says(t, tt.want, "Review Changes", "!Apply Changes", "!<script>alert")
			a = w.post(overview+"/new-cluster/review", d)
			if a.StatusCode != http.StatusUnprocessableEntity || slices.Contains(w.api.asked(), "POST "+clustersAPI) {
				t.Errorf("applied by hand it is answered %d", a.StatusCode)
			}
			a.says(t, tt.want, "!<script>alert")
		})
	}
}

func TestCreate_explainsWhatTheAPIRefuses(t *testing.T) {
	t.Parallel()
	w := clusterWorld(t, "GROUP_OWNER")
	w.api.set("POST "+clustersAPI, refused{400, "ENCRYPTION_AT_REST_PRIVATE_NETWORKING_NOT_SUPPORTED", "Not in this project.", ""})
	a := w.post(overview+"/new-cluster/review", draft(nil))
	a.says(t, "ENCRYPTION_AT_REST_PRIVATE_NETWORKING_NOT_SUPPORTED", "Not in this project.", "Set up a private endpoint in each region", "Apply Changes", "books")
	if a.StatusCode != http.StatusBadRequest {
		t.Errorf("answer = %d", a.StatusCode)
	}
}

func TestCreate_goesOverToAnotherCloudWithWhatWasTyped(t *testing.T) {
	t.Parallel()
	w := clusterWorld(t, "GROUP_OWNER")
	w.api.set("GET "+clustersAPI+"/provider/regions", listed(object{"provider": "AZURE", "instanceSizes": []any{
		object{"name": "M10", "availableRegions": []any{object{"name": "EUROPE_NORTH"}, object{"name": "US_WEST_2", "default": true}}},
	}}))
	w.get(overview+"/new-cluster?to=AZURE&"+draft(nil).Encode()).says(t, `value="books"`, `value="US_WEST_2" selected`, `name="cloud" value="AZURE"`, "!US_EAST_1")
	if q := w.api.query("GET " + clustersAPI + "/provider/regions"); q != "providers=AZURE" {
		t.Errorf("it asked for %s", q)
	}
}
