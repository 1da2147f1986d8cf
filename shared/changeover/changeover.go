// Package changeover finishes changes of customers' keys: switches to role-based access, rotations,
// and moves to other regions. The update that began one has stored the new configuration, with the
// former one kept as the way back.
//
// Its invariant: the way back is destroyed only once nothing needs it: every wrapped key that the
// former configuration opened, the new one opens. Otherwise the former one returns.
//
// The steps decide from what is stored and write on the condition that it still is, so they may be cut
// short, repeated, and come late. Whoever uses tenants' keys (Prover) writes nothing, and who writes
// (Service) uses none.
package changeover

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"latchkey/shared/atlas"
	"latchkey/shared/cluster"
	"latchkey/shared/encryption"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
	"latchkey/shared/verdict"
	"latchkey/shared/workflow"
)

// Patience is how long a key that can't be reached, or wrapped keys that neither way opens, are waited
// for before the way back is taken: the documents' one number for such waits (CONTRACT 3.7).
const Patience = cluster.KeyPatience

// Settings are the settings whose changes are finished; encryption.Service is the one in use.
type Settings interface {
	Load(ctx context.Context, groupID string) (encryption.Settings, error)
	Changeover(ctx context.Context, groupID string, p atlas.Provider) (encryption.Changeover, error)
	Note(ctx context.Context, c encryption.Changeover) (encryption.Changeover, error)
	Finish(ctx context.Context, c encryption.Changeover) error
	Restore(ctx context.Context, c encryption.Changeover, reason verdict.Reason) error
}

// Nodes tells of clusters' nodes and gives them orders; cluster.Service is the one in use.
type Nodes interface {
	Load(ctx context.Context, clusterID string) (cluster.Deployment, error)
	OrderRewrap(ctx context.Context, clusterID, nodeID string) (ordered bool, err error)
}

// Executions starts workflows, and knows which have ended.
type Executions interface {
	// Start starts an execution. Starting the same one again is harmless.
	Start(ctx context.Context, x workflow.Execution) error
	// Ensure starts an execution unless one of its name was started before, and reports whether
	// that one has ended.
	Ensure(ctx context.Context, x workflow.Execution) (ended bool, err error)
}

// Service carries changes out. All fields are required.
type Service struct {
	Table      store.Table
	Settings   Settings
	Nodes      Nodes
	Executions Executions
	Now        func() time.Time
}

// Next is what becomes of an attempt at a change.
type Next string

// What may become of an attempt.
const (
	// Done: the change is finished.
	Done Next = "DONE"
	// Ended: this attempt at the change is over, or the change is not wanted any more.
	Ended Next = "ENDED"
	// RolledBack: the former configuration is in use again.
	RolledBack Next = "ROLLED_BACK"
	// NeedsProof: wrapped keys have to be opened before the next step.
	NeedsProof Next = "NEEDS_PROOF"
	// Waits: nodes are on their way, or a key is out of use.
	Waits Next = "WAITS"
)

// Progress is how far an attempt has come.
type Progress struct {
	Next Next
	// Cursor is behind what was proved.
	Cursor string
	// Reason is why the change waits for a key or was rolled back, "" if it does not or was not.
	Reason verdict.Reason
	// Nodes lists those that are waited for, Silent those of them that nothing was heard of lately.
	Nodes, Silent []string
}

