// Package console is the web page of the product: what the API does, for people who click.
//
// Its invariant: it is one more client of the public API, with the rights of whoever is signed in.
// It has no table, reaches no cloud, and keeps nothing but a sealed cookie in the browser.
package console

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"path"
	"strings"
	"time"

	"latchkey/console/client"
	"latchkey/console/session"
	"latchkey/shared/httpapi"
)

// Deps is what the console is made of.
type Deps struct {
	Sealer session.Sealer // of sessions
	Now    func() time.Time
	Log    *slog.Logger
	// API is the URL of the API's root; "" is where the request was sent to, as the gateway says.
	// Without either the console is not there: nothing that a client says names where credentials go.
	API string
	// Transport is how the API is reached; nil is the network.
	Transport http.RoundTripper
}

// Console serves the pages. It is an http.Handler.
type Console struct {
	deps      Deps
	jar       session.Jar
	nonces    *client.Nonces
	limits    *httpapi.Limiter
	views     *views
	pages     []Page
	fragments []Fragment
	guard     *http.CrossOriginProtection
	mux       *http.ServeMux
}

// New returns the console with all its pages. It panics if its own files are wrong, which is a mistake
// of the program.
func New(deps Deps) *Console {
	c := &Console{
		deps: deps, jar: session.Jar{Sealer: deps.Sealer, Now: deps.Now}, nonces: &client.Nonces{},
		limits: httpapi.NewLimiter(deps.Now),
		views:  newViews(deps.Now), pages: pages(), fragments: fragments(), guard: http.NewCrossOriginProtection(), mux: http.NewServeMux(),
	}
	c.mux.HandleFunc("GET "+assetsPath+"{name}", c.asset)
	c.mux.HandleFunc("GET /{$}", c.home)
	c.mux.HandleFunc("GET "+root+"/{$}", c.home)
	c.mux.HandleFunc("GET "+root, c.home)
	c.mux.HandleFunc("GET "+signInPath, c.showSignIn)
	c.mux.HandleFunc("POST "+signInPath, c.signIn)
	c.mux.HandleFunc("POST "+signOutPath, c.signOut)
	for _, p := range c.pages {
		c.mux.HandleFunc("GET "+p.Path, c.page(p))
	}
	for _, f := range c.fragments {
		c.mux.HandleFunc("GET "+f.Path, c.fragment(f, false))
		if f.Posted {
			c.mux.HandleFunc("POST "+f.Path, c.fragment(f, true))
		}
	}
	for _, a := range actions() {
		c.mux.HandleFunc("POST "+a.Path, c.action(a))
	}
	c.mux.HandleFunc("/", c.noPage)
	return c
}

// Where the console's own pages are, below the root of the API.
const (
	root        = "/console"
	assetsPath  = root + "/assets/"
	signInPath  = root + "/sign-in"
	signOutPath = root + "/sign-out"
	groupsPath  = root + "/groups"
)

// maxForm is the largest form that is read; no field is larger than the JSON key of a service account.
const maxForm = 64 << 10

// ServeHTTP serves one request: never panics, always answers, logs one line.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := c.deps.Now()
	answer := &recorder{ResponseWriter: w}
	v := c.visit(answer, r)
	defer func() {
		if p := recover(); p != nil {
			v.err = panicked(p)
			c.fail(v, v.err)
		}
		c.log(v, answer.status, c.deps.Now().Sub(began))
	}()
	ctx, cancel := context.WithTimeout(r.Context(), client.Patience)
	defer cancel()
	v.r = r.WithContext(ctx)
	c.protect(w.Header(), v)
	if v.astray {
		c.refuse(v, http.StatusNotFound, "The console is not at this address.")
		return
	}
	if err := c.guard.Check(r); err != nil {
		c.refuse(v, http.StatusForbidden, "This request came from another site, and was refused.")
		return
	}
	if to := straight(r.URL.EscapedPath()); to != r.URL.EscapedPath() {
		c.straighten(v, to)
		return
	}
	v.r.Body = http.MaxBytesReader(answer, r.Body, maxForm)
	c.mux.ServeHTTP(answer, v.request(v.r))
}

// straight is a path without empty and dotted segments. The mux would lead there by itself, but it does not
// know of the stage before the path.
func straight(escaped string) string {
	to := path.Clean("/" + escaped)
	if strings.HasSuffix(escaped, "/") && to != "/" {
		to += "/"
	}
	return to
}

// straighten leads to the straight path, if there may be a page.
func (c *Console) straighten(v *Visit, to string) {
	if v.r.Method != http.MethodGet || !isLocal(to) {
		c.refuse(v, http.StatusNotFound, "There is no such page.")
		return
	}
	if with := to + "?" + v.r.URL.RawQuery; v.r.URL.RawQuery != "" && isLocal(with) {
		to = with
	}
	v.redirect(to)
}

// policy allows what the console's own files do, and nothing else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

func (c *Console) protect(h http.Header, v *Visit) {
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	// With no-referrer, browsers would send "Origin: null" with the console's own forms.
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	if v.place.Secure {
		h.Set("Strict-Transport-Security", "max-age=63072000")
	}
}

// recorder remembers the status that was answered.
type recorder struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *recorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// log writes the one line of a request. Paths have no secrets; forms do, and are left out.
func (c *Console) log(v *Visit, status int, took time.Duration) {
	attrs := []slog.Attr{
		slog.String("method", v.r.Method), slog.String("route", v.r.Pattern), slog.Int("status", status),
		slog.Int64("ms", took.Milliseconds()), slog.String("requestId", v.r.Header.Get(httpapi.RequestIDHeader)),
	}
	level := slog.LevelInfo
	if v.err != nil {
		attrs = append(attrs, slog.String("error", v.err.Error()))
	}
	if status >= http.StatusInternalServerError {
		level = slog.LevelError
	}
	c.deps.Log.LogAttrs(context.WithoutCancel(v.Context()), level, "request", attrs...)
}

// asset serves a file whose name has the hash of its content in it, so that it never changes.
func (c *Console) asset(w http.ResponseWriter, r *http.Request) {
	a, ok := c.views.assets.byName[r.PathValue("name")]
	if !ok {
		c.noPage(w, r)
		return
	}
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	w.Header().Set("Content-Type", a.mediaType)
	w.Write(a.content) //nolint:errcheck // the client is gone; there is nobody to tell
}

func (c *Console) noPage(_ http.ResponseWriter, r *http.Request) {
	v := visitOf(r)
	if err := v.open(); err != nil && !errors.Is(err, session.ErrNone) {
		c.fail(v, err)
		return
	}
	c.refuse(v, http.StatusNotFound, "There is no such page.")
}

// home leads to where one was last, or to the projects.
func (c *Console) home(_ http.ResponseWriter, r *http.Request) {
	v := visitOf(r)
	to := groupsPath
	if id := v.lastGroup(); id != "" {
		to += "/" + id
	}
	v.redirect(to)
}
