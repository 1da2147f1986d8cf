package console_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/html"

	"latchkey/console"
	"latchkey/shared/httpapi"
	"latchkey/shared/identity/digest"
	"latchkey/shared/identity/identitytest"
)

// What the tests sign in with, and where they look.
const (
	publicKey    = "abcdefgh"
	privateKey   = "11111111-2222-4333-8444-555555555555"
	clientID     = "mdb_sa_id_0123456789abcdef01234567"
	clientSecret = "mdb_sa_sk_0123456789abcdefghij"
	accessToken  = "header.token-of-the-service-account.signature"
	groupID      = "32b6e34b3d91647abb20e7b8"
	orgID        = "32b6e34b3d91647abb20e7b7"
)

// world is the console over an API that answers as the real one does, at a stage, and a browser.
type world struct {
	t       *testing.T
	clock   *identitytest.Clock
	log     *bytes.Buffer
	api     *fakeAPI
	handler *console.Console
	console *httptest.Server
	browser *http.Client
	stage   string
}

// open starts a console whose root is a stage, "" for none.
func open(t *testing.T, stage string) *world {
	t.Helper()
	w := &world{t: t, clock: identitytest.NewClock(), log: &bytes.Buffer{}, stage: stage}
	w.api = newAPI(t, w.clock.Now)
	handler := console.New(console.Deps{
		Sealer: identitytest.NewSealer(t), Now: w.clock.Now, Log: slog.New(slog.NewJSONHandler(w.log, nil)), API: w.api.url,
	})
	w.handler = handler
	w.console = httptest.NewUnstartedServer(nil)
	w.console.Config.Handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		base := "http://" + r.Host
		if r.TLS != nil {
			base = "https://" + r.Host
		}
		r = r.WithContext(httpapi.WithBase(r.Context(), base+stage))
		http.StripPrefix(stage, handler).ServeHTTP(rw, r)
	})
	w.console.StartTLS()
	t.Cleanup(w.console.Close)
	w.newBrowser()
	return w
}

func (w *world) newBrowser() {
	w.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	w.browser = w.console.Client()
	w.browser.Jar = jar
	w.browser.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
}

// answer is what the browser got.
type answer struct {
	*http.Response
	body string
}

func (w *world) do(method, path string, form url.Values, header ...string) answer {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), method, w.console.URL+w.stage+path, strings.NewReader(form.Encode()))
	if err != nil {
		w.t.Fatal(err)
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := w.browser.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	var body bytes.Buffer
	if _, err := body.ReadFrom(resp.Body); err != nil {
		w.t.Fatal(err)
	}
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") {
		if _, err := html.Parse(strings.NewReader(body.String())); err != nil {
			w.t.Errorf("%s %s: %v", method, path, err)
		}
	}
	for _, secret := range []string{privateKey, clientSecret, accessToken} {
		if strings.Contains(body.String(), secret) {
			w.t.Errorf("%s %s shows a secret", method, path)
		}
	}
	return answer{resp, body.String()}
}

func (w *world) get(path string, header ...string) answer {
	w.t.Helper()
	return w.do(http.MethodGet, path, nil, header...)
}

func (w *world) post(path string, form url.Values, header ...string) answer {
	w.t.Helper()
	return w.do(http.MethodPost, path, form, header...)
}

// signIn signs in with the API key.
func (w *world) signIn() answer {
	w.t.Helper()
	a := w.post("/console/sign-in", url.Values{"kind": {"apiKey"}, "name": {publicKey}, "secret": {privateKey}})
	if a.StatusCode != http.StatusSeeOther {
		w.t.Fatalf("signing in is answered %d %s", a.StatusCode, a.body)
	}
	return a
}

// fakeAPI answers by path, to whoever signs with the key or has the token. It challenges as the real
// one does, and counts.
type fakeAPI struct {
	url string

	mu       sync.Mutex
	answers  map[string]any // "GET /api/…" -> the body, or a refusal
	requests []string
	bodies   map[string]string // the last of each route
	queries  map[string]string // the last of each route
	now      func() time.Time
}

// refused is an answer that is no success.
type refused struct {
	status int
	code   string
	detail string
	retry  string
}

var nonceKey = []byte("0123456789abcdef0123456789abcdef")

