package snapshot

import (
	"context"
	"errors"
	"fmt"

	"latchkey/shared/cluster"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

// Phase is what a restore that is not over is doing.
type Phase string

// The phases.
const (
	Waiting   Phase = "QUEUED"    // for the cluster to come to rest
	Preparing Phase = "PREPARING" // nodes find out whether they could restore; nothing is touched
	Restoring Phase = "RESTORING"
)

// Progress is how far a restore is.
type Progress struct {
	Phase Phase
	// Nodes is how many nodes take part, Done how many of them have ended the phase.
	Nodes, Done int
	// Awaited are the ids of those that have not.
	Awaited []string
}

// UnderWay reads the restore whose target a cluster is. ok is false if there is none.
func UnderWay(ctx context.Context, t store.Table, clusterID string) (j Job, ok bool, err error) {
	at, _, err := store.Load[restoring](ctx, t, keys.Restoring(clusterID))
	if errors.Is(err, store.ErrNotFound) {
		return Job{}, false, nil
	}
	if err != nil {
		return Job{}, false, fmt.Errorf("load the restore to cluster %s: %w", clusterID, err)
	}
	j, err = loadJob(ctx, t, at.ClusterID, at.JobID)
	if errors.Is(err, errNoJob) {
		return Job{}, false, nil // ended since
	}
	return j, err == nil && !j.Over(), err
}

// Progress is how far a restore to a cluster is. It is pure.
func (j Job) Progress(d cluster.Deployment) Progress {
	p := Progress{Phase: Restoring}
	switch {
	case j.State == JobQueued && j.Asked.IsZero():
		p.Phase = Waiting
	case j.State == JobQueued:
		p.Phase = Preparing
	}
	note := func(nodeID string, isDone bool) {
		if p.Nodes++; isDone {
			p.Done++
		} else {
			p.Awaited = append(p.Awaited, nodeID)
		}
	}
	if p.Phase == Restoring {
		for _, m := range j.Nodes {
			note(m.NodeID, m.Outcome != "")
		}
		return p
	}
	for _, n := range d.Nodes {
		if !n.Leaving() {
			note(n.ID, p.Phase == Preparing && n.Desired.Order == prepareOrder(j) && n.Acked())
		}
	}
	return p
}
