package digest

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"
)

const (
	// NonceLife is how long a nonce may be used. Clients sign within milliseconds; the margin
	// is for uploads of the same body on a slow line, and keeps the time short in which a
	// recorded request can be played again.
	NonceLife = 5 * time.Minute
	// clockSkew is how far another instance's clock may be ahead of ours.
	clockSkew = time.Minute

	nonceHead   = 8                              // four bytes of time, four of chance
	nonceBytes  = 24                             // and sixteen of HMAC: 32 characters of base64
	nonceLength = nonceBytes / 3 * 4             // what the real service sends
	nonceDomain = "latchkey digest nonce v1\x00" // nothing else signed with the key can pass for a nonce
)

// State is what a nonce turned out to be.
type State int

// The states of a nonce.
const (
	Foreign State = iota // not made by us, or with a key that is gone
	Stale                // ours, and too old
	Fresh                // ours, and may be used
)

// NewNonce makes a nonce that any instance with the same key accepts: nothing is stored.
func NewNonce(key []byte, now time.Time) string {
	raw := make([]byte, nonceHead, nonceBytes)
	binary.BigEndian.PutUint32(raw, uint32(now.Unix())) //nolint:gosec // wraps in 2106; a nonce lives for minutes
	rand.Read(raw[4:])
	return base64.RawURLEncoding.EncodeToString(append(raw, nonceMAC(key, raw)...))
}

// CheckNonce tells whether a nonce was made with one of the keys and how old it is.
func CheckNonce(keys [][]byte, nonce string, now time.Time) State {
	if len(nonce) != nonceLength {
		return Foreign
	}
	raw, err := base64.RawURLEncoding.DecodeString(nonce)
	if err != nil {
		return Foreign
	}
	ours := false
	for _, key := range keys {
		if hmac.Equal(nonceMAC(key, raw[:nonceHead]), raw[nonceHead:]) {
			ours = true
		}
	}
	if !ours {
		return Foreign
	}
	age := now.Sub(time.Unix(int64(binary.BigEndian.Uint32(raw)), 0))
	if age > NonceLife || age < -clockSkew {
		return Stale
	}
	return Fresh
}

func nonceMAC(key, head []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(nonceDomain))
	mac.Write(head)
	return mac.Sum(nil)[:nonceBytes-nonceHead]
}
