package sweep

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/encryption"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

// Minutes are counted from 1970.
func minuteOf(t time.Time) int64 { return t.Unix() / 60 }

// progress is how far the sweep has come. It makes a minute in which nothing ran, and a run that
// was cut short, a delay instead of a loss.
type progress struct {
	// Done is, per slot, the last minute whose turn was taken to its end.
	Done map[string]int64 `json:"done"`
	// Resume is, per slot, where in the index a turn that was cut short goes on.
	Resume map[string]string `json:"resume,omitempty"`
	// Begun is, per slot whose turn was cut short, the minute since which the keys are due that the
	// turn has not come to.
	Begun map[string]int64 `json:"begun,omitempty"`

	version int64
}

// ahead is how many minutes of the future may have been served: by a run that overlaps with this
// one, by an instance whose clock is a little ahead. More than that was served by a clock that has
// been set back since; what it says would keep keys from being checked until time has caught up.
const ahead = 2

// loadProgress reads the progress as it is to be seen at a minute.
func loadProgress(ctx context.Context, table store.Table, minute int64) (progress, error) {
	p, version, err := store.Load[progress](ctx, table, keys.SweepProgress())
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return progress{}, fmt.Errorf("sweep: read progress: %w", err)
	}
	p.version = version
	if p.Done == nil {
		p.Done = map[string]int64{}
	}
	if p.Resume == nil {
		p.Resume = map[string]string{}
	}
	if p.Begun == nil {
		p.Begun = map[string]int64{}
	}
	for slot, done := range p.Done {
		if done > minute+ahead {
			p.Done[slot] = minute - encryption.SweepSlots // every slot was due since then
		}
	}
	return p, nil
}

// due lists the turns that are due at a minute, the one of that minute first: what is late
// already must not make the others late too. With again, urgent keys have another turn in a
// minute in which they had one.
func (p progress) due(minute int64, again bool) []*turn {
	var turns []*turn
	add := func(slot string, until int64) {
		if p.Done[slot] < until {
			turns = append(turns, &turn{slot: slot, after: p.Done[slot], until: until, from: p.Resume[slot]})
		}
	}
	if again && p.Done[encryption.UrgentSlot] >= minute {
		turns = append(turns, &turn{slot: encryption.UrgentSlot, after: minute - 1, until: minute})
	}
	add(encryption.UrgentSlot, minute)
	for ago := range int64(encryption.SweepSlots) {
		add(encryption.Slot(int((minute-ago)%encryption.SweepSlots)), minute-ago)
	}
	return turns
}

// lateness is for how long the key that is due the longest has been due, at the begin of a run.
func (p progress) lateness(now time.Time, turns []*turn) time.Duration {
	var longest time.Duration
	for _, t := range turns {
		since := t.first()
		if begun, ok := p.Begun[t.slot]; ok && begun <= t.until {
			since = begun
		}
		longest = max(longest, now.Sub(time.Unix(since*60, 0)))
	}
	return longest
}

// apply notes how turns ended.
func (p progress) apply(turns []*turn) {
	for _, t := range turns {
		if t.until <= p.Done[t.slot] {
			continue // another run was there
		}
		place, cut := t.cutAt()
		if cut {
			switch {
			case p.Begun[t.slot] == 0:
				p.Begun[t.slot] = t.first()
			case place < t.from: // all that was left is done, and what came before is begun anew
				p.Begun[t.slot] = t.until
			}
			p.Resume[t.slot] = place
			continue
		}
		p.Done[t.slot] = t.until
		delete(p.Resume, t.slot)
		delete(p.Begun, t.slot)
	}
}

// saveAttempts bounds how often storing progress is repeated because another run stored its own.
const saveAttempts = 5

// save stores how turns ended. What it fails to store is done once more by the next run.
func (p progress) save(ctx context.Context, table store.Table, minute int64, turns []*turn) error {
	if len(turns) == 0 {
		return nil
	}
	for range saveAttempts {
		p.apply(turns)
		item, err := store.Encode(keys.SweepProgress(), p.version, p)
		if err != nil {
			return err
		}
		err = table.Write(ctx, store.Put(item))
		if err == nil {
			return nil
		}
		if !errors.Is(err, store.ErrConflict) {
			return fmt.Errorf("sweep: store progress: %w", err)
		}
		if p, err = loadProgress(ctx, table, minute); err != nil {
			return err
		}
	}
	return fmt.Errorf("sweep: store progress: %w", store.ErrConflict)
}

// turn is a slot whose minute has come.
type turn struct {
	slot string
	// after and until are the minutes that this turn stands for: after < minute <= until. They
	// are more than one period if turns were missed.
	after, until int64
	from         string // where in the index an earlier run was cut short
	// wants is, of a turn ahead of its time, whether keys of a provider are still asked; nil is all.
	wants func(atlas.Provider) bool

	mu      sync.Mutex
	entered int
	cut     *mark
}

// mark is a place in the order in which a turn goes through the index.
type mark struct {
	order int
	sk    string
}

// asks reports whether a provider's keys have their turn.
func (t *turn) asks(p atlas.Provider) bool { return t.wants == nil || t.wants(p) }

// first is the first of the slot's minutes that the turn stands for. A slot that never had a turn is
// due since this one.
func (t *turn) first() int64 {
	if t.after == 0 {
		return t.until
	}
	period := int64(encryption.SweepSlots)
	if t.isUrgent() {
		period = 1
	}
	return t.until - (t.until-t.after-1)/period*period
}

func (t *turn) isUrgent() bool { return t.slot == encryption.UrgentSlot }

// queries lists what to read: all from where an earlier run was cut short. An urgent turn then
// begins anew with what lies before, so that all of it gets its turn however slow it is.
func (t *turn) queries() []store.Query {
	pk := keys.Sweep(t.slot, "").PK
	all := []store.Query{{PK: pk, Index: true, From: t.from}}
	if t.isUrgent() && t.from != "" {
		all = append(all, store.Query{PK: pk, Index: true, Until: t.from})
	}
	return all
}

// enter is the next place of the turn.
func (t *turn) enter(sk string) mark {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.entered++
	return mark{order: t.entered, sk: sk}
}

// leave notes that nothing was done at a place, where the next run must go on.
func (t *turn) leave(at mark) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cut == nil || at.order < t.cut.order {
		t.cut = &at
	}
}

func (t *turn) cutAt() (sk string, cut bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cut == nil {
		return "", false
	}
	return t.cut.sk, true
}

// includes reports whether the turn stands for a minute that is n modulo period.
func (t *turn) includes(n, period int) bool {
	n64, p64 := int64(n), int64(period)
	last := t.until - ((t.until-n64)%p64+p64)%p64
	return last > t.after
}
