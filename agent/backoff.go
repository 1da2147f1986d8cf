package agent

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

const (
	firstDelay = time.Second
	maxDelay   = time.Minute
)

// backoff spaces attempts: exponentially, with jitter, so that a thousand agents that lost
// their control plane together do not come back together.
type backoff struct {
	jitter func(time.Duration) time.Duration
	delay  time.Duration
}

// next is how long to wait after err: at least as long as the control plane asks for.
func (b *backoff) next(err error) time.Duration {
	b.delay = min(max(2*b.delay, firstDelay), maxDelay)
	wait := b.delay/2 + b.jitter(b.delay/2)
	if refused, ok := errors.AsType[*APIError](err); ok && refused.RetryAfter > 0 {
		wait = refused.RetryAfter + b.jitter(b.delay/2)
	}
	return wait
}

func (b *backoff) reset() { b.delay = 0 }

// randomly is the jitter of agents outside simulations.
func randomly(limit time.Duration) time.Duration {
	return rand.N(limit + 1) //nolint:gosec // spreads load; nothing depends on its being unpredictable
}

// sleep waits, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
