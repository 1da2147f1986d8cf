// Package gateway behaves as an Amazon API Gateway REST API with Lambda proxy integrations and a
// REQUEST authorizer does, driven by the deployment template, so that what works against it
// works when deployed: its events, its routing, its gateway responses, its limits, and its habit
// of renaming the WWW-Authenticate header.
//
// What it copies, and where it is unsure, is in docs/gateway.md.
package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"latchkey/local/lambdasvc"
	"latchkey/local/template"
)

// Limits of a REST API that clients run into.
const (
	maxBody            = 10 << 20
	integrationTimeout = 29 * time.Second
)

// Config is what a gateway is made of.
type Config struct {
	Template *template.Template
	// Functions are the handlers by the logical id of their function.
	Functions map[string]lambdasvc.Invoker
	Now       func() time.Time
	Log       *slog.Logger
}

// Gateway serves the API of a template. It is an http.Handler.
type Gateway struct {
	spec      Spec
	functions map[string]lambdasvc.Invoker
	now       func() time.Time
	log       *slog.Logger
}

// New returns the gateway of a template. Every function that its routes lead to must be there.
func New(cfg Config) (*Gateway, error) {
	spec, err := ReadSpec(cfg.Template)
	if err != nil {
		return nil, err
	}
	needed := map[string]bool{}
	if spec.Authorizer != "" {
		needed[spec.Authorizer] = true
	}
	for _, r := range spec.Routes {
		needed[r.Function] = true
	}
	for id := range needed {
		if cfg.Functions[id] == nil {
			return nil, fmt.Errorf("gateway: there is no handler for %s", id)
		}
	}
	return &Gateway{spec: spec, functions: cfg.Functions, now: cfg.Now, log: cfg.Log}, nil
}

// ServeHTTP serves one request.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := newExchange(r, g.spec.Stage, g.now())
	ctx := lambdasvc.WithRequestID(r.Context(), x.requestID)
	var err error
	x.body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		g.refuse(w, x, "REQUEST_TOO_LARGE")
		return
	}
	if err != nil {
		return // the client broke off
	}
	route, params, ok := g.spec.Match(r.Method, x.path)
	if !ok {
		g.refuse(w, x, "MISSING_AUTHENTICATION_TOKEN")
		return
	}
	x.route, x.params = route, params
	if refusal := g.authorize(ctx, x); refusal != "" {
		g.refuse(w, x, refusal)
		return
	}
	g.integrate(ctx, w, x)
}

// integrate has the route's function answer the request.
func (g *Gateway) integrate(ctx context.Context, w http.ResponseWriter, x *exchange) {
	out, err := g.call(ctx, x.route.Function, x.proxyEvent())
	switch {
	case errors.Is(err, errTimeout):
		g.complain(ctx, x, x.route.Function, err)
		g.refuse(w, x, "INTEGRATION_TIMEOUT")
		return
	case errors.Is(err, errTooLarge):
		g.refuse(w, x, "REQUEST_TOO_LARGE")
		return
	case err == nil:
		err = x.relay(w, out)
	}
	if err != nil {
		g.complain(ctx, x, x.route.Function, err)
		g.refuse(w, x, "DEFAULT_5XX") // a 502, whatever went wrong within the function
	}
}

var (
	errTimeout  = errors.New("no answer within 29 s")
	errTooLarge = errors.New("the event is larger than Lambda takes")
)

// call invokes a function and waits as long as the gateway does. The function goes on after
// that, and after the client has gone.
func (g *Gateway) call(ctx context.Context, function string, event any) ([]byte, error) {
	payload, err := json.Marshal(event)
	if err != nil {
		return nil, fmt.Errorf("encode event: %w", err)
	}
	if len(payload) > lambdasvc.MaxPayload {
		return nil, errTooLarge
	}
	type result struct {
		out []byte
		err error
	}
	done := make(chan result, 1)
	go func() {
		out, err := g.functions[function].Invoke(context.WithoutCancel(ctx), payload)
		done <- result{out, err}
	}()
	timer := time.NewTimer(integrationTimeout)
	defer timer.Stop()
	select {
	case r := <-done:
		if len(r.out) > lambdasvc.MaxPayload {
			return nil, fmt.Errorf("the answer has %d bytes, more than Lambda passes on", len(r.out))
		}
		return r.out, r.err
	case <-timer.C:
		return nil, errTimeout
	}
}
