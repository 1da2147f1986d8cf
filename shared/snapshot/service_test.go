package snapshot_test

import (
	"slices"
	"testing"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/snapshot"
	"latchkey/shared/verdict"
)

func TestASnapshotComesBack(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.create(w.group, "c1", "AWS", 1)
		w.put(w.group, "c1", 0, "a")
		x := w.take(w.group, "c1")
		if x.Status != snapshot.Completed || x.Bytes() == 0 || x.MasterKeyUUID() != "0d3b1a52-0000-4000-8000-000000000000" {
			t.Fatalf("snapshot %+v", x)
		}
		w.put(w.group, "c1", 0, "b")
		w.finished(w.restoring(x, w.group, "c1"))
		w.hasInstead(w.group, "c1", "a", "b")
		keys := map[string]bool{}
		for _, n := range w.load(w.group, "c1").Nodes {
			keys[n.Reported.KeyID] = true
		}
		if len(keys) != 3 {
			t.Errorf("nodes share master keys: %v", keys)
		}
		if parts, copies := w.needs(w.group, 0); !slices.Equal(parts, []string{x.ID}) || copies != 3 {
			t.Errorf("the customer key is needed by %v and %d nodes", parts, copies)
		}
		w.auditKeys()
	})
}

func TestASnapshotIsRestoredToAnotherClusterOfAnotherGroup(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.create(w.group, "c1", "AWS", 1)
		w.create(w.other, "c2", "AWS", 1)
		w.put(w.group, "c1", 0, "a")
		x := w.take(w.group, "c1")
		w.put(w.other, "c2", 0, "gone")
		w.finished(w.restoring(x, w.other, "c2"))
		w.hasInstead(w.other, "c2", "a", "gone")
		w.auditKeys()
	})
}

func TestAfterARotationOfTheCustomerKeyTheOldOneIsStillNeeded(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.create(w.group, "c1", "AWS", 1)
		w.put(w.group, "c1", 0, "a")
		x := w.take(w.group, "c1")
		w.tenant.rotate()
		w.rewrap(w.group, "c1")
		if parts, copies := w.needs(w.group, 0); len(parts) != 1 || copies != 0 {
			t.Errorf("the old key is needed by %v and %d nodes", parts, copies)
		}
		// With the old key disabled the documents promise a refusal, and nothing is touched.
		w.tenant.key(0).Break(verdict.KeyDisabled)
		if _, err := w.restore(w.group, "c1", x.ID, w.group, "c1"); atlas.CodeOf(err) != atlas.InvalidSnapshotRestoreEncryption {
			t.Errorf("Restore = %v", err)
		}
		w.tenant.key(0).Break(verdict.ConnectFailed)
		if _, err := w.restore(w.group, "c1", x.ID, w.group, "c1"); atlas.CodeOf(err) != atlas.KMSUnreachable {
			t.Errorf("Restore = %v", err)
		}
		w.tenant.key(0).Break(verdict.OK)
		w.put(w.group, "c1", 0, "b")
		w.finished(w.restoring(x, w.group, "c1"))
		w.hasInstead(w.group, "c1", "a", "b")
		if _, copies := w.needs(w.group, 0); copies != 0 {
			t.Errorf("%d nodes ended under the old customer key", copies)
		}
		w.auditKeys()
	})
}

func TestAKeyThatIsDisabledAfterTheRequestFailsTheRestoreCleanly(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.create(w.group, "c1", "AWS", 1)
		w.put(w.group, "c1", 0, "a")
		x := w.take(w.group, "c1")
		w.tenant.rotate()
		w.rewrap(w.group, "c1")
		w.put(w.group, "c1", 0, "b")
		j := w.restoring(x, w.group, "c1")
		w.tenant.key(0).Break(verdict.KeyDisabled)
		if j = w.restored(j); j.State != snapshot.JobFailed || j.Failure != string(atlas.InvalidSnapshotRestoreEncryption) {
			t.Fatalf("job %+v", j)
		}
		w.settled(w.group, "c1")
		if w.has(w.group, "c1", 0, "b") != 3 {
			t.Error("the data of before is gone")
		}
		w.auditKeys()
	})
}

