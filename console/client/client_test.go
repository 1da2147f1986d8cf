package client_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/console/client"
	"latchkey/shared/atlas"
	"latchkey/shared/identity/digest"
	"latchkey/shared/identity/identitytest"
)

const (
	public  = "abcdefgh"
	private = "11111111-2222-4333-8444-555555555555"
	path    = "/api/atlas/v2/groups"
)

var key = []byte("0123456789abcdef0123456789abcdef")

// server is an API that demands Digest, as the real one does.
type server struct {
	url   string
	clock *identitytest.Clock

	mu       sync.Mutex
	counts   []string // of each request that was signed, how often its nonce was used
	requests int
	bodies   []string
}

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{clock: identitytest.NewClock()}
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	s.url = h.URL
	return s
}

var count = regexp.MustCompile(`nc=([0-9a-f]+)`)

// ServeHTTP implements http.Handler.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	body, _ := io.ReadAll(r.Body)
	s.bodies = append(s.bodies, string(body))
	signed, err := digest.Parse(r.Header.Get("Authorization"))
	if err == nil {
		s.counts = append(s.counts, count.FindStringSubmatch(r.Header.Get("Authorization"))[1])
	}
	if err != nil || !signed.Verify(r.Method, private) || signed.URI != r.URL.RequestURI() || digest.CheckNonce([][]byte{key}, signed.Nonce, s.clock.Now()) != digest.Fresh {
		w.Header().Set("WWW-Authenticate", digest.Challenge(digest.NewNonce(key, s.clock.Now()), false))
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	w.Write([]byte(`{"results":[]}`)) //nolint:errcheck // a test
}

func (s *server) client(secret string, nonces *client.Nonces) *client.Client {
	return client.New(s.url+"/", nil, client.Digest{PublicKey: public, PrivateKey: secret, Nonces: nonces})
}

func TestDigest_usesANonceAgainAndCounts(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	nonces := &client.Nonces{}
	for range 3 { // a client for each visit, as the console has
		if err := s.client(private, nonces).Get(t.Context(), path, url.Values{"a b": {"c&d"}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"00000001", "00000002", "00000003"}, s.counts); diff != "" || s.requests != 4 {
		t.Errorf("%d requests, counts (-want +got):\n%s", s.requests, diff)
	}
}

func TestDigest_takesANewNonceForAStaleOneAndSendsTheBodyAgain(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := s.client(private, &client.Nonces{})
	if err := c.Do(t.Context(), http.MethodPost, path, map[string]string{"name": "a"}, nil); err != nil {
		t.Fatal(err)
	}
	s.clock.Advance(time.Hour)
	if err := c.Do(t.Context(), http.MethodPost, path, map[string]string{"name": "b"}, nil); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{`{"name":"a"}`, `{"name":"a"}`, `{"name":"b"}`, `{"name":"b"}`}, s.bodies); diff != "" {
		t.Errorf("bodies (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"00000001", "00000002", "00000001"}, s.counts); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
}

func TestDigest_asksOnceMoreAndNoMoreWithAWrongKey(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	err := s.client("other", &client.Nonces{}).Get(t.Context(), path, nil, nil)
	if !client.IsUnauthorized(err) || s.requests != 2 {
		t.Errorf("%d requests: %v", s.requests, err)
	}
	if strings.Contains(err.Error(), "other") {
		t.Error("the error tells the key")
	}
}

func TestBearer_isNotRepeated(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	err := client.New(s.url, nil, client.Bearer("token")).Get(t.Context(), path, nil, nil)
	if !client.IsUnauthorized(err) || s.requests != 1 {
		t.Errorf("%d requests: %v", s.requests, err)
	}
}

// trip answers without a network.
type trip func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f trip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func answering(status int, header http.Header, body string) trip {
	return func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
	}
}

type slow struct{}

// Error implements error.
func (slow) Error() string   { return "slow" }
func (slow) Timeout() bool   { return true }
func (slow) Temporary() bool { return true }

func TestFailures_haveTheAPIsCodeAndSentence(t *testing.T) {
	t.Parallel()
	const refusal = `{"error":400,"errorCode":"INVALID_ATTRIBUTE","detail":"Invalid.","badRequestDetail":{"fields":[{"field":"a.b","description":"why"}]}}`
	for name, tt := range map[string]struct {
		transport trip
		status    int
		code      atlas.Code
		detail    string
		retry     time.Duration
		fields    int
	}{
		"a refusal":           {answering(400, nil, refusal), 400, "INVALID_ATTRIBUTE", "Invalid.", 0, 1},
		"a limit":             {answering(429, http.Header{"Retry-After": {"55"}}, `{"errorCode":"RATE_LIMITED","detail":"Too many."}`), 429, "RATE_LIMITED", "Too many.", 55 * time.Second, 0},
		"a nonsensical delay": {answering(503, http.Header{"Retry-After": {"-1"}}, `{"errorCode":"X","detail":"Y."}`), 503, "X", "Y.", 0, 0},
		"a gateway's page":    {answering(502, nil, "<html>"), 502, atlas.UnexpectedError, "The API answered 502 Bad Gateway.", 0, 0},
		"a redirect":          {answering(302, http.Header{"Location": {"https://evil.example/"}}, ""), 302, atlas.UnexpectedError, "The API answered 302 Found.", 0, 0},
		"no JSON":             {answering(200, nil, "<html>"), 502, atlas.ServiceUnavailable, "The API cannot be reached right now.", 0, 0},
		"too much":            {answering(200, nil, strings.Repeat(" ", 9<<20)), 502, atlas.ServiceUnavailable, "The API cannot be reached right now.", 0, 0},
		"no network": {
			func(*http.Request) (*http.Response, error) { return nil, errors.New("no route") }, 502, atlas.ServiceUnavailable,
			"The API cannot be reached right now.", 0, 0,
		},
		"no answer in time": {
			func(*http.Request) (*http.Response, error) { return nil, slow{} }, 504, atlas.ServiceUnavailable,
			"The API did not answer in time. A change may have happened; look before you repeat it.", 0, 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var into map[string]any
			e := client.AsError(client.New("http://api.example", tt.transport, client.Bearer("t")).Get(t.Context(), path, nil, &into))
			if e.Status != tt.status || e.Code != tt.code || e.Detail != tt.detail || e.RetryAfter != tt.retry || len(e.Fields) != tt.fields {
				t.Errorf("got %+v", e)
			}
		})
	}
}

