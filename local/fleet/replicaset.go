package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"latchkey/agent/dump"
)

// Errors of replica sets.
var (
	// ErrNoPrimary is returned while too few members run for a majority.
	ErrNoPrimary = errors.New("fleet: the replica set has no primary")
	// ErrNotAcknowledged is returned for a write that a majority did not confirm. It may be there
	// later, or not.
	ErrNotAcknowledged = errors.New("fleet: a majority did not acknowledge the write")
)

// place is where a record is within a member.
type place struct{ database, key string }

// replicaSet keeps the data of one shard's members the same. All members are in this process, so
// there is one coordinator and no consensus to reach; what makes it hard is that any of them may
// be down, wiped or fail to write at any time, and that the process may be killed.
//
// A write is acknowledged once a majority of the electable members has it on disk. Members that
// run and are level take every write in order; one that missed a write is out until it is made
// level again, by comparing all it holds with another. So the one with the latest position among
// any majority has everything that was ever acknowledged, and an election makes the others equal
// to it. Terms tell the end of a history that was never acknowledged from what took its place.
type replicaSet struct {
	now func() time.Time

	mu      sync.Mutex
	members []*member        // all that belong to the set
	present map[*member]bool // that run; true for those that are level
	elected bool             // a majority is level, and takes writes
	at      position         // of the last write
	news    chan struct{}    // closed when there is a primary again
}

func newReplicaSet(now func() time.Time) *replicaSet {
	return &replicaSet{now: now, present: map[*member]bool{}, news: make(chan struct{})}
}

// add makes a member part of the set; its engine is stopped.
func (s *replicaSet) add(m *member) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m.set = s
	s.members = append(s.members, m)
}

// remove ends a membership; the engine is stopped and wiped. The others may be a majority now.
func (s *replicaSet) remove(ctx context.Context, m *member) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.members = slices.DeleteFunc(s.members, func(other *member) bool { return other == m })
	delete(s.present, m)
	if !s.elected {
		s.elect(context.WithoutCancel(ctx))
	}
}

// founding reports whether nothing was ever acknowledged, so that new members may be founders.
func (s *replicaSet) founding() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !slices.ContainsFunc(s.members, func(m *member) bool { return m.standing.Term > 0 })
}

// votes reports whether a member counts for majorities.
func (m *member) votes() bool { return m.electable && m.standing.Counts }

func (s *replicaSet) majority() int {
	voters := 0
	for _, m := range s.members {
		if m.votes() {
			voters++
		}
	}
	return voters/2 + 1
}

// quorum reports whether enough members are present, or level.
func (s *replicaSet) quorum(level bool) bool {
	n := 0
	for m, isLevel := range s.present {
		if m.votes() && (isLevel || !level) {
			n++
		}
	}
	return n >= s.majority()
}

// primary is the member that reads come from, nil while there is none: of those that are level the
// one with the highest priority, as the API shows it.
func (s *replicaSet) primary() *member {
	if !s.elected {
		return nil
	}
	var best *member
	for m, level := range s.present {
		if level && m.votes() && (best == nil || m.before(best)) {
			best = m
		}
	}
	return best
}

func (m *member) before(other *member) bool {
	return cmp.Or(cmp.Compare(other.priority, m.priority), cmp.Compare(m.index, other.index)) < 0
}

// join takes in a member whose engine runs, and makes it level if there is a primary. Without one,
// it waits for an election, perhaps the one that it makes possible. One that was restored makes the
// others follow it: what is written while a restore goes on is part of what it replaces.
func (s *replicaSet) join(ctx context.Context, m *member) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.present[m] = false
	if s.elected && m.votes() && m.standing.Term > s.at.Term {
		s.elected = false
	}
	if p := s.primary(); p != nil {
		if err := s.admit(ctx, p, m, s.at.Term); err != nil {
			delete(s.present, m)
			return fmt.Errorf("fleet: catch up: %w", err)
		}
		return nil
	}
	s.elect(context.WithoutCancel(ctx)) // it is about the others too
	return nil
}

// admit makes a member level with another.
func (s *replicaSet) admit(ctx context.Context, from, m *member, term int64) error {
	if from != m {
		if err := level(ctx, from, m); err != nil {
			return err
		}
	}
	if err := m.stand(standing{Counts: true, Term: term}); err != nil {
		return err
	}
	s.present[m] = true
	return nil
}

// leave is for a member whose engine is about to stop.
func (s *replicaSet) leave(m *member) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.present, m)
	s.elected = s.elected && s.quorum(true)
}

// renew makes a member that was restored from a snapshot know more than any other.
func (s *replicaSet) renew(m *member) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return m.stand(standing{Counts: true, Term: electionTime(s.now(), s.latestTerm())})
}

// drop expels a member that failed to do what the others did.
func (s *replicaSet) drop(m *member, why error) {
	delete(s.present, m)
	m.expel(why)
}

// elect begins a new term if enough members are there. They become equal to the one that knows
// most; who can't is out.
func (s *replicaSet) elect(ctx context.Context) {
	if !s.quorum(false) {
		return
	}
	best, term := s.best(ctx)
	if best == nil || !s.quorum(false) {
		return
	}
	term = electionTime(s.now(), term)
	for m := range s.present {
		s.present[m] = false
	}
	for m := range s.present {
		if err := s.admit(ctx, best, m, term); err != nil {
			s.drop(m, err)
		}
	}
	if !s.quorum(true) {
		return
	}
	s.elected, s.at = true, position{Term: term}
	close(s.news)
	s.news = make(chan struct{})
}

