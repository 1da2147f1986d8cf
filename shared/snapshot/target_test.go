package snapshot_test

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/cluster"
	"latchkey/shared/snapshot"
)

// update asks for a change of a cluster.
func (w *world) update(group, name, body string) error {
	w.t.Helper()
	var r atlas.ClusterRequest
	if err := json.Unmarshal([]byte(body), &r); err != nil {
		w.t.Fatal(err)
	}
	_, err := w.clusters.Update(w.t.Context(), w.caller, group, name, r.Of20240805())
	return err
}

// fiveNodes is a layout.
const fiveNodes = `{"replicationSpecs":[{"regionConfigs":[{"providerName":"AWS","regionName":"US_EAST_1","priority":7,` +
	`"electableSpecs":{"instanceSize":"M30","nodeCount":5}}]}]}`

func TestWhatChangesNodesWaitsForTheEndOfARestore(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.create(w.group, "c1", "AWS", 1)
		w.put(w.group, "c1", 0, "a")
		x := w.take(w.group, "c1")
		j := w.restoring(x, w.group, "c1")
		refused := map[string]string{"layout": fiveNodes, "key": `{"encryptionAtRestProvider":"NONE"}`, "pause": `{"paused":true}`}
		refuses := func(when string) {
			t.Helper()
			for what, body := range refused {
				if err := w.update(w.group, "c1", body); atlas.CodeOf(err) != atlas.ClusterRestoreInProgress {
					t.Errorf("%s: Update of the %s = %v", when, what, err)
				}
			}
			if err := w.update(w.group, "c1", `{"terminationProtectionEnabled":false,"tags":[{"key":"k","value":"`+when+`"}]}`); err != nil {
				t.Errorf("%s: Update of what is not the nodes' = %v", when, err)
			}
			if d := w.load(w.group, "c1"); d.Plan != nil || d.Queued() || d.Spec.Paused {
				t.Errorf("%s: a refused change waits: %+v", when, d.Cluster)
			}
		}
		refuses("prepared")
		w.begun(j)
		refuses("begun")
		w.finished(j)
		if err := w.update(w.group, "c1", fiveNodes); err != nil {
			t.Errorf("Update after the restore = %v", err)
		}
		w.until("the update", func() bool { return w.load(w.group, "c1").State() == cluster.Idle })
		if got := w.has(w.group, "c1", 0, "a"); got != 5 {
			t.Errorf("%d nodes have the snapshot's data", got)
		}
	})
}

// A change that was asked for first is carried out first.
func TestARestoreWaitsForTheChangeBeforeIt(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.create(w.group, "c1", "AWS", 1)
		w.put(w.group, "c1", 0, "a")
		x := w.take(w.group, "c1")
		w.put(w.group, "c1", 0, "b")
		if err := w.update(w.group, "c1", fiveNodes); err != nil {
			t.Fatal(err)
		}
		j := w.restoring(x, w.group, "c1")
		if j = w.restored(j); j.State != snapshot.JobFinished || len(j.Nodes) != 5 {
			t.Fatalf("job %+v", j)
		}
		w.settled(w.group, "c1")
		if w.has(w.group, "c1", 0, "a") != 5 || w.has(w.group, "c1", 0, "b") != 0 {
			t.Error("the data is not the snapshot's on every node")
		}
	})
}

// Of an update and a restore at the same time, whichever is stored first counts for the other.
func TestAnUpdateAndARestoreAtTheSameTimeExcludeEachOther(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.create(w.group, "c1", "AWS", 1)
		x := w.take(w.group, "c1")
		for range 8 {
			updated := make(chan error, 1)
			go func() { updated <- w.update(w.group, "c1", `{"paused":true}`) }()
			j, err := w.restore(w.group, "c1", x.ID, w.group, "c1")
			updateErr := <-updated
			switch {
			case err == nil && atlas.CodeOf(updateErr) == atlas.ClusterRestoreInProgress:
				w.restored(j)
			case atlas.CodeOf(err) == atlas.ClusterPausedCannotRestore && updateErr == nil:
				w.until("paused", func() bool { return w.load(w.group, "c1").Plan == nil })
				if err := w.update(w.group, "c1", `{"paused":false}`); err != nil {
					t.Fatal(err)
				}
				w.until("resumed", func() bool { return w.load(w.group, "c1").State() == cluster.Idle })
				time.Sleep(90 * time.Minute) // it must run for a while before it is paused again
			default:
				t.Fatalf("Restore = %v, Update = %v", err, updateErr)
			}
			w.settled(w.group, "c1")
		}
	})
}

func TestDeletionWinsOverARestore(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		for _, when := range []string{"prepared", "begun"} {
			w.create(w.group, "c1", "AWS", 1)
			w.create(w.group, "c2", "AWS", 1)
			x := w.take(w.group, "c1")
			j := w.restoring(x, w.group, "c2")
			if when == "begun" {
				w.begun(j)
			}
			if err := w.clusters.Delete(t.Context(), w.caller, w.group, "c2", cluster.Deletion{}); err != nil {
				t.Fatal(err)
			}
			w.until("the end", func() bool { return w.load(w.group, "c2").ID == "" })
			if j = w.restored(j); j.State != snapshot.JobFailed || j.Failure != "TARGET_DELETED" {
				t.Errorf("%s: job %+v", when, j)
			}
			if err := w.service.Delete(t.Context(), w.caller, w.group, "c1", x.ID); err != nil {
				t.Errorf("%s: the snapshot is still held: %v", when, err)
			}
			if err := w.clusters.Delete(t.Context(), w.caller, w.group, "c1", cluster.Deletion{}); err != nil {
				t.Fatal(err)
			}
			w.until("the end", func() bool { return w.load(w.group, "c1").ID == "" })
		}
	})
}

// A snapshot is restored from its files and its key until the end, whatever becomes of its cluster.
func TestTheSourceOfARestoreMayBeDeleted(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.create(w.group, "c1", "AWS", 1)
		d := w.create(w.group, "c2", "AWS", 1)
		w.create(w.group, "c3", "AWS", 1) // has nodes that could remove files
		w.put(w.group, "c1", 0, "a")
		x := w.take(w.group, "c1")
		w.fleet[d.Nodes[0].ID].end() // so that it takes long
		j := w.restoring(x, w.group, "c2")
		retain := false
		if err := w.clusters.Delete(t.Context(), w.caller, w.group, "c1", cluster.Deletion{RetainBackups: &retain}); err != nil {
			t.Fatal(err)
		}
		w.until("the end", func() bool { return w.load(w.group, "c1").ID == "" })
		w.pass(time.Hour)
		if got := w.stored(); !slices.Contains(got, x.ID) {
			t.Fatalf("the store has %v", got)
		}
		w.fleet[d.Nodes[0].ID].start()
		w.pass(10 * time.Minute)
		w.settled(w.group, "c2")
		if got := w.has(w.group, "c2", 0, "a"); got != 3 {
			t.Errorf("%d nodes have the snapshot's data, job %s", got, j.ID)
		}
		w.pass(10 * time.Minute)
		if parts, _ := w.needs(w.group, 0); len(parts) != 0 || len(w.stored()) != 0 {
			t.Errorf("after the restore the store has %v, and the key is needed by %v", w.stored(), parts)
		}
		if _, err := w.service.List(t.Context(), w.group, "c1"); atlas.CodeOf(err) != atlas.ClusterNotFound {
			t.Errorf("List = %v", err)
		}
		w.auditKeys()
	})
}
