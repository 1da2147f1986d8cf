// Package fleet is the machines that clusters run on, as far as one process can be: for every node
// that the control plane wants it runs a real agent with an embedded, encrypted database, and
// keeps the databases of a replica set the same.
//
// It acts as an operator's provisioning does: it asks which nodes wait for an agent, has a one-time
// token issued for each, and starts an agent in a directory of the node's own. Agents reach the
// control plane over HTTP and by nothing else.
//
// Its one invariant: a write that was acknowledged is read back as long as a majority of the
// replica set's members keeps its files. Only the suite on one machine imports it.
package fleet

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"latchkey/agent"
	"latchkey/agent/badgerengine"
	"latchkey/agent/statedir"
)

// Waiting is a node that has no agent yet.
type Waiting struct {
	ClusterID   string `json:"clusterId"`
	ClusterName string `json:"clusterName"`
	GroupID     string `json:"groupId"`
	NodeID      string `json:"nodeId"`
	Shard       int    `json:"shard"`
	Index       int    `json:"index"`
	Kind        string `json:"kind"`
	Priority    int    `json:"priority"`
	Host        string `json:"host"`
	Port        int    `json:"port"`
}

// ErrGone is returned by Provisioner.IssueToken for a node that there is no more.
var ErrGone = errors.New("fleet: there is no such node any more")

// Provisioner is what a provisioner asks of the control plane.
type Provisioner interface {
	Waiting(ctx context.Context) ([]Waiting, error)
	IssueToken(ctx context.Context, clusterID, nodeID string) (token string, err error)
}

// Config is what a fleet needs. All fields but those that say so are required.
type Config struct {
	// Dir holds everything, in <cluster>/<node>/.
	Dir         string
	Provisioner Provisioner
	// ControlPlane is the URL that agents call, through Transport.
	ControlPlane string
	Transport    http.RoundTripper
	// Snapshots is where all nodes keep their snapshots; nil if they take none.
	Snapshots agent.Snapshots
	// Heartbeat bounds the time between an agent's heartbeats; 0 leaves it to the control plane.
	Heartbeat time.Duration
	Now       func() time.Time
	Log       *slog.Logger

	// Open makes the database of a node in a directory; nil is badgerengine.
	Open func(dir string, source Source) Store
	// Files opens an agent's state directory; nil is statedir.Open.
	Files func(dir string) (StateFiles, error)
}

// StateFiles is an open state directory.
type StateFiles interface {
	statedir.Files
	Close() error
}

// Fleet runs agents.
type Fleet struct {
	cfg Config

	mu      sync.Mutex
	ctx     context.Context // of the agents, while Run runs
	nodes   map[string]*node
	sets    map[setKey]*replicaSet
	agents  sync.WaitGroup
	stirred time.Time // when something last happened
}

// setKey names a replica set.
type setKey struct {
	clusterID string
	shard     int
}

// New returns a fleet; nothing happens before Run.
func New(cfg Config) *Fleet {
	if cfg.Open == nil {
		cfg.Open = func(dir string, source Source) Store {
			return badgerengine.New(badgerengine.Config{Dir: dir, Source: badgerengine.Source(source), Now: cfg.Now})
		}
	}
	if cfg.Files == nil {
		cfg.Files = func(dir string) (StateFiles, error) { return statedir.Open(dir) }
	}
	return &Fleet{cfg: cfg, nodes: map[string]*node{}, sets: map[setKey]*replicaSet{}}
}

// How often the fleet asks for nodes that wait: fast while something happens.
const (
	busyPoll = time.Second
	idlePoll = 3 * time.Second
	calm     = time.Minute // for so long nothing happened
)

// Run starts an agent for every directory that there is, and then for every node that waits. When
// ctx ends it stops all of them.
func (f *Fleet) Run(ctx context.Context) error {
	f.mu.Lock()
	f.ctx = ctx
	f.mu.Unlock()
	defer f.agents.Wait()
	if err := f.resume(); err != nil {
		return err
	}
	alone := false
	for {
		err := f.provision(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if (err != nil) != alone {
			alone = err != nil
			f.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "provisioning", slog.Bool("works", !alone), slog.Any("error", err))
		}
		if sleep(ctx, f.pollInterval()) != nil {
			return nil
		}
	}
}

func (f *Fleet) pollInterval() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cfg.Now().Sub(f.stirred) < calm {
		return busyPoll
	}
	return idlePoll
}

// stir notes that something happens.
func (f *Fleet) stir() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stirred = f.cfg.Now()
}

