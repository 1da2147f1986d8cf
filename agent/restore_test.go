package agent_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"latchkey/agent"
	"latchkey/agent/snapshotdir"
	"latchkey/shared/atlas"
	"latchkey/shared/node/protocol"
	"latchkey/shared/verdict"
)

// restore tells the node to restore snapshot 1, as the n-th restore.
func (w *world) restore(n int) int64 {
	return w.server.Restore(w.nodeID, snapshotID(1), restoreID(n), "AWS")
}

func TestARestoreBringsBackTheDataUnderAKeyOfItsOwn(t *testing.T) {
	withStore(t, func(t *testing.T, w *world) {
		w.running()
		w.put("a")
		ack := w.taken(1)
		if keyID, wrapped, ok := w.server.Kept(snapshotID(1)); !ok || keyID != ack.KeyID || wrapped.CMK != "cmk-0" {
			t.Errorf("the ledger keeps %s under %s", keyID, wrapped.CMK)
		}
		w.put("b")
		w.acked(w.command(protocol.KindRotate)) // the snapshot's key is the node's no more
		w.server.SwitchCMK()
		ack = w.acked(w.restore(1))
		if ack.Outcome != protocol.Done || ack.Wrapped.CMK != "cmk-1" {
			t.Errorf("acknowledged %+v", ack)
		}
		old, _, _ := w.server.Kept(snapshotID(1))
		if w.reported(protocol.StateRunning); !w.has("a") || w.has("b") || ack.KeyID == old || len(w.kept()) != 1 {
			t.Errorf("the data is not the snapshot's, or under its key: %+v", ack)
		}
		w.restart()
		w.until("running", func() bool { return w.engine.Status().Phase == agent.Running })
		if !w.has("a") {
			t.Error("the data is gone")
		}
	})
}

func TestADatabaseThatTakesAWhileToStartHasNotFailed(t *testing.T) {
	withStore(t, func(t *testing.T, w *world) {
		w.running()
		w.put("a")
		w.taken(1)
		w.engine.takes(20 * time.Second)
		ack := w.acked(w.restore(1))
		if ack.Outcome != protocol.Done || !w.has("a") {
			t.Errorf("acknowledged %+v", ack)
		}
		for _, r := range w.server.Reports(w.nodeID) {
			if r.Reason != "" {
				t.Errorf("reported %s because of %s", r.State, r.Reason)
			}
		}
		if log := w.log.String(); strings.Contains(log, "not as it should be") {
			t.Errorf("the log has:\n%s", log)
		}
	})
}

func TestANodeIsRestoredOncePerRestore(t *testing.T) {
	withStore(t, func(t *testing.T, w *world) {
		w.running()
		w.taken(1)
		w.acked(w.restore(1))
		w.put("after")
		w.acked(w.restore(1))
		if !w.has("after") {
			t.Error("what was written after the restore is gone")
		}
		w.acked(w.restore(2))
		if w.has("after") {
			t.Error("a second restore did nothing")
		}
	})
}

func TestAnotherNodeRestoresTheSameSnapshot(t *testing.T) {
	withStore(t, func(t *testing.T, w *world) {
		w.running()
		w.put("a")
		w.taken(1)
		other := newWorld(t)
		other.server, other.net, other.store = w.server, w.net, w.store
		other.nodeID, other.token = w.server.AddNode()
		other.start()
		other.acked(other.command(protocol.KindStart))
		other.put("gone")
		if ack := other.acked(w.server.Restore(other.nodeID, snapshotID(1), restoreID(1), "AWS")); ack.Outcome != protocol.Done {
			t.Fatalf("acknowledged %+v", ack)
		}
		if !other.has("a") || other.has("gone") || len(other.wrong) > 0 {
			t.Errorf("the data is not the snapshot's: %v", other.wrong)
		}
		if err := other.end(); err != nil {
			t.Error(err)
		}
	})
}

func TestARestoreThatIsRefusedLeavesTheDataAlone(t *testing.T) {
	withStore(t, func(t *testing.T, w *world) {
		w.running()
		for n := range 5 {
			w.taken(n)
		}
		w.put("a")
		table := filepath.Join(w.store, snapshotID(1), "files", "keytable.json")
		if err := os.Truncate(table, 10); err != nil {
			t.Fatal(err)
		}
		n := 0
		refused := func(provider string, snapshot int, reason string) {
			t.Helper()
			n++
			ack := w.acked(w.server.Restore(w.nodeID, snapshotID(snapshot), restoreID(n), provider))
			if ack.Outcome != protocol.Failed || ack.Reason != reason {
				t.Errorf("%s: acknowledged %+v", reason, ack)
			}
			w.reported(protocol.StateRunning)
			if !w.has("a") || w.engine.count("stop") != 0 || len(w.kept()) != 1 {
				t.Errorf("%s: the node was touched", reason)
			}
		}
		refused("AWS", 1, protocol.ReasonSnapshotDamaged)
		refused("AWS", 99, protocol.ReasonNoSnapshot)
		refused(protocol.NoProvider, 2, protocol.ReasonSnapshotMismatch)
		old := w.server.CMK()
		w.server.SwitchCMK()
		w.acked(w.command(protocol.KindRewrap))
		old.Break(verdict.KeyDisabled)
		refused("AWS", 2, protocol.ReasonSnapshotMismatch)
		old.Break(verdict.OK)
		w.engine.breaks(map[string]error{"restore": agent.ErrUnsupported})
		w.acked(w.server.Restore(w.nodeID, snapshotID(2), restoreID(50), "AWS"))
		w.reported(protocol.StateRunning)
		if !w.has("a") {
			t.Error("an engine that cannot be restored lost its data")
		}
	})
}

