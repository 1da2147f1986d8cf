package masterkey

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/cluster"
	"latchkey/shared/encryption"
	"latchkey/shared/maintenance"
	"latchkey/shared/store"
	"latchkey/shared/workflow"
)

// Nodes tells of clusters' nodes; cluster.Service is the one in use.
type Nodes interface {
	Load(ctx context.Context, clusterID string) (cluster.Deployment, error)
}

// Settings tells of customers' keys; encryption.Service is the one in use.
type Settings interface {
	Load(ctx context.Context, groupID string) (encryption.Settings, error)
}

// Executions starts workflows, and knows which have ended.
type Executions interface {
	// Start starts an execution. Starting the same one again is harmless.
	Start(ctx context.Context, x workflow.Execution) error
	// Ensure starts an execution unless one of its name was started before, and reports whether
	// that one has ended.
	Ensure(ctx context.Context, x workflow.Execution) (ended bool, err error)
}

// Service plans rotations and carries them out. All fields are required; Windows needs its Alerts.
type Service struct {
	Table      store.Table
	Journal    audit.Journal
	Windows    *maintenance.Service
	Nodes      Nodes
	Settings   Settings
	Executions Executions
	Now        func() time.Time
}

// Next is what becomes of an attempt at a rotation.
type Next string

// What may become of an attempt.
const (
	// Done: every master key is new, but for those of nodes whose database can't replace it.
	Done Next = "DONE"
	// Left: every master key that could be replaced now is new. The others follow.
	Left Next = "LEFT"
	// PutOff: the maintenance was deferred, or is not wanted any more, before it began.
	PutOff Next = "PUT_OFF"
	// Ended: this attempt is over, or the group is gone.
	Ended Next = "ENDED"
	// Waits: nodes are at it, or can't be told now.
	Waits Next = "WAITS"
)

// Progress is how far an attempt has come.
type Progress struct {
	Next Next
	// Nodes lists those that are waited for, Away those that are not.
	Nodes, Away []string
}

// maxListed bounds lists of nodes.
const maxListed = 50

// attempts bounds how often a step is decided anew because something else was written meanwhile.
const attempts = 8

func again(step func() error) error {
	err := store.Again(attempts, step)
	if errors.Is(err, store.ErrConflict) {
		return atlas.Fail(atlas.ConcurrentModification).Because(err)
	}
	return err
}

// Advance takes the next step of a rotation.
func (s *Service) Advance(ctx context.Context, groupID string, number, attempt int64) (Progress, error) {
	var p Progress
	err := again(func() error {
		r, err := Load(ctx, s.Table, groupID)
		if err != nil {
			return err
		}
		if !r.IsCarriedOutBy(number, attempt) {
			p = Progress{Next: Ended}
			return nil
		}
		if p, err = s.advance(ctx, r); atlas.CodeOf(err) == atlas.GroupNotFound {
			p = Progress{Next: Ended}
			return s.forget(ctx, r)
		}
		return err
	})
	return p, err
}

func (s *Service) advance(ctx context.Context, r Rotation) (Progress, error) {
	r, err := s.open(ctx, r)
	if atlas.CodeOf(err) == atlas.MaintenanceNotScheduled {
		return Progress{Next: PutOff}, s.rest(ctx, r)
	}
	if err != nil {
		return Progress{}, err
	}
	all, err := s.survey(ctx, r)
	if err != nil {
		return Progress{}, err
	}
	if r, err = s.note(ctx, r, all); err != nil {
		return Progress{}, err
	}
	waits := slices.ContainsFunc(all, func(n subject) bool {
		return n.standing == Ready || n.standing == Told || n.standing == Held
	})
	if waits && s.Now().Sub(r.Began) < endurance {
		return Progress{Next: Waits, Nodes: named(all, Ready, Told, Held), Away: named(all, Absent)}, s.order(ctx, r, all)
	}
	return s.finish(ctx, r, all)
}

// open begins the maintenance that the rotation belongs to. What begins it and what has decided that it may
// are apart in time, and the tenant may have deferred it in between.
func (s *Service) open(ctx context.Context, r Rotation) (Rotation, error) {
	if r.IsOpen {
		_, err := s.Windows.Window(ctx, r.GroupID) // whose group may be closed
		return r, err
	}
	w, err := s.Windows.Begin(ctx, r.GroupID, What)
	if err != nil {
		return r, err
	}
	next := r
	next.IsOpen, next.Began, next.Ended = true, s.Now().UTC(), time.Time{}
	next.Total, next.Left, next.Told, next.Away, next.Failed = 0, 0, nil, nil, nil
	return s.store(ctx, next, s.event(RotationStarted, w))
}

