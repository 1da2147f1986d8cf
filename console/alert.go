package console

import (
	"net/http"
	"time"

	"latchkey/shared/atlas"
)

// alertView is an alert, and what raised it.
type alertView struct {
	GroupID string
	alertRow
	Remedies []string   // what to do about it
	Config   *configRow // nil if it was deleted meanwhile
	Owns     bool
	Until    Field
	Comment  Field
}

func loadAlert(v *Visit) (any, error) {
	id := v.Param("alertId")
	var a alertWire
	var configs atlas.Page[alertConfig]
	var types eventTypes
	var rights Rights
	var reports map[atlas.Provider]keyReport
	var reportsAway bool // what was told when it began has to do
	err := Together(
		func() error { return v.API.Get(v.Context(), v.Group("alerts", id), nil, &a) },
		func() error { return v.API.Get(v.Context(), v.Group("alerts", id, "alertConfigs"), nil, &configs) },
		into(&types, v.eventTypes), into(&rights, v.Rights), Optional(&reportsAway, into(&reports, v.keyReports)),
	)
	if err != nil {
		return nil, err
	}
	told, err := v.stories([]alertWire{a})
	if err != nil {
		return nil, err
	}
	v.Title = types.words(a.Type)
	view := alertView{GroupID: v.GroupID(), alertRow: v.alertRow(a, types, told[a.ID]), Owns: rights.Owns()}
	view.Remedies = remediesOf(a, told[a.ID], reports)
	for _, c := range configs.Results {
		row := c.row(types)
		view.Config = &row
	}
	view.Until = v.Field(Field{Name: "until", Label: "Silence it for", Value: "8h", Required: true, Options: []Option{
		{Value: "1h", Text: "1 hour"}, {Value: "8h", Text: "8 hours"}, {Value: "24h", Text: "1 day"}, {Value: "ever", Text: "As long as it is open"},
	}}, "acknowledgedUntil")
	view.Comment = v.Field(Field{Name: "comment", Label: "Comment", Hint: "What is being done about it, at most 200 characters."}, "acknowledgementComment")
	return view, nil
}

func acknowledgeAlert(v *Visit) (string, error) {
	lasts, said := forEver, "Nobody is reminded of this alert any more. Its end is told."
	if chosen := v.Form("until"); chosen != "ever" {
		var err error
		if lasts, err = time.ParseDuration(chosen); err != nil || lasts <= 0 {
			return "", Refuse("Choose for how long.", map[string]string{"until": "Choose one of these."})
		}
		said = "Nobody is reminded of this alert until then. Its end is told."
	}
	body := map[string]string{"acknowledgedUntil": v.now().Add(lasts).UTC().Format(time.RFC3339), "acknowledgementComment": v.Form("comment")}
	if err := v.API.Do(v.Context(), http.MethodPatch, v.Group("alerts", v.Param("alertId")), body, nil); err != nil {
		return "", beside(err, map[string]string{"acknowledgedUntil": "until", "acknowledgementComment": "comment"})
	}
	v.Say(said)
	return "", nil
}

func unacknowledgeAlert(v *Visit) (string, error) {
	err := v.API.Do(v.Context(), http.MethodPatch, v.Group("alerts", v.Param("alertId")), map[string]bool{"unacknowledgeAlert": true}, nil)
	if err == nil {
		v.Say("The acknowledgement is taken back. What is due is sent again.")
	}
	return "", err
}
