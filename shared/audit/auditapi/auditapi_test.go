package auditapi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/atlas-sdk/v20250312018/admin"

	"latchkey/shared/alert"
	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/audit/auditapi"
	"latchkey/shared/httpapi"
	"latchkey/shared/identity"
	"latchkey/shared/identity/identitytest"
)

const (
	groupID  = "650000000000000000000001"
	orgID    = "650000000000000000000002"
	closedID = "650000000000000000000003"
)

// groups knows one open and one closed group.
type groups struct{}

func (groups) FindGroup(_ context.Context, id string) (string, bool, bool, error) {
	return orgID, id == closedID, id == groupID || id == closedID, nil
}

type rig struct {
	journal audit.Journal
	clock   *identitytest.Clock
	url     string
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{clock: identitytest.NewClock()}
	r.journal = audit.Journal{Table: identitytest.Table(t), Now: r.clock.Now}
	api := httpapi.New(httpapi.Config{
		Gate: identity.Gate{Groups: groups{}, Denials: r.journal}, Now: r.clock.Now, Log: slog.New(slog.DiscardHandler),
	}, auditapi.API{Journal: r.journal, Groups: groups{}}.Routes())
	caller := identity.Caller{
		Kind: identity.KindAPIKey, ID: "1", Name: "abcdefgh", OrgID: orgID, OrgRoles: []identity.Role{identity.OrgOwner},
		GroupRoles: map[string][]identity.Role{closedID: {identity.GroupOwner}},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		ctx := httpapi.WithBase(httpapi.WithCaller(req.Context(), caller), r.url)
		api.ServeHTTP(w, req.WithContext(ctx))
	}))
	t.Cleanup(server.Close)
	r.url = server.URL
	return r
}

// add stores an event a minute after the one before it.
func (r *rig) add(t *testing.T, e audit.Event) audit.Event {
	t.Helper()
	r.clock.Advance(time.Minute)
	made := audit.New(r.clock.Now(), e.Type, e.Actor, orgID, e.GroupID)
	made.ClusterName, made.Detail = e.ClusterName, e.Detail
	if err := r.journal.Append(t.Context(), made); err != nil {
		t.Fatal(err)
	}
	return made
}

