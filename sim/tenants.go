package sim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"github.com/mongodb-forks/digest"
	"go.mongodb.org/atlas-sdk/v20250312018/admin"

	"latchkey/local/pocket"
	"latchkey/shared/suite/operator"
)

// tenant is who has a project, and a key in a cloud of its own. It acts through the API with the official
// SDK, and in its cloud as anybody does there.
type tenant struct {
	world    *World
	name     string
	rng      *rand.Rand
	proc     *process
	org      string
	group    string
	client   *admin.APIClient
	key      customerKey
	clusters []*cluster
	writes   int
	n        int // of names
	// private is whether private networking is required, endpoint the private endpoint that was set up.
	private  bool
	endpoint string

	// brought is whether a key is configured, as far as the tenant was told.
	brought bool
	// doubtful is that a change of the configuration was not answered.
	doubtful bool
	// revoked is since when nobody can use the key, by the tenant's own act; zero while they can.
	revoked time.Time
	// touched is when a revocation last began or ended, lag what the cloud takes to notice.
	touched time.Time
	lag     time.Duration
	// hindered is until when something else than the suite kept it from following, back since when the KMS
	// is back; zero once the nodes are.
	hindered, back time.Time
	// stopped and started are whether it was seen that the nodes followed.
	stopped, started bool
}

// cluster is a cluster as the tenant was told of it.
type cluster struct {
	name      string
	encrypted bool
	snapshots []string
	sure      bool // there is no doubt about it: the last request was answered
}

// customerKey is a key in some cloud, with what lets Latchkey use it.
type customerKey interface {
	provider() string
	// bring makes the key and returns the configuration that names it.
	bring(ctx context.Context) (*admin.EncryptionAtRest, error)
	// revoke takes the key away in one of several ways; restore gives it back.
	revoke(ctx context.Context, way int) error
	restore(ctx context.Context) error
	// lag is how long the cloud itself goes on as before after such a revocation.
	lag(way int) time.Duration
	// isStatic is whether Latchkey is let in by static credentials, byRole the configuration that ends that.
	isStatic() bool
	byRole(ctx context.Context) (*admin.EncryptionAtRest, error)
	// next makes another key, or another version, and returns the configuration that names it.
	next(ctx context.Context) (*admin.EncryptionAtRest, error)
	// adopt takes the key that is configured for the present one.
	adopt(*admin.EncryptionAtRest)
	// wrong is a configuration with a key that does not exist.
	wrong() *admin.EncryptionAtRest
	// host is the address of the KMS.
	host() string
}

// found founds an organisation with a project for a tenant.
func (w *World) found(n int) (*tenant, error) {
	t := &tenant{world: w, name: fmt.Sprintf("tenant %d", n), rng: stream(w.cfg.Seed, 100+uint64(n))} //nolint:gosec // n is small and positive
	t.proc = &process{name: t.name, lasting: true}
	request, err := json.Marshal(operator.Request{
		Operation: operator.CreateOrganization, Name: t.name, ProjectName: "Project", OwnerEmail: "owner@example.com",
		PublicKey: fmt.Sprintf("public%02d", n), PrivateKey: fmt.Sprintf("00000000-0000-4000-8000-%012d", n),
	})
	if err != nil {
		return nil, err
	}
	answer, err := w.functions["operator"].Invoke(within(w.ctx, t.proc), request)
	if err != nil {
		return nil, err
	}
	var made operator.Result
	if err := json.Unmarshal(answer, &made); err != nil {
		return nil, err
	}
	t.org, t.group = made.OrgID, made.GroupID
	api := &wire{to: pocket.Transport(w.gateway), kind: asking, conductor: w.conductor, cut: func() bool { return w.apart }}
	t.client, err = admin.NewClient(admin.UseBaseURL("https://api.latchkey.example"), admin.UseHTTPClient(&http.Client{
		Transport: digest.NewTransportWithHTTPRoundTripper(fmt.Sprintf("public%02d", n), fmt.Sprintf("00000000-0000-4000-8000-%012d", n), &listener{api, w}),
	}))
	if err != nil {
		return nil, err
	}
	t.key = newKey(t, n)
	return t, nil
}

// live is what a tenant does all its days.
func (t *tenant) live(ctx context.Context) {
	w := t.world
	ctx = within(ctx, t.proc)
	for w.sleep(ctx, t.pause()) && w.turn(ctx, "acts") && !w.over {
		t.act(ctx)
	}
}

