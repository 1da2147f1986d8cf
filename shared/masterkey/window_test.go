package masterkey_test

import (
	"fmt"
	"testing"
	"time"

	"latchkey/shared/alert"
	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/maintenance"
	"latchkey/shared/masterkey"
	"latchkey/shared/store/storetest"
)

// in is a window on a day of the week, Sunday being 1.
func in(weekday, hour int) maintenance.Settings {
	return maintenance.Settings{Day: &weekday, Hour: &hour}
}

func protecting(s maintenance.Settings, start, end int) maintenance.Settings {
	s.Protected = &maintenance.Hours{Start: start, End: end}
	return s
}

func TestARotationBeginsInTheWindow(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		settings maintenance.Settings
		zone     string
		begins   []string // each in turn, in the zone
	}{
		"on Tuesdays at 3":                       {in(3, 3), "", []string{"Tue 03:00", "Tue 03:00"}},
		"at the end of hours that are protected": {protecting(in(3, 23), 22, 4), "", []string{"Wed 04:00", "Wed 04:00"}},
		"far from UTC":                           {in(1, 23), "Pacific/Auckland", []string{"Sun 23:00", "Sun 23:00"}},
		// The second begins in summer, when clocks are an hour ahead. The bubble's time begins on 1 January.
		"by the clocks of summer and winter": {in(7, 2), "Europe/Berlin", []string{"Sat 02:00", "Sat 02:00"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, func(w *world) {
				w.oneAtATime()
				w.window(tt.settings)
				zone := time.UTC
				if tt.zone != "" {
					var err error
					zone, err = time.LoadLocation(tt.zone)
					w.must(err)
					w.must(w.windows.SetTimeZone(w.t.Context(), audit.System(), w.group, tt.zone))
				}
				w.create("A", 1)
				for i, want := range tt.begins {
					w.age(58 * day)
					w.rotated(i+1, 20*day)
					began := w.events(alert.MaintenanceStarted)[i]
					if got := began.In(zone).Format("Mon 15:04"); !isWithin(t, began.In(zone), want, 6*time.Minute) {
						t.Errorf("rotation %d began at %s, want %s", i+1, got, want)
					}
					if notice := began.Sub(w.events(alert.MaintenanceInAdvance)[i]); notice < maintenance.Notice-time.Hour {
						t.Errorf("rotation %d began after a notice of %s", i+1, notice)
					}
				}
				if w.eldest > 75*day {
					t.Errorf("a key was %s old", w.eldest)
				}
				w.allOpen()
			})
		})
	}
}

// isWithin reports whether a time is no more than so long after another of its week.
func isWithin(t *testing.T, at time.Time, want string, late time.Duration) bool {
	t.Helper()
	for back := time.Duration(0); back <= late; back += time.Minute {
		if at.Add(-back).Format("Mon 15:04") == want {
			return true
		}
	}
	return false
}

// Whatever a tenant defers, no key gets 90 days old.
func TestADeferredRotationIsStillInTime(t *testing.T) {
	t.Parallel()
	for weekday := range 7 {
		t.Run(time.Weekday(weekday).String(), func(t *testing.T) {
			t.Parallel()
			deferTwice(t, protecting(in(weekday+1, 20), 19, 18)) // at 18 o'clock of the next day
		})
	}
}

