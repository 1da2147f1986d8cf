package fleettasks_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/shared/cluster"
	"latchkey/shared/verdict"
	"latchkey/shared/workflow"
)

// oneAtATime has the world watch that of a cluster no two nodes are down at once.
func (w *world) oneAtATime(name string) {
	w.watch = func() {
		w.t.Helper()
		if !w.exists(name) {
			return
		}
		down := 0
		d := w.load(name)
		for _, n := range d.Nodes {
			if m := w.nodes.minds[n.ID]; m == nil || !m.isUp {
				down++
			}
		}
		if down > 1 && d.Disabled == nil {
			w.t.Errorf("%d nodes of %s are down at once: %s", down, name, describe(d))
		}
	}
}

func providers(d cluster.Deployment) map[string]int {
	all := map[string]int{}
	for _, n := range d.Nodes {
		all[string(n.Reported.Provider)]++
	}
	return all
}

func TestAClusterLivesUnderTheKeyOfItsTenant(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.nodes.syncs = 2 * time.Minute
		w.create("c1", "NONE")
		w.settled("c1", time.Minute)
		w.oneAtATime("c1")
		w.update("c1", `{"encryptionAtRestProvider":"AWS"}`)
		if got := providers(w.settled("c1", 10*time.Minute)); got["AWS"] != 3 || w.nodes.resyncs != 3 {
			t.Errorf("nodes are encrypted by %v after %d resyncs", got, w.nodes.resyncs)
		}
		w.update("c1", `{"encryptionAtRestProvider":"NONE"}`)
		if got := providers(w.settled("c1", 10*time.Minute)); got["NONE"] != 3 || w.nodes.resyncs != 6 {
			t.Errorf("nodes are encrypted by %v after %d resyncs", got, w.nodes.resyncs)
		}
		w.watch = nil
		w.must(w.clusters.Delete(w.t.Context(), w.caller, w.group, "c1", cluster.Deletion{}))
		if !w.until(2*time.Minute, func() bool { return !w.exists("c1") }) {
			t.Error("the cluster is not deleted")
		}
		w.pass(time.Minute)
		want := []string{"SUCCEEDED Plan ended", "SUCCEEDED Plan ended", "SUCCEEDED Plan ended", "SUCCEEDED Plan ended"}
		if diff := cmp.Diff(want, w.Ends(w.t, workflow.EncryptCluster)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestAClusterIsCreatedUnderTheKeyOfItsTenant(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.create("c1", "AWS")
		if got := providers(w.settled("c1", time.Minute)); got["AWS"] != 3 {
			t.Errorf("nodes are encrypted by %v", got)
		}
	})
}

func TestAKeyThatIsBlockedFor71HoursDelaysWhatNeedsIt(t *testing.T) {
	t.Parallel()
	for name, begin := range map[string]func(w *world){
		"a creation": func(w *world) { w.create("c1", "AWS") },
		"an update":  func(w *world) { w.update("c1", `{"encryptionAtRestProvider":"AWS"}`) },
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				if name == "an update" {
					w.create("c1", "NONE")
					w.settled("c1", time.Minute)
					w.oneAtATime("c1")
				}
				w.key.Break(verdict.NetworkRefused)
				begin(w)
				w.pass(71 * time.Hour)
				if d := w.load("c1"); d.Plan == nil || d.Plan.Attempt < 2 || d.Plan.Blocked.IsZero() || w.nodes.resyncs > 0 {
					t.Errorf("after 71 hours the plan is %+v, with %d resyncs", d.Plan, w.nodes.resyncs)
				}
				w.key.Break(verdict.OK)
				if got := providers(w.settled("c1", 30*time.Minute)); got["AWS"] != 3 {
					t.Errorf("nodes are encrypted by %v", got)
				}
				if reasons := w.rolledBack(); len(reasons) > 0 {
					t.Errorf("rolled back: %v", reasons)
				}
			})
		})
	}
}

