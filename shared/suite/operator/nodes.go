package operator

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/cluster"
	"latchkey/shared/node"
	"latchkey/shared/store"
)

// nodesPage is how many nodes one answer lists.
const nodesPage = 100

// WaitingNode is a node that needs a machine with an agent.
type WaitingNode struct {
	GroupID     string         `json:"groupId"`
	ClusterID   string         `json:"clusterId"`
	ClusterName string         `json:"clusterName"`
	NodeID      string         `json:"nodeId"`
	Shard       int            `json:"shard"`
	Index       int            `json:"index"`
	Kind        cluster.Kind   `json:"kind"`
	Priority    int            `json:"priority"`
	Provider    atlas.Provider `json:"provider"` // the cloud to run in
	Region      string         `json:"region"`
	Host        string         `json:"host"`
	UserAlias   string         `json:"userAlias"`
	Port        int            `json:"port"`
	Created     time.Time      `json:"created"`
	// TokenExpires is there while a token was issued that nobody has used yet: an agent may be
	// on its way.
	TokenExpires time.Time `json:"tokenExpires,omitzero"`
}

// fleet is what the operator's provisioning asks.
type fleet struct {
	clusters   *cluster.Service
	nodes      *node.Service
	recipients *node.Recipients
	now        func() time.Time
}

func newFleet(d Deps) fleet {
	clusters := &cluster.Service{Table: d.Table, Now: d.Now} // nodes are read, and nothing is changed of a cluster
	return fleet{
		clusters: clusters,
		// It issues tokens; what agents ask for is another function's business.
		nodes:      &node.Service{Table: d.Table, Nodes: clusters, Now: d.Now, Log: slog.New(slog.DiscardHandler)},
		recipients: &node.Recipients{Table: d.Table, Sealer: d.Sealer, Now: d.Now},
		now:        d.Now,
	}
}

// waiting lists a page of the nodes without an agent.
func (f fleet) waiting(ctx context.Context, after string) (Result, error) {
	nodes, next, err := f.clusters.WaitingNodes(ctx, nodesPage, after)
	if errors.Is(err, store.ErrBadCursor) {
		return Result{}, atlas.Fail(atlas.InvalidAttribute, "after").Because(err)
	}
	if err != nil {
		return Result{}, err
	}
	names := map[string]string{}
	result := Result{Nodes: make([]WaitingNode, 0, len(nodes)), Next: next}
	for _, n := range nodes {
		name, known := names[n.ClusterID]
		if !known {
			d, err := f.clusters.Load(ctx, n.ClusterID)
			if errors.Is(err, cluster.ErrNoCluster) {
				continue
			}
			if err != nil {
				return Result{}, err
			}
			name = d.Name
			names[n.ClusterID] = name
		}
		result.Nodes = append(result.Nodes, f.view(n, name))
	}
	return result, nil
}

func (f fleet) view(n cluster.Node, clusterName string) WaitingNode {
	view := WaitingNode{
		GroupID: n.GroupID, ClusterID: n.ClusterID, ClusterName: clusterName, NodeID: n.ID, Shard: n.Shard, Index: n.Index, Kind: n.Kind,
		Priority: n.Priority, Provider: n.Provider, Region: n.Region, Host: n.Host, UserAlias: n.Alias, Port: n.Port, Created: n.Created,
	}
	if n.Enrolment.Expires.After(f.now()) {
		view.TokenExpires = n.Enrolment.Expires
	}
	return view
}

// token issues the one-time token with which an agent enrols for a node.
func (f fleet) token(ctx context.Context, r Request) (Result, error) {
	for name, id := range map[string]string{"clusterId": r.ClusterID, "nodeId": r.NodeID} {
		if !atlas.ValidID(id) {
			return Result{}, atlas.Fail(atlas.InvalidAttribute, name)
		}
	}
	token, expires, err := f.nodes.IssueToken(ctx, r.ClusterID, r.NodeID)
	return Result{Token: token, Expires: expires}, err
}
