// Package bolt is the table in one file on this machine, for a suite that runs without a cloud.
//
// Its invariant: a write that was acknowledged is on disk, whole, whatever happens to the
// process afterwards. One process has the file open at a time. The local suite and tests
// import it; nothing that is deployed does.
package bolt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"

	"latchkey/shared/store"
	"latchkey/shared/store/bolt/changelog"
)

const (
	fileMode = 0o600 // the table holds sealed secrets and who may do what
	// lockTimeout is how long a second process waits for the file: long enough for a process
	// that is just ending, short enough to tell a person that two are running.
	lockTimeout = 500 * time.Millisecond
	// maxPage bounds the bodies of one page as DynamoDB does, so that paging is met locally too.
	maxPage = 1 << 20
)

// Table is a table in a file.
type Table struct {
	db      *bbolt.DB
	changes atomic.Pointer[changelog.Log] // nil until somebody subscribes

	turn    chan struct{} // full while somebody commits
	mu      sync.Mutex
	waiting []*write // in order of arrival; guarded by mu

	raw      *os.File     // the same file, for what is in no transaction
	readers  sync.RWMutex // held by whoever reads, and by the scrubber against them
	scrubbed int          // the transaction before which nothing deleted is left; guarded by readers
}

// Open opens the table in the file at path, which is made if there is none. Close it.
func Open(path string) (*Table, error) {
	db, err := bbolt.Open(path, fileMode, &bbolt.Options{Timeout: lockTimeout, FreelistType: bbolt.FreelistMapType})
	if errors.Is(err, bbolterrors.ErrTimeout) {
		return nil, fmt.Errorf("bolt: %s is in use by another process; stop that one first", path)
	}
	if err != nil {
		return nil, fmt.Errorf("bolt: open %s: %w", path, err)
	}
	if err := prepare(db, path); err != nil {
		return nil, errors.Join(fmt.Errorf("bolt: prepare %s: %w", path, err), db.Close())
	}
	raw, err := os.OpenFile(path, os.O_RDWR, 0) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, errors.Join(fmt.Errorf("bolt: open %s: %w", path, err), db.Close())
	}
	return &Table{db: db, turn: make(chan struct{}, 1), raw: raw}, nil
}

// view reads in one transaction.
func (t *Table) view(fn func(tx *bbolt.Tx) error) error {
	t.readers.RLock()
	defer t.readers.RUnlock()
	return t.db.View(fn)
}

// prepare makes the buckets, takes rights away that a copied file may have brought along, and
// sees to it that the file's name survives a crash as well as its content.
func prepare(db *bbolt.DB, path string) error {
	if err := os.Chmod(path, fileMode); err != nil {
		return err
	}
	err := db.Update(func(tx *bbolt.Tx) error {
		for _, name := range []string{itemBucket, indexBucket, expiryBucket} {
			if _, err := tx.CreateBucketIfNotExists([]byte(name)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Close waits for what is under way and closes the file. Later calls fail.
func (t *Table) Close() error { return errors.Join(t.db.Close(), t.raw.Close()) }

// Get implements store.Table.
func (t *Table) Get(ctx context.Context, key store.Key) (store.Item, error) {
	if err := store.CheckKey(key); err != nil {
		return store.Item{}, err
	}
	if err := ctx.Err(); err != nil {
		return store.Item{}, err
	}
	var item store.Item
	err := t.view(func(tx *bbolt.Tx) error {
		record := tx.Bucket([]byte(itemBucket)).Get(itemKey(key))
		if record == nil {
			return store.ErrNotFound
		}
		var err error
		item, err = decodeItem(key, record)
		return err
	})
	if err != nil {
		return store.Item{}, wrap("get", err)
	}
	return item, nil
}

// Query implements store.Table.
func (t *Table) Query(ctx context.Context, q store.Query) (store.Page, error) {
	if err := q.Validate(); err != nil {
		return store.Page{}, err
	}
	s, ok, err := newScan(q)
	if err != nil || !ok {
		return store.Page{}, err
	}
	if err := ctx.Err(); err != nil {
		return store.Page{}, err
	}
	var page store.Page
	err = t.view(func(tx *bbolt.Tx) error {
		var err error
		page, err = read(tx, q, s)
		return err
	})
	if err != nil {
		return store.Page{}, wrap("query", err)
	}
	return page, nil
}

// read collects one page. It looks one item further than the page reaches, so Next is set
// only if there is more.
func read(tx *bbolt.Tx, q store.Query, s scan) (store.Page, error) {
	var page store.Page
	size := 0
	items := tx.Bucket([]byte(itemBucket))
	bucket := items
	if q.Index {
		bucket = tx.Bucket([]byte(indexBucket))
	}
	for key, value := range s.over(bucket.Cursor()) {
		if n := len(page.Items); n > 0 && (n == q.Limit || size >= maxPage) {
			page.Next = q.NextAfter(page.Items[n-1])
			return page, nil
		}
		if q.Index {
			key, value = value, items.Get(value)
		}
		item, err := decodeEntry(key, value)
		if err != nil {
			return store.Page{}, err
		}
		page.Items = append(page.Items, item)
		size += len(value)
	}
	return page, nil
}

// wrap says where an error of the file comes from and leaves the port's own errors as they are.
func wrap(verb string, err error) error {
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrConflict) {
		return err
	}
	return fmt.Errorf("bolt: %s: %w", verb, err)
}
