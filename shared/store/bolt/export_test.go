package bolt

import (
	"go.etcd.io/bbolt"

	"latchkey/shared/store"
)

// Syncs reports whether every commit is synced to the disk before it is acknowledged.
func (t *Table) Syncs() bool { return !t.db.NoSync && !t.db.NoGrowSync }

// HoldTurn keeps every write from committing until release is called.
func (t *Table) HoldTurn() (release func()) {
	t.turn <- struct{}{}
	return func() { <-t.turn }
}

// HoldFile lets commits begin and not end until release is called.
func (t *Table) HoldFile() (release func() error, err error) {
	tx, err := t.db.Begin(true)
	if err != nil {
		return nil, err
	}
	return tx.Rollback, nil
}

// Waiting is the number of writes whose commit has not begun.
func (t *Table) Waiting() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.waiting)
}

// Items are all items of the table.
func (t *Table) Items() (items []store.Item, err error) {
	err = t.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(itemBucket)).ForEach(func(k, v []byte) error {
			item, err := decodeEntry(k, v)
			items = append(items, item)
			return err
		})
	})
	return items, err
}

// The forms of keys and records in the file.

func EncodeItem(i store.Item) []byte { return encodeItem(i) }

func DecodeItem(key store.Key, b []byte) (store.Item, error) { return decodeItem(key, b) }

func ItemKey(k store.Key) []byte { return itemKey(k) }

func SplitItemKey(b []byte) (store.Key, error) { return splitItemKey(b) }

func IndexKey(index, item store.Key) []byte { return indexKey(index, item) }
