package awsbus_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/google/go-cmp/cmp"

	"latchkey/shared/audit"
	"latchkey/shared/notification"
	"latchkey/shared/notification/awsbus"
)

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

type entry struct{ Source, DetailType, Detail, EventBusName string }

// bridge is EventBridge at the wire: it refuses requests that are too many or too large, and single
// entries as it is told to.
type bridge struct {
	t        *testing.T
	taken    []entry
	requests int
	refuse   func(detailType string) bool
	down     bool
}

func (b *bridge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.requests++
	var in struct{ Entries []entry }
	raw, _ := io.ReadAll(r.Body)
	if err := json.Unmarshal(raw, &in); err != nil || r.Header.Get("X-Amz-Target") != "AWSEvents.PutEvents" {
		b.t.Errorf("%s: %s", r.Header.Get("X-Amz-Target"), raw)
	}
	size := 0
	for _, e := range in.Entries {
		size += 14 + len(e.Source) + len(e.DetailType) + len(e.Detail)
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	if b.down || len(in.Entries) == 0 || len(in.Entries) > 10 || size > 256<<10 {
		if !b.down {
			b.t.Errorf("%d entries of %d bytes", len(in.Entries), size)
		}
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = io.WriteString(w, `{"__type":"InternalException"}`)
		return
	}
	var out struct {
		FailedEntryCount int
		Entries          []map[string]string
	}
	for _, e := range in.Entries {
		if b.refuse != nil && b.refuse(e.DetailType) {
			out.FailedEntryCount++
			out.Entries = append(out.Entries, map[string]string{"ErrorCode": "ThrottlingException"})
			continue
		}
		b.taken = append(b.taken, e)
		out.Entries = append(out.Entries, map[string]string{"EventId": "1"})
	}
	_ = json.NewEncoder(w).Encode(out)
}

func publisher(t *testing.T, b *bridge) notification.Publisher {
	t.Helper()
	b.t = t
	server := httptest.NewServer(b)
	t.Cleanup(server.Close)
	return notification.Publisher{Log: discard(), Bus: awsbus.New(eventbridge.New(eventbridge.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(server.URL), Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""), RetryMaxAttempts: 1,
	}), "operators")}
}

func events(n int, detail string) []audit.Event {
	var all []audit.Event
	for i := range n {
		e := audit.New(time.Unix(1_800_000_000, 0), audit.Type("TYPE_"+string(rune('A'+i))), audit.System(), "org", "group")
		if detail != "" {
			e = e.With("detail", detail)
		}
		all = append(all, e)
	}
	return all
}

func TestPublish_publishes_every_event_by_ten(t *testing.T) {
	b := &bridge{}
	all := events(23, "")
	if refused := publisher(t, b).Publish(t.Context(), all); refused != nil || b.requests != 3 || len(b.taken) != 23 {
		t.Errorf("%v were refused, %d requests, %d taken", refused, b.requests, len(b.taken))
	}
	for i, e := range b.taken {
		var got audit.Event
		if err := json.Unmarshal([]byte(e.Detail), &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(all[i], got); diff != "" || e.Source != "latchkey" || e.DetailType != string(all[i].Type) || e.EventBusName != "operators" {
			t.Errorf("%+v: %s", e, diff)
		}
	}
}

// What was refused once is offered again, and nothing else is.
func TestPublish_offers_again_what_was_refused(t *testing.T) {
	refusals := 0
	b := &bridge{refuse: func(detailType string) bool {
		if detailType != "TYPE_C" {
			return false
		}
		refusals++
		return refusals < 3
	}}
	if refused := publisher(t, b).Publish(t.Context(), events(12, "")); refused != nil || len(b.taken) != 12 {
		t.Errorf("%v were refused, %d taken", refused, len(b.taken))
	}
	b = &bridge{refuse: func(detailType string) bool { return detailType == "TYPE_C" || detailType == "TYPE_L" }}
	if diff := cmp.Diff([]int{2, 11}, publisher(t, b).Publish(t.Context(), events(12, ""))); diff != "" || len(b.taken) != 10 {
		t.Errorf("%d taken, %s", len(b.taken), diff)
	}
	b = &bridge{down: true}
	if diff := cmp.Diff([]int{0, 1}, publisher(t, b).Publish(t.Context(), events(2, ""))); diff != "" {
		t.Error(diff)
	}
}

func TestPublish_splits_what_is_too_large_and_shortens_what_is_larger(t *testing.T) {
	b := &bridge{}
	if refused := publisher(t, b).Publish(t.Context(), events(9, strings.Repeat("x", 60<<10))); refused != nil || len(b.taken) != 9 || b.requests != 3 {
		t.Errorf("%v were refused, %d taken, %d requests", refused, len(b.taken), b.requests)
	}
	b = &bridge{}
	if refused := publisher(t, b).Publish(t.Context(), events(1, strings.Repeat("x", 300<<10))); refused != nil || len(b.taken) != 1 || !strings.Contains(b.taken[0].Detail, `"truncated":true`) {
		t.Errorf("%v were refused, %d taken", refused, len(b.taken))
	}
}
