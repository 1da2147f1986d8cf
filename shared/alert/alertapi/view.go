package alertapi

import (
	"encoding/json"
	"time"

	"latchkey/shared/alert"
	"latchkey/shared/atlas"
	"latchkey/shared/httpapi"
)

// configView is a configuration on the wire (CONTRACT 5.3).
type configView struct {
	Created          string          `json:"created"`
	Enabled          bool            `json:"enabled"`
	EventTypeName    string          `json:"eventTypeName"`
	GroupID          string          `json:"groupId"`
	ID               string          `json:"id"`
	Links            []atlas.Link    `json:"links"`
	Matchers         []alert.Matcher `json:"matchers"`
	Notifications    []any           `json:"notifications"`
	SeverityOverride alert.Severity  `json:"severityOverride,omitempty"`
	Threshold        *thresholdView  `json:"threshold,omitempty"`
	Updated          string          `json:"updated"`
}

type thresholdView struct {
	Operator  string `json:"operator"`
	Threshold int64  `json:"threshold"`
	Units     string `json:"units"`
}

func pathOfConfig(groupID, id string) string { return "/groups/" + groupID + "/alertConfigs/" + id }

func viewConfig(r *httpapi.Request, c alert.Config) configView {
	path := pathOfConfig(c.GroupID, c.ID)
	v := configView{
		Created: atlas.Time(c.Created), Enabled: c.Enabled, EventTypeName: string(c.Type), GroupID: c.GroupID, ID: c.ID,
		Links:    append(r.Self(path), atlas.Link{Href: r.Link(path + "/alerts"), Rel: r.Base + "/alerts"}),
		Matchers: append([]alert.Matcher{}, c.Matchers...), Notifications: []any{},
		SeverityOverride: c.Severity, Updated: atlas.Time(c.Updated),
	}
	if t := c.Threshold; t != nil {
		v.Threshold = &thresholdView{Operator: t.Operator, Threshold: t.Number, Units: t.Units}
	}
	for _, n := range c.Notifications {
		v.Notifications = append(v.Notifications, viewNotification(n))
	}
	return v
}

// viewNotification shows a notification with the members of its kind and no others: clients
// take what is shown of another kind for drift. Secrets are shown as their stars.
func viewNotification(n alert.Notification) map[string]any {
	v := map[string]any{"typeName": n.Type, "notifierId": n.ID, "delayMin": minutes(n.Delay)}
	if n.Interval > 0 {
		v["intervalMin"] = minutes(n.Interval)
	}
	if n.Type.TellsPeople() {
		v["emailEnabled"], v["smsEnabled"] = n.Email, n.SMS
	}
	if n.Roles != nil {
		v["roles"] = n.Roles
	}
	if n.Integration != "" {
		v["integrationId"] = n.Integration
	}
	for name, value := range n.Members {
		v[name] = value
	}
	for name, secret := range n.Secrets {
		v[name] = secret.Shown
	}
	return v
}

func minutes(d time.Duration) int64 { return int64(d / time.Minute) }

// alertView is an alert on the wire (CONTRACT 5.2).
type alertView struct {
	AcknowledgedUntil      string       `json:"acknowledgedUntil,omitempty"`
	AcknowledgementComment string       `json:"acknowledgementComment,omitempty"`
	AcknowledgingUsername  string       `json:"acknowledgingUsername,omitempty"`
	AlertConfigID          string       `json:"alertConfigId"`
	ClusterID              string       `json:"clusterId,omitempty"`
	ClusterName            string       `json:"clusterName,omitempty"`
	Created                string       `json:"created"`
	CurrentValue           *valueView   `json:"currentValue,omitempty"`
	EventTypeName          string       `json:"eventTypeName"`
	GroupID                string       `json:"groupId"`
	HostnameAndPort        string       `json:"hostnameAndPort,omitempty"`
	ID                     string       `json:"id"`
	LastNotified           string       `json:"lastNotified,omitempty"`
	Links                  []atlas.Link `json:"links"`
	OrgID                  string       `json:"orgId"`
	ReplicaSetName         string       `json:"replicaSetName,omitempty"`
	Resolved               string       `json:"resolved,omitempty"`
	Status                 alert.Status `json:"status"`
	Updated                string       `json:"updated"`
}

type valueView struct {
	Number int64  `json:"number"`
	Units  string `json:"units"`
}

func viewAlert(r *httpapi.Request, a alert.Alert) alertView {
	path := "/groups/" + a.GroupID + "/alerts/" + a.ID
	v := alertView{
		AlertConfigID: a.ConfigID, ClusterID: a.Facts.ClusterID, ClusterName: a.Facts.ClusterName, Created: atlas.Time(a.Created),
		EventTypeName: string(a.Type), GroupID: a.GroupID, HostnameAndPort: a.Facts.HostnameAndPort, ID: a.ID,
		LastNotified: optional(a.LastNotified), OrgID: a.OrgID, ReplicaSetName: a.Facts.ReplicaSetName,
		Resolved: optional(a.Resolved), Status: a.Status, Updated: atlas.Time(a.Updated),
		Links: append(r.Self(path),
			atlas.Link{Href: r.Link(pathOfConfig(a.GroupID, a.ConfigID)), Rel: r.Base + "/alertConfig"},
			atlas.Link{Href: r.Link(path + "/alertConfigs"), Rel: r.Base + "/alertConfigs"}),
	}
	if u := a.Facts.Value; u.Units != "" {
		v.CurrentValue = &valueView{Number: u.Number, Units: u.Units}
	}
	if ack := a.Acknowledgement; ack != nil {
		v.AcknowledgedUntil, v.AcknowledgementComment, v.AcknowledgingUsername = atlas.Time(ack.Until), ack.Comment, ack.By
	}
	return v
}

// optional is an instant, or "" for none.
func optional(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return atlas.Time(t)
}

// Document is an alert as the API at an address shows it, as JSON, and the alert's own address: what
// webhooks are told.
func Document(base string, a alert.Alert) (document []byte, link string, err error) {
	r := &httpapi.Request{Base: base}
	document, err = json.Marshal(viewAlert(r, a))
	return document, r.Link("/groups/" + a.GroupID + "/alerts/" + a.ID), err
}
