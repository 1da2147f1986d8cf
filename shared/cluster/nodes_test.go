package cluster_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"latchkey/shared/atlas"
	"latchkey/shared/cluster"
)

// fleet is the records of a cluster's nodes as a table would keep them.
type fleet struct {
	nodes []cluster.Node
	names cluster.Naming
}

func newFleet() *fleet {
	n := 0
	return &fleet{names: cluster.Naming{Domain: "example.net", Mint: func() string { n++; return fmt.Sprintf("%024x", n) }}}
}

// settle writes what a cluster wants.
func (f *fleet) settle(c cluster.Cluster) cluster.NodeChanges {
	ch := c.Reconcile(f.nodes, f.names, time.Unix(1_800_000_000, 0))
	for _, n := range ch.Delete {
		f.remove(n.ID)
	}
	for _, n := range ch.Put {
		f.remove(n.ID)
		f.nodes = append(f.nodes, n)
	}
	return ch
}

func (f *fleet) remove(id string) {
	f.nodes = slices.DeleteFunc(f.nodes, func(n cluster.Node) bool { return n.ID == id })
}

// enrol gives some of the nodes keys, so that they have data that must be destroyed.
func (f *fleet) enrol(rt *rapid.T) {
	for i := range f.nodes {
		if rapid.Bool().Draw(rt, "enrolled") {
			f.nodes[i].PublicKey = []byte("key")
		}
	}
}

// carryOut has nodes do what they are told, every other one at a time, until a cluster wants
// nothing more of them. Meanwhile no shard that stays loses the last of its data, nor two nodes at
// once; of a shard that had been given up and was wanted again, all may have been told to go before.
func (f *fleet) carryOut(rt *rapid.T, c cluster.Cluster, told map[string]bool) {
	before := f.data(c)
	for round := range 1000 {
		if settled := !slices.ContainsFunc(f.nodes, func(n cluster.Node) bool { return !n.Settled() }); f.settle(c).None() && settled {
			return
		}
		going, isTold := map[string]int{}, map[string]bool{}
		for i, n := range f.nodes {
			switch {
			case n.Leaving():
				going[n.ShardID]++
				isTold[n.ShardID] = isTold[n.ShardID] || !told[n.ID]
			case (i+round)%2 == 0:
				n.PublicKey = []byte("key")
				f.nodes[i], _ = n.Report(cluster.Reported{State: n.Desired.State, Provider: n.Desired.Provider, Acked: n.Desired.Number}, time.Unix(1_800_000_000, 0))
			}
		}
		for shard, n := range f.data(c) {
			if before[shard] > 0 && (n == 0 || isTold[shard] && going[shard] > 1) {
				rt.Fatalf("of shard %s %d nodes have data and %d are going", shard, n, going[shard])
			}
		}
		f.nodes = slices.DeleteFunc(f.nodes, cluster.Node.Leaving)
	}
	rt.Fatal("it never ends")
}

// data counts the nodes with data of the shards that a cluster wants.
func (f *fleet) data(c cluster.Cluster) map[string]int {
	count := map[string]int{}
	for _, shard := range c.Spec.Shards {
		count[shard.ID] = 0
		for _, n := range f.nodes {
			if n.ShardID == shard.ID && !n.Leaving() && n.PublicKey != nil {
				count[shard.ID]++
			}
		}
	}
	return count
}

// leave removes some of the nodes that were told to destroy themselves.
func (f *fleet) leave(rt *rapid.T) {
	f.nodes = slices.DeleteFunc(f.nodes, func(n cluster.Node) bool { return n.Leaving() && rapid.Bool().Draw(rt, "gone") })
}

// leaving are the nodes that were told to destroy themselves, by their ids.
func (f *fleet) leaving() map[string]bool {
	ids := map[string]bool{}
	for _, n := range f.nodes {
		ids[n.ID] = n.Leaving()
	}
	return ids
}

func TestReconcile_reaches_every_spec_from_every_other(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		f := newFleet()
		for range rapid.IntRange(1, 4).Draw(rt, "changes") {
			// Drafts have the same ids, so that some shards and places stay and others don't.
			c := draft(rt, intents().Draw(rt, "cluster").recent("c1"), atlas.ClusterRequest.Of20240805)
			f.leave(rt)
			told := f.leaving()
			f.settle(c)
			if again := f.settle(c); !again.None() {
				rt.Fatalf("there is more to change: %+v", again)
			}
			if rapid.Bool().Draw(rt, "carried out") {
				f.carryOut(rt, c, told)
				f.check(rt, c)
			}
			f.enrol(rt)
		}
	})
}