func TestARevocationInTheMiddleOfARestoreDelaysIt(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		d := w.create(w.group, "c1", "AWS", 1)
		w.put(w.group, "c1", 0, "a")
		x := w.take(w.group, "c1")
		w.put(w.group, "c1", 0, "b")
		j := w.restoring(x, w.group, "c1")
		time.Sleep(6 * time.Second) // some have heard of it
		w.tenant.key(0).Break(verdict.KeyDisabled)
		w.must(w.clusters.Disable(t.Context(), d.ID, atlas.AWS, "KEY_DISABLED"))
		w.pass(2 * time.Hour)
		for id, p := range w.fleet {
			if p.engine.Status().Phase == "RUNNING" {
				t.Errorf("node %s runs although its key is revoked", id)
			}
		}
		w.tenant.key(0).Break(verdict.OK)
		w.must(w.clusters.Enable(t.Context(), d.ID, atlas.AWS))
		w.finished(j)
		w.hasInstead(w.group, "c1", "a", "b")
		w.auditKeys()
	})
}

func TestARevocationInTheMiddleOfASnapshotFailsIt(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		d := w.create(w.group, "c1", "AWS", 1)
		w.put(w.group, "c1", 0, "a")
		x := w.request(w.group, "c1")
		w.must(w.clusters.Disable(t.Context(), d.ID, atlas.AWS, "KEY_DISABLED"))
		w.pass(10 * time.Minute)
		if x = w.snapshot(w.group, "c1", x.ID); x.Status != snapshot.Failed {
			t.Errorf("snapshot %+v", x)
		}
		if parts, _ := w.needs(w.group, 0); len(parts) != 0 {
			t.Errorf("a failed snapshot needs the key: %v", parts)
		}
		w.must(w.clusters.Enable(t.Context(), d.ID, atlas.AWS))
		w.settled(w.group, "c1")
		if w.has(w.group, "c1", 0, "a") != 3 || w.take(w.group, "c1").Status != snapshot.Completed {
			t.Error("the cluster is not as it was")
		}
	})
}

func TestAShardedClusterIsSnapshottedAndRestoredShardByShard(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.create(w.group, "c1", "AWS", 2)
		w.create(w.group, "c2", "AWS", 1)
		for shard, key := range []string{"first", "second"} {
			w.put(w.group, "c1", shard, key)
		}
		x := w.take(w.group, "c1")
		if len(x.Parts) != 2 || x.Parts[0].ID == x.Parts[1].ID || !x.Sharded {
			t.Fatalf("snapshot %+v", x)
		}
		if _, err := w.restore(w.group, "c1", x.ID, w.group, "c2"); atlas.CodeOf(err) != atlas.InvalidClusterConfiguration {
			t.Errorf("Restore to a replica set = %v", err)
		}
		w.put(w.group, "c1", 0, "gone")
		w.finished(w.restoring(x, w.group, "c1"))
		if w.has(w.group, "c1", 0, "first") != 3 || w.has(w.group, "c1", 1, "second") != 3 || w.has(w.group, "c1", 0, "gone")+w.has(w.group, "c1", 1, "first") != 0 {
			t.Error("the shards are not the snapshot's")
		}
		w.auditKeys()
	})
}

func TestEncryptionOfSnapshotAndTargetMustBeAlike(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.create(w.group, "locked", "AWS", 1)
		w.create(w.group, "open", "NONE", 1)
		w.put(w.group, "open", 0, "a")
		encrypted, plain := w.take(w.group, "locked"), w.take(w.group, "open")
		if plain.MasterKeyUUID() != "" || plain.Encrypted() {
			t.Errorf("snapshot %+v", plain)
		}
		for from, x := range map[string]snapshot.Snapshot{"locked": encrypted, "open": plain} {
			to := map[string]string{"locked": "open", "open": "locked"}[from]
			if _, err := w.restore(w.group, from, x.ID, w.group, to); atlas.CodeOf(err) != atlas.InvalidSnapshotRestoreEncryption {
				t.Errorf("Restore to %s = %v", to, err)
			}
		}
		w.put(w.group, "open", 0, "b")
		w.finished(w.restoring(plain, w.group, "open"))
		w.hasInstead(w.group, "open", "a", "b")
	})
}
