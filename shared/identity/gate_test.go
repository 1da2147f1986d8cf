package identity_test

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"latchkey/shared/atlas"
	"latchkey/shared/identity"
)

const (
	ownOrg     = "650000000000000000000002"
	otherOrg   = "650000000000000000000009"
	ownGroup   = "650000000000000000000001"
	closed     = "650000000000000000000003"
	foreign    = "650000000000000000000004"
	shut       = "650000000000000000000006" // closed, of another organisation
	nobodys    = "650000000000000000000005"
	operation  = "updateGroupEncryptionAtRest"
	unreadable = "650000000000000000000007"
)

var errTable = errors.New("table down")

// groups knows the groups above and counts how often it is asked.
type groups struct{ asked atomic.Int64 }

func (g *groups) FindGroup(_ context.Context, groupID string) (orgID string, isClosed, found bool, err error) {
	g.asked.Add(1)
	switch groupID {
	case ownGroup:
		return ownOrg, false, true, nil
	case closed:
		return ownOrg, true, true, nil
	case foreign:
		return otherOrg, false, true, nil
	case shut:
		return otherOrg, true, true, nil
	case unreadable:
		return "", false, false, errTable
	}
	return "", false, false, nil
}

type denial struct {
	Caller  string
	Attempt string
	Code    atlas.Code
}

// denials remembers what was recorded.
type denials struct {
	err error

	mu       sync.Mutex // gates are asked by tests that run at the same time
	recorded []denial
}

func (d *denials) RecordDenial(_ context.Context, c identity.Caller, a identity.Attempt, code atlas.Code) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.recorded = append(d.recorded, denial{c.ID, a.Operation, code})
	return d.err
}

func caller(orgRole identity.Role, groupRoles ...identity.Role) identity.Caller {
	c := identity.Caller{Kind: identity.KindAPIKey, ID: "key", OrgID: ownOrg, OrgRoles: []identity.Role{orgRole}}
	if len(groupRoles) > 0 {
		c.GroupRoles = map[string][]identity.Role{ownGroup: groupRoles}
	}
	return c
}

func in(rule identity.Rule, groupID, orgID string) identity.Attempt {
	return identity.Attempt{Operation: operation, Rule: rule, GroupID: groupID, OrgID: orgID}
}

func TestWhoIsAdmittedToWhat(t *testing.T) {
	t.Parallel()
	var (
		nobody     = identity.Caller{}
		owner      = caller(identity.OrgOwner)
		ownerAdded = caller(identity.OrgOwner, identity.GroupOwner)
		member     = caller(identity.OrgMember)
		creator    = caller(identity.OrgGroupCreator)
		project    = caller(identity.OrgMember, identity.GroupOwner)
		reader     = caller(identity.OrgMember, identity.GroupReadOnly)
		overseer   = caller(identity.OrgReadOnly)
	)
	tests := map[string]struct {
		caller  identity.Caller
		attempt identity.Attempt
		want    atlas.Code
	}{
		"anyone may do what is public":                        {nobody, in(identity.Anyone, "", ""), ""},
		"nobody may do what needs a caller":                   {nobody, in(identity.AnyCaller, "", ""), atlas.Unauthenticated},
		"nobody may read a group":                             {nobody, in(identity.ReadGroup, ownGroup, ""), atlas.Unauthenticated},
		"nobody may read an organisation":                     {nobody, in(identity.ReadOrg, "", ownOrg), atlas.Unauthenticated},
		"every caller may do what needs one":                  {member, in(identity.AnyCaller, "", ""), ""},
		"a group creator creates groups":                      {creator, in(identity.CreateGroup, "", ""), ""},
		"an owner creates groups":                             {owner, in(identity.CreateGroup, "", ""), ""},
		"a member creates no groups":                          {member, in(identity.CreateGroup, "", ""), atlas.UserUnauthorized},
		"a member reads the organisation":                     {member, in(identity.ReadOrg, "", ownOrg), ""},
		"a member does not change the organisation":           {member, in(identity.OwnOrg, "", ownOrg), atlas.UserUnauthorized},
		"an owner changes the organisation":                   {owner, in(identity.OwnOrg, "", ownOrg), ""},
		"an owner of another organisation does not":           {owner, in(identity.OwnOrg, "", otherOrg), atlas.UserCannotAccessOrg},
		"another organisation and none are the same":          {owner, in(identity.ReadOrg, "", nobodys), atlas.UserCannotAccessOrg},
		"a project owner changes its keys":                    {project, in(identity.OwnGroup, ownGroup, ""), ""},
		"a project reader reads":                              {reader, in(identity.ReadGroup, ownGroup, ""), ""},
		"a project reader does not change keys":               {reader, in(identity.OwnGroup, ownGroup, ""), atlas.UserUnauthorized},
		"an organisation owner does not change keys":          {owner, in(identity.OwnGroup, ownGroup, ""), atlas.UserUnauthorized},
		"until it is added to the project":                    {ownerAdded, in(identity.OwnGroup, ownGroup, ""), ""},
		"but administers the project":                         {owner, in(identity.AdministerGroup, ownGroup, ""), ""},
		"and reads it":                                        {owner, in(identity.ReadGroup, ownGroup, ""), ""},
		"an organisation reader reads projects":               {overseer, in(identity.ReadGroup, ownGroup, ""), ""},
		"an organisation reader administers none":             {overseer, in(identity.AdministerGroup, ownGroup, ""), atlas.UserUnauthorized},
		"a member without a role reads no project":            {member, in(identity.ReadGroup, ownGroup, ""), atlas.UserUnauthorized},
		"a role in one group is none in another":              {project, in(identity.OwnGroup, foreign, ""), atlas.UserCannotAccessGroup},
		"a group of another organisation":                     {owner, in(identity.ReadGroup, foreign, ""), atlas.UserCannotAccessGroup},
		"a closed group of another organisation":              {owner, in(identity.ReadGroup, shut, ""), atlas.UserCannotAccessGroup},
		"a group that never was":                              {owner, in(identity.ReadGroup, nobodys, ""), atlas.UserCannotAccessGroup},
		"a closed group of the own organisation is not found": {owner, in(identity.ReadGroup, closed, ""), atlas.GroupNotFound},
		"and not for a member without a role":                 {member, in(identity.OwnGroup, closed, ""), atlas.GroupNotFound},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := &denials{}
			err := identity.Gate{Groups: &groups{}, Denials: d}.Admit(t.Context(), tc.caller, tc.attempt)
			if got := atlas.CodeOf(err); got != tc.want {
				t.Fatalf("got %v, want %q", err, tc.want)
			}
			var want []denial
			if tc.want != "" && !tc.caller.Anonymous() {
				want = []denial{{"key", operation, tc.want}}
			}
			if diff := cmp.Diff(want, d.recorded); diff != "" {
				t.Errorf("recorded: %s", diff)
			}
		})
	}
}

