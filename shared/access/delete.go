package access

import (
	"context"
	"fmt"

	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/identity"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

// inUse are the codes and sentences for a role that can't be removed.
var inUse = map[atlas.Provider]struct {
	code atlas.Code
	kind string
}{
	atlas.AWS:   {atlas.RoleInUse, "AWS IAM role"},
	atlas.Azure: {atlas.ServicePrincipalInUse, "Azure service principal"},
	atlas.GCP:   {atlas.ServiceAccountInUse, "GCP service account"},
}

// Delete removes a role that nothing uses. It first closes the role, so that no settings can
// start to use it, then removes what Latchkey holds for it in the cloud, then the record; a
// deletion that was interrupted is finished by the next one.
func (s *Service) Delete(ctx context.Context, c identity.Caller, groupID, providerName, roleID string) error {
	provider, err := atlas.ParseProvider(providerName)
	if err != nil {
		return err
	}
	used, unchanged, err := s.Usage.RolesInUse(ctx, groupID)
	if err != nil {
		return err
	}
	role, err := find(ctx, s.Table, groupID, roleID)
	if err != nil {
		return err
	}
	if role.Provider != provider {
		return atlas.Fail(atlas.RoleNotFound, roleID).Hinting("The role's provider is %s.", role.Provider)
	}
	if used[roleID] {
		u := inUse[provider]
		return atlas.Fail(u.code, fmt.Sprintf("Cannot remove the %s (%s) because it is still in use.", u.kind, roleID)).
			Hinting("Change or disable Encryption at Rest for the project first.")
	}
	if role.Google != nil {
		if role, err = s.closeGoogle(ctx, role, unchanged); err != nil {
			return err
		}
	}
	event, err := s.Journal.Put(roleEvent(s.Now(), role, audit.By(c), c.OrgID, "DELETED"))
	if err != nil {
		return err
	}
	claims, err := s.claims(ctx, c.OrgID, role, Role{})
	if err != nil {
		return err
	}
	return s.Table.Write(ctx, append(claims, store.Delete(keys.Role(groupID, roleID), role.version), unchanged, event)...)
}

// closeGoogle removes a role's service account after making sure that nobody starts using it.
func (s *Service) closeGoogle(ctx context.Context, role Role, unchanged store.Op) (Role, error) {
	if s.Google == nil {
		return Role{}, atlas.Fail(atlas.EARProviderNotSupported, atlas.GCP)
	}
	if !role.Closing {
		role.Closing = true
		put, err := role.put()
		if err != nil {
			return Role{}, err
		}
		if err := s.Table.Write(ctx, put, unchanged); err != nil {
			return Role{}, err
		}
		role.version++
	}
	err := ask(ctx, func(ctx context.Context) error { return s.Google.Delete(ctx, role.Google.Email) })
	if err != nil {
		return Role{}, refusal(err, atlas.Fail(atlas.UnexpectedError))
	}
	return role, nil
}
