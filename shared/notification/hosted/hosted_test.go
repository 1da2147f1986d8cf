package hosted_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/shared/alert"
	"latchkey/shared/notification"
	"latchkey/shared/notification/hosted"
	"latchkey/shared/notification/outbound"
)

const key = "k3y-of-the-tenant"

// services are the hosted services, at the wire: they know one key, keep incidents by their names, and
// refuse what they do not understand.
type services struct {
	t  *testing.T
	mu sync.Mutex
	// open are the incidents that are open, by service and name; opened is how often one was.
	open   map[string]bool
	opened map[string]int
	posts  []string // what was posted to services without incidents
	hosts  []string
	status int    // of the next answers; 0 is that of a success
	answer string // of Slack and Teams
}

// RoundTrip implements http.RoundTripper.
func (s *services) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	var body map[string]any
	if err := json.Unmarshal(raw, &body); err != nil {
		s.t.Errorf("%s is sent %s", r.URL.Host, raw)
	}
	s.hosts = append(s.hosts, r.URL.Host)
	status, answer := s.status, s.answer
	if status == 0 {
		status = s.serve(r, body)
	}
	return &http.Response{StatusCode: status, Header: http.Header{"Retry-After": {"7"}}, Body: io.NopCloser(strings.NewReader(answer)), Request: r}, nil
}

func (s *services) serve(r *http.Request, body map[string]any) int {
	text := func(name string) string { v, _ := body[name].(string); return v }
	switch host := r.URL.Host; {
	case strings.HasPrefix(host, "events.") && strings.HasSuffix(host, ".pagerduty.com") && r.URL.Path == "/v2/enqueue":
		payload, _ := body["payload"].(map[string]any)
		if text("routing_key") != key || text("dedup_key") == "" || text("event_action") == "trigger" && (payload["summary"] == "" || payload["source"] == "" || payload["severity"] == nil) {
			return http.StatusBadRequest
		}
		s.incident("pagerduty "+text("dedup_key"), text("event_action") == "trigger")
		return http.StatusAccepted
	case strings.HasPrefix(host, "api.") && strings.HasSuffix(host, "opsgenie.com"):
		if r.Header.Get("Authorization") != "GenieKey "+key {
			return http.StatusForbidden
		}
		if alias, ok := strings.CutPrefix(r.URL.Path, "/v2/alerts/"); ok {
			alias, ok = strings.CutSuffix(alias, "/close")
			if !ok || r.URL.Query().Get("identifierType") != "alias" {
				return http.StatusUnprocessableEntity
			}
			s.incident("opsgenie "+alias, false)
			return http.StatusAccepted
		}
		if len([]rune(text("message"))) > 130 || text("message") == "" || !strings.HasPrefix(text("priority"), "P") {
			return http.StatusUnprocessableEntity
		}
		s.incident("opsgenie "+text("alias"), true)
		return http.StatusAccepted
	case host == "alert.victorops.com":
		if r.URL.Path != "/integrations/generic/20131114/alert/"+key+"/team" {
			return http.StatusNotFound
		}
		s.incident("victorops "+text("entity_id"), text("message_type") != "RECOVERY")
		return http.StatusOK
	case strings.HasPrefix(host, "api.") && r.URL.Path == "/api/v1/events":
		if r.Header.Get("DD-API-KEY") != key || len(text("aggregation_key")) > 100 || len([]rune(text("text"))) > 4000 {
			return http.StatusForbidden
		}
		s.posts = append(s.posts, "datadog "+text("alert_type"))
		return http.StatusAccepted
	case host == "slack.com" && r.URL.Path == "/api/chat.postMessage":
		if r.Header.Get("Authorization") != "Bearer "+key || text("channel") == "" {
			return http.StatusOK
		}
		s.posts = append(s.posts, "slack "+text("text"))
		return http.StatusOK
	case host == "example.webhook.office.com":
		attachments, _ := body["attachments"].([]any)
		first, _ := attachments[0].(map[string]any)
		if text("type") != "message" || first["contentType"] != "application/vnd.microsoft.card.adaptive" {
			return http.StatusBadRequest
		}
		s.posts = append(s.posts, "teams")
		return http.StatusOK
	}
	return http.StatusNotFound
}

