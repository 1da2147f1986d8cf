package remind_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/shared/alert"
	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/identity"
	"latchkey/shared/identity/directory"
	"latchkey/shared/identity/identitytest"
	"latchkey/shared/maintenance"
	"latchkey/shared/project"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
	"latchkey/shared/suite"
	"latchkey/shared/suite/remind"
)

// table fails or panics where it is told to.
type table struct {
	store.Table
	query func(q store.Query) error
}

func (t *table) Query(ctx context.Context, q store.Query) (store.Page, error) {
	if t.query != nil {
		if err := t.query(q); err != nil {
			return store.Page{}, err
		}
	}
	return t.Table.Query(ctx, q)
}

// lines is a log that several goroutines write.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

// world is the function over the table of one machine.
type world struct {
	tb       testing.TB
	table    *table
	clock    *identitytest.Clock
	log      *lines
	projects *project.Service
	orgID    string
	caller   identity.Caller
	alerts   *alert.Service
	windows  *maintenance.Service
	function *remind.Function
}

func newWorld(tb testing.TB) *world {
	tb.Helper()
	w := &world{tb: tb, table: &table{Table: identitytest.Table(tb)}, clock: identitytest.NewClock(), log: &lines{}}
	journal := audit.Journal{Table: w.table, Now: w.clock.Now}
	people := &directory.Directory{Table: w.table, Sealer: identitytest.NewSealer(tb), Journal: journal, Now: w.clock.Now}
	w.projects = suite.Projects(w.table, journal, people, w.clock.Now)
	founded, err := w.projects.Found(tb.Context(), project.Founding{Name: "Acme", OwnerEmail: "owner@acme.example"})
	w.must(err)
	w.orgID = founded.Org.ID
	w.caller = identity.Caller{Kind: identity.KindSystem, ID: "x", OrgID: w.orgID}
	warnings := suite.AlertDeps{Table: w.table, Journal: journal, Sealer: identitytest.NewSealer(tb), Now: w.clock.Now}
	w.alerts, w.windows = suite.Alerts(warnings), suite.Maintenance(warnings)
	w.function = w.assemble()
	return w
}

// assemble makes another instance of the function.
func (w *world) assemble() *remind.Function {
	return remind.New(remind.Deps{Table: w.table, Now: w.clock.Now, Log: slog.New(slog.NewJSONHandler(w.log, nil))})
}

func (w *world) must(err error) {
	w.tb.Helper()
	if err != nil {
		w.tb.Fatal(err)
	}
}

// group makes a project with a configuration of each of some notifications.
func (w *world) group(name string, notifications ...alert.NotificationDraft) (groupID string) {
	w.tb.Helper()
	g, err := w.projects.Create(w.tb.Context(), w.caller, project.Draft{OrgID: w.orgID, Name: name})
	w.must(err)
	for _, n := range notifications {
		_, err := w.alerts.Create(w.tb.Context(), w.caller, g.ID, alert.Draft{
			Type: invalid, Enabled: true, Notifications: []alert.NotificationDraft{n},
		})
		w.must(err)
	}
	return g.ID
}

var invalid = alert.KeyInvalid(atlas.AWS)

// every notifies after a delay and then at an interval, both in minutes.
func every(delay, interval int64) alert.NotificationDraft {
	return alert.NotificationDraft{Type: alert.Group, Email: true, DelayMin: &delay, IntervalMin: &interval}
}

func (w *world) raise(groupID string) {
	w.tb.Helper()
	w.must(w.alerts.Raise(w.tb.Context(), groupID, alert.Condition{Type: invalid, Subject: "AWS"}))
}

// invoke runs the function once.
func (w *world) invoke() map[string]remind.Result {
	w.tb.Helper()
	out, err := w.function.Invoke(w.tb.Context(), []byte(`{}`))
	w.must(err)
	var results map[string]remind.Result
	w.must(json.Unmarshal(out, &results))
	return results
}

// run runs two instances at the same moment, and then one again.
func (w *world) run() {
	w.tb.Helper()
	var all sync.WaitGroup
	for range 2 {
		f := w.assemble()
		all.Go(func() {
			if _, err := f.Invoke(w.tb.Context(), []byte(`{}`)); err != nil {
				w.tb.Error(err)
			}
		})
	}
	all.Wait()
	w.invoke()
}

