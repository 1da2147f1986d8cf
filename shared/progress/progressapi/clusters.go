package progressapi

import (
	"context"

	"latchkey/shared/atlas"
	"latchkey/shared/cluster"
	"latchkey/shared/httpapi"
	"latchkey/shared/ledger"
	"latchkey/shared/progress"
	"latchkey/shared/snapshot"
)

// clusterView is how a cluster stands. A member without a value is null.
type clusterView struct {
	ID           string         `json:"id"`
	Name         string         `json:"name"`
	State        cluster.State  `json:"stateName"`
	Availability string         `json:"availability"`
	Paused       bool           `json:"paused"`
	Provider     atlas.Provider `json:"encryptionAtRestProvider"`
	Private      bool           `json:"privateNetworkingInForce"`
	Disabled     *disabledView  `json:"disabled"`
	Plan         *planView      `json:"plan"`
	Restore      *restoreView   `json:"restore"`
	NodeCounts   countsView     `json:"nodeCounts"`
}

// detailView is a cluster with its nodes.
type detailView struct {
	clusterView
	Nodes []nodeView `json:"nodes"`
}

// disabledView is why the nodes are stopped.
type disabledView struct {
	Provider atlas.Provider `json:"cloudProvider"`
	Reason   string         `json:"reason"`
	Since    string         `json:"since"`
}

// planView is how far work on the nodes is.
type planView struct {
	Kind    cluster.PlanKind `json:"kind"`
	BeganAt string           `json:"beganAt"`
	// From is what encrypts the nodes' data before the plan, null for a new cluster; To afterwards.
	From       *atlas.Provider `json:"fromProvider"`
	To         atlas.Provider  `json:"toProvider"`
	Nodes      int             `json:"nodes"`
	Done       int             `json:"nodesDone"`
	Syncing    []string        `json:"syncingNodeIds"`
	WaitsFor   *progress.Wait  `json:"waitsFor"`
	WaitsSince *string         `json:"waitsSince"`
	Reason     *string         `json:"reason"`
	Awaited    []string        `json:"awaitedNodeIds"`
	// Queued: another change follows when this one has ended.
	Queued bool `json:"changeQueued"`
}

type restoreView struct {
	ID         string         `json:"id"`
	SnapshotID string         `json:"snapshotId"`
	From       string         `json:"fromClusterName"`
	CreatedAt  string         `json:"createdAt"`
	Phase      snapshot.Phase `json:"phase"`
	Nodes      int            `json:"nodes"`
	Done       int            `json:"nodesDone"`
	Awaited    []string       `json:"awaitedNodeIds"`
}

type countsView struct {
	Total   int `json:"total"`
	Running int `json:"running"`
	Silent  int `json:"silent"`
}

// nodeView is how a node stands.
type nodeView struct {
	ID       string          `json:"id"`
	Hostname string          `json:"hostname"`
	Shard    int             `json:"shard"`
	Type     string          `json:"typeName"`
	Cloud    atlas.Provider  `json:"cloudProvider"`
	Region   string          `json:"regionName"`
	Status   progress.Status `json:"state"`
	Silent   bool            `json:"silent"`
	LastSeen *string         `json:"lastSeenAt"`
	Started  *string         `json:"startedAt"`
	// Provider is that of the key which encrypts the data, null while there are none.
	Provider *atlas.Provider `json:"encryptionAtRestProvider"`
	Task     *taskView       `json:"task"`
	Key      *masterKeyView  `json:"masterKey"`
}

// taskView is what a node was told and has not done.
type taskView struct {
	Command cluster.Command `json:"command"`
	Failed  bool            `json:"failed"`
	Reason  *string         `json:"reason"`
}

// masterKeyView is a node's master key, and what wraps it.
type masterKeyView struct {
	MadeAt    string         `json:"madeAt"`
	WrappedAt string         `json:"wrappedAt"`
	Provider  atlas.Provider `json:"cloudProvider"`
	Name      string         `json:"key"`
	Version   string         `json:"version"`
}

