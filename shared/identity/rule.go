package identity

import "slices"

// Scope is what a rule's roles are held in.
type Scope int

// The scopes.
const (
	Public        Scope = iota // no authentication at all
	Authenticated              // any caller
	InOrg                      // a role in the organisation that the path names
	InGroup                    // a role in the group that the path names
)

// Rule says who may perform an operation. Every route has one; the zero Rule is public, so
// tests demand that public routes are on a short list.
type Rule struct {
	Scope Scope
	// Roles are the roles of which one is enough. Project Owner and Organisation Owner are
	// not implied: a rule names every role that it accepts.
	Roles []Role
}

// The rules of CONTRACT Appendix A. In a group, an Organisation Owner may read and administer
// the project itself, but has no access to its keys until added as Project Owner
// (encryption-at-rest document, "Required Access").
var (
	Anyone      = Rule{Scope: Public}
	AnyCaller   = Rule{Scope: Authenticated}
	ReadOrg     = Rule{Scope: InOrg, Roles: append([]Role(nil), orgRoles...)}
	OwnOrg      = Rule{Scope: InOrg, Roles: []Role{OrgOwner}}
	CreateGroup = Rule{Scope: Authenticated, Roles: []Role{OrgOwner, OrgGroupCreator}}
	// ReadGroup lets every role of the project read, and those who oversee the organisation.
	ReadGroup = Rule{Scope: InGroup, Roles: append(append([]Role(nil), groupRoles...), OrgOwner, OrgReadOnly)}
	// AdministerGroup changes the project itself: its name, settings and who has access.
	AdministerGroup = Rule{Scope: InGroup, Roles: []Role{GroupOwner, OrgOwner}}
	// OwnGroup changes what only a Project Owner may: keys, roles, endpoints.
	OwnGroup = Rule{Scope: InGroup, Roles: []Role{GroupOwner}}
)

// Allows reports whether a caller with these roles satisfies the rule. orgRoles are the
// caller's roles in the organisation the target belongs to, groupRoles those in the group.
func (r Rule) Allows(orgRoles, groupRoles []Role) bool {
	if len(r.Roles) == 0 {
		return true
	}
	has := func(role Role) bool { return slices.Contains(r.Roles, role) }
	return slices.ContainsFunc(orgRoles, has) || slices.ContainsFunc(groupRoles, has)
}
