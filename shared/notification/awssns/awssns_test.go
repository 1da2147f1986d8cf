package awssns_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sns"

	"latchkey/shared/alert"
	"latchkey/shared/notification"
	"latchkey/shared/notification/awssns"
)

// cloud is SNS at the wire: it keeps what it accepts, a deduplication id once, or fails with a code.
type cloud struct {
	published []url.Values
	seen      map[string]bool
	status    int
	code      string
}

func (s *cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.code != "" {
		w.WriteHeader(s.status)
		_, _ = fmt.Fprintf(w, `<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code><Message>s3cret</Message></Error></ErrorResponse>`, s.code)
		return
	}
	body, _ := io.ReadAll(r.Body)
	form, err := url.ParseQuery(string(body))
	if err != nil || form.Get("Action") != "Publish" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if id := form.Get("MessageDeduplicationId"); id == "" || !s.seen[id] {
		s.published, s.seen[id] = append(s.published, form), true
	}
	_, _ = io.WriteString(w, `<PublishResponse><PublishResult><MessageId>1</MessageId></PublishResult></PublishResponse>`)
}

func client(t *testing.T, s *cloud) *sns.Client {
	t.Helper()
	s.seen = map[string]bool{}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return sns.New(sns.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(server.URL), Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""), RetryMaxAttempts: 1,
	})
}

func message() notification.Message {
	return notification.Message{
		ID: "5f0c1d", Incident: "650000000000000000000030", Event: notification.Opened, GroupID: "g", Kind: "AWS_ENCRYPTION_KEY_INVALID",
		Severity: alert.Critical, Subject: "Schlüssel " + strings.Repeat("s", 200), Text: "text",
	}
}

func TestSMS_sends_to_numbers(t *testing.T) {
	for number, want := range map[string]string{"+1 (555) 010-0123": "+15550100123", "+4915550100": "+4915550100", "15550100": "+15550100"} {
		s := &cloud{}
		if err := awssns.NewSMS(client(t, s)).Send(t.Context(), message(), notification.Target{Kind: alert.SMS, Address: number}); err != nil {
			t.Fatal(err)
		}
		if got := s.published[0]; got.Get("PhoneNumber") != want || len([]rune(got.Get("Message"))) != 140 || got.Get("TopicArn") != "" {
			t.Errorf("%s: %v", number, got)
		}
	}
	for _, number := range []string{"", "+", "1234", "+123456789012345678", "arn:aws:sns:us-east-1:1:t", "+1555x0100", "++15550100"} {
		err := awssns.NewSMS(client(t, &cloud{})).Send(t.Context(), message(), notification.Target{Kind: alert.SMS, Address: number})
		if f, ok := errors.AsType[*notification.Failure](err); !ok || f.Reason != notification.NotSendable || !f.Permanent {
			t.Errorf("%q: %v", number, err)
		}
	}
}

// A FIFO topic is told once of what is published twice; another one twice.
func TestTopic_names_the_message_to_those_that_know_repetitions(t *testing.T) {
	for arn, want := range map[string]int{"arn:aws:sns:us-east-1:123456789012:alerts": 2, "arn:aws:sns:us-east-1:123456789012:alerts.fifo": 1} {
		s := &cloud{}
		topic := awssns.NewTopic(client(t, s), arn)
		for range 2 {
			if err := topic.Send(t.Context(), message(), notification.Target{}); err != nil {
				t.Fatal(err)
			}
		}
		if len(s.published) != want {
			t.Errorf("%s: %d messages, want %d", arn, len(s.published), want)
		}
		got := s.published[0]
		subject := got.Get("Subject")
		if got.Get("TopicArn") != arn || len(subject) > 99 || !strings.HasPrefix(subject, "Schl?ssel") || got.Get("Message") != "text" {
			t.Errorf("%v", got)
		}
		if isFIFO := strings.HasSuffix(arn, ".fifo"); isFIFO != (got.Get("MessageGroupId") == "g") {
			t.Errorf("%s: %v", arn, got)
		}
		if !strings.Contains(got.Encode(), "alert.open") {
			t.Errorf("no attribute has the event: %v", got)
		}
	}
}

func TestSend_knows_whose_fault_a_failure_is(t *testing.T) {
	for code, want := range map[string]notification.Failure{
		"InvalidParameter": {Reason: notification.Refused, Permanent: true, Status: 400}, "OptedOut": {Reason: notification.Refused, Permanent: true, Status: 400},
		"AuthorizationError": {Reason: notification.Ours, Status: 403}, "Throttled": {Reason: notification.Ours, Status: 429}, "InternalError": {Reason: notification.Ours, Status: 500},
	} {
		want.Code = code
		err := awssns.NewSMS(client(t, &cloud{status: want.Status, code: code})).Send(t.Context(), message(), notification.Target{Address: "+15550100"})
		if f, ok := errors.AsType[*notification.Failure](err); !ok || *f != want || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", code, err)
		}
	}
}
