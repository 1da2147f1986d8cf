package validity_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/shared/kms"
	"latchkey/shared/kms/kmstest"
	"latchkey/shared/validity"
	"latchkey/shared/verdict"
)

const group = "650000000000000000000001"

// ring opens one memory key; stale, if set, is what cached credentials reach.
type ring struct {
	fresh, stale *kmstest.Memory
	renewed      int
}

func (r *ring) Open(kms.Reference) (*kms.Key, error) {
	if r.stale != nil {
		return r.stale.Key("k"), nil
	}
	return r.fresh.Key("k"), nil
}

func (r *ring) Renew(kms.Reference) (*kms.Key, error) {
	r.renewed++
	return r.fresh.Key("k"), nil
}

func subject(t *testing.T, m *kmstest.Memory) validity.Subject {
	t.Helper()
	probe, _, err := m.Key("k").NewProbe(t.Context(), group)
	if err != nil {
		t.Fatal(err)
	}
	return validity.Subject{
		GroupID: group, Name: "AWS", Revision: 3, Probe: probe,
		Ref: func(context.Context) (kms.Reference, error) { return kms.Reference{GroupID: group}, nil },
	}
}

func TestEveryReasonBecomesItsVerdict(t *testing.T) {
	for _, reason := range verdict.Reasons() {
		synctest.Test(t, func(t *testing.T) {
			key := kmstest.NewMemory()
			r := &ring{fresh: key}
			s := subject(t, key)
			s.Expires = time.Now().Add(-time.Second) // so that what only the description tells is seen
			key.Break(reason)
			started := time.Now()
			v := validity.New(r, time.Now).Check(t.Context(), s)
			if v.Reason != reason || v.Settings != 3 || !v.StartedAt.Equal(started) {
				t.Errorf("%s gives %+v", reason, v)
			}
			if confirmed := r.renewed == 1; confirmed != (reason.Class() == verdict.Invalid) {
				t.Errorf("%s was confirmed with fresh credentials: %t", reason, confirmed)
			}
		})
	}
}

func TestAnExpiredKeyThatWasProlongedIsValid(t *testing.T) {
	key := kmstest.NewMemory()
	s := subject(t, key)
	s.Expires = time.Now().Add(-time.Hour)
	if v := validity.New(&ring{fresh: key}, time.Now).Check(t.Context(), s); v.Class() != verdict.Valid {
		t.Errorf("verdict %+v", v)
	}
}

func TestStaleCredentialsAreNoVerdict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key, stale := kmstest.NewMemory(), kmstest.NewMemory()
		stale.Break(verdict.AccessDenied)
		v := validity.New(&ring{fresh: key, stale: stale}, time.Now).Check(t.Context(), subject(t, key))
		if v.Class() != verdict.Valid {
			t.Errorf("fresh credentials work and the verdict is %+v", v)
		}
	})
}

func TestAHealthyCheckIsOneCall(t *testing.T) {
	key := kmstest.NewMemory()
	s := subject(t, key)
	before := key.Calls("Decrypt")
	validity.New(&ring{fresh: key}, time.Now).Check(t.Context(), s)
	if d, e, n := key.Calls("Decrypt")-before, key.Calls("Encrypt"), key.Calls("Describe"); d != 1 || e != 1 || n != 1 {
		t.Errorf("%d decrypts, %d encrypts and %d describes; want the one decrypt beyond the probe's making", d, e-1, n-1)
	}
}

func TestConcurrentAndCloseCallsShareOneCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := kmstest.NewMemory()
		s := subject(t, key)
		before := key.Calls("Decrypt")
		key.OnCall(func(string) { time.Sleep(time.Second) })
		c := validity.New(&ring{fresh: key}, time.Now)
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() { c.Check(t.Context(), s) })
		}
		wg.Wait()
		time.Sleep(3 * time.Second)
		c.Check(t.Context(), s)
		if n := key.Calls("Decrypt") - before; n != 1 {
			t.Errorf("%d checks within five seconds, want 1", n)
		}
		time.Sleep(2 * time.Second)
		c.Check(t.Context(), s)
		if n := key.Calls("Decrypt") - before; n != 2 {
			t.Errorf("%d checks after five seconds, want 2", n)
		}
		s.Revision++
		c.Check(t.Context(), s)
		if n := key.Calls("Decrypt") - before; n != 3 {
			t.Errorf("%d checks after the settings changed, want 3", n)
		}
	})
}

