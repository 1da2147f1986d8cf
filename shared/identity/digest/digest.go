// Package digest is the server side of HTTP Digest access authentication (RFC 7616) for
// qop=auth with MD5 and SHA-256: the challenge, stateless nonces, a lenient parser of what
// clients send, and the comparison of the signed URI with the request.
//
// Its one invariant: a header verifies only for the method, path and query of the request it
// came with, under a nonce that this service made minutes ago. It reads no table and keeps no
// state; who a user is and what the password is, its caller knows.
package digest

import (
	"crypto/md5" //nolint:gosec // Digest clients of this API answer with MD5; see Algorithm
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"strings"
)

// Realm is part of what clients hash; it is the real service's.
const Realm = "MMS Public API"

// Algorithm is the hash that a client answered with. The challenge names MD5, because the
// clients in the field read one challenge only and the real service sends that one; a client
// may still answer with SHA-256. MD5's weakness is in collisions, which do not help to find a
// response without the private key: 122 random bits.
type Algorithm string

// The algorithms. The -sess variants are refused: they need state on the server.
const (
	MD5    Algorithm = "MD5"
	SHA256 Algorithm = "SHA-256"
)

func parseAlgorithm(s string) (Algorithm, bool) {
	switch {
	case s == "", strings.EqualFold(s, string(MD5)):
		return MD5, true // RFC 7616 section 3.4: absent means MD5
	case strings.EqualFold(s, string(SHA256)):
		return SHA256, true
	}
	return "", false
}

func (a Algorithm) hexLength() int {
	if a == SHA256 {
		return hex.EncodedLen(sha256.Size)
	}
	return hex.EncodedLen(md5.Size)
}

func (a Algorithm) sum(s string) string {
	if a == SHA256 {
		h := sha256.Sum256([]byte(s))
		return hex.EncodeToString(h[:])
	}
	h := md5.Sum([]byte(s)) //nolint:gosec // what the protocol prescribes; see Algorithm
	return hex.EncodeToString(h[:])
}

// Challenge is the value of WWW-Authenticate. Its layout is fixed to the letter: the client
// library in the field splits at ", " and refuses any parameter that it does not know
// (CONTRACT 2.1).
func Challenge(nonce string, stale bool) string {
	return fmt.Sprintf(`Digest realm="%s", domain="", nonce="%s", algorithm=MD5, qop="auth", stale=%t`, Realm, nonce, stale)
}

// Verify reports whether the response was made with the password for a request of this
// method and the signed URI. It takes the same time for any two passwords of equal length.
func (a Authorization) Verify(method, password string) bool {
	ha1 := a.Algorithm.sum(a.Username + ":" + Realm + ":" + password)
	ha2 := a.Algorithm.sum(method + ":" + a.URI)
	want := a.Algorithm.sum(strings.Join([]string{ha1, a.Nonce, a.nc, a.cnonce, "auth", ha2}, ":"))
	return subtle.ConstantTimeCompare([]byte(want), []byte(a.response)) == 1
}
