// Package webhook tells tenants' own programs of alerts, in the format that the public API documents
// for webhooks; docs/notifications.md has it.
//
// Its invariant: what is signed is what is sent, and a template decides about the body and about
// headers of its own, never about where the request goes, how it is framed or what Latchkey itself
// says of it.
package webhook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // the documented signature; HMAC does not depend on collisions
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"strings"
	"unicode"

	"latchkey/shared/notification"
	"latchkey/shared/notification/template"
)

// Poster sends requests to addresses that tenants choose; outbound.Client is the one in use.
type Poster interface {
	// Post returns the answer if it is a success; other answers are a *notification.Failure.
	Post(ctx context.Context, address string, header http.Header, body []byte) ([]byte, error)
}

// The headers of a webhook.
const (
	// EventHeader says what happened to the alert.
	EventHeader = "X-MMS-Event"
	// SignatureHeader is the base64 HMAC-SHA1 of the body under the webhook's secret.
	SignatureHeader = "X-MMS-Signature"
	// RequestHeader is the same at every attempt to deliver one notification.
	RequestHeader = "X-MMS-Request-Id"
	// IdempotencyHeader is the same value for receivers that know it by this name.
	IdempotencyHeader = "Idempotency-Key"
	// TemplateHeader names the templates that could not be rendered ("body", "headers"): the default
	// was sent instead.
	TemplateHeader = "X-Latchkey-Template-Error"
)

// Bounds of headers that templates make.
const (
	maxHeaders = 32
	maxValue   = 4096
)

// Channel tells webhooks.
type Channel struct{ Poster Poster }

// Send implements notification.Channel.
func (c Channel) Send(ctx context.Context, m notification.Message, t notification.Target) error {
	header, body := Request(m, t)
	_, err := c.Poster.Post(ctx, t.Secrets["webhookUrl"], header, body)
	return err
}

// Request is the header and the body of the request that tells a webhook.
func Request(m notification.Message, t notification.Target) (http.Header, []byte) {
	var broken []string
	data, err := dataOf(m)
	if err != nil {
		data = map[string]any{}
	}
	body, err := renderBody(t.Members["webhookBodyTemplate"], data)
	if err != nil {
		broken = append(broken, "body")
	}
	if body == nil {
		body = m.Document
	}
	signature := ""
	if secret := t.Secrets["webhookSecret"]; secret != "" {
		signature = Sign(secret, body)
	}
	header, err := renderHeaders(t.Secrets["webhookHeadersTemplate"], data, signature)
	if err != nil {
		header = http.Header{}
		broken = append(broken, "headers")
	}
	if header.Get("Content-Type") == "" {
		header.Set("Content-Type", "application/json")
	}
	header.Set(EventHeader, string(m.Event))
	header.Set(RequestHeader, m.ID)
	header.Set(IdempotencyHeader, m.ID)
	if signature != "" {
		header.Set(SignatureHeader, signature)
	}
	if len(broken) > 0 {
		header.Set(TemplateHeader, strings.Join(broken, ","))
	}
	return header, body
}

// Sign is the signature of a body under a secret.
func Sign(secret string, body []byte) string {
	mac := hmac.New(sha1.New, []byte(secret))
	mac.Write(body)
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// dataOf are the variables of templates: the members of the alert, and what headers say.
func dataOf(m notification.Message) (map[string]any, error) {
	decoder := json.NewDecoder(bytes.NewReader(m.Document))
	decoder.UseNumber()
	var data map[string]any
	if err := decoder.Decode(&data); err != nil {
		return nil, err
	}
	data["event"], data["requestId"], data["severity"] = string(m.Event), m.ID, string(m.Severity)
	return data, nil
}

var errNoJSON = errors.New("webhook: the template makes no JSON")

// renderBody renders a body, which must be JSON; nil if there is no template.
func renderBody(source string, data map[string]any) ([]byte, error) {
	if source == "" {
		return nil, nil
	}
	body, err := render(source, data, template.EscapeJSON)
	if err != nil {
		return nil, err
	}
	if !json.Valid([]byte(body)) {
		return nil, errNoJSON
	}
	return []byte(body), nil
}

func render(source string, data map[string]any, escape func(string) string) (string, error) {
	t, err := template.Parse(source)
	if err != nil {
		return "", err
	}
	return t.Render(data, escape)
}

// renderHeaders renders headers. Their template is an object of texts: as it is written, in which
// case each text is a template, or once it is rendered.
func renderHeaders(source string, data map[string]any, signature string) (http.Header, error) {
	header := http.Header{}
	if source == "" {
		return header, nil
	}
	data = maps.Clone(data)
	data["signature"] = signature
	var values map[string]string
	if json.Unmarshal([]byte(source), &values) == nil {
		for name, value := range values {
			rendered, err := render(value, data, func(s string) string { return s })
			if err != nil {
				return nil, err
			}
			values[name] = rendered
		}
	} else {
		rendered, err := render(source, data, template.EscapeJSON)
		if err != nil {
			return nil, err
		}
		if json.Unmarshal([]byte(rendered), &values) != nil {
			return nil, errNoJSON
		}
	}
	if len(values) > maxHeaders {
		return nil, errHeader
	}
	for name, value := range values {
		if !settable(name) || len(value) > maxValue || strings.ContainsFunc(value, unicode.IsControl) {
			return nil, errHeader
		}
		header.Set(name, value)
	}
	return header, nil
}

var errHeader = errors.New("webhook: the template makes a header that is not allowed")

// settable reports whether a template may set a header: not what frames the request, leads it
// elsewhere, or is Latchkey's own word.
func settable(name string) bool {
	isToken := name != "" && !strings.ContainsFunc(name, func(r rune) bool { // RFC 9110 5.6.2
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
	if !isToken {
		return false
	}
	switch name = http.CanonicalHeaderKey(name); name {
	case "Host", "Content-Length", "Content-Encoding", "Transfer-Encoding", "Trailer", "Te", "Connection", "Keep-Alive", "Upgrade",
		"Http2-Settings", "Expect", "User-Agent", "Accept-Encoding", "Via", "Forwarded", http.CanonicalHeaderKey(IdempotencyHeader):
		return false
	default:
		return !strings.HasPrefix(name, "X-Mms-") && !strings.HasPrefix(name, "X-Latchkey-") &&
			!strings.HasPrefix(name, "Proxy-") && !strings.HasPrefix(name, "X-Forwarded-")
	}
}
