package changeover_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/google/go-cmp/cmp"

	"latchkey/local/pocket"
	"latchkey/shared/atlas"
	"latchkey/shared/encryption"
	"latchkey/shared/store/storetest"
	"latchkey/shared/verdict"
	"latchkey/shared/workflow"
)

// switching is a world whose group has changed from the user's keys to the role, with the nodes of
// some clusters.
func switching(w *world, clusters int) {
	w.t.Helper()
	w.byUser(w.newKey(false))
	w.populate(clusters)
	w.mustPatch(`{"awsKms":{"roleId":%q}}`, roleID)
}

func TestASwitchToARoleDestroysTheFormerCredentials(t *testing.T) {
	inWorld(t, func(w *world) {
		w.byUser(w.newKey(false))
		w.populate(3)
		w.snapshot(w.fleetOf[0], "s1", time.Now().Add(24*time.Hour))
		before, _ := w.settings()
		w.Refuse = storetest.ErrFault
		stored := w.mustPatch(`{"awsKms":{"roleId":%q}}`, roleID)
		if got := stored.Wire().AWSKMS; *got.RoleID != roleID || got.AccessKeyID != nil || !got.Valid {
			t.Errorf("the answer is %+v", got)
		}
		during, text := w.settings()
		if f, ok := during.Fallback(atlas.AWS); !ok || !slices.Equal(f.AWS.Secret, before.AWS.Secret) || during.AWS.Secret != nil {
			t.Errorf("the way back is %+v", f)
		}
		if strings.Contains(text, *w.user.AccessKey.SecretAccessKey) || len(during.RoleOnly) > 0 {
			t.Errorf("meanwhile there is %s", text)
		}
		w.allStart()
		w.Refuse = nil
		c := w.over(time.Hour)
		if c.State != encryption.Finished || c.Proved != 10 || c.Kind != workflow.SwitchRole {
			t.Errorf("the change ended as %+v", c)
		}
		after, text := w.settings()
		if strings.Contains(text, "fallbacks") || strings.Contains(text, "secret") || strings.Contains(text, *w.user.AccessKey.AccessKeyId) {
			t.Errorf("afterwards there is %s", text)
		}
		if diff := cmp.Diff([]atlas.Provider{atlas.AWS}, after.RoleOnly); diff != "" {
			t.Error(diff)
		}
		if got := w.Ends(w.t, workflow.SwitchRole); !slices.Equal(got, []string{"SUCCEEDED Switched"}) {
			t.Errorf("executions %q", got)
		}
		if got := w.events(); !slices.Contains(got, string(encryption.EventChangeFinished)) {
			t.Errorf("the events are %q", got)
		}
		w.allStart()
		_, err := w.patch(`{"awsKms":{"accessKeyID":"AKIAIOSFODNN7EXAMPLE","secretAccessKey":"x"}}`)
		if atlas.CodeOf(err) != atlas.AWSCredentialsDeprecated {
			t.Errorf("static credentials afterwards: %v", err)
		}
	})
}

// except lets the role use all keys but one.
func except(key string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:*","Resource":"*"},` +
		`{"Effect":"Deny","Action":"kms:Decrypt","Resource":"` + key + `"}]}`
}

