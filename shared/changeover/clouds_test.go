package changeover_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/local/pocket"
	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/encryption"
	"latchkey/shared/ledger"
	"latchkey/shared/store/storetest"
	"latchkey/shared/verdict"
	"latchkey/shared/workflow"
)

// inClouds runs a test for Azure and for Google, each in a world of its own.
func inClouds(t *testing.T, fn func(w *world, tenant *tenant)) {
	t.Helper()
	for _, p := range []atlas.Provider{atlas.Azure, atlas.GCP} {
		t.Run(string(p), func(t *testing.T) {
			inWorld(t, func(w *world) { fn(w, w.bring(p)) })
		})
	}
}

// underVersion counts the nodes' keys by the version that wraps them.
func (w *world) underVersion(name, version string) int {
	w.t.Helper()
	count := 0
	for _, m := range w.fleetOf {
		entries, err := ledger.OfNode(w.t.Context(), w.db, m.clusterID, m.id)
		w.must(err)
		for _, e := range entries {
			if e.CMK.Name == name && e.CMK.Version == version {
				count++
			}
		}
	}
	return count
}

func (w *world) blockOf(p atlas.Provider) (roleID string, text string) {
	w.t.Helper()
	s, text := w.settings()
	return s.RoleID(p), text
}

func TestAtAzureAndGoogle_aSwitchToARoleDestroysTheSecret(t *testing.T) {
	inClouds(t, func(w *world, tenant *tenant) {
		tenant.enable()
		w.populate(2)
		w.snapshot(w.fleetOf[0], "s1", time.Now().Add(24*time.Hour))
		w.Refuse = storetest.ErrFault
		tenant.patch(tenant.byRole)
		if _, text := w.blockOf(w.at); !strings.Contains(text, `"secret"`) || strings.Contains(text, tenant.secret) {
			t.Errorf("meanwhile there is %s", text)
		}
		w.allStart()
		w.Refuse = nil
		c := w.over(time.Hour)
		if c.State != encryption.Finished || c.Proved != 7 || c.Kind != workflow.SwitchRole {
			t.Errorf("the change ended as %+v", c)
		}
		s, text := w.settings()
		if strings.Contains(text, `"fallbacks"`) || strings.Contains(text, `"secret"`) || s.RoleID(w.at) == "" {
			t.Errorf("afterwards there is %s", text)
		}
		if diff := cmp.Diff([]atlas.Provider{w.at}, s.RoleOnly); diff != "" {
			t.Error(diff)
		}
		if got := w.Ends(w.t, workflow.SwitchRole); !slices.Equal(got, []string{"SUCCEEDED Switched"}) {
			t.Errorf("executions %q", got)
		}
		w.allStart()
		refused := map[atlas.Provider]atlas.Code{atlas.Azure: atlas.AzureCredentialsDeprecated, atlas.GCP: atlas.GoogleCredentialsRefused}
		if _, err := w.patch(`{%q:{%s}}`, tenant.block, raw(tenant.other)); atlas.CodeOf(err) != refused[w.at] {
			t.Errorf("a secret afterwards: %v", err)
		}
	})
}

func TestAtAzureAndGoogle_anotherSecretTakesThePlaceOfTheFormerOne(t *testing.T) {
	inClouds(t, func(w *world, tenant *tenant) {
		tenant.enable()
		w.populate(1)
		before, _ := w.settings()
		tenant.patch(tenant.other)
		c := w.over(time.Hour)
		if c.State != encryption.Finished || c.Proved != 3 || c.Kind != workflow.SwitchRole {
			t.Errorf("the change ended as %+v", c)
		}
		after, text := w.settings()
		if strings.Contains(text, `"fallbacks"`) || strings.Contains(text, quoted(string(sealedOf(before, w.at)))) || len(after.RoleOnly) > 0 {
			t.Errorf("afterwards there is %s", text)
		}
		w.allStart()
	})
}

func wantEvents(t *testing.T, got []string, want ...audit.Type) {
	t.Helper()
	for _, event := range want {
		if !slices.Contains(got, string(event)) {
			t.Errorf("no event %s in %q", event, got)
		}
	}
}

func sealedOf(s encryption.Settings, p atlas.Provider) []byte {
	if p == atlas.Azure {
		return s.Azure.Secret
	}
	return s.Google.Secret
}

