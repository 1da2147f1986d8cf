package cluster_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/cluster"
	"latchkey/shared/cluster/clusterapi"
	"latchkey/shared/httpapi"
	"latchkey/shared/identity"
	"latchkey/shared/identity/identitytest"
	"latchkey/shared/project"
	"latchkey/shared/project/projectapi"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
	"latchkey/shared/workflow"
)

// tenantKeys are a group's keys by provider; absent ones are not enabled.
type tenantKeys struct {
	valid map[atlas.Provider]bool
	// before runs ahead of every answer, for what happens at the same time.
	before func()
}

func (k *tenantKeys) KeyState(_ context.Context, _ string, p atlas.Provider) (enabled, valid bool, err error) {
	if k.before != nil {
		k.before()
	}
	valid, enabled = k.valid[p]
	return enabled, valid, nil
}

// recorder is a Starter that remembers what it was told to start, and can fail.
type recorder struct {
	table store.Table

	mu    sync.Mutex
	plans []cluster.PlanKind // each once
	known map[string]bool    // executions by their names
	fails error
	ended bool // all that were started
}

func (r *recorder) Start(ctx context.Context, x workflow.Execution) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	name, err := x.Name()
	if err = cmp.Or(r.fails, err); err != nil || r.known[name] {
		return err
	}
	r.known[name] = true
	d, err := (&cluster.Service{Table: r.table}).Load(ctx, x.Subject)
	if err == nil {
		r.plans = append(r.plans, d.Plan.Kind)
	}
	return err
}

// Ensure tells that an execution that was started has ended, if the test says so.
func (r *recorder) Ensure(ctx context.Context, x workflow.Execution) (bool, error) {
	name, err := x.Name()
	r.mu.Lock()
	ended := r.ended && r.known[name]
	r.mu.Unlock()
	if ended || err != nil {
		return ended, err
	}
	return false, r.Start(ctx, x)
}

// names lists the plans that were started, each attempt once.
func (r *recorder) names() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var names []string
	for _, kind := range r.plans {
		names = append(names, string(kind))
	}
	return names
}

type world struct {
	t        *testing.T
	table    store.Table
	clock    *identitytest.Clock
	keys     *tenantKeys
	starter  *recorder
	service  *cluster.Service
	projects *project.Service
	api      *httpapi.API
	org      string
	group    string
	caller   identity.Caller
	version  string // that requests ask for
	header   http.Header
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{
		t: t, table: identitytest.Table(t), clock: identitytest.NewClock(), version: "2024-11-13",
		keys: &tenantKeys{valid: map[atlas.Provider]bool{atlas.AWS: true, atlas.GCP: true}},
	}
	w.starter = &recorder{table: w.table, known: map[string]bool{}}
	log := slog.New(slog.DiscardHandler)
	journal := audit.Journal{Table: w.table, Now: w.clock.Now}
	held := identitytest.Identities{Roles: map[string][]identity.Role{}}
	w.projects = &project.Service{Table: w.table, Journal: journal, Identities: held, Now: w.clock.Now}
	founded, err := w.projects.Found(t.Context(), project.Founding{Name: "Acme", OwnerEmail: "owner@acme.example"})
	if err != nil {
		t.Fatal(err)
	}
	w.org = founded.Org.ID
	g, err := w.projects.Create(t.Context(), w.as(identity.GroupOwner), project.Draft{OrgID: w.org, Name: "Databases"})
	if err != nil {
		t.Fatal(err)
	}
	w.group = g.ID
	held.Roles[g.ID] = []identity.Role{identity.GroupOwner}
	w.caller = w.as(identity.GroupOwner)
	gate := identity.Gate{Groups: w.projects, Denials: journal}
	w.service = &cluster.Service{
		Table: w.table, Journal: journal, Projects: w.projects, Keys: w.keys, Gate: gate, Starter: w.starter,
		Now: w.clock.Now, Log: log, Domain: "example.net",
	}
	w.api = httpapi.New(httpapi.Config{Gate: gate, Now: w.clock.Now, Log: log},
		clusterapi.API{Clusters: w.service, Projects: w.projects}.Routes(),
		projectapi.API{Projects: w.projects, Addresses: clusterapi.Addresses{Clusters: w.service}}.Routes())
	return w
}

