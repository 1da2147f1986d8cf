package console

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"latchkey/console/client"
	"latchkey/shared/atlas"
)

// Where alert configurations are.
const (
	alertConfigsPath   = groupsPath + "/{groupId}/alert-configurations"
	newAlertConfigPath = groupsPath + "/{groupId}/new-alert-configuration"
	alertConfigPath    = alertConfigsPath + "/{alertConfigId}"
	newNotifierPath    = alertConfigPath + "/new-notification"
	notifierPath       = alertConfigPath + "/notifications/{notifierId}"
)

// alertConfig is a configuration as the API shows it, and as it is sent back.
type alertConfig struct {
	ID            string          `json:"id,omitempty"`
	Type          string          `json:"eventTypeName"`
	Enabled       bool            `json:"enabled"`
	Updated       string          `json:"updated,omitempty"`
	Severity      string          `json:"severityOverride,omitempty"`
	Threshold     *alertThreshold `json:"threshold,omitempty"`
	Matchers      []alertMatcher  `json:"matchers,omitempty"`
	Notifications []notification  `json:"notifications"`
}

type alertThreshold struct {
	Operator string `json:"operator"`
	Number   int    `json:"threshold"`
	Units    string `json:"units"`
}

// alertMatcher narrows a configuration. The console shows and keeps them.
type alertMatcher struct {
	Field    string `json:"fieldName"`
	Operator string `json:"operator"`
	Value    string `json:"value"`
}

// configRow is a configuration in words.
type configRow struct {
	ID, Type, What string
	Threshold      string
	Enabled        bool
	Badge          Badge
	Targets        []targetView
}

func (c alertConfig) row(types eventTypes) configRow {
	row := configRow{ID: c.ID, Type: c.Type, What: types.words(c.Type), Enabled: c.Enabled, Badge: Badge{Good, "On"}}
	if !c.Enabled {
		row.Badge = Badge{Neutral, "Off"}
	}
	if c.Threshold != nil {
		row.Threshold = "for more than " + count(c.Threshold.Number, "day")
	}
	for _, n := range c.Notifications {
		row.Targets = append(row.Targets, n.view())
	}
	return row
}

// needsDays and mayHaveDays tell which types count days: how old a key is, how long it has been invalid.
func needsDays(t string) bool   { return strings.HasSuffix(t, "_ENCRYPTION_KEY_NEEDS_ROTATION") }
func mayHaveDays(t string) bool { return strings.HasSuffix(t, "_ENCRYPTION_KEY_INVALID") }

// alertConfigsView is the list.
type alertConfigsView struct {
	GroupID string
	Rows    []configRow
	Missing []eventType // what nobody is warned of, among what may happen to the keys in use
	Owns    bool
	Pager   Pager
}

func loadAlertConfigs(v *Visit) (any, error) {
	pager := v.Pager()
	var all atlas.Page[alertConfig]
	var types eventTypes
	var settings atlas.EncryptionAtRest
	var rights Rights
	err := Together(
		func() error { return v.API.Get(v.Context(), v.Group("alertConfigs"), wholeList(), &all) },
		into(&types, v.eventTypes), into(&settings, v.settings), into(&rights, v.Rights),
	)
	view := alertConfigsView{GroupID: v.GroupID(), Owns: rights.Owns(), Pager: pager.Counted(new(len(all.Results)))}
	order := types.alertable()
	slices.SortStableFunc(all.Results, func(a, b alertConfig) int { return order.place(a.Type) - order.place(b.Type) })
	from := min((pager.Number-1)*PageSize, len(all.Results))
	for _, c := range all.Results[from:min(from+PageSize, len(all.Results))] {
		view.Rows = append(view.Rows, c.row(types))
	}
	view.Missing = missingAlerts(order, all.Results, settings)
	return view, err
}

// configNoLongerValid warns of every provider's key, as the type of each does.
const configNoLongerValid = "ENCRYPTION_AT_REST_CONFIG_NO_LONGER_VALID"

