package main

import (
	"bytes"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"go.mongodb.org/atlas-sdk/v20250312018/admin"

	"latchkey/agent"
	"latchkey/local/pocket/awscloud/awssdk"
	"latchkey/local/stack"
	"latchkey/shared/cluster"
	"latchkey/shared/node/protocol"
)

// failure is something that goes wrong, and what must be true meanwhile. What must be true after
// it, whatever it was, is in invariants: no data lost, no key in an unknown state, a true ledger.
type failure struct {
	name string
	// before is what happens before there is a cluster; nil for nothing.
	before func(e *estate)
	// inject makes things go wrong while cluster A runs, and checks what it may not change.
	inject func(e *estate)
}

func TestFailures(t *testing.T) {
	for _, f := range failures() {
		t.Run(f.name, func(t *testing.T) {
			inEstate(t, func(e *estate) {
				if f.before != nil {
					f.before(e)
				}
				e.create("A", "AWS")
				e.wrote("A", 60)
				if f.inject != nil {
					f.inject(e)
				}
			})
		})
	}
}

func failures() []failure {
	return slices.Concat(outages(), crashes(), disorders(), disks(), races(), snapshotFailures())
}

func outages() []failure {
	return []failure{{
		name: "KMS unreachable: what runs runs on, what restarts waits, and the cluster is REPAIRING",
		inject: func(e *estate) {
			e.kms("down")
			victim := e.secondary("A")
			e.crash(victim.ID)
			e.until("it waits for the KMS", func() bool { return e.state("A") == "REPAIRING" })
			time.Sleep(20 * time.Minute)
			if got := e.processes(); got != "NO_DATA REPLICA_PRIMARY REPLICA_SECONDARY" {
				e.t.Errorf("the processes are %s", got)
			}
			e.wrote("A", 20)
			if e.event("CLUSTER_INSTANCE_DISABLED") {
				e.t.Error("the cluster was disabled")
			}
			e.kms("")
			e.idle("A")
		},
	}, {
		name: "control plane away while nodes run: they run on",
		inject: func(e *estate) {
			e.net.Down(true)
			for range 6 {
				time.Sleep(10 * time.Minute)
				e.wrote("A", 10)
			}
		},
	}, {
		name:   "control plane away while nodes start",
		before: func(e *estate) { e.net.Down(true); e.ask("B", "AWS"); time.Sleep(5 * time.Minute); e.net.Down(false) },
	}, {
		name: "control plane and KMS away together, and the key gone when they are back",
		inject: func(e *estate) {
			e.net.Down(true)
			e.key.take()
			e.kms("timeout")
			time.Sleep(40 * time.Minute)
			e.wrote("A", 10) // nobody knows
			e.net.Down(false)
			e.kms("")
			e.untilIn(nextCheck, "the nodes stop", func() bool { return e.processes() == allStopped })
		},
	}, {
		name: "Latchkey may assume no role any more: everything runs on, and a tenant who withdraws its trust is obeyed later",
		inject: func(e *estate) {
			restore := e.forbid()
			e.validate() // with fresh credentials
			time.Sleep(2 * time.Hour)
			e.validate()
			if got := e.processes(); got != allRun || e.event("CLUSTER_INSTANCE_DISABLED") {
				e.t.Errorf("the processes are %s", got)
			}
			if !bytes.Contains(e.log.bytes(), []byte(`"Class":"INCONCLUSIVE"`)) { // which an alarm is on
				e.t.Error("nobody is paged")
			}
			e.wrote("A", 20)
			restore()
			give := e.distrust()
			time.Sleep(10 * time.Second)
			e.validate()
			e.untilIn(nextCheck, "the nodes stop", func() bool { return e.processes() == allStopped })
			give()
			e.idle("A")
		},
	}}
}

// forbid takes Latchkey's permission to assume roles, which restore gives back.
func (e *estate) forbid() (restore func()) {
	e.t.Helper()
	role, policy := aws.String("latchkey-encryption"), aws.String(stack.FunctionPolicy)
	roles := iam.NewFromConfig(awssdk.Config(e.clouds, stack.Region, e.suite.secrets.OperatorRoot))
	had, err := roles.GetRolePolicy(e.t.Context(), &iam.GetRolePolicyInput{RoleName: role, PolicyName: policy})
	e.must(err)
	text, err := url.PathUnescape(aws.ToString(had.PolicyDocument))
	e.must(err)
	_, err = roles.DeleteRolePolicy(e.t.Context(), &iam.DeleteRolePolicyInput{RoleName: role, PolicyName: policy})
	e.must(err)
	return func() {
		_, err := roles.PutRolePolicy(e.t.Context(), &iam.PutRolePolicyInput{RoleName: role, PolicyName: policy, PolicyDocument: &text})
		e.must(err)
	}
}

