package sim

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/atlas-sdk/v20250312018/admin"

	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	model "latchkey/shared/cluster"
	"latchkey/shared/encryption"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

// checks are the invariants I1 to I9 of docs/reliability.md, looked at whenever something is written,
// every minute, and in the end.
type checks struct {
	world   *World
	refused map[string]int // answers of the API, by code
	deeds   map[string]int // what tenants have done
	events  map[string]int // what the suite has told of, by type
	// waits are how long things took, in virtual time.
	waits    map[string][]time.Duration
	verdicts int
}

func newChecks(w *World) *checks {
	return &checks{world: w, refused: map[string]int{}, deeds: map[string]int{}, events: map[string]int{}, waits: map[string][]time.Duration{}}
}

// wrote looks at every write to the table, at its turn.
func (c *checks) wrote(ctx context.Context, ops []store.Op, before map[store.Key]store.Item) {
	for _, op := range ops {
		key := op.Item.Key
		if op.Kind == store.OpPut {
			where := "the item " + key.String()
			c.world.secrets.look(where, op.Item.Body)
			c.world.secrets.look(where, []byte(key.String()+" "+op.Item.Index.String()))
		}
		was, existed := before[key]
		switch {
		case op.Kind == store.OpCheck:
		case key == keys.RecipientKeys() && op.Kind == store.OpPut:
			c.world.unsealed(ctx, op.Item)
		case strings.HasPrefix(key.PK, keys.EventPartition("")):
			c.event(op.Item)
		case key.SK == "ENCRYPTION" && existed && op.Kind == store.OpPut:
			c.settings(was, op.Item)
		case key.SK == "CLUSTER" && existed && op.Kind == store.OpPut:
			c.cluster(was, op.Item)
		case strings.HasPrefix(key.SK, keys.NodePrefix) && existed && op.Kind == store.OpPut:
			c.ordered(was, op.Item)
		case strings.HasPrefix(key.SK, keys.WrappedKeysPrefix) && existed && op.Kind == store.OpDelete:
			c.struckOut(was)
		}
	}
}

// event counts what the suite tells of.
func (c *checks) event(item store.Item) {
	e, err := store.Decode[audit.Event](item)
	if err != nil {
		c.world.fail(err)
		return
	}
	c.events[string(e.Type)]++
}

var providers = []atlas.Provider{atlas.AWS, atlas.Azure, atlas.GCP}

// settings looks at a change of a project's settings: verdicts never go back in time.
func (c *checks) settings(was, is store.Item) {
	before, err := encryption.Stored(was)
	if err != nil {
		c.world.fail(err)
		return
	}
	after, err := encryption.Stored(is)
	if err != nil {
		c.world.fail(err)
		return
	}
	for _, p := range providers {
		o, n := before.Key(p), after.Key(p)
		if o == nil || n == nil || o.Revision != n.Revision {
			continue
		}
		c.verdicts++
		if n.Verdict.StartedAt.Before(o.Verdict.StartedAt) {
			c.world.failf("I3: of %s's key at %s a verdict of %s replaces one of %s", after.GroupID, p, n.Verdict.StartedAt, o.Verdict.StartedAt)
		}
	}
}

// memory is how long after a key was given back something may still be stopped on an older verdict:
// a check every fifteen minutes, and what it takes to act.
const memory = 20 * time.Minute

// cluster looks at a change of a cluster's record: nodes are stopped for what the tenant did, and for
// nothing else.
func (c *checks) cluster(was, is store.Item) {
	before, err := store.Decode[model.Cluster](was)
	if err != nil {
		c.world.fail(err)
		return
	}
	after, err := store.Decode[model.Cluster](is)
	if err != nil {
		c.world.fail(err)
		return
	}
	if before.Disabled != nil || after.Disabled == nil {
		return
	}
	t, p := c.tenantOf(after.GroupID), string(after.Disabled.Provider)
	switch k := t.at(p); {
	case k == nil:
		c.world.failf("I1: %s of %s is disabled for a key at %s, where there is none", after.Name, t.name, p)
	case k.blameless():
		c.world.failf("I1: %s of %s is disabled (%s), and nobody took the key at %s away", after.Name, t.name, after.Disabled.Reason, p)
	case !before.Uses(after.Disabled.Provider):
		c.world.failf("I1: %s of %s is disabled for the key at %s, and is under another one", after.Name, t.name, p)
	case k.ended && !t.doubtful:
		c.world.failf("I1: %s of %s is disabled for the key at %s, which nothing uses any more", after.Name, t.name, p)
	}
}

