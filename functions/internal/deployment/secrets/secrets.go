// Package secrets reads what a deployment keeps in Secrets Manager.
//
// Its invariant: a secret that can't be read is the deployment's own trouble, whoever needs it and however long
// it lasts. So every failure is OUR_CREDENTIALS, which says nothing of any tenant.
package secrets

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"golang.org/x/sync/singleflight"

	"latchkey/functions/internal/deployment"
	"latchkey/shared/verdict"
)

// patience is how long a secret is waited for: well below what a check of a key may take, so that what a check
// waits for in vain is known to be the secret.
const patience = 3 * time.Second

// Secret is a secret that is read when it is first needed, and then kept. A failure is not kept: the next use tries
// again. It is safe for concurrent use; those that need it at the same time share one request.
type Secret[T any] struct {
	env   *deployment.Environment
	arn   string
	parse func(ctx context.Context, text string) (T, error)

	reading singleflight.Group
	kept    atomic.Pointer[T]
}

// New returns a secret of whose text parse makes what is needed. What parse keeps of its context must outlive the
// request that asked first. It does no I/O.
func New[T any](env *deployment.Environment, arn string, parse func(ctx context.Context, text string) (T, error)) *Secret[T] {
	return &Secret[T]{env: env, arn: arn, parse: parse}
}

// Text returns a secret that is needed as it stands.
func Text(env *deployment.Environment, arn string) *Secret[string] {
	return New(env, arn, func(_ context.Context, text string) (string, error) {
		if text == "" {
			return "", errors.New("it holds no text")
		}
		return text, nil
	})
}

// Value is what the secret holds. A failure is a *verdict.Failure, or ctx's own error if that was cancelled.
func (s *Secret[T]) Value(ctx context.Context) (T, error) {
	if kept := s.kept.Load(); kept != nil {
		return *kept, nil
	}
	// Whoever asks first may go away while others wait, so the request is nobody's.
	result := s.reading.DoChan("", func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		return nil, s.read(ctx)
	})
	var err error
	select {
	case r := <-result:
		err = r.Err
	case <-ctx.Done():
		err = ctx.Err()
	}
	var none T
	switch {
	case err == nil:
		return *s.kept.Load(), nil
	case errors.Is(ctx.Err(), context.Canceled):
		return none, ctx.Err()
	}
	return none, verdict.Failed(verdict.OurCredentials, "read secret %s: %w", s.arn, err)
}

func (s *Secret[T]) read(ctx context.Context) error {
	if s.kept.Load() != nil {
		return nil // somebody else has read it meanwhile
	}
	out, err := secretsmanager.NewFromConfig(s.env.AWS).GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &s.arn})
	if err != nil {
		return err
	}
	made, err := s.parse(ctx, aws.ToString(out.SecretString))
	if err != nil {
		return fmt.Errorf("make use of it: %w", err)
	}
	s.kept.Store(&made)
	return nil
}
