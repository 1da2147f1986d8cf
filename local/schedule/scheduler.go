package schedule

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"latchkey/local/lambdasvc"
)

// patience is how long the scheduler sleeps at most. A clock that was set, or a machine that
// was suspended, is noticed after that long.
const patience = time.Minute

// Scheduler invokes functions when their schedules are due.
type Scheduler struct {
	schedules []Schedule
	functions map[string]lambdasvc.Invoker
	now       func() time.Time
	log       *slog.Logger
}

// New returns a scheduler for schedules of functions, which are given by their logical ids.
func New(schedules []Schedule, functions map[string]lambdasvc.Invoker, now func() time.Time, log *slog.Logger) (*Scheduler, error) {
	for _, s := range schedules {
		if functions[s.Function] == nil {
			return nil, fmt.Errorf("schedule: %s: there is no function %s", s.Name, s.Function)
		}
	}
	return &Scheduler{schedules: slices.Clone(schedules), functions: functions, now: now, log: log}, nil
}

// Run invokes what comes due until ctx ends, and returns when the last invocation has ended.
// An invocation delays no other, nor the next of its own schedule. A schedule that came due
// more than once since the last look is invoked once.
func (s *Scheduler) Run(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	anchor := s.now()
	for seen := anchor; ; {
		timer := time.NewTimer(s.wait(seen, anchor))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		now := s.now()
		for _, due := range s.schedules {
			if next := due.Expression.Next(seen, anchor); !next.IsZero() && !next.After(now) {
				running.Go(func() { s.invoke(ctx, due) })
			}
		}
		seen = now
	}
}

// wait is how long nothing is due.
func (s *Scheduler) wait(seen, anchor time.Time) time.Duration {
	wait := patience
	for _, schedule := range s.schedules {
		if next := schedule.Expression.Next(seen, anchor); !next.IsZero() {
			wait = min(wait, next.Sub(seen))
		}
	}
	return wait
}

// invoke is an asynchronous invocation: nobody waits for the answer. Lambda would repeat one that
// failed twice; here the log says so and the next is as good.
func (s *Scheduler) invoke(ctx context.Context, due Schedule) {
	if _, err := s.functions[due.Function].Invoke(ctx, due.Input); err != nil {
		s.log.ErrorContext(ctx, "schedule failed", slog.String("schedule", due.Name), slog.String("error", err.Error()))
		return
	}
	s.log.DebugContext(ctx, "schedule done", slog.String("schedule", due.Name))
}
