package alert_test

import (
	"sync"
	"testing"
	"time"

	"latchkey/shared/alert"
	"latchkey/shared/atlas"
	"latchkey/shared/project"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

func TestAnAlertIsTrackedThenOpenThenClosed(t *testing.T) {
	w := newWorldOnDisk(t)
	w.create(invalid, group(10, 60))
	w.raise()
	w.want(alert.Tracking, "")
	w.pass(9 * time.Minute)
	w.want(alert.Tracking, "")
	w.pass(time.Minute)
	w.want(alert.Open, "1")
	w.pass(59 * time.Minute)
	w.want(alert.Open, "1")
	w.pass(time.Minute)
	w.want(alert.Open, "1 2")
	w.clear()
	w.want(alert.Closed, "1 2 CLOSED")
	if a := w.one(); a.Resolved != w.clock.Now() || a.LastNotified != w.clock.Now() {
		t.Errorf("resolved %s, last notified %s", a.Resolved, a.LastNotified)
	}
	w.pass(3 * time.Hour)
	w.want(alert.Closed, "1 2 CLOSED")
}

func TestWhatIsGoneBeforeTheDelayIsNeverNotified(t *testing.T) {
	w := newWorld(t)
	w.create(invalid, group(10, 60))
	w.raise()
	w.pass(9 * time.Minute)
	w.clear()
	w.pass(time.Hour)
	w.want(alert.Closed, "")
}

func TestEachTargetHasItsOwnDelayAndInterval(t *testing.T) {
	w := newWorld(t)
	w.create(invalid, group(0, 30), pager(), alert.NotificationDraft{
		Type: alert.Email, Members: map[string]string{"emailAddress": "ops@acme.example"}, DelayMin: new(int64(45)), IntervalMin: new(int64(5)),
	})
	w.raise()
	w.pass(50 * time.Minute)
	sent := map[alert.Kind]int{}
	for _, n := range w.notices() {
		sent[n.Notification.Type]++
	}
	if sent[alert.Group] != 2 || sent[alert.PagerDuty] != 1 || sent[alert.Email] != 2 {
		t.Errorf("notified %v", sent)
	}
}

func TestALongOutageOfTheScheduleIsOneNotification(t *testing.T) {
	w := newWorld(t)
	w.create(invalid, group(0, 5))
	w.raise()
	w.clock.Advance(24 * time.Hour)
	w.pass(time.Minute)
	w.want(alert.Open, "1 2")
}

func TestAnAcknowledgedAlertIsSilentUntilItsTime(t *testing.T) {
	w := newWorld(t)
	w.create(invalid, group(0, 10))
	w.raise()
	_, err := w.alerts.Acknowledge(t.Context(), owner, groupID, w.one().ID, w.clock.Now().Add(2*time.Hour), "")
	w.must(err)
	w.pass(119 * time.Minute)
	w.want(alert.Open, "1")
	w.pass(time.Minute)
	w.want(alert.Open, "1 2")
}

func TestUndoingAnAcknowledgementSendsWhatIsDue(t *testing.T) {
	w := newWorld(t)
	w.create(invalid, group(0, 10))
	w.raise()
	_, err := w.alerts.Acknowledge(t.Context(), owner, groupID, w.one().ID, w.clock.Now().AddDate(100, 0, 0), "for ever")
	w.must(err)
	w.pass(48 * time.Hour)
	w.want(alert.Open, "1")
	_, err = w.alerts.Unacknowledge(t.Context(), owner, groupID, w.one().ID)
	w.must(err)
	w.pass(time.Minute)
	w.want(alert.Open, "1 2")
	w.clear()
	w.want(alert.Closed, "1 2 CLOSED")
}

func TestAnAcknowledgedAlertTellsOfItsEnd(t *testing.T) {
	w := newWorld(t)
	w.create(invalid, group(0, 10))
	w.raise()
	_, err := w.alerts.Acknowledge(t.Context(), owner, groupID, w.one().ID, w.clock.Now().Add(time.Hour), "")
	w.must(err)
	w.clear()
	w.want(alert.Closed, "1 CLOSED")
}

func TestWhoeverTurnsAConfigurationOffCancelsItsAlerts(t *testing.T) {
	for name, end := range map[string]func(w *world, c alert.Config) error{
		"by deleting it": func(w *world, c alert.Config) error { return w.alerts.Delete(t.Context(), owner, groupID, c.ID) },
		"by disabling it": func(w *world, c alert.Config) error {
			_, err := w.alerts.Toggle(t.Context(), owner, groupID, c.ID, false)
			return err
		},
		"by making it one of another type": func(w *world, c alert.Config) error {
			d := alert.Draft{Type: alert.ConfigNoLongerValid, Enabled: true, Notifications: []alert.NotificationDraft{group(0, 5)}}
			_, err := w.alerts.Replace(t.Context(), owner, groupID, c.ID, d)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			c := w.create(invalid, group(0, 5), pager())
			w.raise()
			_, err := w.alerts.Acknowledge(t.Context(), owner, groupID, w.one().ID, w.clock.Now().AddDate(100, 0, 0), "")
			w.must(err)
			w.must(end(w, c))
			w.want(alert.Cancelled, "1 1 CANCELLED")
			for _, n := range w.notices() {
				if n.Final() && n.Notification.Type != alert.PagerDuty {
					t.Errorf("%s is told of the end", n.Notification.Type)
				}
			}
			w.pass(time.Hour)
			w.want(alert.Cancelled, "1 1 CANCELLED")
		})
	}
}

