package storetest

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"sync"

	"latchkey/shared/store"
)

// Memory is a table in memory: a map that passes the suite. What is done to its copies it does not
// see, so that tests make thousands of attempts on one estate, each on a copy of its own.
type Memory struct {
	mu    sync.RWMutex
	items map[store.Key]store.Item
}

// NewMemory is an empty table.
func NewMemory() *Memory { return &Memory{items: map[store.Key]store.Item{}} }

// Copy is another table with the same items.
func (m *Memory) Copy() *Memory {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return &Memory{items: maps.Clone(m.items)}
}

// Items are all that is stored. They must not be changed.
func (m *Memory) Items() map[store.Key]store.Item {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return maps.Clone(m.items)
}

// Get implements store.Table.
func (m *Memory) Get(ctx context.Context, k store.Key) (store.Item, error) {
	if err := ctx.Err(); err != nil {
		return store.Item{}, err
	}
	if err := store.CheckKey(k); err != nil {
		return store.Item{}, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	item, found := m.items[k]
	if !found {
		return store.Item{}, store.ErrNotFound
	}
	return copied(item), nil
}

// Write implements store.Table.
func (m *Memory) Write(ctx context.Context, ops ...store.Op) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := store.Validate(ops); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, op := range ops {
		if m.items[op.Item.Key].Version != op.Item.Version {
			return &store.ConflictError{Key: op.Item.Key}
		}
	}
	for _, op := range ops {
		switch op.Kind {
		case store.OpPut:
			item := copied(op.Item)
			item.Version++
			item.Packed = false
			if !item.Expires.IsZero() {
				item.Expires = item.Expires.UTC().Truncate(1e9)
			}
			m.items[item.Key] = item
		case store.OpDelete:
			delete(m.items, op.Item.Key)
		case store.OpCheck:
		}
	}
	return nil
}

// maxPage is how many bytes a page holds at most, as DynamoDB's.
const maxPage = 1 << 20

// Query implements store.Table.
func (m *Memory) Query(ctx context.Context, q store.Query) (store.Page, error) {
	if err := ctx.Err(); err != nil {
		return store.Page{}, err
	}
	if err := q.Validate(); err != nil {
		return store.Page{}, err
	}
	start, started, err := q.Place()
	if err != nil {
		return store.Page{}, err
	}
	var page store.Page
	size := 0
	for _, item := range m.selected(q) {
		if started && order(q, q.PlaceOf(item), start) <= 0 {
			continue
		}
		if n := len(page.Items); n > 0 && (n == q.Limit || size > maxPage) {
			page.Next = q.NextAfter(page.Items[n-1])
			return page, nil
		}
		size += len(item.Body)
		page.Items = append(page.Items, copied(item))
	}
	return page, nil
}

// selected are all items of a query, in its order.
func (m *Memory) selected(q store.Query) []store.Item {
	low, high, ok := q.Range()
	m.mu.RLock()
	defer m.mu.RUnlock()
	var found []store.Item
	for k, item := range m.items {
		if q.Index {
			k = item.Index
		}
		if ok && k.PK == q.PK && k.SK >= low && (high == "" || k.SK < high) {
			found = append(found, item)
		}
	}
	slices.SortFunc(found, func(a, b store.Item) int { return order(q, q.PlaceOf(a), q.PlaceOf(b)) })
	return found
}

func order(q store.Query, a, b store.Place) int {
	c := cmp.Or(strings.Compare(a.SK, b.SK), strings.Compare(a.Item.PK, b.Item.PK), strings.Compare(a.Item.SK, b.Item.SK))
	if q.Descending {
		return -c
	}
	return c
}

// copied is an item that shares no memory.
func copied(item store.Item) store.Item {
	item.Body = bytes.Clone(item.Body)
	return item
}
