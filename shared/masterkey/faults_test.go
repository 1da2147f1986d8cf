package masterkey_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"latchkey/local/states/engine"
	"latchkey/shared/alert"
	"latchkey/shared/cluster"
	"latchkey/shared/masterkey"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
	"latchkey/shared/store/storetest"
	"latchkey/shared/workflow"
)

// life is a rotation with a node that comes back late.
func (w *world) life() {
	w.t.Helper()
	w.oneAtATime()
	members := w.create("A", 1)
	w.near()
	members[1].isDown = true
	w.rotated(1, 6*time.Hour)
	members[1].isDown = false
	w.until(2*time.Hour, func() bool { return turns(members) == 3 })
	w.until(2*time.Hour, func() bool { return w.rotation().State == masterkey.Resting && w.plan() == nil })
	w.allOpen()
	if started := len(w.events(alert.MaintenanceStarted)); started != 1 {
		w.t.Errorf("maintenance started %d times", started)
	}
	if w.eldest > 90*day {
		w.t.Errorf("a key was %s old", w.eldest)
	}
}

// Each write of the functions fails once, before or after it happened, and so long that the execution
// fails too.
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
	for name, kind := range map[string]struct {
		fault storetest.Fault
		times int
	}{"is lost": {storetest.Lost, 1}, "answers nothing": {storetest.Silent, 1}, "is lost for long": {storetest.Lost, 10}} {
		for n := 1; n <= writes; n++ {
			t.Run(fmt.Sprintf("number %d %s", n, name), func(t *testing.T) {
				t.Parallel()
				inWorld(t, func(w *world) {
					w.table.Fault = storetest.From(n, kind.times, kind.fault)
					w.life()
				})
			})
		}
	}
}

func TestARotationWhoseWorkflowCouldNotBeStartedIsStartedLater(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.create("A", 1)
		w.Refuse = storetest.ErrFault
		w.due()
		w.pass(time.Hour)
		if r := w.rotation(); r.Attempt != 1 || len(w.ends()) > 0 {
			t.Errorf("the rotation is %+v", r)
		}
		w.Refuse = nil
		w.rotated(1, 10*time.Minute)
	})
}

func TestAnExecutionThatWasStoppedIsFollowedByTheNextAttempt(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.oneAtATime()
		members := w.create("A", 1)
		for _, m := range members {
			m.takes = 3 * time.Minute
		}
		w.due()
		w.pass(time.Minute)
		list, _, err := w.Engine.List(w.Engine.MachineARN(string(workflow.RotateMasterKeys)), engine.Running, engine.Page{})
		w.must(err)
		if len(list) != 1 {
			t.Fatalf("%d executions run", len(list))
		}
		_, err = w.Engine.Stop(w.t.Context(), list[0].ARN, "Operator", "to see what happens")
		w.must(err)
		w.rotated(1, 30*time.Minute)
		if r := w.rotation(); r.Attempt != 2 || turns(members) != 3 {
			t.Errorf("the rotation is %+v", r)
		}
	})
}

func TestLateAndRepeatedTasksChangeNothing(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		members := w.create("A", 1)
		w.due()
		w.rotated(1, time.Hour)
		before := w.table.Writes()
		for _, payload := range []string{
			`{"task":"advanceRotation","groupId":"%s","number":1,"attempt":1,"steps":3}`,
			`{"task":"advanceRotation","groupId":"%s","number":0,"attempt":1,"steps":3}`,
			`{"task":"advanceRotation","groupId":"%s","number":2,"attempt":1,"steps":3}`,
			`{"task":"continueRotation","groupId":"%s","number":1,"attempt":1}`,
			`{"task":"continueRotation","groupId":"%s","number":1,"attempt":0}`,
		} {
			for range 2 {
				if _, err := w.task(fmt.Sprintf(payload, w.group)); err != nil {
					t.Errorf("%s: %v", payload, err)
				}
			}
		}
		if _, err := w.task(`{"task":"attendMasterKeys"}`); err != nil || w.table.Writes() != before || turns(members) != 3 {
			t.Errorf("%d writes, %v", w.table.Writes()-before, err)
		}
	})
}

// Whatever runs at the same time as an attempt, one node of a shard is told at a time.
func TestAttemptsThatOverlapTellOneNodeAtATime(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.oneAtATime()
		members := w.create("A", 1)
		for _, m := range members {
			m.takes = time.Minute
		}
		w.due()
		watch := w.watch
		w.watch = func() {
			watch()
			done := make(chan struct{})
			for range 4 {
				go func() {
					defer func() { done <- struct{}{} }()
					_, _ = w.task(fmt.Sprintf(`{"task":"advanceRotation","groupId":"%s","number":1,"attempt":1,"steps":1}`, w.group))
					_, _ = w.task(`{"task":"attendMasterKeys"}`)
				}()
			}
			for range 4 {
				<-done
			}
		}
		w.rotated(1, time.Hour)
		if turns(members) != 3 {
			t.Errorf("%d rotations of nodes", turns(members))
		}
		w.allOpen()
	})
}

// An attempt that has chosen a node and is held up for an hour, while another one found that node silent
// and turned to the next, tells nobody any more.
func TestAnAttemptThatIsHeldUpTellsNoSecondNode(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		members := w.create("A", 1) // whose first node is the primary
		for _, m := range members {
			m.takes = day
		}
		w.near()
		w.Refuse = storetest.ErrFault // no execution: this test makes the steps
		w.until(time.Hour, func() bool { return w.rotation().State == masterkey.UnderWay })
		advance := func() {
			_, err := w.task(fmt.Sprintf(`{"task":"advanceRotation","groupId":"%s","number":1,"attempt":1,"steps":1}`, w.group))
			w.must(err)
		}
		told := func() (ids []string) {
			for _, m := range members {
				if n := m.record(); n.Desired.Command == cluster.RotateCommand {
					ids = append(ids, n.ID)
				}
			}
			return ids
		}
		w.table.Before = func(ops []store.Op) {
			if !slices.ContainsFunc(ops, func(o store.Op) bool { return o.Item.Key == keys.Node(members[1].clusterID, members[1].id) }) {
				return
			}
			w.table.Before = nil
			members[1].isDown = true
			for range 6 { // until it counts as down
				w.step(5 * time.Minute)
			}
			for len(told()) == 0 {
				w.step(5 * time.Minute)
				advance()
			}
		}
		advance()
		if got := told(); w.table.Before != nil || !slices.Equal(got, []string{members[2].id}) {
			t.Errorf("told are %v of %s, %s, %s; held up: %t", got, members[0].id, members[1].id, members[2].id, w.table.Before == nil)
		}
	})
}
