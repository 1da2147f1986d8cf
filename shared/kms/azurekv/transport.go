package azurekv

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
)

// maxAnswer bounds what is read of an answer; those that are expected have a few kilobytes.
const maxAnswer = 1 << 20

// transport is the SDK's transport over an http.RoundTripper. It follows no redirect: none of
// the services sends one, and a token must not travel.
type transport struct{ base http.RoundTripper }

// Do sends one request.
func (t transport) Do(r *http.Request) (*http.Response, error) {
	sent, err := detached(r)
	if err != nil {
		return nil, &transportError{err}
	}
	resp, err := t.base.RoundTrip(sent)
	if err == nil && resp.StatusCode == http.StatusUnauthorized && !plausible(resp.Header.Get("WWW-Authenticate")) {
		resp.Body.Close() //nolint:errcheck // nothing was written
		err = errChallenge
	}
	if err != nil {
		err = &transportError{err}
		if kept, ok := r.Context().Value(keptErrorKey{}).(*keptError); ok {
			kept.set(err)
		}
		return nil, err
	}
	resp.Body = limited{io.LimitReader(resp.Body, maxAnswer), resp.Body}
	if resp.Request == nil {
		resp.Request = r
	}
	return resp, nil
}

// detached copies a request with its body. The SDK rewinds the body as soon as an attempt is
// given up, when a transport may still be reading it.
func detached(r *http.Request) (*http.Request, error) {
	out := r.Clone(r.Context())
	if r.Body == nil || r.Body == http.NoBody {
		return out, nil
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	out.Body = io.NopCloser(bytes.NewReader(body))
	out.ContentLength = int64(len(body))
	out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	return out, nil
}

type limited struct {
	io.Reader
	io.Closer
}

var errChallenge = errors.New("azurekv: the vault's challenge names no authority")

// plausible reports whether the SDK can read a challenge. It panics on one whose authority is
// no address with a path, and it reads challenges by cutting at spaces, so that is what is
// checked here.
func plausible(challenge string) bool {
	for part := range strings.SplitSeq(strings.ReplaceAll(challenge, "Bearer ", ""), " ") {
		authority, ok := strings.CutPrefix(part, "authorization=")
		if ok && strings.Count(authority, "/") < 3 {
			return false
		}
	}
	return true
}

// challengedTenant is the tenant that a challenge sends the client to:
// Bearer authorization="https://login.microsoftonline.com/{tenant}", resource="…".
func challengedTenant(challenge string) string {
	_, rest, ok := strings.Cut(challenge, `authorization="`)
	if !ok {
		return ""
	}
	authority, _, ok := strings.Cut(rest, `"`)
	u, err := url.Parse(authority)
	if !ok || err != nil || u.Scheme != "https" || u.Host == "" {
		return ""
	}
	tenant, _, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	return tenant
}

// transportError is a request that got no answer.
type transportError struct{ err error }

// Error is the text of the cause.
func (e *transportError) Error() string { return e.err.Error() }

// Unwrap returns the cause.
func (e *transportError) Unwrap() error { return e.err }

// keptError carries a transport error past code that turns it into text.
type keptError struct {
	mu  sync.Mutex
	err error
}

type keptErrorKey struct{}

func (k *keptError) set(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.err = err
}

func (k *keptError) get() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.err
}
