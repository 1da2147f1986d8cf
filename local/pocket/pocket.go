// Package pocket is a set of wire-level stand-ins for the clouds that Latchkey's tenants keep
// their keys in: just the operations that Latchkey and a person with the AWS CLI or curl
// call, behaving as the real ones do (real cryptography, key states, policies, external ids).
//
// Services are found by host name, so production code talks to its real addresses and only
// the transport knows that they live on one loopback port. Its invariant: what a pocket cloud
// acknowledges survives a crash (see State).
package pocket

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Service is one provider API.
type Service interface {
	// Serves reports whether requests to host belong to this service. host is lower case,
	// without a port ("kms.us-east-1.amazonaws.com").
	Serves(host string) bool
	// Operation names the operation that a request performs, as faults name it ("Decrypt").
	Operation(c *Call) string
	// Refuse answers as the provider would when the fault deny, throttle, firewall or error is set.
	Refuse(w http.ResponseWriter, c *Call, kind FaultKind)
	// Serve answers the request.
	Serve(w http.ResponseWriter, c *Call)
}

// Call is one request to a service, with its body read.
type Call struct {
	*http.Request
	Host string // lower case, without a port; the service's real name even if the client used the loopback address
	Body []byte
}

// maxBody bounds request bodies: what DynamoDB accepts, more than anything else here needs.
const maxBody = 16 << 20

// Clouds serves all services on one address. It is an http.Handler; it also answers as an
// HTTP proxy does, so that `curl -x http://127.0.0.1:8081 http://vault.vault.azure.net/…` works.
type Clouds struct {
	services []Service
	faults   *Faults
	alias    func(*http.Request) string
	pages    map[string]http.Handler // by the first segment of their paths
}

// New returns clouds made of services, asked in order. alias names the real host of a request
// that was sent to the loopback address itself, as `aws --endpoint-url` does; "" means none.
func New(faults *Faults, alias func(*http.Request) string, services ...Service) *Clouds {
	return &Clouds{services: services, faults: faults, alias: alias}
}

// Show serves pages for people on the loopback address itself, at a path of one segment ("/mailbox") and
// below it. Call it before anything is served.
func (c *Clouds) Show(path string, pages http.Handler) {
	if c.pages == nil {
		c.pages = map[string]http.Handler{}
	}
	c.pages[path] = pages
}

// page finds the pages that a request without a signature is for.
func (c *Clouds) page(r *http.Request) (http.Handler, bool) {
	first, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	pages, ok := c.pages["/"+first]
	return pages, ok && r.Header.Get("Authorization") == ""
}

// ServeHTTP finds the service, injects faults, and serves.
func (c *Clouds) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	host := bareHost(r.Host)
	if isLoopback(host) {
		if strings.HasPrefix(r.URL.Path, "/_pocket/") {
			c.faults.ServeHTTP(w, r)
			return
		}
		if pages, ok := c.page(r); ok {
			pages.ServeHTTP(w, r)
			return
		}
		host = c.alias(r)
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, "request body too large", http.StatusRequestEntityTooLarge)
		return
	}
	call := &Call{Request: r, Host: host, Body: body}
	for _, s := range c.services {
		if s.Serves(host) {
			c.serve(w, call, s)
			return
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusNotFound)
	json.NewEncoder(w).Encode(map[string]string{ //nolint:errcheck // the client is gone
		"error": "no pocket cloud serves the host " + host,
	})
}

// serves reports whether one of the services has this host.
func (c *Clouds) serves(host string) bool {
	return slices.ContainsFunc(c.services, func(s Service) bool { return s.Serves(host) })
}

func (c *Clouds) serve(w http.ResponseWriter, call *Call, s Service) {
	fault, hit := c.faults.Take(call.Host, s.Operation(call), call.URL.Path)
	if !hit {
		s.Serve(w, call)
		return
	}
	switch fault.Kind {
	case Down:
		panic(http.ErrAbortHandler) // the connection breaks without an answer
	case Timeout:
		wait(call, time.Minute)
		panic(http.ErrAbortHandler)
	case Slow:
		wait(call, fault.delay())
		s.Serve(w, call)
	case Deny, Throttle, Firewall, ServerError:
		s.Refuse(w, call, fault.Kind)
	}
}

func wait(c *Call, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.Context().Done():
	}
}

// Transport sends every request to handler within the process, whatever its host, over a
// plain http.RoundTripper. It is what testing/synctest needs.
func Transport(handler http.Handler) http.RoundTripper { return inProcess{handler} }

type inProcess struct{ handler http.Handler }

// RoundTrip serves the request on a goroutine of its own, so that a client that gives up is
// not held by a service that hangs.
func (t inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		r.Body = http.NoBody
	}
	inner := r.Clone(r.Context())
	inner.Host = hostOf(r)
	inner.RequestURI = r.URL.RequestURI()
	done := make(chan *recorder, 1)
	go func() {
		rec := &recorder{header: http.Header{}}
		defer func() {
			if p := recover(); p != nil {
				rec.broken = true
			}
			done <- rec
		}()
		t.handler.ServeHTTP(rec, inner)
	}()
	select {
	case <-r.Context().Done():
		return nil, r.Context().Err()
	case rec := <-done:
		if err := r.Context().Err(); err != nil {
			return nil, err
		}
		return rec.response(r)
	}
}

type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
	broken bool
}

func (r *recorder) Header() http.Header { return r.header }

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
}

func (r *recorder) Write(b []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	return r.body.Write(b)
}

func (r *recorder) response(req *http.Request) (*http.Response, error) {
	if r.broken {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	r.WriteHeader(http.StatusOK)
	return &http.Response{
		StatusCode: r.status, Status: http.StatusText(r.status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: r.header, Body: io.NopCloser(&r.body), ContentLength: int64(r.body.Len()), Request: req,
	}, nil
}

// Redirect sends every request to one address over the network, in plain HTTP, and keeps the
// host name that the client meant in the Host header. The base transport is cloned from
// http.DefaultTransport and uses no proxy.
func Redirect(addr string) http.RoundTripper {
	base, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		panic(errors.New("pocket: http.DefaultTransport was replaced"))
	}
	base = base.Clone()
	base.Proxy = nil
	return redirect{addr: addr, base: base}
}

// AddressHeader carries, over Redirect, the IP address that a client meant to send a request to
// instead of resolving the host's name: that of a private endpoint.
const AddressHeader = "X-Pocket-Address"

type redirect struct {
	addr string
	base http.RoundTripper
}

func (t redirect) RoundTrip(r *http.Request) (*http.Response, error) {
	out := r.Clone(r.Context())
	out.Host = hostOf(r)
	if net.ParseIP(r.URL.Hostname()) != nil && bareHost(out.Host) != r.URL.Hostname() {
		out.Header.Set(AddressHeader, r.URL.Hostname())
	}
	out.URL = &url.URL{
		Scheme: "http", Host: t.addr, Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery,
	}
	return t.base.RoundTrip(out)
}

func hostOf(r *http.Request) string {
	if r.Host != "" {
		return r.Host
	}
	return r.URL.Host
}

func bareHost(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

func isLoopback(host string) bool {
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}
