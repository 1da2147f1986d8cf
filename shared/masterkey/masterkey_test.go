package masterkey_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/shared/alert"
	"latchkey/shared/cluster"
	"latchkey/shared/identity/identitytest"
	"latchkey/shared/ledger"
	"latchkey/shared/masterkey"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
	"latchkey/shared/store/storetest"
	"latchkey/shared/suite"
	"latchkey/shared/verdict"
)

func TestMasterKeysRotateBeforeTheyAre90DaysOld(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.oneAtATime()
		members := w.create("A", 1)
		for _, m := range members {
			m.takes = 20 * time.Second
		}
		w.pass(160 * day)
		if turns(members) != 6 {
			t.Errorf("%d rotations of nodes in 160 days, want 6", turns(members))
		}
		if w.eldest > 75*day || w.eldest < 70*day {
			t.Errorf("a key was %s old", w.eldest)
		}
		w.allOpen()
		if diff := cmp.Diff([]string{"SUCCEEDED Rotated", "SUCCEEDED Rotated"}, w.ends()); diff != "" {
			t.Error(diff)
		}
		announced, started := w.events(alert.MaintenanceInAdvance), w.events(alert.MaintenanceStarted)
		for i := range started {
			if notice := started[i].Sub(announced[i]); notice < 71*time.Hour {
				t.Errorf("a notice of %s", notice)
			}
		}
		if len(started) != 2 || len(w.events(alert.MaintenanceCompleted)) != 2 || len(w.events(masterkey.RotationStarted)) != 2 {
			t.Errorf("maintenance started at %v, completed at %v", started, w.events(alert.MaintenanceCompleted))
		}
	})
}

// near lets time go by until the first rotation begins in half an hour.
func (w *world) near() {
	w.t.Helper()
	w.age(73 * day)
	w.until(2*time.Hour, func() bool { return w.plan() != nil && w.plan().Announced })
	w.age(time.Until(w.plan().Start.Add(-30 * time.Minute)))
}

// due lets time go by until the first rotation has begun.
func (w *world) due() {
	w.t.Helper()
	w.near()
	w.until(time.Hour, func() bool { return w.rotation().State == masterkey.UnderWay })
}

func TestOneMaintenanceRotatesTheKeysOfAllClusters(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.oneAtATime()
		older := w.create("A", 2)
		w.age(40 * day)
		younger := w.create("B", 1)
		for _, m := range w.members {
			m.takes = time.Minute
		}
		w.age(33 * day)
		w.rotated(1, 10*day)
		if turns(older) != 6 || turns(younger) != 3 {
			t.Errorf("%d and %d rotations of nodes", turns(older), turns(younger))
		}
		w.age(57 * day)
		w.pass(2 * day)
		if w.plan() != nil {
			t.Errorf("another one is planned for the younger cluster: %+v", w.plan())
		}
		w.allOpen()
	})
}

// A node that waits in line is not told before the one at work is done.
func TestNodesOfAShardTakeTurns(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.oneAtATime()
		members := w.create("A", 2)
		for _, m := range members {
			m.takes = 10 * time.Minute
		}
		w.due()
		most := 0
		watch := w.watch
		w.watch = func() {
			watch()
			now := 0
			for _, m := range members {
				if m.isTurning() {
					now++
				}
			}
			most = max(most, now)
		}
		r := w.rotation()
		w.rotated(1, 2*time.Hour)
		if most != 2 {
			t.Errorf("at most %d nodes were at it at once, want one of each shard", most)
		}
		if took := w.rotation().Ended.Sub(r.At); took > 45*time.Minute {
			t.Errorf("it took %s", took)
		}
	})
}

