package bolt_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/shared/store"
	"latchkey/shared/store/bolt"
	"latchkey/shared/store/storetest"
)

// The consumers of all feeds here.
const consumer, slow = "consumer", "slow"

func subscribe(t testing.TB, table *bolt.Table, now func() time.Time) *bolt.Feed {
	t.Helper()
	feed, err := table.Subscribe(now, consumer, slow)
	if err != nil {
		t.Fatal(err)
	}
	return feed
}

// forget has both consumers forget; the changes are there until the second has.
func forget(t testing.TB, feed *bolt.Feed, through uint64) error {
	t.Helper()
	before, err := feed.Read(t.Context(), 0, 1)
	if err != nil {
		return err
	}
	if err := feed.Forget(t.Context(), consumer, through); err != nil {
		return err
	}
	if after, err := feed.Read(t.Context(), 0, 1); err != nil || !cmp.Equal(before, after) {
		t.Errorf("one consumer forgot for the other: %v\n%s", err, cmp.Diff(before, after))
	}
	if got, err := feed.Forgotten(t.Context(), consumer); err != nil || got != through {
		t.Errorf("forgotten through %d, %v; want %d", got, err, through)
	}
	return feed.Forget(t.Context(), slow, through)
}

// replay is what somebody knows of the table who has only read its feed.
type replay struct {
	items map[store.Key]store.Item
	after uint64
}

// read reads what is new in the feed. It complains of every change that can't follow from those
// before it: a write that was left out, told twice, or told in another order.
func (r *replay) read(t testing.TB, feed *bolt.Feed) {
	t.Helper()
	if r.items == nil {
		r.items = map[store.Key]store.Item{}
	}
	for {
		changes, err := feed.Read(context.WithoutCancel(t.Context()), r.after, 7) // also while a test is cleaned up
		if err != nil {
			t.Fatal(err)
		}
		if len(changes) == 0 {
			return
		}
		for _, c := range changes {
			if c.Sequence != r.after+1 {
				t.Errorf("change %d follows change %d", c.Sequence, r.after)
			}
			r.after = c.Sequence
			r.apply(t, c)
		}
	}
}

func (r *replay) apply(t testing.TB, c bolt.Change) {
	t.Helper()
	before, known := r.items[c.Item.Key]
	switch c.Kind {
	case bolt.Inserted, bolt.Modified:
		if known != (c.Kind == bolt.Modified) || c.Item.Version != before.Version+1 {
			t.Errorf("change %d: kind %d makes version %d of %s out of version %d", c.Sequence, c.Kind, c.Item.Version, c.Item.Key, before.Version)
		}
		r.items[c.Item.Key] = c.Item
	case bolt.Removed, bolt.Expired:
		if !known {
			t.Errorf("change %d removes %s, which is not there", c.Sequence, c.Item.Key)
		}
		delete(r.items, c.Item.Key)
	default:
		t.Errorf("change %d is of kind %d", c.Sequence, c.Kind)
	}
}

// compare demands that the table is what the feed says.
func (r *replay) compare(t testing.TB, table *bolt.Table) {
	t.Helper()
	stored, err := table.Items()
	if err != nil {
		t.Fatal(err)
	}
	want := map[store.Key]store.Item{}
	for _, item := range stored {
		want[item.Key] = item
	}
	if diff := cmp.Diff(want, r.items); diff != "" {
		t.Errorf("the table (-) and its feed (+):\n%s", diff)
	}
}

// Whatever the suite does to a table, at once or concurrently: who follows the feed knows the table.
func TestFeed_tells_exactly_what_was_written_in_order(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Table {
		table, err := bolt.Open(tempFile(t))
		if err != nil {
			t.Fatal(err)
		}
		feed := subscribe(t, table, time.Now)
		t.Cleanup(func() {
			t.Helper()
			defer table.Close() //nolint:errcheck // the file is gone in a moment
			told := replay{}
			told.read(t, feed)
			told.compare(t, table)
		})
		return table
	})
}

