package hosted

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"latchkey/shared/alert"
	"latchkey/shared/notification"
)

// pagerDuty speaks the Events API v2.
type pagerDuty struct{ poster Poster }

type pagerDutyEvent struct {
	RoutingKey string            `json:"routing_key"`
	Action     string            `json:"event_action"`
	DedupKey   string            `json:"dedup_key"`
	Client     string            `json:"client,omitempty"`
	ClientURL  string            `json:"client_url,omitempty"`
	Payload    *pagerDutyPayload `json:"payload,omitempty"`
}

type pagerDutyPayload struct {
	Summary   string            `json:"summary"`
	Source    string            `json:"source"`
	Severity  string            `json:"severity"`
	Timestamp string            `json:"timestamp"`
	Class     string            `json:"class"`
	Details   map[string]string `json:"custom_details"`
}

// Send implements notification.Channel.
func (c pagerDuty) Send(ctx context.Context, m notification.Message, t notification.Target) error {
	e := pagerDutyEvent{RoutingKey: t.Secrets["serviceKey"], Action: "resolve", DedupKey: incident(m)}
	if !m.Event.Ends() {
		const longest = 1024
		e.Action, e.Client, e.ClientURL = "trigger", source, m.Link
		e.Payload = &pagerDutyPayload{
			Summary: cut(m.Subject, longest), Source: source, Severity: pagerDutySeverity(m.Severity),
			Timestamp: m.At.UTC().Format(time.RFC3339), Class: m.Kind, Details: details(m),
		}
		e.Payload.Details["Text"] = m.Text
	}
	host := "events.pagerduty.com"
	if t.Members["region"] == "EU" {
		host = "events.eu.pagerduty.com"
	}
	_, err := post(ctx, c.poster, "https://"+host+"/v2/enqueue", nil, e)
	return err
}

func pagerDutySeverity(s alert.Severity) string {
	switch s {
	case alert.Critical:
		return "critical"
	case alert.Error:
		return "error"
	case alert.Warning:
		return "warning"
	case alert.Info:
	}
	return "info"
}

// opsGenie speaks the Alert API.
type opsGenie struct{ poster Poster }

type opsGenieAlert struct {
	Message     string            `json:"message,omitempty"`
	Alias       string            `json:"alias,omitempty"`
	Description string            `json:"description,omitempty"`
	Details     map[string]string `json:"details,omitempty"`
	Entity      string            `json:"entity,omitempty"`
	Source      string            `json:"source"`
	Priority    string            `json:"priority,omitempty"`
	Note        string            `json:"note,omitempty"`
}

// Send implements notification.Channel.
func (c opsGenie) Send(ctx context.Context, m notification.Message, t notification.Target) error {
	address := "https://api.opsgenie.com/v2/alerts"
	if t.Members["opsGenieRegion"] == "EU" {
		address = "https://api.eu.opsgenie.com/v2/alerts"
	}
	const longestMessage, longestDescription = 130, 15_000
	a := opsGenieAlert{
		Message: cut(m.Subject, longestMessage), Alias: incident(m), Description: cut(m.Text, longestDescription), Details: details(m),
		Entity: m.Kind, Source: source, Priority: opsGeniePriority(m.Severity),
	}
	if m.Event.Ends() {
		address += "/" + url.PathEscape(incident(m)) + "/close?identifierType=alias"
		a = opsGenieAlert{Source: source, Note: m.Subject}
	}
	header := http.Header{"Authorization": {"GenieKey " + t.Secrets["opsGenieApiKey"]}}
	_, err := post(ctx, c.poster, address, header, a)
	return err
}

func opsGeniePriority(s alert.Severity) string {
	switch s {
	case alert.Critical:
		return "P1"
	case alert.Error:
		return "P2"
	case alert.Warning:
		return "P3"
	case alert.Info:
	}
	return "P5"
}

// victorOps speaks the REST endpoint integration.
type victorOps struct{ poster Poster }

type victorOpsAlert struct {
	MessageType string            `json:"message_type"`
	EntityID    string            `json:"entity_id"`
	DisplayName string            `json:"entity_display_name"`
	State       string            `json:"state_message"`
	Start       int64             `json:"state_start_time"`
	Tool        string            `json:"monitoring_tool"`
	Details     map[string]string `json:"details,omitempty"`
}

// Send implements notification.Channel.
func (c victorOps) Send(ctx context.Context, m notification.Message, t notification.Target) error {
	address := "https://alert.victorops.com/integrations/generic/20131114/alert/" + url.PathEscape(t.Secrets["victorOpsApiKey"])
	if key := t.Secrets["victorOpsRoutingKey"]; key != "" {
		address += "/" + url.PathEscape(key)
	}
	a := victorOpsAlert{
		MessageType: victorOpsType(m), EntityID: incident(m), DisplayName: m.Subject, State: m.Text, Start: m.At.Unix(), Tool: source,
		Details: details(m),
	}
	_, err := post(ctx, c.poster, address, nil, a)
	return err
}

func victorOpsType(m notification.Message) string {
	if m.Event.Ends() {
		return "RECOVERY"
	}
	switch m.Severity {
	case alert.Critical, alert.Error:
		return "CRITICAL"
	case alert.Warning:
		return "WARNING"
	case alert.Info:
	}
	return "INFO"
}
