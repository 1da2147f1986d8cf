package snapshot_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"time"

	"latchkey/agent"
	"latchkey/agent/agenttest"
	"latchkey/agent/badgerengine"
	"latchkey/agent/enginetest"
	"latchkey/agent/memengine"
	"latchkey/agent/snapshotdir"
	"latchkey/agent/statedir"
	"latchkey/agent/statedir/statedirtest"
	"latchkey/shared/cluster"
	"latchkey/shared/ledger"
	"latchkey/shared/store"
)

// process is a real agent with an engine in memory.
type process struct {
	w      *world
	nodeID string
	token  string
	disk   *statedirtest.Disk
	data   *memengine.Disk
	net    *agenttest.Network
	engine enginetest.Store
	stop   context.CancelFunc
	done   chan error
}

func (p *process) start() {
	p.w.t.Helper()
	client, err := agent.NewClient("https://latchkey.test", p.net, time.Now)
	if err != nil {
		p.w.t.Fatal(err)
	}
	var engine enginetest.Store = memengine.New(memengine.Config{Disk: p.data, Source: p.w.source(p.nodeID), Now: time.Now})
	if p.w.badger != "" {
		engine = badgerengine.New(badgerengine.Config{
			Dir: filepath.Join(p.w.badger, p.nodeID), Source: badgerengine.Source(p.w.source(p.nodeID)), Now: time.Now,
		})
	}
	p.w.mu.Lock()
	p.engine = engine
	p.w.mu.Unlock()
	a := agent.New(agent.Config{
		Client: client, State: statedir.New(p.disk), Engine: engine, EnrolToken: p.token, Snapshots: snapshotdir.New(p.w.dir),
		Log: slog.New(slog.DiscardHandler), Now: time.Now, Jitter: func(d time.Duration) time.Duration { return d / 2 },
	})
	ctx, cancel := context.WithCancel(p.w.t.Context())
	p.stop, p.done = cancel, make(chan error, 1)
	done := p.done
	go func() { done <- a.Run(ctx) }()
}

func (p *process) end() {
	if p.stop == nil {
		return
	}
	p.stop()
	p.stop = nil
	if err := <-p.done; err != nil {
		p.w.t.Error(err)
	}
}

// crash ends an agent without mercy and starts it again.
func (p *process) crash() {
	p.disk.Crash()
	p.stop()
	<-p.done //nolint:errcheck // it may say anything now
	p.disk.Reboot(0)
	p.start()
}

// engine is that of a node, nil if it has none.
func (w *world) engine(nodeID string) enginetest.Store {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p := w.fleet[nodeID]; p != nil {
		return p.engine
	}
	return nil
}

// source copies from a node of the same shard that runs.
func (w *world) source(nodeID string) memengine.Source {
	return func(ctx context.Context) (io.ReadCloser, error) {
		me := w.node(nodeID)
		d, err := w.clusters.Load(ctx, me.ClusterID)
		if err != nil {
			return nil, err
		}
		for _, n := range d.Nodes {
			peer := w.engine(n.ID)
			if n.ID == nodeID || n.ShardID != me.ShardID || peer == nil || peer.Status().Phase != agent.Running {
				continue
			}
			var stream bytes.Buffer
			err := peer.Export(ctx, &stream)
			return io.NopCloser(&stream), err
		}
		if me.Desired.Command == cluster.ResyncCommand {
			return nil, errors.New("nobody to copy from")
		}
		return nil, nil
	}
}

func (w *world) node(id string) cluster.Node {
	for _, name := range w.names(w.group) {
		for _, n := range w.load(w.group, name).Nodes {
			if n.ID == id {
				return n
			}
		}
	}
	for _, name := range w.names(w.other) {
		for _, n := range w.load(w.other, name).Nodes {
			if n.ID == id {
				return n
			}
		}
	}
	return cluster.Node{}
}

