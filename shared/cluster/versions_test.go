package cluster_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"latchkey/shared/atlas"
	"latchkey/shared/cluster"
)

// intent is a cluster that both forms of request can ask for.
type intent struct {
	kind  string
	disk  float64 // 0 leaves it to the service
	zones []zoneIntent
}

type zoneIntent struct {
	name    string
	shards  int
	regions []map[string]any
}

func intents() *rapid.Generator[intent] {
	return rapid.Custom(func(rt *rapid.T) intent {
		in := intent{
			kind: rapid.SampledFrom([]string{"REPLICASET", "SHARDED", "GEOSHARDED"}).Draw(rt, "type"),
			disk: rapid.SampledFrom([]float64{0, 5, 30, 40.5, 2000}).Draw(rt, "disk"),
		}
		zones, most := 1, 4
		switch in.kind {
		case "GEOSHARDED":
			zones = rapid.IntRange(1, 3).Draw(rt, "zones")
		case "REPLICASET":
			most = 1
		}
		for i := range zones {
			z := zoneIntent{name: fmt.Sprintf("Zone %d", i+1), shards: rapid.IntRange(1, most).Draw(rt, "shards"), regions: drawRegions(rt)}
			in.zones = append(in.zones, z)
		}
		return in
	})
}

func drawRegions(rt *rapid.T) []map[string]any {
	places := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"AWS US_EAST_1", "AWS EU_WEST_1", "AZURE US_EAST_2", "GCP CENTRAL_US"}), 1, 3,
		func(s string) string { return s }).Draw(rt, "places")
	var regions []map[string]any
	for i, place := range places {
		provider, name, _ := strings.Cut(place, " ")
		counts := []int{3, 2, 2}
		r := map[string]any{
			"providerName": provider, "regionName": name, "priority": 7 - i,
			"electableSpecs": map[string]any{"instanceSize": rapid.SampledFrom([]string{"M10", "M30", "R50"}).Draw(rt, "size"), "nodeCount": counts[i]},
		}
		if rapid.Bool().Draw(rt, "analytics") {
			r["analyticsSpecs"] = map[string]any{"instanceSize": "M20", "nodeCount": rapid.IntRange(0, 2).Draw(rt, "nodes")}
		}
		regions = append(regions, r)
	}
	return regions
}

// old is the intent as 2023-02-01 says it, recent as the newer versions do.
func (in intent) old(name string) string {
	doc := map[string]any{"name": name, "clusterType": in.kind}
	if in.disk > 0 {
		doc["diskSizeGB"] = in.disk
	}
	var specs []any
	for _, z := range in.zones {
		specs = append(specs, map[string]any{"zoneName": z.name, "numShards": z.shards, "regionConfigs": z.regions})
	}
	doc["replicationSpecs"] = specs
	return document(doc)
}

func (in intent) recent(name string) string {
	var specs []any
	for _, z := range in.zones {
		for range z.shards {
			specs = append(specs, map[string]any{"zoneName": z.name, "regionConfigs": in.sized(z.regions)})
		}
	}
	return document(map[string]any{"name": name, "clusterType": in.kind, "replicationSpecs": specs})
}

// sized writes the disk's size into each kind of hardware.
func (in intent) sized(regions []map[string]any) []map[string]any {
	var sized []map[string]any
	for _, r := range regions {
		with := map[string]any{}
		for name, value := range r {
			if hardware, ok := value.(map[string]any); ok && in.disk > 0 {
				value = map[string]any{"instanceSize": hardware["instanceSize"], "nodeCount": hardware["nodeCount"], "diskSizeGB": in.disk}
			}
			with[name] = value
		}
		sized = append(sized, with)
	}
	return sized
}

func document(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// shown is a cluster as a version shows it, without what differs between any two clusters.
func (w *world) shown(name, version string) map[string]any {
	w.t.Helper()
	w.version = version
	view := w.must(http.MethodGet, "/clusters/"+name, "")
	for _, member := range []string{"id", "name", "createDate", "links", "connectionStrings"} {
		delete(view, member)
	}
	for _, list := range []string{"replicationSpecs", "effectiveReplicationSpecs"} {
		specs, _ := view[list].([]any)
		for _, s := range specs {
			if spec, ok := s.(map[string]any); ok {
				delete(spec, "id")
				delete(spec, "zoneId")
			}
		}
	}
	return view
}

// draft is the cluster that a request of a version asks for, with ids in order of their making.
func draft(rt *rapid.T, text string, meant func(atlas.ClusterRequest) atlas.ClusterRequest) cluster.Cluster {
	var r atlas.ClusterRequest
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		rt.Fatal(err)
	}
	n := 0
	mint := func() string { n++; return fmt.Sprintf("%024x", n) }
	c, err := cluster.Draft(cluster.Owner{GroupID: "g", OrgID: "o"}, meant(r), time.Unix(1_800_000_000, 0), mint)
	if err != nil {
		rt.Fatalf("%s: %v", text, err)
	}
	return c
}

