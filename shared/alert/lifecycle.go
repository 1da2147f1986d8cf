package alert

import (
	"strconv"
	"time"

	"latchkey/shared/due"
)

// look is how often a live alert is looked at even if nothing falls due: what became of its
// configuration meanwhile is noticed within a day.
const look = 24 * time.Hour

// next is when the live alert needs attention again.
func (a Alert) next(c *Config, now time.Time) time.Time {
	soonest := now.Add(look)
	if c == nil {
		return soonest
	}
	if a.Status == Tracking {
		soonest = due.Earlier(soonest, a.Created.Add(c.shortestDelay()))
	}
	for _, n := range c.Notifications {
		at, ok := a.due(n)
		if !ok {
			continue
		}
		if a.acknowledged(now) {
			at = due.Later(at, a.Acknowledgement.Until)
		}
		soonest = due.Earlier(soonest, at)
	}
	return soonest
}

// due is when the alert's next notification along a thread falls due; ok is false if none does.
func (a Alert) due(n Notification) (at time.Time, ok bool) {
	p := a.Progress[n.Thread]
	if p.Sent == 0 {
		return due.Later(a.Created.Add(n.Delay), p.Earliest), true
	}
	return p.Last.Add(n.Interval), n.Interval > 0
}

// acknowledged reports whether the alert is to be silent.
func (a Alert) acknowledged(now time.Time) bool {
	return a.Acknowledgement != nil && now.Before(a.Acknowledgement.Until)
}

// Advance returns what becomes of the alert by the passing of time alone, and the notifications
// that have fallen due. However late it comes, each target is told once.
func (a Alert) Advance(c *Config, now time.Time) (Alert, []Notice) {
	if a.Status.Ended() {
		return a, nil
	}
	if c == nil || !c.Enabled || c.Type != a.Type {
		return a.cancel(c, now)
	}
	if a.Status == Tracking && !now.Before(a.Created.Add(c.shortestDelay())) {
		a.Status, a.Updated = Open, now
	}
	if a.acknowledged(now) {
		return a, nil
	}
	var notices []Notice
	for _, n := range c.Notifications {
		if due, ok := a.due(n); !ok || now.Before(due) {
			continue
		}
		p := Progress{Sent: a.Progress[n.Thread].Sent + 1, Last: now}
		a = a.withProgress(n.Thread, p)
		a.LastNotified, a.Updated = now, now
		notices = append(notices, a.notice(*c, n, strconv.Itoa(p.Sent), now))
	}
	return a.stamp(notices)
}

// close ends the alert because what it warned of no longer holds. Everybody who was told of it
// is told of its end, also if it was acknowledged: services that keep incidents close them then.
func (a Alert) close(c *Config, now time.Time) (Alert, []Notice) {
	a.Status, a.Updated, a.Resolved = Closed, now, now
	return a.farewell(c, now, func(Notification) bool { return true })
}

// cancel ends the alert because its configuration no longer asks for it. Only services that
// keep incidents of their own are told, or these would stay open for ever.
func (a Alert) cancel(c *Config, now time.Time) (Alert, []Notice) {
	a.Status, a.Updated = Cancelled, now
	return a.farewell(c, now, func(n Notification) bool { return n.Type.keepsIncidents() })
}

func (a Alert) farewell(c *Config, now time.Time, told func(Notification) bool) (Alert, []Notice) {
	if c == nil {
		return a, nil
	}
	var notices []Notice
	for _, n := range c.Notifications {
		if a.Progress[n.Thread].Sent > 0 && told(n) {
			notices = append(notices, a.notice(*c, n, string(a.Status), now))
		}
	}
	return a.stamp(notices)
}

// stamp gives every notification the alert as it is after all of them.
func (a Alert) stamp(notices []Notice) (Alert, []Notice) {
	for i := range notices {
		notices[i].Alert = a
		notices[i].Alert.Progress = nil
	}
	return a, notices
}

// acknowledge silences the alert until a time.
func (a Alert) acknowledge(ack Acknowledgement, now time.Time) Alert {
	a.Acknowledgement, a.Updated = &ack, now
	return a
}

// unacknowledge undoes an acknowledgement.
func (a Alert) unacknowledge(now time.Time) Alert {
	if a.Acknowledgement != nil {
		a.Acknowledgement, a.Updated = nil, now
	}
	return a
}

// learn takes over newer facts.
func (a Alert) learn(f Facts, now time.Time) Alert {
	if !a.Facts.same(f) {
		a.Facts, a.Updated = f, now
	}
	return a
}

// restrain keeps the first notifications of an alert apart from the last ones of the alert
// before it, so that what comes and goes all the time fills nobody's mailbox.
func (a Alert) restrain(before Alert) Alert {
	for thread, p := range before.Progress {
		earliest := p.Earliest // of one that ended before anything was sent
		if p.Sent > 0 {
			earliest = p.Last.Add(MinInterval)
		}
		if earliest.After(a.Created) {
			a = a.withProgress(thread, Progress{Earliest: earliest})
		}
	}
	return a
}
