package console

import (
	"cmp"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"latchkey/console/client"
	"latchkey/shared/atlas"
)

const maintenancePath = groupsPath + "/{groupId}/maintenance"

// maintenanceWindow is when a project wants to be maintained; day 0 is no window.
type maintenanceWindow struct {
	AutoDefer bool   `json:"autoDeferOnceEnabled"`
	Day       int    `json:"dayOfWeek"`
	Hour      int    `json:"hourOfDay"`
	Deferrals int    `json:"numberOfDeferrals"`
	ASAP      bool   `json:"startASAP"`
	Zone      string `json:"timeZoneId"`
	Protected *struct {
		Start int `json:"startHourOfDay"`
		End   int `json:"endHourOfDay"`
	} `json:"protectedHours"`
}

// masterKeyReport is how old master keys are, and how their rotation stands.
type masterKeyReport struct {
	Rotation struct {
		State   string  `json:"state"`
		BeganAt *string `json:"beganAt"`
		EndedAt *string `json:"endedAt"`
		Keys    int     `json:"masterKeys"`
		Left    int     `json:"left"`
	} `json:"rotation"`
	Maintenance *struct {
		Start     string  `json:"start"`
		Announced bool    `json:"announced"`
		BeganAt   *string `json:"beganAt"`
	} `json:"maintenance"`
	Keys []struct {
		Cluster string `json:"clusterName"`
		Node    string `json:"nodeId"`
		MadeAt  string `json:"madeAt"`
		State   string `json:"state"`
		Overdue bool   `json:"overdue"`
	} `json:"masterKeys"`
}

// maintenanceView is the page of the window, and of the master keys.
type maintenanceView struct {
	GroupID  string
	Owns     bool
	Window   string // in words, "" without any
	Safe     string // protected hours
	Auto     bool
	Plan     *planView
	Rotation rotationView
	Clusters []masterKeysView
	Day      Field
	Hour     Field
	From     Field
	Until    Field
	Defer    Field
}

// planView is the maintenance that is to come, or goes on.
type planView struct {
	Start     string
	BeganAt   *string
	Text      string
	Deferrals int
	MayHasten bool
	MayDefer  bool
}

// rotationView is the last rotation of master keys.
type rotationView struct {
	Badge            Badge
	BeganAt, EndedAt *string
	Keys, Done       int
	Text             string
	Working          bool
}

// masterKeysView are the master keys of a cluster's nodes.
type masterKeysView struct {
	Cluster string
	Nodes   int
	Oldest  string
	Overdue int
	States  []string
}

// mostDeferrals is how often one maintenance may be deferred.
const mostDeferrals = 2

func loadMaintenance(v *Visit) (any, error) {
	var w maintenanceWindow
	var keys masterKeyReport
	var rights Rights
	err := Together(
		func() error { return v.API.Get(v.Context(), v.Group("maintenanceWindow"), nil, &w) },
		func() error { return v.API.Get(v.Context(), v.OwnGroup("masterKeys"), nil, &keys) },
		into(&rights, v.Rights),
	)
	view := maintenanceView{GroupID: v.GroupID(), Owns: rights.Owns(), Window: w.words(), Safe: w.protected(), Auto: w.AutoDefer}
	view.Plan, view.Rotation, view.Clusters = planOf(w, keys), rotationOf(keys), keysByCluster(keys)
	view.fields(v, w)
	return view, err
}

// words say when the window is.
func (w maintenanceWindow) words() string {
	if w.Day < 1 || w.Day > 7 {
		return ""
	}
	return time.Weekday(w.Day-1).String() + "s at " + hourText(w.Hour) + " (" + or(w.Zone, "UTC") + ")"
}

func (w maintenanceWindow) protected() string {
	if w.Protected == nil {
		return ""
	}
	return hourText(w.Protected.Start) + " to " + hourText(w.Protected.End)
}

func hourText(hour int) string {
	const tens = 10
	if hour < tens {
		return "0" + strconv.Itoa(hour) + ":00"
	}
	return strconv.Itoa(hour) + ":00"
}

func hourOptions(none string) []Option {
	var all []Option
	if none != "" {
		all = append(all, Option{Text: none})
	}
	for hour := range 24 {
		all = append(all, Option{Value: strconv.Itoa(hour), Text: hourText(hour)})
	}
	return all
}

