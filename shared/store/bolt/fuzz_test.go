package bolt_test

import (
	"bytes"
	"cmp"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"latchkey/shared/store"
	"latchkey/shared/store/bolt"
)

// FuzzRecord reads back what it writes, and of other bytes, which a damaged file may hold, only what it would have
// written in the same way.
func FuzzRecord(f *testing.F) {
	f.Add("P", "S", "I", "J", int64(7), int64(4_000_000_000), []byte(`{"a":1}`))
	f.Add("", "\x00", "", "", int64(0), int64(0), []byte{})
	f.Add("P\x00\xff", "\xff\xff", "é", "", int64(1)<<62, int64(1), bytes.Repeat([]byte{0x80}, 12))
	f.Fuzz(func(t *testing.T, pk, sk, ipk, isk string, version, expires int64, body []byte) {
		if version < 0 || expires < 0 || expires > 1<<40 {
			return // the port refuses them
		}
		key := store.Key{PK: pk, SK: sk}
		if got, err := bolt.SplitItemKey(bolt.ItemKey(key)); err != nil || got != key {
			t.Errorf("the key %q is read as %q, %v", key, got, err)
		}
		item := store.Item{Key: key, Index: store.Key{PK: ipk, SK: isk}, Version: version, Body: body}
		if expires > 0 {
			item.Expires = time.Unix(expires, 0).UTC()
		}
		got, err := bolt.DecodeItem(key, bolt.EncodeItem(item))
		if err != nil || !bytes.Equal(got.Body, body) {
			t.Fatalf("%+v is read as %+v, %v", item, got, err)
		}
		got.Body = item.Body // of none, either spelling
		if diff := gocmp.Diff(item, got); diff != "" {
			t.Error(diff)
		}
		if other, err := bolt.DecodeItem(key, body); err == nil {
			again, err := bolt.DecodeItem(key, bolt.EncodeItem(other))
			if diff := gocmp.Diff(other, again); err != nil || diff != "" {
				t.Errorf("%q is read as %+v: %v\n%s", body, other, err, diff)
			}
		}
		bolt.SplitItemKey(body) //nolint:errcheck // must not panic
	})
}

// FuzzOrder compares the order of keys in the file with the order of items in the table: by partition, then by sort
// key, and in the index then by the item.
func FuzzOrder(f *testing.F) {
	f.Add("P", "A", "A#", "X", "Y")
	f.Add("P", "A\x00", "A", "", "\x00")
	f.Add("P", "A\x00\xff", "A\x00", "B", "B")
	f.Fuzz(func(t *testing.T, pk, a, b, itemA, itemB string) {
		keyA, keyB := store.Key{PK: pk, SK: a}, store.Key{PK: pk, SK: b}
		if got, want := bytes.Compare(bolt.ItemKey(keyA), bolt.ItemKey(keyB)), strings.Compare(a, b); got != want {
			t.Errorf("%q and %q compare as %d", a, b, got)
		}
		ownA, ownB := store.Key{PK: "P", SK: itemA}, store.Key{PK: "P", SK: itemB}
		got, want := bytes.Compare(bolt.IndexKey(keyA, ownA), bolt.IndexKey(keyB, ownB)), cmp.Or(strings.Compare(a, b), strings.Compare(itemA, itemB))
		if got != want {
			t.Errorf("in the index %q of %q and %q of %q compare as %d", a, itemA, b, itemB, got)
		}
		if other := (store.Key{PK: pk + "x", SK: b}); bytes.HasPrefix(bolt.ItemKey(other), bolt.ItemKey(store.Key{PK: pk})) {
			t.Errorf("%q is within the partition %q", other, pk)
		}
	})
}
