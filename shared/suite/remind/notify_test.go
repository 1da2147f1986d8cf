package remind_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/shared/alert"
	"latchkey/shared/notification"
	"latchkey/shared/store"
	"latchkey/shared/store/dynamo"
	"latchkey/shared/store/keys"
	"latchkey/shared/suite/notify"
)

// mailbox receives messages. One attempt in a few fails before it is received, if any are to.
type mailbox struct {
	now   func() time.Time
	flaky bool

	mu       sync.Mutex
	attempts int
	received map[string][]time.Time // when, by what and to whom
}

// Send implements notification.Channel.
func (m *mailbox) Send(_ context.Context, msg notification.Message, t notification.Target) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.attempts++; m.flaky && m.attempts%3 == 0 {
		return &notification.Failure{Reason: notification.Failed, Status: 503}
	}
	key := msg.ID + " to " + t.Address
	m.received[key] = append(m.received[key], m.now())
	return nil
}

// stream is what the table's stream delivers of a group's notices: each at least once.
type stream struct {
	*world
	box       *mailbox
	delivered map[store.Key]bool
}

func newStream(tb testing.TB) *stream {
	tb.Helper()
	w := newWorld(tb)
	return &stream{
		world: w, delivered: map[store.Key]bool{}, box: &mailbox{now: w.clock.Now, received: map[string][]time.Time{}},
	}
}

func (s *stream) deps() notify.Deps {
	return notify.Deps{
		Table: s.table, Channels: map[alert.Kind]notification.Channel{alert.Email: s.box}, Now: s.clock.Now,
		Jitter: func() float64 { return 0 }, Log: slog.New(slog.NewJSONHandler(s.log, nil)),
	}
}

// batch is an event of the stream with the notices that it has not told of.
func (s *stream) batch(groupID string) []byte {
	s.tb.Helper()
	type change struct {
		SequenceNumber string
		NewImage       dynamo.Image
	}
	type record struct {
		EventName string `json:"eventName"`
		Change    change `json:"dynamodb"`
	}
	var records []record
	for _, item := range s.notices(groupID) {
		if !s.delivered[item.Key] {
			s.delivered[item.Key] = true
			records = append(records, record{"INSERT", change{item.SK, dynamo.ImageOf(item)}})
		}
	}
	payload, err := json.Marshal(map[string]any{"Records": records})
	s.must(err)
	return payload
}

// deliver has two instances handle the same batch at once, and one of them again; and what failed
// before tried again, in the same way.
func (s *stream) deliver(groupID string) {
	s.tb.Helper()
	payload := s.batch(groupID)
	once := func() {
		f := notify.New(s.deps())
		for _, event := range [][]byte{payload, []byte(`{"retryDue":true}`)} {
			if _, err := f.Invoke(s.tb.Context(), event); err != nil {
				s.tb.Error(err)
			}
		}
	}
	var all sync.WaitGroup
	all.Go(once)
	all.Go(once)
	all.Wait()
	once()
}

// owned makes a project with an owner, who is told.
func (s *stream) owned(notifications ...alert.NotificationDraft) (groupID string) {
	s.tb.Helper()
	groupID = s.group("one", notifications...)
	members, err := s.projects.Members(s.tb.Context(), groupID)
	s.must(err)
	if len(members) != 1 {
		s.tb.Fatalf("%d members", len(members))
	}
	return groupID
}

// From the passing of time to the mailbox, everything runs twice at the same moment and then again.
func TestRemindAndNotify_tellEachTargetOnceInEachInterval(t *testing.T) {
	s := newStream(t)
	id := s.owned(every(0, 5), every(3, 7), every(10, 60))
	s.raise(id)
	start := s.clock.Now()
	s.deliver(id)
	const hours = 2 * 60
	for range hours {
		s.clock.Advance(time.Minute)
		s.run()
		s.deliver(id)
	}
	want := map[int]int{} // messages by the minute
	for _, minutes := range [][]int{schedule(0, 5, hours), schedule(3, 7, hours), schedule(10, 60, hours)} {
		for _, minute := range minutes {
			want[minute]++
		}
	}
	got := map[int]int{}
	for what, times := range s.box.received {
		if len(times) != 1 {
			t.Errorf("%s was received at %v", what, times)
		}
		got[int(times[0].Sub(start)/time.Minute)]++
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("received (-want +got):\n%s", diff)
	}
}

// A message that fails is tried again, unless a newer one has taken its place.
func TestRemindAndNotify_repeatNothingThatWasReceived(t *testing.T) {
	s := newStream(t)
	s.box.flaky = true
	id := s.owned(every(0, 5), every(3, 30))
	s.raise(id)
	for range 2 * 60 {
		s.deliver(id)
		s.clock.Advance(time.Minute)
		s.run()
	}
	s.must(s.alerts.Clear(t.Context(), id, invalid, "AWS", time.Time{}))
	for range 4 * 60 { // until every attempt has ended
		s.clock.Advance(time.Minute)
		s.deliver(id)
	}
	for what, times := range s.box.received {
		if len(times) != 1 {
			t.Errorf("%s was received at %v", what, times)
		}
	}
	items, err := store.All(t.Context(), s.table, store.Query{PK: keys.Group(id).PK, Prefix: keys.DeliveryPrefix})
	s.must(err)
	told := 0
	for _, item := range items {
		d, err := store.Decode[notification.Delivery](item)
		s.must(err)
		switch d.State {
		case notification.Sent:
			told++
		case notification.Skipped: // by a newer one
		default:
			t.Errorf("%s is %s", d.Entry, d.State)
		}
	}
	if told != len(s.box.received) || len(items) != len(s.notices(id)) || told < len(items)/2 {
		t.Errorf("%d notices, %d deliveries, %d told, %d received", len(s.notices(id)), len(items), told, len(s.box.received))
	}
}
