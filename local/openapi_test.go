package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mongodb-forks/digest"
	"go.mongodb.org/atlas-sdk/v20250312018/admin"

	"latchkey/local/pocket"
	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/httpapi/openapitest"
	suites "latchkey/shared/suite"
)

// described is an estate of which every request, and every answer to one, is held against the
// description of the API: those of tests, of official clients and of agents.
type described struct {
	*estate

	doc    *openapitest.Description
	served http.Handler      // the gateway
	known  map[string]string // what {name} stands for in paths and bodies
}

// step is a request, and the status that it is answered.
type step struct {
	want               int
	at                 string // the version; "" for operations that have none
	method, path, body string
	// keep is what to remember of the answer: "name=member.member".
	keep string
}

// Everything that is served is described, and everything that is described is served, as it is described:
// one run through all there is to ask for.
func TestOpenAPI_isTrueOfEveryAnswer(t *testing.T) {
	inEstate(t, func(e *estate) {
		d := describe(e)
		for _, topic := range [][]step{
			serviceSteps(), orgSteps(), projectSteps(), keySteps(), accountSteps(), accessSteps(), encryptionSteps(), configSteps(),
		} {
			d.follow(topic)
		}
		d.authorize()
		d.alerted()
		d.maintained()
		d.connected()
		d.clustered()
		d.follow(eventSteps())
		d.strangers()
		d.hostile()
		d.refusedAgents()
		for _, what := range d.doc.Missing() {
			t.Errorf("never exercised: %s", what)
		}
	})
}

// describe holds everything against the description that happens in an estate from now on.
func describe(e *estate) *described {
	e.t.Helper()
	doc, err := openapitest.Load("../docs/openapi.yaml")
	e.must(err)
	report := func(err error) { e.t.Error(err) }
	d := &described{estate: e, doc: doc, served: doc.Around(e.suite.gateway, report), known: map[string]string{
		"group": e.owner.GroupID, "org": e.owner.OrgID, "role": e.key.roleID, "none": "650000000000000000000099",
	}}
	e.net.Reach(doc.Around(e.suite.nodes, report))
	e.client = e.running.client(admin.UseHTTPClient(&http.Client{Transport: d.as(e.owner.PublicKey, e.owner.PrivateKey)}))
	return d
}

// as authenticates with an API key.
func (d *described) as(publicKey, privateKey string) http.RoundTripper {
	return digest.NewTransportWithHTTPRoundTripper(publicKey, privateKey, pocket.Transport(d.served))
}

// fill replaces {name} by what it stands for.
func (d *described) fill(text string) string {
	for name, value := range d.known {
		text = strings.ReplaceAll(text, "{"+name+"}", value)
	}
	return text
}

// follow takes steps with the owner's API key.
func (d *described) follow(steps []step) {
	d.t.Helper()
	owner := d.as(d.owner.PublicKey, d.owner.PrivateKey)
	for _, s := range steps {
		d.take(owner, s)
	}
}

// take takes one step, and returns the answer.
func (d *described) take(way http.RoundTripper, s step) string {
	d.t.Helper()
	req, err := http.NewRequestWithContext(d.t.Context(), s.method, "http://127.0.0.1"+d.fill(s.path), strings.NewReader(d.fill(s.body)))
	d.must(err)
	media := "application/json"
	if s.at != "" {
		media = "application/vnd.atlas." + s.at + "+json"
	}
	req.Header.Set("Accept", media)
	if s.body != "" {
		req.Header.Set("Content-Type", media)
	}
	return d.send(way, req, s)
}

func (d *described) send(way http.RoundTripper, req *http.Request, s step) string {
	d.t.Helper()
	resp, err := way.RoundTrip(req)
	d.must(err)
	defer resp.Body.Close() //nolint:errcheck // read below
	body, err := io.ReadAll(resp.Body)
	d.must(err)
	if resp.StatusCode != s.want {
		d.t.Errorf("%s %s %s at %q is answered %d, want %d\n%s", s.method, d.fill(s.path), s.body, s.at, resp.StatusCode, s.want, body)
		return string(body)
	}
	if name, path, keeps := strings.Cut(s.keep, "="); keeps {
		d.known[name] = pick(body, path)
	}
	return string(body)
}

