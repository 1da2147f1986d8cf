// Package notifications makes the ways on which a deployment tells people, services and operators
// of what happens.
package notifications

import (
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	"github.com/aws/aws-sdk-go-v2/service/sns"

	"latchkey/functions/internal/deployment"
	"latchkey/shared/alert"
	"latchkey/shared/notification"
	"latchkey/shared/notification/awsbus"
	"latchkey/shared/notification/awsses"
	"latchkey/shared/notification/awssns"
	"latchkey/shared/notification/outbound"
	"latchkey/shared/suite/notify"
)

// Channels are the channels that the template switches on. E-mail is off without a sender.
// Text messages are off unless the operator wants to pay for them.
func Channels(env *deployment.Environment) map[alert.Kind]notification.Channel {
	allow, err := outbound.ParseAllowlist(env.Optional("NOTIFICATION_ALLOW_LIST"))
	if err != nil {
		env.Fail("NOTIFICATION_ALLOW_LIST", err)
	}
	var mail, sms notification.Channel
	if from := env.Optional("MAIL_FROM"); from != "" {
		mail = awsses.New(sesv2.NewFromConfig(env.AWS), from)
	}
	if env.Optional("SMS_NOTIFICATIONS") == "true" {
		sms = awssns.NewSMS(sns.NewFromConfig(env.AWS))
	}
	return notify.Channels(outbound.New(outbound.Options{Allow: allow, Now: env.Now}), mail, sms)
}

// Topic is the operator's topic; nil if there is none.
func Topic(env *deployment.Environment) notification.Channel {
	if arn := env.Optional("ALERT_TOPIC_ARN"); arn != "" {
		return awssns.NewTopic(sns.NewFromConfig(env.AWS), arn)
	}
	return nil
}

// Bus is the operator's event bus; nil if there is none.
func Bus(env *deployment.Environment) notification.Bus {
	if name := env.Optional("EVENT_BUS_NAME"); name != "" {
		return awsbus.New(eventbridge.NewFromConfig(env.AWS), name)
	}
	return nil
}
