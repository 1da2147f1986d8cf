package project

import (
	"context"
	"errors"
	"slices"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/identity"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

// Draft is what a client says of a group that is to be created.
type Draft struct {
	OrgID                   string
	Name                    string
	Tags                    []Tag
	WithDefaultAlerts       bool
	RegionUsageRestrictions string
	// OwnerID is the person who becomes Project Owner. When it is empty or names nobody of
	// the organisation, the oldest Organization Owner does.
	OwnerID string
}

func (d Draft) validate() error {
	return errors.Join(checkName(d.Name), checkTags(d.Tags), checkRegionRestrictions(d.RegionUsageRestrictions))
}

// Create makes a group in the caller's organisation. The caller's key becomes its Project
// Owner, so that whoever creates a group can use it at once.
func (s *Service) Create(ctx context.Context, c identity.Caller, d Draft) (Group, error) {
	if err := d.validate(); err != nil {
		return Group{}, err
	}
	if d.OrgID != c.OrgID {
		return Group{}, atlas.Fail(atlas.UserCannotAccessOrg, d.OrgID)
	}
	var g Group
	err := store.Again(attempts, func() error {
		var err error
		g, err = s.create(ctx, c, d)
		return err
	})
	return g, err
}

func (s *Service) create(ctx context.Context, c identity.Caller, d Draft) (Group, error) {
	if _, taken, err := s.reservation(ctx, d.OrgID, d.Name); err != nil || taken {
		return Group{}, errors.Join(err, nameTaken(taken, d.Name))
	}
	org, err := s.FindOrg(ctx, d.OrgID)
	if err != nil {
		return Group{}, err
	}
	now := s.Now()
	g := d.group(atlas.NewID(now), now)
	ops, err := s.creation(org, g, audit.By(c))
	if err != nil {
		return Group{}, err
	}
	owner, found, err := s.ownerOf(ctx, d)
	if err != nil {
		return Group{}, err
	}
	if found {
		op, err := owner.join(g.ID, []identity.Role{identity.GroupOwner}, now)
		if err != nil {
			return Group{}, err
		}
		ops = append(ops, op)
	}
	grant, err := s.Identities.Grant(ctx, c, g.ID, []identity.Role{identity.GroupOwner})
	if err != nil {
		return Group{}, err
	}
	if err := s.Table.Write(ctx, append(ops, grant...)...); err != nil {
		return Group{}, err
	}
	g.version = 1
	return g, nil
}

func (d Draft) group(id string, now time.Time) Group {
	return Group{
		ID: id, OrgID: d.OrgID, Name: d.Name, Created: now.UTC().Truncate(time.Second), Tags: d.Tags,
		WithDefaultAlerts: d.WithDefaultAlerts, RegionUsageRestrictions: d.RegionUsageRestrictions,
	}
}

// creation returns what every new group comes with: its record, its name's reservation, what
// the hooks add, and the events in its own feed and its organisation's.
func (s *Service) creation(o Org, g Group, by audit.Actor) ([]store.Op, error) {
	record, err := g.put()
	if err != nil {
		return nil, err
	}
	reservation, err := reserve(g)
	if err != nil {
		return nil, err
	}
	ops := []store.Op{record, reservation}
	for _, hook := range s.OnCreate {
		more, err := hook(o, g)
		if err != nil {
			return nil, err
		}
		ops = append(ops, more...)
	}
	events, err := s.Journal.PutAll(s.announce(GroupCreated, g, by)...)
	return append(ops, events...), err
}

// announce makes the event of a group's birth or end for the two feeds that it belongs in.
func (s *Service) announce(t audit.Type, g Group, by audit.Actor) []audit.Event {
	now := s.Now()
	return []audit.Event{
		audit.New(now, t, by, g.OrgID, g.ID).With("groupName", g.Name),
		audit.New(now, t, by, g.OrgID, "").With("groupId", g.ID).With("groupName", g.Name),
	}
}

// nameHolder is the record behind a reserved name.
type nameHolder struct {
	GroupID string `json:"groupId"`
}

func reserve(g Group) (store.Op, error) {
	item, err := store.Encode(keys.GroupName(g.OrgID, g.Name), 0, nameHolder{GroupID: g.ID})
	return store.Put(item), err
}

// reservation reads who holds a name in an organisation.
func (s *Service) reservation(ctx context.Context, orgID, name string) (item store.Item, taken bool, err error) {
	item, err = s.Table.Get(ctx, keys.GroupName(orgID, name))
	if errors.Is(err, store.ErrNotFound) {
		return store.Item{}, false, nil
	}
	return item, err == nil, err
}

func nameTaken(taken bool, name string) error {
	if !taken {
		return nil
	}
	return atlas.Fail(atlas.GroupAlreadyExists, name)
}

// Change is what a client wants changed in a group; nil leaves a member as it is.
type Change struct {
	Name              *string
	Tags              *[]Tag
	WithDefaultAlerts *bool
}

func (ch Change) validate() error {
	var errs []error
	if ch.Name != nil {
		errs = append(errs, checkName(*ch.Name))
	}
	if ch.Tags != nil {
		errs = append(errs, checkTags(*ch.Tags))
	}
	return errors.Join(errs...)
}

// apply returns the changed group and the types of the events that tell of it.
func (ch Change) apply(g Group) (Group, []audit.Type) {
	var changed []audit.Type
	if ch.Name != nil && *ch.Name != g.Name {
		g.Name = *ch.Name
		changed = append(changed, GroupNameChanged)
	}
	if ch.Tags != nil && !slices.Equal(*ch.Tags, g.Tags) {
		g.Tags = *ch.Tags
		changed = append(changed, GroupTagsModified)
	}
	if ch.WithDefaultAlerts != nil && *ch.WithDefaultAlerts != g.WithDefaultAlerts {
		g.WithDefaultAlerts = *ch.WithDefaultAlerts
		changed = append(changed, DefaultAlertsChanged)
	}
	return g, changed
}

// Update changes a group. A change that changes nothing writes nothing.
func (s *Service) Update(ctx context.Context, c identity.Caller, groupID string, ch Change) (Group, error) {
	if err := ch.validate(); err != nil {
		return Group{}, err
	}
	var g Group
	err := store.Again(attempts, func() error {
		var err error
		g, err = s.update(ctx, c, groupID, ch)
		return err
	})
	return g, err
}

func (s *Service) update(ctx context.Context, c identity.Caller, groupID string, ch Change) (Group, error) {
	before, err := s.Open(ctx, groupID)
	if err != nil {
		return Group{}, err
	}
	after, changed := ch.apply(before)
	if len(changed) == 0 {
		return before, nil
	}
	record, err := after.put()
	if err != nil {
		return Group{}, err
	}
	ops, err := s.rename(ctx, before, after)
	if err != nil {
		return Group{}, err
	}
	ops = append(ops, record)
	for _, t := range changed {
		e := audit.New(s.Now(), t, audit.By(c), after.OrgID, after.ID).With("groupName", after.Name)
		if t == GroupNameChanged {
			e = e.With("previousName", before.Name)
		}
		events, err := s.Journal.PutAll(e)
		if err != nil {
			return Group{}, err
		}
		ops = append(ops, events...)
	}
	if err := s.Table.Write(ctx, ops...); err != nil {
		return Group{}, err
	}
	after.version++
	return after, nil
}

// rename moves the reservation of the name, if the name changes.
func (s *Service) rename(ctx context.Context, before, after Group) ([]store.Op, error) {
	if before.Name == after.Name {
		return nil, nil
	}
	if _, taken, err := s.reservation(ctx, after.OrgID, after.Name); err != nil || taken {
		return nil, errors.Join(err, nameTaken(taken, after.Name))
	}
	release, err := s.release(ctx, before)
	if err != nil {
		return nil, err
	}
	take, err := reserve(after)
	return append(release, take), err
}

// release frees the group's name.
func (s *Service) release(ctx context.Context, g Group) ([]store.Op, error) {
	item, taken, err := s.reservation(ctx, g.OrgID, g.Name)
	if err != nil || !taken {
		return nil, err
	}
	return []store.Op{store.Delete(item.Key, item.Version)}, nil
}

// Visible lists the open groups of the caller's organisation that the caller may read, by
// name. It reads the index, so that a group created a moment ago may be missing.
func (s *Service) Visible(ctx context.Context, c identity.Caller) ([]Group, error) {
	place := keys.GroupsOf(c.OrgID, "")
	items, err := store.All(ctx, s.Table, store.Query{Index: true, PK: place.PK, Prefix: place.SK})
	if err != nil {
		return nil, err
	}
	sees, err := s.sight(ctx, c)
	if err != nil {
		return nil, err
	}
	var groups []Group
	for _, item := range items {
		g, err := store.Decode[Group](item)
		if err != nil {
			return nil, err
		}
		g.version = item.Version
		if !g.IsClosed() && sees(g) {
			groups = append(groups, g)
		}
	}
	return groups, nil
}

// FindByName finds an open group of the caller's organisation by its name. A group that the
// caller may not read is not found, so that names tell nothing.
func (s *Service) FindByName(ctx context.Context, c identity.Caller, name string) (Group, error) {
	missing := atlas.Fail(atlas.GroupNameNotFound, name)
	item, taken, err := s.reservation(ctx, c.OrgID, name)
	if err != nil {
		return Group{}, err
	}
	if !taken {
		return Group{}, missing
	}
	holder, err := store.Decode[nameHolder](item)
	if err != nil {
		return Group{}, err
	}
	g, err := s.Open(ctx, holder.GroupID)
	if atlas.CodeOf(err) == atlas.GroupNotFound {
		return Group{}, missing // closed since the name was read
	}
	if err != nil {
		return Group{}, err
	}
	sees, err := s.sight(ctx, c)
	if err != nil {
		return Group{}, err
	}
	if !sees(g) {
		return Group{}, missing
	}
	return g, nil
}

// sight tells which groups of the organisation a caller may read, by the rule that guards
// reading one.
func (s *Service) sight(ctx context.Context, c identity.Caller) (func(Group) bool, error) {
	if identity.ReadGroup.Allows(c.OrgRoles, nil) {
		return func(Group) bool { return true }, nil
	}
	roles, err := s.Identities.GroupRoles(ctx, c)
	if err != nil {
		return nil, err
	}
	return func(g Group) bool { return identity.ReadGroup.Allows(nil, roles[g.ID]) }, nil
}