func TestErrors_ofOthersAreUnexpected(t *testing.T) {
	t.Parallel()
	cause := errors.New("cause")
	e := client.AsError(cause)
	if e.Status != 500 || e.Code != atlas.UnexpectedError || strings.Contains(e.Detail, "cause") || !errors.Is(e, cause) {
		t.Errorf("got %+v", e)
	}
	for status, want := range map[int][2]bool{404: {true, false}, 401: {false, true}, 403: {false, false}} {
		err := client.New("http://api.example", answering(status, nil, ""), client.Bearer("t")).Get(t.Context(), path, nil, nil)
		if client.IsNotFound(err) != want[0] || client.IsUnauthorized(err) != want[1] {
			t.Errorf("%d is %v", status, err)
		}
	}
	denied := answering(401, nil, `{"errorCode":"USER_CANNOT_ACCESS_GROUP","detail":"No."}`)
	if err := client.New("http://api.example", denied, client.Bearer("t")).Get(t.Context(), path, nil, nil); client.IsUnauthorized(err) {
		t.Error("somebody who may not is taken for nobody")
	}
}

func TestClient_reachesTheAPIAlone(t *testing.T) {
	t.Parallel()
	var asked []string
	c := client.New("http://api.example/prod", trip(func(r *http.Request) (*http.Response, error) {
		asked = append(asked, r.URL.String()+" "+r.Header.Get("Accept")+" "+r.Header.Get("Content-Type"))
		return answering(200, nil, "")(r)
	}), client.Bearer("t"))
	for _, p := range []string{
		"//evil.example/api/", "/console/x", "@evil.example/", "",
		// A name of dots, or none, would make an operation on a thing one on what it belongs to.
		path + "/..", path + "/.", path + "/../orgs", path + "/", path + "//x", path + "/%2e%2E/orgs", path + "/%2e?a=b", path + "/%zz", path + "/x#y",
	} {
		if err := c.Do(t.Context(), http.MethodDelete, p, nil, nil); !client.IsNotFound(err) {
			t.Errorf("%q was asked: %v", p, err)
		}
	}
	if err := c.Do(t.Context(), http.MethodDelete, client.Path(path, "id", "clusters", ".."), nil, nil); !client.IsNotFound(err) {
		t.Errorf("a cluster named .. was asked for: %v", err)
	}
	if err := c.Get(t.Context(), client.Path(path, "a/../b?c"), nil, nil); err != nil {
		t.Error(err)
	}
	if err := c.Do(t.Context(), http.MethodPatch, "/api/latchkey/v1/x", map[string]int{"a": 1}, nil); err != nil {
		t.Error(err)
	}
	want := []string{
		"http://api.example/prod/api/atlas/v2/groups/a%2F..%2Fb%3Fc application/vnd.atlas.2025-03-12+json;charset=utf-8 ",
		"http://api.example/prod/api/latchkey/v1/x application/json application/json",
	}
	if diff := cmp.Diff(want, asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
}

func TestExchange_getsATokenOrSaysWhyNot(t *testing.T) {
	t.Parallel()
	var sent string
	token, err := client.Exchange(t.Context(), "http://api.example/", trip(func(r *http.Request) (*http.Response, error) {
		id, secret, _ := r.BasicAuth()
		body, _ := io.ReadAll(r.Body)
		sent = r.Method + " " + r.URL.String() + " " + id + " " + secret + " " + string(body)
		return answering(200, nil, `{"access_token":"t","expires_in":3600}`)(r)
	}), "the id", "s:cret")
	if err != nil || token != (client.Token{Value: "t", Life: time.Hour}) || sent != "POST http://api.example/api/oauth/token the+id s%3Acret grant_type=client_credentials" {
		t.Errorf("%+v, %v; sent %s", token, err, sent)
	}
	for name, tt := range map[string]struct {
		transport    trip
		unauthorized bool
		detail       string
	}{
		"a wrong secret": {answering(401, nil, `{"error":"invalid_client","error_description":"Invalid credentials provided."}`), true, "Invalid credentials provided."},
		"no token":       {answering(200, nil, `{}`), false, "The API cannot be reached right now."},
		"a page":         {answering(503, nil, `<html>`), false, "The API answered 503 Service Unavailable."},
		"no network":     {func(*http.Request) (*http.Response, error) { return nil, context.DeadlineExceeded }, false, "The API did not answer in time. A change may have happened; look before you repeat it."},
	} {
		_, err := client.Exchange(t.Context(), "http://api.example", tt.transport, "id", "s:cret")
		if e := client.AsError(err); e.Detail != tt.detail || client.IsUnauthorized(err) != tt.unauthorized || strings.Contains(err.Error(), "s:cret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
