package alert_test

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"latchkey/shared/store"
)

// memory is a table without a disk, for properties that write thousands of times. Its pages hold
// everything.
type memory struct {
	mu    sync.Mutex
	items map[store.Key]store.Item
}

func newMemory() *memory { return &memory{items: map[store.Key]store.Item{}} }

func (m *memory) Get(_ context.Context, key store.Key) (store.Item, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if item, ok := m.items[key]; ok {
		return item, nil
	}
	return store.Item{}, store.ErrNotFound
}

func (m *memory) Query(_ context.Context, q store.Query) (store.Page, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	low, high, ok := q.Range()
	place := func(i store.Item) store.Key {
		if q.Index {
			return i.Index
		}
		return i.Key
	}
	var found []store.Item
	for _, item := range m.items {
		if at := place(item); ok && at.PK == q.PK && at.SK >= low && (high == "" || at.SK < high) {
			found = append(found, item)
		}
	}
	slices.SortFunc(found, func(a, b store.Item) int { return cmp.Compare(place(a).SK, place(b).SK) })
	if q.Descending {
		slices.Reverse(found)
	}
	return store.Page{Items: found}, nil
}

func (m *memory) Write(_ context.Context, ops ...store.Op) error {
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
			op.Item.Version++
			m.items[op.Item.Key] = op.Item
		case store.OpDelete:
			delete(m.items, op.Item.Key)
		case store.OpCheck:
		}
	}
	return nil
}
