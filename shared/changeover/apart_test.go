package changeover_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/local/pocket"
	"latchkey/local/states/engine"
	"latchkey/shared/atlas"
	"latchkey/shared/encryption"
	"latchkey/shared/store/storetest"
	"latchkey/shared/verdict"
	"latchkey/shared/workflow"
)

func TestTwoProvidersChangeApart(t *testing.T) {
	for name, both := range map[string]bool{"one of them": false, "both in one request": true} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				azure := w.bring(atlas.Azure)
				azure.enable()
				w.populate(1)
				google := w.bring(atlas.GCP)
				google.enable()
				w.populate(1)
				before, _ := w.settings()
				body := fmt.Sprintf(`%q:{%s}`, azure.block, azure.configured(1, 0))
				if both {
					body += fmt.Sprintf(`,%q:{%s}`, google.block, google.byRole)
				}
				w.mustPatch(`{%s}`, raw(body))
				w.at = atlas.Azure
				if c := w.over(2 * time.Hour); c.State != encryption.Finished || w.under(azure.name(1)) != 3 || w.under(azure.name(0)) != 0 {
					t.Errorf("the rotation at Azure ended as %+v", c)
				}
				w.at = atlas.GCP
				after, _ := w.settings()
				if c := w.over(time.Hour); both != (c.State == encryption.Finished) || both != (c.Proved == 3) {
					t.Errorf("at Google there is %+v", c)
				}
				if diff := cmp.Diff(before.Google, after.Google); !both && diff != "" {
					t.Errorf("Google's block changed:\n%s", diff)
				}
				if s, text := w.settings(); both != (s.RoleID(atlas.GCP) != "") || len(s.Fallbacks) > 0 {
					t.Errorf("afterwards there is %s", text)
				}
				for _, m := range w.fleetOf[3:] {
					if m.rewraps != 0 {
						t.Errorf("node %s of the other provider was rewrapped", m.id)
					}
				}
				w.allStart()
			})
		})
	}
}

// One provider's outage holds the other's change up no more than its own.
func TestAnOutageAtOneProviderHoldsNoOtherUp(t *testing.T) {
	inWorld(t, func(w *world) {
		azure := w.bring(atlas.Azure)
		azure.enable()
		w.populate(1)
		google := w.bring(atlas.GCP)
		google.enable()
		w.populate(1)
		w.Refuse = storetest.ErrFault
		azure.patch(azure.byRole)
		google.patch(google.byRole)
		w.Faults.Set(pocket.Fault{Host: azure.host, Kind: pocket.Down})
		w.Refuse = nil
		w.at = atlas.GCP
		if c := w.over(time.Hour); c.State != encryption.Finished {
			t.Errorf("the switch at Google ended as %+v", c)
		}
		w.at = atlas.Azure
		_, err := w.api.Validate(w.t.Context(), groupID) // as the schedule of checks does
		w.must(err)
		w.until(4*24*time.Hour, func() bool { return w.change().State != encryption.UnderWay })
		if c := w.change(); c.State != encryption.Restored || c.Reason.Class() != verdict.Unreachable {
			t.Errorf("the switch at Azure ended as %+v", c)
		}
		w.Faults.Clear()
		s, _ := w.settings()
		if diff := cmp.Diff([]atlas.Provider{atlas.GCP}, s.RoleOnly); diff != "" {
			t.Error(diff)
		}
		w.allStart()
	})
}

// What an operator stops goes on with the next attempt, and what is redriven then does nothing.
func TestAStoppedExecutionIsCarriedOnByTheNextAttempt(t *testing.T) {
	inClouds(t, func(w *world, tenant *tenant) {
		tenant.enable()
		w.populate(1)
		w.fleetOf[1].isDown = true
		tenant.patch(tenant.configured(1, 0))
		w.until(time.Hour, func() bool { return w.change().NodesLeft == 1 })
		running, _, err := w.Engine.List(w.Engine.MachineARN(string(workflow.RotateKey)), engine.Running, engine.Page{})
		w.must(err)
		if len(running) != 1 {
			t.Fatalf("running are %+v", running)
		}
		_, err = w.Engine.Stop(w.t.Context(), running[0].ARN, "OPERATOR", "a test")
		w.must(err)
		w.until(6*time.Minute, func() bool { return w.change().Attempt == 2 })
		_, err = w.Engine.Redrive(w.t.Context(), running[0].ARN, "")
		w.must(err)
		w.fleetOf[1].isDown = false
		if c := w.over(2 * time.Hour); c.State != encryption.Finished || c.Attempt != 2 {
			t.Errorf("the rotation ended as %+v", c)
		}
		w.until(time.Hour, func() bool {
			return slices.Equal(w.Ends(w.t, workflow.RotateKey), []string{"SUCCEEDED Overtaken", "SUCCEEDED Rotated"})
		})
		w.allStart()
	})
}
