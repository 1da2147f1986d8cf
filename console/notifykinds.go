package console

import (
	"slices"
	"strconv"
	"strings"

	"latchkey/shared/identity"
)

// notifyKind is a way that notifications go.
type notifyKind struct {
	Kind, Name, Hint string
	people           []identity.Role // the roles that it can tell; nil if it tells no holders of roles
	mails            bool            // it tells people of the project, by e-mail
	paced            bool            // it reminds: services that keep incidents do so by themselves
	closed           bool            // it is shown, and not offered
	members          []notifyMember
}

// notifyMember is what a kind needs to know.
type notifyMember struct {
	name, label, hint string
	required, secret  bool
	lines             int
	options           []Option
}

// notifyRegions are places of a service, the default first.
func notifyRegions(more ...string) []Option {
	var options []Option
	for _, r := range append([]string{"US", "EU"}, more...) {
		options = append(options, Option{Value: r, Text: r})
	}
	return options
}

// notifyKinds are the kinds in the order of the page.
func notifyKinds() []notifyKind {
	groupRoles := []identity.Role{identity.GroupOwner, identity.GroupClusterManager, identity.GroupBackupManager, identity.GroupReadOnly}
	orgRoles := []identity.Role{identity.OrgOwner, identity.OrgGroupCreator, identity.OrgMember, identity.OrgReadOnly}
	return slices.Concat([]notifyKind{
		{Kind: "GROUP", Name: "E-mail to members of the project", people: groupRoles, mails: true, paced: true},
		{Kind: "ORG", Name: "E-mail to people of the organisation", people: orgRoles, mails: true, paced: true},
		{Kind: "USER", Name: "E-mail to one person of the organisation", mails: true, paced: true, members: []notifyMember{
			{name: "username", label: "User name", required: true},
		}},
		{Kind: "TEAM", Name: "Team", Hint: "There are no teams here, so nobody is told.", mails: true, paced: true, closed: true},
		{Kind: "EMAIL", Name: "E-mail to an address", paced: true, members: []notifyMember{
			{name: "emailAddress", label: "E-mail address", required: true},
		}},
		{Kind: "SMS", Name: "Text message", paced: true, members: []notifyMember{
			{name: "mobileNumber", label: "Telephone number", hint: "With the country: +1 555 0100.", required: true},
		}},
	}, notifyServices())
}

// notifyServices are the kinds that are other people's services.
func notifyServices() []notifyKind {
	apiKey := func(name string) notifyMember {
		return notifyMember{name: name, label: "API key", required: true, secret: true}
	}
	return []notifyKind{
		{Kind: "SLACK", Name: "Slack", paced: true, members: []notifyMember{
			{name: "channelName", label: "Channel", required: true},
			{name: "apiToken", label: "API token", hint: "Of an app that may write to the channel.", required: true, secret: true},
		}},
		{Kind: "WEBHOOK", Name: "Webhook", paced: true, Hint: "An address at another host forgets the secret and the headers: type them again.", members: []notifyMember{
			{name: "webhookUrl", label: "Address", required: true, secret: true, hint: "http or https, and a public address. It may carry a token, so only its host is shown."},
			{name: "webhookSecret", label: "Secret", secret: true, hint: "Requests are signed with it, so that the receiver knows who sends them."},
			{name: "webhookBodyTemplate", label: "Template of the body", lines: 5, hint: "Leave it empty for the alert as the API shows it."},
			{name: "webhookHeadersTemplate", label: "Template of the headers", lines: 4, secret: true, hint: "Headers may carry credentials, so they are never shown."},
		}},
		{Kind: "PAGER_DUTY", Name: "PagerDuty", members: []notifyMember{
			{name: "serviceKey", label: "Integration key", required: true, secret: true}, {name: "region", label: "Region", options: notifyRegions()},
		}},
		{Kind: "OPS_GENIE", Name: "OpsGenie", members: []notifyMember{
			apiKey("opsGenieApiKey"), {name: "opsGenieRegion", label: "Region", options: notifyRegions()},
		}},
		{Kind: "VICTOR_OPS", Name: "VictorOps (Splunk On-Call)", members: []notifyMember{
			apiKey("victorOpsApiKey"), {name: "victorOpsRoutingKey", label: "Routing key", secret: true},
		}},
		{Kind: "DATADOG", Name: "Datadog", paced: true, members: []notifyMember{
			apiKey("datadogApiKey"), {name: "datadogRegion", label: "Region", options: notifyRegions("US3", "US5", "AP1", "US1_FED")},
		}},
		{Kind: "MICROSOFT_TEAMS", Name: "Microsoft Teams", paced: true, members: []notifyMember{
			{name: "microsoftTeamsWebhookUrl", label: "Address of the webhook", required: true, secret: true, hint: "Whoever knows it can write to the channel, so only its host is shown."},
		}},
	}
}

// kindOf finds a kind. One that the console does not know is shown, and not offered.
func kindOf(name string) notifyKind {
	for _, k := range notifyKinds() {
		if k.Kind == name {
			return k
		}
	}
	return notifyKind{Kind: name, Name: inWords(name), closed: true}
}

