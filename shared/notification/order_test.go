package notification_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/shared/alert"
	"latchkey/shared/notification"
	"latchkey/shared/store/keys"
)

// services keep incidents of their own.
var services = []alert.Kind{alert.PagerDuty, alert.OpsGenie, alert.VictorOps}

// ended is the notice of an alert's end.
func ended(s alert.Status) func(*alert.Notice) {
	return func(n *alert.Notice) { n.Stage, n.Alert.Status = string(s), s }
}

func TestDeliver_closes_what_it_opened(t *testing.T) {
	for _, k := range services {
		for s, event := range map[alert.Status]string{alert.Closed: "alert.close", alert.Cancelled: "alert.cancel"} {
			w := newWorld(t)
			n := w.notice(k)
			w.store(keys.Alert(group, n.Alert.ID), n.Alert)
			w.deliver(w.put(n))
			n = w.notice(k, ended(s))
			w.store(keys.Alert(group, n.Alert.ID), n.Alert)
			w.deliver(w.put(n))
			w.pass(time.Hour)
			if diff := cmp.Diff(map[string][]string{string(k): {"alert.open", event}}, w.box.took()); diff != "" {
				t.Errorf("%s: %s", k, diff)
			}
		}
	}
}

// The service was down when the alert opened. Once it has been told of the end, nothing may open
// the incident again: nobody would ever close it.
func TestDeliver_opens_nothing_after_the_end(t *testing.T) {
	for _, k := range services {
		w := newWorld(t)
		n := w.notice(k)
		w.store(keys.Alert(group, n.Alert.ID), n.Alert)
		w.box.fail = func(notification.Message, notification.Target) error {
			return &notification.Failure{Reason: notification.NotReached}
		}
		opening := w.put(n)
		w.deliver(opening)
		w.box.fail = nil
		n = w.notice(k, ended(alert.Closed))
		w.store(keys.Alert(group, n.Alert.ID), n.Alert)
		w.deliver(w.put(n))
		w.pass(24 * time.Hour)
		if diff := cmp.Diff(map[string][]string{string(k): {"alert.close"}}, w.box.took()); diff != "" {
			t.Errorf("%s: %s", k, diff)
		}
		if d := w.delivery(opening); d.State != notification.Skipped || d.Targets[0].Reason != notification.Superseded {
			t.Errorf("%s: what would open it ended as %+v", k, d)
		}
	}
}

// The receiver was down for a while. What it missed would tell it what is no longer so, after what is.
func TestDeliver_repeats_nothing_that_is_overtaken(t *testing.T) {
	later := map[string]struct {
		change func(*alert.Notice)
		want   map[string][]string
	}{
		"by a reminder": {func(n *alert.Notice) { n.Stage = "2" }, map[string][]string{"WEBHOOK": {"alert.update"}}},
		"by the end":    {ended(alert.Closed), map[string][]string{"WEBHOOK": {"alert.close"}}},
	}
	for name, c := range later {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			n := w.notice(alert.Webhook)
			w.store(keys.Alert(group, n.Alert.ID), n.Alert)
			w.box.fail = func(notification.Message, notification.Target) error {
				return &notification.Failure{Reason: notification.NotReached}
			}
			first := w.put(n)
			w.deliver(first)
			n = w.notice(alert.Webhook, c.change)
			w.store(keys.Alert(group, n.Alert.ID), n.Alert)
			w.deliver(w.put(n))
			w.pass(10 * time.Minute)
			w.box.fail = nil
			w.pass(2 * time.Hour)
			if diff := cmp.Diff(c.want, w.box.took()); diff != "" {
				t.Error(diff)
			}
			if d := w.delivery(first); d.State != notification.Skipped || d.Targets[0].Reason != notification.Superseded {
				t.Errorf("the first ended as %+v", d)
			}
		})
	}
}