// An alert that is raised at the moment in which its configuration is deleted is an orphan.
func TestAnOrphanIsCancelledWithinADay(t *testing.T) {
	w := newWorld(t)
	c := w.create(invalid, group(600, 5))
	w.raise()
	item, err := w.table.Get(t.Context(), keys.AlertConfig(groupID, c.ID))
	w.must(err)
	w.must(w.table.Write(t.Context(), store.Delete(item.Key, item.Version)))
	w.clock.Advance(24 * time.Hour)
	w.pass(time.Minute)
	w.want(alert.Cancelled, "")
}

func TestWhatComesAndGoesAllTheTimeFillsNobodysMailbox(t *testing.T) {
	w := newWorld(t)
	w.create(invalid, group(0, 60))
	for range 30 { // every other minute
		w.raise()
		w.pass(time.Minute)
		w.clear()
		w.pass(time.Minute)
	}
	opened := 0
	for _, n := range w.notices() {
		if !n.Final() {
			opened++
		}
	}
	if len(w.all()) != 30 || opened > 12 {
		t.Errorf("%d alerts in an hour notified %d times", len(w.all()), opened)
	}
}

func TestAReplacedConfigurationTellsNobodyTheSameAgain(t *testing.T) {
	w := newWorld(t)
	c := w.create(invalid, group(0, 60))
	w.raise()
	w.pass(10 * time.Minute)
	d := alert.Draft{Type: invalid, Enabled: true, Notifications: []alert.NotificationDraft{group(0, 60), pager()}}
	after, err := w.alerts.Replace(t.Context(), owner, groupID, c.ID, d)
	w.must(err)
	if after.Notifications[0].ID == c.Notifications[0].ID {
		t.Error("the notifier's id stays although nobody named it")
	}
	w.pass(time.Minute)
	if n := w.notices(); len(n) != 2 || n[1].Notification.Type != alert.PagerDuty {
		t.Errorf("after the replacement, %d were notified", len(n))
	}
	d.Notifications[0] = group(0, 20) // a shorter interval counts at once
	_, err = w.alerts.Replace(t.Context(), owner, groupID, c.ID, d)
	w.must(err)
	w.pass(9 * time.Minute)
	w.want(alert.Open, "1 1 2")
}

func TestAnOlderObservationUndoesNoNewerOne(t *testing.T) {
	w := newWorld(t)
	w.create(invalid, group(0, 60))
	now := w.clock.Now()
	w.must(w.alerts.Clear(t.Context(), groupID, invalid, "AWS", now))
	late := alert.Condition{Type: invalid, Subject: "AWS", Observed: now.Add(-time.Second)}
	w.must(w.alerts.Raise(t.Context(), groupID, late))
	if all := w.all(); len(all) != 0 {
		t.Errorf("a late word raises %+v", all)
	}
	late.Observed = now.Add(time.Second)
	w.must(w.alerts.Raise(t.Context(), groupID, late))
	w.must(w.alerts.Clear(t.Context(), groupID, invalid, "AWS", now))
	w.want(alert.Open, "1")
}

