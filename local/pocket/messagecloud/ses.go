package messagecloud

import (
	"errors"
	"net/http"
	"net/mail"
	"strings"

	"latchkey/local/pocket"
	"latchkey/local/pocket/awscloud"
)

// ses is SES, version 2, in which every identity of an account counts as verified.
func (o *Office) ses(cloud *awscloud.Cloud) pocket.Service {
	tooMany := throttled
	tooMany.Code, tooMany.Status = "TooManyRequestsException", http.StatusTooManyRequests
	return cloud.Serve(awscloud.JSONService{
		Name: "email", Prefix: "ses", ContentType: "application/json", Perform: o.sendEmail, Throttled: tooMany, Broken: broken,
		Route: func(method, path string) string {
			if method == http.MethodPost && path == "/v2/email/outbound-emails" {
				return "SendEmail"
			}
			return ""
		},
	})
}

type sesContent struct{ Data, Charset string }

type sendEmailIn struct {
	FromEmailAddress string
	Destination      struct{ ToAddresses, CcAddresses, BccAddresses []string }
	ReplyToAddresses []string
	Content          struct {
		Simple *struct {
			Subject sesContent
			Body    struct{ Text, Html *sesContent } //nolint:revive // AWS's spelling
			Headers []struct{ Name, Value string }
		}
	}
	EmailTags []struct{ Name, Value string }
}

// maxRecipients and maxMail are SES's limits.
const (
	maxRecipients = 50
	maxMail       = 10 << 20
)

func (o *Office) sendEmail(r *awscloud.Request) (any, error) {
	if r.Operation != "SendEmail" {
		return nil, unknown(r)
	}
	var in sendEmailIn
	if err := r.Decode(&in); err != nil {
		return nil, err
	}
	from, err := mail.ParseAddress(in.FromEmailAddress)
	if err != nil {
		return nil, badMail("Missing or illegal FromEmailAddress")
	}
	if err := maySend(r, from.Address); err != nil {
		return nil, err
	}
	m := Message{Kind: Mail, At: r.Now, From: in.FromEmailAddress, To: []string{}, Headers: map[string]string{}}
	for _, list := range [][]string{in.Destination.ToAddresses, in.Destination.CcAddresses, in.Destination.BccAddresses} {
		m.To = append(m.To, list...)
	}
	if err := m.fill(in); err != nil {
		return nil, err
	}
	m, err = o.accept(m)
	return map[string]string{"MessageId": m.ID}, err
}

// maySend checks the permission to send as an address. The identity is the address, or else its domain.
func maySend(r *awscloud.Request, from string) error {
	_, domain, _ := strings.Cut(from, "@")
	context := map[string][]string{"ses:fromaddress": {from}, "ses:apiversion": {"2"}}
	err := r.Allow("SendEmail", r.ARN("identity/"+from), context)
	if err != nil && r.Allow("SendEmail", r.ARN("identity/"+domain), context) == nil {
		return nil
	}
	if f, ok := errors.AsType[*awscloud.Failure](err); ok {
		f.Status = http.StatusForbidden // not 400, as services have it that are no REST APIs
	}
	return err
}

// fill puts the content of a request into the message.
func (m *Message) fill(in sendEmailIn) error {
	if len(m.To) == 0 || len(m.To) > maxRecipients {
		return badMail("A message has 1 to 50 recipients")
	}
	for _, to := range m.To {
		if _, err := mail.ParseAddress(to); err != nil {
			return badMail("Illegal address")
		}
	}
	simple := in.Content.Simple
	if simple == nil || simple.Body.Text == nil && simple.Body.Html == nil {
		return badMail("The pocket SES sends Content.Simple with a body")
	}
	m.Subject = simple.Subject.Data
	if simple.Body.Text != nil {
		m.Text = simple.Body.Text.Data
	}
	if simple.Body.Html != nil {
		m.HTML = simple.Body.Html.Data
	}
	for _, h := range simple.Headers {
		if strings.ContainsAny(h.Name+h.Value, "\r\n") {
			return badMail("Illegal header")
		}
		m.Headers[h.Name] = h.Value
	}
	if len(in.ReplyToAddresses) > 0 {
		m.Headers["Reply-To"] = strings.Join(in.ReplyToAddresses, ", ")
	}
	if len(m.Subject)+len(m.Text)+len(m.HTML) > maxMail {
		return badMail("The message is too long")
	}
	return nil
}

func badMail(message string) error {
	return &awscloud.Failure{Code: "BadRequestException", Message: message}
}
