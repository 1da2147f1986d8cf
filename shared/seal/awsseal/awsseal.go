// Package awsseal is the operator's key in AWS KMS.
//
// Its invariant: every data key is wrapped with the encryption context of its secret, so that
// CloudTrail shows whose secret was opened and a grant can be limited to some. What is
// deployed imports it.
package awsseal

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"latchkey/shared/seal"
)

// The names in the encryption context. Key policies and CloudTrail queries use them.
const (
	scopeName = "latchkey:scope"
	fieldName = "latchkey:field"
)

// Wrapper wraps data keys under a symmetric key in AWS KMS.
type Wrapper struct {
	client *kms.Client
	keyID  string
}

// New binds a client to the operator's key: its ARN or key id. An alias works too, but what
// was sealed does not open once the alias names another key; automatic rotation keeps the key.
func New(client *kms.Client, keyID string) *Wrapper { return &Wrapper{client: client, keyID: keyID} }

// GenerateDataKey implements seal.Wrapper.
func (w *Wrapper) GenerateDataKey(ctx context.Context, c seal.Context) (plain, wrapped []byte, err error) {
	out, err := w.client.GenerateDataKey(ctx, &kms.GenerateDataKeyInput{
		KeyId: aws.String(w.keyID), KeySpec: types.DataKeySpecAes256, EncryptionContext: encryptionContext(c),
	})
	if err != nil {
		return nil, nil, fmt.Errorf("generate data key: %w", err)
	}
	return out.Plaintext, out.CiphertextBlob, nil
}

// OpenDataKey implements seal.Wrapper. Naming the key makes KMS refuse what another key
// wrapped, even one that this identity may use.
func (w *Wrapper) OpenDataKey(ctx context.Context, wrapped []byte, c seal.Context) ([]byte, error) {
	out, err := w.client.Decrypt(ctx, &kms.DecryptInput{
		KeyId: aws.String(w.keyID), CiphertextBlob: wrapped, EncryptionContext: encryptionContext(c),
	})
	if isUnopenable(err) {
		return nil, fmt.Errorf("%w: %w", seal.ErrUnopenable, err)
	}
	if err != nil {
		return nil, fmt.Errorf("decrypt data key: %w", err)
	}
	return out.Plaintext, nil
}

// isUnopenable knows the two answers that are about the ciphertext. Every other failure (denied,
// disabled, pending deletion, throttled, unreachable) is about the key, which the operator can
// give back.
func isUnopenable(err error) bool {
	_, invalid := errors.AsType[*types.InvalidCiphertextException](err)
	_, incorrect := errors.AsType[*types.IncorrectKeyException](err)
	return invalid || incorrect
}

func encryptionContext(c seal.Context) map[string]string {
	return map[string]string{scopeName: c.Scope, fieldName: c.Field}
}
