package outbound_test

import (
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"latchkey/shared/notification"
	"latchkey/shared/notification/outbound"
)

// FuzzParse reads any address. What is accepted is one of the web, without credentials and fragments, and is read the same again; an
// error holds nothing of it.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"https://hooks.example.com/x?y=z#f", "http://[::1%25eth0]:80/", "https://u:p@h/", "//h", "javascript:alert(1)", "https://:443", "HTTPS://H/%2f\\@evil", "https://h:99999/", "https://h\x00/", "gopher://h",
		"http://0x7f.1/", "https://" + strings.Repeat("a", 5000),
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, address string) {
		u, err := outbound.Parse(address)
		if err != nil {
			if failure, ok := errors.AsType[*notification.Failure](err); !ok || !failure.Permanent || len(address) > 12 && strings.Contains(err.Error(), address) {
				t.Errorf("%q: %v", address, err)
			}
			return
		}
		if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
			t.Errorf("%q is read as %+v", address, u)
		}
		if again, err := outbound.Parse(u.String()); len(u.String()) > 2*len(address) {
			return // escaped it may be too long
		} else if err != nil || again.String() != u.String() || again.Host != u.Host {
			t.Errorf("%q is read as %q, and that as %v, %v", address, u, again, err)
		}
	})
}

// FuzzPost sends to any address that is an IP address. No connection is attempted unless it is one of the Internet's.
func FuzzPost(f *testing.F) {
	for _, s := range []string{
		"127.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "fe80::1", "fd00:ec2::254", "0.0.0.0", "10.0.0.1", "100.64.0.1", "168.63.129.16", "::", "ff02::1", "2001:0:0:1::", "::7f00:1",
		"::ffff:0:127.0.0.1", "192.168.0.1", "224.0.0.1", "255.255.255.255",
	} {
		ip := netip.MustParseAddr(s).As16()
		f.Add(ip[:])
	}
	// Those of RFC 6890 and its successors that lead into networks of one's own, and the forms of IPv6 that hold an IPv4 address.
	var inside []netip.Prefix
	for _, p := range []string{
		"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16", "224.0.0.0/3", "::/8", "64:ff9b::/96", "64:ff9b:1::/48", "fc00::/7", "fe80::/10", "ff00::/8", "2002::/16", "2001::/32",
	} {
		inside = append(inside, netip.MustParsePrefix(p))
	}
	c := outbound.New(outbound.Options{Now: now})
	f.Fuzz(func(t *testing.T, b []byte) {
		ip, ok := netip.AddrFromSlice(b)
		if !ok {
			return
		}
		private := false
		for _, p := range inside {
			private = private || p.Contains(ip.Unmap())
		}
		if !private {
			return // nobody is to be connected to from here
		}
		_, err := c.Post(t.Context(), "http://"+netip.AddrPortFrom(ip, 9).String()+"/", http.Header{}, nil)
		failure, ok := errors.AsType[*notification.Failure](err)
		if !ok || failure.Reason != notification.Forbidden {
			t.Errorf("%s: %v", ip, err)
		}
	})
}
