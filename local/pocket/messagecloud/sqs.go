package messagecloud

import (
	"cmp"
	"crypto/md5" //nolint:gosec // SQS's clients check it
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"latchkey/local/pocket"
	"latchkey/local/pocket/awscloud"
)

// sqs is SQS with standard queues, without attributes of messages and without waiting.
func (o *Office) sqs(cloud *awscloud.Cloud) pocket.Service {
	return cloud.Serve(awscloud.JSONService{
		Name: "sqs", Target: "AmazonSQS", ContentType: "application/x-amz-json-1.0", Namespace: "com.amazonaws.sqs#", Perform: o.performSQS,
		Throttled: awscloud.Failure{Code: "RequestThrottled", Message: "Rate exceeded", Status: http.StatusForbidden}, Broken: broken,
	})
}

var queueName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,80}$`)

// The limits and defaults of queues.
const (
	maxQueued         = 1 << 20
	maxReceived       = 10
	defaultVisibility = 30 * time.Second
	maxVisibility     = 12 * time.Hour
	retention         = 14 * 24 * time.Hour
)

// queued is a message in a queue.
type queued struct {
	ID       string
	Queue    string
	Body     string
	Sent     time.Time
	Visible  time.Time // again
	Received int
	Receipt  string
}

func (o *Office) performSQS(r *awscloud.Request) (any, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch r.Operation {
	case "CreateQueue":
		return o.createQueue(r)
	case "GetQueueUrl":
		return o.queueURL(r)
	case "ListQueues":
		return o.listQueues(r)
	case "SendMessage":
		return o.sendMessage(r)
	case "ReceiveMessage":
		return o.receiveMessage(r)
	case "DeleteMessage":
		return o.deleteMessage(r)
	case "GetQueueAttributes":
		return o.queueAttributes(r)
	}
	return nil, unknown(r)
}

// EnsureQueue makes the queue of an ARN, as a deployment would.
func (o *Office) EnsureQueue(arn string) error {
	parts := strings.Split(arn, ":")
	if len(parts) != 6 || parts[2] != "sqs" || !queueName.MatchString(parts[5]) {
		return fmt.Errorf("messagecloud: %s is no ARN of a standard queue", arn)
	}
	return o.state.Put(kindQueue, parts[4]+"/"+parts[3]+"/"+parts[5], arn)
}

// queue identifies a queue by its URL's path, "/account/name".
func (o *Office) queue(r *awscloud.Request, action, address string) (id string, err error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", noQueue()
	}
	account, name, ok := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	if !ok || account != r.Account || !queueName.MatchString(name) {
		return "", noQueue() // queues of other accounts have no policies here
	}
	return o.named(r, action, name)
}

func (o *Office) named(r *awscloud.Request, action, name string) (string, error) {
	if err := r.Allow(action, r.ARN(name), nil); err != nil {
		return "", err
	}
	id, arn := r.Account+"/"+r.Region+"/"+name, ""
	if found, err := o.state.Get(kindQueue, id, &arn); err != nil || !found {
		return "", cmp.Or(err, noQueue())
	}
	return id, nil
}

func noQueue() error {
	return &awscloud.Failure{Code: "QueueDoesNotExist", Message: "The specified queue does not exist."}
}

func address(r *awscloud.Request, name string) map[string]string {
	return map[string]string{"QueueUrl": "https://sqs." + r.Region + ".amazonaws.com/" + r.Account + "/" + name}
}

func (o *Office) createQueue(r *awscloud.Request) (any, error) {
	var in struct{ QueueName string }
	if err := r.Decode(&in); err != nil {
		return nil, err
	}
	if !queueName.MatchString(in.QueueName) {
		return nil, &awscloud.Failure{Code: "InvalidParameterValue", Message: "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length"}
	}
	if err := r.Allow("CreateQueue", r.ARN(in.QueueName), nil); err != nil {
		return nil, err
	}
	return address(r, in.QueueName), o.EnsureQueue(r.ARN(in.QueueName))
}

func (o *Office) queueURL(r *awscloud.Request) (any, error) {
	var in struct{ QueueName string }
	if err := r.Decode(&in); err != nil {
		return nil, err
	}
	_, err := o.named(r, "GetQueueUrl", in.QueueName)
	return address(r, in.QueueName), err
}

func (o *Office) listQueues(r *awscloud.Request) (any, error) {
	if err := r.Allow("ListQueues", "*", nil); err != nil {
		return nil, err
	}
	urls := []string{}
	err := o.state.Each(kindQueue, func(id string, _ []byte) error {
		if name, ok := strings.CutPrefix(id, r.Account+"/"+r.Region+"/"); ok {
			urls = append(urls, address(r, name)["QueueUrl"])
		}
		return nil
	})
	return map[string]any{"QueueUrls": urls}, err
}

func (o *Office) sendMessage(r *awscloud.Request) (any, error) {
	var in struct{ QueueUrl, MessageBody string } //nolint:revive // AWS's spelling
	if err := r.Decode(&in); err != nil {
		return nil, err
	}
	queue, err := o.queue(r, "SendMessage", in.QueueUrl)
	if err != nil {
		return nil, err
	}
	if in.MessageBody == "" || len(in.MessageBody) > maxQueued {
		return nil, &awscloud.Failure{Code: "InvalidParameterValue", Message: "A message has 1 to 1048576 bytes"}
	}
	m, err := o.enqueue(queue, in.MessageBody, r.Now)
	sum := md5.Sum([]byte(in.MessageBody)) //nolint:gosec // SQS's clients check it
	return map[string]string{"MessageId": m.ID, "MD5OfMessageBody": hex.EncodeToString(sum[:])}, err
}

func (o *Office) enqueue(queue, body string, now time.Time) (queued, error) {
	m := queued{ID: newUUID(), Queue: queue, Body: body, Sent: now, Visible: now}
	return m, o.state.Put(kindWaiting, m.key(), m)
}

func (m queued) key() string {
	return fmt.Sprintf("%s/%016x-%s", m.Queue, uint64(m.Sent.UnixNano()), m.ID)
}

// each calls fn for the messages of a queue, the oldest first. Those that are too old are removed.
func (o *Office) each(queue string, now time.Time, fn func(m queued) error) error {
	return o.state.Each(kindWaiting, func(id string, body []byte) error {
		if !strings.HasPrefix(id, queue+"/") {
			return nil
		}
		var m queued
		if err := json.Unmarshal(body, &m); err != nil {
			return err
		}
		if now.Sub(m.Sent) > retention {
			return o.state.Delete(kindWaiting, id)
		}
		return fn(m)
	})
}

type receiveIn struct {
	QueueUrl                    string //nolint:revive // AWS's spelling
	MaxNumberOfMessages         *int
	VisibilityTimeout           *int
	WaitTimeSeconds             int // there is nothing to wait for: an empty answer is allowed at any time
	AttributeNames              []string
	MessageSystemAttributeNames []string
	MessageAttributeNames       []string
}

func (o *Office) receiveMessage(r *awscloud.Request) (any, error) {
	var in receiveIn
	if err := r.Decode(&in); err != nil {
		return nil, err
	}
	queue, err := o.queue(r, "ReceiveMessage", in.QueueUrl)
	if err != nil {
		return nil, err
	}
	limit, visibility := 1, defaultVisibility
	if in.MaxNumberOfMessages != nil {
		limit = *in.MaxNumberOfMessages
	}
	if in.VisibilityTimeout != nil {
		visibility = time.Duration(*in.VisibilityTimeout) * time.Second
	}
	if limit < 1 || limit > maxReceived || visibility < 0 || visibility > maxVisibility {
		return nil, &awscloud.Failure{Code: "InvalidParameterValue", Message: "MaxNumberOfMessages is 1 to 10, VisibilityTimeout 0 to 43200"}
	}
	received := []map[string]any{}
	err = o.each(queue, r.Now, func(m queued) error {
		if len(received) == limit || m.Visible.After(r.Now) {
			return nil
		}
		m.Visible, m.Receipt = r.Now.Add(visibility), newUUID()
		m.Received++
		received = append(received, m.describe(append(in.AttributeNames, in.MessageSystemAttributeNames...)))
		return o.state.Put(kindWaiting, m.key(), m)
	})
	return map[string]any{"Messages": received}, err
}

func (m queued) describe(names []string) map[string]any {
	sum := md5.Sum([]byte(m.Body)) //nolint:gosec // SQS's clients check it
	attributes := map[string]string{}
	for name, value := range map[string]string{
		"SentTimestamp": strconv.FormatInt(m.Sent.UnixMilli(), 10), "ApproximateReceiveCount": strconv.Itoa(m.Received),
	} {
		if slices.Contains(names, name) || slices.Contains(names, "All") {
			attributes[name] = value
		}
	}
	return map[string]any{
		"MessageId": m.ID, "ReceiptHandle": m.key() + "/" + m.Receipt, "Body": m.Body, "MD5OfBody": hex.EncodeToString(sum[:]),
		"Attributes": attributes,
	}
}

// deleteMessage removes a message. One that is gone already, or that was received again, is left alone.
func (o *Office) deleteMessage(r *awscloud.Request) (any, error) {
	var in struct{ QueueUrl, ReceiptHandle string } //nolint:revive // AWS's spelling
	if err := r.Decode(&in); err != nil {
		return nil, err
	}
	queue, err := o.queue(r, "DeleteMessage", in.QueueUrl)
	if err != nil {
		return nil, err
	}
	i := strings.LastIndexByte(in.ReceiptHandle, '/')
	if !strings.HasPrefix(in.ReceiptHandle, queue+"/") || i < len(queue) {
		return nil, &awscloud.Failure{Code: "ReceiptHandleIsInvalid", Message: "The input receipt handle is invalid."}
	}
	var m queued
	found, err := o.state.Get(kindWaiting, in.ReceiptHandle[:i], &m)
	if err != nil || !found || m.Receipt != in.ReceiptHandle[i+1:] {
		return map[string]any{}, err
	}
	return map[string]any{}, o.state.Delete(kindWaiting, m.key())
}

func (o *Office) queueAttributes(r *awscloud.Request) (any, error) {
	var in struct {
		QueueUrl       string //nolint:revive // AWS's spelling
		AttributeNames []string
	}
	if err := r.Decode(&in); err != nil {
		return nil, err
	}
	queue, err := o.queue(r, "GetQueueAttributes", in.QueueUrl)
	if err != nil {
		return nil, err
	}
	visible, hidden := 0, 0
	err = o.each(queue, r.Now, func(m queued) error {
		if m.Visible.After(r.Now) {
			hidden++
		} else {
			visible++
		}
		return nil
	})
	all := map[string]string{
		"ApproximateNumberOfMessages": strconv.Itoa(visible), "ApproximateNumberOfMessagesNotVisible": strconv.Itoa(hidden),
		"QueueArn": r.ARN(queue[strings.LastIndexByte(queue, '/')+1:]),
	}
	attributes := map[string]string{}
	for name, value := range all {
		if slices.Contains(in.AttributeNames, name) || slices.Contains(in.AttributeNames, "All") {
			attributes[name] = value
		}
	}
	return map[string]any{"Attributes": attributes}, err
}