func TestARoleThatDoesNotOpenAFormerKeyIsTakenBack(t *testing.T) {
	inWorld(t, func(w *world) {
		former := w.newKey(false)
		w.byUser(former)
		w.populate(1)
		w.snapshot(w.fleetOf[2], "s1", time.Now().Add(time.Hour))
		w.mustPatch(`{"awsKms":{"customerMasterKeyID":%q}}`, w.newKey(false))
		if c := w.over(time.Hour); c.State != encryption.Finished {
			t.Fatalf("the rotation ended as %+v", c)
		}
		before, _ := w.settings()
		w.allowRole(except(former))
		w.mustPatch(`{"awsKms":{"roleId":%q}}`, roleID)
		c := w.over(time.Hour)
		if c.State != encryption.Restored || c.Reason != verdict.AccessDenied {
			t.Errorf("the change ended as %+v", c)
		}
		after, _ := w.settings()
		if after.AWS.RoleID != "" || !slices.Equal(after.AWS.Secret, before.AWS.Secret) || len(after.RoleOnly) > 0 || len(after.Fallbacks) > 0 {
			t.Errorf("afterwards there is %+v", after)
		}
		if got := w.events(); !slices.Contains(got, "ENCRYPTION_AT_REST_CONFIGURATION_VALIDATION_FAILED") {
			t.Errorf("the events are %q", got)
		}
		w.allStart()
		// It may be tried again.
		w.allowRole(useKeys)
		w.mustPatch(`{"awsKms":{"roleId":%q}}`, roleID)
		if c := w.over(time.Hour); c.State != encryption.Finished {
			t.Errorf("the second switch ended as %+v", c)
		}
		w.allStart()
		if got := w.Ends(w.t, workflow.SwitchRole); !slices.Equal(got, []string{"SUCCEEDED Rolled back", "SUCCEEDED Switched"}) {
			t.Errorf("executions %q", got)
		}
	})
}

func TestAKMSThatCannotBeReachedIsWaitedFor(t *testing.T) {
	for name, c := range map[string]struct {
		fault  pocket.FaultKind
		lasts  time.Duration
		state  encryption.ChangeState
		blocks verdict.Class
	}{
		"down for a day":         {pocket.Down, 24 * time.Hour, encryption.Finished, verdict.Unreachable},
		"throttled for a day":    {pocket.Throttle, 24 * time.Hour, encryption.Finished, verdict.Throttled},
		"silent for an hour":     {pocket.Timeout, time.Hour, encryption.Finished, verdict.Unreachable},
		"down for too many days": {pocket.Down, 4 * 24 * time.Hour, encryption.Restored, verdict.Unreachable},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.byUser(w.newKey(false))
				w.populate(1)
				w.Refuse = storetest.ErrFault
				w.mustPatch(`{"awsKms":{"roleId":%q}}`, roleID)
				w.Faults.Set(pocket.Fault{Host: kmsEast, Kind: c.fault})
				w.Refuse = nil
				time.Sleep(time.Minute)
				_, err := w.api.Validate(w.t.Context(), groupID) // as the schedule of checks does
				w.must(err)
				end := time.Now().Add(c.lasts)
				w.until(c.lasts+time.Hour, func() bool { return time.Now().After(end) || w.change().State != encryption.UnderWay })
				if blocker := w.change().Blocker; blocker.Class() != c.blocks {
					t.Errorf("it waits for %s", blocker)
				}
				w.Faults.Clear()
				if got := w.over(time.Hour); got.State != c.state {
					t.Errorf("the change ended as %+v", got)
				}
				w.allStart()
			})
		})
	}
}

func TestAKeyThatBothWaysAreRefusedDestroysNothing(t *testing.T) {
	inWorld(t, func(w *world) {
		w.byUser(w.newKey(false))
		w.populate(1)
		w.Refuse = storetest.ErrFault
		w.mustPatch(`{"awsKms":{"roleId":%q}}`, roleID)
		w.Faults.Set(pocket.Fault{Host: kmsEast, Kind: pocket.Deny})
		w.Refuse = nil
		w.until(12*time.Hour, func() bool { return w.change().Blocker == verdict.AccessDenied })
		if s, _ := w.settings(); len(s.Fallbacks) != 1 || w.change().State != encryption.UnderWay {
			t.Errorf("%+v", w.change())
		}
		w.Faults.Clear()
		if c := w.over(time.Hour); c.State != encryption.Finished {
			t.Errorf("the change ended as %+v", c)
		}
	})
}

func TestANodeStartsInTheFormerWayWhileTheNewOneIsRefused(t *testing.T) {
	inWorld(t, func(w *world) {
		w.byUser(w.newKey(false))
		w.populate(1)
		w.Refuse = storetest.ErrFault
		w.mustPatch(`{"awsKms":{"roleId":%q}}`, roleID)
		w.allowRole(except("*"))
		w.allStart()
		time.Sleep(time.Minute)
		if s, err := w.api.Get(w.t.Context(), groupID); err != nil || !s.AWS.Key.Valid {
			t.Errorf("the key is shown as %+v, %v", s.AWS.Key, err)
		}
		w.Refuse = nil
		if c := w.over(time.Hour); c.State != encryption.Restored {
			t.Errorf("the change ended as %+v", c)
		}
		w.allStart()
	})
}

