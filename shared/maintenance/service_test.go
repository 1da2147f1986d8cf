package maintenance_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/atlas-sdk/v20250312018/admin"

	"latchkey/shared/alert"
	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/httpapi"
	"latchkey/shared/identity"
	"latchkey/shared/identity/directory"
	"latchkey/shared/identity/identitytest"
	"latchkey/shared/maintenance"
	"latchkey/shared/maintenance/maintenanceapi"
	"latchkey/shared/project"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
	"latchkey/shared/suite"
)

// world is the assembled routes over a real table, behind a real HTTP server.
type world struct {
	t        *testing.T
	url      string
	clock    *identitytest.Clock
	table    store.Table
	windows  *maintenance.Service
	alerts   *alert.Service
	journal  audit.Journal
	projects *project.Service
	group    string
	caller   identity.Caller
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, clock: identitytest.NewClock(), table: identitytest.Table(t)} // a Friday, 12:00
	sealer := identitytest.NewSealer(t)
	w.journal = audit.Journal{Table: w.table, Now: w.clock.Now}
	people := &directory.Directory{Table: w.table, Sealer: sealer, Journal: w.journal, Now: w.clock.Now}
	w.projects = suite.Projects(w.table, w.journal, people, w.clock.Now)
	org, err := w.projects.Found(t.Context(), project.Founding{Name: "Acme", OwnerEmail: "owner@acme.example"})
	w.must(err)
	w.group = org.GroupID
	w.caller = identity.Caller{
		Kind: identity.KindAPIKey, ID: "650000000000000000000060", Name: "abcdefgh", OrgID: org.Org.ID,
		GroupRoles: map[string][]identity.Role{w.group: {identity.GroupOwner}},
	}
	w.alerts = &alert.Service{Table: w.table, Journal: w.journal, Groups: w.projects, Sealer: sealer, Now: w.clock.Now}
	w.windows = &maintenance.Service{Table: w.table, Journal: w.journal, Groups: w.projects, Alerts: w.alerts, Now: w.clock.Now}
	api := httpapi.New(httpapi.Config{
		Gate: identity.Gate{Groups: w.projects, Denials: w.journal}, Now: w.clock.Now, Log: slog.New(slog.DiscardHandler),
	}, maintenanceapi.API{Windows: w.windows}.Routes())
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		ctx := httpapi.WithBase(httpapi.WithCaller(req.Context(), w.caller), w.url)
		api.ServeHTTP(rw, req.WithContext(ctx))
	}))
	t.Cleanup(server.Close)
	w.url = server.URL
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) sdk() admin.MaintenanceWindowsApi {
	w.t.Helper()
	c, err := admin.NewClient(admin.UseBaseURL(w.url))
	w.must(err)
	return c.MaintenanceWindowsApi
}

func (w *world) do(method, path, body string) (*http.Response, string) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.url+"/api/atlas/v2/groups/"+w.group+"/maintenanceWindow"+path, strings.NewReader(body))
	w.must(err)
	req.Header.Set("Accept", "application/vnd.atlas.2025-03-12+json")
	resp, err := http.DefaultClient.Do(req)
	w.must(err)
	defer resp.Body.Close() //nolint:errcheck // it was only read
	b, err := io.ReadAll(resp.Body)
	w.must(err)
	return resp, string(b)
}

// code is the error code that a request is answered with, "" if it succeeds.
func (w *world) code(method, path, body string) atlas.Code {
	w.t.Helper()
	resp, _ := w.do(method, path, body)
	return atlas.Code(resp.Header.Get("X-Error-Code"))
}

func (w *world) window() maintenance.Window {
	w.t.Helper()
	got, err := w.windows.Window(w.t.Context(), w.group)
	w.must(err)
	return got
}

const rotate = "ROTATE_MASTER_KEYS"

// plan plans a rotation that is wanted in some days.
func (w *world) plan(days int) maintenance.Window {
	w.t.Helper()
	wanted := w.clock.Now().AddDate(0, 0, days)
	planned, err := w.windows.Plan(w.t.Context(), w.group, rotate, wanted, wanted.AddDate(0, 0, 14))
	w.must(err)
	return planned
}

// attend lets an hour pass at a time and what is due happen, until it may begin.
func (w *world) attend(hours int) (began time.Time) {
	w.t.Helper()
	for range hours {
		w.clock.Advance(time.Hour)
		for range 2 { // the second time does nothing
			_, err := w.windows.AttendAll(w.t.Context())
			w.must(err)
		}
		planned, err := w.windows.Window(w.t.Context(), w.group)
		if atlas.CodeOf(err) == atlas.GroupNotFound {
			continue
		}
		w.must(err)
		if planned.MayRun(w.clock.Now()) {
			_, err := w.windows.Begin(w.t.Context(), w.group, rotate)
			w.must(err)
			return w.clock.Now()
		}
	}
	return time.Time{}
}