// notification is one as the API shows it: the members depend on its kind.
type notification map[string]any

func (n notification) text(name string) string {
	s, _ := n[name].(string)
	return s
}

func (n notification) minutes(name string) int {
	f, _ := n[name].(float64)
	return int(f)
}

// roles are those whose holders are told; everybody is without any.
func (n notification) roles() []string {
	listed, _ := n["roles"].([]any)
	var all []string
	for _, r := range listed {
		if name, ok := r.(string); ok {
			all = append(all, name)
		}
	}
	return all
}

// targetView is a notification in words.
type targetView struct {
	ID, Text, Pace string
	Closed         bool
}

func (n notification) view() targetView {
	k := kindOf(n.text("typeName"))
	t := targetView{ID: n.text("notifierId"), Text: k.Name, Pace: n.pace(k), Closed: k.closed}
	switch roles := n.roles(); {
	case len(roles) > 0:
		var names []string
		for _, r := range roles {
			names = append(names, roleWord(identity.Role(r)))
		}
		t.Text += " with the role " + strings.Join(names, " or ")
	case k.people != nil:
		t.Text += ", all of them"
	}
	for _, m := range k.members {
		if value := n.text(m.name); value != "" && (m.required || m.options == nil) && m.lines == 0 && m.name != "webhookSecret" {
			t.Text += ": " + unstarred(value)
			break
		}
	}
	return t
}

// unstarred shortens what the API shows of a secret.
func unstarred(shown string) string {
	if i, j := strings.IndexByte(shown, '*'), strings.LastIndexByte(shown, '*'); i >= 0 {
		return shown[:i] + "…" + shown[j+1:]
	}
	return shown
}

// pace is when it tells, in words.
func (n notification) pace(k notifyKind) string {
	words := "at once"
	if delay := n.minutes("delayMin"); delay > 0 {
		words = "after " + minutesText(delay)
	}
	if interval := n.minutes("intervalMin"); interval > 0 && k.paced {
		words += ", then every " + strings.TrimPrefix(minutesText(interval), "1 ")
	}
	return words
}

func minutesText(n int) string {
	switch {
	case n > 0 && n%(24*60) == 0:
		return count(n/(24*60), "day")
	case n > 0 && n%60 == 0:
		return count(n/60, "hour")
	}
	return count(n, "minute")
}

// roleWord is what people call a role: "Project Owner".
func roleWord(r identity.Role) string {
	var words []string
	for i, word := range strings.Split(strings.ToLower(string(r)), "_") {
		switch {
		case word == "":
			continue
		case i == 0 && word == "group":
			word = "project"
		case i == 0 && word == "org":
			word = "organisation"
		}
		words = append(words, strings.ToUpper(word[:1])+word[1:])
	}
	return strings.Join(words, " ")
}

// fields are the fields of a kind's form. stored is nil for a new notification.
func (k notifyKind) fields(v *Visit, stored notification) []Field {
	var all []Field
	for _, m := range k.members {
		f := Field{Name: m.name, Label: m.label, Hint: m.hint, Required: m.required, Multi: m.lines, Secret: m.secret, Mono: m.secret || m.lines > 0, Options: m.options, Value: stored.text(m.name)}
		if m.options != nil {
			f.Required = true
			f.Value = or(f.Value, m.options[0].Value)
		}
		if m.secret && stored.text(m.name) != "" {
			f.Required = false
			f.Hint = strings.TrimSpace("Stored: " + unstarred(stored.text(m.name)) + ". Leave it empty to keep it. " + m.hint)
		}
		all = append(all, v.Field(f, m.name))
	}
	return all
}

// roleFields are the boxes of the roles that are told, those that are stored among them.
func (k notifyKind) roleFields(v *Visit, stored notification) []Field {
	if k.people == nil {
		return nil
	}
	has, offered := stored.roles(), k.people
	if stored == nil && k.Kind == "GROUP" {
		has = []string{string(identity.GroupOwner)}
	}
	for _, r := range has {
		if !slices.Contains(offered, identity.Role(r)) {
			offered = append(slices.Clone(offered), identity.Role(r))
		}
	}
	var all []Field
	for _, r := range offered {
		all = append(all, v.Field(Field{Name: "role." + string(r), Label: roleWord(r), Type: "checkbox", Checked: slices.Contains(has, string(r))}))
	}
	return all
}

// paceFields are when it tells.
func (k notifyKind) paceFields(v *Visit, stored notification) []Field {
	delay, interval := 0, 60
	if stored != nil {
		delay, interval = stored.minutes("delayMin"), max(stored.minutes("intervalMin"), 5)
	}
	all := []Field{v.Field(Field{
		Name: "delayMin", Label: "Wait, in minutes", Type: "number", Required: true, Value: strconv.Itoa(delay),
		Hint: "What is over by then is not told. 0 tells at once.",
	})}
	if !k.paced {
		return all
	}
	return append(all, v.Field(Field{
		Name: "intervalMin", Label: "Remind every so many minutes", Type: "number", Required: true, Value: strconv.Itoa(interval),
		Hint: "At least 5, until it is over or acknowledged.",
	}))
}
