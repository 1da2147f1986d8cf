package sim

import (
	"context"
	"encoding/json"
	"math/rand/v2"
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

// deeds are all that tenants do with a key and a cluster. The weights are how often, relative to each other.
var deeds = []deed{
	{6, (*tenant).readSettings},
	{4, (*tenant).revokeOrRestore},
	{2, (*tenant).rotate},
	{1, (*tenant).switchRole},
	{1, (*tenant).move},
	{1, (*tenant).networking},
	{2, (*tenant).create},
	{2, (*tenant).toggle},
	{1, (*tenant).remove},
	{2, (*tenant).validate},
	{2, (*tenant).snapshot},
	{1, (*tenant).restoreSnapshot},
	{1, (*tenant).mistake},
	{3, (*tenant).readCluster},
	{1, (*tenant).validateTwice},
	{2, (*tenant).retire},
}

// pick is one of the deeds.
func pick(rng *rand.Rand) func(*tenant, context.Context) {
	total := 0
	for _, d := range deeds {
		total += d.weight
	}
	draw := rng.IntN(total)
	i := slices.IndexFunc(deeds, func(d deed) bool {
		draw -= d.weight
		return draw < 0
	})
	return deeds[i].do
}

// update changes the configuration of the key.
func (t *tenant) update(ctx context.Context, update *admin.EncryptionAtRest, what string) outcome {
	got, _, err := t.settings().UpdateEncryptionAtRest(ctx, t.group, update).Execute()
	how := t.how(err, what)
	switch how {
	case done:
		t.key.adopt(got)
	case unknown:
		t.doubtful = true // it may have been carried out
	case denied:
	}
	return how
}

func (t *tenant) rotate(ctx context.Context) {
	if !t.revoked.IsZero() {
		return
	}
	if update, err := t.key.next(ctx); err == nil {
		t.update(ctx, update, "rotates")
	}
}

// mistake names a key that does not exist. Nothing may be stored.
func (t *tenant) mistake(ctx context.Context) {
	if t.update(ctx, t.key.wrong(), "names a wrong key") == done {
		t.world.failf("I4: %s: a key is configured that does not exist", t.name)
	}
}

// validateTwice asks for a check while another one takes long: the later one is done first.
func (t *tenant) validateTwice(ctx context.Context) {
	w := t.world
	w.fault(t.key.host(), pocket.Slow, 1)
	var first sync.WaitGroup
	first.Go(func() { t.validate(ctx) })
	if w.sleep(ctx, time.Second) && w.turn(ctx, "asks again") {
		t.validate(within(ctx, &process{name: t.name + " again", lasting: true}))
	}
	first.Wait()
}

// keyReport is what the API tells of a customer key, the last change of it, and former keys.
type keyReport struct {
	Provider string `json:"cloudProvider"`
	InUse    *struct {
		Name string `json:"key"`
	} `json:"keyInUse"`
	LastChange *struct {
		Kind  string `json:"kind"`
		State string `json:"state"`
	} `json:"lastChange"`
	Former []struct {
		Name string `json:"key"`
	} `json:"formerKeys"`
}

// changing is whether a change of the key is under way.
func (r keyReport) changing() bool { return r.LastChange != nil && r.LastChange.State == "UNDER_WAY" }

// keyReport reads it; ok is false if nothing was answered.
func (t *tenant) keyReport(ctx context.Context) (r keyReport, ok bool) {
	resp, err := t.latchkey(ctx, http.MethodGet, "encryptionAtRest/keys")
	if err != nil {
		return r, false
	}
	var page struct {
		Results []keyReport `json:"results"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&page); err != nil || resp.StatusCode != http.StatusOK {
		return r, false
	}
	i := slices.IndexFunc(page.Results, func(r keyReport) bool { return r.Provider == t.key.provider() })
	if i < 0 {
		return r, false
	}
	return page.Results[i], true
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

// retire disables a former key for good, once the API no longer lists it as needed.
func (t *tenant) retire(ctx context.Context) {
	k, ok := t.key.(*awsKey)
	if !ok || t.doubtful || len(k.former) == 0 {
		return
	}
	r, ok := t.keyReport(ctx)
	if !ok || r.changing() || r.InUse == nil || r.InUse.Name != k.key {
		return
	}
	arn := k.former[0]
	for _, f := range r.Former {
		if f.Name == arn {
			return
		}
	}
	if k.disable(ctx, arn) == nil {
		k.former = k.former[1:]
		t.world.trace.say("%s: retires %s, which nothing needs", t.name, arn)
	}
}

// readCluster reads what was acknowledged of a cluster.
func (t *tenant) readCluster(ctx context.Context) {
	c := t.clusters[t.rng.IntN(len(t.clusters))]
	got, _, err := t.client.ClustersApi.GetCluster(ctx, t.group, c.name).Execute()
	switch {
	case !c.sure:
	case admin.IsErrorCode(err, "CLUSTER_NOT_FOUND"):
		t.world.failf("I7: %s of %s is not there, and was acknowledged", c.name, t.name)
	case err == nil && got.GetEncryptionAtRestProvider() != c.encryption(t):
		t.world.failf("I7: %s of %s is encrypted by %s, and %s was acknowledged", c.name, t.name, got.GetEncryptionAtRestProvider(), c.encryption(t))
	}
}

// switchRole has Latchkey use a role instead of static credentials, which can't be undone.
func (t *tenant) switchRole(ctx context.Context) {
	if !t.revoked.IsZero() || !t.key.isStatic() {
		return
	}
	if update, err := t.key.byRole(ctx); err == nil {
		t.update(ctx, update, "switches to a role")
	}
}

// move has a multi-Region key used in its other region.
func (t *tenant) move(ctx context.Context) {
	k, ok := t.key.(*awsKey)
	if !ok || !t.revoked.IsZero() || t.endpoint != "" {
		return
	}
	region := "EU_WEST_1"
	if k.region == otherRegion {
		region = "US_EAST_1"
	}
	t.update(ctx, &admin.EncryptionAtRest{AwsKms: &admin.AWSKMSConfiguration{Region: &region}}, "moves to "+region)
}

// networking goes one step towards private endpoints, or back.
func (t *tenant) networking(ctx context.Context) {
	k, ok := t.key.(*awsKey)
	if !ok || !t.revoked.IsZero() {
		return
	}
	require := func(is bool) *admin.EncryptionAtRest {
		return &admin.EncryptionAtRest{AwsKms: &admin.AWSKMSConfiguration{RequirePrivateNetworking: &is}}
	}
	region := map[string]string{awsRegion: "US_EAST_1", otherRegion: "EU_WEST_1"}[k.region]
	switch {
	case !t.private:
		t.private = t.update(ctx, require(true), "requires private networking") == done
	case t.endpoint == "" && t.rng.IntN(3) > 0:
		made, _, err := t.settings().CreateRestPrivateEndpoint(ctx, t.group, "AWS", &admin.EARPrivateEndpoint{RegionName: &region}).Execute()
		if t.how(err, "sets up a private endpoint") == done {
			t.endpoint = made.GetId()
		}
	case t.endpoint == "":
		if t.update(ctx, require(false), "requires private networking no more") == done {
			t.private = false
		}
	default:
		_, err := t.settings().RequestPrivateEndpointDeletion(ctx, t.group, "AWS", t.endpoint).Execute()
		if how := t.how(err, "removes its private endpoint"); how == done || admin.IsErrorCode(err, "RESOURCE_NOT_FOUND") {
			t.endpoint = ""
		}
	}
}

// snapshot takes a snapshot of a cluster.
func (t *tenant) snapshot(ctx context.Context) {
	c := t.clusters[t.rng.IntN(len(t.clusters))]
	s, _, err := t.client.CloudBackupsApi.TakeSnapshots(ctx, t.group, c.name,
		&admin.DiskBackupOnDemandSnapshotRequest{Description: new("sim"), RetentionInDays: new(1)}).Execute()
	if t.how(err, "takes a snapshot of "+c.name) == done {
		c.snapshots = append(c.snapshots, s.GetId())
	}
}

// restoreSnapshot has a cluster begin again with what a snapshot of it holds.
func (t *tenant) restoreSnapshot(ctx context.Context) {
	c := t.clusters[t.rng.IntN(len(t.clusters))]
	if len(c.snapshots) == 0 {
		return
	}
	id := c.snapshots[t.rng.IntN(len(c.snapshots))]
	_, _, err := t.client.CloudBackupsApi.CreateBackupRestoreJob(ctx, t.group, c.name, &admin.DiskBackupSnapshotRestoreJob{
		DeliveryType: "automated", SnapshotId: &id, TargetClusterName: &c.name, TargetGroupId: &t.group,
	}).Execute()
	t.how(err, "restores "+c.name)
}

// pause is how long the tenant thinks.
func (t *tenant) pause() time.Duration {
	mean := 4 * time.Minute
	switch live := t.world.cfg.For; {
	case t.world.cfg.Quiet:
		mean = time.Minute
	case live > 48*time.Hour: // who lives long takes it easy
		mean = time.Hour
	case live > 3*time.Hour:
		mean = 10 * time.Minute
	}
	return time.Second + time.Duration(t.rng.ExpFloat64()*float64(mean))
}
