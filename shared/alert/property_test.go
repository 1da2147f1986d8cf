package alert_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"latchkey/shared/alert"
	"latchkey/shared/store/storetest"
)

// Whatever happens in whatever order: no target is told twice within its interval, none of an
// acknowledged alert, none too early, and everything that is due is told.
func TestTheLifeOfAlertsKeepsItsPromises(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		l := newLife(t, rt)
		rt.Repeat(map[string]func(*rapid.T){
			"raise":         l.raise,
			"clear":         l.clear,
			"acknowledge":   l.acknowledge,
			"unacknowledge": l.unacknowledge,
			"toggle":        l.toggle,
			"time":          l.time,
			"":              l.check,
		})
	})
}

// life is a world with what a reader of the promises keeps in mind.
type life struct {
	*world
	config       alert.Config
	acknowledged map[string][][2]time.Time // by alert: spans of silence
}

func newLife(t *testing.T, rt *rapid.T) *life {
	t.Helper()
	l := &life{world: newWorldOver(t, storetest.NewMemory()), acknowledged: map[string][][2]time.Time{}}
	minutes := func(label string, least int64) int64 { return rapid.Int64Range(least, 90).Draw(rt, label) }
	l.config = l.create(invalid, group(minutes("delay", 0), minutes("interval", 5)), pager(), alert.NotificationDraft{
		Type: alert.Email, Members: map[string]string{"emailAddress": "a@b.example"},
		DelayMin: new(minutes("second delay", 0)), IntervalMin: new(minutes("second interval", 5)),
	})
	return l
}

func (l *life) raise(rt *rapid.T) {
	c := alert.Condition{Type: invalid, Subject: rapid.SampledFrom([]string{"AWS", "other"}).Draw(rt, "subject")}
	c.Facts.Summary = rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "summary")
	l.must(l.alerts.Raise(l.tb.Context(), groupID, c))
}

func (l *life) clear(rt *rapid.T) {
	l.must(l.alerts.Clear(l.tb.Context(), groupID, invalid, rapid.SampledFrom([]string{"AWS", "other"}).Draw(rt, "subject"), time.Time{}))
}

func (l *life) any(rt *rapid.T) alert.Alert {
	all := l.all()
	if len(all) == 0 {
		rt.Skip("no alert yet")
	}
	return rapid.SampledFrom(all).Draw(rt, "alert")
}

func (l *life) acknowledge(rt *rapid.T) {
	a := l.any(rt)
	until := l.clock.Now().Add(time.Duration(rapid.IntRange(1, 300).Draw(rt, "minutes")) * time.Minute)
	_, err := l.alerts.Acknowledge(l.tb.Context(), owner, groupID, a.ID, until, "")
	l.must(err)
	l.endSilence(a.ID)
	l.acknowledged[a.ID] = append(l.acknowledged[a.ID], [2]time.Time{l.clock.Now(), until})
}

func (l *life) unacknowledge(rt *rapid.T) {
	a := l.any(rt)
	_, err := l.alerts.Unacknowledge(l.tb.Context(), owner, groupID, a.ID)
	l.must(err)
	l.endSilence(a.ID)
}

func (l *life) endSilence(id string) {
	spans := l.acknowledged[id]
	if n := len(spans); n > 0 && spans[n-1][1].After(l.clock.Now()) {
		spans[n-1][1] = l.clock.Now()
	}
}

func (l *life) toggle(rt *rapid.T) {
	_, err := l.alerts.Toggle(l.tb.Context(), owner, groupID, l.config.ID, rapid.Bool().Draw(rt, "enabled"))
	l.must(err)
}

func (l *life) time(rt *rapid.T) {
	l.clock.Advance(time.Duration(rapid.IntRange(1, 200*60).Draw(rt, "seconds")) * time.Second)
	for range rapid.IntRange(1, 2).Draw(rt, "runs") {
		_, err := l.alerts.AttendAll(l.tb.Context())
		l.must(err)
	}
	if again, err := l.alerts.AttendAll(l.tb.Context()); err != nil || again.Attended > 0 {
		rt.Fatalf("after everything was attended to, %+v is due, %v", again, err)
	}
}

func (l *life) check(rt *rapid.T) {
	live := map[string]bool{}
	alerts := map[string]alert.Alert{}
	for _, a := range l.all() {
		alerts[a.ID] = a
		if a.Status.Ended() {
			continue
		}
		if live[a.Subject] {
			rt.Fatalf("two live alerts of %s", a.Subject)
		}
		live[a.Subject] = true
	}
	last := map[string]alert.Notice{} // by alert and thread
	for _, n := range l.notices() {
		thread := n.Alert.ID + n.Notification.Thread
		before, told := last[thread]
		if n.Final() {
			if !told {
				rt.Fatalf("%s is told of the end of what it never heard of", n.Notification.Type)
			}
			continue
		}
		l.checkNotice(rt, n, before, told)
		last[thread] = n
	}
	for id, a := range alerts {
		l.checkTold(rt, a, last, id)
	}
}

func (l *life) checkNotice(rt *rapid.T, n, before alert.Notice, told bool) {
	switch {
	case told && n.Notification.Interval == 0:
		rt.Fatalf("%s is reminded", n.Notification.Type)
	case told && n.Due.Sub(before.Due) < n.Notification.Interval:
		rt.Fatalf("%s is told twice within %s", n.Notification.Type, n.Due.Sub(before.Due))
	case n.Due.Sub(n.Alert.Created) < n.Notification.Delay:
		rt.Fatalf("%s is told after %s", n.Notification.Type, n.Due.Sub(n.Alert.Created))
	}
	if want := len(before.Stage) == 0; want != (n.Stage == "1") {
		rt.Fatalf("stage %s comes after %q", n.Stage, before.Stage)
	}
	for _, span := range l.acknowledged[n.Alert.ID] {
		if n.Due.After(span[0]) && n.Due.Before(span[1]) {
			rt.Fatalf("an alert that is acknowledged from %s to %s is told at %s", span[0], span[1], n.Due)
		}
	}
}

// checkTold demands that a live alert's targets have been told once their delay has passed.
func (l *life) checkTold(rt *rapid.T, a alert.Alert, last map[string]alert.Notice, id string) {
	if a.Status == alert.Open && a.Acknowledgement == nil && l.acknowledged[id] == nil {
		for _, n := range l.config.Notifications {
			p := a.Progress[n.Thread]
			_, told := last[id+n.Thread]
			if told != (p.Sent > 0) {
				rt.Fatalf("%s counts %d notifications; stored: %t", n.Type, p.Sent, told)
			}
		}
	}
}
