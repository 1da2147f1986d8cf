package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/shared/atlas"
	"latchkey/shared/httpapi"
	"latchkey/shared/identity"
	"latchkey/shared/store"
)

const (
	groupID   = "650000000000000000000001"
	orgID     = "650000000000000000000002"
	groupPath = "/api/atlas/v2/groups/" + groupID
)

// gate admits everybody but the callers it is told to refuse, and remembers what was attempted.
type gate struct {
	refuse   error
	attempts []identity.Attempt
}

func (g *gate) Admit(_ context.Context, _ identity.Caller, a identity.Attempt) error {
	g.attempts = append(g.attempts, a)
	return g.refuse
}

// rig is an API with its gate, clock and log.
type rig struct {
	api  *httpapi.API
	gate *gate
	now  time.Time
	log  *bytes.Buffer
}

func newRig(routes ...httpapi.Route) *rig {
	r := &rig{gate: &gate{}, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), log: &bytes.Buffer{}}
	r.api = httpapi.New(httpapi.Config{
		Gate: r.gate, Now: func() time.Time { return r.now }, Log: slog.New(slog.NewJSONHandler(r.log, nil)),
	}, routes)
	return r
}

// call is one request to make.
type call struct {
	method, target, accept, body string
	caller                       identity.Caller
}

func (r *rig) do(c call) *http.Response {
	req := httptest.NewRequest(c.method, "http://keys.example.com"+c.target, strings.NewReader(c.body))
	if c.accept == "" {
		c.accept = "application/vnd.atlas.2025-03-12+json"
	}
	if c.accept != "none" {
		req.Header.Set("Accept", c.accept)
	}
	ctx := httpapi.WithBase(httpapi.WithCaller(req.Context(), c.caller), "https://keys.example.com/prod")
	w := httptest.NewRecorder()
	r.api.ServeHTTP(w, req.WithContext(ctx))
	return w.Result()
}

func (r *rig) get(target string) *http.Response { return r.do(call{method: "GET", target: target}) }

func bodyOf(t *testing.T, resp *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func errorOf(t *testing.T, resp *http.Response) atlas.ErrorBody {
	t.Helper()
	var e atlas.ErrorBody
	if err := json.Unmarshal([]byte(bodyOf(t, resp)), &e); err != nil {
		t.Fatal(err)
	}
	return e
}

// wantError demands the error envelope with a code, in the headers too.
func wantError(t *testing.T, resp *http.Response, status int, code atlas.Code) atlas.ErrorBody {
	t.Helper()
	e := errorOf(t, resp)
	if resp.StatusCode != status || e.Error != status || e.ErrorCode != code {
		t.Errorf("got %d and %+v, want %d %s", resp.StatusCode, e, status, code)
	}
	if got := resp.Header.Get("X-Error-Code"); got != string(code) {
		t.Errorf("X-Error-Code is %q, want %s", got, code)
	}
	if got := resp.Header.Get("Content-Type"); got != "application/json" {
		t.Errorf("an error's Content-Type is %q, want application/json", got)
	}
	return e
}

// serve is a route that answers with what h returns.
func serve(method, path string, h httpapi.Handler) httpapi.Route {
	return httpapi.Route{
		Operation: "op", Method: method, Path: path, Versions: []atlas.Version{atlas.V20230101}, Rule: identity.Anyone, Handle: h,
	}
}

func answer(body any) httpapi.Handler {
	return func(context.Context, *httpapi.Request) (httpapi.Response, error) { return httpapi.OK(body), nil }
}

func fail(err error) httpapi.Handler {
	return func(context.Context, *httpapi.Request) (httpapi.Response, error) { return httpapi.Response{}, err }
}

func TestAPI_ServesTheNewestVersionNotLaterThanAsked(t *testing.T) {
	route := serve("GET", "/v", func(_ context.Context, r *httpapi.Request) (httpapi.Response, error) {
		return httpapi.OK(r.Version), nil
	})
	route.Versions = []atlas.Version{atlas.V20230201, atlas.V20240805}
	const mt = "application/vnd.atlas."
	tests := map[string]struct {
		accept string
		want   atlas.Version // "" is 406
	}{
		"the exact date":                  {mt + "2023-02-01+json", atlas.V20230201},
		"a date between two versions":     {mt + "2024-05-30+json", atlas.V20230201},
		"the newest":                      {mt + "2024-08-05+json", atlas.V20240805},
		"a date later than every version": {mt + "2024-11-13+json", atlas.V20240805},
		"with parameters":                 {mt + "2024-08-05+json; charset=utf-8", atlas.V20240805},
		"one of several types":            {"application/json, " + mt + "2024-08-05+json", atlas.V20240805},
		"a date before the first version": {mt + "2023-01-01+json", ""},
		"no Accept at all":                {"none", ""},
		"plain JSON":                      {"application/json", ""},
		"anything":                        {"*/*", ""},
		"no date":                         {mt + "preview+json", ""},
		"a day that no month has":         {mt + "2024-02-31+json", ""},
		"another format than JSON":        {mt + "2024-08-05+csv", ""},
		"a media type that is none":       {"vnd.atlas;;;", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			resp := newRig(route).do(call{method: "GET", target: "/v", accept: tt.accept})
			if tt.want == "" {
				wantError(t, resp, http.StatusNotAcceptable, atlas.InvalidVersionDate)
				return
			}
			if got, want := bodyOf(t, resp), `"`+string(tt.want)+`"`; got != want {
				t.Errorf("served %s, want %s", got, want)
			}
			if got := resp.Header.Get("Content-Type"); got != tt.want.MediaType() {
				t.Errorf("Content-Type is %q, want the resolved version's %q", got, tt.want.MediaType())
			}
		})
	}
}

