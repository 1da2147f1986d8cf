package awsses_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	"github.com/google/go-cmp/cmp"

	"latchkey/shared/notification"
	"latchkey/shared/notification/awsses"
)

// ses is SES at the wire: it keeps what it accepts, or fails with a code.
type ses struct {
	mails  []map[string]any
	status int
	code   string
}

func (s *ses) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.code != "" {
		w.Header().Set("X-Amzn-ErrorType", s.code)
		w.WriteHeader(s.status)
		_, _ = io.WriteString(w, `{"message":"the address a@example.com is s3cret"}`)
		return
	}
	var mail map[string]any
	if r.Method != http.MethodPost || r.URL.Path != "/v2/email/outbound-emails" || json.NewDecoder(r.Body).Decode(&mail) != nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	s.mails = append(s.mails, mail)
	_, _ = io.WriteString(w, `{"MessageId":"1"}`)
}

func channel(t *testing.T, s *ses) *awsses.Channel {
	t.Helper()
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return awsses.New(sesv2.New(sesv2.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(server.URL), Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""), RetryMaxAttempts: 1,
	}), "alerts@latchkey.example")
}

func TestSend_sends_plain_text_to_one_person(t *testing.T) {
	s := &ses{}
	m := notification.Message{ID: "5f0c1d", Subject: "Schlüssel verloren", Text: "text"}
	if err := channel(t, s).Send(t.Context(), m, notification.Target{Address: "a@example.com"}); err != nil {
		t.Fatal(err)
	}
	text := func(data string) map[string]any { return map[string]any{"Charset": "UTF-8", "Data": data} }
	want := []map[string]any{{
		"FromEmailAddress": "alerts@latchkey.example", "Destination": map[string]any{"ToAddresses": []any{"a@example.com"}},
		"Content": map[string]any{"Simple": map[string]any{
			"Subject": text(m.Subject), "Body": map[string]any{"Text": text("text")},
			"Headers": []any{map[string]any{"Name": "Auto-Submitted", "Value": "auto-generated"}, map[string]any{"Name": "X-Latchkey-Message", "Value": "5f0c1d"}},
		}},
	}}
	if diff := cmp.Diff(want, s.mails); diff != "" {
		t.Error(diff)
	}
}

func TestSend_sends_to_no_two_addresses(t *testing.T) {
	s := &ses{}
	for _, address := range []string{"", "a", "a@example.com, b@example.com", "A <a@example.com>", "a@example.com\r\nBcc: b@example.com", "@"} {
		err := channel(t, s).Send(t.Context(), notification.Message{}, notification.Target{Address: address})
		if f, ok := errors.AsType[*notification.Failure](err); !ok || f.Reason != notification.NotSendable || !f.Permanent {
			t.Errorf("%q: %v", address, err)
		}
	}
	if len(s.mails) > 0 {
		t.Errorf("%v were sent", s.mails)
	}
}

func TestSend_knows_whose_fault_a_failure_is(t *testing.T) {
	for _, c := range []struct {
		status int
		code   string
		want   notification.Failure
	}{
		{400, "BadRequestException", notification.Failure{Reason: notification.Refused, Permanent: true}},
		{400, "MessageRejected", notification.Failure{Reason: notification.Refused, Permanent: true}},
		{400, "SendingPausedException", notification.Failure{Reason: notification.Ours}},
		{400, "MailFromDomainNotVerifiedException", notification.Failure{Reason: notification.Ours}},
		{403, "AccessDeniedException", notification.Failure{Reason: notification.Ours}},
		{429, "TooManyRequestsException", notification.Failure{Reason: notification.Ours}},
		{500, "InternalServiceErrorException", notification.Failure{Reason: notification.Ours}},
	} {
		c.want.Code, c.want.Status = c.code, c.status
		err := channel(t, &ses{status: c.status, code: c.code}).Send(t.Context(), notification.Message{Subject: "s", Text: "t"}, notification.Target{Address: "a@example.com"})
		if f, ok := errors.AsType[*notification.Failure](err); !ok || *f != c.want {
			t.Errorf("%s: %+v, want %+v", c.code, err, c.want)
		}
	}
}
