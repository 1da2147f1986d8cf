package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/dgraph-io/badger/v4"
	"github.com/mongodb-forks/digest"
	"go.mongodb.org/atlas-sdk/v20250312018/admin"

	"latchkey/agent/agenttest"
	"latchkey/agent/badgerengine"
	"latchkey/agent/statedir"
	"latchkey/local/fleet"
	"latchkey/local/pocket"
	"latchkey/local/pocket/awscloud"
	"latchkey/local/pocket/awscloud/awssdk"
	"latchkey/local/states/statestest"
	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/cluster"
)

// estate is everything there is, in a bubble of virtual time: the suite with its functions,
// workflows and schedules, real agents with encrypted databases, and the tenant's clouds. Nothing
// in it is replaced; what connects its parts is in this process and fails when told to.
type estate struct {
	running

	cfg   config
	log   *logBook
	suite *suite
	fleet *fleet.Fleet
	net   *agenttest.Network                          // between agents and the control plane
	skew  atomic.Int64                                // of the agents' clock
	full  atomic.Pointer[func(dir, file string) bool] // whether a file can't be written for want of room
	stop  func()
	// fleetUp and fleetDown start and stop the machines alone.
	fleetUp, fleetDown func()

	client *admin.APIClient
	key    journey // how the tenant takes the key and gives it back
	// heartbeat is the fleet's, 0 for what the control plane asks for.
	heartbeat time.Duration
	mu        sync.Mutex
	engines   map[string]*badgerengine.Engine // by node
	// written is what was acknowledged, by cluster and key.
	written map[string]map[string]string
	writes  int
	// cut are the nodes whose agents reach nobody.
	cut sync.Map
	// lasting are hosts that stay down whatever else is mended.
	lasting []string
}

// logBook is what everybody logs.
type logBook struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBook) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logBook) bytes() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Clone(l.b.Bytes())
}

func (l *logBook) tail() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(l.b.String()), "\n")
	return strings.Join(lines[max(0, len(lines)-25):], "\n")
}

// inEstate runs a test in an estate whose project is encrypted with a key in AWS KMS, and in the
// end looks whether everything is as it must always be.
func inEstate(t *testing.T, test func(e *estate)) {
	t.Helper()
	inEstateOf(t, func(e *estate) journey { return e.bringAWS(e.client) }, test)
}

// inEstateOf is inEstate with a key in AWS KMS that is brought in another way.
func inEstateOf(t *testing.T, bring func(e *estate) journey, test func(e *estate)) {
	t.Helper()
	inEstateWith(t, func(*config) {}, bring, test)
}

// inEstateWith is inEstateOf with another configuration.
func inEstateWith(t *testing.T, change func(*config), bring func(e *estate) journey, test func(e *estate)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := &estate{
			cfg: testConfig(t), log: &logBook{}, written: map[string]map[string]string{}, engines: map[string]*badgerengine.Engine{},
		}
		e.t = t
		e.cfg.data = filepath.Join(memory(t), "data")
		e.cfg.noFleet = true // it runs one of its own, which can be made to fail
		if err := os.MkdirAll(e.cfg.data, 0o700); err != nil {
			t.Fatal(err)
		}
		e.cfg.now = time.Now
		change(&e.cfg)
		e.boot()
		defer func() { e.stop() }()
		e.key = bring(e)
		id := e.key.update.AwsKms.CustomerMasterKeyID
		e.key.take = func() { // the clients of before know nothing of a suite that was started again
			e.second(kms.NewFromConfig(e.tenant).DisableKey(e.t.Context(), &kms.DisableKeyInput{KeyId: id}))
		}
		e.key.give = func() {
			e.second(kms.NewFromConfig(e.tenant).EnableKey(e.t.Context(), &kms.EnableKeyInput{KeyId: id}))
		}
		if _, _, err := e.client.EncryptionAtRestUsingCustomerKeyManagementApi.UpdateEncryptionAtRest(
			t.Context(), e.owner.GroupID, &e.key.update).Execute(); err != nil {
			t.Fatal(err)
		}
		test(e)
		e.invariants()
	})
}

