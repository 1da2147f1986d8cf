package keys_test

import (
	"testing"
	"time"

	"latchkey/shared/store/keys"
)

func TestDueTime_readsWhatIsDue(t *testing.T) {
	at := time.Date(2026, 5, 1, 12, 0, 0, 123456000, time.UTC)
	for name, sk := range map[string]string{
		"an alert": keys.AlertDue(at, "650000000000000000000001", "ALERT#1").SK, "a maintenance": keys.MaintenanceDue(at, "650000000000000000000001").SK,
		"a bound": keys.AlertDuePrefix + keys.EventTime(at),
	} {
		if got, ok := keys.DueTime(sk); !ok || !got.Equal(at) {
			t.Errorf("%s is due at %s, %t", name, got, ok)
		}
	}
	for _, sk := range []string{"", "DUE#", "DUE#T#yesterday#x", keys.EventTime(at)} {
		if got, ok := keys.DueTime(sk); ok {
			t.Errorf("%q is due at %s", sk, got)
		}
	}
}
