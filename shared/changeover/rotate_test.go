package changeover_test

import (
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/google/go-cmp/cmp"

	"latchkey/shared/atlas"
	"latchkey/shared/changeover"
	"latchkey/shared/encryption"
	"latchkey/shared/ledger"
	"latchkey/shared/store/storetest"
	"latchkey/shared/verdict"
	"latchkey/shared/workflow"
)

// under counts the nodes' keys by what wraps them.
func (w *world) under(cmk string) int {
	w.t.Helper()
	count := 0
	for _, m := range w.fleetOf {
		entries, err := ledger.OfNode(w.t.Context(), w.db, m.clusterID, m.id)
		w.must(err)
		for _, e := range entries {
			if e.CMK.Name == cmk {
				count++
			}
		}
	}
	return count
}

func TestARotationRewrapsNodeByNode(t *testing.T) {
	inWorld(t, func(w *world) {
		former, next := w.newKey(false), w.newKey(false)
		w.byRole(former)
		w.populate(3)
		expires := time.Now().Add(48 * time.Hour).UTC()
		w.snapshot(w.fleetOf[4], "s1", expires)
		w.pass(24 * time.Hour)
		if s := w.mustPatch(`{"awsKms":{"customerMasterKeyID":%q}}`, next); time.Since(s.AWS.Key.Since) > time.Minute {
			t.Errorf("the key is %s old for the alerts", time.Since(s.AWS.Key.Since))
		}
		most, before := 0, 0
		w.until(time.Hour, func() bool {
			done := w.under(next)
			most, before = max(most, done-before), done
			return w.change().State != encryption.UnderWay
		})
		if most != 1 {
			t.Errorf("%d nodes had their keys wrapped at a time", most)
		}
		if c := w.change(); c.State != encryption.Finished || c.Kind != workflow.RotateKey || c.NodesLeft != 0 {
			t.Errorf("the rotation ended as %+v", c)
		}
		for _, m := range w.fleetOf {
			if m.rewraps != 1 {
				t.Errorf("node %s was rewrapped %d times", m.id, m.rewraps)
			}
		}
		if w.under(former) != 0 || w.under(next) != 9 {
			t.Errorf("%d keys under the former one, %d under the new one", w.under(former), w.under(next))
		}
		needs, err := ledger.NeededBy(w.t.Context(), w.db, groupID, atlas.AWS, former)
		w.must(err)
		if len(needs) != 1 || !ledger.LastExpiry(needs).Equal(expires) {
			t.Errorf("the former key is needed by %+v", needs)
		}
		if f := w.report().Former; len(f) != 1 || !slices.Equal(f[0].Snapshots, []string{"s1"}) || !f[0].LastExpiry.Equal(expires) || f[0].Nodes != nil {
			t.Errorf("the former keys are %+v", f)
		}
		if key, err := w.api.KeyOf(w.t.Context(), groupID, needs[0].CMK, false); err != nil || key.Name() != former {
			t.Errorf("the former key is %v, %v", key, err)
		}
		if got := w.events(); !slices.Contains(got, "AWS_ENCRYPTION_KEY_ROTATED") {
			t.Errorf("the events are %q", got)
		}
		w.allStart()
	})
}

func TestARotationWaitsForNodesThatAreDown(t *testing.T) {
	inWorld(t, func(w *world) {
		former, next := w.newKey(false), w.newKey(false)
		w.byRole(former)
		w.populate(2)
		w.fleetOf[0].isDown, w.fleetOf[4].isDown = true, true
		w.mustPatch(`{"awsKms":{"customerMasterKeyID":%q}}`, next)
		w.until(6*time.Hour, func() bool { return w.change().NodesLeft == 2 })
		w.until(72*time.Hour, func() bool { return w.change().Attempt > 1 })
		r := w.report()
		if r.Change.State != encryption.UnderWay || r.Change.NodesLeft != 2 || w.under(next) != 4 {
			t.Errorf("meanwhile it is %+v", r.Change)
		}
		want := []changeover.FormerKey{{
			CMK: ledger.CMK{Provider: atlas.AWS, Name: former, Version: former}, Nodes: []string{w.fleetOf[0].id, w.fleetOf[4].id},
		}}
		if diff := cmp.Diff(want, r.Former); diff != "" {
			t.Errorf("what needs the former key, want (-) and got (+):\n%s", diff)
		}
		left := &changeover.Remaining{Nodes: 6, WrappedKeys: 6, Awaited: []changeover.Awaited{
			{ClusterID: w.fleetOf[0].clusterID, ClusterName: "c0", NodeID: w.fleetOf[0].id, IsSilent: true},
			{ClusterID: w.fleetOf[4].clusterID, ClusterName: "c1", NodeID: w.fleetOf[4].id, IsSilent: true},
		}}
		if diff := cmp.Diff(left, r.Remaining); diff != "" {
			t.Errorf("what is left, want (-) and got (+):\n%s", diff)
		}
		w.fleetOf[4].isDown = false
		w.until(6*time.Hour, func() bool { return w.change().NodesLeft == 1 })
		// The nodes that wait for it still start with the former key.
		w.allStart()
		w.fleetOf[0].isDown = false
		if c := w.over(6 * time.Hour); c.State != encryption.Finished || w.under(next) != 6 {
			t.Errorf("the rotation ended as %+v", c)
		}
		if r := w.report(); r.Remaining != nil || r.InUse.Nodes != 6 {
			t.Errorf("of a rotation that has ended there is left %+v of %+v", r.Remaining, r.InUse)
		}
		w.allStart()
		ends := w.Ends(w.t, workflow.RotateKey)
		if ends[0] != "SUCCEEDED Continued by next attempt" || ends[len(ends)-1] != "SUCCEEDED Rotated" {
			t.Errorf("executions %q", ends)
		}
	})
}

