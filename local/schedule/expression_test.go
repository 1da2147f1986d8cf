package schedule_test

import (
	"slices"
	"strconv"
	"strings"
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

// FuzzParse reads anything. What is due next comes after now, and nothing between is due; and an expression of plain fields
// is due when somebody who goes through the minutes one by one says so.
func FuzzParse(f *testing.F) {
	for _, text := range []string{
		"rate(5 minutes)", "cron(0/5 8-17 ? * MON-FRI 2026)", "cron(0 0 LW * ? *)", "cron(17 3 * * ? *)", "cron(0,30 */6 1-7 JAN,FEB ? *)", "cron(59 23 31 1/2 ? 2026-2027)",
		"cron(0 9 ? * MON#1 *)", "cron(1-3/2 0 15W * ? *)", "cron(0 0 29 2 ? *)", "rate(99999 days)", "cron(5-1 0 1 * ? *)", "cron(0/0 0 1 * ? *)",
	} {
		f.Add(text, uint32(0))
	}
	f.Fuzz(func(t *testing.T, text string, minutes uint32) {
		begun := time.Now()
		e, err := schedule.Parse(text)
		if err != nil {
			return
		}
		now := day(1, 30, 10, 30).Add(time.Duration(minutes%5_000_000) * time.Minute)
		next := e.Next(now, now)
		if took := time.Since(begun); took > 2*time.Second {
			t.Errorf("%s took %s", text, took)
		}
		if !next.IsZero() && (!next.After(now) || !e.Next(next.Add(-1), now).Equal(next)) {
			t.Errorf("%s is due at %s, after %s", text, next, now)
		}
		want, ok := byHand(text, now)
		if ok && !want.Equal(next) && (next.IsZero() || next.Before(now.Add(horizon))) {
			t.Errorf("%s is due at %s after %s, want %s", text, next, now, want)
		}
	})
}

// horizon is how far byHand looks.
const horizon = 40 * 24 * time.Hour

// byHand goes through the minutes. ok is false for what it cannot read, and for what is not due before the horizon.
func byHand(text string, after time.Time) (at time.Time, ok bool) {
	inner, isCron := strings.CutPrefix(strings.TrimSuffix(text, ")"), "cron(")
	fields := strings.Fields(inner)
	if !isCron || len(fields) != 6 {
		return time.Time{}, false
	}
	bounds := [6][2]int{{0, 59}, {0, 23}, {1, 31}, {1, 12}, {0, 6}, {1970, 2099}}
	var match [6]func(int) bool
	for i, f := range fields {
		if match[i] = field(f, bounds[i][0], bounds[i][1]); match[i] == nil {
			return time.Time{}, false
		}
	}
	for at = after.Truncate(time.Minute).Add(time.Minute); at.Before(after.Add(horizon)); at = at.Add(time.Minute) {
		values := [6]int{at.Minute(), at.Hour(), at.Day(), int(at.Month()), int(at.Weekday()), at.Year()}
		if !slices.ContainsFunc([]int{0, 1, 2, 3, 4, 5}, func(i int) bool { return !match[i](values[i]) }) {
			return at, true
		}
	}
	return time.Time{}, false
}

// field reads *, ?, n, n-m, and lists of them; nil is what it cannot read.
func field(text string, least, most int) func(int) bool {
	if text == "*" || text == "?" {
		return func(int) bool { return true }
	}
	chosen := map[int]bool{}
	for part := range strings.SplitSeq(text, ",") {
		low, high, isRange := strings.Cut(part, "-")
		from, err := strconv.Atoi(low)
		to := from
		if isRange && err == nil {
			to, err = strconv.Atoi(high)
		}
		if err != nil || from < least || to > most || from > to {
			return nil
		}
		for n := from; n <= to; n++ {
			chosen[n] = true
		}
	}
	return func(n int) bool { return chosen[n] }
}
