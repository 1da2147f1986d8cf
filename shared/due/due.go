// Package due works off what falls due: items that stand in the table's index under the time at
// which they need attention.
//
// Its invariant: what fails, or takes long, keeps nothing else waiting, and what a run does not reach
// is there for the next. Attending to an item moves it to its next time or takes it out of the index,
// and attending to it again does nothing; so runs may be cut short and overlap. Use cases import this
// package, which knows none of them.
package due

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

// Queue is what falls due in one partition of the index.
type Queue struct {
	Table store.Table
	// Partition is that of the index. Sort keys in it begin with keys.AlertDuePrefix and the time.
	Partition string
	// Attend does what is due of one item, and nothing if nothing is. The item is as the index has it,
	// which may lag, so it must be read again. It is called for several items at once, though not for
	// several of one partition of the table.
	Attend func(ctx context.Context, item store.Item) error
}

const (
	// reserve is the time before the context's end in which nothing is begun any more: far more than
	// attending to one item takes, the table's retries included.
	reserve = 10 * time.Second
	// parallel is how many partitions are attended to at once. Each is a handful of calls of the table.
	parallel = 16
	// maxErrors bounds the errors that a run returns; it counts them all.
	maxErrors = 10
)

// Report is what a run did.
type Report struct {
	// Attended counts the items that were attended to, Failed those that could not be.
	Attended int
	Failed   int
	// Left is whether time ran out before every item was begun.
	Left bool
	// Oldest is how long the item that was due the longest had been due, 0 if none was.
	Oldest time.Duration
}

// Run attends to everything that is due at a time, the longest due first. Shortly before the
// context's end it begins nothing any more. It goes on past what fails, and returns the first
// errors; that time ran out is none.
func (q Queue) Run(ctx context.Context, now time.Time) (Report, error) {
	begin, cancel := ctx, context.CancelFunc(func() {})
	if end, ok := ctx.Deadline(); ok {
		begin, cancel = context.WithDeadline(ctx, end.Add(-reserve))
	}
	defer cancel()
	r := &run{queue: q, now: now}
	err := r.pages(ctx, begin)
	return r.report, errors.Join(append(r.failures, err)...)
}

type run struct {
	queue Queue
	now   time.Time

	mu       sync.Mutex
	report   Report
	failures []error // the first few
}

// pages goes through the items in the order of their times. The place in that order, not the list,
// is what it goes on from: items that fail stay where they are.
func (r *run) pages(ctx, begin context.Context) error {
	var group errgroup.Group
	group.SetLimit(parallel)
	defer group.Wait() //nolint:errcheck // what fails is in the report
	q := store.Query{Index: true, PK: r.queue.Partition, Prefix: keys.AlertDuePrefix, Until: keys.AlertDueUntil(r.now)}
	for first := true; ; first = false {
		page, err := r.queue.Table.Query(ctx, q)
		if err != nil {
			return fmt.Errorf("list what is due in %s: %w", q.PK, err)
		}
		if first {
			r.report.Oldest = r.oldest(page.Items)
		}
		for _, items := range byPartition(page.Items) {
			group.Go(func() error {
				for _, item := range items {
					r.attend(ctx, begin, item)
				}
				return nil
			})
		}
		if q.After = page.Next; page.Next == "" || begin.Err() != nil {
			r.leave(page.Next != "")
			return ctx.Err()
		}
	}
}

// byPartition splits items by their partition of the table, each in the order in which it has fallen due.
// What is in one partition is attended to one after another: it is about one group, whose records
// transactions would meet in and fail.
func byPartition(items []store.Item) [][]store.Item {
	var split [][]store.Item
	place := map[string]int{}
	for _, item := range items {
		i, ok := place[item.PK]
		if !ok {
			i = len(split)
			place[item.PK], split = i, append(split, nil)
		}
		split[i] = append(split[i], item)
	}
	return split
}

// oldest is how long the first of the items has been due.
func (r *run) oldest(items []store.Item) time.Duration {
	if len(items) == 0 {
		return 0
	}
	at, ok := keys.DueTime(items[0].Index.SK)
	if !ok {
		return 0
	}
	return max(0, r.now.Sub(at))
}

func (r *run) attend(ctx, begin context.Context, item store.Item) {
	if begin.Err() != nil {
		r.leave(true)
		return
	}
	err := Safely(func() error { return r.queue.Attend(ctx, item) })
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		r.report.Attended++
		return
	}
	if r.report.Failed++; r.report.Failed <= maxErrors {
		r.failures = append(r.failures, fmt.Errorf("attend to %s: %w", item.Key, err))
	}
}

func (r *run) leave(left bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.Left = r.report.Left || left
}

// Safely calls a function and returns its panic as an error, so that one bug keeps nothing else from
// being done.
func Safely(do func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return do()
}