func TestANewKeyThatIsTakenAwayAtOnceIsNotRotatedTo(t *testing.T) {
	inWorld(t, func(w *world) {
		former, next := w.newKey(false), w.newKey(false)
		w.byRole(former)
		w.populate(1)
		w.Refuse = storetest.ErrFault
		w.mustPatch(`{"awsKms":{"customerMasterKeyID":%q}}`, next)
		_, err := w.KMS("us-east-1").DisableKey(w.t.Context(), &kms.DisableKeyInput{KeyId: &next})
		w.must(err)
		time.Sleep(time.Minute)
		_, err = w.api.Validate(w.t.Context(), groupID)
		w.must(err)
		w.Refuse = nil
		if c := w.over(time.Hour); c.State != encryption.Restored || c.Reason != verdict.KeyDisabled {
			t.Errorf("the rotation ended as %+v", c)
		}
		s, _ := w.settings()
		if s.AWS.KeyID != former || !s.AWS.Key.Valid || time.Since(s.AWS.Key.Verdict.Since) > time.Hour {
			t.Errorf("afterwards there is %+v", s.AWS)
		}
		if got := w.events(); !slices.Contains(got, "AWS_ENCRYPTION_KEY_VALID") {
			t.Errorf("the events are %q", got)
		}
		w.allStart()
	})
}

// Key and credentials change together, and the former key is open to the former credentials alone.
func TestARotationWithOtherCredentialsKeepsTheFormerOnesWhileTheyAreNeeded(t *testing.T) {
	inWorld(t, func(w *world) {
		former, next := w.newKey(false), w.newKey(false)
		w.byUser(former)
		w.populate(1)
		w.snapshot(w.fleetOf[0], "s1", time.Now().Add(24*time.Hour))
		w.allowRole(except(former))
		w.mustPatch(`{"awsKms":{"customerMasterKeyID":%q,"roleId":%q}}`, next, roleID)
		w.until(time.Hour, func() bool { return w.under(next) == 3 && !w.change().Blocked.IsZero() })
		if s, _ := w.settings(); len(s.Fallbacks) != 1 || len(s.RoleOnly) > 0 {
			t.Errorf("the way back is %+v", s.Fallbacks)
		}
		w.until(100*time.Hour, func() bool { return w.change().Attempt > 1 })
		if c := w.change(); c.State != encryption.UnderWay {
			t.Errorf("a rotation that has wrapped keys was %+v", c)
		}
		w.allowRole(useKeys)
		if c := w.over(6 * time.Hour); c.State != encryption.Finished {
			t.Errorf("the rotation ended as %+v", c)
		}
		if s, text := w.settings(); len(s.Fallbacks) > 0 || len(s.RoleOnly) != 1 {
			t.Errorf("afterwards there is %s", text)
		}
		w.allStart()
	})
}

func TestAnotherKeyMayFollowBeforeTheLastOneHasWrappedEverything(t *testing.T) {
	inWorld(t, func(w *world) {
		first, second, third := w.newKey(false), w.newKey(false), w.newKey(false)
		w.byRole(first)
		w.populate(1)
		w.fleetOf[1].isDown = true
		w.mustPatch(`{"awsKms":{"customerMasterKeyID":%q}}`, second)
		w.until(2*time.Hour, func() bool { return w.under(second) == 2 })
		w.mustPatch(`{"awsKms":{"customerMasterKeyID":%q}}`, third)
		w.fleetOf[1].isDown = false
		if c := w.over(6 * time.Hour); c.State != encryption.Finished || w.under(third) != 3 {
			t.Errorf("the rotation ended as %+v", c)
		}
		w.until(time.Hour, func() bool { return slices.Contains(w.Ends(w.t, workflow.RotateKey), "SUCCEEDED Overtaken") })
		w.allStart()
	})
}

func TestMaterialThatTheProviderRotatesCountsAsARotation(t *testing.T) {
	inWorld(t, func(w *world) {
		key := w.newKey(false)
		w.byRole(key)
		w.populate(1)
		before, _ := w.settings()
		time.Sleep(24 * time.Hour)
		inspect := func() encryption.Settings {
			s, _ := w.settings()
			w.must(w.api.Inspect(w.t.Context(), &s, atlas.AWS))
			return s
		}
		if s := inspect(); !s.AWS.Key.Since.Equal(before.AWS.Key.Since) {
			t.Error("nothing was rotated")
		}
		_, err := w.KMS("us-east-1").RotateKeyOnDemand(w.t.Context(), &kms.RotateKeyOnDemandInput{KeyId: aws.String(key)})
		w.must(err)
		time.Sleep(24 * time.Hour)
		if s := inspect(); time.Since(s.AWS.Key.Since) > time.Minute {
			t.Errorf("the key counts as of %s, version %s then %s", s.AWS.Key.Since, before.AWS.Key.Version, s.AWS.Key.Version)
		}
		if got := w.events(); got[0] != "AWS_ENCRYPTION_KEY_ROTATED" {
			t.Errorf("the events are %q", got)
		}
		w.allStart()
	})
}
