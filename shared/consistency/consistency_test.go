package consistency_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/shared/consistency"
	"latchkey/shared/verdict"
)

func TestPatienceWaitsForAGrantToSettle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		granted := time.Now().Add(7 * time.Second)
		err := consistency.Patience{Budget: 15 * time.Second}.Try(t.Context(), func(context.Context) error {
			if time.Now().Before(granted) {
				return verdict.Failed(verdict.RoleDenied, "not yet")
			}
			return nil
		})
		if err != nil {
			t.Errorf("a grant that settles within the budget fails: %v", err)
		}
	})
}

func TestPatienceEndsWithItsBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		err := consistency.Patience{Budget: 15 * time.Second}.Try(t.Context(), func(context.Context) error {
			return verdict.Failed(verdict.AccessDenied, "never")
		})
		if waited := time.Since(start); err == nil || waited > 15*time.Second {
			t.Errorf("gave up after %s with %v", waited, err)
		}
	})
}

func TestPatienceDoesNotWaitForWhatTimeCanNotCure(t *testing.T) {
	for _, cause := range []error{
		verdict.Failed(verdict.KeyDisabled, "disabled"), verdict.Failed(verdict.TimedOut, "slow"), errors.New("bug"),
	} {
		synctest.Test(t, func(t *testing.T) {
			start, calls := time.Now(), 0
			err := consistency.Patience{Budget: time.Minute}.Try(t.Context(), func(context.Context) error {
				calls++
				return cause
			})
			if calls != 1 || time.Since(start) != 0 || !errors.Is(err, cause) {
				t.Errorf("%v: %d calls in %s, %v", cause, calls, time.Since(start), err)
			}
		})
	}
}

func TestPatienceEndsWhenTheCallerGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		defer cancel()
		start := time.Now()
		err := consistency.Patience{Budget: time.Minute}.Try(ctx, func(context.Context) error {
			return verdict.Failed(verdict.RoleDenied, "never")
		})
		if err == nil || time.Since(start) != 4*time.Second {
			t.Errorf("ended after %s with %v", time.Since(start), err)
		}
	})
}