// Advance takes the next step of a change. found is what opening wrapped keys has shown that the last
// call asked for, nil if nothing was opened.
func (s *Service) Advance(ctx context.Context, groupID string, p atlas.Provider, revision, attempt int64, found *Found) (Progress, error) {
	v, err := s.visit(ctx, groupID, p)
	if err != nil || !v.change.IsCarriedOutBy(revision, attempt) {
		return Progress{Next: Ended}, err
	}
	if v.isClosed {
		return Progress{Next: Ended}, v.abandon(ctx)
	}
	if f, ok := v.settings.Fallback(p); !ok || f.Revision != revision {
		return Progress{Next: Ended}, s.Settings.Finish(ctx, v.change) // disabled meanwhile
	}
	if v.change.Kind == workflow.RotateKey {
		progress, err := v.rewrap(ctx)
		if err != nil || progress.Next != "" {
			return progress, err
		}
	}
	if !v.change.Verified {
		progress, err := v.heed(ctx, found)
		if err != nil || progress.Next != "" {
			return progress, err
		}
	}
	if v.change.Kind == workflow.ReconfigureRegion {
		progress, err := v.awaitRunning(ctx)
		if err != nil || progress.Next != "" {
			return progress, err
		}
	}
	return Progress{Next: Done}, s.Settings.Finish(ctx, v.change)
}

// visit is one step of a change.
type visit struct {
	*Service

	settings encryption.Settings
	change   encryption.Changeover
	isClosed bool // the group: nothing of it is encrypted any more
}

func (s *Service) visit(ctx context.Context, groupID string, p atlas.Provider) (*visit, error) {
	settings, err := s.Settings.Load(ctx, groupID)
	isClosed := atlas.CodeOf(err) == atlas.GroupNotFound
	if err != nil && !isClosed {
		return nil, err
	}
	change, err := s.Settings.Changeover(ctx, groupID, p)
	return &visit{Service: s, settings: settings, change: change, isClosed: isClosed}, err
}

// note stores what is known of the change, if it has changed.
func (v *visit) note(ctx context.Context, next encryption.Changeover) error {
	if next == v.change {
		return nil
	}
	noted, err := v.Settings.Note(ctx, next)
	if err == nil {
		v.change = noted
	}
	return err
}

// abandon ends a change of a group that was closed.
func (v *visit) abandon(ctx context.Context) error {
	next := v.change
	next.State, next.Ended = encryption.Abandoned, v.Now().UTC()
	return v.note(ctx, next)
}

// heed acts on what opening wrapped keys has shown. Next is "" once all of them were proved.
func (v *visit) heed(ctx context.Context, found *Found) (Progress, error) {
	if found == nil {
		return Progress{Next: NeedsProof, Cursor: v.change.Cursor}, nil
	}
	next := v.change
	if found.From == next.Cursor { // and not what an earlier call has counted
		next.Cursor, next.Proved, next.Lost = found.Cursor, next.Proved+found.Proved, next.Lost+found.Lost
	}
	switch found.Reason.Class() {
	case verdict.Valid:
		next.Blocked, next.Blocker = time.Time{}, ""
		next.Verified = !found.More && found.Cursor == next.Cursor
		if err := v.note(ctx, next); err != nil || next.Verified {
			return Progress{}, err
		}
		return Progress{Next: NeedsProof, Cursor: next.Cursor}, nil
	case verdict.Inconclusive: // our own fault, which never counts
		return Progress{Next: Waits, Reason: found.Reason}, v.note(ctx, next)
	case verdict.Invalid, verdict.Unreachable, verdict.Throttled:
	}
	wasInvalid := next.Blocker.Class() == verdict.Invalid
	if next.Blocked.IsZero() || wasInvalid && found.Reason.Class() != verdict.Invalid {
		next.Blocked = v.Now().UTC()
	}
	next.Blocker = found.Reason
	if err := v.note(ctx, next); err != nil {
		return Progress{}, err
	}
	if v.change.Kind != workflow.RotateKey && (found.Back || v.isGivenUp()) {
		return v.rolledBack(ctx, found.Reason)
	}
	return Progress{Next: Waits, Reason: found.Reason}, nil
}

// isGivenUp reports whether a change has waited long enough for a provider that does not answer. What
// neither way opens is waited for without end, and so is everything while the nodes' own key is reached
// in the new way: the former one may be gone for good, and its return would stop them.
func (v *visit) isGivenUp() bool {
	away := func(c verdict.Class) bool { return c == verdict.Unreachable || c == verdict.Throttled }
	return away(v.change.Blocker.Class()) && v.Now().Sub(v.change.Blocked) >= Patience &&
		away(v.settings.Key(v.change.Provider).Verdict.Class())
}

