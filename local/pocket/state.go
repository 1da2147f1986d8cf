package pocket

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"

	"go.etcd.io/bbolt"
)

// State keeps a cloud's documents: JSON by kind and id. Put returns when the document is safe.
// Implementations are safe for concurrent use; a service that reads and then writes a
// document takes a lock of its own.
type State interface {
	// Get decodes a document into v. found is false if there is none.
	Get(kind, id string, v any) (found bool, err error)
	Put(kind, id string, v any) error
	Delete(kind, id string) error
	// Each calls fn for every document of a kind in the order of the ids.
	Each(kind string, fn func(id string, body []byte) error) error
}

// Memory is a State that ends with the process, for tests.
func Memory() State { return &memory{kinds: map[string]map[string][]byte{}} }

type memory struct {
	mu    sync.Mutex
	kinds map[string]map[string][]byte
}

func (m *memory) Get(kind, id string, v any) (bool, error) {
	m.mu.Lock()
	body, ok := m.kinds[kind][id]
	m.mu.Unlock()
	if !ok {
		return false, nil
	}
	return true, decode(kind, id, body, v)
}

func (m *memory) Put(kind, id string, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("pocket: encode %s %s: %w", kind, id, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.kinds[kind] == nil {
		m.kinds[kind] = map[string][]byte{}
	}
	m.kinds[kind][id] = body
	return nil
}

func (m *memory) Delete(kind, id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.kinds[kind], id)
	return nil
}

func (m *memory) Each(kind string, fn func(string, []byte) error) error {
	m.mu.Lock()
	docs := maps.Clone(m.kinds[kind])
	m.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(docs)) {
		if err := fn(id, docs[id]); err != nil {
			return err
		}
	}
	return nil
}

// Bolt is a State in a bbolt file. Each write is synced before it is acknowledged.
func Bolt(db *bbolt.DB) State { return bolt{db} }

type bolt struct{ db *bbolt.DB }

func (b bolt) Get(kind, id string, v any) (bool, error) {
	var body []byte
	err := b.db.View(func(tx *bbolt.Tx) error {
		if bucket := tx.Bucket([]byte(kind)); bucket != nil {
			body = slices.Clone(bucket.Get([]byte(id)))
		}
		return nil
	})
	if err != nil || body == nil {
		return false, err
	}
	return true, decode(kind, id, body, v)
}

func (b bolt) Put(kind, id string, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("pocket: encode %s %s: %w", kind, id, err)
	}
	return b.db.Update(func(tx *bbolt.Tx) error {
		bucket, err := tx.CreateBucketIfNotExists([]byte(kind))
		if err != nil {
			return err
		}
		return bucket.Put([]byte(id), body)
	})
}

func (b bolt) Delete(kind, id string) error {
	return b.db.Update(func(tx *bbolt.Tx) error {
		if bucket := tx.Bucket([]byte(kind)); bucket != nil {
			return bucket.Delete([]byte(id))
		}
		return nil
	})
}

func (b bolt) Each(kind string, fn func(string, []byte) error) error {
	docs := &memory{kinds: map[string]map[string][]byte{kind: {}}}
	err := b.db.View(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket([]byte(kind))
		if bucket == nil {
			return nil
		}
		return bucket.ForEach(func(k, v []byte) error {
			docs.kinds[kind][string(k)] = slices.Clone(v)
			return nil
		})
	})
	if err != nil {
		return err
	}
	return docs.Each(kind, fn) // outside the transaction, so that fn may write
}

func decode(kind, id string, body []byte, v any) error {
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("pocket: decode %s %s: %w", kind, id, err)
	}
	return nil
}
