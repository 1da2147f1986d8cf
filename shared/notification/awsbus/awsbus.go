// Package awsbus publishes events on an Amazon EventBridge bus of the operator's.
//
// Its invariant: an event's id is in its detail, so that a rule's target which sees an event twice can
// tell.
package awsbus

import (
	"context"
	"encoding/json"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"latchkey/shared/audit"
)

// Source is the source of all events.
const Source = "latchkey"

// maxRequest is how large the entries of one request may be, and so one entry too (PutEvents).
const maxRequest = 256 << 10

// Bus publishes.
type Bus struct {
	client *eventbridge.Client
	name   string
}

// New binds a client to the bus's name or ARN. It does no I/O.
func New(client *eventbridge.Client, name string) *Bus { return &Bus{client: client, name: name} }

// Publish implements notification.Bus.
func (b *Bus) Publish(ctx context.Context, events []audit.Event) (refused []int, err error) {
	var entries []types.PutEventsRequestEntry
	size, first := 0, 0
	for i, e := range events {
		entry, err := b.entry(e)
		if err != nil {
			return nil, err
		}
		if size += sizeOf(entry); size > maxRequest {
			failed, err := b.put(ctx, entries, first)
			if err != nil {
				return nil, err
			}
			refused, entries, size, first = append(refused, failed...), nil, sizeOf(entry), i
		}
		entries = append(entries, entry)
	}
	failed, err := b.put(ctx, entries, first)
	return append(refused, failed...), err
}

// put sends entries and returns the places of those that were refused, counted from first.
func (b *Bus) put(ctx context.Context, entries []types.PutEventsRequestEntry, first int) (refused []int, err error) {
	if len(entries) == 0 {
		return nil, nil
	}
	out, err := b.client.PutEvents(ctx, &eventbridge.PutEventsInput{Entries: entries})
	if err != nil {
		return nil, err
	}
	for i, result := range out.Entries {
		if result.ErrorCode != nil {
			refused = append(refused, first+i)
		}
	}
	return refused, nil
}

// entry is an event as the bus takes it. What is too large for the bus goes without its details.
func (b *Bus) entry(e audit.Event) (types.PutEventsRequestEntry, error) {
	detail, err := json.Marshal(e)
	if err == nil && len(detail) > maxRequest/2 {
		e.Detail = map[string]any{"truncated": true}
		detail, err = json.Marshal(e)
	}
	return types.PutEventsRequestEntry{
		Source: aws.String(Source), DetailType: aws.String(string(e.Type)), Detail: aws.String(string(detail)),
		EventBusName: &b.name, Time: &e.Created,
	}, err
}

// sizeOf is how EventBridge counts an entry.
func sizeOf(e types.PutEventsRequestEntry) int {
	const time = 14
	return time + len(*e.Source) + len(*e.DetailType) + len(*e.Detail)
}
