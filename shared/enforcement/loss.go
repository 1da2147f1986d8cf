package enforcement

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/cluster"
	"latchkey/shared/encryption"
	"latchkey/shared/identity"
	"latchkey/shared/notification"
	"latchkey/shared/store"
)

// loss is a key that was taken away, and what that does.
type loss struct {
	settings encryption.Settings
	provider atlas.Provider
	project  string // as people know it
	orgID    string
	affected []cluster.Deployment // every cluster that depends on the key
	stopping bool                 // whether one of them has not been stopped yet
}

// announceLoss has an e-mail sent to the group's owners before the first cluster of a key stops. It
// is written on the condition that the verdict is still the one that stops them, and under a name of
// that verdict: however often enforcement is repeated, there is one for each loss.
func (o *Officer) announceLoss(ctx context.Context, groupID string, p atlas.Provider, ids []string) error {
	const attempts = 5 // verdicts are stored once a minute
	var last error
	for range attempts {
		l, err := o.lossOf(ctx, groupID, p, ids)
		if err != nil || !l.stopping {
			return err
		}
		if l.project, err = o.title(ctx, groupID); err != nil {
			return err
		}
		m := l.mail(o.Now().UTC())
		op, err := m.Put()
		if err != nil {
			return err
		}
		last = o.Table.Write(ctx, op, l.settings.Unchanged())
		if !errors.Is(last, store.ErrConflict) {
			return last
		}
		if _, err := o.Table.Get(ctx, m.Key()); !errors.Is(err, store.ErrNotFound) {
			return err // it was announced before
		}
	}
	return fmt.Errorf("announce the loss of the %s key of %s: %w", p, groupID, last)
}

// title is what an e-mail calls a group. One whose record is gone goes by its id: no name is worth
// nodes that run on with a key that was taken away.
func (o *Officer) title(ctx context.Context, groupID string) (string, error) {
	g, err := o.Projects.Find(ctx, groupID)
	if atlas.CodeOf(err) == atlas.GroupNotFound {
		return groupID, nil
	}
	return g.Title(), err
}

// lossOf reads what is stored of a key and its clusters now.
func (o *Officer) lossOf(ctx context.Context, groupID string, p atlas.Provider, ids []string) (loss, error) {
	settings, err := o.load(ctx, groupID)
	l := loss{settings: settings, provider: p}
	if err != nil || settings.Key(p) == nil || directionOf(settings.Key(p).Verdict) != Stop {
		return l, err
	}
	for _, id := range ids {
		d, err := o.Clusters.Load(ctx, id)
		if err != nil {
			return l, err
		}
		if !d.DependsOn(p) || d.Deleting() {
			continue
		}
		l.affected, l.orgID = append(l.affected, d), d.OrgID
		judged, _ := d.Judged(verdictsOf(settings), time.Time{})
		l.stopping = l.stopping || d.Disabled == nil && judged.Disabled != nil && judged.Disabled.Provider == p
	}
	slices.SortFunc(l.affected, func(a, b cluster.Deployment) int { return strings.Compare(a.Name, b.Name) })
	return l, nil
}

// mail is the e-mail that tells of the loss.
func (l loss) mail(now time.Time) notification.Mail {
	v := l.settings.Key(l.provider).Verdict
	matter, remedy := l.settings.Explain(l.provider, now)
	if remedy == "" {
		remedy = "Restore the key at its provider, and Latchkey's access to it."
	}
	count := fmt.Sprintf("%d clusters stop", len(l.affected))
	if len(l.affected) == 1 {
		count = "1 cluster stops"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\nWithout a valid key, data cannot be read. The following clusters of project %s are being stopped:\n\n", matter, l.project)
	for _, d := range l.affected {
		fmt.Fprintf(&b, "  %s (%s)\n", d.Name, d.ID)
	}
	fmt.Fprintf(&b, "\nWhat to do: %s\n\n", remedy)
	b.WriteString("Nothing else is needed: the key is checked once a minute, and the clusters start by themselves once it is valid again. " +
		"POST /api/latchkey/v1/groups/" + l.settings.GroupID + "/encryptionAtRest/validate checks it at once.\n\n")
	fmt.Fprintf(&b, "Provider: %s\nReason: %s\nSince: %s\n", l.provider, v.Reason, atlas.Time(v.Since))
	return notification.Mail{
		ID: fmt.Sprintf("%s-%d-%d", l.provider, l.settings.Key(l.provider).Revision, v.Since.UnixMicro()), GroupID: l.settings.GroupID, OrgID: l.orgID,
		Kind: notification.KeyLost, To: []identity.Role{identity.GroupOwner},
		Subject: fmt.Sprintf("[Latchkey] Encryption key lost: %s in project %s", count, l.project),
		Text:    b.String(), Created: now,
	}
}
