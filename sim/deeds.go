package sim

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"

	"go.mongodb.org/atlas-sdk/v20250312018/admin"

	"latchkey/local/pocket"
)

// deed is something that a tenant does now and then.
type deed struct {
	weight int
	do     func(*tenant, context.Context)
}

// deeds are all that tenants do with keys and clusters. The weights are how often, relative to each other.
var deeds = []deed{
	{6, (*tenant).readSettings},
	{4, (*tenant).revokeOrRestore},
	{2, (*tenant).rotate},
	{2, (*tenant).renew},
	{1, (*tenant).switchRole},
	{1, (*tenant).move},
	{3, (*tenant).networking},
	{2, (*tenant).create},
	{3, (*tenant).toggle},
	{1, (*tenant).remove},
	{2, (*tenant).second},
	{1, (*tenant).leave},
	{2, (*tenant).validate},
	{5, (*tenant).snapshot},
	{4, (*tenant).restoreSnapshot},
	{2, (*tenant).lookAtSnapshots},
	{1, (*tenant).deleteSnapshot},
	{1, (*tenant).mistake},
	{3, (*tenant).readCluster},
	{1, (*tenant).validateTwice},
	{2, (*tenant).retire},
	{2, (*tenant).maintain},
}

// pick is one of the deeds. What takes several steps is gone on with half of the time.
func (t *tenant) pick() func(*tenant, context.Context) {
	k := t.any(func(k *custody) bool {
		return k.leaving || k.ended || k.asked || k.severed != "" || k.private && t.rng.IntN(3) == 0
	})
	if k != nil && t.rng.IntN(2) == 0 {
		return func(_ *tenant, ctx context.Context) { k.goOn(ctx) }
	}
	total := 0
	for _, d := range deeds {
		total += d.weight
	}
	draw := t.rng.IntN(total)
	i := slices.IndexFunc(deeds, func(d deed) bool {
		draw -= d.weight
		return draw < 0
	})
	return deeds[i].do
}

// goOn goes on with what takes several steps.
func (k *custody) goOn(ctx context.Context) {
	switch {
	case k.severed != "" || k.asked && !k.leaving:
		k.approve(ctx)
	case k.leaving:
		k.depart(ctx)
	case k.ended && !k.revoked.IsZero():
		k.giveBack(ctx)
	case k.ended:
		k.configure(ctx)
	case k.revoked.IsZero():
		k.connect(ctx)
	}
}

// validateTwice asks for a check while another one takes long: the later one is done first.
func (t *tenant) validateTwice(ctx context.Context) {
	k := t.inUse()
	if k == nil {
		return
	}
	w := t.world
	w.fault(pocket.Fault{Host: k.host(), Kind: pocket.Slow, Count: 1})
	var first sync.WaitGroup
	first.Go(func() { t.validate(ctx) })
	if w.sleep(ctx, time.Second) && w.awaitTurn(ctx, "asks again") {
		t.validate(within(ctx, &process{name: t.name + " again", lasting: true}))
	}
	first.Wait()
}

// latchkey asks for what the SDK does not know.
func (t *tenant) latchkey(ctx context.Context, method, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "https://api.latchkey.example/api/latchkey/v1/groups/"+t.group+"/"+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/vnd.atlas.2024-08-05+json")
	return t.client.GetConfig().HTTPClient.Do(req)
}

// readCluster reads what was acknowledged of a cluster.
func (t *tenant) readCluster(ctx context.Context) {
	c := t.clusters[t.rng.IntN(len(t.clusters))]
	got, _, err := t.client.ClustersApi.GetCluster(ctx, t.group, c.name).Execute()
	switch {
	case !c.sure:
	case admin.IsErrorCode(err, "CLUSTER_NOT_FOUND"):
		t.world.failf("I7: %s of %s is not there, and was acknowledged", c.name, t.name)
	case err == nil && got.GetEncryptionAtRestProvider() != c.provider:
		t.world.failf("I7: %s of %s is encrypted by %s, and %s was acknowledged", c.name, t.name, got.GetEncryptionAtRestProvider(), c.provider)
	}
}

// maintain has the master keys replaced: years pass in no simulation, so they are made older first.
func (t *tenant) maintain(ctx context.Context) {
	if !t.aged {
		if t.aged = t.age(ctx, 61*24*time.Hour); t.aged {
			t.said("has master keys of 61 days")
		}
		return
	}
	_, err := t.client.MaintenanceWindowsApi.UpdateMaintenanceWindow(ctx, t.group, &admin.GroupMaintenanceWindow{DayOfWeek: 4, StartASAP: new(true)}).Execute()
	t.how(err, "has its maintenance begin")
}

// pause is how long the tenant thinks.
func (t *tenant) pause() time.Duration {
	mean := min(4*time.Minute, t.world.cfg.For/12) // who lives a short while is busy
	switch live := t.world.cfg.For; {
	case t.world.cfg.Quiet:
		mean = time.Minute
	case live > 48*time.Hour: // who lives long takes it easy
		mean = time.Hour
	case live > 3*time.Hour:
		mean = 6 * time.Minute
	}
	return time.Second + time.Duration(t.rng.ExpFloat64()*float64(mean))
}
