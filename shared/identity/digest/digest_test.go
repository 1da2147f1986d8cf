package digest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"latchkey/shared/identity/digest"
)

const (
	user     = "abcdefgh"
	password = "0a1b2c3d-0000-4000-8000-00000000beef"

	rfcMD5    = "6d3ca0d5e5d1ce6ff470cf7ed29cecd2"
	rfcSHA256 = "ee8e695e892f650988c6eccfda85b762458f56ddf91aa9f3bb47ee3987687855"
)

var (
	key = []byte("0123456789abcdef0123456789abcdef")
	now = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
)

// server answers 200 to a request that it could authenticate, as the authorizer does.
func server(t *testing.T, challenge func(nonce string) string) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a, err := digest.Parse(r.Header.Get("Authorization"))
		if err == nil && a.Username == user && digest.CheckNonce([][]byte{key}, a.Nonce, now) == digest.Fresh &&
			a.Signs(digest.TargetOf(r)) && a.Verify(r.Method, password) {
			fmt.Fprint(w, "welcome") //nolint:errcheck // a test's answer
			return
		}
		w.Header().Set("WWW-Authenticate", challenge(digest.NewNonce(key, now)))
		w.WriteHeader(http.StatusUnauthorized)
	}))
	t.Cleanup(s.Close)
	return s
}

func md5Challenge(nonce string) string { return digest.Challenge(nonce, false) }

func sha256Challenge(nonce string) string {
	return strings.Replace(digest.Challenge(nonce, false), "algorithm=MD5", "algorithm=SHA-256", 1)
}

func TestTheChallengeIsTheRealServicesToTheLetter(t *testing.T) {
	t.Parallel()
	nonce := digest.NewNonce(key, now)
	if len(nonce) != 32 {
		t.Errorf("nonce %q has %d characters, want 32", nonce, len(nonce))
	}
	want := `Digest realm="MMS Public API", domain="", nonce="` + nonce + `", algorithm=MD5, qop="auth", stale=true`
	if got := digest.Challenge(nonce, true); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestANonceIsFreshForMinutesUnderAnyKnownKey(t *testing.T) {
	t.Parallel()
	other := []byte("another key of thirty-two bytes!")
	nonce := digest.NewNonce(key, now)
	tests := map[string]struct {
		keys  [][]byte
		nonce string
		at    time.Time
		want  digest.State
	}{
		"at once":                            {[][]byte{key}, nonce, now, digest.Fresh},
		"under the previous key":             {[][]byte{other, key}, nonce, now, digest.Fresh},
		"at the end of its life":             {[][]byte{key}, nonce, now.Add(digest.NonceLife), digest.Fresh},
		"too old":                            {[][]byte{key}, nonce, now.Add(digest.NonceLife + time.Second), digest.Stale},
		"from a clock a little ahead":        {[][]byte{key}, nonce, now.Add(-30 * time.Second), digest.Fresh},
		"from the far future":                {[][]byte{key}, nonce, now.Add(-time.Hour), digest.Stale},
		"under a key that is gone":           {[][]byte{other}, nonce, now, digest.Foreign},
		"without any key":                    {nil, nonce, now, digest.Foreign},
		"made up":                            {[][]byte{key}, strings.Repeat("A", 32), now, digest.Foreign},
		"longer":                             {[][]byte{key}, nonce + "A", now, digest.Foreign},
		"shorter":                            {[][]byte{key}, nonce[:31], now, digest.Foreign},
		"no base64":                          {[][]byte{key}, strings.Repeat("!", 32), now, digest.Foreign},
		"with its time moved by an attacker": {[][]byte{key}, "zz" + nonce[2:], now, digest.Foreign},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := digest.CheckNonce(tc.keys, tc.nonce, tc.at); got != tc.want {
				t.Errorf("got state %d, want %d", got, tc.want)
			}
		})
	}
}

