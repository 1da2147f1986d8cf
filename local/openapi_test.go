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

const (
	v1, v2     = "/api/atlas/v1.0", "/api/atlas/v2"
	inGroup    = v2 + "/groups/{group}"
	inOrg      = v2 + "/orgs/{org}"
	clustersAt = inGroup + "/clusters"
)

func serviceSteps() []step {
	return []step{
		{200, "2023-01-01", "GET", v2, "", ""},
		{406, "", "GET", v2, "", ""},
		{406, "2022-12-31", "GET", v2, "", ""},
		{200, "2023-11-15", "GET", v2 + "/unauth/controlPlaneIPAddresses", "", ""},
		{200, "2025-03-12", "GET", v2 + "/rateLimits?pretty=true&itemsPerPage=3&pageNum=2&includeCount=false", "", ""},
		{200, "2025-03-12", "GET", v2 + "/rateLimits?groupId={group}&name=Clusters&envelope=true", "", ""},
		{404, "2025-03-12", "GET", v2 + "/rateLimits?groupId=nonsense", "", ""},
		{401, "2025-03-12", "GET", v2 + "/rateLimits?userId=somebody", "", ""},
		{200, "2025-03-12", "GET", v2 + "/rateLimits/clusters?envelope=true", "", ""},
		{404, "2025-03-12", "GET", v2 + "/rateLimits/none", "", ""},
		{404, "2023-01-01", "GET", v2 + "/nothing", "", ""},
		{405, "2023-01-01", "DELETE", v2 + "/orgs/{org}", "", ""},
		{200, "", "GET", "/api/private/ipinfo", "", ""},
		{200, "", "GET", "/api/private/unauth/nds/defaultMongoDBMajorVersion", "", ""},
		{204, "", "POST", "/api/private/v1.0/telemetry/events", "[]", ""},
		{204, "", "POST", "/api/private/unauth/telemetry/events", "[]", ""},
	}
}

func orgSteps() []step {
	return []step{
		{200, "2023-01-01", "GET", v2 + "/orgs?name=", "", ""},
		{200, "2023-01-01", "GET", inOrg, "", ""},
		{401, "2023-01-01", "GET", v2 + "/orgs/{none}", "", ""},
		{404, "2023-01-01", "GET", v2 + "/orgs/nonsense", "", ""},
		{200, "2023-01-01", "GET", inOrg + "/groups", "", ""},
		{400, "2023-01-01", "GET", inOrg + "/groups?itemsPerPage=501", "", ""},
		{200, "2023-01-01", "GET", inOrg + "/settings", "", ""},
		{200, "2023-01-01", "GET", inOrg + "/users", "", ""},
		{200, "2025-02-19", "GET", inOrg + "/users?orgMembershipStatus=ACTIVE", "", ""},
		{400, "2025-02-19", "GET", inOrg + "/users?orgMembershipStatus=GONE", "", ""},
	}
}

