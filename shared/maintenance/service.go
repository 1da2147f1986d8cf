package maintenance

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"latchkey/shared/alert"
	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/identity"
	"latchkey/shared/project"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

// WindowUpdated and Deferred are Latchkey's own types of events: what tenants do to windows.
const (
	WindowUpdated audit.Type = "MAINTENANCE_WINDOW_UPDATED"
	Deferred      audit.Type = "MAINTENANCE_DEFERRED"
)

// Groups finds the group that a window belongs to; project.Service is the one in use.
type Groups interface {
	Open(ctx context.Context, groupID string) (project.Group, error)
}

// Alerts warns of maintenance; alert.Service is the one in use.
type Alerts interface {
	Raise(ctx context.Context, groupID string, c alert.Condition) error
	Clear(ctx context.Context, groupID string, t audit.Type, subject string, observed time.Time) error
	Happened(ctx context.Context, groupID string, c alert.Condition) error
}

// Service performs the use cases. Alerts is needed by Attend, Begin, Finish and Drop only; the
// other fields are required.
type Service struct {
	Table   store.Table
	Journal audit.Journal
	Groups  Groups
	Alerts  Alerts
	Now     func() time.Time
}

const attempts = 8

func again(change func() error) error {
	err := store.Again(attempts, change)
	if errors.Is(err, store.ErrConflict) {
		return atlas.Fail(atlas.ConcurrentModification).Because(err)
	}
	return err
}

func (s *Service) now() time.Time { return s.Now().UTC().Truncate(time.Second) }

// Window reads the window of an open group.
func (s *Service) Window(ctx context.Context, groupID string) (Window, error) {
	w, _, err := s.load(ctx, groupID)
	return w, err
}

func (s *Service) load(ctx context.Context, groupID string) (Window, project.Group, error) {
	g, err := s.Groups.Open(ctx, groupID)
	if err != nil {
		return Window{}, g, err
	}
	w, version, err := store.Load[Window](ctx, s.Table, keys.Maintenance(groupID))
	if errors.Is(err, store.ErrNotFound) {
		return Window{GroupID: groupID, OrgID: g.OrgID}, g, nil
	}
	w.version = version
	return w, g, err
}

func (w Window) put() (store.Op, error) {
	item, err := store.Encode(keys.Maintenance(w.GroupID), w.version, w)
	if at, ok := w.next(); ok {
		item.Index = keys.MaintenanceDue(at, w.GroupID)
	}
	return store.Put(item), err
}

// Update changes what a project wishes.
func (s *Service) Update(ctx context.Context, c identity.Caller, groupID string, wish Settings) error {
	return s.change(ctx, groupID, WindowUpdated, audit.By(c), func(w Window) (Window, error) { return w.Apply(wish, s.now()) })
}

// Reset takes a project's wishes back.
func (s *Service) Reset(ctx context.Context, c identity.Caller, groupID string) error {
	return s.change(ctx, groupID, WindowUpdated, audit.By(c), func(w Window) (Window, error) { return w.Reset(s.now()) })
}

// ToggleAutoDefer turns automatic deferral on or off.
func (s *Service) ToggleAutoDefer(ctx context.Context, c identity.Caller, groupID string) error {
	return s.change(ctx, groupID, WindowUpdated, audit.By(c), Window.ToggleAutoDefer)
}

// Defer puts the announced maintenance off by a week. Its announcement ends; another follows.
func (s *Service) Defer(ctx context.Context, c identity.Caller, groupID string) error {
	var before Window
	err := s.change(ctx, groupID, Deferred, audit.By(c), func(w Window) (Window, error) {
		before = w
		return w.Defer()
	})
	if err != nil || s.Alerts == nil {
		return err
	}
	_ = s.clear(ctx, alert.MaintenanceInAdvance, before) // or it ends with the next announcement
	return nil
}

// SetTimeZone sets the zone that a project's days and hours are in. Clients of the API can't.
func (s *Service) SetTimeZone(ctx context.Context, by audit.Actor, groupID, name string) error {
	if _, err := time.LoadLocation(name); err != nil || name == "Local" {
		return atlas.Fail(atlas.InvalidAttribute, "timeZoneId").Because(err)
	}
	return s.change(ctx, groupID, WindowUpdated, by, func(w Window) (Window, error) {
		before := w
		w.TimeZone = name
		return w.replan(before, s.now())
	})
}

// Plan plans a maintenance into a group's window, unless one of the same kind is planned already:
// wanted is when it should be done at the latest, mustBy when it must be.
func (s *Service) Plan(ctx context.Context, groupID, what string, wanted, mustBy time.Time) (Window, error) {
	var planned Window
	err := again(func() error {
		w, g, err := s.load(ctx, groupID)
		if err != nil {
			return err
		}
		if w.Plan != nil && w.Plan.What == what {
			planned = w
			return nil
		}
		now := s.now()
		planned, err = w.Add(Plan{
			ID: atlas.NewID(now), What: what, Wanted: wanted.UTC().Truncate(time.Second), MustBy: mustBy.UTC().Truncate(time.Second),
		}, now)
		if err != nil {
			return err
		}
		return s.write(ctx, g, planned, nil)
	})
	return planned, err
}

// change applies a change and tells of it in an event. A change that changes nothing writes
// nothing.
func (s *Service) change(ctx context.Context, groupID string, t audit.Type, by audit.Actor, edit func(Window) (Window, error)) error {
	return again(func() error {
		before, g, err := s.load(ctx, groupID)
		if err != nil {
			return err
		}
		after, err := edit(before)
		if err != nil || reflect.DeepEqual(before, after) {
			return err
		}
		return s.write(ctx, g, after, nil, s.event(t, by, after))
	})
}

// write stores a window of an open group, with events and whatever else belongs in the transaction.
func (s *Service) write(ctx context.Context, g project.Group, w Window, more []store.Op, events ...audit.Event) error {
	record, err := w.put()
	if err != nil {
		return err
	}
	told, err := s.Journal.PutAll(events...)
	if err != nil {
		return err
	}
	return s.Table.Write(ctx, slices.Concat([]store.Op{g.Guard(), record}, more, told)...)
}

func (s *Service) event(t audit.Type, by audit.Actor, w Window) audit.Event {
	e := audit.New(s.Now(), t, by, w.OrgID, w.GroupID).With("dayOfWeek", w.Day).With("hourOfDay", w.Hour)
	if w.Plan != nil {
		e = e.With("maintenance", w.Plan.What).With("start", atlas.Time(w.Plan.Start)).With("numberOfDeferrals", w.Plan.Deferrals)
	}
	return e
}

// subject tells the announcements of a plan's starts apart.
func (p Plan) subject() string { return p.subjectOf(p.Start) }

func (p Plan) subjectOf(start time.Time) string { return p.ID + "/" + atlas.Time(start) }

// words are what an alert of a plan says.
func (p Plan) words(format string) alert.Facts {
	return alert.Facts{Summary: fmt.Sprintf(format, p.What, p.when())}
}

// when is the plan's start as people write it.
func (p Plan) when() string { return p.Start.UTC().Format("2 January 2006 at 15:04 UTC") }
