package digest_test

import (
	"crypto/md5"
	"crypto/sha256"
	"fmt"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"latchkey/shared/identity/digest"
)

const (
	md5Response = "0123456789abcdef0123456789abcdef"
	// good is what mongodb-forks/digest sends.
	good = `Digest username="abcdefgh", realm="MMS Public API", nonce="n", uri="/api/x?a=1", ` +
		`response="0123456789abcdef0123456789abcdef", algorithm="MD5", qop=auth, nc=00000001, cnonce="0011223344556677"`
)

func TestHeadersOfEveryStyleAreRead(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"mongodb-forks/digest":     good,
		"everything quoted":        `Digest username="abcdefgh",realm="MMS Public API",nonce="n",uri="/api/x?a=1",response="` + md5Response + `",algorithm="MD5",qop="auth",nc="00000001",cnonce="0011223344556677"`,
		"lower-case scheme":        strings.Replace(good, "Digest ", "digest ", 1),
		"upper-case names":         strings.Replace(good, "username=", "USERNAME=", 1),
		"upper-case response":      strings.Replace(good, md5Response, strings.ToUpper(md5Response), 1),
		"spaces around the equals": strings.Replace(good, "qop=auth", "qop = auth", 1),
		"no spaces after commas":   strings.ReplaceAll(good, ", ", ","),
		"tabs and empty elements":  strings.ReplaceAll(good, ", ", ",\t, ,"),
		"unknown parameters":       good + `, charset=UTF-8, opaque="", userhash=false`,
		"escaped quotes":           strings.Replace(good, `username="abcdefgh"`, `username="abc\d\efgh"`, 1),
		"no algorithm":             strings.Replace(good, ` algorithm="MD5",`, "", 1),
		"algorithm in lower case":  strings.Replace(good, `"MD5"`, "md5", 1),
		"parameters reversed":      `Digest cnonce="0011223344556677", nc=00000001, qop=auth, response="` + md5Response + `", uri="/api/x?a=1", nonce="n", realm="MMS Public API", username="abcdefgh"`,
	}
	for name, header := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, err := digest.Parse(header)
			if err != nil {
				t.Fatalf("%v: %s", err, header)
			}
			if a.Username != "abcdefgh" || a.URI != "/api/x?a=1" || a.Nonce != "n" || a.Algorithm != digest.MD5 {
				t.Errorf("read %+v", a)
			}
		})
	}
}

