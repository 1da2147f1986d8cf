package main

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/atlas-sdk/v20250312018/admin"

	"latchkey/shared/alert"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

// reply is an answer as it comes over the wire.
type reply struct {
	status int
	header http.Header
	body   string
}

// raw sends a request as clients do that have no SDK. A path that begins with "/" is below the
// owner's group.
func (r *running) raw(client *admin.APIClient, version, method, path, body string) reply {
	r.t.Helper()
	url := r.base + "/api/atlas/v2/" + path
	if strings.HasPrefix(path, "/") {
		url = r.base + "/api/atlas/v2/groups/" + r.owner.GroupID + path
	}
	req, err := http.NewRequestWithContext(r.t.Context(), method, url, strings.NewReader(body))
	r.must(err)
	req.Header.Set("Accept", "application/vnd.atlas."+version+"+json")
	if body != "" {
		req.Header.Set("Content-Type", "application/vnd.atlas."+version+"+json")
	}
	resp, err := client.GetConfig().HTTPClient.Do(req)
	r.must(err)
	defer resp.Body.Close() //nolint:errcheck // it was only read
	b, err := io.ReadAll(resp.Body)
	r.must(err)
	return reply{resp.StatusCode, resp.Header, string(b)}
}

// member is a member of the object in the body, by the names on the way to it; nil if there is none.
func (a reply) member(t testing.TB, names ...string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		t.Fatalf("%d %q: %v", a.status, a.body, err)
	}
	for _, name := range names {
		if all, ok := v.([]any); ok && len(all) > 0 {
			v = all[0]
		}
		object, _ := v.(map[string]any)
		v = object[name]
	}
	return v
}

// What clients send and what they need to get back (CLIENTS.md, "Drift and crash traps"), through the gateway.
func TestAlertConfigurations_areManagedAsClientsDo(t *testing.T) {
	t.Parallel()
	r := startSuite(t)
	client, version := r.byKey(), "2023-01-01"
	const terraform = `"eventTypeName":"AWS_ENCRYPTION_KEY_NEEDS_ROTATION","matchers":[],"metricThreshold":{},` +
		`"notifications":[{"typeName":"PAGER_DUTY","serviceKey":"0123456789abcdef0123456789abcdef","emailEnabled":false,"smsEnabled":false,` +
		`"intervalMin":0,"delayMin":0,"roles":null}],"threshold":{"operator":"GREATER_THAN","threshold":400,"units":"DAYS"}}`
	made := r.raw(client, version, http.MethodPost, "/alertConfigs", `{"enabled":true,`+terraform)
	id, _ := made.member(t, "id").(string)
	if made.status != http.StatusCreated || !strings.HasSuffix(made.header.Get("Location"), "/alertConfigs/"+id) {
		t.Fatalf("creating answers %d, Location %q: %s", made.status, made.header.Get("Location"), made.body)
	}
	for _, drift := range []string{"intervalMin", `"roles"`, "0123456789abcdef0123456789abcdef"} {
		if strings.Contains(made.body, drift) {
			t.Errorf("the answer shows %s: %s", drift, made.body)
		}
	}
	read := r.raw(client, version, http.MethodGet, "/alertConfigs/"+id, "")
	if read.status != http.StatusOK || read.body != made.body {
		t.Errorf("reading answers %d (-made +read):\n%s", read.status, cmp.Diff(made.body, read.body))
	}
	replaced := r.raw(client, version, http.MethodPut, "/alertConfigs/"+id, `{"id":"`+id+`","links":[],`+terraform)
	if replaced.status != http.StatusOK || replaced.member(t, "enabled") != false || replaced.member(t, "id") != id {
		t.Errorf("replacing answers %d %s", replaced.status, replaced.body)
	}
	if on := r.raw(client, version, http.MethodPatch, "/alertConfigs/"+id, `{"enabled":true}`); on.status != http.StatusOK || on.member(t, "enabled") != true {
		t.Errorf("turning it on answers %d %s", on.status, on.body)
	}
	list := r.raw(client, version, http.MethodGet, "/alertConfigs?includeCount=false&itemsPerPage=100&pageNum=0", "")
	if list.status != http.StatusOK || strings.Contains(list.body, "totalCount") || !strings.Contains(list.body, id) {
		t.Errorf("listing answers %d %s", list.status, list.body)
	}
	if gone := r.raw(client, version, http.MethodDelete, "/alertConfigs/"+id, ""); gone.status != http.StatusNoContent || gone.body != "" {
		t.Errorf("deleting answers %d %q", gone.status, gone.body)
	}
	if none := r.raw(client, version, http.MethodGet, "/alertConfigs/"+id, ""); none.status != http.StatusNotFound || none.member(t, "errorCode") != "ALERT_CONFIG_NOT_FOUND" {
		t.Errorf("reading what was deleted answers %d %s", none.status, none.body)
	}
	names := r.raw(client, version, http.MethodGet, "alertConfigs/matchers/fieldNames", "")
	var fields []string
	if err := json.Unmarshal([]byte(names.body), &fields); err != nil || !cmp.Equal(fields, alert.MatcherFields()) {
		t.Errorf("the names of fields are %d %s", names.status, names.body)
	}
}