// A role that is admitted to the present key and not to a former one, which a snapshot needs, is taken back.
func TestAtAzureAndGoogle_aRoleThatDoesNotOpenAFormerKeyIsTakenBack(t *testing.T) {
	inClouds(t, func(w *world, tenant *tenant) {
		tenant.enable()
		w.populate(1)
		w.snapshot(w.fleetOf[2], "s1", time.Now().Add(1000*time.Hour))
		tenant.patch(tenant.configured(1, 0))
		if c := w.over(time.Hour); c.State != encryption.Finished || c.Kind != workflow.RotateKey {
			t.Fatalf("the rotation ended as %+v", c)
		}
		before, _ := w.settings()
		tenant.admit(0, true, false)
		tenant.patch(tenant.byRole)
		if c := w.over(time.Hour); c.State != encryption.Restored || c.Reason != verdict.AccessDenied {
			t.Errorf("the change ended as %+v", c)
		}
		after, _ := w.settings()
		if after.RoleID(w.at) != "" || !slices.Equal(sealedOf(after, w.at), sealedOf(before, w.at)) || len(after.RoleOnly)+len(after.Fallbacks) > 0 {
			t.Errorf("afterwards there is %+v", after)
		}
		wantEvents(t, w.events(), encryption.EventChangeStarted, encryption.EventChangeRolledBack, audit.ConfigurationValidationFailed)
		w.allStart()
		tenant.admit(0, true, true)
		tenant.patch(tenant.byRole)
		if c := w.over(time.Hour); c.State != encryption.Finished || c.Proved != 4 {
			t.Errorf("the second switch ended as %+v", c)
		}
		w.allStart()
	})
}

func TestAtAzureAndGoogle_aKMSThatCannotBeReachedIsWaitedFor(t *testing.T) {
	for name, c := range map[string]struct {
		fault  pocket.FaultKind
		lasts  time.Duration
		state  encryption.ChangeState
		blocks verdict.Class
	}{
		"down for hours":         {pocket.Down, 2 * time.Hour, encryption.Finished, verdict.Unreachable},
		"throttled for hours":    {pocket.Throttle, 2 * time.Hour, encryption.Finished, verdict.Throttled},
		"refusing our addresses": {pocket.Firewall, time.Hour, encryption.Finished, verdict.Unreachable},
		"failing for an hour":    {pocket.ServerError, time.Hour, encryption.Finished, verdict.Unreachable},
		"silent for an hour":     {pocket.Timeout, time.Hour, encryption.Finished, verdict.Unreachable},
		"refusing both ways":     {pocket.Deny, time.Hour, encryption.Finished, verdict.Invalid},
	} {
		t.Run(name, func(t *testing.T) {
			inClouds(t, func(w *world, tenant *tenant) {
				tenant.enable()
				w.populate(1)
				w.Refuse = storetest.ErrFault
				tenant.patch(tenant.byRole)
				w.Faults.Set(pocket.Fault{Host: tenant.host, Kind: c.fault})
				w.Refuse = nil
				end := time.Now().Add(c.lasts)
				w.until(c.lasts+time.Hour, func() bool { return time.Now().After(end) || w.change().State != encryption.UnderWay })
				if blocker := w.change().Blocker; blocker.Class() != c.blocks {
					t.Errorf("it waits for %s", blocker)
				}
				if s, _ := w.settings(); w.change().State == encryption.UnderWay && len(s.Fallbacks) != 1 {
					t.Error("the way back is gone")
				}
				w.Faults.Clear()
				if got := w.over(2 * time.Hour); got.State != c.state {
					t.Errorf("the change ended as %+v", got)
				}
				w.allStart()
			})
		})
	}
}

// rotations are the ways to name another key: of the tenant's, before it, after it.
var rotations = map[string]struct {
	prepare        func(t *tenant)
	from, to       [2]int // which key and version; version -1 is the current one
	wraps          [2]int // what wraps in the end
	onlyAt         atlas.Provider
	sameKey        bool
	formerVersions int
}{
	"another version": {
		prepare: func(t *tenant) { t.newVersion(0) }, to: [2]int{0, 1}, wraps: [2]int{0, 1}, sameKey: true,
	},
	"another key": {to: [2]int{1, 0}, wraps: [2]int{1, 0}},
	"a key without a version": {
		prepare: func(t *tenant) { t.newVersion(0) }, to: [2]int{0, -1}, wraps: [2]int{0, 1}, onlyAt: atlas.Azure, sameKey: true,
	},
	"an earlier version than the current one": {
		prepare: func(t *tenant) { t.newVersion(1) }, to: [2]int{1, 0}, wraps: [2]int{1, 0},
	},
}

