// Package ring keeps the deployment's own keys: made on first use, sealed in the table, shared by
// all instances of all functions, and rotated without anybody noticing.
//
// Its one invariant: a key is known to every instance before any instance begins to use it, and
// stays known until the one that took its place is replaced too.
package ring

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"latchkey/shared/seal"
	"latchkey/shared/store"
)

const (
	// refreshEvery is how often an instance reads the record again.
	refreshEvery = 5 * time.Minute
	// settleFor is how long a new key is known before it is used: twice refreshEvery, for clocks
	// and failed refreshes.
	settleFor = 2 * refreshEvery
	// staleFor is how long keys that were read once may be used when they can't be read again: an
	// outage of the seal's KMS must not lock everybody out, and a key that was taken away must
	// not live for ever on an instance that is cut off.
	staleFor = time.Hour
	// retryEvery is how soon a failed refresh is tried again.
	retryEvery = 30 * time.Second
)

// Sealer seals and opens secrets; *seal.Sealer is the one in use.
type Sealer interface {
	Seal(ctx context.Context, plaintext []byte, c seal.Context) (seal.Sealed, error)
	Open(ctx context.Context, s seal.Sealed, c seal.Context) ([]byte, error)
}

// Kind says what keys a ring holds and where it is kept. All fields are required.
type Kind[K any] struct {
	Name   string // for errors: "signing keys"
	Table  store.Table
	Sealer Sealer
	Now    func() time.Time

	Place   store.Key
	Context seal.Context // binds the sealed keys to their place
	// New makes a key that may be used from a time on, and ActiveFrom tells that time. A key is
	// kept as JSON.
	New        func(activeFrom time.Time) (K, error)
	ActiveFrom func(K) time.Time
	// MinRotation is the least age at which the current key may be replaced: the one before is
	// kept for as long, so it bounds how long what a key made may be needed.
	MinRotation time.Duration
}

// Current is the key to use at a time, of the keys of a ring.
func Current[K any](keys []K, activeFrom func(K) time.Time, now time.Time) K {
	for _, key := range keys {
		if !activeFrom(key).After(now) {
			return key
		}
	}
	return keys[len(keys)-1] // only with a clock far behind; the oldest is known best
}

// Ring is what one instance knows of a ring. It is safe for concurrent use; the zero value is ready.
type Ring[K any] struct {
	mu   sync.Mutex
	keys []K       // newest first
	read time.Time // when keys was read; zero if never
	next time.Time // when to read it again
}

// record is what the table holds. Whoever can read the table alone learns nothing.
type record struct {
	Sealed seal.Sealed `json:"sealed"`
}

// content is what is sealed.
type content[K any] struct{ Keys []K }

// Get gives out the keys, newest first: at most one that is yet to become active, the current one
// and the one before. It reads them when that is due. On the first call of all it makes the first
// one; when instances race for that, one wins and the others read what it wrote.
func (r *Ring[K]) Get(ctx context.Context, kind Kind[K]) ([]K, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := kind.Now()
	if !r.read.IsZero() && now.Before(r.next) {
		return r.keys, nil
	}
	keys, _, err := kind.load(ctx)
	if errors.Is(err, store.ErrNotFound) {
		keys, err = kind.create(ctx)
	}
	if err != nil {
		if r.read.IsZero() || now.Sub(r.read) > staleFor {
			return nil, fmt.Errorf("%s: %w", kind.Name, err)
		}
		r.next = now.Add(retryEvery)
		return r.keys, nil
	}
	r.keys, r.read, r.next = keys, now, now.Add(refreshEvery)
	return keys, nil
}

// Rotate adds a new key, which takes over once every instance knows it, and drops those that
// nothing needs any more. It does nothing while the newest key is younger than MinRotation, nor
// before the first key was made, so that repeating it is harmless. It reports whether it rotated.
func (r *Ring[K]) Rotate(ctx context.Context, kind Kind[K]) (bool, error) {
	keys, version, err := kind.load(ctx)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("%s: %w", kind.Name, err)
	}
	now := kind.Now()
	if now.Sub(kind.ActiveFrom(keys[0])) < kind.MinRotation {
		return false, nil
	}
	fresh, err := kind.New(now.Add(settleFor))
	if err == nil {
		err = kind.save(ctx, append([]K{fresh}, keys[:min(len(keys), 2)]...), version)
	}
	if errors.Is(err, store.ErrConflict) {
		return false, nil // another instance rotated them this moment
	}
	if err != nil {
		return false, fmt.Errorf("rotate %s: %w", kind.Name, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next = time.Time{} // read it back at the next use
	return true, nil
}

func (k Kind[K]) load(ctx context.Context) ([]K, int64, error) {
	rec, version, err := store.Load[record](ctx, k.Table, k.Place)
	if err != nil {
		return nil, 0, err
	}
	plain, err := k.Sealer.Open(ctx, rec.Sealed, k.Context)
	if err != nil {
		return nil, 0, fmt.Errorf("open: %w", err)
	}
	defer clear(plain)
	var c content[K]
	if err := json.Unmarshal(plain, &c); err != nil || len(c.Keys) == 0 {
		return nil, 0, errors.New("the record holds no keys") // never the text: it is secret
	}
	return c.Keys, version, nil
}

func (k Kind[K]) create(ctx context.Context) ([]K, error) {
	first, err := k.New(k.Now())
	if err != nil {
		return nil, err
	}
	keys := []K{first}
	err = k.save(ctx, keys, 0)
	if errors.Is(err, store.ErrConflict) {
		keys, _, err = k.load(ctx)
	}
	return keys, err
}

func (k Kind[K]) save(ctx context.Context, keys []K, version int64) error {
	plain, err := json.Marshal(content[K]{keys})
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	defer clear(plain)
	sealed, err := k.Sealer.Seal(ctx, plain, k.Context)
	if err != nil {
		return fmt.Errorf("seal: %w", err)
	}
	item, err := store.Encode(k.Place, version, record{Sealed: sealed})
	if err != nil {
		return err
	}
	return k.Table.Write(ctx, store.Put(item))
}
