package main

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/atlas-sdk/v20250312018/admin"
)

// "Rotate your CMK": the project names another key. Every node's master key is wrapped by it, one after
// the other, and nothing that runs notices.
func TestRotateKey(t *testing.T) {
	inEstate(t, func(e *estate) {
		former, next := *e.key.update.AwsKms.CustomerMasterKeyID, e.newKey(false)
		e.populate("A", "B", "C")
		snapshot := e.kept("A")
		before, starts, masters := e.stores("C"), e.allStarts(), e.masterKeys()

		e.must(e.configure(admin.AWSKMSConfiguration{CustomerMasterKeyID: &next}))
		var left []int
		took := e.meanwhile(time.Hour, "the key is rotated", func() bool {
			e.serves("C")
			now := e.report()
			if onDisk, inLedger := e.under(former); onDisk > inLedger {
				t.Errorf("%d nodes have copies that the ledger does not know", onDisk-inLedger)
			}
			left = append(left, now.LastChange.Left)
			return now.LastChange.Kind == "rotate-key" && now.LastChange.State == "FINISHED"
		})
		figures(t, "rotation of nine nodes", took)
		e.nodesLeftFell(left)

		e.unwritten("C", before)
		if diff := cmp.Diff(starts, e.allStarts()); diff != "" {
			t.Errorf("nodes were started again:\n%s", diff)
		}
		if diff := cmp.Diff(masters, e.masterKeys()); diff != "" {
			t.Errorf("master keys were replaced, which rewrites data:\n%s", diff)
		}
		if onDisk, inLedger := e.under(next); onDisk != 9 || inLedger != 9 {
			t.Errorf("%d keys on disks and %d in the ledger are wrapped by the new key", onDisk, inLedger)
		}
		e.rotated(former, next, snapshot)
		for _, event := range []string{"AWS_ENCRYPTION_KEY_ROTATED", "ENCRYPTION_AT_REST_CHANGE_FINISHED"} {
			if !e.event(event) {
				t.Errorf("no event %s in %v", event, e.events())
			}
		}

		e.second(kms.NewFromConfig(e.tenant).DisableKey(e.t.Context(), &kms.DisableKeyInput{KeyId: &former}))
		e.key.give = func() {} // it is needed no more
		e.restarted()
		time.Sleep(20 * time.Minute) // every check of the schedule has been made
		e.serves()
		if e.event("CLUSTER_INSTANCE_DISABLED") {
			t.Error("the former key stopped nodes")
		}
	})
}

// nodesLeftFell demands that what a tenant could read fell from nine to none, and never rose.
func (e *estate) nodesLeftFell(left []int) {
	e.t.Helper()
	began := slices.IndexFunc(left, func(n int) bool { return n > 0 })
	if began < 0 {
		e.t.Fatalf("the tenant saw nothing of it: %v", left)
	}
	seen := slices.Compact(slices.Clone(left[began:]))
	e.t.Logf("nodes left, as the tenant sees them: %v", seen)
	for i := 1; i < len(seen); i++ {
		if seen[i] > seen[i-1] {
			e.t.Errorf("it rose: %v", seen)
		}
	}
	if len(seen) < 4 || seen[0] < 8 || seen[len(seen)-1] != 0 {
		e.t.Errorf("the progress was %v", seen)
	}
}

// rotated demands that a tenant reads that its new key wraps all nodes' keys, and the former one nothing
// but a snapshot, until that expires.
func (e *estate) rotated(former, next, snapshot string) {
	e.t.Helper()
	got := e.report()
	if got.KeyInUse.Key != next || got.KeyInUse.Nodes != 9 || len(got.Former) != 1 {
		e.t.Fatalf("the report is %+v", got)
	}
	expires := e.snapshotOf("A", snapshot).GetExpiresAt()
	if f := got.Former[0]; f.Key != former || len(f.Nodes) > 0 || !slices.Equal(f.Snapshots, []string{snapshot}) || !f.Until.Equal(expires) {
		e.t.Errorf("the former key is %+v, and the snapshot expires at %s", f, expires)
	}
}

// The new key is named by its id. A node that was down while its key was rotated has it wrapped anew when it returns; meanwhile the former key
// is listed with it, and the others are done.
func TestRotateKey_aNodeThatWasDownIsDoneWhenItReturns(t *testing.T) {
	inEstate(t, func(e *estate) {
		former, next := *e.key.update.AwsKms.CustomerMasterKeyID, e.newKey(false)
		e.populate("A", "B", "C")
		victim := e.secondary("B")
		e.cut.Store(victim.ID, true)
		e.crash(victim.ID) // it can't start without the control plane
		id := next[strings.LastIndex(next, "/")+1:]
		e.must(e.configure(admin.AWSKMSConfiguration{CustomerMasterKeyID: &id}))
		figures(t, "the eight that are up", e.meanwhile(2*time.Hour, "the others are done", func() bool {
			e.serves()
			onDisk, _ := e.under(next)
			return onDisk == 8
		}))
		e.meanwhile(2*time.Hour, "one is waited for", func() bool { return e.report().LastChange.Left == 1 })
		if got := e.report(); got.LastChange.State != "UNDER_WAY" || len(got.Former) != 1 || !slices.Equal(got.Former[0].Nodes, []string{victim.ID}) {
			t.Errorf("meanwhile the report is %+v", got)
		}
		before := maps.Clone(e.masterKeys())
		e.cut.Delete(victim.ID)
		figures(t, "the one that returned", e.changed(time.Hour, "rotate-key", "FINISHED"))
		if onDisk, inLedger := e.under(next); onDisk != 9 || inLedger != 9 || before[victim.ID] != e.masterKeys()[victim.ID] {
			t.Errorf("%d keys on disks and %d in the ledger are wrapped by the new key", onDisk, inLedger)
		}
		if got := e.report(); len(got.Former) != 0 {
			t.Errorf("former keys: %+v", got.Former)
		}
		e.second(kms.NewFromConfig(e.tenant).DisableKey(e.t.Context(), &kms.DisableKeyInput{KeyId: &former}))
		e.key.give = func() {}
		e.restarted()
	})
}
