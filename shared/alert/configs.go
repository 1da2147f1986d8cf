package alert

import (
	"context"
	"slices"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/identity"
	"latchkey/shared/project"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

// Configs lists the configurations of an open group, oldest first.
func (s *Service) Configs(ctx context.Context, groupID string) ([]Config, error) {
	if _, err := s.Groups.Open(ctx, groupID); err != nil {
		return nil, err
	}
	return s.configs(ctx, groupID)
}

// Config reads one configuration of an open group.
func (s *Service) Config(ctx context.Context, groupID, id string) (Config, error) {
	if !atlas.ValidID(id) {
		return Config{}, atlas.Fail(atlas.InvalidAlertConfigID, id)
	}
	if _, err := s.Groups.Open(ctx, groupID); err != nil {
		return Config{}, err
	}
	c, err := s.config(ctx, groupID, id)
	if err != nil {
		return Config{}, err
	}
	if c == nil {
		return Config{}, atlas.Fail(atlas.AlertConfigNotFound, id, groupID)
	}
	return *c, nil
}

// Create adds a configuration to an open group.
func (s *Service) Create(ctx context.Context, caller identity.Caller, groupID string, d Draft) (Config, error) {
	if err := d.validate(); err != nil {
		return Config{}, err
	}
	g, err := s.Groups.Open(ctx, groupID)
	if err != nil {
		return Config{}, err
	}
	now := s.now()
	c, err := d.build(ctx, s.Sealer, Config{ID: atlas.NewID(now), GroupID: groupID, OrgID: g.OrgID, Created: now}, now)
	if err != nil {
		return Config{}, err
	}
	if err := again(func() error { return s.create(ctx, caller, c) }); err != nil {
		return Config{}, err
	}
	s.reconsiderDates(ctx, c)
	c.version = 1
	return c, nil
}

func (s *Service) create(ctx context.Context, caller identity.Caller, c Config) error {
	g, err := s.Groups.Open(ctx, c.GroupID)
	if err != nil {
		return err
	}
	r, err := s.register(ctx, c.GroupID)
	if err != nil {
		return err
	}
	if r.Configs >= MaxConfigs {
		return atlas.Fail(atlas.MaxAlertConfigsExceeded, MaxConfigs, g.Name)
	}
	r.Configs++
	count, err := r.put(c.GroupID)
	if err != nil {
		return err
	}
	record, err := c.put()
	if err != nil {
		return err
	}
	event, err := s.Journal.Put(s.event(ConfigAdded, caller, c))
	if err != nil {
		return err
	}
	looks, err := s.lookAgain(ctx, c)
	if err != nil {
		return err
	}
	return s.Table.Write(ctx, append(looks, g.Guard(), count, record, event)...)
}

// Replace gives a configuration other contents. Its live alerts follow: what it no longer asks
// for is cancelled, and what is due is computed anew.
func (s *Service) Replace(ctx context.Context, caller identity.Caller, groupID, id string, d Draft) (Config, error) {
	c, err := s.change(ctx, caller, groupID, id, func(before Config) (Config, audit.Type, error) {
		after, err := d.build(ctx, s.Sealer, before, s.now())
		return after, ConfigChanged, err
	})
	if err == nil {
		s.reconsiderDates(ctx, c)
	}
	return c, err
}

// Toggle turns a configuration on or off. Turning it off cancels its live alerts. Nothing is
// written if it is so already.
func (s *Service) Toggle(ctx context.Context, caller identity.Caller, groupID, id string, enabled bool) (Config, error) {
	c, err := s.change(ctx, caller, groupID, id, func(c Config) (Config, audit.Type, error) {
		if c.Enabled == enabled {
			return c, "", nil
		}
		c.Enabled, c.Updated = enabled, s.now()
		if enabled {
			return c, ConfigEnabled, nil
		}
		return c, ConfigDisabled, nil
	})
	if err == nil && enabled {
		s.reconsiderDates(ctx, c)
	}
	return c, err
}

// change applies a change to a configuration and to its live alerts in one transaction. A
// change without an event type writes nothing.
func (s *Service) change(ctx context.Context, caller identity.Caller, groupID, id string, edit func(Config) (Config, audit.Type, error)) (Config, error) {
	var after Config
	err := again(func() error {
		before, err := s.Config(ctx, groupID, id)
		if err != nil {
			return err
		}
		var what audit.Type
		if after, what, err = edit(before); err != nil || what == "" {
			return err
		}
		record, err := after.put()
		if err != nil {
			return err
		}
		event, err := s.Journal.Put(s.event(what, caller, after))
		if err != nil {
			return err
		}
		looks, err := s.lookAgain(ctx, after)
		if err != nil {
			return err
		}
		return s.writeWithAlerts(ctx, before, &after, append(looks, record, event)...)
	})
	return after, err
}

// Delete removes a configuration and cancels its live alerts.
func (s *Service) Delete(ctx context.Context, caller identity.Caller, groupID, id string) error {
	return again(func() error {
		c, err := s.Config(ctx, groupID, id)
		if err != nil {
			return err
		}
		r, err := s.register(ctx, groupID)
		if err != nil {
			return err
		}
		r.Configs = max(r.Configs-1, 0)
		count, err := r.put(groupID)
		if err != nil {
			return err
		}
		event, err := s.Journal.Put(s.event(ConfigDeleted, caller, c))
		if err != nil {
			return err
		}
		return s.writeWithAlerts(ctx, c, nil, c.delete(), count, event)
	})
}

// writeWithAlerts writes operations together with what they mean for the live alerts of a
// configuration, whose new state is after, nil if it is removed. What a transaction does not
// hold, or is raised at the same moment, follows when the alert is next looked at.
func (s *Service) writeWithAlerts(ctx context.Context, before Config, after *Config, ops ...store.Op) error {
	alerts, err := s.liveOf(ctx, before.GroupID, before.ID)
	if err != nil {
		return err
	}
	now := s.now()
	for _, a := range alerts {
		a, notices := a.reconsider(before, after, now)
		more, err := s.operations(a, after, notices, now)
		if err != nil {
			return err
		}
		if len(ops)+len(more) > store.MaxWrites {
			break
		}
		ops = append(ops, more...)
	}
	return s.Table.Write(ctx, ops...)
}

// reconsider returns what becomes of the live alert when its configuration changes.
func (a Alert) reconsider(before Config, after *Config, now time.Time) (Alert, []Notice) {
	if after == nil || after.Type != a.Type || !after.wants(a.Facts) {
		return a.cancel(&before, now)
	}
	return a, nil
}

func (s *Service) register(ctx context.Context, groupID string) (register, error) {
	return loadRegister(ctx, s.Table, groupID)
}

// event tells of a change of a configuration.
func (s *Service) event(t audit.Type, caller identity.Caller, c Config) audit.Event {
	return audit.New(s.Now(), t, audit.By(caller), c.OrgID, c.GroupID).
		With("alertConfigId", c.ID).With("alertEventType", string(c.Type))
}

// CreateDefaults returns the configurations that a new group begins with, for the transaction that
// creates it: none if the group was not to have any. Clients such as Terraform ask for them unless
// told otherwise, so an organisation that wants none is obeyed before the group.
func CreateDefaults(o project.Org, g project.Group) ([]store.Op, error) {
	var r register
	var ops []store.Op
	if g.WithDefaultAlerts && !o.SkipDefaultAlerts {
		for _, t := range []audit.Type{NetworkAccessDenied, KeyExpiring, CredentialsExpiring, KeyUnprotected} {
			r.Configs++
			r.Made = append(r.Made, t)
			op, err := standard(g.ID, g.OrgID, t, g.Created).put()
			if err != nil {
				return nil, err
			}
			ops = append(ops, op)
		}
	}
	count, err := r.put(g.ID)
	return append(ops, count), err
}

// DefaultRotationDays is after how many days people are reminded to rotate a key, unless they
// say otherwise ("every 90 days by default", AWS KMS document).
const DefaultRotationDays = 90

// remindEvery is how often the standard configurations repeat a warning of something that is
// weeks ahead: longer than its later stages, each of which is an alert of its own.
const remindEvery = 10 * 24 * time.Hour

// standard is the configuration that Latchkey itself makes for a type: e-mail to Project Owners.
func standard(groupID, orgID string, t audit.Type, now time.Time) Config {
	now = now.UTC().Truncate(time.Second)
	c := Config{
		ID: atlas.NewID(now), GroupID: groupID, OrgID: orgID, Type: t, Enabled: true, Created: now, Updated: now,
		Notifications: []Notification{{
			ID: atlas.NewID(now), Thread: atlas.NewID(now), Type: Group, Interval: defaultInterval, Email: true,
			Roles: []string{string(identity.GroupOwner)},
		}},
	}
	if eventTypes()[t].threshold == required {
		c.Threshold = &Threshold{Operator: GreaterThan, Number: DefaultRotationDays, Units: Days}
	}
	if dated(t) {
		c.Notifications[0].Interval = remindEvery
	}
	return c
}

// CreateRotation returns the operations that add the reminder to rotate a provider's key, for the
// transaction that first configures the key. There are none if the group has had it before: what a
// tenant deleted stays away. The transaction conflicts if configurations are added meanwhile; read
// again and retry.
func CreateRotation(ctx context.Context, t store.Table, groupID, orgID string, p atlas.Provider, now time.Time) ([]store.Op, error) {
	return CreateRotations(ctx, t, groupID, orgID, now, p)
}

// CreateRotations is CreateRotation for the providers whose keys one transaction configures.
func CreateRotations(ctx context.Context, t store.Table, groupID, orgID string, now time.Time, providers ...atlas.Provider) ([]store.Op, error) {
	if len(providers) == 0 {
		return nil, nil
	}
	r, err := loadRegister(ctx, t, groupID)
	if err != nil {
		return nil, err
	}
	var ops []store.Op
	for _, p := range providers {
		what := NeedsRotation(p)
		if slices.Contains(r.Made, what) {
			continue
		}
		r.Configs++
		r.Made = append(r.Made, what)
		record, err := standard(groupID, orgID, what, now).put()
		if err != nil {
			return nil, err
		}
		ops = append(ops, record)
	}
	if len(ops) == 0 {
		return nil, nil
	}
	count, err := r.put(groupID)
	return append(ops, count), err
}

func loadRegister(ctx context.Context, t store.Table, groupID string) (register, error) {
	item, err := t.Get(ctx, keys.AlertRegister(groupID))
	if isNone(err) {
		return register{}, nil
	}
	if err != nil {
		return register{}, err
	}
	r, err := store.Decode[register](item)
	r.version = item.Version
	return r, err
}
