// Package notify assembles the function that hears of what is written to the table: it delivers
// notifications and e-mails, and publishes events for operators. It opens the secrets of
// notifications, and may use no tenant's key.
package notify

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"latchkey/shared/alert"
	"latchkey/shared/alert/alertapi"
	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/notification"
	"latchkey/shared/obs"
	"latchkey/shared/project"
	"latchkey/shared/store"
	"latchkey/shared/store/dynamo"
	"latchkey/shared/store/keys"
)

// Deps are what the function needs. Fields without a comment are required.
type Deps struct {
	Table  store.Table
	Opener notification.Opener
	// Channels has the channel of every kind that is switched on; see Channels.
	Channels map[alert.Kind]notification.Channel
	// Topic is the operator's; nil if nobody listens.
	Topic notification.Channel
	// Bus is the operator's; nil if nobody listens.
	Bus notification.Bus
	// API is the address of the API, which links lead to: "https://….execute-api.….amazonaws.com/v".
	API string
	Now func() time.Time
	// Jitter draws a number from 0 up to 1.
	Jitter func() float64
	Log    *slog.Logger
}

// Delivery assembles what delivers, for this function and for the one that tries again what
// failed.
func Delivery(d Deps) *notification.Service {
	projects := &project.Service{Table: d.Table, Journal: audit.Journal{Table: d.Table, Now: d.Now}, Now: d.Now}
	return &notification.Service{
		Table: d.Table, People: projects, Groups: projects, Opener: d.Opener, Channels: d.Channels, Topic: d.Topic,
		Document: func(a alert.Alert) ([]byte, string, error) { return alertapi.Document(d.API, a) },
		Now:      d.Now, Jitter: d.Jitter, Log: d.Log,
	}
}

// Function handles batches of the table's stream. It is a lambda.Handler.
type Function struct {
	delivery  *notification.Service
	publisher notification.Publisher
	now       func() time.Time
	log       *slog.Logger
}

// New assembles the function.
func New(d Deps) *Function {
	return &Function{
		delivery: Delivery(d), publisher: notification.Publisher{Bus: d.Bus, Log: d.Log}, now: d.Now, log: d.Log,
	}
}

// batch is events.DynamoDBEvent with images that the table's adapter reads; or what a schedule sends,
// which asks for another attempt of what failed.
type batch struct {
	Records  []record `json:"Records"`
	RetryDue bool     `json:"retryDue"`
}

type record struct {
	EventName string `json:"eventName"`
	Change    struct {
		SequenceNumber string       `json:"SequenceNumber"`
		NewImage       dynamo.Image `json:"NewImage"`
	} `json:"dynamodb"`
}

// atOnce is how many deliveries are attempted at once.
const atOnce = 16

// Invoke handles one batch (DynamoDBEvent) and answers which of its records are to come again
// (ReportBatchItemFailures). What can never be handled is logged and counted, and does not come
// again: it would hold up everything behind it.
//
// For the schedule it attempts what is due again, and answers with how much that was. It does so
// itself so that one function alone needs the secrets of notifications and a way out.
func (f *Function) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	var b batch
	if err := json.Unmarshal(payload, &b); err != nil {
		return nil, atlas.Fail(atlas.MalformedJSON).Because(err)
	}
	if b.RetryDue {
		attempted, err := f.delivery.RetryDue(ctx)
		if err != nil {
			return nil, err
		}
		return json.Marshal(map[string]int{"attempted": attempted})
	}
	failed := make([]bool, len(b.Records))
	var published []audit.Event
	var places []int // of the events in the batch
	var deliveries sync.WaitGroup
	room := make(chan struct{}, atOnce)
	for i, r := range b.Records {
		item, ok := f.inserted(ctx, r)
		if !ok {
			continue
		}
		if strings.HasPrefix(item.PK, keys.EventPartition("")) {
			e, err := store.Decode[audit.Event](item)
			if err != nil {
				f.unreadable(ctx, r, err)
				continue
			}
			published, places = append(published, e), append(places, i)
			continue
		}
		room <- struct{}{}
		deliveries.Go(func() {
			defer func() { <-room }()
			if err := f.delivery.Deliver(ctx, item.Key); err != nil {
				failed[i] = true
				f.log.ErrorContext(ctx, "a delivery could not be stored", slog.String("key", item.String()), slog.String("error", err.Error()))
			}
		})
	}
	for _, refused := range f.publisher.Publish(ctx, published) {
		failed[places[refused]] = true
	}
	deliveries.Wait()
	return json.Marshal(f.answer(ctx, b, failed))
}

// inserted returns the item of a record that tells of a new item.
func (f *Function) inserted(ctx context.Context, r record) (store.Item, bool) {
	if r.EventName != string(events.DynamoDBOperationTypeInsert) {
		return store.Item{}, false
	}
	item, err := r.Change.NewImage.Item()
	if err != nil {
		f.unreadable(ctx, r, err)
		return store.Item{}, false
	}
	return item, true
}

func (f *Function) unreadable(ctx context.Context, r record, err error) {
	f.log.ErrorContext(ctx, "a record of the stream cannot be read",
		slog.String("sequenceNumber", r.Change.SequenceNumber), slog.String("error", err.Error()))
	obs.Write(ctx, f.log, f.now(), "stream record dropped", nil, obs.Count{Name: "StreamRecordsDropped", Value: 1})
}

func (f *Function) answer(ctx context.Context, b batch, failed []bool) events.DynamoDBEventResponse {
	answer := events.DynamoDBEventResponse{BatchItemFailures: []events.DynamoDBBatchItemFailure{}}
	for i, r := range b.Records {
		if failed[i] {
			answer.BatchItemFailures = append(answer.BatchItemFailures, events.DynamoDBBatchItemFailure{ItemIdentifier: r.Change.SequenceNumber})
		}
	}
	if n := len(answer.BatchItemFailures); n > 0 {
		obs.Write(ctx, f.log, f.now(), "stream records come again", nil, obs.Count{Name: "StreamRecordsFailed", Value: n})
	}
	return answer
}
