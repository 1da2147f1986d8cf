package alert_test

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"latchkey/shared/alert"
	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/project"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

func TestAnEndIsWarnedOfInStages(t *testing.T) {
	end := time.Date(2026, 8, 1, 9, 30, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		ending alert.Ending
		left   time.Duration
		stage  int // -1 is no warning
	}{
		"31 days":                          {alert.KeyExpiry, 31 * 24 * time.Hour, -1},
		"a moment before 30 days":          {alert.KeyExpiry, 30*24*time.Hour + time.Second, -1},
		"30 days":                          {alert.KeyExpiry, 30 * 24 * time.Hour, 30},
		"15 days":                          {alert.ClientSecret, 15 * 24 * time.Hour, 30},
		"14 days":                          {alert.ClientSecret, 14 * 24 * time.Hour, 14},
		"7 days":                           {alert.KeyExpiry, 7 * 24 * time.Hour, 7},
		"2 days":                           {alert.KeyExpiry, 2 * 24 * time.Hour, 2},
		"a second":                         {alert.KeyExpiry, time.Second, 2},
		"the end":                          {alert.KeyExpiry, 0, 0},
		"a year ago":                       {alert.ClientSecret, -365 * 24 * time.Hour, 0},
		"a deletion in 100 days":           {alert.Destruction, 100 * 24 * time.Hour, 30},
		"a deletion in 30 days":            {alert.Deletion, 30 * 24 * time.Hour, 30},
		"no soft delete, whatever the day": {alert.SoftDeleteOff, 1000 * 24 * time.Hour, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w, ok := alert.Expiry{Ending: c.ending, Name: "the-key", At: end}.Warning(end.Add(-c.left))
			if ok != (c.stage >= 0) || ok && w.Stage != c.stage {
				t.Errorf("stage %d, %t", w.Stage, ok)
			}
		})
	}
}

func TestAWarningNamesTheDateAndWhatToDo(t *testing.T) {
	end := time.Date(2026, 8, 1, 9, 30, 0, 0, time.UTC)
	for _, ending := range alert.Endings() {
		for _, now := range []time.Time{end.Add(-time.Hour), end.Add(time.Hour)} {
			w, ok := alert.Expiry{Ending: ending, Name: "the-key", At: end}.Warning(now)
			dateless := ending == alert.SoftDeleteOff || ending == alert.PurgeProtectionOff
			if !ok || !strings.Contains(w.Summary, "the-key") || len(w.Remedy) < 20 || strings.Contains(w.Summary, "1 August 2026 at 09:30 UTC") == dateless {
				t.Errorf("%s: %+v", ending, w)
			}
		}
	}
	if _, ok := (alert.Expiry{Ending: alert.KeyExpiry}).Warning(end); ok {
		t.Error("a key without an end is warned of")
	}
}

// Whoever looks only when told to misses no change of the warning.
func TestLookingWhenToldToMissesNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		end := time.Date(2026, 8, 1, 9, 30, 0, 0, time.UTC)
		e := alert.Expiry{Ending: rapid.SampledFrom(alert.Endings()).Draw(rt, "ending"), At: end}
		now := end.Add(-time.Duration(rapid.IntRange(-100_000, 10_000_000).Draw(rt, "seconds")) * time.Second)
		next, ok := e.Next(now)
		if !ok {
			next = now.AddDate(10, 0, 0)
		}
		if !next.After(now) {
			rt.Fatalf("next look at %s from %s", next, now)
		}
		between := now.Add(time.Duration(rapid.Int64Range(0, int64(next.Sub(now))-1).Draw(rt, "between")))
		w1, ok1 := e.Warning(now)
		w2, ok2 := e.Warning(between)
		if ok1 != ok2 || w1.Stage != w2.Stage {
			rt.Fatalf("the warning changes between %s and %s", now, next)
		}
	})
}

// rotation makes a configuration of rotation reminders.
func (w *world) rotation(days int64) alert.Config {
	w.tb.Helper()
	c, err := w.alerts.Create(w.tb.Context(), owner, groupID, alert.Draft{
		Type: alert.NeedsRotation(atlas.AWS), Enabled: true, Threshold: &alert.ThresholdDraft{Number: &days},
		Notifications: []alert.NotificationDraft{pager()},
	})
	w.must(err)
	return c
}

