package sweep_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/encryption"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
	"latchkey/shared/validity/sweep"
	"latchkey/shared/verdict"
)

var auditFilter = audit.Filter{Types: []audit.Type{audit.ConfigNoLongerValid}}

func TestTooManyRevocationsAtOnceAreNotBelieved(t *testing.T) {
	for name, c := range map[string]struct {
		broken, healthy, tenants int
		reasons                  []verdict.Reason
		held                     int
	}{
		"19 of 19":                       {19, 0, 19, []verdict.Reason{verdict.RoleDenied}, 0},
		"20 of 20":                       {20, 0, 20, []verdict.Reason{verdict.RoleDenied}, 20},
		"20 of 39":                       {20, 19, 20, []verdict.Reason{verdict.RoleDenied}, 20},
		"20 of 40":                       {20, 20, 20, []verdict.Reason{verdict.RoleDenied}, 0},
		"two customers":                  {40, 0, 2, []verdict.Reason{verdict.RoleDenied}, 0},
		"three customers":                {40, 0, 3, []verdict.Reason{verdict.RoleDenied}, 40},
		"for different reasons":          {38, 0, 38, []verdict.Reason{verdict.RoleDenied, verdict.KeyDisabled}, 0},
		"most for one, some for another": {60, 0, 60, []verdict.Reason{verdict.RoleDenied, verdict.RoleDenied, verdict.KeyDisabled}, 40},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, 0, func(w *world) {
				for i := range c.broken + c.healthy {
					w.add(i, fmt.Sprintf("66%022x", i%c.tenants))
				}
				for i, g := range w.groups[:c.broken] {
					g.key.Break(c.reasons[i%len(c.reasons)])
				}
				time.Sleep(15 * time.Minute)
				r := w.mustRun()
				if r.Held != c.held || r.Verdicts[verdict.Invalid] != c.broken-c.held || len(w.enforcer.took()) < c.broken-c.held {
					w.t.Errorf("held %d, want %d: %+v", r.Held, c.held, r)
				}
				invalid := 0
				for _, g := range w.groups {
					if s := w.load(g); !s.Valid {
						invalid++
					}
				}
				if invalid != c.broken-c.held {
					w.t.Errorf("%d keys are invalid, want %d", invalid, c.broken-c.held)
				}
				if paged := w.log.count("too many keys"); paged != min(c.held, 1) || w.log.count(`"VerdictsHeld":`) != paged {
					w.t.Errorf("the operator was told %d times", paged)
				}
			})
		})
	}
}

func TestWhatIsNotBelievedIsCheckedEveryMinuteUntilItIsOverOrAccepted(t *testing.T) {
	inWorld(t, 30, func(w *world) {
		for _, g := range w.groups {
			g.key.Break(verdict.RoleDenied)
		}
		time.Sleep(15 * time.Minute)
		if r := w.mustRun(); r.Held != 30 {
			w.t.Fatalf("%+v", r)
		}
		w.minutes(20, func(minute int, r sweep.Result) {
			if r.Held != 30 || len(w.enforcer.took()) > 0 {
				w.t.Errorf("minute %d: %+v", minute, r)
			}
		})
		w.groups[0].key.Break(verdict.OK)
		w.minutes(1, func(_ int, r sweep.Result) {
			if r.Verdicts[verdict.Valid] != 1 {
				w.t.Errorf("mended, %+v", r)
			}
		})
		time.Sleep(time.Minute)
		r := w.mustRun(sweep.Cause{Provider: atlas.AWS, Reason: verdict.RoleDenied})
		if r.Held != 0 || r.Verdicts[verdict.Invalid] != 29 {
			w.t.Errorf("accepted, %+v", r)
		}
		if n := len(w.enforcer.took()); n < 29 {
			w.t.Errorf("%d of 29 were enforced", n)
		}
	})
}

// A run sees one key in fifteen: of few groups each sees few, which are believed unless others are asked.
func TestAFaultOfOursStopsNothingWhereARunSeesFewKeys(t *testing.T) {
	for _, groups := range []int{20, 45, 200} {
		t.Run(fmt.Sprintf("%d groups", groups), func(t *testing.T) {
			inWorld(t, groups, func(w *world) {
				w.minutes(15, nil)
				w.forget()
				for _, g := range w.groups {
					g.key.Break(verdict.RoleDenied)
				}
				w.minutes(17, nil)
				if stopped := w.enforcer.took(); len(stopped) > 0 {
					w.t.Errorf("%d keys were acted on, first %s", len(stopped), stopped[0])
				}
				for _, g := range w.groups {
					if s := w.load(g); !s.Valid || s.Verdict.Reason != verdict.Implausible {
						w.t.Fatalf("%+v", s.Verdict)
					}
				}
				if w.log.count("too many keys") == 0 {
					w.t.Error("the operator was not told")
				}
			})
		})
	}
}

