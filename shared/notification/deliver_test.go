package notification_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/shared/alert"
	"latchkey/shared/notification"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

func TestDeliver_tells_whom_the_kind_names(t *testing.T) {
	roles := func(r ...string) func(*alert.Notice) {
		return func(n *alert.Notice) { n.Notification.Roles = r }
	}
	member := func(name, value string) func(*alert.Notice) {
		return func(n *alert.Notice) { n.Notification.Members[name] = value }
	}
	bySMS := func(n *alert.Notice) { n.Notification.Email, n.Notification.SMS = false, true }
	once := func(targets ...string) map[string][]string {
		got := map[string][]string{}
		for _, target := range targets {
			got[target] = []string{"alert.open"}
		}
		return got
	}
	for name, c := range map[string]struct {
		kind   alert.Kind
		change []func(*alert.Notice)
		want   map[string][]string
	}{
		"everybody in the group, each mailbox once": {alert.Group, nil, once("EMAIL owner@example.com", "EMAIL reader@example.com")},
		"owners of the group":                       {alert.Group, []func(*alert.Notice){roles("GROUP_OWNER")}, once("EMAIL owner@example.com")},
		"nobody has the role":                       {alert.Group, []func(*alert.Notice){roles("GROUP_BACKUP_MANAGER")}, once()},
		"by text message: people have no numbers":   {alert.Group, []func(*alert.Notice){bySMS}, once()},
		"everybody in the organisation":             {alert.Org, nil, once("EMAIL boss@example.com", "EMAIL owner@example.com")},
		"owners of the organisation":                {alert.Org, []func(*alert.Notice){roles("ORG_OWNER")}, once("EMAIL boss@example.com")},
		"a user of the organisation":                {alert.User, []func(*alert.Notice){member("username", "BOSS@example.com")}, once("EMAIL boss@example.com")},
		"a user of another":                         {alert.User, []func(*alert.Notice){member("username", "spy@example.org")}, once()},
		"a team: there are none":                    {alert.Team, []func(*alert.Notice){member("teamId", group)}, once()},
		"an address":                                {alert.Email, []func(*alert.Notice){member("emailAddress", "a@example.com")}, once("EMAIL a@example.com")},
		"a telephone":                               {alert.SMS, []func(*alert.Notice){member("mobileNumber", "+15550100")}, once("SMS +15550100")},
		"a webhook":                                 {alert.Webhook, nil, once("WEBHOOK")},
		"PagerDuty":                                 {alert.PagerDuty, nil, once("PAGER_DUTY")},
		"OpsGenie":                                  {alert.OpsGenie, nil, once("OPS_GENIE")},
		"VictorOps":                                 {alert.VictorOps, nil, once("VICTOR_OPS")},
		"Datadog":                                   {alert.Datadog, nil, once("DATADOG")},
		"Slack":                                     {alert.Slack, nil, once("SLACK")},
		"Microsoft Teams":                           {alert.Teams, nil, once("MICROSOFT_TEAMS")},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			n := w.notice(c.kind, c.change...)
			w.store(keys.Alert(group, n.Alert.ID), n.Alert)
			key := w.put(n)
			w.deliver(key)
			w.deliver(key)
			w.pass(10 * time.Minute)
			if diff := cmp.Diff(c.want, w.box.took()); diff != "" {
				t.Error(diff)
			}
			state := w.delivery(key).State
			if want := map[bool]notification.State{true: notification.Sent, false: notification.Dead}[len(c.want) > 0]; state != want {
				t.Errorf("the delivery is %s, want %s", state, want)
			}
		})
	}
}

// delivery is the record of what is delivered of a key.
func (w *world) delivery(key store.Key) notification.Delivery {
	w.t.Helper()
	d, _, err := store.Load[notification.Delivery](w.t.Context(), w.table, keys.Delivery(group, key.SK))
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}

// All at once: of many that come at the same moment with the same notice, one delivers it.
func TestDeliver_tells_once_however_many_try_at_once(t *testing.T) {
	w := newWorld(t)
	key := w.put(w.notice(alert.Webhook))
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if err := w.service(w.table).Deliver(t.Context(), key); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if diff := cmp.Diff(map[string][]string{"WEBHOOK": {"alert.open"}}, w.box.took()); diff != "" {
		t.Error(diff)
	}
}

