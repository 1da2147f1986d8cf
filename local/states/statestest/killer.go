package statestest

import (
	"errors"
	"sync"

	"latchkey/local/states/journal"
)

// ErrKilled is the error of everything that is tried after the process was killed.
var ErrKilled = errors.New("the process was killed")

// Killer is a journal through which the process is killed at a transition of an execution: from then on
// nothing is written any more, by the engine or by anybody who asks Alive. Let Revive begin again.
type Killer struct {
	journal.Journal

	mu     sync.Mutex
	writes int
	at     int
	lost   bool
	dead   bool
}

// NewKiller returns a journal that kills the process with the write of a number, counted from 1: right
// after it, or with lost right before it, when the work of the transition is done and nothing tells of it.
// 0 is never.
func NewKiller(over journal.Journal, at int, lost bool) *Killer {
	return &Killer{Journal: over, at: at, lost: lost}
}

// Write implements journal.Journal.
func (k *Killer) Write(changes []journal.Change) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.dead {
		return ErrKilled
	}
	k.writes++
	k.dead = k.writes == k.at
	if k.dead && k.lost {
		return ErrKilled
	}
	return k.Journal.Write(changes)
}

// Alive is ErrKilled once the process was killed.
func (k *Killer) Alive() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.dead {
		return ErrKilled
	}
	return nil
}

// Writes is how many transitions were written, or lost.
func (k *Killer) Writes() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.writes
}

// Revive is the next process, over what is kept. It is killed at a later write, counted from now; 0 is
// never.
func (k *Killer) Revive(over journal.Journal, at int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.Journal, k.dead, k.writes, k.at = over, false, 0, at
}