// listClusters reads no more clusters than the page shows.
func (a API) listClusters(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	w, err := r.Window()
	if err != nil {
		return httpapi.Response{}, err
	}
	names, err := a.Clusters.Names(ctx, r.GroupID())
	if err != nil {
		return httpapi.Response{}, err
	}
	shown, more := httpapi.Cut(w, names)
	page, err := a.Clusters.List(ctx, r.GroupID(), shown)
	if err != nil {
		return httpapi.Response{}, err
	}
	views := make([]clusterView, len(page))
	for i, c := range page {
		views[i] = viewCluster(c)
	}
	return httpapi.PageOf(r, w, views, len(names), more), nil
}

func (a API) getCluster(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	c, err := a.Clusters.Get(ctx, r.GroupID(), r.Param("clusterName"))
	if err != nil {
		return httpapi.Response{}, err
	}
	v := detailView{clusterView: viewCluster(c), Nodes: []nodeView{}}
	for _, n := range c.Members {
		v.Nodes = append(v.Nodes, viewNode(c, n))
	}
	return httpapi.OK(v), nil
}

func viewCluster(c progress.Cluster) clusterView {
	v := clusterView{
		ID: c.ID, Name: c.Name, State: c.State(), Availability: c.Availability(), Paused: c.Spec.Paused, Provider: c.Spec.Provider,
		Private: c.IsPrivate, Plan: viewPlan(c), NodeCounts: countsView{Total: len(c.Members)},
	}
	if d := c.Disabled; d != nil {
		v.Disabled = &disabledView{Provider: d.Provider, Reason: d.Reason, Since: atlas.Time(d.Since)}
	}
	if j := c.Restore; j != nil {
		v.Restore = &restoreView{
			ID: j.ID, SnapshotID: j.SnapshotID, From: j.ClusterName, CreatedAt: atlas.Time(j.Created), Phase: c.Restoring.Phase,
			Nodes: c.Restoring.Nodes, Done: c.Restoring.Done, Awaited: listed(c.Restoring.Awaited),
		}
	}
	for _, n := range c.Members {
		if n.Running() {
			v.NodeCounts.Running++
		}
		if n.IsSilent {
			v.NodeCounts.Silent++
		}
	}
	return v
}

func viewPlan(c progress.Cluster) *planView {
	p, w := c.Plan, c.Work
	if p == nil {
		return nil
	}
	v := &planView{
		Kind: p.Kind, BeganAt: atlas.Time(p.Started), To: p.Spec.Provider, Nodes: w.Nodes, Done: w.Done, Syncing: listed(w.At),
		WaitsFor: optional(w.Wait), WaitsSince: optionalTime(w.Since), Reason: optional(w.Reason), Awaited: listed(w.Awaited), Queued: c.Queued(),
	}
	if c.Applied != nil {
		v.From = &c.Applied.Provider
	}
	return v
}

func viewNode(c progress.Cluster, n progress.Node) nodeView {
	v := nodeView{
		ID: n.ID, Hostname: n.Host, Shard: n.Shard, Type: c.ProcessType(n.Node), Cloud: n.Provider, Region: n.Region, Status: n.Status,
		Silent: n.IsSilent, LastSeen: optionalTime(n.Reported.LastSeen), Started: optionalTime(n.Reported.StartedAt),
		Provider: optional(n.Reported.Provider), Key: viewMasterKey(n.Wrapped),
	}
	if command := n.Desired.Command; command != "" && command != cluster.NoCommand && (!n.Acked() || n.Failed()) {
		v.Task = &taskView{Command: command, Failed: n.Failed()}
		if n.Failed() {
			v.Task.Reason = optional(n.Reported.Failure.Reason)
		}
	}
	return v
}

func viewMasterKey(e *ledger.Entry) *masterKeyView {
	if e == nil {
		return nil
	}
	return &masterKeyView{
		MadeAt: atlas.Time(e.MadeAt()), WrappedAt: atlas.Time(e.Wrapped), Provider: e.CMK.Provider, Name: e.CMK.Name, Version: e.CMK.Version,
	}
}
