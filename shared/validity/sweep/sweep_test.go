package sweep_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"latchkey/shared/encryption"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
	"latchkey/shared/validity/sweep"
	"latchkey/shared/verdict"
)

func TestEveryKeyIsCheckedEvery15MinutesByOneCallAndNoWrite(t *testing.T) {
	inWorld(t, 60, func(w *world) {
		before := make([]int, len(w.groups))
		for i, g := range w.groups {
			before[i] = g.key.Calls("Decrypt")
		}
		most := 0
		w.minutes(60, func(_ int, r sweep.Result) {
			most = max(most, r.Verdicts[verdict.Valid])
			if n := w.table.written(); n > 0 || r.Left+r.Failed+r.Enforced > 0 {
				w.t.Errorf("%d writes, %+v", n, r)
			}
		})
		for i, g := range w.groups {
			// Each has been made with one of each call, and the first run inspected it.
			if d, e, n := g.key.Calls("Decrypt")-before[i], g.key.Calls("Encrypt"), g.key.Calls("Describe"); d != 5 || e != 3 || n != 3 {
				w.t.Errorf("group %d: %d decrypts, %d encrypts, %d describes in an hour; want 4+1, 1+2 and 1+2", i, d, e, n)
			}
		}
		if most > 12 {
			w.t.Errorf("%d of 60 groups were checked in one minute", most)
		}
	})
}

func TestAGroupsTurnIsTakenByOneQueryPerPage(t *testing.T) {
	inWorld(t, 30, func(w *world) {
		w.table.queries = 0
		w.minutes(1, nil)
		if w.table.queries != 2 {
			w.t.Errorf("%d queries for a slot and what is urgent", w.table.queries)
		}
	})
}

func TestARevocationIsActedOnWithin15MinutesAndItsEndWithinOne(t *testing.T) {
	inWorld(t, 3, func(w *world) {
		g := w.groups[0]
		g.key.Break(verdict.KeyDisabled)
		w.minutes(15, nil)
		if s := w.load(g); s.Valid || s.Verdict.Reason != verdict.KeyDisabled || w.place(g) != "SWEEP#URGENT" {
			w.t.Fatalf("after 15 minutes the key is %+v in %s", s.Verdict, w.place(g))
		}
		if calls := w.enforcer.took(); len(calls) == 0 || calls[0] != g.id+" AWS 3 false" {
			w.t.Errorf("enforced: %v", calls)
		}
		g.key.Break(verdict.OK)
		w.minutes(1, nil)
		if s := w.load(g); !s.Valid || w.place(g) == "SWEEP#URGENT" {
			w.t.Errorf("a minute later the key is %+v in %s", s.Verdict, w.place(g))
		}
		if calls := w.enforcer.took(); !slices.Equal(calls, []string{g.id + " AWS 3 true"}) {
			w.t.Errorf("enforced: %v", calls)
		}
	})
}

func TestEnforcingIsRepeatedNowAndThenWhileAStateLasts(t *testing.T) {
	inWorld(t, 1, func(w *world) {
		g := w.groups[0]
		g.key.Break(verdict.AccessDenied)
		w.minutes(16, nil)
		w.forget()
		w.minutes(600, nil)
		if n := len(w.enforcer.took()); n < 39 || n > 46 {
			w.t.Errorf("a revocation of ten hours is enforced %d times", n)
		}
		g.key.Break(verdict.OK)
		w.minutes(361, nil)
		if n := len(w.enforcer.took()); n < 20 || n > 30 {
			w.t.Errorf("its end is enforced %d times in six hours", n)
		}
		w.minutes(120, nil)
		if calls := w.enforcer.took(); len(calls) > 0 {
			w.t.Errorf("later it is enforced still: %v", calls)
		}
	})
}

