package adminapi_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/atlas-sdk/v20250312018/admin"

	"latchkey/shared/alert"
	"latchkey/shared/atlas"
	"latchkey/shared/identity"
	"latchkey/shared/identity/identitytest"
	"latchkey/shared/project"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
	"latchkey/shared/suite"
	"latchkey/shared/suite/adminapi"
)

// defaults are the types of the alert configurations with which a new project begins.
func defaults(t *testing.T, r *rig, k *admin.APIClient, with *bool) (groupID string, types []string) {
	t.Helper()
	g, _, err := k.ProjectsApi.CreateGroup(t.Context(), &admin.Group{Name: "p" + r.clock.Now().Format("150405"), OrgId: r.org.Org.ID, WithDefaultAlertsSettings: with}).Execute()
	if err != nil {
		t.Fatal(err)
	}
	r.clock.Advance(time.Second) // the next one has another name
	if with != nil && g.GetWithDefaultAlertsSettings() != *with {
		t.Errorf("the project was asked for with %t and shows %t", *with, g.GetWithDefaultAlertsSettings())
	}
	list, _, err := k.AlertConfigurationsApi.ListAlertConfigs(t.Context(), g.GetId()).Execute()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range list.GetResults() {
		if !c.GetEnabled() || len(c.GetNotifications()) != 1 {
			t.Errorf("%s is %+v", c.GetEventTypeName(), c)
		}
		types = append(types, c.GetEventTypeName())
	}
	slices.Sort(types)
	return g.GetId(), types
}

func TestProjects_BeginWithTheAlertsThatTheyAskFor(t *testing.T) {
	r := newRig(t)
	want := []string{
		"ENCRYPTION_AT_REST_CREDENTIALS_EXPIRING", "ENCRYPTION_AT_REST_KEY_EXPIRING",
		"ENCRYPTION_AT_REST_KEY_UNPROTECTED", "ENCRYPTION_AT_REST_KMS_NETWORK_ACCESS_DENIED",
	}
	for name, c := range map[string]struct {
		with *bool
		want []string
	}{"unless told otherwise": {nil, want}, "asked for": {new(true), want}, "without": {new(false), nil}} {
		if _, got := defaults(t, r, r.client(r.owner), c.with); !cmp.Equal(c.want, got) {
			t.Errorf("%s: %s", name, cmp.Diff(c.want, got))
		}
	}
}

// Terraform asks for alerts in every project of which the user says nothing.
func TestProjects_OfAnOrganizationThatSkipsThemHaveNoAlerts(t *testing.T) {
	r := newRig(t)
	var err error
	r.org, err = r.projects.Found(t.Context(), project.Founding{Name: "Quiet", OwnerEmail: "owner@quiet.example", SkipDefaultAlerts: true})
	if err != nil {
		t.Fatal(err)
	}
	client := r.client(r.key(r.org.Org.ID, identity.OrgOwner, nil))
	if _, got := defaults(t, r, client, new(true)); got != nil {
		t.Errorf("it has %q", got)
	}
	org, _, err := client.OrganizationsApi.GetOrg(t.Context(), r.org.Org.ID).Execute()
	if err != nil || !org.GetSkipDefaultAlertsSettings() {
		t.Errorf("the organization shows %+v, %v", org, err)
	}
}

// alerting is a group with everything that alerts and maintenance store.
func alerting(t *testing.T, r *rig) (groupID string, client *admin.APIClient) {
	t.Helper()
	client = r.client(r.owner)
	groupID, _ = defaults(t, r, client, nil)
	warnings := suite.AlertDeps{Table: r.table, Journal: r.journal, Sealer: identitytest.NewSealer(t), Now: r.clock.Now}
	alerts := suite.Alerts(warnings)
	if err := alerts.Raise(t.Context(), groupID, alert.Condition{Type: alert.NetworkAccessDenied, Subject: "AWS"}); err != nil {
		t.Fatal(err)
	}
	if err := alerts.Watch(t.Context(), groupID, atlas.AWS, alert.Dates{Rotation: alert.Rotation{Name: "k", Since: r.clock.Now()}}); err != nil {
		t.Fatal(err)
	}
	_, err := client.MaintenanceWindowsApi.UpdateMaintenanceWindow(t.Context(), groupID, &admin.GroupMaintenanceWindow{DayOfWeek: 1, HourOfDay: new(3)}).Execute()
	if err != nil {
		t.Fatal(err)
	}
	day := 24 * time.Hour
	if _, err := suite.Maintenance(warnings).Plan(t.Context(), groupID, "X", r.clock.Now().Add(30*day), r.clock.Now().Add(60*day)); err != nil {
		t.Fatal(err)
	}
	return groupID, client
}

func TestProjects_TakeTheirAlertsAndWindowsWithThem(t *testing.T) {
	r := newRig(t)
	groupID, client := alerting(t, r)
	query := store.Query{PK: keys.Group(groupID).PK}
	before, err := store.All(t.Context(), r.table, query)
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]bool{}
	for _, item := range before {
		for _, prefix := range []string{
			keys.AlertRegister(groupID).SK, keys.AlertConfigPrefix, keys.AlertPrefix, keys.AlertConditionsPrefix,
			keys.AlertNoticePrefix, keys.AlertWatchPrefix, keys.Maintenance(groupID).SK,
		} {
			kinds[prefix] = kinds[prefix] || len(item.SK) >= len(prefix) && item.SK[:len(prefix)] == prefix
		}
	}
	for prefix, stored := range kinds {
		if !stored {
			t.Errorf("this test stores no %s", prefix)
		}
	}
	if _, err := client.ProjectsApi.DeleteGroup(t.Context(), groupID).Execute(); err != nil {
		t.Fatal(err)
	}
	after, err := store.All(t.Context(), r.table, query)
	if err != nil || len(after) != 1 {
		t.Errorf("%d items are left, %v", len(after), err)
	}
	_, _, err = client.AlertsApi.ListAlerts(t.Context(), groupID).Execute()
	if !admin.IsErrorCode(err, "GROUP_NOT_FOUND") {
		t.Errorf("listing the alerts of a closed project gives %v", err)
	}
}

func TestEvents_AreKeptForAsLongAsTheOperatorSays(t *testing.T) {
	const day = 24 * time.Hour
	r := newRig(t, func(d *adminapi.Deps) { d.EventRetention = 30 * day })
	client := r.client(r.owner)
	groupID, _ := defaults(t, r, client, nil)
	events := func() int {
		list, _, err := client.EventsApi.ListGroupEvents(t.Context(), groupID).Execute()
		if err != nil {
			t.Fatal(err)
		}
		return list.GetTotalCount()
	}
	items, err := store.All(t.Context(), r.table, store.Query{PK: keys.EventPartition(keys.GroupScope(groupID))})
	if err != nil || len(items) == 0 || events() != len(items) {
		t.Fatalf("%d events, %v", len(items), err)
	}
	for _, item := range items {
		if left := item.Expires.Sub(r.clock.Now()); left > 30*day || left < 30*day-time.Minute {
			t.Errorf("the table may remove %s in %s", item.SK, left)
		}
	}
	if r.clock.Advance(31 * day); events() != 0 {
		t.Error("they are shown for longer")
	}
}
