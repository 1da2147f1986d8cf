package console

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"latchkey/shared/atlas"
)

// eventRow is an event in words.
type eventRow struct {
	eventWire
	What    string
	Who     string
	Kind    string // what whoever it was is
	About   []about
	Details []detail
}

// detail is what an event tells of what exactly happened.
type detail struct {
	Name, Value string
	Time        bool
	Mono        bool
}

func (v *Visit) eventRow(e eventWire, types eventTypes) eventRow {
	row := eventRow{eventWire: e, What: types.words(e.Type), Who: e.actor(), Kind: "the service itself"}
	switch {
	case e.PublicKey != "":
		row.Kind = "API key"
	case e.Username != "":
		row.Kind = "service account"
	}
	row.About = v.aboutEvent(e)
	for _, name := range slices.Sorted(maps.Keys(e.Raw)) {
		if !plumbing[name] {
			row.Details = append(row.Details, detailOf(name, e.Raw[name])...)
		}
	}
	return row
}

// plumbing are details that are shown elsewhere, or say nothing to people.
var plumbing = map[string]bool{"_t": true, "id": true, "cid": true, "cre": true, "description": true, "orgId": true}

// detailNames are those that do not read well by themselves.
var detailNames = map[string]string{
	"access": "Access", "by": "Noticed by", "cloudProvider": "Provider", "encryptionAtRestProvider": "Encryption with a key of", "errorCode": "Code",
	"errorMessage": "Message", "from": "Before", "to": "After", "left": "Left to do", "providerCode": "Code of the provider",
	"providerRequestId": "Request ID, for the provider's support", "regionName": "Region", "masterKeys": "Master keys", "wrappedKeys": "Wrapped keys",
	"roleId": "Access role", "groupId": "Project", "groupIds": "Projects", "alertId": "Alert", "alertConfigId": "Alert configuration",
	"endpointId": "Private endpoint", "snapshotId": "Snapshot", "restoreJobId": "Restore", "clusterId": "Cluster ID", "secretId": "Secret",
	"dayOfWeek": "Day of the week, from Sunday", "hourOfDay": "Hour of the day", "numberOfDeferrals": "Deferred so often", "alertEventType": "Warns of",
}

// detailOf is a detail in words, none if there is nothing in it.
func detailOf(name string, value any) []detail {
	d := detail{Name: detailNames[name]}
	if d.Name == "" {
		d.Name = inWords(spaced(name))
	}
	switch value := value.(type) {
	case nil:
		return nil
	case string:
		d.Value = value
	case bool:
		d.Value = map[bool]string{true: "Yes", false: "No"}[value]
	case float64:
		d.Value = fmt.Sprint(value)
	case []any:
		var all []string
		for _, item := range value {
			all = append(all, fmt.Sprint(item))
		}
		d.Value = strings.Join(all, ", ")
	default:
		content, err := json.Marshal(value)
		if err != nil {
			return nil
		}
		d.Value, d.Mono = string(content), true
	}
	if d.Value == "" {
		return nil
	}
	d.read(name)
	return []detail{d}
}

// read makes something of values that are codes, names or times.
func (d *detail) read(name string) {
	switch {
	case name == "reason":
		d.Value = ReasonText(d.Value) + " (" + d.Value + ")"
	case name == "provider" || name == "encryptionAtRestProvider":
		d.Value = ProviderName(atlas.Provider(d.Value))
	case name == "change" && changeTitles[d.Value] != "":
		d.Value = changeTitles[d.Value]
	case isInstant(d.Value):
		d.Time = true
	case strings.HasSuffix(name, "Id"), name == "key", name == "from", name == "to", strings.Contains(name, "rovider"), name == "errorCode":
		d.Mono = true
	}
}

// spaced separates the words of a member's name: "alertEventType" is "alert_event_type".
func spaced(name string) string {
	var b strings.Builder
	for _, r := range name {
		if r >= 'A' && r <= 'Z' {
			b.WriteByte('_')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// aboutEvent is what an event concerns.
func (v *Visit) aboutEvent(e eventWire) []about {
	var all []about
	if v.GroupID() == "" {
		if id := e.raw("groupId"); isID(id) {
			all = append(all, about{"Project " + or(e.raw("groupName"), id), groupsPath + "/" + id})
		}
		return all
	}
	if e.ClusterName != "" {
		all = append(all, v.aboutCluster(e.ClusterName))
	}
	p := providerOfType(e.Type)
	if p == "" {
		p = atlas.Provider(e.raw("provider"))
	}
	if p == "" {
		p = providerOfKey(e.raw("key"))
	}
	switch {
	case isID(e.raw("roleId")):
		all = append(all, about{"Access role", v.Page("roles", e.raw("roleId"))})
	case e.EndpointID != "" && (p == atlas.AWS || p == atlas.Azure):
		all = append(all, about{"Private endpoints of " + ProviderName(p), v.Page("advanced", string(p), "endpoints")})
	case slices.Contains(atlas.Providers(), p):
		all = append(all, v.aboutKey(p))
	case areaOf(e.Type) == areaKeys:
		all = append(all, about{"Encryption keys", v.Page("advanced")})
	}
	switch {
	case isID(e.AlertID):
		all = append(all, about{"The alert", v.Page("alerts", e.AlertID)})
	case isID(e.ConfigID) && !strings.HasPrefix(e.Type, "ALERT_CONFIG_DELETED"):
		all = append(all, about{"The configuration", v.Page("alert-configurations", e.ConfigID)})
	case areaOf(e.Type) == "maintenance":
		all = append(all, about{"Maintenance", v.Page("maintenance")})
	}
	return all
}
