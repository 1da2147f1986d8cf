package alert

import (
	"context"
	"slices"
	"time"
	"unicode/utf8"

	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/identity"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

// Alerts lists the alerts of an open group, newest first; status "" selects all.
func (s *Service) Alerts(ctx context.Context, groupID string, status Status) ([]Alert, error) {
	if status != "" && !slices.Contains([]Status{Open, Tracking, Closed}, status) {
		return nil, atlas.Fail(atlas.InvalidAlertStatus, string(status)).Hinting("It must be OPEN, TRACKING or CLOSED.")
	}
	if _, err := s.Groups.Open(ctx, groupID); err != nil {
		return nil, err
	}
	place := keys.Alert(groupID, "")
	items, err := store.All(ctx, s.Table, store.Query{PK: place.PK, Prefix: place.SK, Descending: true})
	if err != nil {
		return nil, err
	}
	var alerts []Alert
	for _, item := range items {
		if s.expired(item) {
			continue
		}
		a, err := decodeAlert(item)
		if err != nil {
			return nil, err
		}
		if status == "" || a.Status == status {
			alerts = append(alerts, a)
		}
	}
	return alerts, nil
}

// Alert reads one alert of an open group.
func (s *Service) Alert(ctx context.Context, groupID, id string) (Alert, error) {
	if !atlas.ValidID(id) {
		return Alert{}, atlas.Fail(atlas.InvalidAlertID, id)
	}
	if _, err := s.Groups.Open(ctx, groupID); err != nil {
		return Alert{}, err
	}
	a, err := s.alert(ctx, groupID, id)
	if err != nil {
		return Alert{}, err
	}
	if a == nil {
		return Alert{}, atlas.Fail(atlas.AlertNotFound, id, groupID)
	}
	return *a, nil
}

// ConfigsOf lists the configuration that raised an alert: none if it was removed since.
func (s *Service) ConfigsOf(ctx context.Context, groupID, alertID string) ([]Config, error) {
	a, err := s.Alert(ctx, groupID, alertID)
	if err != nil {
		return nil, err
	}
	c, err := s.config(ctx, groupID, a.ConfigID)
	if err != nil || c == nil {
		return nil, err
	}
	return []Config{*c}, nil
}

// AlertsOf lists the live alerts of a configuration, newest first.
func (s *Service) AlertsOf(ctx context.Context, groupID, configID string) ([]Alert, error) {
	if _, err := s.Config(ctx, groupID, configID); err != nil {
		return nil, err
	}
	alerts, err := s.liveOf(ctx, groupID, configID)
	slices.SortFunc(alerts, func(a, b Alert) int { return b.Created.Compare(a.Created) })
	return alerts, err
}

// maxComment is the length of an acknowledgement's comment in characters (CONTRACT 5.2).
const maxComment = 200

// Acknowledge silences an alert until a time in the future, however far.
func (s *Service) Acknowledge(ctx context.Context, caller identity.Caller, groupID, id string, until time.Time, comment string) (Alert, error) {
	now := s.now()
	if !until.After(now) {
		return Alert{}, atlas.Fail(atlas.InvalidAttribute, "acknowledgedUntil").Hinting("It must lie in the future.")
	}
	if !utf8.ValidString(comment) || utf8.RuneCountInString(comment) > maxComment {
		return Alert{}, atlas.Fail(atlas.InvalidAttribute, "acknowledgementComment").Hinting("It may have at most %d characters.", maxComment)
	}
	ack := Acknowledgement{Until: until.UTC().Truncate(time.Second), Comment: comment, By: caller.Name}
	return s.answer(ctx, caller, groupID, id, Acknowledged, func(a Alert) (Alert, bool) {
		same := a.Acknowledgement != nil && *a.Acknowledgement == ack
		return a.acknowledge(ack, now), !same
	})
}

// Unacknowledge undoes an acknowledgement: from now on, reminders that have fallen due are sent.
func (s *Service) Unacknowledge(ctx context.Context, caller identity.Caller, groupID, id string) (Alert, error) {
	return s.answer(ctx, caller, groupID, id, Unacknowledged, func(a Alert) (Alert, bool) {
		return a.unacknowledge(s.now()), a.Acknowledgement != nil
	})
}

// answer changes an alert on a caller's behalf and tells of it in an event. A change that
// changes nothing writes nothing.
func (s *Service) answer(ctx context.Context, caller identity.Caller, groupID, id string, t audit.Type, edit func(Alert) (Alert, bool)) (Alert, error) {
	var after Alert
	err := again(func() error {
		before, err := s.Alert(ctx, groupID, id)
		if err != nil {
			return err
		}
		var changed bool
		if after, changed = edit(before); !changed {
			after = before
			return nil
		}
		config, err := s.config(ctx, groupID, before.ConfigID)
		if err != nil {
			return err
		}
		record, err := after.put(config, s.now(), s.Retention)
		if err != nil {
			return err
		}
		event, err := s.Journal.Put(audit.New(s.Now(), t, audit.By(caller), after.OrgID, groupID).
			With("alertId", id).With("alertConfigId", after.ConfigID))
		if err != nil {
			return err
		}
		return s.Table.Write(ctx, record, event)
	})
	return after, err
}
