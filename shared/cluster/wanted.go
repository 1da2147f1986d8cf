package cluster

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"latchkey/shared/atlas"
)

// place is where nodes are alike: within it, any is as good as another.
type place struct {
	shard    string
	provider atlas.Provider
	region   string
	kind     Kind
}

// demand is how many nodes a spec wants in a place.
type demand struct {
	place
	number   int // the shard's
	priority int
	count    int
}

// demands lists what a spec wants, in order.
func (s Spec) demands() []demand {
	var all []demand
	for _, shard := range s.Shards {
		for _, r := range shard.Regions {
			for _, k := range []struct {
				kind  Kind
				count int
			}{{Electable, r.Electable.NodeCount}, {ReadOnly, r.ReadOnly.NodeCount}, {Analytics, r.Analytics.NodeCount}} {
				if k.count > 0 {
					where := place{shard: shard.ID, provider: r.Provider, region: r.Name, kind: k.kind}
					all = append(all, demand{place: where, number: shard.Number, priority: r.Priority, count: k.count})
				}
			}
		}
	}
	return all
}

func (n Node) place() place {
	return place{shard: n.ShardID, provider: n.Provider, region: n.Region, kind: n.Kind}
}

// Difference is what lies between the nodes that there are and those that a spec wants. Nodes
// that are leaving already are in none of the lists.
type Difference struct {
	Keep   []Node
	Remove []Node
	Add    []Node // as they will be, but for their ids, names and what is desired of them
}

// Diff compares nodes with a spec. Among nodes that are alike the eldest stay.
func Diff(s Spec, nodes []Node) Difference {
	var d Difference
	staying := map[place][]Node{}
	for _, n := range byIndex(nodes) {
		if !n.Leaving() {
			staying[n.place()] = append(staying[n.place()], n)
		}
	}
	for _, want := range s.demands() {
		have := staying[want.place]
		delete(staying, want.place)
		keep := min(want.count, len(have))
		for _, n := range have[:keep] {
			n.Priority = want.priority
			d.Keep = append(d.Keep, n)
		}
		d.Remove = append(d.Remove, have[keep:]...)
		for range want.count - keep {
			d.Add = append(d.Add, Node{
				ShardID: want.shard, Shard: want.number, Kind: want.kind, Provider: want.provider, Region: want.region,
				Priority: want.priority,
			})
		}
	}
	for _, n := range byIndex(nodes) {
		if _, surplus := staying[n.place()]; surplus && !n.Leaving() {
			d.Remove = append(d.Remove, n)
		}
	}
	return d
}

// byIndex sorts nodes by shard and index, which is by age within a place.
func byIndex(nodes []Node) []Node {
	sorted := slices.Clone(nodes)
	slices.SortStableFunc(sorted, func(a, b Node) int {
		if a.Shard != b.Shard {
			return a.Shard - b.Shard
		}
		return a.Index - b.Index
	})
	return sorted
}

// NodeChanges are the writes that make node records what a cluster wants.
type NodeChanges struct {
	Put    []Node
	Delete []Node // never had data, so there is nothing to destroy
}

// None reports whether there is nothing to write.
func (ch NodeChanges) None() bool { return len(ch.Put)+len(ch.Delete) == 0 }

// Naming makes the names of new nodes.
type Naming struct {
	Domain string        // that the nodes' host names lie in
	Mint   func() string // ids
}

// Reconcile tells what has to change in the records of a cluster's nodes. New nodes come as
// the cluster's spec wants them; nodes that change how they are encrypted are left to the plan,
// which takes them one by one; nodes with data go one by one too, once those that stay have the
// data. It is pure but for the ids.
func (c Cluster) Reconcile(nodes []Node, names Naming, now time.Time) NodeChanges {
	var spec Spec
	if !c.Deleting() && c.Deleted.IsZero() {
		spec = c.target()
	}
	d := Diff(spec, nodes)
	var ch NodeChanges
	for _, n := range d.Remove {
		if n.PublicKey == nil {
			ch.Delete = append(ch.Delete, n)
			continue
		}
		if !c.maySpare(n, nodes, d, ch.Put) {
			continue
		}
		ch.Put = append(ch.Put, n.Told(Order{Command: DeleteCommand, State: Stop, Provider: n.Desired.Provider, KeyID: n.Desired.KeyID}))
	}
	for _, n := range d.Keep {
		before := stored(nodes, n.ID)
		if n.Desired.State != c.power() {
			n = n.powered(c.power())
		}
		if n.Priority != before.Priority || n.Desired != before.Desired {
			ch.Put = append(ch.Put, n)
		}
	}
	taken := slices.Clone(nodes)
	for _, n := range d.Add {
		n = c.born(n, freeIndex(taken, n.Shard), names, now)
		taken = append(taken, n)
		ch.Put = append(ch.Put, n.Told(Order{Command: StartCommand, State: c.power(), Provider: spec.Provider}))
	}
	return ch
}

// maySpare reports whether a node with data can go: at once if its shard goes with it, else only
// while all nodes that the shard shall have are there and run, and none is just going. A shard
// that moves to another region would lose its data otherwise.
func (c Cluster) maySpare(n Node, nodes []Node, d Difference, told []Node) bool {
	inShard := func(other Node) bool { return other.ShardID == n.ShardID }
	if !slices.ContainsFunc(d.Keep, inShard) && !slices.ContainsFunc(d.Add, inShard) {
		return true
	}
	isGoing := func(other Node) bool { return inShard(other) && other.Leaving() }
	isMissing := func(other Node) bool {
		return inShard(other) && (!other.Settled() || !other.Running() && (c.Disabled != nil || !c.target().Paused))
	}
	return !slices.ContainsFunc(d.Add, inShard) && !slices.ContainsFunc(d.Keep, isMissing) &&
		!slices.ContainsFunc(nodes, isGoing) && !slices.ContainsFunc(told, isGoing)
}

func stored(nodes []Node, id string) Node {
	i := slices.IndexFunc(nodes, func(n Node) bool { return n.ID == id })
	return nodes[i]
}

// freeIndex is the least index that no node of a shard of the number has: also of one that is
// leaving, which a later shard of the same number may meet.
func freeIndex(nodes []Node, number int) int {
	for i := 0; ; i++ {
		if !slices.ContainsFunc(nodes, func(n Node) bool { return n.Shard == number && n.Index == i }) {
			return i
		}
	}
}

// nodePort is where database processes listen.
const nodePort = 27017

// maxPrefix is how much of a cluster's name its host names begin with, as the real service's do.
const maxPrefix = 23

// born completes a new node.
func (c Cluster) born(n Node, index int, names Naming, now time.Time) Node {
	domain := c.label() + "." + names.Domain
	host := fmt.Sprintf("shard-%02d-%02d.%s", n.Shard, index, domain)
	n.ID, n.ClusterID, n.GroupID, n.Index = names.Mint(), c.ID, c.GroupID, index
	n.Created, n.Port = now.UTC().Truncate(time.Second), nodePort
	n.Host, n.Alias = "atlas-"+c.label()+"-"+host, c.prefix()+"-"+host
	return n
}

// prefix is what the cluster's host names begin with.
func (c Cluster) prefix() string {
	name := strings.ToLower(c.Name)
	return strings.TrimRight(name[:min(len(name), maxPrefix)], "-")
}

// ReplicaSetName is the name of a shard's replica set.
func (c Cluster) ReplicaSetName(shard int) string {
	return fmt.Sprintf("atlas-%s-shard-%d", c.label(), shard)
}