// act does something that may be done now.
func (t *tenant) act(ctx context.Context) {
	switch {
	case !t.brought:
		t.bring(ctx)
		return
	case t.doubtful:
		t.readSettings(ctx)
		return
	case t.unsure() != nil:
		t.ask(ctx, t.unsure())
		return
	case len(t.clusters) == 0:
		t.create(ctx)
		return
	case t.world.cfg.Quiet:
		return
	}
	pick(t.rng)(t, ctx)
}

func (t *tenant) unsure() *cluster {
	i := slices.IndexFunc(t.clusters, func(c *cluster) bool { return !c.sure })
	if i < 0 {
		return nil
	}
	return t.clusters[i]
}

// outcome is how a request ended.
type outcome int

const (
	done    outcome = iota
	denied          // by the API: nothing has changed
	unknown         // nobody knows whether it had an effect
)

// how tells the outcome of a request.
func (t *tenant) how(err error, what string) outcome {
	if err == nil {
		t.world.trace.say("%s: %s", t.name, what)
		return done
	}
	if model, ok := admin.AsError(err); ok && model.GetError() < http.StatusInternalServerError {
		t.world.trace.say("%s: %s is refused: %s", t.name, what, model.GetErrorCode())
		t.world.checks.refused[model.GetErrorCode()]++
		return denied
	}
	t.world.trace.say("%s: %s has no answer", t.name, what)
	return unknown
}

func (t *tenant) bring(ctx context.Context) {
	update, err := t.key.bring(ctx)
	if err != nil {
		t.world.trace.say("%s: bring: %v", t.name, err)
		return // the API was not there; again later
	}
	_, _, err = t.settings().UpdateEncryptionAtRest(ctx, t.group, update).Execute()
	t.brought = t.how(err, "brings a key") == done
}

func (t *tenant) settings() admin.EncryptionAtRestUsingCustomerKeyManagementApi {
	return t.client.EncryptionAtRestUsingCustomerKeyManagementApi
}

func (t *tenant) readSettings(ctx context.Context) {
	got, _, err := t.settings().GetEncryptionAtRest(ctx, t.group).Execute()
	if t.how(err, "reads its settings") == done {
		t.world.checks.seen(t, got)
		t.key.adopt(got)
		t.doubtful = false
	}
}

func (t *tenant) validate(ctx context.Context) {
	if resp, err := t.latchkey(ctx, http.MethodPost, "encryptionAtRest/validate"); err == nil {
		resp.Body.Close() //nolint:errcheck // not read
	}
}

// revokeOrRestore takes the key away, or gives it back.
func (t *tenant) revokeOrRestore(ctx context.Context) {
	if t.revoked.IsZero() {
		way := t.rng.IntN(3)
		t.touched, t.lag = time.Now(), t.key.lag(way)
		if err := t.key.revoke(ctx, way); err != nil {
			t.world.trace.say("%s can't take its key away: %v", t.name, err)
			return
		}
		t.revoked = t.touched
		t.world.trace.say("%s: takes its key away (%d)", t.name, way)
		t.world.checks.taken(t)
		return
	}
	t.restore(ctx)
}

func (t *tenant) restore(ctx context.Context) {
	if err := t.key.restore(ctx); err != nil {
		t.world.trace.say("%s can't give its key back: %v", t.name, err)
		return
	}
	t.revoked, t.touched = time.Time{}, time.Now()
	t.world.trace.say("%s: gives its key back", t.name)
	t.world.checks.given(t)
}

const maxClusters = 2

func (t *tenant) create(ctx context.Context) {
	if len(t.clusters) >= maxClusters || t.world.cfg.Quiet && len(t.clusters) > 0 {
		return
	}
	t.n++
	c := &cluster{name: fmt.Sprintf("C%d", t.n), encrypted: t.world.cfg.Quiet || t.rng.IntN(4) > 0}
	kind, provider := "REPLICASET", c.encryption(t)
	_, _, err := t.client.ClustersApi.CreateCluster(ctx, t.group, &admin.ClusterDescription20240805{
		Name: &c.name, ClusterType: &kind, EncryptionAtRestProvider: &provider, ReplicationSpecs: size("M10"), BackupEnabled: new(true),
	}).Execute()
	switch t.how(err, "creates "+c.name+" "+provider) {
	case done:
		c.sure = true
		t.clusters = append(t.clusters, c)
	case unknown:
		t.clusters = append(t.clusters, c)
	case denied:
	}
}

func (c *cluster) encryption(t *tenant) string {
	if c.encrypted {
		return t.key.provider()
	}
	return "NONE"
}

