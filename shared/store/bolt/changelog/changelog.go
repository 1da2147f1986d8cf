// Package changelog keeps what changed in a bbolt file, in order, in that file itself: an entry is
// written in the transaction that makes the change, so there is one exactly if the change is there.
//
// Its invariant: entries have consecutive numbers in the order in which their transactions were
// committed, also across restarts. They stay until somebody has trimmed them, but no longer than
// those of a DynamoDB stream. store/bolt and the local stand-in for DynamoDB import it.
package changelog

import (
	"bytes"
	"encoding/binary"
	"errors"
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
	bucket []byte
	now    func() time.Time

	mu       sync.Mutex
	appended chan struct{} // closed when there is more; guarded by mu
}

// Open makes the bucket, unless it is there, and returns its log.
func Open(db *bbolt.DB, bucket string, now func() time.Time) (*Log, error) {
	err := db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists([]byte(bucket))
		return err
	})
	return &Log{bucket: []byte(bucket), now: now, appended: make(chan struct{})}, err
}

const headSize = 8 // of the time that an entry begins with, in microseconds

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
	head := binary.BigEndian.AppendUint64(make([]byte, 0, headSize+len(body)), uint64(now.UnixMicro())) //nolint:gosec // after 1970
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

// Trim removes the entries up to a sequence number: they have been read, and what followed from them
// has been done.
func (l *Log) Trim(tx *bbolt.Tx, through uint64) error {
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
	if len(k) != headSize || len(v) < headSize {
		return Entry{}, ErrDamaged
	}
	return Entry{
		Sequence: binary.BigEndian.Uint64(k),
		At:       time.UnixMicro(int64(binary.BigEndian.Uint64(v))).UTC(), //nolint:gosec // as written
		Body:     v[headSize:],
	}, nil
}
