package kms

import (
	"errors"
	"maps"
	"sync"

	"latchkey/shared/atlas"
	"latchkey/shared/verdict"
)

// Operation is what a call asks of a provider.
type Operation string

// The operations.
const (
	OpDecrypt  Operation = "DECRYPT"
	OpEncrypt  Operation = "ENCRYPT"
	OpDescribe Operation = "DESCRIBE"
	OpDates    Operation = "DATES"
)

// Operations are all of them.
func Operations() []Operation { return []Operation{OpDecrypt, OpEncrypt, OpDescribe, OpDates} }

// Call is what calls are told apart by when they are counted: 60 kinds at most, and nothing of a tenant.
type Call struct {
	Provider  atlas.Provider
	Operation Operation
	Class     verdict.Class
}

// Tally counts calls to providers as they end. It is safe for concurrent use, and the zero value
// is ready.
type Tally struct {
	mu    sync.Mutex
	calls map[Call]int
}

// Take returns what was counted since it was called last.
func (t *Tally) Take() map[Call]int {
	t.mu.Lock()
	defer t.mu.Unlock()
	taken := maps.Clone(t.calls)
	clear(t.calls) // the few kinds that occur, occur again
	return taken
}

func (t *Tally) add(c Call) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.calls == nil {
		t.calls = map[Call]int{}
	}
	t.calls[c]++
}

// Counted returns the key, whose calls are counted as those of a provider.
func (k *Key) Counted(t *Tally, p atlas.Provider) *Key {
	counted := *k
	counted.tally, counted.provider = t, p
	return &counted
}

// count counts a call that ended with an error of this package, or nil.
func (k *Key) count(op Operation, err error) {
	if k.tally == nil {
		return
	}
	class := verdict.Valid
	if f, ok := errors.AsType[*verdict.Failure](err); ok {
		class = f.Class()
	}
	k.tally.add(Call{Provider: k.provider, Operation: op, Class: class})
}
