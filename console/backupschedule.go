package console

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"latchkey/console/client"
)

// backupSchedule is a schedule as the API shows it.
type backupSchedule struct {
	Next     string         `json:"nextSnapshot"`
	Hour     int            `json:"referenceHourOfDay"`
	Minute   int            `json:"referenceMinuteOfHour"`
	Policies []backupPolicy `json:"policies"`
}

type backupPolicy struct {
	ID    string       `json:"id,omitempty"`
	Items []backupItem `json:"policyItems"`
}

// backupItem is one rule of a schedule.
type backupItem struct {
	ID        string `json:"id,omitempty"`
	Frequency string `json:"frequencyType"`
	Interval  int    `json:"frequencyInterval"`
	Unit      string `json:"retentionUnit"`
	Value     int    `json:"retentionValue"`
}

// scheduleSummary is a schedule in words.
type scheduleSummary struct {
	Next  string
	Time  string
	Items []string
}

// frequencies are from the most to the least frequent.
var frequencies = []string{"hourly", "daily", "weekly", "monthly", "yearly"}

var retentionUnits = []string{"days", "weeks", "months", "years"}

// lastDay stands for the last day of a month, however many days it has.
const lastDay = 40

func (v *Visit) readSchedule(name string) (backupSchedule, error) {
	var s backupSchedule
	err := v.API.Get(v.Context(), v.Group("clusters", name, "backup", "schedule"), nil, &s)
	return s, err
}

// scheduleSummary is nil for a cluster without backups.
func (v *Visit) scheduleSummary(name string) (*scheduleSummary, error) {
	s, err := v.readSchedule(name)
	if client.IsNotFound(err) {
		return nil, nil //nolint:nilnil // a cluster without backups has no schedule
	}
	if err != nil {
		return nil, err
	}
	summary := scheduleSummary{Next: s.Next, Time: fmt.Sprintf("%02d:%02d UTC", s.Hour, s.Minute)}
	for _, item := range s.items() {
		summary.Items = append(summary.Items, item.words())
	}
	return &summary, nil
}

func (s backupSchedule) items() []backupItem {
	if len(s.Policies) == 0 {
		return nil
	}
	return s.Policies[0].Items
}

// words tell when snapshots are taken and how long they are kept.
func (i backupItem) words() string {
	return intervalText(i.Frequency, i.Interval) + ", kept for " + count(i.Value, strings.TrimSuffix(i.Unit, "s"))
}

var weekdays = []string{"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"}

var months = []string{"January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"}

func intervalText(frequency string, n int) string {
	switch {
	case frequency == "hourly" && n == 1:
		return "Every hour"
	case frequency == "hourly":
		return "Every " + count(n, "hour")
	case frequency == "daily":
		return "Every day"
	case frequency == "weekly" && n >= 1 && n <= len(weekdays):
		return "Every " + weekdays[n-1]
	case frequency == "monthly" && n == lastDay:
		return "On the last day of every month"
	case frequency == "monthly":
		return fmt.Sprintf("On day %d of every month", n)
	case frequency == "yearly" && n >= 1 && n <= len(months):
		return "On 1 " + months[n-1] + " of every year"
	}
	return frequency
}

// intervals are what there is to choose from.
func intervals(frequency string) []int {
	upTo := func(n int) (all []int) {
		for i := range n {
			all = append(all, i+1)
		}
		return all
	}
	const days = 28
	switch frequency {
	case "hourly":
		return []int{1, 2, 4, 6, 8, 12}
	case "weekly":
		return upTo(len(weekdays))
	case "monthly":
		return append(upTo(days), lastDay)
	case "yearly":
		return upTo(len(months))
	}
	return upTo(1)
}

// scheduleView is the form of a schedule.
type scheduleView struct {
	GroupID, Name string
	Denied        string
	Off           bool // there are no backups
	Policy        string
	Rows          []scheduleRow
	Hour, Minute  Field
	Reapply       Field
}

// scheduleRow is a rule in the form. One that is off is none.
type scheduleRow struct {
	Legend    string
	ID        hiddenField
	Frequency hiddenField
	Interval  Field
	Value     Field
	Unit      Field
}

func loadSchedule(v *Visit) (any, error) {
	name := v.Param("clusterName")
	view := scheduleView{GroupID: v.GroupID(), Name: name}
	var s backupSchedule
	var rights Rights
	err := Together(
		func() (err error) { s, err = v.readSchedule(name); return err },
		func() (err error) { rights, err = v.Rights(); return err },
	)
	v.explain()
	v.Title = "Backup schedule of " + name
	switch {
	case client.IsNotFound(err):
		view.Off = true
		return view, nil
	case err != nil:
		return nil, err
	case !rights.ManagesBackups():
		view.Denied = "To change the schedule takes a Project Owner or a Project Backup Manager."
		return view, nil
	}
	if len(s.Policies) > 0 {
		view.Policy = s.Policies[0].ID
	}
	for i, item := range withMissing(s.items()) {
		view.Rows = append(view.Rows, v.scheduleRow(i, item))
	}
	view.Hour = v.Field(Field{Name: "hour", Label: "Hour (UTC)", Required: true, Value: strconv.Itoa(s.Hour), Options: numbers(24)}, "referenceHourOfDay")
	view.Minute = v.Field(Field{Name: "minute", Label: "Minute", Required: true, Value: strconv.Itoa(s.Minute), Options: numbers(60)}, "referenceMinuteOfHour")
	view.Reapply = v.Field(Field{Name: "reapply", Label: "Keep the snapshots that there are as long as the new schedule says", Type: "checkbox", Hint: "Some of them may then expire at once."})
	return view, nil
}

