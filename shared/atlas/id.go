package atlas

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"time"
)

// idLength is the length of an id in characters: 12 bytes in hexadecimal.
const idLength = 24

// NewID returns a 24-character hexadecimal id: four bytes of time, so that ids sort roughly
// by age as the real service's do, and eight random bytes.
func NewID(now time.Time) string {
	var b [idLength / 2]byte
	binary.BigEndian.PutUint32(b[:4], uint32(now.Unix())) //nolint:gosec // wraps in 2106, as ObjectIDs do
	rand.Read(b[4:])                                      // never fails since Go 1.24
	return hex.EncodeToString(b[:])
}

// ValidID reports whether s has the form of an id: ^[a-f0-9]{24}$.
func ValidID(s string) bool {
	if len(s) != idLength {
		return false
	}
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// Time renders an instant as the API does: UTC, whole seconds, "Z".
func Time(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

// ParseTime reads a date and time as of RFC 3339, or in the first of the layouts that fits, and
// returns it in UTC. A zone can carry a time out of the years that RFC 3339 has; nothing could store or
// show it then, so it is no time.
func ParseTime(s string, layouts ...string) (time.Time, error) {
	if layouts == nil {
		layouts = []string{time.RFC3339}
	}
	for _, layout := range layouts {
		t, err := time.Parse(layout, s)
		if t = t.UTC(); err == nil && t.Year() >= 0 && t.Year() <= 9999 {
			return t, nil
		}
	}
	return time.Time{}, errors.New("no date and time as of ISO 8601")
}
