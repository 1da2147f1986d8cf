package schedule_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"latchkey/local/schedule"
)

func day(month time.Month, day, hour, minute int) time.Time {
	return time.Date(2026, month, day, hour, minute, 0, 0, time.UTC)
}

func TestNext_isWhenEventBridgeWouldInvoke(t *testing.T) {
	start := day(time.January, 30, 10, 30) // a Friday
	tests := map[string][]time.Time{
		"rate(1 minute)":             {day(1, 30, 10, 31), day(1, 30, 10, 32)},
		"rate(15 minutes)":           {day(1, 30, 10, 45), day(1, 30, 11, 0)},
		"rate(6 hours)":              {day(1, 30, 16, 30), day(1, 30, 22, 30)},
		"rate(1 day)":                {day(1, 31, 10, 30), day(2, 1, 10, 30)},
		"cron(17 3 * * ? *)":         {day(1, 31, 3, 17), day(2, 1, 3, 17)},
		"cron(0/20 10-11 * * ? *)":   {day(1, 30, 10, 40), day(1, 30, 11, 0), day(1, 30, 11, 20)},
		"cron(30 10 1 * ? *)":        {day(2, 1, 10, 30), day(3, 1, 10, 30)},
		"cron(30 10 L * ? *)":        {day(1, 31, 10, 30), day(2, 28, 10, 30)},
		"cron(0 9 ? * MON-WED *)":    {day(2, 2, 9, 0), day(2, 3, 9, 0), day(2, 4, 9, 0), day(2, 9, 9, 0)},
		"cron(0 9 ? * MON#1 *)":      {day(2, 2, 9, 0), day(3, 2, 9, 0)},
		"cron(0 0 1 JAN,JUL ? 2026)": {day(7, 1, 0, 0), {}},
		"cron(0 0 30 FEB ? *)":       {{}},
	}
	for text, want := range tests {
		t.Run(text, func(t *testing.T) {
			e, err := schedule.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			var got []time.Time
			for at := start; len(got) < len(want); {
				at = e.Next(at, start)
				got = append(got, at)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParse_refusesWhatEventBridgeRefuses(t *testing.T) {
	for _, text := range []string{
		"", "1 day", "rate()", "rate(0 days)", "rate(1 days)", "rate(2 day)", "rate(01 day)", "rate(1 week)", "rate(1.5 hours)", "rate(1 day", "rate(1 day))",
		"rate(100000 minutes)", "at(2026-01-01T00:00:00)", "cron()", "cron(@daily)", "cron(@daily a b c d e)", "cron(0 3 * * ?)", "cron(0 0 3 * * ? *)",
		"cron(0 3 * * * *)", "cron(0 3 ? * ? *)", "cron(? 3 * * ? *)", "cron(60 3 * * ? *)", "cron(0 24 * * ? *)", "cron(0 3 0 * ? *)", "cron(0 3 * 13 ? *)",
		"cron(0 3 ? * 2 *)", "cron(0 3 ? * 2#1 *)", "cron(0 3 ? * MON? *)", "cron(a b c d e f)",
	} {
		if e, err := schedule.Parse(text); err == nil {
			t.Errorf("%s is taken as %+v", text, e)
		}
	}
}

// What is due next comes after now, and no rate drifts from its anchor however late it is asked.
func TestNext_isAlwaysLaterAndKeepsInStep(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.SampledFrom([]string{"rate(1 minute)", "rate(7 minutes)", "rate(5 hours)", "rate(3 days)", "cron(17 3 * * ? *)"}).Draw(t, "text")
		e, err := schedule.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		anchor := day(1, 30, 10, 30)
		after := anchor.Add(time.Duration(rapid.Int64Range(-int64(time.Hour), int64(1e17)).Draw(t, "after")))
		next := e.Next(after, anchor)
		if !next.After(after) || !e.Next(next.Add(-1), anchor).Equal(next) {
			t.Errorf("after %s comes %s", after, next)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add("rate(5 minutes)")
	f.Add("cron(0/5 8-17 ? * MON-FRI 2026)")
	f.Add("cron(0 0 LW * ? *)")
	f.Fuzz(func(t *testing.T, text string) {
		e, err := schedule.Parse(text)
		if err != nil {
			return
		}
		now := day(1, 30, 10, 30)
		if next := e.Next(now, now); !next.IsZero() && !next.After(now) {
			t.Errorf("%s is due at %s, before %s", text, next, now)
		}
	})
}
