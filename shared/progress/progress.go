// Package progress tells tenants what is going on in a group: what every node of a cluster does and
// which customer key wraps its master key, how far work on it is, and which workflows run.
//
// Its invariant: it only reads. It uses no key, asks no provider and starts nothing, however often it is
// asked; and it hands out ids, codes and times alone, never what a workflow was told or has answered.
package progress

import (
	"context"
	"slices"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/cluster"
	"latchkey/shared/encryption"
	"latchkey/shared/ledger"
	"latchkey/shared/snapshot"
	"latchkey/shared/store"
)

// silence is after which a node counts as down: it is heard of every minute, and that is stored every
// 15 at least.
const silence = 20 * time.Minute

// maxListed bounds the lists of nodes that are waited for.
const maxListed = 50

// Wait is what work waits for, "" if it does not wait.
type Wait string

// What is waited for.
const (
	ForKey   Wait = "KEY"   // a customer key that can't be used
	ForNodes Wait = "NODES" // nodes that are at work, or down
	ForCloud Wait = "CLOUD" // a cloud provider that makes or removes something
)

// Clusters tells of a group's clusters; cluster.Service is the one in use.
type Clusters interface {
	Names(ctx context.Context, groupID string) ([]string, error)
	List(ctx context.Context, groupID string, names []string) ([]cluster.Deployment, error)
	Get(ctx context.Context, groupID, name string) (cluster.Deployment, error)
	PrivateNetworking(ctx context.Context, groupID string) ([]atlas.Provider, error)
}

// Settings tells of a group's customer keys; encryption.Service is the one in use.
type Settings interface {
	Load(ctx context.Context, groupID string) (encryption.Settings, error)
}

// Reader reads how clusters stand. All fields are required.
type Reader struct {
	Table    store.Table
	Clusters Clusters
	Settings Settings
	Now      func() time.Time
}

// Cluster is how a cluster stands.
type Cluster struct {
	cluster.Deployment

	// IsPrivate is whether private endpoints are the only way to its customer key.
	IsPrivate bool
	// Work is how far its plan is; nil without one.
	Work *Work
	// Restore is the restore that it is the target of, and Restoring how far that is; nil without one.
	Restore   *snapshot.Job
	Restoring snapshot.Progress
	// Members are its nodes.
	Members []Node
}

// Work is how far a plan is.
type Work struct {
	// Nodes is how many nodes there are to bring to what is wanted, Done how many are.
	Nodes, Done int
	// At are those that rebuild their data now; Awaited all that are not yet as they should be.
	At, Awaited []string
	// Wait is what the plan waits for, Since since when if that is known, and Reason why.
	Wait   Wait
	Since  time.Time
	Reason string
}

// Node is how a node stands.
type Node struct {
	cluster.Node

	Status   Status
	IsSilent bool
	// Wrapped is the copy of its master key that the node opens when it starts; nil without one, and in
	// lists of clusters.
	Wrapped *ledger.Entry
}

// Status is what a node does.
type Status string

// The statuses of nodes.
const (
	Unclaimed Status = "WAITING_FOR_AGENT" // no agent has enrolled for it
	Running   Status = "RUNNING"
	Stopped   Status = "STOPPED"
	Starting  Status = "STARTING" // is to run, and does not
	Stopping  Status = "STOPPING" // is to stop, and runs
	Syncing   Status = "SYNCING"  // rebuilds its data
	Reverting Status = "RESTORING"
	Leaving   Status = "LEAVING"
)

// Names lists the names of a group's clusters, sorted.
func (r *Reader) Names(ctx context.Context, groupID string) ([]string, error) {
	return r.Clusters.Names(ctx, groupID)
}

