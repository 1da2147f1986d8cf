package sim

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"time"

	"latchkey/local/pocket"
)

// sent is a request with its content, which can be sent more than once.
type sent struct {
	*http.Request

	body []byte
}

func take(r *http.Request) (sent, error) {
	if r.Body == nil {
		return sent{r, nil}, nil
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return sent{}, err
	}
	return sent{r, body}, r.Body.Close()
}

func (s sent) to(t http.RoundTripper, ctx context.Context) (*http.Response, error) { //nolint:revive // the receiver is what is sent
	r := s.WithContext(ctx)
	r.Body = s.again()
	return t.RoundTrip(r)
}

// again is the content once more.
func (s sent) again() io.ReadCloser { return io.NopCloser(bytes.NewReader(s.body)) }

// wire carries the requests of one kind.
type wire struct {
	to        http.RoundTripper
	kind      kind
	conductor *conductor
	// by is who sends; nil is whoever the request's context says.
	by *process
	// cut says whether nothing passes now; nil is never.
	cut func() bool
	// refuse has the other side refuse the next request instead; nil is that nobody is reached.
	refuse func(r *http.Request, draw uint64)
	silent func(r *http.Request)
}

// RoundTrip implements http.RoundTripper.
func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	s, err := take(r)
	if err != nil {
		return nil, err
	}
	ctx := r.Context()
	if w.by != nil {
		ctx = within(ctx, w.by)
	}
	what := r.Method + " " + r.URL.Host + r.URL.Path
	if w.kind == calling { // a process may make several calls at once
		what += " " + r.Header.Get("X-Amz-Target") + about(s.body)
	}
	f, err := w.conductor.enter(ctx, w.kind, what)
	switch {
	case err != nil:
		return nil, err
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case w.cut != nil && w.cut(), f.kind == refused && w.refuse == nil:
		return nil, errInjected
	}
	return w.carry(ctx, s, f, what)
}

// carry sends the request at its turn, and has it meet its mishap.
func (w *wire) carry(ctx context.Context, s sent, f fault, what string) (*http.Response, error) {
	switch f.kind { //nolint:exhaustive // the others pass
	case refused:
		w.refuse(s.Request, f.draw)
	case silent:
		w.silent(s.Request)
	case repeated:
		if resp, err := s.to(w.to, ctx); err == nil {
			resp.Body.Close() //nolint:errcheck // nobody reads it
		}
	}
	asked := time.Now()
	resp, err := s.to(w.to, ctx)
	if time.Now().After(asked) { // others may go on at this very instant too
		if _, dead := w.conductor.enter(ctx, answering, what); dead != nil {
			return nil, dead
		}
	}
	switch f.kind { //nolint:exhaustive // the others are answered
	case killedAfter:
		processOf(ctx).end()
		return nil, errDead
	case lost:
		return nil, errInjected
	}
	return resp, err
}

// patient takes a turn for each attempt, since clients sleep between two, and when an answer took a while, as everybody does
// who was asleep.
type patient struct {
	http.RoundTripper

	world *World
}

// RoundTrip implements http.RoundTripper.
func (p patient) RoundTrip(r *http.Request) (*http.Response, error) {
	if !p.world.awaitTurn(r.Context(), "asks its cloud") {
		return nil, errDead
	}
	asked := time.Now()
	resp, err := p.RoundTripper.RoundTrip(r)
	if time.Now().After(asked) && !p.world.awaitTurn(r.Context(), "is answered") {
		return nil, errDead
	}
	return resp, err
}

// cloudRefuses are the ways in which a cloud refuses what it would have done.
var cloudRefuses = []pocket.FaultKind{pocket.Throttle, pocket.ServerError, pocket.Down, pocket.Slow}
