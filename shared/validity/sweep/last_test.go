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
		if at := last(); !at.IsZero() {
			t.Errorf("before the first run it was checked at %s", at)
		}
		before := w.table.written()
		w.minutes(30, func(int, sweep.Result) {})
		if at := last(); time.Since(at) > 16*time.Minute || at.After(time.Now()) {
			t.Errorf("at %s it was checked last at %s", time.Now(), at)
		}
		if w.table.written() == before {
			t.Error("nothing was stored, so nothing was told") // the sweep's own progress is
		}
		if at, err := turns.Last(t.Context(), encryption.New(groupID(7), "o")); err != nil || !at.IsZero() {
			t.Errorf("a group without keys was checked at %s, %v", at, err)
		}
	})
}
