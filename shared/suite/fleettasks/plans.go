package fleettasks

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/cluster"
	"latchkey/shared/obs"
	"latchkey/shared/verdict"
)

// outcome is what a task of a plan decided; the state machine routes by it.
type outcome string

const (
	ended     outcome = "ENDED"     // done, or somebody else's by now
	suspended outcome = "SUSPENDED" // the cluster is disabled
	wait      outcome = "WAIT"      // and then advance again
	checkKey  outcome = "CHECK_KEY" // of the provider
	rollBack  outcome = "ROLL_BACK" // for the reason
	carryOn   outcome = "CONTINUE"  // with the next attempt
)

// longestPause is how late a plan of days may notice that it can go on.
const longestPause = 5 * time.Minute

type planInput struct {
	ClusterID string `json:"clusterId"`
	Revision  int64  `json:"revision"`
	Attempt   int64  `json:"attempt"`
	// Steps is how many the execution has taken before.
	Steps int `json:"steps"`
	// Key is what checkKey answered just now, nil if it was not asked.
	Key *keyCheck `json:"key"`
}

// keyCheck is an answer of the function keytasks.
type keyCheck struct {
	Reason verdict.Reason `json:"reason"`
}

type planOutput struct {
	Outcome     outcome        `json:"outcome"`
	WaitSeconds int            `json:"waitSeconds"`
	Steps       int            `json:"steps"`
	Provider    atlas.Provider `json:"provider"`
	Reason      string         `json:"reason"`
}

// advancePlan takes the next step of a plan and says what to do then.
func (f function) advancePlan(ctx context.Context, in planInput) (planOutput, error) {
	if in.Steps >= maxSteps {
		return planOutput{Outcome: carryOn, Steps: in.Steps}, nil
	}
	var key verdict.Reason
	if in.Key != nil {
		key = in.Key.Reason
	}
	p, err := f.clusters.Advance(ctx, in.ClusterID, in.Revision, in.Attempt, key)
	if err != nil {
		return planOutput{}, err
	}
	out := planOutput{Steps: in.Steps + 1, Provider: p.Provider, Reason: p.Reason, WaitSeconds: pause(in.Steps, longestPause)}
	switch p.Next {
	case cluster.Ended:
		out.Outcome = ended
	case cluster.OnHold:
		out.Outcome = suspended
	case cluster.NeedsKey:
		out.Outcome = checkKey
	case cluster.Hopeless:
		out.Outcome = rollBack
	case cluster.Waits:
		out.Outcome = wait
	}
	return out, nil
}

type rollBackInput struct {
	ClusterID string `json:"clusterId"`
	Revision  int64  `json:"revision"`
	Reason    string `json:"reason"`
}

// nothing is the output of a task that has none.
type nothing struct{}

// rollBackPlan gives a plan up. The way back is a plan of its own.
func (f function) rollBackPlan(ctx context.Context, in rollBackInput) (nothing, error) {
	return nothing{}, f.clusters.RollBack(ctx, in.ClusterID, in.Revision, in.Reason)
}

type continueInput struct {
	ClusterID string `json:"clusterId"`
	Revision  int64  `json:"revision"`
	Attempt   int64  `json:"attempt"`
}

// continuePlan starts the attempt after the one that calls.
func (f function) continuePlan(ctx context.Context, in continueInput) (nothing, error) {
	return nothing{}, f.clusters.NextAttempt(ctx, in.ClusterID, in.Revision, in.Attempt)
}

// resumePlans starts what should be carried out and is not. A schedule calls it.
func (f function) resumePlans(ctx context.Context, _ nothing) (cluster.Resumption, error) {
	r, err := f.clusters.Resume(ctx, f.executions)
	if r.Restarted > 0 {
		f.log.WarnContext(ctx, "plans resumed whose workflow had ended", slog.Int("plans", r.Restarted))
	}
	obs.Write(ctx, f.log, f.now(), "plans in progress", nil,
		obs.Count{Name: "PlansInProgress", Value: r.Plans}, obs.Count{Name: "PlansSuspended", Value: r.Suspended},
		obs.Count{Name: "PlansRestarted", Value: r.Restarted}, obs.Count{Name: "OldestPlanHours", Value: int(r.Oldest.Hours())})
	return r, errors.Join(err, f.countWaiting(ctx))
}

// countWaiting counts the nodes that plans wait for because no agent has enrolled for them.
func (f function) countWaiting(ctx context.Context) error {
	n, since, err := f.clusters.CountWaiting(ctx)
	if err != nil {
		return err
	}
	var oldest time.Duration
	if n > 0 {
		oldest = f.now().Sub(since)
	}
	obs.Write(ctx, f.log, f.now(), "nodes without an agent", nil,
		obs.Count{Name: "NodesWaiting", Value: n}, obs.Count{Name: "OldestWaitingNodeMinutes", Value: int(oldest.Minutes())})
	return nil
}