func TestAtAzureAndGoogle_aRotationRewrapsEveryNode(t *testing.T) {
	for name, c := range rotations {
		t.Run(name, func(t *testing.T) {
			inClouds(t, func(w *world, tenant *tenant) {
				if c.onlyAt != "" && w.at != c.onlyAt {
					return
				}
				tenant.enable()
				w.populate(2)
				expires := time.Now().Add(1000 * time.Hour).UTC()
				w.snapshot(w.fleetOf[4], "s1", expires)
				w.pass(24 * time.Hour)
				if c.prepare != nil {
					c.prepare(tenant)
				}
				s := w.mustPatch(`{%q:{%s}}`, tenant.block, raw(tenant.configured(c.to[0], c.to[1])))
				if time.Since(s.Key(w.at).Since) > time.Minute {
					t.Errorf("the key is %s old for the alerts", time.Since(s.Key(w.at).Since))
				}
				end := w.over(2 * time.Hour)
				if end.State != encryption.Finished || end.Kind != workflow.RotateKey || end.NodesLeft != 0 {
					t.Errorf("the rotation ended as %+v", end)
				}
				wraps, former := tenant.versions(c.wraps[0])[c.wraps[1]], tenant.versions(0)[0]
				if got := w.underVersion(tenant.name(c.wraps[0]), wraps); got != 6 {
					t.Errorf("%d keys are wrapped by the new one", got)
				}
				if got := w.underVersion(tenant.name(0), former); got != 0 {
					t.Errorf("%d keys are wrapped by the former one", got)
				}
				for _, m := range w.fleetOf {
					if m.rewraps != 1 {
						t.Errorf("node %s was rewrapped %d times", m.id, m.rewraps)
					}
				}
				f := w.report().Former
				if len(f) != 1 || f[0].CMK != (ledger.CMK{Provider: w.at, Name: tenant.name(0), Version: former}) ||
					!slices.Equal(f[0].Snapshots, []string{"s1"}) || !f[0].LastExpiry.Equal(expires) || f[0].Nodes != nil {
					t.Errorf("the former keys are %+v", f)
				}
				wantEvents(t, w.events(), audit.KeyRotationStarted, audit.Type(w.at)+"_ENCRYPTION_KEY_ROTATED",
					encryption.EventChangeStarted, encryption.EventChangeFinished)
				if s, _ := w.settings(); len(s.Fallbacks) > 0 {
					t.Error("the way back is still there")
				}
				w.allStart()
			})
		})
	}
}

func TestAtAzureAndGoogle_aRotationListsTheNodesThatAreDown(t *testing.T) {
	inClouds(t, func(w *world, tenant *tenant) {
		tenant.enable()
		w.populate(1)
		w.fleetOf[1].isDown = true
		tenant.newVersion(0)
		tenant.patch(tenant.configured(0, 1))
		w.until(6*time.Hour, func() bool { return w.change().NodesLeft == 1 })
		f := w.report().Former
		if len(f) != 1 || f[0].CMK.Version != tenant.versions(0)[0] || !slices.Equal(f[0].Nodes, []string{w.fleetOf[1].id}) {
			t.Errorf("the former keys are %+v", f)
		}
		w.allStart()
		w.fleetOf[1].isDown = false
		if c := w.over(6 * time.Hour); c.State != encryption.Finished || len(w.report().Former) != 0 {
			t.Errorf("the rotation ended as %+v, former keys %+v", c, w.report().Former)
		}
		w.allStart()
	})
}