func (w *world) happened(t audit.Type) int {
	w.t.Helper()
	events, _, err := w.journal.Recent(w.t.Context(), keys.GroupScope(w.group), audit.Filter{Types: []audit.Type{t}}, 0, 100)
	w.must(err)
	return len(events)
}

func TestTheOfficialSDKManagesWindows(t *testing.T) {
	w := newWorld(t)
	ctx, api := t.Context(), w.sdk()
	got, _, err := api.GetMaintenanceWindow(ctx, w.group).Execute()
	if err != nil || got.DayOfWeek != 0 || got.GetTimeZoneId() != "UTC" {
		t.Errorf("before: %+v, %v", got, err)
	}
	resp, err := api.UpdateMaintenanceWindow(ctx, w.group, &admin.GroupMaintenanceWindow{
		DayOfWeek: 3, HourOfDay: new(4), StartASAP: new(false), AutoDeferOnceEnabled: new(true),
		ProtectedHours: &admin.ProtectedHours{StartHourOfDay: new(8), EndHourOfDay: new(18)},
	}).Execute()
	if err != nil || resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "" || resp.ContentLength > 0 {
		t.Errorf("update: %v, %+v", err, resp)
	}
	got, _, err = api.GetMaintenanceWindow(ctx, w.group).Execute()
	if err != nil || got.DayOfWeek != 3 || got.GetHourOfDay() != 4 || !got.GetAutoDeferOnceEnabled() ||
		got.ProtectedHours.GetStartHourOfDay() != 8 || got.ProtectedHours.GetEndHourOfDay() != 18 || got.GetStartASAP() {
		t.Errorf("after: %+v, %v", got, err)
	}
	if _, err = api.ToggleMaintenanceAutoDefer(ctx, w.group).Execute(); err != nil {
		t.Error(err)
	}
	if w.window().AutoDefer {
		t.Error("toggling does not turn it off")
	}
	_, err = api.DeferMaintenanceWindow(ctx, w.group).Execute()
	if e, ok := admin.AsError(err); !ok || e.GetErrorCode() != string(atlas.MaintenanceNotScheduled) {
		t.Errorf("nothing to defer: %v", err)
	}
	w.plan(0)
	w.attend(24 * 3)
	if _, err = api.DeferMaintenanceWindow(ctx, w.group).Execute(); err != nil {
		t.Errorf("defer: %v", err)
	}
	got, _, err = api.GetMaintenanceWindow(ctx, w.group).Execute()
	if err != nil || got.GetNumberOfDeferrals() != 1 {
		t.Errorf("deferred: %+v, %v", got, err)
	}
	w.must(w.windows.Drop(ctx, w.group, rotate))
	if resp, err = api.ResetMaintenanceWindow(ctx, w.group).Execute(); err != nil || resp.StatusCode != http.StatusNoContent {
		t.Errorf("reset: %v", err)
	}
	if w.window().Defined() {
		t.Error("it is still set")
	}
}

