package masterkey_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"latchkey/local/states/journal"
	"latchkey/local/states/statestest"
	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/cluster"
	"latchkey/shared/encryption"
	"latchkey/shared/identity"
	"latchkey/shared/identity/identitytest"
	"latchkey/shared/kms"
	"latchkey/shared/kms/kmstest"
	"latchkey/shared/ledger"
	"latchkey/shared/maintenance"
	"latchkey/shared/masterkey"
	"latchkey/shared/node"
	"latchkey/shared/project"
	"latchkey/shared/store"
	"latchkey/shared/store/bolt"
	"latchkey/shared/store/keys"
	"latchkey/shared/store/storetest"
	"latchkey/shared/suite"
	"latchkey/shared/suite/fleettasks"
	"latchkey/shared/verdict"
	"latchkey/shared/workflow"
)

const (
	day  = 24 * time.Hour
	week = 7 * day
)

// world is a group with clusters in a bubble of testing/synctest: the functions over a real table, the
// machine's file in an engine behind the official client, and nodes that make, wrap and replace master
// keys by the agents' protocol.
type world struct {
	*statestest.Workflows

	t       *testing.T
	db      store.Table
	table   *storetest.Faulty // the functions'
	fleet   lambda.Handler
	nodes   *node.Service
	windows *maintenance.Service
	journal audit.Journal
	key     *kmstest.Memory
	cmk     string // its name
	members []*member
	group   string
	owner   identity.Caller
	// watch is called after every step of time.
	watch func()
	// eldest is the age that a master key ever had, of a node that runs.
	eldest time.Duration
}

// memory is a directory in memory, where there is one: months have many writes.
func memory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "latchkey") //nolint:usetesting // t.TempDir is on the disk
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func inWorld(t *testing.T, fn func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		db, err := bolt.Open(filepath.Join(memory(t), "table.db"))
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close() //nolint:errcheck // the folder goes away
		w := &world{t: t, db: db, table: &storetest.Faulty{Table: db}, key: kmstest.NewMemory(), cmk: "cmk-1"}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		w.assemble()
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

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) assemble() {
	w.t.Helper()
	log := slog.New(slog.DiscardHandler)
	w.journal = audit.Journal{Table: w.db, Now: time.Now}
	w.fleet = fleettasks.New(fleettasks.Deps{Table: w.table, Now: time.Now, Log: log, Start: w, Domain: "example.net"})
	w.Workflows = statestest.Deployed(w.t, "../../statemachines", journal.Memory(),
		map[string]statestest.Function{"FleetTasksFunctionArn": statestest.Handler(w.fleet)}, workflow.RotateMasterKeys)
	w.windows = suite.Maintenance(suite.AlertDeps{Table: w.db, Journal: w.journal, Now: time.Now})
	w.nodes = &node.Service{
		Table: w.db, Now: time.Now, Log: log, Nodes: w.clusters(), Keys: w,
		Recipients: &node.Recipients{Table: w.db, Sealer: identitytest.NewSealer(w.t), Now: time.Now},
	}
}

func (w *world) clusters() *cluster.Service { return &cluster.Service{Table: w.db, Now: time.Now} }

// KeyFor implements node.Keys.
func (w *world) KeyFor(_ context.Context, _ string, p atlas.Provider, _ bool) (*kms.Key, ledger.CMK, error) {
	return w.key.Key(w.cmk), ledger.CMK{Provider: p, Name: w.cmk}, nil
}

// KeyOf implements node.Keys.
func (w *world) KeyOf(_ context.Context, _ string, cmk ledger.CMK, _ bool) (*kms.Key, error) {
	return w.key.Key(cmk.Name), nil
}

// found makes a group that uses the key.
func (w *world) found() {
	w.t.Helper()
	ctx := w.t.Context()
	founded, err := suite.Projects(w.db, w.journal, identitytest.Identities{}, time.Now).Found(ctx, project.Founding{Name: "Acme", OwnerEmail: "owner@acme.example"})
	w.must(err)
	w.group = founded.GroupID
	w.owner = identity.Caller{
		Kind: identity.KindAPIKey, ID: "650000000000000000000060", Name: "abcdefgh", OrgID: founded.Org.ID,
		GroupRoles: map[string][]identity.Role{w.group: {identity.GroupOwner}},
	}
	w.judge(verdict.OK)
}

