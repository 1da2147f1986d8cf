package notify_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/go-cmp/cmp"

	"latchkey/shared/alert"
	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/identity/identitytest"
	"latchkey/shared/notification/outbound"
	"latchkey/shared/notification/webhook"
	"latchkey/shared/store"
	"latchkey/shared/store/dynamo"
	"latchkey/shared/store/keys"
	"latchkey/shared/suite/notify"
)

const (
	group  = "650000000000000000000001"
	secret = "a secret of the receiver's"
)

// world is the function with a tenant's receiver and the operator's bus.
type world struct {
	t      *testing.T
	table  store.Table
	clock  *identitytest.Clock
	sealer *identitytest.Sealer
	server *httptest.Server

	mu        sync.Mutex
	log       strings.Builder
	received  map[string]int // by request id
	answers   []int          // of the next requests; then 200
	published []string
	refuse    map[audit.Type]bool
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{
		t: t, table: identitytest.Table(t), clock: identitytest.NewClock(), sealer: identitytest.NewSealer(t),
		received: map[string]int{}, refuse: map[audit.Type]bool{},
	}
	w.server = httptest.NewServer(w)
	t.Cleanup(w.server.Close)
	return w
}

// ServeHTTP is the tenant's receiver.
func (w *world) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	if r.Header.Get(webhook.SignatureHeader) != webhook.Sign(secret, body) {
		w.t.Errorf("the signature is %q", r.Header.Get(webhook.SignatureHeader))
	}
	var document struct {
		ID    string
		Links []atlas.Link
	}
	if err := json.Unmarshal(body, &document); err != nil || document.ID == "" || !strings.HasPrefix(document.Links[0].Href, "https://api.example/v/api/atlas/v2/groups/"+group+"/alerts/") {
		w.t.Errorf("the body is %s", body)
	}
	w.received[r.Header.Get(webhook.RequestHeader)]++
	if len(w.answers) > 0 {
		rw.WriteHeader(w.answers[0])
		w.answers = w.answers[1:]
	}
}

// Publish implements notification.Bus.
func (w *world) Publish(_ context.Context, all []audit.Event) (refused []int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, e := range all {
		if w.refuse[e.Type] {
			refused = append(refused, i)
			continue
		}
		w.published = append(w.published, string(e.Type))
	}
	return refused, nil
}

// Write implements io.Writer for the log.
func (w *world) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.Write(p)
}

func (w *world) function(table store.Table) *notify.Function {
	w.t.Helper()
	allow, err := outbound.ParseAllowlist("127.0.0.1")
	if err != nil {
		w.t.Fatal(err)
	}
	return notify.New(notify.Deps{
		Table: table, Opener: w.sealer, Bus: w, API: "https://api.example/v", Now: w.clock.Now, Jitter: func() float64 { return 0 },
		Log:      slog.New(slog.NewJSONHandler(w, nil)),
		Channels: notify.Channels(outbound.New(outbound.Options{Allow: allow, Now: w.clock.Now}), nil, nil),
	})
}

// notice stores a notice for the webhook and returns its item.
func (w *world) notice(n int) store.Item {
	w.t.Helper()
	seal := func(member, value string) alert.Secret {
		sealed, err := w.sealer.Seal(w.t.Context(), []byte(value), alert.SecretContext(group, member))
		if err != nil {
			w.t.Fatal(err)
		}
		return alert.Secret{Sealed: sealed}
	}
	notice := alert.Notice{
		Alert: alert.Alert{ID: fmt.Sprintf("65000000000000000000%04d", n), GroupID: group, OrgID: "o", Type: alert.KeyInvalid(atlas.AWS), Status: alert.Open, Created: w.clock.Now(), Updated: w.clock.Now()},
		Stage: "1", Due: w.clock.Now(), Severity: alert.Critical,
		Notification: alert.Notification{Thread: "t", Type: alert.Webhook, Secrets: map[string]alert.Secret{
			"webhookUrl": seal("webhookUrl", w.server.URL+"/token-in-the-address"), "webhookSecret": seal("webhookSecret", secret),
		}},
	}
	item, err := store.Encode(notice.Key(), 0, notice)
	return w.put(item, err)
}

func (w *world) event(t audit.Type) store.Item {
	w.t.Helper()
	op, err := audit.Journal{Table: w.table, Now: w.clock.Now}.Put(audit.New(w.clock.Now(), t, audit.System(), "o", group))
	return w.put(op.Item, err)
}

func (w *world) put(item store.Item, err error) store.Item {
	w.t.Helper()
	if err == nil {
		err = w.table.Write(w.t.Context(), store.Put(item))
	}
	if err != nil {
		w.t.Fatal(err)
	}
	item.Version++
	return item
}

// batch is an event of the stream as Lambda passes it on.
func (w *world) batch(items ...store.Item) []byte {
	w.t.Helper()
	var e events.DynamoDBEvent
	for i, item := range items {
		image, err := json.Marshal(dynamo.ImageOf(item))
		if err != nil {
			w.t.Fatal(err)
		}
		r := events.DynamoDBEventRecord{EventName: "INSERT", EventSource: "aws:dynamodb", Change: events.DynamoDBStreamRecord{SequenceNumber: strconv.Itoa(i)}}
		if err := json.Unmarshal(image, &r.Change.NewImage); err != nil {
			w.t.Fatal(err)
		}
		e.Records = append(e.Records, r)
	}
	payload, err := json.Marshal(e)
	if err != nil {
		w.t.Fatal(err)
	}
	return payload
}

