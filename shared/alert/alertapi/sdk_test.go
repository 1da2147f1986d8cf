package alertapi_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/atlas-sdk/v20250312018/admin"

	"latchkey/shared/alert"
)

func TestTheOfficialSDKManagesConfigurations(t *testing.T) {
	w := newWorld(t)
	ctx, api := t.Context(), w.sdk().AlertConfigurationsApi

	fields, _, err := api.ListMatcherFieldNames(ctx).Execute()
	if err != nil || !cmp.Equal(fields, alert.MatcherFields()) {
		t.Errorf("matcher fields %v, %v", fields, err)
	}
	before, _, err := api.ListAlertConfigs(ctx, w.group).Execute()
	if err != nil {
		t.Fatal(err)
	}
	n := admin.NewAlertsNotificationRootForGroup() // with the defaults of other kinds
	n.TypeName, n.IntervalMin, n.DelayMin, n.EmailEnabled = new("GROUP"), new(60), new(5), new(true)
	n.Roles = &[]string{"GROUP_OWNER"}
	created, resp, err := api.CreateAlertConfig(ctx, w.group, &admin.GroupAlertsConfig{
		EventTypeName: new("AWS_ENCRYPTION_KEY_NEEDS_ROTATION"), Enabled: new(true),
		Threshold:     &admin.StreamProcessorMetricThreshold{Operator: new("GREATER_THAN"), Threshold: new(120.0), Units: new("DAYS")},
		Notifications: &[]admin.AlertsNotificationRootForGroup{*n},
		Matchers:      &[]admin.StreamsMatcher{{FieldName: "CLUSTER_NAME", Operator: "EQUALS", Value: "c1"}},
	}).Execute()
	if err != nil || resp.StatusCode != http.StatusCreated {
		t.Fatalf("create: %v", err)
	}
	id := created.GetId()
	if want := w.url + "/api/atlas/v2/groups/" + w.group + "/alertConfigs/" + id; resp.Header.Get("Location") != want {
		t.Errorf("Location %q, want %q", resp.Header.Get("Location"), want)
	}
	got, _, err := api.GetAlertConfig(ctx, w.group, id).Execute()
	if err != nil || !cmp.Equal(got, created) {
		t.Errorf("get differs from create: %s, %v", cmp.Diff(created, got), err)
	}
	if got.Threshold.GetThreshold() != 120 || got.GetMatchers()[0].Value != "c1" || got.GetNotifications()[0].GetDelayMin() != 5 {
		t.Errorf("got %+v", got)
	}
	if shown := got.GetNotifications()[0]; shown.HasRegion() || shown.HasDatadogRegion() || shown.GetNotifierId() == "" {
		t.Errorf("a GROUP notification shows members of other kinds: %+v", shown)
	}
	off, _, err := api.ToggleAlertConfig(ctx, w.group, id, &admin.AlertsToggle{Enabled: new(false)}).Execute()
	if err != nil || off.GetEnabled() {
		t.Errorf("toggle: %+v, %v", off, err)
	}
	got.Threshold.Threshold = new(400.0) // the whole answer goes back
	replaced, _, err := api.UpdateAlertConfig(ctx, w.group, id, got).Execute()
	if err != nil || replaced.Threshold.GetThreshold() != 400 || replaced.GetId() != id || !replaced.GetEnabled() {
		t.Errorf("replace: %+v, %v", replaced, err)
	}
	after, _, err := api.ListAlertConfigs(ctx, w.group).Execute()
	if err != nil || after.GetTotalCount() != before.GetTotalCount()+1 {
		t.Errorf("list: %d after %d, %v", after.GetTotalCount(), before.GetTotalCount(), err)
	}
	if resp, err := api.DeleteAlertConfig(ctx, w.group, id).Execute(); err != nil || resp.StatusCode != http.StatusNoContent {
		t.Errorf("delete: %v", err)
	}
	_, _, err = api.GetAlertConfig(ctx, w.group, id).Execute()
	if e, ok := admin.AsError(err); !ok || e.GetErrorCode() != "ALERT_CONFIG_NOT_FOUND" {
		t.Errorf("a deleted configuration gives %v", err)
	}
	want := []string{"ALERT_CONFIG_DELETED_AUDIT", "ALERT_CONFIG_CHANGED_AUDIT", "ALERT_CONFIG_DISABLED_AUDIT", "ALERT_CONFIG_ADDED_AUDIT"}
	var seen []string
	for _, e := range w.events(ctx) {
		if e != "GROUP_CREATED" {
			seen = append(seen, string(e))
		}
	}
	if len(seen) != len(want) {
		t.Errorf("events %v, want %v", seen, want)
	}
}