func (s *services) incident(name string, open bool) {
	if open && !s.open[name] {
		s.opened[name]++
	}
	s.open[name] = open
}

func newServices(t *testing.T) (*services, map[alert.Kind]notification.Channel) {
	t.Helper()
	s := &services{t: t, open: map[string]bool{}, opened: map[string]int{}, answer: `{"ok":true}`}
	return s, hosted.Channels(outbound.New(outbound.Options{Transport: s, Now: time.Now}))
}

func message(e notification.Event) notification.Message {
	return notification.Message{
		ID: "5f0c1d", Incident: "650000000000000000000030", Event: e, GroupID: "650000000000000000000001", Kind: "AWS_ENCRYPTION_KEY_INVALID",
		Severity: alert.Critical, At: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC), Subject: "<!channel> " + strings.Repeat("s", 180), Text: strings.Repeat("t", 20_000),
		Fields: []notification.Field{{Name: "Cluster", Value: "c"}}, Link: "https://latchkey.example/alerts/1",
	}
}

func target(k alert.Kind) notification.Target {
	return notification.Target{Kind: k, Members: map[string]string{"channelName": "#alerts"}, Secrets: map[string]string{
		"serviceKey": key, "opsGenieApiKey": key, "victorOpsApiKey": key, "victorOpsRoutingKey": "team", "datadogApiKey": key, "apiToken": key,
		"microsoftTeamsWebhookUrl": "https://example.webhook.office.com/" + key,
	}}
}

func TestSend_opens_an_incident_once_and_closes_it(t *testing.T) {
	for k, name := range map[alert.Kind]string{alert.PagerDuty: "pagerduty", alert.OpsGenie: "opsgenie", alert.VictorOps: "victorops"} {
		s, channels := newServices(t)
		send := func(e notification.Event, open bool) {
			t.Helper()
			if err := channels[k].Send(t.Context(), message(e), target(k)); err != nil {
				t.Errorf("%s: %v", k, err)
			}
			if diff := cmp.Diff(map[string]bool{name + " latchkey-650000000000000000000030": open}, s.open); diff != "" {
				t.Errorf("%s: %s", k, diff)
			}
		}
		send(notification.Opened, true)
		send(notification.Opened, true) // the answer to the first was lost
		send(notification.Closed, false)
		send(notification.Closed, false)
		if n := s.opened[name+" latchkey-650000000000000000000030"]; n != 1 {
			t.Errorf("%s opened %d incidents", k, n)
		}
		send(notification.Cancelled, false)
	}
}

func TestSend_posts_to_feeds(t *testing.T) {
	for k, want := range map[alert.Kind][]string{
		alert.Datadog: {"datadog error", "datadog success"}, alert.Teams: {"teams", "teams"},
		alert.Slack: {"slack &lt;!channel&gt; " + strings.Repeat("s", 180), "slack &lt;!channel&gt; " + strings.Repeat("s", 180)},
	} {
		s, channels := newServices(t)
		for _, e := range []notification.Event{notification.Opened, notification.Closed} {
			if err := channels[k].Send(t.Context(), message(e), target(k)); err != nil {
				t.Errorf("%s: %v", k, err)
			}
		}
		if diff := cmp.Diff(want, s.posts); diff != "" {
			t.Errorf("%s: %s", k, diff)
		}
	}
}