func (view *maintenanceView) fields(v *Visit, w maintenanceWindow) {
	days := []Option{}
	if w.Day == 0 {
		days = append(days, Option{Text: "Choose a day"})
	}
	for day := range 7 {
		days = append(days, Option{Value: strconv.Itoa(day + 1), Text: time.Weekday(day).String()})
	}
	day, start, end := "", "", ""
	if w.Day != 0 {
		day = strconv.Itoa(w.Day)
	}
	if w.Protected != nil {
		start, end = strconv.Itoa(w.Protected.Start), strconv.Itoa(w.Protected.End)
	}
	zone := or(w.Zone, "UTC")
	view.Day = v.Field(Field{Name: "day", Label: "Day", Required: true, Options: days, Value: day}, "dayOfWeek")
	view.Hour = v.Field(Field{Name: "hour", Label: "Hour (" + zone + ")", Required: true, Options: hourOptions(""), Value: strconv.Itoa(w.Hour)}, "hourOfDay")
	view.From = v.Field(Field{Name: "from", Label: "Nothing begins from", Options: hourOptions("No protected hours"), Value: start}, "startHourOfDay", "protectedHours")
	view.Until = v.Field(Field{Name: "until", Label: "until", Options: hourOptions("No protected hours"), Value: end}, "endHourOfDay")
	view.Defer = v.Field(Field{Name: "autoDefer", Type: "checkbox", Label: "Defer each maintenance by a week, once, by itself", Checked: w.AutoDefer})
}

// planOf is the maintenance that is planned; nil if there is none.
func planOf(w maintenanceWindow, keys masterKeyReport) *planView {
	m := keys.Maintenance
	if m == nil {
		return nil
	}
	p := &planView{Start: m.Start, BeganAt: m.BeganAt, Deferrals: w.Deferrals, Text: "It is planned, and will be announced three days before."}
	switch {
	case m.BeganAt != nil:
		p.Text = "It goes on. What began is finished, though the window may end."
	case w.ASAP:
		p.Text = "It begins within minutes, as you asked."
	default:
		if m.Announced {
			p.Text = "It was announced."
			p.MayDefer = w.Day != 0 && w.Deferrals < mostDeferrals
		}
		p.MayHasten = w.Day != 0
	}
	return p
}

func rotationOf(keys masterKeyReport) rotationView {
	r := keys.Rotation
	view := rotationView{BeganAt: r.BeganAt, EndedAt: r.EndedAt, Keys: r.Keys, Done: r.Keys - r.Left, Badge: Badge{Neutral, "Resting"}}
	switch {
	case r.State == "UNDER_WAY":
		view.Badge, view.Working = Badge{Busy, "Under way"}, true
		view.Text = "One node of a shard at a time gets a new master key. Databases serve meanwhile."
	case r.State == "CATCHING_UP":
		view.Badge, view.Working = Badge{Warning, "Almost done"}, true
		view.Text = "It has ended. Nodes that were away get their new master key once they are back."
	case r.EndedAt != nil:
		view.Badge = Badge{Good, "Done"}
	case len(keys.Keys) == 0:
		view.Text = "There are no master keys: no cluster is encrypted with your key."
	default:
		view.Text = "No rotation was needed yet."
	}
	return view
}

var masterKeyWords = map[string]string{
	"READY": "may have its turn", "TOLD": "has its turn", "HELD": "waits for its turn", "AWAY": "is away", "FAILED": "could not replace its key",
}

// keysByCluster sums the master keys up, the oldest first.
func keysByCluster(keys masterKeyReport) []masterKeysView {
	var all []masterKeysView
	states := map[string]map[string]int{}
	for _, k := range keys.Keys {
		i := slices.IndexFunc(all, func(c masterKeysView) bool { return c.Cluster == k.Cluster })
		if i < 0 {
			i, all = len(all), append(all, masterKeysView{Cluster: k.Cluster, Oldest: k.MadeAt})
			states[k.Cluster] = map[string]int{}
		}
		all[i].Nodes++
		if k.Overdue {
			all[i].Overdue++
		}
		if instant(k.MadeAt).Before(instant(all[i].Oldest)) {
			all[i].Oldest = k.MadeAt
		}
		states[k.Cluster][k.State]++
	}
	for i, c := range all {
		for _, state := range []string{"TOLD", "READY", "HELD", "AWAY", "FAILED"} {
			if n := states[c.Cluster][state]; n > 0 {
				all[i].States = append(all[i].States, count(n, "node")+": "+masterKeyWords[state])
			}
		}
	}
	slices.SortStableFunc(all, func(a, b masterKeysView) int {
		return cmp.Or(instant(a.Oldest).Compare(instant(b.Oldest)), cmp.Compare(a.Cluster, b.Cluster))
	})
	return all
}

