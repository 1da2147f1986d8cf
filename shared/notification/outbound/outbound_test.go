package outbound_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/shared/notification"
	"latchkey/shared/notification/outbound"
)

func now() time.Time { return time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC) }

// client is a client with a list of what is allowed. resolver may be nil.
func client(t *testing.T, allow string, resolver *net.Resolver) *outbound.Client {
	t.Helper()
	list, err := outbound.ParseAllowlist(allow)
	if err != nil {
		t.Fatal(err)
	}
	return outbound.New(outbound.Options{Allow: list, Resolver: resolver, Now: now})
}

// failure is how a request that must fail did.
func failure(t *testing.T, c *outbound.Client, address string) notification.Failure {
	t.Helper()
	_, err := c.Post(t.Context(), address, http.Header{"Authorization": {"s3cret"}}, []byte("s3cret"))
	f, ok := errors.AsType[*notification.Failure](err)
	if !ok {
		t.Fatalf("%s: %v", address, err)
	}
	if text := err.Error(); strings.Contains(text, "s3cret") || strings.Contains(text, "http") || strings.Contains(text, "127.") {
		t.Errorf("the error tells of the request: %s", text)
	}
	return *f
}

// Every way to write an address that leads to this machine or a private network.
func TestPost_leads_to_no_address_that_is_not_public(t *testing.T) {
	var reached atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer server.Close()
	port := server.URL[strings.LastIndex(server.URL, ":"):]
	for _, host := range []string{
		"127.0.0.1", "127.1.2.3", "localhost", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "0.0.0.0", "[::]",
		"10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "169.254.169.254", "[::ffff:169.254.169.254]", "[fd00:ec2::254]",
		"[fe80::1]", "[fc00::1]", "[ff02::1]", "224.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1", "168.63.129.16",
		"[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[2001::1]", "[2001:db8::1]", "[::127.0.0.1]", "[100::1]", "[fec0::1]",
	} {
		if f := failure(t, client(t, "", nil), "http://"+host+port+"/s3cret"); f.Reason != notification.Forbidden || !f.Permanent {
			t.Errorf("%s: %+v", host, f)
		}
	}
	for _, host := range []string{"2130706433", "0x7f000001", "0177.0.0.1", "127.1"} { // numbers that old resolvers read as addresses
		_, err := client(t, "", nil).Post(t.Context(), "http://"+host+port, nil, nil)
		if err == nil {
			t.Errorf("%s was reached", host)
		}
	}
	if n := reached.Load(); n > 0 {
		t.Errorf("the server was reached %d times", n)
	}
}

func TestPost_reads_no_address_but_those_of_the_web(t *testing.T) {
	for _, address := range []string{
		"", "ftp://example.com/", "file:///etc/passwd", "gopher://127.0.0.1/", "https://user:s3cret@example.com/", "https:///path", "//example.com",
		"http://[::1", "https://example.com:port/", "http://" + strings.Repeat("a", 5000), "http://example.com/\r\nX: y",
	} {
		if f := failure(t, client(t, "", nil), address); f.Reason != notification.NotSendable || !f.Permanent {
			t.Errorf("%q: %+v", address, f)
		}
	}
}

// rebinding is a name server whose one name has another address at every question.
func rebinding(t *testing.T, addresses ...string) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	go func() {
		asked := 0
		buffer := make([]byte, 512)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			question := questionOf(buffer[:n])
			var ip netip.Addr
			if isAddress(question) {
				ip = netip.MustParseAddr(addresses[min(asked, len(addresses)-1)])
				asked++
			}
			_, _ = conn.WriteTo(answer(buffer[:2], question, ip), from)
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

// questionOf is the name, the type and the class that a query asks for.
func questionOf(query []byte) []byte {
	end := 12
	for query[end] != 0 {
		end += int(query[end]) + 1
	}
	return query[12 : end+5]
}

// isAddress reports whether a question is for an IPv4 address.
func isAddress(question []byte) bool {
	return binary.BigEndian.Uint16(question[len(question)-4:]) == 1
}

// answer is a name server's answer to a question: an address that is valid for no time, or none.
func answer(id, question []byte, ip netip.Addr) []byte {
	count := byte(0)
	if ip.IsValid() {
		count = 1
	}
	reply := append([]byte{}, id...)
	reply = append(reply, 0x81, 0x80, 0, 1, 0, count, 0, 0, 0, 0)
	reply = append(reply, question...)
	if count == 1 {
		v4 := ip.As4()
		reply = append(reply, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4)
		reply = append(reply, v4[:]...)
	}
	return reply
}

// The name is a public address when somebody looks, and this machine's when the connection is made.
func TestPost_is_not_fooled_by_a_name_that_changes_its_mind(t *testing.T) {
	var reached atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer server.Close()
	port := server.URL[strings.LastIndex(server.URL, ":"):]
	for i, addresses := range [][]string{{"127.0.0.1"}, {"93.184.216.34", "127.0.0.1"}, {"10.0.0.1", "127.0.0.1"}} {
		resolver := rebinding(t, addresses...)
		if len(addresses) > 1 {
			if _, err := resolver.LookupNetIP(t.Context(), "ip4", "rebind.example."); err != nil {
				t.Fatal(err)
			}
		}
		if f := failure(t, client(t, "", resolver), fmt.Sprintf("http://rebind.example%s/%d", port, i)); f.Reason != notification.Forbidden {
			t.Errorf("%v: %+v", addresses, f)
		}
	}
	if n := reached.Load(); n > 0 {
		t.Errorf("the server was reached %d times", n)
	}
	// The test's name server works: what the operator allows is reached by the same name.
	if _, err := client(t, "rebind.example", rebinding(t, "127.0.0.1")).Post(t.Context(), "http://rebind.example"+port, nil, nil); err != nil || reached.Load() != 1 {
		t.Errorf("what is allowed is not reached: %v", err)
	}
}

func TestPost_follows_no_redirect(t *testing.T) {
	var reached atomic.Int64
	inner := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer inner.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		outer := httptest.NewServer(http.RedirectHandler(inner.URL, status))
		if f := failure(t, client(t, "127.0.0.0/8", nil), outer.URL); f.Reason != notification.Redirected || f.Status != status {
			t.Errorf("%d: %+v", status, f)
		}
		outer.Close()
	}
	if n := reached.Load(); n > 0 {
		t.Errorf("a redirect was followed %d times", n)
	}
}