// check demands exactly the nodes that a cluster wants, each with a name of its own.
func (f *fleet) check(rt *rapid.T, c cluster.Cluster) {
	want, got := map[string]int{}, map[string]int{}
	for _, shard := range c.Spec.Shards {
		for _, r := range shard.Regions {
			for kind, h := range map[cluster.Kind]cluster.Hardware{cluster.Electable: r.Electable, cluster.ReadOnly: r.ReadOnly, cluster.Analytics: r.Analytics} {
				if h.NodeCount > 0 {
					want[fmt.Sprint(shard.ID, r.Provider, r.Name, kind)] = h.NodeCount
				}
			}
		}
	}
	hosts := map[string]bool{}
	for _, n := range f.nodes {
		if hosts[n.Host] || hosts[n.Alias] {
			rt.Fatalf("two nodes are called %s", n.Host)
		}
		hosts[n.Host], hosts[n.Alias] = true, true
		if !n.Leaving() {
			got[fmt.Sprint(n.ShardID, n.Provider, n.Region, n.Kind)]++
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		rt.Fatal(diff)
	}
}

func TestReconcile_destroys_only_data_that_there_is(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		f := newFleet()
		c := draft(rt, intents().Draw(rt, "cluster").recent("c1"), atlas.ClusterRequest.Of20240805)
		f.settle(c)
		f.enrol(rt)
		enrolled := 0
		for _, n := range f.nodes {
			if n.PublicKey != nil {
				enrolled++
			}
		}
		c.Plan.Kind = cluster.Delete
		ch := f.settle(c)
		if len(ch.Put) != enrolled || len(f.nodes) != enrolled {
			rt.Fatalf("%d nodes with data: %d were told to destroy it, %d are left", enrolled, len(ch.Put), len(f.nodes))
		}
		for _, n := range f.nodes {
			if !n.Leaving() || n.Desired.State != cluster.Stop {
				rt.Fatalf("a node was told %+v", n.Desired)
			}
		}
	})
}

func TestReport_stores_no_more_than_it_must(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	n := cluster.Node{}.Told(cluster.Order{Command: cluster.StartCommand, State: cluster.Run, Provider: cluster.None})
	steady := cluster.Reported{State: cluster.Run, Acked: 1, StartedAt: now, Addresses: []string{"203.0.113.1"}}
	writes := 0
	for range 4 * 60 { // a heartbeat a minute, for four hours
		next, store := n.Report(steady, now)
		if store {
			n = next
			writes++
		}
		now = now.Add(time.Minute)
	}
	if writes != 16 {
		t.Errorf("four steady hours cost %d writes", writes)
	}
	for name, change := range map[string]func(*cluster.Reported){
		"state":     func(r *cluster.Reported) { r.State = cluster.Stop },
		"key":       func(r *cluster.Reported) { r.KeyID = "k2" },
		"provider":  func(r *cluster.Reported) { r.Provider = atlas.AWS },
		"start":     func(r *cluster.Reported) { r.StartedAt = now },
		"addresses": func(r *cluster.Reported) { r.Addresses = nil },
	} {
		r := steady
		change(&r)
		if _, store := n.Report(r, n.Reported.LastSeen); !store {
			t.Errorf("a change of the %s is not stored", name)
		}
	}
}

func TestReport_acknowledges_only_what_was_told(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := cluster.Node{}
		for range rapid.IntRange(1, 10).Draw(rt, "steps") {
			before := n.Reported.Acked
			if rapid.Bool().Draw(rt, "told") {
				n = n.Told(cluster.Order{Command: cluster.RotateCommand, State: cluster.Run})
			}
			n, _ = n.Report(cluster.Reported{Acked: rapid.Int64Range(-3, 20).Draw(rt, "acked")}, time.Unix(1, 0))
			if n.Reported.Acked < before || n.Reported.Acked > n.Desired.Number {
				rt.Fatalf("%d commands, %d acknowledged after %d", n.Desired.Number, n.Reported.Acked, before)
			}
		}
	})
}

func TestAnOrderThatIsRepeatedIsGivenOnce(t *testing.T) {
	w := newWorld(t)
	d := w.create("c1", "")
	id := d.Nodes[0].ID
	number := d.Nodes[0].Desired.Number
	for range 3 {
		n, err := w.service.SetDesired(t.Context(), d.ID, id, cluster.Order{ID: "rotate-1", Command: cluster.RotateCommand, KeyID: "k2"})
		if err != nil || n.Desired.Number != number+1 || n.Desired.State != cluster.Run || n.Desired.KeyID != "k2" {
			t.Errorf("the node is told %+v, %v", n.Desired, err)
		}
	}
	n, err := w.service.SetDesired(t.Context(), d.ID, id, cluster.Order{ID: "rotate-2", Command: cluster.RotateCommand})
	if err != nil || n.Desired.Number != number+2 || n.Desired.KeyID != "k2" {
		t.Errorf("another order tells %+v, %v", n.Desired, err)
	}
}

func TestANodeThatDestroyedItselfIsForgotten(t *testing.T) {
	w := newWorld(t)
	d := w.create("c1", "")
	w.must("DELETE", "/clusters/c1", "")
	n := w.load("c1").Nodes[0]
	early, err := w.service.ReportNode(t.Context(), d.ID, n.ID, cluster.Reported{State: cluster.Stop, Acked: n.Desired.Number - 1})
	if err != nil || early.Acked() || len(w.load("c1").Nodes) != 3 {
		t.Errorf("a node that has not yet obeyed is gone, %v", err)
	}
	if _, err := w.service.ReportNode(t.Context(), d.ID, n.ID, cluster.Reported{State: cluster.Stop, Acked: n.Desired.Number}); err != nil {
		t.Fatal(err)
	}
	if left := len(w.load("c1").Nodes); left != 2 {
		t.Errorf("%d nodes are left", left)
	}
	if _, err := w.service.ReportNode(t.Context(), d.ID, n.ID, cluster.Reported{}); err == nil {
		t.Error("a node that is gone reports")
	}
	if done, err := w.service.FinishDelete(t.Context(), d.ID); done || err != nil {
		t.Errorf("a cluster with nodes ends: %t, %v", done, err)
	}
}
