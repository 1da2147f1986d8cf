package sim

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/atlas-sdk/v20250312018/admin"
)

// customerKey is a key in some cloud, with what lets Latchkey use it.
type customerKey interface {
	provider() string
	// services are what has to be reached to use the key: the KMS, its address first and then by private endpoints, and
	// those who issue tokens for it. regions are those that may fail, with all that fails with them.
	services() (kms, tokens []service)
	regions() []region
	// bring makes the key, and what lets Latchkey use it, as far as they are not there yet, and returns the
	// configuration that names them. away is the one that ends it, wrong one with a key that does not exist.
	bring(ctx context.Context) (*admin.EncryptionAtRest, error)
	away() *admin.EncryptionAtRest
	wrong() *admin.EncryptionAtRest
	// adopt takes the key that is configured for the present one.
	adopt(*admin.EncryptionAtRest)
	// tells is what a configuration says of this cloud: whether a key of it is in use, and by private networks alone.
	tells(*admin.EncryptionAtRest) (enabled, private bool)
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
	// renew has the cloud make new material for the key. moved is whether that is what wraps from now on, though
	// nothing is configured anew.
	renew(ctx context.Context) (moved bool, err error)
	// present names the key that wraps, with its version; spelled is how this cloud spells what the API tells of one.
	present() string
	spelled(name, version string) string
	// left are the keys and versions that were made and do not wrap, oldest first; retire disables the first for good.
	left() []string
	retire(ctx context.Context) error
}

// spares are keys and versions that wrap nothing any more, or never did, oldest first.
type spares struct{ names []string }

func (s *spares) left() []string { return s.names }

// replace takes one name for another.
func (s *spares) replace(old, present string) {
	if old != present {
		s.names = append(slices.DeleteFunc(s.names, func(name string) bool { return name == present || name == old }), old)
	}
}

// custody is a key that a tenant keeps at a provider, with what became of it.
type custody struct {
	customerKey

	tenant *tenant

	// brought is whether the key is configured, as far as the tenant was told, and ended that the tenant has
	// disabled the provider since, leaving that it is about to.
	brought, ended, leaving bool
	// moved is that the cloud has made new material, which wraps what is wrapped since.
	moved bool
	// private is whether private networking is required; networked that there may be private endpoints.
	private, networked bool
	// asked is that the cloud asks the tenant about one. severed is the one that the tenant has taken away there; ""
	// once there is another one.
	asked   bool
	severed string

	// revoked is since when nobody can use the key, by the tenant's own act; zero while they can.
	revoked time.Time
	// handedOver is when the tenant last took the key away or gave it back, delay what the cloud takes to notice.
	handedOver time.Time
	delay      time.Duration
	// partial is that the tenant was interrupted as it took the key away or gave it back.
	partial bool
	// excusedUntil is until when something else than the suite kept it from following, back since when an outage
	// is over; zero once the nodes are back.
	excusedUntil, back time.Time
	// stopped and started are whether it was seen that the nodes followed.
	stopped, started bool
}

// host is the address of the KMS.
func (k *custody) host() string {
	kms, _ := k.services()
	return kms[0].host
}

// keep adds a key at another provider.
func (t *tenant) keep(key customerKey) {
	t.keys = append(t.keys, &custody{customerKey: key, tenant: t})
}

// inUse is one of the keys that are configured, nil without any.
func (t *tenant) inUse() *custody { return t.any(func(k *custody) bool { return k.brought }) }

// any is one of the keys for which something holds; nil without any.
func (t *tenant) any(holds func(*custody) bool) *custody {
	var all []*custody
	for _, k := range t.keys {
		if holds(k) {
			all = append(all, k)
		}
	}
	if len(all) == 0 {
		return nil
	}
	return all[t.rng.IntN(len(all))]
}

// at is the key at a provider, nil without one.
func (t *tenant) at(provider string) *custody {
	i := slices.IndexFunc(t.keys, func(k *custody) bool { return k.provider() == provider })
	if i < 0 {
		return nil
	}
	return t.keys[i]
}

// believe takes over what the API tells of the configuration.
func (t *tenant) believe(got *admin.EncryptionAtRest) {
	for _, k := range t.keys {
		k.adopt(got)
		enabled, private := k.tells(got)
		switch {
		case enabled && k.ended:
			k.ended = false
		case k.brought && !enabled:
			k.ended, k.leaving, k.networked, k.asked = true, false, false, false
		}
		k.brought, k.private = enabled, private
	}
}

