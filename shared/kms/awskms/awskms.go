// Package awskms is the driver for keys in AWS KMS, over the official SDK.
//
// A key is reached with a tenant's access key or through a tenant's role that Latchkey's own
// identity assumes; the same refusal means different things in the two cases. The package's
// one invariant: a failure is INVALID only if AWS itself says, in a code of its own, that the
// customer took the key or the access away. What AWS refuses of Latchkey's own making
// (identity, session, clock, request) is INCONCLUSIVE.
package awskms

import (
	"context"
	"errors"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"latchkey/shared/atlas"
	"latchkey/shared/kms"
	"latchkey/shared/kms/driver"
	"latchkey/shared/verdict"
)

// The names of the encryption context, which shows in the tenant's audit trail and which the
// policy of a key may demand.
const (
	contextGroup = "latchkey:group"
	contextUse   = "latchkey:use"
)

// Open binds a key in a region to the credential that reaches it. It does no I/O.
func Open(c *Credential, region atlas.AWSRegion, name atlas.AWSKeyName) *kms.Key {
	return kms.NewKey(name.String(), &key{client: c.client(region), credential: c, region: region, name: name})
}

// key implements driver.Key.
type key struct {
	client     *awskms.Client
	credential *Credential
	region     atlas.AWSRegion
	name       atlas.AWSKeyName
}

// Capabilities: KMS authenticates the encryption context.
func (k *key) Capabilities() driver.Capabilities { return driver.Capabilities{BindsContext: true} }

func encryptionContext(b driver.Binding) map[string]string {
	return map[string]string{contextGroup: b.GroupID, contextUse: b.Use}
}

// Encrypt encrypts with the current key material. KMS does not tell which that is, and need
// not: it opens what any former material of the key encrypted. So the version is the key's ARN.
func (k *key) Encrypt(ctx context.Context, plaintext []byte, b driver.Binding) (driver.Sealed, error) {
	out, err := k.client.Encrypt(ctx, &awskms.EncryptInput{
		KeyId: aws.String(k.name.String()), Plaintext: plaintext, EncryptionContext: encryptionContext(b),
	}, k.credential.as)
	if err != nil {
		return driver.Sealed{}, k.explain(ctx, err)
	}
	if len(out.CiphertextBlob) == 0 || aws.ToString(out.KeyId) == "" {
		return driver.Sealed{}, verdict.Failed(verdict.ProviderError, "the answer to Encrypt holds no ciphertext or no key")
	}
	return driver.Sealed{Blob: out.CiphertextBlob, Version: *out.KeyId}, nil
}

// Decrypt decrypts what this key encrypted. It names the key, so that the ciphertext of
// another key that the same credential reaches fails.
func (k *key) Decrypt(ctx context.Context, s driver.Sealed, b driver.Binding) ([]byte, error) {
	out, err := k.client.Decrypt(ctx, &awskms.DecryptInput{
		KeyId: aws.String(k.opener(s).String()), CiphertextBlob: s.Blob, EncryptionContext: encryptionContext(b),
	}, k.credential.as)
	if err != nil {
		return nil, k.explain(ctx, err)
	}
	return out.Plaintext, nil
}

// opener names the key that opens a ciphertext: the configured one. If that is an alias, which
// the tenant may point to another key at any time, it is the key that the alias pointed to
// when the ciphertext was made, or that key's replica in this region.
func (k *key) opener(s driver.Sealed) atlas.AWSKeyName {
	if !k.name.IsAlias() {
		return k.name
	}
	made, err := atlas.ParseAWSKeyName(KeyARN(s.Version))
	if err != nil || !made.IsARN() {
		return k.name
	}
	if made.IsMultiRegion() {
		return made.InRegion(k.region)
	}
	return made
}

// KeyARN is the ARN of the key in the version of a ciphertext or a description, without the
// id of the key material.
func KeyARN(version string) string {
	arn, _, _ := strings.Cut(version, "#")
	return arn
}

// Describe asks for the key and checks that it could encrypt and decrypt now.
func (k *key) Describe(ctx context.Context) (driver.Description, error) {
	out, err := k.describe(ctx)
	if err != nil {
		return driver.Description{}, k.explain(ctx, err)
	}
	m := out.KeyMetadata
	failure := &verdict.Failure{Reason: stateReason(m), ProviderCode: string(m.KeyState)}
	failure.RequestID, _ = awsmiddleware.GetRequestIDMetadata(out.ResultMetadata)
	switch {
	case failure.Reason != verdict.OK:
		failure.Err = errors.New("awskms: the key is " + string(m.KeyState))
		return driver.Description{}, failure
	case m.KeyUsage != types.KeyUsageTypeEncryptDecrypt || m.KeySpec != types.KeySpecSymmetricDefault:
		failure.Reason, failure.ProviderCode = verdict.KeyUnsuitable, string(m.KeySpec)+" "+string(m.KeyUsage)
		failure.Err = errors.New("awskms: it must be a symmetric encryption key")
		return driver.Description{}, failure
	}
	d := driver.Description{
		Version: aws.ToString(m.Arn), Created: aws.ToTime(m.CreationDate), MultiRegion: aws.ToBool(m.MultiRegion),
	}
	if id := aws.ToString(m.CurrentKeyMaterialId); id != "" {
		d.Version += "#" + id
	}
	return d, nil
}

func (k *key) describe(ctx context.Context) (*awskms.DescribeKeyOutput, error) {
	out, err := k.client.DescribeKey(ctx, &awskms.DescribeKeyInput{KeyId: aws.String(k.name.String())}, k.credential.as)
	if err == nil && (out.KeyMetadata == nil || out.KeyMetadata.Arn == nil) {
		return nil, verdict.Failed(verdict.ProviderError, "the answer to DescribeKey describes no key")
	}
	return out, err
}

// stateReason is the reason why a key in this state can't be used; OK if it can. A key that is
// Updating, which a multi-Region key is while another region becomes its primary, can.
func stateReason(m *types.KeyMetadata) verdict.Reason {
	switch m.KeyState {
	case types.KeyStateEnabled, types.KeyStateUpdating:
		return verdict.OK
	case types.KeyStateDisabled:
		return verdict.KeyDisabled
	case types.KeyStatePendingDeletion, types.KeyStatePendingReplicaDeletion:
		return verdict.KeyPendingDeletion
	case types.KeyStatePendingImport:
		return verdict.KeyPendingImport
	case types.KeyStateCreating:
		return verdict.KeyNotReady
	case types.KeyStateUnavailable: // its custom key store is disconnected
		return verdict.KeyUnavailable
	}
	return verdict.KeyUnavailable // a state that we do not know must not stop a database
}

// explain adds to an error what only a further look tells. KMS says that a key's state is not
// valid for an operation, but in no code which state that is.
func (k *key) explain(ctx context.Context, err error) error {
	f := k.Classify(err)
	if k.credential.own && f.Reason == verdict.OurCredentials {
		k.credential.forget()
	}
	if _, ok := errors.AsType[*types.KMSInvalidStateException](err); !ok {
		return err
	}
	out, describeErr := k.describe(ctx)
	if describeErr != nil {
		return err
	}
	if reason := stateReason(out.KeyMetadata); reason != verdict.OK {
		f.Reason = reason
	}
	return f
}
