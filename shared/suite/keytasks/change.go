package keytasks

import (
	"context"
	"log/slog"

	"latchkey/shared/atlas"
	"latchkey/shared/changeover"
	"latchkey/shared/obs"
	"latchkey/shared/verdict"
)

type proveInput struct {
	GroupID  string         `json:"groupId"`
	Provider atlas.Provider `json:"provider"`
	// Cursor is behind the wrapped keys that were proved before.
	Cursor string `json:"cursor"`
}

// proveWrappedKeys opens some of the wrapped keys that a change of a key or of the way to it may take
// away. Keys that can't be used are an answer, not a failure of the task.
func (f function) proveWrappedKeys(ctx context.Context, in proveInput) (changeover.Found, error) {
	found, err := f.prover.Prove(ctx, in.GroupID, in.Provider, in.Cursor)
	if err != nil || found.Reason == verdict.OK {
		return found, err
	}
	level := slog.LevelWarn
	if found.Reason.Class() == verdict.Inconclusive { // our own fault
		level = slog.LevelError
		obs.Write(ctx, f.log, f.now(), "wrapped keys not proved", nil, obs.Count{Name: "KeyChecksInconclusive", Value: 1})
	}
	f.log.LogAttrs(ctx, level, "a wrapped key does not open in the new way", slog.String("groupId", in.GroupID),
		slog.String("provider", string(in.Provider)), slog.String("reason", string(found.Reason)), slog.Bool("opensInFormerWay", found.Back))
	return found, nil
}