// memory is a directory in memory where there is one: months of virtual time write their files in
// minutes, and a disk that is waited for proves nothing here.
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

// boot starts everything over what is on disk.
func (e *estate) boot() {
	e.t.Helper()
	log := slog.New(slog.NewJSONHandler(e.log, &slog.HandlerOptions{Level: slog.LevelInfo}))
	s, err := open(e.t.Context(), e.cfg, addresses{nodes: "127.0.0.1:1"}, log)
	if err != nil {
		e.t.Fatal(err)
	}
	e.suite, e.owner, e.base = s, s.owner, "http://127.0.0.1"
	e.clouds = pocket.Transport(s.clouds)
	e.token = s.secrets.Admin
	e.tenant = awssdk.Config(e.clouds, "us-east-1", awscloud.Keys{
		AccessKeyID: s.secrets.TenantAWS.AccessKeyID, SecretAccessKey: s.secrets.TenantAWS.SecretAccessKey,
	})
	e.client = e.running.client(admin.UseHTTPClient(&http.Client{
		Transport: digest.NewTransportWithHTTPRoundTripper(e.owner.PublicKey, e.owner.PrivateKey, pocket.Transport(s.gateway)),
	}))
	if e.net == nil {
		e.net = agenttest.NewNetwork(s.nodes)
	}
	e.net.Reach(s.nodes)
	e.last()
	stops := []func(){inBackground(e.t.Context(), func(ctx context.Context) {
		if err := s.workflows.Engine.Run(ctx); err != nil && !errors.Is(err, statestest.ErrKilled) {
			e.t.Error(err)
		}
	})}
	for _, act := range append(s.background, s.schedules) {
		stops = append(stops, inBackground(e.t.Context(), act))
	}
	e.fleetUp = func() { e.fleetDown = e.bootFleet(log) }
	e.fleetUp()
	e.stop = func() {
		e.fleetDown()
		for _, stop := range slices.Backward(stops) {
			stop()
		}
		if err := s.close(); err != nil {
			e.t.Error(err)
		}
		e.stop = func() {}
	}
}

func (e *estate) bootFleet(log *slog.Logger) (stop func()) {
	e.t.Helper()
	cfg := e.cfg
	cfg.now = func() time.Time { return time.Now().Add(time.Duration(e.skew.Load())) }
	settings, err := fleetSettings(cfg, e.suite.functions, e.suite.at.nodes, log)
	if err != nil {
		e.t.Fatal(err)
	}
	settings.Transport = cable{e.net, &e.cut}
	settings.Files = func(dir string) (fleet.StateFiles, error) {
		files, err := statedir.Open(dir)
		return &disk{StateFiles: files, estate: e, dir: dir}, err
	}
	settings.Heartbeat = e.heartbeat
	settings.Open = func(dir string, source fleet.Source) fleet.Store {
		engine := badgerengine.New(badgerengine.Config{
			Dir: dir, Source: badgerengine.Source(source), Now: time.Now, Options: withoutCompaction,
		})
		e.mu.Lock()
		defer e.mu.Unlock()
		e.engines[filepath.Base(filepath.Dir(dir))] = engine
		return engine
	}
	e.fleet = fleet.New(settings)
	run := e.fleet
	return inBackground(e.t.Context(), func(ctx context.Context) {
		if err := run.Run(ctx); err != nil {
			e.t.Error(err)
		}
	})
}

// withoutCompaction keeps a store from looking twenty times a second for what it could merge: in a bubble
// that would take most of the time of every hour that passes. No test here writes what is worth merging.
func withoutCompaction(o badger.Options) badger.Options {
	return o.WithNumCompactors(0).WithNumLevelZeroTablesStall(math.MaxInt32)
}

