// Package feed is the event source mappings of the template on one machine: what Lambda does with the
// stream of a DynamoDB table.
//
// Its invariant: every record that a mapping's filters let through is handed to the function until
// the function has handled it, or until it was given up as the mapping says and its dead letter was
// sent; records of one item one after the other. A crash may repeat records and omits none.
package feed

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"latchkey/shared/store/bolt"
	"latchkey/shared/store/dynamo"
)

// Kind is what happened to an item.
type Kind string

// The kinds.
const (
	Insert Kind = "INSERT"
	Modify Kind = "MODIFY"
	Remove Kind = "REMOVE"
)

// Record is one record of a stream.
type Record struct {
	Sequence uint64
	At       time.Time
	Kind     Kind
	// Expired says that the table itself removed the item.
	Expired bool
	// Keys and NewImage are attributes with their types, as DynamoDB writes them. What is gone has no
	// image.
	Keys, NewImage json.RawMessage
	// Size is that of names and values together.
	Size int
}

// Source is the stream of a table. Sequence numbers grow by one.
type Source interface {
	// Read returns the records that follow a sequence number, at most limit of them, none only if there
	// are none.
	Read(ctx context.Context, after uint64, limit int) ([]Record, error)
	// Changed is closed when something has been written after the call.
	Changed() <-chan struct{}
	// Forgotten is the sequence number up to which a consumer is done.
	Forgotten(ctx context.Context, consumer string) (uint64, error)
	// Forget stores that.
	Forget(ctx context.Context, consumer string, through uint64) error
}

// Bolt is the stream that DynamoDB would have of a table in a file.
func Bolt(f *bolt.Feed) Source { return boltSource{f} }

type boltSource struct{ *bolt.Feed }

// Read implements Source.
func (s boltSource) Read(ctx context.Context, after uint64, limit int) ([]Record, error) {
	changes, err := s.Feed.Read(ctx, after, limit)
	if err != nil {
		return nil, err
	}
	records := make([]Record, len(changes))
	for i, c := range changes {
		if records[i], err = recordOf(c); err != nil {
			return nil, fmt.Errorf("feed: record %d: %w", c.Sequence, err)
		}
	}
	return records, nil
}

// kinds are those of the table's changes.
var kinds = map[bolt.ChangeKind]Kind{bolt.Inserted: Insert, bolt.Modified: Modify, bolt.Removed: Remove, bolt.Expired: Remove}

func recordOf(c bolt.Change) (Record, error) {
	r := Record{Sequence: c.Sequence, At: c.At, Kind: kinds[c.Kind], Expired: c.Kind == bolt.Expired}
	keys := dynamo.KeysOf(c.Item.Key)
	r.Size = sizeOf(keys)
	var err error
	if r.Keys, err = json.Marshal(keys); err != nil || r.Kind == Remove {
		return r, err
	}
	image := dynamo.ImageOf(c.Item)
	r.Size += sizeOf(image)
	r.NewImage, err = json.Marshal(image)
	return r, err
}

func sizeOf(image dynamo.Image) int {
	n := 0
	for name, v := range image {
		n += len(name)
		if v.S != nil {
			n += len(*v.S)
		}
		if v.N != nil {
			n += len(*v.N)/2 + 1
		}
	}
	return n
}

// event is a record in the event that the function gets.
type event struct {
	EventID        string        `json:"eventID"`
	EventName      Kind          `json:"eventName"`
	EventVersion   string        `json:"eventVersion"`
	EventSource    string        `json:"eventSource"`
	AWSRegion      string        `json:"awsRegion"`
	Change         change        `json:"dynamodb"`
	UserIdentity   *userIdentity `json:"userIdentity,omitempty"`
	EventSourceARN string        `json:"eventSourceARN"`
}

type change struct {
	ApproximateCreationDateTime int64           `json:"ApproximateCreationDateTime"` // seconds since 1970
	Keys                        json.RawMessage `json:"Keys"`
	NewImage                    json.RawMessage `json:"NewImage,omitempty"`
	SequenceNumber              string          `json:"SequenceNumber"`
	SizeBytes                   int             `json:"SizeBytes"`
	StreamViewType              string          `json:"StreamViewType"`
}

// userIdentity says who removed an item that was not removed by a caller.
type userIdentity struct {
	Type        string `json:"type"`
	PrincipalID string `json:"principalId"`
}

// sequenceNumber writes a number with as many digits as DynamoDB's have at least.
func sequenceNumber(n uint64) string { return fmt.Sprintf("%021d", n) }

// eventOf makes the record's event. Its id is the same whenever it is made.
func (m *Mapping) eventOf(r Record) ([]byte, error) {
	sum := sha256.Sum256([]byte(m.StreamARN + " " + sequenceNumber(r.Sequence)))
	e := event{
		EventID: hex.EncodeToString(sum[:16]), EventName: r.Kind, EventVersion: "1.1", EventSource: "aws:dynamodb", AWSRegion: m.region(),
		Change: change{
			ApproximateCreationDateTime: r.At.Unix(), Keys: r.Keys, NewImage: r.NewImage, SequenceNumber: sequenceNumber(r.Sequence),
			SizeBytes: r.Size, StreamViewType: viewType,
		},
		EventSourceARN: m.StreamARN,
	}
	if r.Expired {
		e.UserIdentity = &userIdentity{Type: "Service", PrincipalID: "dynamodb.amazonaws.com"}
	}
	return json.Marshal(e)
}
