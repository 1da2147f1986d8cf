package alert

import (
	"context"
	"fmt"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/due"
	"latchkey/shared/project"
)

// Condition is something that a producer sees hold in a group.
type Condition struct {
	Type audit.Type
	// Subject tells this apart from others of the type: a provider, a cluster, a date.
	Subject string
	Facts   Facts
	// Observed is when it was seen. What was seen earlier than what is known already changes
	// nothing, so that a slow producer undoes no newer word. Zero counts as newer than all.
	Observed time.Time
	// Announce writes the event of the type with each alert, for types without another producer.
	Announce bool
}

// Raise tells that something holds. Every configuration that asks for it gets an alert, unless it
// has a live one; an alert whose configuration no longer asks for it, because the value fell below
// its threshold, is closed. Saying the same again writes nothing. A closed group raises nothing.
func (s *Service) Raise(ctx context.Context, groupID string, c Condition) error {
	return s.forConfigs(ctx, groupID, c.Type, func(config Config) error {
		return again(func() error { return s.observe(ctx, config, c) })
	})
}

// Clear tells that what was raised of a subject no longer holds: its alerts are closed. observed
// is as in Condition.
func (s *Service) Clear(ctx context.Context, groupID string, t audit.Type, subject string, observed time.Time) error {
	return s.clear(ctx, groupID, t, subject, observed, Alert.close)
}

// ending is how an alert ends: Alert.close or Alert.cancel.
type ending func(Alert, *Config, time.Time) (Alert, []Notice)

func (s *Service) clear(ctx context.Context, groupID string, t audit.Type, subject string, observed time.Time, how ending) error {
	return s.forConfigs(ctx, groupID, t, func(config Config) error {
		return again(func() error { return s.settle(ctx, config, subject, observed, how) })
	})
}

// Happened tells of something that is over as soon as it happens. Every configuration that asks for
// it gets one alert, closed from the start, and each of its targets one notification. A subject
// happens once.
func (s *Service) Happened(ctx context.Context, groupID string, c Condition) error {
	return s.forConfigs(ctx, groupID, c.Type, func(config Config) error {
		return again(func() error { return s.record(ctx, config, c) })
	})
}

// forConfigs performs something for every configuration of a type in an open group.
func (s *Service) forConfigs(ctx context.Context, groupID string, t audit.Type, perform func(Config) error) error {
	if _, err := s.Groups.Open(ctx, groupID); atlas.CodeOf(err) == atlas.GroupNotFound {
		return nil
	} else if err != nil {
		return err
	}
	configs, err := s.configs(ctx, groupID)
	if err != nil {
		return err
	}
	for _, c := range configs {
		if c.Type != t {
			continue
		}
		if err := perform(c); err != nil {
			return fmt.Errorf("alert configuration %s of group %s: %w", c.ID, groupID, err)
		}
	}
	return nil
}

// observe makes a configuration's alert agree with what holds. The configuration and the group
// are read again, since it may be repeated.
func (s *Service) observe(ctx context.Context, listed Config, c Condition) error {
	config, err := s.config(ctx, listed.GroupID, listed.ID)
	if err != nil || config == nil || config.Type != c.Type {
		return err
	}
	known, a, err := s.known(ctx, *config, c.Subject)
	if err != nil || known.newer(c.Observed) {
		return err
	}
	wanted := config.wants(c.Facts)
	switch {
	case wanted && a == nil:
		return s.open(ctx, *config, known, c)
	case wanted:
		return s.update(ctx, *config, *a, c)
	case a != nil:
		return s.end(ctx, *config, known, *a, c.Observed, Alert.close)
	}
	return nil
}

// clocksDiffer is how far the clocks of two producers may be apart. What is to have been observed further
// in the future than that was timed by a clock that was set back since: it counts as old, or else no word
// would count until time has caught up.
const clocksDiffer = 2 * time.Minute

// newer reports whether more is known than what was observed at a time.
func (c condition) newer(observed time.Time) bool {
	return !observed.IsZero() && observed.Before(c.Observed)
}

// known reads what a configuration knows of a subject, and its live alert, nil if there is none.
func (s *Service) known(ctx context.Context, c Config, subject string) (condition, *Alert, error) {
	known, err := s.condition(ctx, c.GroupID, c.ID, subject)
	if err != nil {
		return known, nil, err
	}
	if known.Observed.After(s.now().Add(clocksDiffer)) {
		known.Observed = time.Time{}
	}
	a, err := s.live(ctx, c.GroupID, known)
	return known, a, err
}

// open makes the next alert of a subject.
func (s *Service) open(ctx context.Context, config Config, known condition, c Condition) error {
	g, err := s.Groups.Open(ctx, config.GroupID)
	if atlas.CodeOf(err) == atlas.GroupNotFound {
		return nil
	}
	if err != nil {
		return err
	}
	now := s.now()
	a, err := s.begin(ctx, config, &known, c, now)
	if err != nil {
		return err
	}
	a, notices := a.Advance(&config, now)
	return s.add(ctx, g, config, known, c, a, notices)
}