// judge stores a verdict on the key.
func (w *world) judge(reason verdict.Reason) {
	w.t.Helper()
	item, err := w.db.Get(w.t.Context(), keys.Encryption(w.group))
	w.must(err)
	s, err := encryption.Stored(item)
	w.must(err)
	now := time.Now().UTC()
	s.Revision = 3
	s.AWS = &encryption.AWS{KeyID: "arn:aws:kms:us-east-1:111122223333:key/1", Region: "US_EAST_1", RoleID: "r", Key: encryption.KeyState{
		Revision: 3, Version: "1", Since: now, Valid: reason == verdict.OK,
		Verdict: verdict.Verdict{Reason: reason, Settings: 3, StartedAt: now, Since: now},
	}}
	put, err := store.Encode(item.Key, item.Version, s)
	w.must(err)
	put.Index = item.Index
	w.must(w.db.Write(w.t.Context(), store.Put(put)))
}

// window sets the group's maintenance window.
func (w *world) window(s maintenance.Settings) {
	w.t.Helper()
	w.must(w.windows.Update(w.t.Context(), w.owner, w.group, s))
}

func (w *world) plan() *maintenance.Plan {
	w.t.Helper()
	got, err := w.windows.Window(w.t.Context(), w.group)
	w.must(err)
	return got.Plan
}

func (w *world) rotation() masterkey.Rotation {
	w.t.Helper()
	r, err := masterkey.Load(w.t.Context(), w.db, w.group)
	w.must(err)
	return r
}

func (w *world) report() masterkey.Report {
	w.t.Helper()
	s := suite.MasterKeys(suite.MasterKeyDeps{Table: w.db, Journal: w.journal, Start: w, Now: time.Now})
	r, err := s.Report(w.t.Context(), w.group)
	w.must(err)
	return r
}

// events are when events of a type happened, oldest first.
func (w *world) events(t audit.Type) []time.Time {
	w.t.Helper()
	events, _, err := w.journal.List(w.t.Context(), keys.GroupScope(w.group), audit.Filter{}, 0, 500)
	w.must(err)
	var at []time.Time
	for _, e := range events {
		if e.Type == t {
			at = append(at, e.Created)
		}
	}
	slices.Reverse(at)
	return at
}

// ends is how the executions ended.
func (w *world) ends() []string {
	w.t.Helper()
	return w.Ends(w.t, workflow.RotateMasterKeys)
}

// task invokes the function as a schedule does.
func (w *world) task(payload string) (string, error) {
	out, err := w.fleet.Invoke(w.t.Context(), []byte(payload))
	return string(out), err
}

// step lets a step of time go by: nodes call, and what is due is done at full five minutes.
func (w *world) step(d time.Duration) {
	w.t.Helper()
	before := time.Now()
	time.Sleep(d)
	for _, m := range w.members {
		m.call()
	}
	if !before.Truncate(5 * time.Minute).Equal(time.Now().Truncate(5 * time.Minute)) {
		_, _ = w.task(`{"task":"attendMasterKeys"}`) // what fails now is done in five minutes
	}
	for _, m := range w.members {
		if !m.isDown && !m.isStopped && !m.cannot {
			w.eldest = max(w.eldest, time.Since(m.made))
		}
	}
	if w.watch != nil {
		w.watch()
	}
}

// age lets time go by in which nothing is due, and nobody does anything.
func (w *world) age(d time.Duration) {
	w.t.Helper()
	time.Sleep(d)
	w.step(time.Minute)
}

// pass lets time go by, coarsely while no rotation is under way.
func (w *world) pass(d time.Duration) {
	w.t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); {
		step := time.Hour
		if w.rotation().State == masterkey.UnderWay {
			step = 30 * time.Second
		}
		w.step(min(step, time.Until(end)))
	}
}

// until lets time go by in small steps until something is so.
func (w *world) until(most time.Duration, is func() bool) {
	w.t.Helper()
	step := max(30*time.Second, most/1000)
	for end := time.Now().Add(most); !is(); {
		if time.Now().After(end) {
			w.t.Fatalf("not in %s: %+v, plan %+v", most, w.rotation(), w.plan())
		}
		w.step(step)
	}
}

// rotated waits until so many rotations are over.
func (w *world) rotated(rotations int, most time.Duration) {
	w.t.Helper()
	step := min(max(5*time.Minute, most/200), time.Hour)
	for end := time.Now().Add(most); len(w.events(masterkey.RotationCompleted)) < rotations; {
		if time.Now().After(end) {
			w.t.Fatalf("not in %s: %+v, plan %+v, ends %v", most, w.rotation(), w.plan(), w.ends())
		}
		w.pass(step)
	}
}
