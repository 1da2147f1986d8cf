package fleettasks

import (
	"context"
	"log/slog"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/enforcement"
	"latchkey/shared/obs"
)

// longestWatch is how late it may be noticed that nodes have stopped.
const longestWatch = 30 * time.Second

// maxWatches bounds the steps of an execution of enforce-validity, which turns around whenever
// the verdict does.
const maxWatches = 300

type enforceInput struct {
	GroupID  string         `json:"groupId"`
	Provider atlas.Provider `json:"provider"`
}

type enforceOutput struct {
	Direction enforcement.Direction `json:"direction"`
}

// enforce stops or starts the nodes of the clusters that use a key, as what is stored now says.
func (f function) enforce(ctx context.Context, in enforceInput) (enforceOutput, error) {
	direction, err := f.officer.Act(ctx, in.GroupID, in.Provider)
	return enforceOutput{Direction: direction}, err
}

type awaitInput struct {
	GroupID   string                `json:"groupId"`
	Provider  atlas.Provider        `json:"provider"`
	Direction enforcement.Direction `json:"direction"`
	// Since is when the execution began.
	Since time.Time `json:"since"`
	Steps int       `json:"steps"`
}

type awaitOutput struct {
	State       enforcement.State `json:"state"`
	WaitSeconds int               `json:"waitSeconds"`
	Steps       int               `json:"steps"`
	// Missing are nodes that have not followed, at most 50.
	Missing []string `json:"missing"`
}

// awaitNodes says whether the nodes have followed.
func (f function) awaitNodes(ctx context.Context, in awaitInput) (awaitOutput, error) {
	state, missing, err := f.officer.Await(ctx, in.GroupID, in.Provider, in.Direction, in.Since)
	if err != nil {
		return awaitOutput{}, err
	}
	if in.Steps >= maxWatches && state != enforcement.Reached {
		state = enforcement.Silent
	}
	if state == enforcement.Silent {
		f.log.WarnContext(ctx, "nodes do not follow the verdict on their key", slog.String("groupId", in.GroupID),
			slog.String("provider", string(in.Provider)), slog.String("direction", string(in.Direction)), slog.Any("nodes", missing))
		obs.Write(ctx, f.log, f.now(), "nodes silent", []obs.Dimension{{Name: "Direction", Value: string(in.Direction)}},
			obs.Count{Name: "NodesSilent", Value: len(missing)})
	}
	return awaitOutput{State: state, WaitSeconds: pause(in.Steps, longestWatch), Steps: in.Steps + 1, Missing: append([]string{}, missing...)}, nil
}
