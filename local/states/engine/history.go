package engine

import (
	"encoding/json"
	"fmt"
	"time"

	"latchkey/local/states/asl"
	"latchkey/local/states/journal"
)

// maxEvents bounds the history of an execution; Step Functions' own limit.
const maxEvents = 25_000

// Event is one entry of an execution's history, as the service shapes it.
type Event struct {
	ID       int64     `json:"id"`
	Previous int64     `json:"previous"`
	At       time.Time `json:"at"`
	Type     string    `json:"type"`
	// Field is the member that Details stand in ("taskFailedEventDetails"); "" if there are none.
	Field   string          `json:"field,omitempty"`
	Details json.RawMessage `json:"details,omitempty"`
}

type details map[string]any

// whole says that nothing was cut off; nothing ever is.
var whole = struct {
	Truncated bool `json:"truncated"`
}{}

func eventSort(id int64) string { return fmt.Sprintf("%010d", id) }

// event adds to the history; what it follows is the flow's latest event.
func (x *execution) event(b *batch, f *frame, kind, field string, d details) int64 {
	ev := Event{At: x.e.cfg.Now(), Type: kind, Field: field, Previous: f.Event}
	if field != "" {
		ev.Details = encode(d)
	}
	x.lastEvent++
	ev.ID, f.Event = x.lastEvent, x.lastEvent
	b.changes = append(b.changes, journal.Put(partHistory(x.key), eventSort(ev.ID), encode(ev)))
	return ev.ID
}

// failureDetails are a failure as events hold it.
func failureDetails(f *asl.Failure) details {
	d := details{}
	if f.Name != "" {
		d["error"] = f.Name
	}
	if f.Cause != "" {
		d["cause"] = f.Cause
	}
	return d
}

// succeed closes the execution with an output.
func (x *execution) succeed(b *batch, f *frame, output json.RawMessage) {
	x.event(b, f, "ExecutionSucceeded", "executionSucceededEventDetails", details{"output": string(output), "outputDetails": whole})
	x.rec.Output = string(output)
	for _, f := range x.sorted() {
		b.touch(f)
	}
	clear(x.frames)
	x.closeAs(b, Succeeded)
}

// timeOut closes the execution because its TimeoutSeconds have run out.
func (x *execution) timeOut(b *batch) {
	x.close(b, TimedOut, &asl.Failure{Name: asl.ErrTimeout})
}

// close closes the execution without an output. Its frames stay for a redrive.
func (x *execution) close(b *batch, status Status, failure *asl.Failure) {
	kind, field := "ExecutionFailed", "executionFailedEventDetails"
	switch status {
	case TimedOut:
		kind, field = "ExecutionTimedOut", "executionTimedOutEventDetails"
	case Aborted:
		kind, field = "ExecutionAborted", "executionAbortedEventDetails"
	case Failed, Running, Succeeded:
	}
	x.event(b, x.frames[rootID], kind, field, failureDetails(failure))
	b.touch(x.frames[rootID])
	x.rec.Error, x.rec.Cause = failure.Name, failure.Cause
	x.closeAs(b, status)
}

func (x *execution) closeAs(b *batch, status Status) {
	x.rec.Status, x.rec.Stopped, b.record = status, x.e.cfg.Now(), true
	x.ready = nil
}
