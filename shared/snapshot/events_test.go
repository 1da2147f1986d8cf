package snapshot_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/snapshot"
	"latchkey/shared/store/keys"
)

// happened counts the events of a type in the group's feed.
func (w *world) happened(t audit.Type) int {
	w.t.Helper()
	events, _, err := w.service.Journal.List(w.t.Context(), keys.GroupScope(w.group), audit.Filter{Types: []audit.Type{t}}, 0, 100)
	w.must(err)
	return len(events)
}

func (w *world) wantEvents(n int, types ...audit.Type) {
	w.t.Helper()
	for _, t := range types {
		if got := w.happened(t); got != n {
			w.t.Errorf("%d events %s, want %d", got, t, n)
		}
	}
}

func TestWhatHappensToSnapshotsIsTold(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		d := w.create(w.group, "c1", "AWS", 1)
		_, err := w.service.DeleteSchedule(t.Context(), w.caller, w.group, "c1")
		w.must(err)
		x := w.take(w.group, "c1")
		w.wantEvents(1, snapshot.EventSchedule, snapshot.EventRequested, snapshot.EventStarted, snapshot.EventSuccessful)
		_, err = w.service.ChangeRetention(t.Context(), w.caller, w.group, "c1", x.ID, snapshot.Retention{Unit: snapshot.Days, Value: 9})
		w.must(err)
		w.must(w.service.Delete(t.Context(), w.caller, w.group, "c1", x.ID))
		w.wantEvents(1, snapshot.EventRetention, snapshot.EventDeleted)
		w.wantEvents(0, snapshot.EventFailed)
		w.request(w.group, "c1")
		w.must(w.clusters.Disable(t.Context(), d.ID, atlas.AWS, "KEY_DISABLED"))
		w.pass(10 * time.Minute)
		w.wantEvents(1, snapshot.EventFailed)
	})
}

func TestWhatHappensToRestoresIsTold(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		d := w.create(w.group, "c1", "AWS", 1)
		x := w.take(w.group, "c1")
		ask := func() snapshot.Job { return w.restoring(x, w.group, "c1") }
		w.finished(ask())
		w.wantEvents(1, snapshot.EventRestoreAsked, snapshot.EventRestored)
		w.wantEvents(0, snapshot.EventRestoreFailed, snapshot.EventRestoreCanceled)
		w.fleet[d.Nodes[0].ID].end() // so the others wait
		w.must(w.service.Cancel(t.Context(), w.caller, w.group, "c1", ask().ID))
		w.fleet[d.Nodes[0].ID].start()
		w.pass(5 * time.Minute)
		w.wantEvents(1, snapshot.EventRestoreCanceled)
		w.must(os.Remove(filepath.Join(w.dir, x.ID, "files", "data")))
		w.restored(ask())
		w.wantEvents(1, snapshot.EventRestoreFailed)
		w.wantEvents(3, snapshot.EventRestoreAsked)
	})
}
