package pocket_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"latchkey/local/pocket"
)

// echo serves one host and answers with what it was asked.
type echo struct{}

func (echo) Serves(host string) bool       { return host == "vault.example" }
func (echo) Operation(*pocket.Call) string { return "Echo" }
func (echo) Refuse(w http.ResponseWriter, _ *pocket.Call, _ pocket.FaultKind) {
	w.WriteHeader(http.StatusForbidden)
}

func (echo) Serve(w http.ResponseWriter, c *pocket.Call) {
	io.WriteString(w, c.Method+" "+c.Host+c.URL.RequestURI()+" "+string(c.Body)+c.Header.Get(pocket.AddressHeader)) //nolint:errcheck // the client tells
}

// client is a program that knows the proxy's address and certificate only.
func client(t *testing.T) (*http.Client, *pocket.Faults) {
	t.Helper()
	faults := &pocket.Faults{}
	p, err := pocket.NewProxy(pocket.New(faults, func(*http.Request) string { return "" }, echo{}), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() }) //nolint:errcheck // it never fails
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	address, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(p.Certificate()) {
		t.Fatal("no certificate")
	}
	transport := &http.Transport{Proxy: http.ProxyURL(address), TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}, faults
}

func TestProxy_leads_to_the_clouds(t *testing.T) {
	c, _ := client(t)
	for _, scheme := range []string{"https", "http"} { // with CONNECT and without
		resp, err := c.Post(scheme+"://vault.example/keys/k?v=1", "text/plain", strings.NewReader("hello"))
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close() //nolint:errcheck // it was only read
		if want := "POST vault.example/keys/k?v=1 hello"; string(body) != want {
			t.Errorf("%s: %q, want %q", scheme, body, want)
		}
	}
}

// As azurekv does, a client may send a request for a host to the address of a private endpoint.
func TestProxy_leads_to_private_endpoints(t *testing.T) {
	c, _ := client(t)
	transport, ok := c.Transport.(*http.Transport)
	if !ok {
		t.Fatal("no transport")
	}
	for name, want := range map[string]string{"vault.example": "GET vault.example/k 10.1.2.3", "example.com": ""} {
		named := transport.Clone()
		t.Cleanup(named.CloseIdleConnections)
		named.TLSClientConfig.ServerName = name
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://10.1.2.3/k", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = name
		req.Header.Set(pocket.AddressHeader, "10.9.9.9") // is not believed
		body := []byte{}
		if resp, err := named.RoundTrip(req); err == nil {
			body, _ = io.ReadAll(resp.Body)
			resp.Body.Close() //nolint:errcheck // it was only read
		}
		if string(body) != want {
			t.Errorf("%s: %q, want %q", name, body, want)
		}
	}
}

func TestProxy_leads_nowhere_else(t *testing.T) {
	c, _ := client(t)
	for _, address := range []string{"https://example.com/", "https://vault.example:8443/", "https://127.0.0.2/", "https://192.0.2.1/"} {
		if resp, err := c.Get(address); err == nil {
			t.Errorf("%s answers %d", address, resp.StatusCode)
		}
	}
}

func TestProxy_breaks_connections_as_faults_say(t *testing.T) {
	c, faults := client(t)
	faults.Set(pocket.Fault{Host: "vault.example", Kind: pocket.Down})
	if resp, err := c.Post("https://vault.example/", "text/plain", strings.NewReader("x")); err == nil {
		t.Errorf("a service that is down answers %d", resp.StatusCode)
	}
}

func TestProxy_is_believed_only_by_who_has_its_certificate(t *testing.T) {
	c, _ := client(t)
	c.Transport.(*http.Transport).TLSClientConfig.RootCAs = x509.NewCertPool()
	if resp, err := c.Get("https://vault.example/"); err == nil {
		t.Errorf("a stranger's certificate was believed: %d", resp.StatusCode)
	}
}
