package changeover_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"latchkey/local/pocket"
	"latchkey/shared/changeover"
	"latchkey/shared/cluster"
	"latchkey/shared/encryption"
	"latchkey/shared/ledger"
	"latchkey/shared/node/protocol"
	"latchkey/shared/store/storetest"
	"latchkey/shared/verdict"
	"latchkey/shared/workflow"
)

// Calling a rotation off is a rotation too: what the other key has wrapped already is wrapped by the former one again.
func TestARotationThatIsCalledOffLeavesNothingUnderTheOtherKey(t *testing.T) {
	for name, between := range map[string]string{
		"at once":                            ``,
		"and another way to the key follows": `{"awsKms":{"roleId":"` + roleID + `"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				former, next := w.newKey(false), w.newKey(false)
				w.byUser(former)
				w.populate(1)
				w.fleetOf[1].isDown = true
				w.mustPatch(`{"awsKms":{"customerMasterKeyID":%q}}`, next)
				w.until(2*time.Hour, func() bool { return w.under(next) == 2 })
				if between != `` {
					w.Refuse = storetest.ErrFault
				}
				w.mustPatch(`{"awsKms":{"customerMasterKeyID":%q}}`, former)
				w.Refuse = nil
				if between != `` {
					w.mustPatch("%s", raw(between))
				}
				c := w.over(6 * time.Hour)
				if c.State != encryption.Finished || c.Kind != workflow.RotateKey || w.under(former) != 3 || w.under(next) != 0 {
					t.Errorf("it ended as %+v with %d keys under the other key", c, w.under(next))
				}
				if f := w.report().Former; len(f) > 0 {
					t.Errorf("former keys are %+v", f)
				}
				w.allStart()
			})
		})
	}
}

// A key that was moved is where it was moved to, whatever is configured since: its first region may be down, or
// have no replica any more.
func TestAKeyThatWasMovedIsReachedThereOnceItIsAFormerOne(t *testing.T) {
	for name, finish := range map[string]bool{"after the move": true, "while it is under way": false} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				key, replica := w.replicated()
				w.byRole(key)
				w.populate(1)
				w.snapshot(w.fleetOf[0], "s1", time.Now().Add(1000*time.Hour))
				w.Faults.Set(pocket.Fault{Host: kmsEast, Kind: pocket.Down})
				if !finish {
					w.Refuse = storetest.ErrFault
				}
				w.mustPatch(`{"awsKms":{"region":"EU_WEST_1"}}`)
				if finish {
					w.over(2 * time.Hour)
				}
				w.Refuse = nil
				out, err := w.KMS("eu-west-1").CreateKey(w.t.Context(), &kms.CreateKeyInput{MultiRegion: aws.Bool(false)})
				w.must(err)
				next := *out.KeyMetadata.Arn
				w.mustPatch(`{"awsKms":{"customerMasterKeyID":%q}}`, next)
				w.allStart()
				if f := w.report().Former; len(f) != 1 || f[0].CMK.Name != replica {
					t.Errorf("the former keys are %+v, want the replica %s", f, replica)
				}
				if c := w.over(6 * time.Hour); c.State != encryption.Finished || w.under(next) != 3 {
					t.Errorf("the rotation ended as %+v", c)
				}
				if f := w.report().Former; len(f) != 1 || f[0].CMK.Name != replica || !slices.Equal(f[0].Snapshots, []string{"s1"}) {
					t.Errorf("the former keys are %+v, want the replica %s", f, replica)
				}
				w.allStart()
			})
		})
	}
}

// A key that is named by its id alone moves by its replica's ARN too, while its region is down.
func TestAKeyThatIsNamedByItsIDMovesByTheARNOfItsReplica(t *testing.T) {
	inWorld(t, func(w *world) {
		key, replica := w.replicated()
		w.byRole(key[strings.LastIndex(key, "/")+1:])
		w.populate(1)
		w.Faults.Set(pocket.Fault{Host: kmsEast, Kind: pocket.Down})
		w.mustPatch(`{"awsKms":{"customerMasterKeyID":%q,"region":"EU_WEST_1"}}`, replica)
		if c := w.over(2 * time.Hour); c.State != encryption.Finished || c.Kind != workflow.ReconfigureRegion {
			t.Errorf("the move ended as %+v", c)
		}
		w.allStart()
	})
}

// Who has read the settings before the change enters a key under the former one a moment after it.
func TestARotationIsNotOverBeforeWhoHasReadTheFormerSettings(t *testing.T) {
	inWorld(t, func(w *world) {
		former, next := w.newKey(false), w.newKey(false)
		w.byRole(former)
		w.populate(1)
		var entries []ledger.Entry
		for _, m := range w.fleetOf {
			of, err := ledger.OfNode(w.t.Context(), w.db, m.clusterID, m.id)
			w.must(err)
			entries = append(entries, of...)
			w.must(w.db.Write(w.t.Context(), of[0].Delete()))
		}
		w.mustPatch(`{"awsKms":{"customerMasterKeyID":%q}}`, next)
		time.Sleep(20 * time.Second)
		for _, e := range entries {
			w.put(e.Key(), e)
		}
		if c := w.over(time.Hour); c.State != encryption.Finished || w.under(next) != 3 || w.under(former) != 0 {
			t.Errorf("the rotation ended as %+v with %d keys under the former one", c, w.under(former))
		}
	})
}

// A node says which master key it uses a moment after it has acknowledged that it has another one.
func TestAMasterKeyThatANodeHasJustTakenIsWaitedFor(t *testing.T) {
	inWorld(t, func(w *world) {
		former, next := w.newKey(false), w.newKey(false)
		w.byRole(former)
		w.populate(1)
		w.fleetOf[1].isDown, w.fleetOf[2].isDown = true, true
		m := w.fleetOf[0]
		m.again()
		n := m.record()
		op, err := n.Told(cluster.Order{Command: cluster.RotateCommand, State: cluster.Run, Provider: w.at}).Put()
		w.must(err)
		w.must(w.db.Write(w.t.Context(), op))
		w.must(w.nodes.Ack(w.t.Context(), m.record(), protocol.AckRequest{
			Command: n.Desired.Number + 1, Outcome: protocol.Done, KeyID: "mk-2",
			Wrapped: protocol.WrappedKey{Provider: string(w.at), CMK: former, Version: former},
		}))
		m.isDown = true // it is heard of again after that
		w.mustPatch(`{"awsKms":{"customerMasterKeyID":%q}}`, next)
		w.until(time.Hour, func() bool { return w.change().NodesLeft > 0 && time.Since(w.change().Began) > 2*time.Minute })
		if c := w.change(); c.NodesLeft != 3 {
			t.Errorf("it waits for %d nodes", c.NodesLeft)
		}
	})
}

// A rotation that was called off has no way back to another key: nothing that becomes of the former key ends it.
func TestARotationThatIsCalledOffWaitsForTheFormerKey(t *testing.T) {
	inWorld(t, func(w *world) {
		former, next := w.newKey(false), w.newKey(false)
		w.byRole(former)
		w.populate(1)
		w.fleetOf[2].isDown = true
		w.mustPatch(`{"awsKms":{"customerMasterKeyID":%q}}`, next)
		w.until(time.Hour, func() bool { return w.under(next) == 2 })
		of, err := ledger.OfNode(w.t.Context(), w.db, w.fleetOf[2].clusterID, w.fleetOf[2].id)
		w.must(err)
		w.must(w.db.Write(w.t.Context(), of[0].Delete())) // nothing is under the former key any more
		w.Refuse = storetest.ErrFault
		w.mustPatch(`{"awsKms":{"customerMasterKeyID":%q}}`, former)
		_, err = w.KMS("us-east-1").DisableKey(w.t.Context(), &kms.DisableKeyInput{KeyId: &former})
		w.must(err)
		time.Sleep(time.Minute)
		_, err = w.api.Validate(w.t.Context(), groupID)
		w.must(err)
		w.Refuse = nil
		w.pass(time.Hour)
		if c := w.change(); c.State != encryption.UnderWay || c.NodesLeft != 2 {
			t.Errorf("meanwhile it is %+v", c)
		}
		_, err = w.KMS("us-east-1").EnableKey(w.t.Context(), &kms.EnableKeyInput{KeyId: &former})
		w.must(err)
		if c := w.over(6 * time.Hour); c.State != encryption.Finished || w.under(former) != 2 {
			t.Errorf("the rotation ended as %+v", c)
		}
	})
}

// What was known of the former configuration is as old as the change. Its return neither stops what runs nor starts what
// the tenant has stopped, before the key was checked.
func TestAConfigurationThatReturnsIsCheckedBeforeAnythingIsEnforced(t *testing.T) {
	inWorld(t, func(w *world) {
		key := w.newKey(false)
		w.byUser(key)
		w.populate(1)
		active := func(status types.StatusType) {
			_, err := w.IAM().UpdateAccessKey(w.t.Context(), &iam.UpdateAccessKeyInput{
				UserName: aws.String("atlas"), AccessKeyId: w.user.AccessKey.AccessKeyId, Status: status,
			})
			w.must(err)
			time.Sleep(time.Minute)
		}
		former := w.newKey(false)
		w.mustPatch(`{"awsKms":{"customerMasterKeyID":%q}}`, former)
		w.over(time.Hour)
		w.snapshot(w.fleetOf[0], "s1", time.Now().Add(1000*time.Hour))
		w.mustPatch(`{"awsKms":{"customerMasterKeyID":%q}}`, key)
		w.over(time.Hour)
		active(types.StatusTypeInactive)
		_, err := w.api.Validate(w.t.Context(), groupID)
		w.must(err)
		if s, _ := w.settings(); s.AWS.Key.Valid {
			t.Fatal("the key counts as valid")
		}
		w.allowRole(except(former))
		w.Refuse = storetest.ErrFault
		w.mustPatch(`{"awsKms":{"roleId":%q}}`, roleID)
		active(types.StatusTypeActive)
		w.Refuse = nil
		if c := w.over(time.Hour); c.State != encryption.Restored {
			t.Fatalf("the switch ended as %+v", c)
		}
		if s, _ := w.settings(); s.AWS.RoleID != "" || s.AWS.Key.Verdict.Class() != verdict.Inconclusive {
			t.Errorf("the verdict that returns is %+v", s.AWS.Key.Verdict)
		}
		w.allStart()
	})
}

// A tenant takes the former way away as soon as it has changed to another one. The change then must not return to it,
// whatever it cannot prove: the nodes run by the new way.
func TestAWayThatOpensThePresentKeyNoMoreDoesNotReturn(t *testing.T) {
	for name, c := range map[string]struct {
		lasts time.Duration
		role  func(former string) string
		set   func(w *world, former, present string)
	}{
		"a former key is disabled": {changeover.Patience + 24*time.Hour, func(string) string { return useKeys }, func(w *world, former, _ string) {
			_, err := w.KMS("us-east-1").DisableKey(w.t.Context(), &kms.DisableKeyInput{KeyId: &former})
			w.must(err)
			_, err = w.IAM().UpdateAccessKey(w.t.Context(), &iam.UpdateAccessKeyInput{
				UserName: aws.String("atlas"), AccessKeyId: w.user.AccessKey.AccessKeyId, Status: types.StatusTypeInactive,
			})
			w.must(err)
		}},
		"a former key opens in the former way alone": {time.Hour, except, func(w *world, _, present string) {
			_, err := w.IAM().PutUserPolicy(w.t.Context(), &iam.PutUserPolicyInput{
				UserName: aws.String("atlas"), PolicyName: aws.String("use"), PolicyDocument: aws.String(except(present)),
			})
			w.must(err)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				former, present := w.newKey(false), w.newKey(false)
				w.byUser(former)
				w.populate(1)
				w.snapshot(w.fleetOf[0], "s1", time.Now().Add(10000*time.Hour))
				w.mustPatch(`{"awsKms":{"customerMasterKeyID":%q}}`, present)
				w.over(time.Hour)
				w.allowRole(c.role(former))
				w.Refuse = storetest.ErrFault
				w.mustPatch(`{"awsKms":{"roleId":%q}}`, roleID)
				c.set(w, former, present)
				time.Sleep(time.Minute)
				w.Refuse = nil
				w.pass(c.lasts)
				if s, _ := w.settings(); s.AWS.RoleID != roleID || len(s.Fallbacks) != 1 || w.change().Blocker == "" {
					t.Errorf("meanwhile it is %+v", w.change())
				}
				w.allStart()
				w.allowRole(useKeys)
				_, err := w.KMS("us-east-1").EnableKey(w.t.Context(), &kms.EnableKeyInput{KeyId: &former})
				w.must(err)
				if c := w.over(6 * time.Hour); c.State != encryption.Finished {
					t.Errorf("it ended as %+v", c)
				}
			})
		})
	}
}