// order tells the nodes whose turn it is.
func (s *Service) order(ctx context.Context, r Rotation, all []subject) error {
	for _, n := range r.next(all, s.Now()) {
		next, err := s.tell(ctx, r, n)
		if err != nil {
			return err
		}
		r = next
	}
	return nil
}

// note stores how far the rotation has come, if that has changed.
func (s *Service) note(ctx context.Context, r Rotation, all []subject) (Rotation, error) {
	next := r
	next.Left, next.Told = 0, nil
	for _, n := range all {
		if !n.isBehind() {
			continue
		}
		next.Left++
		if since, ok := r.Told[n.ID]; ok && n.standing == Told {
			if next.Told == nil {
				next.Told = map[string]time.Time{}
			}
			next.Told[n.ID] = since
		}
	}
	next.Total = max(next.Total, next.Left)
	next.Away, next.Failed = named(all, Absent), named(all, Refused)
	if reflect.DeepEqual(next, r) {
		return r, nil
	}
	return s.store(ctx, next)
}

// named lists the ids of the nodes with one of some standings, sorted: at most maxListed, nil for none.
func named(all []subject, which ...Standing) []string {
	var ids []string
	for _, n := range all {
		if slices.Contains(which, n.standing) {
			ids = append(ids, n.ID)
		}
	}
	slices.Sort(ids)
	return ids[:min(len(ids), maxListed)]
}

// finish ends the rotation, and the maintenance with it. Nodes that were away are caught up with.
func (s *Service) finish(ctx context.Context, r Rotation, all []subject) (Progress, error) {
	w, err := s.Windows.Window(ctx, r.GroupID)
	if err != nil {
		return Progress{}, err
	}
	if err := s.Windows.Finish(ctx, r.GroupID, What); err != nil {
		return Progress{}, err
	}
	next, p := r, Progress{Next: Done}
	next.State, next.Ended, next.At = Resting, s.Now().UTC(), r.Began.Add(planAge)
	if isCatchable(all) {
		next.State, next.At = CatchingUp, next.Ended.Add(lookAgain)
		p = Progress{Next: Left, Nodes: named(all, Ready, Told, Held), Away: named(all, Absent)}
	}
	_, err = s.store(ctx, next, s.completed(w, next))
	return p, err
}

// isCatchable reports whether a node is left whose key may yet be replaced.
func isCatchable(all []subject) bool {
	return slices.ContainsFunc(all, func(n subject) bool { return n.isBehind() && n.standing != Refused })
}

func (s *Service) completed(w maintenance.Window, r Rotation) audit.Event {
	return s.event(RotationCompleted, w).With("masterKeys", r.Total).With("left", r.Left)
}

func (s *Service) event(t audit.Type, w maintenance.Window) audit.Event {
	return audit.New(s.Now(), t, audit.System(), w.OrgID, w.GroupID)
}

// rest ends a rotation that did not begin, and goes back to what was. When it is to begin next is the
// window's to say.
func (s *Service) rest(ctx context.Context, r Rotation) error {
	next := r
	next.State, next.At = Resting, s.Now().UTC().Add(lookAgain)
	if r.Left > len(r.Failed) {
		next.State = CatchingUp
	}
	_, err := s.store(ctx, next)
	return err
}

// forget ends the care for a group that was closed.
func (s *Service) forget(ctx context.Context, r Rotation) error {
	next := r
	next.State, next.At = Resting, time.Time{}
	_, err := s.store(ctx, next)
	return err
}

// store writes the record with events.
func (s *Service) store(ctx context.Context, r Rotation, events ...audit.Event) (Rotation, error) {
	op, err := r.put()
	if err != nil {
		return r, err
	}
	told, err := s.Journal.PutAll(events...)
	if err != nil {
		return r, err
	}
	if err := s.Table.Write(ctx, append([]store.Op{op}, told...)...); err != nil {
		return r, err
	}
	r.version++
	return r, nil
}

// NextAttempt makes the attempt after the one that is named the present one, and starts it. Repeated, it
// starts it again, which is harmless; late, it does nothing.
func (s *Service) NextAttempt(ctx context.Context, groupID string, number, attempt int64) error {
	var r Rotation
	err := again(func() error {
		var err error
		if r, err = Load(ctx, s.Table, groupID); err != nil || !r.IsCarriedOutBy(number, attempt) {
			return err
		}
		next := r
		next.Attempt++
		r, err = s.store(ctx, next)
		return err
	})
	if err != nil || !r.IsCarriedOutBy(number, attempt+1) {
		return err
	}
	return s.Executions.Start(ctx, r.Execution())
}
