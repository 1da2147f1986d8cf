package dynamocloud

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"go.etcd.io/bbolt"

	"latchkey/local/pocket/awscloud"
	"latchkey/shared/store/bolt/changelog"
)

// keys are the two parts of a key.
type keys struct{ hash, sort string }

// partition begins the keys of all items of a partition. The length keeps partitions apart
// whatever their names hold.
func partition(hash string) []byte {
	return append(binary.AppendUvarint(nil, uint64(len(hash))), hash...)
}

// bytes orders items by sort key within their partition.
func (k keys) bytes() []byte { return append(partition(k.hash), k.sort...) }

// entryKey orders an index by its sort key, then by the item's own key.
func entryKey(k keys, item []byte) []byte {
	b := append(partition(k.hash), escape(k.sort)...)
	return append(append(b, 0, 0), item...)
}

// escape keeps a sort key in order when something follows it: 0x00 0x00 can end it then and
// sorts before any longer key.
func escape(sort string) []byte {
	return bytes.ReplaceAll([]byte(sort), []byte{0}, []byte{0, 0xff})
}

// following is the least key above every key that starts with prefix; nil if there is none.
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

// storage is a table within a transaction of the file.
type storage struct {
	tx     *bbolt.Tx
	table  *table
	bucket *bbolt.Bucket
	now    time.Time
	stream *changelog.Log // nil if nobody has subscribed
}

// open finds a table within a transaction.
func (d *dynamo) open(tx *bbolt.Tx, r *awscloud.Request, name string) (*storage, error) {
	b := tables(tx).Bucket(tableID(r, name))
	if b == nil {
		return nil, noTable("Requested resource not found")
	}
	t, err := readTable(b)
	s := &storage{tx: tx, table: t, bucket: b, now: r.Now}
	if log, ok := d.streams.Load(string(tableID(r, name))); ok {
		s.stream, _ = log.(*changelog.Log)
	}
	return s, err
}

func (d *dynamo) view(r *awscloud.Request, name string, fn func(*storage) error) error {
	return d.db.View(func(tx *bbolt.Tx) error {
		s, err := d.open(tx, r, name)
		if err != nil {
			return err
		}
		return fn(s)
	})
}

func (d *dynamo) update(r *awscloud.Request, name string, fn func(*storage) error) error {
	return d.db.Update(func(tx *bbolt.Tx) error {
		s, err := d.open(tx, r, name)
		if err != nil {
			return err
		}
		return fn(s)
	})
}

func (s *storage) items() *bbolt.Bucket  { return s.bucket.Bucket([]byte(itemsBucket)) }
func (s *storage) expiry() *bbolt.Bucket { return s.bucket.Bucket([]byte(expiryBucket)) }

func (s *storage) entries(index string) *bbolt.Bucket {
	return s.bucket.Bucket([]byte(indexPrefix + index))
}

// get reads an item; nil if there is none.
func (s *storage) get(key []byte) (item, error) { return decodeItem(s.items().Get(key)) }

func decodeItem(body []byte) (item, error) {
	if body == nil {
		return nil, nil
	}
	var i item
	if err := json.Unmarshal(body, &i); err != nil {
		return nil, fmt.Errorf("dynamocloud: an item can't be read: %w", err)
	}
	return i, nil
}

// put stores an item in the place of what is at its key, nil for nothing.
func (s *storage) put(key []byte, old, i item) error {
	if err := s.remove(key, old); err != nil {
		return err
	}
	body, err := json.Marshal(i)
	if err != nil {
		return err
	}
	if err := s.items().Put(key, body); err != nil {
		return err
	}
	for _, x := range s.table.Indexes {
		k, ok, err := i.indexKey(x)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		if err := s.entries(x.Name).Put(entryKey(k, key), key); err != nil {
			return err
		}
	}
	return s.schedule(key, i)
}

// remove takes an item out of all buckets.
func (s *storage) remove(key []byte, old item) error {
	if old == nil {
		return nil
	}
	failed := s.items().Delete(key)
	for _, x := range s.table.Indexes {
		if k, ok, err := old.indexKey(x); err == nil && ok {
			failed = errors.Join(failed, s.entries(x.Name).Delete(entryKey(k, key)))
		}
	}
	if at, ok := s.expires(old); ok {
		failed = errors.Join(failed, s.expiry().Delete(append(at, key...)))
	}
	return failed
}

// expires is the beginning of the item's key in the expiry bucket.
func (s *storage) expires(i item) ([]byte, bool) {
	if s.table.Expires == "" || i[s.table.Expires].N == nil {
		return nil, false
	}
	seconds, err := strconv.ParseUint(*i[s.table.Expires].N, 10, 63)
	return binary.BigEndian.AppendUint64(nil, seconds), err == nil
}

func (s *storage) schedule(key []byte, i item) error {
	at, ok := s.expires(i)
	if !ok {
		return nil
	}
	return s.expiry().Put(append(at, key...), nil)
}

// scheduleAll makes the expiry bucket anew.
func (s *storage) scheduleAll() error {
	if err := s.bucket.DeleteBucket([]byte(expiryBucket)); err != nil {
		return err
	}
	if _, err := s.bucket.CreateBucket([]byte(expiryBucket)); err != nil {
		return err
	}
	return s.items().ForEach(func(key, body []byte) error {
		i, err := decodeItem(body)
		if err != nil {
			return err
		}
		return s.schedule(key, i)
	})
}

// maxSwept bounds what a write removes for others, so that it need not wait for a long one.
const maxSwept = 25

// sweep removes items whose time has come. DynamoDB promises no more than to do so some day;
// here every write does a bit of it, so there is no process to stop.
func (s *storage) sweep() error {
	var due [][]byte // collected first, since a cursor does not outlive a deletion
	c := s.expiry().Cursor()
	for k, _ := c.First(); k != nil && len(due) < maxSwept; k, _ = c.Next() {
		if len(k) < timeSize || int64(binary.BigEndian.Uint64(k)) > s.now.Unix() { //nolint:gosec // parsed with 63 bits
			break
		}
		due = append(due, bytes.Clone(k[timeSize:]))
	}
	for _, key := range due {
		old, err := s.get(key)
		if err != nil {
			return err
		}
		if err := s.remove(key, old); err != nil {
			return err
		}
		if err := s.record(old, nil, true); err != nil {
			return err
		}
	}
	return nil
}
