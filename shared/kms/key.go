// Package kms is a customer master key (CMK) as the rest of Latchkey sees it: something that
// wraps small secrets, opens them again, and can be checked.
//
// Key is a concrete type over a thin driver, as in google/go-cloud, so that binding, probes
// and error wrapping behave the same for every cloud. Its one invariant: every failure is a
// *verdict.Failure, so nobody above this package looks at a provider's error.
package kms

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"

	"latchkey/shared/atlas"
	"latchkey/shared/kms/driver"
	"latchkey/shared/verdict"
)

// Binding names what a ciphertext is for.
type Binding = driver.Binding

// Sealed is a ciphertext together with which key version made it.
type Sealed = driver.Sealed

// Description is what the provider says of the key.
type Description = driver.Description

// Dates are what the provider says of a key's age and end.
type Dates = driver.Dates

// Recovery is whether a key that is deleted can be recovered.
type Recovery = driver.Recovery

// The kinds of recovery.
const (
	RecoveryUnknown = driver.RecoveryUnknown
	Unrecoverable   = driver.Unrecoverable
	Purgeable       = driver.Purgeable
	Protected       = driver.Protected
)

// MaxPlaintext is how many bytes a key wraps: what is left of RSA-OAEP-256 under a 2048-bit
// key (190 bytes), rounded down to what every provider takes.
const MaxPlaintext = 64

// ErrTooLong is returned for a plaintext of more than MaxPlaintext bytes.
var ErrTooLong = errors.New("kms: plaintext is longer than 64 bytes")

// Key is one CMK reached with one set of credentials. It is safe for concurrent use.
type Key struct {
	name string
	drv  driver.Key
	// other opens what this one is refused; nil if there is no other way.
	other *Key
	// tally counts the calls, as those of the provider; nil if nobody counts.
	tally    *Tally
	provider atlas.Provider
}

// NewKey wraps a driver's key. name identifies the key in errors; it does no I/O.
func NewKey(name string, drv driver.Key) *Key { return &Key{name: name, drv: drv} }

// Name is how the customer names the key: ARN or id, key identifier, key version name.
func (k *Key) Name() string { return k.name }

// Encrypt wraps at most MaxPlaintext bytes for the given use.
func (k *Key) Encrypt(ctx context.Context, plaintext []byte, b Binding) (Sealed, error) {
	if len(plaintext) > MaxPlaintext {
		return Sealed{}, ErrTooLong
	}
	if !k.drv.Capabilities().BindsContext {
		plaintext = append(digest(b), plaintext...)
		defer clear(plaintext)
	}
	s, err := k.drv.Encrypt(ctx, plaintext, b)
	if err = k.ended(ctx, OpEncrypt, err); err != nil {
		return Sealed{}, err
	}
	return s, nil
}

// Or returns the key with another way to it, which opens what the customer lets this one open no
// more. What the other way makes of it does not show: the failure is that of this one.
func (k *Key) Or(other *Key) *Key {
	either := *k
	either.other = other
	return &either
}

// Decrypt opens what Encrypt made under the same binding. A ciphertext of another binding
// fails with KEY_MISMATCH.
func (k *Key) Decrypt(ctx context.Context, s Sealed, b Binding) ([]byte, error) {
	plaintext, err := k.decrypt(ctx, s, b)
	if f, ok := errors.AsType[*verdict.Failure](err); ok && k.other != nil && f.Class() == verdict.Invalid {
		if opened, otherErr := k.other.Decrypt(ctx, s, b); otherErr == nil {
			return opened, nil
		}
	}
	return plaintext, err
}

func (k *Key) decrypt(ctx context.Context, s Sealed, b Binding) ([]byte, error) {
	plaintext, err := k.drv.Decrypt(ctx, s, b)
	if err = k.ended(ctx, OpDecrypt, err); err != nil {
		return nil, err
	}
	if k.drv.Capabilities().BindsContext {
		return plaintext, nil
	}
	want := digest(b)
	if len(plaintext) < len(want) || subtle.ConstantTimeCompare(plaintext[:len(want)], want) != 1 {
		clear(plaintext)
		return nil, verdict.Failed(verdict.KeyMismatch, "the ciphertext was made for another use")
	}
	return plaintext[len(want):], nil
}

