package notification

import (
	"errors"
	"time"

	"latchkey/shared/alert"
	"latchkey/shared/due"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

// State is how far a delivery, or one of its targets, has come.
type State string

// The states. A target is WAITING until it is in one of the last three.
const (
	Claimed State = "CLAIMED" // somebody is at it, until the lease ends
	Waiting State = "WAITING" // for the next attempt
	Sent    State = "SENT"
	Dead    State = "DEAD"    // given up: the dead letter
	Skipped State = "SKIPPED" // there was nothing to do
)

// Ended reports whether nothing happens any more.
func (s State) Ended() bool { return s == Sent || s == Dead || s == Skipped }

// Pacing of attempts.
const (
	// lease is how long whoever claimed a delivery has it alone. It is longer than an invocation of
	// the function may last, so when it ends nobody is at it.
	lease = 5 * time.Minute
	// within is how long after its first attempt a delivery is given up.
	within = 24 * time.Hour
	// firstPause lies between the first two attempts; each later pause is twice as long, up to
	// longestPause.
	firstPause   = time.Minute
	longestPause = time.Hour
)

// Delivery is how far it has come to tell the targets of one notification or e-mail.
type Delivery struct {
	GroupID string `json:"groupId"`
	// Entry is the delivery's name in the group: the source's sort key or, for a copy that goes
	// elsewhere, one of its own.
	Entry string `json:"entry"`
	// Source is the sort key of what is delivered.
	Source string    `json:"source"`
	State  State     `json:"state"`
	Began  time.Time `json:"began"`
	Tries  int       `json:"tries"`
	// Next is when the lease ends, or when the next attempt is due.
	Next    time.Time         `json:"next,omitzero"`
	Ended   time.Time         `json:"ended,omitzero"`
	Targets []DeliveredTarget `json:"targets"`

	version int64
}

// DeliveredTarget is one target of a delivery.
type DeliveredTarget struct {
	Kind    alert.Kind `json:"kind"`
	Address string     `json:"address,omitempty"`
	State   State      `json:"state"`
	// Reason, Status and Code tell of the last failure.
	Reason Reason `json:"reason,omitempty"`
	Status int    `json:"status,omitempty"`
	Code   string `json:"code,omitempty"`
	// NotBefore is what the receiver asked for.
	NotBefore time.Time `json:"notBefore,omitzero"`
}

// claim returns the delivery as it is while the claimant alone attempts it; ok is false if there
// is nothing to attempt now.
func (d Delivery) claim(now time.Time) (claimed Delivery, ok bool) {
	if d.State.Ended() || now.Before(d.Next) {
		return d, false
	}
	if d.Began.IsZero() {
		d.Began = now
	}
	d.State, d.Next = Claimed, now.Add(lease)
	d.Tries++
	return d, true
}

// told notes how telling one target ended. The delivery itself stays as it is.
func (d Delivery) told(i int, err error, now time.Time) Delivery {
	d.Targets = append([]DeliveredTarget(nil), d.Targets...)
	t := &d.Targets[i]
	t.Reason, t.Status, t.Code, t.NotBefore = "", 0, "", time.Time{}
	if err == nil {
		t.State = Sent
		return d
	}
	f := failureOf(err)
	t.Reason, t.Status, t.Code = f.Reason, f.Status, f.Code
	switch {
	case f.Reason == Superseded || f.Reason == ChannelOff:
		t.State = Skipped
	case f.Permanent:
		t.State = Dead
	case f.RetryAfter > 0:
		// However long it is: what is asked for beyond the bound gets one last attempt there.
		t.NotBefore = now.Add(min(f.RetryAfter, within))
	}
	return d
}

// failureOf takes whatever a channel returned for a failure; what it does not explain is ours.
func failureOf(err error) *Failure {
	if f, ok := errors.AsType[*Failure](err); ok {
		return f
	}
	return &Failure{Reason: Ours}
}

// release ends an attempt: the delivery has ended, or waits for its next attempt. jitter, from 0 up
// to 1, spreads what failed together.
func (d Delivery) release(now time.Time, jitter float64) Delivery {
	end := d.Began.Add(within)
	next := now.Add(pause(d.Tries, jitter))
	waiting := false
	for _, t := range d.Targets {
		if !t.State.Ended() {
			waiting = true
			next = due.Later(next, t.NotBefore)
		}
	}
	if waiting && now.Before(end) {
		d.State, d.Next = Waiting, due.Earlier(next, end)
		return d
	}
	return d.conclude(now)
}

// conclude ends the delivery. Targets that were not told are given up.
func (d Delivery) conclude(now time.Time) Delivery {
	d.Targets = append([]DeliveredTarget(nil), d.Targets...)
	d.State, d.Next, d.Ended = Skipped, time.Time{}, now
	for i := range d.Targets {
		t := &d.Targets[i]
		if !t.State.Ended() {
			t.State = Dead
		}
		switch {
		case t.State == Dead:
			d.State = Dead
		case t.State == Sent && d.State == Skipped:
			d.State = Sent
		}
	}
	return d
}

// pause is the time to the attempt after a number of them: half of it is certain, half of it chance.
func pause(tries int, jitter float64) time.Duration {
	p := longestPause
	if shift := tries - 1; shift < 10 { // beyond, it is longer anyway
		p = min(firstPause<<max(0, shift), longestPause)
	}
	return p/2 + time.Duration(jitter*float64(p/2))
}

func (d Delivery) put() (store.Op, error) {
	item, err := store.Encode(keys.Delivery(d.GroupID, d.Entry), d.version, d)
	switch d.State {
	case Claimed, Waiting:
		item.Index = keys.DeliveryDue(d.Next, d.GroupID, d.Entry)
	case Dead:
		item.Index = keys.DeadLetter(d.Ended, d.GroupID, d.Entry)
	case Sent, Skipped:
	}
	item.Expires = d.Began.Add(retention)
	return store.Put(item), err
}