func (w *world) watch(p atlas.Provider, d alert.Dates) {
	w.tb.Helper()
	w.must(w.alerts.Watch(w.tb.Context(), groupID, p, d))
}

// days lets days pass, with a look every hour.
func (w *world) days(n int) {
	w.tb.Helper()
	for range n * 24 {
		w.clock.Advance(time.Hour)
		_, err := w.alerts.AttendAll(w.tb.Context())
		w.must(err)
	}
}

func TestAKeyIsToBeRotatedAfterNinetyDays(t *testing.T) {
	w := newWorld(t)
	w.rotation(alert.DefaultRotationDays)
	w.watch(atlas.AWS, alert.Dates{Rotation: alert.Rotation{Name: "k1", Since: w.clock.Now()}})
	w.days(90)
	if all := w.all(); len(all) != 0 {
		t.Fatalf("at 90 days there is %+v", all)
	}
	w.days(1)
	w.want(alert.Open, "1")
	if a := w.one(); a.Facts.Value.Number < 90 || a.Facts.Value.Units != "DAYS" {
		t.Errorf("the value is %+v", a.Facts.Value)
	}
	w.days(2)
	if n := w.one().Facts.Value.Number; n < 92 {
		t.Errorf("two days later the value is %d", n)
	}
	// Rotating the key resets it.
	w.watch(atlas.AWS, alert.Dates{Rotation: alert.Rotation{Name: "k2", Since: w.clock.Now()}})
	w.want(alert.Closed, "1 CLOSED")
	w.days(90)
	w.clock.Advance(time.Minute) // not a day later
	_, err := w.alerts.AttendAll(t.Context())
	w.must(err)
	all := w.all()
	if a := all[len(all)-1]; a.Status != alert.Open || a.Facts.Value.Number != 90 {
		t.Errorf("90 days and a minute later there is %+v", a)
	}
}

func TestTheThresholdOfRotationCountsAtOnce(t *testing.T) {
	w := newWorld(t)
	c := w.rotation(365)
	w.watch(atlas.AWS, alert.Dates{Rotation: alert.Rotation{Name: "k1", Since: w.clock.Now().AddDate(0, 0, -100)}})
	if len(w.all()) != 0 {
		t.Error("100 days are above 365")
	}
	replace := func(days int64) {
		_, err := w.alerts.Replace(t.Context(), owner, groupID, c.ID, alert.Draft{
			Type: c.Type, Enabled: true, Threshold: &alert.ThresholdDraft{Number: &days}, Notifications: []alert.NotificationDraft{pager()},
		})
		w.must(err)
	}
	replace(90)
	w.want(alert.Open, "1")
	replace(400)
	w.want(alert.Cancelled, "1 CANCELLED")
	w.must(w.alerts.Unwatch(t.Context(), groupID, atlas.AWS))
	replace(10)
	if len(w.all()) != 1 {
		t.Error("a key that nobody watches raises an alert")
	}
}

// A key that nobody asks about yet costs a look in four weeks; a configuration that asks earlier than the one before is
// heard at its day all the same.
func TestAYoungKeyIsLeftAlone(t *testing.T) {
	w := newWorld(t)
	c := w.rotation(365)
	w.watch(atlas.AWS, alert.Dates{Rotation: alert.Rotation{Name: "k1", Since: w.clock.Now()}})
	looks := 0
	w.table.crash = func([]store.Op) bool { looks++; return false }
	w.days(28)
	if looks > 1 {
		t.Errorf("in four weeks it was looked at %d times", looks)
	}
	w.table.crash = nil
	asked := int64(30)
	_, err := w.alerts.Replace(t.Context(), owner, groupID, c.ID, alert.Draft{
		Type: c.Type, Enabled: true, Threshold: &alert.ThresholdDraft{Number: &asked}, Notifications: []alert.NotificationDraft{pager()},
	})
	w.must(err)
	w.days(2)
	if len(w.all()) > 0 {
		t.Error("30 days are above 30")
	}
	w.clock.Advance(time.Minute)
	_, err = w.alerts.AttendAll(t.Context())
	w.must(err)
	w.want(alert.Open, "1")
}

