package console

import (
	"net/http"
	"slices"
	"strconv"

	"latchkey/console/client"
	"latchkey/shared/atlas"
	"latchkey/shared/identity"
)

// missing is the error of what a path names and is not there.
func missing(sentence string) error {
	return &client.Error{Status: http.StatusNotFound, Code: atlas.ResourceNotFound, Detail: sentence}
}

// notifyForm is the form of one notification.
type notifyForm struct {
	GroupID, ConfigID string
	Kind              notifyKind
	Fields            []Field
	Roles             []Field
	Pace              []Field
	Updated           string
	Action, Button    string
	Back              string
	// What a new configuration has beside.
	Type, What string
	Days       *Field
	Severity   *Field
	Owns       bool
	Stored     bool
}

// Hint is what is said of the kind; a webhook's is about what is stored.
func (f notifyForm) Hint() string {
	if f.Kind.Kind == "WEBHOOK" && !f.Stored {
		return ""
	}
	return f.Kind.Hint
}

func (v *Visit) notifyForm(k notifyKind, stored notification) notifyForm {
	return notifyForm{
		GroupID: v.GroupID(), Kind: k, Fields: k.fields(v, stored), Roles: k.roleFields(v, stored), Pace: k.paceFields(v, stored),
		Stored: stored != nil,
	}
}

// chosen is a choice that was made on the page before, and is sent along with the form.
func (v *Visit) chosen(name string) string { return or(v.Form(name), v.Query(name)) }

// newConfigView is the page of a new configuration: first what and how, then the rest.
type newConfigView struct {
	GroupID string
	Owns    bool
	Type    Field
	Kind    Field
	Form    *notifyForm // nil before both are chosen
}

func loadNewAlertConfig(v *Visit) (any, error) {
	var types eventTypes
	var rights Rights
	err := Together(into(&types, v.eventTypes), into(&rights, v.Rights))
	if err != nil {
		return nil, err
	}
	chosen, kind := v.chosen("type"), v.chosen("kind")
	view := newConfigView{GroupID: v.GroupID(), Owns: rights.Owns()}
	view.Type = Field{Name: "type", Label: "Warn when", Required: true, Value: chosen}
	known := false
	for _, t := range types.alertable() {
		view.Type.Options = append(view.Type.Options, Option{Value: t.Type, Text: t.Description})
		known = known || t.Type == chosen
	}
	view.Kind = Field{Name: "kind", Label: "And tell by", Required: true, Options: kindOptions(true), Value: kind}
	offered := slices.ContainsFunc(view.Kind.Options, func(o Option) bool { return o.Value == kind })
	if !known || !offered {
		return view, nil
	}
	form := v.notifyForm(kindOf(kind), nil)
	severity := v.severityField("")
	form.Type, form.What, form.Days, form.Severity = chosen, types.words(chosen), v.daysField(chosen, nil), &severity
	form.Action, form.Button, form.Back, form.Owns = v.Page("new-alert-configuration"), "Create", v.Page("alert-configurations"), view.Owns
	view.Form = &form
	return view, nil
}

func createAlertConfig(v *Visit) (string, error) {
	c := alertConfig{Type: v.Form("type"), Enabled: true, Severity: v.Form("severity")}
	n, err := v.notification(kindOf(v.Form("kind")), nil)
	if err != nil {
		return "", err
	}
	if c.Threshold, err = v.readDays(c.Type); err != nil {
		return "", err
	}
	c.Notifications = []notification{n}
	if err := v.API.Do(v.Context(), http.MethodPost, v.Group("alertConfigs"), c, nil); err != nil {
		return "", beside(err, map[string]string{"threshold": "days", "severityOverride": "severity", "eventTypeName": "type"})
	}
	v.Say("You will be warned.")
	return v.Page("alert-configurations"), nil
}

// notification reads a notification of the form. stored is the one that it replaces, nil if it is new.
func (v *Visit) notification(k notifyKind, stored notification) (notification, error) {
	n := notification{"typeName": k.Kind}
	wrong := map[string]string{}
	for _, name := range []string{"notifierId", "integrationId", "smsEnabled", "teamId"} {
		if value, ok := stored[name]; ok {
			n[name] = value
		}
	}
	for _, name := range []string{"delayMin", "intervalMin"} {
		if name == "intervalMin" && !k.paced {
			continue
		}
		minutes, err := strconv.Atoi(v.Form(name))
		if err != nil {
			wrong[name] = "Type a whole number of minutes."
		}
		n[name] = minutes
	}
	if k.mails {
		n["emailEnabled"] = true // there are no telephone numbers of people
	}
	if roles := v.notifiedRoles(k, stored); len(roles) > 0 {
		n["roles"] = roles
	}
	for _, m := range k.members {
		switch value := v.Form(m.name); {
		case value != "":
			n[m.name] = value
		case m.required && (!m.secret || stored.text(m.name) == ""):
			wrong[m.name] = "This is needed."
		}
	}
	if len(wrong) > 0 {
		return nil, Refuse("Some of it is missing, or is no number.", wrong)
	}
	return n, nil
}

