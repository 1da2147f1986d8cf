// Package outbound sends requests to addresses that tenants choose, and lets none of them lead into
// the operator's own networks.
//
// Its invariant: no connection is made to an address that is not a public one, whatever its name
// resolved to a moment ago. The check is made on the address that is being connected to, after
// the resolver has answered for the last time, so a name that changes its mind gains nothing.
// Redirects are not followed. An error holds no address and nothing of a request: webhooks have
// their secrets in the URL.
package outbound

import (
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"latchkey/shared/notification"
)

// Bounds of one request.
const (
	total        = 10 * time.Second
	dial         = 5 * time.Second
	maxBody      = 64 << 10
	maxHeader    = 64 << 10
	maxAddresses = 4096 // bytes of a URL
)

// Client sends.
type Client struct {
	http *http.Client
	now  func() time.Time
}

// Options are what clients may differ in.
type Options struct {
	// Allow lists what may be reached although it is not public.
	Allow Allowlist
	// Resolver finds hosts; nil is the system's.
	Resolver *net.Resolver
	// Transport replaces the connections, and with them the check of addresses; nil outside of tests
	// and of one machine, where names of services lead to stand-ins.
	Transport http.RoundTripper
	Now       func() time.Time
}

// New returns a client.
func New(o Options) *Client {
	transport := o.Transport
	if transport == nil {
		transport = guarded(o.Allow, o.Resolver)
	}
	return &Client{now: o.Now, http: &http.Client{
		Transport: transport, Timeout: total,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// errForbidden is the error of a connection to an address that is not allowed.
var errForbidden = errors.New("outbound: the address is not a public one")

// guarded is a transport that checks every address it connects to. It uses no proxy: a proxy
// would connect where this can't see.
func guarded(allow Allowlist, resolver *net.Resolver) *http.Transport {
	return &http.Transport{
		ForceAttemptHTTP2: true, MaxResponseHeaderBytes: maxHeader, TLSHandshakeTimeout: dial, ResponseHeaderTimeout: total,
		IdleConnTimeout: time.Minute, MaxIdleConns: 32,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			host, _, err := net.SplitHostPort(address)
			if err != nil {
				return nil, errForbidden
			}
			d := net.Dialer{Timeout: dial, Resolver: resolver, Control: func(_, resolved string, _ syscall.RawConn) error {
				if to, err := netip.ParseAddrPort(resolved); err != nil || !allow.permits(host, to.Addr()) {
					return errForbidden
				}
				return nil
			}}
			return d.DialContext(ctx, network, address)
		},
	}
}

// Post sends a body and returns what was answered, if it was a success (2xx). Other answers, and
// none, are a *notification.Failure.
func (c *Client) Post(ctx context.Context, address string, header http.Header, body []byte) ([]byte, error) {
	u, err := Parse(address)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), strings.NewReader(string(body)))
	if err != nil {
		return nil, &notification.Failure{Reason: notification.NotSendable, Permanent: true}
	}
	maps.Copy(r.Header, header)
	r.Header.Set("User-Agent", "Latchkey")
	response, err := c.http.Do(r)
	if err != nil {
		return nil, failed(err)
	}
	defer response.Body.Close() //nolint:errcheck // it was read
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxBody))
	if f := Judge(response.StatusCode, response.Header, c.now()); f != nil {
		return nil, f
	}
	if err != nil {
		return nil, failed(err)
	}
	return answer, nil
}

// Parse reads an address on the web. Its error holds nothing of the address.
func Parse(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	isWeb := err == nil && len(address) <= maxAddresses && (u.Scheme == "https" || u.Scheme == "http") && u.Hostname() != "" && u.User == nil &&
		!strings.Contains(u.Hostname(), "%") // a zone is one of our own network interfaces
	if !isWeb {
		return nil, &notification.Failure{Reason: notification.NotSendable, Permanent: true}
	}
	u.Fragment = ""
	return u, nil
}

// failed says why there was no answer, in words of our own: net/http's repeat the URL.
func failed(err error) error {
	if errors.Is(err, errForbidden) {
		return &notification.Failure{Reason: notification.Forbidden, Permanent: true}
	}
	return &notification.Failure{Reason: notification.NotReached}
}

// Judge says what an answer means; nil if it is a success.
func Judge(status int, header http.Header, now time.Time) *notification.Failure {
	f := &notification.Failure{Status: status, RetryAfter: retryAfter(header.Get("Retry-After"), now)}
	switch {
	case status >= 200 && status < 300:
		return nil
	case status >= 300 && status < 400:
		f.Reason = notification.Redirected
	case status == http.StatusTooManyRequests:
		f.Reason = notification.Throttled
	case status == http.StatusRequestTimeout:
		f.Reason = notification.Failed
	case status >= 400 && status < 500:
		f.Reason, f.Permanent = notification.Refused, true
	default:
		f.Reason = notification.Failed
	}
	return f
}

// retryAfter reads a Retry-After header: seconds or a date (RFC 9110 10.2.3). What is neither asks for
// nothing.
func retryAfter(value string, now time.Time) time.Duration {
	const longest = 365 * 24 * time.Hour // no overflow
	if seconds, err := strconv.ParseInt(value, 10, 64); err == nil {
		return time.Duration(min(max(seconds, 0), int64(longest/time.Second))) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return min(max(at.Sub(now), 0), longest)
	}
	return 0
}