// The schedule may look at a key while a configuration is changed, by what was asked for before.
func TestALookThatComesBetweenDelaysNoReminder(t *testing.T) {
	w := newWorld(t)
	c := w.rotation(365)
	dates := alert.Dates{Rotation: alert.Rotation{Name: "k1", Since: w.clock.Now()}}
	w.watch(atlas.AWS, dates)
	w.days(1)
	asked, isBetween := int64(3), true
	w.table.crash = func(ops []store.Op) bool {
		if isBetween && ops[0].Item.Key == keys.AlertWatch(groupID, "AWS") { // somebody has written it since it was read
			isBetween = false
			item, err := w.table.Get(t.Context(), ops[0].Item.Key)
			w.must(err)
			w.must(w.table.Table.Write(t.Context(), store.Put(item)))
		}
		return false
	}
	_, err := w.alerts.Replace(t.Context(), owner, groupID, c.ID, alert.Draft{
		Type: c.Type, Enabled: true, Threshold: &alert.ThresholdDraft{Number: &asked}, Notifications: []alert.NotificationDraft{pager()},
	})
	w.must(err)
	if isBetween {
		t.Fatal("the dates were not looked at")
	}
	w.days(3)
	w.want(alert.Open, "1")
}

// Whoever changes a configuration may end before it has looked at the dates.
func TestAConfigurationWhoseAuthorEndedIsHeardInTime(t *testing.T) {
	w := newWorld(t)
	c := w.rotation(365)
	w.watch(atlas.AWS, alert.Dates{Rotation: alert.Rotation{Name: "k1", Since: w.clock.Now()}})
	w.days(2)
	asked, writes := int64(1), 0
	w.table.crash = func([]store.Op) bool { writes++; return writes > 1 } // the first is the configuration
	draft := alert.Draft{Type: c.Type, Enabled: true, Threshold: &alert.ThresholdDraft{Number: &asked}, Notifications: []alert.NotificationDraft{pager()}}
	_, err := w.alerts.Replace(t.Context(), owner, groupID, c.ID, draft)
	w.must(err)
	w.table.crash = nil
	if len(w.all()) > 0 {
		t.Fatal("the author did not end")
	}
	w.clock.Advance(time.Minute)
	_, err = w.alerts.AttendAll(t.Context())
	w.must(err)
	w.want(alert.Open, "1")
}

func TestASecretThatExpiresIsWarnedOfAtEveryStage(t *testing.T) {
	w := newWorld(t) // with the standard configurations of a new project
	end := w.clock.Now().AddDate(0, 0, 40)
	expiry := alert.Expiry{Ending: alert.ClientSecret, Name: "app", At: end}
	w.watch(atlas.Azure, alert.Dates{Expiries: []alert.Expiry{expiry}})
	w.days(9)
	if len(w.all()) != 0 {
		t.Error("31 days before there is a warning")
	}
	stages := map[string]int{}
	w.days(31)
	for _, n := range w.notices() {
		stages[n.Alert.Subject]++
		if n.Final() {
			t.Errorf("%s is said to be resolved", n.Alert.Subject)
		}
	}
	want := map[string]int{"AZURE/CLIENT_SECRET/30": 2, "AZURE/CLIENT_SECRET/14": 1, "AZURE/CLIENT_SECRET/7": 1, "AZURE/CLIENT_SECRET/2": 1, "AZURE/CLIENT_SECRET/0": 1}
	for subject, n := range want {
		if stages[subject] != n {
			t.Errorf("%s was notified %d times, want %d", subject, stages[subject], n)
		}
	}
	// A new secret is the end of it.
	expiry.At = end.AddDate(1, 0, 0)
	w.watch(atlas.Azure, alert.Dates{Expiries: []alert.Expiry{expiry}})
	all := w.all()
	if last := all[len(all)-1]; last.Status != alert.Closed || last.Type != alert.CredentialsExpiring {
		t.Errorf("after the renewal the last alert is %s %s", last.Type, last.Status)
	}
	for _, a := range all {
		if !a.Status.Ended() {
			t.Errorf("%s is %s", a.Subject, a.Status)
		}
	}
}

