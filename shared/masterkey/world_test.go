package masterkey_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"latchkey/local/pocket"
	"latchkey/local/states/asl"
	"latchkey/local/states/engine"
	"latchkey/local/states/journal"
	"latchkey/local/states/sfnapi"
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
	"latchkey/shared/node/protocol"
	"latchkey/shared/project"
	"latchkey/shared/store"
	"latchkey/shared/store/bolt"
	"latchkey/shared/store/keys"
	"latchkey/shared/suite"
	"latchkey/shared/suite/fleettasks"
	"latchkey/shared/verdict"
	"latchkey/shared/workflow"
	"latchkey/shared/workflow/awssfn"
)

const (
	day  = 24 * time.Hour
	week = 7 * day
)

// world is a group with clusters in a bubble of testing/synctest: the functions over a real table, the
// machine's file in an engine behind the official client, and nodes that make, wrap and replace master
// keys by the agents' protocol.
type world struct {
	t       *testing.T
	db      store.Table
	table   *brittle // the functions'
	engine  *engine.Engine
	starter *awssfn.Starter
	fleet   lambda.Handler
	nodes   *node.Service
	windows *maintenance.Service
	journal audit.Journal
	key     *kmstest.Memory
	cmk     string // its name
	members []*member
	group   string
	owner   identity.Caller
	// refuse lets executions not start while it is set.
	refuse error
	// watch is called after every step of time.
	watch func()
	// eldest is the age that a master key ever had, of a node that runs.
	eldest time.Duration
}

// brittle is a table whose writes can fail.
type brittle struct {
	store.Table

	mu     sync.Mutex
	writes int
	fail   func(n int) fault // of the n-th write, from 1; nil never
	before func(ops []store.Op)
}

// fault is how a write fails.
type fault int

const (
	sound  fault = iota
	lost         // the write did not happen
	silent       // it did, and the answer is lost
)

var errCrash = errors.New("crash")

func (b *brittle) Write(ctx context.Context, ops ...store.Op) error {
	b.mu.Lock()
	b.writes++
	f := sound
	if b.fail != nil {
		f = b.fail(b.writes)
	}
	before := b.before
	b.mu.Unlock()
	if before != nil {
		before(ops)
	}
	if f == lost {
		return errCrash
	}
	err := b.Table.Write(ctx, ops...)
	if err == nil && f == silent {
		err = errCrash
	}
	return err
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
		w := &world{t: t, db: db, table: &brittle{Table: db}, key: kmstest.NewMemory(), cmk: "cmk-1"}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		w.assemble()
		ended := make(chan error, 1)
		go func() { ended <- w.engine.Run(ctx) }()
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
	kind := string(workflow.RotateMasterKeys)
	w.engine = engine.New(engine.Config{
		Journal: journal.Memory(), Now: time.Now, Rand: rand.NewPCG(1, 2), Log: log,
		Machines: map[string]*asl.Machine{kind: statestest.Load(w.t, "../../statemachines/"+kind+".asl.json", nil)},
		Invoke:   statestest.Invoker(map[string]statestest.Function{"FleetTasksFunctionArn": statestest.Handler(w.fleet)}),
	})
	w.starter = awssfn.NewStarter(sfn.New(sfn.Options{
		Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", ""),
		HTTPClient: &http.Client{Transport: pocket.Transport(sfnapi.Handler(w.engine, log))},
	}), map[workflow.Kind]string{workflow.RotateMasterKeys: w.engine.MachineARN(kind)})
	w.windows = suite.Maintenance(suite.AlertDeps{Table: w.db, Journal: w.journal, Now: time.Now})
	w.nodes = &node.Service{
		Table: w.db, Now: time.Now, Log: log, Nodes: w.clusters(), Keys: w,
		Recipients: &node.Recipients{Table: w.db, Sealer: identitytest.NewSealer(w.t), Now: time.Now},
	}
}

func (w *world) clusters() *cluster.Service { return &cluster.Service{Table: w.db, Now: time.Now} }

