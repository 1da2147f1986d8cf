package bolt

import (
	"context"
	"time"

	"go.etcd.io/bbolt"

	"latchkey/shared/store"
	"latchkey/shared/store/bolt/changelog"
)

// changeBucket holds the feed of changes, if there is one.
const changeBucket = "changes"

// ChangeKind is what happened to an item.
type ChangeKind byte

// The kinds, in the words of DynamoDB Streams: INSERT, MODIFY and REMOVE.
const (
	Inserted ChangeKind = iota + 1
	Modified
	Removed // by Write
	Expired // by Expire
)

// Change is one write to one item.
type Change struct {
	// Sequence is greater than that of every change before it.
	Sequence uint64
	At       time.Time
	Kind     ChangeKind
	// Item is the item as it is stored now; of one that is gone it is the key.
	Item store.Item
}

// Feed is what has been written to the table, in the order of the writes. Like a stream of DynamoDB
// it tells of each write to an item once, those of one transaction next to each other. In DynamoDB
// only the changes of one item are in order, so nobody may rely on more than that.
type Feed struct {
	table *Table
	log   *changelog.Log
}

// Subscribe has the table keep a feed from now on. It is part of the commit that it tells of, so a
// table without a subscriber does nothing for it. Changes stay until all consumers have forgotten
// them, 24 hours at most; those that consumers of an earlier Open have not forgotten come first.
func (t *Table) Subscribe(now func() time.Time, consumers ...string) (*Feed, error) {
	log, err := changelog.Open(t.db, changeBucket, now, consumers...)
	if err != nil {
		return nil, wrap("subscribe", err)
	}
	t.changes.Store(log)
	return &Feed{table: t, log: log}, nil
}

// Changed is closed when something has been written after the call.
func (f *Feed) Changed() <-chan struct{} { return f.log.Appended() }

// Read returns the changes that follow a sequence number, at most limit of them, and none only if there
// are none. It begins with the oldest one that was not forgotten.
func (f *Feed) Read(ctx context.Context, after uint64, limit int) ([]Change, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var entries []changelog.Entry
	err := f.table.view(func(tx *bbolt.Tx) error {
		var err error
		entries, err = f.log.Read(tx, after, limit)
		return err
	})
	if err != nil {
		return nil, wrap("read changes", err)
	}
	changes := make([]Change, len(entries))
	for i, e := range entries {
		if changes[i], err = decodeChange(e); err != nil {
			return nil, wrap("read changes", err)
		}
	}
	return changes, nil
}

// Forgotten is the sequence number up to which a consumer has forgotten changes.
func (f *Feed) Forgotten(ctx context.Context, consumer string) (through uint64, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	err = f.table.view(func(tx *bbolt.Tx) error {
		var err error
		through, err = f.log.Done(tx, consumer)
		return err
	})
	if err != nil {
		return 0, wrap("read changes", err)
	}
	return through, nil
}

// Forget says that a consumer is done with the changes up to a sequence number. It is committed as a
// write is, and with others.
func (f *Feed) Forget(ctx context.Context, consumer string, through uint64) error {
	if _, err := f.Forgotten(ctx, consumer); err != nil { // within the commit it would fail the writes of others
		return err
	}
	return f.table.enqueue(ctx, &write{forget: func(tx *bbolt.Tx) error {
		return f.log.Finish(tx, consumer, through)
	}, done: make(chan struct{})})
}

// record adds a change to the feed, if there is one.
func (b buckets) record(kind ChangeKind, item store.Item) error {
	if b.changes == nil {
		return nil
	}
	body := append([]byte{byte(kind)}, partition(item.PK)...)
	body = append(body, partition(item.SK)...)
	if kind == Inserted || kind == Modified {
		body = append(body, encodeItem(item)...)
	}
	return b.changes.Append(b.tx, body)
}

func decodeChange(e changelog.Entry) (Change, error) {
	c := Change{Sequence: e.Sequence, At: e.At}
	if len(e.Body) == 0 {
		return c, errDamaged
	}
	c.Kind = ChangeKind(e.Body[0])
	pk, err := splitItemKey(e.Body[1:]) // SK is the rest
	if err != nil {
		return c, err
	}
	sk, err := splitItemKey([]byte(pk.SK)) // SK is the record
	if err != nil {
		return c, err
	}
	c.Item.Key = store.Key{PK: pk.PK, SK: sk.PK}
	switch c.Kind {
	case Inserted, Modified:
		c.Item, err = decodeItem(c.Item.Key, []byte(sk.SK))
		return c, err
	case Removed, Expired:
		return c, nil
	}
	return c, errDamaged
}
