package fleettasks_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"latchkey/local/states/journal"
	"latchkey/local/states/statestest"
	"latchkey/shared/access"
	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/cluster"
	"latchkey/shared/encryption"
	"latchkey/shared/enforcement"
	"latchkey/shared/identity"
	"latchkey/shared/identity/identitytest"
	"latchkey/shared/kms"
	"latchkey/shared/kms/kmstest"
	"latchkey/shared/project"
	"latchkey/shared/store"
	"latchkey/shared/store/bolt"
	"latchkey/shared/store/keys"
	"latchkey/shared/store/storetest"
	"latchkey/shared/suite"
	"latchkey/shared/suite/fleettasks"
	"latchkey/shared/suite/keytasks"
	"latchkey/shared/validity"
	"latchkey/shared/validity/sweep"
	"latchkey/shared/verdict"
	"latchkey/shared/workflow"
)

const (
	keyARN = "arn:aws:kms:us-east-1:111122223333:key/11111111-1111-4111-8111-111111111111"
	roleID = "650000000000000000000099"
)

// world is a deployment in a bubble of testing/synctest: the state machines' files in an engine
// behind the official client, the functions that they call, the schedules, a group with a key in
// memory, and nodes that behave.
type world struct {
	*statestest.Workflows

	t        *testing.T
	table    *storetest.Faulty // the functions'
	db       store.Table
	fleet    lambda.Handler
	checks   *sweep.Sweep
	clusters *cluster.Service // the API's
	settings *encryption.Service
	key      *kmstest.Memory
	nodes    *nodes
	group    string
	caller   identity.Caller
	log      *slog.Logger
	// watch is called after every step of time.
	watch func()
}

