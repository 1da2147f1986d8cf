package httpapi

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"latchkey/shared/atlas"
	"latchkey/shared/identity"
	"latchkey/shared/store"
)

// MaxBody is the largest request body that is read.
const MaxBody = 1 << 20

// Gate admits callers; identity.Gate is the one in use.
type Gate interface {
	Admit(ctx context.Context, c identity.Caller, a identity.Attempt) error
}

// Config is what an API needs besides its routes.
type Config struct {
	Gate Gate
	Now  func() time.Time
	Log  *slog.Logger
	// Ended is called when a request has been answered, also one that failed; nil calls nothing.
	Ended func(ctx context.Context)
}

// API serves routes over HTTP. It is an http.Handler.
type API struct {
	cfg    Config
	router chi.Router
	limits *Limiter
	routes []Route
}

// New joins routes into an API. It panics if two routes have the same method and path, which
// is a mistake of the program.
func New(cfg Config, groups ...[]Route) *API {
	a := &API{cfg: cfg, router: chi.NewRouter(), limits: NewLimiter(cfg.Now)}
	seen := map[string]bool{}
	for _, routes := range groups {
		for _, r := range routes {
			key := r.Method + " " + r.Path
			if seen[key] {
				panic("httpapi: two routes for " + key)
			}
			seen[key] = true
			a.routes = append(a.routes, r)
			a.router.Method(r.Method, r.Path, a.endpoint(r))
		}
	}
	a.router.NotFound(a.refuse(func(r *http.Request) error {
		return atlas.Fail(atlas.ResourceNotFound, r.URL.Path)
	}))
	a.router.MethodNotAllowed(a.refuseMethod)
	return a
}

// Routes lists what the API serves, for the tests that hold code and template together.
func (a *API) Routes() []Route { return a.routes }

// ServeHTTP serves one request: never panics, always answers, logs one line.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	call := &call{start: a.cfg.Now(), requestID: requestID(r)}
	w.Header().Set(RequestIDHeader, call.requestID)
	r = escaped(r.WithContext(context.WithValue(r.Context(), callKey{}, call)))
	defer a.log(r, call)
	if a.cfg.Ended != nil {
		defer a.cfg.Ended(r.Context())
	}
	defer func() {
		if p := recover(); p != nil {
			err := fmt.Errorf("panic: %v\n%s", p, debug.Stack())
			a.fail(w, r, call, err)
		}
	}()
	a.router.ServeHTTP(w, r)
}

// call collects what the log line says about a request.
type call struct {
	start     time.Time
	requestID string
	route     string
	groupID   string
	routine   bool
	status    int
	code      atlas.Code
	err       error
}

type (
	callKey   struct{}
	callerKey struct{}
	baseKey   struct{}
)

// WithCaller puts the authenticated caller into a request's context. Adapters call it.
func WithCaller(ctx context.Context, c identity.Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// WithBase puts the URL of the API's root, as clients reach it, into a request's context.
func WithBase(ctx context.Context, base string) context.Context {
	return context.WithValue(ctx, baseKey{}, strings.TrimSuffix(base, "/"))
}

// BaseOf returns the URL that WithBase put into a request's context, "" without one.
func BaseOf(ctx context.Context) string {
	base, _ := ctx.Value(baseKey{}).(string)
	return base
}

func callOf(r *http.Request) *call {
	c, ok := r.Context().Value(callKey{}).(*call)
	if !ok {
		return &call{}
	}
	return c
}

// endpoint turns a route into an http.Handler.
func (a *API) endpoint(route Route) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c := callOf(r)
		c.route, c.routine = route.Operation, route.Routine
		resp, req, err := a.serve(w, r, route, c)
		if err != nil {
			a.fail(w, r, c, err)
			return
		}
		deprecate(w.Header(), route.Deprecated[req.Version])
		switch {
		case resp.Text != "":
			c.status = writeText(w, resp)
			return
		case resp.Raw:
			c.status = writeRaw(w, resp)
			return
		}
		c.status, err = write(w, req.Query, req.Version.MediaType(), resp)
		if err != nil {
			a.fail(w, r, c, err)
		}
	}
}

