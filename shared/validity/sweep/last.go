package sweep

import (
	"context"
	"time"

	"latchkey/shared/encryption"
	"latchkey/shared/store"
)

// Turns tells how far the sweep has come. Both fields are required.
type Turns struct {
	Table store.Table
	Now   func() time.Time
}

// Last is the minute in which a group's keys had their last turn that was taken to its end; zero if they
// never had one, or have none. A check that finds nothing new leaves no other trace.
func (t Turns) Last(ctx context.Context, s encryption.Settings) (time.Time, error) {
	slot := s.SweepSlot()
	if slot == "" {
		return time.Time{}, nil
	}
	now := minuteOf(t.Now())
	p, err := loadProgress(ctx, t.Table, now)
	if done := min(p.Done[slot], now); err == nil && done > 0 {
		return time.Unix(done*60, 0).UTC(), nil
	}
	return time.Time{}, err
}
