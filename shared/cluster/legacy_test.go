package cluster_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"latchkey/shared/cluster"
)

// v1 is a request as v1.0 gets it: plain JSON, and what is not the group's comes before it.
func (w *world) v1(method, path, body string) (status int, answer map[string]any) {
	w.t.Helper()
	status, answer, _ = w.callURL(method, "/api/atlas/v1.0/groups/"+w.group+path, body)
	return status, answer
}

// What Terraform's resource mongodbatlas_cluster sends.
const terraformLegacy = `{"name":"c1","autoScaling":{"compute":{"enabled":false,"scaleDownEnabled":false},"diskGBEnabled":true},"biConnector":{"enabled":false},
	"clusterType":"REPLICASET","encryptionAtRestProvider":"AWS","mongoDBMajorVersion":"7.0","pitEnabled":false,"providerBackupEnabled":true,
	"providerSettings":{"encryptEBSVolume":true,"instanceSizeName":"M10","providerName":"AWS","regionName":"US_EAST_1","autoScaling":{"compute":{}}},
	"replicationSpecs":[{"numShards":1,"zoneName":"Zone 1","regionsConfig":{"US_EAST_1":{"electableNodes":3,"priority":7,"readOnlyNodes":0,"analyticsNodes":0}}}]}`

func TestALegacyClusterIsOneInAllVersions(t *testing.T) {
	w := newWorld(t)
	status, made := w.v1(http.MethodPost, "/clusters", terraformLegacy)
	if status != http.StatusCreated || made["stateName"] != "CREATING" || made["mongoURI"] != nil {
		t.Fatalf("%d %v", status, made)
	}
	w.work("c1")
	_, old := w.v1(http.MethodGet, "/clusters/c1", "")
	region := map[string]any{"electableNodes": 3.0, "priority": 7.0, "readOnlyNodes": 0.0, "analyticsNodes": 0.0}
	want := map[string]any{
		"providerSettings": map[string]any{
			"autoScaling": map[string]any{"compute": map[string]any{"maxInstanceSize": nil, "minInstanceSize": nil}}, "diskIOPS": 3000.0,
			"encryptEBSVolume": true, "instanceSizeName": "M10", "providerName": "AWS", "regionName": "US_EAST_1", "volumeType": "STANDARD",
		},
		"autoScaling": map[string]any{"compute": map[string]any{"enabled": false, "scaleDownEnabled": false}, "diskGBEnabled": true},
		"diskSizeGB":  30.0, "numShards": 1.0, "replicationFactor": 3.0, "replicationSpec": map[string]any{"US_EAST_1": region},
		"providerBackupEnabled": true, "backupEnabled": false, "encryptionAtRestProvider": "AWS", "mongoDBMajorVersion": "7.0", "stateName": "IDLE",
	}
	got := map[string]any{}
	for name := range want {
		got[name] = old[name]
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if old["mongoURI"] == nil || old["srvAddress"] == nil || old["mongoURIWithOptions"] == nil {
		t.Errorf("%v", old)
	}
	w.version = "2023-01-01"
	if diff := cmp.Diff(old, w.must(http.MethodGet, "/clusters/c1", "")); diff != "" {
		t.Errorf("2023-01-01 shows something else: %s", diff)
	}
	w.version = "2024-08-05"
	if recent := w.must(http.MethodGet, "/clusters/c1", ""); recent["id"] != old["id"] || recent["backupEnabled"] != true {
		t.Errorf("%v", recent)
	}
}

const twoRegions = `{"replicationSpec":{"US_EAST_1":{"electableNodes":3,"priority":7},"EU_WEST_1":{"electableNodes":2,"priority":6}}}`

func TestALegacyUpdateChangesWhatItNames(t *testing.T) {
	w := newWorld(t)
	w.v1(http.MethodPost, "/clusters", terraformLegacy)
	w.work("c1")
	ids := func() (ids []string) {
		for _, shard := range w.load("c1").Spec.Shards {
			ids = append(ids, shard.ID)
		}
		return ids
	}
	first := ids()
	for _, c := range []struct {
		body string
		seen func(cluster.Spec) any
		want any
	}{
		{`{"providerSettings":{"instanceSizeName":"M30","providerName":"AWS"}}`, func(s cluster.Spec) any { return s.Shards[0].Regions[0].Electable.InstanceSize }, "M30"},
		{`{"diskSizeGB":80}`, func(s cluster.Spec) any { return s.DiskSizeGB() }, 80.0},
		{`{"autoScaling":{"diskGBEnabled":false}}`, func(s cluster.Spec) any { return s.Shards[0].Regions[0].AutoScaling.DiskGB.Enabled }, false},
		{`{"replicationFactor":5}`, func(s cluster.Spec) any { return s.Shards[0].Regions[0].Electable.NodeCount }, 5},
		{twoRegions, func(s cluster.Spec) any { return s.Shards[0].Regions[1].Name }, "EU_WEST_1"},
		{`{"clusterType":"SHARDED","numShards":2}`, func(s cluster.Spec) any { return len(s.Shards) }, 2},
		{`{"encryptionAtRestProvider":"NONE"}`, func(s cluster.Spec) any { return string(s.Provider) }, "NONE"},
	} {
		if status, answer := w.v1(http.MethodPatch, "/clusters/c1", c.body); status != http.StatusOK {
			t.Fatalf("%s answers %d %v", c.body, status, answer)
		}
		w.work("c1")
		if diff := cmp.Diff(c.want, c.seen(w.load("c1").Spec)); diff != "" {
			t.Errorf("%s: %s", c.body, diff)
		}
		if ids()[0] != first[0] {
			t.Errorf("%s makes another shard of it", c.body)
		}
	}
	_, shown := w.v1(http.MethodGet, "/clusters/c1", "")
	body, err := json.Marshal(shown)
	if err != nil {
		t.Fatal(err)
	}
	if status, answer := w.v1(http.MethodPatch, "/clusters/c1", string(body)); status != http.StatusOK || w.load("c1").Plan != nil {
		t.Errorf("sent back as it was read: %d %v", status, answer)
	}
	if status, _ := w.v1(http.MethodDelete, "/clusters/c1", ""); status != http.StatusAccepted {
		t.Errorf("deleted: %d", status)
	}
}

func TestLegacyClustersInShort(t *testing.T) {
	for body, want := range map[string]struct {
		shards, nodes int
		code          string
	}{
		`{"name":"c1","providerSettings":{"providerName":"GCP","instanceSizeName":"M10","regionName":"CENTRAL_US"}}`:                                                      {shards: 1, nodes: 3},
		`{"name":"c1","numShards":2,"replicationFactor":5,"providerSettings":{"providerName":"AWS","instanceSizeName":"M30","regionName":"US_EAST_1"}}`:                   {shards: 2, nodes: 5},
		`{"name":"c1","providerSettings":{"providerName":"AWS","instanceSizeName":"M10"}}`:                                                                                {code: "MISSING_ONE_OF_ATTRIBUTES"},
		`{"name":"c1","providerSettings":{"providerName":"TENANT","backingProviderName":"AWS","instanceSizeName":"M2","regionName":"US_EAST_1"}}`:                         {code: "CANNOT_USE_FLEX_CLUSTER_IN_CLUSTER_API"},
		`{"name":"c1","backupEnabled":true,"providerSettings":{"providerName":"AWS","instanceSizeName":"M10","regionName":"US_EAST_1"}}`:                                  {code: "INVALID_CLUSTER_CONFIGURATION"},
		`{"name":"c1","backupEnabled":true,"encryptionAtRestProvider":"AWS","providerSettings":{"providerName":"AWS","instanceSizeName":"M10","regionName":"US_EAST_1"}}`: {code: "CANNOT_USE_ENCRYPTION_AT_REST_BACKUP_TYPE"},
		`{"name":"c1","providerSettings":{"providerName":"AWS","instanceSizeName":"M10","regionName":"US_EAST_1"},"numShards":"2"}`:                                       {code: "INVALID_JSON_ATTRIBUTE"},
		`{`: {code: "MALFORMED_JSON"},
	} {
		w := newWorld(t)
		_, answer := w.v1(http.MethodPost, "/clusters", body)
		if code, _ := answer["errorCode"].(string); code != want.code {
			t.Errorf("%s answers %v", body, answer)
		}
		if want.code != "" {
			continue
		}
		s := w.load("c1").Spec
		if len(s.Shards) != want.shards || s.Shards[0].Regions[0].Electable.NodeCount != want.nodes {
			t.Errorf("%s makes %+v", body, s)
		}
	}
}

func TestWhatLegacyCannotShow(t *testing.T) {
	w := newWorld(t)
	w.must(http.MethodPost, "/clusters", `{"name":"c1","clusterType":"REPLICASET","replicationSpecs":[{"regionConfigs":[`+
		`{"providerName":"AWS","regionName":"US_EAST_1","priority":7,"electableSpecs":{"instanceSize":"M10","nodeCount":2}},`+
		`{"providerName":"GCP","regionName":"CENTRAL_US","priority":6,"electableSpecs":{"instanceSize":"M10","nodeCount":1}}]}]}`)
	for _, method := range []string{http.MethodGet, http.MethodPatch} {
		status, answer := w.v1(method, "/clusters/c1", `{}`)
		if status != http.StatusBadRequest || answer["errorCode"] != "MULTI_CLOUD_CLUSTER_INVALID" {
			t.Errorf("%s answers %d %v", method, status, answer)
		}
	}
}

func TestLegacyContainersAreTheSame(t *testing.T) {
	w := newWorld(t)
	w.v1(http.MethodPost, "/clusters", terraformLegacy)
	status, old := w.v1(http.MethodGet, "/containers?providerName=AWS", "")
	recent := w.must(http.MethodGet, "/containers?providerName=AWS", "")
	if diff := cmp.Diff(recent["results"], old["results"]); diff != "" || status != http.StatusOK || recent["totalCount"] != 1.0 {
		t.Errorf("%d %s", status, diff)
	}
}
