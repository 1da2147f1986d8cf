package encryption_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/shared/access"
	"latchkey/shared/atlas"
	"latchkey/shared/encryption"
	"latchkey/shared/store/keys"
	"latchkey/shared/validity"
	"latchkey/shared/verdict"
)

const (
	stopped = groupID + " AWS 1 false"
	started = groupID + " AWS 1 true"
)

func TestReadingShowsThatAKeyIsInvalidAndStopsNothing(t *testing.T) {
	w := enabledWorld(t)
	w.keys[keyARN].Break(verdict.AccessDenied)
	if w.get().Wire().AWSKMS.Valid {
		t.Error("the key is shown as valid")
	}
	if s := w.stored(); !s.Valid || s.Verdict.Reason != verdict.Unconfirmed {
		t.Errorf("stored %+v", s)
	}
	if enabled, valid, err := w.KeyState(t.Context(), groupID, atlas.AWS); !enabled || valid || err != nil {
		t.Errorf("clusters are told: enabled %t, valid %t, %v", enabled, valid, err)
	}
	item, err := w.table.Get(t.Context(), keys.Encryption(groupID))
	if err != nil || item.Index.PK != "SWEEP#"+encryption.UrgentSlot {
		t.Errorf("the schedule finds it at %s, %v", item.Index.PK, err)
	}
	writes := w.table.writes
	if w.get().Wire().AWSKMS.Valid || w.table.writes != writes {
		t.Errorf("read again: %d writes", w.table.writes-writes)
	}
	w.keys[keyARN].Break(verdict.OK)
	if !w.get().Wire().AWSKMS.Valid || !w.stored().Valid {
		t.Error("the key is shown or stored as invalid")
	}
	if took := w.took(); len(took) > 0 {
		t.Errorf("enforced %v", took)
	}
}

func TestReadingThatAKeyIsValidAgainStartsNodesAtOnce(t *testing.T) {
	w := enabledWorld(t)
	w.keys[keyARN].Break(verdict.KeyDisabled)
	w.validate()
	w.keys[keyARN].Break(verdict.OK)
	w.get()
	w.get()
	if diff := cmp.Diff([]string{stopped, started}, w.took()); diff != "" {
		t.Error(diff)
	}
}

func TestOnlyWhatAKeysOwnerDidIsEnforced(t *testing.T) {
	for _, reason := range verdict.Reasons() {
		if reason == verdict.KeyExpired {
			continue // such keys go on decrypting
		}
		w := enabledWorld(t)
		w.keys[keyARN].Break(reason)
		w.validate()
		var want []string
		switch reason.Class() {
		case verdict.Valid:
			want = []string{started}
		case verdict.Invalid:
			want = []string{stopped}
		case verdict.Unreachable, verdict.Throttled, verdict.Inconclusive:
		}
		if diff := cmp.Diff(want, w.took()); diff != "" {
			t.Errorf("%s: %s", reason, diff)
		}
	}
}

func TestAsRepeatedlyAsAskedForIsEnforced(t *testing.T) {
	w := enabledWorld(t)
	w.keys[keyARN].Break(verdict.KeyDisabled)
	w.enforceFails = errors.New("no")
	for range 2 { // the first may have been lost
		if f := w.validate(); f[0].Valid {
			t.Errorf("%+v", f)
		}
	}
	if diff := cmp.Diff([]string{stopped, stopped}, w.took()); diff != "" {
		t.Error(diff)
	}
}

func TestTryingAgainDoesNotStopTheNodesOfAKeyThatFailedWithManyOthers(t *testing.T) {
	w := enabledWorld(t)
	settings, err := w.Load(t.Context(), groupID)
	if err != nil {
		t.Fatal(err)
	}
	w.now = w.now.Add(time.Minute)
	held := verdict.Verdict{Reason: verdict.Implausible, Settings: 1, StartedAt: w.now}
	if err := w.Record(t.Context(), &settings, atlas.AWS, held); err != nil {
		t.Fatal(err)
	}
	w.keys[keyARN].Break(verdict.RoleDenied)
	if f := w.validate()[0]; !f.Valid || f.Verdict.Reason != verdict.Implausible || f.Verdict.StartedAt != w.now {
		t.Errorf("%+v", f)
	}
	if w.get().Wire().AWSKMS.Valid {
		t.Error("the key is shown as valid")
	}
	if s := w.stored(); !s.Valid || s.Verdict.Reason != verdict.Implausible || len(w.took()) > 0 {
		t.Errorf("stored %+v", s)
	}
	w.keys[keyARN].Break(verdict.OK)
	if f := w.validate()[0]; !f.Valid || f.Verdict.Reason != verdict.OK || w.stored().Verdict.Reason != verdict.OK {
		t.Errorf("once it works: %+v", f)
	}
}