// update changes the configuration of keys.
func (t *tenant) update(ctx context.Context, update *admin.EncryptionAtRest, what string) outcome {
	got, _, err := t.settings().UpdateEncryptionAtRest(ctx, t.group, update).Execute()
	how := t.how(err, what)
	switch how {
	case done:
		t.believe(got)
	case unknown:
		t.doubtful = true // it may have been carried out
	case denied:
	}
	return how
}

// configure configures the key, for the first time or again.
func (k *custody) configure(ctx context.Context) {
	update, err := k.bring(ctx)
	if err != nil {
		k.tenant.world.trace.say("%s: bring: %v", k.tenant.name, err)
		return // the API was not there; again later
	}
	k.tenant.update(ctx, update, "brings a key "+k.provider())
}

// revokeOrRestore takes a key away, or gives it back.
func (t *tenant) revokeOrRestore(ctx context.Context) {
	k := t.any(func(k *custody) bool { return k.brought || k.ended })
	switch {
	case k == nil:
		return
	case !k.revoked.IsZero():
		k.giveBack(ctx)
		return
	}
	k.takeAway(ctx, t.rng.IntN(3))
}

func (k *custody) takeAway(ctx context.Context, way int) {
	t := k.tenant
	k.handedOver, k.delay = time.Now(), k.lag(way)
	err := k.revoke(ctx, way)
	k.revoked, k.partial = k.handedOver, err != nil
	if err != nil {
		k.stopped = true // nobody measures it
		t.world.trace.say("%s can't take its key away: %v", t.name, err)
		return
	}
	t.world.trace.say("%s: takes its key away %s (%d)", t.name, k.provider(), way)
	t.world.checks.taken(k)
}

func (k *custody) giveBack(ctx context.Context) {
	t := k.tenant
	if err := k.restore(ctx); err != nil {
		k.partial = true
		t.world.trace.say("%s can't give its key back: %v", t.name, err)
		return
	}
	k.revoked, k.handedOver, k.partial = time.Time{}, time.Now(), false
	t.world.trace.say("%s: gives its key back %s", t.name, k.provider())
	t.world.checks.given(k)
}

// blameless is whether the tenant has left the key alone for so long that nothing may still be stopped by
// what was.
func (k *custody) blameless() bool {
	return k.revoked.IsZero() && (k.handedOver.IsZero() || time.Since(k.handedOver) > memory+k.delay)
}

// second brings a key of another cloud, beside the first.
func (t *tenant) second(context.Context) {
	if len(t.keys) > 1 {
		return
	}
	others := []func(*tenant) customerKey{
		func(t *tenant) customerKey { return anAWSKey(t) }, aGoogleKey, anAzureKeyBySecret,
	}
	for draw := t.rng.IntN(len(others)); len(t.keys) < 2; draw++ {
		if key := others[draw%len(others)](t); t.at(key.provider()) == nil {
			t.keep(key)
		}
	}
}

// leave begins to disable a provider, or enables it again.
func (t *tenant) leave(ctx context.Context) {
	switch k := t.keys[t.rng.IntN(len(t.keys))]; {
	case k.ended && !k.revoked.IsZero():
		k.giveBack(ctx)
	case k.ended:
		k.configure(ctx)
	case k.brought:
		k.leaving = true
		k.depart(ctx)
	}
}

// depart goes one step towards disabling the provider: that needs a key that works, and nothing that needs it.
func (k *custody) depart(ctx context.Context) {
	t := k.tenant
	needs := slices.IndexFunc(t.clusters, func(c *cluster) bool { return c.provider == k.provider() })
	switch {
	case !k.revoked.IsZero():
		k.giveBack(ctx)
	case needs >= 0:
		t.encrypt(ctx, t.clusters[needs], unencrypted)
	case k.networked:
		k.disconnect(ctx)
	default:
		t.update(ctx, k.away(), "disables "+k.provider())
	}
}

func (t *tenant) rotate(ctx context.Context) {
	k := t.inUse()
	if k == nil || !k.revoked.IsZero() {
		return
	}
	if update, err := k.next(ctx); err == nil {
		t.update(ctx, update, "rotates")
	}
}