func TestPost_reaches_what_the_operator_allows(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = fmt.Fprintf(w, "%s %s", r.Header.Get("X-Test"), body)
	}))
	defer server.Close()
	port := server.URL[strings.LastIndex(server.URL, ":"):]
	for _, c := range []struct {
		allow, host string
		want        bool
	}{
		{"127.0.0.0/8", "127.0.0.1", true},
		{"127.0.0.1", "127.0.0.1", true},
		{"localhost", "localhost", true},
		{"LOCALHOST , 10.0.0.0/8", "localhost", true},
		{"localhost", "127.0.0.1", false},
		{"127.0.0.2", "127.0.0.1", false},
		{"10.0.0.0/8", "127.0.0.1", false},
	} {
		got, err := client(t, c.allow, nil).Post(t.Context(), "http://"+c.host+port, http.Header{"X-Test": {"header"}}, []byte("body"))
		if (err == nil) != c.want || c.want && string(got) != "header body" {
			t.Errorf("%s with %q: %q, %v", c.host, c.allow, got, err)
		}
	}
	// A name does not open the addresses where clouds have their metadata.
	f := failure(t, client(t, "metadata.example", rebinding(t, "169.254.169.254")), "http://metadata.example/latest")
	if f.Reason != notification.Forbidden {
		t.Errorf("metadata: %+v", f)
	}
}

func TestPost_says_what_an_answer_means(t *testing.T) {
	for _, c := range []struct {
		status     int
		retryAfter string
		want       notification.Failure
	}{
		{400, "", notification.Failure{Reason: notification.Refused, Permanent: true}},
		{404, "", notification.Failure{Reason: notification.Refused, Permanent: true}},
		{410, "60", notification.Failure{Reason: notification.Refused, Permanent: true, RetryAfter: time.Minute}},
		{408, "", notification.Failure{Reason: notification.Failed}},
		{429, "90", notification.Failure{Reason: notification.Throttled, RetryAfter: 90 * time.Second}},
		{429, "Fri, 01 May 2026 12:30:00 GMT", notification.Failure{Reason: notification.Throttled, RetryAfter: 30 * time.Minute}},
		{503, "Fri, 01 May 2026 11:30:00 GMT", notification.Failure{Reason: notification.Failed}},
		{503, "soon", notification.Failure{Reason: notification.Failed}},
		{503, "-5", notification.Failure{Reason: notification.Failed}},
		{503, "9223372036854775807", notification.Failure{Reason: notification.Failed, RetryAfter: 365 * 24 * time.Hour}},
		{500, "", notification.Failure{Reason: notification.Failed}},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", c.retryAfter)
			w.WriteHeader(c.status)
		}))
		c.want.Status = c.status
		if f := failure(t, client(t, "127.0.0.0/8", nil), server.URL); f != c.want {
			t.Errorf("%d, %q: %+v, want %+v", c.status, c.retryAfter, f, c.want)
		}
		server.Close()
	}
}

// endless answers without end, and counts what is read of it.
type endless struct{ read int }

func (e *endless) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(e)}, nil
}

func (e *endless) Read(p []byte) (int, error) {
	e.read += len(p)
	return len(p), nil
}

func TestPost_reads_no_more_of_an_answer_than_it_needs(t *testing.T) {
	e := &endless{}
	got, err := outbound.New(outbound.Options{Transport: e, Now: now}).Post(t.Context(), "https://example.com", nil, nil)
	if err != nil || len(got) != 64<<10 || e.read > 128<<10 {
		t.Errorf("%d bytes of %d, %v", len(got), e.read, err)
	}
}

func TestPost_gives_up_with_its_context(t *testing.T) {
	hang := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hang }))
	defer server.Close()
	defer close(hang)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := client(t, "127.0.0.0/8", nil).Post(ctx, server.URL, nil, nil)
	if f, ok := errors.AsType[*notification.Failure](err); !ok || f.Reason != notification.NotReached || f.Permanent {
		t.Errorf("%v", err)
	}
	if _, isURL := errors.AsType[*url.Error](err); isURL {
		t.Error("the error has the URL")
	}
}

func TestParseAllowlist_refuses_what_it_does_not_understand(t *testing.T) {
	for _, list := range []string{"10.0.0.0/99", "a b", "http://example.com", "10.0.0", "fe80::1%eth0", "*"} {
		if _, err := outbound.ParseAllowlist(list); err == nil {
			t.Errorf("%q is taken", list)
		}
	}
}