func TestACrashBetweenTheVerdictAndItsEnforcementLosesNothing(t *testing.T) {
	for _, reason := range []verdict.Reason{verdict.KeyDisabled, verdict.OK} {
		inWorld(t, 2, func(w *world) {
			g := w.groups[0]
			g.key.Break(verdict.KeyDisabled)
			w.minutes(15, nil)
			g.key.Break(reason)
			if _, err := w.settings.Get(w.t.Context(), g.id); err != nil { // another function stores the verdict
				w.t.Fatal(err)
			}
			w.forget()
			w.minutes(15, nil)
			want := fmt.Sprintf("%s AWS 3 %t", g.id, reason == verdict.OK)
			if !slices.Contains(w.enforcer.took(), want) {
				w.t.Errorf("not enforced: %s", want)
			}
		})
	}
}

func TestOnlyRevocationsAreEnforced(t *testing.T) {
	for _, reason := range verdict.Reasons() {
		if reason.Class() == verdict.Invalid || reason == verdict.OK {
			continue
		}
		inWorld(t, 1, func(w *world) {
			w.groups[0].key.Break(reason)
			w.minutes(31, nil)
			if s := w.load(w.groups[0]); !s.Valid || s.Verdict.Reason != reason || w.place(w.groups[0]) != "SWEEP#URGENT" {
				w.t.Errorf("%s gives %+v", reason, s.Verdict)
			}
			if calls := w.enforcer.took(); len(calls) > 0 {
				w.t.Errorf("%s is enforced: %v", reason, calls)
			}
			if n := w.table.written(); n != 1 {
				w.t.Errorf("%s is written %d times", reason, n)
			}
		})
	}
}

func TestARunEndsBeforeItsContext(t *testing.T) {
	inWorld(t, 300, func(w *world) {
		for _, g := range w.groups {
			slowly(g.key, hung)
		}
		time.Sleep(15 * time.Minute)
		ctx, cancel := context.WithTimeout(w.t.Context(), 45*time.Second)
		defer cancel()
		r, err := w.sweep.Run(ctx, time.Now())
		if err != nil || ctx.Err() != nil || r.Left == 0 {
			w.t.Fatalf("%+v, %v, %v", r, err, ctx.Err())
		}
		for _, g := range w.groups {
			slowly(g.key, 0)
		}
		time.Sleep(time.Minute)
		if next := w.mustRun(); next.Verdicts[verdict.Valid] < r.Left {
			w.t.Errorf("%d keys were left, and the next run checked %d", r.Left, next.Verdicts[verdict.Valid])
		}
	})
}

func TestConcurrentRunsAreHarmless(t *testing.T) {
	inWorld(t, 40, func(w *world) {
		for _, g := range w.groups[:5] {
			g.key.Break(verdict.KeyDisabled)
		}
		for _, g := range w.groups {
			slowly(g.key, 100*time.Millisecond)
		}
		time.Sleep(15 * time.Minute)
		var wg sync.WaitGroup
		for range 4 {
			instance := w.another()
			wg.Go(func() {
				if _, err := instance.Run(w.t.Context(), time.Now()); err != nil {
					w.t.Error(err)
				}
			})
		}
		wg.Wait()
		for i, g := range w.groups {
			if s := w.load(g); s.Valid != (i >= 5) {
				w.t.Errorf("group %d is valid: %t", i, s.Valid)
			}
		}
		journal := w.settings.Journal
		for _, g := range w.groups[:5] {
			_, total, err := journal.List(w.t.Context(), keys.GroupScope(g.id), auditFilter, 0, 10)
			if err != nil || total != 1 {
				w.t.Errorf("%d events of one revocation, %v", total, err)
			}
		}
		time.Sleep(time.Minute)
		if r := w.mustRun(); r.Verdicts[verdict.Invalid] != 5 || r.Failed != 0 {
			w.t.Errorf("then %+v", r)
		}
	})
}