// The example of RFC 7616 section 3.9.1 has another realm, so the numbers here come from an
// independent computation with md5sum and sha256sum over the RFC's formula.
func TestAResponseIsVerifiedAsTheRFCComputesIt(t *testing.T) {
	t.Parallel()
	const base = `Digest username="Mufasa", realm="MMS Public API", uri="/dir/index.html?a=1", nonce="7ypf_xlj9XXwfDPEoM4URrv_xwf94BcC", ` +
		`nc=00000001, cnonce="f2_wE4q74E6zIJEtWaHKaf5wv_H5QzzpXusqGemxURZJ", qop=auth, `
	tests := map[string]string{
		"MD5":     base + `algorithm=MD5, response="` + rfcMD5 + `"`,
		"default": base + `response="` + rfcMD5 + `"`,
		"SHA-256": base + `algorithm="SHA-256", response="` + rfcSHA256 + `"`,
	}
	for name, header := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, err := digest.Parse(header)
			if err != nil {
				t.Fatal(err)
			}
			if !a.Verify("GET", "Circle of Life") {
				t.Error("the right password was refused")
			}
			if a.Verify("GET", "Circle of Lice") {
				t.Error("a wrong password was accepted")
			}
			if a.Verify("DELETE", "Circle of Life") {
				t.Error("the signature of a GET was accepted for a DELETE")
			}
		})
	}
}

func TestASignatureCountsForItsOwnRequestOnly(t *testing.T) {
	t.Parallel()
	q := func(s string) url.Values {
		v, err := url.ParseQuery(s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	tests := map[string]struct {
		signed string
		paths  []string
		query  url.Values
		want   bool
	}{
		"the same":                          {"/api/x?a=1", []string{"/api/x"}, q("a=1"), true},
		"query reordered":                   {"/api/x?b=2&a=1", []string{"/api/x"}, q("a=1&b=2"), true},
		"values of one name reordered":      {"/api/x?a=2&a=1", []string{"/api/x"}, q("a=1&a=2"), true},
		"query decoded":                     {"/api/x?d=2026-01-01T00%3A00%3A00Z", []string{"/api/x"}, q("d=2026-01-01T00:00:00Z"), true},
		"a plus that a gateway left":        {"/api/x?d=a+b", []string{"/api/x"}, url.Values{"d": {"a+b"}}, true},
		"path decoded":                      {"/api/my%20name", []string{"/api/my name"}, nil, true},
		"path encoded otherwise":            {"/api/%6Dy", []string{"/api/my"}, nil, true},
		"with the stage":                    {"/prod/api/x", []string{"/api/x", "/prod/api/x"}, nil, true},
		"without the stage":                 {"/api/x", []string{"/prod/api/x", "/api/x"}, nil, true},
		"with a trailing slash":             {"/api/x/", []string{"/api/x"}, nil, true},
		"absolute":                          {"https://keys.example.com/api/x?a=1", []string{"/api/x"}, q("a=1"), true},
		"an empty query":                    {"/api/x?", []string{"/api/x"}, nil, true},
		"a name without a value":            {"/api/x?pretty", []string{"/api/x"}, q("pretty="), true},
		"a semicolon":                       {"/api/x?a=1;b", []string{"/api/x"}, url.Values{"a": {"1;b"}}, true},
		"a broken escape":                   {"/api/x?a=%zz", []string{"/api/x"}, url.Values{"a": {"%zz"}}, true},
		"another path":                      {"/api/y", []string{"/api/x"}, nil, false},
		"a longer path":                     {"/api/x/y", []string{"/api/x"}, nil, false},
		"a stage that is not ours":          {"/dev/api/x", []string{"/api/x", "/prod/api/x"}, nil, false},
		"another query":                     {"/api/x?a=2", []string{"/api/x"}, q("a=1"), false},
		"a parameter less":                  {"/api/x?a=1", []string{"/api/x"}, q("a=1&b=2"), false},
		"a parameter more":                  {"/api/x?a=1&b=2", []string{"/api/x"}, q("a=1"), false},
		"one value given twice":             {"/api/x?a=1&a=1", []string{"/api/x"}, q("a=1"), false},
		"name and value shifted":            {"/api/x?ab=c", []string{"/api/x"}, q("a=bc"), false},
		"an encoded slash is no other path": {"/api/a%252Fb", []string{"/api/a/b"}, nil, false},
		"a path that cannot be decoded":     {"/api/%zz", []string{"/api/x"}, nil, false},
		"no path":                           {"*", []string{"/"}, nil, false},
		"a fragment":                        {"/api/x#y", []string{"/api/x"}, nil, false},
		"no target":                         {"/api/x", nil, nil, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := digest.Authorization{URI: tc.signed}
			if got := a.Signs(digest.Target{Paths: tc.paths, Query: tc.query}); got != tc.want {
				t.Errorf("Signs = %v, want %v", got, tc.want)
			}
		})
	}
}