// What becomes of a former key that a snapshot needs is no business of the rotation: both ways reach it alike.
func TestAtAzureAndGoogle_aFormerKeyThatIsOutOfUseHoldsNoRotationUp(t *testing.T) {
	inClouds(t, func(w *world, tenant *tenant) {
		tenant.enable()
		w.populate(1)
		w.snapshot(w.fleetOf[0], "s1", time.Now().Add(1000*time.Hour))
		w.Refuse = storetest.ErrFault
		tenant.patch(tenant.configured(1, 0))
		w.Refuse = nil
		w.until(time.Hour, func() bool { return w.under(tenant.name(1)) == 3 })
		tenant.disable(0, 0, true)
		if c := w.over(2 * time.Hour); c.State != encryption.Finished {
			t.Errorf("the rotation ended as %+v", c)
		}
		w.allStart()
	})
}

func TestAtAzureAndGoogle_aNewKeyThatIsTakenAwayAtOnceIsNotRotatedTo(t *testing.T) {
	inClouds(t, func(w *world, tenant *tenant) {
		tenant.enable()
		w.populate(1)
		w.Refuse = storetest.ErrFault
		tenant.newVersion(0)
		tenant.patch(tenant.configured(0, 1))
		tenant.disable(0, 1, true)
		time.Sleep(time.Minute)
		_, err := w.api.Validate(w.t.Context(), groupID)
		w.must(err)
		w.Refuse = nil
		if c := w.over(time.Hour); c.State != encryption.Restored || c.Reason != verdict.KeyDisabled {
			t.Errorf("the rotation ended as %+v", c)
		}
		s, text := w.settings()
		if cmk, err := s.CMK(w.at); err != nil || !s.Key(w.at).Valid || cmk.Version != tenant.versions(0)[0] {
			t.Errorf("afterwards there is %s, %v", text, err)
		}
		w.allStart()
	})
}

// Key and credentials change together, and the former key is open to the former credentials alone.
func TestAtAzureAndGoogle_aRotationWithOtherCredentialsKeepsTheFormerOnes(t *testing.T) {
	inClouds(t, func(w *world, tenant *tenant) {
		tenant.enable()
		w.populate(1)
		w.snapshot(w.fleetOf[0], "s1", time.Now().Add(1000*time.Hour))
		tenant.admit(0, true, false)
		tenant.patch(tenant.configured(1, 0), tenant.byRole)
		w.until(time.Hour, func() bool { return w.under(tenant.name(1)) == 3 && !w.change().Blocked.IsZero() })
		if s, _ := w.settings(); len(s.Fallbacks) != 1 || len(s.RoleOnly) > 0 {
			t.Errorf("the way back is %+v", s.Fallbacks)
		}
		tenant.admit(0, false, true)
		if c := w.over(6 * time.Hour); c.State != encryption.Finished {
			t.Errorf("the rotation ended as %+v", c)
		}
		if s, text := w.settings(); len(s.Fallbacks) > 0 || len(s.RoleOnly) != 1 {
			t.Errorf("afterwards there is %s", text)
		}
		w.allStart()
	})
}

// inspect is the hourly check beyond the probe.
func (w *world) inspect() encryption.Settings {
	w.t.Helper()
	s, _ := w.settings()
	w.must(w.api.Inspect(w.t.Context(), &s, w.at))
	return s
}

// A key that is named without a version is Azure's way to rotate by itself. What was wrapped stays as
// it is, and needs its version on.
func TestAVersionThatAzureMakesCountsAsARotation(t *testing.T) {
	inWorld(t, func(w *world) {
		tenant := w.bring(atlas.Azure)
		tenant.patch(`"enabled":true`, tenant.static, tenant.configured(0, -1))
		w.populate(1)
		before := w.inspect()
		w.pass(48 * time.Hour)
		if s := w.inspect(); !s.Azure.Key.Since.Equal(before.Azure.Key.Since) {
			t.Error("nothing was rotated")
		}
		tenant.rotate(0)
		if f := w.report().Former; len(f) > 0 {
			t.Errorf("before it is known, the former keys are %+v", f)
		}
		s := w.inspect()
		versions := tenant.versions(0)
		if s.Azure.Key.Version != versions[1] || time.Since(s.Azure.Key.Since) > time.Minute {
			t.Errorf("the key is version %s since %s", s.Azure.Key.Version, s.Azure.Key.Since)
		}
		if got := w.events(); got[0] != "AZURE_ENCRYPTION_KEY_ROTATED" {
			t.Errorf("the events are %q", got)
		}
		if w.change().Kind != "" || w.underVersion(tenant.name(0), versions[0]) != 3 {
			t.Error("something was rewrapped")
		}
		w.pass(time.Hour)
		w.fleetOf[0].again()
		r := w.report()
		want := ledger.CMK{Provider: atlas.Azure, Name: tenant.name(0), Version: versions[0]}
		if len(r.Former) != 1 || r.Former[0].CMK != want || len(r.Former[0].Nodes) != 3 || r.InUse.CMK.Version != versions[1] || r.InUse.Nodes != 1 {
			t.Errorf("the keys are %+v, %+v", r.InUse, r.Former)
		}
		w.allStart()
	})
}

