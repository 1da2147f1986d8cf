package feed

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"strings"
	"sync"
	"time"

	"latchkey/local/lambdasvc"
	"latchkey/local/template"
)

// viewType is what records show of items; local/template refuses another one.
const viewType = "NEW_IMAGE"

// maxPayload is how large the records of one event may be together. Lambda's limit is of the whole event.
const maxPayload = lambdasvc.MaxPayload - 64<<10

// Queues takes the letters that tell of records which were given up.
type Queues interface {
	// Send puts a message into the queue of an ARN.
	Send(ctx context.Context, queueARN string, body []byte) error
}

// Config is what a mapping needs. Fields without a comment are required.
type Config struct {
	Mapping  template.EventSource
	Source   Source
	Function lambdasvc.Invoker
	// FunctionARN is what letters name the function by.
	FunctionARN string
	Queues      Queues
	Now         func() time.Time
	Log         *slog.Logger
}

// Mapping hands the records of a stream to a function.
type Mapping struct {
	template.EventSource

	source      Source
	function    lambdasvc.Invoker
	functionARN string
	queues      Queues
	filter      Filter
	now         func() time.Time
	log         *slog.Logger
}

// New makes a mapping.
func New(cfg Config) (*Mapping, error) {
	filter, err := ParseFilter(cfg.Mapping.Patterns...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", cfg.Mapping.ID, err)
	}
	return &Mapping{
		EventSource: cfg.Mapping, source: cfg.Source, function: cfg.Function, functionARN: cfg.FunctionARN, queues: cfg.Queues,
		filter: filter, now: cfg.Now, log: cfg.Log.With(slog.String("mapping", cfg.Mapping.ID)),
	}, nil
}

func (m *Mapping) region() string {
	if parts := strings.Split(m.StreamARN, ":"); len(parts) > 3 {
		return parts[3]
	}
	return ""
}

// item is a record that passed the filters, as the function gets it.
type item struct {
	Record

	event []byte
}

// Run reads the stream until ctx ends, and returns when the last invocation has ended. It is the one
// that reads for the mapping's consumer.
//
// As Lambda does with a shard, it deals records out to lanes by their items' keys. Each lane handles
// one batch at a time, so what holds up one delays those of its lane only.
func (m *Mapping) Run(ctx context.Context) {
	done, err := m.source.Forgotten(ctx, m.ID)
	if err != nil {
		m.fail(ctx, "a stream can't be read", err)
		return
	}
	p := &progress{read: done, stored: done}
	lanes := make([]chan item, m.Lanes)
	var running sync.WaitGroup
	for i := range lanes {
		lanes[i] = make(chan item, max(m.BatchSize, room))
		running.Go(func() { m.drive(ctx, lanes[i], p) })
	}
	defer running.Wait()
	m.deal(ctx, lanes, p)
}

// room is how many records wait in a lane before one that hangs holds up all of them.
const room = 256

// page is how many records are read at once.
const page = 1000

// deal hands out records until ctx ends.
func (m *Mapping) deal(ctx context.Context, lanes []chan item, p *progress) {
	for after := p.read; ; {
		changed := m.source.Changed()
		records, err := m.source.Read(ctx, after, page)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			m.fail(ctx, "a stream can't be read", err)
			if !wait(ctx, backOff(0)) {
				return
			}
		case len(records) == 0:
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
		for _, r := range records {
			if after > 0 && r.Sequence != after+1 {
				m.log.ErrorContext(ctx, "records of a stream expired before they were read", slog.Uint64("count", r.Sequence-after-1))
			}
			after = r.Sequence
			if !m.dispatch(ctx, r, lanes, p) {
				return
			}
		}
	}
}

// dispatch hands a record to its lane if it passes the filters. It returns false when ctx has ended.
func (m *Mapping) dispatch(ctx context.Context, r Record, lanes []chan item, p *progress) bool {
	event, err := m.eventOf(r)
	passes := false
	if err == nil {
		passes, err = m.filter.Matches(event)
	}
	if err != nil { // Lambda drops what it can't filter
		m.fail(ctx, "a record was dropped", err)
	}
	if !passes {
		m.store(ctx, p, p.skip(r.Sequence))
		return true
	}
	p.begin(r.Sequence)
	h := fnv.New32a()
	h.Write(r.Keys)
	select {
	case lanes[h.Sum32()%uint32(len(lanes))] <- item{r, event}: //nolint:gosec // ten at most
		return true
	case <-ctx.Done():
		return false
	}
}

// drive gathers batches of one lane and handles them until ctx ends.
func (m *Mapping) drive(ctx context.Context, lane <-chan item, p *progress) {
	var next *item // did not fit into the batch before
	for {
		var batch []item
		if batch, next = m.gather(ctx, lane, next); batch == nil {
			return
		}
		m.handle(ctx, batch, func(handled []item) {
			m.store(ctx, p, p.end(handled))
		})
		if ctx.Err() != nil {
			return
		}
	}
}

// gather waits for a record and takes what follows it: until the batch is full or, if there is a window,
// the window is over. What did not fit is next. No batch is the end.
func (m *Mapping) gather(ctx context.Context, lane <-chan item, next *item) (batch []item, _ *item) {
	size := 0
	var over <-chan time.Time
	for len(batch) < m.BatchSize {
		if next == nil {
			var ok bool
			if next, ok = m.receive(ctx, lane, len(batch) == 0, over); !ok {
				return nil, nil
			}
		}
		if next == nil || len(batch) > 0 && size+len(next.event) > maxPayload {
			break
		}
		if len(batch) == 0 && m.Window > 0 {
			timer := time.NewTimer(m.Window)
			defer timer.Stop()
			over = timer.C
		}
		batch, size, next = append(batch, *next), size+len(next.event)+1, nil
	}
	return batch, next
}

// receive takes one record from a lane: the first of a batch whenever it comes, further ones within the
// window, or those that are there already. nil is none; ok is false when ctx has ended.
func (m *Mapping) receive(ctx context.Context, lane <-chan item, first bool, over <-chan time.Time) (_ *item, ok bool) {
	if !first && over == nil {
		select {
		case i := <-lane:
			return &i, true
		default:
			return nil, ctx.Err() == nil
		}
	}
	select {
	case i := <-lane:
		return &i, true
	case <-over:
		return nil, true
	case <-ctx.Done():
		return nil, false
	}
}

// store stores how far everything has been handled, if that is worth it. If it fails, records come again
// after a restart, which may happen anyway.
func (m *Mapping) store(ctx context.Context, p *progress, through uint64) {
	if through == 0 {
		return
	}
	// What was handled counts even if everything is about to end.
	if err := m.source.Forget(context.WithoutCancel(ctx), m.ID, through); err != nil {
		m.fail(ctx, "the progress of a stream can't be stored", err)
		return
	}
	p.keep(through)
}

func (m *Mapping) fail(ctx context.Context, what string, err error) {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return
	}
	m.log.ErrorContext(ctx, "event source mapping failed", slog.String("what", what), slog.String("error", err.Error()))
}

// wait returns false when ctx ends before the time is over.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