func TestANodeThatIsDownHoldsNobodyUpAndDoesItWhenItReturns(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.oneAtATime()
		members := w.create("A", 2)
		w.near()
		members[1].isDown = true
		w.rotated(1, 12*time.Hour)
		if turns(members) != 5 || fmt.Sprint(w.ends()) != "[SUCCEEDED Rotated but for some]" {
			t.Errorf("%d rotations of nodes; executions %v", turns(members), w.ends())
		}
		began := w.events(masterkey.RotationStarted)[0]
		if took := w.events(masterkey.RotationCompleted)[0].Sub(began); took < time.Hour || took > 90*time.Minute {
			t.Errorf("its shard was given %s to be whole again", took)
		}
		r := w.report()
		if r.Rotation.State != masterkey.CatchingUp || r.Rotation.Left != 1 || fmt.Sprint(r.Rotation.Away) != "["+members[1].id+"]" || w.plan() != nil {
			t.Errorf("the report is %+v, the plan %+v", r, w.plan())
		}
		w.pass(10 * day)
		members[1].isDown = false
		w.until(30*time.Minute, func() bool { return members[1].turns == 1 })
		w.until(30*time.Minute, func() bool { return w.rotation().State == masterkey.Resting })
		w.pass(20 * day)
		if got := len(w.events(alert.MaintenanceStarted)); got != 1 || turns(members) != 6 {
			t.Errorf("%d maintenances, %d rotations of nodes", got, turns(members))
		}
		w.allOpen()
	})
}

func TestAMajorityIsWaitedForFirst(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		members := w.create("A", 1)
		w.near()
		members[0].isDown = true
		w.until(3*time.Hour, func() bool { return w.rotation().IsOpen })
		w.until(time.Hour, func() bool { return time.Since(w.rotation().Began) > 50*time.Minute })
		if turns(members) != 0 {
			t.Error("a shard of which one node is down was not given time")
		}
		members[0].isDown = false
		w.rotated(1, 10*time.Minute)
		if turns(members) != 3 || fmt.Sprint(w.ends()) != "[SUCCEEDED Rotated]" {
			t.Errorf("%d rotations of nodes; executions %v", turns(members), w.ends())
		}
	})
}

func TestClustersThatAreStoppedFollowWhenTheyRun(t *testing.T) {
	t.Parallel()
	for name, edit := range map[string]func(*cluster.Cluster){
		"disabled": func(c *cluster.Cluster) {
			c.Disabled = &cluster.Disabled{Provider: "AWS", Reason: "KEY_DISABLED", Since: time.Now()}
		},
		"paused": func(c *cluster.Cluster) { c.Applied.Paused, c.Spec.Paused = true, true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, func(w *world) {
				w.oneAtATime()
				stopped, running := w.create("A", 1), w.create("B", 1)
				w.age(70 * day)
				w.change(stopped[0].clusterID, edit, cluster.Stop)
				w.rotated(1, 10*day)
				if turns(stopped) != 0 || turns(running) != 3 || len(w.rotation().Away) != 3 {
					t.Errorf("%d and %d rotations of nodes: %+v", turns(stopped), turns(running), w.rotation())
				}
				w.pass(10 * day)
				for _, k := range w.report().Keys {
					if isStopped := k.ClusterName == "A"; isStopped != (k.Standing == masterkey.Absent) {
						t.Errorf("the report has %+v", k)
					}
				}
				w.change(stopped[0].clusterID, func(c *cluster.Cluster) { c.Disabled, c.Applied.Paused, c.Spec.Paused = nil, false, false }, cluster.Run)
				w.until(time.Hour, func() bool { return turns(stopped) == 3 })
				if len(w.events(alert.MaintenanceStarted)) != 1 {
					t.Error("there was another maintenance for it")
				}
				w.until(time.Hour, func() bool { return w.rotation().State == masterkey.Resting })
				w.allOpen()
			})
		})
	}
}

