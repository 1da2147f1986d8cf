package kmstest

import (
	"testing"
	"time"

	"latchkey/shared/kms"
	"latchkey/shared/verdict"
)

// about is how far dates may be off: some providers tell them by the second.
const about = 5 * time.Second

func isAbout(got, want time.Time) bool { return got.Sub(want).Abs() < about }

func mustDate(t testing.TB, k *kms.Key) kms.Dates {
	t.Helper()
	d, err := k.Dates(within(t))
	if err != nil {
		t.Fatalf("dates: %v", err)
	}
	return d
}

// age is since when a key has the material that encrypts now.
func age(d kms.Dates) time.Time {
	if d.Rotated.After(d.Created) {
		return d.Rotated
	}
	return d.Created
}

func testDates(t *testing.T, h *Harness) {
	if h.OtherClock {
		t.Skip("the cloud has a clock of its own")
	}
	born := time.Now()
	if d := mustDate(t, h.Key); !isAbout(d.Created, born) || !d.Rotated.IsZero() || !d.Deletes.IsZero() {
		t.Errorf("a new key tells %+v at %s", d, born)
	}
	time.Sleep(10 * 24 * time.Hour)
	if d := mustDate(t, h.Key); !isAbout(age(d), born) {
		t.Errorf("ten days later it tells %+v, made at %s", d, born)
	}
	if h.Rotate == nil {
		return
	}
	for range 3 {
		time.Sleep(time.Hour)
		h.Rotate(t)
		if d := mustDate(t, h.Key); !isAbout(age(d), time.Now()) {
			t.Errorf("rotated at %s it tells %+v", time.Now(), d)
		}
	}
	rotated := time.Now()
	time.Sleep(24 * time.Hour)
	if d := mustDate(t, h.Key); !isAbout(age(d), rotated) {
		t.Errorf("a day after it was rotated at %s it tells %+v", rotated, d)
	}
}

func testDateOfDeletion(t *testing.T, h *Harness) {
	if h.Deletes == 0 {
		t.Log("the provider does not tell when a key goes")
		return
	}
	br := h.Breaks[ScheduleDeletion]
	br.Do(t)
	if d := mustDate(t, h.Key); !isAbout(d.Deletes, time.Now().Add(h.Deletes)) || d.Created.IsZero() {
		t.Errorf("a key that goes in %s tells %+v", h.Deletes, d)
	}
	br.Undo(t)
	if d := mustDate(t, h.Key); !d.Deletes.IsZero() {
		t.Errorf("a key that was saved goes on %s", d.Deletes)
	}
}

// testUntoldDates: what a tenant does not grant is left out, and is no failure of the key; an outage is
// told, so that what is known is kept.
func testUntoldDates(t *testing.T, h *Harness) {
	deny := h.Breaks[Deny]
	deny.Do(t)
	if d := mustDate(t, h.Key); !d.Created.IsZero() {
		t.Errorf("credentials that may not ask are told %+v", d)
	}
	deny.Undo(t)
	throttle, ok := h.Breaks[Throttle]
	if !ok {
		t.Skip(h.Without[Throttle])
	}
	throttle.Do(t)
	_, err := h.Key.Dates(within(t))
	checkReason(t, "dates", err, verdict.RateLimited)
}
