package schedule_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/local/lambdasvc"
	"latchkey/local/schedule"
	"latchkey/local/template"
)

// function notes when it was invoked and with what.
type function struct {
	now   func() time.Time
	takes time.Duration
	err   error
	calls chan string
}

func (f function) Invoke(_ context.Context, payload []byte) ([]byte, error) {
	f.calls <- f.now().UTC().Format("15:04:05 ") + string(payload)
	time.Sleep(f.takes)
	return nil, f.err
}

func newFunction(now func() time.Time) function {
	return function{now: now, calls: make(chan string, 1000)}
}

// called are the calls since the last look.
func (f function) called() []string {
	synctest.Wait()
	var calls []string
	for {
		select {
		case c := <-f.calls:
			calls = append(calls, c)
		default:
			return calls
		}
	}
}

func parse(t *testing.T, name, text string) schedule.Schedule {
	t.Helper()
	e, err := schedule.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return schedule.Schedule{Name: name, Function: "F", Expression: e, Input: []byte(name)}
}

// run starts a scheduler in the bubble; stop ends it and waits for it.
func run(t *testing.T, f function, log *slog.Logger, schedules ...schedule.Schedule) (stop func()) {
	t.Helper()
	s, err := schedule.New(schedules, map[string]lambdasvc.Invoker{"F": f}, f.now, log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		s.Run(ctx)
		close(ended)
	}()
	return func() { cancel(); <-ended }
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func TestRun_invokesEachScheduleWhenItIsDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // begins at midnight
		f := newFunction(time.Now)
		stop := run(t, f, quiet(), parse(t, "often", "rate(20 minutes)"), parse(t, "daily", "cron(50 0 * * ? *)"))
		defer stop()
		time.Sleep(time.Hour + time.Second)
		want := []string{"00:20:00 often", "00:40:00 often", "00:50:00 daily", "01:00:00 often"}
		if diff := cmp.Diff(want, f.called()); diff != "" {
			t.Error(diff)
		}
		time.Sleep(24*time.Hour - time.Second)
		daily := 0
		for _, call := range f.called() {
			if strings.HasSuffix(call, "daily") {
				daily++
			}
		}
		if daily != 1 {
			t.Errorf("the daily schedule came %d times in a day", daily)
		}
	})
}

func TestRun_aSlowInvocationDelaysNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFunction(time.Now)
		f.takes = time.Hour
		stop := run(t, f, quiet(), parse(t, "a", "rate(1 minute)"), parse(t, "b", "rate(2 minutes)"))
		time.Sleep(2*time.Minute + time.Second)
		got := f.called()
		if len(got) != 3 {
			t.Errorf("calls = %v", got)
		}
		start := time.Now()
		stop()
		if waited := time.Since(start); waited != time.Hour-time.Second {
			t.Errorf("it ended after %s, with invocations running", waited)
		}
		if more := f.called(); more != nil {
			t.Errorf("after the end: %v", more)
		}
	})
}

func TestRun_aJumpOfTheClockIsNoticedWithinAMinuteAndMadeUpForOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		jump := make(chan time.Duration, 1)
		jump <- 0
		now := func() time.Time {
			by := <-jump
			jump <- by
			return time.Now().Add(by)
		}
		f := newFunction(now)
		stop := run(t, f, quiet(), parse(t, "a", "cron(0 * * * ? *)"))
		defer stop()
		set := func(by time.Duration) {
			synctest.Wait()
			<-jump
			jump <- by
			time.Sleep(time.Minute)
		}
		set(5*time.Hour + time.Minute)
		if got := f.called(); len(got) != 1 {
			t.Errorf("ahead: calls = %v", got)
		}
		set(0) // back: what was invoked early is due again
		if got := f.called(); got != nil {
			t.Errorf("back: calls = %v", got)
		}
		time.Sleep(time.Hour)
		if diff := cmp.Diff([]string{"01:00:00 a"}, f.called()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestRun_logsWhatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		f := newFunction(time.Now)
		f.err = errors.New("no table")
		stop := run(t, f, slog.New(slog.NewJSONHandler(&log, nil)), parse(t, "OperatorFunction/Purge", "rate(1 hour)"))
		time.Sleep(2*time.Hour + time.Second)
		stop()
		if n := strings.Count(log.String(), `"schedule":"OperatorFunction/Purge","error":"no table"`); n != 2 {
			t.Errorf("log = %s", log.String())
		}
	})
}

const sample = `
Resources:
  SweepFunction:
    Type: AWS::Serverless::Function
    Properties:
      Events:
        Daily:
          Type: ScheduleV2
          Properties:
            Description: Sweeps.
            ScheduleExpression: cron(0 0 * * ? *)
            FlexibleTimeWindow: {Mode: FLEXIBLE, MaximumWindowInMinutes: 60}
            Input: '{"operation":"sweep"}'
        Never:
          Type: ScheduleV2
          Properties: {ScheduleExpression: rate(1 day), FlexibleTimeWindow: {Mode: "OFF"}, Input: "{}", State: DISABLED}
        Route:
          Type: Api
          Properties: {Path: /x, Method: GET}
`

func read(t *testing.T, text string) ([]schedule.Schedule, error) {
	t.Helper()
	tmpl, err := template.Parse([]byte(text), template.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return schedule.Read(tmpl)
}

func TestRead_findsTheSchedulesThatAreEnabled(t *testing.T) {
	got, err := read(t, sample)
	if err != nil || len(got) != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	s := got[0]
	if s.Name != "SweepFunction/Daily" || s.Function != "SweepFunction" || string(s.Input) != `{"operation":"sweep"}` {
		t.Errorf("%+v", s)
	}
	now := day(1, 30, 10, 30)
	if next := s.Expression.Next(now, now); !next.Equal(day(1, 31, 0, 0)) {
		t.Errorf("next at %s", next)
	}
	if _, err := schedule.New(got, nil, time.Now, quiet()); err == nil || !strings.Contains(err.Error(), "SweepFunction") {
		t.Errorf("without its function: %v", err)
	}
}

func TestRead_refusesWhatItCannotRunAsItWouldBeDeployed(t *testing.T) {
	for name, change := range map[string][2]string{
		"another expression":       {"cron(0 0 * * ? *)", "at(2026-01-01T00:00:00)"},
		"a property it ignores":    {"Description: Sweeps.", "ScheduleExpressionTimezone: Europe/Dublin"},
		"no window":                {"FlexibleTimeWindow: {Mode: FLEXIBLE, MaximumWindowInMinutes: 60}", ""},
		"a window without a width": {", MaximumWindowInMinutes: 60", ""},
		"a window of days":         {"MaximumWindowInMinutes: 60", "MaximumWindowInMinutes: 1441"},
		"input that is no JSON":    {`'{"operation":"sweep"}'`, "sweep"},
		"no input":                 {`Input: '{"operation":"sweep"}'`, ""},
		"an unknown state":         {"State: DISABLED", "State: PAUSED"},
	} {
		if got, err := read(t, strings.ReplaceAll(sample, change[0], change[1])); err == nil || !strings.Contains(err.Error(), "SweepFunction/") {
			t.Errorf("%s is taken as %+v, %v", name, got, err)
		}
	}
}
