package fleettasks

import (
	"context"
	"log/slog"

	"latchkey/shared/masterkey"
	"latchkey/shared/obs"
)

// The outcomes of a step of a rotation, beside those of plans and of changes.
const (
	left   outcome = "LEFT"    // but for nodes that do it when they can
	putOff outcome = "PUT_OFF" // before it began
)

type rotationInput struct {
	GroupID string `json:"groupId"`
	Number  int64  `json:"number"`
	Attempt int64  `json:"attempt"`
	// Steps is how many the execution has taken before.
	Steps int `json:"steps"`
}

type rotationOutput struct {
	Outcome     outcome `json:"outcome"`
	WaitSeconds int     `json:"waitSeconds"`
	Steps       int     `json:"steps"`
	// Nodes are waited for, those that are Away are not.
	Nodes []string `json:"nodes"`
	Away  []string `json:"away"`
}

// advanceRotation takes the next step of a rotation of master keys and says what to do then.
func (f function) advanceRotation(ctx context.Context, in rotationInput) (rotationOutput, error) {
	if in.Steps >= maxSteps {
		return rotationOutput{Outcome: carryOn, Steps: in.Steps, Nodes: []string{}, Away: []string{}}, nil
	}
	p, err := f.rotations.Advance(ctx, in.GroupID, in.Number, in.Attempt)
	if err != nil {
		return rotationOutput{}, err
	}
	out := rotationOutput{
		Steps: in.Steps + 1, WaitSeconds: pause(in.Steps, longestPause),
		Nodes: append([]string{}, p.Nodes...), Away: append([]string{}, p.Away...),
	}
	switch p.Next {
	case masterkey.Done:
		out.Outcome = done
	case masterkey.Left:
		out.Outcome = left
	case masterkey.PutOff:
		out.Outcome = putOff
	case masterkey.Ended:
		out.Outcome = ended
	case masterkey.Waits:
		out.Outcome = wait
	}
	return out, nil
}

type continueRotationInput struct {
	GroupID string `json:"groupId"`
	Number  int64  `json:"number"`
	Attempt int64  `json:"attempt"`
}

// continueRotation starts the attempt after the one that calls.
func (f function) continueRotation(ctx context.Context, in continueRotationInput) (nothing, error) {
	return nothing{}, f.rotations.NextAttempt(ctx, in.GroupID, in.Number, in.Attempt)
}

// attendMasterKeys does what is due about master keys. A schedule calls it.
func (f function) attendMasterKeys(ctx context.Context, _ nothing) (masterkey.Attendance, error) {
	a, err := f.rotations.Attend(ctx)
	if a.Restarted > 0 {
		f.log.WarnContext(ctx, "rotations of master keys resumed whose workflow had ended", slog.Int("rotations", a.Restarted))
	}
	obs.Write(ctx, f.log, f.now(), "rotations of master keys", nil,
		obs.Count{Name: "MasterKeyRotationsBegun", Value: a.Begun}, obs.Count{Name: "MasterKeyRotationsInProgress", Value: a.UnderWay},
		obs.Count{Name: "MasterKeyRotationsRestarted", Value: a.Restarted}, obs.Count{Name: "MasterKeysCatchingUp", Value: a.CatchingUp},
		obs.Count{Name: "OldestMasterKeyRotationHours", Value: int(a.Oldest.Hours())})
	return a, err
}
