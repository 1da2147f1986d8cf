package notify

import (
	"maps"

	"latchkey/shared/alert"
	"latchkey/shared/notification"
	"latchkey/shared/notification/hosted"
	"latchkey/shared/notification/outbound"
	"latchkey/shared/notification/webhook"
)

// Channels are the channels of every kind: those that lead to addresses and services of tenants'
// through web, those to people through mail and sms. A nil channel is off.
func Channels(web *outbound.Client, mail, sms notification.Channel) map[alert.Kind]notification.Channel {
	channels := map[alert.Kind]notification.Channel{
		alert.Email: mail, alert.SMS: sms, alert.Webhook: webhook.Channel{Poster: web},
	}
	maps.Copy(channels, hosted.Channels(web))
	return channels
}
