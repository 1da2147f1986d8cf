package fleettasks

import (
	"context"
	"log/slog"

	"latchkey/shared/atlas"
	"latchkey/shared/changeover"
	"latchkey/shared/obs"
	"latchkey/shared/verdict"
)

// The outcomes of a step of a change, beside those of plans.
const (
	done       outcome = "DONE"
	rolledBack outcome = "ROLLED_BACK" // for the reason
	prove      outcome = "PROVE"       // the wrapped keys behind the cursor
)

type changeInput struct {
	GroupID  string         `json:"groupId"`
	Provider atlas.Provider `json:"provider"`
	Revision int64          `json:"revision"`
	Attempt  int64          `json:"attempt"`
	// Steps is how many the execution has taken before.
	Steps int `json:"steps"`
	// Found is what proveWrappedKeys answered just now, nil if it was not asked.
	Found *changeover.Found `json:"found"`
}

type changeOutput struct {
	Outcome     outcome        `json:"outcome"`
	WaitSeconds int            `json:"waitSeconds"`
	Steps       int            `json:"steps"`
	Cursor      string         `json:"cursor"`
	Reason      verdict.Reason `json:"reason"`
	// Nodes are waited for; of the Silent ones among them nothing was heard lately.
	Nodes  []string `json:"nodes"`
	Silent []string `json:"silent"`
}

// advanceChange takes the next step of a change of a key and says what to do then.
func (f function) advanceChange(ctx context.Context, in changeInput) (changeOutput, error) {
	if in.Steps >= maxSteps {
		return changeOutput{Outcome: carryOn, Steps: in.Steps, Nodes: []string{}, Silent: []string{}}, nil
	}
	p, err := f.changes.Advance(ctx, in.GroupID, in.Provider, in.Revision, in.Attempt, in.Found)
	if err != nil {
		return changeOutput{}, err
	}
	out := changeOutput{
		Steps: in.Steps + 1, WaitSeconds: pause(in.Steps, longestPause), Cursor: p.Cursor, Reason: p.Reason,
		Nodes: append([]string{}, p.Nodes...), Silent: append([]string{}, p.Silent...),
	}
	switch p.Next {
	case changeover.Done:
		out.Outcome = done
	case changeover.Ended:
		out.Outcome = ended
	case changeover.RolledBack:
		out.Outcome = rolledBack
	case changeover.NeedsProof:
		out.Outcome = prove
	case changeover.Waits:
		out.Outcome = wait
	}
	return out, nil
}

type continueChangeInput struct {
	GroupID  string         `json:"groupId"`
	Provider atlas.Provider `json:"provider"`
	Revision int64          `json:"revision"`
	Attempt  int64          `json:"attempt"`
}

// continueChange starts the attempt after the one that calls.
func (f function) continueChange(ctx context.Context, in continueChangeInput) (nothing, error) {
	return nothing{}, f.changes.NextAttempt(ctx, in.GroupID, in.Provider, in.Revision, in.Attempt)
}

// resumeChanges starts what should be carried out and is not. A schedule calls it.
func (f function) resumeChanges(ctx context.Context, _ nothing) (changeover.Resumption, error) {
	r, err := f.changes.Resume(ctx)
	if r.Restarted > 0 {
		f.log.WarnContext(ctx, "changes of keys resumed whose workflow had ended", slog.Int("changes", r.Restarted))
	}
	obs.Write(ctx, f.log, f.now(), "changes of keys in progress", nil,
		obs.Count{Name: "KeyChangesInProgress", Value: r.Changes}, obs.Count{Name: "KeyChangesBlocked", Value: r.Blocked},
		obs.Count{Name: "KeyChangesRestarted", Value: r.Restarted}, obs.Count{Name: "OldestKeyChangeHours", Value: int(r.Oldest.Hours())})
	return r, err
}
