package snapshot_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/node/protocol"
	"latchkey/shared/snapshot"
	"latchkey/shared/verdict"
)

func TestAShardThatCannotBeRestoredKeepsTheOthersFromIt(t *testing.T) {
	for name, damage := range map[string]func(w *world, x snapshot.Snapshot) error{
		"its files are damaged": func(w *world, x snapshot.Snapshot) error {
			return os.Remove(filepath.Join(w.dir, x.Parts[1].ID, "files", "data"))
		},
		"its files are gone": func(w *world, x snapshot.Snapshot) error {
			return os.RemoveAll(filepath.Join(w.dir, x.Parts[1].ID))
		},
		"its key is taken meanwhile": func(w *world, _ snapshot.Snapshot) error {
			w.tenant.key(0).Break(verdict.KeyDisabled)
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				w.create(w.group, "c1", "AWS", 2)
				x := w.take(w.group, "c1")
				w.tenant.rotate()
				w.rewrap(w.group, "c1")
				w.put(w.group, "c1", 0, "first")
				w.put(w.group, "c1", 1, "second")
				j, err := w.restore(w.group, "c1", x.ID, w.group, "c1")
				if err == nil {
					err = damage(w, x)
				}
				if err != nil {
					t.Fatal(err)
				}
				if j = w.restored(j); j.State != snapshot.JobFailed || j.Failure == snapshot.PartlyRestored || j.Failure == "" {
					t.Errorf("job %+v", j)
				}
				w.settled(w.group, "c1")
				if w.has(w.group, "c1", 0, "first") != 3 || w.has(w.group, "c1", 1, "second") != 3 {
					t.Error("a shard has lost the data of before")
				}
				w.pass(5 * time.Minute)
				if got := w.copies(w.group, "c1"); !slices.Equal(got, []int{1}) {
					t.Errorf("the ledger has %v copies of a node's key: what was adopted in vain stays", got)
				}
				w.auditKeys()
			})
		})
	}
}

func TestACancelledRestoreWasPreparedInVain(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		d := w.create(w.group, "c1", "AWS", 1)
		x := w.take(w.group, "c1")
		w.put(w.group, "c1", 0, "b")
		w.fleet[d.Nodes[0].ID].end() // so the others wait
		j := w.restoring(x, w.group, "c1")
		w.pass(10 * time.Minute)
		if err := w.service.Cancel(t.Context(), w.caller, w.group, "c1", j.ID); err != nil {
			t.Errorf("Cancel of a restore that is prepared = %v", err)
		}
		w.fleet[d.Nodes[0].ID].start()
		w.pass(5 * time.Minute)
		w.settled(w.group, "c1")
		if got := w.copies(w.group, "c1"); w.has(w.group, "c1", 0, "b") != 3 || !slices.Equal(got, []int{1}) {
			t.Errorf("the data of before is gone, or %v copies of a key stay", got)
		}
		if w.take(w.group, "c1").Status != snapshot.Completed {
			t.Error("the cluster is held up")
		}
		w.auditKeys()
	})
}

// Once all nodes are ready, the customer's key of then is no longer needed.
func TestAKeyThatIsTakenWhenAllAreReadyStopsNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.create(w.group, "c1", "AWS", 2)
		w.put(w.group, "c1", 0, "first")
		w.put(w.group, "c1", 1, "second")
		x := w.take(w.group, "c1")
		w.tenant.rotate()
		w.rewrap(w.group, "c1")
		w.put(w.group, "c1", 1, "gone")
		j := w.restoring(x, w.group, "c1")
		w.begun(j)
		w.tenant.key(0).Break(verdict.KeyDisabled)
		w.finished(j)
		if w.has(w.group, "c1", 0, "first") != 3 || w.has(w.group, "c1", 1, "second") != 3 || w.has(w.group, "c1", 1, "gone") != 0 {
			t.Error("the shards are not the snapshot's")
		}
		w.auditKeys()
	})
}

func TestARevocationWhileNodesPrepareHasThemAskedAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		d := w.create(w.group, "c1", "AWS", 1)
		w.put(w.group, "c1", 0, "a")
		x := w.take(w.group, "c1")
		w.put(w.group, "c1", 0, "b")
		w.fleet[d.Nodes[0].ID].end()
		j := w.restoring(x, w.group, "c1")
		w.pass(5 * time.Minute)
		w.must(w.clusters.Disable(t.Context(), d.ID, atlas.AWS, verdict.KeyDisabled))
		w.fleet[d.Nodes[0].ID].start()
		w.pass(48 * time.Hour) // longer than nodes are waited for
		w.must(w.clusters.Enable(t.Context(), d.ID, atlas.AWS))
		w.finished(j)
		w.hasInstead(w.group, "c1", "a", "b")
		w.auditKeys()
	})
}

// What no preparation can foresee is told, not hidden: files that go bad between it and the restore.
func TestARestoreInPartIsSaidToBeOne(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.create(w.group, "c1", "AWS", 2)
		w.put(w.group, "c1", 0, "first")
		x := w.take(w.group, "c1")
		w.put(w.group, "c1", 1, "second")
		j := w.restoring(x, w.group, "c1")
		w.begun(j)
		if err := os.Remove(filepath.Join(w.dir, x.Parts[1].ID, "files", "data")); err != nil {
			t.Fatal(err)
		}
		j = w.restored(j)
		if j.State != snapshot.JobFailed || j.Failure != snapshot.PartlyRestored {
			t.Fatalf("job %+v", j)
		}
		for _, m := range j.Nodes {
			if damaged := m.PartID == x.Parts[1].ID; damaged != (m.Failure == protocol.ReasonSnapshotDamaged) {
				t.Errorf("member %+v", m)
			}
		}
		w.settled(w.group, "c1")
		if w.has(w.group, "c1", 0, "first") != 3 || w.has(w.group, "c1", 1, "second") != 3 {
			t.Error("a shard is not whole")
		}
		other := w.take(w.group, "c1") // the cluster can be worked with, and be restored again
		w.finished(w.restoring(other, w.group, "c1"))
		w.auditKeys()
	})
}
