package notification

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"latchkey/shared/obs"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

// report counts how an attempt ended for the targets that it was made for, and logs what went
// wrong. Addresses are not logged.
func (s *Service) report(ctx context.Context, before, d Delivery) {
	var sent, again, dead, ours int
	for i, t := range d.Targets {
		if before.Targets[i].State.Ended() {
			continue
		}
		switch t.State {
		case Sent:
			sent++
			continue
		case Dead:
			dead++
		case Waiting, Claimed:
			again++
		case Skipped:
		}
		if (&Failure{Reason: t.Reason}).ours() {
			ours++
		}
		s.Log.WarnContext(ctx, "a target was not told", slog.String("groupId", d.GroupID), slog.String("delivery", d.Entry),
			slog.String("kind", string(t.Kind)), slog.String("state", string(t.State)), slog.String("reason", string(t.Reason)),
			slog.Int("status", t.Status), slog.String("code", t.Code), slog.Int("tries", d.Tries))
	}
	obs.Write(ctx, s.Log, s.Now(), "delivery attempted", nil, obs.Count{Name: "TargetsTold", Value: sent},
		obs.Count{Name: "TargetsToTellAgain", Value: again}, obs.Count{Name: "DeadLetters", Value: dead},
		obs.Count{Name: "OwnDeliveryFailures", Value: ours})
}

// Bounds of RetryDue.
const (
	pageOfRetries = 200
	atOnce        = 16
)

// RetryDue attempts every delivery whose next attempt is due, or whose claimant never came back,
// and returns how many it took up. It may run twice at once and be cut short; what it leaves is
// due next time. It goes on past one that fails, and begins none that time does not suffice for.
func (s *Service) RetryDue(ctx context.Context) (attempted int, err error) {
	now := s.Now()
	q := store.Query{
		Index: true, PK: keys.DeliveryDue(now, "", "").PK, Prefix: keys.AlertDuePrefix, Until: keys.AlertDueUntil(now), Limit: pageOfRetries,
	}
	begin, cancel := reserving(ctx, forOne+forRecord)
	defer cancel()
	var failed error
	for isFirst := true; ; isFirst = false {
		page, err := s.Table.Query(ctx, q)
		if err != nil {
			return attempted, errors.Join(failed, err)
		}
		if isFirst {
			s.countDue(ctx, now, page.Items)
		}
		n, err := s.retryAll(ctx, begin, page.Items)
		attempted, failed = attempted+n, errors.Join(failed, err)
		if q.After = page.Next; page.Next == "" || n < len(page.Items) {
			return attempted, failed
		}
	}
}

// retryAll attempts several deliveries at once, and begins none once begin has ended. It returns how many
// it took up.
func (s *Service) retryAll(ctx, begin context.Context, items []store.Item) (attempted int, err error) {
	var (
		all    sync.WaitGroup
		room   = make(chan struct{}, atOnce)
		errs   = make([]error, len(items))
		failed error
	)
	for i, item := range items {
		room <- struct{}{}
		if begin.Err() != nil {
			break
		}
		attempted++
		all.Go(func() {
			defer func() { <-room }()
			errs[i] = s.retry(ctx, item)
		})
	}
	all.Wait()
	for _, err := range errs {
		failed = errors.Join(failed, err)
	}
	return attempted, failed
}

// countDue counts the deliveries that are due again, of one page, and for how long the first
// of them has been.
func (s *Service) countDue(ctx context.Context, now time.Time, items []store.Item) {
	var oldest time.Duration
	if len(items) > 0 {
		if at, ok := keys.DueTime(items[0].Index.SK); ok {
			oldest = max(0, now.Sub(at))
		}
	}
	obs.Write(ctx, s.Log, now, "deliveries due again", nil, obs.Count{Name: "DeliveriesDue", Value: len(items)},
		obs.Count{Name: "OldestDeliverySeconds", Value: int(oldest.Seconds()), Unit: obs.Seconds})
}

// retry attempts a delivery that the index names. If its source is gone it can't be attempted, and is
// given up.
func (s *Service) retry(ctx context.Context, item store.Item) error {
	listed, err := store.Decode[Delivery](item)
	if err != nil {
		return err
	}
	p, err := s.load(ctx, store.Key{PK: keys.Group(listed.GroupID).PK, SK: listed.Source})
	if !errors.Is(err, store.ErrNotFound) {
		if err != nil {
			return err
		}
		return s.attempt(ctx, p, listed.Entry)
	}
	d, version, err := store.Load[Delivery](ctx, s.Table, item.Key)
	d.version = version
	if errors.Is(err, store.ErrNotFound) || err == nil && (d.State.Ended() || s.Now().Before(d.Next)) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = s.store(ctx, d.conclude(s.Now().UTC()))
	return lost(err)
}
