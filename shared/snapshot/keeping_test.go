package snapshot_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"latchkey/shared/atlas"
	"latchkey/shared/cluster"
	"latchkey/shared/node/protocol"
	"latchkey/shared/snapshot"
	"latchkey/shared/verdict"
)

// stored lists the snapshots whose files are in the store.
func (w *world) stored() []string {
	w.t.Helper()
	entries, err := os.ReadDir(w.dir)
	if err != nil {
		w.t.Fatal(err)
	}
	var ids []string
	for _, e := range entries {
		ids = append(ids, e.Name())
	}
	return ids
}

func TestRealFilesComeBackEncrypted(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.badger = t.TempDir()
		w.create(w.group, "c1", "AWS", 1)
		w.put(w.group, "c1", 0, "a")
		x := w.take(w.group, "c1")
		err := filepath.WalkDir(w.dir, func(path string, entry os.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			content, err := os.ReadFile(path)
			if bytes.Contains(content, []byte("value of a")) {
				t.Errorf("%s can be read", path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		w.put(w.group, "c1", 0, "b")
		w.finished(w.restoring(x, w.group, "c1"))
		w.hasInstead(w.group, "c1", "a", "b")
	})
}

func TestAnExpiredSnapshotGoesWithItsKeyAndItsFiles(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.create(w.group, "c1", "AWS", 1)
		if _, err := w.service.DeleteSchedule(t.Context(), w.caller, w.group, "c1"); err != nil {
			t.Fatal(err)
		}
		x := w.take(w.group, "c1")
		kept, err := w.service.ChangeRetention(t.Context(), w.caller, w.group, "c1", x.ID, snapshot.Retention{Unit: snapshot.Days, Value: 2})
		if err != nil || !kept.Expires.Equal(x.Created.AddDate(0, 0, 2)) {
			t.Fatalf("ChangeRetention = %v, %v", kept.Expires, err)
		}
		other := w.take(w.group, "c1")
		w.skip(24 * time.Hour)
		if got := w.stored(); !slices.Equal(got, []string{x.ID}) {
			t.Errorf("the store has %v, want %s without %s", got, x.ID, other.ID)
		}
		if parts, _ := w.needs(w.group, 0); !slices.Equal(parts, []string{x.ID}) {
			t.Errorf("the key is needed by %v", parts)
		}
		w.skip(24 * time.Hour)
		if got := w.stored(); len(got) != 0 {
			t.Errorf("the store has %v", got)
		}
		list, err := w.service.List(t.Context(), w.group, "c1")
		if parts, _ := w.needs(w.group, 0); err != nil || len(list)+len(parts) != 0 {
			t.Errorf("left are %v, %v, %v", list, parts, err)
		}
	})
}

func TestADeletedSnapshotIsGoneAtOnceAndItsFilesSoon(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.create(w.group, "c1", "AWS", 2)
		x := w.take(w.group, "c1")
		if got := w.stored(); len(got) != 2 {
			t.Fatalf("the store has %v", got)
		}
		if err := w.service.Delete(t.Context(), w.caller, w.group, "c1", x.ID); err != nil {
			t.Fatal(err)
		}
		if _, err := w.service.Get(t.Context(), w.group, "c1", x.ID); atlas.CodeOf(err) != atlas.SnapshotNotFound {
			t.Errorf("Get = %v", err)
		}
		if parts, _ := w.needs(w.group, 0); len(parts) != 0 {
			t.Errorf("the key is needed by %v", parts)
		}
		w.pass(10 * time.Minute)
		if got := w.stored(); len(got) != 0 {
			t.Errorf("the store has %v", got)
		}
		w.settled(w.group, "c1")
	})
}

