package azurekv

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
)

// private is the transport of the options: with an address, what is for a vault goes there and
// nowhere else. Sign-in and Resource Manager have no part in it.
func private(o Options) http.RoundTripper {
	if !o.VaultAddress.IsValid() {
		return o.Transport
	}
	return &toAddress{base: o.Transport, suffix: "." + o.Environment.VaultSuffix(), address: o.VaultAddress, vaults: map[string]http.RoundTripper{}}
}

// toAddress sends requests for vaults to an address. The request names the address, so that no name
// is resolved, not even by a proxy; the vault's name is in the Host header, and is what its
// certificate must be for.
type toAddress struct {
	base    http.RoundTripper
	suffix  string
	address netip.Addr

	mu     sync.Mutex
	vaults map[string]http.RoundTripper // by host
}

// RoundTrip sends one request.
func (t *toAddress) RoundTrip(r *http.Request) (*http.Response, error) {
	host := strings.ToLower(r.URL.Hostname())
	if !strings.HasSuffix(host, t.suffix) {
		return t.base.RoundTrip(r)
	}
	out := r.Clone(r.Context())
	url := *r.URL
	port := url.Port()
	if port == "" {
		port = "443"
	}
	url.Host = net.JoinHostPort(t.address.String(), port)
	out.URL, out.Host = &url, r.URL.Host
	return t.to(host).RoundTrip(out)
}

// to is the transport for a vault. One that is not of net/http checks certificates itself, or stands
// in for the network.
func (t *toAddress) to(host string) http.RoundTripper {
	base, ok := t.base.(*http.Transport)
	if !ok {
		return t.base
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if known, ok := t.vaults[host]; ok {
		return known
	}
	named := base.Clone()
	if named.TLSClientConfig == nil {
		named.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	named.TLSClientConfig.ServerName = host
	t.vaults[host] = named
	return named
}
