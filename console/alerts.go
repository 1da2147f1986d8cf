package console

import (
	"net/url"
	"slices"
	"time"

	"latchkey/shared/atlas"
)

// Where alerts are.
const (
	alertsPath = groupsPath + "/{groupId}/alerts"
	alertPath  = alertsPath + "/{alertId}"
)

// alertsView is the list of alerts.
type alertsView struct {
	GroupID string
	Tabs    []alertTab
	Status  string
	Rows    []alertRow
	Pager   Pager
	Again   string // path that is read again; "" while nothing can happen
	Owns    bool
}

// alertTab is one of the lists.
type alertTab struct {
	Text, Path string
	Current    bool
}

// alertRow is an alert in the list.
type alertRow struct {
	alertWire
	What  string
	Story story
	About about // empty if it is not known
	Ack   *ackView
}

// ackView is an acknowledgement.
type ackView struct {
	By, Comment string
	Until       string
	Forever     bool
	Over        bool // it no longer silences the alert
}

// every list has its name; the first is shown unless another is asked for.
var alertLists = []struct{ status, text string }{
	{alertOpen, "Open"}, {alertTracking, "About to open"}, {alertClosed, "Closed"}, {"ALL", "All"},
}

// listOfAlerts is the list that is asked for.
func (v *Visit) listOfAlerts() string {
	for _, l := range alertLists {
		if l.status == v.Query("status") {
			return l.status
		}
	}
	return alertOpen
}

func loadAlerts(v *Visit) (any, error) {
	view := alertsView{GroupID: v.GroupID(), Status: v.listOfAlerts()}
	pager := v.Pager()
	pager.Path, pager.Query = v.Page("alerts"), url.Values{"status": {view.Status}}
	query := pager.Of()
	if view.Status != "ALL" {
		query.Set("status", view.Status)
	}
	var page atlas.Page[alertWire]
	var types eventTypes
	var rights Rights
	err := Together(
		func() error { return v.API.Get(v.Context(), v.Group("alerts"), query, &page) },
		into(&types, v.eventTypes), into(&rights, v.Rights),
	)
	if err != nil {
		return nil, err
	}
	told, err := v.stories(page.Results)
	if err != nil {
		return nil, err
	}
	for _, a := range page.Results {
		view.Rows = append(view.Rows, v.alertRow(a, types, told[a.ID]))
	}
	view.Pager, view.Owns = pager.Counted(page.TotalCount), rights.Owns()
	if slices.ContainsFunc(page.Results, alertWire.isLive) || view.Status == alertOpen || view.Status == alertTracking {
		view.Again = v.Page("fragments", "alerts") + "?" + v.r.URL.Query().Encode()
	}
	for _, l := range alertLists {
		view.Tabs = append(view.Tabs, alertTab{l.text, v.Page("alerts") + "?status=" + l.status, l.status == view.Status})
	}
	return view, nil
}

func (v *Visit) alertRow(a alertWire, types eventTypes, told story) alertRow {
	row := alertRow{alertWire: a, What: types.words(a.Type), Story: told, Ack: v.ackOf(a)}
	p := providerOfType(a.Type)
	if p == "" {
		p = told.Provider
	}
	switch {
	case a.ClusterName != "":
		row.About = v.aboutCluster(a.ClusterName)
	case p != "":
		row.About = v.aboutKey(p)
	case areaOf(a.Type) == areaKeys:
		row.About = about{"Encryption keys", v.Page("advanced")}
	case areaOf(a.Type) == "maintenance":
		row.About = about{"Maintenance", v.Page("maintenance")}
	}
	return row
}

// forEver is how far ahead "for ever" is, and whatever lies this far counts as it.
const (
	forEver       = 100 * 365 * 24 * time.Hour
	soundsEndless = 30 * 365 * 24 * time.Hour
)

func (v *Visit) ackOf(a alertWire) *ackView {
	if a.AckUntil == "" {
		return nil
	}
	left := instant(a.AckUntil).Sub(v.now())
	return &ackView{By: a.AckBy, Comment: a.AckComment, Until: a.AckUntil, Forever: left > soundsEndless, Over: left <= 0}
}

func (v *Visit) now() time.Time { return v.console.deps.Now() }