// best is the voter that is there and knows most, and the latest term of all members: a clock
// that was set back must not make an election look older than one before.
func (s *replicaSet) best(ctx context.Context) (best *member, term int64) {
	term = s.latestTerm()
	var latest position
	for m := range s.present {
		last, err := m.last(ctx)
		if err != nil {
			s.drop(m, err)
			continue
		}
		term = max(term, last.Term)
		if m.votes() && (best == nil || last.after(latest)) {
			best, latest = m, last
		}
	}
	return best, term
}

func (s *replicaSet) latestTerm() (term int64) {
	for _, m := range s.members {
		term = max(term, m.standing.Term)
	}
	return term
}

// last is the end of the history that a member knows.
func (m *member) last(ctx context.Context) (position, error) {
	last := position{Term: m.standing.Term}
	err := m.each(ctx, func(_ place, _ []byte, r record) error {
		if r.At.after(last) {
			last = r.At
		}
		return nil
	})
	return last, err
}

// level makes what a member holds equal to what another holds.
func level(ctx context.Context, from, to *member) error {
	have := map[place]position{}
	err := to.each(ctx, func(k place, _ []byte, r record) error {
		have[k] = r.At
		return nil
	})
	if err != nil {
		return err
	}
	err = from.each(ctx, func(k place, raw []byte, r record) error {
		at, ok := have[k]
		delete(have, k)
		if ok && at == r.At {
			return nil
		}
		return to.write(ctx, k, raw)
	})
	if err != nil {
		return err
	}
	for k, at := range have { // nobody was told that these were written
		if at == (position{}) {
			continue
		}
		if err := to.write(ctx, k, record{Deleted: true}.encode()); err != nil {
			return err
		}
	}
	return nil
}

// source is the stream with which a member without data begins: the primary's, once there is one,
// or nil for a founder. Whoever else has no data has lost it, and its vote.
func (s *replicaSet) source(ctx context.Context, m *member) (io.ReadCloser, error) {
	for {
		s.mu.Lock()
		p, news := s.primary(), s.news
		founder := m.standing == standing{Counts: true}
		var err error
		if !founder {
			err = m.stand(standing{Term: m.standing.Term})
		}
		s.mu.Unlock()
		switch {
		case err != nil:
			return nil, err
		case p != nil:
			return p.export(ctx), nil
		case founder:
			return nil, nil //nolint:nilnil // documented by badgerengine.Source
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-news:
		}
	}
}

// get reads a record from the primary. It waits for a write in progress, so that what is read once
// is never unread.
func (s *replicaSet) get(ctx context.Context, k place) (record, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.read(ctx, k)
}

func (s *replicaSet) read(ctx context.Context, k place) (record, bool, error) {
	for {
		p := s.primary()
		if p == nil {
			return record{}, false, ErrNoPrimary
		}
		raw, found, err := p.Get(ctx, k.database, k.key)
		switch {
		case ctx.Err() != nil:
			return record{}, false, context.Cause(ctx)
		case err != nil: // its engine stopped by itself: the next one answers
			s.drop(p, err)
			s.elected = s.quorum(true)
			continue
		case !found:
			return record{}, false, nil
		}
		r, err := parseRecord(raw)
		return r, err == nil && !r.Deleted, err
	}
}

// put writes a value and returns when a majority has it on disk.
func (s *replicaSet) put(ctx context.Context, k place, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.write(ctx, k, record{Value: value})
}

// erase deletes a key, and reports whether it was there.
func (s *replicaSet) erase(ctx context.Context, k place) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, found, err := s.read(ctx, k); err != nil || !found {
		return false, err
	}
	return true, s.write(ctx, k, record{Deleted: true})
}

// write gives a record to every member that is level, at once. One that fails is out.
func (s *replicaSet) write(ctx context.Context, k place, r record) error {
	if !s.elected {
		return ErrNoPrimary
	}
	s.at.Count++
	r.At = s.at
	raw := r.encode()
	type outcome struct {
		m   *member
		err error
	}
	outcomes := make(chan outcome, len(s.present))
	asked := 0
	ctx = context.WithoutCancel(ctx) // a client that goes away must not set members apart
	for m, isLevel := range s.present {
		if isLevel {
			asked++
			go func() { outcomes <- outcome{m, m.write(ctx, k, raw)} }()
		}
	}
	for range asked {
		if o := <-outcomes; o.err != nil {
			s.drop(o.m, o.err)
		}
	}
	if s.elected = s.quorum(true); !s.elected {
		return ErrNotAcknowledged
	}
	return nil
}

// eachOf reads a stream of records.
func eachOf(stream io.Reader, fn func(k place, raw []byte, r record) error) error {
	return dump.Read(stream, func(d dump.Record) error {
		r, err := parseRecord(d.Value)
		if err != nil {
			return err
		}
		return fn(place{d.Database, d.Key}, d.Value, r)
	})
}
