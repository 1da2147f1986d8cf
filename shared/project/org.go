package project

import (
	"context"
	"errors"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

// Org is an organisation: a customer of the operator.
type Org struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Created time.Time `json:"created"`
	// SkipDefaultAlerts is whether groups begin without alert configurations, whatever they ask for.
	SkipDefaultAlerts bool `json:"skipDefaultAlertsSettings,omitempty"`
}

// FindOrg reads an organisation. It returns ORG_NOT_FOUND if there is none.
func (s *Service) FindOrg(ctx context.Context, orgID string) (Org, error) {
	org, _, err := store.Load[Org](ctx, s.Table, keys.Org(orgID))
	if errors.Is(err, store.ErrNotFound) {
		return Org{}, atlas.Fail(atlas.OrgNotFound, orgID)
	}
	return org, err
}