func TestAnUpdateThatGivesAccessBackStartsNodesAtOnce(t *testing.T) {
	w := enabledWorld(t)
	w.keys[keyARN].Break(verdict.RoleDenied)
	w.validate()
	w.took()
	w.keys[keyARN].Break(verdict.OK)
	const another = "650000000000000000000012"
	w.role(another)
	w.mustPatch(`{"awsKms":{"roleId":"` + another + `"}}`)
	if diff := cmp.Diff([]string{groupID + " AWS 2 true"}, w.took()); diff != "" {
		t.Error(diff)
	}
	w.mustPatch(`{"awsKms":{"roleId":"` + another + `"},"enabledForSearchNodes":true}`)
	if took := w.took(); len(took) > 0 {
		t.Errorf("an update of nothing that matters enforces %v", took)
	}
}

// Whoever checked first may store last: the later check counts, and what is stored is enforced.
func TestOfTwoValidationsAtOnceTheLaterCounts(t *testing.T) {
	w := enabledWorld(t)
	w.keys[keyARN].Break(verdict.KeyDisabled)
	w.table.before = func() { // the other one begins later and ends before this one stores
		w.keys[keyARN].Break(verdict.OK)
		copied := *w.Service
		copied.Checker = validity.New(w, func() time.Time { return w.now })
		w.now = w.now.Add(time.Second)
		if _, err := copied.Validate(t.Context(), groupID); err != nil {
			t.Error(err)
		}
	}
	f := w.validate()[0]
	if s := w.stored(); !s.Valid || !f.Valid || f.Verdict.Reason != verdict.KeyDisabled {
		t.Errorf("found %+v, stored %+v", f, s)
	}
	if diff := cmp.Diff([]string{started, started}, w.took()); diff != "" {
		t.Error(diff)
	}
}

func TestAKeyThatIsDisabledDuringItsValidationIsLeftOut(t *testing.T) {
	w := enabledWorld(t)
	w.keys[keyARN].Break(verdict.TimedOut)
	w.table.before = func() {
		w.keys[keyARN].Break(verdict.OK)
		w.mustPatch(`{"awsKms":{"enabled":false}}`)
	}
	if f := w.validate(); len(f) > 0 {
		t.Errorf("%+v", f)
	}
	if f := w.validate(); f == nil || len(f) > 0 {
		t.Errorf("without a key: %+v", f)
	}
}

// What a clock that ran ahead noted must not keep what becomes of the key from counting until time
// has caught up.
func TestAVerdictFromTheFutureIsReplaced(t *testing.T) {
	w := enabledWorld(t)
	w.now = w.now.Add(26 * time.Hour)
	w.validate()
	w.now = w.now.Add(-26 * time.Hour)
	w.took()

	w.keys[keyARN].Break(verdict.KeyDisabled)
	if f := w.validate()[0]; f.Valid || w.stored().Verdict.Reason != verdict.KeyDisabled {
		t.Errorf("found %+v, stored %+v", f, w.stored())
	}
	w.keys[keyARN].Break(verdict.OK)
	if f := w.validate()[0]; !f.Valid || !w.stored().Valid {
		t.Errorf("found %+v, stored %+v", f, w.stored())
	}
	if diff := cmp.Diff([]string{stopped, started}, w.took()); diff != "" {
		t.Error(diff)
	}
}

// A check that began before a role was proved may be stored after it. The proof is the later one.
func TestAProofOfARoleCountsMoreThanAnEarlierRefusal(t *testing.T) {
	w := enabledWorld(t)
	settings, err := w.Load(t.Context(), groupID)
	if err != nil {
		t.Fatal(err)
	}
	w.keys[keyARN].Break(verdict.RoleDenied)
	refused := w.Check(t.Context(), settings, atlas.AWS)
	w.keys[keyARN].Break(verdict.OK)
	w.now = w.now.Add(20 * time.Second)
	role, err := access.Find(t.Context(), w.Table, groupID, role1)
	if err != nil {
		t.Fatal(err)
	}
	began := w.now
	follow, err := w.ProveRole(t.Context(), role)
	if err != nil {
		t.Fatal(err)
	}
	w.write(follow)
	w.RoleProved(t.Context(), role, began)
	if err := w.Record(t.Context(), &settings, atlas.AWS, refused); err != nil {
		t.Fatal(err)
	}
	if s := w.stored(); !s.Valid || s.Verdict.Reason != verdict.OK {
		t.Errorf("stored is %+v", s.Verdict)
	}
	if calls := w.took(); len(calls) > 0 {
		t.Errorf("a key that was valid all the time was enforced: %v", calls)
	}
}