// ordered looks at what a node is told: to stop only while its cluster is disabled, or for good.
func (c *checks) ordered(was, is store.Item) {
	before, err := store.Decode[model.Node](was)
	if err != nil {
		c.world.fail(err)
		return
	}
	after, err := store.Decode[model.Node](is)
	if err != nil {
		c.world.fail(err)
		return
	}
	if after.Desired.Number == before.Desired.Number || after.Desired.State != model.Stop || after.Desired.Command == model.DeleteCommand {
		return
	}
	if since := c.disabled(after.ClusterID); since.IsZero() {
		c.world.failf("I1: %s is told to stop, and its cluster is not disabled", after.ID)
	}
}

// disabled is since when a cluster is disabled; zero if it is not.
func (c *checks) disabled(clusterID string) time.Time {
	cl, _, err := store.Load[model.Cluster](c.world.ctx, c.world.table, keys.Cluster(clusterID))
	if err != nil || cl.Disabled == nil {
		return time.Time{}
	}
	return cl.Disabled.Since
}

func (c *checks) tenantOf(groupID string) *tenant {
	i := slices.IndexFunc(c.world.tenants, func(t *tenant) bool { return t.group == groupID })
	return c.world.tenants[i]
}

// taken and given note when a tenant acts on its key. What is measured is how long nodes take that run, or
// are stopped, at that moment.
func (c *checks) taken(k *custody) {
	running, _, _ := c.nodes(k)
	k.stopped = running == 0
}

func (c *checks) given(k *custody) {
	running, _, encrypted := c.nodes(k)
	k.started = running > 0 || encrypted == 0
}

// nodes counts the nodes that need a key: those that run, those of them that had the time to stop, and all.
func (c *checks) nodes(k *custody) (running, overdue, encrypted int) {
	for _, h := range c.world.hosts {
		if h.GroupID != k.tenant.group || h.gone || !h.needs(k) {
			continue
		}
		encrypted++
		if h.runs() {
			running++
			if time.Since(h.excusedUntil) > c.bound(k) {
				overdue++
			}
		}
	}
	return running, overdue, encrypted
}

// minute looks at what must have happened by now, and at what must never have happened.
func (c *checks) minute() {
	c.world.excuse()
	c.leaks()
	c.copied()
	for _, h := range c.world.hosts {
		c.opens(h)
	}
	for k := range c.world.custodies() {
		c.actedOn(k)
	}
}

// actedOn looks whether a revocation was acted on, and its opposite.
func (c *checks) actedOn(k *custody) {
	running, overdue, encrypted := c.nodes(k)
	if encrypted == 0 {
		return
	}
	since := time.Since(k.handedOver)
	switch {
	case k.handedOver.IsZero():
	case !k.revoked.IsZero() && running == 0 && !k.stopped:
		k.stopped = true
		what := "revoke → all nodes stopped"
		if k.delay > 0 {
			what += " (a role's trust)"
		}
		c.took(what, since)
	case !k.revoked.IsZero() && overdue > 0 && min(since, time.Since(k.excusedUntil)) > c.bound(k):
		c.world.failf("I2: %s took its key at %s away %s ago, and %d of %d nodes run", k.tenant.name, k.provider(), since, overdue, encrypted)
	case k.revoked.IsZero() && running == encrypted && !k.started:
		k.started = true
		c.took("key restored → all nodes running", since)
	}
	if !k.back.IsZero() && k.revoked.IsZero() && !c.world.excuses(k) && running == encrypted {
		c.took("outage end → unavailable nodes back", time.Since(k.back))
		k.back = time.Time{}
	}
}