// as is a caller with a role in the group.
func (w *world) as(role identity.Role) identity.Caller {
	return identity.Caller{
		Kind: identity.KindAPIKey, ID: "650000000000000000000060", Name: "abcdefgh", OrgID: w.org,
		GroupRoles: map[string][]identity.Role{w.group: {role}},
	}
}

// call performs a request on a path below the group and returns status, body and error code.
func (w *world) call(method, path, body string) (status int, answer map[string]any, code string) {
	w.t.Helper()
	return w.callURL(method, "/api/atlas/v2/groups/"+w.group+path, body)
}

func (w *world) callURL(method, url, body string) (status int, answer map[string]any, code string) {
	w.t.Helper()
	raw, status := w.raw(method, url, body)
	answer = map[string]any{}
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &answer); err != nil {
			w.t.Fatalf("%s %s answers %q", method, url, raw)
		}
	}
	code, _ = answer["errorCode"].(string)
	return status, answer, code
}

func (w *world) raw(method, url, body string) (answer []byte, status int) {
	w.t.Helper()
	r := httptest.NewRequestWithContext(w.t.Context(), method, url, strings.NewReader(body))
	r.Header.Set("Accept", "application/vnd.atlas."+w.version+"+json")
	ctx := httpapi.WithBase(httpapi.WithCaller(r.Context(), w.caller), "https://cloud.example")
	rec := httptest.NewRecorder()
	w.api.ServeHTTP(rec, r.WithContext(ctx))
	w.header = rec.Header()
	return rec.Body.Bytes(), rec.Code
}

// must is a call that has to succeed.
func (w *world) must(method, path, body string) map[string]any {
	w.t.Helper()
	status, answer, _ := w.call(method, path, body)
	if status >= http.StatusBadRequest {
		w.t.Fatalf("%s %s %s answers %d %v", method, path, body, status, answer)
	}
	return answer
}

// fail is a call that has to fail with a code.
func (w *world) fail(method, path, body string, status int, code string) map[string]any {
	w.t.Helper()
	gotStatus, answer, gotCode := w.call(method, path, body)
	if gotStatus != status || gotCode != code {
		w.t.Errorf("%s %s %s answers %d %v, want %d %s", method, path, body, gotStatus, answer, status, code)
	}
	return answer
}

// body is a request for a replica set of three nodes in AWS, with more members ahead.
func body(name, more string) string {
	return `{"name":"` + name + `",` + more + `"clusterType":"REPLICASET","replicationSpecs":[` + spec(3) + `]}`
}

func spec(electable int) string {
	n, err := json.Marshal(electable)
	if err != nil {
		panic(err)
	}
	return `{"regionConfigs":[{"providerName":"AWS","regionName":"US_EAST_1","priority":7,"electableSpecs":{"instanceSize":"M10","nodeCount":` + string(n) + `}}]}`
}

// create makes a cluster and has its nodes run.
func (w *world) create(name, more string) cluster.Deployment {
	w.t.Helper()
	w.must(http.MethodPost, "/clusters", body(name, more))
	w.work(name)
	return w.load(name)
}

func (w *world) load(name string) cluster.Deployment {
	w.t.Helper()
	d, err := w.service.Get(w.t.Context(), w.group, name)
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}

// state is what GET says of a cluster; "" when it is not found.
func (w *world) state(name string) string {
	w.t.Helper()
	_, answer, _ := w.call(http.MethodGet, "/clusters/"+name, "")
	state, _ := answer["stateName"].(string)
	return state
}