// crash ends a node's database behind the back of its agent.
func (e *estate) crash(nodeID string) {
	e.t.Helper()
	e.mu.Lock()
	engine := e.engines[nodeID]
	e.mu.Unlock()
	e.must(engine.Stop(e.t.Context()))
}

// reboot ends everything gently and starts it again.
func (e *estate) reboot() {
	e.t.Helper()
	e.stop()
	e.boot()
}

// until lets time pass until something is so, an hour at most unless said otherwise.
func (e *estate) until(what string, is func() bool) time.Duration {
	e.t.Helper()
	return e.untilIn(time.Hour, what, is)
}

func (e *estate) untilIn(most time.Duration, what string, is func() bool) time.Duration {
	e.t.Helper()
	for began := time.Now(); ; time.Sleep(time.Second) {
		if is() {
			return time.Since(began)
		}
		if time.Since(began) > most {
			e.t.Fatalf("not in %v: %s\n%s\n%v\n%s", most, what, e.describe(), e.fleet.Statuses(), e.log.tail())
		}
	}
}

// size is the replication of a replica set of three nodes.
func size(instance string) *[]admin.ReplicationSpec20240805 {
	provider, region, priority, count := "AWS", "US_EAST_1", 7, 3
	return &[]admin.ReplicationSpec20240805{{RegionConfigs: &[]admin.CloudRegionConfig20240805{{
		ProviderName: &provider, RegionName: &region, Priority: &priority,
		ElectableSpecs: &admin.HardwareSpec20240805{InstanceSize: &instance, NodeCount: &count},
	}}}}
}

// ask asks for a cluster.
func (e *estate) ask(name, provider string) {
	e.t.Helper()
	kind := "REPLICASET"
	_, _, err := e.client.ClustersApi.CreateCluster(e.t.Context(), e.owner.GroupID, &admin.ClusterDescription20240805{
		Name: &name, ClusterType: &kind, EncryptionAtRestProvider: &provider, ReplicationSpecs: size("M10"),
		BackupEnabled: new(true),
	}).Execute()
	e.must(err)
}

// create makes a cluster and waits until it is there.
func (e *estate) create(name, provider string) {
	e.t.Helper()
	e.ask(name, provider)
	e.idle(name)
	e.until(name+" answers", func() bool { return e.answers(name) })
}

func (e *estate) update(name string, change *admin.ClusterDescription20240805) {
	e.t.Helper()
	_, _, err := e.client.ClustersApi.UpdateCluster(e.t.Context(), e.owner.GroupID, name, change).Execute()
	e.must(err)
}

func (e *estate) state(name string) string {
	c, _, err := e.client.ClustersApi.GetCluster(e.t.Context(), e.owner.GroupID, name).Execute()
	if admin.IsErrorCode(err, "CLUSTER_NOT_FOUND") {
		return "GONE"
	}
	e.must(err)
	return c.GetStateName()
}

func (e *estate) idle(name string) {
	e.t.Helper()
	e.until(name+" is IDLE", func() bool { return e.state(name) == "IDLE" })
}

// processes are the types of the project's processes, sorted.
func (e *estate) processes() string {
	list, _, err := e.client.MonitoringAndLogsApi.ListGroupProcesses(e.t.Context(), e.owner.GroupID).Execute()
	e.must(err)
	var types []string
	for _, p := range list.GetResults() {
		types = append(types, p.GetTypeName())
	}
	slices.Sort(types)
	return strings.Join(types, " ")
}

const (
	allRun     = "REPLICA_PRIMARY REPLICA_SECONDARY REPLICA_SECONDARY"
	allStopped = "NO_DATA NO_DATA NO_DATA"
)

func (e *estate) describe() string {
	var out strings.Builder
	for _, d := range e.deployments() {
		fmt.Fprintf(&out, "%s %s disabled=%v plan=%+v\n", d.Name, d.State(), d.Disabled, d.Plan)
		for _, n := range d.Nodes {
			fmt.Fprintf(&out, "  %s desired %+v reported %+v\n", n.ID, n.Desired, n.Reported)
		}
	}
	return out.String()
}