// pick is a member of an answer; numbers select from lists.
func pick(body []byte, path string) string {
	var v any
	if json.Unmarshal(body, &v) != nil {
		return ""
	}
	for name := range strings.SplitSeq(path, ".") {
		switch in := v.(type) {
		case map[string]any:
			v = in[name]
		case []any:
			if i, err := strconv.Atoi(name); err == nil && i < len(in) {
				v = in[i]
			}
		}
	}
	return fmt.Sprint(v)
}

// authorize gets a token for the service account that is left, uses it and gives it back.
func (d *described) authorize() {
	d.t.Helper()
	plain := pocket.Transport(d.served)
	form := func(path string, want int, values url.Values, keep string) {
		d.t.Helper()
		req, err := http.NewRequestWithContext(d.t.Context(), http.MethodPost, "http://127.0.0.1"+path, strings.NewReader(values.Encode()))
		d.must(err)
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(d.known["client"]+":"+d.known["secret"])))
		d.send(plain, req, step{want: want, method: http.MethodPost, path: path, keep: keep})
	}
	form("/api/oauth/token", http.StatusOK, url.Values{"grant_type": {"client_credentials"}}, "token=access_token")
	form("/api/oauth/token", http.StatusBadRequest, url.Values{"grant_type": {"password"}}, "")
	bearer := func(want int) {
		d.t.Helper()
		req, err := http.NewRequestWithContext(d.t.Context(), http.MethodPatch, d.fill("http://127.0.0.1"+inGroup+"/encryptionAtRest"), strings.NewReader("{}"))
		d.must(err)
		req.Header.Set("Authorization", "Bearer "+d.known["token"])
		req.Header.Set("Accept", "application/vnd.atlas.2023-01-01+json")
		d.send(plain, req, step{want: want, method: http.MethodPatch, path: inGroup + "/encryptionAtRest"})
	}
	bearer(http.StatusUnauthorized) // it may only read
	form("/api/oauth/revoke", http.StatusOK, url.Values{"token": {d.known["token"]}}, "")
	form("/api/oauth/revoke", http.StatusBadRequest, url.Values{}, "")
	bearer(http.StatusUnauthorized) // it opens nothing
	d.known["secret"] = "wrong"
	form("/api/oauth/token", http.StatusUnauthorized, url.Values{"grant_type": {"client_credentials"}}, "")
	form("/api/oauth/revoke", http.StatusUnauthorized, url.Values{"token": {"x"}}, "")
}

// alerted raises an alert, acknowledges it and ends it.
func (d *described) alerted() {
	d.t.Helper()
	const one = inGroup + "/alerts/{alert}"
	d.key.take()
	d.validate()
	d.until("the alert is open", func() bool { return len(d.alerts("OPEN")) > 0 })
	d.follow([]step{
		{200, "2023-01-01", "GET", inGroup + "/alerts?status=OPEN", "", "alert=results.0.id"},
		{200, "2023-01-01", "GET", one, "", ""},
		{200, "2023-01-01", "GET", one + "/alertConfigs", "", ""},
		{200, "2023-01-01", "GET", inGroup + "/alertConfigs/{config}/alerts", "", ""},
		{200, "2024-05-30", "PATCH", one, `{"acknowledgedUntil":"2199-01-01T00:00:00Z","acknowledgementComment":"known"}`, ""},
		{400, "2024-05-30", "PATCH", one, `{"acknowledgedUntil":"1999-01-01T00:00:00Z"}`, ""},
		{200, "2023-01-01", "PATCH", one, `{}`, ""},
		{200, "", "POST", "/api/latchkey/v1/groups/{group}/encryptionAtRest/validate", "", ""},
	})
	d.key.give()
	d.validate()
	d.until("the alert is closed", func() bool { return len(d.alerts("OPEN")) == 0 })
	d.follow([]step{{200, "2023-01-01", "GET", one, "", ""}})
}

