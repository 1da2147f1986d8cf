package notifications_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"latchkey/functions/internal/deployment"
	"latchkey/functions/internal/deployment/notifications"
	"latchkey/shared/alert"
)

func environment(variables map[string]string) *deployment.Environment {
	return deployment.New(aws.Config{Region: "us-east-1"}, func(name string) string { return variables[name] }, time.Now, slog.New(slog.DiscardHandler))
}

// What costs money or needs something of the operator's is off until it is asked for.
func TestChannels_areOffUntilTheOperatorSwitchesThemOn(t *testing.T) {
	env := environment(nil)
	channels := notifications.Channels(env)
	if channels[alert.Email] != nil || channels[alert.SMS] != nil || notifications.Topic(env) != nil || notifications.Bus(env) != nil {
		t.Error("something is on")
	}
	if channels[alert.Webhook] == nil || channels[alert.PagerDuty] == nil || env.Err() != nil {
		t.Errorf("something is off; %v", env.Err())
	}
	env = environment(map[string]string{
		"MAIL_FROM": "alerts@example.com", "SMS_NOTIFICATIONS": "true", "ALERT_TOPIC_ARN": "arn:aws:sns:us-east-1:123456789012:alerts",
		"EVENT_BUS_NAME": "operators", "NOTIFICATION_ALLOW_LIST": "10.0.0.0/8, hooks.internal",
	})
	channels = notifications.Channels(env)
	if channels[alert.Email] == nil || channels[alert.SMS] == nil || notifications.Topic(env) == nil || notifications.Bus(env) == nil || env.Err() != nil {
		t.Errorf("something is off; %v", env.Err())
	}
}

func TestChannels_sayWhatIsWrongWithTheAllowList(t *testing.T) {
	env := environment(map[string]string{"NOTIFICATION_ALLOW_LIST": "10.0.0.0/99"})
	notifications.Channels(env)
	if err := env.Err(); err == nil || !strings.HasPrefix(err.Error(), "NOTIFICATION_ALLOW_LIST") {
		t.Errorf("%v", err)
	}
}
