package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/identity"
	"latchkey/shared/project"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
	"latchkey/shared/workflow"
)

// Projects is what package cluster needs of groups; project.Service is the one in use.
type Projects interface {
	// Open reads a group that is open. It returns GROUP_NOT_FOUND if it is not.
	Open(ctx context.Context, groupID string) (project.Group, error)
	// Occupy returns the operation that counts n more of a use of the group, which keeps it
	// from being closed.
	Occupy(ctx context.Context, groupID string, u project.Use, n int) (store.Op, error)
}

// Keys tells of the tenants' keys.
type Keys interface {
	// KeyState tells whether a provider is enabled in a group, and whether its key was valid
	// when it was last checked.
	KeyState(ctx context.Context, groupID string, p atlas.Provider) (enabled, valid bool, err error)
}

// Gate admits callers; identity.Gate is the one in use. Some members of a cluster may be
// changed by fewer roles than the others.
type Gate interface {
	Admit(ctx context.Context, c identity.Caller, a identity.Attempt) error
}

// Starter starts workflows. Starting the same execution again is harmless.
type Starter interface {
	Start(ctx context.Context, x workflow.Execution) error
}

// Service performs the use cases. All fields but Networks are required.
type Service struct {
	Table    store.Table
	Journal  audit.Journal
	Projects Projects
	Keys     Keys
	Gate     Gate
	Starter  Starter
	Now      func() time.Time
	Log      *slog.Logger
	// Networks knows the private endpoints; nil is that there are none.
	Networks Networks
	// Domain is what the nodes' host names lie in.
	Domain string
}

func (s *Service) mint() string { return atlas.NewID(s.Now()) }

// Get finds a cluster of a group by its name. It returns CLUSTER_NOT_FOUND if there is none.
func (s *Service) Get(ctx context.Context, groupID, name string) (Deployment, error) {
	item, err := s.Table.Get(ctx, keys.ClusterName(groupID, name))
	if errors.Is(err, store.ErrNotFound) {
		return Deployment{}, atlas.Fail(atlas.ClusterNotFound, name, groupID)
	}
	if err != nil {
		return Deployment{}, fmt.Errorf("find cluster %s of %s: %w", name, groupID, err)
	}
	p, err := store.Decode[pointer](item)
	if err != nil {
		return Deployment{}, err
	}
	d, err := s.Load(ctx, p.ClusterID)
	if err == nil && !d.Deleted.IsZero() {
		return Deployment{}, atlas.Fail(atlas.ClusterNotFound, name, groupID) // ended since the name was read
	}
	return d, err
}

// ErrNoCluster is returned for the id of no cluster.
var ErrNoCluster = errors.New("cluster: no such cluster")

// Load reads a cluster and its nodes by its id, also one that has been deleted.
func (s *Service) Load(ctx context.Context, clusterID string) (Deployment, error) {
	c, version, err := store.Load[Cluster](ctx, s.Table, keys.Cluster(clusterID))
	if errors.Is(err, store.ErrNotFound) {
		return Deployment{}, fmt.Errorf("%w: %s", ErrNoCluster, clusterID)
	}
	if err != nil {
		return Deployment{}, fmt.Errorf("load cluster %s: %w", clusterID, err)
	}
	c.version = version
	nodes, err := s.nodes(ctx, clusterID)
	return Deployment{Cluster: c, Nodes: nodes}, err
}

func (s *Service) nodes(ctx context.Context, clusterID string) ([]Node, error) {
	items, err := store.All(ctx, s.Table, store.Query{PK: keys.Cluster(clusterID).PK, Prefix: keys.NodePrefix})
	if err != nil {
		return nil, fmt.Errorf("list nodes of %s: %w", clusterID, err)
	}
	nodes := make([]Node, 0, len(items))
	for _, item := range items {
		n, err := store.Decode[Node](item)
		if err != nil {
			return nil, err
		}
		n.version = item.Version
		if n.Gone.IsZero() {
			nodes = append(nodes, n)
		}
	}
	return nodes, nil
}

// ErrNoNode is returned for the id of no node of a cluster.
var ErrNoNode = errors.New("cluster: no such node")

// Node reads one node. For a node that is gone it returns ErrNoNode together with what is
// remembered of it.
func (s *Service) Node(ctx context.Context, clusterID, nodeID string) (Node, error) {
	n, version, err := store.Load[Node](ctx, s.Table, keys.Node(clusterID, nodeID))
	n.version = version
	if errors.Is(err, store.ErrNotFound) || err == nil && !n.Gone.IsZero() {
		return n, fmt.Errorf("%w: %s of cluster %s", ErrNoNode, nodeID, clusterID)
	}
	return n, err
}

// maxWaiting bounds how many nodes without an agent are counted.
const maxWaiting = 1000