// maintained sets a window, and defers what was announced for it.
func (d *described) maintained() {
	d.t.Helper()
	const window, notice = inGroup + "/maintenanceWindow", 72 * time.Hour
	start := time.Now().UTC().Add(notice + 2*time.Hour)
	d.known["window"] = fmt.Sprintf(`{"dayOfWeek":%d,"hourOfDay":%d,"protectedHours":{"startHourOfDay":%d,"endHourOfDay":%d}}`,
		int(start.Weekday())+1, start.Hour(), (start.Hour()+2)%24, (start.Hour()+4)%24)
	d.follow([]step{
		{200, "2023-01-01", "GET", window, "", ""},
		{400, "2023-01-01", "POST", window + "/autoDefer", "", ""},
		{200, "2023-01-01", "PATCH", window, "{window}", ""},
		{400, "2023-01-01", "PATCH", window, `{"dayOfWeek":8}`, ""},
		{200, "2023-01-01", "GET", window, "", ""},
		{200, "2023-01-01", "POST", window + "/autoDefer", "", ""},
		{200, "2023-01-01", "POST", window + "/autoDefer", "", ""},
		{400, "2023-01-01", "POST", window + "/defer", "", ""},
	})
	const what = "a test"
	windows := suites.Maintenance(suites.AlertDeps{Table: d.suite.table, Journal: audit.Journal{Table: d.suite.table, Now: time.Now}, Now: time.Now})
	_, err := windows.Plan(d.t.Context(), d.owner.GroupID, what, start.Add(time.Hour), start.AddDate(0, 1, 0))
	d.must(err)
	time.Sleep(2*time.Hour + time.Minute) // it is announced
	d.follow([]step{{200, "2023-01-01", "POST", window + "/defer", "", ""}, {200, "2023-01-01", "GET", window, "", ""}})
	d.must(windows.Drop(d.t.Context(), d.owner.GroupID, what))
	d.follow([]step{{204, "2023-01-01", "DELETE", window, "", ""}})
}

// connected makes a private endpoint and takes it away.
func (d *described) connected() {
	d.t.Helper()
	const settings, all = inGroup + "/encryptionAtRest", inGroup + "/encryptionAtRest/AWS/privateEndpoints"
	d.follow([]step{
		{400, "2023-01-01", "POST", all, `{"regionName":"US_EAST_1"}`, ""},
		{200, "2023-01-01", "PATCH", settings, `{"awsKms":{"requirePrivateNetworking":true}}`, ""},
		{202, "2023-01-01", "POST", all, `{"regionName":"US_EAST_1"}`, "endpoint=id"},
		{409, "2023-01-01", "POST", all, `{"regionName":"US_EAST_1"}`, ""},
		{400, "2023-01-01", "POST", all, `{"regionName":"NOWHERE"}`, ""},
		{400, "2023-01-01", "DELETE", all + "/{endpoint}", "", ""},
		{200, "2023-01-01", "GET", all, "", ""},
		{400, "2023-01-01", "GET", inGroup + "/encryptionAtRest/GCP/privateEndpoints", "", ""},
		{200, "2023-01-01", "GET", inGroup + "/encryptionAtRest/AZURE/privateEndpoints", "", ""},
		{404, "2023-01-01", "GET", all + "/{none}", "", ""},
	})
	w := ways{d.estate, "AWS", "US_EAST_1"}
	w.await(d.known["endpoint"], "ACTIVE", lag)
	d.follow([]step{
		{200, "2023-01-01", "GET", all + "/{endpoint}", "", ""},
		{400, "2023-01-01", "PATCH", settings, `{"awsKms":{"enabled":false}}`, ""},
		{204, "2023-01-01", "DELETE", all + "/{endpoint}", "", ""},
	})
	w.await(d.known["endpoint"], "GONE", time.Hour)
	d.follow([]step{{200, "2023-01-01", "PATCH", settings, `{"awsKms":{"requirePrivateNetworking":false}}`, ""}})
}

// strangers ask for everything of a project and an organisation that are not theirs.
func (d *described) strangers() {
	d.t.Helper()
	owner := d.as(d.owner.PublicKey, d.owner.PrivateKey)
	for _, op := range d.doc.Operations() {
		for _, place := range []string{"{groupId}", "{orgId}"} {
			if strings.Contains(op.Path, place) {
				s := step{want: http.StatusUnauthorized, method: op.Method, path: d.located(strings.Replace(op.Path, place, "{none}", 1))}
				if len(op.Versions) > 0 {
					s.at = string(op.Versions[0])
				}
				d.take(owner, s)
			}
		}
	}
}