// serve runs the checks every operation needs, in this order: ids, rate limit, access,
// version, body; then the operation.
func (a *API) serve(w http.ResponseWriter, r *http.Request, route Route, c *call) (Response, *Request, error) {
	req, err := newRequest(r)
	if err != nil {
		return Response{}, nil, err
	}
	c.groupID = req.GroupID()
	if err := a.limit(w.Header(), route, req); err != nil {
		return Response{}, nil, err
	}
	if err := a.admit(r.Context(), route, req); err != nil {
		return Response{}, nil, err
	}
	if req.Version, err = negotiate(r.Header, route.Versions); err != nil {
		return Response{}, nil, err
	}
	if req.Body, err = readBody(w, r); err != nil {
		return Response{}, nil, err
	}
	resp, err := route.Handle(r.Context(), req)
	return resp, req, err
}

// admit asks the gate. Each refusal is an event that is written, whatever the group that was
// named, so a caller who is refused again and again is slowed down before the gate is asked.
func (a *API) admit(ctx context.Context, route Route, req *Request) error {
	if !req.Caller.Anonymous() {
		if retry, ok := a.limits.Left(limitRefused, req.Caller.ID); !ok {
			return limitRefused.Exceeded(req, retry)
		}
	}
	err := a.cfg.Gate.Admit(ctx, req.Caller, identity.Attempt{
		Operation: route.Operation, Rule: route.Rule, GroupID: req.GroupID(), OrgID: req.OrgID(),
	})
	if atlas.CodeOf(err).Status() < http.StatusInternalServerError && err != nil && !req.Caller.Anonymous() {
		a.limits.Take(limitRefused, req.Caller.ID)
	}
	return err
}

func newRequest(r *http.Request) (*Request, error) {
	caller, _ := r.Context().Value(callerKey{}).(identity.Caller)
	if caller.RemoteAddress == "" {
		caller.RemoteAddress = remoteHost(r)
	}
	base, ok := r.Context().Value(baseKey{}).(string)
	if !ok {
		base = "http://" + r.Host
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, atlas.Fail(atlas.InvalidQueryParameter, "?"+r.URL.RawQuery).Because(err)
	}
	req := &Request{
		Caller: caller, Base: base, Path: r.URL.RawPath, Query: query, Header: r.Header, params: map[string]string{},
	}
	rctx := chi.RouteContext(r.Context())
	for i, name := range rctx.URLParams.Keys {
		value, err := url.PathUnescape(rctx.URLParams.Values[i])
		if err != nil {
			return nil, atlas.Fail(atlas.InvalidPathParameter, name).Because(err)
		}
		req.params[name] = value
	}
	if id, has := req.params["groupId"]; has && !atlas.ValidID(id) {
		return nil, atlas.Fail(atlas.InvalidGroupID, id)
	}
	if id, has := req.params["orgId"]; has && !atlas.ValidID(id) {
		return nil, atlas.Fail(atlas.InvalidOrgID, id)
	}
	return req, nil
}

// remoteHost is the peer's address without its port. Gateways may leave the port out.
func remoteHost(r *http.Request) string {
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		return host
	}
	return r.RemoteAddr
}

// limit draws a token for the request and says in the headers how many are left.
func (a *API) limit(h http.Header, route Route, req *Request) error {
	if route.Limit.ID == "" {
		return nil
	}
	subject := Neighbourhood(req.Caller.RemoteAddress)
	switch route.Limit.Scope {
	case PerGroup:
		// Everybody with access to a group is of one organisation; strangers, who are refused
		// only later, draw from buckets of their own.
		subject = req.Caller.OrgID + "/" + req.GroupID()
	case PerOrg:
		subject = req.Caller.OrgID
	case PerUser:
		subject = req.Caller.ID
	case PerIP:
	}
	left, retry, ok := a.limits.Take(route.Limit, subject)
	h.Set("RateLimit-Limit", strconv.Itoa(route.Limit.Capacity))
	h.Set("RateLimit-Remaining", strconv.Itoa(left))
	if ok {
		return nil
	}
	return route.Limit.Exceeded(req, retry)
}

