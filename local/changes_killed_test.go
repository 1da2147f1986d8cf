package main

import (
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"go.mongodb.org/atlas-sdk/v20250312018/admin"

	"latchkey/agent"
	"latchkey/local/states/journal"
	"latchkey/local/states/statestest"
)

// mortal is the program with everything in it, which is killed at transitions of workflows: nothing of
// them is kept any more, until it is started again.
type mortal struct {
	*estate

	killer *statestest.Killer
	kills  int
}

// mortal has the program killed at every transition from now on.
func (e *estate) mortal() *mortal {
	e.t.Helper()
	m := &mortal{estate: e, killer: statestest.NewKiller(nil, 0, false)}
	e.cfg.journal = func(kept journal.Journal) journal.Journal {
		m.killer.Revive(kept, 1)
		return m.killer
	}
	e.reboot()
	return m
}

// until lets time go by until something is so, and starts the program again whenever it was killed.
func (m *mortal) until(what string, is func() bool) {
	m.t.Helper()
	m.untilIn(2*time.Hour, what, func() bool {
		if m.killer.Alive() != nil {
			m.kills++
			m.reboot()
		}
		return is()
	})
	m.cfg.journal = nil // what it is from now on
	m.reboot()
	m.t.Logf("%s, after it was killed %d times", what, m.kills)
	if m.kills < 3 { // of four at least; the last one may come when all is done, and be counted no more
		m.t.Error("that is no proof")
	}
}

// TestChangesSurviveKills has the whole program end at every transition of each workflow: what is started again
// takes one and ends with it, until the change is finished. That any single one may be the last is proved where the
// workflows are at home, in shared/changeover and shared/suite/networktasks.
func TestChangesSurviveKills(t *testing.T) {
	for name, c := range map[string]struct {
		bring func(e *estate) journey
		act   func(e *estate)
		is    func(e *estate) bool
	}{
		"switch-role": {
			bring: (*estate).byUser,
			act:   func(e *estate) { e.must(e.configure(admin.AWSKMSConfiguration{RoleId: &e.key.roleID})) },
			is:    func(e *estate) bool { return e.over("switch-role") },
		},
		"rotate-key": {
			bring: func(e *estate) journey { return e.bringAWS(e.client) },
			act: func(e *estate) {
				next := e.newKey(false)
				e.must(e.configure(admin.AWSKMSConfiguration{CustomerMasterKeyID: &next}))
			},
			is: func(e *estate) bool { return e.over("rotate-key") },
		},
		"reconfigure-region": {
			bring: (*estate).byReplicated,
			act: func(e *estate) {
				e.regionEnds()
				e.must(e.configure(admin.AWSKMSConfiguration{Region: aws.String("EU_WEST_1")}))
			},
			is: func(e *estate) bool { return e.over("reconfigure-region") },
		},
		"private-endpoint": {
			bring: func(e *estate) journey {
				j := e.bringAWS(e.client)
				j.update.AwsKms.RequirePrivateNetworking = new(true)
				return j
			},
			act: func(e *estate) { e.second(ways{e, "AWS", "US_EAST_1"}.create()) },
			is: func(e *estate) bool {
				all := ways{e, "AWS", "US_EAST_1"}.list()
				return len(all) == 1 && all[0].GetStatus() == "ACTIVE"
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			inEstateOf(t, c.bring, func(e *estate) {
				e.populate("A")
				m := e.mortal()
				e.until("the nodes are back", func() bool { return e.statuses(agent.Running) == 3 && e.answers("A") })
				c.act(e)
				m.until(name, func() bool {
					if e.statuses(agent.Running) > 0 { // before that nobody knows of the cluster
						e.write("A", 1)
					}
					return c.is(e)
				})
				if e.event("CLUSTER_INSTANCE_DISABLED") {
					t.Error("the cluster was disabled")
				}
				e.until("the nodes are back", func() bool { return e.statuses(agent.Running) == 3 && e.answers("A") })
				e.readable("A")
			})
		})
	}
}

// over reports whether a change is finished.
func (e *estate) over(kind string) bool {
	now := e.report().LastChange
	return now != nil && now.Kind == kind && slices.Contains([]string{"FINISHED", "RESTORED"}, now.State)
}
