// Package awsses sends e-mails through Amazon SES. Each goes to one person, as plain text.
//
// SES knows no idempotency keys: an e-mail that was accepted and whose acceptance was not recorded
// is sent again. Its invariant: nothing but the address decides whom an e-mail goes to.
package awsses

import (
	"context"
	"errors"
	"net/http"
	"net/mail"
	"slices"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	"github.com/aws/aws-sdk-go-v2/service/sesv2/types"
	"github.com/aws/smithy-go"

	"latchkey/shared/notification"
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
	return failure(err)
}

// failure tells what the address is to blame for from what the operator is.
func failure(err error) error {
	if err == nil {
		return nil
	}
	f := &notification.Failure{Reason: notification.Ours}
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		f.Code = e.ErrorCode()
	}
	if e, ok := errors.AsType[*awshttp.ResponseError](err); ok {
		f.Status = e.HTTPStatusCode()
	}
	if f.Status >= 400 && f.Status < 500 && f.Status != http.StatusTooManyRequests &&
		slices.Contains([]string{"BadRequestException", "MessageRejected"}, f.Code) {
		f.Reason, f.Permanent = notification.Refused, true
	}
	return f
}
