package adminapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/shared/atlas"
	"latchkey/shared/cluster"
	"latchkey/shared/identity"
	"latchkey/shared/identity/directory"
	"latchkey/shared/identity/identitytest"
	"latchkey/shared/ledger"
	"latchkey/shared/project"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
	"latchkey/shared/suite/adminapi"
	"latchkey/shared/workflow"
)

// runs answer about executions by their kinds; what they do not know was never started.
type runs struct {
	known map[workflow.Kind]workflow.Run
	err   error
	asked atomic.Int64
}

func (r *runs) Read(_ context.Context, x workflow.Execution) (workflow.Run, error) {
	r.asked.Add(1)
	run, ok := r.known[x.Kind]
	if !ok && r.err == nil {
		return run, workflow.ErrNoExecution
	}
	return run, r.err
}

const own = "/api/latchkey/v1/groups/"

// encrypting is a group with a cluster A whose first plan is in progress, read by somebody who may only read.
func encrypting(t *testing.T, known *runs) (f *fleet, reader directory.APIKey) {
	t.Helper()
	f = newFleetOver(t, identitytest.Table(t), func(d *adminapi.Deps) { d.Runs = known })
	a := f.do(f.owner, http.MethodPost, v2+"/groups/"+f.group+"/clusters", `{"name":"A","clusterType":"REPLICASET","encryptionAtRestProvider":"AWS",
		"replicationSpecs":[{"regionConfigs":[{"providerName":"AWS","regionName":"US_EAST_1","priority":7,"electableSpecs":{"instanceSize":"M10","nodeCount":3}}]}]}`)
	if a.status != http.StatusCreated {
		t.Fatal(a.body)
	}
	return f, f.key(f.org.Org.ID, identity.OrgMember, map[string][]identity.Role{f.group: {identity.GroupReadOnly}})
}

// read decodes what a reader is answered.
func read[T any](t *testing.T, f *fleet, k directory.APIKey, path string) T {
	t.Helper()
	var v T
	a := f.do(k, http.MethodGet, own+f.group+path, "")
	if err := json.Unmarshal([]byte(a.body), &v); err != nil || a.status != http.StatusOK {
		t.Fatalf("%s: %d %s %v", path, a.status, a.body, err)
	}
	return v
}

type page struct{ Results []map[string]any }

func TestProgress_shows_a_cluster_and_what_wraps_its_keys(t *testing.T) {
	f, reader := encrypting(t, nil)
	one := read[page](t, f, reader, "/clusters").Results[0]
	plan, _ := one["plan"].(map[string]any)
	if one["stateName"] != "CREATING" || plan["kind"] != "create" || plan["nodes"] != 3.0 || plan["nodesDone"] != 0.0 || plan["fromProvider"] != nil ||
		plan["toProvider"] != "AWS" || plan["waitsFor"] != "NODES" || one["nodes"] != nil {
		t.Errorf("while it is created it is %v", one)
	}
	f.obey("A")
	d, err := f.service().Get(t.Context(), f.group, "A")
	f.must(err)
	const cmk = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
	for i, wrapped := range []string{"v1", "v2"} { // the newest copy counts
		op, err := ledger.Entry{
			GroupID: f.group, ClusterID: d.ID, NodeID: d.Nodes[0].ID, KeyID: "mk", Blob: []byte("blob"),
			CMK: ledger.CMK{Provider: atlas.AWS, Name: cmk, Version: wrapped}, Wrapped: f.clock.Now().Add(time.Duration(i) * time.Minute), Made: f.clock.Now(),
		}.Put()
		f.must(err)
		f.must(f.table.Write(t.Context(), op))
	}
	shown := read[map[string]any](t, f, reader, "/clusters/A")
	nodes, _ := shown["nodes"].([]any)
	if len(nodes) != 3 || shown["plan"] != nil || shown["stateName"] != "IDLE" {
		t.Fatalf("at rest it is %v", shown)
	}
	first, _ := nodes[0].(map[string]any)
	key, _ := first["masterKey"].(map[string]any)
	if key["key"] != cmk || key["version"] != "v2" || key["madeAt"] != atlas.Time(f.clock.Now()) || first["state"] != "RUNNING" || first["task"] != nil {
		t.Errorf("the first node is %v", first)
	}
	text, err := json.Marshal(shown)
	if err != nil || strings.Contains(string(text), "blob") || strings.Contains(string(text), "YmxvYg") {
		t.Errorf("a wrapped key is shown: %s, %v", text, err)
	}
	if a := f.do(reader, http.MethodGet, own+f.group+"/clusters/B", ""); a.code(t) != atlas.ClusterNotFound {
		t.Errorf("no cluster: %d %s", a.status, a.body)
	}
}

