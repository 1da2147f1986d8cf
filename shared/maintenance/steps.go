package maintenance

import (
	"context"
	"errors"
	"time"

	"latchkey/shared/alert"
	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/due"
	"latchkey/shared/project"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

// AttendAll announces and puts off what is due in all groups. It may run any number of times, also at
// the same moment: each start is announced once. What may begin is left to whoever carries it out.
func (s *Service) AttendAll(ctx context.Context) (due.Report, error) {
	queue := due.Queue{
		Table: s.Table, Partition: keys.MaintenanceDue(time.Time{}, "").PK,
		Attend: func(ctx context.Context, item store.Item) error {
			w, err := store.Decode[Window](item)
			if err != nil {
				return err
			}
			_, err = s.Attend(ctx, w.GroupID)
			return err
		},
	}
	return queue.Run(ctx, s.Now())
}

// Attend does what is due of a group's plan, as far as it can be done here: announce it or put it
// off. It returns Begin when the plan may run; whoever carries it out calls Begin then. Repeating
// it does nothing twice.
func (s *Service) Attend(ctx context.Context, groupID string) (Step, error) {
	var step Step
	err := again(func() error {
		w, g, err := s.load(ctx, groupID)
		if atlas.CodeOf(err) == atlas.GroupNotFound {
			step = Nothing
			return s.forget(ctx, groupID)
		}
		if err != nil {
			return err
		}
		now := s.now()
		switch step = w.Due(now); step {
		case Announce:
			after := w.announce(now)
			return s.announce(ctx, g, after)
		case PutOff:
			after := w.autoDefer()
			if err := s.tell(ctx, alert.MaintenanceAutoDeferred, after, "%s was deferred automatically. It is to begin on %s."); err != nil {
				return err
			}
			return s.write(ctx, g, after, nil, s.event(alert.MaintenanceAutoDeferred, audit.System(), after))
		case Miss:
			if err := s.clear(ctx, alert.MaintenanceInAdvance, w); err != nil {
				return err
			}
			after := w.wait(now)
			return s.write(ctx, g, after, nil, s.event(Deferred, audit.System(), after))
		case Begin, Nothing:
		}
		return nil
	})
	return step, err
}

// announce tells of a plan's start. The owners get an e-mail whatever alerts the project has configured.
func (s *Service) announce(ctx context.Context, g project.Group, w Window) error {
	if err := s.clearBefore(ctx, w); err != nil {
		return err
	}
	if err := s.warn(ctx, alert.MaintenanceInAdvance, w, "%s is scheduled to begin on %s."); err != nil {
		return err
	}
	mail, err := s.mail(ctx, g, w)
	if err != nil {
		return err
	}
	return s.write(ctx, g, w, mail, s.event(alert.MaintenanceInAdvance, audit.System(), w))
}

// forget removes the record of a closed group, so that it is not found due again.
func (s *Service) forget(ctx context.Context, groupID string) error {
	item, err := s.Table.Get(ctx, keys.Maintenance(groupID))
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.Table.Write(ctx, store.Delete(item.Key, item.Version))
}

// Begin notes that the planned maintenance has begun. It fails with ATLAS_MAINTENANCE_NOT_SCHEDULED
// if its time has not come: if it was deferred meanwhile, above all.
func (s *Service) Begin(ctx context.Context, groupID, what string) (Window, error) {
	return s.step(ctx, groupID, what, alert.MaintenanceStarted, func(w Window, now time.Time) (Window, bool, error) {
		if !w.MayRun(now) {
			return w, false, atlas.Fail(atlas.MaintenanceNotScheduled)
		}
		if !w.Plan.Begun.IsZero() {
			return w, false, nil
		}
		if err := s.clear(ctx, alert.MaintenanceInAdvance, w); err != nil {
			return w, false, err
		}
		return w.begin(now), true, s.warn(ctx, alert.MaintenanceStarted, w, "%s has begun. It was to begin on %s.")
	})
}

// Finish notes that the maintenance is done.
func (s *Service) Finish(ctx context.Context, groupID, what string) error {
	_, err := s.step(ctx, groupID, what, alert.MaintenanceCompleted, func(w Window, _ time.Time) (Window, bool, error) {
		if err := s.clear(ctx, alert.MaintenanceStarted, w); err != nil {
			return w, false, err
		}
		return w.finish(), true, s.tell(ctx, alert.MaintenanceCompleted, w, "%s is done. It was to begin on %s.")
	})
	return ignoreUnplanned(err)
}

// Drop notes that the maintenance is no longer needed.
func (s *Service) Drop(ctx context.Context, groupID, what string) error {
	_, err := s.step(ctx, groupID, what, alert.MaintenanceNoLongerNeeded, func(w Window, _ time.Time) (Window, bool, error) {
		for _, t := range []audit.Type{alert.MaintenanceInAdvance, alert.MaintenanceStarted} {
			if err := s.clear(ctx, t, w); err != nil {
				return w, false, err
			}
		}
		return w.finish(), true, s.tell(ctx, alert.MaintenanceNoLongerNeeded, w, "%s is no longer needed. It was to begin on %s.")
	})
	return ignoreUnplanned(err)
}

// ignoreUnplanned makes repeating the end of a plan harmless.
func ignoreUnplanned(err error) error {
	if atlas.CodeOf(err) == atlas.MaintenanceNotScheduled {
		return nil
	}
	return err
}

// step takes a plan one step on. Alerts come before the record: whoever fails in between comes
// again, and says nothing twice.
func (s *Service) step(ctx context.Context, groupID, what string, t audit.Type, take func(Window, time.Time) (Window, bool, error)) (Window, error) {
	var after Window
	err := again(func() error {
		w, g, err := s.load(ctx, groupID)
		if err != nil {
			return err
		}
		if w.Plan == nil || w.Plan.What != what {
			return atlas.Fail(atlas.MaintenanceNotScheduled)
		}
		var changed bool
		if after, changed, err = take(w, s.now()); err != nil || !changed {
			return err
		}
		e := s.event(t, audit.System(), w)
		return s.write(ctx, g, after, nil, e)
	})
	return after, err
}

func (s *Service) warn(ctx context.Context, t audit.Type, w Window, format string) error {
	return s.Alerts.Raise(ctx, w.GroupID, alert.Condition{Type: t, Subject: w.Plan.subject(), Facts: w.Plan.words(format)})
}

func (s *Service) tell(ctx context.Context, t audit.Type, w Window, format string) error {
	return s.Alerts.Happened(ctx, w.GroupID, alert.Condition{Type: t, Subject: w.Plan.subject(), Facts: w.Plan.words(format)})
}

// clear ends the alerts of a type, of the plan's start and of the one before.
func (s *Service) clear(ctx context.Context, t audit.Type, w Window) error {
	if err := s.Alerts.Clear(ctx, w.GroupID, t, w.Plan.subject(), time.Time{}); err != nil {
		return err
	}
	if t != alert.MaintenanceInAdvance {
		return nil
	}
	return s.clearBefore(ctx, w)
}

// clearBefore ends the announcement of the start before, if whoever withdrew it could not.
func (s *Service) clearBefore(ctx context.Context, w Window) error {
	if w.Plan.Before.IsZero() {
		return nil
	}
	return s.Alerts.Clear(ctx, w.GroupID, alert.MaintenanceInAdvance, w.Plan.subjectOf(w.Plan.Before), time.Time{})
}
