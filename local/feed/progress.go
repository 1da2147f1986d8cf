package feed

import "sync"

// progress knows up to which record everything has been handled. Lanes end their records in any order.
type progress struct {
	mu     sync.Mutex
	read   uint64   // the last record that was looked at
	open   []uint64 // what is not handled yet, ascending
	ended  map[uint64]bool
	stored uint64
}

// eager is after how many records that nobody wants the progress is stored. They would only be read
// again, so it need not be at once.
const eager = 500

// skip notes a record that does not pass, and returns what to store; 0 is nothing.
func (p *progress) skip(sequence uint64) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.read = sequence
	if through := p.through(); through >= p.stored+eager {
		return through
	}
	return 0
}

// begin notes a record that is to be handled.
func (p *progress) begin(sequence uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.read, p.open = sequence, append(p.open, sequence)
}

// end notes records that have been handled, and returns what to store; 0 is nothing.
func (p *progress) end(handled []item) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended == nil {
		p.ended = map[uint64]bool{}
	}
	for _, i := range handled {
		p.ended[i.Sequence] = true
	}
	n := 0
	for n < len(p.open) && p.ended[p.open[n]] {
		delete(p.ended, p.open[n])
		n++
	}
	p.open = p.open[n:]
	if n == 0 {
		return 0
	}
	return p.through()
}

// through is the last record up to which nothing is open.
func (p *progress) through() uint64 {
	if len(p.open) > 0 {
		return p.open[0] - 1
	}
	return p.read
}

// keep notes what has been stored.
func (p *progress) keep(through uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stored = max(p.stored, through)
}
