package encryption

import (
	"context"
	"crypto/subtle"
	"fmt"

	"latchkey/shared/atlas"
)

// withoutRepeats takes secrets out of an update that are stored already. Clients send whole blocks
// (Terraform above all), and a secret that is sent again is no other way to a key: it must not
// have every wrapped key proved anew, nor stand in the way of another key.
func (s *Service) withoutRepeats(ctx context.Context, current Settings, u atlas.EncryptionAtRestUpdate) (atlas.EncryptionAtRestUpdate, error) {
	if a, is := u.AWSKMS, current.AWS; a != nil && is != nil && isOf(a.AccessKeyID, is.AccessKeyID) {
		repeated, err := s.isStored(ctx, current, atlas.AWS, a.SecretAccessKey)
		if err != nil {
			return u, err
		}
		if repeated {
			without := *a
			without.SecretAccessKey = nil
			u.AWSKMS = &without
		}
	}
	if a, is := u.AzureKeyVault, current.Azure; a != nil && is != nil && isOf(a.ClientID, is.ClientID) {
		repeated, err := s.isStored(ctx, current, atlas.Azure, a.Secret)
		if err != nil {
			return u, err
		}
		if repeated {
			without := *a
			without.Secret = nil
			u.AzureKeyVault = &without
		}
	}
	if g := u.GoogleCloudKMS; g != nil {
		repeated, err := s.isStored(ctx, current, atlas.GCP, g.ServiceAccountKey)
		if err != nil {
			return u, err
		}
		if repeated {
			without := *g
			without.ServiceAccountKey = nil
			u.GoogleCloudKMS = &without
		}
	}
	return u, nil
}

// isOf reports whether a secret that comes with an id belongs to the one that is configured.
func isOf(id *string, configured string) bool { return !sent(id) || *id == configured }

// isStored reports whether a secret that was sent is a provider's stored one.
func (s *Service) isStored(ctx context.Context, current Settings, p atlas.Provider, secret *string) (bool, error) {
	sealed := current.secret(p)
	if !sent(secret) || sealed == nil {
		return false, nil
	}
	stored, err := s.Sealer.Open(ctx, sealed, secretContext(current.GroupID, p))
	if err != nil {
		return false, fmt.Errorf("open the stored secret for %s: %w", p, err)
	}
	defer clear(stored)
	return subtle.ConstantTimeCompare(stored, []byte(*secret)) == 1, nil
}
