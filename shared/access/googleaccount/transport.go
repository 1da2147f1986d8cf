package googleaccount

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"

	"latchkey/shared/verdict"
)

// Transport puts the identity's token on every request. A token that the API refuses (401) is
// replaced once, because Google revokes tokens before their time; the second refusal is the
// API's answer. Errors of getting a token are Token's.
func (i *Identity) Transport(base http.RoundTripper) http.RoundTripper {
	return transport{identity: i, base: base}
}

type transport struct {
	identity *Identity
	base     http.RoundTripper
}

// RoundTrip sends the request as the identity.
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	value, err := t.identity.Token(r.Context())
	if err != nil {
		closeBody(r)
		return nil, err
	}
	again, err := replay(r)
	if err != nil {
		closeBody(r)
		return nil, err
	}
	resp, err := t.base.RoundTrip(authorized(r, value))
	if err != nil || resp.StatusCode != http.StatusUnauthorized || again == nil {
		return resp, err
	}
	t.identity.forget(value)
	if value, err = t.identity.Token(r.Context()); err != nil {
		resp.Body.Close() //nolint:errcheck // nothing can be done about it
		closeBody(again)
		return nil, err
	}
	resp.Body.Close() //nolint:errcheck // nothing can be done about it
	return t.base.RoundTrip(authorized(again, value))
}

func authorized(r *http.Request, value string) *http.Request {
	out := r.Clone(r.Context())
	out.Header.Set("Authorization", "Bearer "+value)
	return out
}

// replay is the request with its body at the start again, nil if that can't be had.
func replay(r *http.Request) (*http.Request, error) {
	again := r.Clone(r.Context())
	switch {
	case r.Body == nil || r.Body == http.NoBody:
		return again, nil
	case r.GetBody == nil:
		return nil, nil
	}
	body, err := r.GetBody()
	again.Body = body
	return again, err
}

// closeBody does what every RoundTripper must, also for a request that it does not send.
func closeBody(r *http.Request) {
	if r.Body != nil {
		r.Body.Close() //nolint:errcheck // nothing can be done about it
	}
}

// httpClient follows no redirects: Google's APIs send none, and a token must not go elsewhere.
func httpClient(rt http.RoundTripper) *http.Client {
	return &http.Client{
		Transport:     rt,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// maxAnswer bounds what is read of an answer.
const maxAnswer = 1 << 20

// send performs a request and reads its answer.
func send(hc *http.Client, r *http.Request) (int, []byte, error) {
	resp, err := hc.Do(r)
	if err != nil {
		return 0, nil, Unreachable(r.Context(), err)
	}
	defer resp.Body.Close() //nolint:errcheck // nothing can be done about it
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return 0, nil, Unreachable(r.Context(), err)
	}
	return resp.StatusCode, body, nil
}

// Unreachable explains an error of a transport. An end of ctx stays what it is, a failure to
// get a token stays that; anything else means that Google was not reached.
func Unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return err
	}
	if f, ok := errors.AsType[*verdict.Failure](err); ok {
		return f
	}
	if n, ok := errors.AsType[net.Error](err); ok && n.Timeout() {
		return &verdict.Failure{Reason: verdict.TimedOut, Err: err}
	}
	return &verdict.Failure{Reason: verdict.ConnectFailed, Err: err}
}
