package masterkey

import (
	"context"
	"errors"
	"sync"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/due"
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

// tally adds up what is done for several groups at once.
type tally struct {
	mu  sync.Mutex
	sum Attendance
}

func (t *tally) add(a Attendance) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sum.UnderWay += a.UnderWay
	t.sum.CatchingUp += a.CatchingUp
	t.sum.Planned += a.Planned
	t.sum.Begun += a.Begun
	t.sum.Restarted += a.Restarted
	t.sum.Oldest = max(t.sum.Oldest, a.Oldest)
}

// Attend does everything that is due about master keys, and is to be called every few minutes: it plans
// rotations into the groups' windows, begins those whose time has come, sees to it that those which have
// begun are carried out, and catches up with nodes that were away. What windows call for besides is done
// here too where nobody has done it yet. It may run twice at once, and goes on past a group that fails.
func (s *Service) Attend(ctx context.Context) (Attendance, error) {
	var t tally
	each := func(partition string, attend func(ctx context.Context, groupID string) (Attendance, error)) error {
		queue := due.Queue{Table: s.Table, Partition: partition, Attend: func(ctx context.Context, item store.Item) error {
			of, err := store.Decode[struct {
				GroupID string `json:"groupId"`
			}](item)
			if err != nil {
				return err
			}
			a, err := attend(ctx, of.GroupID)
			t.add(a)
			return err
		}}
		_, err := queue.Run(ctx, s.Now())
		return err
	}
	err := each(keys.MasterKeysDue(time.Time{}, "").PK, s.look)
	err = errors.Join(err, each(keys.MaintenanceDue(time.Time{}, "").PK, s.attendWindow))
	return t.sum, err
}

// attendWindow does what is due of a group's window, and begins the rotation if that is what may run.
func (s *Service) attendWindow(ctx context.Context, groupID string) (Attendance, error) {
	step, err := s.Windows.Attend(ctx, groupID)
	if err != nil || step != maintenance.Begin {
		return Attendance{}, err
	}
	w, err := s.Windows.Window(ctx, groupID)
	if err != nil || w.Plan == nil || w.Plan.What != What {
		return Attendance{}, err
	}
	return counted(func(a *Attendance) error { return s.begin(ctx, groupID, a) })
}

// counted is again for a step that counts what it does.
func counted(step func(*Attendance) error) (a Attendance, err error) {
	err = again(func() error {
		a = Attendance{}
		return step(&a)
	})
	return a, err
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
	return s.Executions.Start(ctx, next.Execution())
}

// look does what is due of a group.
func (s *Service) look(ctx context.Context, groupID string) (Attendance, error) {
	return counted(func(a *Attendance) error { return s.lookAt(ctx, groupID, a) })
}

func (s *Service) lookAt(ctx context.Context, groupID string, a *Attendance) error {
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
	next, err := s.plan(ctx, r, w, all, a)
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
	ended, err := s.Executions.Ensure(ctx, r.Execution())
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
	return s.Executions.Start(ctx, next.Execution())
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
// more. It returns when to look again.
func (s *Service) plan(ctx context.Context, r Rotation, w maintenance.Window, all []subject, a *Attendance) (time.Time, error) {
	now := s.Now().UTC()
	oldest := r.oldest(all, now)
	isPlanned := w.Plan != nil && w.Plan.What == What
	if young := oldest.Add(planAge); young.After(now) {
		if isPlanned && w.Plan.Begun.IsZero() {
			return young, s.Windows.Drop(ctx, w.GroupID, What)
		}
		return young, nil
	}
	_, err := s.Windows.Plan(ctx, w.GroupID, What, oldest.Add(wantedAge), oldest.Add(MaxAge))
	if atlas.CodeOf(err) == atlas.MaintenanceAlreadyScheduled {
		return now.Add(lookAtWindow), nil
	}
	a.Planned++
	return now.Add(lookAtPlan), err
}

// oldest is when the oldest key was made that calls for the next rotation; now without any, since a key
// that is made from now on is younger. It is pure. What is caught up with calls for none, and what could not
// be replaced counts from when that was last tried.
func (r Rotation) oldest(all []subject, now time.Time) time.Time {
	oldest := now
	for _, n := range all {
		made := n.made
		switch {
		case n.isBehind() && r.State == CatchingUp && n.standing != Refused:
			continue
		case n.isBehind():
			made = r.Began
		}
		if made.Before(oldest) {
			oldest = made
		}
	}
	return oldest
}
