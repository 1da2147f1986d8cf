package access

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"

	"latchkey/shared/atlas"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

// claim says which organisation uses a directory of Azure, through which roles.
//
// AWS asks every role for its external id, and Google accounts belong to one role each. Azure
// knows nothing like that: Latchkey's application is one and the same in every directory, and
// whoever names another tenant's directory and vault would reach that tenant's keys. So a
// directory belongs to the first organisation whose role in it was verified, for as long as
// any role of that organisation is in it.
type claim struct {
	OrgID string            `json:"orgId"`
	Roles map[string]string `json:"roles"` // groups by role

	key     store.Key
	version int64
}

func loadClaim(ctx context.Context, t store.Table, tenantID string) (claim, error) {
	key := keys.AzureDirectory(strings.ToLower(tenantID))
	c, version, err := store.Load[claim](ctx, t, key)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return claim{}, fmt.Errorf("load claim on directory %s: %w", tenantID, err)
	}
	c.key, c.version = key, version
	return c, nil
}

// with is the claim with one more role. ok is false if another organisation holds it.
func (c claim) with(orgID string, role Role) (_ claim, ok bool) {
	if len(c.Roles) > 0 && c.OrgID != orgID {
		return c, false
	}
	c.OrgID, c.Roles = orgID, maps.Clone(c.Roles)
	if c.Roles == nil {
		c.Roles = map[string]string{}
	}
	c.Roles[role.ID] = role.GroupID
	return c, true
}

// without is the claim with one role less. The record stays, so that its versions go on.
func (c claim) without(role Role) claim {
	c.Roles = maps.Clone(c.Roles)
	delete(c.Roles, role.ID)
	return c
}

func (c claim) put() (store.Op, error) {
	item, err := store.Encode(c.key, c.version, c)
	return store.Put(item), err
}

// claims are the operations by which a role that changes from before to after takes and leaves
// directories of Azure. A zero Role is none.
func (s *Service) claims(ctx context.Context, orgID string, before, after Role) ([]store.Op, error) {
	left, taken := before.directory(), after.directory()
	var ops []store.Op
	if left != "" && left != taken {
		c, err := loadClaim(ctx, s.Table, left)
		if err != nil {
			return nil, err
		}
		op, err := c.without(before).put()
		if err != nil {
			return nil, err
		}
		ops = append(ops, op)
	}
	if taken == "" {
		return ops, nil
	}
	c, err := loadClaim(ctx, s.Table, taken)
	if err != nil {
		return nil, err
	}
	c, ok := c.with(orgID, after)
	if !ok {
		return nil, atlas.Fail(atlas.AzureServicePrincipalInvalid, after.Azure.ServicePrincipalID).
			Hinting("Another organization uses the directory %s. If it is yours, ask the operator.", taken)
	}
	op, err := c.put()
	return append(ops, op), err
}

// directory is the directory of Azure that a verified role is in, "" if it is in none.
func (r Role) directory() string {
	if r.Azure == nil || r.Azure.AuthorizedAt.IsZero() {
		return ""
	}
	return strings.ToLower(r.Azure.TenantID)
}