// The process dies after each of its writes. A third write is the record of the second person.
func TestDeliver_survives_a_crash_at_every_instant(t *testing.T) {
	for writes, c := range map[int]struct {
		before, after map[string][]string
		repeated      int
	}{
		0: {map[string][]string{}, map[string][]string{"EMAIL owner@example.com": {"alert.open"}, "EMAIL reader@example.com": {"alert.open"}}, 0},
		// Claimed, the first was told, and nobody knows: it alone is told again, with the same id.
		1: {map[string][]string{"EMAIL owner@example.com": {"alert.open"}}, map[string][]string{"EMAIL owner@example.com": {"alert.open"}, "EMAIL reader@example.com": {"alert.open"}}, 1},
		2: {map[string][]string{"EMAIL owner@example.com": {"alert.open"}, "EMAIL reader@example.com": {"alert.open"}}, map[string][]string{"EMAIL reader@example.com": {"alert.open"}}, 1},
		3: {map[string][]string{"EMAIL owner@example.com": {"alert.open"}, "EMAIL reader@example.com": {"alert.open"}}, map[string][]string{}, 0},
	} {
		t.Run(fmt.Sprintf("after %d writes", writes), func(t *testing.T) {
			w := newWorld(t)
			key := w.put(w.notice(alert.Group))
			err := w.service(&dying{Table: w.table, writes: writes}).Deliver(t.Context(), key)
			if crashed := writes < 3; crashed != errors.Is(err, errDead) {
				t.Errorf("delivering gives %v", err)
			}
			if diff := cmp.Diff(c.before, w.box.took()); diff != "" {
				t.Error(diff)
			}
			if writes > 0 { // without a claim the stream comes again at once; with one, not before the lease is over
				w.deliver(key)
				w.pass(4 * time.Minute)
				if got := w.box.took(); len(got) > 0 {
					t.Errorf("within the lease %v were told", got)
				}
				w.pass(time.Minute)
			} else {
				w.deliver(key)
			}
			if diff := cmp.Diff(c.after, w.box.took()); diff != "" {
				t.Error(diff)
			}
			repeated := 0
			for _, times := range w.box.ids {
				repeated += times - 1
			}
			if repeated != c.repeated || w.delivery(key).State != notification.Sent {
				t.Errorf("%d messages came twice, want %d; the delivery is %s", repeated, c.repeated, w.delivery(key).State)
			}
		})
	}
}

func TestDeliver_waits_longer_after_every_failure_and_gives_up_after_a_day(t *testing.T) {
	w := newWorld(t)
	began := w.clock.Now()
	var at []time.Duration
	w.box.fail = func(notification.Message, notification.Target) error {
		at = append(at, w.clock.Now().Sub(began))
		return &notification.Failure{Reason: notification.Failed, Status: 503}
	}
	w.jitter = 0.999
	key := w.put(w.notice(alert.Webhook))
	w.deliver(key)
	w.pass(26 * time.Hour)
	for i, minutes := range []int{0, 1, 3, 7, 15, 31, 63, 123} {
		got := int(at[i] / time.Minute)
		if got < minutes || got > minutes+2*i { // the schedule comes once a minute
			t.Errorf("attempt %d was after %d minutes, want %d", i+1, got, minutes)
		}
	}
	if last := at[len(at)-1]; last != 24*time.Hour {
		t.Errorf("the last attempt was after %s", last)
	}
	d := w.delivery(key)
	if d.State != notification.Dead || d.Targets[0].Reason != notification.Failed || d.Targets[0].Status != 503 || d.Tries != len(at) {
		t.Errorf("it ended as %+v after %d attempts", d, len(at))
	}
	dead, err := w.table.Query(t.Context(), store.Query{Index: true, PK: keys.DeadLetter(began, "", "").PK, Prefix: keys.DeadLetterPrefix})
	if err != nil || len(dead.Items) != 1 {
		t.Errorf("%d dead letters, %v", len(dead.Items), err)
	}
	if !strings.Contains(w.log.String(), `"DeadLetters":1`) {
		t.Error("the dead letter was not counted")
	}
}

