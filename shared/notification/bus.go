package notification

import (
	"context"
	"log/slog"

	"latchkey/shared/audit"
)

// Bus is where operators hear of every event. Hearing of one twice is possible; its id tells.
type Bus interface {
	// Publish offers at most BusBatch events. It returns the places of those that were not accepted,
	// or an error if none was.
	Publish(ctx context.Context, events []audit.Event) (refused []int, err error)
}

// BusBatch is how many events a bus takes at once (EventBridge PutEvents).
const BusBatch = 10

// Publisher publishes events on the operators' bus.
type Publisher struct {
	Bus Bus // nil if nobody listens
	Log *slog.Logger
}

// offers is how often an event is offered in one call of Publish.
const offers = 3

// Publish publishes events and returns the places of those that the bus did not take.
func (p Publisher) Publish(ctx context.Context, events []audit.Event) (refused []int) {
	if p.Bus == nil {
		return nil
	}
	pending := make([]int, len(events))
	for i := range pending {
		pending[i] = i
	}
	for offer := 1; offer <= offers && len(pending) > 0 && ctx.Err() == nil; offer++ {
		pending = p.offer(ctx, events, pending)
	}
	return pending
}

// offer offers the events at some places and returns the places that were refused.
func (p Publisher) offer(ctx context.Context, events []audit.Event, places []int) (refused []int) {
	for len(places) > 0 {
		batch := places[:min(len(places), BusBatch)]
		places = places[len(batch):]
		chosen := make([]audit.Event, len(batch))
		for i, place := range batch {
			chosen[i] = events[place]
		}
		failed, err := p.Bus.Publish(ctx, chosen)
		if err != nil {
			p.Log.WarnContext(ctx, "the bus takes no events", slog.String("error", err.Error()))
			refused = append(refused, batch...)
			continue
		}
		for _, i := range failed {
			refused = append(refused, batch[i])
		}
	}
	return refused
}
