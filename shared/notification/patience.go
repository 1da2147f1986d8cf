package notification

import (
	"sync"
	"time"
)

// Bounds of how long a project's webhooks may keep a process waiting, so that nobody's project keeps the
// notifications of others: a project may have thousands of receivers, and each may take its time.
const (
	// patienceFor is the time of a spell, patienceMost how much of it may be spent on one project's
	// receivers, those that are told at once added up.
	patienceFor  = 5 * time.Minute
	patienceMost = time.Minute
	// isQuick is how long what answers quickly takes at most, which is not counted.
	isQuick = 2 * time.Second
	// rememberMost bounds how many projects are remembered before those are forgotten whose spell is over.
	rememberMost = 1000
)

// patience adds up how long projects' receivers have taken. It is of one process, as is what they hold up.
// The zero value is ready.
type patience struct {
	mu     sync.Mutex
	spells map[string]spell
}

type spell struct {
	began time.Time
	spent time.Duration
}

func (s spell) isOver(now time.Time) bool { return !now.Before(s.began.Add(patienceFor)) }

// has reports whether a project's receivers may be waited for.
func (p *patience) has(groupID string, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.spells[groupID]
	return s.isOver(now) || s.spent < patienceMost
}

// spend counts how long a project's receiver has taken.
func (p *patience) spend(groupID string, took time.Duration, now time.Time) {
	if took <= isQuick {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.spells == nil {
		p.spells = map[string]spell{}
	}
	if len(p.spells) >= rememberMost {
		for id, s := range p.spells {
			if s.isOver(now) {
				delete(p.spells, id)
			}
		}
	}
	s := p.spells[groupID]
	if s.isOver(now) {
		s = spell{began: now}
	}
	s.spent += took
	p.spells[groupID] = s
}