// Without the customer's key no new master key could be wrapped. Nobody is told then.
func TestAKeyOutOfReachIsWaitedFor(t *testing.T) {
	t.Parallel()
	for name, outage := range map[string]time.Duration{"for hours": 5 * time.Hour, "for days": 3 * day} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, func(w *world) {
				w.oneAtATime()
				members := w.create("A", 1)
				w.judge(verdict.NetworkRefused)
				w.key.Break(verdict.NetworkRefused)
				w.due()
				w.pass(outage)
				if over := len(w.events(alert.MaintenanceCompleted)) > 0; over != (outage > day) || turns(members) != 0 {
					t.Errorf("maintenance is over: %t, after %d rotations of nodes", over, turns(members))
				}
				for _, m := range members {
					if m.record().Desired.Command == cluster.RotateCommand {
						t.Error("a node was told")
					}
				}
				w.key.Break(verdict.OK)
				w.judge(verdict.OK)
				w.until(time.Hour, func() bool { return turns(members) == 3 })
				w.until(time.Hour, func() bool { return w.rotation().State == masterkey.Resting })
				w.allOpen()
			})
		})
	}
}

// What a node was told meanwhile, and what is done with its cluster, comes first.
func TestOtherWorkOnAClusterComesFirst(t *testing.T) {
	t.Parallel()
	for name, work := range map[string]func(w *world, clusterID string) (end func()){
		"a plan": func(w *world, id string) func() {
			w.change(id, func(c *cluster.Cluster) { c.Plan = &cluster.Plan{ClusterID: id, Kind: cluster.Update, Spec: c.Spec} }, cluster.Run)
			return func() { w.change(id, func(c *cluster.Cluster) { c.Plan = nil }, cluster.Run) }
		},
		"a restore": func(w *world, id string) func() {
			w.put(keys.Restoring(id), map[string]string{"clusterId": id})
			return func() {
				item, err := w.db.Get(w.t.Context(), keys.Restoring(id))
				w.must(err)
				w.must(w.db.Write(w.t.Context(), store.Delete(item.Key, item.Version)))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, func(w *world) {
				members := w.create("A", 1)
				others := w.create("B", 1)
				end := work(w, members[0].clusterID)
				w.due()
				w.pass(5 * time.Hour)
				if turns(members) != 0 || turns(others) != 3 || w.rotation().Left != 3 {
					t.Errorf("%d and %d rotations of nodes: %+v", turns(members), turns(others), w.rotation())
				}
				end()
				w.rotated(1, 30*time.Minute)
				if turns(members) != 3 {
					t.Errorf("%d rotations of nodes", turns(members))
				}
			})
		})
	}
}

func TestANodeThatTakesASnapshotIsWaitedFor(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		members := w.create("A", 1)
		w.near()
		n := members[2].record()
		op, err := n.Told(cluster.Order{ID: "s", Command: cluster.SnapshotCommand, State: cluster.Run, Provider: "AWS"}).Put()
		w.must(err)
		w.must(w.db.Write(w.t.Context(), op))
		members[2].busy = true
		w.until(2*time.Hour, func() bool { return w.rotation().IsOpen })
		w.pass(30 * time.Minute)
		if turns(members) != 0 {
			t.Error("the shard went on")
		}
		members[2].busy = false
		w.rotated(1, 10*time.Minute)
		w.allOpen()
	})
}

func TestClustersComeAndGoDuringARotation(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		gone, stays := w.create("A", 1), w.create("B", 1)
		for _, m := range w.members {
			m.takes = 10 * time.Minute
		}
		w.due()
		w.pass(15 * time.Minute)
		w.remove(gone[0].clusterID)
		fresh := w.create("C", 1)
		w.rotated(1, 2*time.Hour)
		if turns(stays) != 3 || turns(fresh) != 0 {
			t.Errorf("%d and %d rotations of nodes", turns(stays), turns(fresh))
		}
		w.allOpen()
	})
}

func TestAMaintenanceThatNoKeyCallsForIsDropped(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		gone := w.create("A", 1)
		w.age(50 * day)
		w.create("B", 1)
		w.age(8 * day)
		w.until(4*day, func() bool { return w.plan() != nil })
		w.remove(gone[0].clusterID)
		w.until(2*day, func() bool { return w.plan() == nil })
		if len(w.events(alert.MaintenanceNoLongerNeeded)) != 1 {
			t.Error("the tenant is not told")
		}
		w.rotated(1, 70*day)
		if w.eldest > 75*day {
			t.Errorf("a key was %s old", w.eldest)
		}
	})
}

