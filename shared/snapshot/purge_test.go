package snapshot_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/shared/cluster"
	"latchkey/shared/snapshot/due"
)

// due lists the clusters whose backups need attention within a year.
func (w *world) due() (ids []string) {
	w.t.Helper()
	err := due.Each(w.t.Context(), w.table, time.Now().AddDate(1, 0, 0), func(id string) bool {
		ids = append(ids, id)
		return true
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return ids
}

// deleted deletes a cluster with its snapshots.
func (w *world) deleted(name string) {
	w.t.Helper()
	retain := false
	if err := w.clusters.Delete(w.t.Context(), w.caller, w.group, name, cluster.Deletion{RetainBackups: &retain}); err != nil {
		w.t.Fatal(err)
	}
	w.until("the end", func() bool { return w.load(w.group, name).ID == "" })
}

func TestFilesThatNobodyIsLeftToRemoveAreTheOperatorsInTheEnd(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		d := w.create(w.group, "c1", "AWS", 2)
		x := w.take(w.group, "c1")
		w.deleted("c1")
		w.pass(time.Hour)
		if parts, _ := w.needs(w.group, 0); len(parts) != 0 {
			t.Errorf("the key is still needed by %v", parts)
		}
		if ids := w.due(); !slices.Equal(ids, []string{d.ID}) || len(w.stored()) != 2 || strings.Contains(w.log.String(), "remove them by hand") {
			t.Errorf("after an hour: due is %v, and the store has %v", ids, w.stored())
		}
		w.pass(31 * 24 * time.Hour)
		for _, p := range x.Parts {
			if !strings.Contains(w.log.String(), "remove them by hand") || !strings.Contains(w.log.String(), p.ID) {
				t.Errorf("the operator is not told of %s", p.ID)
			}
		}
		if ids := w.due(); len(ids) != 0 {
			t.Errorf("%v is looked at for ever", ids)
		}
	})
}

func TestAClusterThatIsMadeLaterRemovesTheFiles(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.create(w.group, "c1", "AWS", 2)
		w.take(w.group, "c1")
		w.deleted("c1")
		w.pass(29 * 24 * time.Hour)
		d := w.create(w.group, "c2", "AWS", 1)
		if _, err := w.service.DeleteSchedule(t.Context(), w.caller, w.group, "c2"); err != nil {
			t.Fatal(err)
		}
		w.pass(24 * time.Hour)
		if got := w.stored(); len(got) != 0 {
			t.Errorf("the store has %v\n%s", got, w.log.String())
		}
		if ids := w.due(); slices.ContainsFunc(ids, func(id string) bool { return id != d.ID }) {
			t.Errorf("%v is looked at for ever", ids)
		}
		if strings.Contains(w.log.String(), "remove them by hand") {
			t.Error("the operator is called in vain")
		}
	})
}
