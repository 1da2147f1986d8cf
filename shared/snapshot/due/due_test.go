package due_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"latchkey/shared/identity/identitytest"
	"latchkey/shared/snapshot/due"
	"latchkey/shared/store"
)

var noon = time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)

// table remembers what is asked of it.
type table struct {
	store.Table

	mu      sync.Mutex
	queries []store.Query
	read    int
}

func open(t *testing.T) *table { return &table{Table: identitytest.Table(t)} }

// Query implements store.Table.
func (t *table) Query(ctx context.Context, q store.Query) (store.Page, error) {
	page, err := t.Table.Query(ctx, q)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.queries = append(t.queries, q)
	t.read += len(page.Items)
	return page, err
}

// tb is what tests and properties have in common.
type tb interface {
	Helper()
	Fatal(args ...any)
	Context() context.Context
}

func wake(t tb, table store.Table, id string, at time.Time) {
	t.Helper()
	for {
		op, err := due.Wake(t.Context(), table, id, at)
		if err == nil {
			err = table.Write(t.Context(), op)
		}
		if err == nil {
			return
		}
		if !errors.Is(err, store.ErrConflict) {
			t.Fatal(err)
		}
	}
}

// done looks at a cluster and ends that, or reports a conflict.
func done(t tb, table store.Table, look due.Look, next time.Time) error {
	t.Helper()
	op, ok, err := look.Done(next)
	if err != nil {
		t.Fatal(err)
	}
	if !ok {
		return nil
	}
	return table.Write(t.Context(), op)
}

func begin(t tb, table store.Table, id string) due.Look {
	t.Helper()
	look, err := due.Begin(t.Context(), table, id)
	if err != nil {
		t.Fatal(err)
	}
	return look
}

// each lists the clusters that are due.
func each(t tb, table store.Table, now time.Time) (ids []string) {
	t.Helper()
	if err := due.Each(t.Context(), table, now, func(id string) bool { ids = append(ids, id); return true }); err != nil {
		t.Fatal(err)
	}
	return slices.Sorted(slices.Values(ids))
}

func clusterID(n int) string { return fmt.Sprintf("%024x", n) }

func TestAClusterIsDueFromItsTimeOn(t *testing.T) {
	t.Parallel()
	table := open(t)
	wake(t, table, clusterID(1), noon)
	for at, want := range map[time.Time][]string{
		noon.Add(-time.Nanosecond): nil, noon: {clusterID(1)}, noon.Add(time.Nanosecond): {clusterID(1)}, noon.AddDate(1, 0, 0): {clusterID(1)},
	} {
		if at.Before(noon) {
			at = noon.Add(-time.Millisecond) // the index is exact to microseconds
		}
		if diff := cmp.Diff(want, each(t, table, at)); diff != "" {
			t.Errorf("at %v (-want +got):\n%s", at, diff)
		}
	}
}

