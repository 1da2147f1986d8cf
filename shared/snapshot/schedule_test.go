package snapshot_test

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"latchkey/shared/atlas"
	"latchkey/shared/snapshot"
)

func utc(text string) time.Time {
	t, err := time.Parse("2006-01-02 15:04", text)
	if err != nil {
		panic(err)
	}
	return t
}

// counter mints ids that are easy to read.
func counter() func() string {
	n := 0
	return func() string { n++; return strconv.Itoa(n) }
}

func one(f snapshot.Frequency, interval int) snapshot.Schedule {
	return snapshot.Schedule{
		PolicyID: "p", Hour: 3, Minute: 17, RestoreWindowDays: 7,
		Items: []snapshot.Item{{ID: "i", Frequency: f, Interval: interval, Retention: snapshot.Retention{Unit: snapshot.Days, Value: 7}}},
	}
}

func TestTheNextSnapshotIsAtItsMoment(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		frequency snapshot.Frequency
		interval  int
		after     string
		want      string
	}{
		{snapshot.Hourly, 1, "2026-02-28 23:17", "2026-03-01 00:17"},
		{snapshot.Hourly, 6, "2026-02-28 03:16", "2026-02-28 03:17"},
		{snapshot.Hourly, 6, "2026-02-28 21:17", "2026-03-01 03:17"},
		{snapshot.Hourly, 12, "2026-02-28 03:17", "2026-02-28 15:17"},
		{snapshot.Daily, 1, "2026-03-29 01:00", "2026-03-29 03:17"}, // many clocks skip an hour that night
		{snapshot.Daily, 1, "2026-10-25 03:17", "2026-10-26 03:17"},
		{snapshot.Weekly, 1, "2026-11-22 12:00", "2026-11-23 03:17"}, // a Monday
		{snapshot.Weekly, 7, "2026-11-22 03:16", "2026-11-22 03:17"}, // a Sunday
		{snapshot.Weekly, 7, "2026-11-22 03:17", "2026-11-29 03:17"},
		{snapshot.Monthly, 28, "2026-02-27 03:17", "2026-02-28 03:17"},
		{snapshot.Monthly, 40, "2026-02-01 00:00", "2026-02-28 03:17"},
		{snapshot.Monthly, 40, "2028-02-28 03:17", "2028-02-29 03:17"},
		{snapshot.Monthly, 40, "2026-04-30 03:17", "2026-05-31 03:17"},
		{snapshot.Yearly, 12, "2026-12-01 03:17", "2027-12-01 03:17"},
		{snapshot.Yearly, 1, "2027-12-31 23:59", "2028-01-01 03:17"},
		{snapshot.Yearly, 3, "2027-03-01 03:17", "2028-03-01 03:17"}, // 366 days
	} {
		if got := one(c.frequency, c.interval).Next(utc(c.after)); !got.Equal(utc(c.want)) {
			t.Errorf("%s/%d after %s is %s, want %s", c.frequency, c.interval, c.after, got.Format(time.DateTime), c.want)
		}
	}
	if got := (snapshot.Schedule{}).Next(utc("2026-01-01 00:00")); !got.IsZero() {
		t.Errorf("a schedule without items has a next moment: %v", got)
	}
}

func TestRetentionEndsOnDaysThatExist(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		unit  string
		value int
		from  string
		want  string
	}{
		{snapshot.Days, 7, "2026-02-25 10:00", "2026-03-04 10:00"},
		{snapshot.Weeks, 4, "2026-12-31 10:00", "2027-01-28 10:00"},
		{snapshot.Months, 1, "2026-01-31 10:00", "2026-02-28 10:00"},
		{snapshot.Months, 12, "2027-12-31 10:00", "2028-12-31 10:00"},
		{snapshot.Years, 1, "2028-02-29 10:00", "2029-02-28 10:00"},
		{snapshot.Years, 4, "2028-02-29 10:00", "2032-02-29 10:00"},
	} {
		r := snapshot.Retention{Unit: c.unit, Value: c.value}
		if got := r.From(utc(c.from)); !got.Equal(utc(c.want)) {
			t.Errorf("%d %s from %s is %s, want %s", c.value, c.unit, c.from, got.Format(time.DateTime), c.want)
		}
	}
}

func TestTheDefaultScheduleIsTheDocumentedOne(t *testing.T) {
	t.Parallel()
	s := snapshot.DefaultSchedule(utc("2026-05-01 12:34"), counter())
	var got []string
	for _, i := range s.Items {
		got = append(got, fmt.Sprintf("%s/%d %d %s", i.Frequency, i.Interval, i.Retention.Value, i.Retention.Unit))
	}
	want := []string{"hourly/6 7 days", "daily/1 7 days", "weekly/6 4 weeks", "monthly/40 12 months", "yearly/12 1 years"}
	if !slices.Equal(got, want) || s.Hour != 12 || s.Minute != 34 || s.RestoreWindowDays != 7 || s.Check() != nil {
		t.Errorf("%+v %v", s, s.Check())
	}
}

func TestSchedulesThatMakeNoSenseAreRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(s *snapshot.Schedule)
		want   atlas.Code
	}{
		"hour":               {func(s *snapshot.Schedule) { s.Hour = 24 }, atlas.InvalidReferenceHour},
		"minute":             {func(s *snapshot.Schedule) { s.Minute = -1 }, atlas.InvalidReferenceMinute},
		"window":             {func(s *snapshot.Schedule) { s.RestoreWindowDays = 0 }, atlas.InvalidRestoreWindow},
		"frequency":          {func(s *snapshot.Schedule) { s.Items[0].Frequency = "fortnightly" }, atlas.InvalidEnumValue},
		"on demand":          {func(s *snapshot.Schedule) { s.Items[0].Frequency = snapshot.OnDemand }, atlas.InvalidEnumValue},
		"every five hours":   {func(s *snapshot.Schedule) { s.Items[0].Interval = 5 }, atlas.InvalidBackupPolicy},
		"the 29th":           {func(s *snapshot.Schedule) { s.Items[3].Interval = 29 }, atlas.InvalidBackupPolicy},
		"no retention":       {func(s *snapshot.Schedule) { s.Items[0].Retention.Value = 0 }, atlas.InvalidBackupPolicy},
		"for ever":           {func(s *snapshot.Schedule) { s.Items[4].Retention.Value = 1 << 40 }, atlas.InvalidBackupPolicy},
		"another unit":       {func(s *snapshot.Schedule) { s.Items[0].Retention.Unit = "hours" }, atlas.InvalidBackupPolicy},
		"two of a kind":      {func(s *snapshot.Schedule) { s.Items = append(s.Items, s.Items[2]) }, atlas.InvalidBackupPolicy},
		"weekly for a day":   {func(s *snapshot.Schedule) { s.Items[2].Retention.Value, s.Items[2].Retention.Unit = 1, snapshot.Days }, atlas.InvalidBackupPolicy},
		"more than there is": {func(s *snapshot.Schedule) { s.Items = make([]snapshot.Item, 51) }, atlas.InvalidBackupPolicy},
	} {
		s := snapshot.DefaultSchedule(utc("2026-05-01 12:34"), counter())
		c.change(&s)
		if got := atlas.CodeOf(s.Check()); got != c.want {
			t.Errorf("%s: %v, want %s", name, s.Check(), c.want)
		}
	}
}

var schedules = rapid.Custom(func(t *rapid.T) snapshot.Schedule {
	s := snapshot.Schedule{
		PolicyID: "p", Hour: rapid.IntRange(0, 23).Draw(t, "hour"), Minute: rapid.IntRange(0, 59).Draw(t, "minute"), RestoreWindowDays: 7,
	}
	all := map[snapshot.Frequency][]int{
		snapshot.Hourly: {1, 2, 4, 6, 8, 12}, snapshot.Daily: {1}, snapshot.Weekly: {1, 2, 3, 4, 5, 6, 7},
		snapshot.Monthly: {1, 15, 28, 40}, snapshot.Yearly: {1, 2, 12},
	}
	for i := range rapid.IntRange(1, 5).Draw(t, "items") {
		f := rapid.SampledFrom([]snapshot.Frequency{snapshot.Hourly, snapshot.Daily, snapshot.Weekly, snapshot.Monthly, snapshot.Yearly}).Draw(t, "frequency")
		s.Items = append(s.Items, snapshot.Item{
			ID: strconv.Itoa(i), Frequency: f, Interval: rapid.SampledFrom(all[f]).Draw(t, "interval"),
			Retention: snapshot.Retention{Unit: snapshot.Days, Value: 7},
		})
	}
	return s
})

var moments = rapid.Custom(func(t *rapid.T) time.Time {
	return utc("2026-01-01 00:00").Add(time.Duration(rapid.Int64Range(0, 4*366*24*3600).Draw(t, "second")) * time.Second)
})

func TestWhatIsDueIsWhatTheMomentsSay(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		s, at := schedules.Draw(r, "schedule"), moments.Draw(r, "at")
		next := s.Next(at)
		switch {
		case !next.After(at) || next.Sub(at) > 367*24*time.Hour:
			r.Fatalf("next after %v is %v", at, next)
		case next.Minute() != s.Minute || next.Second() != 0:
			r.Fatalf("%v is not at the minute", next)
		}
		before := at
		if next.Sub(at) > 7*24*time.Hour {
			before = next.Add(-7 * 24 * time.Hour)
		}
		if due := s.Due(before, next.Add(-time.Nanosecond)); len(due) != 0 {
			r.Fatalf("%v are due before the next moment", due)
		}
		if len(s.Due(before, next)) == 0 {
			r.Fatal("nothing is due at the next moment")
		}
	})
}

// However the minutes are cut into runs, every item that is due is due in some run, and none twice.
func TestNoMomentIsLostBetweenRuns(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		s, at := schedules.Draw(r, "schedule"), moments.Draw(r, "at")
		end := at.Add(time.Duration(rapid.IntRange(1, 7*24*60).Draw(r, "minutes")) * time.Minute)
		whole := map[string]bool{}
		for _, i := range s.Due(at, end) {
			whole[i.ID] = true
		}
		parts := map[string]bool{}
		for from := at; from.Before(end); {
			to := from.Add(time.Duration(rapid.IntRange(1, 24*60).Draw(r, "run")) * time.Minute)
			if to.After(end) {
				to = end
			}
			for _, i := range s.Due(from, to) {
				parts[i.ID] = true
			}
			if next := s.Next(from); len(s.Due(from, to)) > 0 && next.After(to) {
				r.Fatal("something is due before the next moment")
			}
			from = to
		}
		if len(whole) != len(parts) {
			r.Fatalf("at once %v, in parts %v", whole, parts)
		}
	})
}
