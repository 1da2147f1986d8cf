// Package hosted tells the services that teams hear of incidents by: PagerDuty, OpsGenie, VictorOps
// (Splunk On-Call), Datadog, Slack and Microsoft Teams.
//
// Its invariant: what names an incident at a service is the alert's own id, so that repeating a
// message opens no second incident, and the alert's end closes the one that it opened.
package hosted

import (
	"context"
	"encoding/json"
	"net/http"

	"latchkey/shared/alert"
	"latchkey/shared/notification"
)

// Poster sends requests; outbound.Client is the one in use.
type Poster interface {
	// Post returns the answer if it is a success; other answers are a *notification.Failure.
	Post(ctx context.Context, address string, header http.Header, body []byte) ([]byte, error)
}

// Channels are the channels of all services, by the kind that goes through them.
func Channels(p Poster) map[alert.Kind]notification.Channel {
	return map[alert.Kind]notification.Channel{
		alert.PagerDuty: pagerDuty{p}, alert.OpsGenie: opsGenie{p}, alert.VictorOps: victorOps{p},
		alert.Datadog: datadog{p}, alert.Slack: slack{p}, alert.Teams: teams{p},
	}
}

// source is what services know Latchkey by.
const source = "Latchkey"

// incident is the name of an alert at services that keep incidents.
func incident(m notification.Message) string { return "latchkey-" + m.Incident }

// post sends a JSON body.
func post(ctx context.Context, p Poster, address string, header http.Header, body any) ([]byte, error) {
	raw, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	if header == nil {
		header = http.Header{}
	}
	header.Set("Content-Type", "application/json")
	return p.Post(ctx, address, header, raw)
}

// details are the fields of a message as an object.
func details(m notification.Message) map[string]string {
	d := make(map[string]string, len(m.Fields))
	for _, f := range m.Fields {
		d[f.Name] = f.Value
	}
	return d
}

// cut bounds a text to a number of characters.
func cut(s string, characters int) string {
	if r := []rune(s); len(r) > characters {
		return string(r[:characters-1]) + "…"
	}
	return s
}
