package alert

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/due"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

// Dates are what is known of the age and the end of a provider's key in a group.
type Dates struct {
	Rotation Rotation `json:"rotation"`
	Expiries []Expiry `json:"expiries,omitempty"`
}

// watch is the record of dates that bring alerts about by the passing of time.
type watch struct {
	GroupID  string         `json:"groupId"`
	Provider atlas.Provider `json:"provider"`
	Dates    Dates          `json:"dates"`

	version int64
}

// put stores the record until it is looked at next.
func (s *Service) put(ctx context.Context, w watch, now time.Time) (store.Op, error) {
	configs, err := s.configs(ctx, w.GroupID)
	if err != nil {
		return store.Op{}, err
	}
	return w.dueAt(w.next(configs, now))
}

// dueAt stores the record until it is looked at at a time.
func (w watch) dueAt(at time.Time) (store.Op, error) {
	key := keys.AlertWatch(w.GroupID, string(w.Provider))
	item, err := store.Encode(key, w.version, w)
	item.Index = keys.AlertDue(at, w.GroupID, key.SK)
	return store.Put(item), err
}

// rest is how often dates are looked at even if none of them means anything else than before: a precaution. A
// configuration that may ask for something else has them looked at; see lookAgain.
const rest = 28 * 24 * time.Hour

// next is when any of the dates may mean something else than it does now. A key's age does once it comes to
// where a configuration asks for a rotation, and from then on each day.
func (w watch) next(configs []Config, now time.Time) time.Time {
	soonest := now.Add(rest)
	for _, c := range configs {
		if r := w.Dates.Rotation; !r.Since.IsZero() && c.Enabled && c.Type == NeedsRotation(w.Provider) {
			soonest = due.Earlier(soonest, r.reaches(c.Threshold, now))
		}
	}
	for _, e := range w.Dates.Expiries {
		if at, ok := e.Next(now); ok {
			soonest = due.Earlier(soonest, at)
		}
	}
	return soonest
}

// Watch keeps the dates of a provider's key and warns when their time comes; it raises and closes
// at once what they mean today. Rotating a key is watching it with a later date: the reminder
// closes. Keeping what is known already writes nothing. No dates at all are as good as Unwatch.
func (s *Service) Watch(ctx context.Context, groupID string, p atlas.Provider, d Dates) error {
	if d.Rotation.Since.IsZero() && len(d.Expiries) == 0 {
		return s.Unwatch(ctx, groupID, p)
	}
	d = d.normal(p)
	return again(func() error {
		g, err := s.Groups.Open(ctx, groupID)
		if atlas.CodeOf(err) == atlas.GroupNotFound {
			return nil
		}
		if err != nil {
			return err
		}
		before, err := s.watched(ctx, groupID, p)
		if err != nil || before.version > 0 && before.Dates.same(d) {
			return err
		}
		w := watch{GroupID: groupID, Provider: p, Dates: d, version: before.version}
		now := s.now()
		// First the alerts: if one fails, the dates are not known yet and are told again.
		if err := s.heed(ctx, w, before.Dates.Expiries, now); err != nil {
			return err
		}
		record, err := s.put(ctx, w, now)
		if err != nil {
			return err
		}
		return s.Table.Write(ctx, g.Guard(), record)
	})
}

// Unwatch forgets a provider's dates and closes the alerts that they brought about.
func (s *Service) Unwatch(ctx context.Context, groupID string, p atlas.Provider) error {
	return again(func() error {
		before, err := s.watched(ctx, groupID, p)
		if err != nil || before.version == 0 {
			return err
		}
		empty := watch{GroupID: groupID, Provider: p}
		if err := s.heed(ctx, empty, before.Dates.Expiries, s.now()); err != nil {
			return err
		}
		return s.Table.Write(ctx, store.Delete(keys.AlertWatch(groupID, string(p)), before.version))
	})
}

func (s *Service) watched(ctx context.Context, groupID string, p atlas.Provider) (watch, error) {
	w, version, err := store.Load[watch](ctx, s.Table, keys.AlertWatch(groupID, string(p)))
	if isNone(err) {
		return watch{}, nil
	}
	w.version = version
	return w, err
}

// normal brings dates into the form in which they are stored and compared.
func (d Dates) normal(p atlas.Provider) Dates {
	d.Rotation.Provider, d.Rotation.Since = p, d.Rotation.Since.UTC().Truncate(time.Second)
	d.Expiries = slices.Clone(d.Expiries)
	for i := range d.Expiries {
		d.Expiries[i].Provider, d.Expiries[i].At = p, d.Expiries[i].At.UTC().Truncate(time.Second)
	}
	return d
}

func (d Dates) same(e Dates) bool {
	return d.Rotation.Name == e.Rotation.Name && d.Rotation.Since.Equal(e.Rotation.Since) &&
		slices.EqualFunc(d.Expiries, e.Expiries, func(a, b Expiry) bool {
			return a.Ending == b.Ending && a.Name == b.Name && a.At.Equal(b.At)
		})
}

