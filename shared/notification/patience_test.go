package notification_test

import (
	"fmt"
	"testing"
	"time"

	"latchkey/shared/alert"
	"latchkey/shared/notification"
)

// A project names receivers that take ten seconds each and more of them than there are seconds. Those of
// others are told all the same, and its own are not forgotten.
func TestDeliver_lets_no_project_keep_the_others_waiting(t *testing.T) {
	const slow = 10 * time.Second
	w := newWorld(t)
	const other = "650000000000000000000009"
	w.box.fail = func(m notification.Message, _ notification.Target) error {
		if m.GroupID == other {
			return nil
		}
		w.clock.Advance(slow)
		return &notification.Failure{Reason: notification.NotReached}
	}
	s := w.service(w.table)
	began := w.clock.Now()
	var last alert.Notice
	for i := range 40 {
		last = w.notice(alert.Webhook, func(n *alert.Notice) { n.Notification.Thread = fmt.Sprint("t", i) })
		if err := s.Deliver(t.Context(), w.put(last)); err != nil {
			t.Fatal(err)
		}
	}
	if took := w.clock.Now().Sub(began); took > 90*time.Second {
		t.Errorf("one project took %s", took)
	}
	if d := w.delivery(last.Key()); d.State != notification.Waiting || d.Targets[0].Reason != notification.HeldUp {
		t.Errorf("the last is %+v", d)
	}
	healthy := w.notice(alert.Webhook, func(n *alert.Notice) { n.Alert.GroupID = other })
	if err := s.Deliver(t.Context(), w.put(healthy)); err != nil {
		t.Fatal(err)
	}
	if got := len(w.box.took()["WEBHOOK"]); got != 1 {
		t.Errorf("another project was told %d times", got)
	}
	w.box.fail = nil
	for range 200 {
		w.clock.Advance(time.Minute)
		if _, err := s.RetryDue(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(w.box.took()["WEBHOOK"]); got != 40 {
		t.Errorf("%d of 40 were told in the end", got)
	}
}

func TestRetryDue_goes_on_behind_its_first_page(t *testing.T) {
	const many = 230
	w := newWorld(t)
	w.box.fail = func(notification.Message, notification.Target) error {
		return &notification.Failure{Reason: notification.Failed}
	}
	for i := range many {
		w.deliver(w.put(w.notice(alert.Webhook, func(n *alert.Notice) { n.Notification.Thread = fmt.Sprint("t", i) })))
	}
	w.box.fail = nil
	w.clock.Advance(time.Minute)
	if attempted, err := w.service(w.table).RetryDue(t.Context()); err != nil || attempted != many {
		t.Errorf("attempted %d of %d, %v", attempted, many, err)
	}
}
