package session_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"latchkey/console/session"
	"latchkey/shared/identity/identitytest"
	"latchkey/shared/seal"
)

const secret = "11111111-2222-4333-8444-555555555555"

func mine(clock *identitytest.Clock) session.Session {
	return session.Session{Kind: session.APIKey, Name: "abcdefgh", Secret: secret, Expires: clock.Now().Add(time.Hour)}
}

func jar(t *testing.T) (session.Jar, *identitytest.Clock) {
	t.Helper()
	clock := identitytest.NewClock()
	return session.Jar{Sealer: identitytest.NewSealer(t), Now: clock.Now}, clock
}

// carrying is a request with a cookie.
func carrying(t *testing.T, name, value string) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
	r.Header.Set("Cookie", name+"="+value)
	return r
}

var secure = session.Place{Secure: true, Path: "/prod/console"}

func TestSession_comesBackUntilItEnds(t *testing.T) {
	t.Parallel()
	j, clock := jar(t)
	want := mine(clock)
	cookie, err := j.Begin(t.Context(), want, secure)
	if err != nil {
		t.Fatal(err)
	}
	if cookie.MaxAge != 3600 || !cookie.HttpOnly || !cookie.Secure || cookie.SameSite != http.SameSiteStrictMode || cookie.Path != "/" || cookie.Name != "__Host-latchkey" {
		t.Errorf("the cookie: %v", cookie)
	}
	read := func() (session.Session, error) {
		return j.Read(t.Context(), carrying(t, cookie.Name, cookie.Value), secure)
	}
	clock.Advance(time.Hour - time.Second)
	if got, err := read(); err != nil || got.Secret != secret || got.Name != want.Name || !got.Expires.Equal(want.Expires) {
		t.Errorf("got %v, %v", got, err)
	}
	clock.Advance(time.Second)
	if _, err := read(); !errors.Is(err, session.ErrNone) {
		t.Errorf("after its end: %v", err)
	}
	if end := j.End(secure); end.MaxAge >= 0 || end.Value != "" || end.Name != cookie.Name || end.Path != cookie.Path {
		t.Errorf("its end: %v", end)
	}
}

func TestSession_ofThisMachineStaysBelowTheConsole(t *testing.T) {
	t.Parallel()
	j, clock := jar(t)
	at := session.Place{Path: "/console"}
	cookie, err := j.Begin(t.Context(), mine(clock), at)
	if err != nil || cookie.Secure || cookie.Path != "/console" || cookie.Name != "latchkey" {
		t.Errorf("%v, %v", cookie, err)
	}
	if _, err := j.Read(t.Context(), carrying(t, cookie.Name, cookie.Value), secure); !errors.Is(err, session.ErrNone) {
		t.Errorf("where it is secure: %v", err)
	}
}

func TestSession_thatWasTamperedWithIsNone(t *testing.T) {
	t.Parallel()
	j, clock := jar(t)
	cookie, err := j.Begin(t.Context(), mine(clock), secure)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := base64.RawURLEncoding.DecodeString(cookie.Value)
	if err != nil {
		t.Fatal(err)
	}
	for i := range sealed {
		changed := append([]byte{}, sealed...)
		changed[i] ^= 1
		if s, err := j.Read(t.Context(), carrying(t, cookie.Name, base64.RawURLEncoding.EncodeToString(changed)), secure); !errors.Is(err, session.ErrNone) {
			t.Fatalf("with byte %d changed: %v, %v", i, s, err)
		}
	}
	for _, value := range []string{"", "!", cookie.Value[:len(cookie.Value)/2], cookie.Value + "AAAA", strings.Repeat("A", 5000)} {
		if _, err := j.Read(t.Context(), carrying(t, cookie.Name, value), secure); !errors.Is(err, session.ErrNone) {
			t.Errorf("%.20q: %v", value, err)
		}
	}
	if _, err := j.Read(t.Context(), httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil), secure); !errors.Is(err, session.ErrNone) {
		t.Errorf("without a cookie: %v", err)
	}
}

// What else the deployment seals opens as no session.
func TestSession_ofAnotherContextIsNone(t *testing.T) {
	t.Parallel()
	j, clock := jar(t)
	plain := fmt.Appendf(nil, `{"kind":"apiKey","name":"x","secret":"y","expires":%q}`, clock.Now().Add(time.Hour).Format(time.RFC3339))
	own := session.Context()
	for name, c := range map[string]seal.Context{
		"of another scope": {Scope: "32b6e34b3d91647abb20e7b8", Field: own.Field},
		"of another field": {Scope: own.Scope, Field: "awsKms.secretAccessKey"},
		"its own":          own,
	} {
		sealed, err := j.Sealer.Seal(t.Context(), plain, c)
		if err != nil {
			t.Fatal(err)
		}
		_, err = j.Read(t.Context(), carrying(t, secure.Name(), base64.RawURLEncoding.EncodeToString(sealed)), secure)
		if errors.Is(err, session.ErrNone) == (c == own) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// away is a sealer whose keys cannot be reached.
type away struct{ session.Sealer }

var errAway = errors.New("away")

func (away) Open(context.Context, seal.Sealed, seal.Context) ([]byte, error) { return nil, errAway }

// Nobody is signed out because of an outage.
func TestSession_thatCannotBeToldIsNotNone(t *testing.T) {
	t.Parallel()
	j, clock := jar(t)
	cookie, err := j.Begin(t.Context(), mine(clock), secure)
	if err != nil {
		t.Fatal(err)
	}
	j.Sealer = away{j.Sealer}
	if _, err := j.Read(t.Context(), carrying(t, cookie.Name, cookie.Value), secure); !errors.Is(err, errAway) || errors.Is(err, session.ErrNone) {
		t.Errorf("got %v", err)
	}
}

func TestSession_thatBrowsersWouldDropIsRefused(t *testing.T) {
	t.Parallel()
	j, clock := jar(t)
	s := mine(clock)
	s.Secret = strings.Repeat("x", 4000)
	if c, err := j.Begin(t.Context(), s, secure); err == nil {
		t.Errorf("got %d bytes", len(c.Value))
	}
}

func TestSession_tellsNoSecretInLogs(t *testing.T) {
	t.Parallel()
	_, clock := jar(t)
	s := mine(clock)
	for _, format := range []string{"%v", "%+v", "%s", "%#v"} {
		if text := fmt.Sprintf(format, s); strings.Contains(text, secret) || !strings.Contains(text, s.Name) {
			t.Errorf("%s: %s", format, text)
		}
	}
}
