package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/atlas-sdk/v20250312018/admin"
)

// tenant is who has a project, and a key in a cloud of its own. It acts through the API with the official
// SDK, and in its cloud as anybody does there.
type tenant struct {
	world    *World
	name     string
	n        int // of tenants
	rng      *rand.Rand
	proc     *process
	org      string
	group    string
	client   *admin.APIClient
	keys     []*custody
	clusters []*cluster
	acting   bool // it does something just now
	writes   int
	named    int // clusters
	// doubtful is that a change of the configuration was not answered.
	doubtful bool
	// aged is that months have passed for the tenant's master keys.
	aged bool
}

// cluster is a cluster as the tenant was told of it.
type cluster struct {
	name string
	// provider is that of the key that encrypts it, or unencrypted.
	provider  string
	snapshots []*snapshot
	sure      bool // there is no doubt about it: the last request was answered
	going     bool // the tenant has deleted it, or may have
}

// unencrypted is the provider of clusters without encryption.
const unencrypted = "NONE"

// live is what a tenant does all its days.
func (t *tenant) live(ctx context.Context) {
	w := t.world
	ctx = within(ctx, t.proc)
	for w.sleep(ctx, t.pause()) && w.awaitTurn(ctx, "acts") && !w.over {
		t.acting = true
		t.act(ctx)
		if !w.awaitTurn(ctx, "has acted") {
			return
		}
		t.acting = false
	}
}