// Start implements suite.Executions.
func (w *world) Start(ctx context.Context, x workflow.Execution) error {
	if w.refuse != nil {
		return w.refuse
	}
	return w.starter.Start(ctx, x)
}

// Ensure implements suite.Executions.
func (w *world) Ensure(ctx context.Context, x workflow.Execution) (bool, error) {
	if w.refuse != nil {
		return false, w.refuse
	}
	return w.starter.Ensure(ctx, x)
}

// KeyFor implements node.Keys.
func (w *world) KeyFor(_ context.Context, _ string, p atlas.Provider, _ bool) (*kms.Key, ledger.CMK, error) {
	return w.key.Key(w.cmk), ledger.CMK{Provider: p, Name: w.cmk}, nil
}

// KeyOf implements node.Keys.
func (w *world) KeyOf(_ context.Context, _ string, cmk ledger.CMK, _ bool) (*kms.Key, error) {
	return w.key.Key(cmk.Name), nil
}

// identities let the system create groups.
type identities struct{}

func (identities) Grant(context.Context, identity.Caller, string, []identity.Role) ([]store.Op, error) {
	return nil, nil
}

func (identities) GroupRoles(context.Context, identity.Caller) (map[string][]identity.Role, error) {
	return nil, nil
}

func (identities) Withdraw(context.Context, string, string) error { return nil }