func TestPreparingForARestoreChangesNothing(t *testing.T) {
	withStore(t, func(t *testing.T, w *world) {
		w.running()
		w.taken(1)
		w.put("a")
		before := w.kept()
		for range 2 {
			if ack := w.acked(w.server.Prepare(w.nodeID, snapshotID(1), restoreID(1), "AWS")); ack.Outcome != protocol.Done {
				t.Errorf("acknowledged %+v", ack)
			}
		}
		if w.net.Requests(protocol.AdoptPath) == 0 {
			t.Error("the key was not asked for")
		}
		w.restart()
		w.reported(protocol.StateRunning)
		if diff := cmp.Diff(before, w.kept()); !w.has("a") || diff != "" || w.engine.count("restore") != 0 {
			t.Errorf("the node was touched: %s", diff)
		}
	})
}

func TestWhatARestoreWouldBeRefusedForIsFoundByPreparing(t *testing.T) {
	withStore(t, func(t *testing.T, w *world) {
		w.running()
		w.taken(1)
		w.taken(2)
		w.put("a")
		if err := os.Truncate(filepath.Join(w.store, snapshotID(1), "files", "keytable.json"), 10); err != nil {
			t.Fatal(err)
		}
		old := w.server.CMK()
		w.server.SwitchCMK()
		w.acked(w.command(protocol.KindRewrap))
		old.Break(verdict.KeyDisabled)
		for _, c := range []struct {
			provider string
			snapshot int
			reason   string
		}{
			{"AWS", 1, protocol.ReasonSnapshotDamaged},
			{"AWS", 99, protocol.ReasonNoSnapshot},
			{protocol.NoProvider, 2, protocol.ReasonSnapshotMismatch},
			{"AWS", 2, string(atlas.InvalidSnapshotRestoreEncryption)},
		} {
			ack := w.acked(w.server.Prepare(w.nodeID, snapshotID(c.snapshot), restoreID(1), c.provider))
			if ack.Outcome != protocol.Failed || ack.Reason != c.reason {
				t.Errorf("%s: acknowledged %+v", c.reason, ack)
			}
		}
		if w.reported(protocol.StateRunning); !w.has("a") || w.engine.count("stop") != 0 {
			t.Error("the node was touched")
		}
	})
}

func TestARevocationInTheMiddleOfARestoreEndsInTheSnapshotsData(t *testing.T) {
	withStore(t, func(t *testing.T, w *world) {
		w.running()
		w.put("a")
		w.taken(1)
		w.put("b")
		w.engine.afterwork = func(call string) {
			if call == "restore" {
				w.server.Disable("KEY_DISABLED") // the data is replaced, and its key is not released
			}
		}
		n := w.restore(1)
		w.reported(protocol.StateDisabled)
		w.acked(w.command(protocol.KindStop))
		w.restart()
		time.Sleep(time.Hour)
		if w.engine.count("start") != 0 {
			t.Error("a revoked node was started")
		}
		w.server.Disable("")
		w.acked(w.command(protocol.KindStart))
		if w.reported(protocol.StateRunning); !w.has("a") || w.has("b") {
			t.Errorf("after command %d: not the snapshot's data", n)
		}
	})
}

func TestDataThatIsHalfRestoredIsNeverOpened(t *testing.T) {
	withStore(t, func(t *testing.T, w *world) {
		w.running()
		w.put("a")
		w.taken(1)
		w.put("b")
		w.engine.breaks(map[string]error{"restore": errBroken})
		w.restore(1)
		w.until("failure", func() bool { return w.engine.count("restore") == 1 })
		w.restart()
		w.acked(w.command(protocol.KindStart)) // takes the place of RESTORE
		if w.engine.count("restore") != 1 || !w.has("a") || w.has("b") {
			t.Errorf("calls %v", w.engine.counts())
		}
		w.engine.breaks(map[string]error{"restore": errBroken})
		w.restore(2)
		w.until("failure", func() bool { return w.engine.count("restore") == 2 })
		ack := w.acked(w.command(protocol.KindResync)) // gives up the restore
		if ack.Outcome != protocol.Done || w.has("a") {
			t.Errorf("acknowledged %+v", ack)
		}
	})
}

