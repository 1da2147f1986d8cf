package console

import (
	"slices"
	"strings"

	"latchkey/shared/atlas"
)

// eventType is a type of event as the API describes it.
type eventType struct {
	Type        string `json:"eventType"`
	Description string `json:"description"`
	Alertable   bool   `json:"alertable"`
}

// eventTypes are the types of events that there are, in the order of the API.
type eventTypes []eventType

func (v *Visit) eventTypes() (eventTypes, error) {
	var page atlas.Page[eventType]
	err := v.API.Get(v.Context(), "/api/atlas/v2/eventTypes", wholeList(), &page)
	return page.Results, err
}

// words say what an event of a type means. A type that the API does not describe speaks for itself.
func (e eventTypes) words(name string) string {
	i := slices.IndexFunc(e, func(t eventType) bool { return t.Type == name })
	if i >= 0 && e[i].Description != "" {
		return e[i].Description
	}
	return inWords(name)
}

// inWords reads a name of the API aloud: "KEY_ROTATED" is "Key rotated".
func inWords(name string) string {
	words := strings.ToLower(strings.ReplaceAll(name, "_", " "))
	if words == "" {
		return ""
	}
	return strings.ToUpper(words[:1]) + words[1:]
}

// alertable are the types that alerts can be made of, those of encryption first.
func (e eventTypes) alertable() eventTypes {
	var first, then eventTypes
	for _, t := range e {
		switch {
		case !t.Alertable:
		case areaOf(t.Type) == areaKeys:
			first = append(first, t)
		default:
			then = append(then, t)
		}
	}
	return append(first, then...)
}

// eventArea is a part of the product, to find types by.
type eventArea struct {
	ID, Name string
	prefixes []string
	infix    string
}

// areaKeys is the area of encryption with the tenant's own keys.
const areaKeys = "keys"

// eventAreas are the areas in the order of the page. What fits in none is about the project.
func eventAreas() []eventArea {
	return []eventArea{
		{areaKeys, "Encryption keys", []string{"ENCRYPTION_AT_REST_"}, "_ENCRYPTION_KEY_"},
		{"access", "Access roles", []string{"CLOUD_PROVIDER_ACCESS_"}, ""},
		{"clusters", "Clusters and their nodes", []string{"CLUSTER_", "MASTER_KEY_", "KMIP_"}, ""},
		{"maintenance", "Maintenance", []string{"MAINTENANCE_"}, ""},
		{"snapshots", "Snapshots and restores", []string{"CPS_"}, ""},
		{"alerts", "Alerts", []string{"ALERT_"}, ""},
		{"people", "API keys, service accounts and refused attempts", []string{"API_KEY_", "SERVICE_ACCOUNT_", "ACCESS_DENIED"}, ""},
		{"project", "Project and organisation", nil, ""},
	}
}

// areaOf is the ID of a type's area.
func areaOf(name string) string {
	areas := eventAreas()
	for _, a := range areas {
		if a.infix != "" && strings.Contains(name, a.infix) {
			return a.ID
		}
		for _, p := range a.prefixes {
			if strings.HasPrefix(name, p) {
				return a.ID
			}
		}
	}
	return areas[len(areas)-1].ID
}

// providerOfType is the provider that the name of a type tells, "" if it tells none.
func providerOfType(name string) atlas.Provider {
	for _, p := range atlas.Providers() {
		if strings.HasPrefix(name, string(p)+"_ENCRYPTION_KEY_") || strings.HasPrefix(name, "CLOUD_PROVIDER_ACCESS_"+string(p)+"_") {
			return p
		}
	}
	return ""
}

// providerOfKey is the provider that a key's name is of, "" for none.
func providerOfKey(key string) atlas.Provider {
	switch {
	case key == "":
		return ""
	case strings.HasPrefix(key, "projects/"):
		return atlas.GCP
	case strings.HasPrefix(key, "https://"), strings.HasPrefix(key, "http://"):
		return atlas.Azure
	}
	if _, err := atlas.ParseAWSKeyName(key); err == nil {
		return atlas.AWS
	}
	return ""
}

// about is what an alert, an event or a workflow concerns, and where it is.
type about struct{ Text, Path string }

// aboutKey leads to a provider's card.
func (v *Visit) aboutKey(p atlas.Provider) about {
	return about{ProviderName(p), v.Page("advanced") + "#key-" + string(p)}
}

// aboutCluster leads to a cluster.
func (v *Visit) aboutCluster(name string) about {
	return about{"Cluster " + name, v.Page("clusters", name)}
}
