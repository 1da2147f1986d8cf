package console_test

import (
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/console"
	"latchkey/shared/httpapi"
	"latchkey/shared/identity/identitytest"
)

// trip answers without a network.
type trip func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f trip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// consoleAt is a console that asks what API the gateway names, through a transport.
func consoleAt(t *testing.T, through trip) *console.Console {
	t.Helper()
	clock := identitytest.NewClock()
	return console.New(console.Deps{Sealer: identitytest.NewSealer(t), Now: clock.Now, Log: slog.New(slog.DiscardHandler), Transport: through})
}

// signingIn is the form of somebody who signs in at a base.
func signingIn(t *testing.T, base string) *http.Request {
	t.Helper()
	form := url.Values{"kind": {"serviceAccount"}, "name": {clientID}, "secret": {clientSecret}}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/console/sign-in", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if base != "" {
		r = r.WithContext(httpapi.WithBase(r.Context(), base))
	}
	return r
}

var errAway = errors.New("away")

// Credentials go where the gateway says that the API is, whatever the request says of its host.
func TestCredentials_goToTheAPIAlone(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		base   string
		header []string
		want   string // host that is asked, "" for none
	}{
		"where the gateway says": {base: "https://api.example/prod", want: "api.example"},
		"with headers of proxies": {
			base: "https://api.example/prod", want: "api.example",
			header: []string{"X-Forwarded-Host", "evil.example", "Forwarded", "host=evil.example", "X-Forwarded-Proto", "http", "X-Original-Url", "//evil.example"},
		},
		"without a gateway":                      {base: ""},
		"over plain HTTP":                        {base: "http://api.example"},
		"over plain HTTP to a name that lies":    {base: "http://localhost.evil.example"},
		"at a root that is another host's":       {base: "https://api.example//evil.example"},
		"at a root that browsers read otherwise": {base: `https://api.example/\evil.example`},
		"at a root of dots":                      {base: "https://api.example/.."},
		"with the name of a user":                {base: "https://api.example@evil.example"},
		"on this machine":                        {base: "http://127.0.0.1:8080", want: "127.0.0.1:8080"},
		"on this machine, by a form of its own":  {base: "http://localhost:8080", header: []string{"Origin", "http://localhost:8080"}, want: "localhost:8080"},
		"on this machine, behind a proxy":        {base: "http://localhost:8080", header: []string{"Origin", "https://console.example"}},
		"on this machine, for nobody's page":     {base: "http://localhost:8080", header: []string{"Origin", "null"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var asked string
			c := consoleAt(t, func(r *http.Request) (*http.Response, error) {
				asked = r.URL.Host
				return nil, errAway
			})
			r := signingIn(t, tt.base)
			r.Host = "evil.example"
			for i := 0; i+1 < len(tt.header); i += 2 {
				r.Header.Set(tt.header[i], tt.header[i+1])
			}
			w := httptest.NewRecorder()
			c.ServeHTTP(w, r)
			if asked != tt.want || w.Code < 400 {
				t.Errorf("answer = %d; the credentials went to %q, want %q", w.Code, asked, tt.want)
			}
			if strings.Contains(w.Body.String(), "evil.example") {
				t.Errorf("the page leads to another host: %s", w.Body)
			}
		})
	}
}

// The gateway waits for 29 s, so that a page which asks twice must not wait as long for each answer.
func TestVisit_endsBeforeTheGatewayGivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began, calls := time.Now(), 0
		c := consoleAt(t, func(r *http.Request) (*http.Response, error) {
			calls++
			if calls == 1 { // a challenge, which takes its time
				time.Sleep(20 * time.Second)
				return &http.Response{
					StatusCode: http.StatusUnauthorized, Body: http.NoBody, Request: r,
					Header: http.Header{"Www-Authenticate": {`Digest realm="x", nonce="y", algorithm=MD5, qop="auth"`}},
				}, nil
			}
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		r := signingIn(t, "https://api.example")
		r.Body = http.NoBody
		r.URL.RawQuery, r.PostForm = "", url.Values{"kind": {"apiKey"}, "name": {publicKey}, "secret": {privateKey}}
		w := httptest.NewRecorder()
		c.ServeHTTP(w, r)
		if took := time.Since(began); took > 27*time.Second || calls != 2 {
			t.Errorf("%d calls took %v", calls, took)
		}
		if w.Code != http.StatusGatewayTimeout || !strings.Contains(w.Body.String(), "did not answer in time") {
			t.Errorf("answer = %d %s", w.Code, w.Body)
		}
	})
}