// found makes a group that uses the key.
func (w *world) found() {
	w.t.Helper()
	ctx := w.t.Context()
	founded, err := suite.Projects(w.db, w.journal, identities{}, time.Now).Found(ctx, project.Founding{Name: "Acme", OwnerEmail: "owner@acme.example"})
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
	synctest.Wait() // the last step of an execution is a moment behind what it wrote
	var all []string
	list, _, err := w.engine.List(w.engine.MachineARN(string(workflow.RotateMasterKeys)), "", engine.Page{Limit: 100})
	w.must(err)
	for _, x := range list {
		r := statestest.Read(w.t, w.engine, x.ARN)
		all = append(all, string(r.Status)+" "+r.Path[len(r.Path)-1])
	}
	slices.Reverse(all)
	return all
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

// member is a node: what its agent has on its disk.
type member struct {
	w         *world
	clusterID string
	shard     string
	id        string
	keyID     string
	made      time.Time
	wrapped   protocol.WrappedKey
	secrets   map[string][]byte
	acked     int64
	// isDown is whether it is silent, isStopped whether its database is, as it was told.
	isDown    bool
	isStopped bool
	// cannot is whether its database can't replace its key.
	cannot bool
	// busy keeps it from doing what it was told.
	busy bool
	// takes is how long a rotation takes; since is since when it is at it.
	takes time.Duration
	since time.Time
	// turns counts its rotations, made is of the key in use.
	turns int
}

// create makes a cluster of shards of three nodes, which run.
func (w *world) create(name string, shards int) []*member {
	w.t.Helper()
	id := atlas.NewID(time.Now())
	w.put(keys.Cluster(id), cluster.Cluster{
		ID: id, GroupID: w.group, OrgID: w.owner.OrgID, Name: name, Created: time.Now(), Applied: &cluster.Spec{Provider: atlas.AWS},
		Spec: cluster.Spec{Provider: atlas.AWS},
	})
	w.put(keys.ClusterName(w.group, name), map[string]string{"clusterId": id})
	var made []*member
	for shard := range shards {
		for i := range 3 {
			m := &member{w: w, clusterID: id, shard: fmt.Sprint("s", shard), id: atlas.NewID(time.Now()), secrets: map[string][]byte{}}
			record := cluster.Node{
				ID: m.id, ClusterID: id, GroupID: w.group, ShardID: m.shard, Shard: shard, Index: i, Kind: cluster.Electable, Priority: 7,
				PublicKey: []byte("key"),
			}
			op, err := record.Told(cluster.Order{Command: cluster.StartCommand, State: cluster.Run, Provider: atlas.AWS}).Put()
			w.must(err)
			w.must(w.db.Write(w.t.Context(), op))
			made = append(made, m)
		}
	}
	w.use(func(use map[string]string) { use[id] = name })
	w.members = append(w.members, made...)
	for _, m := range made {
		w.must(m.replace())
		m.call()
		m.call()
	}
	return made
}

// remove takes a cluster away.
func (w *world) remove(clusterID string) {
	w.t.Helper()
	w.members = slices.DeleteFunc(w.members, func(m *member) bool {
		if m.clusterID == clusterID {
			entries, err := ledger.OfNode(w.t.Context(), w.db, m.clusterID, m.id)
			w.must(err)
			item, err := w.db.Get(w.t.Context(), keys.Node(m.clusterID, m.id))
			w.must(err)
			ops := []store.Op{store.Delete(item.Key, item.Version)}
			for _, e := range entries {
				ops = append(ops, e.Delete())
			}
			w.must(w.db.Write(w.t.Context(), ops...))
		}
		return m.clusterID == clusterID
	})
	w.use(func(use map[string]string) { delete(use, clusterID) })
}

// use changes which clusters use the key.
func (w *world) use(change func(map[string]string)) {
	w.t.Helper()
	key := keys.EncryptionUse(w.group, string(atlas.AWS))
	type usage struct {
		Clusters map[string]string `json:"clusters"`
	}
	u, version, err := store.Load[usage](w.t.Context(), w.db, key)
	if !errors.Is(err, store.ErrNotFound) {
		w.must(err)
	}
	if u.Clusters == nil {
		u.Clusters = map[string]string{}
	}
	change(u.Clusters)
	item, err := store.Encode(key, version, u)
	w.must(err)
	w.must(w.db.Write(w.t.Context(), store.Put(item)))
}

func (w *world) put(key store.Key, value any) {
	w.t.Helper()
	_, version, err := store.Load[any](w.t.Context(), w.db, key)
	if !errors.Is(err, store.ErrNotFound) {
		w.must(err)
	}
	item, err := store.Encode(key, version, value)
	w.must(err)
	w.must(w.db.Write(w.t.Context(), store.Put(item)))
}

// change changes a cluster's record, and tells its nodes to run or to stop.
func (w *world) change(clusterID string, edit func(*cluster.Cluster), p cluster.Power) {
	w.t.Helper()
	d, err := w.clusters().Load(w.t.Context(), clusterID)
	w.must(err)
	c := d.Cluster
	edit(&c)
	w.put(keys.Cluster(clusterID), c)
	for _, n := range d.Nodes {
		command := cluster.StartCommand
		if p == cluster.Stop {
			command = cluster.StopCommand
		}
		if n.Desired.State == p {
			continue
		}
		op, err := n.Told(cluster.Order{Command: command, State: p, Provider: n.Desired.Provider}).Put()
		w.must(err)
		w.must(w.db.Write(w.t.Context(), op))
	}
}

func (m *member) record() cluster.Node {
	m.w.t.Helper()
	n, err := m.w.clusters().Node(m.w.t.Context(), m.clusterID, m.id)
	m.w.must(err)
	return n
}

// replace makes a master key and has it wrapped. The key that is in use is the new one then.
func (m *member) replace() error {
	w := m.w
	w.t.Helper()
	public, err := w.nodes.Recipients.Public(w.t.Context())
	w.must(err)
	id, secret := atlas.NewID(time.Now()), slices.Repeat([]byte{byte(len(m.secrets) + 1)}, protocol.MasterKeySize)
	sealed, err := protocol.SealKey(public, protocol.ToControlPlane, m.id, id, secret)
	w.must(err)
	answer, err := w.nodes.Wrap(w.t.Context(), m.record(), protocol.WrapRequest{KeyID: id, SealedKey: sealed})
	if err != nil {
		return err
	}
	m.keyID, m.wrapped, m.made = id, answer.Wrapped, time.Now()
	m.secrets[id] = secret
	return nil
}

// rewrap has the master key wrapped again, by another version of the customer's key.
func (m *member) rewrap() {
	w := m.w
	w.t.Helper()
	w.cmk = "cmk-2"
	answer, err := w.nodes.Rewrap(w.t.Context(), m.record(), protocol.RewrapRequest{KeyID: m.keyID, Wrapped: m.wrapped})
	w.must(err)
	m.wrapped = answer.Wrapped
}

// isTurning reports whether the node is at replacing its key.
func (m *member) isTurning() bool { return !m.since.IsZero() }

// call is what the agent does at a heartbeat: it says how it is, hears what to do, and does it.
func (m *member) call() {
	w := m.w
	w.t.Helper()
	if m.isDown {
		return
	}
	ctx, n := w.t.Context(), m.record()
	state := protocol.StateRunning
	if m.isStopped {
		state = protocol.StateStopped
	}
	heard, err := w.nodes.Heartbeat(ctx, n, protocol.Report{State: state, KeyID: m.keyID, CommandAcked: m.acked})
	w.must(err)
	if heard.Command.Number <= m.acked || m.busy {
		return
	}
	ack := protocol.AckRequest{Command: heard.Command.Number, Outcome: protocol.Done}
	if heard.Command.Kind == protocol.KindRotate {
		switch {
		case m.cannot:
			ack.Outcome, ack.Reason = protocol.Failed, protocol.ReasonUnsupported
		case m.since.IsZero():
			m.since = time.Now()
			return
		case time.Since(m.since) < m.takes || m.replace() != nil:
			return // tries again
		default:
			m.turns++
		}
	}
	m.isStopped, m.since = heard.Command.Target == protocol.Stop, time.Time{}
	ack.KeyID = m.keyID
	ack.Wrapped = protocol.WrappedKey{Provider: m.wrapped.Provider, CMK: m.wrapped.CMK, Version: m.wrapped.Version}
	w.must(w.nodes.Ack(ctx, m.record(), ack))
	m.acked = heard.Command.Number
}

// turns counts the rotations of nodes.
func turns(members []*member) int {
	sum := 0
	for _, m := range members {
		sum += m.turns
	}
	return sum
}

// oneAtATime has the world watch that no two nodes of a shard replace their keys at once.
func (w *world) oneAtATime() {
	w.watch = func() {
		w.t.Helper()
		at := map[string][]string{}
		for _, m := range w.members {
			if m.isTurning() {
				at[m.clusterID+m.shard] = append(at[m.clusterID+m.shard], m.id)
			}
		}
		for _, shard := range slices.Sorted(maps.Keys(at)) {
			if len(at[shard]) > 1 {
				w.t.Errorf("%v of shard %s replace their keys at once", at[shard], shard)
			}
		}
	}
}

// allOpen demands that every node has one key in the ledger, and gets it.
func (w *world) allOpen() {
	w.t.Helper()
	for _, m := range w.members {
		entries, err := ledger.OfNode(w.t.Context(), w.db, m.clusterID, m.id)
		w.must(err)
		if len(entries) != 1 || entries[0].KeyID != m.keyID {
			w.t.Errorf("node %s uses %s, and the ledger has %d entries: %+v", m.id, m.keyID, len(entries), entries)
		}
		recipient, err := protocol.NewRecipient()
		w.must(err)
		answer, err := w.nodes.Release(w.t.Context(), m.record(), protocol.ReleaseRequest{
			KeyID: m.keyID, Wrapped: m.wrapped, Recipient: recipient.Public(),
		})
		if err != nil {
			w.t.Errorf("node %s does not get its key: %v", m.id, err)
			continue
		}
		opened, err := recipient.Open(protocol.ToNode, m.id, m.keyID, answer.Sealed)
		if err != nil || !slices.Equal(opened, m.secrets[m.keyID]) {
			w.t.Errorf("node %s gets another key: %v", m.id, err)
		}
	}
}
