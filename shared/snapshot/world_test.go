package snapshot_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/cluster"
	"latchkey/shared/httpapi"
	"latchkey/shared/identity"
	"latchkey/shared/identity/identitytest"
	"latchkey/shared/kms"
	"latchkey/shared/kms/kmstest"
	"latchkey/shared/ledger"
	"latchkey/shared/node"
	"latchkey/shared/node/nodeapi"
	"latchkey/shared/project"
	"latchkey/shared/snapshot"
	"latchkey/shared/snapshot/snapshotapi"
	"latchkey/shared/workflow"
)

// tenant is the keys of groups at AWS. The last one wraps.
type tenant struct {
	mu    sync.Mutex
	names []string
	keys  map[string]*kmstest.Memory
}

// rotate makes the tenant use a new key.
func (k *tenant) rotate() {
	k.mu.Lock()
	defer k.mu.Unlock()
	name := fmt.Sprintf("arn:aws:kms:us-east-1:123456789012:key/0d3b1a52-0000-4000-8000-%012d", len(k.names))
	k.names = append(k.names, name)
	k.keys[name] = kmstest.NewMemory()
}

// key is the n-th key that the tenant used.
func (k *tenant) key(n int) *kmstest.Memory {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.keys[k.names[n]]
}

func (k *tenant) KeyFor(_ context.Context, _ string, p atlas.Provider, _ bool) (*kms.Key, ledger.CMK, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	name := k.names[len(k.names)-1]
	return k.keys[name].Key(name), ledger.CMK{Provider: p, Name: name}, nil
}

func (k *tenant) KeyOf(_ context.Context, groupID string, cmk ledger.CMK, _ bool) (*kms.Key, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.keys[cmk.Name] == nil {
		return nil, atlas.Fail(atlas.EARNotEnabled, groupID)
	}
	return k.keys[cmk.Name].Key(cmk.Name), nil
}

func (*tenant) KeyState(context.Context, string, atlas.Provider) (enabled, valid bool, err error) {
	return true, true, nil
}

// idleStarter leaves plans to the world's clock.
type idleStarter struct{}

func (idleStarter) Start(context.Context, workflow.Execution) error { return nil }

// world is the control plane over a real table with real agents, in a bubble.
type world struct {
	t        *testing.T
	table    *identitytest.FlakyTable
	tenant   *tenant
	clusters *cluster.Service
	nodes    *node.Service
	service  *snapshot.Service
	agents   *httpapi.API // what agents ask
	api      *httpapi.API // what clients ask
	caller   identity.Caller
	org      string
	group    string // the caller's, with the clusters
	other    string // another one of the same organisation
	dir      string // of the snapshots
	badger   string // the directory of engines with files, "" for engines in memory
	log      bytes.Buffer
	fleet    map[string]*process // by node

	mu sync.Mutex // for what agents see of the fleet: which there are, and their engines
}