func TestTheScheduleTakesSnapshotsAndForgetsThem(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.create(w.group, "c1", "AWS", 1)
		day := snapshot.Retention{Unit: snapshot.Days, Value: 1}
		plan, err := w.service.UpdateSchedule(t.Context(), w.caller, w.group, "c1", snapshot.Update{Policies: []snapshot.PolicyUpdate{{Items: []snapshot.Item{
			{Frequency: snapshot.Hourly, Interval: 6, Retention: day}, {Frequency: snapshot.Daily, Interval: 1, Retention: day},
		}}}})
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			w.pass(6 * time.Hour)
		}
		w.skip(11 * time.Hour) // one is missed, and made up for
		list, err := w.service.List(t.Context(), w.group, "c1")
		if err != nil {
			t.Fatal(err)
		}
		byFrequency := map[snapshot.Frequency]int{}
		for _, x := range list {
			byFrequency[x.Frequency]++
			both := x.Frequency == snapshot.Daily
			if x.Status != snapshot.Completed || len(x.PolicyItems) != map[bool]int{true: 2, false: 1}[both] || !x.Expires.After(time.Now()) {
				t.Errorf("snapshot %+v", x)
			}
		}
		if byFrequency[snapshot.Hourly] != 3 || byFrequency[snapshot.Daily] != 1 || !plan.Next.After(list[len(list)-1].Created.AddDate(0, 0, -2)) {
			t.Errorf("snapshots %v", byFrequency)
		}
		w.pass(10 * time.Minute)
		if len(w.stored()) != len(list) {
			t.Errorf("%d snapshots, and the files of %d", len(list), len(w.stored()))
		}
	})
}

func TestANewClusterHasTheDefaultScheduleWithoutAnybodysAsking(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.create(w.group, "c1", "AWS", 1)
		w.pass(7 * time.Hour)
		list, err := w.service.List(t.Context(), w.group, "c1")
		if err != nil || len(list) == 0 || list[0].Frequency != snapshot.Hourly || list[0].Kind() != "scheduled" {
			t.Errorf("snapshots %+v, %v", list, err)
		}
	})
}

func TestANewRetentionReachesOldSnapshotsIfAsked(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.create(w.group, "c1", "AWS", 1)
		w.pass(7 * time.Hour)
		before, err := w.service.List(t.Context(), w.group, "c1")
		if err != nil || len(before) == 0 {
			t.Fatalf("snapshots %+v, %v", before, err)
		}
		plan, err := w.service.Schedule(t.Context(), w.group, "c1")
		if err != nil {
			t.Fatal(err)
		}
		items := slices.Clone(plan.Schedule.Items[:1])
		items[0].Retention.Value = 30
		update := snapshot.Update{Policies: []snapshot.PolicyUpdate{{ID: plan.Schedule.PolicyID, Items: items}}, Reapply: true}
		if _, err := w.service.UpdateSchedule(t.Context(), w.caller, w.group, "c1", update); err != nil {
			t.Fatal(err)
		}
		x := w.snapshot(w.group, "c1", before[0].ID)
		if !x.Expires.Equal(x.Created.AddDate(0, 0, 30)) {
			t.Errorf("it expires at %v", x.Expires)
		}
	})
}

func TestTheBackupsOfADeletedClusterFollowItsSettings(t *testing.T) {
	for name, retain := range map[string]bool{"kept": true, "removed": false} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				w.create(w.group, "c1", "AWS", 1)
				w.create(w.group, "c2", "AWS", 1)
				w.put(w.group, "c1", 0, "a")
				x := w.take(w.group, "c1")
				if err := w.clusters.Delete(t.Context(), w.caller, w.group, "c1", cluster.Deletion{RetainBackups: &retain}); err != nil {
					t.Fatal(err)
				}
				w.until("the end", func() bool { return w.load(w.group, "c1").ID == "" })
				w.pass(10 * time.Minute)
				if !retain {
					if _, err := w.service.List(t.Context(), w.group, "c1"); atlas.CodeOf(err) != atlas.ClusterNotFound || len(w.stored()) != 0 {
						t.Errorf("List = %v, and the store has %v", err, w.stored())
					}
					return
				}
				j := w.restoring(x, w.group, "c2")
				if j = w.restored(j); j.State != snapshot.JobFinished || w.has(w.group, "c2", 0, "a") != 3 {
					t.Errorf("job %+v", j)
				}
				w.skip(25 * time.Hour)
				if _, err := w.service.List(t.Context(), w.group, "c1"); atlas.CodeOf(err) != atlas.ClusterNotFound || slices.Contains(w.stored(), x.ID) {
					t.Errorf("after its retention: List = %v, and the store has %v", err, w.stored())
				}
			})
		})
	}
}

