package alert

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"latchkey/shared/atlas"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

// duePage is how many due entries are read at once.
const duePage = 100

// Due lists what needs attention now, the most urgent first: at most one page. Attending to an
// entry takes it out of the list, so the next page is the next list. It reads the index, which may
// lag; attending reads again.
func (s *Service) Due(ctx context.Context) ([]store.Key, error) {
	now := s.Now()
	page, err := s.Table.Query(ctx, store.Query{
		Index: true, PK: keys.AlertDue(now, "", "").PK, Prefix: keys.AlertDuePrefix, Until: keys.AlertDueUntil(now), Limit: duePage,
	})
	if err != nil {
		return nil, fmt.Errorf("list what is due: %w", err)
	}
	due := make([]store.Key, len(page.Items))
	for i, item := range page.Items {
		due[i] = item.Key
	}
	return due, nil
}

// AttendAll attends to everything that is due, until nothing is left or the context ends. It goes
// on past what fails, and returns how many entries it attended to and the errors. It may run
// any number of times, also at the same moment: each notification falls due once.
func (s *Service) AttendAll(ctx context.Context) (attended int, err error) {
	failed := map[store.Key]bool{}
	for ctx.Err() == nil {
		due, listErr := s.Due(ctx)
		if listErr != nil {
			return attended, errors.Join(err, listErr)
		}
		fresh := 0
		for _, key := range due {
			if failed[key] {
				continue
			}
			fresh++
			failed[key] = true // also keeps a lagging index from making this endless
			if attendErr := s.Attend(ctx, key); attendErr != nil {
				err = errors.Join(err, fmt.Errorf("attend to %s: %w", key, attendErr))
				continue
			}
			attended++
		}
		if fresh == 0 {
			return attended, err
		}
	}
	return attended, errors.Join(err, ctx.Err())
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
