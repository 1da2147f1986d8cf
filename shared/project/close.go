package project

import (
	"context"
	"fmt"

	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/identity"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

// Close deletes an open group that nothing uses any more and frees its name. The group's
// record stays as a tombstone. From then on the group's other records are out of reach;
// removing them is tried at once, and finished by PurgeClosed if that fails.
func (s *Service) Close(ctx context.Context, c identity.Caller, groupID string) error {
	err := store.Again(attempts, func() error { return s.close(ctx, c, groupID) })
	if err != nil {
		return err
	}
	_ = s.Purge(ctx, groupID) // the group is closed; a failure here is for PurgeClosed to mend
	return nil
}

func (s *Service) close(ctx context.Context, c identity.Caller, groupID string) error {
	g, err := s.Open(ctx, groupID)
	if err != nil {
		return err
	}
	if err := g.checkUnused(); err != nil {
		return err
	}
	ops, err := s.release(ctx, g)
	if err != nil {
		return err
	}
	for _, hook := range s.OnClose {
		more, err := hook(ctx, g)
		if err != nil {
			return err
		}
		ops = append(ops, more...)
	}
	g.Closed = s.Now().UTC()
	record, err := g.put()
	if err != nil {
		return err
	}
	events, err := s.Journal.PutAll(s.announce(GroupDeleted, g, audit.By(c))...)
	if err != nil {
		return err
	}
	return s.Table.Write(ctx, append(append(ops, record), events...)...)
}

// checkUnused refuses to close a group that is in use. The counts are in the record that
// closing rewrites, so nothing can be added between this look and the close.
func (g Group) checkUnused() error {
	switch {
	case g.Uses[Clusters] > 0:
		return atlas.Fail(atlas.CannotCloseGroupClusters)
	case g.Uses[PrivateEndpoints] > 0:
		return atlas.Fail(atlas.CannotCloseGroupEndpoints)
	}
	return nil
}

// Purge removes what a closed group left in its partition (settings with their sealed secrets,
// access roles, members), and the roles that identities had in it. It may be cut short and
// repeated at any point. The events of the group are kept for as long as events are kept.
func (s *Service) Purge(ctx context.Context, groupID string) error {
	g, err := s.Find(ctx, groupID)
	if err != nil {
		return err
	}
	if !g.IsClosed() {
		return fmt.Errorf("group %s is open and cannot be purged", groupID)
	}
	record := keys.Group(groupID)
	items, err := store.All(ctx, s.Table, store.Query{PK: record.PK})
	if err != nil {
		return err
	}
	ops := make([]store.Op, 0, len(items))
	for _, item := range items {
		if item.Key != record {
			ops = append(ops, store.Delete(item.Key, item.Version))
		}
	}
	for len(ops) > 0 {
		n := min(len(ops), store.MaxWrites)
		if err := s.Table.Write(ctx, ops[:n]...); err != nil {
			return err
		}
		ops = ops[n:]
	}
	if err := s.Identities.Withdraw(ctx, g.OrgID, groupID); err != nil {
		return fmt.Errorf("withdraw roles: %w", err)
	}
	return s.bury(ctx, g)
}

// bury takes a purged group's record out of the index, so that nobody comes for it again.
func (s *Service) bury(ctx context.Context, g Group) error {
	item, err := store.Encode(keys.Group(g.ID), g.version, g)
	if err != nil {
		return err
	}
	return s.Table.Write(ctx, store.Put(item))
}

// PurgeClosed purges every closed group that still has something to remove. It goes on past
// a group that fails, and returns how many were purged and the last error.
func (s *Service) PurgeClosed(ctx context.Context) (purged int, err error) {
	place := keys.ClosedGroups("")
	items, err := store.All(ctx, s.Table, store.Query{Index: true, PK: place.PK, Prefix: place.SK})
	if err != nil {
		return 0, err
	}
	for _, item := range items {
		g, decodeErr := store.Decode[Group](item)
		if decodeErr != nil {
			err = decodeErr
			continue
		}
		if purgeErr := s.Purge(ctx, g.ID); purgeErr != nil {
			err = fmt.Errorf("purge group %s: %w", g.ID, purgeErr)
			continue
		}
		purged++
	}
	return purged, err
}