// resume starts the agents of all directories. All members are known before the first one starts:
// what is a majority must not depend on the order.
func (f *Fleet) resume() error {
	dirs, err := filepath.Glob(filepath.Join(f.cfg.Dir, "*", "*", profileFile))
	if err != nil {
		return err
	}
	var nodes []*node
	for _, profile := range dirs {
		n, err := f.open(filepath.Dir(profile))
		if err != nil {
			return errors.Join(err, closeAll(nodes))
		}
		nodes = append(nodes, n)
	}
	f.launch(nodes)
	return nil
}

// provision makes directories for all nodes that wait, and then starts their agents.
func (f *Fleet) provision(ctx context.Context) error {
	waiting, err := f.cfg.Provisioner.Waiting(ctx)
	if err != nil {
		return err
	}
	var nodes []*node
	for _, w := range waiting {
		if f.known(w.NodeID) {
			continue
		}
		n, foundErr := f.found(w)
		if err = errors.Join(err, foundErr); foundErr == nil {
			nodes = append(nodes, n)
		}
	}
	if len(waiting) > 0 {
		f.stir()
	}
	f.launch(nodes)
	return err
}

func closeAll(nodes []*node) error {
	var failed error
	for _, n := range nodes {
		failed = errors.Join(failed, n.close())
	}
	return failed
}

func (f *Fleet) known(nodeID string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.nodes[nodeID] != nil
}

// launch makes nodes part of their sets, and runs their agents.
func (f *Fleet) launch(nodes []*node) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, n := range nodes {
		f.nodes[n.profile.NodeID] = n
		f.set(n.profile).add(n.member)
	}
	for _, n := range nodes {
		f.agents.Go(func() { n.run(f.ctx) })
	}
}

// set is the replica set of a node; mu is held.
func (f *Fleet) set(p Waiting) *replicaSet {
	key := setKey{p.ClusterID, p.Shard}
	if f.sets[key] == nil {
		f.sets[key] = newReplicaSet(f.cfg.Now)
	}
	return f.sets[key]
}

// founding reports whether a new node's set has no data yet.
func (f *Fleet) founding(p Waiting) bool {
	f.mu.Lock()
	set := f.set(p)
	f.mu.Unlock()
	return set.founding()
}

// discard removes what is left of a node that was deleted.
func (f *Fleet) discard(n *node) error {
	f.mu.Lock()
	set := f.set(n.profile)
	delete(f.nodes, n.profile.NodeID)
	last := !slices.ContainsFunc(f.all(), func(other *node) bool {
		return other.profile.ClusterID == n.profile.ClusterID && other.profile.Shard == n.profile.Shard
	})
	if last {
		delete(f.sets, setKey{n.profile.ClusterID, n.profile.Shard})
	}
	ctx := f.ctx
	f.mu.Unlock()
	set.remove(ctx, n.member)
	f.stir()
	if err := n.member.files.Remove(profileFile); err != nil { // first: without it there is no node
		return err
	}
	if err := os.RemoveAll(n.dir); err != nil {
		return err
	}
	err := os.Remove(filepath.Dir(n.dir)) // unless there are other nodes in it
	if errors.Is(err, fs.ErrNotExist) || err != nil && !isEmpty(filepath.Dir(n.dir)) {
		return nil
	}
	return err
}

func isEmpty(dir string) bool {
	entries, err := os.ReadDir(dir)
	return err == nil && len(entries) == 0
}

// all lists the nodes; mu is held.
func (f *Fleet) all() []*node {
	nodes := make([]*node, 0, len(f.nodes))
	for _, n := range f.nodes {
		nodes = append(nodes, n)
	}
	return nodes
}

// shards are the replica sets of a cluster, in order. A name that was given again is the newer
// cluster's, whose id is the greater.
func (f *Fleet) shards(groupID, clusterName string) []*replicaSet {
	f.mu.Lock()
	defer f.mu.Unlock()
	newest := ""
	for _, n := range f.nodes {
		if n.profile.GroupID == groupID && n.profile.ClusterName == clusterName {
			newest = max(newest, n.profile.ClusterID)
		}
	}
	var shards []int
	for key := range f.sets {
		if key.clusterID == newest {
			shards = append(shards, key.shard)
		}
	}
	slices.Sort(shards)
	sets := make([]*replicaSet, len(shards))
	for i, shard := range shards {
		sets[i] = f.sets[setKey{newest, shard}]
	}
	return sets
}

// Statuses are the nodes' databases now, by node.
func (f *Fleet) Statuses() map[string]agent.Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	statuses := map[string]agent.Status{}
	for id, n := range f.nodes {
		statuses[id] = n.member.Status()
	}
	return statuses
}
