package directory

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"strings"
	"time"

	"github.com/google/uuid"

	"latchkey/shared/atlas"
)

const (
	publicKeyLength = 8 // letters, as the real service's
	maxPublicKey    = 64
	uuidLength      = 36

	clientIDPrefix = "mdb_sa_id_"
	secretPrefix   = "mdb_sa_sk_" //nolint:gosec // G101: how every secret begins is public
	secretBytes    = 30           // 240 bits: no hash of it can be guessed, so it needs no salt and no stretching
)

// newPublicKey returns eight random lower-case letters.
func newPublicKey() string {
	var b strings.Builder
	buf := make([]byte, publicKeyLength)
	for b.Len() < publicKeyLength {
		rand.Read(buf)
		for _, c := range buf {
			if c < 26*9 && b.Len() < publicKeyLength { // so that every letter is as likely
				b.WriteByte('a' + c%26)
			}
		}
	}
	return b.String()
}

func newPrivateKey() string { return uuid.NewString() }

// ValidPublicKey reports whether s can be a public key. Generated ones are eight lower-case
// letters; an operator may choose others.
func ValidPublicKey(s string) bool {
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return s != "" && len(s) <= maxPublicKey
}

// redact is how the real service shows a private key: its last group of digits. A private key
// that is no UUID may be short, so nothing of it is shown.
func redact(privateKey string) string {
	end := "************"
	if len(privateKey) == uuidLength {
		end = privateKey[uuidLength-len(end):]
	}
	return "********-****-****-" + end
}

// Secret is one secret of a service account. The secret itself is not kept.
type Secret struct {
	ID       string     `json:"id"`
	Hash     []byte     `json:"hash,omitempty"` // SHA-256; lists come without it
	Masked   string     `json:"masked"`
	Created  time.Time  `json:"created"`
	Expires  time.Time  `json:"expires"`
	LastUsed *time.Time `json:"lastUsed,omitempty"` // to the hour
}

// NewSecret makes a secret that lives for as long as given, and returns it with its value.
func NewSecret(now time.Time, life time.Duration) (s Secret, value string) {
	raw := make([]byte, secretBytes)
	rand.Read(raw)
	value = secretPrefix + base64.RawURLEncoding.EncodeToString(raw)
	return Secret{
		ID: atlas.NewID(now), Hash: hash(value), Masked: secretPrefix + "..." + value[len(value)-4:],
		Created: now.UTC(), Expires: now.Add(life).UTC(),
	}, value
}

func hash(value string) []byte {
	sum := sha256.Sum256([]byte(value))
	return sum[:]
}

// proves reports whether value is the secret and has not expired.
func (s Secret) proves(value string, now time.Time) bool {
	same := subtle.ConstantTimeCompare(hash(value), s.Hash) == 1
	return same && now.Before(s.Expires)
}

func newClientID(now time.Time) string { return clientIDPrefix + atlas.NewID(now) }

// ValidClientID reports whether s has the form of a service account's client id.
func ValidClientID(s string) bool {
	id, ok := strings.CutPrefix(s, clientIDPrefix)
	return ok && atlas.ValidID(strings.ToLower(id))
}
