// Package enforcement acts on what tenants do to their keys: it stops the nodes of clusters whose
// key is INVALID, and starts them when it is VALID again.
//
// Its invariant: only what is stored now counts. Whatever asks for enforcement, and whenever it
// comes, the verdicts are read again before every act, so late and repeated requests do what is
// right by now. UNREACHABLE, THROTTLED and INCONCLUSIVE neither stop nor start anything.
package enforcement

import (
	"context"
	"fmt"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/cluster"
	"latchkey/shared/encryption"
	"latchkey/shared/project"
	"latchkey/shared/store"
	"latchkey/shared/verdict"
	"latchkey/shared/workflow"
)

// Settings reads what is stored of a group's keys; encryption.Service is the one in use.
type Settings interface {
	Load(ctx context.Context, groupID string) (encryption.Settings, error)
}

// Clusters reads and changes clusters; cluster.Service is the one in use.
type Clusters interface {
	Load(ctx context.Context, clusterID string) (cluster.Deployment, error)
	// Enforce makes a cluster what the verdicts on its group's keys want.
	Enforce(ctx context.Context, clusterID string, verdicts map[atlas.Provider]verdict.Verdict) error
}

// Projects finds groups; project.Service is the one in use.
type Projects interface {
	Find(ctx context.Context, groupID string) (project.Group, error)
}

// Starter starts workflows. Starting the same execution again is harmless.
type Starter interface {
	Start(ctx context.Context, x workflow.Execution) error
}

// Enforcer starts the workflow that enforces verdicts where there is something to do. All fields
// are required.
type Enforcer struct {
	Table    store.Table
	Settings Settings
	Clusters Clusters
	Start    Starter
	Now      func() time.Time
}

var _ encryption.Enforcer = (*Enforcer)(nil)

// retryEvery is how long one execution has before another may be started for the same verdict.
const retryEvery = 5 * time.Minute

// input is what the workflow is told.
type input struct {
	GroupID  string         `json:"groupId"`
	Provider atlas.Provider `json:"provider"`
	Revision int64          `json:"revision"`
}

// Enforce implements encryption.Enforcer. While a cluster is not as the stored verdict wants, it
// starts an execution every five minutes: repeats within that time have the same name and are
// harmless, and one that failed is made up for by the next.
func (e *Enforcer) Enforce(ctx context.Context, groupID string, p atlas.Provider, _ int64, _ bool) error {
	settings, err := e.Settings.Load(ctx, groupID)
	if err != nil {
		return err
	}
	state := settings.Key(p)
	if state == nil || directionOf(state.Verdict) == Leave {
		return nil
	}
	pending, err := e.isPending(ctx, settings, p)
	if err != nil || !pending {
		return err
	}
	return e.Start.Start(ctx, execution(groupID, p, *state, turn(*state, e.Now())))
}

// Executions are the executions that may enforce the stored verdict on a provider's key: of the first of
// the five minutes since when it holds, and of the last two. There is none for a verdict that demands
// nothing; which of them were started is not stored.
func Executions(settings encryption.Settings, p atlas.Provider, now time.Time) []workflow.Execution {
	state := settings.Key(p)
	if state == nil || directionOf(state.Verdict) == Leave {
		return nil
	}
	last := turn(*state, now)
	all := []workflow.Execution{execution(settings.GroupID, p, *state, 0)}
	for n := max(1, last-1); n <= last; n++ {
		all = append(all, execution(settings.GroupID, p, *state, n))
	}
	return all
}

// turn counts the five minutes since when a verdict holds.
func turn(state encryption.KeyState, now time.Time) int64 {
	return int64(max(0, now.Sub(state.Verdict.Since)) / retryEvery)
}

// execution is told apart from others by the verdict that it enforces. A key may be taken away and given back
// within a second, so its direction and milliseconds count, or else the nodes would stay as they are.
func execution(groupID string, p atlas.Provider, state encryption.KeyState, turn int64) workflow.Execution {
	v, direction := state.Verdict, int64(0)
	if directionOf(v) == Start {
		direction = 1
	}
	return workflow.Execution{
		Kind: workflow.EnforceValidity, GroupID: groupID, Subject: string(p),
		Version: []int64{state.Revision, max(0, v.Since.UnixMilli()), direction, turn},
		Input:   input{GroupID: groupID, Provider: p, Revision: state.Revision},
	}
}

// isPending reports whether a cluster that uses the key is not as the verdicts want.
func (e *Enforcer) isPending(ctx context.Context, settings encryption.Settings, p atlas.Provider) (bool, error) {
	ids, err := cluster.IDsUsing(ctx, e.Table, settings.GroupID, p)
	if err != nil {
		return false, err
	}
	verdicts := verdictsOf(settings)
	for _, id := range ids {
		d, err := e.Clusters.Load(ctx, id)
		if err != nil {
			return false, fmt.Errorf("is the verdict on the %s key of %s enforced: %w", p, settings.GroupID, err)
		}
		if !d.Obeys(verdicts) {
			return true, nil
		}
	}
	return false, nil
}

// Direction is what a verdict demands of nodes.
type Direction string

// The directions.
const (
	Stop  Direction = "STOP"
	Start Direction = "START"
	Leave Direction = "LEAVE"
)

func directionOf(v verdict.Verdict) Direction {
	switch v.Class() {
	case verdict.Invalid:
		return Stop
	case verdict.Valid:
		return Start
	case verdict.Unreachable, verdict.Throttled, verdict.Inconclusive:
	}
	return Leave
}

func verdictsOf(s encryption.Settings) map[atlas.Provider]verdict.Verdict {
	verdicts := map[atlas.Provider]verdict.Verdict{}
	for _, p := range s.Enabled() {
		verdicts[p] = s.Key(p).Verdict
	}
	return verdicts
}
