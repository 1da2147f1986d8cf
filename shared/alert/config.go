package alert

import (
	"time"

	"latchkey/shared/audit"
	"latchkey/shared/seal"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

// Bounds of configurations.
const (
	// MaxNotifications is how many notifications one configuration may have (CONTRACT 5.3).
	MaxNotifications = 25
	// MaxConfigs is how many configurations one project may have.
	MaxConfigs = 500
	// MinInterval is the shortest time between two notifications (CONTRACT 5.3).
	MinInterval = 5 * time.Minute
	// defaultInterval is the time between two notifications where the client says nothing.
	defaultInterval = time.Hour
	// maxWait bounds delays and intervals, so that no time computed from them overflows: a year.
	maxWait = 365 * 24 * time.Hour
)

// Config says what a project wants to be warned of and how.
type Config struct {
	ID       string     `json:"id"`
	GroupID  string     `json:"groupId"`
	OrgID    string     `json:"orgId"`
	Type     audit.Type `json:"type"`
	Enabled  bool       `json:"enabled"`
	Matchers []Matcher  `json:"matchers,omitempty"`
	// Threshold is nil for types without one.
	Threshold     *Threshold     `json:"threshold,omitempty"`
	Severity      Severity       `json:"severity,omitempty"` // "" leaves it to the type
	Notifications []Notification `json:"notifications"`
	Created       time.Time      `json:"created"`
	Updated       time.Time      `json:"updated"`

	version int64
}

// Threshold is the value above which an alert is raised.
type Threshold struct {
	Operator string `json:"operator"` // GREATER_THAN
	Number   int64  `json:"number"`
	Units    string `json:"units"` // DAYS
}

// The only operator and units of the types that have thresholds here (CONTRACT 5.3).
const (
	GreaterThan = "GREATER_THAN"
	Days        = "DAYS"
)

// Notification is one target of notifications.
type Notification struct {
	// ID is the notifierId. It changes with every replacement in which the client does not
	// name it.
	ID string `json:"id"`
	// Thread stays when the configuration is replaced, so that a target that is kept is not told
	// the same again.
	Thread   string        `json:"thread"`
	Type     Kind          `json:"type"`
	Delay    time.Duration `json:"delay,omitempty"`
	Interval time.Duration `json:"interval,omitempty"` // 0 for services that remind by themselves
	Email    bool          `json:"email,omitempty"`
	SMS      bool          `json:"sms,omitempty"`
	// Roles limits who is told; nil tells everybody.
	Roles       []string `json:"roles,omitempty"`
	Integration string   `json:"integration,omitempty"`
	// Members are the members of its kind that are no secret, by their names on the wire.
	Members map[string]string `json:"members,omitempty"`
	Secrets map[string]Secret `json:"secrets,omitempty"`
}

// Secret is a member that is never shown.
type Secret struct {
	Sealed seal.Sealed `json:"sealed"`
	Shown  string      `json:"shown"` // what is shown instead
}

// SecretContext binds a notification's sealed secret to its group and member. Who delivers
// notifications opens them with it.
func SecretContext(groupID, member string) seal.Context {
	return seal.Context{Scope: "group/" + groupID, Field: "notification." + member}
}

// SeverityOf is the severity of the configuration's alerts.
func (c Config) SeverityOf() Severity {
	if c.Severity != "" {
		return c.Severity
	}
	return eventTypes()[c.Type].severity
}

// wants reports whether the configuration asks for an alert where the facts hold.
func (c Config) wants(f Facts) bool {
	return c.Enabled && c.exceeded(f.Value) && matchAll(c.Matchers, f)
}

// exceeded reports whether the value lies above the threshold. A configuration without one, or
// facts without a value, are not a matter of thresholds.
func (c Config) exceeded(v Value) bool {
	return c.Threshold == nil || v.Units == "" || v.Number > c.Threshold.Number || v.Number == c.Threshold.Number && v.More
}

// shortestDelay is how long an alert is tracked before it opens.
func (c Config) shortestDelay() time.Duration {
	shortest := maxWait
	for _, n := range c.Notifications {
		shortest = min(shortest, n.Delay)
	}
	return shortest
}

func (c Config) put() (store.Op, error) {
	item, err := store.Encode(keys.AlertConfig(c.GroupID, c.ID), c.version, c)
	return store.Put(item), err
}

func (c Config) delete() store.Op { return store.Delete(keys.AlertConfig(c.GroupID, c.ID), c.version) }

// unchanged is the condition that the configuration is as it was read.
func (c Config) unchanged() store.Op {
	return store.Check(keys.AlertConfig(c.GroupID, c.ID), c.version)
}

func decodeConfig(item store.Item) (Config, error) {
	c, err := store.Decode[Config](item)
	c.version = item.Version
	return c, err
}

// register counts a group's configurations, so that the limit holds whoever adds one, and
// remembers which of them Latchkey itself has made, so that what a tenant deleted stays away.
type register struct {
	Configs int          `json:"configs"`
	Made    []audit.Type `json:"made,omitempty"`

	version int64
}

func (r register) put(groupID string) (store.Op, error) {
	item, err := store.Encode(keys.AlertRegister(groupID), r.version, r)
	return store.Put(item), err
}
