package masterkey_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/cluster"
	"latchkey/shared/ledger"
	"latchkey/shared/node/protocol"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

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
