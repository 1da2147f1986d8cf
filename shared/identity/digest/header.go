package digest

import (
	"errors"
	"strings"
)

const (
	maxHeader     = 8 << 10 // API Gateway itself stops at 10 KiB for all headers together
	maxParameters = 24      // RFC 7616 knows 12
	maxCnonce     = 256
)

// ErrMalformed is returned by Parse for a header that is no usable Digest authorization. It
// says no more, because nothing that a hostile client sends belongs in a log.
var ErrMalformed = errors.New("digest: malformed authorization")

// Authorization is a Digest Authorization header, taken apart and checked for its form, but
// not verified.
type Authorization struct {
	Username  string
	Nonce     string
	URI       string
	Algorithm Algorithm

	response string // lower-case hexadecimal, of the algorithm's length
	nc       string // as sent: it is part of what is hashed
	cnonce   string
}

// isDigest reports whether the header uses the Digest scheme.
func isDigest(header string) bool {
	scheme, _, _ := strings.Cut(strings.TrimLeft(header, " \t"), " ")
	return strings.EqualFold(scheme, "digest")
}

// Parse reads an Authorization header. It accepts what clients are known to send rather than
// what the RFC prescribes: mongodb-forks/digest quotes algorithm, curl does not, urllib sends
// parameters in an order of its own. A parameter sent twice is refused, since two readers could
// disagree about which one counts.
func Parse(header string) (Authorization, error) {
	if len(header) > maxHeader || !isDigest(header) {
		return Authorization{}, ErrMalformed
	}
	_, rest, _ := strings.Cut(strings.TrimLeft(header, " \t"), " ")
	params, ok := parameters(rest)
	if !ok {
		return Authorization{}, ErrMalformed
	}
	algorithm, ok := parseAlgorithm(params["algorithm"])
	if !ok {
		return Authorization{}, ErrMalformed
	}
	a := Authorization{
		Username: params["username"], Nonce: params["nonce"], URI: params["uri"], Algorithm: algorithm,
		response: strings.ToLower(params["response"]), nc: params["nc"], cnonce: params["cnonce"],
	}
	if params["realm"] != Realm || params["qop"] != "auth" || strings.EqualFold(params["userhash"], "true") || !a.wellFormed() {
		return Authorization{}, ErrMalformed
	}
	return a, nil
}

func (a Authorization) wellFormed() bool {
	return a.Username != "" && a.Nonce != "" && a.URI != "" &&
		len(a.response) == a.Algorithm.hexLength() && isHex(a.response) &&
		len(a.nc) == 8 && isHex(a.nc) && a.nc != "00000000" &&
		a.cnonce != "" && len(a.cnonce) <= maxCnonce && isPrintable(a.cnonce)
}

// parameters reads a comma-separated list of name=value, the value quoted or not.
func parameters(s string) (map[string]string, bool) {
	params := map[string]string{}
	for {
		s = strings.TrimLeft(s, " \t,")
		if s == "" {
			return params, true
		}
		name, rest, found := strings.Cut(s, "=")
		name = strings.ToLower(strings.TrimRight(name, " \t"))
		if !found || !isToken(name) || len(params) == maxParameters {
			return nil, false
		}
		value, rest, ok := parameterValue(strings.TrimLeft(rest, " \t"))
		if _, twice := params[name]; !ok || twice {
			return nil, false
		}
		params[name] = value
		s = rest
	}
}

// parameterValue reads one value and returns what follows it.
func parameterValue(s string) (value, rest string, ok bool) {
	if !strings.HasPrefix(s, `"`) {
		value, rest, _ = strings.Cut(s, ",")
		value = strings.TrimRight(value, " \t")
		return value, rest, isPrintable(value) && !strings.ContainsAny(value, " \"\t")
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '"':
			rest = strings.TrimLeft(s[i+1:], " \t")
			return b.String(), rest, rest == "" || rest[0] == ','
		case c == '\\' && i+1 < len(s):
			i++
			c = s[i]
		}
		if c < ' ' && c != '\t' || c == 0x7f { // escaped or not
			return "", "", false
		}
		b.WriteByte(c)
	}
	return "", "", false // the quote is never closed
}

func isToken(s string) bool {
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '*' {
			return false
		}
	}
	return s != ""
}

func isHex(s string) bool {
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
			return false
		}
	}
	return true
}

func isPrintable(s string) bool {
	for _, c := range []byte(s) {
		if c < ' ' || c == 0x7f {
			return false
		}
	}
	return true
}