// missingAlerts are the types that nobody is warned by, of what may happen to the keys that are in use.
func missingAlerts(types eventTypes, configs []alertConfig, settings atlas.EncryptionAtRest) []eventType {
	isAsked := func(name string) bool {
		return slices.ContainsFunc(configs, func(c alertConfig) bool { return c.Enabled && c.Type == name })
	}
	anyOn := slices.ContainsFunc(atlas.Providers(), func(p atlas.Provider) bool { return isOn(settings, p) })
	var missing []eventType
	for _, t := range types {
		p := providerOfType(t.Type)
		switch {
		case areaOf(t.Type) != areaKeys, isAsked(t.Type), t.Type == configNoLongerValid:
		case p == "" && !anyOn, p != "" && !isOn(settings, p), mayHaveDays(t.Type) && isAsked(configNoLongerValid):
		default:
			missing = append(missing, t)
		}
	}
	return missing
}

// place is where a type stands among others, the last for one that is not there.
func (e eventTypes) place(name string) int {
	if i := slices.IndexFunc(e, func(t eventType) bool { return t.Type == name }); i >= 0 {
		return i
	}
	return len(e)
}

// alertConfig reads a configuration of the path.
func (v *Visit) alertConfig() (alertConfig, error) {
	var c alertConfig
	err := v.API.Get(v.Context(), v.alertConfigAPI(), nil, &c)
	return c, err
}

func (v *Visit) alertConfigAPI() string { return v.Group("alertConfigs", v.Param("alertConfigId")) }

func (v *Visit) alertConfigPage(more ...string) string {
	return v.Page(append([]string{"alert-configurations", v.Param("alertConfigId")}, more...)...)
}

// alertConfigView is a configuration, and the form that changes it.
type alertConfigView struct {
	GroupID string
	configRow
	Updated  string
	Matchers []alertMatcher
	Severity Field
	Days     *Field // nil if its type counts no days
	Kinds    []Option
	Single   bool // its last notification cannot be removed
	Owns     bool
}

func loadAlertConfig(v *Visit) (any, error) {
	var c alertConfig
	var types eventTypes
	var rights Rights
	err := Together(into(&c, v.alertConfig), into(&types, v.eventTypes), into(&rights, v.Rights))
	v.Title = types.words(c.Type)
	view := alertConfigView{
		GroupID: v.GroupID(), configRow: c.row(types), Updated: c.Updated, Matchers: c.Matchers,
		Severity: v.severityField(c.Severity), Days: v.daysField(c.Type, c.Threshold), Single: len(c.Notifications) < 2, Owns: rights.Owns(),
	}
	hasGroup := slices.ContainsFunc(c.Notifications, func(n notification) bool { return n.text("typeName") == "GROUP" })
	view.Kinds = kindOptions(!hasGroup)
	return view, err
}

// kindOptions are the kinds that are offered. A configuration tells the project's members once.
func kindOptions(withGroup bool) []Option {
	var options []Option
	for _, k := range notifyKinds() {
		if !k.closed && (withGroup || k.Kind != "GROUP") {
			options = append(options, Option{Value: k.Kind, Text: k.Name})
		}
	}
	return options
}

func (v *Visit) severityField(stored string) Field {
	return v.Field(Field{Name: "severity", Label: "How much it matters", Value: stored, Options: []Option{
		{Value: "", Text: "As is usual for it"},
		{Value: "INFO", Text: "To be known"},
		{Value: "WARNING", Text: "Warning"},
		{Value: "ERROR", Text: "Error"},
		{Value: "CRITICAL", Text: "Critical"},
	}}, "severityOverride")
}

func (v *Visit) daysField(t string, stored *alertThreshold) *Field {
	f := Field{Name: "days", Type: "number", Required: needsDays(t)}
	switch {
	case needsDays(t):
		f.Label, f.Hint, f.Value = "Warn when the key is older than so many days", "A key that is rotated is new again.", "90"
	case mayHaveDays(t):
		f.Label, f.Hint = "Warn when it has been so for more than so many days", "Empty warns at once."
	default:
		return nil
	}
	if stored != nil {
		f.Value = strconv.Itoa(stored.Number)
	}
	f = v.Field(f, "threshold")
	return &f
}

// readDays reads the threshold of the form.
func (v *Visit) readDays(t string) (*alertThreshold, error) {
	typed := v.Form("days")
	if typed == "" || !needsDays(t) && !mayHaveDays(t) {
		return nil, nil
	}
	n, err := strconv.Atoi(typed)
	if err != nil {
		return nil, Refuse("The number of days is none.", map[string]string{"days": "Type a whole number."})
	}
	return &alertThreshold{Operator: "GREATER_THAN", Number: n, Units: "DAYS"}, nil
}

