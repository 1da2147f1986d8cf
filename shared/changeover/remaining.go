package changeover

import (
	"context"

	"latchkey/shared/cluster"
	"latchkey/shared/encryption"
	"latchkey/shared/ledger"
	"latchkey/shared/workflow"
)

// Remaining is what a change that is under way has before it.
type Remaining struct {
	// Nodes is how many nodes have master keys that a key of the provider wraps, WrappedKeys how many copies
	// there are, those of snapshots included.
	Nodes       int
	WrappedKeys int
	// Awaited are the nodes that it waits for now, at most 50.
	Awaited []Awaited
}

// Awaited is a node that a change waits for.
type Awaited struct {
	ClusterID   string
	ClusterName string
	NodeID      string
	// IsSilent: nothing was heard of it lately. HasFailed: it can't do what it was told last.
	IsSilent  bool
	HasFailed bool
}

// remaining reads what a change has before it, from what is stored now.
func (s *Reporter) remaining(ctx context.Context, settings encryption.Settings, c encryption.Changeover, entries []ledger.Entry) (*Remaining, error) {
	clusters, err := cluster.IDsUsing(ctx, s.Table, c.GroupID, c.Provider)
	if err != nil {
		return nil, err
	}
	own := map[string][]ledger.Entry{} // the copies of nodes' own master keys
	var r Remaining
	for _, e := range entries {
		if e.CMK.Provider != c.Provider {
			continue
		}
		if r.WrappedKeys++; e.SnapshotID == "" {
			own[e.NodeID] = append(own[e.NodeID], e)
		}
	}
	for _, id := range clusters {
		d, err := s.Nodes.Load(ctx, id)
		if err != nil {
			return nil, err
		}
		for _, n := range d.Nodes {
			if n.Leaving() || len(own[n.ID]) == 0 {
				continue
			}
			r.Nodes++
			awaited, err := awaits(settings, c, n, own[n.ID])
			if err != nil {
				return nil, err
			}
			if awaited && len(r.Awaited) < maxListed {
				r.Awaited = append(r.Awaited, Awaited{
					ClusterID: d.ID, ClusterName: d.Name, NodeID: n.ID, IsSilent: isSilent(n, s.Now()), HasFailed: n.Failed(),
				})
			}
		}
	}
	return &r, nil
}

// awaits reports whether a change waits for a node. It is pure.
func awaits(settings encryption.Settings, c encryption.Changeover, n cluster.Node, entries []ledger.Entry) (bool, error) {
	switch c.Kind {
	case workflow.RotateKey:
		behind, _, err := isBehind(settings, c, n, entries)
		return behind, err
	case workflow.ReconfigureRegion:
		return c.Verified && isDown(n), nil
	default: // a switch of roles waits for keys alone
		return false, nil
	}
}