func TestAStaleEntryOfTheIndexDecidesNothing(t *testing.T) {
	for name, meanwhile := range map[string]func(w *world, settings *encryption.Settings) store.Op{
		"the group was closed": func(w *world, s *encryption.Settings) store.Op {
			return store.Delete(keys.Encryption(s.GroupID), 1)
		},
		"the provider was disabled": func(w *world, s *encryption.Settings) store.Op {
			s.AWS, s.Revision = nil, 4
			return put(w, *s)
		},
		"the key was replaced": func(w *world, s *encryption.Settings) store.Op {
			s.Revision, s.AWS.Key.Revision = 4, 4
			s.AWS.Key.Verdict.Settings = 4
			return put(w, *s)
		},
		"a later verdict was stored": func(w *world, s *encryption.Settings) store.Op {
			s.AWS.Key.Verdict.StartedAt = time.Now().Add(time.Minute)
			return put(w, *s)
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, 1, func(w *world) {
				g := w.groups[0]
				g.key.Break(verdict.KeyDisabled)
				done := false
				w.table.afterQuery = func(p store.Page) store.Page {
					if len(p.Items) > 0 && !done {
						done = true
						settings, err := w.settings.Load(w.t.Context(), g.id)
						w.must(err)
						w.must(w.table.Table.Write(w.t.Context(), meanwhile(w, &settings)))
					}
					return p
				}
				time.Sleep(15 * time.Minute)
				before, _ := w.table.Get(w.t.Context(), keys.Encryption(g.id))
				r := w.mustRun()
				after, _ := w.table.Get(w.t.Context(), keys.Encryption(g.id))
				if after.Version > before.Version+1 || r.Failed > 0 || len(w.enforcer.took()) > 0 || !done {
					w.t.Errorf("the item is %s, the run %+v", after.Body, r)
				}
			})
		})
	}
}

func TestNothingIsEnforcedThatIsNoLongerStored(t *testing.T) {
	for name, meanwhile := range map[string]func(s *encryption.Settings){
		"the key is valid again": func(s *encryption.Settings) {
			s.AWS.Key.Valid = true
			s.AWS.Key.Verdict.Reason, s.AWS.Key.Verdict.StartedAt = verdict.OK, time.Now().Add(time.Hour)
		},
		"the provider was disabled": func(s *encryption.Settings) { s.AWS = nil },
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, 1, func(w *world) {
				g := w.groups[0]
				g.key.Break(verdict.KeyDisabled)
				for w.load(g).Valid {
					w.minutes(1, nil)
				}
				w.forget()
				w.table.afterQuery = func(p store.Page) store.Page {
					if len(p.Items) == 0 {
						return p
					}
					settings, version, err := store.Load[encryption.Settings](w.t.Context(), w.table, keys.Encryption(g.id))
					w.must(err)
					meanwhile(&settings)
					item, err := store.Encode(keys.Encryption(g.id), version, settings)
					w.must(err)
					w.must(w.table.Table.Write(w.t.Context(), store.Put(item)))
					return p
				}
				w.minutes(1, nil)
				if calls := w.enforcer.took(); slices.Contains(calls, g.id+" AWS 3 false") {
					w.t.Errorf("enforced: %v", calls)
				}
			})
		})
	}
}

func TestEnforcingThatFailsIsRepeated(t *testing.T) {
	inWorld(t, 2, func(w *world) {
		g := w.groups[0]
		g.key.Break(verdict.KeyDisabled)
		w.enforcer.err = errors.New("no state machine")
		time.Sleep(15 * time.Minute)
		if r := w.mustRun(); r.Failed != 1 || w.load(g).Valid {
			w.t.Errorf("%+v", r)
		}
		w.enforcer.err = nil
		w.forget()
		w.minutes(1, nil)
		if calls := w.enforcer.took(); !slices.Equal(calls, []string{g.id + " AWS 3 false"}) {
			w.t.Errorf("a minute later %v", calls)
		}
	})
}

func put(w *world, s encryption.Settings) store.Op {
	item, err := store.Encode(keys.Encryption(s.GroupID), 1, s)
	w.must(err)
	return store.Put(item)
}

