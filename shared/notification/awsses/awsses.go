// Package awsses sends e-mails through Amazon SES. Each goes to one person, as plain text.
//
// SES knows no idempotency keys: an e-mail that was accepted and whose acceptance was not recorded
// is sent again. Its invariant: nothing but the address decides whom an e-mail goes to.
package awsses

import (
	"context"
	"net/mail"

	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	"github.com/aws/aws-sdk-go-v2/service/sesv2/types"

	"latchkey/shared/notification"
	"latchkey/shared/notification/awsfailure"
)

// Channel sends e-mails.
type Channel struct {
	client *sesv2.Client
	from   string
}

// New binds a client to the sender's address. It does no I/O.
func New(client *sesv2.Client, from string) *Channel { return &Channel{client: client, from: from} }

// Send implements notification.Channel.
func (c *Channel) Send(ctx context.Context, m notification.Message, t notification.Target) error {
	a, err := mail.ParseAddress(t.Address)
	if err != nil || a.Address != t.Address {
		return &notification.Failure{Reason: notification.NotSendable, Permanent: true}
	}
	text := func(s string) *types.Content {
		charset := "UTF-8"
		return &types.Content{Data: &s, Charset: &charset}
	}
	header := func(name, value string) types.MessageHeader { return types.MessageHeader{Name: &name, Value: &value} }
	_, err = c.client.SendEmail(ctx, &sesv2.SendEmailInput{
		FromEmailAddress: &c.from, Destination: &types.Destination{ToAddresses: []string{t.Address}},
		Content: &types.EmailContent{Simple: &types.Message{
			Subject: text(m.Subject), Body: &types.Body{Text: text(m.Text)},
			Headers: []types.MessageHeader{header("Auto-Submitted", "auto-generated"), header("X-Latchkey-Message", m.ID)},
		}},
	})
	return awsfailure.Of(err, "BadRequestException", "MessageRejected")
}
