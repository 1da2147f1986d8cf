package alert

import (
	"context"
	"maps"
	"regexp"
	"slices"
	"sync"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/audit"
)

// Draft is what a client says of a configuration. It replaces all of an existing one.
type Draft struct {
	Type          audit.Type
	Enabled       bool
	Matchers      []Matcher
	Threshold     *ThresholdDraft // nil if there is none
	Metric        bool            // whether there is a metric threshold
	Severity      Severity
	Notifications []NotificationDraft
}

// ThresholdDraft is what a client says of a threshold.
type ThresholdDraft struct {
	Operator, Units string // "" for what the type has anyway
	Number          *int64
}

// NotificationDraft is what a client says of a notification. Secrets are among its members.
type NotificationDraft struct {
	ID          string // "" for a new one
	Type        Kind
	DelayMin    *int64
	IntervalMin *int64
	Email, SMS  bool
	Roles       []string // nil for everybody, empty is refused
	Integration string
	Members     map[string]string // by name on the wire; "" counts as absent
}

// eventTypeForm is compiled when it is first needed, as few requests do.
var eventTypeForm = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Z][A-Z0-9_]{0,127}$`) })

// validate checks everything but the notifications' secrets, for which stored ones may stand in.
func (d Draft) validate() error {
	if d.Type == "" {
		return atlas.Fail(atlas.MissingAttribute, "eventTypeName")
	}
	known, ok := eventTypes()[d.Type]
	if !ok && !eventTypeForm().MatchString(string(d.Type)) {
		return atlas.Fail(atlas.InvalidEnumValue, string(d.Type))
	}
	if !ok {
		return atlas.Fail(atlas.InvalidEventTypeForAlert, string(d.Type))
	}
	if d.Severity != "" && !slices.Contains(Severities(), d.Severity) {
		return atlas.Fail(atlas.InvalidEnumValue, string(d.Severity))
	}
	if err := d.validateThreshold(known.threshold); err != nil {
		return err
	}
	if len(d.Matchers) > maxMatchers {
		return atlas.Fail(atlas.InvalidAttribute, "matchers").Hinting("There may be at most %d.", maxMatchers)
	}
	for _, m := range d.Matchers {
		if err := m.validate(); err != nil {
			return err
		}
	}
	return d.validateNotifications()
}

func (d Draft) validateThreshold(n need) error {
	switch t := d.Threshold; {
	case d.Metric:
		return atlas.Fail(atlas.MetricThresholdPresent)
	case t == nil && n == required:
		return atlas.Fail(atlas.MissingThreshold)
	case t == nil:
		return nil
	case n == refused:
		return atlas.Fail(atlas.ThresholdPresent)
	case t.Number == nil:
		return atlas.Fail(atlas.MissingAttribute, "threshold.threshold")
	case *t.Number < 0:
		return atlas.Fail(atlas.AttributeNegative, "threshold.threshold")
	case *t.Number > maxThreshold:
		return atlas.Fail(atlas.InvalidAttribute, "threshold.threshold").Hinting("It may be at most %d.", maxThreshold)
	case t.Operator == "LESS_THAN":
		return atlas.Fail(atlas.InvalidOperatorForType, t.Operator, string(d.Type))
	case t.Operator != "" && t.Operator != GreaterThan:
		return atlas.Fail(atlas.InvalidEnumValue, t.Operator)
	case t.Units != "" && t.Units != Days:
		return atlas.Fail(atlas.UnitsMismatch)
	}
	return nil
}

// maxThreshold is the greatest threshold: a hundred years of days.
const maxThreshold = 36500

func (d Draft) validateNotifications() error {
	if len(d.Notifications) == 0 {
		return atlas.Fail(atlas.MissingNotifications)
	}
	if len(d.Notifications) > MaxNotifications {
		return atlas.Fail(atlas.MaxNotificationsExceeded, MaxNotifications)
	}
	groups := 0
	for _, n := range d.Notifications {
		if err := n.validate(); err != nil {
			return err
		}
		if n.Type == Group {
			groups++
		}
	}
	if groups > 1 {
		return atlas.Fail(atlas.TooManyGroupNotifications)
	}
	return nil
}

func (n NotificationDraft) validate() error {
	if err := n.Type.validate(); err != nil {
		return err
	}
	if n.Type.TellsPeople() && !n.Email && !n.SMS {
		if n.Type == Group || n.Type == Org {
			return atlas.Fail(atlas.GroupNotificationNeedsWay)
		}
		return atlas.Fail(atlas.UserNotificationNeedsWay)
	}
	if err := n.validateRoles(); err != nil {
		return err
	}
	if n.Integration != "" && !atlas.ValidID(n.Integration) {
		return atlas.Fail(atlas.InvalidAttribute, "notifications.integrationId")
	}
	if d := n.DelayMin; d != nil && *d < 0 {
		return atlas.Fail(atlas.AttributeNegative, "notifications.delayMin")
	} else if d != nil && *d > int64(maxWait/time.Minute) {
		return atlas.Fail(atlas.InvalidAttribute, "notifications.delayMin").Hinting("It may be at most a year.")
	}
	// Terraform sends 0 for an interval that is not set, and so do services that have none.
	if i := n.IntervalMin; i != nil && *i != 0 && !n.Type.keepsIncidents() {
		if *i < int64(MinInterval/time.Minute) || *i > int64(maxWait/time.Minute) {
			return atlas.Fail(atlas.NotificationInterval)
		}
	}
	return nil
}

func (n NotificationDraft) validateRoles() error {
	if _, ok := n.Type.knowsRole(""); !ok || n.Roles == nil {
		return nil
	}
	if len(n.Roles) == 0 {
		return atlas.Fail(atlas.GroupNotificationNeedsRole)
	}
	const maxRoles = 50 // more than there are
	if len(n.Roles) > maxRoles {
		return atlas.Fail(atlas.InvalidAttribute, "notifications.roles")
	}
	for _, r := range n.Roles {
		if known, _ := n.Type.knowsRole(r); !known {
			return atlas.Fail(atlas.InvalidEnumValue, r)
		}
	}
	return nil
}

// build makes the configuration that a draft describes. before is the one that it replaces: a
// notification that is kept keeps its secrets and its thread. Secrets are sealed.
func (d Draft) build(ctx context.Context, s Sealer, before Config, now time.Time) (Config, error) {
	if err := d.validate(); err != nil {
		return Config{}, err
	}
	c := before
	c.Type, c.Enabled, c.Matchers, c.Severity, c.Updated = d.Type, d.Enabled, d.Matchers, d.Severity, now
	c.Threshold = nil
	if d.Threshold != nil {
		c.Threshold = &Threshold{Operator: GreaterThan, Number: *d.Threshold.Number, Units: Days}
	}
	c.Notifications = make([]Notification, 0, len(d.Notifications))
	kept := keep(d.Notifications, before.Notifications)
	for i, n := range d.Notifications {
		built, err := n.build(ctx, s, c.GroupID, kept[i], now)
		if err != nil {
			return Config{}, err
		}
		c.Notifications = append(c.Notifications, built)
	}
	return c, nil
}

// keep finds the stored notification behind each of a draft: the one that it names, or else the
// first of its kind with the same open members that nobody else names; nil if it is new.
func keep(drafts []NotificationDraft, stored []Notification) []*Notification {
	kept := make([]*Notification, len(drafts))
	taken := make([]bool, len(stored))
	match := func(same func(NotificationDraft, Notification) bool) {
		for i, d := range drafts {
			for j, n := range stored {
				if kept[i] == nil && !taken[j] && d.Type == n.Type && same(d, n) {
					kept[i], taken[j] = &stored[j], true
				}
			}
		}
	}
	match(func(d NotificationDraft, n Notification) bool { return d.ID == n.ID })
	match(func(d NotificationDraft, n Notification) bool { return maps.Equal(d.open(), n.Members) })
	return kept
}

// open are the members that are no secret, with their defaults.
func (n NotificationDraft) open() map[string]string {
	members := map[string]string{}
	for _, m := range n.Type.members() {
		value := n.Members[m.name]
		if value == "" && m.values != nil {
			value = m.values[0]
		}
		if m.hide == open && value != "" {
			members[m.name] = value
		}
	}
	return members
}

func (n NotificationDraft) build(ctx context.Context, s Sealer, groupID string, kept *Notification, now time.Time) (Notification, error) {
	built := Notification{
		ID: atlas.NewID(now), Thread: atlas.NewID(now), Type: n.Type, Integration: n.Integration, Members: n.open(),
	}
	if n.Type.TellsPeople() {
		built.Email, built.SMS = n.Email, n.SMS
	}
	if _, ok := n.Type.knowsRole(""); ok {
		built.Roles = n.Roles
	}
	if n.DelayMin != nil {
		built.Delay = time.Duration(*n.DelayMin) * time.Minute
	}
	built.Interval = n.interval()
	if kept != nil {
		built.Thread = kept.Thread
		if kept.ID == n.ID {
			built.ID = kept.ID
		}
	}
	for _, m := range n.Type.members() {
		if m.hide == open {
			if err := m.check(n.Members[m.name]); err != nil {
				return Notification{}, err
			}
		}
	}
	var err error
	built.Secrets, err = vault{s, groupID}.secrets(ctx, n, kept)
	return built, err
}

func (n NotificationDraft) interval() time.Duration {
	switch {
	case n.Type.keepsIncidents():
		return 0
	case n.IntervalMin == nil || *n.IntervalMin == 0:
		return defaultInterval
	}
	return time.Duration(*n.IntervalMin) * time.Minute
}