func TestAPI_AnUnversionedRouteNeedsNoAccept(t *testing.T) {
	route := serve("GET", "/v1", answer("x"))
	route.Versions = nil
	resp := newRig(route).do(call{method: "GET", target: "/v1", accept: "none"})
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/json" {
		t.Errorf("got %d %s", resp.StatusCode, resp.Header.Get("Content-Type"))
	}
}

func TestAPI_AnOldVersionIsAnnouncedAsDeprecated(t *testing.T) {
	route := serve("GET", "/v", answer("x"))
	route.Versions = []atlas.Version{atlas.V20230101, atlas.V20250219}
	route.Deprecated = map[atlas.Version]httpapi.Deprecation{
		atlas.V20230101: {Deprecation: "Wed, 19 Feb 2025 00:00:00 GMT", Sunset: "Thu, 1 Jul 2027 00:00:00 GMT"},
	}
	for accept, want := range map[string][2]string{
		"2023-01-01": {"Wed, 19 Feb 2025 00:00:00 GMT", "Thu, 1 Jul 2027 00:00:00 GMT"},
		"2025-02-19": {},
	} {
		resp := newRig(route).do(call{method: "GET", target: "/v", accept: "application/vnd.atlas." + accept + "+json"})
		if got := [2]string{resp.Header.Get("Deprecation"), resp.Header.Get("Sunset")}; got != want {
			t.Errorf("%s: got %q, want %q", accept, got, want)
		}
	}
}

func TestAPI_OneTrailingSlashIsTolerated(t *testing.T) {
	r := newRig(serve("GET", "/api/atlas/v2", answer("root")), serve("GET", "/api/atlas/v2/groups/{groupId}/x", answer("x")))
	for target, want := range map[string]int{
		"/api/atlas/v2": 200, "/api/atlas/v2/": 200, groupPath + "/x": 200, groupPath + "/x/": 200,
		groupPath + "/x/?pretty=true": 200, groupPath + "/x//": 404, "/": 404,
	} {
		if got := r.get(target).StatusCode; got != want {
			t.Errorf("GET %s answers %d, want %d", target, got, want)
		}
	}
}

func TestAPI_AnUnknownPathIs404AndAnUnknownMethod405WithAllow(t *testing.T) {
	r := newRig(serve("GET", "/things/{name}", answer(1)), serve("PATCH", "/things/{name}", answer(1)))
	wantError(t, r.get("/nothing"), http.StatusNotFound, atlas.ResourceNotFound)
	for _, method := range []string{"POST", "PUT", "DELETE", "HEAD", "OPTIONS", "BREW"} {
		resp := r.do(call{method: method, target: "/things/a%2Fb/"})
		if resp.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("%s answers %d, want 405", method, resp.StatusCode)
		}
		if diff := cmp.Diff([]string{"GET", "PATCH"}, resp.Header.Values("Allow")); diff != "" {
			t.Errorf("%s: Allow (-want +got):\n%s", method, diff)
		}
	}
}