// What is listed as needed is all that is needed: a former version that is not listed may be disabled.
func TestAFormerVersionThatIsNotListedMayBeDisabled(t *testing.T) {
	inWorld(t, func(w *world) {
		tenant := w.bring(atlas.Azure)
		tenant.patch(`"enabled":true`, tenant.static, tenant.configured(0, -1))
		w.pass(time.Hour)
		w.populate(1)
		tenant.rotate(0)
		w.inspect()
		for _, m := range w.fleetOf { // their clusters go
			entries, err := ledger.OfCluster(w.t.Context(), w.db, m.clusterID)
			w.must(err)
			for _, e := range entries {
				w.must(w.db.Write(w.t.Context(), e.Delete()))
			}
		}
		if former := w.report().Former; len(former) != 1 || former[0].CMK.Version != tenant.versions(0)[0] || len(former[0].Nodes) > 0 {
			t.Errorf("the key is still checked by a version that is not listed: %+v", former)
		}
		w.inspect()
		if former := w.report().Former; len(former) > 0 {
			t.Errorf("nothing needs the former version, and it is listed: %+v", former)
		}
		tenant.disable(0, 0, true)
		if found, err := w.api.Validate(w.t.Context(), groupID); err != nil || !found[0].Valid {
			t.Errorf("a version that was not listed is disabled: %+v, %v", found, err)
		}
	})
}

// As long as nodes need a former version it is listed, and the key is as good as that version, whatever else is
// configured meanwhile.
func TestAFormerVersionThatNodesNeedIsWhatTheKeyIsCheckedBy(t *testing.T) {
	inWorld(t, func(w *world) {
		tenant := w.bring(atlas.Azure)
		tenant.patch(`"enabled":true`, tenant.static, tenant.configured(0, -1))
		w.pass(time.Hour)
		w.populate(1)
		tenant.rotate(0)
		tenant.patch(tenant.other)
		w.over(time.Hour)
		w.inspect()
		if former := w.report().Former; len(former) != 1 || len(former[0].Nodes) != 3 {
			t.Errorf("the former keys are %+v", former)
		}
		if !slices.Contains(w.events(), "AZURE_ENCRYPTION_KEY_ROTATED") {
			t.Errorf("the events are %q", w.events())
		}
		tenant.disable(0, 0, true)
		if found, err := w.api.Validate(w.t.Context(), groupID); err != nil || found[0].Verdict.Reason != verdict.KeyDisabled {
			t.Errorf("the version that nodes need is disabled: %+v, %v", found, err)
		}
	})
}

// Google's own rotation makes another version the primary one. The configuration names a version, so that one goes
// on wrapping until the tenant names another.
func TestAPrimaryVersionThatGoogleMakesChangesNothing(t *testing.T) {
	inWorld(t, func(w *world) {
		tenant := w.bring(atlas.GCP)
		tenant.enable()
		w.populate(1)
		before := w.inspect()
		tenant.rotate(0)
		s := w.inspect()
		if s.Google.Key.Version != "1" || !s.Google.Key.Since.Equal(before.Google.Key.Since) {
			t.Errorf("the key is version %s since %s", s.Google.Key.Version, s.Google.Key.Since)
		}
		w.fleetOf[0].again()
		if slices.Contains(w.events(), "GCP_ENCRYPTION_KEY_ROTATED") || w.underVersion(tenant.name(0), "1") != 4 {
			t.Error("something was rotated")
		}
		tenant.patch(tenant.configured(0, 1))
		if c := w.over(time.Hour); c.State != encryption.Finished || w.underVersion(tenant.name(0), "2") < 3 {
			t.Errorf("the rotation ended as %+v", c)
		}
		w.allStart()
	})
}

// Two providers are configured: what changes at one leaves the other alone, and both may change at once.