// size is the replication of a replica set of three nodes.
func size(instance string) *[]admin.ReplicationSpec20240805 {
	provider, region, priority, count := "AWS", "US_EAST_1", 7, 3
	return &[]admin.ReplicationSpec20240805{{RegionConfigs: &[]admin.CloudRegionConfig20240805{{
		ProviderName: &provider, RegionName: &region, Priority: &priority,
		ElectableSpecs: &admin.HardwareSpec20240805{InstanceSize: &instance, NodeCount: &count},
	}}}}
}

// toggle turns the encryption of a cluster on or off.
func (t *tenant) toggle(ctx context.Context) {
	c := t.clusters[t.rng.IntN(len(t.clusters))]
	next := &cluster{name: c.name, encrypted: !c.encrypted}
	provider := next.encryption(t)
	_, _, err := t.client.ClustersApi.UpdateCluster(ctx, t.group, c.name, &admin.ClusterDescription20240805{EncryptionAtRestProvider: &provider}).Execute()
	switch t.how(err, "turns "+c.name+" to "+provider) {
	case done:
		c.encrypted = next.encrypted
	case unknown:
		c.sure = false
	case denied:
	}
}

func (t *tenant) remove(ctx context.Context) {
	c := t.clusters[t.rng.IntN(len(t.clusters))]
	_, err := t.client.ClustersApi.DeleteCluster(ctx, t.group, c.name).Execute()
	switch t.how(err, "deletes "+c.name) {
	case done:
		t.drop(c)
	case unknown:
		c.sure = false
	case denied:
	}
}

func (t *tenant) drop(c *cluster) {
	t.clusters = slices.DeleteFunc(t.clusters, func(other *cluster) bool { return other == c })
}

// ask finds out what became of a request that was not answered.
func (t *tenant) ask(ctx context.Context, c *cluster) {
	got, _, err := t.client.ClustersApi.GetCluster(ctx, t.group, c.name).Execute()
	switch {
	case admin.IsErrorCode(err, "CLUSTER_NOT_FOUND"):
		t.drop(c)
	case err == nil && got.GetStateName() == "DELETING":
		t.drop(c)
	case err == nil:
		c.encrypted, c.sure = got.GetEncryptionAtRestProvider() != "NONE", true
	}
}

// write writes to the databases of the tenant's clusters that run.
func (t *tenant) write() {
	for _, h := range t.world.hosts {
		if h.GroupID != t.group || !h.runs() {
			continue
		}
		t.writes++
		key, value := fmt.Sprintf("k%d", t.writes%20), fmt.Sprintf("%s data %d of %s", marked, t.writes, t.name)
		if err := h.engine.Put(t.world.ctx, "db", key, []byte(value)); err != nil {
			t.world.failf("%s does not take a write: %w", h.name(), err)
			continue
		}
		h.has[key] = value
	}
}

// readable demands that a database has what was written to it.
func (h *host) readable() error {
	for key, want := range h.has {
		got, found, err := h.engine.Get(h.world.ctx, "db", key)
		if err != nil || !found || string(got) != want {
			return fmt.Errorf("I8: %s: %s is %q (%t, %w), want %q", h.name(), key, got, found, err, want)
		}
	}
	return nil
}

// listener looks for secrets in what the API answers.
type listener struct {
	http.RoundTripper

	world *World
}

// RoundTrip implements http.RoundTripper.
func (l *listener) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := l.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	s, err := take(&http.Request{Body: resp.Body})
	if err != nil {
		return nil, errors.Join(errInjected, err)
	}
	if traceOf(s.body) {
		l.world.failf("I9: an answer to %s %s holds a secret: %s", r.Method, r.URL.Path, s.body)
	}
	resp.Body = s.again()
	return resp, nil
}

// stateOf is the state of a cluster as the API tells it.
func (t *tenant) stateOf(ctx context.Context, c *cluster) string {
	got, _, err := t.client.ClustersApi.GetCluster(ctx, t.group, c.name).Execute()
	if err != nil {
		return err.Error()
	}
	return got.GetStateName()
}

// settle gives the key back and finds out what is in doubt.
func (t *tenant) settle(ctx context.Context) {
	for t.world.turn(ctx, "settles") && !t.revoked.IsZero() {
		t.restore(ctx)
	}
	for t.unsure() != nil && t.world.sleep(ctx, time.Minute) && t.world.turn(ctx, "settles") {
		t.ask(ctx, t.unsure())
	}
}
