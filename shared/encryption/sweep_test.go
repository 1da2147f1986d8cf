package encryption_test

import (
	"errors"
	"testing"
	"time"

	"latchkey/shared/access"
	"latchkey/shared/atlas"
	"latchkey/shared/encryption"
	"latchkey/shared/kms"
	"latchkey/shared/kms/kmstest"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
	"latchkey/shared/verdict"
)

// indexed is where the settings are in the index.
func (w *world) indexed() store.Key {
	w.t.Helper()
	item, err := w.table.Get(w.t.Context(), keys.Encryption(groupID))
	if err != nil {
		w.t.Fatal(err)
	}
	return item.Index
}

func TestSettingsAreIndexedByWhenTheirKeysAreChecked(t *testing.T) {
	w := newWorld(t)
	steady := keys.Sweep(encryption.Slot(encryption.SweepMinute(groupID)%encryption.SweepSlots), groupID)
	urgent := keys.Sweep(encryption.UrgentSlot, groupID)
	want := func(when string, place store.Key) {
		t.Helper()
		if got := w.indexed(); got != place {
			t.Errorf("%s: the settings are indexed at %q, want %q", when, got, place)
		}
	}
	want("nothing is enabled", store.Key{})
	w.role(role1)
	key := w.key(keyARN)
	w.mustPatch(enableRole)
	want("enabled", steady)
	for _, reason := range []verdict.Reason{verdict.TimedOut, verdict.RateLimited, verdict.OurCredentials, verdict.KeyDisabled} {
		key.Break(reason)
		w.get()
		want(string(reason), urgent)
		key.Break(verdict.OK)
		w.get()
		want("valid again", steady)
	}
	w.mustPatch(`{"awsKms":{"enabled":false}}`)
	want("disabled", store.Key{})
}

// inspect inspects the stored settings' key.
func (w *world) inspect() (encryption.KeyState, error) {
	w.t.Helper()
	settings, err := w.Load(w.t.Context(), groupID)
	if err != nil {
		w.t.Fatal(err)
	}
	err = w.Inspect(w.t.Context(), &settings, atlas.AWS)
	stored, loadErr := w.Load(w.t.Context(), groupID)
	if loadErr != nil {
		w.t.Fatal(loadErr)
	}
	return *stored.Key(atlas.AWS), err
}

func TestInspectStoresOnlyWhatChanged(t *testing.T) {
	w := enabledWorld(t)
	key := w.keys[keyARN]
	expires := w.now.Add(90 * 24 * time.Hour)
	for _, step := range []struct {
		set    time.Time
		writes int
	}{{time.Time{}, 0}, {expires, 1}, {expires, 0}, {time.Time{}, 1}} {
		key.ExpireAt(step.set)
		before := w.table.writes
		state, err := w.inspect()
		if n := w.table.writes - before; err != nil || n != step.writes || !state.Expires.Equal(step.set) {
			t.Errorf("expiry %s: %d writes, want %d; stored %s, %v", step.set, n, step.writes, state.Expires, err)
		}
	}
}

func TestInspectKeepsAVerdictThatIsStoredMeanwhile(t *testing.T) {
	w := enabledWorld(t)
	w.keys[keyARN].ExpireAt(w.now.Add(time.Hour))
	w.table.before = func() {
		w.keys[keyARN].Break(verdict.KeyDisabled)
		w.validate()
	}
	state, err := w.inspect()
	if err != nil || state.Valid || state.Verdict.Reason != verdict.KeyDisabled || state.Expires.IsZero() {
		t.Errorf("%+v, %v", state, err)
	}
}

func TestInspectConcludesNothing(t *testing.T) {
	for _, reason := range verdict.Reasons() {
		if reason == verdict.OK {
			continue
		}
		w := enabledWorld(t)
		w.keys[keyARN].Break(reason)
		state, err := w.inspect()
		f, ok := errors.AsType[*verdict.Failure](err)
		if !ok || f.Reason != reason || !state.Valid || state.Verdict.Reason != verdict.OK {
			t.Errorf("%s: %v, %+v", reason, err, state)
		}
		if isNoted := !state.Expires.IsZero(); isNoted != (reason == verdict.KeyExpired) {
			t.Errorf("%s: expires %s", reason, state.Expires)
		}
	}
}

// A scheduled check may use cached credentials; only a tenant who asks is answered with new ones.
func TestAScheduledCheckIsOneCallThatStoresNothing(t *testing.T) {
	w := enabledWorld(t)
	key := w.keys[keyARN]
	settings, err := w.Load(t.Context(), groupID)
	if err != nil {
		t.Fatal(err)
	}
	count := func(k *kmstest.Memory) int { return k.Calls("Decrypt") + k.Calls("Encrypt") + k.Calls("Describe") }
	calls, writes := count(key), w.table.writes
	if v := w.Check(t.Context(), settings, atlas.AWS); v.Class() != verdict.Valid || count(key) != calls+1 || w.table.writes != writes {
		t.Errorf("%+v, %d calls, %d writes", v, count(key)-calls, w.table.writes-writes)
	}
}

// The schedule reads settings some time before it checks their keys. A role that was moved in between, and whose former
// one the tenant has removed, is no revocation.
func TestARefusalIsConfirmedThroughTheRoleOfNow(t *testing.T) {
	w := enabledWorld(t)
	asRead, err := w.Load(t.Context(), groupID)
	if err != nil {
		t.Fatal(err)
	}
	role, err := access.Find(t.Context(), w.Table, groupID, role1)
	if err != nil {
		t.Fatal(err)
	}
	former := role.AWS.ARN
	moved := *role.AWS
	moved.ARN += "-2"
	role.AWS = &moved
	follow, err := w.ProveRole(t.Context(), role)
	if err != nil {
		t.Fatal(err)
	}
	item, err := store.Encode(keys.Role(groupID, role1), role.Version(), role)
	if err != nil {
		t.Fatal(err)
	}
	w.write(store.Put(item), follow)
	w.refuse = func(ref kms.Reference) error {
		if ref.AWS.RoleARN == former {
			return verdict.Failed(verdict.RoleDenied, "the role is gone")
		}
		return nil
	}
	if v := w.Check(t.Context(), asRead, atlas.AWS); v.Class() != verdict.Valid {
		t.Errorf("the key works through the role that is stored, and the verdict is %+v", v)
	}

	w.now = w.now.Add(time.Minute)
	w.write(store.Delete(keys.Role(groupID, role1), role.Version()+1))
	if v := w.Check(t.Context(), asRead, atlas.AWS); v.Class() != verdict.Inconclusive {
		t.Errorf("a role that can't be read says nothing of the key, and the verdict is %+v", v)
	}
}
