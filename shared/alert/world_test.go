package alert_test

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/shared/alert"
	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/identity"
	"latchkey/shared/identity/identitytest"
	"latchkey/shared/project"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
	"latchkey/shared/store/storetest"
)

const (
	groupID = "650000000000000000000001"
	orgID   = "650000000000000000000002"
)

var owner = identity.Caller{Kind: identity.KindAPIKey, ID: "650000000000000000000060", Name: "abcdefgh", OrgID: orgID}

var errCrash = errors.New("the process ends here")

// table fails the writes that it is told to, before they happen.
type table struct {
	store.Table
	mu    sync.Mutex
	crash func(ops []store.Op) bool
}

func (t *table) Write(ctx context.Context, ops ...store.Op) error {
	t.mu.Lock()
	crash := t.crash
	t.mu.Unlock()
	if crash != nil && crash(ops) {
		return errCrash
	}
	return t.Table.Write(ctx, ops...)
}

// world is the service over a table and real projects.
type world struct {
	tb       testing.TB
	table    *table
	clock    *identitytest.Clock
	alerts   *alert.Service
	projects *project.Service
}

// people are identities without roles anywhere.
type people struct{}

func (people) Grant(context.Context, identity.Caller, string, []identity.Role) ([]store.Op, error) {
	return nil, nil
}

func (people) GroupRoles(context.Context, identity.Caller) (map[string][]identity.Role, error) {
	return nil, nil
}

func (people) Withdraw(context.Context, string, string) error { return nil }

func newWorld(tb testing.TB) *world {
	tb.Helper()
	return newWorldOver(tb, storetest.NewMemory())
}

// newWorldOnDisk is a world over the table of one machine.
func newWorldOnDisk(tb testing.TB) *world {
	tb.Helper()
	return newWorldOver(tb, identitytest.Table(tb))
}

func newWorldOver(tb testing.TB, t store.Table) *world {
	tb.Helper()
	w := &world{tb: tb, table: &table{Table: t}, clock: identitytest.NewClock()}
	journal := audit.Journal{Table: w.table, Now: w.clock.Now}
	w.projects = &project.Service{
		Table: w.table, Journal: journal, Identities: people{}, Now: w.clock.Now, OnCreate: []project.CreateHook{alert.CreateDefaults},
	}
	_, err := w.projects.Found(tb.Context(), project.Founding{
		Name: "Acme", OwnerEmail: "owner@acme.example", OrgID: orgID, GroupID: groupID,
	})
	if err != nil {
		tb.Fatal(err)
	}
	w.alerts = &alert.Service{
		Table: w.table, Journal: journal, Groups: w.projects, Sealer: identitytest.NewSealer(tb), Now: w.clock.Now,
		Retention: 90 * 24 * time.Hour,
	}
	return w
}

func (w *world) must(err error) {
	w.tb.Helper()
	if err != nil {
		w.tb.Fatal(err)
	}
}

// create makes a configuration with notifications.
func (w *world) create(t audit.Type, notifications ...alert.NotificationDraft) alert.Config {
	w.tb.Helper()
	d := alert.Draft{Type: t, Enabled: true, Notifications: notifications}
	if strings.HasSuffix(string(t), "_ROTATION") {
		d.Threshold = &alert.ThresholdDraft{Number: new(int64(90))}
	}
	c, err := w.alerts.Create(w.tb.Context(), owner, groupID, d)
	w.must(err)
	return c
}

// group is a notification of the project's owners.
func group(delay, interval int64) alert.NotificationDraft {
	return alert.NotificationDraft{Type: alert.Group, Email: true, DelayMin: &delay, IntervalMin: &interval}
}

func pager() alert.NotificationDraft {
	return alert.NotificationDraft{Type: alert.PagerDuty, Members: map[string]string{"serviceKey": "0123456789abcdef"}}
}

var invalid = alert.KeyInvalid(atlas.AWS)

func (w *world) raise() {
	w.tb.Helper()
	w.must(w.alerts.Raise(w.tb.Context(), groupID, alert.Condition{Type: invalid, Subject: "AWS"}))
}

func (w *world) clear() {
	w.tb.Helper()
	w.must(w.alerts.Clear(w.tb.Context(), groupID, invalid, "AWS", time.Time{}))
}

// pass lets time pass, and what falls due happen every minute.
func (w *world) pass(d time.Duration) {
	w.tb.Helper()
	for range int(d / time.Minute) {
		w.clock.Advance(time.Minute)
		_, err := w.alerts.AttendAll(w.tb.Context())
		w.must(err)
	}
}

// all lists the alerts, oldest first.
func (w *world) all() []alert.Alert {
	w.tb.Helper()
	all, err := w.alerts.Alerts(w.tb.Context(), groupID, "")
	w.must(err)
	slices.Reverse(all)
	return all
}

func (w *world) one() alert.Alert {
	w.tb.Helper()
	all := w.all()
	if len(all) != 1 {
		w.tb.Fatalf("there are %d alerts: %+v", len(all), all)
	}
	return all[0]
}

// notices lists the notifications that fell due, oldest first.
func (w *world) notices() []alert.Notice {
	w.tb.Helper()
	items, err := store.All(w.tb.Context(), w.table, store.Query{PK: keys.Group(groupID).PK, Prefix: keys.AlertNoticePrefix})
	w.must(err)
	all := make([]alert.Notice, len(items))
	for i, item := range items {
		all[i], err = store.Decode[alert.Notice](item)
		w.must(err)
	}
	slices.SortStableFunc(all, func(a, b alert.Notice) int {
		return cmp.Or(a.Due.Compare(b.Due), cmp.Compare(len(a.Stage), len(b.Stage))) // an end comes last
	})
	return all
}

// stages are the notices' stages, oldest first.
func (w *world) stages() string {
	w.tb.Helper()
	var stages []string
	for _, n := range w.notices() {
		stages = append(stages, n.Stage)
	}
	return strings.Join(stages, " ")
}

func (w *world) want(status alert.Status, stages string) {
	w.tb.Helper()
	all := w.all()
	if got := all[len(all)-1]; got.Status != status {
		w.tb.Errorf("the alert is %s, want %s", got.Status, status)
	}
	if got := w.stages(); got != stages {
		w.tb.Errorf("notified %q, want %q", got, stages)
	}
}