// inBubble runs a test with a world of its own, whose time passes at once.
func inBubble(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		test(t, w)
		for _, p := range w.fleet {
			p.end()
		}
	})
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{
		t: t, table: &identitytest.FlakyTable{Table: identitytest.Table(t)}, tenant: &tenant{keys: map[string]*kmstest.Memory{}},
		dir: t.TempDir(), fleet: map[string]*process{},
	}
	w.tenant.rotate()
	log := slog.New(slog.NewTextHandler(&w.log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	journal := audit.Journal{Table: w.table, Now: time.Now}
	held := identitytest.Identities{Roles: map[string][]identity.Role{}}
	projects := &project.Service{Table: w.table, Journal: journal, Identities: held, Now: time.Now}
	founded, err := projects.Found(t.Context(), project.Founding{Name: "Acme", OwnerEmail: "owner@acme.example"})
	if err != nil {
		t.Fatal(err)
	}
	w.org = founded.Org.ID
	w.caller = identity.Caller{Kind: identity.KindAPIKey, ID: "650000000000000000000060", Name: "abcdefgh", OrgID: w.org, OrgRoles: []identity.Role{identity.OrgOwner}, GroupRoles: held.Roles}
	for _, group := range []*string{&w.group, &w.other} {
		g, err := projects.Create(t.Context(), w.caller, project.Draft{OrgID: w.org, Name: fmt.Sprintf("Databases %d", len(held.Roles))})
		if err != nil {
			t.Fatal(err)
		}
		*group = g.ID
		held.Roles[g.ID] = []identity.Role{identity.GroupOwner}
	}
	gate := identity.Gate{Groups: projects, Denials: journal}
	w.clusters = &cluster.Service{
		Table: w.table, Journal: journal, Projects: projects, Keys: w.tenant, Gate: gate, Starter: idleStarter{}, Now: time.Now, Log: log, Domain: "example.net",
	}
	w.nodes = &node.Service{
		Table: w.table, Nodes: w.clusters, Keys: w.tenant, Now: time.Now, Log: log,
		Recipients: &node.Recipients{Table: w.table, Sealer: identitytest.NewSealer(t), Now: time.Now},
	}
	w.service = &snapshot.Service{Table: w.table, Journal: journal, Clusters: w.clusters, Gate: gate, Keys: w.tenant, Now: time.Now, Log: log}
	w.agents = httpapi.New(httpapi.Config{Gate: identity.Gate{}, Now: time.Now, Log: log}, nodeapi.API{Nodes: w.nodes}.Routes())
	w.api = httpapi.New(httpapi.Config{Gate: gate, Now: time.Now, Log: log}, snapshotapi.API{Snapshots: w.service}.Routes(), snapshotapi.API{Snapshots: w.service}.KeyRoutes())
	return w
}

// must ends the test on an error.
func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) names(group string) []string {
	names, err := w.clusters.Names(w.t.Context(), group)
	if err != nil {
		w.t.Fatal(err)
	}
	return names
}

