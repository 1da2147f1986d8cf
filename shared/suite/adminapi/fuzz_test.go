package adminapi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/shared/alert"
	"latchkey/shared/httpapi"
	"latchkey/shared/httpapi/hostiletest"
	"latchkey/shared/httpapi/openapitest"
	"latchkey/shared/identity"
	"latchkey/shared/identity/identitytest"
	"latchkey/shared/store"
	"latchkey/shared/store/storetest"
	"latchkey/shared/suite"
	"latchkey/shared/suite/adminapi"
	"latchkey/shared/workflow"
)

// target is an estate with something of everything, of which every request meets a copy.
type target struct {
	table  *storetest.Memory
	sealer *identitytest.Sealer
	now    func() time.Time
	caller identity.Caller
	doc    *openapitest.Description
	known  *strings.Replacer // what {name} stands for
}

// starts starts nothing.
type starts struct{}

func (starts) Start(context.Context, workflow.Execution) error { return nil }

// newTarget makes an estate by requests.
func newTarget(tb testing.TB) *target {
	tb.Helper()
	x := &target{table: storetest.NewMemory(), sealer: identitytest.NewSealer(tb)}
	f := newFleetOver(tb, x.table)
	x.now = f.clock.Now
	x.caller = f.owner.Caller()
	x.caller.GroupRoles = map[string][]identity.Role{f.group: {identity.GroupOwner}}
	var err error
	if x.doc, err = openapitest.Load("../../../docs/openapi.yaml"); err != nil {
		tb.Fatal(err)
	}
	names := []string{"{group}", f.group, "{org}", f.org.Org.ID, "{none}", "650000000000000000000099"}
	x.known = strings.NewReplacer(names...)
	build := func(all []made) {
		for _, m := range all {
			status, body := x.ask(tb, x.table, m.request)
			if status >= http.StatusMultipleChoices {
				tb.Fatalf("%s is answered %d %s", m.request, status, body)
			}
			for name, path := range m.keep {
				names = append(names, "{"+name+"}", pick(tb, body, path))
			}
			x.known = strings.NewReplacer(names...)
		}
	}
	build(estate())
	f.obey("A")
	alerts := suite.Alerts(suite.AlertDeps{Table: x.table, Journal: f.journal, Sealer: x.sealer, Now: x.now})
	f.must(alerts.Raise(tb.Context(), f.group, alert.Condition{Type: alert.NetworkAccessDenied, Subject: "AWS"}))
	build(later())
	return x
}

// pick is a member of an answer; numbers select from lists.
func pick(tb testing.TB, body, path string) string {
	tb.Helper()
	var v any
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		tb.Fatal(err)
	}
	for name := range strings.SplitSeq(path, ".") {
		switch in := v.(type) {
		case map[string]any:
			v = in[name]
		case []any:
			v = in[0]
		}
	}
	s, ok := v.(string)
	if !ok {
		tb.Fatalf("there is no %s in %s", path, body)
	}
	return s
}

// asked is a request at a version.
type asked struct{ method, version, path, body string }

// String is short: the bodies of some are a megabyte.
func (a asked) String() string {
	return fmt.Sprintf("%s %.300q at %q with %.700q", a.method, a.path, a.version, a.body)
}

// ask makes a request, as the owner, to a function that begins.
func (x *target) ask(tb testing.TB, table store.Table, a asked) (status int, body string) {
	tb.Helper()
	api := adminapi.New(adminapi.Deps{
		Table: table, Sealer: x.sealer, Now: x.now, Log: slog.New(slog.DiscardHandler), Start: starts{}, Domain: "example.net",
	})
	r := x.request(a)
	if r == nil {
		return 0, ""
	}
	rec := httptest.NewRecorder()
	r.Body = io.NopCloser(strings.NewReader(x.known.Replace(a.body)))
	api.ServeHTTP(rec, r)
	exchange := openapitest.Exchange{
		Request: x.request(a), Sent: []byte(a.body), Status: rec.Code, Header: rec.Header(), Answer: rec.Body.Bytes(), Hostile: true,
	}
	if err := x.doc.Check(exchange); err != nil || rec.Code >= http.StatusInternalServerError {
		tb.Errorf("%s: %d %.500s, %.1000v", a, rec.Code, rec.Body, err)
	}
	return rec.Code, rec.Body.String()
}