func negotiate(h http.Header, available []atlas.Version) (atlas.Version, error) {
	if available == nil {
		return "", nil
	}
	asked, ok := atlas.ParseAccept(strings.Join(h.Values("Accept"), ","))
	if ok {
		if v, ok := atlas.Resolve(asked, available); ok {
			return v, nil
		}
	}
	return "", atlas.Fail(atlas.InvalidVersionDate).
		Hinting("Send Accept: application/vnd.atlas.%s+json or a later date.", available[0])
}

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, atlas.Fail(atlas.RequestTooLarge, tooLarge.Limit)
	}
	if err != nil {
		return nil, atlas.Fail(atlas.MalformedJSON).Because(err)
	}
	return body, nil
}

// escaped prepares the path for the router, which matches RawPath where there is one: always
// the escaped form, so that each parameter is unescaped exactly once.
func escaped(r *http.Request) *http.Request {
	u := *r.URL
	u.RawPath = trimSlash(u.EscapedPath())
	u.Path = trimSlash(u.Path)
	r.URL = &u
	return r
}

// refuseMethod answers requests for a path that exists with a method that it does not have,
// and names those it has, as RFC 9110 demands.
func (a *API) refuseMethod(w http.ResponseWriter, r *http.Request) {
	for _, method := range []string{
		http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
	} {
		if a.router.Match(chi.NewRouteContext(), method, r.URL.RawPath) {
			w.Header().Add("Allow", method)
		}
	}
	a.fail(w, r, callOf(r), atlas.Fail(atlas.MethodNotAllowed, r.Method))
}

// refuse answers requests that match no route.
func (a *API) refuse(why func(*http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { a.fail(w, r, callOf(r), why(r)) }
}

// fail writes the error envelope. It is the one place where errors become HTTP.
func (a *API) fail(w http.ResponseWriter, r *http.Request, c *call, err error) {
	e := atlas.AsError(err)
	if errors.Is(err, store.ErrConflict) && e.Code == atlas.UnexpectedError {
		e = atlas.Fail(atlas.ConcurrentModification).Because(err)
	}
	c.code, c.err, c.status = e.Code, err, e.Status()
	writeError(w, r.URL.Query(), e)
}

func (a *API) log(r *http.Request, c *call) {
	caller, _ := r.Context().Value(callerKey{}).(identity.Caller)
	level := slog.LevelInfo
	if c.routine && c.status < http.StatusBadRequest {
		level = slog.LevelDebug
	}
	attrs := []slog.Attr{
		slog.String("requestId", c.requestID), slog.String("method", r.Method), slog.String("operation", c.route),
		slog.Int("status", c.status), slog.Duration("duration", a.cfg.Now().Sub(c.start)),
		slog.String("caller", caller.Name), slog.String("groupId", c.groupID),
		slog.String("userAgent", truncate(r.UserAgent(), 200)),
	}
	if c.code != "" {
		attrs = append(attrs, slog.String("errorCode", string(c.code)))
	}
	if c.err != nil && c.status >= http.StatusInternalServerError {
		level = slog.LevelError
		attrs = append(attrs, slog.String("error", c.err.Error()))
	}
	a.cfg.Log.LogAttrs(r.Context(), level, "request", attrs...)
}

func truncate(s string, n int) string { return s[:min(len(s), n)] }

// RequestIDHeader carries a request's id: to the API from the gateway in front of it, and from
// the API to the client, who can quote it. The log line of the request has the same id.
const RequestIDHeader = "X-Request-Id"

// maxRequestID bounds the ids that are believed; those of API Gateway are UUIDs.
const maxRequestID = 128

// isRequestID tells what ids look like from what a log or a header could be broken with.
func isRequestID(id string) bool {
	foreign := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("._=-", r)
	}
	return id != "" && len(id) <= maxRequestID && !strings.ContainsFunc(id, foreign)
}

// requestID is the id that the gateway gave the request, or else a new one.
func requestID(r *http.Request) string {
	if id := r.Header.Get(RequestIDHeader); isRequestID(id) {
		return id
	}
	var b [8]byte
	rand.Read(b[:]) // never fails since Go 1.24
	return hex.EncodeToString(b[:])
}
