// Package store is the port to Latchkey's one table, modelled on what DynamoDB does well:
// get one item, query one partition by sort-key prefix, query one index, and write several
// items in one transaction with a condition on each.
//
// Its one invariant: every write is conditional on the version that the writer read, so two
// writers never silently overwrite each other. Nothing scans. Adapters are store/dynamo and
// store/bolt; both pass the suite in store/storetest.
package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Key addresses one item: a partition and its place within it.
type Key struct {
	PK string
	SK string
}

// String renders the key for errors and logs.
func (k Key) String() string { return k.PK + "/" + k.SK }

// Item is one stored record.
type Item struct {
	Key
	// Index places the item in the table's one secondary index; the zero Key leaves it out.
	// The index is eventually consistent: an item found there must be read again by its Key
	// before anything is decided on it.
	Index Key
	// Version counts the writes to the item. 0 means the item has never been stored. An item
	// that was deleted and is stored again counts from 1, so an entity that may come back
	// under the same key keeps a record of its end instead of being deleted.
	Version int64
	// Expires is when the item may be removed by the table itself. Zero keeps it for ever.
	// Removal may come days late, so readers must check the time themselves. Second precision;
	// not before 1970.
	Expires time.Time
	// Body is the record as JSON in UTF-8.
	Body []byte
	// Packed asks a write to store the body in as few bytes as the adapter can, where bytes are billed. Then nobody
	// can read it in the table without a tool, so it is for records that are read by the million. Reads do not tell it.
	Packed bool
}

// Query selects items of one partition whose sort key starts with Prefix.
type Query struct {
	PK     string
	Prefix string // of the sort key; "" selects the whole partition
	// Index queries the secondary index: PK and Prefix are matched against Item.Index.
	Index bool
	// From and Until bound the sort key in addition to Prefix: From <= SK < Until. "" leaves that side open.
	From, Until string
	// Descending returns the greatest sort key first.
	Descending bool
	// Limit bounds the items of one page; 0 means the adapter's own bound, which also holds
	// for greater limits.
	Limit int
	// After continues a query behind the page whose Next it is. A query with an After that is
	// not the Next of the same query (which may have another Limit) fails with ErrBadCursor.
	After string
}

// Page is a run of a query's items in sort-key order.
type Page struct {
	Items []Item
	// Next continues the query; "" when this is the last page. The page behind it may turn
	// out to be empty. It is opaque and holds a place in the key order, so that items inserted
	// or removed meanwhile neither repeat nor hide others.
	Next string
}

// Table is the port. Implementations are safe for concurrent use.
type Table interface {
	// Get reads one item with strong consistency. It returns ErrNotFound if there is none,
	// also for a key that no item can have (too long, not UTF-8).
	Get(ctx context.Context, key Key) (Item, error)
	// Query reads one page.
	Query(ctx context.Context, q Query) (Page, error)
	// Write applies every operation or none. It returns a *ConflictError, which matches
	// ErrConflict, when a condition does not hold, or when others write the same items all the
	// time; nothing has happened then. At most MaxWrites operations, one per key. A Write whose
	// answer is lost may have happened; repeating it then conflicts.
	Write(ctx context.Context, ops ...Op) error
}

// The limits, which are DynamoDB's. Every adapter enforces them, so that what works on one
// machine works deployed. See limits.go for how they are counted.
const (
	// MaxWrites is the number of operations one transaction may hold.
	MaxWrites = 100
	// MaxItem is the size of one item's keys and body in bytes. DynamoDB's limit is 400 kB
	// (409,600 bytes); the rest is for the attributes' names and the version.
	MaxItem = 400_000
	// MaxTransaction is the size of all items of a transaction in bytes (DynamoDB: 4 MB).
	MaxTransaction = 4_000_000
	// MaxPK and MaxSK are the sizes of a partition key and a sort key in bytes.
	MaxPK = 2048
	MaxSK = 1024
)

