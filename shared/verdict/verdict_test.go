package verdict_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"latchkey/shared/verdict"
)

// A wrong INVALID stops a customer's database, so the reasons that may are spelt out here a
// second time.
func TestOnlyTheCustomersOwnActsAreInvalid(t *testing.T) {
	acts := map[verdict.Reason]bool{
		verdict.KeyDisabled: true, verdict.KeyPendingDeletion: true, verdict.KeyDeleted: true, verdict.KeyNotFound: true,
		verdict.KeyPendingImport: true, verdict.KeyNotReady: true, verdict.KeyExpired: true, verdict.KeyExpiring: true,
		verdict.KeyNotActive: true, verdict.KeyUnsuitable: true, verdict.AccessDenied: true, verdict.RoleDenied: true,
		verdict.CredentialsInvalid: true, verdict.CredentialsExpired: true,
	}
	for _, r := range verdict.Reasons() {
		if got := r.Class() == verdict.Invalid; got != acts[r] {
			t.Errorf("%s is INVALID: %t, want %t", r, got, acts[r])
		}
	}
	if got := verdict.Reason("SOMETHING_NEW").Class(); got != verdict.Inconclusive {
		t.Errorf("an unknown reason is %s, want INCONCLUSIVE", got)
	}
}

func TestVerdictSupersedesOnlyWhatIsOlder(t *testing.T) {
	draw := rapid.Custom(func(t *rapid.T) verdict.Verdict {
		return verdict.Verdict{
			Settings:  rapid.Int64Range(1, 3).Draw(t, "settings"),
			StartedAt: time.Unix(rapid.Int64Range(0, 5).Draw(t, "started"), 0),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := draw.Draw(t, "a"), draw.Draw(t, "b")
		if a.Supersedes(b) && b.Supersedes(a) {
			t.Fatalf("%v and %v supersede each other", a, b)
		}
		if a.Supersedes(a) {
			t.Fatalf("%v supersedes itself", a)
		}
		if a.Settings < b.Settings && a.Supersedes(b) {
			t.Fatalf("%v saw older settings than %v and supersedes it", a, b)
		}
		if a.Settings == b.Settings && a.StartedAt.Before(b.StartedAt) && a.Supersedes(b) {
			t.Fatalf("%v started before %v and supersedes it", a, b)
		}
	})
}
