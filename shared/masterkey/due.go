package masterkey

import (
	"context"
	"errors"
	"fmt"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/maintenance"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

// When a group is looked at again.
const (
	lookAgain    = 5 * time.Minute // a rotation is under way, or nodes are caught up with
	lookForAway  = 15 * time.Minute
	lookAtPlan   = day       // a rotation is planned: it may become unneeded
	lookAtWindow = time.Hour // another maintenance is in the way
)

// perRun is how many groups one run attends to at most. What it does not get to stays due.
const perRun = 100

// Attendance is what Attend did.
type Attendance struct {
	// UnderWay is how many rotations are under way, CatchingUp how many wait for nodes to return, and Planned how
	// many groups have a rotation planned: of the groups that were due.
	UnderWay   int `json:"underWay"`
	CatchingUp int `json:"catchingUp"`
	Planned    int `json:"planned"`
	// Begun are rotations whose time has come, Restarted those whose workflow had ended before they did.
	Begun     int `json:"begun"`
	Restarted int `json:"restarted"`
	// Oldest is how long ago the oldest that is under way was begun.
	Oldest time.Duration `json:"-"`
}

// Attend does everything that is due about master keys, and is to be called every few minutes: it plans
// rotations into the groups' windows, announces them and puts them off as the windows say, begins those
// whose time has come, sees to it that those which have begun are carried out, and catches up with nodes
// that were away. It may run twice at once. It goes on past a group that fails, and returns all errors.
func (s *Service) Attend(ctx context.Context) (Attendance, error) {
	var a Attendance
	due, err := s.due(ctx)
	failed := err
	for _, groupID := range due {
		if err := again(func() error { return s.look(ctx, groupID, &a) }); err != nil {
			failed = errors.Join(failed, fmt.Errorf("look at the master keys of %s: %w", groupID, err))
		}
	}
	windows, err := s.Windows.Due(ctx)
	if err != nil {
		failed = errors.Join(failed, fmt.Errorf("list windows that are due: %w", err))
	}
	for _, groupID := range windows {
		if err := s.attendWindow(ctx, groupID, &a); err != nil {
			failed = errors.Join(failed, fmt.Errorf("attend the window of %s: %w", groupID, err))
		}
	}
	return a, failed
}

// due lists groups that need attention, the longest overdue first.
func (s *Service) due(ctx context.Context) ([]string, error) {
	now := s.Now()
	page, err := s.Table.Query(ctx, store.Query{
		Index: true, PK: keys.MasterKeysDue(now, "").PK, Prefix: keys.AlertDuePrefix, Until: keys.AlertDueUntil(now), Limit: perRun,
	})
	if err != nil {
		return nil, fmt.Errorf("list master keys that are due: %w", err)
	}
	groups := make([]string, 0, len(page.Items))
	for _, item := range page.Items {
		r, err := store.Decode[Rotation](item)
		if err != nil {
			return nil, err
		}
		groups = append(groups, r.GroupID)
	}
	return groups, nil
}

// attendWindow does what is due of a group's window, and begins the rotation if that is what may run.
func (s *Service) attendWindow(ctx context.Context, groupID string, a *Attendance) error {
	step, err := s.Windows.Attend(ctx, groupID)
	if err != nil || step != maintenance.Begin {
		return err
	}
	w, err := s.Windows.Window(ctx, groupID)
	if err != nil || w.Plan == nil || w.Plan.What != What {
		return err
	}
	return again(func() error { return s.begin(ctx, groupID, a) })
}

// begin makes the next rotation of a group. Its first step begins the maintenance, so that nothing is
// lost between the two.
func (s *Service) begin(ctx context.Context, groupID string, a *Attendance) error {
	r, err := Load(ctx, s.Table, groupID)
	if err != nil || r.State == UnderWay {
		return err // and looked at every few minutes
	}
	next := r
	next.Number, next.Attempt = r.Number+1, 1
	next.State, next.IsOpen, next.At = UnderWay, false, s.Now().UTC().Add(lookAgain)
	if next, err = s.store(ctx, next); err != nil {
		return err
	}
	a.Begun++
	return s.Executions.StartRotation(ctx, next)
}

// look does what is due of a group.
func (s *Service) look(ctx context.Context, groupID string, a *Attendance) error {
	r, err := Load(ctx, s.Table, groupID)
	if err != nil || r.At.IsZero() || r.At.After(s.Now()) {
		return err // the index may be behind
	}
	w, err := s.Windows.Window(ctx, groupID)
	if atlas.CodeOf(err) == atlas.GroupNotFound {
		return s.forget(ctx, r)
	}
	if err != nil {
		return err
	}
	if r.State == UnderWay {
		return s.resume(ctx, r, a)
	}
	all, err := s.survey(ctx, r)
	if err != nil {
		return err
	}
	if r.State == CatchingUp {
		if r, err = s.catchUp(ctx, r, all, w); err != nil {
			return err
		}
		a.CatchingUp++
	}
	next, err := s.plan(ctx, w, all, a)
	if err != nil {
		return err
	}
	if r.State == CatchingUp {
		next = s.Now().UTC().Add(lookForAway)
		if len(r.Told) > 0 {
			next = s.Now().UTC().Add(lookAgain)
		}
	}
	r.At = next
	_, err = s.store(ctx, r)
	return err
}

// resume sees to it that a rotation is carried out: it starts what was never started, and the next
// attempt where one has ended.
func (s *Service) resume(ctx context.Context, r Rotation, a *Attendance) error {
	ended, err := s.Executions.EnsureRotation(ctx, r)
	if err != nil {
		return err
	}
	a.UnderWay++
	if r.IsOpen {
		a.Oldest = max(a.Oldest, s.Now().Sub(r.Began))
	}
	next := r
	next.At = s.Now().UTC().Add(lookAgain)
	if ended {
		next.Attempt++
	}
	if next, err = s.store(ctx, next); err != nil || !ended {
		return err
	}
	a.Restarted++
	return s.Executions.StartRotation(ctx, next)
}

// catchUp tells the nodes that have returned since the rotation ended. A node that returns has disturbed
// its shard by that, whatever the hour; nothing is gained by leaving its key old until the next window.
func (s *Service) catchUp(ctx context.Context, r Rotation, all []subject, w maintenance.Window) (Rotation, error) {
	r, err := s.note(ctx, r, all)
	if err != nil {
		return r, err
	}
	if !isCatchable(all) {
		next := r
		next.State = Resting
		return s.store(ctx, next, s.completed(w, next))
	}
	for _, n := range r.next(all, s.Now()) {
		if r, err = s.tell(ctx, r, n); err != nil {
			return r, err
		}
	}
	return r, nil
}

// plan plans the next rotation once the oldest key calls for it, or drops one that no key calls for any
// more. It returns when to look again. What is left of the last rotation calls for none: it is caught up
// with.
func (s *Service) plan(ctx context.Context, w maintenance.Window, all []subject, a *Attendance) (time.Time, error) {
	now := s.Now().UTC()
	oldest := now // a key that is made from now on is younger
	for _, n := range all {
		if n.standing == Current && n.made.Before(oldest) {
			oldest = n.made
		}
	}
	isPlanned := w.Plan != nil && w.Plan.What == What
	if due := oldest.Add(planAge); due.After(now) {
		if isPlanned && w.Plan.Begun.IsZero() {
			return due, s.Windows.Drop(ctx, w.GroupID, What)
		}
		return due, nil
	}
	_, err := s.Windows.Plan(ctx, w.GroupID, What, oldest.Add(wantedAge), oldest.Add(MaxAge))
	if atlas.CodeOf(err) == atlas.MaintenanceAlreadyScheduled {
		return now.Add(lookAtWindow), nil
	}
	a.Planned++
	return now.Add(lookAtPlan), err
}
