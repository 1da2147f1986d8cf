package alertapi

import (
	"encoding/json"
	"math"
	"reflect"

	"latchkey/shared/alert"
	"latchkey/shared/atlas"
	"latchkey/shared/audit"
)

// configBody is what clients send of a configuration. Terraform and the CLI send whole answers
// back; read-only members are ignored, null and the empty object are absent.
type configBody struct {
	EventTypeName    *string         `json:"eventTypeName"`
	Enabled          *bool           `json:"enabled"`
	Matchers         []matcherBody   `json:"matchers"`
	Threshold        *thresholdBody  `json:"threshold"`
	MetricThreshold  map[string]any  `json:"metricThreshold"`
	SeverityOverride *string         `json:"severityOverride"`
	Notifications    []notifications `json:"notifications"`
}

type matcherBody struct {
	FieldName *string `json:"fieldName"`
	Operator  *string `json:"operator"`
	Value     *string `json:"value"`
}

type thresholdBody struct {
	Operator  *string `json:"operator"`
	Threshold *whole  `json:"threshold"`
	Units     *string `json:"units"`
}

// notifications is one notification: the members that every kind has, and as Own those that
// only its kind has.
type notifications struct {
	TypeName      *string   `json:"typeName"`
	DelayMin      *whole    `json:"delayMin"`
	IntervalMin   *whole    `json:"intervalMin"`
	NotifierID    *string   `json:"notifierId"`
	IntegrationID *string   `json:"integrationId"`
	EmailEnabled  *bool     `json:"emailEnabled"`
	SMSEnabled    *bool     `json:"smsEnabled"`
	Roles         *[]string `json:"roles"`

	own map[string]json.RawMessage
}

// UnmarshalJSON implements json.Unmarshaler.
func (n *notifications) UnmarshalJSON(b []byte) error {
	type common notifications
	if err := json.Unmarshal(b, (*common)(n)); err != nil {
		return err
	}
	return json.Unmarshal(b, &n.own)
}

type toggleBody struct {
	Enabled *bool `json:"enabled"`
}

type acknowledgeBody struct {
	AcknowledgedUntil      *string `json:"acknowledgedUntil"`
	AcknowledgementComment *string `json:"acknowledgementComment"`
	UnacknowledgeAlert     *bool   `json:"unacknowledgeAlert"`
}

func (b configBody) draft() (alert.Draft, error) {
	d := alert.Draft{
		Type: audit.Type(text(b.EventTypeName)), Enabled: b.Enabled != nil && *b.Enabled,
		Metric: len(b.MetricThreshold) > 0, Severity: alert.Severity(text(b.SeverityOverride)),
	}
	for _, m := range b.Matchers {
		d.Matchers = append(d.Matchers, alert.Matcher{Field: text(m.FieldName), Operator: text(m.Operator), Value: text(m.Value)})
	}
	if t := b.Threshold; t != nil && *t != (thresholdBody{}) {
		d.Threshold = &alert.ThresholdDraft{Operator: text(t.Operator), Units: text(t.Units), Number: t.Threshold.number()}
	}
	for _, n := range b.Notifications {
		draft, err := n.draft()
		if err != nil {
			return d, err
		}
		d.Notifications = append(d.Notifications, draft)
	}
	return d, nil
}

func (n notifications) draft() (alert.NotificationDraft, error) {
	d := alert.NotificationDraft{
		ID: text(n.NotifierID), Type: alert.Kind(text(n.TypeName)), DelayMin: n.DelayMin.number(), IntervalMin: n.IntervalMin.number(),
		Email: n.EmailEnabled != nil && *n.EmailEnabled, SMS: n.SMSEnabled != nil && *n.SMSEnabled,
		Integration: text(n.IntegrationID), Members: map[string]string{},
	}
	if n.Roles != nil {
		d.Roles = append([]string{}, *n.Roles...)
	}
	for _, name := range d.Type.Members() {
		raw, sent := n.own[name]
		if !sent {
			continue
		}
		var value *string
		if err := json.Unmarshal(raw, &value); err != nil {
			return d, atlas.Fail(atlas.InvalidJSONAttribute, "notifications."+name).Because(err)
		}
		d.Members[name] = text(value)
	}
	return d, nil
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// whole is an integer that clients may write as a number of any notation: 7.0 is 7 (CONTRACT 1.7).
type whole int64

// UnmarshalJSON implements json.Unmarshaler.
func (w *whole) UnmarshalJSON(b []byte) error {
	var n json.Number
	if err := json.Unmarshal(b, &n); err != nil {
		return &json.UnmarshalTypeError{Value: "no number", Type: reflect.TypeFor[int64]()}
	}
	if v, err := n.Int64(); err == nil {
		*w = whole(v)
		return nil
	}
	f, err := n.Float64()
	// Beyond 2^53 floats skip integers, so what was meant can't be told.
	if err != nil || f != math.Trunc(f) || math.Abs(f) >= 1<<53 {
		return &json.UnmarshalTypeError{Value: "number " + string(n), Type: reflect.TypeFor[int64]()}
	}
	*w = whole(f)
	return nil
}

func (w *whole) number() *int64 {
	if w == nil {
		return nil
	}
	return new(int64(*w))
}