func TestBothFormsOfARequestMeanTheSameCluster(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		in := intents().Draw(rt, "cluster")
		old := draft(rt, in.old("c1"), atlas.ClusterRequest.Of20230201)
		recent := draft(rt, in.recent("c1"), atlas.ClusterRequest.Of20240805)
		if diff := cmp.Diff(old.Spec, recent.Spec); diff != "" {
			rt.Fatalf("(-2023-02-01 +2024-08-05)\n%s", diff)
		}
	})
}

// examples is how many clusters the tests over HTTP look at: each costs many writes to disk.
const examples = 12

func TestAClusterLooksTheSameWhicheverVersionMadeIt(t *testing.T) {
	w := newWorld(t)
	for n := range examples {
		in := intents().Example(n)
		a, b := fmt.Sprintf("a%d", n), fmt.Sprintf("b%d", n)
		w.version = "2023-02-01"
		w.must(http.MethodPost, "/clusters", in.old(a))
		w.version = []string{"2024-08-05", "2024-10-23", "2026-01-01"}[n%3]
		w.must(http.MethodPost, "/clusters", in.recent(b))
		for _, version := range []string{"2023-02-01", "2024-08-05"} {
			if diff := cmp.Diff(w.shown(a, version), w.shown(b, version)); diff != "" {
				t.Fatalf("at %s (-made by 2023-02-01 +made by a newer version)\n%s", version, diff)
			}
		}
		w.checkForms(a, in)
	}
}

// checkForms holds the two forms of one cluster against each other.
func (w *world) checkForms(name string, in intent) {
	w.t.Helper()
	w.version = "2023-02-01"
	old, _ := w.must(http.MethodGet, "/clusters/"+name, "")["replicationSpecs"].([]any)
	w.version = "2024-08-05"
	recent, _ := w.must(http.MethodGet, "/clusters/"+name, "")["replicationSpecs"].([]any)
	shards := 0
	ids := map[any]bool{}
	for i, s := range old {
		zone, _ := s.(map[string]any)
		if zone["numShards"] != float64(in.zones[i].shards) || zone["zoneName"] != in.zones[i].name {
			w.t.Fatalf("zone %d is %v, want %+v", i, zone, in.zones[i])
		}
		ids[zone["id"]] = true
		shards += in.zones[i].shards
	}
	for _, s := range recent {
		shard, _ := s.(map[string]any)
		ids[shard["id"]] = true
	}
	if len(old) != len(in.zones) || len(recent) != shards || len(ids) != len(in.zones)+shards {
		w.t.Fatalf("%d zones and %d shards with %d different ids, want %d and %d", len(old), len(recent), len(ids), len(in.zones), shards)
	}
}

func TestADocumentReadByAnyVersionIsANoOpInIt(t *testing.T) {
	w := newWorld(t)
	for n := range examples {
		name := fmt.Sprintf("c%d", n)
		w.version = "2024-10-23"
		w.must(http.MethodPost, "/clusters", intents().Example(100+n).recent(name))
		before := w.load(name)
		for _, version := range []string{"2023-02-01", "2024-08-05", "2024-10-23"} {
			w.version = version
			whole := w.must(http.MethodGet, "/clusters/"+name, "")
			w.must(http.MethodPatch, "/clusters/"+name, document(whole))
			if after := w.load(name); after.Version() != before.Version() {
				t.Fatalf("sending back what %s shows changes the cluster\n%s", version, cmp.Diff(before.Spec, after.Spec))
			}
		}
	}
}