func TestAKeyThatIsBlockedFor73HoursRollsBackWhatNeedsIt(t *testing.T) {
	t.Parallel()
	t.Run("an update returns to what was", func(t *testing.T) {
		inWorld(t, func(w *world) {
			w.create("c1", "NONE")
			w.settled("c1", time.Minute)
			w.oneAtATime("c1")
			w.key.Break(verdict.RateLimited)
			w.update("c1", `{"encryptionAtRestProvider":"AWS"}`)
			w.pass(73 * time.Hour)
			if d := w.settled("c1", time.Minute); providers(d)["NONE"] != 3 || d.Spec.Provider != cluster.None {
				t.Errorf("nodes are encrypted by %v, the cluster by %s", providers(d), d.Spec.Provider)
			}
			if diff := cmp.Diff([]string{"RATE_LIMITED"}, w.rolledBack()); diff != "" {
				t.Error(diff)
			}
		})
	})
	t.Run("a creation leaves nothing", func(t *testing.T) {
		inWorld(t, func(w *world) {
			w.key.Break(verdict.NetworkRefused)
			w.create("c1", "AWS")
			w.pass(73 * time.Hour)
			if w.exists("c1") {
				t.Error("the cluster is there")
			}
		})
	})
	t.Run("a node that was under way goes back too", func(t *testing.T) {
		inWorld(t, func(w *world) {
			w.nodes.syncs = 2 * time.Minute
			w.create("c1", "NONE")
			w.settled("c1", time.Minute)
			w.oneAtATime("c1")
			w.update("c1", `{"encryptionAtRestProvider":"AWS"}`)
			w.until(time.Minute, func() bool { return w.nodes.resyncs == 1 })
			w.key.Break(verdict.NetworkRefused)
			w.pass(74 * time.Hour)
			if d := w.settled("c1", time.Minute); providers(d)["NONE"] != 3 || w.nodes.resyncs != 2 {
				t.Errorf("nodes are encrypted by %v after %d resyncs", providers(d), w.nodes.resyncs)
			}
		})
	})
}

func TestAFaultOfOursNeverRollsBack(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.create("c1", "NONE")
		w.settled("c1", time.Minute)
		w.key.Break(verdict.OurCredentials)
		w.update("c1", `{"encryptionAtRestProvider":"AWS"}`)
		w.pass(80 * time.Hour)
		w.key.Break(verdict.OK)
		if got := providers(w.settled("c1", 30*time.Minute)); got["AWS"] != 3 {
			t.Errorf("nodes are encrypted by %v", got)
		}
	})
}

func TestAKeyThatIsTakenAwayDuringAnInitialSyncStopsItUntilItIsBack(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.nodes.syncs = 2 * time.Minute
		w.create("c1", "NONE")
		w.settled("c1", time.Minute)
		w.oneAtATime("c1")
		w.update("c1", `{"encryptionAtRestProvider":"AWS"}`)
		w.until(10*time.Minute, func() bool { return w.nodes.resyncs == 2 })
		w.key.Break(verdict.KeyDisabled)
		if !w.until(20*time.Minute, func() bool {
			return w.load("c1").Disabled != nil && w.load("c1").Availability() == "unavailable" || w.load("c1").Availability() == "dead"
		}) {
			t.Fatal("the nodes are not stopped")
		}
		w.pass(100 * time.Hour) // longer than the patience with a key that is blocked
		if d := w.load("c1"); d.Plan == nil || !d.Suspended() {
			t.Errorf("the plan is %+v", d.Plan)
		}
		w.watch = nil // they start one after the other
		w.key.Break(verdict.OK)
		if got := providers(w.settled("c1", 30*time.Minute)); got["AWS"] != 3 {
			t.Errorf("nodes are encrypted by %v", got)
		}
		ends := w.Ends(w.t, workflow.EncryptCluster)
		if diff := cmp.Diff([]string{"SUCCEEDED Plan ended", "SUCCEEDED Suspended until the key is back", "SUCCEEDED Plan ended"}, ends); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]string{"SUCCEEDED Nodes stopped", "SUCCEEDED Nodes running"}, w.Ends(w.t, workflow.EnforceValidity)); diff != "" {
			t.Error(diff)
		}
	})
}