func TestSend_reaches_the_region(t *testing.T) {
	for _, c := range []struct {
		kind                 alert.Kind
		member, region, host string
	}{
		{alert.PagerDuty, "region", "US", "events.pagerduty.com"},
		{alert.PagerDuty, "region", "EU", "events.eu.pagerduty.com"},
		{alert.OpsGenie, "opsGenieRegion", "US", "api.opsgenie.com"},
		{alert.OpsGenie, "opsGenieRegion", "EU", "api.eu.opsgenie.com"},
		{alert.Datadog, "datadogRegion", "US", "api.datadoghq.com"},
		{alert.Datadog, "datadogRegion", "EU", "api.datadoghq.eu"},
		{alert.Datadog, "datadogRegion", "US3", "api.us3.datadoghq.com"},
		{alert.Datadog, "datadogRegion", "US5", "api.us5.datadoghq.com"},
		{alert.Datadog, "datadogRegion", "AP1", "api.ap1.datadoghq.com"},
		{alert.Datadog, "datadogRegion", "US1_FED", "api.ddog-gov.com"},
	} {
		s, channels := newServices(t)
		to := target(c.kind)
		to.Members[c.member] = c.region
		_ = channels[c.kind].Send(t.Context(), message(notification.Opened), to)
		if diff := cmp.Diff([]string{c.host}, s.hosts); diff != "" {
			t.Errorf("%s %s: %s", c.kind, c.region, diff)
		}
	}
}

// What services answer, and to whom a key does not belong, shows neither key nor address.
func TestSend_says_what_an_answer_means(t *testing.T) {
	for _, k := range []alert.Kind{alert.PagerDuty, alert.OpsGenie, alert.VictorOps, alert.Datadog, alert.Slack, alert.Teams} {
		for status, want := range map[int]notification.Failure{
			401: {Reason: notification.Refused, Permanent: true}, 429: {Reason: notification.Throttled}, 503: {Reason: notification.Failed}, 302: {Reason: notification.Redirected},
		} {
			s, channels := newServices(t)
			s.status = status
			want.Status, want.RetryAfter = status, 7*time.Second
			err := channels[k].Send(t.Context(), message(notification.Opened), target(k))
			f, ok := errors.AsType[*notification.Failure](err)
			if !ok || *f != want || strings.Contains(err.Error(), key) {
				t.Errorf("%s, %d: %v, want %+v", k, status, err, want)
			}
		}
	}
}

// Slack and Teams answer 200 to what they refuse.
func TestSend_reads_the_answers_of_services_that_refuse_with_success(t *testing.T) {
	for _, c := range []struct {
		kind   alert.Kind
		answer string
		want   notification.Failure
	}{
		{alert.Slack, `{"ok":false,"error":"channel_not_found"}`, notification.Failure{Reason: notification.Refused, Permanent: true}},
		{alert.Slack, `{"ok":false,"error":"invalid_auth"}`, notification.Failure{Reason: notification.Refused, Permanent: true}},
		{alert.Slack, `{"ok":false,"error":"ratelimited"}`, notification.Failure{Reason: notification.Failed}},
		{alert.Slack, `{"ok":false,"error":"internal_error"}`, notification.Failure{Reason: notification.Failed}},
		{alert.Slack, `<html>`, notification.Failure{Reason: notification.Failed}},
		{alert.Teams, "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 429 with ContextId x.", notification.Failure{Reason: notification.Throttled, Status: 429}},
		{alert.Teams, "Webhook message delivery failed with error: x", notification.Failure{Reason: notification.Failed}},
	} {
		s, channels := newServices(t)
		s.answer = c.answer
		err := channels[c.kind].Send(t.Context(), message(notification.Opened), target(c.kind))
		if f, ok := errors.AsType[*notification.Failure](err); !ok || *f != c.want {
			t.Errorf("%s %s: %v", c.kind, c.answer, err)
		}
	}
}

func TestChannels_have_every_kind_of_service(t *testing.T) {
	_, channels := newServices(t)
	for _, k := range alert.Kinds() {
		isService := !k.TellsPeople() && k != alert.Email && k != alert.SMS && k != alert.Webhook
		if (channels[k] != nil) != isService {
			t.Errorf("%s has the channel %v", k, channels[k])
		}
	}
}