// Terraform and the command-line client: a change is partial, and is 200 without a body. (That it has
// a type all the same is API Gateway's doing, which gives one to what has none.)
func TestMaintenanceWindows_areManagedAsClientsDo(t *testing.T) {
	t.Parallel()
	r := startSuite(t)
	client, version := r.byKey(), "2023-01-01"
	window := func() string {
		got, _, err := client.MaintenanceWindowsApi.GetMaintenanceWindow(t.Context(), r.owner.GroupID).Execute()
		r.must(err)
		b, err := json.Marshal(got)
		r.must(err)
		return string(b)
	}
	for _, c := range []struct{ method, path, body, want string }{
		{
			"PATCH", "", `{"dayOfWeek":7,"hourOfDay":4,"startASAP":false}`,
			`{"autoDeferOnceEnabled":false,"dayOfWeek":7,"hourOfDay":4,"numberOfDeferrals":0,"startASAP":false,"timeZoneId":"UTC"}`,
		},
		{
			"PATCH", "", `{"dayOfWeek":7,"hourOfDay":4,"protectedHours":{"startHourOfDay":8,"endHourOfDay":18}}`,
			`{"autoDeferOnceEnabled":false,"dayOfWeek":7,"hourOfDay":4,"numberOfDeferrals":0,"protectedHours":{"endHourOfDay":18,"startHourOfDay":8},"startASAP":false,"timeZoneId":"UTC"}`,
		},
		{
			"POST", "/autoDefer", "",
			`{"autoDeferOnceEnabled":true,"dayOfWeek":7,"hourOfDay":4,"numberOfDeferrals":0,"protectedHours":{"endHourOfDay":18,"startHourOfDay":8},"startASAP":false,"timeZoneId":"UTC"}`,
		},
		{
			"PATCH", "", `{"hourOfDay":5,"protectedHours":{}}`,
			`{"autoDeferOnceEnabled":true,"dayOfWeek":7,"hourOfDay":5,"numberOfDeferrals":0,"startASAP":false,"timeZoneId":"UTC"}`,
		},
	} {
		got := r.raw(client, version, c.method, "/maintenanceWindow"+c.path, c.body)
		if got.status != http.StatusOK || got.body != "" {
			t.Errorf("%s %s answers %d %q", c.method, c.body, got.status, got.body)
		}
		if diff := cmp.Diff(c.want, window()); diff != "" {
			t.Errorf("after %s %s (-want +got):\n%s", c.method, c.body, diff)
		}
	}
	if got := r.raw(client, version, "POST", "/maintenanceWindow/defer", ""); got.status != http.StatusBadRequest || got.member(t, "errorCode") != "ATLAS_MAINTENANCE_NOT_SCHEDULED" {
		t.Errorf("deferring nothing answers %d %s", got.status, got.body)
	}
	if got := r.raw(client, version, "DELETE", "/maintenanceWindow", ""); got.status != http.StatusNoContent || got.body != "" {
		t.Errorf("clearing answers %d %q", got.status, got.body)
	}
	// The SDK's own calls read the empty answers.
	windows := client.MaintenanceWindowsApi
	_, err := windows.UpdateMaintenanceWindow(t.Context(), r.owner.GroupID, &admin.GroupMaintenanceWindow{DayOfWeek: 2, HourOfDay: new(0)}).Execute()
	r.must(err)
	_, err = windows.ToggleMaintenanceAutoDefer(t.Context(), r.owner.GroupID).Execute()
	r.must(err)
	_, err = windows.ResetMaintenanceWindow(t.Context(), r.owner.GroupID).Execute()
	r.must(err)
}