func TestTheOfficialSDKManagesAlerts(t *testing.T) {
	w := newWorld(t)
	ctx, api := t.Context(), w.sdk().AlertsApi
	config := w.create(invalidConfig)
	w.raise()
	list, _, err := api.ListAlerts(ctx, w.group).Status("OPEN").Execute()
	if err != nil || list.GetTotalCount() != 1 {
		t.Fatalf("list: %+v, %v", list, err)
	}
	id := list.GetResults()[0].GetId()
	a, _, err := api.GetAlert(ctx, w.group, id).Execute()
	if err != nil || a.GetStatus() != "OPEN" || a.GetAlertConfigId() != config || a.GetOrgId() == "" || a.GetLastNotified().IsZero() {
		t.Errorf("get: %+v, %v", a, err)
	}
	until := w.clock.Now().AddDate(100, 0, 0) // for ever
	a, _, err = api.AcknowledgeAlert(ctx, w.group, id, &admin.AcknowledgeAlert{
		AcknowledgedUntil: &until, AcknowledgementComment: new("we know"),
	}).Execute()
	if err != nil || !a.GetAcknowledgedUntil().Equal(until) || a.GetAcknowledgingUsername() != "abcdefgh" || a.GetAcknowledgementComment() != "we know" {
		t.Errorf("acknowledge: %+v, %v", a, err)
	}
	a, _, err = api.AcknowledgeAlert(ctx, w.group, id, &admin.AcknowledgeAlert{
		AcknowledgedUntil: &until, UnacknowledgeAlert: new(true),
	}).Execute()
	if err != nil || a.HasAcknowledgedUntil() {
		t.Errorf("undo: %+v, %v", a, err)
	}
	of, _, err := w.sdk().AlertsApi.GetAlertConfigAlerts(ctx, w.group, config).Execute()
	if err != nil || of.GetTotalCount() != 1 || of.GetResults()[0].GetId() != id {
		t.Errorf("alerts of the configuration: %+v, %v", of, err)
	}
	by, _, err := w.sdk().AlertConfigurationsApi.GetAlertConfigs(ctx, w.group, id).Execute()
	if err != nil || by.GetTotalCount() != 1 || by.GetResults()[0].GetId() != config {
		t.Errorf("configurations of the alert: %+v, %v", by, err)
	}
	if err := w.alerts.Clear(ctx, w.group, "AWS_ENCRYPTION_KEY_INVALID", "AWS", time.Time{}); err != nil {
		t.Fatal(err)
	}
	closed, _, err := api.ListAlerts(ctx, w.group).Status("CLOSED").Execute()
	if err != nil || closed.GetTotalCount() != 1 || closed.GetResults()[0].GetResolved().IsZero() {
		t.Errorf("closed: %+v, %v", closed, err)
	}
	of, _, err = w.sdk().AlertsApi.GetAlertConfigAlerts(ctx, w.group, config).Execute()
	if err != nil || of.GetTotalCount() != 0 {
		t.Errorf("open alerts of the configuration: %+v, %v", of, err)
	}
}

func TestTheOlderVersionAcknowledgesWithAnAlert(t *testing.T) {
	w := newWorld(t)
	w.create(invalidConfig)
	w.raise()
	path := "/alerts/" + w.one().ID
	a := w.at("2023-01-01", http.MethodPatch, path, `{"acknowledgedUntil":"2026-06-01T00:00:00+02:00","status":"OPEN","links":[]}`)
	if a.member(t, "acknowledgedUntil") != "2026-05-31T22:00:00Z" || a.header.Get("Sunset") == "" {
		t.Errorf("acknowledge: %d %s", a.status, a.body)
	}
	a = w.at("2023-01-01", http.MethodPatch, path, `{"unacknowledgeAlert":false}`)
	if a.status != http.StatusOK || a.member(t, "acknowledgedUntil") != nil {
		t.Errorf("without a date: %d %s", a.status, a.body)
	}
	if a = w.do(http.MethodPatch, path, `{}`); a.code() != "MISSING_ATTRIBUTE" {
		t.Errorf("the newer version without a date: %d %s", a.status, a.body)
	}
	if a = w.do(http.MethodPatch, path, `{"unacknowledgeAlert":true,"acknowledgedUntil":"nonsense"}`); a.status != http.StatusOK {
		t.Errorf("undoing overrides the date: %d %s", a.status, a.body)
	}
}