// notifiedRoles are the roles of the form, of those that its boxes can name.
func (v *Visit) notifiedRoles(k notifyKind, stored notification) []string {
	var roles []string
	for _, r := range k.people {
		if v.Checked("role." + string(r)) {
			roles = append(roles, string(r))
		}
	}
	for _, r := range stored.roles() {
		if !slices.Contains(k.people, identity.Role(r)) && v.Checked("role."+r) {
			roles = append(roles, r)
		}
	}
	return roles
}

func loadNewNotifier(v *Visit) (any, error) {
	var c alertConfig
	var rights Rights
	err := Together(into(&c, v.alertConfig), into(&rights, v.Rights))
	if err != nil {
		return nil, err
	}
	k := kindOf(v.chosen("kind"))
	if k.closed {
		return nil, missing("There is no such way to be told.")
	}
	form := v.notifyForm(k, nil)
	form.ConfigID, form.Updated, form.Action, form.Button = c.ID, c.Updated, v.alertConfigPage("new-notification"), "Add"
	form.Back, form.Owns = v.alertConfigPage(), rights.Owns()
	v.Title = "Tell by: " + k.Name
	return form, nil
}

func addNotifier(v *Visit) (string, error) {
	k := kindOf(v.Form("kind"))
	if k.closed {
		return "", missing("There is no such way to be told.")
	}
	n, err := v.notification(k, nil)
	if err != nil {
		return "", err
	}
	err = v.storeConfig(func(c *alertConfig) error {
		c.Notifications = append(c.Notifications, n)
		return nil
	})
	if err == nil {
		v.Say("It is told by " + k.Name + " too.")
	}
	return v.alertConfigPage(), err
}

// notifier finds the notification of the path.
func (v *Visit) notifier(c alertConfig) (int, error) {
	i := slices.IndexFunc(c.Notifications, func(n notification) bool { return n.text("notifierId") == v.Param("notifierId") })
	if i < 0 {
		return i, missing("There is no such notification any more.")
	}
	return i, nil
}

func loadNotifier(v *Visit) (any, error) {
	var c alertConfig
	var rights Rights
	err := Together(into(&c, v.alertConfig), into(&rights, v.Rights))
	if err != nil {
		return nil, err
	}
	i, err := v.notifier(c)
	if err != nil {
		return nil, err
	}
	k := kindOf(c.Notifications[i].text("typeName"))
	form := v.notifyForm(k, c.Notifications[i])
	form.ConfigID, form.Updated, form.Button = c.ID, c.Updated, "Save"
	form.Action = v.alertConfigPage("notifications", v.Param("notifierId"))
	form.Back, form.Owns = v.alertConfigPage(), rights.Owns()
	v.Title = "Tell by: " + k.Name
	return form, nil
}

func saveNotifier(v *Visit) (string, error) {
	err := v.storeConfig(func(c *alertConfig) error {
		i, err := v.notifier(*c)
		if err != nil {
			return err
		}
		stored := c.Notifications[i]
		c.Notifications[i], err = v.notification(kindOf(stored.text("typeName")), stored)
		return err
	})
	if err == nil {
		v.Say("The notification is saved.")
	}
	return v.alertConfigPage(), err
}

func loadNotifierRemove(v *Visit) (any, error) {
	c, err := v.alertConfig()
	if err != nil {
		return nil, err
	}
	i, err := v.notifier(c)
	if err != nil {
		return nil, err
	}
	v.Title = "Remove the notification"
	return v.ask(Confirm{
		Question: "Remove this notification: " + c.Notifications[i].view().Text + "?",
		Detail:   "It is told nothing of this configuration any more. Its address and secrets are forgotten; this cannot be undone.",
		Action:   v.alertConfigPage("notifications", v.Param("notifierId"), "remove"), Button: "Remove", Danger: true,
		Back: v.alertConfigPage(), Hidden: map[string]string{"updated": c.Updated},
	}, Rights.Owns, byOwners)
}

func removeNotifier(v *Visit) (string, error) {
	err := v.storeConfig(func(c *alertConfig) error {
		i, err := v.notifier(*c)
		if err == nil {
			c.Notifications = slices.Delete(c.Notifications, i, i+1)
		}
		return err
	})
	if err == nil {
		v.Say("The notification is removed.")
	}
	return v.alertConfigPage(), err
}
