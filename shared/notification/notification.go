// Package notification delivers what alerts have to tell, and e-mails that no configuration decides
// on. Who has something to tell writes a record (alert.Notice, Mail) in the transaction that has the
// effect; a stream of the table then says that it is there.
//
// Its invariant: whoever delivers, and however often, one attempt at a time is made of a delivery, and
// no target is told again once it is known to have been told. Between a target's answer and the
// record of it lies an instant at which a crash leaves that unknown; then it is told again, under
// the same Message.ID, so that receivers which know repetitions see one notification.
package notification

import (
	"context"
	"fmt"
	"time"

	"latchkey/shared/alert"
)

// Event is what happened to an alert, in the words of webhooks (X-MMS-Event).
type Event string

// The events.
const (
	Opened    Event = "alert.open"
	Updated   Event = "alert.update" // it is still open
	Closed    Event = "alert.close"
	Cancelled Event = "alert.cancel" // nobody asks for it any more
	Informed  Event = "alert.inform" // it was over as soon as it happened
)

// Ends reports whether the event ends the incident.
func (e Event) Ends() bool { return e == Closed || e == Cancelled }

// Message is what targets are told.
type Message struct {
	// ID is the same at every attempt to tell a target of one notification.
	ID string
	// Incident is the same in all messages of an alert; "" if the message is of none.
	Incident string
	// Event is "" in a message of no alert.
	Event    Event
	GroupID  string
	Kind     string // the alert's type, or what the e-mail is about
	Severity alert.Severity
	At       time.Time
	Subject  string // one line
	Text     string // plain text
	Fields   []Field
	// Document is the alert as the API shows it, as JSON; nil in a message of no alert.
	Document []byte
	// Link leads to the alert; "" if no address is known.
	Link string
}

// Field is a detail of a message.
type Field struct{ Name, Value string }

// Target is where a message goes. Secrets are open: a channel uses them and keeps, logs and tells
// none of them.
type Target struct {
	Kind    alert.Kind
	Address string // an e-mail address or a telephone number; "" for services
	Members map[string]string
	Secrets map[string]string
}

// Channel tells targets of some kinds.
type Channel interface {
	// Send tells one target. A *Failure says how it ended otherwise; any other error is a failure of
	// ours that may pass. It may be called again with the same message.
	Send(ctx context.Context, m Message, t Target) error
}

// Reason is why a target was not told.
type Reason string

// The reasons.
const (
	Refused     Reason = "REFUSED"      // the receiver's answer says that repeating is useless
	Failed      Reason = "FAILED"       // the receiver answered with a fault of its own
	Throttled   Reason = "THROTTLED"    // the receiver asked to slow down
	Redirected  Reason = "REDIRECTED"   // the receiver named another address, which is not followed
	NotReached  Reason = "NOT_REACHED"  // no connection, or no answer in time
	Forbidden   Reason = "FORBIDDEN"    // the address leads where nothing may be sent
	NotSendable Reason = "NOT_SENDABLE" // the target is none: a malformed address, say
	ChannelOff  Reason = "CHANNEL_OFF"  // the operator has not switched the channel on
	NoRecipient Reason = "NO_RECIPIENT" // nobody answers the description
	SecretLost  Reason = "SECRET_LOST"  // the stored secret does not open
	Ours        Reason = "OURS"         // Latchkey's side failed
	Superseded  Reason = "SUPERSEDED"   // it is no longer so: the alert has ended, or a later notification says more
	OutOfTurn   Reason = "OUT_OF_TURN"  // what opens the incident is on its way still
	HeldUp      Reason = "HELD_UP"      // the project's webhooks keep everybody waiting; they are tried later
)

// Failure is the error of a target that was not told. It holds nothing that a receiver or a tenant
// wrote, and no address: it is logged and stored.
type Failure struct {
	Reason Reason
	// Status is the receiver's HTTP status; 0 if it gave none.
	Status int
	// Code is the error code of a service of the operator's; "" elsewhere.
	Code string
	// Permanent says that repeating is useless.
	Permanent bool
	// RetryAfter is how long the receiver asks to be left alone.
	RetryAfter time.Duration
}

// Error names the reason.
func (f *Failure) Error() string {
	switch {
	case f.Status != 0:
		return fmt.Sprintf("notification: %s, status %d", f.Reason, f.Status)
	case f.Code != "":
		return fmt.Sprintf("notification: %s, %s", f.Reason, f.Code)
	}
	return "notification: " + string(f.Reason)
}

// ours reports whether the operator has something to mend.
func (f *Failure) ours() bool { return f.Reason == Ours || f.Reason == SecretLost }