// Op is one operation of a transaction. Make it with Put, Delete or Check.
type Op struct {
	Kind OpKind
	Item Item // Key and Version are the condition; the rest counts for puts only
}

// OpKind tells the operations apart.
type OpKind int

// The operations.
const (
	OpPut OpKind = iota + 1
	OpDelete
	OpCheck
)

// Put stores the item with Version+1 if the stored version is item.Version; 0 demands that
// no item exists.
func Put(item Item) Op { return Op{Kind: OpPut, Item: item} }

// Delete removes the item if its stored version is the given one.
func Delete(key Key, version int64) Op {
	return Op{Kind: OpDelete, Item: Item{Key: key, Version: version}}
}

// Check demands that the stored version is the given one, 0 that no item exists, and changes nothing.
func Check(key Key, version int64) Op {
	return Op{Kind: OpCheck, Item: Item{Key: key, Version: version}}
}

// ErrNotFound is returned by Get for a key that holds no item.
var ErrNotFound = errors.New("store: no such item")

// ErrConflict matches every *ConflictError.
var ErrConflict = errors.New("store: version conflict")

// ErrTooManyWrites is returned for a transaction of more than MaxWrites operations, of none,
// or with the same key twice.
var ErrTooManyWrites = errors.New("store: a transaction holds 1 to 100 operations on distinct keys")

// ErrInvalid is returned for what no table accepts, before anything is read or written: a key
// with an empty part, text that is not UTF-8, a negative version or limit.
var ErrInvalid = errors.New("store: invalid argument")

// ErrTooLarge is returned for an item of more than MaxItem bytes or a transaction of more
// than MaxTransaction, before anything is written.
var ErrTooLarge = errors.New("store: too large")

// ErrBadCursor is returned for a Query.After that is not the Next of a page of that query.
var ErrBadCursor = errors.New("store: not a place in this query")

// ConflictError names the first item whose condition did not hold.
type ConflictError struct{ Key Key }

// Error names the item.
func (e *ConflictError) Error() string { return fmt.Sprintf("store: version conflict on %s", e.Key) }

// Is matches ErrConflict.
func (e *ConflictError) Is(target error) bool { return target == ErrConflict }

// Load reads the item at key and decodes its body into a T. The item's version is returned
// for the write that follows. It returns ErrNotFound if there is none.
func Load[T any](ctx context.Context, t Table, key Key) (value T, version int64, err error) {
	item, err := t.Get(ctx, key)
	if err != nil {
		return value, 0, err
	}
	value, err = Decode[T](item)
	return value, item.Version, err
}

// LoadAll reads and decodes every item of a query.
func LoadAll[T any](ctx context.Context, t Table, q Query) ([]T, error) {
	items, err := All(ctx, t, q)
	if err != nil {
		return nil, err
	}
	values := make([]T, len(items))
	for i, item := range items {
		if values[i], err = Decode[T](item); err != nil {
			return nil, err
		}
	}
	return values, nil
}

// Decode decodes an item's body.
func Decode[T any](item Item) (value T, err error) {
	if err := json.Unmarshal(item.Body, &value); err != nil {
		return value, fmt.Errorf("store: decode %s: %w", item.Key, err)
	}
	return value, nil
}

// Encode builds the item that stores value at key; version is the one that was read, 0 for a
// new item. Set Index and Expires on the result as needed.
func Encode(key Key, version int64, value any) (Item, error) {
	body, err := json.Marshal(value)
	if err != nil {
		return Item{}, fmt.Errorf("store: encode %s: %w", key, err)
	}
	return Item{Key: key, Version: version, Body: body}, nil
}

// All reads every page of a query. Use it only where the partition is known to be small.
func All(ctx context.Context, t Table, q Query) ([]Item, error) {
	var items []Item
	for {
		page, err := t.Query(ctx, q)
		if err != nil {
			return nil, err
		}
		items = append(items, page.Items...)
		if page.Next == "" {
			return items, nil
		}
		q.After = page.Next
	}
}
