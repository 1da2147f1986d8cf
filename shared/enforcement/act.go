package enforcement

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/cluster"
	"latchkey/shared/encryption"
	"latchkey/shared/store"
)

// Officer carries enforcement out: it is what the workflow's tasks call. All fields are required.
type Officer struct {
	Table    store.Table
	Settings Settings
	Clusters Clusters
	Projects Projects
	Now      func() time.Time
}

// Act makes every cluster that uses a key what the verdicts want that are stored by the time its
// turn comes, and returns the direction of the key's own. Before the first stops, the owners are
// told. It goes on past a cluster that fails, and returns all errors.
func (o *Officer) Act(ctx context.Context, groupID string, p atlas.Provider) (Direction, error) {
	ids, err := cluster.IDsUsing(ctx, o.Table, groupID, p)
	if err != nil || len(ids) == 0 {
		return Leave, err
	}
	if err := o.announceLoss(ctx, groupID, p, ids); err != nil {
		return Leave, err
	}
	var failed error
	for _, id := range ids {
		settings, err := o.load(ctx, groupID)
		if err != nil {
			return Leave, err
		}
		if err := o.Clusters.Enforce(ctx, id, verdictsOf(settings)); err != nil {
			failed = errors.Join(failed, fmt.Errorf("enforce verdicts on cluster %s: %w", id, err))
		}
	}
	if failed != nil {
		return Leave, failed
	}
	return o.direction(ctx, groupID, p)
}

// direction is that of what is stored now.
func (o *Officer) direction(ctx context.Context, groupID string, p atlas.Provider) (Direction, error) {
	settings, err := o.load(ctx, groupID)
	if err != nil || settings.Key(p) == nil {
		return Leave, err
	}
	return directionOf(settings.Key(p).Verdict), nil
}

// load reads a group's settings. A group that was closed uses no key.
func (o *Officer) load(ctx context.Context, groupID string) (encryption.Settings, error) {
	settings, err := o.Settings.Load(ctx, groupID)
	if atlas.CodeOf(err) == atlas.GroupNotFound {
		return encryption.Settings{GroupID: groupID}, nil
	}
	return settings, err
}

// State is how far the nodes have come.
type State string

// The states.
const (
	Turned  State = "TURNED"  // what is stored now demands something else
	Awaited State = "AWAITED" // nodes are on their way
	Reached State = "REACHED" // all nodes said so
	Silent  State = "SILENT"  // time is up
)

// How long nodes are waited for. Agents hear within a minute that they must stop, and a database
// that takes more than ten to shut down is stuck. Starting may replay a journal.
const (
	stopTime  = 15 * time.Minute
	startTime = 45 * time.Minute
)

// maxListed bounds the list of nodes that are waited for.
const maxListed = 50

// Await reports whether the nodes have followed a direction since a time, and lists those that
// have not.
func (o *Officer) Await(ctx context.Context, groupID string, p atlas.Provider, to Direction, since time.Time) (State, []string, error) {
	settings, err := o.load(ctx, groupID)
	if err != nil {
		return "", nil, err
	}
	if state := settings.Key(p); state == nil || directionOf(state.Verdict) != to {
		return Turned, nil, nil
	}
	ids, err := cluster.IDsUsing(ctx, o.Table, groupID, p)
	if err != nil {
		return "", nil, err
	}
	var missing []string
	for _, id := range ids {
		d, err := o.Clusters.Load(ctx, id)
		if err != nil {
			return "", nil, err
		}
		if !d.Obeys(verdictsOf(settings)) {
			return Turned, nil, nil
		}
		missing = append(missing, behind(d, p, to)...)
	}
	slices.Sort(missing)
	listed := missing[:min(len(missing), maxListed)]
	limit := stopTime
	if to == Start {
		limit = startTime
	}
	switch {
	case len(missing) == 0:
		return Reached, nil, nil
	case o.Now().Sub(since) >= limit:
		return Silent, listed, nil
	}
	return Awaited, listed, nil
}

// behind lists the nodes of a cluster that have not followed a direction. A cluster that is
// disabled for another key, or that is being deleted, has nodes that do not follow this one.
func behind(d cluster.Deployment, p atlas.Provider, to Direction) []string {
	if !d.DependsOn(p) || d.Deleting() || to == Start && d.Disabled != nil {
		return nil
	}
	want := cluster.Stop
	if to == Start {
		want = cluster.Run
	}
	var ids []string
	for _, n := range d.Nodes {
		// A node without an agent runs nothing that could be stopped.
		isRelevant := !n.Leaving() && n.Desired.State == want && (to == Start || n.PublicKey != nil)
		if isRelevant && n.Reported.State != want {
			ids = append(ids, n.ID)
		}
	}
	return ids
}