// hostile sends what is no body, or a wrong one, to whatever takes one.
func (d *described) hostile() {
	d.t.Helper()
	owner := d.as(d.owner.PublicKey, d.owner.PrivateKey)
	bodies := []string{
		`{`, `7`, `"x"`, `[7]`, `[{"roles":7}]`, `{"name":7,"desc":7,"roles":7,"value":"x","eventTypeName":7,"enabled":"x","awsKms":7,"policies":7,"acknowledgedUntil":7,` +
			`"noTableScan":7,"isDataExplorerEnabled":7}`,
		`{"name":"` + strings.Repeat("n", 300) + `","desc":"` + strings.Repeat("d", 300) + `","roles":["` + strings.Repeat("R", 300) + `"],"orgId":"x","providerName":"x",` +
			`"retentionInDays":-1,"retentionUnit":"x","retentionValue":0,"deliveryType":"x","dayOfWeek":-1,"eventTypeName":"x y","secretExpiresAfterHours":1,"regionName":"x",` +
			`"tags":[{"key":"","value":""}],"labels":[{"key":"","value":""}],"replicationSpecs":[{}],"providerSettings":{},"diskWarmingMode":"x","acknowledgedUntil":"x",` +
			`"awsKms":{"region":"x"},"azureKeyVault":{"tenantID":"x"},"googleCloudKms":{"keyVersionResourceID":"x"},"referenceHourOfDay":-1,"restoreWindowDays":-1,"value":-1,` +
			`"oplogSizeMB":-1,"isDataExplorerEnabled":7}`,
		strings.Repeat(" ", 1<<20) + `{}`,
	}
	for _, op := range d.doc.Operations() {
		if !op.HasBody || strings.HasPrefix(op.Path, "/api/latchkey/v1/nodes") || strings.HasPrefix(op.Path, "/api/latchkey/v1/enrol") {
			continue // agents' are sent worse in the tests of their function
		}
		versions := op.Versions
		if len(versions) == 0 {
			versions = []atlas.Version{""}
		}
		for _, version := range versions {
			for _, body := range bodies {
				d.sendHostile(owner, op, version, body)
			}
		}
	}
}

func (d *described) sendHostile(way http.RoundTripper, op openapitest.Operation, version atlas.Version, body string) {
	d.t.Helper()
	req, err := http.NewRequestWithContext(openapitest.Hostile(d.t.Context()), op.Method, "http://127.0.0.1"+d.located(op.Path), strings.NewReader(body))
	d.must(err)
	req.Header.Set("Accept", "application/vnd.atlas."+string(version)+"+json")
	resp, err := way.RoundTrip(req)
	d.must(err)
	if resp.StatusCode < http.StatusBadRequest || resp.StatusCode >= http.StatusInternalServerError {
		d.t.Errorf("%s %s at %s is answered %d to %.100s", op.Method, req.URL.Path, version, resp.StatusCode, body)
	}
	d.must(resp.Body.Close())
}

// located is a path with its parameters filled in by what there is, or was.
func (d *described) located(path string) string {
	for parameter, value := range map[string]string{
		"groupId": "{group}", "orgId": "{org}", "clusterName": "A", "name": "A", "groupName": "none", "limitName": "atlas.project.deployment.clusters",
		"apiUserId": "{groupKey}", "clientId": "{client}", "secretId": "{none}", "cloudProvider": "AWS", "endpointId": "{none}", "roleId": "{role}",
		"containerId": "{container}", "processId": "{process}", "snapshotId": "{snapshot}", "restoreJobId": "{job}", "alertId": "{alert}",
		"alertConfigId": "{config}", "eventId": "{event}", "endpointSetId": "clusters",
	} {
		path = strings.ReplaceAll(path, "{"+parameter+"}", value)
	}
	return d.fill(path)
}

// refusedAgents asks for everything that agents do without being one.
func (d *described) refusedAgents() {
	d.t.Helper()
	nodes := d.doc.Around(d.suite.nodes, func(err error) { d.t.Error(err) })
	for _, path := range []string{"heartbeat", "wrap", "release", "rewrap", "keep", "adopt", "ack"} {
		r := httptest.NewRequestWithContext(d.t.Context(), http.MethodPost, "/api/latchkey/v1/nodes/"+path, strings.NewReader("{}"))
		r.Header.Set("Content-Type", "application/json")
		answer := httptest.NewRecorder()
		nodes.ServeHTTP(answer, r)
		if answer.Code != http.StatusUnauthorized {
			d.t.Errorf("%s without a token is answered %d %s", path, answer.Code, answer.Body)
		}
	}
}

// settled waits until some clusters are done with everything.
func (d *described) settled(names ...string) {
	d.t.Helper()
	d.until(strings.Join(names, ", ")+" are done", func() bool {
		return !slices.ContainsFunc(names, func(name string) bool { return d.state(name) != "IDLE" || !d.answers(name) })
	})
}
