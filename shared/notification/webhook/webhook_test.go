package webhook_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/shared/alert"
	"latchkey/shared/notification"
	"latchkey/shared/notification/outbound"
	"latchkey/shared/notification/webhook"
)

const secret = "a secret of the receiver's"

// receiver is a program of a tenant's: it verifies the signature of every request, and heeds each
// request id once.
type receiver struct {
	*httptest.Server
	mu      sync.Mutex
	answers []int // statuses of the next requests; then 200
	heeded  map[string]int
	refused int
	header  http.Header
	body    []byte
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{heeded: map[string]int{}}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

// ServeHTTP answers as it is told to, once the request was heeded.
func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.body, _ = io.ReadAll(q.Body)
	r.header = q.Header.Clone()
	mac := hmac.New(sha1.New, []byte(secret))
	mac.Write(r.body)
	if !hmac.Equal([]byte(base64.StdEncoding.EncodeToString(mac.Sum(nil))), []byte(q.Header.Get("X-MMS-Signature"))) {
		r.refused++
		w.WriteHeader(http.StatusForbidden)
		return
	}
	r.heeded[q.Header.Get("X-MMS-Request-Id")]++
	if len(r.answers) > 0 {
		w.WriteHeader(r.answers[0])
		r.answers = r.answers[1:]
	}
}

func message() notification.Message {
	return notification.Message{
		ID: "5f0c1d", Incident: "650000000000000000000030", Event: notification.Opened, GroupID: "650000000000000000000001", Kind: "AWS_ENCRYPTION_KEY_INVALID",
		Severity: alert.Critical, At: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC), Subject: "subject", Text: "text",
		Document: []byte(`{"id":"650000000000000000000030","status":"OPEN","eventTypeName":"AWS_ENCRYPTION_KEY_INVALID","clusterName":"a \"b\"\r\nX-Evil: 1","humanReadable":"It's \"off\".","currentValue":{"number":3,"units":"DAYS"},"links":[{"rel":"self","href":"https://a"},{"rel":"config","href":"https://b"}],"projectName":"p"}`),
	}
}

func target(body, headers string) notification.Target {
	return notification.Target{
		Kind: alert.Webhook, Members: map[string]string{"webhookBodyTemplate": body},
		Secrets: map[string]string{"webhookUrl": "https://example.com/hook", "webhookSecret": secret, "webhookHeadersTemplate": headers},
	}
}

func channel(t *testing.T) webhook.Channel {
	t.Helper()
	allow, err := outbound.ParseAllowlist("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	return webhook.Channel{Poster: outbound.New(outbound.Options{Allow: allow, Now: time.Now})}
}

func TestSend_signs_what_it_sends_and_repeats_it_under_the_same_id(t *testing.T) {
	r := newReceiver(t)
	r.answers = []int{http.StatusServiceUnavailable}
	to := target("", "")
	to.Secrets["webhookUrl"] = r.URL + "/hook"
	m := message()
	err := channel(t).Send(t.Context(), m, to)
	if f, ok := errors.AsType[*notification.Failure](err); !ok || f.Permanent || f.Status != http.StatusServiceUnavailable {
		t.Errorf("the first attempt gives %v", err)
	}
	if err := channel(t).Send(t.Context(), m, to); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(map[string]int{m.ID: 2}, r.heeded); diff != "" || r.refused > 0 {
		t.Errorf("%d refused, %s", r.refused, diff)
	}
	if r.header.Get("X-MMS-Event") != "alert.open" || r.header.Get("Content-Type") != "application/json" || r.header.Get("Idempotency-Key") != m.ID {
		t.Errorf("the headers are %v", r.header)
	}
	if !bytes.Equal(r.body, m.Document) {
		t.Errorf("the body is %s", r.body)
	}
}

func TestSend_shows_no_address_in_its_error(t *testing.T) {
	to := target("", "")
	for _, address := range []string{"https://hooks.example.invalid/T0/s3cret", "https://user:s3cret@example.com/", "http://127.0.0.2:1/s3cret", "s3cret"} {
		to.Secrets["webhookUrl"] = address
		if err := channel(t).Send(t.Context(), message(), to); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%v", err)
		}
	}
}

func TestRequest_has_no_signature_without_a_secret(t *testing.T) {
	to := target("", "")
	delete(to.Secrets, "webhookSecret")
	if header, _ := webhook.Request(message(), to); header.Get("X-MMS-Signature") != "" {
		t.Errorf("%v", header)
	}
}

