package journal

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"go.etcd.io/bbolt"
)

// maxGroup bounds the writes of one commit, so that the first of them does not wait long for
// the last.
const maxGroup = 256

// Bolt is a Journal in one bucket of a bbolt file, which is made if there is none. The file
// stays the caller's to close.
func Bolt(db *bbolt.DB, bucket string) (Journal, error) {
	err := db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists([]byte(bucket))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	return &bolt{db: db, bucket: []byte(bucket), turn: make(chan struct{}, 1)}, nil
}

type bolt struct {
	db     *bbolt.DB
	bucket []byte

	turn    chan struct{} // full while somebody commits
	mu      sync.Mutex
	waiting []*write // in order of arrival; guarded by mu
}

type write struct {
	changes []Change
	err     error         // valid once done is closed
	done    chan struct{} // closed when the outcome is known
}

// Write implements Journal. Writes that arrive while another is being synced are committed
// together afterwards, by whoever gets the turn: one sync for all of them, and no delay for a
// write that is alone.
func (b *bolt) Write(changes []Change) error {
	for _, c := range changes {
		if strings.ContainsRune(c.Part+c.Sort, 0) || c.Sort == "" {
			return fmt.Errorf("journal: %q in %q is no key", c.Sort, c.Part)
		}
	}
	w := &write{changes: changes, done: make(chan struct{})}
	b.mu.Lock()
	b.waiting = append(b.waiting, w)
	b.mu.Unlock()
	select {
	case <-w.done:
	case b.turn <- struct{}{}:
		b.commitUntil(w)
	}
	return w.err
}

// commitUntil commits groups until w is done, and then passes the turn on.
func (b *bolt) commitUntil(w *write) {
	defer func() { <-b.turn }()
	for {
		select {
		case <-w.done:
			return
		default:
			b.commit(b.take())
		}
	}
}

func (b *bolt) take() []*write {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := min(len(b.waiting), maxGroup)
	group := b.waiting[:n:n]
	b.waiting = slices.Clone(b.waiting[n:])
	return group
}

var errInterrupted = errors.New("the commit was interrupted")

func (b *bolt) commit(group []*write) {
	err := errInterrupted
	defer func() { // also when bbolt panics on a damaged file, so that nobody waits for ever
		for _, w := range group {
			if err != nil {
				w.err = fmt.Errorf("journal: write: %w", err)
			}
			close(w.done)
		}
	}()
	err = b.db.Update(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket(b.bucket)
		for _, w := range group {
			for _, c := range w.changes {
				if err := apply(bucket, c); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func apply(bucket *bbolt.Bucket, c Change) error {
	if c.Value == nil {
		return bucket.Delete(c.bytes())
	}
	return bucket.Put(c.bytes(), c.Value)
}

// bytes is the key in the bucket: a NUL ends the part, so no part is the beginning of another.
func (k Key) bytes() []byte { return []byte(k.Part + "\x00" + k.Sort) }

// Get implements Journal.
func (b *bolt) Get(key Key) ([]byte, error) {
	var value []byte
	err := b.db.View(func(tx *bbolt.Tx) error {
		value = slices.Clone(tx.Bucket(b.bucket).Get(key.bytes()))
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("journal: get: %w", err)
	}
	return value, nil
}

// scanPage is how many documents a scan reads in one transaction.
const scanPage = 64

type document struct {
	sort  string
	value []byte
}

// Scan implements Journal. It holds no transaction while fn runs.
func (b *bolt) Scan(part, from string, reverse bool, fn func(string, []byte) bool) error {
	for {
		page, err := b.page(part, from, reverse)
		if err != nil {
			return fmt.Errorf("journal: scan: %w", err)
		}
		for _, d := range page {
			if !fn(d.sort, d.value) {
				return nil
			}
			from = d.sort
		}
		if len(page) < scanPage {
			return nil
		}
	}
}

func (b *bolt) page(part, from string, reverse bool) ([]document, error) {
	prefix := []byte(part + "\x00")
	var page []document
	err := b.db.View(func(tx *bbolt.Tx) error {
		cursor := tx.Bucket(b.bucket).Cursor()
		next := cursor.Next
		if reverse {
			next = cursor.Prev
		}
		for k, v := first(cursor, part, from, reverse); bytes.HasPrefix(k, prefix) && len(page) < scanPage; k, v = next() {
			page = append(page, document{sort: string(k[len(prefix):]), value: slices.Clone(v)})
		}
		return nil
	})
	return page, err
}

// first moves the cursor to where a scan begins, and returns what is there.
func first(cursor *bbolt.Cursor, part, from string, reverse bool) (key, value []byte) {
	at := Key{part, from}.bytes()
	if reverse {
		if from == "" {
			at = []byte(part + "\x01") // behind every key of the part
		}
		if k, _ := cursor.Seek(at); k == nil {
			return cursor.Last()
		}
		return cursor.Prev()
	}
	k, v := cursor.Seek(at)
	if bytes.Equal(k, at) {
		return cursor.Next()
	}
	return k, v
}