// begin makes the alert of a new episode and counts it in the condition.
func (s *Service) begin(ctx context.Context, config Config, known *condition, c Condition, now time.Time) (Alert, error) {
	var before *Alert
	var err error
	if known.AlertID != "" {
		if before, err = s.alert(ctx, config.GroupID, known.AlertID); err != nil {
			return Alert{}, err
		}
	}
	known.Episode++
	a := Alert{
		ID: alertID(config.ID, c.Subject, known.Episode, now), GroupID: config.GroupID, OrgID: config.OrgID,
		ConfigID: config.ID, Type: c.Type, Subject: c.Subject, Facts: c.Facts, Status: Tracking, Created: now, Updated: now,
	}
	known.AlertID, known.Observed = a.ID, due.Later(known.Observed, c.Observed)
	if before != nil {
		a = a.restrain(*before)
	}
	return a, nil
}

// add stores a new alert: if the group is still open, the configuration unchanged, and nobody
// else has made it.
func (s *Service) add(ctx context.Context, g project.Group, config Config, known condition, c Condition, a Alert, notices []Notice) error {
	ops, err := s.operations(a, &config, notices, a.Created)
	if err != nil {
		return err
	}
	pointer, err := known.put(config.GroupID, config.ID)
	if err != nil {
		return err
	}
	ops = append(ops, g.Guard(), config.unchanged(), pointer)
	if c.Announce {
		event, err := s.Journal.Put(audit.New(s.Now(), c.Type, audit.System(), a.OrgID, a.GroupID).
			With("alertId", a.ID).With("alertConfigId", a.ConfigID).With("summary", a.Facts.Summary))
		if err != nil {
			return err
		}
		ops = append(ops, event)
	}
	return s.Table.Write(ctx, ops...)
}

// update tells a live alert newer facts.
func (s *Service) update(ctx context.Context, config Config, a Alert, c Condition) error {
	if a.Facts.same(c.Facts) {
		return nil
	}
	now := s.now()
	a, notices := a.learn(c.Facts, now).Advance(&config, now)
	ops, err := s.operations(a, &config, notices, now)
	if err != nil {
		return err
	}
	return s.Table.Write(ctx, ops...)
}

// settle ends a configuration's live alert of a subject, and remembers when the subject was seen
// to be well.
func (s *Service) settle(ctx context.Context, config Config, subject string, observed time.Time, how ending) error {
	known, a, err := s.known(ctx, config, subject)
	if err != nil || known.newer(observed) {
		return err
	}
	if a != nil {
		return s.end(ctx, config, known, *a, observed, how)
	}
	if observed.IsZero() || observed.Equal(known.Observed) {
		return nil
	}
	known.Observed = observed
	pointer, err := known.put(config.GroupID, config.ID)
	if err != nil {
		return err
	}
	return s.Table.Write(ctx, pointer, config.unchanged())
}

// end ends a live alert.
func (s *Service) end(ctx context.Context, config Config, known condition, a Alert, observed time.Time, how ending) error {
	now := s.now()
	if !config.Enabled {
		how = Alert.cancel
	}
	a, notices := how(a, &config, now)
	ops, err := s.operations(a, &config, notices, now)
	if err != nil {
		return err
	}
	if observed.After(known.Observed) {
		known.Observed = observed
		pointer, err := known.put(config.GroupID, config.ID)
		if err != nil {
			return err
		}
		ops = append(ops, pointer)
	}
	return s.Table.Write(ctx, ops...)
}

// record makes the alert of something that is over.
func (s *Service) record(ctx context.Context, listed Config, c Condition) error {
	config, err := s.config(ctx, listed.GroupID, listed.ID)
	if err != nil || config == nil || config.Type != c.Type || !config.wants(c.Facts) {
		return err
	}
	known, err := s.condition(ctx, config.GroupID, config.ID, c.Subject)
	if err != nil || known.Episode > 0 {
		return err
	}
	g, err := s.Groups.Open(ctx, config.GroupID)
	if atlas.CodeOf(err) == atlas.GroupNotFound {
		return nil
	}
	if err != nil {
		return err
	}
	now := s.now()
	a, err := s.begin(ctx, *config, &known, c, now)
	if err != nil {
		return err
	}
	a, notices := a.happen(*config, now)
	return s.add(ctx, g, *config, known, c, a, notices)
}

// happen notifies every target once and ends the alert. It is over, so waiting for a delay would
// only make the notification late.
func (a Alert) happen(c Config, now time.Time) (Alert, []Notice) {
	a.Status, a.Resolved, a.LastNotified = Closed, now, now
	var notices []Notice
	for _, n := range c.Notifications {
		a = a.withProgress(n.Thread, Progress{Sent: 1, Last: now})
		notices = append(notices, a.notice(c, n, "1", now))
	}
	return a.stamp(notices)
}