func TestShardsKeepTheirIdsHoweverTheyAreListed(t *testing.T) {
	w := newWorld(t)
	w.version = "2024-10-23"
	w.must(http.MethodPost, "/clusters", `{"name":"c1","clusterType":"SHARDED","replicationSpecs":[`+spec(3)+`,`+spec(3)+`,`+spec(3)+`]}`)
	w.work("c1")
	ids := func() (ids []string) {
		for _, s := range w.load("c1").Spec.Shards {
			ids = append(ids, s.ID)
		}
		return ids
	}
	first := ids()
	with := func(id string) string { return strings.Replace(spec(3), "{", `{"id":"`+id+`",`, 1) }
	steps := []struct {
		name, version, body string
		want                []string // "" is a new one
	}{
		{"without ids, order decides", "2024-10-23", `{"replicationSpecs":[` + spec(3) + `,` + spec(3) + `,` + spec(3) + `,` + spec(3) + `]}`, append(slices.Clone(first), "")},
		{"an id that is left out is a shard that goes", "2024-10-23", `{"replicationSpecs":[` + with(first[2]) + `,` + with(first[0]) + `]}`, []string{first[2], first[0]}},
		{"an older version adds one", "2023-02-01", `{"replicationSpecs":[{"numShards":3,` + spec(3)[1:] + `]}`, []string{first[2], first[0], ""}},
		{"an older version takes two away", "2023-02-01", `{"replicationSpecs":[{"numShards":1,` + spec(3)[1:] + `]}`, []string{first[2]}},
	}
	for _, step := range steps {
		w.version = step.version
		w.must(http.MethodPatch, "/clusters/c1", step.body)
		w.work("c1")
		got := ids()
		for i, want := range step.want {
			if i < len(got) && want == "" && !slices.Contains(first, got[i]) {
				step.want[i] = got[i]
			}
		}
		if diff := cmp.Diff(step.want, got); diff != "" {
			t.Errorf("%s: %s", step.name, diff)
		}
	}
}

func TestAZoneKeepsItsIdsWhenItIsRenamed(t *testing.T) {
	w := newWorld(t)
	before := w.create("c1", "").Spec
	w.must(http.MethodPatch, "/clusters/c1", `{"replicationSpecs":[`+strings.Replace(spec(3), "{", `{"zoneName":"ZoneName managed by Terraform",`, 1)+`]}`)
	after := w.load("c1").Spec
	before.Zones = []cluster.Zone{before.Zones[0]}
	before.Zones[0].Name, before.Revision = "ZoneName managed by Terraform", after.Revision
	if diff := cmp.Diff(before, after); diff != "" {
		t.Error(diff)
	}
}

func TestOnlyNewerVersionsShowShardsThatDiffer(t *testing.T) {
	w := newWorld(t)
	w.must(http.MethodPost, "/clusters", `{"name":"c1","clusterType":"SHARDED","replicationSpecs":[`+spec(3)+`,`+spec(5)+`]}`)
	if answer := w.must(http.MethodGet, "/clusters/c1/autoScalingConfiguration", ""); answer["autoScalingMode"] != "INDEPENDENT_SHARD_SCALING" {
		t.Errorf("mode %v", answer)
	}
	w.version = "2023-02-01"
	w.fail(http.MethodGet, "/clusters/c1", "", 400, "ASYMMETRIC_SHARD_UNSUPPORTED")
	w.fail(http.MethodGet, "/clusters", "", 400, "ASYMMETRIC_SHARD_UNSUPPORTED")
}

func TestOldVersionsSayThatTheyAreDeprecated(t *testing.T) {
	w := newWorld(t)
	w.create("c1", "")
	for _, c := range []struct{ method, path, version, served, sunset string }{
		{http.MethodGet, "/clusters/c1", "2023-01-01", "2023-01-01", "Thu, 1 Jul 2027 00:00:00 GMT"},
		{http.MethodGet, "/clusters/c1", "2023-02-01", "2023-02-01", "Thu, 1 Jul 2027 00:00:00 GMT"},
		{http.MethodGet, "/clusters/c1", "2024-10-23", "2024-08-05", ""},
		{http.MethodPatch, "/clusters/c1", "2024-08-05", "2024-08-05", "Mon, 1 Mar 2027 00:00:00 GMT"},
		{http.MethodPatch, "/clusters/c1", "2025-01-01", "2024-10-23", ""},
		{http.MethodGet, "/clusters/c1/processArgs", "2023-02-01", "2023-01-01", "Thu, 1 Jul 2027 00:00:00 GMT"},
		{http.MethodDelete, "/clusters/c1", "2023-02-01", "2023-02-01", ""},
	} {
		w.version = c.version
		w.must(c.method, c.path, "{}")
		served := w.header.Get("Content-Type")
		if !strings.Contains(served, c.served) || w.header.Get("Sunset") != c.sunset || (c.sunset != "") != (w.header.Get("Deprecation") != "") {
			t.Errorf("%s %s at %s is served as %s, sunset %q", c.method, c.path, c.version, served, w.header.Get("Sunset"))
		}
	}
	w.version = "2022-12-31"
	w.fail(http.MethodGet, "/clusters/c1", "", 406, "INVALID_VERSION_DATE")
}