func TestHeadersThatProveNothingAreRefused(t *testing.T) {
	t.Parallel()
	without := func(old, replacement string) string { return strings.Replace(good, old, replacement, 1) }
	tests := map[string]string{
		"nothing":                        "",
		"another scheme":                 "Basic YWJjOmRlZg==",
		"a scheme alone":                 "Digest",
		"no parameters":                  "Digest ",
		"no username":                    without(`username="abcdefgh", `, ""),
		"an empty username":              without(`"abcdefgh"`, `""`),
		"no uri":                         without(`uri="/api/x?a=1", `, ""),
		"no response":                    without(`response="`+md5Response+`", `, ""),
		"a response of another hash":     without(`"MD5"`, `"SHA-256"`),
		"a response that is no hash":     without(md5Response, strings.Repeat("x", 32)),
		"no qop":                         without("qop=auth, ", ""),
		"another qop":                    without("qop=auth", "qop=auth-int"),
		"no nc":                          without("nc=00000001, ", ""),
		"a short nc":                     without("nc=00000001", "nc=1"),
		"an nc of zero":                  without("nc=00000001", "nc=00000000"),
		"an nc that is no number":        without("nc=00000001", "nc=0000000g"),
		"no cnonce":                      without(`, cnonce="0011223344556677"`, ""),
		"a huge cnonce":                  without("0011223344556677", strings.Repeat("0", 300)),
		"another realm":                  without("MMS Public API", "mms public api"),
		"MD5-sess":                       without(`"MD5"`, `"MD5-sess"`),
		"SHA-256-sess":                   without(`"MD5"`, "SHA-256-sess"),
		"SHA-512-256":                    without(`"MD5"`, "SHA-512-256"),
		"a hashed username":              good + ", userhash=true",
		"a parameter given twice":        good + `, uri="/api/y"`,
		"twice in different case":        good + `, URI="/api/y"`,
		"an unclosed quote":              good + `, opaque="`,
		"an escape at the end":           good + `, opaque="\`,
		"rubbish after a quoted value":   good + `, opaque="a"b`,
		"a control character":            without("0011223344556677", "0011\x01"),
		"a line break in a quoted value": good + ", opaque=\"a\nb\"",
		"a value without a name":         good + `, ="a"`,
		"a name without a value":         good + `, opaque`,
		"too long":                       good + `, opaque="` + strings.Repeat("a", 9000) + `"`,
		"too many parameters":            good + manyParameters(),
	}
	for name, header := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if a, err := digest.Parse(header); err == nil {
				t.Errorf("accepted as %+v", a)
			}
		})
	}
}

func manyParameters() string {
	var b strings.Builder
	for i := range 26 {
		b.WriteString(", x" + string(rune('a'+i)) + "=1")
	}
	return b.String()
}

// FuzzParse reads anything. Nothing with control characters in it comes out, and what verifies was
// signed with the password.
func FuzzParse(f *testing.F) {
	f.Add(good)
	f.Add(`Digest username="a\"b", realm="MMS Public API"`)
	f.Add("digest ,,, =")
	f.Add(strings.Replace(good, "abcdefgh", "abc\\\ndefgh", 1))
	f.Fuzz(func(t *testing.T, header string) {
		a, err := digest.Parse(header)
		if err != nil {
			return
		}
		if s := a.Username + a.Nonce + a.URI; strings.ContainsFunc(s, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }) {
			t.Errorf("%q is read as %+v", header, a)
		}
		a.Signs(digest.Target{Paths: []string{"/api/x"}})
		if a.Verify("GET", password) {
			t.Errorf("%q was not signed, and verifies", header)
		}
	})
}

// FuzzVerify signs as RFC 7616 says, in its own way. What was signed is read back and verifies, however it is
// quoted; whoever changes one part of it is refused.
func FuzzVerify(f *testing.F) {
	f.Add("abcdefgh", "n", "/api/x?a=1", "00000001", "0011223344556677", "GET", false, uint8(0))
	f.Add(`a"b\c`, "n, o", "/api/x?a=%41&a=+", "ffffffff", "a=b, c", "PATCH", true, uint8(3))
	f.Fuzz(func(t *testing.T, username, nonce, uri, nc, cnonce, method string, sha bool, change uint8) {
		algorithm, sum := digest.MD5, func(s string) string { return fmt.Sprintf("%x", md5.Sum([]byte(s))) }
		if sha {
			algorithm, sum = digest.SHA256, func(s string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(s))) }
		}
		proof := sum(sum(username+":"+digest.Realm+":"+password) + ":" + nonce + ":" + nc + ":" + cnonce + ":auth:" + sum(method+":"+uri))
		quoted := func(s string) string { return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"` }
		header := func(username, nonce, uri, cnonce string) string {
			return "Digest username=" + quoted(username) + ", realm=" + quoted(digest.Realm) + ", nonce=" + quoted(nonce) + ", uri=" + quoted(uri) +
				", algorithm=" + string(algorithm) + ", response=" + proof + ", qop=auth, nc=" + nc + ", cnonce=" + quoted(cnonce)
		}
		a, err := digest.Parse(header(username, nonce, uri, cnonce))
		if err != nil {
			return // what no client sends; see TestHeadersOfEveryStyleAreRead
		}
		if a.Username != username || a.Nonce != nonce || a.URI != uri || !a.Verify(method, password) {
			t.Fatalf("%q by %q over %q with %q is read as %+v, and does not verify", uri, username, nonce, cnonce, a)
		}
		other := [][4]string{
			{username + "x", nonce, uri, cnonce}, {username, nonce + "x", uri, cnonce}, {username, nonce, uri + "x", cnonce}, {username, nonce, uri, cnonce + "x"},
		}[change%4]
		if b, err := digest.Parse(header(other[0], other[1], other[2], other[3])); err == nil && b.Verify(method, password) {
			t.Errorf("%q verifies too", other)
		}
		if a.Verify(method+"x", password) || a.Verify(method, password+"x") {
			t.Error("another method or password verifies")
		}
	})
}

// FuzzSigns compares signed URIs with requests: whoever signs what is sent has signed it; the path and the
// query of something else are not.
func FuzzSigns(f *testing.F) {
	f.Add("/api/x?a=1&b=%20c", "/api/x")
	f.Add("/api/groups/%2f?a&a&=&%zz", "/api/groups//")
	f.Add("https://keys.example.com/api/x/?b=1+2", "/api/x/../y")
	f.Fuzz(func(t *testing.T, uri, other string) {
		r := httptest.NewRequest("GET", "/", nil)
		u, err := url.ParseRequestURI(uri)
		if err != nil || strings.Contains(uri, "#") || u.Scheme != "" && !strings.HasPrefix(uri[len(u.Scheme):], "://") {
			return
		}
		a, err := digest.Parse(strings.Replace(good, `"/api/x?a=1"`, strconv.Quote(uri), 1))
		if err != nil || a.URI != uri || !strings.HasPrefix(u.EscapedPath(), "/") || !strings.Contains(uri, u.EscapedPath()) {
			return // no client sends it so: what has to be escaped is not
		}
		r.URL = u
		if !a.Signs(digest.TargetOf(r)) {
			t.Errorf("%q does not sign itself", uri)
		}
		decoded := func(p string) string {
			p = strings.TrimSuffix(p, "/")
			for range 2 { // gateways may have decoded once
				if d, err := url.PathUnescape(p); err == nil {
					p = d
				}
			}
			return strings.TrimSuffix(p, "/")
		}
		if a.Signs(digest.Target{Paths: []string{other}, Query: u.Query()}) && decoded(u.EscapedPath()) != decoded(other) {
			t.Errorf("%q signs %q", uri, other)
		}
	})
}
