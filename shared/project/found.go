package project

import (
	"context"
	"errors"
	"net/mail"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/identity"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

// Founding is what the operator says of a new organisation.
type Founding struct {
	Name string
	// GroupName is the name of its first group; "" is DefaultGroupName.
	GroupName string
	// OwnerEmail is who owns the organisation and the group: the first person to be warned.
	OwnerEmail string
	// OrgID and GroupID are given when the operator chooses them; empty ones are generated.
	OrgID, GroupID string
	// SkipDefaultAlerts is whether the organisation's groups begin without alert configurations.
	SkipDefaultAlerts bool
}

// DefaultGroupName is the name of an organisation's first group.
const DefaultGroupName = "Project 0"

// Founded is an organisation with its first group and its owner.
type Founded struct {
	Org     Org
	GroupID string // of the first group, be it open or not
	Owner   Person
	// New is whether this call founded it; false if it existed.
	New bool
}

// founding is the record behind an organisation's reserved name: what was founded with it.
type founding struct {
	OrgID   string `json:"orgId"`
	GroupID string `json:"groupId"`
	OwnerID string `json:"ownerId"`
}

func (f Founding) validate() error {
	errs := []error{checkOrgName(f.Name), checkName(f.GroupName), checkEmail(f.OwnerEmail)}
	if f.OrgID != "" && !atlas.ValidID(f.OrgID) {
		errs = append(errs, atlas.Fail(atlas.InvalidOrgID, f.OrgID))
	}
	if f.GroupID != "" && !atlas.ValidID(f.GroupID) {
		errs = append(errs, atlas.Fail(atlas.InvalidGroupID, f.GroupID))
	}
	return errors.Join(errs...)
}

func checkOrgName(name string) error {
	if checkName(name) == nil {
		return nil
	}
	return atlas.Fail(atlas.InvalidAttribute, "name").
		Hinting("An organization's name is 1 to 64 letters, digits, spaces within, and any of -_.(),:&@+'.")
}

// maxEmail is the longest address that mail can be delivered to (RFC 5321).
const maxEmail = 254

// checkEmail accepts a bare address. It will be put into the headers of e-mails.
func checkEmail(s string) error {
	a, err := mail.ParseAddress(s)
	if err != nil || a.Address != s || len(s) > maxEmail {
		return atlas.Fail(atlas.InvalidAttribute, "ownerEmail").Hinting("It must be one e-mail address.").Because(err)
	}
	return nil
}

// Found creates an organisation with its first group and its owner in one transaction. It is
// idempotent by the organisation's name, which is unique in a deployment: founding it again
// returns what exists, whatever the other members say.
func (s *Service) Found(ctx context.Context, f Founding) (Founded, error) {
	if f.GroupName == "" {
		f.GroupName = DefaultGroupName
	}
	if err := f.validate(); err != nil {
		return Founded{}, err
	}
	var done Founded
	err := store.Again(attempts, func() error {
		var err error
		if done, err = s.founded(ctx, f.Name); err == nil || !errors.Is(err, store.ErrNotFound) {
			return err
		}
		done, err = s.found(ctx, f)
		return err
	})
	if errors.Is(err, store.ErrConflict) {
		return Founded{}, atlas.Fail(atlas.InvalidAttribute, "orgId").
			Hinting("The id of the organization or of the group is taken.").Because(err)
	}
	return done, err
}

// founded reads what exists under an organisation's name. It returns store.ErrNotFound if
// nothing does.
func (s *Service) founded(ctx context.Context, name string) (Founded, error) {
	f, _, err := store.Load[founding](ctx, s.Table, keys.OrgName(name))
	if err != nil {
		return Founded{}, err
	}
	org, err := s.FindOrg(ctx, f.OrgID)
	if err != nil {
		return Founded{}, err
	}
	owner, _, err := store.Load[Person](ctx, s.Table, keys.Person(f.OrgID, f.OwnerID))
	return Founded{Org: org, GroupID: f.GroupID, Owner: owner}, err
}

func (s *Service) found(ctx context.Context, f Founding) (Founded, error) {
	now := s.Now().UTC().Truncate(time.Second)
	org := Org{ID: orNewID(f.OrgID, now), Name: f.Name, Created: now, SkipDefaultAlerts: f.SkipDefaultAlerts}
	g := Draft{OrgID: org.ID, Name: f.GroupName, WithDefaultAlerts: true}.group(orNewID(f.GroupID, now), now)
	owner := Person{
		ID: atlas.NewID(now), OrgID: org.ID, Username: f.OwnerEmail, OrgRoles: []identity.Role{identity.OrgOwner}, Created: now,
	}
	ops, err := s.creation(org, g, audit.System())
	if err != nil {
		return Founded{}, err
	}
	member, err := owner.join(g.ID, []identity.Role{identity.GroupOwner}, now)
	if err != nil {
		return Founded{}, err
	}
	records, err := puts(map[store.Key]any{
		keys.Org(org.ID):              org,
		keys.OrgName(f.Name):          founding{OrgID: org.ID, GroupID: g.ID, OwnerID: owner.ID},
		keys.Person(org.ID, owner.ID): owner,
	})
	if err != nil {
		return Founded{}, err
	}
	events, err := s.Journal.PutAll(audit.New(now, OrgCreated, audit.System(), org.ID, "").With("orgName", org.Name))
	if err != nil {
		return Founded{}, err
	}
	ops = append(append(append(ops, member), records...), events...)
	if err := s.Table.Write(ctx, ops...); err != nil {
		return Founded{}, err
	}
	return Founded{Org: org, GroupID: g.ID, Owner: owner, New: true}, nil
}

func orNewID(id string, now time.Time) string {
	if id != "" {
		return id
	}
	return atlas.NewID(now)
}

// puts returns the operations that store new records.
func puts(records map[store.Key]any) ([]store.Op, error) {
	ops := make([]store.Op, 0, len(records))
	for key, record := range records {
		item, err := store.Encode(key, 0, record)
		if err != nil {
			return nil, err
		}
		ops = append(ops, store.Put(item))
	}
	return ops, nil
}
