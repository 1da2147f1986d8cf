package snapshot

import (
	"context"
	"slices"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/cluster"
	"latchkey/shared/identity"
	"latchkey/shared/snapshot/due"
	"latchkey/shared/store"
)

// Plan is a cluster's schedule and what comes next.
type Plan struct {
	Cluster  cluster.Cluster
	Schedule Schedule
	Next     time.Time // zero if no snapshot is scheduled
}

// Schedule reads when snapshots of a cluster are taken. It returns BACKUP_JOB_NOT_FOUND for a
// cluster without backups.
func (s *Service) Schedule(ctx context.Context, groupID, name string) (Plan, error) {
	d, err := s.backedUp(ctx, groupID, name)
	if err != nil {
		return Plan{}, err
	}
	p, err := loadPolicy(ctx, s.Table, d.Cluster)
	return Plan{Cluster: d.Cluster, Schedule: p.Schedule, Next: p.Schedule.Next(s.Now())}, err
}

// Update is what a client changes of a schedule; nil leaves it as it is.
type Update struct {
	Policies          []PolicyUpdate // nil leaves the items as they are
	Hour              *int
	Minute            *int
	RestoreWindowDays *int
	// Reapply applies the new retention to snapshots that were taken before.
	Reapply bool
}

// PolicyUpdate replaces the items of a policy. An item without an id is new.
type PolicyUpdate struct {
	ID    string
	Items []Item
}

// UpdateSchedule changes when snapshots of a cluster are taken.
func (s *Service) UpdateSchedule(ctx context.Context, c identity.Caller, groupID, name string, u Update) (Plan, error) {
	plan, err := s.changeSchedule(ctx, c, groupID, name, u.Reapply, func(before Schedule) (Schedule, error) {
		return before.updated(u, s.mint)
	})
	return plan, err
}

// DeleteSchedule removes every item of a schedule: no more snapshots are taken but on demand. Those
// that there are stay until they expire.
func (s *Service) DeleteSchedule(ctx context.Context, c identity.Caller, groupID, name string) (Plan, error) {
	return s.changeSchedule(ctx, c, groupID, name, false, func(before Schedule) (Schedule, error) {
		before.Items = nil
		return before, nil
	})
}

func (s *Service) changeSchedule(ctx context.Context, c identity.Caller, groupID, name string, reapply bool, change func(Schedule) (Schedule, error)) (Plan, error) {
	var plan Plan
	err := store.Again(attempts, func() error {
		d, err := s.backedUp(ctx, groupID, name)
		if err != nil {
			return err
		}
		p, err := loadPolicy(ctx, s.Table, d.Cluster)
		if err != nil {
			return err
		}
		if p.Schedule, err = change(p.Schedule); err != nil {
			return err
		}
		// What was missed under the old schedule is not made up for under the new one.
		p.Ran, p.Reapply = s.Now().UTC(), p.Reapply || reapply
		plan = Plan{Cluster: d.Cluster, Schedule: p.Schedule, Next: p.Schedule.Next(s.Now())}
		put, err := p.put()
		if err != nil {
			return err
		}
		e, err := s.Journal.Put(s.event(EventSchedule, audit.By(c), d.OrgID, d.GroupID, d.Name))
		if err != nil {
			return err
		}
		wake, err := due.Wake(ctx, s.Table, d.ID, s.Now())
		if err != nil {
			return err
		}
		return s.Table.Write(ctx, put, e, wake)
	})
	if err != nil {
		return Plan{}, err
	}
	s.kick(ctx, plan.Cluster.ID)
	return plan, nil
}

// updated returns the schedule with an update, checked.
func (s Schedule) updated(u Update, mint func() string) (Schedule, error) {
	for _, field := range []struct{ from, to *int }{{u.Hour, &s.Hour}, {u.Minute, &s.Minute}, {u.RestoreWindowDays, &s.RestoreWindowDays}} {
		if field.from != nil {
			*field.to = *field.from
		}
	}
	if u.Policies != nil {
		if len(u.Policies) != 1 {
			return Schedule{}, atlas.Fail(atlas.InvalidPolicyCount)
		}
		items, err := s.replaced(u.Policies[0], mint)
		if err != nil {
			return Schedule{}, err
		}
		s.Items = items
	}
	return s, s.Check()
}

// replaced are the items of an update. Those that are known keep their ids.
func (s Schedule) replaced(u PolicyUpdate, mint func() string) ([]Item, error) {
	if u.ID != "" && u.ID != s.PolicyID {
		return nil, atlas.Fail(atlas.InvalidPolicyID, u.ID)
	}
	if len(u.Items) > maxItems {
		return nil, atlas.Fail(atlas.InvalidBackupPolicy, "too many policy items")
	}
	items := slices.Clone(u.Items)
	seen := map[string]bool{}
	for i, item := range items {
		if item.ID == "" {
			items[i].ID = mint()
			continue
		}
		old := slices.IndexFunc(s.Items, func(known Item) bool { return known.ID == item.ID })
		switch {
		case old < 0 || seen[item.ID]:
			return nil, atlas.Fail(atlas.InvalidPolicyItemID, item.ID)
		case s.Items[old].Frequency != item.Frequency:
			return nil, atlas.Fail(atlas.InvalidFrequencyTypeChange)
		}
		seen[item.ID] = true
	}
	return items, nil
}
