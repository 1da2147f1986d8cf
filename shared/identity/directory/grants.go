package directory

import (
	"maps"
	"slices"

	"latchkey/shared/identity"
)

// Grants are the roles that an identity holds. Values are never changed in place: every
// method that changes something returns new Grants.
type Grants struct {
	OrgRoles   []identity.Role            `json:"orgRoles"`
	GroupRoles map[string][]identity.Role `json:"groupRoles,omitempty"`
}

// InOrg returns grants with these roles in the organisation and the same roles in groups.
// An identity is at least a member of its organisation.
func (g Grants) InOrg(roles []identity.Role) Grants {
	g.OrgRoles = distinct(roles)
	if len(g.OrgRoles) == 0 {
		g.OrgRoles = []identity.Role{identity.OrgMember}
	}
	return g
}

// InGroup returns grants with exactly these roles in a group; none takes the group away.
func (g Grants) InGroup(groupID string, roles []identity.Role) Grants {
	groups := maps.Clone(g.GroupRoles)
	if groups == nil {
		groups = map[string][]identity.Role{}
	}
	if len(roles) == 0 {
		delete(groups, groupID)
	} else {
		groups[groupID] = distinct(roles)
	}
	g.GroupRoles = groups
	return g
}

// AlsoInGroup returns grants with these roles in a group in addition to those held there.
func (g Grants) AlsoInGroup(groupID string, roles []identity.Role) Grants {
	return g.InGroup(groupID, slices.Concat(g.GroupRoles[groupID], roles))
}

// IsOwner reports whether the roles own the organisation.
func (g Grants) IsOwner() bool { return slices.Contains(g.OrgRoles, identity.OrgOwner) }

// HasGroup reports whether there is any role in the group.
func (g Grants) HasGroup(groupID string) bool { return len(g.GroupRoles[groupID]) > 0 }

// OnlyInGroup reports whether the group is all that the grants reach: no other group, and in
// the organisation nothing beyond membership. Whoever owns the group may then handle the
// identity's secrets; otherwise that would lend them roles that are not theirs to give.
func (g Grants) OnlyInGroup(groupID string) bool {
	for _, role := range g.OrgRoles {
		if role != identity.OrgMember {
			return false
		}
	}
	return len(g.GroupRoles) == 1 && g.HasGroup(groupID)
}

// Groups are the ids of the groups with roles, in order.
func (g Grants) Groups() []string { return slices.Sorted(maps.Keys(g.GroupRoles)) }

// distinct drops repetitions and keeps the order.
func distinct(roles []identity.Role) []identity.Role {
	kept := make([]identity.Role, 0, len(roles))
	for _, role := range roles {
		if !slices.Contains(kept, role) {
			kept = append(kept, role)
		}
	}
	return kept
}
