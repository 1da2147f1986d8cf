// Package awssns sends text messages, and tells the operator's topic, through Amazon SNS.
//
// Its invariant: a FIFO topic gets the message's id as deduplication id, so that what is published
// again within five minutes is delivered once. Other topics and telephones know no such thing.
package awssns

import (
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"

	"latchkey/shared/notification"
	"latchkey/shared/notification/awsfailure"
)

// SMS sends text messages.
type SMS struct{ client *sns.Client }

// NewSMS binds a client. It does no I/O.
func NewSMS(client *sns.Client) *SMS { return &SMS{client: client} }

// Send implements notification.Channel.
func (c *SMS) Send(ctx context.Context, m notification.Message, t notification.Target) error {
	number, ok := e164(t.Address)
	if !ok {
		return &notification.Failure{Reason: notification.NotSendable, Permanent: true}
	}
	_, err := c.client.Publish(ctx, &sns.PublishInput{
		PhoneNumber: &number, Message: aws.String(short(m.Subject)),
		MessageAttributes: map[string]types.MessageAttributeValue{"AWS.SNS.SMS.SMSType": attribute("Transactional")},
	})
	return awsfailure.Of(err, refusals()...)
}

// e164 writes a telephone number as SNS wants it: a plus and up to 15 digits.
func e164(number string) (string, bool) {
	digits := strings.Map(func(r rune) rune {
		if strings.ContainsRune(" ().-", r) {
			return -1
		}
		return r
	}, strings.TrimPrefix(number, "+"))
	isNumber := len(digits) >= 5 && len(digits) <= 15 && strings.Trim(digits, "0123456789") == ""
	return "+" + digits, isNumber
}

// short bounds a text to one text message of any alphabet's.
func short(s string) string {
	const longest = 140
	if r := []rune(s); len(r) > longest {
		return string(r[:longest-1]) + "…"
	}
	return s
}

// Topic tells the operator's topic.
type Topic struct {
	client *sns.Client
	arn    string
}

// NewTopic binds a client to the topic's ARN. It does no I/O.
func NewTopic(client *sns.Client, arn string) *Topic { return &Topic{client: client, arn: arn} }

// Send implements notification.Channel. The target is the topic, whatever t says.
func (c *Topic) Send(ctx context.Context, m notification.Message, _ notification.Target) error {
	in := &sns.PublishInput{
		TopicArn: &c.arn, Message: &m.Text, Subject: subject(m.Subject),
		MessageAttributes: map[string]types.MessageAttributeValue{
			"event": attribute(string(m.Event)), "eventTypeName": attribute(m.Kind), "severity": attribute(string(m.Severity)),
			"groupId": attribute(m.GroupID), "alertId": attribute(m.Incident),
		},
	}
	if strings.HasSuffix(c.arn, ".fifo") {
		in.MessageDeduplicationId, in.MessageGroupId = &m.ID, &m.GroupID
	}
	_, err := c.client.Publish(ctx, in)
	return awsfailure.Of(err, refusals()...)
}

func attribute(value string) types.MessageAttributeValue {
	return types.MessageAttributeValue{DataType: aws.String("String"), StringValue: &value}
}

// subject is a subject as SNS takes it: less than 100 characters of ASCII that begin with a letter,
// a digit or a mark.
func subject(s string) *string {
	const longest = 99
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
	return aws.String(s[:min(len(s), longest)])
}

// refusals are the codes that blame the telephone number or the message.
func refusals() []string {
	return []string{
		"InvalidParameter", "InvalidParameterException", "InvalidParameterValue", "InvalidParameterValueException", "OptedOut", "OptedOutException",
	}
}
