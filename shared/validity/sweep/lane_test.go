package sweep_test

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/shared/encryption"
	"latchkey/shared/validity/sweep"
	"latchkey/shared/verdict"
)

func TestASlowTenantDelaysNobody(t *testing.T) {
	inWorld(t, 1000, func(w *world) {
		isSlow := map[string]bool{}
		org := "660000000000000000ffffff"
		for i := range 40 { // one tenant with forty groups that answer after 30 seconds
			w.add(5000+i, org)
			g := w.groups[len(w.groups)-1]
			slowly(g.key, 30*time.Second)
			isSlow[g.id] = true
		}
		time.Sleep(15 * time.Minute)
		begun := time.Now()
		var slowest atomic.Int64
		for _, g := range w.groups {
			if !isSlow[g.id] {
				g.key.OnCall(func(string) {
					time.Sleep(50 * time.Millisecond)
					if d := int64(time.Since(begun)); d > slowest.Load() {
						slowest.Store(d)
					}
				})
			}
		}
		r := w.mustRun()
		if r.Verdicts[verdict.Valid] != 1000 || time.Duration(slowest.Load()) > 10*time.Second {
			w.t.Errorf("%+v; the last of the others was checked after %s", r, time.Duration(slowest.Load()))
		}
		if r.Verdicts[verdict.Unreachable] == 0 {
			w.t.Errorf("none of the slow tenant's keys was checked: %+v", r)
		}
	})
}

func TestATenantWhoseKeysHangSlowsTheOthersDownByLessThanATwentieth(t *testing.T) {
	inWorld(t, 300, func(w *world) {
		large := fmt.Sprintf("67%022x", 0)
		for i := range 8 {
			w.add(300+i, large)
		}
		hanging := w.groups[300:]
		var last atomic.Int64
		for _, g := range w.groups[:300] {
			g.key.OnCall(func(string) { time.Sleep(100 * time.Millisecond); last.Store(time.Now().UnixNano()) })
		}
		took := func() time.Duration {
			time.Sleep(time.Hour) // all are inspected each time
			began := time.Now()
			w.mustRun()
			return time.Unix(0, last.Load()).Sub(began)
		}
		took()
		alone := took()
		for _, g := range hanging {
			slowly(g.key, 30*time.Second)
		}
		if beside := took(); beside > alone+alone/20 {
			t.Errorf("the others' checks took %v, and %v beside keys that hang", alone, beside)
		}
	})
}

// Which keys a run has time for must not be a matter of luck, and what waits for it takes no goroutine.
func TestKeysAreCheckedInTheOrderInWhichTheyAreRead(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		for i := 0; len(w.groups) < 300; i++ {
			if encryption.SweepMinute(groupID(i))%encryption.SweepSlots == 7 {
				w.add(i, groupID(i))
			}
		}
		w.minutes(16, nil)
		var mu sync.Mutex
		var order []int
		before, most := runtime.NumGoroutine(), 0
		for i, g := range w.groups { // their ids ascend, and by them the index is read
			g.key.OnCall(func(string) {
				mu.Lock()
				if !slices.Contains(order, i) {
					order = append(order, i)
				}
				most = max(most, runtime.NumGoroutine())
				mu.Unlock()
				time.Sleep(50 * time.Millisecond)
			})
		}
		w.minutes(15, nil)
		if len(order) != len(w.groups) {
			w.t.Fatalf("%d of %d keys were checked", len(order), len(w.groups))
		}
		for at, i := range order {
			if at-i > perHost || i-at > perHost {
				w.t.Errorf("the key that was read as number %d was checked as number %d", i, at)
			}
		}
		if most > before+2*perHost {
			w.t.Errorf("%d keys took %d goroutines", len(order), most-before)
		}
	})
}

// perHost is how many checks of one host run at once.
const perHost = 32

// Azure's vaults are hosts of their own, but one host signs in to all of them: if that hangs, no more than twice the
// provider's places may be taken. Each takes a connection, of which a function has a thousand.
func TestAnOutageOfAllHostsOfAProviderIsBounded(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		var now, most atomic.Int64
		for i := range 500 {
			w.addAzure(i, groupID(i))
			w.groups[i].key.OnCall(func(string) {
				if n := now.Add(1); n > most.Load() {
					most.Store(n)
				}
				time.Sleep(hung)
				now.Add(-1)
			})
		}
		time.Sleep(time.Hour)
		w.mustRun()
		if n := most.Load(); n < 128 || n > 256 {
			w.t.Errorf("%d keys of one provider were checked at once", n)
		}
	})
}

func TestAnOutageOfEverythingLeavesNobodyOut(t *testing.T) {
	const n = 400
	inWorld(t, n, func(w *world) {
		calls := make([]atomic.Int64, n)
		for i, g := range w.groups {
			g.key.OnCall(func(string) { calls[i].Add(1); time.Sleep(hung) })
		}
		left := 0
		for range 30 {
			time.Sleep(time.Until(time.Now().Truncate(time.Minute).Add(time.Minute)))
			r := w.mustRun()
			left += r.Left
		}
		if left == 0 {
			w.t.Fatal("every run had time for everything, so this proves nothing")
		}
		for i := range calls {
			if c := calls[i].Load(); c < 3 {
				w.t.Errorf("group %d was checked %d times in 30 minutes", i, c)
			}
		}
	})
}

func TestAnOutageOfOneHostDelaysNoRecoveryAtAnother(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		w.region = "EU_WEST_1"
		w.add(0, groupID(0)) // comes before the others in the index
		w.region = "US_EAST_1"
		for i := range 400 {
			w.add(i+1, groupID(i+1))
			slowly(w.groups[i+1].key, hung)
		}
		g := w.groups[0]
		w.minutes(16, nil)
		for range 2 {
			g.key.Break(verdict.KeyDisabled)
			w.minutes(16, nil)
			if w.load(g).Valid {
				w.t.Fatal("the revocation was not noticed")
			}
			g.key.Break(verdict.OK)
			w.minutes(1, func(_ int, r sweep.Result) {
				if !w.load(g).Valid || r.Left == 0 {
					w.t.Errorf("valid again: %t; %+v", w.load(g).Valid, r)
				}
			})
		}
	})
}