func TestDeliver_does_not_repeat_what_is_refused(t *testing.T) {
	w := newWorld(t)
	attempts := 0
	w.box.fail = func(notification.Message, notification.Target) error {
		attempts++
		return &notification.Failure{Reason: notification.Refused, Status: 410, Permanent: true}
	}
	key := w.put(w.notice(alert.Webhook))
	w.deliver(key)
	w.pass(2 * time.Hour)
	if d := w.delivery(key); attempts != 1 || d.State != notification.Dead {
		t.Errorf("%d attempts, %+v", attempts, d)
	}
}

// A receiver that asks for more than a day gets one last attempt when the day is over.
func TestDeliver_leaves_a_receiver_alone_as_long_as_it_asks(t *testing.T) {
	for asked, want := range map[time.Duration]time.Duration{90 * time.Minute: 90 * time.Minute, 10 * 365 * 24 * time.Hour: 24 * time.Hour} {
		w := newWorld(t)
		w.box.fail = func(notification.Message, notification.Target) error {
			return &notification.Failure{Reason: notification.Throttled, Status: 429, RetryAfter: asked}
		}
		key := w.put(w.notice(alert.Webhook))
		w.deliver(key)
		w.box.fail = nil
		w.pass(want - time.Minute)
		if got := w.box.took(); len(got) > 0 {
			t.Errorf("it asked for %s and was told before", asked)
		}
		w.pass(time.Minute)
		if got := w.box.took(); len(got) != 1 || w.delivery(key).State != notification.Sent {
			t.Errorf("it asked for %s; then %v, %s", asked, got, w.delivery(key).State)
		}
	}
}

// One of two people cannot be told: the other is not told again.
func TestDeliver_repeats_only_whom_it_has_not_told(t *testing.T) {
	w := newWorld(t)
	w.box.fail = func(_ notification.Message, t notification.Target) error {
		if strings.HasPrefix(t.Address, "reader") {
			return &notification.Failure{Reason: notification.Ours, Code: "TooManyRequestsException"}
		}
		return nil
	}
	key := w.put(w.notice(alert.Group))
	w.deliver(key)
	w.pass(10 * time.Minute)
	w.members = w.members[:1] // who left meanwhile was to be told, who comes was not
	w.box.fail = nil
	w.pass(time.Hour)
	if diff := cmp.Diff(map[string][]string{"EMAIL owner@example.com": {"alert.open"}, "EMAIL reader@example.com": {"alert.open"}}, w.box.took()); diff != "" {
		t.Error(diff)
	}
	if !strings.Contains(w.log.String(), `"OwnDeliveryFailures":1`) {
		t.Error("that our own side failed was not counted")
	}
}

func TestDeliver_opens_secrets_only_to_send_them(t *testing.T) {
	w := newWorld(t)
	sealed, err := w.sealer.Seal(t.Context(), []byte("hunter2-hunter2"), alert.SecretContext(group, "webhookSecret"))
	if err != nil {
		t.Fatal(err)
	}
	key := w.put(w.notice(alert.Webhook, func(n *alert.Notice) {
		n.Notification.Secrets = map[string]alert.Secret{"webhookSecret": {Sealed: sealed, Shown: "***"}}
	}))
	w.sealer.Break(true)
	w.deliver(key)
	w.sealer.Break(false)
	w.pass(2 * time.Minute)
	if w.box.to.Secrets["webhookSecret"] != "hunter2-hunter2" || w.delivery(key).State != notification.Sent {
		t.Errorf("the channel got %v", w.box.to.Secrets)
	}
	moved := w.put(w.notice(alert.Webhook, func(n *alert.Notice) { // a secret of another member
		n.Notification.Thread = "other"
		n.Notification.Secrets = map[string]alert.Secret{"webhookUrl": {Sealed: sealed}}
	}))
	w.deliver(moved)
	if d := w.delivery(moved); d.State != notification.Dead || d.Targets[0].Reason != notification.SecretLost {
		t.Errorf("what does not open ended as %+v", d)
	}
	items, err := store.All(t.Context(), w.table, store.Query{PK: keys.Group(group).PK, Prefix: keys.DeliveryPrefix})
	if err != nil {
		t.Fatal(err)
	}
	for _, item := range items {
		if strings.Contains(string(item.Body), "hunter2") {
			t.Error("the record of the delivery has the secret")
		}
	}
	if strings.Contains(w.log.String(), "hunter2") {
		t.Error("the log has the secret")
	}
}

