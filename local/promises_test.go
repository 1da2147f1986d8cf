package main

import (
	"bytes"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"go.mongodb.org/atlas-sdk/v20250312018/admin"

	"latchkey/agent"
	"latchkey/shared/masterkey"
)

// The tests here are the rows of CONTRACT 3.7, "Runtime behaviour promised by the documents", in its
// order and by its words. Each ends with invariants.

// nextCheck is how long a tenant's act may go unnoticed: the checks' period, a check that confirms
// the first, and what a node takes to hear of it.
const nextCheck = 15*time.Minute + 3*time.Minute

// "Creds invalid, or key deleted/disabled → mongod/mongos are shut down at the next validity check,
// cluster shown disabled; updates to disabled clusters are accepted and processed later; access
// restored → cluster starts again." The e-mail to Project Owners comes with e-mail.
func TestPromise1_aKeyThatIsTakenAwayStopsNodesAtTheNextCheck(t *testing.T) {
	for name, takeAway := range map[string]func(e *estate) (giveBack func()){
		"key disabled": func(e *estate) func() {
			e.key.take()
			return e.key.give
		},
		"key deleted": func(e *estate) func() {
			keys, id := kms.NewFromConfig(e.tenant), e.key.update.AwsKms.CustomerMasterKeyID
			e.second(keys.ScheduleKeyDeletion(e.t.Context(), &kms.ScheduleKeyDeletionInput{KeyId: id}))
			return func() {
				e.second(keys.CancelKeyDeletion(e.t.Context(), &kms.CancelKeyDeletionInput{KeyId: id}))
				e.key.give()
			}
		},
		"credentials invalid": func(e *estate) func() {
			roles, ctx := iam.NewFromConfig(e.tenant), e.t.Context()
			name, policy := aws.String("atlas-kms"), aws.String("key")
			kept, err := roles.GetRolePolicy(ctx, &iam.GetRolePolicyInput{RoleName: name, PolicyName: policy})
			e.must(err)
			e.second(roles.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: name, PolicyName: policy}))
			return func() {
				document, err := url.QueryUnescape(*kept.PolicyDocument)
				e.must(err)
				e.second(roles.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: name, PolicyName: policy, PolicyDocument: &document}))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			inEstate(t, func(e *estate) {
				e.create("A", "AWS")
				e.wrote("A", 100)
				giveBack := takeAway(e)
				e.untilIn(nextCheck, "all nodes are stopped", func() bool { return e.processes() == allStopped })
				if !e.event("CLUSTER_INSTANCE_DISABLED") || e.write("A", 1) != 0 {
					t.Error("it is not shown disabled, or takes writes")
				}

				e.update("A", &admin.ClusterDescription20240805{ReplicationSpecs: size("M20")})
				time.Sleep(time.Hour)
				if e.processes() != allStopped || e.event("CLUSTER_UPDATE_COMPLETED") {
					t.Error("the update did not wait")
				}

				giveBack()
				e.untilIn(nextCheck, "all nodes run", func() bool { return e.processes() == allRun })
				e.readable("A")
				e.until("the update is processed", func() bool {
					return e.state("A") == "IDLE" && e.event("CLUSTER_UPDATE_COMPLETED") && e.event("CLUSTER_INSTANCE_ENABLED")
				})
			})
		})
	}
}

// "KMS merely unreachable (network/IP allow list) → no shutdown; alert 'KMS network access denied'." So it is with throttling.
func TestPromise2_anUnreachableKMSStopsNothing(t *testing.T) {
	for _, fault := range []string{"down", "timeout", "error", "throttle"} {
		t.Run(fault, func(t *testing.T) {
			inEstate(t, func(e *estate) {
				e.create("A", "AWS")
				e.kms(fault)
				denied := func() bool { return e.event("ENCRYPTION_AT_REST_KMS_NETWORK_ACCESS_DENIED") }
				for quarter := range 5 {
					time.Sleep(15 * time.Minute)
					if got := e.processes(); got != allRun {
						t.Fatalf("the processes are %s", got)
					}
					e.wrote("A", 5)
					if quarter == 0 && fault == "throttle" && denied() { // it may be a burst
						t.Errorf("events: %v", e.events())
					}
				}
				if !denied() {
					t.Errorf("events: %v", e.events())
				}
				if e.event("CLUSTER_INSTANCE_DISABLED") {
					t.Error("the cluster was disabled")
				}
			})
		})
	}
}

// "Provisioning blocked by IP restrictions keeps retrying up to 3 days, then rolls back." An outage is no other case.
func TestPromise3_provisioningThatIsBlockedIsRetriedForThreeDays(t *testing.T) {
	const day = 24 * time.Hour
	for name, c := range map[string]struct {
		blocked time.Duration
		state   string
	}{
		"for less":   {day, "IDLE"},
		"for longer": {4 * day, "GONE"},
	} {
		t.Run(name, func(t *testing.T) {
			inEstate(t, func(e *estate) {
				e.kms("down")
				e.ask("A", "AWS")
				time.Sleep(10 * time.Minute)
				// Agents go on asking, every few seconds; what is tested goes on without them.
				e.fleetDown()
				began := time.Now()
				for time.Since(began) < c.blocked && e.state("A") == "CREATING" {
					time.Sleep(10 * time.Minute)
				}
				if lasted := time.Since(began); c.state == "GONE" && (lasted < 3*day-time.Hour || lasted > 3*day+time.Hour) {
					t.Errorf("it was given up after %v", lasted)
				}
				e.kms("")
				e.fleetUp()
				e.until("it is "+c.state, func() bool { return e.state("A") == c.state })
			})
		})
	}
}

