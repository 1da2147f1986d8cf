// Package remind assembles the function that does every minute what only the passing of time calls
// for: it notifies people of alerts, again where nothing has changed, warns of dates that come near,
// and announces maintenance. It needs the table and nothing else; who is notified is told by whoever
// delivers what this function stores.
package remind

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"latchkey/shared/audit"
	"latchkey/shared/due"
	"latchkey/shared/obs"
	"latchkey/shared/store"
	"latchkey/shared/suite"
)

// Deps are what the function needs. Fields without a comment are required.
type Deps struct {
	Table store.Table
	Now   func() time.Time
	Log   *slog.Logger
	// EventRetention is how long events are kept; 0 keeps them for ever.
	EventRetention time.Duration
}

// Job is what falls due of one kind; alert.Service and maintenance.Service are those in use. It may
// run twice at once and be cut short, and loses and repeats nothing by that.
type Job interface {
	AttendAll(ctx context.Context) (due.Report, error)
}

// The names of the jobs, by which they are counted.
const (
	Alerts      = "alerts"
	Maintenance = "maintenance"
)

// Function runs the jobs. It is a lambda.Handler.
type Function struct {
	jobs map[string]Job
	now  func() time.Time
	log  *slog.Logger
}

// New assembles the function.
func New(d Deps) *Function {
	warnings := suite.AlertDeps{
		Table: d.Table, Journal: audit.Journal{Table: d.Table, Now: d.Now, Retention: d.EventRetention}, Now: d.Now,
	}
	return &Function{
		jobs: map[string]Job{Alerts: suite.Alerts(warnings), Maintenance: suite.Maintenance(warnings)}, now: d.Now, log: d.Log,
	}
}

// Result is what one job did.
type Result struct {
	Attended int `json:"attended"`
	Failed   int `json:"failed"`
	// Left is whether time ran out; the next run goes on.
	Left          bool `json:"left"`
	OldestSeconds int  `json:"oldestSeconds"`
}

// Invoke runs every job, whatever becomes of the others, and answers with what each did. It heeds no
// payload. Shortly before the invocation's time is over the jobs begin nothing any more.
func (f *Function) Invoke(ctx context.Context, _ []byte) ([]byte, error) {
	var (
		all     sync.WaitGroup
		mu      sync.Mutex
		results = map[string]Result{}
		failed  error
	)
	for name, job := range f.jobs {
		all.Go(func() {
			result, err := f.run(ctx, name, job)
			mu.Lock()
			defer mu.Unlock()
			results[name], failed = result, errors.Join(failed, err)
		})
	}
	all.Wait()
	if failed != nil {
		return nil, failed
	}
	return json.Marshal(results)
}

// run runs one job and counts what it did, also where it failed.
func (f *Function) run(ctx context.Context, name string, job Job) (Result, error) {
	var report due.Report
	err := due.Safely(func() error {
		var err error
		report, err = job.AttendAll(ctx)
		return err
	})
	obs.Write(ctx, f.log, f.now(), "what was due is done", []obs.Dimension{{Name: "Job", Value: name}},
		obs.Count{Name: "DueAttended", Value: report.Attended}, obs.Count{Name: "DueFailed", Value: report.Failed},
		obs.Count{Name: "OldestDueSeconds", Value: int(report.Oldest.Seconds())})
	if report.Left {
		f.log.WarnContext(ctx, "time ran out; the next run goes on", slog.String("job", name))
	}
	if err != nil {
		f.log.ErrorContext(ctx, "job failed", slog.String("job", name), slog.String("error", err.Error()))
		err = fmt.Errorf("%s: %w", name, err)
	}
	return Result{
		Attended: report.Attended, Failed: report.Failed, Left: report.Left, OldestSeconds: int(report.Oldest.Seconds()),
	}, err
}
