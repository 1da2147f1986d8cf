// Package sweep checks the keys of all groups on a schedule: every 15 minutes each, every
// minute those of groups with a key that is not VALID, and once an hour more thoroughly.
//
// Its invariants: what is due is found by queries of the index and is never lost, only late; a
// tenant, a host or a provider that is slow delays nobody else; a healthy key costs one call
// and no write. Runs may overlap, be repeated, and be killed.
package sweep

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"latchkey/shared/atlas"
	"latchkey/shared/encryption"
	"latchkey/shared/store"
	"latchkey/shared/verdict"
)

// Enforcer acts on what a tenant did to a key.
type Enforcer = encryption.Enforcer

// Sweep checks keys on a schedule.
type Sweep struct {
	Settings *encryption.Service
	// Enforcer is told of keys that are invalid or valid again. nil tells nobody.
	Enforcer Enforcer
	Log      *slog.Logger
}

// reserve is the time before the context's end in which no check begins any more: a check, its
// confirmation and an inspection take up to 26 seconds, and then verdicts are stored.
const reserve = 30 * time.Second

// runTime is how long after its begin a run begins no check any more, whatever the context
// says: the next run comes a minute after this one.
const runTime = 40 * time.Second

// Result is what one run did.
type Result struct {
	Verdicts map[verdict.Class]int `json:"verdicts"`
	// Held counts the INVALID verdicts that were too many at once to be believed.
	Held int `json:"held"`
	// Left counts the keys that the next run must begin with, for lack of time.
	Left int `json:"left"`
	// Failed counts the keys on which something beside the check went wrong.
	Failed int `json:"failed"`
	// Inspected counts the keys that were checked more thoroughly, Defective those of them
	// that failed though they open what they sealed.
	Inspected int `json:"inspected"`
	Defective int `json:"defective"`
	Enforced  int `json:"enforced"`
}

// Run checks what is due at now. It returns an error if what is due could not be found, or if
// nothing at all went well; what is wrong with single keys is logged and counted. accepted are
// causes for which any number of keys may become invalid at once: the operator knows better, and
// with any the keys that are not VALID are checked even if this minute's turn was taken.
func (s *Sweep) Run(ctx context.Context, now time.Time, accepted ...Cause) (Result, error) {
	minute := minuteOf(now)
	marks, err := loadProgress(ctx, s.Settings.Table, minute)
	if err != nil {
		return Result{}, err
	}
	r := &run{
		Sweep: s, now: now, accepted: accepted, result: Result{Verdicts: map[verdict.Class]int{}}, valid: map[atlas.Provider]int{}, done: map[subject]bool{},
	}
	turns := marks.due(minute, len(accepted) > 0)
	r.late = marks.lateness(now, turns)
	err = r.serve(ctx, minute, turns)
	r.settle(ctx)
	err = errors.Join(err, marks.save(ctx, s.Settings.Table, minute, turns))
	if err == nil && r.result.Failed > 0 && r.result.Failed >= r.attempted {
		err = fmt.Errorf("sweep: no key went well: %w", errors.Join(r.failures...))
	}
	r.report(ctx)
	return r.result, err
}

// run is one run.
type run struct {
	*Sweep
	now      time.Time
	accepted []Cause
	late     time.Duration
	lanes    lanes

	mu        sync.Mutex
	result    Result
	attempted int
	failures  []error // the first few
	valid     map[atlas.Provider]int
	suspects  []suspect
	done      map[subject]bool // what was checked
}

// subject is what is checked: a group's key.
type subject struct {
	groupID  string
	provider atlas.Provider
}

// serve takes the turns: urgent ones beside the others, so that neither waits for the other. Then it has more keys
// checked, if it must.
func (r *run) serve(ctx context.Context, minute int64, turns []*turn) error {
	work, cancel := context.WithTimeout(ctx, runTime)
	defer cancel()
	if deadline, ok := ctx.Deadline(); ok {
		work, cancel = context.WithDeadline(work, deadline.Add(-reserve))
		defer cancel()
	}
	defer context.AfterFunc(work, r.lanes.close)()
	var group errgroup.Group
	group.Go(func() error { return r.take(ctx, work, turns, true) })
	group.Go(func() error { return r.take(ctx, work, turns, false) })
	return errors.Join(group.Wait(), r.callWitnesses(ctx, work, minute, turns))
}

// maxPending bounds the keys of one kind of turn that are held in memory. Each costs some
// kilobytes.
const maxPending = 5000

// backlog is what was read and is not done yet.
type backlog struct {
	room chan struct{}
	all  sync.WaitGroup
}

// add waits until there is room for one more.
func (b *backlog) add() {
	b.room <- struct{}{}
	b.all.Add(1)
}

func (b *backlog) done() {
	<-b.room
	b.all.Done()
}

func (r *run) take(ctx, work context.Context, turns []*turn, urgent bool) error {
	pending := &backlog{room: make(chan struct{}, maxPending)}
	var failed []error
	for _, t := range turns {
		if t.isUrgent() != urgent {
			continue
		}
		for _, q := range t.queries() {
			if err := r.read(ctx, work, t, q, pending); err != nil {
				failed = append(failed, err)
				break
			}
		}
	}
	pending.all.Wait()
	return errors.Join(failed...)
}

// read reads a query page by page and begins to check what it finds.
func (r *run) read(ctx, work context.Context, t *turn, q store.Query, pending *backlog) error {
	place := t.enter(q.From)
	for {
		select {
		case <-work.Done():
			t.leave(place)
			return nil
		default:
		}
		page, err := r.Settings.Table.Query(ctx, q)
		if err != nil {
			t.leave(place)
			return fmt.Errorf("sweep: read slot %s: %w", t.slot, err)
		}
		for _, item := range page.Items {
			place = t.enter(item.Index.SK)
			r.begin(ctx, t, place, item, pending)
		}
		if page.Next == "" {
			return nil
		}
		q.After = page.Next
	}
}