func TestWhatComesBetweenASwitch(t *testing.T) {
	inWorld(t, func(w *world) {
		key := w.newKey(false)
		w.byUser(key)
		w.populate(1)
		w.Refuse = storetest.ErrFault
		w.mustPatch(`{"awsKms":{"roleId":%q}}`, roleID)
		if _, err := w.patch(`{"awsKms":{"customerMasterKeyID":%q}}`, w.newKey(false)); atlas.CodeOf(err) != atlas.ConcurrentModification {
			t.Errorf("another key meanwhile: %v", err)
		}
		if _, err := w.patch(`{"awsKms":{"accessKeyID":"AKIAIOSFODNN7EXAMPLE","secretAccessKey":"x"}}`); atlas.CodeOf(err) != atlas.AWSCredentialsDeprecated {
			t.Errorf("static credentials meanwhile: %v", err)
		}
		used, _, err := w.api.RolesInUse(w.t.Context(), groupID)
		w.must(err)
		if !used[roleID] {
			t.Error("the role may be removed")
		}
		w.mustPatch(`{"awsKms":{"enabled":false}}`)
		w.Refuse = nil
		if c := w.over(time.Hour); c.State != encryption.Abandoned {
			t.Errorf("the change of a provider that was disabled ended as %+v", c)
		}
		if _, text := w.settings(); strings.Contains(text, "secret") {
			t.Errorf("there is still %s", text)
		}
	})
}

// A process that dies at any write, before or after it, leaves what the schedule brings to its end.
func TestACrashAtAnyWriteIsMadeUpFor(t *testing.T) {
	for name, change := range map[string]func(w *world){
		"switch": func(w *world) { switching(w, 1) },
		"rotation": func(w *world) {
			w.byRole(w.newKey(false))
			w.populate(1)
			w.mustPatch(`{"awsKms":{"customerMasterKeyID":%q}}`, w.newKey(false))
		},
	} {
		for _, fault := range []storetest.Fault{storetest.Lost, storetest.Silent} {
			for at := 1; ; at++ {
				writes := 0
				inWorld(t, func(w *world) {
					w.table.Fault = storetest.From(at, 1, fault)
					change(w)
					if c := w.over(6 * time.Hour); c.State != encryption.Finished {
						t.Errorf("%s, write %d, fault %d: %+v", name, at, fault, c)
					}
					s, _ := w.settings()
					if len(s.Fallbacks) > 0 {
						t.Errorf("%s, write %d, fault %d: the way back is still there", name, at, fault)
					}
					w.allStart()
					writes = w.table.Writes()
				})
				if writes < at {
					break
				}
			}
		}
	}
}

// What nobody can open any more does not keep a group from switching.
func TestAWrappedKeyThatIsLostAnywayHoldsNobodyUp(t *testing.T) {
	inWorld(t, func(w *world) {
		former := w.newKey(false)
		w.byUser(former)
		w.populate(1)
		w.snapshot(w.fleetOf[0], "s1", time.Now().Add(1000*time.Hour))
		w.mustPatch(`{"awsKms":{"customerMasterKeyID":%q}}`, w.newKey(false))
		if c := w.over(time.Hour); c.State != encryption.Finished {
			t.Fatalf("the rotation ended as %+v", c)
		}
		_, err := w.KMS("us-east-1").ScheduleKeyDeletion(w.t.Context(), &kms.ScheduleKeyDeletionInput{KeyId: &former, PendingWindowInDays: aws.Int32(7)})
		w.must(err)
		w.pass(8 * 24 * time.Hour)
		w.mustPatch(`{"awsKms":{"roleId":%q}}`, roleID)
		if c := w.over(time.Hour); c.State != encryption.Finished || c.Lost != 1 || c.Proved != 3 {
			t.Errorf("the switch ended as %+v", c)
		}
		w.allStart()
	})
}