func newAPI(t *testing.T, now func() time.Time) *fakeAPI {
	t.Helper()
	list := func(items ...any) any {
		if items == nil {
			items = []any{}
		}
		return map[string]any{"results": items, "totalCount": len(items), "links": []any{}}
	}
	group := "GET /api/atlas/v2/groups/" + groupID
	a := &fakeAPI{now: now, bodies: map[string]string{}, queries: map[string]string{}, answers: map[string]any{
		"GET /api/atlas/v2":        map[string]any{"appName": "x"},
		"GET /api/atlas/v2/orgs":   list(map[string]any{"id": orgID, "name": "Acme"}),
		"GET /api/atlas/v2/groups": list(map[string]any{"id": groupID, "name": "Shop", "orgId": orgID, "created": "2026-01-02T03:04:05Z", "clusterCount": 2}),
		group:                      map[string]any{"id": groupID, "name": "Shop", "orgId": orgID},
		group + "/encryptionAtRest": map[string]any{
			"awsKms":        map[string]any{"enabled": true, "valid": false, "customerMasterKeyID": "arn:aws:kms:us-east-1:111122223333:key/1"},
			"azureKeyVault": map[string]any{}, "googleCloudKms": map[string]any{},
		},
		group + "/clusters": list(map[string]any{"name": "c1", "stateName": "IDLE"}, map[string]any{"name": "c2", "stateName": "UPDATING"}, map[string]any{"id": "32b6e34b3d91647abb20e7c3", "name": "c3", "stateName": "IDLE"}),
		"GET /api/latchkey/v1/groups/" + groupID + "/clusters": list(map[string]any{
			"id": "32b6e34b3d91647abb20e7c3", "name": "c3", "disabled": map[string]any{"cloudProvider": "AWS", "reason": "KEY_DISABLED", "since": "2026-01-02T03:04:05Z"},
		}),
		group + "/alerts": list(map[string]any{"id": "1"}),
	}}
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	a.url = server.URL
	return a
}

func (a *fakeAPI) set(route string, answer any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answers[route] = answer
}

// asked are the requests so far, and forgets them.
func (a *fakeAPI) asked() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := a.requests
	a.requests = nil
	return all
}

// sent is the body of the last request of a route, "" if there was none.
func (a *fakeAPI) sent(route string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.bodies[route]
}

// query is that of the last request of a route.
func (a *fakeAPI) query(route string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.queries[route]
}

// ServeHTTP implements http.Handler.
func (a *fakeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	route := r.Method + " " + r.URL.Path
	a.requests = append(a.requests, route)
	if route == "POST /api/oauth/token" {
		if id, secret, _ := r.BasicAuth(); id != clientID || secret != clientSecret {
			w.WriteHeader(http.StatusUnauthorized)
			w.Write([]byte(`{"error":"invalid_client","error_description":"Invalid credentials provided."}`)) //nolint:errcheck // a test
			return
		}
		w.Write([]byte(`{"access_token":"` + accessToken + `","expires_in":3600,"token_type":"Bearer"}`)) //nolint:errcheck // a test
		return
	}
	if !a.authenticated(r) {
		w.Header().Set("WWW-Authenticate", digest.Challenge(digest.NewNonce(nonceKey, a.now()), false))
		a.refuse(w, refused{401, "UNEXPECTED_ERROR", "You are not authorized for this resource.", ""})
		return
	}
	body, _ := io.ReadAll(r.Body)
	a.bodies[route], a.queries[route] = string(body), r.URL.RawQuery
	answer, ok := a.answers[route]
	if !ok {
		answer = refused{404, "RESOURCE_NOT_FOUND", "Cannot find resource.", ""}
	}
	if no, is := answer.(refused); is {
		a.refuse(w, no)
		return
	}
	json.NewEncoder(w).Encode(answer) //nolint:errcheck,errchkjson // a test
}

func (a *fakeAPI) authenticated(r *http.Request) bool {
	given := r.Header.Get("Authorization")
	if given == "Bearer "+accessToken {
		return true
	}
	signed, err := digest.Parse(given)
	return err == nil && signed.Username == publicKey && signed.Verify(r.Method, privateKey) && signed.URI == r.URL.RequestURI() &&
		digest.CheckNonce([][]byte{nonceKey}, signed.Nonce, a.now()) == digest.Fresh
}

func (a *fakeAPI) refuse(w http.ResponseWriter, no refused) {
	if no.retry != "" {
		w.Header().Set("Retry-After", no.retry)
	}
	w.WriteHeader(no.status)
	json.NewEncoder(w).Encode(map[string]any{"error": no.status, "errorCode": no.code, "detail": no.detail}) //nolint:errcheck,errchkjson // a test
}
