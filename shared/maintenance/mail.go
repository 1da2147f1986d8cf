package maintenance

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"latchkey/shared/atlas"
	"latchkey/shared/identity"
	"latchkey/shared/notification"
	"latchkey/shared/project"
	"latchkey/shared/store"
)

// mail are the operations that have the owners of a project told of a start. A start that was announced,
// withdrawn and chosen again has its e-mail already.
func (s *Service) mail(ctx context.Context, g project.Group, w Window) ([]store.Op, error) {
	m := notification.Mail{
		ID: w.Plan.subject(), GroupID: w.GroupID, OrgID: w.OrgID, Kind: notification.MaintenanceAhead,
		To: []identity.Role{identity.GroupOwner}, Created: s.now(),
		Subject: fmt.Sprintf("[Latchkey] Maintenance on %s in project %s", w.Plan.when(), g.Title()),
		Text:    w.message(g),
	}
	if _, err := s.Table.Get(ctx, m.Key()); !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	op, err := m.Put()
	return []store.Op{op}, err
}

// message says what is to come, and what the tenant can do about it.
func (w Window) message(g project.Group) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s is scheduled to begin on %s in project %s.\n\n", w.Plan.What, w.Plan.when(), g.Title())
	window := "/api/atlas/v2/groups/" + g.ID + "/maintenanceWindow"
	b.WriteString("Clusters stay available. ")
	switch left := MaxDeferrals - w.Plan.Deferrals; {
	case !w.Defined():
		fmt.Fprintf(&b, "The project has no maintenance window. PATCH %s, once this is done, chooses when the next begins.", window)
	case left > 0:
		fmt.Fprintf(&b, "PATCH %s with startASAP begins it at once, and POST %s/defer puts it off by a week (%d left).", window, window, left)
	default:
		fmt.Fprintf(&b, "PATCH %s with startASAP begins it at once. It can be deferred no more.", window)
	}
	fmt.Fprintf(&b, "\n\nStart: %s\n", atlas.Time(w.Plan.Start))
	return b.String()
}
