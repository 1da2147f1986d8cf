package console_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/console"
	"latchkey/console/session"
	"latchkey/shared/httpapi"
	"latchkey/shared/identity/identitytest"
	"latchkey/shared/seal"
)

// counting counts what is asked to be opened.
type counting struct {
	session.Sealer
	opened atomic.Int64
}

// Open implements session.Sealer.
func (c *counting) Open(ctx context.Context, sealed seal.Sealed, at seal.Context) ([]byte, error) {
	c.opened.Add(1)
	return c.Sealer.Open(ctx, sealed, at)
}

// visitor asks a console from an address.
type visitor struct {
	t       *testing.T
	console *console.Console
	clock   *identitytest.Clock
	sealer  *counting
	asked   atomic.Int64 // of the API
}

func newVisitor(t *testing.T) *visitor {
	t.Helper()
	v := &visitor{t: t, clock: identitytest.NewClock(), sealer: &counting{Sealer: identitytest.NewSealer(t)}}
	v.console = console.New(console.Deps{
		Sealer: v.sealer, Now: v.clock.Now, Log: slog.New(slog.DiscardHandler),
		Transport: trip(func(r *http.Request) (*http.Response, error) {
			v.asked.Add(1)
			return &http.Response{StatusCode: http.StatusUnauthorized, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
		}),
	})
	return v
}

func (v *visitor) serve(r *http.Request, from string) *httptest.ResponseRecorder {
	v.t.Helper()
	r.RemoteAddr = from
	r.Header.Set("X-Forwarded-For", "192.0.2."+string('0'+rune(v.asked.Load()%10)))
	w := httptest.NewRecorder()
	v.console.ServeHTTP(w, r.WithContext(httpapi.WithBase(r.Context(), "https://api.example/prod")))
	return w
}

// forged asks for a page with a cookie that has the form of a session.
func (v *visitor) forged(from string, n byte) *httptest.ResponseRecorder {
	v.t.Helper()
	envelope := append([]byte{1, 0, 184}, bytes.Repeat([]byte{n}, 400)...)
	r := httptest.NewRequestWithContext(v.t.Context(), http.MethodGet, "/console/groups", nil)
	r.Header.Set("Cookie", "__Host-latchkey="+base64.RawURLEncoding.EncodeToString(envelope))
	return v.serve(r, from)
}

func TestForgedSessions_askTheOperatorsKeyAFewTimesOnly(t *testing.T) {
	t.Parallel()
	v := newVisitor(t)
	refused := 0
	for n := range 100 {
		switch w := v.forged("2001:db8::"+string('a'+rune(n%6)), byte(n)); { // one network
		case w.Code == http.StatusTooManyRequests && w.Header().Get("Retry-After") == "6" && strings.Contains(w.Body.String(), "Try again in 6 seconds"):
			refused++
		case w.Code != http.StatusSeeOther:
			t.Fatalf("answer = %d %s", w.Code, w.Body)
		}
	}
	if asked := v.sealer.opened.Load(); asked != 30 || refused != 70 {
		t.Errorf("the key was asked %d times, and %d were refused", asked, refused)
	}
	if w := v.forged("198.51.100.1", 1); w.Code != http.StatusSeeOther {
		t.Errorf("another network is answered %d", w.Code)
	}
	v.clock.Advance(6 * time.Second)
	if w := v.forged("2001:db8::1", 1); w.Code != http.StatusSeeOther {
		t.Errorf("later, it is answered %d", w.Code)
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/console/sign-in", nil)
	if w := v.serve(r, "2001:db8::1"); w.Code != http.StatusOK {
		t.Errorf("the page to sign in is answered %d", w.Code)
	}
}

// Only failures count: an office behind one address signs in as often as it likes.
func TestSignIn_thatSucceedsIsNotBounded(t *testing.T) {
	t.Parallel()
	w := open(t, "")
	for range 40 {
		w.signIn()
	}
}

func TestSignIn_isNotGuessed(t *testing.T) {
	t.Parallel()
	v := newVisitor(t)
	for range 100 {
		v.serve(signingIn(t, "https://api.example/prod"), "198.51.100.1")
	}
	if asked := v.asked.Load(); asked != 30 {
		t.Errorf("the API was asked %d times", asked)
	}
	w := v.serve(signingIn(t, "https://api.example/prod"), "198.51.100.1")
	if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "6" || !strings.Contains(w.Body.String(), "Try again in 6 seconds") || strings.Contains(w.Body.String(), clientSecret) {
		t.Errorf("answer = %d %s", w.Code, w.Body)
	}
	if w := v.serve(signingIn(t, "https://api.example/prod"), "203.0.113.9"); w.Code != http.StatusUnauthorized {
		t.Errorf("another network is answered %d", w.Code)
	}
}
