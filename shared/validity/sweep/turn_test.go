package sweep_test

import (
	"testing"
	"time"

	"latchkey/shared/encryption"
	"latchkey/shared/validity/sweep"
	"latchkey/shared/verdict"
)

func TestAMissedMinuteIsADelay(t *testing.T) {
	inWorld(t, 60, func(w *world) {
		before := make([]int, len(w.groups))
		for i, g := range w.groups {
			before[i] = g.key.Calls("Decrypt")
		}
		time.Sleep(14 * time.Minute)
		w.minutes(1, nil)
		for i, g := range w.groups {
			if g.key.Calls("Decrypt") == before[i] {
				w.t.Errorf("group %d was not checked", i)
			}
		}
		time.Sleep(59 * time.Minute)
		r := w.mustRun()
		if r.Inspected != 60 {
			w.t.Errorf("after an hour without a run %d of 60 were inspected", r.Inspected)
		}
	})
}

func TestLatenessIsHowLongTheOldestKeyWaitedForItsTurn(t *testing.T) {
	inWorld(t, 60, func(w *world) {
		w.minutes(20, func(minute int, _ sweep.Result) {
			if late := w.late(); late != time.Second {
				w.t.Errorf("minute %d: %s late", minute, late)
			}
		})
		time.Sleep(37 * time.Minute) // the schedule is off
		w.minutes(1, nil)
		if late := w.late(); late != 37*time.Minute+time.Second {
			w.t.Errorf("after 37 minutes without a run it is %s late", late)
		}
		w.minutes(1, nil)
		if late := w.late(); late != time.Second {
			w.t.Errorf("when all are checked it is %s late", late)
		}
	})
}

// Keys that no run comes to are late however often their slot has had a turn, and those that are
// checked by rounds, since there are too many for one run, no more than a round takes.
func TestLatenessCountsFromWhenTheKeysThatAreLeftWereDue(t *testing.T) {
	inWorld(t, 400, func(w *world) {
		last := make([]time.Time, len(w.groups))
		for i, g := range w.groups {
			last[i] = time.Now()
			g.key.OnCall(func(string) { last[i] = time.Now(); time.Sleep(hung) })
		}
		const run = time.Minute
		longest := time.Duration(0)
		w.minutes(encryption.SweepSlots, nil) // in which all have their first turn
		for range 90 {
			time.Sleep(time.Until(time.Now().Truncate(run).Add(run)))
			var oldest time.Duration
			for _, at := range last {
				oldest = max(oldest, time.Since(at))
			}
			w.mustRun()
			late := w.late()
			if late < oldest-2*run || late > oldest+run { // within which each run comes to it sooner or later
				w.t.Errorf("%s late, and the key that was checked the longest ago was %s before", late, oldest)
			}
			longest = max(longest, late)
		}
		if longest < 2*run {
			w.t.Errorf("no run was late by more than %s, so this proves nothing", longest)
		}
		for _, g := range w.groups {
			g.key.OnCall(func(string) {})
		}
		w.minutes(3, nil)
		if late := w.late(); late > time.Minute {
			w.t.Errorf("after the outage it is %s late", late)
		}
	})
}

// A clock that ran ahead for a while must not keep keys from being checked until the others have
// caught up with it.
func TestAClockThatWasSetBackDelaysNoCheck(t *testing.T) {
	inWorld(t, 3, func(w *world) {
		_, err := w.sweep.Run(w.t.Context(), time.Now().Add(26*time.Hour))
		w.must(err)
		g := w.groups[0]
		g.key.Break(verdict.KeyDisabled)
		w.minutes(15, nil)
		if s := w.load(g); s.Valid {
			w.t.Errorf("after 15 minutes the key is %+v", s.Verdict)
		}
		g.key.Break(verdict.OK)
		w.minutes(1, nil)
		if s := w.load(g); !s.Valid {
			w.t.Errorf("a minute after it was given back the key is %+v", s.Verdict)
		}
	})
}