func TestACheckThatIsWantedAnewSharesNothingThatIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := kmstest.NewMemory()
		s := subject(t, key)
		anew := s
		anew.Anew = true
		c := validity.New(&ring{fresh: key}, time.Now)
		c.Check(t.Context(), s)
		before := key.Calls("Decrypt")
		key.OnCall(func(string) { time.Sleep(time.Second) })
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() { c.Check(t.Context(), anew) })
		}
		wg.Wait()
		v := c.Check(t.Context(), s) // and those who only want to know share the later one
		if n := key.Calls("Decrypt") - before; n != 1 || time.Since(v.StartedAt) > time.Second {
			t.Errorf("%d checks, of which the last began %s ago", n, time.Since(v.StartedAt))
		}
	})
}

// A clock that was set back must not hide a revoked key until it has caught up.
func TestAConclusionFromTheFutureIsNotShared(t *testing.T) {
	key := kmstest.NewMemory()
	s := subject(t, key)
	now := time.Now()
	c := validity.New(&ring{fresh: key}, func() time.Time { return now })
	c.Check(t.Context(), s)
	key.Break(verdict.KeyDisabled)
	now = now.Add(-time.Hour)
	if v := c.Check(t.Context(), s); v.Reason != verdict.KeyDisabled {
		t.Errorf("verdict %+v, an hour before the last one", v)
	}
}

func TestACallerThatGivesUpLeavesTheCheckToTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := kmstest.NewMemory()
		s := subject(t, key)
		key.OnCall(func(string) { time.Sleep(time.Second) })
		c := validity.New(&ring{fresh: key}, time.Now)
		hasty, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		go c.Check(hasty, s)
		synctest.Wait()
		if v := c.Check(t.Context(), s); v.Class() != verdict.Valid {
			t.Errorf("verdict %+v", v)
		}
	})
}

func TestASilentProviderTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := kmstest.NewMemory()
		s := subject(t, key)
		key.OnCall(func(string) { time.Sleep(time.Minute) })
		if v := validity.New(&ring{fresh: key}, time.Now).Check(t.Context(), s); v.Reason != verdict.TimedOut {
			t.Errorf("verdict %+v, want TIMED_OUT", v)
		}
	})
}

func TestAnUnresolvableReferenceIsInconclusive(t *testing.T) {
	for err, want := range map[error]verdict.Reason{
		errors.New("table unavailable"):                    verdict.Internal,
		verdict.Failed(verdict.SealFailed, "seal is away"): verdict.SealFailed,
	} {
		key := kmstest.NewMemory()
		s := subject(t, key)
		s.Ref = func(context.Context) (kms.Reference, error) { return kms.Reference{}, err }
		v := validity.New(&ring{fresh: key}, time.Now).Check(t.Context(), s)
		if v.Reason != want || v.Class() != verdict.Inconclusive {
			t.Errorf("%v gives %+v", err, v)
		}
	}
}

func TestACheckCostsTheSameAfterAnyNumberOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		key := kmstest.NewMemory()
		c := validity.New(&ring{fresh: key}, func() time.Time { asked++; return time.Now() })
		s := subject(t, key)
		asks := func(name string) int {
			asked = 0
			s.Name = name
			c.Check(t.Context(), s)
			return asked
		}
		asks("the first, which clears what is there")
		want := asks("the second")
		for i := range 1000 {
			asks(strconv.Itoa(i))
		}
		if got := asks("the last"); got != want {
			t.Errorf("after a thousand checks one looks at the clock %d times, before them %d", got, want)
		}
		time.Sleep(validity.Shared)
		if asks("much later"); c.Remembered() != 1 {
			t.Errorf("%d verdicts that nobody shares are kept", c.Remembered()-1)
		}
	})
}