// inWorld runs fn in a new world, which ends with it.
func inWorld(t *testing.T, fn func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		db, err := bolt.Open(filepath.Join(t.TempDir(), "table.db"))
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close() //nolint:errcheck // the folder goes away
		w := &world{t: t, db: db, table: &storetest.Faulty{Table: db}, key: kmstest.NewMemory(), log: slog.New(slog.DiscardHandler)}
		ctx, cancel := context.WithCancel(t.Context())
		w.assemble(t)
		ended := make(chan error, 1)
		go func() { ended <- w.Engine.Run(ctx) }()
		w.found()
		fn(w)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func (w *world) assemble(t *testing.T) {
	t.Helper()
	keyTasks := keytasks.New(keytasks.Deps{Table: w.db, Sealer: identitytest.NewSealer(t), Now: time.Now, Log: w.log, Keys: w})
	w.fleet = fleettasks.New(fleettasks.Deps{Table: w.table, Now: time.Now, Log: w.log, Start: w, Domain: "example.net"})
	w.Workflows = statestest.Deployed(t, "../../../statemachines", journal.Memory(), map[string]statestest.Function{
		"FleetTasksFunctionArn": statestest.Handler(w.fleet), "KeyTasksFunctionArn": statestest.Handler(keyTasks),
	}, workflow.EncryptCluster, workflow.EnforceValidity)
	journal := audit.Journal{Table: w.db, Now: time.Now}
	w.settings = &encryption.Service{
		Table: w.db, Journal: journal, Keys: w, Checker: validity.New(w, time.Now), Now: time.Now, Log: w.log,
	}
	projects := suite.Projects(w.db, journal, identitytest.Identities{}, time.Now)
	w.clusters = suite.Clusters(suite.ClusterDeps{
		Table: w.db, Journal: journal, Projects: projects, Gate: identity.Gate{Groups: projects, Denials: journal},
		Start: w, Now: time.Now, Log: w.log, Domain: "example.net",
	})
	w.checks = &sweep.Sweep{Settings: w.settings, Log: w.log, Enforcer: &enforcement.Enforcer{
		Table: w.db, Settings: w.settings, Clusters: w.clusters, Start: w, Now: time.Now,
	}}
	w.nodes = &nodes{w: w, minds: map[string]*mind{}}
}

// Open implements suite.Keyring.
func (w *world) Open(ref kms.Reference) (*kms.Key, error) { return w.key.Key(ref.AWS.KeyName), nil }

// Renew implements suite.Keyring.
func (w *world) Renew(ref kms.Reference) (*kms.Key, error) { return w.Open(ref) }

// CheckVault implements suite.Keyring.
func (w *world) CheckVault(context.Context, kms.Reference) error { return nil }

// found makes an organisation, and a group that uses the key.
func (w *world) found() {
	w.t.Helper()
	ctx := w.t.Context()
	projects, ok := w.clusters.Projects.(*project.Service)
	if !ok {
		w.t.Fatal("other projects")
	}
	founded, err := projects.Found(ctx, project.Founding{Name: "Acme", OwnerEmail: "owner@acme.example"})
	w.must(err)
	w.group = founded.GroupID
	w.caller = identity.Caller{
		Kind: identity.KindAPIKey, ID: "650000000000000000000060", Name: "abcdefgh", OrgID: founded.Org.ID,
		GroupRoles: map[string][]identity.Role{w.group: {identity.GroupOwner}},
	}
	probe, _, err := w.key.Key(keyARN).NewProbe(ctx, w.group)
	w.must(err)
	now := time.Now().UTC()
	item, err := w.db.Get(ctx, keys.Encryption(w.group))
	w.must(err)
	s, err := encryption.Stored(item)
	w.must(err)
	s.Revision = 3
	s.AWS = &encryption.AWS{KeyID: keyARN, Region: "US_EAST_1", RoleID: roleID, Key: encryption.KeyState{
		Revision: 3, Probe: probe, Version: "1", Since: now, Valid: true,
		Verdict: verdict.Verdict{Reason: verdict.OK, Settings: 3, StartedAt: now, Since: now.Add(-24 * time.Hour)},
	}}
	put, err := store.Encode(item.Key, item.Version, s)
	w.must(err)
	put.Index = keys.Sweep(encryption.Slot(encryption.SweepMinute(w.group)%encryption.SweepSlots), w.group)
	role, err := store.Encode(keys.Role(w.group, roleID), 0, access.Role{
		ID: roleID, GroupID: w.group, Provider: atlas.AWS,
		AWS: &access.AWSRole{ExternalID: "x", ARN: "arn:aws:iam::111122223333:role/r", AuthorizedAt: now},
	})
	w.must(err)
	w.must(w.db.Write(ctx, store.Put(put), store.Put(role)))
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// request is a request for a replica set.
func (w *world) request(body string) atlas.ClusterRequest {
	w.t.Helper()
	var r atlas.ClusterRequest
	w.must(json.Unmarshal([]byte(body), &r))
	return r
}

func regions(electable int) string {
	return fmt.Sprintf(`"replicationSpecs":[{"regionConfigs":[{"providerName":"AWS","regionName":"US_EAST_1","priority":7,`+
		`"electableSpecs":{"instanceSize":"M10","nodeCount":%d}}]}]`, electable)
}

func (w *world) create(name, provider string) {
	w.t.Helper()
	_, err := w.clusters.Create(w.t.Context(), w.caller, w.group, w.request(
		`{"name":"`+name+`","clusterType":"REPLICASET","encryptionAtRestProvider":"`+provider+`",`+regions(3)+`}`))
	w.must(err)
}

func (w *world) update(name, body string) {
	w.t.Helper()
	_, err := w.clusters.Update(w.t.Context(), w.caller, w.group, name, w.request(body))
	w.must(err)
}

func (w *world) load(name string) cluster.Deployment {
	w.t.Helper()
	d, err := w.clusters.Get(w.t.Context(), w.group, name)
	w.must(err)
	return d
}

// exists reports whether there is a cluster of the name.
func (w *world) exists(name string) bool {
	w.t.Helper()
	_, err := w.clusters.Get(w.t.Context(), w.group, name)
	if atlas.CodeOf(err) == atlas.ClusterNotFound {
		return false
	}
	w.must(err)
	return true
}

// The steps of time in which nodes are heard.
const (
	tick     = 5 * time.Second
	longTick = 5 * time.Minute // when hours go by
)

// pass lets time go by: nodes call every few seconds, keys are checked every minute, and plans
// are resumed every five.
func (w *world) pass(d time.Duration) {
	w.t.Helper()
	for d > time.Hour {
		w.step(longTick)
		d -= longTick
	}
	w.until(d, func() bool { return false })
}

// until lets time go by until done, and reports whether that came within a time.
func (w *world) until(most time.Duration, done func() bool) bool {
	w.t.Helper()
	for end := time.Now().Add(most); time.Now().Before(end); {
		if done() {
			return true
		}
		w.step(tick)
	}
	return done()
}

// step lets a step of time go by.
func (w *world) step(d time.Duration) {
	w.t.Helper()
	before := time.Now()
	time.Sleep(d)
	w.nodes.call()
	if !before.Truncate(time.Minute).Equal(time.Now().Truncate(time.Minute)) {
		_, err := w.checks.Run(w.t.Context(), time.Now())
		w.must(err)
	}
	if !before.Truncate(5 * time.Minute).Equal(time.Now().Truncate(5 * time.Minute)) {
		_, _ = w.task(`{"task":"resumePlans"}`) // what fails now is done in five minutes
	}
	if w.watch != nil {
		w.watch()
	}
}

// settled lets time go by until a cluster is idle, all its nodes being as they should.
func (w *world) settled(name string, most time.Duration) cluster.Deployment {
	w.t.Helper()
	var d cluster.Deployment
	if !w.until(most, func() bool {
		d = w.load(name)
		return d.State() == cluster.Idle && d.Disabled == nil && d.Plan == nil && !slices.ContainsFunc(d.Nodes, func(n cluster.Node) bool { return !n.Settled() })
	}) {
		w.t.Fatalf("after %s the cluster is %s, plan %+v, disabled %+v, nodes %s", most, d.State(), d.Plan, d.Disabled, describe(d))
	}
	return d
}

func describe(d cluster.Deployment) string {
	var all []string
	for _, n := range d.Nodes {
		all = append(all, fmt.Sprintf("{%s %+v reports %+v}", n.ID, n.Desired, n.Reported))
	}
	return strings.Join(all, " ")
}

// task invokes fleettasks as a schedule does.
func (w *world) task(payload string) (string, error) {
	out, err := w.fleet.Invoke(w.t.Context(), []byte(payload))
	return string(out), err
}

// rolledBack lists the reasons for which plans were rolled back.
func (w *world) rolledBack() []string {
	w.t.Helper()
	events, _, err := w.clusters.Journal.List(w.t.Context(), keys.GroupScope(w.group), audit.Filter{}, 0, 500)
	w.must(err)
	var reasons []string
	for _, e := range events {
		if e.Type == cluster.EventRolledBack {
			reasons = append(reasons, fmt.Sprint(e.Detail["reason"]))
		}
	}
	return reasons
}