// withMissing are the rules in order, with one that is off for each frequency that has none.
func withMissing(items []backupItem) []backupItem {
	items = slices.Clone(items)
	for _, f := range frequencies {
		if !slices.ContainsFunc(items, func(i backupItem) bool { return i.Frequency == f }) {
			items = append(items, backupItem{Frequency: f, Unit: "days", Value: 7})
		}
	}
	slices.SortStableFunc(items, func(a, b backupItem) int {
		return slices.Index(frequencies, a.Frequency) - slices.Index(frequencies, b.Frequency)
	})
	return items
}

// ruleOff is chosen for a rule that is none.
const ruleOff = "off"

// maxScheduleRows bounds what is read of a form: the API allows 50 rules.
const maxScheduleRows = 60

// at is the name of a field of a row.
func at(row int, name string) string { return "item" + strconv.Itoa(row) + "." + name }

func (v *Visit) scheduleRow(i int, item backupItem) scheduleRow {
	chosen := ruleOff
	if item.Interval > 0 {
		chosen = strconv.Itoa(item.Interval)
	}
	options := []Option{{Value: ruleOff, Text: "Off"}}
	for _, n := range intervals(item.Frequency) {
		options = append(options, Option{Value: strconv.Itoa(n), Text: intervalText(item.Frequency, n)})
	}
	var units []Option
	for _, u := range retentionUnits {
		units = append(units, Option{Value: u, Text: u})
	}
	return scheduleRow{
		Legend: sentence(item.Frequency) + " snapshots", ID: hiddenField{at(i, "id"), item.ID}, Frequency: hiddenField{at(i, "frequency"), item.Frequency},
		Interval: v.Field(Field{Name: at(i, "interval"), Label: "When", Required: true, Value: chosen, Options: options}),
		Value:    v.Field(Field{Name: at(i, "value"), Label: "Keep for", Required: true, Value: strconv.Itoa(item.Value), Type: "number"}),
		Unit:     v.Field(Field{Name: at(i, "unit"), Label: "Unit", Required: true, Value: item.Unit, Options: units}),
	}
}

func numbers(n int) []Option {
	options := make([]Option, n)
	for i := range options {
		options[i] = Option{Value: strconv.Itoa(i), Text: fmt.Sprintf("%02d", i)}
	}
	return options
}

func changeSchedule(v *Visit) (string, error) {
	name := v.Param("clusterName")
	items, err := v.scheduleItems()
	if err != nil {
		return "", err
	}
	hour, hourErr := strconv.Atoi(v.Form("hour"))
	minute, minuteErr := strconv.Atoi(v.Form("minute"))
	if hourErr != nil || minuteErr != nil {
		return "", Refuse("Give a time of day.", map[string]string{"hour": "From 00 to 23."})
	}
	body := map[string]any{
		"policies": []backupPolicy{{ID: v.Form("policy"), Items: items}}, "referenceHourOfDay": hour, "referenceMinuteOfHour": minute,
		"updateSnapshots": v.Checked("reapply"),
	}
	if err := v.API.Do(v.Context(), http.MethodPatch, v.Group("clusters", name, "backup", "schedule"), body, nil); err != nil {
		return "", err
	}
	v.Say("The schedule is changed.")
	return v.Page("clusters", name, "backup"), nil
}

// scheduleItems are the rules that are not off.
func (v *Visit) scheduleItems() ([]backupItem, error) {
	items := []backupItem{}
	for i := range maxScheduleRows {
		item := backupItem{ID: v.Form(at(i, "id")), Frequency: v.Form(at(i, "frequency")), Unit: v.Form(at(i, "unit"))}
		if item.Frequency == "" {
			return items, nil
		}
		if v.Form(at(i, "interval")) == ruleOff {
			continue
		}
		var intervalErr, valueErr error
		item.Interval, intervalErr = strconv.Atoi(v.Form(at(i, "interval")))
		item.Value, valueErr = strconv.Atoi(v.Form(at(i, "value")))
		if intervalErr != nil || valueErr != nil || item.Value < 1 {
			return nil, Refuse("Snapshots are kept for at least a day.", map[string]string{at(i, "value"): "Give a whole number, from 1."})
		}
		items = append(items, item)
	}
	return items, nil
}
