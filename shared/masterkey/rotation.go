// Package masterkey sees to it that no node's master key gets older than 90 days: it plans rotations into
// the group's maintenance window and carries them out, one node of a shard at a time, without rewriting
// data.
//
// Its invariants: a group in which a master key was ever made has a record, which the index finds before
// the oldest of its keys is due; a node is told only by a transaction that counts the group's record up,
// so that of two which choose at the same time only one does; a master key that was made after a rotation
// began is none of that rotation's business.
//
// The steps decide from what is stored and write on the condition that it still is, so they may be cut
// short, repeated, and come late. They use no customer key.
package masterkey

import (
	"context"
	"errors"
	"strconv"
	"time"

	"latchkey/shared/audit"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
	"latchkey/shared/workflow"
)

// What names the maintenance in windows, events and alerts.
const What = "ROTATE_MASTER_KEYS"

const day = 24 * time.Hour

// The ages of master keys. A rotation is wanted so early that a tenant who defers it twice, by a week each,
// with protected hours and the time that it takes, still has keys of less than MaxAge. It is planned so
// early that a window of once a week always lies between the notice and when it is wanted.
const (
	MaxAge    = 90 * day
	wantedAge = 74 * day
	planAge   = 60 * day
)

// Rotations that were begun and finished are events of Latchkey's own, beside those of maintenance, which
// tell neither how many keys there were nor which are left.
const (
	RotationStarted   audit.Type = "MASTER_KEY_ROTATION_STARTED"
	RotationCompleted audit.Type = "MASTER_KEY_ROTATION_COMPLETED"
)

// State is how a group's rotation stands.
type State string

// The states.
const (
	// Resting: there is nothing to do until the next rotation is due.
	Resting State = "RESTING"
	// UnderWay: a workflow rotates master keys.
	UnderWay State = "UNDER_WAY"
	// CatchingUp: the workflow has ended, and the nodes that were away do it when they return.
	CatchingUp State = "CATCHING_UP"
)

// Rotation is what is known of the last rotation of a group's master keys, and of when the next is due.
type Rotation struct {
	GroupID string `json:"groupId"`
	// Number counts the group's rotations; Attempt names the execution that may act.
	Number  int64 `json:"number"`
	Attempt int64 `json:"attempt"`
	State   State `json:"state"`
	// Began is when the rotation began, zero before the first: it is about the keys made before.
	Began time.Time `json:"began,omitzero"`
	Ended time.Time `json:"ended,omitzero"`
	// IsOpen is whether the maintenance that it belongs to has begun.
	IsOpen bool `json:"open,omitempty"`
	// At is when the group needs attention next; the index sorts by it. Zero is never.
	At time.Time `json:"at,omitzero"`

	// Total is how many master keys there were to rotate, Left how many there are.
	Total int `json:"total"`
	Left  int `json:"left"`
	// Told has since when the nodes that are at it were told.
	Told map[string]time.Time `json:"told,omitempty"`
	// Away are nodes that do it when they return, Failed those whose database can't; at most 50 each.
	Away   []string `json:"away,omitempty"`
	Failed []string `json:"failed,omitempty"`

	version int64
}

// input is what the workflow is told of a rotation.
type input struct {
	GroupID string `json:"groupId"`
	Number  int64  `json:"number"`
	Attempt int64  `json:"attempt"`
}

// Execution is the present attempt at the rotation.
func (r Rotation) Execution() workflow.Execution {
	return workflow.Execution{
		Kind: workflow.RotateMasterKeys, GroupID: r.GroupID, Subject: "nodes", Version: []int64{r.Number, r.Attempt},
		Input: input{GroupID: r.GroupID, Number: r.Number, Attempt: r.Attempt},
	}
}

// IsCarriedOutBy reports whether an attempt at a rotation may act.
func (r Rotation) IsCarriedOutBy(number, attempt int64) bool {
	return r.State == UnderWay && r.Number == number && r.Attempt == attempt
}

// order names what nodes are told, so that a node which did it is not told again.
func (r Rotation) order() string { return "rotation-" + strconv.FormatInt(r.Number, 10) }

// put is the operation that stores the record if nobody changed it meanwhile. It is never deleted, since
// an item that comes back counts its versions anew.
func (r Rotation) put() (store.Op, error) {
	item, err := store.Encode(keys.MasterKeys(r.GroupID), r.version, r)
	if !r.At.IsZero() {
		item.Index = keys.MasterKeysDue(r.At, r.GroupID)
	}
	return store.Put(item), err
}

// Watch are the operations that belong in the transaction by which a master key is made: they see to it
// that the group is found when the key is due. A group that is watched already needs none, since it is
// looked at before any key that is made now comes of age.
func Watch(ctx context.Context, t store.Table, groupID string, now time.Time) ([]store.Op, error) {
	_, err := t.Get(ctx, keys.MasterKeys(groupID))
	if !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	op, err := Rotation{GroupID: groupID, State: Resting, At: now.UTC().Add(planAge)}.put()
	return []store.Op{op}, err
}

// Load reads a group's rotation. A group in which no master key was ever made rests.
func Load(ctx context.Context, t store.Table, groupID string) (Rotation, error) {
	r, version, err := store.Load[Rotation](ctx, t, keys.MasterKeys(groupID))
	if errors.Is(err, store.ErrNotFound) {
		return Rotation{GroupID: groupID, State: Resting}, nil
	}
	r.version = version
	return r, err
}