// A producer's clock was a day ahead, and was set back since.
func TestAWordFromTheFutureSilencesNobody(t *testing.T) {
	w := newWorld(t)
	w.create(invalid, group(0, 60))
	now := w.clock.Now()
	c := alert.Condition{Type: invalid, Subject: "AWS", Observed: now.Add(24 * time.Hour)}
	w.must(w.alerts.Raise(t.Context(), groupID, c))
	w.must(w.alerts.Clear(t.Context(), groupID, invalid, "AWS", now))
	w.want(alert.Closed, "1 CLOSED")
	c.Observed = now.Add(-time.Second)
	w.must(w.alerts.Raise(t.Context(), groupID, c))
	w.want(alert.Closed, "1 CLOSED")
}

func TestSayingTheSameAgainWritesNothing(t *testing.T) {
	w := newWorldOnDisk(t)
	w.create(invalid, group(0, 60))
	w.raise()
	w.table.crash = func([]store.Op) bool { t.Error("something is written"); return true }
	w.raise()
	w.must(w.alerts.Clear(t.Context(), groupID, invalid, "AZURE", time.Time{}))
}

func TestManyAtOnceMakeOneAlertAndOneNotification(t *testing.T) {
	w := newWorldOnDisk(t)
	w.create(invalid, group(0, 10), pager())
	at := func(perform func() error) {
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				if err := perform(); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	}
	at(func() error {
		return w.alerts.Raise(t.Context(), groupID, alert.Condition{Type: invalid, Subject: "AWS"})
	})
	w.want(alert.Open, "1 1")
	w.clock.Advance(10 * time.Minute)
	at(func() error { _, err := w.alerts.AttendAll(t.Context()); return err })
	w.want(alert.Open, "1 1 2")
	at(func() error { return w.alerts.Clear(t.Context(), groupID, invalid, "AWS", time.Time{}) })
	w.want(alert.Closed, "1 1 2 CLOSED CLOSED")
	if len(w.all()) != 1 {
		t.Errorf("%d alerts", len(w.all()))
	}
}

func TestACrashAtAnyWriteLosesAndDoublesNothing(t *testing.T) {
	for crashAt := range 6 {
		w := newWorld(t)
		w.create(invalid, group(0, 10))
		writes := 0
		w.table.crash = func([]store.Op) bool { writes++; return writes == crashAt }
		for range 2 { // producers and schedules come again
			_ = w.alerts.Raise(t.Context(), groupID, alert.Condition{Type: invalid, Subject: "AWS"})
		}
		w.clock.Advance(10 * time.Minute)
		for range 2 {
			_, _ = w.alerts.AttendAll(t.Context())
		}
		for range 2 {
			_ = w.alerts.Clear(t.Context(), groupID, invalid, "AWS", time.Time{})
		}
		w.want(alert.Closed, "1 2 CLOSED")
	}
}

