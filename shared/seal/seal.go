// Package seal keeps tenants' secrets out of the table: envelope encryption under the
// operator's key, with a context that binds each secret to whose it is and what it is for.
//
// Its invariant: a sealed value opens only under the scope and field that it was sealed with.
// Use cases import it; the operator's key is behind Wrapper, in awsseal or fileseal.
package seal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/singleflight"
)

// Context says whose a secret is and what it is for.
type Context struct {
	Scope string // "group/<id>", "org/<id>" or "system"
	Field string // where it is kept: "awsKms.secretAccessKey"
}

// Sealed is a secret that may be stored. In JSON it is a base64 string.
type Sealed []byte

// Wrapper is the operator's key. Implementations are safe for concurrent use, return errors
// that match ErrUnopenable when the wrapped key does not open under the context whoever asks
// and however often, and any other error when asking again may help.
type Wrapper interface {
	// GenerateDataKey makes a random key of KeySize bytes and returns it plain and wrapped.
	GenerateDataKey(ctx context.Context, c Context) (plain, wrapped []byte, err error)
	// OpenDataKey returns the plain key. The caller owns the slice and wipes it.
	OpenDataKey(ctx context.Context, wrapped []byte, c Context) ([]byte, error)
}

// KeySize is the size of a data key: AES-256.
const KeySize = 32

// The two ways to fail that callers tell apart.
var (
	// ErrUnavailable: the operator's key service did not answer or did not let us. Nothing
	// is known about the secret; asking again later may succeed. Clients are told 503.
	ErrUnavailable = errors.New("seal: the operator's key is unavailable")
	// ErrUnopenable: this is not what was sealed, or not under this context. Asking again
	// can't help. Clients are told 500.
	ErrUnopenable = errors.New("seal: the sealed value does not open")
)

var errContext = errors.New("seal: a context needs a scope and a field")

// openTimeout bounds one call to the operator's key, which several callers may wait for.
const openTimeout = 10 * time.Second

// Sealer seals and opens. It is safe for concurrent use.
type Sealer struct {
	wrapper Wrapper
	flights singleflight.Group
	cache   *cache
}

// New returns a sealer under the operator's key w. now is the clock by which opened data keys
// age: they are kept in memory for up to 15 minutes, so that a warm open asks nobody.
func New(w Wrapper, now func() time.Time) *Sealer {
	return &Sealer{wrapper: w, cache: newCache(now)}
}

// Seal encrypts plaintext under a data key of its own. Errors match ErrUnavailable.
func (s *Sealer) Seal(ctx context.Context, plaintext []byte, c Context) (Sealed, error) {
	if c.Scope == "" || c.Field == "" {
		return nil, errContext
	}
	plain, wrapped, err := s.wrapper.GenerateDataKey(ctx, c)
	if err != nil {
		return nil, unavailable(err)
	}
	defer clear(plain)
	if len(plain) != KeySize || len(wrapped) == 0 || len(wrapped) > maxWrapped {
		return nil, unavailable(fmt.Errorf("a data key of %d bytes, wrapped in %d", len(plain), len(wrapped)))
	}
	aead, err := newAEAD(plain)
	if err != nil {
		return nil, err
	}
	header := newHeader(wrapped)
	return aead.Seal(header, nil, plaintext, additionalData(header, c)), nil //nolint:gosec // the AEAD makes its own nonce
}

// Open reverses Seal. Errors match either ErrUnavailable or ErrUnopenable.
func (s *Sealer) Open(ctx context.Context, sealed Sealed, c Context) ([]byte, error) {
	if c.Scope == "" || c.Field == "" {
		return nil, fmt.Errorf("%w: %w", ErrUnopenable, errContext)
	}
	e, err := parse(sealed)
	if err != nil {
		return nil, err
	}
	id := identify(e.wrapped, c)
	for {
		key, err := s.dataKey(ctx, id, e.wrapped, c)
		if err != nil {
			return nil, err
		}
		aead, ok, err := key.aead()
		if err != nil {
			return nil, err
		}
		if !ok {
			continue // wiped between being found and being used; it is fetched again
		}
		plaintext, err := aead.Open([]byte{}, nil, e.box, additionalData(e.header, c))
		if err != nil {
			return nil, fmt.Errorf("%w: %s of %s", ErrUnopenable, c.Field, c.Scope)
		}
		return plaintext, nil
	}
}

// dataKey finds an opened data key or asks the wrapper for it, once for all who want the same
// one at the same time. The call outlives the caller that began it, because others may wait.
func (s *Sealer) dataKey(ctx context.Context, id keyID, wrapped []byte, c Context) (*dataKey, error) {
	if key, ok := s.cache.find(id); ok {
		return key, nil
	}
	if err := ctx.Err(); err != nil {
		return nil, unavailable(err)
	}
	flight := s.flights.DoChan(string(id[:]), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), openTimeout)
		defer cancel()
		plain, err := s.wrapper.OpenDataKey(ctx, wrapped, c)
		if err != nil {
			return nil, err
		}
		if len(plain) != KeySize {
			clear(plain)
			return nil, fmt.Errorf("%w: a data key of %d bytes", ErrUnopenable, len(plain))
		}
		return s.cache.add(id, plain), nil
	})
	select {
	case <-ctx.Done():
		return nil, unavailable(ctx.Err())
	case result := <-flight:
		key, ok := result.Val.(*dataKey)
		if !ok {
			return nil, classify(result.Err, c)
		}
		return key, nil
	}
}

// classify lets an error match exactly one of the two.
func classify(err error, c Context) error {
	if errors.Is(err, ErrUnopenable) {
		return fmt.Errorf("%s of %s: %w", c.Field, c.Scope, err)
	}
	return unavailable(err)
}

func unavailable(err error) error { return fmt.Errorf("%w: %w", ErrUnavailable, err) }
