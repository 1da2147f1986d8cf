package alertapi_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/atlas-sdk/v20250312018/admin"

	"latchkey/shared/alert"
	"latchkey/shared/alert/alertapi"
	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/httpapi"
	"latchkey/shared/identity"
	"latchkey/shared/identity/directory"
	"latchkey/shared/identity/identitytest"
	"latchkey/shared/project"
	"latchkey/shared/store"
	"latchkey/shared/suite"
)

// world is the assembled routes over a real table and a real sealer behind a real HTTP server.
type world struct {
	t       *testing.T
	url     string
	clock   *identitytest.Clock
	table   store.Table
	sealer  *identitytest.Sealer
	journal audit.Journal
	alerts  *alert.Service
	group   string
	owner   identity.Caller
	caller  identity.Caller // who the requests are from
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, clock: identitytest.NewClock(), table: identitytest.Table(t), sealer: identitytest.NewSealer(t)}
	w.journal = audit.Journal{Table: w.table, Now: w.clock.Now}
	people := &directory.Directory{Table: w.table, Sealer: w.sealer, Journal: w.journal, Now: w.clock.Now}
	projects := suite.Projects(w.table, w.journal, people, w.clock.Now)
	org, err := projects.Found(t.Context(), project.Founding{Name: "Acme", OwnerEmail: "owner@acme.example"})
	if err != nil {
		t.Fatal(err)
	}
	w.group = org.GroupID
	w.owner = identity.Caller{
		Kind: identity.KindAPIKey, ID: "650000000000000000000060", Name: "abcdefgh", OrgID: org.Org.ID,
		GroupRoles: map[string][]identity.Role{w.group: {identity.GroupOwner}},
	}
	w.caller = w.owner
	w.alerts = &alert.Service{
		Table: w.table, Journal: w.journal, Groups: projects, Sealer: w.sealer, Now: w.clock.Now, Retention: 90 * 24 * time.Hour,
	}
	api := httpapi.New(httpapi.Config{
		Gate: identity.Gate{Groups: projects, Denials: w.journal}, Now: w.clock.Now, Log: slog.New(slog.DiscardHandler),
	}, alertapi.API{Alerts: w.alerts}.Routes())
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		ctx := httpapi.WithBase(httpapi.WithCaller(req.Context(), w.caller), w.url)
		api.ServeHTTP(rw, req.WithContext(ctx))
	}))
	t.Cleanup(server.Close)
	w.url = server.URL
	return w
}

// sdk is the official SDK.
func (w *world) sdk() *admin.APIClient {
	w.t.Helper()
	c, err := admin.NewClient(admin.UseBaseURL(w.url))
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// answer is what a plain request gets.
type answer struct {
	status int
	header http.Header
	body   string
}

func (a answer) code() atlas.Code {
	var e atlas.ErrorBody
	_ = json.Unmarshal([]byte(a.body), &e) // then there is no code
	return e.ErrorCode
}

// member is a member of the answer, by its path.
func (a answer) member(t *testing.T, path ...any) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		t.Fatalf("%s: %v", a.body, err)
	}
	for _, step := range path {
		switch step := step.(type) {
		case string:
			object, ok := v.(map[string]any)
			if !ok {
				t.Fatalf("%s has no %v", a.body, path)
			}
			v = object[step]
		case int:
			list, ok := v.([]any)
			if !ok || step >= len(list) {
				t.Fatalf("%s has no %v", a.body, path)
			}
			v = list[step]
		}
	}
	return v
}

func (w *world) do(method, path, body string) answer { return w.at("2025-03-12", method, path, body) }

func (w *world) at(version, method, path, body string) answer {
	w.t.Helper()
	if !strings.HasPrefix(path, "/alertConfigs/matchers") {
		path = "/groups/" + w.group + path
	}
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.url+"/api/atlas/v2"+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Accept", "application/vnd.atlas."+version+"+json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(b)}
}

// create makes a configuration and returns its id.
func (w *world) create(body string) string {
	w.t.Helper()
	a := w.do(http.MethodPost, "/alertConfigs", body)
	if a.status != http.StatusCreated {
		w.t.Fatalf("%s answers %d %s", body, a.status, a.body)
	}
	id, ok := a.member(w.t, "id").(string)
	if !ok {
		w.t.Fatalf("no id in %s", a.body)
	}
	return id
}

// raise makes the AWS key invalid.
func (w *world) raise() {
	w.t.Helper()
	err := w.alerts.Raise(w.t.Context(), w.group, alert.Condition{
		Type: alert.KeyInvalid(atlas.AWS), Subject: "AWS", Facts: alert.Facts{Summary: "The key is disabled."},
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// one is the only alert of the group.
func (w *world) one() alert.Alert {
	w.t.Helper()
	all, err := w.alerts.Alerts(w.t.Context(), w.group, "")
	if err != nil || len(all) != 1 {
		w.t.Fatalf("there are %d alerts, %v", len(all), err)
	}
	return all[0]
}

func (w *world) events(ctx context.Context) []audit.Type {
	w.t.Helper()
	events, _, err := w.journal.Recent(ctx, "GROUP#"+w.group, audit.Filter{}, 0, 50)
	if err != nil {
		w.t.Fatal(err)
	}
	var types []audit.Type
	for _, e := range events {
		types = append(types, e.Type)
	}
	return types
}

const invalidConfig = `{"eventTypeName":"AWS_ENCRYPTION_KEY_INVALID","enabled":true,` +
	`"notifications":[{"typeName":"GROUP","intervalMin":60,"delayMin":0,"emailEnabled":true,"smsEnabled":false,"roles":["GROUP_OWNER"]}]}`