func (r *rig) get(t *testing.T, path string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", r.url+"/api/atlas/v2"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "application/vnd.atlas.2024-11-13+json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

var key = audit.Actor{Kind: identity.KindAPIKey, ID: "650000000000000000000060", Name: "abcdefgh", RemoteAddress: "198.51.100.7"}

func TestEvents_HaveTheShapeOfTheContract(t *testing.T) {
	r := newRig(t)
	account := audit.Actor{Kind: identity.KindServiceAccount, ID: "mdb_sa_id_1", Name: "mdb_sa_id_1", RemoteAddress: "2001:db8::1"}
	tests := []struct {
		name  string
		event audit.Event
		path  string
		want  string // with %[1]s for the id and %[2]s for the URL
	}{
		{
			"an API key's, of a group",
			audit.Event{Type: "ENCRYPTION_AT_REST_CONFIGURATION_UPDATED", GroupID: groupID, Actor: key},
			"/groups/" + groupID,
			`{"apiKeyId":"650000000000000000000060","created":"2026-05-01T12:01:00Z","eventTypeName":"ENCRYPTION_AT_REST_CONFIGURATION_UPDATED",` +
				`"groupId":"` + groupID + `","id":"%[1]s","isGlobalAdmin":false,"links":[{"href":"%[2]s/api/atlas/v2/groups/` + groupID + `/events/%[1]s","rel":"self"}],` +
				`"orgId":"` + orgID + `","publicKey":"abcdefgh","remoteAddress":"198.51.100.7"}`,
		},
		{
			"a service account's, with details",
			audit.Event{
				Type: "API_KEY_DELETED", Actor: account, Detail: map[string]any{"targetPublicKey": "zzzz", "roles": []string{"x"}, "groupId": groupID},
			},
			"/orgs/" + orgID,
			`{"created":"2026-05-01T12:02:00Z","eventTypeName":"API_KEY_DELETED","groupId":"` + groupID + `","id":"%[1]s","isGlobalAdmin":false,` +
				`"links":[{"href":"%[2]s/api/atlas/v2/orgs/` + orgID + `/events/%[1]s","rel":"self"}],"orgId":"` + orgID + `",` +
				`"remoteAddress":"2001:db8::1","targetPublicKey":"zzzz","userId":"mdb_sa_id_1","username":"mdb_sa_id_1"}`,
		},
		{
			"Latchkey's own, of a cluster",
			audit.Event{Type: "CLUSTER_INSTANCE_DISABLED", GroupID: groupID, Actor: audit.System(), ClusterName: "c1"},
			"/groups/" + groupID,
			`{"clusterName":"c1","created":"2026-05-01T12:03:00Z","eventTypeName":"CLUSTER_INSTANCE_DISABLED","groupId":"` + groupID + `",` +
				`"id":"%[1]s","isGlobalAdmin":false,"links":[{"href":"%[2]s/api/atlas/v2/groups/` + groupID + `/events/%[1]s","rel":"self"}],"orgId":"` + orgID + `"}`,
		},
	}
	for _, tt := range tests {
		e := r.add(t, tt.event)
		status, body := r.get(t, tt.path+"/events/"+e.ID)
		if want := fmt.Sprintf(tt.want, e.ID, r.url); status != 200 || body != want {
			t.Errorf("%s: %d (-want +got):\n%s", tt.name, status, cmp.Diff(want, body))
		}
	}
}

func TestEvents_RawTellsAllOnRequest(t *testing.T) {
	r := newRig(t)
	e := r.add(t, audit.Event{Type: "GROUP_NAME_CHANGED", GroupID: groupID, Actor: key, Detail: map[string]any{"previousName": "before"}})
	path := "/groups/" + groupID + "/events"
	want := `"raw":{"_t":"GROUP_NAME_CHANGED","cid":"` + groupID + `","cre":"2026-05-01T12:01:00Z","description":"A project was renamed","id":"` +
		e.ID + `","orgId":"` + orgID + `","previousName":"before"}`
	for query, has := range map[string]bool{"": false, "?includeRaw=false": false, "?includeRaw=true": true} {
		for _, p := range []string{path, path + "/" + e.ID} {
			if _, body := r.get(t, p+query); strings.Contains(body, want) != has {
				t.Errorf("%s%s: %s", p, query, body)
			}
		}
	}
}

func TestEvents_AreFilteredByEveryParameter(t *testing.T) {
	r := newRig(t)
	start := r.clock.Now()
	for i, e := range []audit.Event{
		{Type: "CLUSTER_CREATED", ClusterName: "c1"},
		{Type: "CLUSTER_READY", ClusterName: "c1"},
		{Type: "CLUSTER_CREATED", ClusterName: "c2"},
		{Type: "GROUP_NAME_CHANGED"},
		{Type: "GROUP_TAGS_MODIFIED"},
	} {
		e.GroupID, e.Actor, e.Detail = groupID, key, map[string]any{"n": i}
		r.add(t, e)
	}
	at := func(minutes int) string {
		return start.Add(time.Duration(minutes) * time.Minute).Format("2006-01-02T15:04:05")
	}
	for query, want := range map[string]string{
		"":                          "43210",
		"eventType=CLUSTER_CREATED": "20",
		"eventType=CLUSTER_CREATED&eventType=CLUSTER_READY":                 "210",
		"excludedEventType=CLUSTER_CREATED":                                 "431",
		"excludedEventType=CLUSTER_CREATED&excludedEventType=CLUSTER_READY": "43",
		"eventType=CLUSTER_CREATED&excludedEventType=CLUSTER_CREATED":       "",
		"eventType=SOMETHING_OF_THE_REAL_SERVICE":                           "",
		"clusterNames=c1":                         "10",
		"clusterNames=c1&clusterNames=c2":         "210",
		"clusterNames=c2&eventType=CLUSTER_READY": "",
		"minDate=" + at(3) + "Z":                  "432",
		"minDate=" + at(3):                        "432",
		"minDate=" + at(3) + ".000Z":              "432",
		"minDate=" + url.QueryEscape(strings.Replace(at(3), "T12", "T14", 1)+"+02:00"): "432",
		"minDate=" + strings.Replace(at(3), "T12", "T14", 1) + "+02:00":                "432",
		"maxDate=" + at(3) + "Z":                        "10",
		"minDate=" + at(2) + "Z&maxDate=" + at(4) + "Z": "21",
		"minDate=" + at(4) + "Z&maxDate=" + at(2) + "Z": "",
		"minDate=2026-05-01":                            "43210",
		"minDate=2026-05-02":                            "",
		"itemsPerPage=2":                                "43",
		"itemsPerPage=2&pageNum=2":                      "21",
		"itemsPerPage=2&pageNum=3":                      "0",
		"itemsPerPage=2&pageNum=9":                      "",
	} {
		for _, count := range []string{"true", "false"} {
			status, body := r.get(t, "/groups/"+groupID+"/events?includeRaw=true&includeCount="+count+"&"+query)
			var page atlas.Page[struct{ Raw struct{ N int } }]
			if err := json.Unmarshal([]byte(body), &page); err != nil || status != 200 {
				t.Fatalf("%s: %d %s", query, status, body)
			}
			var got strings.Builder
			for _, e := range page.Results {
				got.WriteString(strconv.Itoa(e.Raw.N))
			}
			if got.String() != want {
				t.Errorf("%s lists %q, want %q (includeCount=%s)", query, got.String(), want, count)
			}
			if counted := strings.Contains(body, "totalCount"); counted != (count == "true") {
				t.Errorf("%s: there is a count: %t (includeCount=%s)", query, counted, count)
			}
		}
	}
}

func TestEvents_RefuseFiltersThatMeanNothing(t *testing.T) {
	r := newRig(t)
	for query, code := range map[string]string{
		"eventType=cluster%20created": "INVALID_ENUM_VALUE", "excludedEventType=<b>": "INVALID_ENUM_VALUE", "minDate=yesterday": "INVALID_QUERY_PARAMETER",
		"maxDate=2026-13-01": "INVALID_QUERY_PARAMETER", "includeRaw=perhaps": "INVALID_QUERY_PARAMETER", "pageNum=x": "INVALID_QUERY_PARAMETER",
	} {
		if status, body := r.get(t, "/groups/"+groupID+"/events?"+query); status != 400 || !strings.Contains(body, code) {
			t.Errorf("%s answers %d %s", query, status, body)
		}
	}
}

func TestEvents_LeaveTheCountOutForTheCommandLineClient(t *testing.T) {
	r := newRig(t)
	r.add(t, audit.Event{Type: "ORG_CREATED", Actor: audit.System()})
	r.add(t, audit.Event{Type: "ORG_SETTINGS_UPDATED", Actor: audit.System()})
	_, body := r.get(t, "/orgs/"+orgID+"/events?includeCount=false&itemsPerPage=1")
	if strings.Contains(body, "totalCount") || !strings.Contains(body, `"rel":"next"`) || !strings.Contains(body, "ORG_SETTINGS_UPDATED") {
		t.Error(body)
	}
}

func TestEvents_ThatAreNotThereAre404(t *testing.T) {
	r := newRig(t)
	ofGroup := r.add(t, audit.Event{Type: "GROUP_CREATED", GroupID: groupID, Actor: key})
	for path, code := range map[string]string{
		"/groups/" + groupID + "/events/650000000000000000000099": "EVENT_NOT_FOUND", "/groups/" + groupID + "/events/nonsense": "EVENT_NOT_FOUND",
		"/orgs/" + orgID + "/events/" + ofGroup.ID: "EVENT_NOT_FOUND", "/groups/" + closedID + "/events": "GROUP_NOT_FOUND",
		"/groups/" + closedID + "/events/" + ofGroup.ID: "GROUP_NOT_FOUND",
	} {
		if status, body := r.get(t, path); status != 404 || !strings.Contains(body, code) {
			t.Errorf("%s answers %d %s", path, status, body)
		}
	}
}

func TestEvents_AreDecodedByTheOfficialSDK(t *testing.T) {
	r := newRig(t)
	e := r.add(t, audit.Event{Type: "GROUP_CREATED", GroupID: groupID, Actor: key})
	o := r.add(t, audit.Event{Type: "ORG_CREATED", Actor: audit.System()})
	client, err := admin.NewClient(admin.UseBaseURL(r.url))
	if err != nil {
		t.Fatal(err)
	}
	list, _, err := client.EventsApi.ListGroupEvents(t.Context(), groupID).EventType([]string{"GROUP_CREATED", "X"}).
		MinDate(e.Created).MaxDate(e.Created.Add(time.Second)).IncludeRaw(true).Execute()
	if err != nil || list.GetTotalCount() != 1 || list.GetResults()[0].GetPublicKey() != "abcdefgh" || list.GetResults()[0].Raw.GetT() != "GROUP_CREATED" {
		t.Errorf("%+v, %v", list, err)
	}
	one, _, err := client.EventsApi.GetOrgEvent(t.Context(), orgID, o.ID).Execute()
	if err != nil || one.GetEventTypeName() != "ORG_CREATED" {
		t.Errorf("%+v, %v", one, err)
	}
	types, _, err := client.EventsApi.ListEventTypes(t.Context()).ItemsPerPage(500).Execute()
	if err != nil || types.GetTotalCount() != len(auditapi.EventTypes()) {
		t.Errorf("%+v, %v", types, err)
	}
}

func TestEventTypes_AreDistinctAndDescribed(t *testing.T) {
	alertable := map[audit.Type]bool{}
	seen := map[audit.Type]bool{}
	for _, e := range auditapi.EventTypes() {
		if seen[e.Type] || e.Description == "" {
			t.Errorf("%+v", e)
		}
		seen[e.Type] = true
		if e.Alertable {
			alertable[e.Type] = true
		}
	}
	for _, must := range []audit.Type{
		"AWS_ENCRYPTION_KEY_NEEDS_ROTATION", "AZURE_ENCRYPTION_KEY_INVALID", "ENCRYPTION_AT_REST_KMS_NETWORK_ACCESS_DENIED",
		"ENCRYPTION_AT_REST_CONFIG_NO_LONGER_VALID", "MAINTENANCE_IN_ADVANCED",
	} {
		if !alertable[must] {
			t.Errorf("%s is not alertable", must)
		}
	}
	for _, raises := range alert.Types() {
		if !alertable[raises] {
			t.Errorf("%s raises alerts and is not alertable", raises)
		}
	}
	if len(alertable) != len(alert.Types()) {
		t.Errorf("%d types are alertable, %d raise alerts", len(alertable), len(alert.Types()))
	}
}
