package awscloud

import (
	"slices"
	"time"
)

// timeline is a value that changes with a delay: what was written last, and what has already
// taken effect, as in an eventually consistent service.
type timeline[T any] []change[T]

type change[T any] struct {
	Effective time.Time `json:"effective"`
	Value     *T        `json:"value"` // nil says that the value was deleted
}

// latest is the value as written last: what its owner reads back.
func (t timeline[T]) latest() (T, bool) {
	if len(t) == 0 || t[len(t)-1].Value == nil {
		var none T
		return none, false
	}
	return *t[len(t)-1].Value, true
}

// at is the value in force at an instant.
func (t timeline[T]) at(now time.Time) (T, bool) {
	i := t.current(now)
	if i < 0 || t[i].Value == nil {
		var none T
		return none, false
	}
	return *t[i].Value, true
}

func (t timeline[T]) current(now time.Time) int {
	for i, c := range slices.Backward(t) {
		if !c.Effective.After(now) {
			return i
		}
	}
	return -1
}

// with appends a value that takes effect after lag, but not before any earlier change, and
// drops what nobody can see any more.
func (t timeline[T]) with(value *T, now time.Time, lag time.Duration) timeline[T] {
	effective := now.Add(lag)
	if len(t) > 0 && t[len(t)-1].Effective.After(effective) {
		effective = t[len(t)-1].Effective
	}
	kept := slices.Clone(t[max(t.current(now), 0):])
	return append(kept, change[T]{Effective: effective, Value: value})
}

// save writes a new value, nil for none, of a timeline that is kept under kind and id.
func save[T any](c *Cloud, kind, id string, t timeline[T], value *T) error {
	now := c.cfg.Now()
	t = t.with(value, now, c.cfg.Lag())
	if t.isGone(now) {
		return c.state.Delete(kind, id)
	}
	return c.state.Put(kind, id, t)
}

// isGone reports whether the value is deleted, and was so in every reader's eyes.
func (t timeline[T]) isGone(now time.Time) bool {
	_, written := t.latest()
	_, inForce := t.at(now)
	return !written && !inForce
}