func (w *world) load(group, name string) cluster.Deployment {
	d, err := w.clusters.Get(w.t.Context(), group, name)
	if atlas.CodeOf(err) == atlas.ClusterNotFound {
		return cluster.Deployment{}
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}

// create makes a cluster of some shards and waits until it runs.
func (w *world) create(group, name, provider string, shards int) cluster.Deployment {
	w.t.Helper()
	kind := map[bool]string{true: "REPLICASET", false: "SHARDED"}[shards == 1]
	spec := `{"regionConfigs":[{"providerName":"AWS","regionName":"US_EAST_1","priority":7,"electableSpecs":{"instanceSize":"M30","nodeCount":3}}]}`
	body := fmt.Sprintf(`{"name":%q,"clusterType":%q,"backupEnabled":true,"encryptionAtRestProvider":%q,"replicationSpecs":[%s]}`, name, kind, provider,
		spec+string(bytes.Repeat([]byte(","+spec), shards-1)))
	var r atlas.ClusterRequest
	if err := json.Unmarshal([]byte(body), &r); err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.clusters.Create(w.t.Context(), w.caller, group, r.Of20240805()); err != nil {
		w.t.Fatal(err)
	}
	w.until("cluster "+name, func() bool { return w.load(group, name).State() == cluster.Idle })
	return w.load(group, name)
}

// tick is what schedules and workflows do in a while: agents are started for new nodes, plans go
// on, backups advance.
func (w *world) tick() {
	w.t.Helper()
	for _, group := range []string{w.group, w.other} {
		for _, name := range w.names(group) {
			w.work(w.load(group, name))
		}
	}
	if _, err := w.service.Run(w.t.Context()); err != nil {
		w.t.Logf("Run = %v", err)
	}
}

// until lets time pass until something is so.
func (w *world) until(what string, is func() bool) {
	w.t.Helper()
	for range 600 {
		if synctest.Wait(); is() {
			return
		}
		w.tick()
		time.Sleep(10 * time.Second)
	}
	w.t.Fatalf("never: %s\n%s", what, w.log.String())
}

// pass lets time pass, with the schedules running.
func (w *world) pass(d time.Duration) {
	w.t.Helper()
	step := time.Minute
	if d > 2*time.Hour {
		step = 15 * time.Minute
	}
	for end := time.Now().Add(d); time.Now().Before(end); {
		time.Sleep(min(step, time.Until(end)))
		synctest.Wait()
		w.tick()
	}
	synctest.Wait()
}

// skip lets time pass while nothing runs, and then everything for half an hour.
func (w *world) skip(d time.Duration) {
	w.t.Helper()
	for _, p := range w.fleet {
		p.end()
	}
	time.Sleep(d)
	for _, p := range w.fleet {
		p.start()
	}
	w.pass(30 * time.Minute)
}

// take requests a snapshot and waits until it is over.
func (w *world) take(group, name string) snapshot.Snapshot {
	w.t.Helper()
	x := w.request(group, name)
	w.until("snapshot", func() bool {
		x = w.snapshot(group, name, x.ID)
		return x.Status == snapshot.Completed || x.Status == snapshot.Failed
	})
	return x
}

func (w *world) request(group, name string) snapshot.Snapshot {
	w.t.Helper()
	x, err := w.service.Take(w.t.Context(), w.caller, group, name, snapshot.Request{Description: "a test", RetentionDays: 1})
	if err != nil {
		w.t.Fatal(err)
	}
	return x
}

func (w *world) snapshot(group, name, id string) snapshot.Snapshot {
	w.t.Helper()
	x, err := w.service.Get(w.t.Context(), group, name, id)
	if err != nil {
		w.t.Fatal(err)
	}
	return x
}

// restore begins a restore.
func (w *world) restore(group, name, snapshotID, toGroup, to string) (snapshot.Job, error) {
	w.t.Helper()
	return w.service.Restore(w.t.Context(), w.caller, group, name, snapshot.RestoreRequest{
		Delivery: snapshot.Automated, SnapshotID: snapshotID, TargetGroupID: toGroup, TargetClusterName: to,
	})
}

// restoring begins a restore that is to be accepted.
func (w *world) restoring(x snapshot.Snapshot, toGroup, to string) snapshot.Job {
	w.t.Helper()
	j, err := w.restore(x.GroupID, x.ClusterName, x.ID, toGroup, to)
	w.must(err)
	return j
}

// restored waits until a restore is over.
func (w *world) restored(j snapshot.Job) snapshot.Job {
	w.t.Helper()
	w.until("restore", func() bool {
		var err error
		j, err = w.service.Job(w.t.Context(), j.GroupID, j.ClusterName, j.ID)
		w.must(err)
		return j.Over()
	})
	return j
}

// finished waits until a restore has succeeded and the nodes of its target are what is desired.
func (w *world) finished(j snapshot.Job) {
	w.t.Helper()
	if j = w.restored(j); j.State != snapshot.JobFinished {
		w.t.Fatalf("job %+v\n%s", j, w.log.String())
	}
	w.settled(j.Target.GroupID, j.Target.ClusterName)
}

// begun waits until nodes are told to restore.
func (w *world) begun(j snapshot.Job) {
	w.t.Helper()
	w.until("the restore begins", func() bool {
		now, err := w.service.Job(w.t.Context(), w.group, j.ClusterName, j.ID)
		return err == nil && now.State == snapshot.JobInProgress
	})
}

// needs lists the snapshots, by part, and how many node copies, that need the n-th customer key.
func (w *world) needs(group string, n int) (parts []string, copies int) {
	w.t.Helper()
	entries, err := ledger.NeededBy(w.t.Context(), w.table, group, atlas.AWS, w.tenant.names[n])
	if err != nil {
		w.t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, e := range entries {
		if e.SnapshotID == "" {
			copies++
		} else {
			seen[e.SnapshotID] = true
		}
	}
	return slices.Sorted(maps.Keys(seen)), copies
}