func TestAnExpiryIsNoticedByTheInspectionAndActedOn(t *testing.T) {
	inWorld(t, 2, func(w *world) {
		g := w.groups[0]
		later := time.Now().Add(100 * 24 * time.Hour).UTC().Truncate(time.Second)
		g.key.ExpireAt(later)
		w.minutes(60, nil)
		if s := w.load(g); !s.Expires.Equal(later) || w.table.written() != 1 {
			w.t.Errorf("expires %s, want %s", s.Expires, later)
		}
		g.key.Break(verdict.KeyExpired) // its owner dates it back; it goes on decrypting
		w.minutes(75, nil)
		if s := w.load(g); s.Valid || s.Verdict.Reason != verdict.KeyExpired {
			w.t.Errorf("an hour and a quarter later it is %+v", s.Verdict)
		}
		g.key.Break(verdict.OK)
		w.minutes(1, nil)
		if s := w.load(g); !s.Valid {
			w.t.Errorf("prolonged, it is %+v", s.Verdict)
		}
	})
}

func TestAKeyThatOnlyDecryptsIsReportedAndNotStopped(t *testing.T) {
	inWorld(t, 1, func(w *world) {
		g := w.groups[0]
		g.key.OnCall(func(op string) {
			if op == "Encrypt" {
				g.key.Break(verdict.AccessDenied)
			}
			if op == "Decrypt" {
				g.key.Break(verdict.OK)
			}
		})
		defective := 0
		w.minutes(60, func(_ int, r sweep.Result) { defective += r.Defective })
		if defective != 1 || !w.load(g).Valid || len(w.enforcer.took()) > 0 || w.log.count("otherwise unfit") != 1 {
			w.t.Errorf("reported %d times, %+v", defective, w.load(g).Verdict)
		}
	})
}

func TestWhatFailsForOneKeyIsNoFailureOfTheRun(t *testing.T) {
	down := errors.New("table down")
	for name, c := range map[string]struct {
		failing int
		fails   bool
	}{"one": {1, false}, "all": {6, true}} {
		inWorld(t, 6, func(w *world) {
			for _, g := range w.groups {
				g.key.Break(verdict.KeyDisabled)
			}
			w.table.beforeWrite = func(ops []store.Op) error {
				for _, g := range w.groups[:c.failing] {
					if ops[0].Item.Key == keys.Encryption(g.id) {
						return down
					}
				}
				return nil
			}
			time.Sleep(15 * time.Minute)
			r, err := w.sweep.Run(w.t.Context(), time.Now())
			if r.Failed != c.failing || errors.Is(err, down) != c.fails || len(w.enforcer.took()) != 6-c.failing {
				w.t.Errorf("%s: %+v, %v", name, r, err)
			}
		})
	}
}

func TestASlotThatCannotBeReadIsReadLater(t *testing.T) {
	inWorld(t, 30, func(w *world) {
		slot := keys.Sweep(encryption.Slot(encryption.SweepMinute(w.groups[0].id)%encryption.SweepSlots), "").PK
		down := errors.New("index down")
		w.table.failQuery = func(q store.Query) error {
			if q.PK == slot {
				return down
			}
			return nil
		}
		time.Sleep(15 * time.Minute)
		r, err := w.sweep.Run(w.t.Context(), time.Now())
		if !errors.Is(err, down) || r.Verdicts[verdict.Valid] == 0 {
			w.t.Errorf("%+v, %v", r, err)
		}
		w.table.failQuery = nil
		before := w.groups[0].key.Calls("Decrypt")
		w.minutes(1, nil)
		if w.groups[0].key.Calls("Decrypt") == before {
			w.t.Error("what could not be read was forgotten")
		}
	})
}

func TestSlotsAreFlat(t *testing.T) {
	var minutes [60]int
	for i := range 60000 {
		minutes[encryption.SweepMinute(groupID(i))]++
	}
	if least, most := slices.Min(minutes[:]), slices.Max(minutes[:]); least < 800 || most > 1200 {
		t.Errorf("of 1000 groups per minute on average, a minute has %d to %d", least, most)
	}
}