const sayConfigMeanwhile = "Somebody changed this configuration since you opened the page. Look at how it stands now, and save again if it is still what you want."

// storeConfig replaces a configuration. change is told of it as it is now; nothing is stored if somebody
// else has changed it since the form was made.
func (v *Visit) storeConfig(change func(c *alertConfig) error) error {
	c, err := v.alertConfig()
	if err != nil {
		return err
	}
	if c.Updated != v.Form("updated") {
		return Unchanged(sayConfigMeanwhile)
	}
	if err := change(&c); err != nil {
		return err
	}
	err = v.API.Do(v.Context(), http.MethodPut, v.alertConfigAPI(), c, nil)
	return beside(err, map[string]string{"threshold": "days", "severityOverride": "severity"})
}

func saveAlertConfig(v *Visit) (string, error) {
	err := v.storeConfig(func(c *alertConfig) (err error) {
		c.Severity = v.Form("severity")
		c.Threshold, err = v.readDays(c.Type)
		return err
	})
	if err == nil {
		v.Say("The configuration is saved.")
	}
	return "", err
}

func loadAlertConfigToggle(v *Visit) (any, error) {
	c, err := v.alertConfig()
	if err != nil {
		return nil, err
	}
	v.Title = "Turn off"
	ask := Confirm{
		Question: "Turn this configuration off?", Detail: "Nobody is warned by it any more, and its open alerts end. It can be turned on again.",
		Action: v.alertConfigPage("toggle"), Button: "Turn off", Back: v.Page("alert-configurations"), Hidden: map[string]string{"enabled": "false"},
	}
	if !c.Enabled {
		v.Title = "Turn on"
		ask.Question, ask.Detail, ask.Button = "Turn this configuration on?", "What it warns of is looked at anew.", "Turn on"
		ask.Hidden["enabled"] = "true"
	}
	return v.ask(ask, Rights.Owns, byOwners)
}

func toggleAlertConfig(v *Visit) (string, error) {
	on := v.Form("enabled") == "true"
	err := v.API.Do(v.Context(), http.MethodPatch, v.alertConfigAPI(), map[string]bool{"enabled": on}, nil)
	if err == nil {
		v.Say("The configuration is " + map[bool]string{true: "on.", false: "off, and its open alerts have ended."}[on])
	}
	return v.Page("alert-configurations"), err
}

func loadAlertConfigDelete(v *Visit) (any, error) {
	var c alertConfig
	var types eventTypes
	if err := Together(into(&c, v.alertConfig), into(&types, v.eventTypes)); err != nil {
		return nil, err
	}
	v.Title = "Delete the configuration"
	return v.ask(Confirm{
		Question: "Delete this configuration: " + types.words(c.Type) + "?",
		Detail:   "Nobody is warned by it any more, and its open alerts end. Its addresses and secrets are forgotten; this cannot be undone.",
		Action:   v.alertConfigPage("delete"), Button: "Delete", Danger: true, Back: v.alertConfigPage(),
	}, Rights.Owns, byOwners)
}

func deleteAlertConfig(v *Visit) (string, error) {
	err := v.API.Do(v.Context(), http.MethodDelete, v.alertConfigAPI(), nil, nil)
	if err == nil {
		v.Say("The configuration is deleted, and its open alerts have ended.")
	}
	return v.Page("alert-configurations"), err
}

// configFields are the fields that codes of the API are about.
var configFields = map[atlas.Code]string{
	atlas.MissingThreshold: "days", atlas.NotificationInterval: "intervalMin", atlas.UserNotificationNeedsWay: "username",
}

// beside puts an error of the API beside the field that it concerns. fields are fields of the form by the
// names of members that the API's sentence has; others are those of the members.
func beside(err error, fields map[string]string) error {
	e, ok := errors.AsType[*client.Error](err)
	if !ok {
		return err
	}
	told := *e
	told.Fields = slices.Clone(e.Fields)
	add := func(field string) {
		told.Fields = append(told.Fields, atlas.FieldError{Field: field, Description: e.Detail})
	}
	if field := configFields[e.Code]; field != "" {
		add(field)
	}
	words := strings.FieldsFunc(e.Detail, func(r rune) bool { return r == ' ' || r == '.' || r == ',' })
	for _, word := range words {
		add(or(fields[word], word))
	}
	return &told
}
