// Package consistency waits for grants in the tenants' clouds to take effect.
//
// IAM, Entra ID and Google IAM are eventually consistent: a role that was allowed a second
// ago may still be refused. A client that grants access and configures the key right away,
// as `terraform apply` does, must not fail for that reason.
package consistency

import (
	"context"
	"errors"
	"time"

	"latchkey/shared/verdict"
)

// Patience is how long to wait for a grant. The zero value does not wait.
type Patience struct {
	// Budget bounds the whole wait. It has to end well within API Gateway's 29 seconds.
	Budget time.Duration
}

// settling are the refusals that a grant made a moment ago can explain.
var settling = map[verdict.Reason]bool{
	verdict.AccessDenied: true, verdict.RoleDenied: true, verdict.CredentialsInvalid: true, verdict.KeyNotFound: true,
}

// firstPause is the first wait; each later one is longer by as much.
const firstPause = time.Second

// Try runs fn until it succeeds, fails for a reason that waiting can't cure, or patience
// ends; it returns the last error.
func (p Patience) Try(ctx context.Context, fn func(context.Context) error) error {
	left := p.Budget
	for pause := firstPause; ; pause += firstPause {
		err := fn(ctx)
		failure, ok := errors.AsType[*verdict.Failure](err)
		if !ok || !settling[failure.Reason] || pause > left {
			return err
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return err
		case <-timer.C:
		}
		left -= pause
	}
}
