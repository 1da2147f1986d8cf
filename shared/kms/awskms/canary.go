package awskms

import (
	"context"
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
	// canaryInterval is how long an answer about the canary speaks for refusals that come after
	// it, so that a mass revocation costs one call. It is no longer than IAM itself takes to
	// make a change known everywhere.
	canaryInterval = 3 * time.Second
)

// Canary tells whether Latchkey may assume roles at all. STS refuses a role in the same words
// whether its owner withdrew the trust or Latchkey lost its own permission. So Latchkey assumes
// a role of the operator's that trusts it and allows nothing: if that fails too, the fault is
// Latchkey's. It is asked only when a tenant's role was refused. It is safe for concurrent use.
type Canary struct {
	client *sts.Client
	arn    string
	now    func() time.Time
	turn   chan struct{} // held while the canary is asked; guards what is below

	answered time.Time
	failure  error
}

// NewCanary is the canary of the role arn, which own assumes. It does no I/O. The role must be
// such that it can't be assumed without own's permission: its trust policy names the account,
// for one that names a role of its own account is permission enough.
func NewCanary(own aws.CredentialsProvider, arn string, now func() time.Time, o Options) *Canary {
	return &Canary{client: stsClient(ownIdentity{own}, o.withDefaults()), arn: arn, now: now, turn: make(chan struct{}, 1)}
}

// check reports why Latchkey can't assume the canary, or can't find out; nil if it can.
func (c *Canary) check(ctx context.Context) error {
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if age := c.now().Sub(c.answered); 0 <= age && age < canaryInterval {
		return c.failure
	}
	_, err := c.client.AssumeRole(ctx, &sts.AssumeRoleInput{
		RoleArn: &c.arn, RoleSessionName: aws.String(canarySession), ExternalId: aws.String(CanaryExternalID),
		DurationSeconds: aws.Int32(int32(canaryDuration / time.Second)),
	})
	if ctx.Err() == nil { // somebody who gave up learned nothing for others
		c.answered, c.failure = c.now(), err
	}
	return err
}