// A database that can't replace its key is told of, and not tried again until the next rotation.
func TestADatabaseThatCannotRotateIsListed(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		members := w.create("A", 1)
		members[0].cannot = true
		w.due()
		w.rotated(1, time.Hour)
		r := w.report()
		if r.Rotation.State != masterkey.Resting || fmt.Sprint(r.Rotation.Failed) != "["+members[0].id+"]" || turns(members) != 2 {
			t.Errorf("the report is %+v", r)
		}
		number := members[0].record().Desired.Number
		w.pass(20 * day)
		if got := members[0].record().Desired.Number; got != number {
			t.Errorf("it was told %d times more", got-number)
		}
		i := slices.IndexFunc(w.report().Keys, func(k masterkey.Key) bool { return k.NodeID == members[0].id })
		if k := w.report().Keys[i]; k.Standing != masterkey.Refused || !k.IsOverdue(time.Now()) {
			t.Errorf("its key is %+v", k)
		}
		for _, m := range members { // what could not be done is tried again, though nothing else calls for it
			m.cannot = true
		}
		w.rotated(2, 60*day)
		w.age(55 * day)
		for _, m := range members {
			m.cannot = false // a new release of it
		}
		w.rotated(3, 30*day)
		if turns(members) != 5 {
			t.Errorf("%d rotations of nodes", turns(members))
		}
		w.allOpen()
	})
}

// Wrapping a master key by another customer key makes it no younger.
func TestAKeyThatIsWrappedAnewIsNoYounger(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		members := w.create("A", 1)
		w.age(50 * day)
		for _, m := range members {
			m.rewrap()
			entries, err := ledger.OfNode(w.t.Context(), w.db, m.clusterID, m.id)
			w.must(err)
			for _, e := range entries {
				if e.CMK.Name == "cmk-1" {
					w.must(w.db.Write(w.t.Context(), e.Delete()))
				}
			}
		}
		w.age(23 * day)
		w.rotated(1, 10*day)
		if w.eldest > 80*day || turns(members) != 3 {
			t.Errorf("a key was %s old; %d rotations of nodes", w.eldest, turns(members))
		}
		w.allOpen()
	})
}

func TestAGroupThatIsClosedIsForgotten(t *testing.T) {
	t.Parallel()
	for name, when := range map[string]func(w *world){
		"while it rests":      func(w *world) { w.age(50 * day) },
		"during its rotation": func(w *world) { w.due() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, func(w *world) {
				w.Refuse = storetest.ErrFault
				members := w.create("A", 1)
				when(w)
				w.remove(members[0].clusterID)
				w.Refuse = nil
				w.must(suite.Projects(w.db, w.journal, identitytest.Identities{}, time.Now).Close(w.t.Context(), w.owner, w.group))
				w.age(20 * day)
				if r := w.rotation(); !r.At.IsZero() || r.State != masterkey.Resting {
					t.Errorf("the record is %+v", r)
				}
				if out, err := w.task(`{"task":"attendMasterKeys"}`); err != nil {
					t.Errorf("attending answers %s, %v", out, err)
				}
			})
		})
	}
}

// The record comes with the first key, in its transaction.
func TestAGroupIsWatchedFromItsFirstKeyOn(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		if r := w.rotation(); !r.At.IsZero() || len(w.report().Keys) > 0 {
			t.Errorf("a group without keys has the record %+v", r)
		}
		w.create("A", 1)
		if r := w.rotation(); time.Until(r.At) < 59*day || time.Until(r.At) > 60*day {
			t.Errorf("the record is %+v", r)
		}
		entries, err := ledger.OfCluster(w.t.Context(), w.db, w.members[0].clusterID)
		if err != nil || len(entries) != 3 || len(w.report().Keys) != 3 {
			t.Errorf("%d entries and %+v, %v", len(entries), w.report(), err)
		}
	})
}
