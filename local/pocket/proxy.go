package pocket

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// Proxy lets programs reach the clouds that know nothing of them: over HTTPS, at the providers'
// real names, with HTTPS_PROXY set to its address and SSL_CERT_FILE to a file with its
// certificate. It ends TLS itself, for the hosts that the clouds serve and no others, so
// nothing that goes through it leaves the machine. Everything that is no CONNECT goes to the
// clouds as it is. A tunnel to an IP address other than this machine's is one to a private endpoint:
// the clouds learn the address, and TLS is for the host that the client names.
//
// The key of its certificate authority is made anew by NewProxy and exists in memory only.
type Proxy struct {
	clouds  *Clouds
	ca      authority
	server  *http.Server
	tunnels *tunnels
}

// NewProxy returns a proxy in front of clouds, to be closed. now is what its certificates' validity is
// reckoned from, which is the real time for programs with a clock of their own.
func NewProxy(clouds *Clouds, now func() time.Time) (*Proxy, error) {
	ca, err := newAuthority(now)
	if err != nil {
		return nil, fmt.Errorf("pocket: certificate authority: %w", err)
	}
	p := &Proxy{
		clouds: clouds, ca: ca, server: &http.Server{Handler: atAddress(clouds), ReadHeaderTimeout: time.Minute, ConnContext: withAddress},
		tunnels: &tunnels{conns: make(chan net.Conn), closed: make(chan struct{})},
	}
	go p.server.Serve(p.tunnels) //nolint:errcheck // it ends when Close is called, in no other way
	return p, nil
}

// Certificate is the authority's certificate in PEM.
func (p *Proxy) Certificate() []byte { return bytes.Clone(p.ca.pem) }

// Close ends all tunnels.
func (p *Proxy) Close() error { return p.server.Close() }

// ServeHTTP opens a tunnel for CONNECT and passes anything else to the clouds.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect {
		p.clouds.ServeHTTP(w, r)
		return
	}
	config, address, err := p.serverFor(r.Host)
	if err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, "CONNECT needs HTTP/1.1", http.StatusHTTPVersionNotSupported)
		return
	}
	if _, err := io.WriteString(conn, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		conn.Close() //nolint:errcheck // it is broken
		return
	}
	// What the client sent ahead of the answer has been read already.
	early := io.LimitReader(buffered, int64(buffered.Reader.Buffered()))
	p.tunnels.add(tls.Server(&tunnel{Conn: conn, reader: io.MultiReader(early, conn), address: address}, config))
}

// serverFor is the server's side of TLS for what a tunnel leads to: a host that the clouds serve or,
// at the address of a private endpoint, whichever of them the client names.
func (p *Proxy) serverFor(target string) (*tls.Config, netip.Addr, error) {
	refused := fmt.Errorf("no pocket cloud serves %s", target)
	host := bareHost(target)
	_, port, err := net.SplitHostPort(target)
	if err != nil || port != "443" {
		return nil, netip.Addr{}, refused
	}
	if p.clouds.serves(host) {
		config, err := p.ca.config(host)
		return config, netip.Addr{}, err
	}
	address, err := netip.ParseAddr(host)
	if err != nil || !address.IsPrivate() {
		return nil, netip.Addr{}, refused
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if name := bareHost(hello.ServerName); p.clouds.serves(name) {
			return p.ca.config(name)
		}
		return nil, fmt.Errorf("no pocket cloud serves %q", hello.ServerName)
	}}, address, nil
}

// addressKey is what the context of a connection has the address of a private endpoint under.
type addressKey struct{}

// withAddress remembers the address that a connection leads to.
func withAddress(ctx context.Context, conn net.Conn) context.Context {
	if secured, ok := conn.(*tls.Conn); ok {
		if t, ok := secured.NetConn().(*tunnel); ok && t.address.IsValid() {
			return context.WithValue(ctx, addressKey{}, t.address)
		}
	}
	return ctx
}

// atAddress tells the clouds the address that a request was sent to.
func atAddress(clouds http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del(AddressHeader)
		if address, ok := r.Context().Value(addressKey{}).(netip.Addr); ok {
			r.Header.Set(AddressHeader, address.String())
		}
		clouds.ServeHTTP(w, r)
	})
}

// tunnel is a connection of which a part has been read.
type tunnel struct {
	net.Conn
	reader  io.Reader
	address netip.Addr // of a private endpoint, if it leads to one
}

// Read reads what came early first.
func (t *tunnel) Read(b []byte) (int, error) { return t.reader.Read(b) }

// tunnels is a listener that accepts the connections that it is given.
type tunnels struct {
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (t *tunnels) add(conn net.Conn) {
	select {
	case t.conns <- conn:
	case <-t.closed:
		conn.Close() //nolint:errcheck // it was for nothing
	}
}

// Accept waits for the next tunnel.
func (t *tunnels) Accept() (net.Conn, error) {
	select {
	case conn := <-t.conns:
		return conn, nil
	case <-t.closed:
		return nil, net.ErrClosed
	}
}

// Close refuses further tunnels.
func (t *tunnels) Close() error {
	t.once.Do(func() { close(t.closed) })
	return nil
}

// Addr is no address: tunnels come through another listener.
func (t *tunnels) Addr() net.Addr { return &net.TCPAddr{} }

// validity is how long the authority and its certificates are good for; nobody lets a suite run
// for longer.
const validity = 10 * 365 * 24 * time.Hour

// authority makes certificates for hosts.
type authority struct {
	now  func() time.Time
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pem  []byte
	made *sync.Map // of *tls.Config by host; the hosts that the clouds serve are few at a time
}

func newAuthority(now func() time.Time) (authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return authority{}, err
	}
	template := certificate(now(), "Latchkey pocket clouds")
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return authority{}, err
	}
	cert, err := x509.ParseCertificate(der)
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return authority{now: now, key: key, cert: cert, pem: text, made: &sync.Map{}}, err
}

func certificate(now time.Time, name string) *x509.Certificate {
	serial := new(big.Int).SetBytes([]byte(rand.Text()[:16]))
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(validity),
	}
}

// config is the server's side of TLS for a host. It offers HTTP/1.1 only.
func (a authority) config(host string) (*tls.Config, error) {
	if made, ok := a.made.Load(host); ok {
		if config, ok := made.(*tls.Config); ok {
			return config, nil
		}
	}
	if len(host) > 253 {
		return nil, errors.New("pocket: a host name that is too long")
	}
	template := certificate(a.now(), "")
	template.DNSNames, template.KeyUsage = []string{host}, x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, a.key.Public(), a.key)
	if err != nil {
		return nil, fmt.Errorf("pocket: certificate of %s: %w", host, err)
	}
	config := &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: a.key}}, MinVersion: tls.VersionTLS12,
	}
	a.made.Store(host, config)
	return config, nil
}
