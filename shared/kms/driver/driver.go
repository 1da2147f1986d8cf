// Package driver is what a cloud implements so that kms.Key can use one of its keys.
//
// Drivers are thin: they translate one call each, return the SDK's raw errors, and classify
// those errors by a table. Everything that is the same for all clouds (binding, probes,
// wrapping of errors) lives once, in package kms. Implementations: awskms, azurekv, gcpkms.
package driver

import (
	"context"
	"time"

	"latchkey/shared/verdict"
)

// Binding names what a ciphertext is for. A ciphertext made under one binding can't be
// decrypted under another: AWS carries it as encryption context, Google as additional
// authenticated data; for Azure's RSA keys, which have neither, kms.Key puts its digest into
// the plaintext.
type Binding struct {
	GroupID string
	Use     string // "probe", "master-key/<nodeId>"
}

// Sealed is a ciphertext together with which key version made it.
type Sealed struct {
	Blob []byte
	// Version is the version of the key that made Blob, as the provider names it: the Azure
	// key version, the Google crypto key version number, the AWS key ARN (and key material id
	// where KMS tells it).
	Version string
}

// Description is what the provider says of the key.
type Description struct {
	// Version is the version that encrypts now, named as in Sealed.
	Version string
	// Created is when the current key version was made, zero where the provider does not tell.
	Created time.Time
	// Expires is the key's own expiry (Azure "exp"), zero when it has none.
	Expires time.Time
	// MultiRegion says that replicas in other regions can decrypt what this key encrypts (AWS).
	MultiRegion bool
}

// Dates are what the provider says of a key's age and end; each is zero where it says nothing, or
// where the credentials may not ask.
type Dates struct {
	// Created is when the key was made (AWS), or the key version that is configured (Azure, Google).
	Created time.Time `json:"created,omitzero"`
	// Rotated is when the key was last given the material that it encrypts with now, automatically
	// or on demand (AWS); zero for the material that it was made with.
	Rotated time.Time `json:"rotated,omitzero"`
	// NotBefore and Expires bound the time in which the key may be used: Azure "nbf" and "exp", and
	// the end of imported material at AWS.
	NotBefore time.Time `json:"notBefore,omitzero"`
	Expires   time.Time `json:"expires,omitzero"`
	// Deletes is when a key whose deletion was scheduled goes: AWS DeletionDate, Google destroyTime.
	Deletes time.Time `json:"deletes,omitzero"`
	// RotationPeriod is how often the provider makes a new version of its own accord, NextRotation
	// when it does next (Google).
	RotationPeriod time.Duration `json:"rotationPeriod,omitempty"`
	NextRotation   time.Time     `json:"nextRotation,omitzero"`
	// Recovery is what becomes of the key if it is deleted, and RecoverableDays for how long it can
	// be recovered then (Azure).
	Recovery        Recovery `json:"recovery,omitempty"`
	RecoverableDays int      `json:"recoverableDays,omitempty"`
}

// Recovery is whether a key that is deleted can be recovered.
type Recovery string

// The kinds of recovery.
const (
	RecoveryUnknown Recovery = ""
	// Unrecoverable: a key that is deleted is gone at once (no soft delete).
	Unrecoverable Recovery = "UNRECOVERABLE"
	// Purgeable: it can be recovered for some time, unless somebody purges it (no purge protection).
	Purgeable Recovery = "PURGEABLE"
	// Protected: it can be recovered for some time, whatever anybody does.
	Protected Recovery = "PROTECTED"
)

// Dated is implemented by keys whose provider tells dates.
type Dated interface {
	// Dates asks for them, also of a key that can't be used. What the credentials may not ask is left
	// out and is no error: tenants need not grant more than the use of the key.
	Dates(ctx context.Context) (Dates, error)
}

// Key is one customer master key reached with one set of credentials. Methods are safe for
// concurrent use, honour ctx, retry nothing that the SDK does not, and return the SDK's errors.
type Key interface {
	// Encrypt encrypts at most 64 bytes.
	Encrypt(ctx context.Context, plaintext []byte, b Binding) (Sealed, error)
	// Decrypt reverses Encrypt. Drivers that bind (see Capabilities) fail when b differs.
	Decrypt(ctx context.Context, s Sealed, b Binding) ([]byte, error)
	// Describe fails unless the key could encrypt and decrypt now: a key that is disabled,
	// expired or waiting for deletion is an error that Classify gives its reason.
	Describe(ctx context.Context) (Description, error)
	// Classify explains an error of this driver. It never returns nil for a non-nil error,
	// returns context.Canceled as verdict.Cancelled and a missed deadline as verdict.TimedOut.
	Classify(err error) *verdict.Failure
	// Capabilities are constant.
	Capabilities() Capabilities
}

// Capabilities declares how providers differ.
type Capabilities struct {
	// BindsContext: the provider itself authenticates the binding.
	BindsContext bool
}
