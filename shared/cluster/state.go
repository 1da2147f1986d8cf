package cluster

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"latchkey/shared/atlas"
)

// State is a cluster's stateName. There is none for a cluster that is disabled for want of a
// key: the API has no such value (CONTRACT 6.4).
type State string

// The states.
const (
	Idle      State = "IDLE"
	Creating  State = "CREATING"
	Updating  State = "UPDATING"
	Deleting  State = "DELETING"
	Repairing State = "REPAIRING"
)

// Deployment is a cluster with its nodes.
type Deployment struct {
	Cluster

	Nodes []Node
}

// State derives a cluster's state from its record and its nodes, and from nothing else.
func (d Deployment) State() State {
	switch {
	case d.Deleting():
		return Deleting
	case d.Applied == nil:
		return Creating
	case d.Plan != nil:
		return Updating
	case d.power() == Run && slices.ContainsFunc(d.Nodes, Node.isDown):
		return Repairing
	}
	return Idle
}

// isDown reports whether a node that should run doesn't.
func (n Node) isDown() bool { return !n.Leaving() && n.Desired.State == Run && !n.Running() }

// Availability says how much of a cluster can be reached, in the API's words.
func (d Deployment) Availability() string {
	running := 0
	for _, n := range d.Nodes {
		if n.Running() {
			running++
		}
	}
	switch {
	case d.Applied != nil && d.power() == Stop:
		return "dead"
	case running == 0:
		return "unavailable"
	case running < len(d.Nodes):
		return "warning"
	}
	return "available"
}

// ProcessType is a node's typeName in the list of processes: what it is in its replica set,
// or NO_DATA while it doesn't run.
func (d Deployment) ProcessType(n Node) string {
	role := "SECONDARY"
	if primary, ok := d.Primary(n.ShardID); ok && primary.ID == n.ID {
		role = "PRIMARY"
	}
	switch {
	case !n.Running():
		return "NO_DATA"
	case d.target().Type == ReplicaSet:
		return "REPLICA_" + role
	}
	return "SHARD_" + role
}

// Primary is the node of a shard that wins elections: the running one with the highest
// priority. ok is false if too few nodes run for a majority.
func (d Deployment) Primary(shardID string) (primary Node, ok bool) {
	var voters, running []Node
	for _, n := range byIndex(d.Nodes) {
		if n.ShardID != shardID || n.Kind != Electable {
			continue
		}
		voters = append(voters, n)
		if n.Running() {
			running = append(running, n)
		}
	}
	if len(running) <= len(voters)/2 {
		return Node{}, false
	}
	return slices.MaxFunc(running, func(a, b Node) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(b.Index, a.Index))
	}), true
}

// NextResync is the node that a plan turns to next: one that is not yet encrypted as the plan
// wants, in a shard whose other nodes all run, so that there is always a majority and a source
// to copy from. One that does not run itself (it waits for a key that the plan does without, say)
// comes first, the primary last. ok is false while there is none to turn to.
func (d Deployment) NextResync() (next Node, ok bool) {
	if d.power() != Run {
		return Node{}, false
	}
	for _, shard := range d.target().Shards {
		if next, ok := d.nextIn(shard.ID); ok {
			return next, true
		}
	}
	return Node{}, false
}

func (d Deployment) nextIn(shardID string) (next Node, ok bool) {
	var pending, unsettled []Node
	for _, n := range byIndex(d.Nodes) {
		if n.ShardID != shardID || n.Leaving() {
			continue
		}
		if n.Desired.Provider != d.target().Provider {
			pending = append(pending, n)
		}
		if !n.Settled() {
			unsettled = append(unsettled, n)
		}
	}
	switch {
	case len(pending) == 0 || len(unsettled) > 1:
		return Node{}, false
	case len(unsettled) == 1:
		return unsettled[0], unsettled[0].Desired.Provider != d.target().Provider
	}
	primary, _ := d.Primary(shardID)
	for _, n := range pending {
		if n.ID != primary.ID {
			return n, true
		}
	}
	return pending[0], true
}

// Reached reports whether the nodes are what the plan in progress wants. A disabled cluster's
// never are: nobody has seen them run.
func (d Deployment) Reached() bool {
	if d.Plan == nil || d.Deleting() || d.Disabled != nil {
		return false
	}
	diff := Diff(d.Plan.Spec, d.Nodes)
	if len(diff.Add)+len(diff.Remove) > 0 || len(diff.Keep) < len(d.Nodes) {
		return false
	}
	return !slices.ContainsFunc(diff.Keep, func(n Node) bool {
		return !n.Settled() || n.Desired.Provider != d.Plan.Spec.Provider || n.Desired.State != d.power()
	})
}

// ConnectionStrings tells how to connect; nothing while the cluster is being created.
func (d Deployment) ConnectionStrings(domain string) atlas.ConnectionStrings {
	if d.Applied == nil {
		return atlas.ConnectionStrings{}
	}
	var hosts []string
	for _, n := range byIndex(d.Nodes) {
		if !n.Leaving() {
			hosts = append(hosts, n.Alias+":"+strconv.Itoa(n.Port))
		}
	}
	standard := "mongodb://" + strings.Join(hosts, ",") + "/?ssl=true&authSource=admin"
	if d.Applied.Type == ReplicaSet {
		standard += "&replicaSet=" + d.ReplicaSetName(d.Applied.Shards[0].Number)
	}
	return atlas.ConnectionStrings{Standard: standard, StandardSRV: "mongodb+srv://" + d.prefix() + "." + d.label() + "." + domain}
}