func TestAPI_IDsInThePathAreCheckedBeforeAnythingElse(t *testing.T) {
	r := newRig(serve("GET", "/g/{groupId}", answer(1)), serve("GET", "/o/{orgId}", answer(1)))
	for target, code := range map[string]atlas.Code{
		"/g/xyz": atlas.InvalidGroupID, "/g/65000000000000000000000G": atlas.InvalidGroupID, "/o/1": atlas.InvalidOrgID,
		"/g/" + strings.Repeat("a", 25): atlas.InvalidGroupID,
	} {
		wantError(t, r.get(target), http.StatusNotFound, code)
	}
	if len(r.gate.attempts) > 0 {
		t.Errorf("the gate was asked about %v", r.gate.attempts)
	}
}

func TestAPI_ParametersAreUnescapedExactlyOnce(t *testing.T) {
	r := newRig(serve("GET", "/byName/{name}/x", func(_ context.Context, r *httpapi.Request) (httpapi.Response, error) {
		return httpapi.OK(r.Param("name")), nil
	}))
	for escaped, want := range map[string]string{
		"plain": "plain", "two%20words": "two words", "%C3%A9t%C3%A9": "été", "été": "été", "a%2Fb": "a/b", "a%25b": "a%b",
		"%2541": "%41", "a+b": "a+b", "a%2Bb": "a+b", "c:27017": "c:27017",
	} {
		var got string
		if err := json.Unmarshal([]byte(bodyOf(t, r.get("/byName/"+escaped+"/x"))), &got); err != nil || got != want {
			t.Errorf("%s is read as %q (%v), want %q", escaped, got, err, want)
		}
	}
}

func TestAPI_TheGateSeesTheRuleAndWhatThePathNames(t *testing.T) {
	route := serve("GET", "/g/{groupId}", answer(1))
	route.Operation, route.Rule = "getThing", identity.OwnGroup
	r := newRig(route)
	r.get("/g/" + groupID)
	want := []identity.Attempt{{Operation: "getThing", Rule: identity.OwnGroup, GroupID: groupID}}
	if diff := cmp.Diff(want, r.gate.attempts); diff != "" {
		t.Errorf("attempts (-want +got):\n%s", diff)
	}
}

func TestAPI_ARefusedCallerCausesNoEffectAndLearnsNothingOfVersions(t *testing.T) {
	called := false
	r := newRig(serve("POST", "/x", func(context.Context, *httpapi.Request) (httpapi.Response, error) {
		called = true
		return httpapi.NoContent(), nil
	}))
	r.gate.refuse = atlas.Fail(atlas.UserUnauthorized)
	wantError(t, r.do(call{method: "POST", target: "/x", accept: "none"}), http.StatusUnauthorized, atlas.UserUnauthorized)
	if called {
		t.Error("the operation ran although the gate refused")
	}
}

func TestAPI_APanicIs500WithoutItsText(t *testing.T) {
	r := newRig(serve("GET", "/x", func(context.Context, *httpapi.Request) (httpapi.Response, error) {
		panic("the private key is hunter2")
	}))
	resp := r.get("/x")
	e := wantError(t, resp, http.StatusInternalServerError, atlas.UnexpectedError)
	if strings.Contains(e.Detail, "hunter2") {
		t.Errorf("the panic reached the client: %s", e.Detail)
	}
	if !strings.Contains(r.log.String(), "panic") || strings.Count(r.log.String(), "\n") != 1 {
		t.Errorf("the log is not one line that tells of the panic: %s", r.log)
	}
}

func TestAPI_InnerErrorsAreLoggedAndNotShown(t *testing.T) {
	r := newRig(serve("GET", "/x", fail(errors.New("table is on fire"))))
	e := wantError(t, r.get("/x"), http.StatusInternalServerError, atlas.UnexpectedError)
	if strings.Contains(e.Detail, "fire") || !strings.Contains(r.log.String(), "table is on fire") {
		t.Errorf("shown %q, logged %s", e.Detail, r.log)
	}
}

func TestAPI_AConflictThatNobodyResolvedIs409(t *testing.T) {
	r := newRig(serve("GET", "/x", fail(&store.ConflictError{})))
	wantError(t, r.get("/x"), http.StatusConflict, atlas.ConcurrentModification)
}

func TestAPI_ABodyThatCannotBeEncodedIs500(t *testing.T) {
	r := newRig(serve("GET", "/x", answer(make(chan int))))
	wantError(t, r.get("/x"), http.StatusInternalServerError, atlas.UnexpectedError)
}