func TestProgress_shows_workflows_with_their_steps(t *testing.T) {
	at := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	known := &runs{known: map[workflow.Kind]workflow.Run{workflow.EncryptCluster: {
		Status: workflow.Running, Started: at, IsCut: true, Steps: []workflow.Step{{State: "Advance plan", Entered: at, Attempts: 2, Error: "UNEXPECTED_ERROR"}},
	}}}
	f, reader := encrypting(t, known)
	d, err := f.service().Get(t.Context(), f.group, "A")
	f.must(err)
	began := atlas.Time(d.Plan.Started)
	name := "encrypt-cluster-" + f.group + "-" + d.ID + "-"
	got := read[page](t, f, reader, "/workflows").Results
	if len(got) != 1 || !strings.HasPrefix(got[0]["execution"].(string), name) {
		t.Fatalf("the workflows are %v", got)
	}
	delete(got[0], "execution")
	want := map[string]any{
		"kind": "encrypt-cluster", "attempt": 1.0, "status": "RUNNING", "cloudProvider": nil, "clusterId": d.ID, "clusterName": "A", "endpointId": nil,
		"beganAt": began, "startedAt": "2026-05-01T12:00:00Z", "stoppedAt": nil, "waitsFor": "NODES", "error": nil, "olderStepsOmitted": true,
		"steps": []any{map[string]any{"state": "Advance plan", "enteredAt": "2026-05-01T12:00:00Z", "exitedAt": nil, "attempts": 2.0, "error": "UNEXPECTED_ERROR"}},
	}
	if diff := cmp.Diff(want, got[0]); diff != "" {
		t.Errorf("want (-) and answered (+):\n%s", diff)
	}

	known.known = nil
	if got := read[page](t, f, reader, "/workflows").Results; len(got) != 1 || got[0]["status"] != "NOT_STARTED" {
		t.Errorf("a start that was lost: %v", got)
	}
	known.err = errors.New("ThrottlingException: told nobody")
	if got := read[page](t, f, reader, "/workflows").Results; len(got) != 1 || got[0]["status"] != "UNKNOWN" {
		t.Errorf("when it can't be asked about: %v", got)
	}
	known.known, known.err = map[workflow.Kind]workflow.Run{workflow.EncryptCluster: {Status: workflow.Succeeded, Started: at, Stopped: at.Add(time.Hour)}}, nil
	f.obey("A")
	if got := read[page](t, f, reader, "/workflows").Results; len(got) != 1 || got[0]["status"] != "SUCCEEDED" || got[0]["waitsFor"] != nil {
		t.Errorf("once it has ended: %v", got)
	}
	f.clock.Advance(25 * time.Hour)
	if got := read[page](t, f, reader, "/workflows").Results; len(got) != 0 {
		t.Errorf("a day later: %v", got)
	}
}

func TestProgress_tells_a_stranger_nothing_and_asks_nobody_for_one(t *testing.T) {
	known := &runs{}
	f, _ := encrypting(t, known)
	other, err := f.projects.Found(t.Context(), project.Founding{Name: "Rival", OwnerEmail: "owner@rival.example"})
	f.must(err)
	stranger := f.key(other.Org.ID, identity.OrgOwner, map[string][]identity.Role{other.GroupID: {identity.GroupOwner}})
	for _, path := range []string{"/clusters", "/clusters/A", "/workflows", "/encryptionAtRest/keys"} {
		theirs, nobodys := f.do(stranger, http.MethodGet, own+f.group+path, ""), f.do(stranger, http.MethodGet, own+nobodysGroup+path, "")
		if theirs.status != http.StatusUnauthorized || theirs.body != strings.ReplaceAll(nobodys.body, nobodysGroup, f.group) {
			t.Errorf("%s: %d %s, and of no group %s", path, theirs.status, theirs.body, nobodys.body)
		}
	}
	if n := known.asked.Load(); n != 0 {
		t.Errorf("Step Functions was asked %d times", n)
	}
}

// placed is a cluster's record where the index finds it.
func placed(t *testing.T, c cluster.Cluster) store.Item {
	t.Helper()
	item, err := store.Encode(keys.Cluster(c.ID), 0, c)
	if err != nil {
		t.Fatal(err)
	}
	item.Index = keys.ClustersOf(c.OrgID, c.GroupID, c.Name)
	return item
}

const nobodysGroup = "650000000000000000000099"

// A page asks about no more executions than it shows, and shows no more than 20.
func TestProgress_bounds_what_a_page_of_workflows_asks(t *testing.T) {
	known := &runs{known: map[workflow.Kind]workflow.Run{workflow.EncryptCluster: {Status: workflow.Running}}}
	f, reader := encrypting(t, known)
	d, err := f.service().Get(t.Context(), f.group, "A")
	f.must(err)
	for range 30 {
		c := d.Cluster
		c.ID, c.Name = atlas.NewID(f.clock.Now()), "C"+atlas.NewID(f.clock.Now())
		plan := *c.Plan
		plan.ClusterID = c.ID
		c.Plan = &plan
		f.must(f.table.Write(t.Context(), store.Put(placed(t, c))))
	}
	if got := read[page](t, f, reader, "/workflows?itemsPerPage=500").Results; len(got) != 20 || known.asked.Load() != 20 {
		t.Errorf("%d are shown, %d were asked about", len(got), known.asked.Load())
	}
	if got := read[page](t, f, reader, "/workflows?pageNum=2").Results; len(got) != 11 {
		t.Errorf("the second page has %d", len(got))
	}
}