func projectSteps() []step {
	const other = v2 + "/groups/{other}"
	return []step{
		{200, "2023-01-01", "GET", v2 + "/groups", "", ""},
		{201, "2023-01-01", "POST", v2 + "/groups", `{"name":"other","orgId":"{org}","tags":[{"key":"k","value":"v"}]}`, "other=id"},
		{409, "2023-01-01", "POST", v2 + "/groups", `{"name":"other","orgId":"{org}"}`, ""},
		{400, "2023-01-01", "POST", v2 + "/groups", `{"name":"other"}`, ""},
		{400, "2023-01-01", "POST", v2 + "/groups", `{"name":"<other>","orgId":"{org}"}`, ""},
		{400, "2023-01-01", "POST", v2 + "/groups", `{"name":`, ""},
		{400, "2023-01-01", "POST", v2 + "/groups", `{"name":7}`, ""},
		{400, "2023-01-01", "POST", v2 + "/groups", `[]`, ""},
		{200, "2023-01-01", "GET", v2 + "/groups/byName/other", "", ""},
		{404, "2023-01-01", "GET", v2 + "/groups/byName/nobody's", "", ""},
		{200, "2023-01-01", "GET", other, "", ""},
		{404, "2023-01-01", "GET", v2 + "/groups/nonsense", "", ""},
		{401, "2023-01-01", "GET", v2 + "/groups/{none}", "", ""},
		{200, "2023-01-01", "PATCH", other, `{"name":"another","tags":[]}`, ""},
		{400, "2023-01-01", "PATCH", other, `{"tags":[{"key":"","value":""}]}`, ""},
		{200, "2023-01-01", "GET", inGroup + "/users?includeOrgUsers=true", "", ""},
		{200, "2025-02-19", "GET", inGroup + "/users?includeOrgUsers=true&username=x", "", ""},
		{200, "2025-02-19", "GET", inGroup + "/users", "", ""},
		{200, "2023-01-01", "GET", inGroup + "/teams", "", ""},
		{200, "2023-01-01", "GET", inGroup + "/accessList", "", ""},
		{200, "2023-01-01", "GET", inGroup + "/ipAddresses", "", ""},
		{200, "2023-01-01", "GET", inGroup + "/settings", "", ""},
		{200, "2023-01-01", "PATCH", inGroup + "/settings", `{"isSchemaAdvisorEnabled":true}`, ""},
		{200, "2023-01-01", "GET", inGroup + "/managedSlowMs", "", ""},
		{204, "2023-01-01", "DELETE", inGroup + "/managedSlowMs/disable", "", ""},
		{204, "2023-01-01", "POST", inGroup + "/managedSlowMs/enable", "", ""},
		{200, "2023-01-01", "GET", inGroup + "/limits", "", ""},
		{200, "2023-01-01", "GET", inGroup + "/limits/atlas.project.deployment.clusters", "", ""},
		{400, "2023-01-01", "GET", inGroup + "/limits/nonsense", "", ""},
		{404, "2023-01-01", "GET", inGroup + "/limits/dataFederation.bytesProcessed.query", "", ""},
		{200, "2023-01-01", "PATCH", inGroup + "/limits/dataFederation.bytesProcessed.query", `{"value":7}`, ""},
		{400, "2023-01-01", "PATCH", inGroup + "/limits/atlas.project.deployment.clusters", `{"value":1000}`, ""},
		{204, "2023-01-01", "DELETE", inGroup + "/limits/dataFederation.bytesProcessed.query", "", ""},
		{204, "2023-01-01", "DELETE", other, "", ""},
		{404, "2023-01-01", "GET", other, "", ""},
	}
}

func keySteps() []step {
	const keys, inGroupKeys = inOrg + "/apiKeys", inGroup + "/apiKeys"
	return []step{
		{200, "2023-01-01", "POST", keys, `{"desc":"k","roles":["ORG_MEMBER"]}`, "key=id"},
		{400, "2023-01-01", "POST", keys, `{"desc":"k","roles":["GROUP_OWNER"]}`, ""},
		{400, "2023-01-01", "POST", keys, `{"roles":["ORG_MEMBER"]}`, ""},
		{200, "2023-01-01", "GET", keys, "", ""},
		{200, "2023-01-01", "GET", keys + "/{key}", "", ""},
		{404, "2023-01-01", "GET", keys + "/{none}", "", ""},
		{200, "2023-01-01", "PATCH", keys + "/{key}", `{"desc":"l"}`, ""},
		{400, "2023-01-01", "PATCH", keys + "/{key}", `{"roles":[]}`, ""},
		{200, "2023-01-01", "POST", inGroupKeys, `{"desc":"g","roles":["GROUP_READ_ONLY"]}`, "groupKey=id"},
		{400, "2023-01-01", "POST", inGroupKeys, `{"desc":"g","roles":["ORG_MEMBER"]}`, ""},
		{200, "2023-01-01", "GET", inGroupKeys, "", ""},
		{204, "2023-01-01", "POST", inGroupKeys + "/{key}", `[{"roles":["GROUP_READ_ONLY"]}]`, ""},
		{404, "2023-01-01", "POST", inGroupKeys + "/{none}", `[{"roles":["GROUP_READ_ONLY"]}]`, ""},
		{200, "2023-01-01", "PATCH", inGroupKeys + "/{key}", `{"roles":["GROUP_OWNER"]}`, ""},
		{204, "2023-01-01", "DELETE", inGroupKeys + "/{key}", "", ""},
		{404, "2023-01-01", "DELETE", inGroupKeys + "/{key}", "", ""},
		{204, "2023-01-01", "DELETE", keys + "/{key}", "", ""},
		{404, "2023-01-01", "DELETE", keys + "/{key}", "", ""},
	}
}

