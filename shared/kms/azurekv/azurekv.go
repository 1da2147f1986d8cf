// Package azurekv is the driver for keys in Azure Key Vault, over the official SDK.
//
// Azure's keys are RSA key pairs: what they encrypt is pinned to one key version, and nothing
// can be authenticated along with it (Capabilities.BindsContext is false; kms.Key puts the
// binding into the plaintext). The package's one invariant: a failure is INVALID only if
// Azure itself says, in a code of its own, that the customer took the key or the access away.
package azurekv

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"

	"latchkey/shared/atlas"
	"latchkey/shared/kms"
	"latchkey/shared/kms/driver"
	"latchkey/shared/verdict"
)

// Open binds a key to the credential that reaches it. It does no I/O; it fails if the key
// lies in another environment than the credential.
func Open(c *Credential, id atlas.AzureKeyID) (*kms.Key, error) {
	client, err := c.client(id)
	if err != nil {
		return nil, err
	}
	return kms.NewKey(id.String(), &key{client: client, id: id, credential: c}), nil
}

// key implements driver.Key.
type key struct {
	client     *azkeys.Client
	id         atlas.AzureKeyID
	credential *Credential
}

// Capabilities: RSA has no associated data.
func (k *key) Capabilities() driver.Capabilities { return driver.Capabilities{} }

// algorithm is the only RSA padding that is considered sound today.
func algorithm() *azkeys.EncryptionAlgorithm {
	a := azkeys.EncryptionAlgorithmRSAOAEP256
	return &a
}

// Encrypt encrypts with the configured version, or with the current one if none is configured.
func (k *key) Encrypt(ctx context.Context, plaintext []byte, _ driver.Binding) (driver.Sealed, error) {
	params := azkeys.KeyOperationParameters{Algorithm: algorithm(), Value: plaintext}
	out, err := k.client.Encrypt(ctx, k.id.Name, k.id.Version, params, nil)
	if err != nil {
		return driver.Sealed{}, err
	}
	version, err := k.versionOf(out.KID)
	if err != nil {
		return driver.Sealed{}, err
	}
	if len(out.Result) == 0 {
		return driver.Sealed{}, verdict.Failed(verdict.ProviderError, "the answer to encrypt holds no ciphertext")
	}
	return driver.Sealed{Blob: out.Result, Version: version}, nil
}

// Decrypt decrypts with the version that encrypted, whatever version is configured now.
func (k *key) Decrypt(ctx context.Context, s driver.Sealed, _ driver.Binding) ([]byte, error) {
	if !atlas.ValidAzureKeyVersion(s.Version) {
		return nil, verdict.Failed(verdict.KeyMismatch, "the ciphertext names no version of an Azure key: %q", s.Version)
	}
	params := azkeys.KeyOperationParameters{Algorithm: algorithm(), Value: s.Blob}
	out, err := k.client.Decrypt(ctx, k.id.Name, s.Version, params, nil)
	if err != nil {
		return nil, err
	}
	return out.Result, nil
}

// Describe asks for the key and checks that it could encrypt and decrypt now. Azure goes on
// decrypting with expired and not yet active keys, so only this finds them out.
func (k *key) Describe(ctx context.Context) (driver.Description, error) {
	out, err := k.client.GetKey(ctx, k.id.Name, k.id.Version, nil)
	if err != nil {
		return driver.Description{}, err
	}
	if out.Key == nil || out.Attributes == nil {
		return driver.Description{}, verdict.Failed(verdict.ProviderError, "the answer to get describes no key")
	}
	version, err := k.versionOf(out.Key.KID)
	if err != nil {
		return driver.Description{}, err
	}
	if err := usable(out.Key, out.Attributes, k.credential.now()); err != nil {
		return driver.Description{}, err
	}
	return driver.Description{
		Version: version, Created: instant(out.Attributes.Created), Expires: instant(out.Attributes.Expires),
	}, nil
}

// Dates implements driver.Dated. It takes the permission to get the key, which Describe needs too.
func (k *key) Dates(ctx context.Context) (driver.Dates, error) {
	out, err := k.client.GetKey(ctx, k.id.Name, k.id.Version, nil)
	if err != nil {
		if k.Classify(err).Reason == verdict.AccessDenied {
			return driver.Dates{}, nil
		}
		return driver.Dates{}, err
	}
	a := out.Attributes
	if a == nil {
		return driver.Dates{}, verdict.Failed(verdict.ProviderError, "the answer to get describes no key")
	}
	d := driver.Dates{Created: instant(a.Created), NotBefore: instant(a.NotBefore), Expires: instant(a.Expires)}
	if a.RecoveryLevel != nil {
		d.Recovery = recovery(*a.RecoveryLevel)
	}
	if a.RecoverableDays != nil {
		d.RecoverableDays = int(*a.RecoverableDays)
	}
	return d, nil
}

// recovery reads a recovery level: "Purgeable" alone is a vault without soft delete; with soft delete it
// is "Recoverable", or "CustomizedRecoverable" for less than 90 days, to which "+Purgeable" is added
// without purge protection, and "+ProtectedSubscription" where the subscription can't be cancelled either.
func recovery(level string) driver.Recovery {
	first, _, _ := strings.Cut(level, "+")
	switch {
	case level == "Purgeable":
		return driver.Unrecoverable
	case first != "Recoverable" && first != "CustomizedRecoverable":
		return driver.RecoveryUnknown // a level that we do not know
	case strings.Contains(level, "+Purgeable"):
		return driver.Purgeable
	}
	return driver.Protected
}

// usable checks a key's description. A key that expires soon is usable still.
func usable(jwk *azkeys.JSONWebKey, a *azkeys.KeyAttributes, now time.Time) error {
	switch {
	case a.Enabled != nil && !*a.Enabled:
		return verdict.Failed(verdict.KeyDisabled, "the key is disabled")
	case a.Expires != nil && !now.Before(*a.Expires):
		return verdict.Failed(verdict.KeyExpired, "the key expired at %s", a.Expires.UTC())
	case a.NotBefore != nil && now.Before(*a.NotBefore):
		return verdict.Failed(verdict.KeyNotActive, "the key is not active before %s", a.NotBefore.UTC())
	case jwk.Kty == nil || *jwk.Kty != azkeys.KeyTypeRSA && *jwk.Kty != azkeys.KeyTypeRSAHSM:
		return verdict.Failed(verdict.KeyUnsuitable, "the key is no RSA key")
	}
	for _, op := range []azkeys.KeyOperation{azkeys.KeyOperationEncrypt, azkeys.KeyOperationDecrypt} {
		if !slices.ContainsFunc(jwk.KeyOps, func(o *azkeys.KeyOperation) bool { return o != nil && *o == op }) {
			return verdict.Failed(verdict.KeyUnsuitable, "the key does not permit the operation %s", op)
		}
	}
	return nil
}

func instant(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}

// versionOf is the version in a key identifier that Azure answered. It must be a version of
// this key.
func (k *key) versionOf(kid *azkeys.ID) (string, error) {
	if kid == nil {
		return "", verdict.Failed(verdict.ProviderError, "the answer names no key")
	}
	id, err := atlas.ParseAzureKeyID(string(*kid))
	if err != nil || id.Version == "" || !id.Same(k.id) {
		return "", verdict.Failed(verdict.ProviderError, "the answer names another key: %q", string(*kid))
	}
	return id.Version, nil
}