// request is nil for what no HTTP server hands on.
func (x *target) request(a asked) *http.Request {
	path, query, _ := strings.Cut(x.known.Replace(a.path), "?")
	u, err := url.ParseRequestURI("https://keys.example.com" + path)
	if err != nil || strings.ContainsAny(a.method+path, " #") || a.method == "" {
		return nil
	}
	u.RawQuery = query
	r, err := http.NewRequest(a.method, u.String(), nil)
	if err != nil {
		return nil
	}
	r.URL.RawQuery = query
	if a.version != "" {
		r.Header.Set("Accept", "application/vnd.atlas."+a.version+"+json")
	}
	ctx := httpapi.WithBase(httpapi.WithCaller(r.Context(), x.caller), "https://keys.example.com")
	return r.WithContext(ctx)
}

// FuzzAPI sends what a stranger might send of any operation, at any version. What is answered is
// described in docs/openapi.yaml, never 500, holds no secret; what only reads or is refused writes
// nothing; and it takes no time.
func FuzzAPI(f *testing.F) {
	x := newTarget(f)
	for _, a := range append(questions(), changes()...) {
		f.Add(a.method, a.version, a.path, a.body, uint16(0), uint8(0), false)
	}
	f.Fuzz(func(t *testing.T, method, version, path, body string, part uint16, way uint8, twisted bool) {
		if twisted {
			body = hostiletest.Twist(body, int(part), int(way))
		}
		x.attempt(t, asked{method, version, path, body})
	})
}

// attempt makes a request on a copy of the estate, and looks at what it did.
func (x *target) attempt(tb testing.TB, a asked) {
	tb.Helper()
	if len(a.body) > httpapi.MaxBody+10 {
		return
	}
	table := x.table.Copy()
	begun := time.Now()
	status, answer := x.ask(tb, table, a)
	if took := time.Since(begun); took > 5*time.Second {
		tb.Errorf("%s took %s", a, took)
	}
	const fails = http.StatusBadRequest
	if status >= fails && status != http.StatusUnauthorized || a.method == http.MethodGet || a.method == http.MethodHead {
		if !reflect.DeepEqual(x.table.Items(), table.Items()) {
			tb.Errorf("%s is answered %d %.500s, and has written", a, status, answer)
		}
	}
	if name := changedCluster(a, status, answer); name != "" {
		x.sendBack(tb, table, name)
	}
	for _, secret := range secrets(a.body) {
		if strings.Contains(answer, secret) {
			tb.Errorf("%s: the answer holds %q: %.1000s", a, secret, answer)
		}
	}
}

// changedCluster is the name of the cluster that a request has made or changed, "" if it has not.
func changedCluster(a asked, status int, answer string) string {
	if status >= http.StatusMultipleChoices || a.method == http.MethodGet || !strings.HasPrefix(a.path, clustersAt) && !strings.HasPrefix(a.path, legacyAt) {
		return ""
	}
	var body struct{ Name, ClusterType string }
	if json.Unmarshal([]byte(answer), &body) != nil || body.ClusterType == "" {
		return ""
	}
	return body.Name
}

// sendBack demands that a cluster, sent back as any version shows it, does not change.
func (x *target) sendBack(tb testing.TB, table *storetest.Memory, name string) {
	tb.Helper()
	for _, at := range []struct{ version, path string }{
		{"", legacyAt}, {"2023-01-01", clustersAt}, {"2023-02-01", clustersAt}, {"2024-08-05", clustersAt}, {"2024-10-23", clustersAt},
	} {
		one := at.path + "/" + name
		status, shown := x.ask(tb, table, asked{http.MethodGet, at.version, one, ""})
		if status == http.StatusBadRequest {
			continue // a version that can't show it says so
		}
		before := table.Items()
		if status, answer := x.ask(tb, table, asked{http.MethodPatch, at.version, one, shown}); status != http.StatusOK {
			tb.Errorf("at %q what is shown is answered %d %s: %s", at.version, status, answer, shown)
		}
		if after := table.Items(); !reflect.DeepEqual(before, after) {
			tb.Errorf("at %q what is shown, sent back, changes something: %s\n%s", at.version, shown, cmp.Diff(before, after))
		}
	}
}