// distrust has the tenant's role trust nobody, until give.
func (r *running) distrust() (give func()) {
	r.t.Helper()
	roles, role := iam.NewFromConfig(r.tenant), aws.String("atlas-kms")
	had, err := roles.GetRole(r.t.Context(), &iam.GetRoleInput{RoleName: role})
	r.must(err)
	trusting, err := url.PathUnescape(aws.ToString(had.Role.AssumeRolePolicyDocument))
	r.must(err)
	trust := func(policy string) {
		_, err := roles.UpdateAssumeRolePolicy(r.t.Context(), &iam.UpdateAssumeRolePolicyInput{RoleName: role, PolicyDocument: &policy})
		r.must(err)
	}
	trust(strings.Replace(trusting, `"Allow"`, `"Deny"`, 1))
	return func() { trust(trusting) }
}

// secondary is a node that is not the primary.
func (e *estate) secondary(name string) cluster.Node {
	e.t.Helper()
	d := e.deployment(name)
	for _, n := range d.Nodes {
		if d.ProcessType(n) == "REPLICA_SECONDARY" {
			return n
		}
	}
	e.t.Fatal("there is no secondary")
	return cluster.Node{}
}

func crashes() []failure {
	return []failure{{
		name: "engines that crash again and again, any of them",
		inject: func(e *estate) {
			for i := range 12 {
				e.crash(e.deployment("A").Nodes[i%3].ID)
				e.wrote("A", 10) // the others are a majority
				e.until("it is up again", func() bool { return e.processes() == allRun && e.statuses(agent.Running) == 3 })
			}
		},
	}, {
		name: "a majority of the engines crashes at once",
		inject: func(e *estate) {
			for range 3 {
				for _, n := range e.deployment("A").Nodes[:2] {
					e.crash(n.ID)
				}
				e.write("A", 10)
				e.until("there is a primary", func() bool { return e.answers("A") })
				e.readable("A")
			}
		},
	}, {
		name:   "agents end while their cluster is made",
		before: func(e *estate) { e.ask("B", "AWS"); e.interrupted(12, func() { e.fleetDown(); e.fleetUp() }) },
	}, {
		name:   "everything ends while a cluster is made",
		before: func(e *estate) { e.ask("B", "AWS"); e.interrupted(6, e.reboot) },
	}, {
		name: "everything ends while nodes are rebuilt",
		inject: func(e *estate) {
			e.turn("NONE")
			e.interrupted(6, e.reboot)
			e.idle("A")
			e.turn("AWS")
			e.interrupted(6, e.reboot)
		},
	}, {
		name: "everything ends while nodes are stopped, and while they start",
		inject: func(e *estate) {
			e.key.take()
			e.validate()
			e.interrupted(4, e.reboot)
			e.untilIn(nextCheck, "the nodes stop", func() bool { return e.processes() == allStopped })
			e.key.give()
			e.validate()
			e.interrupted(4, e.reboot)
		},
	}}
}

// turn changes the provider of cluster A.
func (e *estate) turn(provider string) {
	e.t.Helper()
	e.update("A", &admin.ClusterDescription20240805{EncryptionAtRestProvider: &provider})
}

// interrupted lets work go on for a moment, a longer one each time, between interruptions.
func (e *estate) interrupted(times int, by func()) {
	for i := range times {
		time.Sleep(time.Duration(i*700) * time.Millisecond)
		by()
	}
}

func (e *estate) statuses(p agent.Phase) (n int) {
	for _, s := range e.fleet.Statuses() {
		if s.Phase == p {
			n++
		}
	}
	return n
}

