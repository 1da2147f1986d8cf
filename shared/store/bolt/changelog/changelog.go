// Package changelog keeps what changed in a bbolt file, in order, in that file itself: an entry is
// written in the transaction that makes the change, so there is one exactly if the change is there.
//
// Its invariant: entries have consecutive numbers in the order in which their transactions were
// committed, also across restarts. They stay until every consumer is done with them, but no longer
// than those of a DynamoDB stream. store/bolt and the local stand-in for DynamoDB import it.
package changelog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.etcd.io/bbolt"
)

// The bounds of a log that nobody reads.
const (
	// Retention is how long DynamoDB keeps the records of a stream.
	Retention = 24 * time.Hour
	// maxEntries keeps a file from growing without end within a day.
	maxEntries = 1 << 20
	// maxDropped bounds what an entry takes away of what is too old: more than is added, so that it
	// becomes less, and so little that nobody waits for it.
	maxDropped = 4
)

// ErrDamaged is returned for an entry that this package has not written.
var ErrDamaged = errors.New("changelog: an entry can't be read")

// Entry is one change.
type Entry struct {
	Sequence uint64 // from 1
	At       time.Time
	Body     []byte
}

// Log is a log in one bucket. It is safe for concurrent use.
type Log struct {
	bucket    []byte
	consumers []byte // another bucket: by name, the number of the last entry that one is done with
	now       func() time.Time

	mu       sync.Mutex
	appended chan struct{} // closed when there is more; guarded by mu
}

// Open makes the buckets, unless they are there, and returns the log. Consumers are all that there are: one
// that is new begins with the oldest entry there is, one that is not named any more keeps no entries.
func Open(db *bbolt.DB, bucket string, now func() time.Time, consumers ...string) (*Log, error) {
	l := &Log{bucket: []byte(bucket), consumers: []byte(bucket + "/consumers"), now: now, appended: make(chan struct{})}
	err := db.Update(func(tx *bbolt.Tx) error {
		if _, err := tx.CreateBucketIfNotExists(l.bucket); err != nil {
			return err
		}
		before := tx.Bucket(l.consumers)
		done := map[string][]byte{}
		for _, name := range consumers {
			if done[name] = key(0); before != nil && len(before.Get([]byte(name))) == keySize {
				done[name] = bytes.Clone(before.Get([]byte(name)))
			}
		}
		if before != nil {
			if err := tx.DeleteBucket(l.consumers); err != nil {
				return err
			}
		}
		b, err := tx.CreateBucket(l.consumers)
		for name, sequence := range done {
			if err == nil {
				err = b.Put([]byte(name), sequence)
			}
		}
		return err
	})
	return l, err
}

const (
	keySize  = 8 // of a sequence number
	headSize = 8 // of the time that an entry begins with, in microseconds
)

// Append writes an entry, which is there once the transaction is committed.
func (l *Log) Append(tx *bbolt.Tx, body []byte) error {
	b := tx.Bucket(l.bucket)
	b.FillPercent = 1 // nothing is ever put between two entries
	sequence, err := b.NextSequence()
	if err != nil {
		return err
	}
	now := l.now()
	if err := drop(b, sequence, now.Add(-Retention)); err != nil {
		return err
	}
	head := binary.BigEndian.AppendUint64(make([]byte, 0, headSize+len(body)), uint64(now.UnixMicro()))
	if err := b.Put(key(sequence), append(head, body...)); err != nil {
		return err
	}
	tx.OnCommit(l.announce)
	return nil
}

// drop takes away the oldest entries if nobody came for them in time.
func drop(b *bbolt.Bucket, sequence uint64, before time.Time) error {
	c := b.Cursor()
	for range maxDropped {
		k, v := c.First()
		if k == nil {
			return nil
		}
		e, err := decode(k, v)
		if err != nil {
			return err
		}
		if !e.At.Before(before) && sequence-e.Sequence < maxEntries {
			return nil
		}
		if err := c.Delete(); err != nil {
			return err
		}
	}
	return nil
}

// announce wakes who waits.
func (l *Log) announce() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.appended)
	l.appended = make(chan struct{})
}

// Appended is closed when an entry has been committed after the call.
func (l *Log) Appended() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.appended
}

// Read returns the entries that follow a sequence number, in order, at most limit of them. Fewer are no
// sign that there are no more: bodies of more than maxSize together are not returned at once.
func (l *Log) Read(tx *bbolt.Tx, after uint64, limit int) ([]Entry, error) {
	var entries []Entry
	size := 0
	c := tx.Bucket(l.bucket).Cursor()
	for k, v := c.Seek(key(after + 1)); k != nil && len(entries) < limit && size < maxSize; k, v = c.Next() {
		e, err := decode(k, v)
		if err != nil {
			return nil, err
		}
		e.Body = bytes.Clone(e.Body) // bbolt's memory is gone after the transaction
		entries = append(entries, e)
		size += len(e.Body)
	}
	return entries, nil
}

// maxSize is when a reading ends: about what one GetRecords of DynamoDB Streams returns.
const maxSize = 1 << 20

// Done is the number of the last entry that a consumer is done with.
func (l *Log) Done(tx *bbolt.Tx, consumer string) (uint64, error) {
	v := tx.Bucket(l.consumers).Get([]byte(consumer))
	if len(v) != keySize {
		return 0, fmt.Errorf("changelog: there is no consumer %q", consumer)
	}
	return binary.BigEndian.Uint64(v), nil
}

// Finish says that a consumer is done with all entries up to a number: what followed from them has been
// done. Entries that nobody needs are removed.
func (l *Log) Finish(tx *bbolt.Tx, consumer string, through uint64) error {
	done, err := l.Done(tx, consumer)
	if err != nil || through <= done {
		return err
	}
	b := tx.Bucket(l.consumers)
	if err := b.Put([]byte(consumer), key(through)); err != nil {
		return err
	}
	err = b.ForEach(func(_, v []byte) error {
		through = min(through, binary.BigEndian.Uint64(v))
		return nil
	})
	if err != nil {
		return err
	}
	return l.trim(tx, through)
}

func (l *Log) trim(tx *bbolt.Tx, through uint64) error {
	c := tx.Bucket(l.bucket).Cursor()
	for k, v := c.First(); k != nil; k, v = c.First() {
		if e, err := decode(k, v); err != nil || e.Sequence > through {
			return err
		}
		if err := c.Delete(); err != nil {
			return err
		}
	}
	return nil
}

func key(sequence uint64) []byte { return binary.BigEndian.AppendUint64(nil, sequence) }

// decode reads an entry whose body is valid within the transaction.
func decode(k, v []byte) (Entry, error) {
	if len(k) != keySize || len(v) < headSize {
		return Entry{}, ErrDamaged
	}
	return Entry{
		Sequence: binary.BigEndian.Uint64(k),
		At:       time.UnixMicro(int64(binary.BigEndian.Uint64(v))).UTC(), //nolint:gosec // as written
		Body:     v[headSize:],
	}, nil
}
