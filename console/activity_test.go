package console_test

import (
	"net/http"
	"net/url"
	"strconv"
	"testing"
)

const activityPage = overview + "/activity"

func (w *world) feed(events ...any) {
	w.api.set("GET "+groupAPI+"/events", listed(events...))
}

func TestActivity_tellsWhoDidWhatAndWhereItIs(t *testing.T) {
	t.Parallel()
	w := alertsWorld(t)
	const roleID = "32b6e34b3d91647abb20e7f1"
	w.feed(
		event("CLUSTER_CREATED", "2026-05-01T11:00:00Z", object{
			"publicKey": "abcdefgh", "remoteAddress": "198.51.100.7", "clusterName": "c 1",
			"raw": object{"_t": "CLUSTER_CREATED", "cid": groupID, "clusterId": "32b6e34b3d91647abb20e7f9", "encryptionAtRestProvider": "AWS", "changes": []any{"paused", "size"}},
		}),
		event("ENCRYPTION_AT_REST_CONFIG_NO_LONGER_VALID", "2026-05-01T10:00:00Z", object{"raw": object{"key": "projects/p/k", "reason": "KEY_DISABLED", "providerCode": ""}}),
		event("CLOUD_PROVIDER_ACCESS_AWS_IAM_ROLE_ADDED", "2026-05-01T09:00:00Z", object{"username": "mdb_sa_id_1", "raw": object{"roleId": roleID}}),
		event("ENCRYPTION_AT_REST_PRIVATE_ENDPOINT_FAILED", "2026-05-01T08:00:00Z", object{"endpointId": "32b6e34b3d91647abb20e7f2", "raw": object{"provider": "AZURE", "errorMessage": "No quota."}}),
		event("ALERT_ACKNOWLEDGED_AUDIT", "2026-05-01T07:00:00Z", object{"alertId": alertID, "alertConfigId": configID}),
		event("ALERT_CONFIG_CHANGED_AUDIT", "2026-05-01T07:00:00Z", object{"alertConfigId": configID}),
		event("MAINTENANCE_STARTED", "2026-05-01T06:00:00Z", object{"raw": object{"start": "2026-05-01T05:00:00Z", "numberOfDeferrals": 1}}),
	)
	page := w.get(activityPage)
	page.shows(t, "A cluster was created", "<code>abcdefgh</code>", "API key", "from 198.51.100.7", `href="`+overview+`/clusters/c%201"`, "paused, size", "AWS KMS",
		"the key is disabled (KEY_DISABLED)", advanced+"#key-GCP", "service account", overview+"/roles/"+roleID, advanced+"/AZURE/endpoints", "No quota.",
		alertsPage+"/"+alertID, configsPage+"/"+configID, overview+"/maintenance", "Deferred so often", `datetime="2026-05-01T05:00:00Z"`, "Alert acknowledged audit")
	page.hides(t, "Code of the provider", "hx-trigger", ">_t<", `name="cluster" required`)
	if q, _ := url.ParseQuery(w.api.query("GET " + groupAPI + "/events")); q.Get("includeRaw") != "true" || q.Get("includeCount") != "false" || q.Has("eventType") {
		t.Errorf("it asks for %v", q)
	}
}

func TestActivity_isFilteredByTheAddress(t *testing.T) {
	t.Parallel()
	w := alertsWorld(t)
	w.api.set("GET "+ownAPI+"/clusters", listed(object{"name": "c1"}))
	w.feed()
	page := w.get(activityPage + "?area=keys&type=CLUSTER_CREATED&cluster=gone&from=2026-05-01T10:00&to=2026-05-01T12:00&page=3")
	page.shows(t, "Nothing was found", `value="keys" checked`, `value="CLUSTER_CREATED" checked`, `<option value="gone" selected>`, `value="2026-05-01T10:00"`, `value="c1"`)
	q, err := url.ParseQuery(w.api.query("GET " + groupAPI + "/events"))
	if err != nil {
		t.Fatal(err)
	}
	equal(t, url.Values{
		"eventType":  {keyInvalid, "AWS_ENCRYPTION_KEY_NEEDS_ROTATION", "ENCRYPTION_AT_REST_CONFIG_NO_LONGER_VALID", "ENCRYPTION_AT_REST_KEY_EXPIRING", "CLUSTER_CREATED"},
		"includeRaw": {"true"}, "includeCount": {"false"}, "clusterNames": {"gone"}, "minDate": {"2026-05-01T10:00"}, "maxDate": {"2026-05-01T12:00"},
		"pageNum": {"3"}, "itemsPerPage": {"25"},
	}, q)
	w.api.set("GET "+groupAPI+"/events", object{"results": []any{event("CLUSTER_CREATED", "2026-05-01T11:00:00Z", nil)}, "links": []any{object{"rel": "next", "href": "x"}}})
	w.get(activityPage+"?cluster=c1&page=2").shows(t, activityPage+"?cluster=c1&amp;page=1", activityPage+"?cluster=c1&amp;page=3")
	w.api.set("GET "+groupAPI+"/events", refused{400, "INVALID_QUERY_PARAMETER", "An invalid query parameter minDate was specified.", ""})
	page = w.get(activityPage + "?from=yesterday")
	page.shows(t, `id="f-from-error"`, `value="yesterday"`, "INVALID_QUERY_PARAMETER")
	w.api.set("GET "+groupAPI+"/events", refused{503, "SERVICE_UNAVAILABLE", "Later.", ""})
	if a := w.get(activityPage); a.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("without the API it is answered %d", a.StatusCode)
	}
}