// alerts are those of the project with a status.
func (e *estate) alerts(status string) []admin.AlertViewForNdsGroup {
	e.t.Helper()
	list, _, err := e.client.AlertsApi.ListAlerts(e.t.Context(), e.owner.GroupID).Status(status).Execute()
	e.must(err)
	return list.GetResults()
}

// notified counts the notifications of an alert.
func (e *estate) notified(alertID string) int {
	e.t.Helper()
	place := keys.AlertNotice(e.owner.GroupID, alertID, "", "")
	items, err := store.All(e.t.Context(), e.suite.table, store.Query{PK: place.PK, Prefix: strings.TrimRight(place.SK, "#") + "#"})
	e.must(err)
	return len(items)
}

// A key is taken away and given back. What is to be told meanwhile falls due by itself.
func TestAlerts_lastAsLongAsWhatTheyWarnOf(t *testing.T) {
	inEstate(t, func(e *estate) {
		ctx, api := e.t.Context(), e.client.AlertsApi
		_, _, err := e.client.AlertConfigurationsApi.CreateAlertConfig(ctx, e.owner.GroupID, &admin.GroupAlertsConfig{
			EventTypeName: new("AWS_ENCRYPTION_KEY_INVALID"), Enabled: new(true),
			Notifications: &[]admin.AlertsNotificationRootForGroup{{TypeName: new("GROUP"), EmailEnabled: new(true), IntervalMin: new(10)}},
		}).Execute()
		e.must(err)
		e.key.take()
		e.validate()
		e.until("the alert is open", func() bool { return len(e.alerts("OPEN")) == 1 })
		a := e.alerts("OPEN")[0]
		if a.GetEventTypeName() != "AWS_ENCRYPTION_KEY_INVALID" || len(e.alerts("CLOSED")) != 0 {
			t.Errorf("it is %+v", a)
		}
		time.Sleep(41 * time.Minute)
		if n := e.notified(a.GetId()); n != 5 {
			t.Errorf("%d notifications in 41 minutes, one every 10", n)
		}

		_, _, err = api.AcknowledgeAlert(ctx, e.owner.GroupID, a.GetId(), &admin.AcknowledgeAlert{
			AcknowledgedUntil: new(time.Now().AddDate(100, 0, 0)), AcknowledgementComment: new("we know"),
		}).Execute()
		e.must(err)
		time.Sleep(24 * time.Hour)
		if n := e.notified(a.GetId()); n != 5 {
			t.Errorf("%d notifications of an alert that was acknowledged after 5", n)
		}
		// The older version takes the alert without the date for the end of that.
		undone := e.raw(e.client, "2023-01-01", http.MethodPatch, "/alerts/"+a.GetId(), `{"id":"`+a.GetId()+`","status":"OPEN"}`)
		if undone.status != http.StatusOK || undone.member(t, "acknowledgedUntil") != nil {
			t.Errorf("undoing answers %d %s", undone.status, undone.body)
		}
		e.until("it is notified again", func() bool { return e.notified(a.GetId()) > 5 })

		e.key.give()
		e.validate()
		e.until("the alert is closed", func() bool { return len(e.alerts("CLOSED")) == 1 && len(e.alerts("OPEN")) == 0 })
		if got := e.alerts("CLOSED")[0]; got.GetId() != a.GetId() || got.GetResolved().IsZero() {
			t.Errorf("what was closed is %+v", got)
		}
	})
}
