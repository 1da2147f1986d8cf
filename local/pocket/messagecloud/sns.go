package messagecloud

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"latchkey/local/pocket"
	"latchkey/local/pocket/awscloud"
)

// sns is SNS with topics without subscribers, and telephones.
func (o *Office) sns(cloud *awscloud.Cloud) pocket.Service {
	return cloud.ServeQuery(awscloud.QueryService{
		Name: "sns", Namespace: "http://sns.amazonaws.com/doc/2010-03-31/",
		Perform: func(r *awscloud.Request) (any, error) {
			switch r.Operation {
			case "CreateTopic":
				return o.createTopic(r)
			case "Publish":
				return o.publish(r)
			}
			return nil, &awscloud.Failure{Code: "InvalidAction", Message: "the pocket SNS does not have the operation " + r.Operation}
		},
	})
}

var (
	topicName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,256}(\.fifo)?$`)
	e164      = regexp.MustCompile(`^\+[1-9][0-9]{4,14}$`)
)

const (
	maxTopicMessage = 256 << 10
	maxTextMessage  = 1600
	maxSubject      = 100
)

type createTopicResult struct{ TopicArn string }

// createTopic makes a topic; one that is there is found.
func (o *Office) createTopic(r *awscloud.Request) (any, error) {
	name := r.Form.Get("Name")
	if !topicName.MatchString(name) {
		return nil, invalidParameter("Topic Name")
	}
	arn := r.ARN(name)
	if err := r.Allow("CreateTopic", arn, nil); err != nil {
		return nil, err
	}
	return createTopicResult{arn}, o.EnsureTopic(arn)
}

// EnsureTopic makes the topic of an ARN, which an operator would have.
func (o *Office) EnsureTopic(arn string) error { return o.state.Put(kindTopic, arn, arn) }

type publishResult struct{ MessageId string } //nolint:revive // AWS's spelling

func (o *Office) publish(r *awscloud.Request) (any, error) {
	attributes, err := attributesOf(r.Form)
	if err != nil {
		return nil, err
	}
	m := Message{At: r.Now, Subject: r.Form.Get("Subject"), Text: r.Form.Get("Message"), Headers: attributes}
	phone, arn := r.Form.Get("PhoneNumber"), cmp.Or(r.Form.Get("TopicArn"), r.Form.Get("TargetArn"))
	switch {
	case (phone == "") == (arn == ""):
		return nil, invalidParameter("TopicArn, TargetArn or PhoneNumber, exactly one of them")
	case phone != "":
		m.Kind, m.To = SMS, []string{phone}
		err = mayText(r, m)
	default:
		m.Kind, m.To = Topic, []string{arn}
		err = o.mayTell(r, m)
	}
	if err != nil {
		return nil, err
	}
	m, err = o.accept(m)
	return publishResult{m.ID}, err
}

func mayText(r *awscloud.Request, m Message) error {
	if err := r.Allow("Publish", m.To[0], nil); err != nil {
		return err
	}
	if !e164.MatchString(m.To[0]) {
		return invalidParameter("PhoneNumber Reason: " + m.To[0] + " is not valid to publish to")
	}
	if m.Text == "" || len(m.Text) > maxTextMessage {
		return invalidParameter("Message")
	}
	return nil
}

func (o *Office) mayTell(r *awscloud.Request, m Message) error {
	if err := r.Allow("Publish", m.To[0], nil); err != nil {
		return err
	}
	var topic string
	if found, err := o.state.Get(kindTopic, m.To[0], &topic); err != nil || !found {
		return cmp.Or(err, error(&awscloud.Failure{Code: "NotFound", Message: "Topic does not exist", Status: http.StatusNotFound}))
	}
	if m.Text == "" || len(m.Text) > maxTopicMessage {
		return invalidParameter("Message")
	}
	if len(m.Subject) >= maxSubject || strings.ContainsFunc(m.Subject, func(c rune) bool { return c < ' ' || c > '~' }) {
		return invalidParameter("Subject")
	}
	if strings.HasSuffix(m.To[0], ".fifo") != r.Form.Has("MessageGroupId") {
		return invalidParameter("MessageGroupId Reason: FIFO topics, and no others, require it")
	}
	for _, member := range []string{"MessageGroupId", "MessageDeduplicationId"} {
		if v := r.Form.Get(member); v != "" {
			m.Headers[member] = v
		}
	}
	return nil
}

// attributesOf reads the attributes of a message, MessageAttributes.entry.N.
func attributesOf(form url.Values) (map[string]string, error) {
	attributes := map[string]string{}
	for n := 1; ; n++ {
		entry := fmt.Sprintf("MessageAttributes.entry.%d.", n)
		name := form.Get(entry + "Name")
		if name == "" {
			return attributes, nil
		}
		if kind := form.Get(entry + "Value.DataType"); kind != "String" && kind != "Number" {
			return nil, invalidParameter("The pocket SNS has message attributes of the types String and Number, not " + kind)
		}
		attributes[name] = form.Get(entry + "Value.StringValue")
	}
}

func invalidParameter(what string) error {
	return &awscloud.Failure{Code: "InvalidParameter", Message: "Invalid parameter: " + what}
}