// CountWaiting counts the nodes for which no agent has enrolled, up to some 1000, and since when the
// first of them is waited for. Both are as the index says, which may be behind.
func (s *Service) CountWaiting(ctx context.Context) (n int, since time.Time, err error) {
	q := store.Query{Index: true, PK: keys.WaitingNode("", "").PK, Prefix: keys.WaitingPrefix}
	for {
		page, err := s.Table.Query(ctx, q)
		if err != nil {
			return 0, time.Time{}, fmt.Errorf("count nodes without an agent: %w", err)
		}
		for _, item := range page.Items {
			waiting, err := store.Decode[Node](item)
			if err != nil {
				return 0, time.Time{}, err
			}
			if n++; since.IsZero() || waiting.Created.Before(since) {
				since = waiting.Created
			}
		}
		if q.After = page.Next; page.Next == "" || n >= maxWaiting {
			return n, since, nil
		}
	}
}

// WaitingNodes lists a page of the nodes for which no agent has enrolled, and where the next one
// begins, "" after the last. Only those that are really waiting now are in it, so that it may be
// shorter than limit.
func (s *Service) WaitingNodes(ctx context.Context, limit int, after string) (waiting []Node, next string, err error) {
	page, err := s.Table.Query(ctx, store.Query{
		Index: true, PK: keys.WaitingNode("", "").PK, Prefix: keys.WaitingPrefix, Limit: limit, After: after,
	})
	if err != nil {
		return nil, "", fmt.Errorf("list nodes without an agent: %w", err)
	}
	waiting = make([]Node, 0, len(page.Items))
	for _, item := range page.Items {
		n, err := store.Decode[Node](item)
		if err != nil {
			return nil, "", err
		}
		n, err = s.Node(ctx, n.ClusterID, n.ID) // the index may be behind
		if errors.Is(err, ErrNoNode) {
			continue
		}
		if err != nil {
			return nil, "", err
		}
		if n.PublicKey == nil {
			waiting = append(waiting, n)
		}
	}
	return waiting, page.Next, nil
}

// Names lists the names of a group's clusters, sorted.
func (s *Service) Names(ctx context.Context, groupID string) ([]string, error) {
	items, err := store.All(ctx, s.Table, store.Query{PK: keys.Group(groupID).PK, Prefix: keys.ClusterNamePrefix})
	if err != nil {
		return nil, fmt.Errorf("list clusters of %s: %w", groupID, err)
	}
	names := make([]string, len(items))
	for i, item := range items {
		names[i] = item.SK[len(keys.ClusterNamePrefix):]
	}
	return names, nil
}

// List reads the clusters of an open group with these names, and leaves out those that ended
// since the names were read.
func (s *Service) List(ctx context.Context, groupID string, names []string) ([]Deployment, error) {
	if _, err := s.Projects.Open(ctx, groupID); err != nil {
		return nil, err
	}
	list := make([]Deployment, 0, len(names))
	for _, name := range names {
		d, err := s.Get(ctx, groupID, name)
		if atlas.CodeOf(err) == atlas.ClusterNotFound {
			continue
		}
		if err != nil {
			return nil, err
		}
		list = append(list, d)
	}
	return list, nil
}

// All reads all clusters of an open group, by name.
func (s *Service) All(ctx context.Context, groupID string) ([]Deployment, error) {
	names, err := s.Names(ctx, groupID)
	if err != nil {
		return nil, err
	}
	return s.List(ctx, groupID, names)
}

// InOrg lists the clusters of an organisation by group. It reads the index, so that a cluster
// created a moment ago may be missing.
func (s *Service) InOrg(ctx context.Context, orgID string) (map[string][]Deployment, error) {
	place := keys.ClustersOf(orgID, "", "")
	items, err := store.All(ctx, s.Table, store.Query{Index: true, PK: place.PK, Prefix: keys.ClusterPrefix})
	if err != nil {
		return nil, fmt.Errorf("list clusters of organization %s: %w", orgID, err)
	}
	groups := map[string][]Deployment{}
	for _, item := range items {
		c, err := store.Decode[Cluster](item)
		if err != nil {
			return nil, err
		}
		d, err := s.Load(ctx, c.ID) // the index may be behind
		if err != nil {
			return nil, err
		}
		if d.Deleted.IsZero() {
			groups[d.GroupID] = append(groups[d.GroupID], d)
		}
	}
	return groups, nil
}

// InGroup lists the records of a group's clusters, by name and without their nodes, in one read however
// many there are. It reads the index, which may be behind.
func (s *Service) InGroup(ctx context.Context, orgID, groupID string) ([]Cluster, error) {
	place := keys.ClustersOf(orgID, groupID, "")
	items, err := store.All(ctx, s.Table, store.Query{Index: true, PK: place.PK, Prefix: place.SK})
	if err != nil {
		return nil, fmt.Errorf("list clusters of %s: %w", groupID, err)
	}
	all := make([]Cluster, len(items))
	for i, item := range items {
		if all[i], err = store.Decode[Cluster](item); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// attempts bounds how often a change is made again because something else was written to the
// same records at the same time. Clashes are rare and resolve in one more round.
const attempts = 5
