package encryption

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"

	"latchkey/shared/atlas"
	"latchkey/shared/kms"
	"latchkey/shared/verdict"
)

// ProveUse proves that the key that a group uses now at a provider seals and opens, as a node
// will need it to. It concludes no verdict and stores nothing: the answer is for a plan that is
// about to rely on the key. As with a verdict, it is INVALID only if fresh credentials agree. It
// returns OK or why not; a fault of our own is INCONCLUSIVE, with an error for the log.
func (s *Service) ProveUse(ctx context.Context, groupID string, p atlas.Provider) (verdict.Reason, error) {
	reason, err := s.proveUse(ctx, groupID, p, false)
	if reason.Class() == verdict.Invalid {
		reason, err = s.proveUse(ctx, groupID, p, true)
	}
	return reason, err
}

func (s *Service) proveUse(ctx context.Context, groupID string, p atlas.Provider, fresh bool) (verdict.Reason, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	key, _, err := s.KeyFor(ctx, groupID, p, fresh)
	if err == nil {
		err = sealAndOpen(ctx, key, groupID)
	}
	if err == nil {
		return verdict.OK, nil
	}
	if f, ok := errors.AsType[*verdict.Failure](err); ok {
		return f.Reason, err
	}
	return verdict.Internal, err
}

// sealAndOpen seals what is as long as a master key and opens it again.
func sealAndOpen(ctx context.Context, key *kms.Key, groupID string) error {
	secret := make([]byte, 32)
	rand.Read(secret) // never fails since Go 1.24
	binding := kms.Binding{GroupID: groupID, Use: "plan"}
	sealed, err := key.Encrypt(ctx, secret, binding)
	if err != nil {
		return err
	}
	opened, err := key.Decrypt(ctx, sealed, binding)
	if err != nil {
		return err
	}
	if subtle.ConstantTimeCompare(secret, opened) != 1 {
		return verdict.Failed(verdict.KeyMismatch, "the key opens what it sealed to another value")
	}
	return nil
}