func (c *checks) took(what string, d time.Duration) { c.waits[what] = append(c.waits[what], d) }

// stops looks at an agent that stops its database: because it was told to, and for no other reason.
func (c *checks) stops(h *host) {
	if !h.runs() {
		return
	}
	item, err := c.world.table.Get(c.world.ctx, keys.Node(h.ClusterID, h.NodeID))
	if err != nil {
		return // there is no such node any more
	}
	n, err := store.Decode[model.Node](item)
	if err != nil {
		c.world.fail(err)
		return
	}
	if n.Desired.State == model.Run && (n.Desired.Command == model.StartCommand || n.Desired.Command == model.RewrapCommand) && n.Acked() {
		c.world.failf("I1: %s stops its database, and was told %+v", h.name(), n.Desired)
	}
}

// seen looks at what the API answers: what it acknowledged is there.
func (c *checks) seen(t *tenant, got *admin.EncryptionAtRest) {
	for _, k := range t.keys {
		if enabled, _ := k.tells(got); enabled != k.brought && !t.doubtful {
			c.world.failf("I7: %s was told that its key at %s is in use: %t; and reads the contrary", t.name, k.provider(), k.brought)
		}
	}
}

// well says what is not as it should be in a world that was mended; "" is nothing.
func (c *checks) well(ctx context.Context) string {
	var ill []string
	for _, t := range c.world.tenants {
		for _, cl := range t.clusters {
			if state := t.stateOf(ctx, cl); state != "IDLE" {
				ill = append(ill, fmt.Sprintf("%s of %s is %s", cl.name, t.name, state))
			}
		}
	}
	for k := range c.world.custodies() {
		if r, ok := k.report(ctx); k.brought && (!ok || r.changing()) {
			ill = append(ill, fmt.Sprintf("the last change of %s's key at %s is %+v", k.tenant.name, k.provider(), r.LastChange))
		}
	}
	for _, t := range c.world.tenants {
		if t.replacing(ctx) {
			ill = append(ill, t.name+"'s master keys are being replaced")
		}
	}
	for _, h := range c.world.hosts {
		if !h.runs() {
			ill = append(ill, h.name()+" of "+h.ClusterName+" is "+string(h.engine.Status().Phase))
		}
	}
	return strings.Join(ill, "\n")
}

// last looks at everything once more, in a world where all is well.
func (c *checks) last() {
	for _, h := range c.world.hosts {
		if err := h.readable(); err != nil {
			c.world.fail(err)
		}
		c.accounted(h)
	}
	c.stored()
	c.leaks()
}

// leaks are the secrets that were found where none may be.
func (c *checks) leaks() {
	for _, what := range c.world.secrets.told() {
		c.world.failf("I9: %s", what)
	}
}

// stored looks at what is stored in the end, and at what is left of what was: files keep what was deleted.
func (c *checks) stored() {
	for id, k := range c.world.vault.saved {
		for name, content := range k.files {
			if k.Key != nil {
				c.world.secrets.look(name+" of the snapshot "+id, content)
			}
		}
	}
	for _, h := range c.world.hosts {
		if ring, err := h.ring(); err == nil && ring.Current != nil {
			c.world.secrets.look("the database's disk of "+h.name(), h.data.Bytes())
		}
	}
	content, err := os.ReadFile(filepath.Join(c.world.dir, "table.db"))
	if err != nil {
		c.world.fail(err)
	}
	c.world.secrets.look("the table's file", content)
}

// asWanted demands that a node is encrypted by what was acknowledged of its cluster.
func (c *checks) asWanted(h *host, ring onDisk) {
	is := unencrypted
	if ring.Current != nil {
		is = ring.Current.Wrapped.Provider
	}
	for _, cl := range c.tenantOf(h.GroupID).clusters {
		if cl.name == h.ClusterName && cl.provider != is {
			c.world.failf("I8: %s is encrypted by %s, and %s was acknowledged of %s", h.name(), is, cl.provider, cl.name)
		}
	}
}
