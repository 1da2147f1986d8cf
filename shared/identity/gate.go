package identity

import (
	"context"
	"fmt"
	"strings"

	"latchkey/shared/atlas"
)

// Attempt is one operation that a caller wants to perform.
type Attempt struct {
	Operation string
	Rule      Rule
	GroupID   string // of the path, "" if it names none
	OrgID     string // of the path, "" if it names none
}

// GroupFinder tells which organisation a group belongs to.
type GroupFinder interface {
	// FindGroup returns the organisation of a group and whether the group has been closed.
	// found is false if there never was such a group.
	FindGroup(ctx context.Context, groupID string) (orgID string, closed, found bool, err error)
}

// DenialRecorder keeps denied attempts for the audit. targetOrg is the organisation whose
// feed the denial belongs in: the caller's own unless the target is known to be the caller's too.
type DenialRecorder interface {
	RecordDenial(ctx context.Context, caller Caller, a Attempt, code atlas.Code) error
}

// Gate decides whether an attempt goes ahead.
type Gate struct {
	Groups  GroupFinder
	Denials DenialRecorder
}

// Admit returns nil if the caller may perform the attempt. Otherwise it records the denial
// and returns the error for the client. Failing to record a denial fails the request with
// that error, so that nobody can act on the difference.
func (g Gate) Admit(ctx context.Context, c Caller, a Attempt) error {
	refusal, err := g.decide(ctx, c, a)
	if err != nil || refusal == nil {
		return err
	}
	if c.Anonymous() {
		return refusal // nobody to record; the authorizer counts these
	}
	if err := g.Denials.RecordDenial(ctx, c, a, refusal.Code); err != nil {
		return fmt.Errorf("record denial: %w", err)
	}
	return refusal
}

func (g Gate) decide(ctx context.Context, c Caller, a Attempt) (*atlas.Error, error) {
	if a.Rule.Scope == Public {
		return nil, nil
	}
	if c.Anonymous() {
		return atlas.Fail(atlas.Unauthenticated), nil
	}
	switch a.Rule.Scope {
	case InOrg:
		return decideOrg(c, a), nil
	case InGroup:
		return g.decideGroup(ctx, c, a)
	case Authenticated, Public:
	}
	if !a.Rule.Allows(c.OrgRoles, nil) {
		return missingRole(a.Rule, "organization "+c.OrgID), nil
	}
	return nil, nil
}

// decideOrg compares ids only, so that an organisation of somebody else and one that does not
// exist are the same to the caller.
func decideOrg(c Caller, a Attempt) *atlas.Error {
	if a.OrgID != c.OrgID {
		return atlas.Fail(atlas.UserCannotAccessOrg, a.OrgID)
	}
	if !a.Rule.Allows(c.OrgRoles, nil) {
		return missingRole(a.Rule, "organization "+a.OrgID)
	}
	return nil
}

// decideGroup reads the group only when the caller holds no sufficient role in it. A group of
// another organisation and one that never existed get the same answer. A closed group of the
// caller's own organisation is 404, which is how clients learn that it is gone.
func (g Gate) decideGroup(ctx context.Context, c Caller, a Attempt) (*atlas.Error, error) {
	own := c.GroupRoles[a.GroupID]
	if len(own) > 0 && a.Rule.Allows(nil, own) {
		return nil, nil
	}
	orgID, closed, found, err := g.Groups.FindGroup(ctx, a.GroupID)
	if err != nil {
		return nil, fmt.Errorf("find group %s: %w", a.GroupID, err)
	}
	switch {
	case !found || orgID != c.OrgID:
		return atlas.Fail(atlas.UserCannotAccessGroup, a.GroupID), nil
	case closed:
		return atlas.Fail(atlas.GroupNotFound, a.GroupID), nil
	case a.Rule.Allows(c.OrgRoles, own):
		return nil, nil
	}
	return missingRole(a.Rule, "project "+a.GroupID), nil
}

// missingRole names what is needed: "401 on encryption at rest while other resources work" is
// what users complain about most (CLIENTS E 13).
func missingRole(r Rule, where string) *atlas.Error {
	e := atlas.Fail(atlas.UserUnauthorized)
	if len(r.Roles) > 3 {
		return e.Hinting("It needs a role in %s.", where)
	}
	names := make([]string, len(r.Roles))
	for i, role := range r.Roles {
		names[i] = string(role)
	}
	return e.Hinting("It needs the role %s in %s.", strings.Join(names, " or "), where)
}
