package bolt

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"latchkey/shared/store"
	"latchkey/shared/store/bolt/changelog"
)

// maxGroup bounds the writes of one commit, so that the first of them does not wait long for
// the last.
const maxGroup = 256

// write is one transaction of the port on its way to the disk.
type write struct {
	ops    []store.Op
	forget func(*bbolt.Tx) error // of a consumer of changes, in the place of ops
	err    error                 // valid once done is closed
	done   chan struct{}         // closed when the outcome is known
}

// Write implements store.Table. Writes that arrive while another is being synced wait and are
// committed together afterwards: one sync for all of them, no delay for a write that is alone.
// Whoever gets the turn first commits for everybody, so there is no goroutine to stop.
//
// Once its commit has begun a write no longer heeds ctx; an error of ctx means that nothing
// has happened.
func (t *Table) Write(ctx context.Context, ops ...store.Op) error {
	if err := store.Validate(ops); err != nil {
		return err
	}
	return t.enqueue(ctx, &write{ops: ops, done: make(chan struct{})})
}

// enqueue waits until a write has been committed, or has failed.
func (t *Table) enqueue(ctx context.Context, w *write) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	t.mu.Lock()
	t.waiting = append(t.waiting, w)
	t.mu.Unlock()
	select {
	case <-w.done:
	case t.turn <- struct{}{}:
		t.commitUntil(w)
	case <-ctx.Done():
		if t.withdraw(w) {
			return ctx.Err()
		}
		<-w.done
	}
	return w.err
}

// commitUntil commits groups until w is done, and then passes the turn on.
func (t *Table) commitUntil(w *write) {
	defer func() { <-t.turn }()
	for {
		select {
		case <-w.done:
			return
		default:
			t.commit(t.take())
		}
	}
}

func (t *Table) take() []*write {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := min(len(t.waiting), maxGroup)
	group := t.waiting[:n:n]
	t.waiting = slices.Clone(t.waiting[n:])
	return group
}

// withdraw takes w out of the queue and reports whether it was still there.
func (t *Table) withdraw(w *write) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	before := len(t.waiting)
	t.waiting = slices.DeleteFunc(t.waiting, func(o *write) bool { return o == w })
	return len(t.waiting) < before
}

// commit applies a group in one transaction of the file. A write whose conditions do not hold
// has changed nothing and takes no other down with it; an error of the file fails them all.
func (t *Table) commit(group []*write) {
	err := errInterrupted
	defer func() { // also when bbolt panics on a damaged file, so that nobody waits for ever
		for _, w := range group {
			if err != nil {
				w.err = wrap("write", err)
			}
			close(w.done)
		}
	}()
	err = t.db.Update(func(tx *bbolt.Tx) error {
		b := t.bucketsOf(tx)
		for _, w := range group {
			if err := b.apply(w); err != nil {
				return err
			}
		}
		return nil
	})
}

var errInterrupted = errors.New("the commit was interrupted")

type buckets struct {
	tx                   *bbolt.Tx
	items, index, expiry *bbolt.Bucket
	changes              *changelog.Log // nil if nobody has subscribed
}

func (t *Table) bucketsOf(tx *bbolt.Tx) buckets {
	return buckets{
		tx: tx, items: tx.Bucket([]byte(itemBucket)), index: tx.Bucket([]byte(indexBucket)), expiry: tx.Bucket([]byte(expiryBucket)),
		changes: t.changes.Load(),
	}
}

// apply checks every condition before it changes anything, because a bbolt transaction can't
// undo a part of itself. It puts the write's own failure into w.err and returns errors of the
// file, after which nothing of the group may be committed.
func (b buckets) apply(w *write) error {
	if w.forget != nil {
		return w.forget(b.tx)
	}
	stored := make([]store.Item, len(w.ops))
	for i, op := range w.ops {
		if record := b.items.Get(itemKey(op.Item.Key)); record != nil {
			var err error
			if stored[i], err = decodeItem(op.Item.Key, record); err != nil {
				w.err = fmt.Errorf("bolt: write %s: %w", op.Item.Key, err) // its own write only
				return nil
			}
		}
		if stored[i].Version != op.Item.Version {
			w.err = &store.ConflictError{Key: op.Item.Key}
			return nil
		}
	}
	for i, op := range w.ops {
		if op.Kind == store.OpCheck || (op.Kind == store.OpDelete && op.Item.Version == 0) {
			continue
		}
		if err := b.change(stored[i], op); err != nil {
			return err
		}
	}
	return nil
}

// change replaces what is stored by what an operation puts there, or by nothing.
func (b buckets) change(stored store.Item, op store.Op) error {
	if err := b.remove(stored); err != nil {
		return err
	}
	if op.Kind != store.OpPut {
		return b.record(Removed, stored)
	}
	item := op.Item
	item.Version++
	if err := b.put(item); err != nil {
		return err
	}
	if stored.Version == 0 {
		return b.record(Inserted, item)
	}
	return b.record(Modified, item)
}

// put stores an item.
func (b buckets) put(item store.Item) error {
	key := itemKey(item.Key)
	if err := b.items.Put(key, encodeItem(item)); err != nil {
		return err
	}
	if item.Index != (store.Key{}) {
		if err := b.index.Put(indexKey(item.Index, item.Key), key); err != nil {
			return err
		}
	}
	if item.Expires.IsZero() {
		return nil
	}
	return b.expiry.Put(expiryKey(item.Expires, key), nil)
}

// remove takes an item out of all buckets; one that has never been stored is in none.
func (b buckets) remove(item store.Item) error {
	if item.Version == 0 {
		return nil
	}
	key := itemKey(item.Key)
	if err := b.items.Delete(key); err != nil {
		return err
	}
	if item.Index != (store.Key{}) {
		if err := b.index.Delete(indexKey(item.Index, item.Key)); err != nil {
			return err
		}
	}
	if item.Expires.IsZero() {
		return nil
	}
	return b.expiry.Delete(expiryKey(item.Expires, key))
}

// maxExpired bounds the removals of one commit, so that writers need not wait for a long one.
const maxExpired = 500

// Expire removes the items whose time has come by now and tells how many. Readers never do.
func (t *Table) Expire(ctx context.Context, now time.Time) (int, error) {
	total := 0
	for {
		if err := ctx.Err(); err != nil {
			return total, err
		}
		n := 0
		err := t.db.Update(func(tx *bbolt.Tx) error {
			var err error
			n, err = t.bucketsOf(tx).expire(now)
			return err
		})
		if err != nil {
			return total, wrap("expire", err)
		}
		total += n
		if n < maxExpired {
			return total, nil
		}
	}
}

func (b buckets) expire(now time.Time) (int, error) {
	var due [][]byte // keys of items; collected first, since a cursor does not outlive a deletion
	c := b.expiry.Cursor()
	for k, _ := c.First(); k != nil && len(due) < maxExpired; k, _ = c.Next() {
		if len(k) < timeSize || int64(binary.BigEndian.Uint64(k)) > now.Unix() { //nolint:gosec // as written
			break
		}
		due = append(due, bytes.Clone(k[timeSize:]))
	}
	for _, key := range due {
		item, err := decodeEntry(key, b.items.Get(key))
		if err != nil {
			return 0, err
		}
		if err := b.remove(item); err != nil {
			return 0, err
		}
		if err := b.record(Expired, item); err != nil {
			return 0, err
		}
	}
	return len(due), nil
}

const timeSize = 8 // of the seconds that an expiry key begins with