func put(t testing.TB, table *bolt.Table, items ...store.Item) {
	t.Helper()
	for _, item := range items {
		if err := table.Write(t.Context(), store.Put(item)); err != nil {
			t.Fatal(err)
		}
	}
}

func named(sk string) store.Item {
	return store.Item{Key: store.Key{PK: "P", SK: sk}, Body: []byte(`"` + sk + `"`)}
}

func TestFeed_tells_nothing_of_writes_that_failed_and_checks(t *testing.T) {
	table := open(t, tempFile(t))
	feed := subscribe(t, table, time.Now)
	put(t, table, named("a"))
	if err := table.Write(t.Context(), store.Put(named("b")), store.Put(named("a"))); err == nil {
		t.Fatal("the write conflicts with nothing")
	}
	if err := table.Write(t.Context(), store.Check(named("a").Key, 1), store.Delete(named("c").Key, 0)); err != nil {
		t.Fatal(err)
	}
	changes, err := feed.Read(t.Context(), 0, 10)
	if err != nil || len(changes) != 1 || changes[0].Item.SK != "a" {
		t.Errorf("changes = %+v, %v", changes, err)
	}
}

func TestFeed_begins_with_what_was_not_forgotten(t *testing.T) {
	path := tempFile(t)
	table, err := bolt.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	put(t, table, named("before")) // nobody has subscribed
	feed := subscribe(t, table, time.Now)
	put(t, table, named("a"), named("b"), named("c"))
	if err := forget(t, feed, 2); err != nil {
		t.Fatal(err)
	}
	if err := table.Close(); err != nil {
		t.Fatal(err)
	}
	table = open(t, path)
	feed = subscribe(t, table, time.Now)
	put(t, table, named("d"))
	changes, err := feed.Read(t.Context(), 0, 10)
	if err != nil || len(changes) != 2 || changes[0].Item.SK != "c" || changes[1].Item.SK != "d" || changes[1].Sequence != 4 {
		t.Errorf("changes = %+v, %v", changes, err)
	}
}

func TestFeed_keeps_changes_for_a_day(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	table := open(t, tempFile(t))
	feed := subscribe(t, table, func() time.Time { return now })
	put(t, table, named("a"), named("b"))
	now = now.Add(24 * time.Hour)
	put(t, table, named("c"))
	if changes, err := feed.Read(t.Context(), 0, 10); err != nil || len(changes) != 3 {
		t.Errorf("after 24 hours: %+v, %v", changes, err)
	}
	now = now.Add(time.Second)
	put(t, table, named("d"))
	changes, err := feed.Read(t.Context(), 0, 10)
	if err != nil || len(changes) != 2 || changes[0].Item.SK != "c" || !changes[1].At.Equal(now) {
		t.Errorf("after more: %+v, %v", changes, err)
	}
}

func TestFeed_tells_what_expired_apart(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	table := open(t, tempFile(t))
	feed := subscribe(t, table, func() time.Time { return now })
	item := named("a")
	item.Expires = now.Add(time.Hour)
	put(t, table, item)
	if n, err := table.Expire(t.Context(), now.Add(2*time.Hour)); err != nil || n != 1 {
		t.Fatalf("expired: %d, %v", n, err)
	}
	changes, err := feed.Read(t.Context(), 1, 10)
	want := []bolt.Change{{Sequence: 2, At: now, Kind: bolt.Expired, Item: store.Item{Key: item.Key}}}
	if diff := cmp.Diff(want, changes); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}

func TestFeed_wakes_who_waits_for_a_change(t *testing.T) {
	table := open(t, tempFile(t))
	feed := subscribe(t, table, time.Now)
	changed := feed.Changed()
	select {
	case <-changed:
		t.Error("nothing has changed")
	default:
	}
	var writers sync.WaitGroup
	for _, sk := range []string{"a", "b", "c"} {
		writers.Go(func() { put(t, table, named(sk)) })
	}
	<-changed
	writers.Wait()
}