// renew has a cloud make new material for a key. Nothing stops, and what was wrapped opens.
func (t *tenant) renew(ctx context.Context) {
	k := t.inUse()
	if k == nil || !k.revoked.IsZero() {
		return
	}
	moved, err := k.renew(ctx)
	if err != nil {
		t.world.trace.say("%s: no new material: %v", t.name, err)
		return
	}
	k.moved = k.moved || moved
	t.said("has new material made " + k.provider())
}

// mistake names a key that does not exist. Nothing may be stored.
func (t *tenant) mistake(ctx context.Context) {
	if k := t.inUse(); k != nil && t.update(ctx, k.wrong(), "names a wrong key") == done {
		t.world.failf("I4: %s: a key is configured that does not exist", t.name)
	}
}

// switchRole has Latchkey use a role instead of static credentials, which can't be undone.
func (t *tenant) switchRole(ctx context.Context) {
	k := t.inUse()
	if k == nil || !k.revoked.IsZero() || !k.isStatic() {
		return
	}
	if update, err := k.byRole(ctx); err == nil {
		t.update(ctx, update, "switches to a role")
	}
}

// move has a multi-Region key used in its other region.
func (t *tenant) move(ctx context.Context) {
	held := t.at("AWS")
	if held == nil || !held.brought || !held.revoked.IsZero() || held.networked {
		return
	}
	region := "EU_WEST_1"
	if k, ok := held.customerKey.(*awsKey); ok && k.region == otherRegion {
		region = "US_EAST_1"
	}
	t.update(ctx, &admin.EncryptionAtRest{AwsKms: &admin.AWSKMSConfiguration{Region: &region}}, "moves to "+region)
}

// keyReport is what the API tells of a customer key, the last change of it, and former keys.
type keyReport struct {
	Provider   string     `json:"cloudProvider"`
	InUse      *namedKey  `json:"keyInUse"`
	Former     []namedKey `json:"formerKeys"`
	LastChange *struct {
		Kind  string `json:"kind"`
		State string `json:"state"`
	} `json:"lastChange"`
}

type namedKey struct {
	Name    string `json:"key"`
	Version string `json:"version"`
}

// changing is whether a change of the key is under way.
func (r keyReport) changing() bool { return r.LastChange != nil && r.LastChange.State == "UNDER_WAY" }

// report reads it; ok is false if nothing was answered.
func (k *custody) report(ctx context.Context) (r keyReport, ok bool) {
	var page struct {
		Results []keyReport `json:"results"`
	}
	if !k.tenant.read(ctx, "encryptionAtRest/keys", &page) {
		return r, false
	}
	i := slices.IndexFunc(page.Results, func(r keyReport) bool { return r.Provider == k.provider() })
	if i >= 0 {
		r = page.Results[i]
	}
	k.tenant.world.checks.told(k, r)
	return r, i >= 0
}

// retire disables a former key for good, once the API no longer lists it as needed.
func (t *tenant) retire(ctx context.Context) {
	k := t.any(func(k *custody) bool { return k.brought && len(k.left()) > 0 })
	if k == nil || t.doubtful {
		return
	}
	r, ok := k.report(ctx)
	is := func(name string) func(namedKey) bool {
		return func(n namedKey) bool { return k.spelled(n.Name, n.Version) == name }
	}
	old := k.left()[0]
	switch {
	case !ok || r.changing() || r.InUse == nil || !is(k.present())(*r.InUse) || slices.ContainsFunc(r.Former, is(old)):
	case k.retire(ctx) == nil:
		t.said("retires, as nothing needs it, a former key of " + k.provider())
		t.world.trace.say("%s: it was %s", t.name, old)
	}
}

// read reads what the SDK does not know.
func (t *tenant) read(ctx context.Context, path string, into any) bool {
	resp, err := t.latchkey(ctx, http.MethodGet, path)
	if err != nil {
		return false
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	return json.NewDecoder(resp.Body).Decode(into) == nil && resp.StatusCode == http.StatusOK
}

// bare is a key's name without where it is: replicas of a multi-Region key have one name.
func bare(arn string) string { return arn[strings.LastIndexByte(arn, '/')+1:] }