// List reads how the clusters with some names stand, without the keys of their nodes.
func (r *Reader) List(ctx context.Context, groupID string, names []string) ([]Cluster, error) {
	deployments, err := r.Clusters.List(ctx, groupID, names)
	if err != nil {
		return nil, err
	}
	private, err := r.Clusters.PrivateNetworking(ctx, groupID)
	if err != nil {
		return nil, err
	}
	all := make([]Cluster, len(deployments))
	for i, d := range deployments {
		if all[i], err = r.view(ctx, d, private); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// Get reads how a cluster stands, with the keys of its nodes. It returns CLUSTER_NOT_FOUND if there is none.
func (r *Reader) Get(ctx context.Context, groupID, name string) (Cluster, error) {
	d, err := r.Clusters.Get(ctx, groupID, name)
	if err != nil {
		return Cluster{}, err
	}
	private, err := r.Clusters.PrivateNetworking(ctx, groupID)
	if err != nil {
		return Cluster{}, err
	}
	settings, err := r.Settings.Load(ctx, groupID)
	if err != nil {
		return Cluster{}, err
	}
	entries, err := ledger.OfCluster(ctx, r.Table, d.ID)
	if err != nil {
		return Cluster{}, err
	}
	c, err := r.view(ctx, d, private)
	for i, n := range c.Members {
		if e, ok := inUse(n.Node, entries); ok {
			e.CMK = settings.Located(e.CMK)
			c.Members[i].Wrapped = &e
		}
	}
	return c, err
}

func (r *Reader) view(ctx context.Context, d cluster.Deployment, private []atlas.Provider) (Cluster, error) {
	c := Project(d, r.Now())
	c.IsPrivate = slices.Contains(private, d.Spec.Provider)
	job, ok, err := snapshot.UnderWay(ctx, r.Table, d.ID)
	if err == nil && ok {
		c.Restore, c.Restoring = &job, job.Progress(d)
	}
	return c, err
}

// Project tells how a cluster stands by its record and its nodes. It is pure.
func Project(d cluster.Deployment, now time.Time) Cluster {
	c := Cluster{Deployment: d}
	for _, n := range d.Nodes {
		c.Members = append(c.Members, Node{Node: n, Status: statusOf(n), IsSilent: now.Sub(n.Reported.LastSeen) > silence})
	}
	if d.Plan != nil {
		c.Work = workOn(d)
	}
	return c
}

func workOn(d cluster.Deployment) *Work {
	var w Work
	for _, n := range d.Nodes {
		if w.Nodes++; n.Settled() && !n.Leaving() && !d.Deleting() && n.Desired.Provider == d.Plan.Spec.Provider {
			w.Done++
			continue
		}
		if w.Awaited = append(w.Awaited, n.ID); n.Desired.Command == cluster.ResyncCommand && !n.Acked() {
			w.At = append(w.At, n.ID)
		}
	}
	switch {
	case d.Suspended():
		w.Wait, w.Since, w.Reason = ForKey, d.Disabled.Since, d.Disabled.Reason
	case !d.Plan.Blocked.IsZero():
		w.Wait, w.Since = ForKey, d.Plan.Blocked
	case len(w.Awaited) > 0:
		w.Wait = ForNodes
	}
	w.Awaited = w.Awaited[:min(len(w.Awaited), maxListed)]
	return &w
}

func statusOf(n cluster.Node) Status {
	isUnderWay := !n.Acked() && !n.Failed()
	switch {
	case n.Leaving():
		return Leaving
	case n.PublicKey == nil:
		return Unclaimed
	case n.Desired.Command == cluster.ResyncCommand && isUnderWay:
		return Syncing
	case n.Desired.Command == cluster.RestoreCommand && isUnderWay:
		return Reverting
	case n.Desired.State == cluster.Run && !n.Running():
		return Starting
	case n.Desired.State == cluster.Stop && n.Running():
		return Stopping
	case n.Running():
		return Running
	}
	return Stopped
}

// inUse is the newest copy of the master key that a node says it uses; before it has said so, of any.
func inUse(n cluster.Node, entries []ledger.Entry) (newest ledger.Entry, ok bool) {
	own := slices.DeleteFunc(slices.Clone(entries), func(e ledger.Entry) bool { return e.NodeID != n.ID || e.SnapshotID != "" })
	if used := slices.DeleteFunc(slices.Clone(own), func(e ledger.Entry) bool { return e.KeyID != n.Reported.KeyID }); len(used) > 0 {
		own = used
	}
	if len(own) == 0 {
		return ledger.Entry{}, false
	}
	return slices.MaxFunc(own, func(a, b ledger.Entry) int { return a.Wrapped.Compare(b.Wrapped) }), true
}
