package messagecloud_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	eventtypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	sestypes "github.com/aws/aws-sdk-go-v2/service/sesv2/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	snstypes "github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"latchkey/integration/clitest"
	"latchkey/local/pocket"
	"latchkey/local/pocket/awscloud"
	"latchkey/local/pocket/awscloud/awssdk"
	"latchkey/local/pocket/messagecloud"
)

const (
	account = "123456789012"
	region  = "us-east-1"
	topic   = "arn:aws:sns:us-east-1:123456789012:alerts"
)

var (
	root = awscloud.Keys{AccessKeyID: "AKIAROOT000000000000", SecretAccessKey: "root-secret"}
	role = awscloud.Keys{AccessKeyID: "AKIAROLE000000000000", SecretAccessKey: "role-secret"}
)

// rolePolicy allows what the function notify is allowed, and no more.
const rolePolicy = `{"Version":"2012-10-17","Statement":[
	{"Effect":"Allow","Action":"ses:SendEmail","Resource":"arn:aws:ses:us-east-1:123456789012:identity/example.com"},
	{"Effect":"Allow","Action":"sns:Publish","Resource":"` + topic + `"},
	{"Effect":"Allow","Action":"events:PutEvents","Resource":"arn:aws:events:us-east-1:123456789012:event-bus/audit"}]}`