// failures are the records that a function wants to see again.
func (w *world) failures(f *notify.Function, payload []byte) []string {
	w.t.Helper()
	out, err := f.Invoke(w.t.Context(), payload)
	if err != nil {
		w.t.Fatal(err)
	}
	var answer events.DynamoDBEventResponse
	if err := json.Unmarshal(out, &answer); err != nil || !strings.Contains(string(out), `"batchItemFailures":[`) {
		w.t.Fatalf("%s: %v", out, err)
	}
	var numbers []string
	for _, failure := range answer.BatchItemFailures {
		numbers = append(numbers, failure.ItemIdentifier)
	}
	return numbers
}

func TestInvoke_deliversOnceHoweverOftenAndAtOnceItIsInvoked(t *testing.T) {
	w := newWorld(t)
	payload := w.batch(w.notice(1), w.notice(2), w.event("A"), w.notice(3))
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if failed := w.failures(w.function(w.table), payload); failed != nil {
				t.Errorf("%v failed", failed)
			}
		})
	}
	all.Wait()
	w.failures(w.function(w.table), payload)
	if len(w.received) != 3 {
		t.Errorf("%d notifications were received", len(w.received))
	}
	for id, times := range w.received {
		if times != 1 {
			t.Errorf("%s was received %d times", id, times)
		}
	}
}

// The receiver fails, throttles and recovers; each time the message has the same id.
func TestInvoke_triesAgainByScheduleUnderTheSameID(t *testing.T) {
	w := newWorld(t)
	w.answers = []int{500, 429, 302, 503}
	w.failures(w.function(w.table), w.batch(w.notice(1)))
	for range 60 {
		w.clock.Advance(time.Minute)
		if _, err := w.function(w.table).Invoke(t.Context(), []byte(`{"retryDue":true}`)); err != nil {
			t.Fatal(err)
		}
	}
	if len(w.received) != 1 {
		t.Errorf("received %v", w.received)
	}
	for id, times := range w.received {
		if times != 5 {
			t.Errorf("%s was received %d times", id, times)
		}
	}
	if log := w.log.String(); strings.Contains(log, "token-in-the-address") || strings.Contains(log, secret) {
		t.Error("the log has secrets")
	}
}

// broken is a table that cannot be written.
type broken struct{ store.Table }

func (broken) Write(context.Context, ...store.Op) error { return errors.New("no capacity") }

func TestInvoke_reportsTheRecordsThatMustComeAgain(t *testing.T) {
	w := newWorld(t)
	w.refuse["B"] = true
	items := []store.Item{w.event("A"), w.notice(1), w.event("B"), w.event("C")}
	if diff := cmp.Diff([]string{"1", "2"}, w.failures(w.function(broken{w.table}), w.batch(items...))); diff != "" {
		t.Error(diff)
	}
	if len(w.received) > 0 {
		t.Error("it was sent without a claim")
	}
	w.refuse = nil
	if failed := w.failures(w.function(w.table), w.batch(items[1:]...)); failed != nil || len(w.received) != 1 {
		t.Errorf("%v failed, %d received", failed, len(w.received))
	}
	if diff := cmp.Diff([]string{"A", "C", "B", "C"}, w.published); diff != "" {
		t.Errorf("published: %s", diff)
	}
}

// What nobody can read holds up nothing behind it; what is changed or removed is no news.
func TestInvoke_dropsWhatCanNeverBeHandled(t *testing.T) {
	w := newWorld(t)
	unreadable := store.Item{Key: keys.Event(keys.GroupScope(group), w.clock.Now(), "x"), Version: 1, Body: []byte("{")}
	good, changed := w.notice(1), w.notice(2)
	payload := strings.Replace(string(w.batch(unreadable, changed, good)), `"INSERT"`, `"INSERT"`, 1)
	var b map[string][]map[string]any
	if err := json.Unmarshal([]byte(payload), &b); err != nil {
		t.Fatal(err)
	}
	b["Records"][1]["eventName"] = "MODIFY"
	b["Records"] = append(b["Records"], map[string]any{"eventName": "INSERT", "dynamodb": map[string]any{"SequenceNumber": "9", "NewImage": map[string]any{"pk": map[string]any{"B": "eA=="}}}})
	raw, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	if failed := w.failures(w.function(w.table), raw); failed != nil || len(w.received) != 1 {
		t.Errorf("%v failed, %d received", failed, len(w.received))
	}
	if got := strings.Count(w.log.String(), `"StreamRecordsDropped":1`); got != 2 {
		t.Errorf("%d were counted", got)
	}
	if _, err := w.function(w.table).Invoke(t.Context(), []byte("{")); atlas.CodeOf(err) != atlas.MalformedJSON {
		t.Errorf("no JSON gives %v", err)
	}
}

func TestChannels_haveEveryKind(t *testing.T) {
	w := newWorld(t)
	channels := notify.Channels(outbound.New(outbound.Options{Now: w.clock.Now}), nil, nil)
	for _, k := range alert.Kinds() {
		if _, ok := channels[k]; !ok && !k.TellsPeople() {
			t.Errorf("%s has no channel", k)
		}
	}
}
