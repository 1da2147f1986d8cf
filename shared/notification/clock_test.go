package notification_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/shared/alert"
	"latchkey/shared/notification"
)

// hanging receives nothing and never answers.
type hanging struct{}

func (hanging) Send(ctx context.Context, _ notification.Message, _ notification.Target) error {
	<-ctx.Done()
	return ctx.Err()
}

// The end of an invocation is by the platform's clock, which is not that of the deliveries.
func TestDeliver_ends_in_time_whatever_its_own_clock_says(t *testing.T) {
	for _, ahead := range []time.Duration{-24 * time.Hour, 0, 5 * time.Minute, 24 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			s := w.service(w.table)
			s.Now = func() time.Time { return time.Now().Add(ahead) }
			key := w.put(w.notice(alert.Webhook, func(n *alert.Notice) { n.Due = s.Now() }))
			for _, c := range []struct {
				channel    notification.Channel
				do         func(context.Context) error
				want       notification.State
				time, took time.Duration
			}{
				{hanging{}, func(ctx context.Context) error { return s.Deliver(ctx, key) }, notification.Waiting, 15 * time.Second, 10 * time.Second},
				{w.box, func(ctx context.Context) error { _, err := s.RetryDue(ctx); return err }, notification.Waiting, 24 * time.Second, 0},
				{w.box, func(ctx context.Context) error { _, err := s.RetryDue(ctx); return err }, notification.Sent, 26 * time.Second, 0},
			} {
				s.Channels[alert.Webhook] = c.channel
				ctx, cancel := context.WithTimeout(t.Context(), c.time)
				began := time.Now()
				if err := c.do(ctx); err != nil || time.Since(began) != c.took {
					t.Errorf("%v ahead: in %v, after %v: %v", ahead, c.time, time.Since(began), err)
				}
				cancel()
				if got := w.delivery(key).State; got != c.want {
					t.Errorf("%v ahead: in %v the delivery is %s, not %s", ahead, c.time, got, c.want)
				}
				time.Sleep(time.Hour)
			}
		})
	}
}