// secrets are the texts that stand where secrets belong.
func secrets(body string) []string {
	var found []string
	var look func(v any)
	look = func(v any) {
		switch in := v.(type) {
		case map[string]any:
			for name, member := range in {
				switch s, isText := member.(string); {
				case isText && len(s) >= 12 && strings.HasPrefix(s, "hush-"):
					switch name {
					case "apiToken", "webhookSecret", "serviceKey", "opsGenieApiKey", "datadogApiKey", "victorOpsApiKey", "victorOpsRoutingKey":
						found = append(found, s)
					}
				default:
					look(member)
				}
			}
		case []any:
			for _, element := range in {
				look(element)
			}
		}
	}
	var v any
	if json.Unmarshal([]byte(body), &v) == nil {
		look(v)
	}
	return found
}

// Every part of every body that changes something is changed in every way once: what a fuzzer of
// bytes finds only with luck.
func TestAPI_EveryTwistOfEveryBodyIsAnswered(t *testing.T) {
	x := newTarget(t)
	const skip = 131 // a run takes every so many, from another one on with each body
	n := 0
	for i, a := range changes() {
		for part := range hostiletest.Parts(a.body) {
			for way := range hostiletest.Twists() {
				if n++; n%skip != i%skip && !*every {
					continue
				}
				twisted := a
				twisted.body = hostiletest.Twist(a.body, part, way)
				x.attempt(t, twisted)
			}
		}
	}
}

// FuzzOAuth asks the endpoints of OAuth as clients that have no secret. They hear what RFC 6749 has for them, in answers
// that nobody caches and that hold nothing of what was sent; and nothing is written.
func FuzzOAuth(f *testing.F) {
	x := newTarget(f)
	const form = "application/x-www-form-urlencoded"
	for _, seed := range [][3]string{
		{"", form, "grant_type=client_credentials&client_id={client}&client_secret=x"},
		{"Basic YTpi", form, "grant_type=client_credentials"},
		{"Basic ", form, "token=x"},
		{"", "application/json", "{}"},
		{"", form, "token=x&token=y"},
		{"", form, "%zz"},
		{"Bearer x", form, "client_id={client}"},
		{"Basic Oj0=", form + ";charset=\xff", "a"},
		{"Basic {client}", form, strings.Repeat("a=b&", 5000)},
		{"", form, "client_id=" + strings.Repeat("x", 5000) + "&client_secret="},
	} {
		f.Add(seed[0], seed[1], seed[2], false)
		f.Add(seed[0], seed[1], seed[2], true)
	}
	f.Fuzz(func(t *testing.T, authorization, contentType, form string, revoke bool) {
		path := "/api/oauth/token"
		if revoke {
			path = "/api/oauth/revoke"
		}
		table := x.table.Copy()
		api := adminapi.New(adminapi.Deps{Table: table, Sealer: x.sealer, Now: x.now, Log: slog.New(slog.DiscardHandler)})
		r := x.request(asked{http.MethodPost, "", path, ""})
		r.Header.Set("Authorization", x.known.Replace(authorization))
		r.Header.Set("Content-Type", contentType)
		r.Body = io.NopCloser(strings.NewReader(x.known.Replace(form)))
		rec := httptest.NewRecorder()
		api.ServeHTTP(rec, r)
		var answer struct {
			Error       any
			Description string `json:"error_description"`
		}
		if err := json.Unmarshal(rec.Body.Bytes(), &answer); err != nil || rec.Code < 400 || rec.Code >= 500 || answer.Error == nil {
			t.Errorf("%q, %q with %.700q: %d %.700s", authorization, contentType, form, rec.Code, rec.Body)
		}
		if rec.Code != http.StatusRequestEntityTooLarge && rec.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%q, %q with %.700q may be cached: %d %s", authorization, contentType, form, rec.Code, rec.Body)
		}
		if !reflect.DeepEqual(x.table.Items(), table.Items()) {
			t.Errorf("%q, %q with %.700q has written", authorization, contentType, form)
		}
	})
}
