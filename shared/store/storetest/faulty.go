package storetest

import (
	"context"
	"errors"
	"sync"

	"latchkey/shared/store"
)

// Fault is how a write fails.
type Fault int

// The faults.
const (
	Sound  Fault = iota
	Lost         // the write did not happen
	Silent       // it did, and the answer is lost
)

// ErrFault is the error of a write that failed.
var ErrFault = errors.New("storetest: the write failed")

// Faulty is a table whose writes fail as a test wants.
type Faulty struct {
	store.Table
	// Fault says how the n-th write fails, from 1; nil is that none does. Before is called ahead of
	// every write. Both are set while nobody writes, or by Before.
	Fault  func(n int) Fault
	Before func(ops []store.Op)

	mu     sync.Mutex
	writes int
}

// Writes counts the writes so far.
func (f *Faulty) Writes() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.writes
}

// Write implements store.Table.
func (f *Faulty) Write(ctx context.Context, ops ...store.Op) error {
	f.mu.Lock()
	f.writes++
	fault := Sound
	if f.Fault != nil {
		fault = f.Fault(f.writes)
	}
	before := f.Before
	f.mu.Unlock()
	if before != nil {
		before(ops)
	}
	if fault == Lost {
		return ErrFault
	}
	err := f.Table.Write(ctx, ops...)
	if err == nil && fault == Silent {
		err = ErrFault
	}
	return err
}

// From is the fault of a number of writes in a row, from the n-th on.
func From(n, times int, f Fault) func(int) Fault {
	return func(i int) Fault {
		if i >= n && i < n+times {
			return f
		}
		return Sound
	}
}