// Nobody hears of the end of what is cancelled, so nobody is to hear of its beginning then.
func TestDeliver_repeats_no_beginning_of_what_was_cancelled(t *testing.T) {
	w := newWorld(t)
	n := w.notice(alert.Email, func(n *alert.Notice) { n.Notification.Members["emailAddress"] = "ops@example.com" })
	w.box.fail = func(notification.Message, notification.Target) error { return errors.New("down") }
	w.deliver(w.put(n))
	n.Alert.Status = alert.Cancelled
	w.store(keys.Alert(group, n.Alert.ID), n.Alert)
	w.box.fail = nil
	w.pass(2 * time.Hour)
	if got := w.box.took(); len(got) != 0 {
		t.Errorf("told %v", got)
	}
}

// While one instance is telling the service of the beginning, another one hears of the end.
func TestDeliver_has_the_end_wait_for_the_beginning(t *testing.T) {
	for _, k := range services {
		w := newWorld(t)
		n := w.notice(k)
		w.store(keys.Alert(group, n.Alert.ID), n.Alert)
		end := w.notice(k, ended(alert.Closed))
		w.box.after = func() {
			w.box.after = nil
			w.box.mu.Unlock()
			defer w.box.mu.Lock()
			w.store(keys.Alert(group, end.Alert.ID), end.Alert)
			w.deliver(w.put(end))
		}
		w.deliver(w.put(n))
		if diff := cmp.Diff(map[string][]string{string(k): {"alert.open"}}, w.box.took()); diff != "" {
			t.Errorf("%s, at first: %s", k, diff)
		}
		w.pass(2 * time.Minute)
		if diff := cmp.Diff(map[string][]string{string(k): {"alert.close"}}, w.box.took()); diff != "" {
			t.Errorf("%s, then: %s", k, diff)
		}
	}
}

// What was over as soon as it happened is told all the same.
func TestDeliver_tells_of_what_only_happened(t *testing.T) {
	for _, k := range append(services, alert.Webhook) {
		w := newWorld(t)
		n := w.notice(k, func(n *alert.Notice) { n.Alert.Status = alert.Closed })
		w.store(keys.Alert(group, n.Alert.ID), n.Alert)
		w.deliver(w.put(n))
		if diff := cmp.Diff(map[string][]string{string(k): {"alert.inform"}}, w.box.took()); diff != "" {
			t.Errorf("%s: %s", k, diff)
		}
	}
}

// However many targets an alert has, and however often they are reminded, the topic is told twice.
func TestDeliver_tells_the_topic_once_of_the_beginning_and_once_of_the_end(t *testing.T) {
	w := newWorld(t)
	w.topic = true
	for _, k := range []alert.Kind{alert.Webhook, alert.Slack} {
		for _, stage := range []string{"1", "2", "3"} {
			w.deliver(w.put(w.notice(k, func(n *alert.Notice) { n.Stage = stage })))
		}
		w.deliver(w.put(w.notice(k, ended(alert.Closed))))
	}
	m := aMail()
	w.store(m.Key(), m)
	w.deliver(m.Key())
	got := w.box.took()
	want := []string{"alert.open", "alert.close"}
	if diff := cmp.Diff(want, got["TOPIC"]); diff != "" {
		t.Error(diff)
	}
	for _, k := range []string{"WEBHOOK", "SLACK"} {
		if diff := cmp.Diff([]string{"alert.open", "alert.update", "alert.update", "alert.close"}, got[k]); diff != "" {
			t.Errorf("%s: %s", k, diff)
		}
	}
}

// A topic that fails is tried again, and the webhook is not told again for it.
func TestDeliver_repeats_the_topic_alone(t *testing.T) {
	w := newWorld(t)
	w.topic = true
	w.box.fail = func(_ notification.Message, t notification.Target) error {
		if t.Kind == "TOPIC" {
			return &notification.Failure{Reason: notification.Ours}
		}
		return nil
	}
	w.deliver(w.put(w.notice(alert.Webhook)))
	w.box.fail = nil
	w.pass(5 * time.Minute)
	if diff := cmp.Diff(map[string][]string{"WEBHOOK": {"alert.open"}, "TOPIC": {"alert.open"}}, w.box.took()); diff != "" {
		t.Error(diff)
	}
}
