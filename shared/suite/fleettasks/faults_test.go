package fleettasks_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/local/states/engine"
	"latchkey/shared/cluster"
	"latchkey/shared/store/storetest"
	"latchkey/shared/task"
	"latchkey/shared/verdict"
	"latchkey/shared/workflow"
)

// life is a cluster's life with all that may happen in it.
func (w *world) life() {
	w.t.Helper()
	w.nodes.syncs = 20 * time.Second
	w.create("c1", "NONE")
	w.settled("c1", 30*time.Minute)
	w.oneAtATime("c1")
	w.update("c1", `{"encryptionAtRestProvider":"AWS"}`)
	if got := providers(w.settled("c1", 30*time.Minute)); got["AWS"] != 3 || w.nodes.resyncs != 3 {
		w.t.Errorf("nodes are encrypted by %v after %d resyncs", got, w.nodes.resyncs)
	}
	w.watch = nil
	w.key.Break(verdict.AccessDenied)
	if !w.until(time.Hour, func() bool { return w.load("c1").Availability() == "dead" && w.up("c1") == 0 }) {
		w.t.Fatalf("the nodes are not stopped: %s", describe(w.load("c1")))
	}
	w.update("c1", `{`+regions(5)+`}`)
	w.key.Break(verdict.OK)
	if d := w.settled("c1", time.Hour); len(d.Nodes) != 5 || providers(d)["AWS"] != 5 {
		w.t.Errorf("in the end there are %s", describe(d))
	}
	w.must(w.clusters.Delete(w.t.Context(), w.caller, w.group, "c1", cluster.Deletion{}))
	if !w.until(time.Hour, func() bool { return !w.exists("c1") }) {
		w.t.Errorf("the cluster is not deleted: %s", describe(w.load("c1")))
	}
	if names, _, err := cluster.UsedBy(w.t.Context(), w.db, w.group, "AWS"); err != nil || len(names) > 0 {
		w.t.Errorf("the key is used by %v, %v", names, err)
	}
}

// up counts the databases of a cluster that run.
func (w *world) up(name string) int {
	w.t.Helper()
	n := 0
	for _, node := range w.load(name).Nodes {
		if m := w.nodes.minds[node.ID]; m != nil && m.isUp {
			n++
		}
	}
	return n
}

func TestUpdatesOfADisabledClusterAreAppliedOnceTheKeyIsBack(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.life()
		if diff := cmp.Diff([]string{"SUCCEEDED Nodes stopped", "SUCCEEDED Nodes running"}, w.Ends(w.t, workflow.EnforceValidity)); diff != "" {
			t.Error(diff)
		}
		if failed := slices.DeleteFunc(w.Ends(w.t, workflow.EncryptCluster), func(s string) bool { return s == "SUCCEEDED Plan ended" }); len(failed) > 0 {
			t.Errorf("executions that were not: %v", failed)
		}
	})
}

// Each write of the functions fails once, before or after it happened, and so long that the
// execution fails too.
func TestEveryWriteMayFail(t *testing.T) {
	t.Parallel()
	writes := 0
	inWorld(t, func(w *world) {
		w.life()
		writes = w.table.Writes()
	})
	if writes < 10 {
		t.Fatalf("a life has %d writes", writes)
	}
	kinds := map[string]struct {
		fault storetest.Fault
		times int
	}{
		"is lost":          {storetest.Lost, 1},
		"answers nothing":  {storetest.Silent, 1},
		"is lost for long": {storetest.Lost, 10},
	}
	for name, kind := range kinds {
		for n := 1; n <= writes; n++ {
			t.Run(fmt.Sprintf("number %d %s", n, name), func(t *testing.T) {
				inWorld(t, func(w *world) {
					w.table.Fault = storetest.From(n, kind.times, kind.fault)
					w.life()
				})
			})
		}
	}
}

func TestAPlanWhoseWorkflowCouldNotBeStartedIsStartedLater(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.Refuse = errors.New("step functions are away")
		w.create("c1", "NONE")
		w.pass(12 * time.Minute)
		if d := w.load("c1"); d.Plan == nil || d.Plan.Attempt != 1 {
			t.Errorf("the plan is %+v", d.Plan)
		}
		w.Refuse = nil
		w.settled("c1", 6*time.Minute)
	})
}

func TestAnExecutionThatWasStoppedIsFollowedByTheNextAttempt(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.nodes.deaf = map[string]bool{}
		w.create("c1", "NONE")
		for _, n := range w.load("c1").Nodes {
			w.nodes.deaf[n.ID] = true
		}
		w.pass(7 * time.Minute)
		list, _, err := w.Engine.List(w.Engine.MachineARN("encrypt-cluster"), engine.Running, engine.Page{})
		w.must(err)
		if len(list) != 1 || !strings.HasSuffix(list[0].Name, "-1_1") {
			t.Fatalf("%d executions run: %+v", len(list), list)
		}
		_, err = w.Engine.Stop(w.t.Context(), list[0].ARN, "Operator", "to see what happens")
		w.must(err)
		w.pass(6 * time.Minute)
		if d := w.load("c1"); d.Plan == nil || d.Plan.Attempt != 2 {
			t.Errorf("the plan is %+v", d.Plan)
		}
		w.nodes.deaf = nil
		w.settled("c1", 3*time.Minute)
	})
}

