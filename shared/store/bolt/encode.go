package bolt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"iter"
	"time"

	"go.etcd.io/bbolt"

	"latchkey/shared/store"
)

// The buckets. The item bucket is the truth; the other two are made from it in the same
// transaction. A feed's is a fourth; see feed.go.
const (
	itemBucket   = "items"  // itemKey → record
	indexBucket  = "index"  // indexKey → itemKey
	expiryBucket = "expiry" // expiryKey → nothing
)

// errDamaged is returned for bytes that this package has not written.
var errDamaged = errors.New("the file is damaged: a record can't be read")

// itemKey orders items by sort key within their partition: the length of the partition key,
// the partition key, the sort key. The length keeps partitions apart whatever their keys hold.
func itemKey(k store.Key) []byte { return append(partition(k.PK), k.SK...) }

func partition(pk string) []byte {
	return append(binary.AppendUvarint(nil, uint64(len(pk))), pk...)
}

func splitItemKey(b []byte) (store.Key, error) {
	size, n := binary.Uvarint(b)
	if n <= 0 || size > uint64(len(b)-n) { //nolint:gosec // a length
		return store.Key{}, errDamaged
	}
	end := n + int(size) //nolint:gosec // bounded by len(b)
	return store.Key{PK: string(b[n:end]), SK: string(b[end:])}, nil
}

// indexKey orders by the index's sort key, then by the item's own key.
func indexKey(index, item store.Key) []byte {
	b := append(partition(index.PK), escape(index.SK)...)
	b = append(b, 0, 0)
	return append(b, itemKey(item)...)
}

// escape keeps a sort key in order when something follows it: it writes every zero byte as
// 0x00 0xff, so that 0x00 0x00 can end it and sorts before any longer key.
func escape(sk string) []byte {
	return bytes.ReplaceAll([]byte(sk), []byte{0}, []byte{0, 0xff})
}

func expiryKey(at time.Time, item []byte) []byte {
	return append(binary.BigEndian.AppendUint64(nil, uint64(at.Unix())), item...) //nolint:gosec // the port refuses times before 1970
}

// recordFormat is the first byte of every record, for a format that may come.
const recordFormat = 1

func encodeItem(i store.Item) []byte {
	b := make([]byte, 0, len(i.Body)+len(i.Index.PK)+len(i.Index.SK)+32)
	b = append(b, recordFormat)
	b = binary.AppendUvarint(b, uint64(i.Version)) //nolint:gosec // never negative
	expires := int64(0)
	if !i.Expires.IsZero() {
		expires = i.Expires.Unix()
	}
	b = binary.AppendVarint(b, expires)
	b = append(b, partition(i.Index.PK)...)
	b = append(b, partition(i.Index.SK)...)
	return append(b, i.Body...)
}

// decodeItem copies what it returns: bbolt's memory is gone after the transaction.
func decodeItem(key store.Key, b []byte) (store.Item, error) {
	if len(b) == 0 || b[0] != recordFormat {
		return store.Item{}, errDamaged
	}
	version, n := binary.Uvarint(b[1:])
	if n <= 0 {
		return store.Item{}, errDamaged
	}
	b = b[1+n:]
	expires, n := binary.Varint(b)
	if n <= 0 {
		return store.Item{}, errDamaged
	}
	index, err := splitItemKey(b[n:]) // the index's partition key; SK is the rest
	if err != nil {
		return store.Item{}, err
	}
	rest, err := splitItemKey([]byte(index.SK)) // the index's sort key; SK is the body
	if err != nil {
		return store.Item{}, err
	}
	item := store.Item{
		Key: key, Index: store.Key{PK: index.PK, SK: rest.PK}, Version: int64(version), Body: []byte(rest.SK), //nolint:gosec // as written
	}
	if expires != 0 {
		item.Expires = time.Unix(expires, 0).UTC()
	}
	return item, nil
}

func decodeEntry(key, record []byte) (store.Item, error) {
	k, err := splitItemKey(key)
	if err != nil {
		return store.Item{}, err
	}
	return decodeItem(k, record)
}

// scan is a query in terms of one bucket's keys: low <= key < high, beginning behind after.
type scan struct {
	low, high, after []byte
	descending       bool
}

// newScan translates a query. ok is false if no item can match it.
func newScan(q store.Query) (s scan, ok bool, err error) {
	place, started, err := q.Place()
	if err != nil {
		return scan{}, false, err
	}
	low, high, ok := q.Range()
	sortKey := func(sk string) []byte { return append(partition(q.PK), sk...) }
	if q.Index {
		sortKey = func(sk string) []byte { return append(partition(q.PK), escape(sk)...) }
	}
	s = scan{low: sortKey(low), high: sortKey(high), descending: q.Descending}
	if high == "" {
		s.high = following(partition(q.PK))
	}
	switch {
	case started && q.Index:
		s.after = indexKey(store.Key{PK: q.PK, SK: place.SK}, place.Item)
	case started:
		s.after = itemKey(store.Key{PK: q.PK, SK: place.SK})
	}
	return s, ok, nil
}

// following is the least key above every key that starts with prefix. A partition is never
// all 0xff, since its key is UTF-8.
func following(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			next := bytes.Clone(prefix[:i+1])
			next[i]++
			return next
		}
	}
	return nil
}

// over yields the entries of the scan in its order. They are valid within the transaction.
func (s scan) over(c *bbolt.Cursor) iter.Seq2[[]byte, []byte] {
	return func(yield func(k, v []byte) bool) {
		for k, v := s.first(c); k != nil; k, v = s.next(c) {
			if bytes.Compare(k, s.low) < 0 || bytes.Compare(k, s.high) >= 0 || !yield(k, v) {
				return
			}
		}
	}
}

func (s scan) first(c *bbolt.Cursor) (k, v []byte) {
	if !s.descending {
		if s.after == nil {
			return c.Seek(s.low)
		}
		if k, v = c.Seek(s.after); bytes.Equal(k, s.after) {
			return c.Next()
		}
		return k, v
	}
	end := s.high
	if s.after != nil {
		end = s.after
	}
	if k, _ = c.Seek(end); k == nil {
		return c.Last()
	}
	return c.Prev()
}

func (s scan) next(c *bbolt.Cursor) (k, v []byte) {
	if s.descending {
		return c.Prev()
	}
	return c.Next()
}
