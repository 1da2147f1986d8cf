package latchkey_test

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/shared/store"
	"latchkey/shared/store/storetest"
)

// ramTable is a table in memory that can go back to what it was, and tells what was written. It
// passes the suite of every adapter.
type ramTable struct {
	mu      sync.Mutex
	items   map[store.Key]store.Item
	written []store.Key // since the last return
}

func newRAMTable() *ramTable { return &ramTable{items: map[store.Key]store.Item{}} }

// fork is another table that holds the same now.
func (t *ramTable) fork() *ramTable {
	t.mu.Lock()
	defer t.mu.Unlock()
	return &ramTable{items: maps.Clone(t.items)}
}

// returnTo makes the table hold what another one holds.
func (t *ramTable) returnTo(base *ramTable) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.written) > 0 {
		t.items, t.written = maps.Clone(base.items), nil
	}
}

// changes are the keys of what was written since the last return.
func (t *ramTable) changes() []store.Key {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.written)
}

// all is everything that the table holds.
func (t *ramTable) all() []store.Item {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Collect(maps.Values(t.items))
}

// Get implements store.Table.
func (t *ramTable) Get(ctx context.Context, key store.Key) (store.Item, error) {
	if err := ctx.Err(); err != nil {
		return store.Item{}, err
	}
	if err := store.CheckKey(key); err != nil {
		return store.Item{}, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	item, found := t.items[key]
	if !found {
		return store.Item{}, store.ErrNotFound
	}
	item.Body = bytes.Clone(item.Body)
	return item, nil
}

// maxRAMPage is as much as DynamoDB returns at once.
const maxRAMPage = 1 << 20

// Query implements store.Table.
func (t *ramTable) Query(ctx context.Context, q store.Query) (store.Page, error) {
	if err := q.Validate(); err != nil {
		return store.Page{}, err
	}
	from, started, err := q.Place()
	if err != nil {
		return store.Page{}, err
	}
	if err := ctx.Err(); err != nil {
		return store.Page{}, err
	}
	var page store.Page
	size := 0
	for _, item := range t.matching(q) {
		if started && !follows(q, q.PlaceOf(item), from) {
			continue
		}
		if n := len(page.Items); n > 0 && (n == q.Limit || size >= maxRAMPage) {
			page.Next = q.NextAfter(page.Items[n-1])
			break
		}
		item.Body = bytes.Clone(item.Body)
		page.Items = append(page.Items, item)
		size += len(item.Body)
	}
	return page, nil
}

// matching are the items of a query in its order.
func (t *ramTable) matching(q store.Query) []store.Item {
	low, high, ok := q.Range()
	if !ok {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	var found []store.Item
	for _, item := range t.items {
		at := item.Key
		if q.Index {
			at = item.Index
		}
		if at.PK == q.PK && at.SK != "" && at.SK >= low && (high == "" || at.SK < high) {
			found = append(found, item)
		}
	}
	slices.SortFunc(found, func(a, b store.Item) int {
		order := comparePlaces(q.PlaceOf(a), q.PlaceOf(b))
		if q.Descending {
			return -order
		}
		return order
	})
	return found
}

func follows(q store.Query, p, from store.Place) bool {
	order := comparePlaces(p, from)
	if q.Descending {
		return order < 0
	}
	return order > 0
}

func comparePlaces(a, b store.Place) int {
	if c := strings.Compare(a.SK, b.SK); c != 0 {
		return c
	}
	if c := strings.Compare(a.Item.PK, b.Item.PK); c != 0 {
		return c
	}
	return strings.Compare(a.Item.SK, b.Item.SK)
}

// Write implements store.Table.
func (t *ramTable) Write(ctx context.Context, ops ...store.Op) error {
	if err := store.Validate(ops); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, op := range ops {
		if t.items[op.Item.Key].Version != op.Item.Version {
			return &store.ConflictError{Key: op.Item.Key}
		}
	}
	for _, op := range ops {
		switch op.Kind {
		case store.OpPut:
			item := op.Item
			item.Version++
			item.Packed = false
			item.Body = bytes.Clone(item.Body)
			if !item.Expires.IsZero() {
				item.Expires = item.Expires.UTC().Truncate(time.Second)
			}
			t.items[item.Key] = item
		case store.OpDelete:
			delete(t.items, op.Item.Key)
		case store.OpCheck:
			continue
		}
		t.written = append(t.written, op.Item.Key)
	}
	return nil
}

func TestRAMTable_isATable(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(*testing.T) store.Table { return newRAMTable() })
}