// service reads the clusters' records, and no more.
func (e *estate) service() *cluster.Service {
	return &cluster.Service{Table: e.suite.table, Journal: audit.Journal{Table: e.suite.table, Now: time.Now}, Now: time.Now}
}

func (e *estate) deployments() []cluster.Deployment {
	e.t.Helper()
	names, err := e.service().Names(e.t.Context(), e.owner.GroupID)
	e.must(err)
	var all []cluster.Deployment
	for _, name := range names {
		d, err := e.service().Get(e.t.Context(), e.owner.GroupID, name)
		if atlas.CodeOf(err) == atlas.ClusterNotFound {
			continue
		}
		e.must(err)
		all = append(all, d)
	}
	return all
}

func (e *estate) deployment(name string) cluster.Deployment {
	e.t.Helper()
	d, err := e.service().Get(e.t.Context(), e.owner.GroupID, name)
	e.must(err)
	return d
}

func (e *estate) node(name, nodeID string) cluster.Node {
	e.t.Helper()
	for _, n := range e.deployment(name).Nodes {
		if n.ID == nodeID {
			return n
		}
	}
	e.t.Fatalf("there is no node %s", nodeID)
	return cluster.Node{}
}

// events are the types of the project's events, the latest first.
func (e *estate) events() []string {
	e.t.Helper()
	feed, _, err := e.client.EventsApi.ListGroupEvents(e.t.Context(), e.owner.GroupID).ItemsPerPage(200).Execute()
	e.must(err)
	var types []string
	for _, event := range feed.GetResults() {
		types = append(types, event.GetEventTypeName())
	}
	return types
}

func (e *estate) event(want string) bool { return slices.Contains(e.events(), want) }

// validate asks for a check of the keys at once.
func (e *estate) validate() {
	e.t.Helper()
	path := "/api/latchkey/v1/groups/" + e.owner.GroupID + "/encryptionAtRest/validate"
	req, err := http.NewRequestWithContext(e.t.Context(), http.MethodPost, e.base+path, http.NoBody)
	e.must(err)
	req.Header.Set("Accept", "application/vnd.atlas.2024-08-05+json")
	resp, err := e.client.GetConfig().HTTPClient.Do(req)
	e.must(err)
	defer resp.Body.Close() //nolint:errcheck // not read
	if resp.StatusCode != http.StatusOK {
		e.t.Errorf("validation answers %s", resp.Status)
	}
}

// kms makes the tenant's KMS fail, or no more with "".
func (e *estate) kms(fault string) {
	e.t.Helper()
	if fault != "" {
		e.fault(http.MethodPost, `{"host":"kms.us-east-1.amazonaws.com","fault":"`+fault+`"}`)
		return
	}
	e.fault(http.MethodDelete, "")
	e.last()
}

// last has the hosts fail whose outage lasts.
func (e *estate) last() {
	e.t.Helper()
	for _, host := range e.lasting {
		e.fault(http.MethodPost, `{"host":"`+host+`","fault":"down"}`)
	}
}

// fault changes the faults of the clouds.
func (e *estate) fault(method, body string) {
	e.t.Helper()
	r := httptest.NewRequestWithContext(e.t.Context(), method, "http://127.0.0.1/_pocket/faults", strings.NewReader(body))
	rec := httptest.NewRecorder()
	e.suite.clouds.ServeHTTP(rec, r)
	if rec.Code >= http.StatusBadRequest {
		e.t.Fatalf("faults answer %d %s", rec.Code, rec.Body)
	}
}

// disk is where an agent keeps its state.
type disk struct {
	fleet.StateFiles

	estate *estate
	dir    string
}

// WriteSynced implements statedir.Files.
func (d *disk) WriteSynced(name string, content []byte) error {
	if full := d.estate.full.Load(); full != nil && (*full)(d.dir, name) {
		return syscall.ENOSPC
	}
	return d.StateFiles.WriteSynced(name, content)
}
