package alert

import (
	"net/mail"
	"net/url"
	"regexp"
	"slices"

	"latchkey/shared/atlas"
	"latchkey/shared/identity"
)

// Kind is the way a notification goes (typeName).
type Kind string

// The kinds (CONTRACT 5.3). HIP_CHAT, a service that has ended, is refused.
const (
	Group     Kind = "GROUP"
	Org       Kind = "ORG"
	User      Kind = "USER"
	Team      Kind = "TEAM"
	Email     Kind = "EMAIL"
	SMS       Kind = "SMS"
	Slack     Kind = "SLACK"
	Webhook   Kind = "WEBHOOK"
	PagerDuty Kind = "PAGER_DUTY"
	OpsGenie  Kind = "OPS_GENIE"
	Datadog   Kind = "DATADOG"
	VictorOps Kind = "VICTOR_OPS"
	Teams     Kind = "MICROSOFT_TEAMS"

	hipChat Kind = "HIP_CHAT"
)

// Bounds of members in bytes.
const (
	maxMember = 512
	maxLong   = 4096 // addresses and templates
	maxMobile = 20
)

// How secrets are shown.
const (
	stars       = "****************************"
	shownTail   = 4  // characters of the end
	shownTailOf = 16 // of a secret that has at least as many
)

// keepsIncidents reports whether the service keeps incidents of its own: it reminds people by
// itself, so that notifications have no interval (CONTRACT 5.3), and must be told when one ends.
func (k Kind) keepsIncidents() bool { return k == PagerDuty || k == OpsGenie || k == VictorOps }

// hide says how a secret member is shown.
type hide int

const (
	open    hide = iota // it is no secret
	tail                // its last characters
	address             // the host of a URL
	wholly              // nothing of it
)

// member is a member of a notification that only some kinds have.
type member struct {
	name     string
	hide     hide
	required bool
	values   []string // the enumeration it is of; its first is the default
	limit    int      // bytes; 0 is maxMember
	valid    func(string) bool
}

// members are the members of a kind's own (CONTRACT 5.3).
func (k Kind) members() []member {
	regions := []string{"US", "EU"}
	switch k {
	case User:
		return []member{{name: "username", required: true}}
	case Team:
		return []member{{name: "teamId", required: true, valid: atlas.ValidID}, {name: "teamName"}}
	case Email:
		return []member{{name: "emailAddress", required: true, valid: validEmail}}
	case SMS:
		return []member{{name: "mobileNumber", required: true, valid: validMobile}}
	case Slack:
		return []member{{name: "apiToken", hide: tail, required: true}, {name: "channelName", required: true}}
	case Webhook:
		return []member{
			{name: "webhookUrl", hide: address, required: true, limit: maxLong, valid: validURL},
			{name: "webhookSecret", hide: wholly},
			{name: "webhookBodyTemplate", limit: maxLong},
			{name: "webhookHeadersTemplate", hide: wholly, limit: maxLong}, // may carry an Authorization
		}
	case PagerDuty:
		return []member{{name: "serviceKey", hide: tail, required: true}, {name: "region", values: regions}}
	case OpsGenie:
		return []member{{name: "opsGenieApiKey", hide: tail, required: true}, {name: "opsGenieRegion", values: regions}}
	case Datadog:
		return []member{
			{name: "datadogApiKey", hide: tail, required: true},
			{name: "datadogRegion", values: append(regions, "US3", "US5", "AP1", "US1_FED")},
		}
	case VictorOps:
		return []member{{name: "victorOpsApiKey", hide: tail, required: true}, {name: "victorOpsRoutingKey", hide: tail}}
	case Teams:
		return []member{{name: "microsoftTeamsWebhookUrl", hide: address, required: true, limit: maxLong, valid: validURL}}
	default: // GROUP and ORG: roles, which the caller reads
		return nil
	}
}

// Members are the names of the members that notifications of the kind have of their own.
func (k Kind) Members() []string {
	var names []string
	for _, m := range k.members() {
		names = append(names, m.name)
	}
	return names
}

// TellsPeople reports whether the kind tells people by e-mail or text message, as the notification
// says.
func (k Kind) TellsPeople() bool { return slices.Contains([]Kind{Group, Org, User, Team}, k) }

// knowsRole reports whether the kind can tell the holders of a role; ok is false for kinds that
// know no roles.
func (k Kind) knowsRole(r string) (known, ok bool) {
	switch k {
	case Group:
		return identity.IsGroupRole(identity.Role(r)), true
	case Org:
		return identity.IsOrgRole(identity.Role(r)), true
	default:
		return false, false
	}
}

// Kinds lists the kinds.
func Kinds() []Kind {
	return []Kind{
		Group, Org, User, Team, Email, SMS, Slack, Webhook, PagerDuty, OpsGenie, Datadog, VictorOps, Teams,
	}
}

func (k Kind) validate() error {
	switch {
	case k == "":
		return atlas.Fail(atlas.MissingAttribute, "notifications.typeName")
	case k == hipChat:
		return atlas.Fail(atlas.UnsupportedNotification, string(k)).Hinting("The service has ended.")
	case !slices.Contains(Kinds(), k):
		return atlas.Fail(atlas.UnsupportedNotification, string(k))
	}
	return nil
}

func (m member) check(value string) error {
	path := "notifications." + m.name
	limit := m.limit
	if limit == 0 {
		limit = maxMember
	}
	switch {
	case value == "" && m.required:
		return atlas.Fail(atlas.MissingAttribute, path)
	case value == "":
		return nil
	case len(value) > limit:
		return atlas.Fail(atlas.InvalidAttribute, path).Hinting("It may have at most %d bytes.", limit)
	case m.values != nil && !slices.Contains(m.values, value):
		return atlas.Fail(atlas.InvalidEnumValue, value)
	case m.valid != nil && !m.valid(value):
		return atlas.Fail(atlas.InvalidAttribute, path)
	}
	return nil
}

// show is what is shown instead of a secret.
func (m member) show(value string) string {
	switch {
	case m.hide == address:
		if u, err := url.Parse(value); err == nil {
			return u.Scheme + "://" + u.Host + "/" + stars
		}
	case m.hide == tail && len(value) >= shownTailOf:
		return stars + value[len(value)-shownTail:]
	}
	return stars
}

func validEmail(s string) bool {
	a, err := mail.ParseAddress(s)
	return err == nil && a.Address == s && a.Name == ""
}

func validMobile(s string) bool {
	return len(s) <= maxMobile && regexp.MustCompile(`^\+?[0-9][0-9 ().-]{3,}$`).MatchString(s)
}

// validURL accepts addresses on the web. That an address leads nowhere it must not is checked when
// something is sent there: its name may lead elsewhere by then.
func validURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Hostname() != "" && u.User == nil
}