func disorders() []failure {
	everyCommand := func(e *estate) {
		for _, provider := range []string{"NONE", "AWS"} {
			e.turn(provider)
			e.until(provider, func() bool { e.write("A", 1); return e.state("A") == "IDLE" })
		}
		e.key.take()
		e.validate()
		e.until("the nodes stop", func() bool { return e.processes() == allStopped })
		e.key.give()
		e.validate()
		e.until("the nodes run", func() bool { return e.processes() == allRun })
	}
	failures := []failure{{
		name: "every request arrives twice", before: func(e *estate) { e.net.Duplicate(true) }, inject: everyCommand,
	}, {
		name: "old commands arrive after new ones, in their order",
		inject: func(e *estate) {
			e.turn("NONE")
			e.idle("A")
			acked := e.deployment("A").Nodes[0].Reported.Acked
			e.net.Replay(100)
			time.Sleep(30 * time.Minute)
			if now := e.deployment("A").Nodes[0].Reported.Acked; now != acked || e.processes() != allRun {
				e.t.Errorf("a command of before was carried out: %d after %d", now, acked)
			}
			everyCommand(e)
		},
	}}
	for _, path := range []string{protocol.EnrolPath, protocol.WrapPath, protocol.ReleasePath, protocol.AckPath, protocol.HeartbeatPath} {
		failures = append(failures, failure{
			name:   "answers get lost: " + filepath.Base(path),
			before: func(e *estate) { e.net.LoseAnswers(path, 7) },
			inject: func(e *estate) { e.net.LoseAnswers(path, 7); everyCommand(e) },
		})
	}
	for _, skew := range []time.Duration{-7 * time.Minute, 7 * time.Minute, 26 * time.Hour} {
		failures = append(failures, failure{
			name:   fmt.Sprintf("the nodes' clocks are off by %v", skew),
			before: func(e *estate) { e.skew.Store(int64(skew)) },
			inject: everyCommand,
		})
	}
	return append(failures, failure{
		name:   "the nodes' clocks are set back",
		inject: func(e *estate) { e.skew.Store(int64(-2 * time.Hour)); everyCommand(e) },
	})
}

func disks() []failure {
	full := func(e *estate, files ...string) {
		isFull := func(_, file string) bool {
			return slices.ContainsFunc(files, func(f string) bool { return strings.HasPrefix(file, f) })
		}
		e.full.Store(&isFull)
	}
	return []failure{{
		name: "the disk is full when the first wrapped key is stored",
		before: func(e *estate) {
			full(e, "keys.json")
			e.ask("B", "AWS")
			time.Sleep(10 * time.Minute)
			if e.state("B") != "CREATING" || e.statuses(agent.Running) > 0 {
				e.t.Error("a node runs whose key is on no disk")
			}
			e.full.Store(nil)
			e.idle("B")
			e.wrote("B", 10)
		},
	}, {
		name: "the disk is full when a key is rotated",
		inject: func(e *estate) {
			full(e, "keys.json")
			n := e.secondary("A")
			e.second(e.service().SetDesired(e.t.Context(), n.ClusterID, n.ID, cluster.Order{Command: cluster.RotateCommand}))
			time.Sleep(10 * time.Minute)
			e.wrote("A", 10)
			if e.processes() != allRun {
				e.t.Errorf("the processes are %s", e.processes())
			}
			e.full.Store(nil)
			e.until("it is rotated", func() bool { return e.node("A", n.ID).Settled() })
		},
	}, {
		name: "the disk is full for everything while nodes are rebuilt",
		inject: func(e *estate) {
			e.turn("NONE")
			time.Sleep(3 * time.Second)
			full(e, "keys.json", "commands.json", "node.json", "identity.json")
			time.Sleep(10 * time.Minute)
			e.readable("A")
			e.full.Store(nil)
			e.idle("A")
			e.turn("AWS")
		},
	}}
}

func races() []failure {
	return []failure{{
		name: "validations at once",
		inject: func(e *estate) {
			for _, change := range []func(){e.key.take, e.key.give} {
				change()
				var both sync.WaitGroup
				for range 3 {
					both.Go(e.validate)
				}
				both.Wait()
				want := map[bool]string{true: allStopped, false: allRun}[e.write("A", 1) == 0 || e.deployment("A").Disabled != nil]
				e.until(want, func() bool { return e.processes() == allStopped || e.processes() == allRun })
				time.Sleep(10 * time.Minute)
			}
			disabled, enabled := 0, 0
			for _, event := range e.events() {
				switch event {
				case "CLUSTER_INSTANCE_DISABLED":
					disabled++
				case "CLUSTER_INSTANCE_ENABLED":
					enabled++
				}
			}
			if disabled != 1 || enabled != 1 {
				e.t.Errorf("disabled %d times and enabled %d times", disabled, enabled)
			}
		},
	}, {
		name: "the key is taken in the middle of an initial sync",
		inject: func(e *estate) {
			e.turn("NONE")
			e.idle("A")
			e.wrote("A", 200)
			for moment := range 4 {
				e.turn("AWS")
				time.Sleep(time.Duration(moment*1500) * time.Millisecond)
				e.key.take()
				e.validate()
				time.Sleep(5 * time.Minute)
				e.write("A", 5)
				e.key.give()
				e.validate()
				e.idle("A")
				e.readable("A")
				e.turn("NONE")
				e.idle("A")
			}
			e.turn("AWS")
		},
	}}
}