// act does something that may be done now.
func (t *tenant) act(ctx context.Context) {
	if t.doubtful {
		t.readSettings(ctx)
		return
	}
	if c := t.unsure(); c != nil {
		t.ask(ctx, c)
		return
	}
	if k := t.any(func(k *custody) bool { return !k.brought && !k.ended }); k != nil {
		k.configure(ctx)
		return
	}
	switch {
	case len(t.clusters) == 0:
		t.create(ctx)
	case t.world.cfg.Quiet:
	default:
		t.pick()(t, ctx)
	}
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
		t.said(what)
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

// clusterName is how clusters are called.
var clusterName = regexp.MustCompile(`^C\d+$`)

// said notes what the tenant has done.
func (t *tenant) said(what string) {
	t.world.trace.say("%s: %s", t.name, what)
	t.world.checks.deeds[strings.Join(slices.DeleteFunc(strings.Fields(what), clusterName.MatchString), " ")]++
}

func (t *tenant) settings() admin.EncryptionAtRestUsingCustomerKeyManagementApi {
	return t.client.EncryptionAtRestUsingCustomerKeyManagementApi
}

func (t *tenant) readSettings(ctx context.Context) {
	got, _, err := t.settings().GetEncryptionAtRest(ctx, t.group).Execute()
	if t.how(err, "reads its settings") == done {
		t.world.checks.seen(t, got)
		t.believe(got)
		t.doubtful = false
	}
}

func (t *tenant) validate(ctx context.Context) {
	if resp, err := t.latchkey(ctx, http.MethodPost, "encryptionAtRest/validate"); err == nil {
		resp.Body.Close() //nolint:errcheck // not read
	}
}

const maxClusters = 2

func (t *tenant) create(ctx context.Context) {
	if len(t.clusters) >= maxClusters || t.world.cfg.Quiet && len(t.clusters) > 0 {
		return
	}
	t.named++
	c := &cluster{name: fmt.Sprintf("C%d", t.named), provider: unencrypted}
	if t.world.cfg.Quiet || t.rng.IntN(5) > 0 {
		c.provider = t.unused()
	}
	kind := "REPLICASET"
	_, _, err := t.client.ClustersApi.CreateCluster(ctx, t.group, &admin.ClusterDescription20240805{
		Name: &c.name, ClusterType: &kind, EncryptionAtRestProvider: &c.provider, ReplicationSpecs: t.size("M10"), BackupEnabled: new(true),
	}).Execute()
	switch t.how(err, "creates "+c.name+" "+c.provider) {
	case done:
		c.sure = true
		t.clusters = append(t.clusters, c)
	case unknown:
		t.clusters = append(t.clusters, c)
	case denied:
	}
}

// unused is a provider whose key encrypts no cluster yet, if there is one.
func (t *tenant) unused() string {
	may := func(k *custody) bool { return k.brought && !k.leaving }
	k := t.any(func(k *custody) bool {
		return may(k) && !slices.ContainsFunc(t.clusters, func(c *cluster) bool { return c.provider == k.provider() })
	})
	if k == nil {
		k = t.any(may)
	}
	if k == nil {
		return unencrypted
	}
	return k.provider()
}

// size is the replication of a replica set of three nodes. It is at one cloud for all clusters of a tenant, or else there
// could be no private endpoints.
func (t *tenant) size(instance string) *[]admin.ReplicationSpec20240805 {
	provider, region, priority, count := "AWS", "US_EAST_1", 7, 3
	if t.keys[0].provider() != "AWS" {
		provider, region = "AZURE", azureRegion
	}
	return &[]admin.ReplicationSpec20240805{{RegionConfigs: &[]admin.CloudRegionConfig20240805{{
		ProviderName: &provider, RegionName: &region, Priority: &priority,
		ElectableSpecs: &admin.HardwareSpec20240805{InstanceSize: &instance, NodeCount: &count},
	}}}}
}

// toggle turns the encryption of a cluster on or off, or to the key of another provider, which goes in two steps
// alone.
func (t *tenant) toggle(ctx context.Context) {
	c := t.clusters[t.rng.IntN(len(t.clusters))]
	if i := slices.IndexFunc(t.clusters, func(c *cluster) bool { return c.provider == unencrypted }); i >= 0 && t.rng.IntN(4) > 0 {
		c = t.clusters[i]
	}
	next := unencrypted
	if k := t.inUse(); k != nil && !k.leaving && k.provider() != c.provider && (c.provider == unencrypted || t.rng.IntN(4) == 0) {
		next = k.provider()
	}
	t.encrypt(ctx, c, next)
}

// encrypt changes what encrypts a cluster.
func (t *tenant) encrypt(ctx context.Context, c *cluster, provider string) {
	_, _, err := t.client.ClustersApi.UpdateCluster(ctx, t.group, c.name, &admin.ClusterDescription20240805{EncryptionAtRestProvider: &provider}).Execute()
	switch t.how(err, "turns "+c.name+" to "+provider) {
	case done:
		c.provider = provider
	case unknown:
		c.sure = false
	case denied:
	}
}

func (t *tenant) remove(ctx context.Context) {
	c := t.clusters[t.rng.IntN(len(t.clusters))]
	c.going = true
	_, err := t.client.ClustersApi.DeleteCluster(ctx, t.group, c.name).Execute()
	switch t.how(err, "deletes "+c.name) {
	case done:
		t.drop(c)
	case unknown:
		c.sure = false
	case denied: // it may be on its way: requests come twice
		c.sure = !admin.IsErrorCode(err, "CLUSTER_ALREADY_REQUESTED_DELETION")
		c.going = !c.sure
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
		c.provider, c.sure, c.going = got.GetEncryptionAtRestProvider(), true, false
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

// stateOf is the state of a cluster as the API tells it.
func (t *tenant) stateOf(ctx context.Context, c *cluster) string {
	got, _, err := t.client.ClustersApi.GetCluster(ctx, t.group, c.name).Execute()
	if err != nil {
		return err.Error()
	}
	return got.GetStateName()
}

// settle gives the keys back and finds out what is in doubt.
func (t *tenant) settle(ctx context.Context) {
	t.finish(ctx)
	for _, k := range t.keys {
		for t.world.awaitTurn(ctx, "settles") && !k.revoked.IsZero() {
			k.giveBack(ctx)
		}
	}
	for t.unsettled() && t.world.sleep(ctx, time.Minute) && t.world.awaitTurn(ctx, "settles") {
		if t.doubtful {
			t.readSettings(ctx)
		}
		if c := t.unsure(); c != nil {
			t.ask(ctx, c)
		}
		for _, k := range t.keys {
			if k.severed != "" {
				k.approve(ctx)
			}
		}
	}
}

// finish waits until the tenant has ended what it began before.
func (t *tenant) finish(ctx context.Context) {
	for t.world.awaitTurn(ctx, "ends what it does") && t.acting && t.world.sleep(ctx, time.Second) {
	}
}

// depart takes all keys away, in ways that clouds follow at once.
func (t *tenant) depart(ctx context.Context) {
	t.finish(ctx)
	for _, k := range t.keys {
		way := t.rng.IntN(3)
		for k.lag(way) > 0 {
			way = (way + 1) % 3
		}
		if !k.brought || !k.revoked.IsZero() {
			continue
		}
		if r, ok := k.report(ctx); ok && !r.changing() { // a new key that wraps nothing yet gives way to the former one
			k.takeAway(ctx, way)
		}
	}
}

// unsettled is whether anything is in doubt, or kept from the suite.
func (t *tenant) unsettled() bool {
	return t.doubtful || t.unsure() != nil || slices.ContainsFunc(t.keys, func(k *custody) bool { return k.severed != "" })
}