func saveMaintenance(v *Visit) (string, error) {
	body, wrong := map[string]any{"autoDeferOnceEnabled": v.Checked("autoDefer"), "protectedHours": map[string]any{}}, map[string]string{}
	for field, member := range map[string]string{"day": "dayOfWeek", "hour": "hourOfDay"} {
		n, err := strconv.Atoi(v.Form(field))
		if err != nil {
			wrong[field] = "Choose one."
		}
		body[member] = n
	}
	if from, until := v.Form("from"), v.Form("until"); from != "" || until != "" {
		start, err := strconv.Atoi(from)
		end, err2 := strconv.Atoi(until)
		if errors.Join(err, err2) != nil {
			wrong["from"] = "Choose both hours, or none."
		}
		body["protectedHours"] = map[string]int{"startHourOfDay": start, "endHourOfDay": end}
	}
	if len(wrong) > 0 {
		return "", Refuse("Some of it is missing.", wrong)
	}
	if err := v.API.Do(v.Context(), http.MethodPatch, v.Group("maintenanceWindow"), body, nil); err != nil {
		return "", besideWindow(err)
	}
	v.Say("The maintenance window is saved.")
	return "", nil
}

// besideWindow puts what the API says of a window beside its fields.
func besideWindow(err error) error {
	e, ok := errors.AsType[*client.Error](err)
	if !ok {
		return err
	}
	told := *e
	for code, field := range map[atlas.Code]string{atlas.MaintenanceDayInvalid: "day", atlas.MaintenanceHourInvalid: "hour", atlas.MaintenanceNonCompliant: "day"} {
		if e.Code == code {
			told.Fields = append(slices.Clone(e.Fields), atlas.FieldError{Field: field, Description: e.Detail})
		}
	}
	return beside(&told, map[string]string{"protectedHours": "from"})
}

// The questions before something is done to a maintenance.
var maintenanceQuestions = map[string]Confirm{
	"start": {
		Question: "Start the maintenance now?",
		Detail:   "It begins within minutes, whatever the window says. One node of a shard at a time gets a new master key; databases serve meanwhile. It cannot be put off once it has begun.",
		Button:   "Start now",
	},
	"defer": {Question: "Put the maintenance off by a week?", Detail: "It is announced anew. One maintenance can be put off twice in all.", Button: "Defer"},
	"reset": {
		Question: "Remove the maintenance window?", Button: "Remove",
		Detail: "Maintenance may begin at any time then, protected hours and deferring by itself are gone too. You can set a window again.",
	},
}

func loadMaintenanceAsk(v *Visit) (any, error) {
	ask, ok := maintenanceQuestions[v.Param("what")]
	if !ok {
		return nil, missing("There is nothing of that name to be done to a maintenance.")
	}
	v.Title = ask.Button
	ask.Action, ask.Back = v.Page("maintenance", v.Param("what")), v.Page("maintenance")
	return v.ask(ask, Rights.Owns, byOwners)
}

func changeMaintenance(v *Visit) (string, error) {
	api := v.Group("maintenanceWindow")
	var err error
	switch v.Param("what") {
	case "start":
		err = v.API.Do(v.Context(), http.MethodPatch, api, map[string]bool{"startASAP": true}, nil)
		v.Say("The maintenance begins within minutes.")
	case "defer":
		err = v.API.Do(v.Context(), http.MethodPost, v.Group("maintenanceWindow", "defer"), nil, nil)
		v.Say("The maintenance is put off by a week.")
	case "reset":
		err = v.API.Do(v.Context(), http.MethodDelete, api, nil, nil)
		v.Say("There is no maintenance window any more.")
	default:
		err = missing("There is nothing of that name to be done to a maintenance.")
	}
	return v.Page("maintenance"), err
}