// obey has the nodes of a cluster do what they are told.
func (w *world) obey(d cluster.Deployment) {
	w.t.Helper()
	for _, n := range d.Nodes {
		w.enrol(n)
		report := cluster.Reported{
			State: n.Desired.State, Provider: n.Desired.Provider, Acked: n.Desired.Number,
			Addresses: []string{"203.0.113." + string(rune('1'+n.Index))},
		}
		if n.Desired.Command != cluster.ResyncCommand && n.Reported.Provider != "" {
			report.Provider = n.Reported.Provider
		}
		if _, err := w.service.ReportNode(w.t.Context(), n.ClusterID, n.ID, report); err != nil {
			w.t.Fatal(err)
		}
	}
}

// enrol gives a node a key, so that it may have data.
func (w *world) enrol(n cluster.Node) {
	w.t.Helper()
	if n.PublicKey != nil {
		return
	}
	n.PublicKey = []byte("key")
	op, err := n.Put()
	if err == nil {
		err = w.table.Write(w.t.Context(), op)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// work carries out a cluster's plans until none is left, as a workflow would.
func (w *world) work(name string) {
	w.t.Helper()
	for range 50 {
		d, err := w.service.Get(w.t.Context(), w.group, name)
		if atlas.CodeOf(err) == atlas.ClusterNotFound {
			return
		}
		if err != nil {
			w.t.Fatal(err)
		}
		if d.Plan == nil {
			return
		}
		w.obey(d)
		w.step(d)
	}
	w.t.Fatalf("the plans of %s never end", name)
}

func (w *world) step(d cluster.Deployment) {
	w.t.Helper()
	if d.Deleting() {
		if _, err := w.service.FinishDelete(w.t.Context(), d.ID); err != nil {
			w.t.Fatal(err)
		}
		return
	}
	if err := w.service.Settle(w.t.Context(), d.ID); err != nil {
		w.t.Fatal(err)
	}
	d, err := w.service.Load(w.t.Context(), d.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	if n, ok := d.NextResync(); ok {
		order := cluster.Order{ID: d.Plan.Name() + n.ID, Command: cluster.ResyncCommand, Provider: d.Plan.Spec.Provider, KeyID: "k2"}
		if _, err := w.service.SetDesired(w.t.Context(), d.ID, n.ID, order); err != nil {
			w.t.Fatal(err)
		}
		return
	}
	if _, err := w.service.MarkReady(w.t.Context(), d.ID, d.Plan.Spec.Revision); err != nil {
		w.t.Fatal(err)
	}
}

// events lists the types of the group's events on clusters, oldest first.
func (w *world) events() []string {
	w.t.Helper()
	events, _, err := w.service.Journal.List(w.t.Context(), keys.GroupScope(w.group), audit.Filter{}, 0, 100)
	if err != nil {
		w.t.Fatal(err)
	}
	var types []string
	for _, e := range slices.Backward(events) {
		if strings.HasPrefix(string(e.Type), "CLUSTER_") || e.Type == audit.AccessDenied {
			types = append(types, string(e.Type))
		}
	}
	return types
}

// used lists the clusters that a provider's key encrypts.
func (w *world) used(p atlas.Provider) []string {
	w.t.Helper()
	names, _, err := cluster.UsedBy(w.t.Context(), w.table, w.group, p)
	if err != nil {
		w.t.Fatal(err)
	}
	return names
}

// disableProvider is what a request that disables a provider does: it looks for clusters that
// rely on the key, and then disables it on the condition that none begins to meanwhile.
func (w *world) disableProvider(p atlas.Provider) error {
	names, unchanged, err := cluster.UsedBy(w.t.Context(), w.table, w.group, p)
	if err != nil {
		return err
	}
	if len(names) > 0 {
		return errors.New("in use")
	}
	delete(w.keys.valid, p)
	return w.table.Write(w.t.Context(), unchanged)
}