func TestTerraformChangesOneMemberAtATime(t *testing.T) {
	w := newWorld(t)
	for _, body := range []string{
		`{"dayOfWeek":7,"hourOfDay":3}`, `{"hourOfDay":5.0}`, `{"protectedHours":{"startHourOfDay":9,"endHourOfDay":17}}`, `{"autoDeferOnceEnabled":true,"timeZoneId":"Mars"}`,
	} {
		if code := w.code("PATCH", "", body); code != "" {
			t.Errorf("%s answers %s", body, code)
		}
	}
	_, got := w.do("GET", "", "")
	want := `{"autoDeferOnceEnabled":true,"dayOfWeek":7,"hourOfDay":5,"numberOfDeferrals":0,` +
		`"protectedHours":{"endHourOfDay":17,"startHourOfDay":9},"startASAP":false,"timeZoneId":"UTC"}`
	if strings.TrimSpace(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if code := w.code("PATCH", "", `{"protectedHours":{}}`); code != "" || w.window().Protected != nil {
		t.Errorf("clearing protected hours answers %s: %+v", code, w.window())
	}
	if w.happened(maintenance.WindowUpdated) != 5 {
		t.Errorf("%d events", w.happened(maintenance.WindowUpdated))
	}
	w.do("PATCH", "", `{"dayOfWeek":7}`)
	if w.happened(maintenance.WindowUpdated) != 5 {
		t.Error("a change that changes nothing is an event")
	}
}

func TestEveryErrorOfWindows(t *testing.T) {
	for name, c := range map[string]struct {
		method, path, body string
		code               atlas.Code
	}{
		"day 0":                           {"PATCH", "", `{"dayOfWeek":0}`, atlas.MaintenanceDayInvalid},
		"day 8":                           {"PATCH", "", `{"dayOfWeek":8}`, atlas.MaintenanceDayInvalid},
		"hour 24":                         {"PATCH", "", `{"dayOfWeek":1,"hourOfDay":24}`, atlas.MaintenanceHourInvalid},
		"hour -1":                         {"PATCH", "", `{"dayOfWeek":1,"hourOfDay":-1}`, atlas.MaintenanceHourInvalid},
		"protected hour 24":               {"PATCH", "", `{"dayOfWeek":1,"protectedHours":{"startHourOfDay":0,"endHourOfDay":24}}`, atlas.MaintenanceHourInvalid},
		"no protected hour":               {"PATCH", "", `{"dayOfWeek":1,"protectedHours":{"startHourOfDay":5,"endHourOfDay":5}}`, atlas.InvalidAttribute},
		"half a protection":               {"PATCH", "", `{"dayOfWeek":1,"protectedHours":{"startHourOfDay":5}}`, atlas.MissingAttribute},
		"the other half":                  {"PATCH", "", `{"dayOfWeek":1,"protectedHours":{"endHourOfDay":5}}`, atlas.MissingAttribute},
		"an hour without a day":           {"PATCH", "", `{"hourOfDay":5}`, atlas.MissingAttribute},
		"a day of no number":              {"PATCH", "", `{"dayOfWeek":"Sunday"}`, atlas.InvalidJSONAttribute},
		"half a day":                      {"PATCH", "", `{"dayOfWeek":1.5}`, atlas.InvalidJSONAttribute},
		"a day beyond all numbers":        {"PATCH", "", `{"dayOfWeek":1e300}`, atlas.InvalidJSONAttribute},
		"no JSON":                         {"PATCH", "", `{`, atlas.MalformedJSON},
		"starting without a window":       {"PATCH", "", `{"startASAP":true}`, atlas.MaintenanceWindowNotDefined},
		"deferring always without one":    {"PATCH", "", `{"autoDeferOnceEnabled":true}`, atlas.MaintenanceWindowNotDefined},
		"starting what is not planned":    {"PATCH", "", `{"dayOfWeek":1,"startASAP":true}`, atlas.MaintenanceNotScheduled},
		"toggling without a window":       {"POST", "/autoDefer", ``, atlas.MaintenanceWindowNotDefined},
		"deferring without a window":      {"POST", "/defer", ``, atlas.MaintenanceWindowNotDefined},
		"resetting what is not set is ok": {"DELETE", "", `{}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if code := w.code(c.method, c.path, c.body); code != c.code {
				t.Errorf("answers %s, want %s", code, c.code)
			}
			if w.window().Defined() {
				t.Error("something was stored")
			}
		})
	}
}

func TestAMaintenanceIsAnnouncedThenBegunThenDone(t *testing.T) {
	w := newWorld(t)
	for _, eventType := range []audit.Type{alert.MaintenanceInAdvance, alert.MaintenanceStarted, alert.MaintenanceCompleted} {
		_, err := w.alerts.Create(t.Context(), w.caller, w.group, alert.Draft{
			Type: eventType, Enabled: true, Notifications: []alert.NotificationDraft{{Type: alert.Group, Email: true}},
		})
		w.must(err)
	}
	w.do("PATCH", "", `{"dayOfWeek":1,"hourOfDay":3}`)
	start := w.plan(20).Plan.Start // Thursday the 21st: the last Sunday before it
	if want := time.Date(2026, 5, 17, 3, 0, 0, 0, time.UTC); !start.Equal(want) {
		t.Fatalf("planned for %s, want %s", start, want)
	}
	if _, err := w.windows.Begin(t.Context(), w.group, rotate); atlas.CodeOf(err) != atlas.MaintenanceNotScheduled {
		t.Errorf("beginning early: %v", err)
	}
	if again := w.plan(3).Plan.Start; !again.Equal(start) {
		t.Errorf("planned again for %s", again)
	}
	began := w.attend(24 * 30)
	if !began.Equal(start) || w.happened(alert.MaintenanceInAdvance) != 1 {
		t.Errorf("began at %s, announced %d times", began, w.happened(alert.MaintenanceInAdvance))
	}
	if !w.window().MayRun(w.clock.Now().Add(48 * time.Hour)) {
		t.Error("what has begun may not go on")
	}
	if code := w.code("PATCH", "", `{"dayOfWeek":2}`); code != atlas.MaintenanceAlreadyScheduled {
		t.Errorf("moving the window meanwhile: %s", code)
	}
	for range 2 {
		w.must(w.windows.Finish(t.Context(), w.group, rotate))
	}
	all, err := w.alerts.Alerts(t.Context(), w.group, "")
	w.must(err)
	for _, a := range all {
		if a.Status != alert.Closed {
			t.Errorf("%s is %s", a.Type, a.Status)
		}
	}
	if len(all) != 3 || w.happened(alert.MaintenanceStarted) != 1 || w.happened(alert.MaintenanceCompleted) != 1 || w.window().Plan != nil {
		t.Errorf("%d alerts; %+v", len(all), w.window())
	}
}

func TestAnAnnouncedMaintenanceKeepsTheWindow(t *testing.T) {
	w := newWorld(t)
	w.do("PATCH", "", `{"dayOfWeek":1,"hourOfDay":3}`)
	w.plan(10)
	if code := w.code("PATCH", "", `{"dayOfWeek":2}`); code != "" {
		t.Errorf("before the announcement: %s", code)
	}
	if got := w.window().Plan.Start.Weekday(); got != time.Monday {
		t.Errorf("the plan stays on %s", got)
	}
	for !w.window().Plan.Announced {
		w.attend(1)
	}
	for _, c := range [][2]string{{"PATCH", `{"hourOfDay":4}`}, {"PATCH", `{"protectedHours":{"startHourOfDay":1,"endHourOfDay":2}}`}, {"DELETE", ``}} {
		if code := w.code(c[0], "", c[1]); code != atlas.MaintenanceAlreadyScheduled {
			t.Errorf("%s %s: %s", c[0], c[1], code)
		}
	}
	if code := w.code("PATCH", "", `{"dayOfWeek":2,"hourOfDay":3,"autoDeferOnceEnabled":true}`); code != "" {
		t.Errorf("sending it back: %s", code)
	}
}

func TestAWindowThatIsTooLateForAPlanIsRefused(t *testing.T) {
	w := newWorld(t)
	w.do("PATCH", "", `{"dayOfWeek":3,"hourOfDay":3}`)
	wanted := w.clock.Now().AddDate(0, 0, 4)
	_, err := w.windows.Plan(t.Context(), w.group, rotate, wanted, wanted)
	w.must(err)
	resp, body := w.do("PATCH", "", `{"dayOfWeek":5}`)
	if resp.Header.Get("X-Error-Code") != string(atlas.MaintenanceNonCompliant) || !strings.Contains(body, "2026-05-05T12:00:00Z") {
		t.Errorf("answers %s", body)
	}
}

func TestWhoDefersAutomaticallyDefersOnce(t *testing.T) {
	w := newWorld(t)
	w.do("PATCH", "", `{"dayOfWeek":1,"hourOfDay":3,"autoDeferOnceEnabled":true}`)
	start := w.plan(5).Plan.Start
	began := w.attend(24 * 30)
	if !began.Equal(start.AddDate(0, 0, 7)) || w.happened(alert.MaintenanceAutoDeferred) != 1 || w.window().Plan.Deferrals != 1 {
		t.Errorf("planned for %s, began at %s: %+v", start, began, w.window().Plan)
	}
}

func TestADeferredMaintenanceIsAnnouncedAnew(t *testing.T) {
	w := newWorld(t)
	w.do("PATCH", "", `{"dayOfWeek":1,"hourOfDay":3}`)
	start := w.plan(5).Plan.Start
	for !w.window().Plan.Announced {
		w.attend(1)
	}
	if code := w.code("POST", "/defer", ""); code != "" {
		t.Fatalf("answers %s", code)
	}
	if code := w.code("POST", "/defer", ""); code != atlas.MaintenanceNotScheduled {
		t.Errorf("deferring it again before it is announced again: %s", code)
	}
	began := w.attend(24 * 30)
	if !began.Equal(start.AddDate(0, 0, 7)) || w.happened(alert.MaintenanceInAdvance) != 2 || w.happened(maintenance.Deferred) != 1 {
		t.Errorf("planned for %s, began at %s, announced %d times", start, began, w.happened(alert.MaintenanceInAdvance))
	}
}

func TestAMaintenanceThatIsNoLongerNeededIsCalledOff(t *testing.T) {
	w := newWorld(t)
	w.do("PATCH", "", `{"dayOfWeek":1,"hourOfDay":3}`)
	w.plan(5)
	for !w.window().Plan.Announced {
		w.attend(1)
	}
	for range 2 { // the second time does nothing
		w.must(w.windows.Drop(w.t.Context(), w.group, rotate))
	}
	if began := w.attend(24 * 30); !began.IsZero() || w.happened(alert.MaintenanceNoLongerNeeded) != 1 || w.happened(alert.MaintenanceStarted) != 0 {
		t.Errorf("began at %s, called off %d times", began, w.happened(alert.MaintenanceNoLongerNeeded))
	}
}

func TestTheTenantMayStartAtOnce(t *testing.T) {
	w := newWorld(t)
	w.do("PATCH", "", `{"dayOfWeek":1,"hourOfDay":3}`)
	w.plan(60)
	if code := w.code("PATCH", "", `{"startASAP":true}`); code != "" {
		t.Fatalf("answers %s", code)
	}
	if _, body := w.do("GET", "", ""); !strings.Contains(body, `"startASAP":true`) {
		t.Errorf("got %s", body)
	}
	if code := w.code("POST", "/defer", ""); code != atlas.MaintenanceNotScheduled {
		t.Errorf("deferring it: %s", code)
	}
	if began := w.attend(1); began.IsZero() {
		t.Error("it does not begin")
	}
	w.must(w.windows.Finish(t.Context(), w.group, rotate))
	if _, body := w.do("GET", "", ""); !strings.Contains(body, `"startASAP":false`) {
		t.Errorf("got %s", body)
	}
}

func TestWithoutAWindowProtectedHoursAreKept(t *testing.T) {
	w := newWorld(t)
	w.do("PATCH", "", `{"dayOfWeek":1,"hourOfDay":3,"protectedHours":{"startHourOfDay":0,"endHourOfDay":23}}`)
	w.plan(0)
	if began := w.attend(24 * 14); began.Hour() != 23 {
		t.Errorf("began at %s", began)
	}
}

func TestAnAnnouncementThatComesTooLateStillGivesNotice(t *testing.T) {
	w := newWorld(t)
	w.do("PATCH", "", `{"dayOfWeek":1,"hourOfDay":3}`)
	start := w.plan(10).Plan.Start
	w.clock.Advance(start.Sub(w.clock.Now()) + 24*time.Hour) // the schedule was down
	began := w.attend(24 * 20)
	if !began.Equal(start.AddDate(0, 0, 7)) {
		t.Errorf("planned for %s, began at %s", start, began)
	}
}

func TestTheZoneOfAProjectCountsForItsWindow(t *testing.T) {
	w := newWorld(t)
	w.do("PATCH", "", `{"dayOfWeek":1,"hourOfDay":3}`)
	w.must(w.windows.SetTimeZone(t.Context(), audit.System(), w.group, "Asia/Tokyo"))
	if got := w.plan(5).Plan.Start; got.Hour() != 18 || got.Weekday() != time.Saturday {
		t.Errorf("planned for %s", got)
	}
	if _, body := w.do("GET", "", ""); !strings.Contains(body, `"timeZoneId":"Asia/Tokyo"`) {
		t.Errorf("got %s", body)
	}
	for _, name := range []string{"Mars/Olympus", "Local", "../../etc/passwd"} {
		if err := w.windows.SetTimeZone(t.Context(), audit.System(), w.group, name); atlas.CodeOf(err) != atlas.InvalidAttribute {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAClosedGroupIsNotMaintained(t *testing.T) {
	w := newWorld(t)
	w.do("PATCH", "", `{"dayOfWeek":1,"hourOfDay":3}`)
	w.plan(0)
	item, err := w.table.Get(t.Context(), keys.Maintenance(w.group))
	w.must(err)
	w.must(w.projects.Close(t.Context(), w.caller, w.group))
	w.must(w.table.Write(t.Context(), store.Put(store.Item{Key: item.Key, Index: item.Index, Body: item.Body}))) // the purge was cut short
	if began := w.attend(24 * 20); !began.IsZero() {
		t.Errorf("began at %s", began)
	}
	if due, err := w.windows.AttendAll(t.Context()); err != nil || due.Attended > 0 {
		t.Errorf("still due: %+v, %v", due, err)
	}
}
