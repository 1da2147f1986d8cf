package notify_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/httpapi/hostiletest"
	"latchkey/shared/identity/identitytest"
	"latchkey/shared/store"
	"latchkey/shared/store/dynamo"
	"latchkey/shared/store/storetest"
	"latchkey/shared/suite/notify"
)

// deaf is a bus that refuses every other event that it is offered.
type deaf struct{ took int }

func (d *deaf) Publish(_ context.Context, all []audit.Event) (refused []int, err error) {
	for i := range all {
		if i%2 == 1 {
			refused = append(refused, i) // and is offered it again
			continue
		}
		d.took++
	}
	return refused, nil
}

// FuzzInvoke handles records of any form. What is no batch is refused as such; of a batch, only records that are there come again, each
// once, and no more events are published than it has records; nothing is written for what was never stored.
func FuzzInvoke(f *testing.F) {
	clock := identitytest.NewClock()
	image := func(item store.Item) string {
		b, err := json.Marshal(dynamo.ImageOf(item))
		if err != nil {
			f.Fatal(err)
		}
		return string(b)
	}
	op, err := audit.Journal{Now: clock.Now}.Put(audit.New(clock.Now(), "ORG_CREATED", audit.System(), "o", group))
	if err != nil {
		f.Fatal(err)
	}
	op.Item.Version = 1
	record := `{"eventName":"INSERT","dynamodb":{"SequenceNumber":"7","NewImage":` + image(op.Item) + `}}`
	notice := `{"eventName":"INSERT","dynamodb":{"SequenceNumber":"8","NewImage":` + image(store.Item{Key: store.Key{PK: "GROUP#" + group, SK: "NOTICE#x"}, Version: 1, Body: []byte(`{"Alert":{}}`)}) + `}}`
	for _, s := range []string{`{"Records":[` + record + `,` + record + `,` + notice + `]}`, `{"Records":[` + record + `,` + record + `]}`, `{"retryDue":true}`, `{}`, `null`, `[]`, `{"Records":[{"eventName":"REMOVE"},null]}`} {
		f.Add(s, uint16(0), uint8(0), false)
		f.Add(s, uint16(5), uint8(3), true)
	}
	sealer := identitytest.NewSealer(f)
	f.Fuzz(func(t *testing.T, payload string, part uint16, way uint8, twisted bool) {
		if twisted {
			payload = hostiletest.Twist(payload, int(part), int(way))
		}
		table, bus := storetest.NewMemory(), &deaf{}
		fn := notify.New(notify.Deps{
			Table: table, Opener: sealer, Bus: bus, API: "https://api.example/v", Now: clock.Now, Jitter: func() float64 { return 0 }, Log: slog.New(slog.DiscardHandler),
		})
		begun := time.Now()
		out, err := fn.Invoke(t.Context(), []byte(payload))
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("%d bytes took %s", len(payload), took)
		}
		var sent struct {
			Records []struct {
				Dynamodb struct{ SequenceNumber string } `json:"dynamodb"`
			}
		}
		if err != nil {
			if atlas.CodeOf(err) != atlas.MalformedJSON {
				t.Errorf("%.700q: %v", payload, err)
			}
			return
		}
		if err := json.Unmarshal([]byte(payload), &sent); err != nil {
			return // what it has of it, it has handled
		}
		var numbers []string
		for _, r := range sent.Records {
			numbers = append(numbers, r.Dynamodb.SequenceNumber)
		}
		var answer events.DynamoDBEventResponse
		if err := json.Unmarshal(out, &answer); err != nil || len(answer.BatchItemFailures) > len(numbers) || bus.took > len(numbers) {
			t.Errorf("%.700q is answered %s, %v, after %d events", payload, out, err, bus.took)
		}
		for _, failure := range answer.BatchItemFailures {
			if !slices.Contains(numbers, failure.ItemIdentifier) {
				t.Errorf("%.700q: %q shall come again", payload, failure.ItemIdentifier)
			}
		}
		if len(table.Items()) > 0 {
			t.Errorf("%.700q has written %v", payload, table.Items())
		}
	})
}
