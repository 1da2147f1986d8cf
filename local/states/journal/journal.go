// Package journal keeps what executions must not forget: an ordered map of documents with
// atomic, durable writes.
//
// Its invariant: when Write returns nil, all its changes are safe together; when it returns an
// error, none of them may be relied on and none is half there. The workflow engine of the local
// suite imports it.
package journal

import (
	"slices"
	"sync"
)

// Key is where a document is: parts group documents, Sort orders them within a part. Neither
// holds a NUL.
type Key struct{ Part, Sort string }

// Change puts a document; a nil Value deletes it.
type Change struct {
	Key
	Value []byte
}

// Put is a change that puts a document.
func Put(part, sort string, value []byte) Change { return Change{Key{part, sort}, value} }

// Delete is a change that deletes a document, if there is one.
func Delete(part, sort string) Change { return Change{Key: Key{part, sort}} }

// Journal is an ordered map of documents. Implementations are safe for concurrent use.
type Journal interface {
	// Write applies all changes, in order, or none.
	Write(changes []Change) error
	// Get returns a document, nil if there is none.
	Get(key Key) ([]byte, error)
	// Scan calls fn for the documents of a part in the order of their sort keys, from the
	// first after (with reverse: from the last before) from, until fn returns false. An empty from
	// begins at the end. fn may write; value is its own.
	Scan(part, from string, reverse bool, fn func(sort string, value []byte) bool) error
}

// Memory is a Journal that ends with the process, for tests and simulations.
func Memory() Journal { return &memory{parts: map[string]*part{}} }

type memory struct {
	mu    sync.Mutex
	parts map[string]*part
}

type part struct {
	sorts  []string // in order
	values map[string][]byte
}

// Write implements Journal.
func (m *memory) Write(changes []Change) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range changes {
		p := m.parts[c.Part]
		if p == nil {
			p = &part{values: map[string][]byte{}}
			m.parts[c.Part] = p
		}
		i, found := slices.BinarySearch(p.sorts, c.Sort)
		switch {
		case c.Value == nil && found:
			p.sorts = slices.Delete(p.sorts, i, i+1)
			delete(p.values, c.Sort)
		case c.Value != nil:
			if !found {
				p.sorts = slices.Insert(p.sorts, i, c.Sort)
			}
			p.values[c.Sort] = slices.Clone(c.Value)
		}
		if len(p.sorts) == 0 {
			delete(m.parts, c.Part)
		}
	}
	return nil
}

// Get implements Journal.
func (m *memory) Get(key Key) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.parts[key.Part]
	if p == nil {
		return nil, nil
	}
	return slices.Clone(p.values[key.Sort]), nil
}

// Scan implements Journal.
func (m *memory) Scan(name, from string, reverse bool, fn func(string, []byte) bool) error {
	for {
		sort, value, ok := m.step(name, from, reverse)
		if !ok || !fn(sort, value) {
			return nil
		}
		from = sort
	}
}

// step returns the document that follows from.
func (m *memory) step(name, from string, reverse bool) (string, []byte, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.parts[name]
	if p == nil {
		return "", nil, false
	}
	i, found := slices.BinarySearch(p.sorts, from)
	switch {
	case from == "" && reverse:
		i = len(p.sorts) - 1
	case reverse:
		i--
	case found:
		i++
	}
	if i < 0 || i >= len(p.sorts) {
		return "", nil, false
	}
	return p.sorts[i], slices.Clone(p.values[p.sorts[i]]), true
}
