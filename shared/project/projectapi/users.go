package projectapi

import (
	"context"
	"slices"
	"strings"

	"latchkey/shared/atlas"
	"latchkey/shared/httpapi"
	"latchkey/shared/identity"
	"latchkey/shared/project"
)

// account is what every shape of a user has. Latchkey knows neither where people live nor when
// they last signed in, since they don't.
type account struct {
	Country      *string `json:"country"`
	CreatedAt    string  `json:"createdAt"`
	FirstName    string  `json:"firstName"`
	ID           string  `json:"id"`
	LastName     string  `json:"lastName"`
	MobileNumber *string `json:"mobileNumber"`
	Username     string  `json:"username"`
}

func accountOf(p project.Person) account {
	return account{
		CreatedAt: atlas.Time(p.Created), FirstName: p.FirstName, ID: p.ID, LastName: p.LastName, Username: p.Username,
	}
}

// user is a person with what they may do.
type user struct {
	project.Person
	groups []project.Member
}

// oldUserView is a user at 2023-01-01, of an organisation or a group.
type oldUserView struct {
	account
	EmailAddress string         `json:"emailAddress"`
	Links        []atlas.Link   `json:"links"`
	Roles        []roleInAPlace `json:"roles"`
	TeamIDs      []string       `json:"teamIds"`
}

// roleInAPlace is a role in either an organisation or a group.
type roleInAPlace struct {
	GroupID  string        `json:"groupId,omitempty"`
	OrgID    string        `json:"orgId,omitempty"`
	RoleName identity.Role `json:"roleName"`
}

func viewOldUser(r *httpapi.Request, u user) oldUserView {
	roles := []roleInAPlace{}
	for _, role := range u.OrgRoles {
		roles = append(roles, roleInAPlace{OrgID: u.OrgID, RoleName: role})
	}
	for _, m := range u.groups {
		for _, role := range m.Roles {
			roles = append(roles, roleInAPlace{GroupID: m.GroupID, RoleName: role})
		}
	}
	return oldUserView{
		account: accountOf(u.Person), EmailAddress: u.Username, Links: r.Self("/users/" + u.ID), Roles: roles, TeamIDs: []string{},
	}
}

// active is the membership status of everybody here: nobody is invited.
const active = "ACTIVE"

// orgUserView is a user of an organisation at 2025-02-19.
type orgUserView struct {
	account
	OrgMembershipStatus string   `json:"orgMembershipStatus"`
	Roles               orgRoles `json:"roles"`
	TeamIDs             []string `json:"teamIds"`
}

type orgRoles struct {
	GroupRoleAssignments []groupRoles    `json:"groupRoleAssignments"`
	OrgRoles             []identity.Role `json:"orgRoles"`
}

type groupRoles struct {
	GroupID    string          `json:"groupId"`
	GroupRoles []identity.Role `json:"groupRoles"`
}

func viewOrgUser(u user) orgUserView {
	roles := orgRoles{GroupRoleAssignments: []groupRoles{}, OrgRoles: u.OrgRoles}
	for _, m := range u.groups {
		roles.GroupRoleAssignments = append(roles.GroupRoleAssignments, groupRoles{GroupID: m.GroupID, GroupRoles: m.Roles})
	}
	return orgUserView{account: accountOf(u.Person), OrgMembershipStatus: active, Roles: roles, TeamIDs: []string{}}
}

// groupUserView is a user of a group at 2025-02-19.
type groupUserView struct {
	account
	OrgMembershipStatus string          `json:"orgMembershipStatus"`
	Roles               []identity.Role `json:"roles"`
}

// viewGroupUser shows the roles that the user has in the group; those who oversee it from the
// organisation without being members show their roles there.
func viewGroupUser(u user, members map[string]project.Member) groupUserView {
	roles := u.OrgRoles
	if m, isMember := members[u.ID]; isMember {
		roles = m.Roles
	}
	return groupUserView{account: accountOf(u.Person), OrgMembershipStatus: active, Roles: roles}
}

func (a API) listOrgUsers(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	users, err := a.users(ctx, r.OrgID())
	if err != nil {
		return httpapi.Response{}, err
	}
	if r.Version == atlas.V20230101 {
		return listUsers(r, users, func(u user) oldUserView { return viewOldUser(r, u) })
	}
	users, err = filterUsers(r, users)
	if err != nil {
		return httpapi.Response{}, err
	}
	return listUsers(r, users, viewOrgUser)
}

func (a API) listGroupUsers(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	withOrgUsers, err := r.BoolQuery("includeOrgUsers", false)
	if err != nil {
		return httpapi.Response{}, err
	}
	g, err := a.Projects.Open(ctx, r.GroupID())
	if err != nil {
		return httpapi.Response{}, err
	}
	users, err := a.users(ctx, g.OrgID)
	if err != nil {
		return httpapi.Response{}, err
	}
	members, err := a.members(ctx, g.ID)
	if err != nil {
		return httpapi.Response{}, err
	}
	users = slices.DeleteFunc(users, func(u user) bool {
		_, isMember := members[u.ID]
		return !isMember && (!withOrgUsers || !oversees(u))
	})
	if r.Version == atlas.V20230101 {
		return listUsers(r, users, func(u user) oldUserView { return viewOldUser(r, u) })
	}
	if users, err = filterUsers(r, users); err != nil {
		return httpapi.Response{}, err
	}
	return listUsers(r, users, func(u user) groupUserView { return viewGroupUser(u, members) })
}

// members reads the members of a group by person.
func (a API) members(ctx context.Context, groupID string) (map[string]project.Member, error) {
	members, err := a.Projects.Members(ctx, groupID)
	if err != nil {
		return nil, err
	}
	byPerson := make(map[string]project.Member, len(members))
	for _, m := range members {
		byPerson[m.PersonID] = m
	}
	return byPerson, nil
}

// oversees reports whether a user may read every group of the organisation.
func oversees(u user) bool {
	return slices.Contains(u.OrgRoles, identity.OrgOwner) || slices.Contains(u.OrgRoles, identity.OrgReadOnly)
}

// users reads the people of an organisation with their memberships.
func (a API) users(ctx context.Context, orgID string) ([]user, error) {
	people, err := a.Projects.People(ctx, orgID)
	if err != nil {
		return nil, err
	}
	memberships, err := a.Projects.Memberships(ctx, orgID)
	if err != nil {
		return nil, err
	}
	byPerson := map[string][]project.Member{}
	for _, m := range memberships {
		byPerson[m.PersonID] = append(byPerson[m.PersonID], m)
	}
	users := make([]user, len(people))
	for i, p := range people {
		users[i] = user{Person: p, groups: byPerson[p.ID]}
	}
	return users, nil
}

// filterUsers applies the filters that exist since 2025-02-19.
func filterUsers(r *httpapi.Request, users []user) ([]user, error) {
	switch status := r.Query.Get("orgMembershipStatus"); status {
	case "", active:
	case "PENDING", "INVITATION_EXPIRED", "INVITATION_REJECTED":
		return nil, nil
	default:
		return nil, atlas.Fail(atlas.InvalidEnumValue, status)
	}
	name := r.Query.Get("username")
	return slices.DeleteFunc(users, func(u user) bool {
		return name != "" && !strings.EqualFold(u.Username, name)
	}), nil
}

func listUsers[V any](r *httpapi.Request, users []user, view func(user) V) (httpapi.Response, error) {
	views := make([]V, len(users))
	for i, u := range users {
		views[i] = view(u)
	}
	return httpapi.List(r, views)
}
