package console

import (
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"latchkey/console/session"
	"latchkey/shared/httpapi"
)

// visit begins a visit: where the browser sees the console, where its cookies live, and where the API
// is. All of it is the gateway's word; a request without that is astray.
func (c *Console) visit(w http.ResponseWriter, r *http.Request) *Visit {
	v := &Visit{console: c, w: w, r: r, astray: true}
	at, err := url.Parse(httpapi.BaseOf(r.Context()))
	if err != nil || at.Host == "" || at.User != nil || !isRoot(at.EscapedPath()) {
		return v
	}
	v.astray = false
	v.root = strings.TrimSuffix(at.EscapedPath(), "/")
	v.place = session.Place{Secure: at.Scheme == "https", Path: v.root + root}
	v.loopback = isLoopback(at.Hostname()) && !beganElsewhere(r)
	v.api = c.deps.API
	if v.api == "" {
		v.api = at.Scheme + "://" + at.Host + v.root
	}
	return v
}

// exposed reports whether credentials would travel in the clear. Then nobody is signed in, and nobody
// signs in. The one exception is a browser on this machine.
func (v *Visit) exposed() bool { return !v.place.Secure && !v.loopback }

// isRoot reports whether a path is a stage or a base path of a custom domain: "//evil" in front of a
// path would be another host.
var isRoot = regexp.MustCompile(`^(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*/?$`).MatchString

// beganElsewhere reports whether the browser sees the page of a form at a host that is not this
// machine: a proxy in between may change the Host, but has no reason to touch the Origin.
func beganElsewhere(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" { // a GET, or no browser
		return false
	}
	at, err := url.Parse(origin)
	return err != nil || !isLoopback(at.Hostname())
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