// "MongoDB master keys (the per-node database keys) rotate at least every 90 days, in the maintenance window (not the customer
// key)." Nodes do it one after the other, without rewriting data and without stopping.
func TestPromise4_masterKeysRotateWithoutRewritingData(t *testing.T) {
	inEstate(t, func(e *estate) {
		day, hour := 4, 3 // Wednesdays
		_, err := e.client.MaintenanceWindowsApi.UpdateMaintenanceWindow(e.t.Context(), e.owner.GroupID, &admin.GroupMaintenanceWindow{
			DayOfWeek: day, HourOfDay: &hour,
		}).Execute()
		e.must(err)
		e.create("A", "AWS")
		e.wrote("A", 100)
		made := time.Now()
		plan := e.nearMaintenance()
		if at := plan.Start; at.Weekday() != time.Wednesday || at.Hour() != hour || at.After(made.Add(masterkey.MaxAge)) {
			t.Errorf("it is planned for %s", at)
		}
		old, before, started := e.masterKeys(), e.stores("A"), e.startTimes("A")
		e.untilIn(2*time.Hour, "the maintenance is over", func() bool {
			if e.processes() != allRun || !e.answers("A") || e.state("A") != "IDLE" {
				t.Errorf("the processes are %s, the cluster is %s", e.processes(), e.state("A"))
			}
			if turning := e.turning("A"); turning > 1 {
				t.Errorf("%d nodes are at it at once", turning)
			}
			return e.event("MAINTENANCE_COMPLETED")
		})
		for path, content := range e.stores("A") {
			if !bytes.Equal(content, before[path]) {
				t.Errorf("%s was rewritten", path)
			}
		}
		for id, key := range e.masterKeys() {
			if key == old[id] || !e.startTimes("A")[id].Equal(started[id]) {
				t.Errorf("node %s has its old key, or was started again", id)
			}
		}
		if time.Now().After(made.Add(masterkey.MaxAge)) || !e.event("MAINTENANCE_STARTED") || !e.event("MASTER_KEY_ROTATION_COMPLETED") {
			t.Errorf("after %s: %v", time.Since(made), e.events())
		}
		e.readable("A")
		e.reboot()
		e.until("all run under their new keys", func() bool { return e.processes() == allRun && e.answers("A") })
	})
}

// stores are the files of the nodes' databases that hold data.
func (e *estate) stores(name string) map[string][]byte {
	e.t.Helper()
	files := map[string][]byte{}
	paths, err := filepath.Glob(filepath.Join(e.cfg.data, "fleet", e.deployment(name).ID, "*", "data", "stores", "*", "*"))
	e.must(err)
	for _, path := range paths {
		if files[path], err = os.ReadFile(path); err != nil {
			e.t.Fatal(err)
		}
	}
	if len(files) == 0 {
		e.t.Fatal("there are no files")
	}
	return files
}

// "Enabling/disabling EaR on a cluster performs an initial sync per node": one after the other, so
// that the cluster goes on answering.
func TestPromise5_encryptionIsTurnedOnAndOffNodeByNode(t *testing.T) {
	inEstate(t, func(e *estate) {
		e.create("A", "NONE")
		e.wrote("A", 100)
		if !e.inTheClear("A") {
			t.Error("this test would not notice an encrypted cluster")
		}
		for _, provider := range []string{"AWS", "NONE", "AWS"} {
			started := e.startTimes("A")
			e.update("A", &admin.ClusterDescription20240805{EncryptionAtRestProvider: &provider})
			e.until(provider, func() bool {
				down := 0
				for _, s := range e.fleet.Statuses() {
					if s.Phase != agent.Running {
						down++
					}
				}
				if down > 1 {
					t.Errorf("%d nodes are down at once", down)
				}
				e.wrote("A", 1)
				return e.state("A") == "IDLE"
			})
			for id, at := range e.startTimes("A") {
				if !at.After(started[id]) {
					t.Errorf("node %s did not begin anew", id)
				}
			}
			if e.inTheClear("A") != (provider == "NONE") {
				t.Errorf("provider %s, and data in the clear: %t", provider, e.inTheClear("A"))
			}
			e.readable("A")
		}
	})
}

func (e *estate) startTimes(name string) map[string]time.Time {
	times := map[string]time.Time{}
	for _, n := range e.deployment(name).Nodes {
		times[n.ID] = e.fleet.Statuses()[n.ID].StartedAt
	}
	return times
}

// inTheClear reports whether any file of a cluster shows its data.
func (e *estate) inTheClear(name string) bool {
	for _, content := range e.stores(name) {
		if bytes.Contains(content, []byte(canary)) {
			return true
		}
	}
	return false
}