// Describe asks the provider about the key and fails unless it could be used now.
func (k *Key) Describe(ctx context.Context) (Description, error) {
	d, err := k.drv.Describe(ctx)
	if err = k.ended(ctx, OpDescribe, err); err != nil {
		return Description{}, err
	}
	return d, nil
}

// Dates asks the provider about the key's age and end, also while the key can't be used. Dates that
// it does not tell, or not to these credentials, are zero. A failure says nothing about whether the
// key is valid.
func (k *Key) Dates(ctx context.Context) (Dates, error) {
	dated, ok := k.drv.(driver.Dated)
	if !ok {
		return Dates{}, nil
	}
	d, err := dated.Dates(ctx)
	if err = k.ended(ctx, OpDates, err); err != nil {
		return Dates{}, err
	}
	return d, nil
}

// probeLength is the size of a probe: as long as a master key, which it stands for.
const probeLength = 32

// Probe is a known value that the key has wrapped. Decrypting it proves that the key still
// opens what it wrapped before.
type Probe struct {
	Sealed Sealed `json:"sealed"`
	Digest []byte `json:"digest"` // SHA-256 of the plaintext, which is kept nowhere
}

// NewProbe checks the key thoroughly: describe, encrypt, decrypt, compare. The result is
// stored and later checked with CheckProbe, at the price of one call.
func (k *Key) NewProbe(ctx context.Context, groupID string) (Probe, Description, error) {
	d, err := k.Describe(ctx)
	if err != nil {
		return Probe{}, Description{}, err
	}
	plaintext := make([]byte, probeLength)
	rand.Read(plaintext) // never fails since Go 1.24
	sum := sha256.Sum256(plaintext)
	s, err := k.Encrypt(ctx, plaintext, probeBinding(groupID))
	if err != nil {
		return Probe{}, Description{}, err
	}
	p := Probe{Sealed: s, Digest: sum[:]}
	return p, d, k.CheckProbe(ctx, groupID, p)
}

// CheckProbe decrypts a stored probe: one call to the provider.
func (k *Key) CheckProbe(ctx context.Context, groupID string, p Probe) error {
	plaintext, err := k.Decrypt(ctx, p.Sealed, probeBinding(groupID))
	if err != nil {
		return err
	}
	sum := sha256.Sum256(plaintext)
	if !bytes.Equal(sum[:], p.Digest) {
		return verdict.Failed(verdict.KeyMismatch, "the key decrypts the probe to another value")
	}
	return nil
}

func probeBinding(groupID string) Binding { return Binding{GroupID: groupID, Use: "probe"} }

// digest is the form in which a binding goes into the plaintext of providers that cannot
// authenticate it. The separator cannot occur in a group id.
func digest(b Binding) []byte {
	sum := sha256.Sum256([]byte(b.GroupID + "\x00" + b.Use))
	return sum[:]
}

// ended counts a call of the driver that ended, and returns its error as a *verdict.Failure.
func (k *Key) ended(ctx context.Context, op Operation, err error) error {
	if err != nil {
		err = k.failure(ctx, err)
	}
	k.count(op, err)
	return err
}

// failure turns a driver's error into a *verdict.Failure. A deadline that passed while the
// provider was silent is the provider's, a cancellation is ours.
func (k *Key) failure(ctx context.Context, err error) error {
	if f, ok := errors.AsType[*verdict.Failure](err); ok {
		return f
	}
	if errors.Is(err, context.Canceled) && errors.Is(ctx.Err(), context.Canceled) {
		return &verdict.Failure{Reason: verdict.Cancelled, Err: err}
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return &verdict.Failure{Reason: verdict.TimedOut, Err: err}
	}
	return k.drv.Classify(err)
}