func TestAPlanThatTakesLongChangesHandsBeforeItsHistoryIsFull(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.create("c1", "NONE")
		w.nodes.deaf = map[string]bool{w.load("c1").Nodes[0].ID: true}
		w.pass(5 * 24 * time.Hour)
		d := w.load("c1")
		if d.Plan == nil || d.Plan.Attempt < 3 || d.Plan.Attempt > 6 {
			t.Errorf("after five days the plan is %+v", d.Plan)
		}
		for _, end := range w.Ends(w.t, workflow.EncryptCluster)[:2] {
			if end != "SUCCEEDED Continued by next attempt" {
				t.Errorf("an attempt ends in %q", end)
			}
		}
		if out, err := w.task(`{"task":"resumePlans"}`); err != nil || !strings.Contains(out, `"restarted":0`) {
			t.Errorf("resuming answers %s, %v", out, err)
		}
		w.nodes.deaf = nil
		w.settled("c1", 10*time.Minute)
	})
}

func TestACreationIsNotWaitedForWithoutAKeyForEver(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.nodes.deaf = map[string]bool{}
		w.create("c1", "AWS")
		w.nodes.deaf[w.load("c1").Nodes[0].ID] = true // so that it is never ready
		w.pass(time.Minute)
		w.key.Break(verdict.KeyDisabled)
		w.pass(60 * time.Hour)
		if d := w.load("c1"); !d.Suspended() {
			t.Errorf("the plan is %+v", d.Plan)
		}
		w.nodes.deaf = nil
		w.pass(14 * time.Hour)
		if w.exists("c1") {
			t.Error("a cluster that never was anything waits for its key for ever")
		}
		if diff := cmp.Diff([]string{"KEY_DISABLED"}, w.rolledBack()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestANodeThatCannotRebuildItsDataRollsThePlanBack(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.create("c1", "NONE")
		w.settled("c1", time.Minute)
		w.nodes.cannot = "UNSUPPORTED"
		w.update("c1", `{"encryptionAtRestProvider":"AWS"}`)
		w.until(5*time.Minute, func() bool { return len(w.rolledBack()) > 0 })
		w.nodes.cannot = ""
		if d := w.settled("c1", 10*time.Minute); providers(d)["NONE"] != 3 {
			t.Errorf("nodes are encrypted by %v", providers(d))
		}
		if diff := cmp.Diff([]string{"UNSUPPORTED"}, w.rolledBack()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestLateAndRepeatedTasksChangeNothing(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.create("c1", "NONE")
		w.settled("c1", time.Minute)
		w.update("c1", `{"encryptionAtRestProvider":"AWS"}`)
		id := w.load("c1").ID
		w.settled("c1", 10*time.Minute)
		before := w.table.Writes()
		for _, payload := range []string{
			`{"task":"advancePlan","clusterId":"%s","revision":1,"attempt":1,"steps":3}`,
			`{"task":"advancePlan","clusterId":"%s","revision":2,"attempt":1,"steps":3,"key":{"reason":"OK"}}`,
			`{"task":"advancePlan","clusterId":"%s","revision":2,"attempt":1,"steps":3,"key":{"reason":"KEY_DELETED"}}`,
			`{"task":"rollBackPlan","clusterId":"%s","revision":2,"reason":"TIMED_OUT"}`,
			`{"task":"continuePlan","clusterId":"%s","revision":2,"attempt":1}`,
			`{"task":"continuePlan","clusterId":"%s","revision":2,"attempt":0}`,
		} {
			for range 2 {
				if _, err := w.task(fmt.Sprintf(payload, id)); err != nil {
					t.Errorf("%s: %v", payload, err)
				}
			}
		}
		for _, payload := range []string{
			`{"task":"enforce","groupId":"%s","provider":"AWS"}`, `{"task":"enforce","groupId":"%s","provider":"GCP"}`,
			`{"task":"awaitNodes","groupId":"%s","provider":"AWS","direction":"STOP","since":"2000-01-01T00:00:00Z","steps":1}`,
		} {
			if _, err := w.task(fmt.Sprintf(payload, w.group)); err != nil {
				t.Errorf("%s: %v", payload, err)
			}
		}
		if _, err := w.task(`{"task":"resumePlans"}`); err != nil {
			t.Error(err)
		}
		if d := w.load("c1"); w.table.Writes() != before || d.Plan != nil || d.State() != cluster.Idle {
			t.Errorf("%d writes; the cluster is %s", w.table.Writes()-before, d.State())
		}
	})
}

// Whatever runs at the same time as an attempt, only one node at a time is taken down.
func TestAttemptsThatOverlapTakeOneNodeAtATime(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.nodes.syncs = time.Minute
		w.create("c1", "NONE")
		w.settled("c1", time.Minute)
		w.oneAtATime("c1")
		w.update("c1", `{"encryptionAtRestProvider":"AWS"}`)
		d := w.load("c1")
		watch := w.watch
		w.watch = func() {
			watch()
			for attempt := range 3 {
				_, err := w.task(fmt.Sprintf(`{"task":"advancePlan","clusterId":"%s","revision":%d,"attempt":%d,"steps":1,"key":{"reason":"OK"}}`, d.ID, d.Plan.Spec.Revision, attempt))
				w.must(err)
			}
		}
		w.settled("c1", 10*time.Minute)
		if w.nodes.resyncs != 3 {
			t.Errorf("%d resyncs", w.nodes.resyncs)
		}
	})
}

func TestAPayloadThatIsNoTaskIsRefused(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		for _, payload := range []string{`{}`, `{"task":"drop"}`, `{"task":"resumePlans","x":1}`, `{"task":"advancePlan","clusterId":1}`} {
			if _, err := w.task(payload); err == nil || !strings.Contains(fmt.Sprintf("%#v", err), task.InvalidInput) {
				t.Errorf("%s gives %v", payload, err)
			}
		}
	})
}