// notices are the notifications of a group that fell due.
func (w *world) notices(groupID string) []store.Item {
	w.tb.Helper()
	items, err := store.All(w.tb.Context(), w.table, store.Query{PK: keys.Group(groupID).PK, Prefix: keys.AlertNoticePrefix})
	w.must(err)
	return items
}

// minutes are when a group was notified, in minutes since an instant, by the interval of the notification.
func (w *world) minutes(groupID string, since time.Time) map[int][]int {
	w.tb.Helper()
	found := map[int][]int{}
	for _, item := range w.notices(groupID) {
		n, err := store.Decode[alert.Notice](item)
		w.must(err)
		interval := int(n.Notification.Interval / time.Minute)
		found[interval] = append(found[interval], int(n.Due.Sub(since)/time.Minute))
	}
	for _, all := range found {
		slices.Sort(all)
	}
	return found
}

// schedule is when a target is to be notified up to a minute.
func schedule(delay, interval, until int) (all []int) {
	for at := delay; at <= until; at += interval {
		all = append(all, at)
	}
	return all
}

func TestRemind_tellsEachTargetOnceInEachInterval(t *testing.T) {
	w := newWorld(t)
	start := w.clock.Now()
	var groups []string
	for _, name := range []string{"one", "two", "three"} {
		groups = append(groups, w.group(name, every(0, 5), every(3, 7), every(10, 60)))
	}
	for _, id := range groups {
		w.raise(id)
	}
	const hours = 3 * 60
	for range hours {
		w.clock.Advance(time.Minute)
		w.run()
	}
	want := map[int][]int{5: schedule(0, 5, hours), 7: schedule(3, 7, hours), 60: schedule(10, 60, hours)}
	for _, id := range groups {
		if diff := cmp.Diff(want, w.minutes(id, start)); diff != "" {
			t.Errorf("notified (-want +got):\n%s", diff)
		}
	}
}

// plan has a maintenance fall due for its announcement in three days.
func (w *world) plan(groupID string) {
	w.tb.Helper()
	w.must(w.windows.Update(w.tb.Context(), w.caller, groupID, maintenance.Settings{Day: new(1), Hour: new(3)}))
	wanted := w.clock.Now().AddDate(0, 0, 30)
	_, err := w.windows.Plan(w.tb.Context(), groupID, "ROTATE_MASTER_KEYS", wanted, wanted.AddDate(0, 0, 30))
	w.must(err)
}

func (w *world) announcements(groupID string) (n int) {
	w.tb.Helper()
	journal := audit.Journal{Table: w.table, Now: w.clock.Now}
	events, _, err := journal.List(w.tb.Context(), keys.GroupScope(groupID), audit.Filter{Types: []audit.Type{alert.MaintenanceInAdvance}}, 0, 100)
	w.must(err)
	return len(events)
}

func TestRemind_announcesMaintenanceOnce(t *testing.T) {
	w := newWorld(t)
	id := w.group("one")
	w.plan(id)
	for range 31 * 24 {
		w.clock.Advance(time.Hour)
		w.run()
	}
	if n := w.announcements(id); n != 1 {
		t.Errorf("%d announcements", n)
	}
}

func TestRemind_doesEachJobWhateverBecomesOfTheOthers(t *testing.T) {
	partitions := map[string]string{
		remind.Alerts: keys.AlertDue(time.Time{}, "", "").PK, remind.Maintenance: keys.MaintenanceDue(time.Time{}, "").PK,
	}
	for name, partition := range partitions {
		for how, fail := range map[string]func() error{
			"fails": func() error { return errors.New("the table is away") }, "panics": func() error { panic("a bug") },
		} {
			t.Run(name+" "+how, func(t *testing.T) {
				w := newWorld(t)
				id := w.group("one", every(0, 5))
				w.raise(id)
				w.plan(id)
				w.clock.Advance(30 * 24 * time.Hour)
				w.table.query = func(q store.Query) error {
					if q.Index && q.PK == partition {
						return fail()
					}
					return nil
				}
				if _, err := w.function.Invoke(t.Context(), nil); err == nil || !strings.HasPrefix(err.Error(), name+": ") {
					t.Errorf("the function fails with %v", err)
				}
				notified, announced := len(w.notices(id)) > 1, w.announcements(id) > 0
				if notified != (name != remind.Alerts) || announced != (name != remind.Maintenance) {
					t.Errorf("notified: %t, announced: %t", notified, announced)
				}
			})
		}
	}
}

