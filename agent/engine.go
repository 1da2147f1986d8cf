package agent

import (
	"context"
	"errors"
	"time"
)

// Phase is what an engine is doing.
type Phase string

// The phases.
const (
	Stopped  Phase = "STOPPED"
	Starting Phase = "STARTING" // started, and not ready yet
	Syncing  Phase = "SYNCING"  // copies its data from another node
	Running  Phase = "RUNNING"
	Failed   Phase = "FAILED" // stopped by itself; Start may help
	Exited   Phase = "EXITED" // stopped by itself and as it was meant to: only a new command starts it
)

// Status is a snapshot of an engine.
type Status struct {
	Phase Phase
	// Detail says more about Failed and Exited, for logs. It holds no secret.
	Detail string
	// StartedAt is when the engine last started, zero while it does not run.
	StartedAt time.Time
}

// ErrWrongKey is returned by Start when there is data, and it is not under this key: another
// key, or a key where the data is not encrypted, or none where it is. Nothing was changed.
var ErrWrongKey = errors.New("agent: the data is not under this master key")

// ErrUnsupported is returned by Rotate, Wipe, Snapshot and Restore of engines that can't. Nothing
// was changed.
var ErrUnsupported = errors.New("agent: the engine does not support this")

// Engine is a database under an agent. agent/enginetest holds what each implementation must do.
// The agent calls everything but Status one at a time, and Status at any time.
type Engine interface {
	// Start opens the data under key, or begins it where there is none; nil means not
	// encrypted. It returns once the database is launched; Status says when it is ready.
	// Starting what runs does nothing. The caller destroys key afterwards. When ctx ends, what
	// was begun is undone.
	Start(ctx context.Context, key *MasterKey) error
	// Stop ends the database as gently as time allows, and forgets its key. Stopping what does
	// not run does nothing.
	Stop(ctx context.Context) error
	// Rotate puts the data of a running engine under next without rewriting it. After nil the
	// data opens with next alone; after an error, or a crash in the middle, with exactly one of
	// both. Rotating to the key that the data is under does nothing.
	Rotate(ctx context.Context, next *MasterKey) error
	// Wipe removes all data of a stopped engine; the next Start begins anew. A crash in the
	// middle leaves something to Wipe again.
	Wipe(ctx context.Context) error
	// Snapshot copies the files of a running engine as they are at one moment and as they are on
	// disk: encrypted where the data is. The engine runs afterwards as before, whatever came of
	// the copy, though it may have been stopped or have stood still meanwhile.
	Snapshot(ctx context.Context, sink SnapshotSink) error
	// Restore replaces whatever data a stopped engine has by the files of a snapshot. The data is
	// then under the key that it was under when the snapshot was taken. After an error, other
	// than ErrUnsupported, or a crash there may be anything: it must not be started before it was
	// restored again, or wiped.
	Restore(ctx context.Context, files SnapshotFiles) error
	// Status is safe to call at any time and does not block.
	Status() Status
}
