package sweep_test

import (
	"testing"
	"time"

	"latchkey/shared/encryption"
	"latchkey/shared/validity/sweep"
)

func TestTurns_tell_when_a_key_that_is_fine_was_checked_last(t *testing.T) {
	inWorld(t, 1, func(w *world) {
		turns := sweep.Turns{Table: w.table, Now: time.Now}
		settings, err := w.settings.Load(t.Context(), groupID(0))
		w.must(err)
		last := func() time.Time {
			t.Helper()
			at, err := turns.Last(t.Context(), settings)
			w.must(err)
			return at
		}
		before := last()
		w.minutes(30, func(int, sweep.Result) {})
		if at := last(); time.Since(at) > 16*time.Minute || at.After(time.Now()) || at.Sub(before) < 15*time.Minute {
			t.Errorf("at %s it was checked last at %s, and before at %s", time.Now(), at, before)
		}
		if at, err := turns.Last(t.Context(), encryption.New(groupID(7), "o")); err != nil || !at.IsZero() {
			t.Errorf("a group without keys was checked at %s, %v", at, err)
		}
	})
}
