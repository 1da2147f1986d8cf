package console

import (
	"cmp"
	"slices"
	"sync"

	"latchkey/console/client"
	"latchkey/shared/atlas"
)

// Missing are the parts that a page has to do without just now. The zero value has none.
type Missing struct {
	mu    sync.Mutex
	parts []MissingPart
}

// MissingPart is such a part, and what the API said instead.
type MissingPart struct {
	What, Detail string
	Code         atlas.Code
	err          error
}

// Part is f for a part of the page that is called what. If the API is too slow, too busy or broken just now, the page
// is shown without it, and says so. What the API refuses, it refuses for a reason that the page has to say.
func (m *Missing) Part(what string, f func() error) func() error {
	return func() error {
		var why error
		var away bool
		err := Optional(&away, func() error { why = guarded(f); return why })()
		if away {
			e := client.AsError(why)
			m.mu.Lock()
			defer m.mu.Unlock()
			m.parts = append(m.parts, MissingPart{what, e.Detail, e.Code, why})
		}
		return err
	}
}

// Lacks reports whether a part is missing.
func (m *Missing) Lacks(what string) bool { return m.why(what) != nil }

// Unless is why all of some parts are missing; nil if one of them is there. It is for parts of which a page needs one.
func (m *Missing) Unless(parts ...string) error {
	var first error
	for _, what := range parts {
		why := m.why(what)
		if why == nil {
			return nil
		}
		first = cmp.Or(first, why)
	}
	return first
}

func (m *Missing) why(what string) error {
	for _, p := range m.Parts() {
		if p.What == what {
			return p.err
		}
	}
	return nil
}

// Parts are those that are missing, by name.
func (m *Missing) Parts() []MissingPart {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.SortedFunc(slices.Values(m.parts), func(a, b MissingPart) int { return cmp.Compare(a.What, b.What) })
}