// What one customer did is obeyed at once, and asks the others once.
func TestARevocationAsksOthersOnce(t *testing.T) {
	for groups, asked := range map[int]int{10: 10, 100: 47, 900: 75} {
		t.Run(fmt.Sprintf("%d groups", groups), func(t *testing.T) {
			inWorld(t, groups, func(w *world) {
				w.minutes(15, nil)
				w.forget()
				w.groups[0].key.Break(verdict.KeyDisabled)
				checks, most := 0, 0
				w.minutes(15, func(_ int, r sweep.Result) {
					n := 0
					for _, count := range r.Verdicts {
						n += count
					}
					checks, most = checks+n, max(most, n)
				})
				if w.load(w.groups[0]).Valid || len(w.enforcer.took()) == 0 {
					w.t.Error("the revocation was not acted on")
				}
				if most > asked {
					w.t.Errorf("a run checked %d keys, want %d at most", most, asked)
				}
				if more := checks - groups; more > asked+15 { // and the revoked one each minute
					w.t.Errorf("%d checks more than due", more)
				}
			})
		})
	}
}

// Those who are asked are of the provider in question: of another there may be a hundred thousand.
func TestARevocationAsksNobodyOfAnotherProvider(t *testing.T) {
	inWorld(t, 300, func(w *world) {
		w.addAzure(900, groupID(900))
		w.minutes(15, nil)
		w.groups[300].key.Break(verdict.KeyDisabled)
		most := 0
		w.minutes(15, func(_ int, r sweep.Result) {
			n := 0
			for _, count := range r.Verdicts {
				n += count
			}
			most = max(most, n)
		})
		if most > 40 { // of 300 a fifteenth, unevenly, and the one
			w.t.Errorf("a run checked %d keys", most)
		}
	})
}

// A slot of a large deployment has thousands of keys: no more of them are asked than it takes, and none has to
// be made up for.
func TestARevocationAsksNoMoreThanItTakes(t *testing.T) {
	inWorld(t, 1, func(w *world) {
		for i := 1; len(w.groups) < 200; i++ {
			if encryption.SweepMinute(groupID(i))%encryption.SweepSlots == 7 {
				w.add(i, groupID(i))
			}
		}
		w.minutes(16, nil)
		g := w.groups[0]
		g.key.Break(verdict.KeyDisabled)
		_, err := w.settings.Get(w.t.Context(), g.id) // is only noted: the key is urgent now
		w.must(err)
		for _, other := range w.groups[1:] {
			slowly(other.key, 50*time.Millisecond)
		}
		time.Sleep(time.Second)
		const another = verdict.AccessDenied // with any that is accepted the urgent keys have another turn
		r := w.mustRun(sweep.Cause{Provider: atlas.AWS, Reason: another})
		n := 0
		for _, count := range r.Verdicts {
			n += count
		}
		if n < 40 || n > 40+2*32 || r.Left > 0 { // the host's places are full when it is enough
			w.t.Errorf("%d keys were checked: %+v", n, r)
		}
		if w.load(g).Valid {
			w.t.Error("the revocation was not obeyed")
		}
	})
}

// What can't be read of one slot is no reason to ask nobody of the others.
func TestASlotThatCannotBeReadSilencesNoOtherWitness(t *testing.T) {
	inWorld(t, 200, func(w *world) {
		w.minutes(15, nil)
		w.forget()
		for _, g := range w.groups {
			g.key.Break(verdict.RoleDenied)
		}
		time.Sleep(time.Until(time.Now().Truncate(time.Minute).Add(time.Minute + time.Second)))
		next := encryption.Slot(int((time.Now().Unix()/60 + 1) % encryption.SweepSlots))
		w.table.failQuery = func(q store.Query) error {
			if q.PK == keys.Sweep(next, "").PK {
				return errors.New("not now")
			}
			return nil
		}
		if _, err := w.sweep.Run(w.t.Context(), time.Now()); err == nil {
			w.t.Error("that a slot could not be read was not told")
		}
		if stopped := w.enforcer.took(); len(stopped) > 0 {
			w.t.Errorf("%d keys were acted on", len(stopped))
		}
	})
}

// Keys that were invalid before don't make the others look fewer.
func TestOldRevocationsDoNotHideAMassFailure(t *testing.T) {
	inWorld(t, 100, func(w *world) {
		for i, g := range w.groups { // fifteen at a time, which is believed
			if i < 75 {
				g.key.Break(verdict.KeyDisabled)
			}
			if i%15 == 14 && i < 75 {
				time.Sleep(15 * time.Minute)
				w.mustRun()
			}
		}
		for _, g := range w.groups[75:] {
			g.key.Break(verdict.KeyDisabled)
		}
		time.Sleep(15 * time.Minute)
		if r := w.mustRun(); r.Held != 25 || r.Verdicts[verdict.Invalid] != 75 {
			w.t.Errorf("%+v", r)
		}
	})
}