func (v *visit) rolledBack(ctx context.Context, reason verdict.Reason) (Progress, error) {
	return Progress{Next: RolledBack, Reason: reason}, v.Settings.Restore(ctx, v.change, reason)
}

// NextAttempt makes the attempt after the one that is named the present one, and starts it. Repeated, it
// starts it again, which is harmless; late, it does nothing.
func (s *Service) NextAttempt(ctx context.Context, groupID string, p atlas.Provider, revision, attempt int64) error {
	v, err := s.visit(ctx, groupID, p)
	if err != nil {
		return err
	}
	if v.change.IsCarriedOutBy(revision, attempt) {
		next := v.change
		next.Attempt++
		if err := v.note(ctx, next); err != nil {
			return err
		}
	}
	if !v.change.IsCarriedOutBy(revision, attempt+1) {
		return nil
	}
	return s.Executions.Start(ctx, v.change.Execution())
}

// Resumption is what Resume did.
type Resumption struct {
	// Changes is how many are under way; Blocked of them wait for a key.
	Changes int `json:"changes"`
	Blocked int `json:"blocked"`
	// Restarted are those whose workflow had ended before they did.
	Restarted int `json:"restarted"`
	// Oldest is how long ago the oldest was begun.
	Oldest time.Duration `json:"-"`
}

// Resume sees to it that every change that is under way is carried out: it starts what was never
// started, and the next attempt where one has ended. It goes on past one that fails, and returns all
// errors.
func (s *Service) Resume(ctx context.Context) (Resumption, error) {
	place := keys.ChangeoverInProgress("", "")
	items, err := store.All(ctx, s.Table, store.Query{Index: true, PK: place.PK, Prefix: keys.ChangeoverPrefix})
	if err != nil {
		return Resumption{}, fmt.Errorf("list changes of keys in progress: %w", err)
	}
	found := make([]Resumption, len(items))
	failed := make([]error, len(items))
	var all errgroup.Group
	all.SetLimit(resumers)
	for i, item := range items {
		all.Go(func() error {
			listed, err := store.Decode[encryption.Changeover](item)
			if err == nil {
				found[i], err = s.resume(ctx, listed.GroupID, listed.Provider)
			}
			if err != nil {
				failed[i] = fmt.Errorf("resume the change of the %s key of %s: %w", listed.Provider, listed.GroupID, err)
			}
			return nil
		})
	}
	all.Wait() //nolint:errcheck // they are all in failed
	var r Resumption
	for _, f := range found {
		r.add(f)
	}
	return r, errors.Join(failed...)
}

// resumers is how many changes are looked after at the same time.
const resumers = 8

func (r *Resumption) add(more Resumption) {
	r.Changes += more.Changes
	r.Blocked += more.Blocked
	r.Restarted += more.Restarted
	r.Oldest = max(r.Oldest, more.Oldest)
}

func (s *Service) resume(ctx context.Context, groupID string, p atlas.Provider) (Resumption, error) {
	v, err := s.visit(ctx, groupID, p)
	if err != nil || v.change.State != encryption.UnderWay {
		return Resumption{}, err
	}
	if v.isClosed {
		return Resumption{}, v.abandon(ctx)
	}
	r := Resumption{Changes: 1, Oldest: s.Now().Sub(v.change.Began)}
	if !v.change.Blocked.IsZero() {
		r.Blocked = 1
	}
	ended, err := s.Executions.Ensure(ctx, v.change.Execution())
	if err != nil || !ended {
		return r, err
	}
	r.Restarted = 1
	return r, s.NextAttempt(ctx, groupID, p, v.change.Revision, v.change.Attempt)
}
