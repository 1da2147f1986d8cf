package alert

import (
	"context"
	"strings"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/due"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

// AttendAll attends to everything that is due. It may run any number of times, also at the same
// moment: each notification falls due once.
func (s *Service) AttendAll(ctx context.Context) (due.Report, error) {
	queue := due.Queue{
		Table: s.Table, Partition: keys.AlertDue(time.Time{}, "", "").PK,
		Attend: func(ctx context.Context, item store.Item) error { return s.Attend(ctx, item.Key) },
	}
	return queue.Run(ctx, s.Now())
}

// Attend does what is due of one entry, an alert or a provider's dates. If nothing is due any more
// it does nothing.
func (s *Service) Attend(ctx context.Context, key store.Key) error {
	attend := s.attendAlert
	if strings.HasPrefix(key.SK, keys.AlertWatchPrefix) {
		attend = s.attendWatch
	}
	return again(func() error {
		item, err := s.Table.Get(ctx, key)
		if isNone(err) {
			return nil
		}
		if err != nil {
			return err
		}
		return attend(ctx, item)
	})
}

func (s *Service) attendAlert(ctx context.Context, item store.Item) error {
	a, err := decodeAlert(item)
	if err != nil || a.Status.Ended() {
		return err
	}
	if gone, err := s.removeOfClosed(ctx, a.GroupID, item); err != nil || gone {
		return err
	}
	config, err := s.config(ctx, a.GroupID, a.ConfigID)
	if err != nil {
		return err
	}
	now := s.now()
	if item.Index.SK > keys.AlertDueUntil(now) {
		return nil // somebody else has attended to it
	}
	a, notices := a.Advance(config, now)
	ops, err := s.operations(a, config, notices, now)
	if err != nil {
		return err
	}
	if config != nil {
		ops = append(ops, config.unchanged())
	}
	return s.Table.Write(ctx, ops...)
}

// removeOfClosed removes an item that a closed group left behind, and reports whether it did.
func (s *Service) removeOfClosed(ctx context.Context, groupID string, item store.Item) (bool, error) {
	_, err := s.Groups.Open(ctx, groupID)
	if atlas.CodeOf(err) == atlas.GroupNotFound {
		return true, s.Table.Write(ctx, store.Delete(item.Key, item.Version))
	}
	return false, err
}
