package dynamocloud

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"latchkey/local/pocket"
	"latchkey/shared/store/bolt/changelog"
)

// streamPrefix begins the names of the buckets that hold streams.
const streamPrefix = "dynamodb/streams/"

// Service is the pocket DynamoDB.
type Service struct {
	pocket.Service

	dynamo *dynamo
}

// Change is a record of a table's stream. New is the item as it is stored now; nil if it is gone.
type Change struct {
	Sequence uint64
	At       time.Time
	Kind     string // INSERT, MODIFY or REMOVE
	Expired  bool   // removed by the table itself
	Keys     json.RawMessage
	New      json.RawMessage
	Size     int // of names and values
}

// stored is a change as it is kept.
type stored struct {
	Kind    string
	Expired bool `json:",omitempty"`
	Keys    item
	New     item `json:",omitempty"`
}

// Stream is the stream of a table, as the event source mappings of Lambda read it.
type Stream struct {
	db  *bbolt.DB
	log *changelog.Log
}

// Subscribe has the stream of a table kept from now on, for consumers, which are all that there are. A
// table without consumers keeps nothing. The table need not exist yet; its StreamSpecification is
// described to callers and decides nothing here: records show new images.
func (s *Service) Subscribe(account, region, table string, now func() time.Time, consumers ...string) (*Stream, error) {
	id := account + "/" + region + "/" + table
	log, err := changelog.Open(s.dynamo.db, streamPrefix+id, now, consumers...)
	if err != nil {
		return nil, fmt.Errorf("dynamocloud: stream of %s: %w", table, err)
	}
	s.dynamo.streams.Store(id, log)
	return &Stream{s.dynamo.db, log}, nil
}

// Changed is closed when something has been written after the call.
func (s *Stream) Changed() <-chan struct{} { return s.log.Appended() }

// Read returns the changes that follow a sequence number, at most limit of them, none only if there are
// none.
func (s *Stream) Read(_ context.Context, after uint64, limit int) ([]Change, error) {
	var entries []changelog.Entry
	err := s.db.View(func(tx *bbolt.Tx) error {
		var err error
		entries, err = s.log.Read(tx, after, limit)
		return err
	})
	if err != nil {
		return nil, err
	}
	changes := make([]Change, len(entries))
	for i, e := range entries {
		var kept stored
		if err := json.Unmarshal(e.Body, &kept); err != nil {
			return nil, fmt.Errorf("dynamocloud: record %d of a stream can't be read: %w", e.Sequence, err)
		}
		c := Change{Sequence: e.Sequence, At: e.At, Kind: kept.Kind, Expired: kept.Expired, Size: kept.Keys.size() + kept.New.size()}
		if c.Keys, err = json.Marshal(kept.Keys); err != nil {
			return nil, err
		}
		if kept.New != nil {
			if c.New, err = json.Marshal(kept.New); err != nil {
				return nil, err
			}
		}
		changes[i] = c
	}
	return changes, nil
}

// Forgotten is the sequence number up to which a consumer is done.
func (s *Stream) Forgotten(_ context.Context, consumer string) (through uint64, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		var err error
		through, err = s.log.Done(tx, consumer)
		return err
	})
	return through, err
}

// Forget stores that a consumer is done with the changes up to a sequence number.
func (s *Stream) Forget(_ context.Context, consumer string, through uint64) error {
	return s.db.Update(func(tx *bbolt.Tx) error { return s.log.Finish(tx, consumer, through) })
}

// record adds a write to the stream, if somebody has subscribed: old and i are what was stored before and
// what is now, nil for nothing. A write that changes nothing is none.
func (s *storage) record(old, i item, expired bool) error {
	if s.stream == nil || old == nil && i == nil || old.equal(i) {
		return nil
	}
	kept := stored{Kind: "MODIFY", Expired: expired, New: i}
	shown := i
	switch {
	case i == nil:
		kept.Kind, shown = "REMOVE", old
	case old == nil:
		kept.Kind = "INSERT"
	}
	kept.Keys = item{s.table.Key.Hash: shown[s.table.Key.Hash], s.table.Key.Range: shown[s.table.Key.Range]}
	body, err := json.Marshal(kept)
	if err != nil {
		return err
	}
	return s.stream.Append(s.tx, body)
}

func (i item) equal(o item) bool {
	if len(i) != len(o) || (i == nil) != (o == nil) {
		return false
	}
	for name, v := range i {
		w, ok := o[name]
		if !ok || !v.equal(w) {
			return false
		}
	}
	return true
}