func TestRemind_countsWhatItDid(t *testing.T) {
	w := newWorld(t)
	id := w.group("one", every(0, 5))
	w.raise(id)
	broken, err := w.table.Get(t.Context(), keys.Maintenance(id))
	if !errors.Is(err, store.ErrNotFound) {
		t.Fatal(err)
	}
	broken.Key, broken.Body, broken.Index = keys.Maintenance(id), []byte(`[]`), keys.MaintenanceDue(w.clock.Now(), id)
	w.must(w.table.Write(t.Context(), store.Put(broken)))
	w.clock.Advance(7 * time.Minute)
	if _, err := w.function.Invoke(t.Context(), nil); err == nil || !strings.Contains(err.Error(), broken.String()) {
		t.Errorf("the function fails with %v", err)
	}
	type counts struct{ DueAttended, DueFailed, OldestDueSeconds int }
	got := map[string]counts{}
	for line := range strings.Lines(w.log.buf.String()) {
		var l struct {
			Job string
			counts
		}
		w.must(json.Unmarshal([]byte(line), &l))
		if strings.Contains(line, `"_aws"`) {
			got[l.Job] = l.counts
		}
	}
	want := map[string]counts{remind.Alerts: {1, 0, 120}, remind.Maintenance: {0, 1, 420}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("counted (-want +got):\n%s", diff)
	}
}

func TestRemind_answersWithWhatItDid(t *testing.T) {
	w := newWorld(t)
	id := w.group("one", every(0, 5))
	w.raise(id)
	w.clock.Advance(5 * time.Minute)
	want := map[string]remind.Result{remind.Alerts: {Attended: 1}, remind.Maintenance: {}}
	if diff := cmp.Diff(want, w.invoke()); diff != "" {
		t.Errorf("the first run (-want +got):\n%s", diff)
	}
	want[remind.Alerts] = remind.Result{}
	if diff := cmp.Diff(want, w.invoke()); diff != "" {
		t.Errorf("the second run (-want +got):\n%s", diff)
	}
}

// What a run can't finish in its time is finished by the next one.
func TestRemind_endsBeforeItsTimeIsOver(t *testing.T) {
	w := newWorld(t)
	id := w.group("one", every(0, 5))
	w.raise(id)
	w.clock.Advance(5 * time.Minute)
	ctx, cancel := context.WithTimeout(t.Context(), 9*time.Second) // less than is kept in reserve
	defer cancel()
	out, err := w.function.Invoke(ctx, nil)
	if err != nil || !strings.Contains(string(out), `"left":true`) || len(w.notices(id)) != 1 {
		t.Errorf("the run did %s, %v", out, err)
	}
	if w.invoke(); len(w.notices(id)) != 2 {
		t.Errorf("%d notices after the next run", len(w.notices(id)))
	}
}

func TestRemind_warnsOfDatesThatComeNear(t *testing.T) {
	w := newWorld(t)
	g, err := w.projects.Create(t.Context(), w.caller, project.Draft{OrgID: w.orgID, Name: "one", WithDefaultAlerts: true})
	w.must(err)
	w.must(w.alerts.Watch(t.Context(), g.ID, atlas.Azure, alert.Dates{
		Expiries: []alert.Expiry{{Ending: alert.KeyExpiry, Name: "k", At: w.clock.Now().AddDate(0, 0, 40)}},
	}))
	for range 41 * 24 {
		w.clock.Advance(time.Hour)
		w.run()
	}
	warned := map[string]bool{}
	for _, item := range w.notices(g.ID) {
		n, err := store.Decode[alert.Notice](item)
		w.must(err)
		warned[n.Alert.Subject] = true
	}
	if len(warned) != len(alert.Stages())+1 { // and the end itself
		t.Errorf("warned of %v", warned)
	}
}
