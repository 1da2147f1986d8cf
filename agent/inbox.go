package agent

import (
	"context"
	"sync"

	"latchkey/shared/node/protocol"
)

// inbox is where the heart and the worker meet: commands and the control plane's key go one
// way, what to report and to acknowledge the other. The heart never waits for the worker, so a
// node that is starting for hours still reports and still hears that it should stop.
type inbox struct {
	mu           sync.Mutex
	latest       protocol.Command
	interrupt    context.CancelCauseFunc // ends the work for latest; nil while there is none
	controlPlane []byte                  // the HPKE key to seal to
	view         view
	ack          *protocol.AckRequest // to be delivered
	delivered    chan struct{}        // closed when ack is
	last         *protocol.AckRequest // the last that was to be delivered

	newer   chan struct{} // a command came
	tick    chan struct{} // a heartbeat was answered or failed
	changed chan struct{} // the report changed
	greeted chan struct{} // closed after the first heartbeat, whatever came of it
	once    sync.Once
}

// view is what the worker knows that the engine does not.
type view struct {
	state  protocol.State // "" leaves it to the engine's phase
	reason string
	keyID  string
	nextID string
	acked  int64
}

func newInbox() *inbox {
	return &inbox{
		newer: make(chan struct{}, 1), tick: make(chan struct{}, 1), changed: make(chan struct{}, 1),
		greeted: make(chan struct{}),
	}
}

// signal wakes whoever waits on c, now or later, once.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// accept takes a command if it is newer than all others, and interrupts the work for those.
func (b *inbox) accept(c protocol.Command) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !c.Supersedes(b.latest) {
		return false
	}
	b.latest = c
	if b.interrupt != nil {
		b.interrupt(errNewer)
	}
	signal(b.newer)
	return true
}

// begin returns the latest command and a context for its work, which ends when a newer comes.
func (b *inbox) begin(ctx context.Context) (protocol.Command, context.Context, context.CancelCauseFunc) {
	work, cancel := context.WithCancelCause(ctx)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.interrupt = cancel
	return b.latest, work, cancel
}

// show changes what is reported.
func (b *inbox) show(change func(v *view)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	before := b.view
	change(&b.view)
	if b.view != before {
		signal(b.changed)
	}
}

// finish has an acknowledgement delivered, instead of any earlier one. The channel is closed
// when it is.
func (b *inbox) finish(ack protocol.AckRequest) <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ack, b.last, b.delivered = &ack, &ack, make(chan struct{})
	b.view.acked = ack.Command
	signal(b.changed)
	return b.delivered
}

// undelivered is the acknowledgement to deliver, nil for none.
func (b *inbox) undelivered() *protocol.AckRequest {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ack
}

// deliver marks an acknowledgement as delivered, unless another has taken its place.
func (b *inbox) deliver(ack *protocol.AckRequest) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ack == ack {
		close(b.delivered)
		b.ack = nil
	}
}

// repeat has the last acknowledgement delivered again, which the control plane lacks. It reports
// whether there is one.
func (b *inbox) repeat() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ack == nil && b.last != nil {
		b.ack, b.delivered = b.last, make(chan struct{})
	}
	return b.ack != nil
}

// sealTo is the control plane's key; setSealTo replaces it.
func (b *inbox) sealTo() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.controlPlane
}

func (b *inbox) setSealTo(key []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.controlPlane = key
}

// answered tells the worker that a heartbeat is over.
func (b *inbox) answered() {
	b.once.Do(func() { close(b.greeted) })
	signal(b.tick)
}

// report joins what worker and engine know. A database that runs is reported as running,
// whatever else is in the way; the reason still says what.
func (b *inbox) report(s Status, addresses []string, version string) protocol.Report {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := protocol.Report{
		State: stateOf(s.Phase), Reason: b.view.reason, KeyID: b.view.keyID, NextKeyID: b.view.nextID,
		CommandAcked: b.view.acked, Addresses: addresses, Version: version,
	}
	switch s.Phase {
	case Running, Syncing, Starting:
		r.StartedAt = s.StartedAt
	case Failed:
		if r.Reason == "" {
			r.Reason = protocol.ReasonEngine
		}
	case Stopped, Exited:
	}
	down := s.Phase == Stopped || s.Phase == Failed || s.Phase == Exited
	if b.view.state != "" && (down || b.view.state == protocol.StateStopping) {
		r.State = b.view.state
	}
	return r
}

func stateOf(p Phase) protocol.State {
	switch p {
	case Starting:
		return protocol.StateStarting
	case Syncing:
		return protocol.StateSyncing
	case Running:
		return protocol.StateRunning
	case Failed:
		return protocol.StateFailed
	case Stopped, Exited:
	}
	return protocol.StateStopped
}