func deferTwice(t *testing.T, settings maintenance.Settings) {
	t.Helper()
	inWorld(t, func(w *world) {
		w.window(settings)
		members := w.create("A", 1)
		w.age(58 * day)
		w.until(3*day, func() bool { return w.plan() != nil })
		first := w.plan().Start
		if err := w.windows.Defer(w.t.Context(), w.owner, w.group); atlas.CodeOf(err) != atlas.MaintenanceNotScheduled {
			t.Errorf("deferring what was not announced: %v", err)
		}
		for deferral := range maintenance.MaxDeferrals {
			w.pass(time.Until(w.plan().Start.Add(-time.Hour)))
			w.must(w.windows.Defer(w.t.Context(), w.owner, w.group))
			if got := w.plan().Start.Sub(first); got != time.Duration(deferral+1)*week {
				t.Errorf("deferral %d leads %s later", deferral+1, got)
			}
		}
		w.pass(time.Until(w.plan().Start.Add(-time.Hour)))
		if err := w.windows.Defer(w.t.Context(), w.owner, w.group); atlas.CodeOf(err) != atlas.MaintenanceDeferralsExceeded {
			t.Errorf("deferring once more: %v", err)
		}
		if turns(members) != 0 {
			t.Error("nodes rotated before")
		}
		w.rotated(1, day)
		if w.eldest >= masterkey.MaxAge {
			t.Errorf("a key was %s old", w.eldest)
		}
		if started := w.events(alert.MaintenanceStarted); len(started) != 1 || started[0].Before(first.Add(2*week)) {
			t.Errorf("it began at %v, planned at %s", started, first)
		}
	})
}

func TestAutomaticDeferralCountsAsOneOfTwo(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		auto := true
		settings := in(3, 3)
		settings.AutoDefer = &auto
		w.window(settings)
		w.create("A", 1)
		w.age(58 * day)
		w.until(3*day, func() bool { return w.plan() != nil })
		first := w.plan().Start
		w.pass(time.Until(first.Add(-time.Hour)))
		if p := w.plan(); p.Deferrals != 1 || !p.AutoDeferred || len(w.events(alert.MaintenanceAutoDeferred)) != 1 {
			t.Errorf("the plan is %+v", p)
		}
		w.pass(time.Until(w.plan().Start.Add(-time.Hour)))
		w.must(w.windows.Defer(w.t.Context(), w.owner, w.group))
		w.pass(time.Until(w.plan().Start.Add(-time.Hour)))
		if err := w.windows.Defer(w.t.Context(), w.owner, w.group); atlas.CodeOf(err) != atlas.MaintenanceDeferralsExceeded {
			t.Errorf("deferring a third time: %v", err)
		}
		w.rotated(1, day)
		if w.eldest >= masterkey.MaxAge {
			t.Errorf("a key was %s old", w.eldest)
		}
	})
}

func TestATenantMayHaveItAtOnce(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.window(in(3, 3))
		w.create("A", 1)
		w.age(58 * day)
		w.until(3*day, func() bool { return w.plan() != nil })
		asap := true
		w.window(maintenance.Settings{StartASAP: &asap})
		w.rotated(1, 30*time.Minute)
	})
}

// Between the moment in which the time is found to have come and that in which the maintenance begins, a
// tenant may defer it.
func TestARotationThatIsDeferredAtTheLastMomentIsPutOff(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.window(in(3, 3))
		members := w.create("A", 1)
		w.age(58 * day)
		w.until(3*day, func() bool { return w.plan() != nil })
		w.pass(time.Until(w.plan().Start.Add(-time.Hour)))
		w.Refuse = storetest.ErrFault // the execution is started only five minutes later
		w.until(2*time.Hour, func() bool { return w.rotation().State == masterkey.UnderWay })
		w.must(w.windows.Defer(w.t.Context(), w.owner, w.group))
		w.Refuse = nil
		w.until(time.Hour, func() bool { return w.rotation().State == masterkey.Resting })
		w.pass(2 * day)
		if turns(members) > 0 || len(w.events(alert.MaintenanceStarted)) > 0 || fmt.Sprint(w.ends()) != "[SUCCEEDED Put off]" {
			t.Errorf("%d rotations; executions %v", turns(members), w.ends())
		}
		w.rotated(1, 8*day)
		w.allOpen()
	})
}

func TestAWindowThatIsMovedMovesWhatWasNotAnnounced(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.window(in(3, 3))
		w.create("A", 1)
		w.age(58 * day)
		w.until(3*day, func() bool { return w.plan() != nil })
		w.window(in(5, 22))
		w.rotated(1, 20*day)
		if at := w.events(alert.MaintenanceStarted)[0]; !isWithin(t, at, "Thu 22:00", 6*time.Minute) {
			t.Errorf("it began at %s", at.Format("Mon 15:04"))
		}
	})
}
