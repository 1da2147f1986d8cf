package alert

import (
	"context"
	"errors"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/project"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

// Groups finds the group that alerts belong to; project.Service is the one in use.
type Groups interface {
	// Open reads a group that is open. It fails with GROUP_NOT_FOUND if it is not.
	Open(ctx context.Context, groupID string) (project.Group, error)
}

// Service performs the use cases. All fields but Retention are required; Sealer only where clients
// write configurations.
type Service struct {
	Table   store.Table
	Journal audit.Journal
	Groups  Groups
	Sealer  Sealer
	Now     func() time.Time
	// Retention is how long an alert is kept after its end; 0 keeps it for ever.
	Retention time.Duration
}

// attempts is how often a change is tried that others get in the way of.
const attempts = 16

// again repeats a change that read what somebody else changed meanwhile.
func again(change func() error) error {
	err := store.Again(attempts, change)
	if errors.Is(err, store.ErrConflict) {
		return atlas.Fail(atlas.ConcurrentModification).Because(err)
	}
	return err
}

func isNone(err error) bool { return errors.Is(err, store.ErrNotFound) }

// now is the present to the second, which is what the API shows.
func (s *Service) now() time.Time { return s.Now().UTC().Truncate(time.Second) }

// configs reads all configurations of a group, oldest first.
func (s *Service) configs(ctx context.Context, groupID string) ([]Config, error) {
	place := keys.AlertConfig(groupID, "")
	items, err := store.All(ctx, s.Table, store.Query{PK: place.PK, Prefix: place.SK})
	if err != nil {
		return nil, err
	}
	configs := make([]Config, 0, len(items))
	for _, item := range items {
		c, err := decodeConfig(item)
		if err != nil {
			return nil, err
		}
		configs = append(configs, c)
	}
	return configs, nil
}

// config reads one configuration; nil if there is none.
func (s *Service) config(ctx context.Context, groupID, id string) (*Config, error) {
	item, err := s.Table.Get(ctx, keys.AlertConfig(groupID, id))
	if isNone(err) {
		return nil, nil //nolint:nilnil // no configuration is an answer
	}
	if err != nil {
		return nil, err
	}
	c, err := decodeConfig(item)
	return &c, err
}

// alert reads one alert; nil if there is none or it is older than alerts are kept.
func (s *Service) alert(ctx context.Context, groupID, id string) (*Alert, error) {
	item, err := s.Table.Get(ctx, keys.Alert(groupID, id))
	if isNone(err) {
		return nil, nil //nolint:nilnil // no alert is an answer
	}
	if err != nil || s.expired(item) {
		return nil, err
	}
	a, err := decodeAlert(item)
	return &a, err
}

// expired reports whether an item's time has passed: the table may remove it days later.
func (s *Service) expired(item store.Item) bool {
	return !item.Expires.IsZero() && !s.Now().Before(item.Expires)
}

// live reads the live alert of a condition; nil if it has none.
func (s *Service) live(ctx context.Context, groupID string, c condition) (*Alert, error) {
	if c.AlertID == "" {
		return nil, nil //nolint:nilnil // none is an answer
	}
	a, err := s.alert(ctx, groupID, c.AlertID)
	if err != nil || a == nil || a.Status.Ended() {
		return nil, err
	}
	return a, nil
}

// condition reads what a configuration knows of a subject; the zero condition if nothing.
func (s *Service) condition(ctx context.Context, groupID, configID, subject string) (condition, error) {
	c, version, err := store.Load[condition](ctx, s.Table, keys.AlertCondition(groupID, configID, digest(subject)))
	if isNone(err) {
		return condition{Subject: subject}, nil
	}
	c.version = version
	return c, err
}

func (c condition) put(groupID, configID string) (store.Op, error) {
	item, err := store.Encode(keys.AlertCondition(groupID, configID, digest(c.Subject)), c.version, c)
	return store.Put(item), err
}

// liveOf reads the live alerts of a configuration.
func (s *Service) liveOf(ctx context.Context, groupID, configID string) ([]Alert, error) {
	place := store.Key{PK: keys.AlertConfig(groupID, configID).PK, SK: keys.AlertConditionPrefix(configID)}
	items, err := store.All(ctx, s.Table, store.Query{PK: place.PK, Prefix: place.SK})
	if err != nil {
		return nil, err
	}
	var alerts []Alert
	for _, item := range items {
		c, err := store.Decode[condition](item)
		if err != nil {
			return nil, err
		}
		a, err := s.live(ctx, groupID, c)
		if err != nil {
			return nil, err
		}
		if a != nil {
			alerts = append(alerts, *a)
		}
	}
	return alerts, nil
}

// operations turns an alert and its notifications into the operations that store them.
func (s *Service) operations(a Alert, c *Config, notices []Notice, now time.Time) ([]store.Op, error) {
	record, err := a.put(c, now, s.Retention)
	if err != nil {
		return nil, err
	}
	ops := []store.Op{record}
	for _, n := range notices {
		op, err := n.put()
		if err != nil {
			return nil, err
		}
		ops = append(ops, op)
	}
	return ops, nil
}
