// Package project is about organisations, their projects (the API calls them groups) and the
// people who answer for them.
//
// Its invariant: a group is open or closed in one write. What must exist with a group is
// created in the transaction that creates it; what would keep it from closing is counted in
// its own record, so that nothing can be added to a group while it closes. What a closed
// group leaves behind is harmless, since every reader asks the group first, and is removed by
// Purge.
package project

import (
	"context"
	"errors"
	"fmt"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/identity"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

// Identities is what package project needs of API keys and service accounts.
type Identities interface {
	// Grant returns the operations that add roles in a group to the caller's own identity.
	// They belong in the transaction that creates the group.
	Grant(ctx context.Context, c identity.Caller, groupID string, roles []identity.Role) ([]store.Op, error)
	// GroupRoles reads every role the caller holds in a group, by group. A Caller itself knows
	// only those of the group that its request names.
	GroupRoles(ctx context.Context, c identity.Caller) (map[string][]identity.Role, error)
	// Withdraw takes every role in a closed group from the identities of its organisation. It
	// may be cut short and repeated.
	Withdraw(ctx context.Context, orgID, groupID string) error
}

// CreateHook returns what must exist with a new group, for the transaction that creates it.
type CreateHook func(o Org, g Group) ([]store.Op, error)

// CloseHook returns what must go or change in the transaction that closes a group. Other items
// of the group's partition need no hook: Purge removes them.
type CloseHook func(ctx context.Context, g Group) ([]store.Op, error)

// Service performs the use cases. All fields but the hooks are required.
type Service struct {
	Table      store.Table
	Journal    audit.Journal
	Identities Identities
	Now        func() time.Time
	OnCreate   []CreateHook
	OnClose    []CloseHook
}

// Use is something in a group that keeps it from being closed.
type Use string

// The uses that are counted.
const (
	Clusters         Use = "clusters"
	PrivateEndpoints Use = "privateEndpoints"
)

// Group is a project.
type Group struct {
	ID                string    `json:"id"`
	OrgID             string    `json:"orgId"`
	Name              string    `json:"name"`
	Created           time.Time `json:"created"`
	Tags              []Tag     `json:"tags,omitempty"`
	WithDefaultAlerts bool      `json:"withDefaultAlertsSettings"`
	// RegionUsageRestrictions is one of Regions, or "" for none.
	RegionUsageRestrictions string `json:"regionUsageRestrictions,omitempty"`
	// Uses counts what keeps the group from closing; see Service.Occupy.
	Uses map[Use]int `json:"uses,omitempty"`
	// Closed is when the group was deleted; zero while it is open. The record stays, so that
	// its organisation is told that the group is gone while strangers learn nothing.
	Closed time.Time `json:"closed,omitzero"`

	version int64 // of the stored record
}

// Tag labels a group.
type Tag struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Title is what messages to people call the group: names may be given anew, ids may not.
func (g Group) Title() string { return g.Name + " (" + g.ID + ")" }

// IsClosed reports whether the group has been deleted.
func (g Group) IsClosed() bool { return !g.Closed.IsZero() }

// Guard is the condition that the group is as it was read, above all that it is open. Add it to
// a transaction that writes something which a closed group must not get.
func (g Group) Guard() store.Op { return store.Check(keys.Group(g.ID), g.version) }

// put stores the group. An open group is listed under its organisation, a closed one among
// those that wait to be purged.
func (g Group) put() (store.Op, error) {
	item, err := store.Encode(keys.Group(g.ID), g.version, g)
	if err != nil {
		return store.Op{}, err
	}
	item.Index = keys.GroupsOf(g.OrgID, g.Name)
	if g.IsClosed() {
		item.Index = keys.ClosedGroups(g.ID)
	}
	return store.Put(item), nil
}

// Find reads a group, open or closed. It returns GROUP_NOT_FOUND if there never was one.
func (s *Service) Find(ctx context.Context, groupID string) (Group, error) {
	g, version, err := store.Load[Group](ctx, s.Table, keys.Group(groupID))
	if errors.Is(err, store.ErrNotFound) {
		return Group{}, atlas.Fail(atlas.GroupNotFound, groupID)
	}
	g.version = version
	return g, err
}

// Open reads a group that is open. It returns GROUP_NOT_FOUND if it is not.
func (s *Service) Open(ctx context.Context, groupID string) (Group, error) {
	g, err := s.Find(ctx, groupID)
	if err == nil && g.IsClosed() {
		return Group{}, atlas.Fail(atlas.GroupNotFound, groupID)
	}
	return g, err
}

// FindGroup implements identity.GroupFinder.
func (s *Service) FindGroup(ctx context.Context, groupID string) (orgID string, closed, found bool, err error) {
	g, _, err := store.Load[Group](ctx, s.Table, keys.Group(groupID))
	if errors.Is(err, store.ErrNotFound) {
		return "", false, false, nil
	}
	if err != nil {
		return "", false, false, err
	}
	return g.OrgID, g.IsClosed(), true, nil
}

// Occupy returns the operation that adds n (or takes -n away) of a use to an open group. It
// belongs in the transaction that creates or removes the thing that is counted, so that the
// count is always right and a group never closes around it. The transaction conflicts if the
// group changed meanwhile; read again and retry. It returns MAX_CLUSTERS_PER_GROUP_EXCEEDED if the group's limit
// of clusters would be exceeded.
func (s *Service) Occupy(ctx context.Context, groupID string, u Use, n int) (store.Op, error) {
	g, err := s.Open(ctx, groupID)
	if err != nil {
		return store.Op{}, err
	}
	count := g.Uses[u] + n
	if count < 0 {
		return store.Op{}, fmt.Errorf("group %s would have %d %s", groupID, count, u)
	}
	if n > 0 && u == Clusters {
		l, err := s.Limit(ctx, groupID, clusterLimit)
		if err != nil {
			return store.Op{}, err
		}
		if int64(count) > l.Value {
			return store.Op{}, atlas.Fail(atlas.MaxClustersExceeded, l.Value, groupID).Hinting("The limit %s can be raised to %d.", l.Name, *l.Maximum)
		}
	}
	uses := map[Use]int{u: count}
	for other, c := range g.Uses {
		if other != u {
			uses[other] = c
		}
	}
	g.Uses = uses
	return g.put()
}

// attempts bounds how often a change is made again because something else was written to the
// same records at the same time. Clashes are rare and resolve in one more round.
const attempts = 5