// A channel that is off is nobody's fault, and no dead letter.
func TestDeliver_skips_a_channel_that_is_off(t *testing.T) {
	w := newWorld(t)
	s := w.service(w.table)
	delete(s.Channels, alert.SMS)
	key := w.put(w.notice(alert.SMS, func(n *alert.Notice) { n.Notification.Members["mobileNumber"] = "+15550100" }))
	if err := s.Deliver(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	if d := w.delivery(key); d.State != notification.Skipped || d.Targets[0].Reason != notification.ChannelOff {
		t.Errorf("it ended as %+v", d)
	}
}

func TestDeliver_sends_an_email_once_to_everybody_who_has_the_role(t *testing.T) {
	w := newWorld(t)
	m := aMail()
	m.To = append(m.To, "ORG_OWNER", "ORG_MEMBER")
	w.store(m.Key(), m)
	w.deliver(m.Key())
	w.deliver(m.Key())
	want := map[string][]string{"EMAIL owner@example.com": {""}, "EMAIL boss@example.com": {""}}
	if diff := cmp.Diff(want, w.box.took()); diff != "" {
		t.Error(diff)
	}
	if w.box.last.Subject != m.Subject || w.box.last.Text != m.Text {
		t.Errorf("it says %+v", w.box.last)
	}
}

// What is gone, and what is of another kind, is nothing to deliver.
func TestDeliver_heeds_nothing_else(t *testing.T) {
	w := newWorld(t)
	for _, key := range []store.Key{
		keys.AlertNotice(group, "x", "y", "1"), keys.Mail(group, "KEY_LOST", "1"), keys.Group(group), keys.Org(org), {PK: "ORG#" + org, SK: "NOTICE#x"},
	} {
		w.deliver(key)
	}
	if got := w.box.took(); len(got) > 0 {
		t.Errorf("%v were told", got)
	}
}

// The project was purged between two attempts.
func TestRetryDue_gives_up_what_has_no_source_any_more(t *testing.T) {
	w := newWorld(t)
	w.box.fail = func(notification.Message, notification.Target) error {
		return &notification.Failure{Reason: notification.NotReached}
	}
	key := w.put(w.notice(alert.Webhook))
	w.deliver(key)
	if err := w.table.Write(t.Context(), store.Delete(key, 1)); err != nil {
		t.Fatal(err)
	}
	w.box.fail = nil
	w.pass(time.Hour)
	if got := w.box.took(); len(got) > 0 || w.delivery(key).State != notification.Dead {
		t.Errorf("%v were told; %s", got, w.delivery(key).State)
	}
}

func TestMessages_have_one_line_subjects_and_say_what_to_do(t *testing.T) {
	w := newWorld(t)
	w.deliver(w.put(w.notice(alert.Webhook)))
	m := w.box.last
	if strings.ContainsAny(m.Subject, "\r\n") || !strings.Contains(m.Subject, "AWS encryption key invalid") {
		t.Errorf("the subject is %q", m.Subject)
	}
	for _, part := range []string{"The key is disabled.", "Enable it.", "Severity: CRITICAL", "Organization: " + org} {
		if !strings.Contains(m.Text, part) {
			t.Errorf("the text does not say %q:\n%s", part, m.Text)
		}
	}
	for _, f := range m.Fields {
		if strings.ContainsAny(f.Value, "\r\n\x00") {
			t.Errorf("%s is %q", f.Name, f.Value)
		}
	}
	if !strings.Contains(string(m.Document), `"humanReadable"`) || m.Link == "" {
		t.Errorf("the document is %s, the link %q", m.Document, m.Link)
	}
}

// Who reads that a key is well again is not to be told to see to it.
func TestMessages_of_an_end_call_for_nothing(t *testing.T) {
	w := newWorld(t)
	w.deliver(w.put(w.notice(alert.Webhook, ended(alert.Closed))))
	if text := w.box.last.Text; !strings.HasPrefix(text, "This is over:\n\nThe key is disabled.\n") || strings.Contains(text, "Enable it.") {
		t.Errorf("the text says:\n%s", text)
	}
}
