// Package session keeps who is signed in to the console in a sealed cookie, and nowhere else.
//
// Its invariant: what a browser holds says nothing to whoever reads it, opens only while it
// lasts, and opens as nothing else that the deployment seals, nor does anything else open as it.
package session

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"latchkey/shared/seal"
)

// Longest is how long one may stay signed in with an API key. A token has an end of its own.
const Longest = 8 * time.Hour

// Kind is what somebody signed in with.
type Kind string

// The kinds.
const (
	APIKey         Kind = "apiKey"
	ServiceAccount Kind = "serviceAccount"
)

// Session is who is signed in.
type Session struct {
	Kind    Kind      `json:"kind"`
	Name    string    `json:"name"`   // the public key, or the client id
	Secret  string    `json:"secret"` // the private key, or the token
	Expires time.Time `json:"expires"`
}

// String keeps the secret out of logs.
func (s Session) String() string {
	return fmt.Sprintf("%s %s until %s", s.Kind, s.Name, s.Expires.Format(time.RFC3339))
}

// GoString keeps the secret out of %#v too.
func (s Session) GoString() string { return s.String() }

// Sealer seals and opens; *seal.Sealer is the one in use.
type Sealer interface {
	Seal(ctx context.Context, plaintext []byte, c seal.Context) (seal.Sealed, error)
	Open(ctx context.Context, sealed seal.Sealed, c seal.Context) ([]byte, error)
}

// ErrNone says that nobody is signed in: there is no session, it has ended, or it is not ours.
var ErrNone = errors.New("session: nobody is signed in")

// ErrForged is an ErrNone of what looked like a session: to tell took a question to the operator's key.
var ErrForged = fmt.Errorf("%w: what was sent is no session", ErrNone)

// maxCookie is the most that browsers keep.
const maxCookie = 4000

// Context is what sessions are sealed with. The template lets the console's role open nothing else.
func Context() seal.Context { return seal.Context{Scope: "console", Field: "session"} }

// Jar makes sessions of cookies and the reverse.
type Jar struct {
	Sealer Sealer
	Now    func() time.Time
}

// Place is where a cookie lives.
type Place struct {
	Secure bool   // over HTTPS
	Path   string // of the console, for a browser on this machine
}

// Name is the cookie's.
func (p Place) Name() string { return p.named("latchkey") }

// named puts a prefix before the name of a cookie that has browsers refuse it from other hosts and over
// plain HTTP.
func (p Place) named(name string) string {
	if p.Secure {
		return "__Host-" + name
	}
	return name
}

// Cookie is one that lives at a place, beside the session.
func (p Place) Cookie(name, value string, maxAge int) *http.Cookie {
	return &http.Cookie{ //nolint:gosec // G124: Secure but for plain HTTP on this machine
		Name: p.named(name), Value: value, Path: "/", MaxAge: maxAge, Secure: p.Secure, HttpOnly: true, SameSite: http.SameSiteStrictMode,
	}
}

// Find is the value of such a cookie, "" if there is none.
func (p Place) Find(r *http.Request, name string) string {
	cookie, err := r.Cookie(p.named(name))
	if err != nil {
		return ""
	}
	return cookie.Value
}

func (p Place) cookie(value string, maxAge int) *http.Cookie {
	c := p.Cookie("latchkey", value, maxAge) //nolint:gosec // G124: as above
	if !p.Secure {                           // __Host- demands the root
		c.Path = p.Path
	}
	return c
}

// Begin returns the cookie of a session.
func (j Jar) Begin(ctx context.Context, s Session, at Place) (*http.Cookie, error) {
	plain, err := json.Marshal(s) //nolint:gosec // G117: what is sealed
	if err != nil {
		return nil, fmt.Errorf("encode session: %w", err)
	}
	sealed, err := j.Sealer.Seal(ctx, plain, Context())
	if err != nil {
		return nil, fmt.Errorf("seal session: %w", err)
	}
	value := base64.RawURLEncoding.EncodeToString(sealed)
	if len(value) > maxCookie {
		return nil, fmt.Errorf("a session of %d bytes is more than browsers keep", len(value))
	}
	return at.cookie(value, int(s.Expires.Sub(j.Now()).Seconds())), nil
}

// End returns the cookie that takes a session away.
func (Jar) End(at Place) *http.Cookie { return at.cookie("", -1) }

// Read returns the session of a request: ErrNone if there is none, another error if it cannot be told.
func (j Jar) Read(ctx context.Context, r *http.Request, at Place) (Session, error) {
	cookie, err := r.Cookie(at.Name())
	if err != nil || cookie.Value == "" || len(cookie.Value) > maxCookie {
		return Session{}, ErrNone
	}
	sealed, err := base64.RawURLEncoding.DecodeString(cookie.Value)
	if err != nil {
		return Session{}, ErrNone
	}
	plain, err := j.Sealer.Open(ctx, sealed, Context())
	if errors.Is(err, seal.ErrUnopenable) {
		return Session{}, ErrForged
	}
	if err != nil {
		return Session{}, fmt.Errorf("open session: %w", err)
	}
	var s Session
	if err := json.Unmarshal(plain, &s); err != nil {
		return Session{}, ErrNone
	}
	if !j.Now().Before(s.Expires) {
		return Session{}, ErrNone
	}
	return s, nil
}