const trustLambda = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}`

type world struct {
	state  pocket.State
	now    time.Time
	office *messagecloud.Office
	clouds *pocket.Clouds
	faults *pocket.Faults
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{state: pocket.Memory(), now: time.Now()}
	cloud, err := awscloud.New(w.state, awscloud.Config{Now: func() time.Time { return w.now }, Accounts: []awscloud.Account{{
		ID: account, Root: root, Roles: []awscloud.Role{{
			Name: "notify", Trust: trustLambda, Policies: map[string]string{"p": rolePolicy}, Keys: role, Session: "s",
		}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	w.office, w.faults = messagecloud.New(w.state), &pocket.Faults{}
	w.clouds = pocket.New(w.faults, awscloud.Alias, append(cloud.Services(), w.office.Services(cloud)...)...)
	w.clouds.Show(messagecloud.MailboxPath, w.office.Mailbox())
	return w
}

func (w *world) config(keys awscloud.Keys) aws.Config {
	cfg := awssdk.Config(pocket.Transport(w.clouds), region, keys)
	cfg.RetryMaxAttempts = 1
	return cfg
}

func (w *world) send(ctx context.Context, keys awscloud.Keys, change ...func(*sesv2.SendEmailInput)) error {
	in := &sesv2.SendEmailInput{
		FromEmailAddress: aws.String("Latchkey <alerts@example.com>"), Destination: &sestypes.Destination{ToAddresses: []string{"owner@tenant.example"}},
		Content: &sestypes.EmailContent{Simple: &sestypes.Message{
			Subject: &sestypes.Content{Data: aws.String("Key lost"), Charset: aws.String("UTF-8")},
			Body:    &sestypes.Body{Text: &sestypes.Content{Data: aws.String("Grüße & <b>"), Charset: aws.String("UTF-8")}},
			Headers: []sestypes.MessageHeader{{Name: aws.String("X-Latchkey-Message"), Value: aws.String("m1")}},
		}},
	}
	for _, fn := range change {
		fn(in)
	}
	_, err := sesv2.NewFromConfig(w.config(keys)).SendEmail(ctx, in)
	return err
}

func code(err error) string {
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		return e.ErrorCode()
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

func (w *world) want(t *testing.T, kind messagecloud.Kind, want ...messagecloud.Message) {
	t.Helper()
	got, err := w.office.Messages(kind)
	if err != nil {
		t.Fatal(err)
	}
	for i := range want {
		want[i].Kind = kind
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(messagecloud.Message{}, "ID", "At"), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("%s:\n%s", kind, diff)
	}
}

func TestSES_keeps_what_the_SDK_sends(t *testing.T) {
	w := newWorld(t)
	if err := w.send(t.Context(), role); err != nil {
		t.Fatal(err)
	}
	w.want(t, messagecloud.Mail, messagecloud.Message{
		From: "Latchkey <alerts@example.com>", To: []string{"owner@tenant.example"}, Subject: "Key lost", Text: "Grüße & <b>",
		Headers: map[string]string{"X-Latchkey-Message": "m1"},
	})
	reopened, err := messagecloud.New(w.state).Messages(messagecloud.Mail)
	if err != nil || len(reopened) != 1 {
		t.Errorf("after a restart: %v, %v", reopened, err)
	}
}

func TestSES_refuses_as_SES_does(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*sesv2.SendEmailInput)
		fault  pocket.FaultKind
		want   string
	}{
		"another sender":      {change: func(in *sesv2.SendEmailInput) { in.FromEmailAddress = aws.String("a@other.example") }, want: "AccessDeniedException"},
		"no sender":           {change: func(in *sesv2.SendEmailInput) { in.FromEmailAddress = nil }, want: "BadRequestException"},
		"nobody":              {change: func(in *sesv2.SendEmailInput) { in.Destination.ToAddresses = nil }, want: "BadRequestException"},
		"a malformed address": {change: func(in *sesv2.SendEmailInput) { in.Destination.ToAddresses = []string{"no"} }, want: "BadRequestException"},
		"denied":              {fault: pocket.Deny, want: "AccessDeniedException"},
		"throttled":           {fault: pocket.Throttle, want: "TooManyRequestsException"},
		"broken":              {fault: pocket.ServerError, want: "InternalFailure"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if tt.fault != "" {
				w.faults.Set(pocket.Fault{Host: "email.us-east-1.amazonaws.com", Kind: tt.fault, Operation: "SendEmail"})
			}
			err := w.send(t.Context(), role, func(in *sesv2.SendEmailInput) {
				if tt.change != nil {
					tt.change(in)
				}
			})
			if code(err) != tt.want {
				t.Errorf("error = %v, want %s", err, tt.want)
			}
			w.want(t, messagecloud.Mail)
		})
	}
}

func TestSNS_publishes_to_topics_and_telephones(t *testing.T) {
	w := newWorld(t)
	client := sns.NewFromConfig(w.config(role))
	tell := &sns.PublishInput{TopicArn: aws.String(topic), Message: aws.String("it is gone"), Subject: aws.String("Alert"), MessageAttributes: map[string]snstypes.MessageAttributeValue{
		"severity": {DataType: aws.String("String"), StringValue: aws.String("CRITICAL")},
	}}
	if _, err := client.Publish(t.Context(), tell); code(err) != "NotFound" {
		t.Errorf("no such topic: %v", err)
	}
	if _, err := sns.NewFromConfig(w.config(root)).CreateTopic(t.Context(), &sns.CreateTopicInput{Name: aws.String("alerts")}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Publish(t.Context(), tell); err != nil {
		t.Error(err)
	}
	text := &sns.PublishInput{PhoneNumber: aws.String("+4917012345678"), Message: aws.String("it is gone")}
	if _, err := client.Publish(t.Context(), text); code(err) != "AuthorizationError" {
		t.Errorf("a telephone that the policy does not allow: %v", err)
	}
	if _, err := sns.NewFromConfig(w.config(root)).Publish(t.Context(), text); err != nil {
		t.Error(err)
	}
	text.PhoneNumber = aws.String("0170")
	if _, err := sns.NewFromConfig(w.config(root)).Publish(t.Context(), text); code(err) != "InvalidParameter" {
		t.Errorf("no number: %v", err)
	}
	w.want(t, messagecloud.Topic, messagecloud.Message{
		To: []string{topic}, Subject: "Alert", Text: "it is gone", Headers: map[string]string{"severity": "CRITICAL"},
	})
	w.want(t, messagecloud.SMS, messagecloud.Message{To: []string{"+4917012345678"}, Text: "it is gone"})
	w.faults.Set(pocket.Fault{Host: "sns.us-east-1.amazonaws.com", Kind: pocket.Throttle})
	if _, err := client.Publish(t.Context(), tell); code(err) != "Throttling" {
		t.Errorf("throttled: %v", err)
	}
}

func TestEventBridge_answers_for_each_entry(t *testing.T) {
	w := newWorld(t)
	client := eventbridge.NewFromConfig(w.config(role))
	entry := func(bus, detail string) eventtypes.PutEventsRequestEntry {
		return eventtypes.PutEventsRequestEntry{
			EventBusName: aws.String(bus), Source: aws.String("latchkey"), DetailType: aws.String("KEY_LOST"), Detail: aws.String(detail), Time: aws.Time(w.now),
		}
	}
	out, err := client.PutEvents(t.Context(), &eventbridge.PutEventsInput{Entries: []eventtypes.PutEventsRequestEntry{
		entry("audit", `{"id":"1"}`), entry("arn:aws:events:us-east-1:123456789012:event-bus/audit", `no`),
	}})
	if err != nil || out.FailedEntryCount != 1 || aws.ToString(out.Entries[0].EventId) == "" || aws.ToString(out.Entries[1].ErrorCode) != "MalformedDetail" {
		t.Errorf("%+v, %v", out, err)
	}
	if _, err := client.PutEvents(t.Context(), &eventbridge.PutEventsInput{Entries: []eventtypes.PutEventsRequestEntry{entry("other", `{}`)}}); code(err) != "AccessDeniedException" {
		t.Errorf("another bus: %v", err)
	}
	got, err := w.office.Messages(messagecloud.Bus)
	if err != nil || len(got) != 1 || got[0].Text != `{"id":"1"}` || got[0].Subject != "KEY_LOST" || got[0].From != "latchkey" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestSQS_hides_what_was_received_until_it_is_deleted(t *testing.T) {
	w := newWorld(t)
	client := sqs.NewFromConfig(w.config(root))
	made, err := client.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("letters")})
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range []string{"one", "two"} {
		w.now = w.now.Add(time.Millisecond)
		if _, err := client.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: made.QueueUrl, MessageBody: &body}); err != nil {
			t.Fatal(err)
		}
	}
	receive := func() []sqstypes.Message {
		t.Helper()
		out, err := client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: made.QueueUrl, MaxNumberOfMessages: 10, MessageSystemAttributeNames: []sqstypes.MessageSystemAttributeName{"All"}})
		if err != nil {
			t.Fatal(err)
		}
		return out.Messages
	}
	first := receive()
	if len(first) != 2 || *first[0].Body != "one" || len(receive()) != 0 {
		t.Fatalf("received %+v", first)
	}
	if _, err := client.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: made.QueueUrl, ReceiptHandle: first[0].ReceiptHandle}); err != nil {
		t.Fatal(err)
	}
	w.now = w.now.Add(time.Minute)
	again := receive()
	if len(again) != 1 || *again[0].Body != "two" || again[0].Attributes["ApproximateReceiveCount"] != "2" {
		t.Errorf("received %+v", again)
	}
	if _, err := client.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: aws.String("https://sqs.us-east-1.amazonaws.com/" + account + "/none"), MessageBody: aws.String("x")}); code(err) == "" {
		t.Error("a queue that is not there took a message")
	}
}

func TestMailbox_shows_what_was_sent_and_escapes_it(t *testing.T) {
	w := newWorld(t)
	hostile := `<script>alert("x")</script>`
	for _, subject := range []string{"first", hostile} {
		w.now = w.now.Add(time.Second)
		if err := w.send(t.Context(), root, func(in *sesv2.SendEmailInput) {
			in.Content.Simple.Subject.Data, in.Content.Simple.Body.Text.Data = &subject, &hostile
			in.Content.Simple.Body.Html = &sestypes.Content{Data: &hostile}
		}); err != nil {
			t.Fatal(err)
		}
	}
	get := func(path, accept string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1:8081"+path, http.NoBody)
		r.Header.Set("Accept", accept)
		rec := httptest.NewRecorder()
		w.clouds.ServeHTTP(rec, r)
		return rec
	}
	messages, err := w.office.Messages(messagecloud.Mail)
	if err != nil || messages[0].Subject != hostile {
		t.Fatalf("%+v, %v", messages, err)
	}
	for path, want := range map[string]string{"/mailbox": "2 of 2", "/mailbox/" + messages[0].ID: "Its source in HTML", "/mailbox/sms": "Nothing was sent."} {
		rec := get(path, "text/html,application/xhtml+xml,*/*;q=0.8")
		if rec.Code != http.StatusOK || !strings.Contains(rec.Body.String(), want) || strings.Contains(rec.Body.String(), "<script") {
			t.Errorf("%s: %d %s", path, rec.Code, rec.Body)
		}
		if csp := rec.Header().Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: policy %q", path, csp)
		}
	}
	if page := get("/mailbox", "*/*").Body.String(); strings.Index(page, "first") < strings.Index(page, "alert(") {
		t.Errorf("the latest is not first:\n%s", page)
	}
	if rec := get("/mailbox", "application/json"); rec.Header().Get("Content-Type") != "application/json" || !strings.Contains(rec.Body.String(), `"totalCount":2`) {
		t.Errorf("as JSON: %s", rec.Body)
	}
	if rec := get("/mailbox/none", "*/*"); rec.Code != http.StatusNotFound {
		t.Errorf("no such message: %d", rec.Code)
	}
}

// The AWS CLI speaks to all four services.
func TestServices_serve_the_AWS_command_line(t *testing.T) {
	program := clitest.Program(t, "aws")
	w := newWorld(t)
	server := httptest.NewServer(w.clouds)
	defer server.Close()
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), program, append(args, "--endpoint-url", server.URL, "--output", "text")...)
		cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID="+root.AccessKeyID, "AWS_SECRET_ACCESS_KEY="+root.SecretAccessKey, "AWS_DEFAULT_REGION="+region,
			"AWS_PAGER=", "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_SESSION_TOKEN=")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("aws %v: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	run("sesv2", "send-email", "--from-email-address", "a@example.com", "--destination", "ToAddresses=b@example.com",
		"--content", `{"Simple":{"Subject":{"Data":"Hello"},"Body":{"Text":{"Data":"World"}}}}`)
	w.want(t, messagecloud.Mail, messagecloud.Message{From: "a@example.com", To: []string{"b@example.com"}, Subject: "Hello", Text: "World"})
	run("sns", "create-topic", "--name", "alerts")
	run("sns", "publish", "--topic-arn", topic, "--message", "gone")
	w.want(t, messagecloud.Topic, messagecloud.Message{To: []string{topic}, Text: "gone"})
	run("events", "put-events", "--entries", `[{"Source":"s","DetailType":"d","Detail":"{}"}]`)
	url := run("sqs", "create-queue", "--queue-name", "letters")
	run("sqs", "send-message", "--queue-url", url, "--message-body", "dead")
	if out := run("sqs", "receive-message", "--queue-url", url, "--query", "Messages[].Body"); out != "dead" {
		t.Errorf("received %q", out)
	}
}