func TestANodeThatLostItsKeysIsRestored(t *testing.T) {
	withStore(t, func(t *testing.T, w *world) {
		w.running()
		w.put("a")
		w.taken(1)
		w.end() //nolint:errcheck // tested elsewhere
		for _, name := range []string{"keys.json", "keys.json.previous"} {
			if err := w.disk.Remove(name); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.disk.Sync(); err != nil {
			t.Fatal(err)
		}
		w.start()
		w.engine.breaks(map[string]error{"restore": agent.ErrUnsupported})
		w.acked(w.restore(1))
		w.until("lost", func() bool { return w.server.Last(w.nodeID).Reason == protocol.ReasonKeysLost })
		w.restart()
		w.until("still lost", func() bool { return w.server.Last(w.nodeID).Reason == protocol.ReasonKeysLost })
		w.acked(w.restore(2))
		if w.reported(protocol.StateRunning); !w.has("a") {
			t.Error("the data is not the snapshot's")
		}
	})
}

func TestARewrapReachesTheKeyOfAnUnfinishedRestore(t *testing.T) {
	withStore(t, func(t *testing.T, w *world) {
		w.running()
		w.put("a")
		w.taken(1)
		w.engine.breaks(map[string]error{"restore": errBroken})
		w.restore(1)
		w.until("failure", func() bool { return w.engine.count("restore") == 1 })
		old := w.server.CMK()
		w.server.SwitchCMK()
		w.acked(w.command(protocol.KindRewrap))
		old.Break(verdict.KeyDisabled)
		w.acked(w.command(protocol.KindStart))
		if w.reported(protocol.StateRunning); !w.has("a") {
			t.Error("the data is not the snapshot's")
		}
	})
}

// A node that crashes anywhere in a restore has the old data or the snapshot's, opens it, and
// ends with the snapshot's.
func TestNoCrashInARestoreLosesData(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		step := rapid.Custom(func(t *rapid.T) life {
			return life{
				kind:      protocol.KindRestore,
				crashDisk: rapid.IntRange(0, 30).Draw(t, "crashDisk"), crashAt: rapid.IntRange(0, 10).Draw(t, "crashAt"),
				before: rapid.Bool().Draw(t, "before"), afterwork: rapid.IntRange(0, 2).Draw(t, "afterwork") == 0,
				kept: rapid.IntRange(0, 4).Draw(t, "kept"), outage: rapid.IntRange(0, 3).Draw(t, "outage") == 0,
				lose: rapid.SampledFrom([]string{"", protocol.AdoptPath, protocol.ReleasePath, protocol.WrapPath, protocol.AckPath}).Draw(t, "lose"),
				over: rapid.SampledFrom([]protocol.Kind{"", "", protocol.KindStart, protocol.KindStop, protocol.KindRewrap, protocol.KindRotate}).Draw(t, "over"),
			}
		}).Draw(r, "step")
		dir := t.TempDir()
		var wrong []string
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.store = dir
			w.running()
			w.put("a")
			w.taken(1)
			w.put("b")
			w.restoreThrough(step)
			w.end() //nolint:errcheck // tested elsewhere
			wrong = w.wrong
		})
		if len(wrong) > 0 {
			r.Fatal(wrong)
		}
	})
}

// restoreThrough restores snapshot 1 while everything of a step goes wrong.
func (w *world) restoreThrough(step life) {
	number := w.misfortune(step)
	if !w.eventually(func() bool { return w.server.Last(w.nodeID).CommandAcked == number }) {
		w.complain("%v does not end: %+v", step, w.server.Last(w.nodeID))
		return
	}
	w.acked(w.command(protocol.KindStart))
	if !w.eventually(func() bool { return w.engine.Status().Phase == agent.Running }) {
		w.complain("%v does not run: %+v\n%s", step, w.server.Last(w.nodeID), w.log.String())
		return
	}
	if !w.has("a") { // it is in both
		w.complain("%v: the data is gone", step)
	}
	w.acked(w.restore(2))
	w.eventually(func() bool { return w.engine.Status().Phase == agent.Running })
	if !w.has("a") || w.has("b") {
		w.complain("%v: the data is not the snapshot's", step)
	}
	if left, _, err := snapshotdir.New(w.store).Open(w.t.Context(), snapshotID(1)); err != nil || left.Key == nil {
		w.complain("%v: the snapshot is %+v, %v", step, left, err)
	}
}

// The ledger strikes out what a rotation leaves behind, so none may come between the two.
func TestARotationWaitsForTheRestoreThatItSupersedes(t *testing.T) {
	withStore(t, func(t *testing.T, w *world) {
		w.running()
		w.put("a")
		w.taken(1)
		w.put("b")
		w.engine.breaks(map[string]error{"stop": errBroken}) // the restore is on disk, and the old data still runs
		w.restore(1)
		w.until("failure", func() bool { return w.engine.count("stop") == 1 })
		w.acked(w.command(protocol.KindRotate))
		if w.reported(protocol.StateRunning); !w.has("a") || w.has("b") || w.engine.count("restore") != 1 {
			t.Errorf("calls %v", w.engine.counts())
		}
	})
}