func TestAPI_ErrorsCarryTheirParametersFieldsAndRetryAfter(t *testing.T) {
	e := atlas.Fail(atlas.ServiceUnavailable)
	e.RetryAfter = 1500 * time.Millisecond
	e.Fields = []atlas.FieldError{{Field: "awsKms.region", Description: "no such region"}}
	resp := newRig(serve("GET", "/x", fail(e))).get("/x")
	if got := resp.Header.Get("Retry-After"); got != "2" {
		t.Errorf("Retry-After is %q, want whole seconds rounded up", got)
	}
	body := wantError(t, resp, http.StatusServiceUnavailable, atlas.ServiceUnavailable)
	if diff := cmp.Diff(&atlas.BadRequestDetail{Fields: e.Fields}, body.BadRequestDetail); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}
	if body.Parameters == nil {
		t.Error("parameters are null, want an array")
	}
}

func TestNew_PanicsOnTwoRoutesForOneOperation(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	newRig(serve("GET", "/x", answer(1)), serve("GET", "/x", answer(2)))
}

func TestAPI_EveryRequestIsOneLogLineWithoutQueryOrBody(t *testing.T) {
	op := serve("PATCH", "/api/atlas/v2/groups/{groupId}", httpapi.JSON(
		func(context.Context, *httpapi.Request, struct{}) (httpapi.Response, error) {
			return httpapi.NoContent(), nil
		}))
	op.Operation = "patchThing"
	r := newRig(op)
	r.do(call{
		method: "PATCH", target: groupPath + "?token=query-secret", body: `{"secret":"body-secret"}`,
		caller: identity.Caller{ID: "1", Name: "abcdefgh", OrgID: orgID},
	})
	lines := strings.Split(strings.TrimSpace(r.log.String()), "\n")
	if len(lines) != 1 {
		t.Fatalf("%d log lines, want 1", len(lines))
	}
	if strings.Contains(lines[0], "secret") {
		t.Errorf("a secret is in the log: %s", lines[0])
	}
	var line map[string]any
	if err := json.Unmarshal([]byte(lines[0]), &line); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{
		"operation": "patchThing", "status": 204.0, "caller": "abcdefgh", "groupId": groupID, "method": "PATCH",
	} {
		if line[name] != want {
			t.Errorf("%s is %v, want %v", name, line[name], want)
		}
	}
}

func TestAPI_RoutineIsLoggedOnlyWhereItFails(t *testing.T) {
	fine, bad := serve("GET", "/fine", answer(1)), serve("GET", "/bad", func(context.Context, *httpapi.Request) (httpapi.Response, error) {
		return httpapi.Response{}, atlas.Fail(atlas.NodeTokenRefused, "now")
	})
	fine.Routine, bad.Routine = true, true
	r := newRig(fine, bad)
	r.do(call{target: "/fine"})
	if r.log.Len() > 0 {
		t.Errorf("what goes well all the time is logged: %s", r.log)
	}
	r.do(call{target: "/bad"})
	if !strings.Contains(r.log.String(), "NODE_TOKEN_REFUSED") {
		t.Errorf("what fails is not logged: %q", r.log)
	}
}

func TestAPI_AFailureIsLoggedWithItsCode(t *testing.T) {
	r := newRig()
	r.get("/nothing")
	if !strings.Contains(r.log.String(), `"errorCode":"RESOURCE_NOT_FOUND"`) {
		t.Errorf("log: %s", r.log)
	}
}

func TestAPI_TheClientIsToldTheRequestIdOfTheLogLine(t *testing.T) {
	made := regexp.MustCompile(`^[0-9a-f]{16}$`)
	for name, tt := range map[string]struct{ gateways, want string }{
		"the gateway's":                {"0b1f7d6a-8f0c-4f5e-9c57-0a8f8e6b1c2d", "0b1f7d6a-8f0c-4f5e-9c57-0a8f8e6b1c2d"},
		"a new one without a gateway":  {"", ""},
		"a new one for what is no id":  {`"},{"level":"ERROR`, ""},
		"a new one for what is a book": {strings.Repeat("a", 129), ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig()
			req := httptest.NewRequest(http.MethodGet, "/nothing", nil)
			req.Header.Set(httpapi.RequestIDHeader, tt.gateways)
			w := httptest.NewRecorder()
			r.api.ServeHTTP(w, req)
			var line struct{ RequestID string }
			if err := json.Unmarshal(r.log.Bytes(), &line); err != nil {
				t.Fatal(err)
			}
			told := w.Header().Get(httpapi.RequestIDHeader)
			if told != line.RequestID || (tt.want != "" && told != tt.want) || (tt.want == "" && !made.MatchString(told)) {
				t.Errorf("told %q, logged %q", told, line.RequestID)
			}
		})
	}
}
