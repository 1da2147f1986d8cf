package outbound

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Allowlist is what the operator lets be reached although it is not public.
type Allowlist struct {
	nets  []netip.Prefix
	hosts []string
}

// ParseAllowlist reads a list of networks (CIDR), addresses and host names, separated by commas.
func ParseAllowlist(list string) (Allowlist, error) {
	var a Allowlist
	for entry := range strings.SplitSeq(list, ",") {
		entry = strings.ToLower(strings.TrimSpace(entry))
		if entry == "" {
			continue
		}
		if p, err := netip.ParsePrefix(entry); err == nil {
			a.nets = append(a.nets, p.Masked())
		} else if ip, err := netip.ParseAddr(entry); err == nil && ip.Zone() == "" {
			a.nets = append(a.nets, netip.PrefixFrom(ip.Unmap(), ip.Unmap().BitLen()))
		} else if isHost(entry) {
			a.hosts = append(a.hosts, entry)
		} else {
			return Allowlist{}, fmt.Errorf("%q is no network, address or host name: %w", entry, errors.ErrUnsupported)
		}
	}
	return a, nil
}

func isHost(s string) bool {
	return strings.Trim(s, "0123456789.") != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '.' && r != '-'
	})
}

// permits reports whether an address may be connected to that a host has. A host that the operator
// names may be anywhere but at link-local addresses, where clouds have their metadata: those
// must be named themselves.
func (a Allowlist) permits(host string, ip netip.Addr) bool {
	ip = ip.Unmap()
	if slices.ContainsFunc(a.nets, func(p netip.Prefix) bool { return p.Contains(ip) }) {
		return true
	}
	if isPublic(ip) {
		return true
	}
	return slices.Contains(a.hosts, strings.ToLower(strings.TrimSuffix(host, "."))) && !ip.IsLinkLocalUnicast()
}

// special are the networks within the public ranges that lead to nobody, to somebody's own network,
// or to an IPv4 address in disguise (IANA special-purpose registries).
func special() []netip.Prefix {
	var nets []netip.Prefix
	for _, p := range []string{
		"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24",
		"203.0.113.0/24", "240.0.0.0/4",
		"168.63.129.16/32",                                     // Azure's wire server
		"2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", // Teredo and others, documentation, 6to4
	} {
		nets = append(nets, netip.MustParsePrefix(p))
	}
	return nets
}

// isPublic reports whether an address is one of the Internet's. Of IPv6 only 2000::/3 is handed out.
func isPublic(ip netip.Addr) bool {
	if !ip.IsGlobalUnicast() || ip.IsPrivate() || ip.Zone() != "" {
		return false
	}
	if ip.Is6() && !netip.MustParsePrefix("2000::/3").Contains(ip) {
		return false
	}
	return !slices.ContainsFunc(special(), func(p netip.Prefix) bool { return p.Contains(ip) })
}