func TestOneRestoreAtATime(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.create(w.group, "c1", "AWS", 1)
		x := w.take(w.group, "c1")
		first := w.restoring(x, w.group, "c1")
		if _, err := w.restore(w.group, "c1", x.ID, w.group, "c1"); atlas.CodeOf(err) != atlas.ClusterRestoreInProgress {
			t.Errorf("a second Restore = %v", err)
		}
		if err := w.service.Delete(t.Context(), w.caller, w.group, "c1", x.ID); atlas.CodeOf(err) != atlas.ClusterRestoreInProgress {
			t.Errorf("Delete = %v", err)
		}
		w.begun(first)
		if err := w.service.Cancel(t.Context(), w.caller, w.group, "c1", first.ID); atlas.CodeOf(err) != atlas.MethodNotAllowed {
			t.Errorf("Cancel of one that has begun = %v", err)
		}
		w.finished(first)
		w.must(w.clusters.Disable(t.Context(), first.ClusterID, atlas.AWS, "KEY_DISABLED"))
		second := w.restoring(x, w.group, "c1") // it waits for the key
		w.pass(10 * time.Minute)
		if err := w.service.Cancel(t.Context(), w.caller, w.group, "c1", second.ID); err != nil {
			t.Errorf("Cancel of one that waits = %v", err)
		}
		if j, err := w.service.Job(t.Context(), w.group, "c1", second.ID); err != nil || j.State != snapshot.JobCancelled {
			t.Errorf("job %+v, %v", j, err)
		}
		w.must(w.clusters.Enable(t.Context(), first.ClusterID, atlas.AWS))
		w.settled(w.group, "c1")
		if _, err := w.restore(w.group, "c1", x.ID, w.group, "c1"); err != nil {
			t.Errorf("Restore after a cancelled one = %v", err)
		}
	})
}

func TestOneOnDemandSnapshotAtATime(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.create(w.group, "c1", "AWS", 1)
		x := w.request(w.group, "c1")
		_, err := w.service.Take(t.Context(), w.caller, w.group, "c1", snapshot.Request{RetentionDays: 1})
		if atlas.CodeOf(err) != atlas.UnfinishedOnDemandSnapshot {
			t.Errorf("a second Take = %v", err)
		}
		if x = w.snapshot(w.group, "c1", x.ID); x.Status != snapshot.InProgress {
			t.Fatalf("snapshot %+v", x)
		}
		if err := w.service.Delete(t.Context(), w.caller, w.group, "c1", x.ID); atlas.CodeOf(err) != atlas.CannotDeleteInProgressSnapshot {
			t.Errorf("Delete = %v", err)
		}
		_, err = w.service.ChangeRetention(t.Context(), w.caller, w.group, "c1", x.ID, snapshot.Retention{Unit: snapshot.Days, Value: 1})
		if atlas.CodeOf(err) != atlas.CannotModifyInProgressSnapshot {
			t.Errorf("ChangeRetention = %v", err)
		}
	})
}

// A node whose copy is damaged refuses, keeps what it has, and then copies from those that did not.
func TestANodeThatRefusesCopiesFromThoseThatRestored(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		d := w.create(w.group, "c1", "AWS", 1)
		w.put(w.group, "c1", 0, "a")
		x := w.take(w.group, "c1")
		w.put(w.group, "c1", 0, "b")
		w.fleet[d.Nodes[0].ID].end() // it hears of the restore last, and is not asked to prepare
		j := w.restoring(x, w.group, "c1")
		w.pass(time.Hour)
		now, err := w.service.Job(t.Context(), w.group, "c1", j.ID)
		if err != nil || now.Over() {
			t.Fatalf("job %+v, %v", now, err)
		}
		if err := os.Remove(filepath.Join(w.dir, x.ID, "files", "data")); err != nil {
			t.Fatal(err)
		}
		w.fleet[d.Nodes[0].ID].start()
		w.finished(j)
		w.hasInstead(w.group, "c1", "a", "b")
		w.auditKeys()
	})
}

