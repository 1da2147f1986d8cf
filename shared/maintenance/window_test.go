package maintenance_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"latchkey/shared/atlas"
	"latchkey/shared/maintenance"
)

func at(t *testing.T, s string) time.Time {
	t.Helper()
	v, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestNextIsTheNextBeginningOfTheWindow(t *testing.T) {
	night := &maintenance.Hours{Start: 22, End: 6}
	for name, c := range map[string]struct {
		window     maintenance.Window
		from, want string
	}{
		"later today":            {maintenance.Window{Day: 6, Hour: 15}, "2026-05-01T12:00:00Z", "2026-05-01T15:00:00Z"}, // a Friday
		"now":                    {maintenance.Window{Day: 6, Hour: 12}, "2026-05-01T12:00:00Z", "2026-05-01T12:00:00Z"},
		"just missed":            {maintenance.Window{Day: 6, Hour: 12}, "2026-05-01T12:00:01Z", "2026-05-08T12:00:00Z"},
		"Sunday is 1":            {maintenance.Window{Day: 1, Hour: 0}, "2026-05-01T12:00:00Z", "2026-05-03T00:00:00Z"},
		"Saturday is 7":          {maintenance.Window{Day: 7, Hour: 23}, "2026-05-01T12:00:00Z", "2026-05-02T23:00:00Z"},
		"across the year":        {maintenance.Window{Day: 2, Hour: 1}, "2026-12-29T00:00:00Z", "2027-01-04T01:00:00Z"},
		"in another zone":        {maintenance.Window{Day: 1, Hour: 1, TimeZone: "Asia/Tokyo"}, "2026-05-01T12:00:00Z", "2026-05-02T16:00:00Z"},
		"in summer":              {maintenance.Window{Day: 1, Hour: 3, TimeZone: "Europe/Berlin"}, "2026-07-01T00:00:00Z", "2026-07-05T01:00:00Z"},
		"in winter":              {maintenance.Window{Day: 1, Hour: 3, TimeZone: "Europe/Berlin"}, "2026-12-01T00:00:00Z", "2026-12-06T02:00:00Z"},
		"an hour that is missed": {maintenance.Window{Day: 1, Hour: 2, TimeZone: "Europe/Berlin"}, "2026-03-28T00:00:00Z", "2026-03-29T01:00:00Z"},
		"protected":              {maintenance.Window{Day: 6, Hour: 23, Protected: night}, "2026-05-01T12:00:00Z", "2026-05-02T06:00:00Z"},
		"reached from yesterday": {maintenance.Window{Day: 6, Hour: 23, Protected: night}, "2026-05-02T05:00:00Z", "2026-05-02T06:00:00Z"},
		"no window":              {maintenance.Window{}, "2026-05-01T12:34:56Z", "2026-05-01T12:34:56Z"},
		"only protected hours":   {maintenance.Window{Protected: night}, "2026-05-01T23:30:00Z", "2026-05-02T06:00:00Z"},
		"unknown zones are UTC":  {maintenance.Window{Day: 6, Hour: 15, TimeZone: "Mars/Olympus"}, "2026-05-01T12:00:00Z", "2026-05-01T15:00:00Z"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.window.Next(at(t, c.from)); !got.Equal(at(t, c.want)) {
				t.Errorf("next is %s, want %s", got.Format(time.RFC3339), c.want)
			}
		})
	}
}

// drawWindow draws a window that is defined.
func drawWindow(rt *rapid.T) maintenance.Window {
	w := maintenance.Window{
		Day: rapid.IntRange(1, 7).Draw(rt, "day"), Hour: rapid.IntRange(0, 23).Draw(rt, "hour"),
		TimeZone: rapid.SampledFrom([]string{"", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia"}).Draw(rt, "zone"),
	}
	if rapid.Bool().Draw(rt, "protected") {
		start := rapid.IntRange(0, 23).Draw(rt, "start")
		w.Protected = &maintenance.Hours{Start: start, End: (start + rapid.IntRange(1, 23).Draw(rt, "hours")) % 24}
	}
	w.AutoDefer = rapid.Bool().Draw(rt, "auto-defer")
	return w
}

func isProtected(w maintenance.Window, t time.Time) bool {
	if w.Protected == nil {
		return false
	}
	for h := w.Protected.Start; h != w.Protected.End; h = (h + 1) % 24 {
		if t.In(w.Location()).Hour() == h {
			return true
		}
	}
	return false
}

func TestNextKeepsItsPromises(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := drawWindow(rt)
		from := time.Unix(rapid.Int64Range(1_600_000_000, 2_000_000_000).Draw(rt, "from"), 0)
		next := w.Next(from)
		switch {
		case next.Before(from):
			rt.Fatalf("next of %s is %s", from, next)
		case next.Sub(from) > 7*24*time.Hour+2*time.Hour:
			rt.Fatalf("next of %s is %s, more than a week later", from, next)
		case isProtected(w, next):
			rt.Fatalf("next of %s is %s, which is protected", from, next)
		case !w.Next(next).Equal(next):
			rt.Fatalf("%s is the next of %s, and its own is %s", next, from, w.Next(next))
		case w.Next(next.Add(time.Second)).Sub(next) < 6*24*time.Hour+22*time.Hour:
			rt.Fatalf("%s is followed by %s", next, w.Next(next.Add(time.Second)))
		}
	})
}

func TestAPlanKeepsItsPromises(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := drawWindow(rt)
		now := time.Unix(rapid.Int64Range(1_600_000_000, 2_000_000_000).Draw(rt, "now"), 0).UTC()
		wanted := now.Add(time.Duration(rapid.IntRange(-30, 120).Draw(rt, "days")) * 24 * time.Hour)
		w, err := w.Add(maintenance.Plan{ID: "1", What: "x", Wanted: wanted, MustBy: wanted.AddDate(0, 0, 14)}, now)
		if err != nil {
			rt.Fatal(err)
		}
		start := w.Plan.Start
		if start.Before(now.Add(maintenance.Notice)) || isProtected(w, start) || !w.Next(start).Equal(start) {
			rt.Fatalf("planned for %s at %s", start, now)
		}
		if start.After(wanted) && start.After(w.Next(now.Add(maintenance.Notice))) {
			rt.Fatalf("wanted by %s, planned for %s, though there is an earlier opportunity", wanted, start)
		}
		if wanted.Sub(start) > 8*24*time.Hour {
			rt.Fatalf("wanted by %s, planned for %s already", wanted, start)
		}
	})
}

func TestADeferralIsAWeekAndThereAreTwo(t *testing.T) {
	now := at(t, "2026-03-20T12:00:00Z")
	w := maintenance.Window{Day: 1, Hour: 3, TimeZone: "Europe/Berlin"}
	w, err := w.Add(maintenance.Plan{ID: "1", Wanted: now, MustBy: now.AddDate(0, 0, 14)}, now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Defer(); atlas.CodeOf(err) != atlas.MaintenanceNotScheduled {
		t.Errorf("before it is announced: %v", err)
	}
	for i, want := range []string{"2026-04-05T01:00:00Z", "2026-04-12T01:00:00Z"} { // 03:00 in summer too
		w.Plan.Announced = true
		if w, err = w.Defer(); err != nil || !w.Plan.Start.Equal(at(t, want)) || w.Plan.Deferrals != i+1 {
			t.Fatalf("deferral %d is to %+v, %v", i+1, w.Plan, err)
		}
	}
	w.Plan.Announced = true
	if _, err := w.Defer(); atlas.CodeOf(err) != atlas.MaintenanceDeferralsExceeded {
		t.Errorf("a third deferral: %v", err)
	}
}
