package console

import (
	"net/url"
	"slices"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/verdict"
)

// alertWire is an alert as the API shows it.
type alertWire struct {
	ID           string `json:"id"`
	ConfigID     string `json:"alertConfigId"`
	Type         string `json:"eventTypeName"`
	Status       string `json:"status"`
	Created      string `json:"created"`
	Updated      string `json:"updated"`
	Resolved     string `json:"resolved"`
	LastNotified string `json:"lastNotified"`
	ClusterName  string `json:"clusterName"`
	AckUntil     string `json:"acknowledgedUntil"`
	AckComment   string `json:"acknowledgementComment"`
	AckBy        string `json:"acknowledgingUsername"`
	Value        *struct {
		Number int    `json:"number"`
		Units  string `json:"units"`
	} `json:"currentValue"`
}

// The statuses of alerts. The API lists by all but CANCELLED.
const (
	alertOpen      = "OPEN"
	alertTracking  = "TRACKING"
	alertClosed    = "CLOSED"
	alertCancelled = "CANCELLED"
)

// isLive reports whether something may still happen to it.
func (a alertWire) isLive() bool { return a.Status == alertOpen || a.Status == alertTracking }

// Badge is its status in words.
func (a alertWire) Badge() Badge {
	switch a.Status {
	case alertOpen:
		return Badge{Bad, "Open"}
	case alertTracking:
		return Badge{Warning, "About to open"}
	case alertClosed:
		return Badge{Good, "Closed"}
	case alertCancelled:
		return Badge{Neutral, "No longer asked for"}
	}
	return Badge{Neutral, inWords(a.Status)}
}

// Days is what it measured, "" if it measures nothing.
func (a alertWire) Days() string {
	if a.Value == nil || a.Value.Units != "DAYS" || a.Value.Number == 0 {
		return ""
	}
	return count(a.Value.Number, "day")
}

// eventWire is an event as the API shows it with everything that is known of it.
type eventWire struct {
	ID            string         `json:"id"`
	Type          string         `json:"eventTypeName"`
	Created       string         `json:"created"`
	OrgID         string         `json:"orgId"`
	GroupID       string         `json:"groupId"`
	ClusterName   string         `json:"clusterName"`
	PublicKey     string         `json:"publicKey"`
	Username      string         `json:"username"`
	RemoteAddress string         `json:"remoteAddress"`
	AlertID       string         `json:"alertId"`
	ConfigID      string         `json:"alertConfigId"`
	EndpointID    string         `json:"endpointId"`
	Raw           map[string]any `json:"raw"`
}

// raw is a detail that is a text, "" if it is none.
func (e eventWire) raw(name string) string {
	s, _ := e.Raw[name].(string)
	return s
}

// story is what was told when an alert began.
type story struct {
	Text     string
	Remedy   string
	Provider atlas.Provider // "" if it is not known
}

// Around when an alert began its event is looked for. The verdict's event is a moment older than the
// alert, up to some checks of the key.
const (
	tellsBefore = 15 * time.Minute
	tellsAfter  = time.Minute
	mostStories = "200"
)

// stories finds what was told when alerts began: the API's alerts do not say.
func (v *Visit) stories(alerts []alertWire) (map[string]story, error) {
	found := map[string]story{}
	if len(alerts) == 0 {
		return found, nil
	}
	query := url.Values{"includeRaw": {"true"}, "includeCount": {"false"}, "itemsPerPage": {mostStories}}
	var first, last time.Time
	for _, a := range alerts {
		at := instant(a.Created)
		if first.IsZero() || at.Before(first) {
			first = at
		}
		if at.After(last) {
			last = at
		}
		if !slices.Contains(query["eventType"], a.Type) {
			query.Add("eventType", a.Type)
		}
	}
	query.Set("minDate", first.Add(-tellsBefore).Format(time.RFC3339))
	query.Set("maxDate", last.Add(tellsAfter).Format(time.RFC3339))
	var events atlas.Page[eventWire]
	if err := v.API.Get(v.Context(), v.Group("events"), query, &events); err != nil {
		return nil, err
	}
	for _, a := range alerts {
		if s, ok := storyOf(a, events.Results); ok {
			found[a.ID] = s
		}
	}
	return found, nil
}

// storyOf is the story of an alert. Where two keys could be meant, none is told.
func storyOf(a alertWire, events []eventWire) (story, bool) {
	var candidates []eventWire
	began := instant(a.Created)
	for _, e := range events {
		switch at := instant(e.Created); {
		case e.Type != a.Type:
		case e.AlertID == a.ID:
			return tell(e), true
		case e.AlertID == "" && at.After(began.Add(-tellsBefore)) && at.Before(began.Add(tellsAfter)):
			candidates = append(candidates, e)
		}
	}
	if len(candidates) == 0 {
		return story{}, false
	}
	for _, e := range candidates {
		if e.raw("key") != candidates[0].raw("key") {
			return story{}, false
		}
	}
	return tell(candidates[0]), true // the newest
}

// tell puts an event into a story.
func tell(e eventWire) story {
	key := e.raw("key")
	s := story{Text: e.raw("summary"), Provider: providerOfType(e.Type)}
	if s.Provider == "" {
		s.Provider = providerOfKey(key)
	}
	if reason := e.raw("reason"); s.Text == "" && reason != "" {
		s.Text = "Key " + key + ": " + ReasonText(reason) + "."
		s.Remedy = remedies[verdict.Reason(reason)]
	}
	return s
}

// instant is a time of the API, zero if it is none.
func instant(text string) time.Time {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}
	}
	return at.UTC()
}
