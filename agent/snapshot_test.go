package agent_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"latchkey/agent"
	"latchkey/shared/node/protocol"
)

// snapshotID and restoreID make ids that tell what they are of.
func snapshotID(n int) string { return fmt.Sprintf("650000000000000000005%03x", n) }
func restoreID(n int) string  { return fmt.Sprintf("650000000000000000006%03x", n) }

// withStore is inBubble with a directory for snapshots.
func withStore(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	inBubble(t, func(t *testing.T, w *world) {
		w.store = t.TempDir()
		test(t, w)
	})
}

// taken has a snapshot taken.
func (w *world) taken(n int) protocol.AckRequest {
	w.t.Helper()
	ack := w.acked(w.server.Snapshot(w.nodeID, protocol.KindSnapshot, snapshotID(n)))
	if ack.Outcome != protocol.Done || ack.SnapshotBytes == 0 {
		w.t.Fatalf("SNAPSHOT ended as %+v", ack)
	}
	return ack
}

func TestNothingInTheStoreOpensWithoutTheCustomersKey(t *testing.T) {
	withStore(t, func(t *testing.T, w *world) {
		w.running()
		w.put("a")
		w.taken(1)
		master, err := w.server.Open(t.Context(), w.nodeID, w.kept()[w.server.Last(w.nodeID).KeyID])
		if err != nil {
			t.Fatal(err)
		}
		files := 0
		err = filepath.WalkDir(w.store, func(path string, entry os.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			files++
			content, err := os.ReadFile(path)
			if bytes.Contains(content, []byte("value of a")) || bytes.Contains(content, master) {
				t.Errorf("%s tells a secret", path)
			}
			return err
		})
		if err != nil || files < 3 {
			t.Errorf("%d files, %v", files, err)
		}
	})
}

func TestWithoutAStoreSnapshotsAreRefused(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.running()
		for _, tell := range []func() int64{
			func() int64 { return w.server.Snapshot(w.nodeID, protocol.KindSnapshot, snapshotID(1)) },
			func() int64 { return w.server.Prepare(w.nodeID, snapshotID(1), restoreID(1), "AWS") },
			func() int64 { return w.restore(1) },
			func() int64 { return w.server.Snapshot(w.nodeID, protocol.KindPurge, snapshotID(1)) },
		} {
			if ack := w.acked(tell()); ack.Outcome != protocol.Failed || ack.Reason != protocol.ReasonUnsupported {
				t.Errorf("acknowledged %+v", ack)
			}
		}
		w.store = t.TempDir()
		w.restart()
		w.engine.breaks(map[string]error{"snapshot": agent.ErrUnsupported})
		if ack := w.acked(w.server.Snapshot(w.nodeID, protocol.KindSnapshot, snapshotID(1))); ack.Reason != protocol.ReasonUnsupported {
			t.Errorf("acknowledged %+v", ack)
		}
	})
}

func TestARevocationInTheMiddleOfASnapshotStopsTheNodeAndLeavesNothing(t *testing.T) {
	withStore(t, func(t *testing.T, w *world) {
		w.running()
		w.put("a")
		w.net.Delay(protocol.KeepPath, 20*time.Second)
		w.server.Snapshot(w.nodeID, protocol.KindSnapshot, snapshotID(1))
		w.until("asking", func() bool { return w.net.Requests(protocol.KeepPath) > 0 })
		w.server.Disable("KEY_DISABLED")
		w.acked(w.command(protocol.KindStop))
		if entries, err := os.ReadDir(w.store); err != nil || len(entries) != 0 {
			t.Errorf("%v is left, %v", entries, err)
		}
		w.server.Disable("")
		w.net.Delay(protocol.KeepPath, 0)
		w.acked(w.command(protocol.KindStart))
		w.taken(1)
		if !w.has("a") {
			t.Error("the data is gone")
		}
	})
}

func TestAFullSnapshotStoreIsTriedAgain(t *testing.T) {
	withStore(t, func(t *testing.T, w *world) {
		w.running()
		w.engine.breaks(map[string]error{"snapshot": errBroken})
		n := w.server.Snapshot(w.nodeID, protocol.KindSnapshot, snapshotID(1))
		w.until("failure", func() bool { return strings.Contains(w.log.String(), "reason="+protocol.ReasonSnapshotStore) })
		if w.engine.count("stop") != 0 {
			t.Error("the node stopped")
		}
		if ack := w.acked(n); ack.Outcome != protocol.Done {
			t.Errorf("acknowledged %+v", ack)
		}
	})
}

func TestAPurgedSnapshotIsGone(t *testing.T) {
	withStore(t, func(t *testing.T, w *world) {
		w.running()
		w.taken(1)
		for range 2 {
			if ack := w.acked(w.server.Snapshot(w.nodeID, protocol.KindPurge, snapshotID(1))); ack.Outcome != protocol.Done {
				t.Errorf("acknowledged %+v", ack)
			}
		}
		if entries, err := os.ReadDir(w.store); err != nil || len(entries) != 0 {
			t.Errorf("%v is left, %v", entries, err)
		}
	})
}
