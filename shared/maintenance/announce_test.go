package maintenance_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/shared/alert"
	"latchkey/shared/audit"
	"latchkey/shared/identity"
	"latchkey/shared/maintenance"
	"latchkey/shared/notification"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

// warned has the project warned of what a type tells.
func (w *world) warned(eventType audit.Type) {
	w.t.Helper()
	_, err := w.alerts.Create(w.t.Context(), w.caller, w.group, alert.Draft{
		Type: eventType, Enabled: true, Notifications: []alert.NotificationDraft{{Type: alert.Group, Email: true}},
	})
	w.must(err)
}

// live lists the subjects of the alerts that have not ended.
func (w *world) live() []string {
	w.t.Helper()
	all, err := w.alerts.Alerts(w.t.Context(), w.group, "")
	w.must(err)
	var live []string
	for _, a := range all {
		if !a.Status.Ended() {
			live = append(live, string(a.Type)+" "+a.Subject)
		}
	}
	return live
}

func (w *world) announced() {
	w.t.Helper()
	for !w.window().Plan.Announced {
		w.attend(1)
	}
}

// mails lists the e-mails that were written, the newest last.
func (w *world) mails() []notification.Mail {
	w.t.Helper()
	items, err := store.All(w.t.Context(), w.table, store.Query{PK: keys.Group(w.group).PK, Prefix: keys.MailPrefix})
	w.must(err)
	var mails []notification.Mail
	for _, item := range items {
		m, err := store.Decode[notification.Mail](item)
		w.must(err)
		mails = append(mails, m)
	}
	slices.SortFunc(mails, func(a, b notification.Mail) int { return a.Created.Compare(b.Created) })
	return mails
}

// deaf fails to end alerts.
type deaf struct{ maintenance.Alerts }

func (deaf) Clear(context.Context, string, audit.Type, string, time.Time) error {
	return errors.New("the table is down")
}

func TestTheAnnouncementEndsWhenTheTenantStartsAtOnce(t *testing.T) {
	w := newWorld(t)
	w.warned(alert.MaintenanceInAdvance)
	w.do("PATCH", "", `{"dayOfWeek":1,"hourOfDay":3}`)
	w.plan(5)
	w.announced()
	if code := w.code("PATCH", "", `{"startASAP":true}`); code != "" {
		t.Fatalf("answers %s", code)
	}
	if began := w.attend(1); began.IsZero() {
		t.Fatal("it does not begin")
	}
	if live := w.live(); len(live) != 0 {
		t.Errorf("still announced: %v", live)
	}
}

func TestAnAnnouncementThatADeferralCouldNotEndIsEndedByTheNext(t *testing.T) {
	w := newWorld(t)
	w.warned(alert.MaintenanceInAdvance)
	w.do("PATCH", "", `{"dayOfWeek":1,"hourOfDay":3}`)
	w.plan(5)
	w.announced()
	w.windows.Alerts = deaf{w.alerts}
	if code := w.code("POST", "/defer", ""); code != "" {
		t.Fatalf("answers %s", code)
	}
	w.windows.Alerts = w.alerts
	w.announced()
	if live := w.live(); len(live) != 1 || !strings.HasSuffix(live[0], w.window().Plan.Start.Format(time.RFC3339)) {
		t.Errorf("announced: %v, planned for %s", live, w.window().Plan.Start)
	}
}

func TestAStartThatWasMissedWaitsForTheNextWindow(t *testing.T) {
	w := newWorld(t)
	w.warned(alert.MaintenanceInAdvance)
	w.do("PATCH", "", `{"dayOfWeek":1,"hourOfDay":3}`)
	start := w.plan(5).Plan.Start
	w.announced()
	w.clock.Advance(start.Sub(w.clock.Now()) + 9*time.Hour) // the schedule was down
	began := w.attend(24 * 20)
	if !began.Equal(start.AddDate(0, 0, 7)) || w.happened(alert.MaintenanceInAdvance) != 2 {
		t.Errorf("planned for %s, began at %s, announced %d times", start, began, w.happened(alert.MaintenanceInAdvance))
	}
	if live := w.live(); len(live) != 0 {
		t.Errorf("still announced: %v", live)
	}
}

func TestAStartThatWasMissedAndCannotWaitIsMadeUpForAtOnce(t *testing.T) {
	w := newWorld(t)
	w.do("PATCH", "", `{"dayOfWeek":1,"hourOfDay":3}`)
	wanted := w.clock.Now().AddDate(0, 0, 5)
	_, err := w.windows.Plan(t.Context(), w.group, rotate, wanted, wanted.AddDate(0, 0, 7))
	w.must(err)
	w.announced()
	w.clock.Advance(w.window().Plan.Start.Sub(w.clock.Now()) + 9*time.Hour)
	if began := w.attend(1); began.IsZero() {
		t.Error("it waits for a window that comes too late")
	}
}

func TestOwnersGetAnEmailThreeDaysAhead(t *testing.T) {
	w := newWorld(t)
	w.do("PATCH", "", `{"dayOfWeek":1,"hourOfDay":3}`)
	start := w.plan(5).Plan.Start
	w.announced()
	if code := w.code("POST", "/defer", ""); code != "" {
		t.Fatalf("answers %s", code)
	}
	w.attend(24 * 30)
	mails := w.mails()
	if len(mails) != 2 {
		t.Fatalf("%d e-mails: %+v", len(mails), mails)
	}
	g, err := w.projects.Find(t.Context(), w.group)
	w.must(err)
	for i, want := range []time.Time{start, start.AddDate(0, 0, 7)} {
		m := mails[i]
		if m.Kind != notification.MaintenanceAhead || !slices.Equal(m.To, []identity.Role{identity.GroupOwner}) ||
			!strings.Contains(m.Text, want.Format("2 January 2006 at 15:04 UTC")) || want.Sub(m.Created) < maintenance.Notice-time.Hour {
			t.Errorf("of %s: %+v", want, m)
		}
		for _, text := range []string{m.Subject, m.Text} {
			if called := g.Name + " (" + g.ID + ")"; !strings.Contains(text, "in project "+called) {
				t.Errorf("%q does not speak of %s", text, called)
			}
		}
	}
}

func TestAnnouncingAStartThatWasAnnouncedBeforeIsNoConflict(t *testing.T) {
	w := newWorld(t)
	w.do("PATCH", "", `{"dayOfWeek":1,"hourOfDay":3}`)
	w.plan(5)
	w.announced()
	item, err := w.table.Get(t.Context(), keys.Maintenance(w.group))
	w.must(err)
	before, err := store.Decode[maintenance.Window](item)
	w.must(err)
	before.Plan.Announced = false // it was put off, and the window was moved so that it is back
	again, err := store.Encode(item.Key, item.Version, before)
	w.must(err)
	again.Index = keys.MaintenanceDue(w.clock.Now(), w.group)
	w.must(w.table.Write(t.Context(), store.Put(again)))
	w.announced()
	if n := len(w.mails()); n != 1 {
		t.Errorf("%d e-mails", n)
	}
}