func TestADamagedSnapshotFailsTheRestoreAndLeavesTheDataAlone(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.create(w.group, "c1", "AWS", 1)
		x := w.take(w.group, "c1")
		w.put(w.group, "c1", 0, "b")
		if err := os.Remove(filepath.Join(w.dir, x.ID, "files", "data")); err != nil {
			t.Fatal(err)
		}
		j := w.restoring(x, w.group, "c1")
		if j = w.restored(j); j.State != snapshot.JobFailed || j.Failure != protocol.ReasonSnapshotDamaged {
			t.Errorf("job %+v", j)
		}
		w.settled(w.group, "c1")
		if w.has(w.group, "c1", 0, "b") != 3 {
			t.Error("the data of before is gone")
		}
	})
}

func TestANodeThatIsAwayDoesNotHoldUpARestoreForEver(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		d := w.create(w.group, "c1", "AWS", 1)
		w.put(w.group, "c1", 0, "a")
		x := w.take(w.group, "c1")
		w.put(w.group, "c1", 0, "b")
		w.fleet[d.Nodes[0].ID].end()
		j := w.restoring(x, w.group, "c1")
		w.pass(time.Hour)
		time.Sleep(24 * time.Hour)
		w.pass(30 * time.Minute)
		now, err := w.service.Job(t.Context(), w.group, "c1", j.ID)
		if err != nil || now.State != snapshot.JobFinished {
			t.Fatalf("job %+v, %v", now, err)
		}
		w.fleet[d.Nodes[0].ID].start()
		w.settled(w.group, "c1")
		w.hasInstead(w.group, "c1", "a", "b")
	})
}

// Whatever fails on the way, of the control plane's writes and of the nodes, a restore ends, all
// nodes have the same data, and no key is in doubt.
func TestNoCrashOnTheWayLosesAKeyOrMixesData(t *testing.T) {
	t.Parallel()
	const enough = 12 // each takes the better part of a second
	checks := 0
	rapid.Check(t, func(r *rapid.T) {
		if checks++; checks > enough {
			return
		}
		crashes := rapid.SliceOfN(rapid.IntRange(0, 40), 1, 4).Draw(r, "crashes")
		victim := rapid.IntRange(0, 2).Draw(r, "victim")
		outage := rapid.Bool().Draw(r, "outage")
		failWrite := rapid.IntRange(0, 30).Draw(r, "failWrite")
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			d := w.create(w.group, "c1", "AWS", 1)
			w.put(w.group, "c1", 0, "a")
			p := w.fleet[d.Nodes[victim].ID]
			disturb := func() {
				for _, seconds := range crashes {
					time.Sleep(time.Duration(seconds) * 500 * time.Millisecond)
					p.crash()
				}
			}
			request := w.request(w.group, "c1")
			disturb()
			w.until("snapshot", func() bool {
				s := w.snapshot(w.group, "c1", request.ID).Status
				return s == snapshot.Completed || s == snapshot.Failed
			})
			x := w.take(w.group, "c1")
			w.settled(w.group, "c1")
			w.put(w.group, "c1", 0, "b")
			j := w.restoring(x, w.group, "c1")
			if outage {
				w.tenant.key(0).Break(verdict.ConnectFailed)
			}
			if failWrite > 0 {
				w.table.Break(true)
				time.Sleep(time.Duration(failWrite) * time.Second)
				w.table.Break(false)
			}
			disturb()
			w.tenant.key(0).Break(verdict.OK)
			w.finished(j)
			w.hasInstead(w.group, "c1", "a", "b")
			w.auditKeys()
			for _, p := range w.fleet {
				p.end()
			}
		})
	})
}
