package awskms

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// CanaryExternalID is the external id that the canary is assumed with and nothing else: those of
// tenants' roles are UUIDs. The policies of the deployment know it.
const CanaryExternalID = "latchkey-canary"

const (
	canarySession  = "latchkey-canary"
	canaryDuration = 15 * time.Minute // the least that STS gives; nobody uses the session
	// canaryInterval is how long it counts for later refusals too that Latchkey could not assume the
	// canary: such an answer stops nobody's nodes.
	canaryInterval = 3 * time.Second
)

// Canary tells whether Latchkey may assume roles at all. STS refuses a role in the same words
// whether its owner withdrew the trust or Latchkey lost its own permission. So Latchkey assumes
// a role of the operator's that trusts it and allows nothing: if that fails too, the fault is
// Latchkey's. It is asked only when a tenant's role was refused. It is safe for concurrent use.
type Canary struct {
	client assumer
	arn    string
	now    func() time.Time
	begun  atomic.Int64  // how often the canary was asked
	turn   chan struct{} // held while the canary is asked; guards what is below

	answered time.Time
	failure  error // the last answer
	answer   int64 // which question that was to
}

// NewCanary is the canary of the role arn, which own assumes. It does no I/O. The role must be
// such that it can't be assumed without own's permission: its trust policy names the account,
// for one that names a role of its own account is permission enough.
func NewCanary(own aws.CredentialsProvider, arn string, now func() time.Time, o Options) *Canary {
	o = o.withDefaults()
	return &Canary{client: assumer{o.Clients.stsClient(o), ownIdentity{own}}, arn: arn, now: now, turn: make(chan struct{}, 1)}
}

// check reports why Latchkey can't assume the canary, or can't find out; nil if it can. It is called after a
// refusal. That the canary could be assumed before the refusal proves nothing: Latchkey may have lost its
// permission in between. So refusals share the answer to a question that was asked after all of them, and a
// mass revocation costs one call at a time.
func (c *Canary) check(ctx context.Context) error {
	before := c.begun.Load()
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if age := c.now().Sub(c.answered); c.answer > before || c.failure != nil && 0 <= age && age < canaryInterval {
		return c.failure
	}
	question := c.begun.Add(1)
	_, err := c.client.AssumeRole(ctx, &sts.AssumeRoleInput{
		RoleArn: &c.arn, RoleSessionName: aws.String(canarySession), ExternalId: aws.String(CanaryExternalID),
		DurationSeconds: aws.Int32(int32(canaryDuration / time.Second)),
	})
	if ctx.Err() == nil { // somebody who gave up learned nothing for others
		c.answered, c.failure, c.answer = c.now(), err, question
	}
	return err
}