func (w *world) work(d cluster.Deployment) {
	w.t.Helper()
	for _, n := range d.Nodes {
		if w.fleet[n.ID] != nil || n.Leaving() {
			continue
		}
		token, _, err := w.nodes.IssueToken(w.t.Context(), d.ID, n.ID)
		if err != nil {
			w.t.Fatal(err)
		}
		p := &process{w: w, nodeID: n.ID, token: token, disk: &statedirtest.Disk{}, data: &memengine.Disk{}, net: agenttest.NewNetwork(w.agents)}
		w.mu.Lock()
		w.fleet[n.ID] = p
		w.mu.Unlock()
		p.start()
	}
	if d.Plan == nil {
		return
	}
	var err error
	if d.Deleting() {
		_, err = w.clusters.FinishDelete(w.t.Context(), d.ID)
	} else {
		_, err = w.clusters.MarkReady(w.t.Context(), d.ID, d.Plan.Spec.Revision)
	}
	if err != nil && !errors.Is(err, store.ErrConflict) {
		w.t.Fatal(err)
	}
}

// put writes to every node of a shard, as replication would.
func (w *world) put(group, name string, shard int, key string) {
	w.t.Helper()
	d := w.load(group, name)
	for _, n := range d.Nodes {
		if n.ShardID == d.Spec.Shards[shard].ID {
			if err := w.fleet[n.ID].engine.Put(w.t.Context(), "db", key, []byte("value of "+key)); err != nil {
				w.t.Fatal(err)
			}
		}
	}
}

// has reports on how many nodes of a shard a key is.
func (w *world) has(group, name string, shard int, key string) (nodes int) {
	w.t.Helper()
	d := w.load(group, name)
	for _, n := range d.Nodes {
		value, found, err := w.fleet[n.ID].engine.Get(w.t.Context(), "db", key)
		if n.ShardID == d.Spec.Shards[shard].ID && err == nil && found && string(value) == "value of "+key {
			nodes++
		}
	}
	return nodes
}

// hasInstead complains unless each of the three nodes of a cluster's first shard has one key and
// not the other.
func (w *world) hasInstead(group, name, key, other string) {
	w.t.Helper()
	if has, hasOther := w.has(group, name, 0, key), w.has(group, name, 0, other); has != 3 || hasOther != 0 {
		w.t.Errorf("%d nodes of %s have %q and %d have %q, want 3 and none", has, name, key, hasOther, other)
	}
}

// settled waits until all nodes of a cluster are what is desired.
func (w *world) settled(group, name string) {
	w.t.Helper()
	w.until("settled nodes", func() bool {
		return !slices.ContainsFunc(w.load(group, name).Nodes, func(n cluster.Node) bool { return !n.Settled() })
	})
}

// rewrap has the nodes of a cluster hold their keys under the tenant's new key.
func (w *world) rewrap(group, name string) {
	w.t.Helper()
	for _, n := range w.load(group, name).Nodes {
		if _, err := w.clusters.SetDesired(w.t.Context(), n.ClusterID, n.ID, cluster.Order{ID: "rewrap", Command: cluster.RewrapCommand}); err != nil {
			w.t.Fatal(err)
		}
	}
	w.settled(group, name)
}

// copies counts the copies of master keys that the ledger has of each node of a cluster.
func (w *world) copies(group, name string) (counts []int) {
	w.t.Helper()
	for _, n := range w.load(group, name).Nodes {
		entries, err := ledger.OfNode(w.t.Context(), w.table, n.ClusterID, n.ID)
		if err != nil {
			w.t.Fatal(err)
		}
		counts = append(counts, len(entries))
	}
	return slices.Compact(counts)
}

// auditKeys complains about a node whose agent holds a key that the ledger does not know.
func (w *world) auditKeys() {
	w.t.Helper()
	for id, p := range w.fleet {
		n := w.node(id)
		if n.ID == "" {
			continue
		}
		entries, err := ledger.OfNode(w.t.Context(), w.table, n.ClusterID, id)
		if err != nil {
			w.t.Fatal(err)
		}
		var ring struct{ Current, Next *struct{ KeyID string } }
		content, _, err := statedir.New(p.disk).Read("keys.json")
		if err != nil || json.Unmarshal(content, &ring) != nil {
			continue
		}
		for _, k := range []*struct{ KeyID string }{ring.Current, ring.Next} {
			if k != nil && !slices.ContainsFunc(entries, func(e ledger.Entry) bool { return e.KeyID == k.KeyID }) {
				w.t.Errorf("node %s holds key %s, which the ledger does not know", id, k.KeyID)
			}
		}
	}
}
