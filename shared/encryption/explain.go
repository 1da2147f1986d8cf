package encryption

import (
	"time"

	"latchkey/shared/atlas"
)

// Explain says what is the matter with a provider's key, and what to do about it, for people. Both
// are empty while nothing is.
func (s Settings) Explain(p atlas.Provider, now time.Time) (matter, remedy string) {
	f := s.facts(p, now)
	return f.Summary, f.Remedy
}
