package project

import (
	"context"
	"errors"
	"slices"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/identity"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

// Person is somebody of an organisation who answers for it: whom Latchkey e-mails. People do
// not call the API; keys and service accounts do.
type Person struct {
	ID        string          `json:"id"`
	OrgID     string          `json:"orgId"`
	Username  string          `json:"username"` // the e-mail address
	FirstName string          `json:"firstName,omitempty"`
	LastName  string          `json:"lastName,omitempty"`
	OrgRoles  []identity.Role `json:"orgRoles"`
	Created   time.Time       `json:"created"`
}

// Member is a person's membership in a group.
type Member struct {
	PersonID string          `json:"personId"`
	GroupID  string          `json:"groupId"`
	Username string          `json:"username"`
	Roles    []identity.Role `json:"roles"`
	Since    time.Time       `json:"since"`
}

// join returns the operation that makes the person a member of a group.
func (p Person) join(groupID string, roles []identity.Role, now time.Time) (store.Op, error) {
	m := Member{PersonID: p.ID, GroupID: groupID, Username: p.Username, Roles: roles, Since: now.UTC()}
	item, err := store.Encode(keys.Member(groupID, p.ID), 0, m)
	if err != nil {
		return store.Op{}, err
	}
	item.Index = keys.MembersOf(p.OrgID, p.ID, groupID)
	return store.Put(item), nil
}

// People lists the people of an organisation, oldest first.
func (s *Service) People(ctx context.Context, orgID string) ([]Person, error) {
	return store.LoadAll[Person](ctx, s.Table, store.Query{PK: keys.Org(orgID).PK, Prefix: keys.PersonPrefix})
}

// Members lists the members of a group, oldest account first.
func (s *Service) Members(ctx context.Context, groupID string) ([]Member, error) {
	return store.LoadAll[Member](ctx, s.Table, store.Query{PK: keys.Group(groupID).PK, Prefix: keys.PersonPrefix})
}

// Owners lists the members of a group who are Project Owners: whom to warn when its key is in
// trouble.
func (s *Service) Owners(ctx context.Context, groupID string) ([]Member, error) {
	members, err := s.Members(ctx, groupID)
	return slices.DeleteFunc(members, func(m Member) bool {
		return !slices.Contains(m.Roles, identity.GroupOwner)
	}), err
}

// Memberships lists the memberships of an organisation's people in its open groups.
func (s *Service) Memberships(ctx context.Context, orgID string) ([]Member, error) {
	place := keys.GroupsOf(orgID, "")
	groups, err := store.LoadAll[Group](ctx, s.Table, store.Query{Index: true, PK: place.PK, Prefix: place.SK})
	if err != nil {
		return nil, err
	}
	isOpen := map[string]bool{}
	for _, g := range groups {
		isOpen[g.ID] = !g.IsClosed()
	}
	members, err := store.LoadAll[Member](ctx, s.Table, store.Query{Index: true, PK: place.PK, Prefix: keys.MemberPrefix})
	return slices.DeleteFunc(members, func(m Member) bool { return !isOpen[m.GroupID] }), err
}

// ownerOf finds who becomes Project Owner of a new group.
func (s *Service) ownerOf(ctx context.Context, d Draft) (owner Person, found bool, err error) {
	if atlas.ValidID(d.OwnerID) {
		p, _, err := store.Load[Person](ctx, s.Table, keys.Person(d.OrgID, d.OwnerID))
		if err == nil || !errors.Is(err, store.ErrNotFound) {
			return p, err == nil, err
		}
	}
	people, err := s.People(ctx, d.OrgID)
	i := slices.IndexFunc(people, func(p Person) bool { return slices.Contains(p.OrgRoles, identity.OrgOwner) })
	if err != nil || i < 0 {
		return Person{}, false, err
	}
	return people[i], true, nil
}