func TestMatchersNarrowWhatHasANameAndLetTheRestThrough(t *testing.T) {
	for name, c := range map[string]struct {
		matcher alert.Matcher
		facts   alert.Facts
		raises  bool
	}{
		"the cluster":                 {alert.Matcher{Field: "CLUSTER_NAME", Operator: "EQUALS", Value: "c1"}, alert.Facts{ClusterName: "c1"}, true},
		"another cluster":             {alert.Matcher{Field: "CLUSTER_NAME", Operator: "EQUALS", Value: "c1"}, alert.Facts{ClusterName: "c2"}, false},
		"all but a cluster":           {alert.Matcher{Field: "CLUSTER_NAME", Operator: "NOT_EQUALS", Value: "c1"}, alert.Facts{ClusterName: "c1"}, false},
		"a part":                      {alert.Matcher{Field: "CLUSTER_NAME", Operator: "CONTAINS", Value: "ro"}, alert.Facts{ClusterName: "prod"}, true},
		"not a part":                  {alert.Matcher{Field: "CLUSTER_NAME", Operator: "NOT_CONTAINS", Value: "ro"}, alert.Facts{ClusterName: "prod"}, false},
		"a beginning":                 {alert.Matcher{Field: "HOSTNAME", Operator: "STARTS_WITH", Value: "n"}, alert.Facts{HostnameAndPort: "n1.x:27017"}, true},
		"an end":                      {alert.Matcher{Field: "HOSTNAME_AND_PORT", Operator: "ENDS_WITH", Value: ":27018"}, alert.Facts{HostnameAndPort: "n1.x:27017"}, false},
		"a port":                      {alert.Matcher{Field: "PORT", Operator: "EQUALS", Value: "27017"}, alert.Facts{HostnameAndPort: "n1.x:27017"}, true},
		"a pattern":                   {alert.Matcher{Field: "REPLICA_SET_NAME", Operator: "REGEX", Value: "rs[0-9]"}, alert.Facts{ReplicaSetName: "rs7"}, true},
		"a pattern of the whole name": {alert.Matcher{Field: "REPLICA_SET_NAME", Operator: "REGEX", Value: "rs"}, alert.Facts{ReplicaSetName: "rs7"}, false},
		"a key has no cluster":        {alert.Matcher{Field: "CLUSTER_NAME", Operator: "EQUALS", Value: "c1"}, alert.Facts{}, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			_, err := w.alerts.Create(t.Context(), owner, groupID, alert.Draft{
				Type: invalid, Enabled: true, Matchers: []alert.Matcher{c.matcher}, Notifications: []alert.NotificationDraft{pager()},
			})
			w.must(err)
			w.must(w.alerts.Raise(t.Context(), groupID, alert.Condition{Type: invalid, Subject: "s", Facts: c.facts}))
			if raised := len(w.all()) == 1; raised != c.raises {
				t.Errorf("raised: %t", raised)
			}
		})
	}
}

func TestWhatIsOverAsItHappensIsToldOnce(t *testing.T) {
	w := newWorld(t)
	w.create(alert.MaintenanceCompleted, group(30, 60))
	for range 2 {
		w.must(w.alerts.Happened(t.Context(), groupID, alert.Condition{Type: alert.MaintenanceCompleted, Subject: "the first"}))
	}
	w.want(alert.Closed, "1")
	w.pass(2 * time.Hour)
	w.want(alert.Closed, "1")
	w.must(w.alerts.Happened(t.Context(), groupID, alert.Condition{Type: alert.MaintenanceCompleted, Subject: "the second"}))
	w.want(alert.Closed, "1 1")
}

func TestAClosedGroupIsSilent(t *testing.T) {
	w := newWorldOnDisk(t)
	w.create(invalid, group(0, 5))
	w.raise()
	w.projects.OnClose = []project.CloseHook{}
	// The purge is cut short, so that the alert stays behind.
	closes := 0
	w.table.crash = func([]store.Op) bool { closes++; return closes > 1 }
	w.must(w.projects.Close(t.Context(), owner, groupID))
	w.table.crash = nil
	w.raise()
	w.pass(10 * time.Minute)
	if got := w.stages(); got != "1" {
		t.Errorf("notified %q", got)
	}
	if again, err := w.alerts.AttendAll(t.Context()); err != nil || again.Attended > 0 {
		t.Errorf("still due: %+v, %v", again, err)
	}
	_, err := w.alerts.Alerts(t.Context(), groupID, "")
	if atlas.CodeOf(err) != atlas.GroupNotFound {
		t.Errorf("listing gives %v", err)
	}
}

func TestEndedAlertsAreForgottenInTime(t *testing.T) {
	w := newWorld(t)
	w.create(invalid, group(0, 5))
	w.raise()
	w.clear()
	id := w.one().ID
	w.clock.Advance(91 * 24 * time.Hour)
	if all := w.all(); len(all) != 0 {
		t.Errorf("%d alerts are left", len(all))
	}
	_, err := w.alerts.Alert(t.Context(), groupID, id)
	if atlas.CodeOf(err) != atlas.AlertNotFound {
		t.Errorf("got %v", err)
	}
}
