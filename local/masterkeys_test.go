package main

import (
	"errors"
	"testing"
	"time"

	"go.mongodb.org/atlas-sdk/v20250312018/admin"

	"latchkey/agent"
	"latchkey/shared/cluster"
	"latchkey/shared/maintenance"
	"latchkey/shared/masterkey"
	"latchkey/shared/node/protocol"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

// planned is the maintenance that is planned, nil without.
func (e *estate) planned() *maintenance.Plan {
	e.t.Helper()
	w, _, err := store.Load[maintenance.Window](e.t.Context(), e.suite.table, keys.Maintenance(e.owner.GroupID))
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	e.must(err)
	return w.Plan
}

// skip lets time go by while every machine is off.
func (e *estate) skip(d time.Duration) {
	e.t.Helper()
	e.stop()
	time.Sleep(d)
	e.boot()
	e.until("all run", func() bool {
		return e.statuses(agent.Running) == len(e.fleet.Statuses()) && len(e.fleet.Statuses()) > 0
	})
}

// nearMaintenance lets months go by until a rotation of master keys begins in half an hour. Most of the
// time everything is off, since months of checks every minute would prove nothing more.
func (e *estate) nearMaintenance() maintenance.Plan {
	e.t.Helper()
	e.skip(61 * 24 * time.Hour)
	e.until("it is planned", func() bool { return e.planned() != nil })
	e.skip(time.Until(e.planned().Start.Add(-maintenance.Notice - 10*time.Minute)))
	e.until("it is announced", func() bool { return e.planned().Announced && e.event("MAINTENANCE_IN_ADVANCED") })
	e.skip(time.Until(e.planned().Start.Add(-30 * time.Minute)))
	time.Sleep(20 * time.Minute) // what was missed is made up for
	return *e.planned()
}

func (e *estate) rotation() masterkey.Rotation {
	e.t.Helper()
	r, err := masterkey.Load(e.t.Context(), e.suite.table, e.owner.GroupID)
	e.must(err)
	return r
}

// turning counts the nodes that were told to replace their keys and have not done it.
func (e *estate) turning(name string) int {
	count := 0
	for _, n := range e.deployment(name).Nodes {
		if n.Desired.Command == cluster.RotateCommand && !n.Acked() {
			count++
		}
	}
	return count
}

// hasten has the planned maintenance begin now.
func (e *estate) hasten() {
	e.t.Helper()
	day, asap := 4, true
	_, err := e.client.MaintenanceWindowsApi.UpdateMaintenanceWindow(e.t.Context(), e.owner.GroupID, &admin.GroupMaintenanceWindow{
		DayOfWeek: day, StartASAP: &asap,
	}).Execute()
	e.must(err)
}

// What may go wrong while master keys are rotated: it is finished all the same, and all the time the
// cluster takes writes.
func TestARotationOfMasterKeysIsFinishedWhateverHappens(t *testing.T) {
	for name, happens := range map[string]func(e *estate) (mend func()){
		"everything is started again": func(e *estate) func() {
			e.skip(time.Minute)
			return func() {}
		},
		"an agent's answers are lost": func(e *estate) func() {
			e.net.LoseAnswers(protocol.WrapPath, 3)
			e.net.LoseAnswers(protocol.AckPath, 3)
			return func() {}
		},
		"a machine is down for hours": func(e *estate) func() {
			n := e.secondary("A")
			e.cut.Store(n.ID, true)
			time.Sleep(90 * time.Minute)
			return func() { e.cut.Delete(n.ID) }
		},
		"the customer's KMS is down": func(e *estate) func() {
			e.kms("down")
			time.Sleep(time.Hour)
			return func() { e.kms("") }
		},
		"the customer's key is taken away": func(e *estate) func() {
			e.key.take()
			e.untilIn(nextCheck, "all nodes are stopped", func() bool { return e.processes() == allStopped })
			time.Sleep(time.Hour)
			if !e.event("MAINTENANCE_COMPLETED") {
				e.t.Error("the maintenance goes on without the cluster")
			}
			return e.key.give
		},
	} {
		t.Run(name, func(t *testing.T) {
			inEstate(t, func(e *estate) {
				e.create("A", "AWS")
				e.wrote("A", 50)
				e.skip(61 * 24 * time.Hour)
				e.until("it is planned", func() bool { return e.planned() != nil })
				old := e.masterKeys()
				e.hasten()
				e.until("it has begun", func() bool { return e.turning("A") == 1 })
				mend := happens(e)
				if name != "the customer's key is taken away" {
					e.until("it takes writes", func() bool { return e.answers("A") })
					e.wrote("A", 10)
				}
				mend()
				e.untilIn(3*time.Hour, "it is over", func() bool { return e.rotation().State == masterkey.Resting })
				for id, key := range e.masterKeys() {
					if key == old[id] {
						t.Errorf("node %s has its old key", id)
					}
				}
				e.wrote("A", 10)
				e.readable("A")
			})
		})
	}
}