func TestADangerThatIsGoneIsClosed(t *testing.T) {
	w := newWorld(t)
	w.watch(atlas.Azure, alert.Dates{Expiries: []alert.Expiry{{Ending: alert.PurgeProtectionOff, Name: "vault"}}})
	w.want(alert.Open, "1")
	w.watch(atlas.Azure, alert.Dates{})
	w.want(alert.Closed, "1 CLOSED")
}

func TestEveryWarningIsAnEvent(t *testing.T) {
	w := newWorld(t)
	w.rotation(90)
	w.watch(atlas.AWS, alert.Dates{
		Rotation: alert.Rotation{Name: "k", Since: w.clock.Now().AddDate(-1, 0, 0)},
		Expiries: []alert.Expiry{{Ending: alert.Deletion, Name: "k", At: w.clock.Now().AddDate(0, 0, 7)}},
	})
	for _, eventType := range []audit.Type{alert.NeedsRotation(atlas.AWS), alert.KeyExpiring} {
		events, _, err := w.alerts.Journal.Recent(t.Context(), keys.GroupScope(groupID), audit.Filter{Types: []audit.Type{eventType}}, 0, 10)
		if err != nil || len(events) != 1 {
			t.Errorf("%d events of %s, %v", len(events), eventType, err)
		}
	}
}

func TestWatchingTheSameAgainWritesNothing(t *testing.T) {
	w := newWorld(t)
	d := alert.Dates{Rotation: alert.Rotation{Name: "k", Since: w.clock.Now().Add(-time.Hour)}}
	w.watch(atlas.AWS, d)
	w.table.crash = func([]store.Op) bool { t.Error("something is written"); return true }
	w.watch(atlas.AWS, d)
	w.must(w.alerts.Unwatch(t.Context(), groupID, atlas.GCP))
}

func TestTheReminderToRotateIsMadeOnce(t *testing.T) {
	w := newWorld(t)
	create := func() int {
		ops, err := alert.CreateRotation(t.Context(), w.table, groupID, orgID, atlas.AWS, w.clock.Now())
		w.must(err)
		if len(ops) > 0 {
			w.must(w.table.Write(t.Context(), ops...))
		}
		return len(ops)
	}
	if create() == 0 || create() != 0 {
		t.Error("it is made twice, or never")
	}
	configs, err := w.alerts.Configs(t.Context(), groupID)
	w.must(err)
	for _, c := range configs {
		if c.Type != alert.NeedsRotation(atlas.AWS) {
			continue
		}
		if !c.Enabled || c.Threshold.Number != 90 || c.Threshold.Units != "DAYS" {
			t.Errorf("it is %+v", c)
		}
		w.must(w.alerts.Delete(t.Context(), owner, groupID, c.ID))
	}
	if create() != 0 {
		t.Error("what the tenant deleted comes back")
	}
}

func TestNewProjectsBeginWithAlertsIfTheyWantThem(t *testing.T) {
	g := project.Group{ID: groupID, OrgID: orgID, Created: time.Unix(1, 0)}
	for _, o := range []project.Org{{}, {SkipDefaultAlerts: true}} {
		without, err := alert.CreateDefaults(o, g)
		if err != nil || len(without) != 1 {
			t.Errorf("%d operations without, %v", len(without), err)
		}
		g.WithDefaultAlerts = true // which counts for nothing in the second organisation
	}
	ops, err := alert.CreateDefaults(project.Org{}, g)
	if err != nil {
		t.Fatal(err)
	}
	denied := false
	for _, op := range ops {
		if strings.HasPrefix(op.Item.SK, keys.AlertConfigPrefix) {
			c, err := store.Decode[alert.Config](op.Item)
			denied = denied || c.Type == alert.NetworkAccessDenied && c.Enabled && err == nil
		}
	}
	if !denied {
		t.Error("there is no alert for a KMS that refuses our addresses")
	}
}