func TestTheEarliestCallCounts(t *testing.T) {
	t.Parallel()
	table := open(t)
	for _, at := range []time.Time{noon, noon.Add(-time.Hour), noon.Add(time.Hour)} {
		wake(t, table, clusterID(1), at)
	}
	if got := each(t, table, noon.Add(-time.Hour)); len(got) != 1 {
		t.Errorf("due an hour before noon is %v", got)
	}
	if err := done(t, table, begin(t, table, clusterID(1)), noon.Add(2*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if got := each(t, table, noon.Add(time.Hour)); len(got) != 0 {
		t.Errorf("after the look, %v is due before it asked to be", got)
	}
}

// What is asked for while a cluster is looked at is not forgotten with the end of the look, even
// if the time that is asked for is later than the one that the look answers.
func TestACallInTheMiddleOfALookIsNotLost(t *testing.T) {
	t.Parallel()
	for _, at := range []time.Time{noon.Add(-time.Hour), noon.Add(time.Hour)} {
		table := open(t)
		wake(t, table, clusterID(1), noon)
		look := begin(t, table, clusterID(1))
		wake(t, table, clusterID(1), at)
		if err := done(t, table, look, time.Time{}); !errors.Is(err, store.ErrConflict) {
			t.Errorf("the look that missed a call at %v ends with %v", at, err)
		}
		if got := each(t, table, noon); len(got) != 1 {
			t.Errorf("due is %v", got)
		}
	}
}

func TestALookThatChangesNothingWritesNothing(t *testing.T) {
	t.Parallel()
	table := open(t)
	for _, next := range []time.Time{{}, noon} {
		if !next.IsZero() {
			wake(t, table, clusterID(1), next)
		}
		if _, ok, err := begin(t, table, clusterID(1)).Done(next.In(time.FixedZone("", 3600))); ok || err != nil {
			t.Errorf("Done(%v) = %t, %v", next, ok, err)
		}
	}
}

// A run reads what is due, by one query per slot, and nothing of the clusters that are not.
func TestOnlyWhatIsDueIsRead(t *testing.T) {
	t.Parallel()
	table := open(t)
	const clusters, dueOnes = 200, 7
	for n := range clusters {
		at := noon.AddDate(0, 1, 0)
		if n < dueOnes {
			at = noon
		}
		wake(t, table, clusterID(n), at)
	}
	table.queries, table.read = nil, 0
	if got := each(t, table, noon); len(got) != dueOnes || table.read != dueOnes {
		t.Errorf("%d are due, and %d were read", len(got), table.read)
	}
	slots := map[string]bool{}
	for _, q := range table.queries {
		if !q.Index || q.Until == "" || !strings.HasPrefix(q.PK, "BACKUPSDUE#") {
			t.Errorf("query %+v", q)
		}
		slots[q.PK] = true
	}
	if len(slots) != due.Slots || len(table.queries) != due.Slots {
		t.Errorf("%d queries of %d slots", len(table.queries), len(slots))
	}
}

// A run that has time for one cluster only begins with another slot every minute, and with the
// longest overdue of the slot.
func TestNoSlotStarves(t *testing.T) {
	t.Parallel()
	table := open(t)
	for n := range 200 {
		wake(t, table, clusterID(n), noon.Add(time.Duration(n)*time.Second))
	}
	first := map[string]bool{}
	for minute := range due.Slots {
		err := due.Each(t.Context(), table, noon.Add(time.Hour+time.Duration(minute)*time.Minute), func(id string) bool {
			first[id] = true
			return false
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(first) != due.Slots {
		t.Errorf("%d runs began with %d clusters", due.Slots, len(first))
	}
	if !first[clusterID(0)] {
		t.Error("the longest overdue is not among them")
	}
}

func TestAFailingTableIsToldAndLosesNothing(t *testing.T) {
	t.Parallel()
	flaky := &identitytest.FlakyTable{Table: identitytest.Table(t)}
	wake(t, flaky, clusterID(1), noon)
	look := begin(t, flaky, clusterID(1))
	flaky.Break(true)
	if err := due.Each(t.Context(), flaky, noon, func(string) bool { return true }); err == nil {
		t.Error("Each tells nothing")
	}
	if _, err := due.Wake(t.Context(), flaky, clusterID(1), noon); err == nil {
		t.Error("Wake tells nothing")
	}
	if err := done(t, flaky, look, time.Time{}); err == nil {
		t.Error("the end of the look tells nothing")
	}
	flaky.Break(false)
	if got := each(t, flaky, noon); len(got) != 1 {
		t.Errorf("due is %v", got)
	}
}

// model is what a perfect memory would know.
type model map[string]time.Time

func (m model) due(now time.Time) []string {
	var ids []string
	for id, at := range m {
		if !at.IsZero() && !at.After(now) {
			ids = append(ids, id)
		}
	}
	return slices.Sorted(slices.Values(ids))
}

// In whatever order calls and looks come, and however looks overlap with them, what is due is
// exactly what was asked for and not looked at since.
func TestNothingDueIsLost(t *testing.T) {
	t.Parallel()
	base, checks := t, 0
	rapid.Check(t, func(t *rapid.T) {
		if checks++; checks > 40 { // each write reaches a disk
			return
		}
		table, known := open(base), model{}
		looks := map[string]due.Look{}
		seen := model{} // when each look began
		minutes := rapid.IntRange(-120, 120)
		draw := func(label string) time.Time { return noon.Add(time.Duration(minutes.Draw(t, label)) * time.Minute) }
		id := func() string { return clusterID(rapid.IntRange(0, 4).Draw(t, "cluster")) }
		t.Repeat(map[string]func(*rapid.T){
			"wake": func(*rapid.T) {
				id, at := id(), draw("at")
				wake(t, table, id, at)
				if known[id].IsZero() || at.Before(known[id]) {
					known[id] = at
				}
			},
			"begin": func(*rapid.T) {
				id := id()
				looks[id], seen[id] = begin(t, table, id), known[id]
			},
			"done": func(*rapid.T) {
				id, next := id(), draw("next")
				look, ok := looks[id]
				if !ok {
					return
				}
				delete(looks, id)
				if rapid.Bool().Draw(t, "never") {
					next = time.Time{}
				}
				op, writes, err := look.Done(next)
				if err != nil {
					t.Fatal(err)
				}
				if !writes {
					return // and so it takes back nothing that came meanwhile
				}
				switch err := table.Write(t.Context(), op); {
				case err == nil && !known[id].Equal(seen[id]):
					t.Fatalf("a look ended that had missed a call at %v", known[id])
				case err == nil:
					known[id] = next
				case !errors.Is(err, store.ErrConflict):
					t.Fatal(err)
				}
			},
			"": func(*rapid.T) {
				now := draw("now")
				if diff := cmp.Diff(known.due(now), each(t, table, now)); diff != "" {
					t.Fatalf("due at %v (-want +got):\n%s", now, diff)
				}
			},
		})
	})
}

// Runs that overlap, with callers at the same time, leave every call served by a look that began
// after it.
func TestRunsAtTheSameTimeLoseNoCall(t *testing.T) {
	t.Parallel()
	table := open(t)
	const clusters, calls = 5, 20
	var mu sync.Mutex
	asked, served := map[string]int{}, map[string]int{} // calls that were stored, and those that a finished look has seen
	run := func() {
		for _, id := range each(t, table, noon) {
			look := begin(t, table, id)
			mu.Lock()
			saw := asked[id]
			mu.Unlock()
			if done(t, table, look, time.Time{}) == nil {
				mu.Lock()
				served[id] = max(served[id], saw)
				mu.Unlock()
			}
		}
	}
	var callers, runs sync.WaitGroup
	over := make(chan struct{})
	for n := range clusters {
		callers.Go(func() {
			for range calls {
				mu.Lock()
				asked[clusterID(n)]++ // before it is stored: whoever sees the record sees what it is about
				mu.Unlock()
				wake(t, table, clusterID(n), noon)
			}
		})
	}
	for range 3 {
		runs.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
					run()
				}
			}
		})
	}
	callers.Wait()
	close(over)
	runs.Wait()
	run()
	if got := each(t, table, noon); len(got) != 0 {
		t.Errorf("%v is still due", got)
	}
	if diff := cmp.Diff(asked, served); diff != "" {
		t.Errorf("calls that no look has seen, of %v (-asked +served):\n%s", slices.Sorted(maps.Keys(asked)), diff)
	}
}
