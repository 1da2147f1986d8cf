package protocol

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"time"
)

// EnrolTokenLife is how long a one-time token may be used.
const EnrolTokenLife = time.Hour

const (
	enrolPrefix = "latchkey-enrol-" // lets secret scanners find a token where it should not be
	enrolSize   = 32
)

// NewEnrolToken makes a one-time token. Only its hash is stored.
func NewEnrolToken() (token, hash string) {
	var secret [enrolSize]byte
	rand.Read(secret[:]) // never fails
	token = enrolPrefix + base64.RawURLEncoding.EncodeToString(secret[:])
	return token, hashOf(secret[:])
}

// EnrolTokenHash is the SHA-256 of a token in hexadecimal. It is false for what is no token.
// The secret is random, so the hash needs neither salt nor stretching, and comparing hashes
// needs no constant time.
func EnrolTokenHash(token string) (string, bool) {
	text, ok := strings.CutPrefix(token, enrolPrefix)
	if !ok {
		return "", false
	}
	secret, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(secret) != enrolSize {
		return "", false
	}
	return hashOf(secret), true
}

func hashOf(secret []byte) string {
	sum := sha256.Sum256(secret)
	return hex.EncodeToString(sum[:])
}