// The invariant of the package: what a stranger hears of a group does not depend on whether
// it exists, byte for byte but for the id.
func TestAForeignGroupAndNoneAnswerAlike(t *testing.T) {
	t.Parallel()
	answer := func(groupID string) string {
		gate := identity.Gate{Groups: &groups{}, Denials: &denials{}}
		err := gate.Admit(t.Context(), caller(identity.OrgOwner, identity.GroupOwner), in(identity.OwnGroup, groupID, ""))
		body := atlas.AsError(err).Body()
		if len(body.Parameters) != 1 || body.Parameters[0] != groupID {
			t.Errorf("parameters %v", body.Parameters)
		}
		body.Parameters, body.Detail = nil, body.Detail[:len(body.Detail)-len(groupID)-1]
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if diff := cmp.Diff(answer(nobodys), answer(foreign)); diff != "" {
		t.Errorf("an open group of others: %s", diff)
	}
	if diff := cmp.Diff(answer(nobodys), answer(shut)); diff != "" {
		t.Errorf("a closed group of others: %s", diff)
	}
}

func TestASufficientRoleCostsNoRead(t *testing.T) {
	t.Parallel()
	g := &groups{}
	gate := identity.Gate{Groups: g, Denials: &denials{}}
	if err := gate.Admit(t.Context(), caller(identity.OrgMember, identity.GroupOwner), in(identity.OwnGroup, ownGroup, "")); err != nil {
		t.Fatal(err)
	}
	if n := g.asked.Load(); n != 0 {
		t.Errorf("the group was read %d times", n)
	}
}

func TestAFailureIsNoAdmission(t *testing.T) {
	t.Parallel()
	gate := identity.Gate{Groups: &groups{}, Denials: &denials{err: errTable}}
	tests := map[string]identity.Attempt{
		"the group cannot be read":      in(identity.ReadGroup, unreadable, ""),
		"the denial cannot be recorded": in(identity.ReadGroup, foreign, ""),
	}
	for name, attempt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := gate.Admit(t.Context(), caller(identity.OrgOwner), attempt); !errors.Is(err, errTable) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestARefusalNamesTheRoleThatIsMissing(t *testing.T) {
	t.Parallel()
	gate := identity.Gate{Groups: &groups{}, Denials: &denials{}}
	tests := map[string]identity.Attempt{
		"It needs the role GROUP_OWNER in project " + ownGroup + ".":              in(identity.OwnGroup, ownGroup, ""),
		"It needs the role GROUP_OWNER or ORG_OWNER in project " + ownGroup + ".": in(identity.AdministerGroup, ownGroup, ""),
		"It needs a role in project " + ownGroup + ".":                            in(identity.ReadGroup, ownGroup, ""),
		"It needs the role ORG_OWNER in organization " + ownOrg + ".":             in(identity.OwnOrg, "", ownOrg),
	}
	for hint, attempt := range tests {
		t.Run(hint, func(t *testing.T) {
			t.Parallel()
			err := gate.Admit(t.Context(), caller(identity.OrgMember), attempt)
			if got := atlas.AsError(err).Hint; got != hint {
				t.Errorf("hints %q", got)
			}
		})
	}
}

func TestACallerSurvivesItsJourneyThroughTheGateway(t *testing.T) {
	t.Parallel()
	c := caller(identity.OrgMember, identity.GroupOwner)
	c.GroupRoles[foreign] = []identity.Role{identity.GroupReadOnly}
	got, err := identity.DecodeCaller(c.ForGroup(ownGroup).Encode())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(caller(identity.OrgMember, identity.GroupOwner), got); diff != "" {
		t.Error(diff)
	}
	for _, groupID := range []string{"", nobodys} {
		if roles := c.ForGroup(groupID).GroupRoles; roles != nil {
			t.Errorf("for %q it has %v", groupID, roles)
		}
	}
	if _, err := identity.DecodeCaller("x"); err == nil {
		t.Error("decoded what is no caller")
	}
}

func TestRolesAreKnownByTheirScope(t *testing.T) {
	t.Parallel()
	if !identity.IsOrgRole(identity.OrgOwner) || identity.IsOrgRole(identity.GroupOwner) || identity.IsOrgRole("") {
		t.Error("organisation roles are confused")
	}
	if !identity.IsGroupRole(identity.GroupOwner) || identity.IsGroupRole(identity.OrgOwner) || identity.IsGroupRole("GROUP_KING") {
		t.Error("group roles are confused")
	}
}