// The templates of the public API's documents, in everything that they use.
func TestRequest_renders_templates(t *testing.T) {
	body := `{
  "static": "value",
  "numbers": [<#list re.findAllGroup("error1:12;error2:98", "error\\d+:(\\d+)", 1) as val> "${val}"<#if val_has_next>,</#if></#list>],
  "metricName": "${metricName!''}", "humanReadable": "${humanReadable?js_string}", "clusterName": "${clusterName!''}",
  "links": [<#list links![] as link>{"rel": "${link.rel!''}"}<#if link_has_next>,</#if></#list>],
  "currentValue": {"number": ${(currentValue.number)!0}, "units": "${(currentValue.units)!''}"}
}`
	headers := `{"X-Static": "static-value", "X-Secret": "${signature}", "X-Request-Id": "${requestId}", "X-Event": "${event}",
  "X-Org-Name": "${orgName!''}", "X-Regex": "${re.group(\"abc-123\", \"([a-z]+)-(\\d+)\", 2)}", "Authorization": "Bearer t0ken", "Content-Type": "application/x-alert"}`
	header, got := webhook.Request(message(), target(body, headers))
	var rendered map[string]any
	if err := json.Unmarshal(got, &rendered); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"static": "value", "numbers": []any{"12", "98"}, "metricName": "", "humanReadable": `It's "off".`, "clusterName": "a \"b\"\r\nX-Evil: 1",
		"links":        []any{map[string]any{"rel": "self"}, map[string]any{"rel": "config"}},
		"currentValue": map[string]any{"number": 3.0, "units": "DAYS"},
	}
	if diff := cmp.Diff(want, rendered); diff != "" {
		t.Error(diff)
	}
	signature := webhook.Sign(secret, got)
	for name, value := range map[string]string{
		"X-Static": "static-value", "X-Secret": signature, "X-MMS-Signature": signature, "X-Request-Id": "5f0c1d", "X-Event": "alert.open",
		"X-Regex": "123", "Authorization": "Bearer t0ken", "X-Latchkey-Template-Error": "", "Content-Type": "application/x-alert",
	} {
		if header.Get(name) != value {
			t.Errorf("%s is %q, want %q", name, header.Get(name), value)
		}
	}
}

func TestRequest_falls_back_to_the_default_and_says_so(t *testing.T) {
	for _, body := range []string{"${", "${nothing}", "no JSON", `{"a": ${clusterName}}`, `{"a": "${clusterName}`, strings.Repeat("x", 20<<10), `<#assign x=1>`} {
		header, got := webhook.Request(message(), target(body, ""))
		if !bytes.Equal(got, message().Document) || header.Get("X-Latchkey-Template-Error") != "body" || header.Get("X-MMS-Signature") != webhook.Sign(secret, got) {
			t.Errorf("%.40q gives %s, %v", body, got, header)
		}
	}
	many := map[string]string{}
	for i := range 40 {
		many["X-"+strings.Repeat("a", i+1)] = "b"
	}
	tooMany, _ := json.Marshal(many)
	for _, headers := range []string{
		"${", "no JSON", `["a"]`, `{"A": 1}`, `{"X-A": "${clusterName}"}`, `{"X-A": "a\r\nX-B: c"}`, `{"X-A\r\nX-B": "c"}`, `{"X A": "b"}`, `{"": "b"}`, `{"X-A": "\u0000"}`,
		`{"Host": "internal"}`, `{"content-length": "0"}`, `{"Transfer-Encoding": "chunked"}`, `{"connection": "close"}`, `{"X-MMS-Event": "alert.close"}`, `{"x-mms-signature": "forged"}`,
		`{"Idempotency-Key": "x"}`, `{"Proxy-Authorization": "x"}`, `{"X-Forwarded-For": "10.0.0.1"}`, `{"X-A": "` + strings.Repeat("a", 5000) + `"}`, string(tooMany),
		`<#if status == "OPEN">{"X-A": "${clusterName}"}</#if>`,
	} {
		header, got := webhook.Request(message(), target("", headers))
		if header.Get("X-Latchkey-Template-Error") != "headers" || len(header) != 6 || header.Get("X-MMS-Event") != "alert.open" || !bytes.Equal(got, message().Document) {
			t.Errorf("%.60q gives %v", headers, header)
		}
	}
}

// FuzzRequest has templates of every kind make requests that net/http sends as they are.
func FuzzRequest(f *testing.F) {
	for _, seed := range [][2]string{
		{`{"a": "${id}"}`, `{"X-A": "${event}"}`},
		{"${", "${"},
		{`<#list links as l>${l}</#list>`, `{"X-A": "${clusterName}", "Host": "a"}`},
		{`{"a": "${clusterName?js_string}"}`, `<#if a??>{"X-A": "b"}<#else>{"X-\r\n": "c"}</#if>`},
		{"null", "null"},
		{"\xff", `{"X-A": "\xff"}`},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, body, headers string) {
		header, got := webhook.Request(message(), target(body, headers))
		if !json.Valid(got) {
			t.Errorf("the body is %q", got)
		}
		var sent bytes.Buffer
		if err := header.Write(&sent); err != nil {
			t.Fatal(err)
		}
		if lines := strings.Count(sent.String(), "\r\n"); lines != len(header) || header.Get("X-MMS-Signature") != webhook.Sign(secret, got) || header.Get("Host") != "" {
			t.Errorf("%d headers in %d lines: %q", len(header), lines, sent.String())
		}
	})
}