// attendWatch does what a provider's dates mean today.
func (s *Service) attendWatch(ctx context.Context, item store.Item) error {
	w, err := store.Decode[watch](item)
	if err != nil {
		return err
	}
	w.version = item.Version
	if gone, err := s.removeOfClosed(ctx, w.GroupID, item); err != nil || gone {
		return err
	}
	now := s.now()
	if item.Index.SK > keys.AlertDueUntil(now) {
		return nil // somebody else has attended to it
	}
	// Alerts first: the record stays due until all of them are raised.
	if err := s.heed(ctx, w, nil, now); err != nil {
		return err
	}
	return s.putOff(ctx, w, now)
}

// putOff has dates looked at when they mean something else.
func (s *Service) putOff(ctx context.Context, w watch, now time.Time) error {
	record, err := s.put(ctx, w, now)
	if err != nil {
		return err
	}
	return s.Table.Write(ctx, record)
}

// lookAgain has a group's dates looked at: in the transaction that stores a configuration that may ask for them, so
// that they are, whatever becomes of who changes it.
func (s *Service) lookAgain(ctx context.Context, c Config) ([]store.Op, error) {
	if !c.Enabled || !dated(c.Type) {
		return nil, nil
	}
	var ops []store.Op
	for _, p := range atlas.Providers() {
		w, err := s.watched(ctx, c.GroupID, p)
		if err != nil {
			return nil, err
		}
		if w.version == 0 {
			continue
		}
		due, err := w.dueAt(s.now())
		if err != nil {
			return nil, err
		}
		ops = append(ops, due)
	}
	return ops, nil
}

// reconsiderDates looks at a group's dates at once after lookAgain. What fails here is due.
func (s *Service) reconsiderDates(ctx context.Context, c Config) {
	if !dated(c.Type) {
		return
	}
	for _, p := range atlas.Providers() {
		_ = again(func() error { return s.reconsider(ctx, c.GroupID, p) }) // see above
	}
}

// reconsider looks at a provider's dates by the configurations of now. Whoever writes them meanwhile may have read those
// of before.
func (s *Service) reconsider(ctx context.Context, groupID string, p atlas.Provider) error {
	w, err := s.watched(ctx, groupID, p)
	if err != nil || w.version == 0 {
		return err
	}
	now := s.now()
	if err := s.heed(ctx, w, nil, now); err != nil {
		return err
	}
	return s.putOff(ctx, w, now)
}

// heed raises and closes what the dates mean now. gone are ends that were known before.
func (s *Service) heed(ctx context.Context, w watch, gone []Expiry, now time.Time) error {
	if r := w.Dates.Rotation; r.Since.IsZero() {
		if err := s.Clear(ctx, w.GroupID, NeedsRotation(w.Provider), string(w.Provider), time.Time{}); err != nil {
			return err
		}
	} else if err := s.Raise(ctx, w.GroupID, r.condition(now)); err != nil {
		return err
	}
	for _, e := range w.Dates.Expiries {
		if err := s.warn(ctx, w.GroupID, e, now); err != nil {
			return err
		}
	}
	for _, e := range gone {
		if w.expects(e) {
			continue
		}
		if err := s.clearStages(ctx, w.GroupID, e, nil, Alert.close); err != nil {
			return err
		}
	}
	return nil
}

// expects reports whether an end of this kind is among the dates: its warnings are up to date then.
func (w watch) expects(e Expiry) bool {
	return slices.ContainsFunc(w.Dates.Expiries, func(known Expiry) bool { return known.Ending == e.Ending })
}

// warn raises the warning of an end that is due, and closes those of other stages. Each stage is
// an alert of its own: acknowledging that a key ends in 30 days silences nothing 28 days later.
func (s *Service) warn(ctx context.Context, groupID string, e Expiry, now time.Time) error {
	w, ok := e.Warning(now)
	if !ok {
		return s.clearStages(ctx, groupID, e, nil, Alert.close)
	}
	// Nothing is resolved when one stage follows another, so nobody is told that it is.
	if err := s.clearStages(ctx, groupID, e, &w.Stage, Alert.cancel); err != nil {
		return err
	}
	return s.Raise(ctx, groupID, Condition{
		Type: w.Type, Subject: e.subject(w.Stage), Announce: true,
		Facts: Facts{Summary: w.Summary, Remedy: w.Remedy, Ends: e.At},
	})
}

// subject tells the warnings of an end's stages apart.
func (e Expiry) subject(stage int) string {
	return fmt.Sprintf("%s/%s/%s", e.Provider, e.Ending, strconv.Itoa(stage))
}

// clearStages ends the warnings of all stages of an end but one.
func (s *Service) clearStages(ctx context.Context, groupID string, e Expiry, but *int, how ending) error {
	for _, stage := range append(Stages(), 0) {
		if but != nil && stage == *but {
			continue
		}
		if err := s.clear(ctx, groupID, e.kind(), e.subject(stage), time.Time{}, how); err != nil {
			return err
		}
	}
	return nil
}
