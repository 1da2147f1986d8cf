package hosted

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"slices"

	"latchkey/shared/alert"
	"latchkey/shared/notification"
)

// datadog speaks the Events API v1.
type datadog struct{ poster Poster }

type datadogEvent struct {
	Title       string   `json:"title"`
	Text        string   `json:"text"`
	Type        string   `json:"alert_type"`
	Aggregation string   `json:"aggregation_key"`
	Happened    int64    `json:"date_happened"`
	Source      string   `json:"source_type_name"`
	Tags        []string `json:"tags"`
}

// Send implements notification.Channel.
func (c datadog) Send(ctx context.Context, m notification.Message, t notification.Target) error {
	sites := map[string]string{
		"": "datadoghq.com", "US": "datadoghq.com", "EU": "datadoghq.eu", "US3": "us3.datadoghq.com", "US5": "us5.datadoghq.com",
		"AP1": "ap1.datadoghq.com", "US1_FED": "ddog-gov.com",
	}
	site, ok := sites[t.Members["datadogRegion"]]
	if !ok {
		return &notification.Failure{Reason: notification.NotSendable, Permanent: true}
	}
	const longest = 4000 // more is refused
	e := datadogEvent{
		Title: m.Subject, Text: cut(m.Text, longest), Type: datadogType(m), Aggregation: incident(m), Happened: m.At.Unix(), Source: "latchkey",
		Tags: []string{"source:latchkey", "event_type:" + m.Kind, "group_id:" + m.GroupID, "latchkey_message:" + m.ID},
	}
	header := http.Header{"Dd-Api-Key": {t.Secrets["datadogApiKey"]}}
	_, err := post(ctx, c.poster, "https://api."+site+"/api/v1/events", header, e)
	return err
}

func datadogType(m notification.Message) string {
	if m.Event.Ends() {
		return "success"
	}
	switch m.Severity {
	case alert.Critical, alert.Error:
		return "error"
	case alert.Warning:
		return "warning"
	case alert.Info:
	}
	return "info"
}

// slack speaks chat.postMessage. Texts are plain: what tenants named things makes no links.
type slack struct{ poster Poster }

type slackMessage struct {
	Channel string       `json:"channel"`
	Text    string       `json:"text"`
	Blocks  []slackBlock `json:"blocks"`
	Unfurl  bool         `json:"unfurl_links"`
}

type slackBlock struct {
	Type string    `json:"type"`
	Text slackText `json:"text"`
}

type slackText struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

// Send implements notification.Channel. Slack answers 200 to what it refuses, too.
func (c slack) Send(ctx context.Context, m notification.Message, t notification.Target) error {
	const longestHeader, longestText = 150, 3000
	body := slackMessage{Channel: t.Members["channelName"], Text: escapeSlack(m.Subject), Blocks: []slackBlock{
		{"header", slackText{"plain_text", cut(m.Subject, longestHeader)}},
		{"section", slackText{"plain_text", cut(m.Text, longestText)}},
	}}
	header := http.Header{"Authorization": {"Bearer " + t.Secrets["apiToken"]}}
	answer, err := post(ctx, c.poster, "https://slack.com/api/chat.postMessage", header, body)
	if err != nil {
		return err
	}
	var result struct {
		OK    bool   `json:"ok"`
		Error string `json:"error"`
	}
	if err := json.Unmarshal(answer, &result); err != nil {
		return &notification.Failure{Reason: notification.Failed}
	}
	passing := []string{"ratelimited", "rate_limited", "internal_error", "fatal_error", "service_unavailable", "request_timeout", "team_added_to_org"}
	switch {
	case result.OK:
		return nil
	case slices.Contains(passing, result.Error):
		return &notification.Failure{Reason: notification.Failed}
	}
	return &notification.Failure{Reason: notification.Refused, Permanent: true}
}

// escapeSlack keeps a text from being read as markup.
func escapeSlack(s string) string {
	for _, pair := range [][2]string{{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}} {
		s = string(bytes.ReplaceAll([]byte(s), []byte(pair[0]), []byte(pair[1])))
	}
	return s
}

// teams sends an adaptive card to a webhook of Microsoft Teams. Texts are in text runs, which know no
// markup.
type teams struct{ poster Poster }

// Send implements notification.Channel. Teams answers 200 to what it throttles, and says so in the
// body.
func (c teams) Send(ctx context.Context, m notification.Message, t notification.Target) error {
	type object = map[string]any
	run := func(text string, more object) object {
		more["type"], more["text"] = "TextRun", text
		return object{"type": "RichTextBlock", "inlines": []object{more}}
	}
	const longest = 8000 // a message has at most 28 kB
	card := object{
		"$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4",
		"body": []object{run(m.Subject, object{"size": "Large", "weight": "Bolder"}), run(cut(m.Text, longest), object{})},
	}
	if m.Link != "" {
		card["actions"] = []object{{"type": "Action.OpenUrl", "title": "Open", "url": m.Link}}
	}
	body := object{"type": "message", "attachments": []object{{
		"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": nil, "content": card,
	}}}
	answer, err := post(ctx, c.poster, t.Secrets["microsoftTeamsWebhookUrl"], nil, body)
	switch {
	case err != nil:
		return err
	case bytes.Contains(answer, []byte("HTTP error 429")):
		return &notification.Failure{Reason: notification.Throttled, Status: http.StatusTooManyRequests}
	case bytes.Contains(answer, []byte("delivery failed")):
		return &notification.Failure{Reason: notification.Failed}
	}
	return nil
}
