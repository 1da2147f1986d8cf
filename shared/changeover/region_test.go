package changeover_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"latchkey/local/pocket"
	"latchkey/shared/atlas"
	"latchkey/shared/encryption"
	"latchkey/shared/store/storetest"
	"latchkey/shared/workflow"
)

// replicated makes a multi-Region key with a replica in Ireland.
func (w *world) replicated() (key, replica string) {
	w.t.Helper()
	key = w.newKey(true)
	out, err := w.KMS("us-east-1").ReplicateKey(w.t.Context(), &kms.ReplicateKeyInput{KeyId: &key, ReplicaRegion: aws.String("eu-west-1")})
	w.must(err)
	time.Sleep(time.Minute) // it is being made
	return key, *out.ReplicaKeyMetadata.Arn
}

// The former region answers nothing from before the move until after it.
func TestAKeyMovesWhileItsRegionIsDown(t *testing.T) {
	for name, named := range map[string]func(key, replica string) string{
		"the region alone":       func(string, string) string { return `` },
		"with the replica's ARN": func(_, replica string) string { return `"customerMasterKeyID":"` + replica + `",` },
		"with the key's ARN":     func(key, _ string) string { return `"customerMasterKeyID":"` + key + `",` },
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				key, replica := w.replicated()
				w.byRole(key)
				w.populate(3)
				before := w.under(key)
				w.Faults.Set(pocket.Fault{Host: kmsEast, Kind: pocket.Down})
				time.Sleep(2 * time.Hour) // what was cached is gone
				for _, m := range w.fleetOf {
					if m.starts() {
						t.Errorf("node %s starts without its region", m.id)
					}
				}
				s := w.mustPatch(`{"awsKms":{%s"region":"EU_WEST_1"}}`, named(key, replica))
				if s.AWS.Key.Since.After(time.Now().Add(-time.Hour)) {
					t.Error("a move counts as a rotation")
				}
				w.allStart()
				c := w.over(2 * time.Hour)
				if c.State != encryption.Finished || c.Kind != workflow.ReconfigureRegion || c.Proved != 9 {
					t.Errorf("the move ended as %+v", c)
				}
				if w.under(key) != before {
					t.Error("keys were wrapped anew")
				}
				wantEvents(t, w.events(), encryption.EventChangeStarted, encryption.EventChangeFinished)
				if got := w.Ends(w.t, workflow.ReconfigureRegion); !slices.Equal(got, []string{"SUCCEEDED Moved"}) {
					t.Errorf("executions %q", got)
				}
				w.allStart()
			})
		})
	}
}

func TestAMoveIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		set  func(w *world)
		code atlas.Code
	}{
		"of a single-Region key": {func(w *world) { w.byRole(w.newKey(false)) }, atlas.AWSKeyNotFound},
		"of a single-Region key by its id": {func(w *world) {
			arn := w.newKey(false)
			w.byRole(arn[strings.LastIndex(arn, "/")+1:])
		}, atlas.AWSKeyNotFound},
		"to where there is no replica": {func(w *world) { w.byRole(w.newKey(true)) }, atlas.AWSKeyNotFound},
		"to a replica that is disabled": {func(w *world) {
			key, replica := w.replicated()
			w.byRole(key)
			_, err := w.KMS("eu-west-1").DisableKey(w.t.Context(), &kms.DisableKeyInput{KeyId: &replica})
			w.must(err)
		}, atlas.AWSKeyNotEnabled},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				c.set(w)
				w.Faults.Set(pocket.Fault{Host: kmsEast, Kind: pocket.Down})
				before, _ := w.settings()
				if _, err := w.patch(`{"awsKms":{"region":"EU_WEST_1"}}`); atlas.CodeOf(err) != c.code {
					t.Errorf("it is answered %v", err)
				}
				if after, _ := w.settings(); after.Revision != before.Revision || w.change().State != "" {
					t.Error("something was stored")
				}
			})
		})
	}
}

// A snapshot under a former key, which is not in the new region, does not keep the present one from moving.
func TestAMoveLeavesFormerKeysWhereTheyAre(t *testing.T) {
	inWorld(t, func(w *world) {
		former := w.newKey(false)
		w.byRole(former)
		w.populate(1)
		w.snapshot(w.fleetOf[0], "s1", time.Now().Add(1000*time.Hour))
		key, _ := w.replicated()
		w.mustPatch(`{"awsKms":{"customerMasterKeyID":%q}}`, key)
		if c := w.over(time.Hour); c.State != encryption.Finished {
			t.Fatalf("the rotation ended as %+v", c)
		}
		w.Faults.Set(pocket.Fault{Host: kmsEast, Kind: pocket.Down})
		w.mustPatch(`{"awsKms":{"region":"EU_WEST_1"}}`)
		if c := w.over(2 * time.Hour); c.State != encryption.Finished {
			t.Errorf("the move ended as %+v", c)
		}
		w.allStart()
	})
}

// A region may fail while another change is under way.
func TestAMoveMayComeBetweenASwitch(t *testing.T) {
	inWorld(t, func(w *world) {
		key, _ := w.replicated()
		w.byUser(key)
		w.populate(1)
		w.Refuse = storetest.ErrFault
		w.mustPatch(`{"awsKms":{"roleId":%q}}`, roleID)
		w.Faults.Set(pocket.Fault{Host: kmsEast, Kind: pocket.Down})
		w.Refuse = nil
		w.until(12*time.Hour, func() bool { return !w.change().Blocked.IsZero() })
		w.mustPatch(`{"awsKms":{"region":"EU_WEST_1"}}`)
		if c := w.over(3 * time.Hour); c.State != encryption.Finished || c.Kind != workflow.ReconfigureRegion {
			t.Errorf("the move ended as %+v", c)
		}
		if s, text := w.settings(); s.AWS.Region != "EU_WEST_1" || len(s.RoleOnly) != 1 || strings.Contains(text, "secret") {
			t.Errorf("afterwards there is %s", text)
		}
		w.allStart()
	})
}