func TestActivity_findsWhatSomebodyDid(t *testing.T) {
	t.Parallel()
	w := alertsWorld(t)
	var events []any
	for i := range 60 {
		e := event("CLUSTER_CREATED", "2026-05-01T11:00:00Z", object{"clusterName": "c" + strconv.Itoa(i) + "."})
		if i%2 == 0 {
			e["publicKey"] = "abcdefgh"
		}
		events = append(events, e)
	}
	w.feed(events...)
	page := w.get(activityPage + "?who=abcdefgh")
	page.shows(t, "Cluster c0.", "Cluster c48.", "Older")
	page.hides(t, "Cluster c1.", "Cluster c50.", "Newer")
	page = w.get(activityPage + "?who=abcdefgh&page=2")
	page.shows(t, "Cluster c50.", "Cluster c58.", "Newer")
	page.hides(t, "Cluster c48.", "Older")
	w.get(activityPage+"?who=Latchkey").shows(t, "Cluster c1.")
	w.get(activityPage+"?who=somebody").shows(t, "Nothing was found")
	w.api.set("GET "+groupAPI+"/events", object{"results": append(events, make([]any, 440)...), "links": []any{object{"rel": "next", "href": "x"}}})
	w.get(activityPage+"?who=somebody").shows(t, "Only the newest 2000 events")
}

func TestActivity_ofAnOrganisationLeadsToItsProjects(t *testing.T) {
	t.Parallel()
	w := alertsWorld(t)
	org := "/api/atlas/v2/orgs/" + orgID
	w.api.set("GET "+org, object{"id": orgID, "name": "Acme"})
	w.api.set("GET "+org+"/events", listed(event("GROUP_CREATED", "2026-05-01T11:00:00Z", object{"raw": object{"groupId": groupID, "groupName": evil}})))
	page := w.get("/console/orgs/" + orgID + "/activity")
	page.shows(t, "Activity of Acme", `href="`+overview+`"`)
	page.hides(t, `name="cluster"`, "<script>alert")
	w.get("/console/orgs").shows(t, `href="/console/orgs/`+orgID+`/activity"`)
}

func TestActivity_escapesWhatOthersWrote(t *testing.T) {
	t.Parallel()
	w := alertsWorld(t)
	w.api.set("GET "+ownAPI+"/clusters", listed(object{"name": evil}))
	w.feed(event(evil, evil, object{
		"publicKey": evil, "remoteAddress": evil, "clusterName": evil, "alertId": evil, "endpointId": evil, "id": evil,
		"raw": object{evil: evil, "key": evil, "provider": evil, "roleId": evil, "list": []any{evil}, "map": object{evil: evil}, "reason": evil},
	}))
	page := w.get(activityPage + "?who=" + url.QueryEscape(evil) + "&cluster=" + url.QueryEscape(evil) + "&from=" + url.QueryEscape(evil))
	page.hides(t, "<script>alert")
	page.shows(t, "&lt;script&gt;")
}

func TestWorkflows_showWhatRunsAndWhatHasEnded(t *testing.T) {
	t.Parallel()
	w := alertsWorld(t)
	running := object{
		"kind": "rotate-key", "execution": "rotate-key-1", "attempt": 2, "status": "RUNNING", "cloudProvider": "GCP", "beganAt": "2026-05-01T11:00:00Z",
		"startedAt": "2026-05-01T11:30:00Z", "waitsFor": "NODES", "olderStepsOmitted": true, "steps": []any{
			object{"state": "Advance change", "enteredAt": "2026-05-01T11:30:00Z", "exitedAt": "2026-05-01T11:30:05Z", "attempts": 3, "error": "TASK_TIMED_OUT"},
			object{"state": "Wait for nodes", "enteredAt": "2026-05-01T11:30:05Z", "exitedAt": nil, "attempts": 0, "error": nil},
		},
	}
	ended := object{
		"kind": "encrypt-cluster", "execution": "encrypt-1", "attempt": nil, "status": "FAILED", "clusterName": "c1", "error": "PLAN_STALLED",
		"beganAt": "2026-05-01T09:00:00Z", "stoppedAt": "2026-05-01T10:00:00Z", "steps": []any{object{"state": "Plan stalled", "enteredAt": "2026-05-01T10:00:00Z", "exitedAt": nil}},
	}
	endpoint := object{"kind": "private-endpoint", "execution": "e-1", "status": "NOT_STARTED", "cloudProvider": "AZURE", "endpointId": "e1", "waitsFor": "CLOUD", "steps": []any{}}
	w.api.set("GET "+ownAPI+"/workflows", listed(running, endpoint, ended))
	page := w.get(activityPage + "/workflows")
	page.shows(t, "Use another key", "Running", "It waits for nodes", "execution 2 of this work", advanced+"#key-GCP", "3 attempts", "TASK_TIMED_OUT", "5 seconds",
		"Older steps are left out", "About to start", advanced+"/AZURE/endpoints", "Failed", "PLAN_STALLED", overview+"/clusters/c1",
		`hx-trigger="every 5s"`, activityPage+"/workflows/state?page=1", `id="steps-encrypt-1-ended" hx-preserve`, `id="steps-rotate-key-1" open`)
	w.api.set("GET "+ownAPI+"/workflows", listed(ended))
	w.get(activityPage+"/workflows/state?page=1").hides(t, "hx-trigger")
	w.api.set("GET "+ownAPI+"/workflows", listed())
	w.get(activityPage+"/workflows").shows(t, "Nothing runs")
	w.api.set("GET "+ownAPI+"/workflows", listed(object{"kind": evil, "execution": evil, "status": evil, "error": evil, "clusterName": evil, "steps": []any{object{"state": evil, "enteredAt": evil, "error": evil}}}))
	w.get(activityPage+"/workflows").hides(t, "<script>alert")
}