func accountSteps() []step {
	const at = "2024-08-05"
	var steps []step
	for _, place := range []struct{ path, role string }{{inOrg, "ORG_MEMBER"}, {inGroup, "GROUP_READ_ONLY"}} {
		accounts := place.path + "/serviceAccounts"
		steps = append(steps,
			step{201, at, "POST", accounts, `{"name":"ci","description":"for tests","roles":["` + place.role + `"],"secretExpiresAfterHours":8}`, "client=clientId"},
			step{400, at, "POST", accounts, `{"name":"ci"}`, ""},
			step{200, at, "GET", accounts, "", ""},
			step{200, at, "GET", accounts + "/{client}", "", "first=secrets.0.id"},
			step{404, at, "GET", accounts + "/mdb_sa_id_{none}", "", ""},
			step{200, at, "PATCH", accounts + "/{client}", `{"name":"cd"}`, ""},
			step{400, at, "PATCH", accounts + "/{client}", `{"roles":["NOBODY"]}`, ""},
			step{201, at, "POST", accounts + "/{client}/secrets", `{"secretExpiresAfterHours":9}`, "secret=secret"},
			step{400, at, "POST", accounts + "/{client}/secrets", `{"secretExpiresAfterHours":10}`, ""},
			step{204, at, "DELETE", accounts + "/{client}/secrets/{first}", "", ""},
			step{404, at, "DELETE", accounts + "/{client}/secrets/{none}", "", ""},
		)
		if place.path == inOrg {
			steps = append(steps,
				step{200, at, "POST", inGroup + "/serviceAccounts/{client}:invite", `{"roles":["GROUP_OWNER"]}`, ""},
				step{404, at, "POST", inGroup + "/serviceAccounts/mdb_sa_id_{none}:invite", `{"roles":["GROUP_OWNER"]}`, ""},
				step{204, at, "DELETE", inGroup + "/serviceAccounts/{client}", "", ""},
				step{204, at, "DELETE", accounts + "/{client}", "", ""},
				step{404, at, "DELETE", accounts + "/{client}", "", ""},
			)
		}
	}
	return steps
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

func accessSteps() []step {
	const roles = inGroup + "/cloudProviderAccess"
	return []step{
		{200, "2023-01-01", "GET", roles, "", "arn=awsIamRoles.0.iamAssumedRoleArn"},
		{200, "2023-01-01", "GET", roles + "/{role}", "", ""},
		{404, "2023-01-01", "GET", roles + "/{none}", "", ""},
		{200, "2023-01-01", "POST", roles, `{"providerName":"AWS"}`, "spare=roleId"},
		{200, "2023-01-01", "POST", roles, `{"providerName":"GCP"}`, ""},
		{400, "2023-01-01", "POST", roles, `{"providerName":"IBM"}`, ""},
		{400, "2023-01-01", "POST", roles, `{}`, ""},
		{200, "2023-01-01", "PATCH", roles + "/{role}", `{"providerName":"AWS","iamAssumedRoleArn":"{arn}"}`, ""},
		{400, "2023-01-01", "PATCH", roles + "/{spare}", `{"providerName":"AWS","iamAssumedRoleArn":"{arn}"}`, ""},
		{204, "2023-01-01", "DELETE", roles + "/AWS/{spare}", "", ""},
		{404, "2023-01-01", "DELETE", roles + "/AWS/{spare}", "", ""},
		{400, "2023-01-01", "DELETE", roles + "/AWS/{role}", "", ""},
	}
}

func encryptionSteps() []step {
	const settings, own = inGroup + "/encryptionAtRest", "/api/latchkey/v1/groups/{group}/encryptionAtRest"
	return []step{
		{200, "2023-01-01", "GET", settings, "", ""},
		{200, "", "GET", v1 + "/groups/{group}/encryptionAtRest", "", ""},
		{200, "2023-01-01", "PATCH", settings, `{"enabledForSearchNodes":true}`, ""},
		{200, "", "PATCH", v1 + "/groups/{group}/encryptionAtRest", `{"enabledForSearchNodes":false}`, ""},
		{400, "2023-01-01", "PATCH", settings, `{"awsKms":{"region":"NOWHERE"}}`, ""},
		{404, "2023-01-01", "PATCH", settings, `{"awsKms":{"roleId":"{none}"}}`, ""},
		{404, "2023-01-01", "PATCH", settings, `{"awsKms":{"customerMasterKeyID":"1234abcd-12ab-34cd-56ef-1234567890ab"}}`, ""},
		{400, "2023-01-01", "PATCH", settings, `{"azureKeyVault":{"enabled":true}}`, ""},
		{400, "2023-01-01", "PATCH", settings, `{"googleCloudKms":{"enabled":true,"roleId":"{none}"}}`, ""},
		{200, "", "POST", own + "/validate", "", ""},
		{200, "", "GET", own + "/keys?pretty=true", "", ""},
	}
}

func configSteps() []step {
	const configs = inGroup + "/alertConfigs"
	const body = `{"eventTypeName":"AWS_ENCRYPTION_KEY_INVALID","enabled":true,"matchers":[{"fieldName":"CLUSTER_NAME","operator":"EQUALS","value":"A"}],` +
		`"notifications":[{"typeName":"GROUP","emailEnabled":true,"intervalMin":10,"roles":["GROUP_OWNER"]},` +
		`{"typeName":"SLACK","apiToken":"xoxb-0123456789abcdef","channelName":"#keys"}]`
	return []step{
		{200, "2023-01-01", "GET", v2 + "/alertConfigs/matchers/fieldNames", "", ""},
		{201, "2023-01-01", "POST", configs, body + `}`, "config=id"},
		{400, "2023-01-01", "POST", configs, body + `,"threshold":{"operator":"GREATER_THAN","threshold":-1,"units":"DAYS"}}`, ""},
		{400, "2023-01-01", "POST", configs, `{"eventTypeName":"AWS_ENCRYPTION_KEY_INVALID","notifications":[]}`, ""},
		{200, "2023-01-01", "GET", configs, "", ""},
		{200, "2023-01-01", "GET", configs + "/{config}", "", ""},
		{404, "2023-01-01", "GET", configs + "/{none}", "", ""},
		{200, "2023-01-01", "PUT", configs + "/{config}", body + `,"severityOverride":"ERROR"}`, ""},
		{400, "2023-01-01", "PUT", configs + "/{config}", `{}`, ""},
		{200, "2023-01-01", "PATCH", configs + "/{config}", `{"enabled":true}`, ""},
		{400, "2023-01-01", "PATCH", configs + "/{config}", `{}`, ""},
		{200, "2023-01-01", "GET", configs + "/{config}/alerts", "", ""},
		{201, "2023-01-01", "POST", configs, `{"eventTypeName":"GCP_ENCRYPTION_KEY_NEEDS_ROTATION","threshold":{"operator":"GREATER_THAN","threshold":90,"units":"DAYS"},` +
			`"notifications":[{"typeName":"EMAIL","emailAddress":"a@acme.example"}]}`, "spareConfig=id"},
		{204, "2023-01-01", "DELETE", configs + "/{spareConfig}", "", ""},
		{404, "2023-01-01", "DELETE", configs + "/{spareConfig}", "", ""},
		{200, "2023-01-01", "GET", inGroup + "/alerts?status=OPEN", "", ""},
		{400, "2023-01-01", "GET", inGroup + "/alerts?status=ASLEEP", "", ""},
		{404, "2023-01-01", "GET", inGroup + "/alerts/{none}", "", ""},
	}
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

func eventSteps() []step {
	const feed, orgFeed = inGroup + "/events", inOrg + "/events"
	return []step{
		{200, "2023-01-01", "GET", v2 + "/eventTypes?itemsPerPage=500", "", ""},
		{200, "2023-01-01", "GET", feed + "?itemsPerPage=500&includeRaw=true", "", "event=results.0.id"},
		{200, "2023-01-01", "GET", feed + "?eventType=CLUSTER_CREATED&clusterNames=A&minDate=2000-01-01T00:00:00Z&includeCount=false", "", ""},
		{400, "2023-01-01", "GET", feed + "?eventType=nonsense", "", ""},
		{400, "2023-01-01", "GET", feed + "?minDate=yesterday", "", ""},
		{200, "2023-01-01", "GET", feed + "/{event}?includeRaw=true", "", ""},
		{404, "2023-01-01", "GET", feed + "/{none}", "", ""},
		{200, "2023-01-01", "GET", orgFeed + "?itemsPerPage=500", "", "event=results.0.id"},
		{200, "2023-01-01", "GET", orgFeed + "/{event}", "", ""},
		{404, "2023-01-01", "GET", orgFeed + "/{none}", "", ""},
	}
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
