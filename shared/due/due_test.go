package due_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/shared/due"
	"latchkey/shared/identity/identitytest"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

var noon = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// world is a queue of items that move to the next day when they are attended to.
type world struct {
	tb    testing.TB
	queue due.Queue
	// before runs first when an item is attended to.
	before func(ctx context.Context, name string) error

	mu       sync.Mutex
	attended []string
}

func newWorld(tb testing.TB) *world {
	tb.Helper()
	w := &world{tb: tb, before: func(context.Context, string) error { return nil }}
	w.queue = due.Queue{Table: identitytest.Table(tb), Partition: keys.AlertDue(noon, "", "").PK, Attend: w.attend}
	return w
}

// add has items fall due, each a second after the one before it; the last one at noon.
func (w *world) add(names ...string) {
	w.tb.Helper()
	for i, name := range names {
		w.put(store.Item{Key: store.Key{PK: name, SK: "x"}}, noon.Add(-time.Duration(len(names)-1-i)*time.Second))
	}
}

func (w *world) put(item store.Item, at time.Time) {
	w.tb.Helper()
	item.Index, item.Body = keys.AlertDue(at, "g", item.PK), []byte(`{}`)
	if err := w.queue.Table.Write(w.tb.Context(), store.Put(item)); err != nil {
		w.tb.Error(err)
	}
}

func (w *world) attend(ctx context.Context, item store.Item) error {
	if err := w.before(ctx, item.PK); err != nil {
		return err
	}
	w.mu.Lock()
	w.attended = append(w.attended, item.PK)
	w.mu.Unlock()
	w.put(item, noon.AddDate(0, 0, 1))
	return nil
}

func names(prefix string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("%s%03d", prefix, i)
	}
	return all
}

func TestRun_attendsToWhatIsDueAndToNothingElse(t *testing.T) {
	w := newWorld(t)
	w.add(names("due", 300)...)
	w.put(store.Item{Key: store.Key{PK: "later", SK: "x"}}, noon.Add(time.Microsecond))
	got, err := w.queue.Run(t.Context(), noon)
	if want := (due.Report{Attended: 300, Oldest: 299 * time.Second}); got != want || err != nil {
		t.Errorf("the run did %+v, %v, want %+v", got, err, want)
	}
	slices.Sort(w.attended)
	if !slices.Equal(w.attended, names("due", 300)) {
		t.Errorf("attended to %q", w.attended)
	}
	if got, err := w.queue.Run(t.Context(), noon); got != (due.Report{}) || err != nil {
		t.Errorf("the next run did %+v, %v", got, err)
	}
}

// What can't be attended to is the oldest of all, run after run.
func TestRun_isHeldUpByNothingThatFails(t *testing.T) {
	w := newWorld(t)
	w.add(slices.Concat(names("broken", 1200), names("fine", 5))...)
	w.before = func(_ context.Context, name string) error {
		switch {
		case strings.HasSuffix(name, "7") && strings.HasPrefix(name, "broken"):
			panic("a bug")
		case strings.HasPrefix(name, "broken"):
			return errors.New("no")
		}
		return nil
	}
	got, err := w.queue.Run(t.Context(), noon)
	if want := (due.Report{Attended: 5, Failed: 1200, Oldest: 1204 * time.Second}); got != want {
		t.Errorf("the run did %+v, want %+v", got, want)
	}
	if err == nil || strings.Count(err.Error(), "attend to") != 10 {
		t.Errorf("it fails with %v", err)
	}
}

// Items of one partition share records, in which transactions meet.
func TestRun_attendsToOneItemOfAPartitionAtATime(t *testing.T) {
	w := newWorld(t)
	for i, name := range names("x", 60) {
		w.put(store.Item{Key: store.Key{PK: fmt.Sprint("p", i%3), SK: name}}, noon.Add(time.Duration(i-60)*time.Second))
	}
	var mu sync.Mutex
	busy := map[string]bool{}
	w.before = func(_ context.Context, name string) error {
		mu.Lock()
		defer mu.Unlock()
		if busy[name] {
			t.Errorf("two of %s at once", name)
		}
		busy[name] = true
		return nil
	}
	attend := w.queue.Attend
	w.queue.Attend = func(ctx context.Context, item store.Item) error {
		err := attend(ctx, item)
		mu.Lock()
		defer mu.Unlock()
		busy[item.PK] = false
		return err
	}
	if got, err := w.queue.Run(t.Context(), noon); got.Attended != 60 || err != nil {
		t.Errorf("the run did %+v, %v", got, err)
	}
}

func TestSafely_makesErrorsOfPanics(t *testing.T) {
	err := due.Safely(func() error { panic("a bug") })
	if err == nil || !strings.Contains(err.Error(), "a bug") || !strings.Contains(err.Error(), "due_test.go") {
		t.Errorf("the panic is %v", err)
	}
}

func TestRun_beginsNothingShortlyBeforeItsTimeIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.add(names("slow", 400)...)
		start := time.Now()
		w.before = func(ctx context.Context, _ string) error {
			if after := time.Since(start); after > 20*time.Second {
				t.Errorf("something is begun after %s", after)
			}
			timer := time.NewTimer(time.Second)
			defer timer.Stop()
			select {
			case <-timer.C:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		got, err := w.queue.Run(ctx, noon)
		if !got.Left || got.Failed > 0 || err != nil || got.Attended < 100 {
			t.Errorf("the run did %+v, %v", got, err)
		}
		start = time.Now()
		rest, err := w.queue.Run(t.Context(), noon)
		if rest.Left || got.Attended+rest.Attended != 400 || err != nil {
			t.Errorf("the next run did %+v after %+v, %v", rest, got, err)
		}
	})
}

func TestRun_saysThatTheTableIsAway(t *testing.T) {
	w := newWorld(t)
	table := &identitytest.FlakyTable{Table: w.queue.Table}
	w.queue.Table = table
	w.add("due")
	table.Break(true)
	if got, err := w.queue.Run(t.Context(), noon); !errors.Is(err, identitytest.ErrTable) || got != (due.Report{}) {
		t.Errorf("the run did %+v, %v", got, err)
	}
}

func TestTimesAreOrderedWhateverTheirZone(t *testing.T) {
	first := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	second := first.Add(time.Nanosecond).In(time.FixedZone("", -3600))
	for _, pair := range [][2]time.Time{{first, second}, {second, first}} {
		if got := due.Earlier(pair[0], pair[1]); !got.Equal(first) {
			t.Errorf("the earlier of %s is %s", pair, got)
		}
		if got := due.Later(pair[0], pair[1]); !got.Equal(second) {
			t.Errorf("the later of %s is %s", pair, got)
		}
	}
}
