package keyring

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"latchkey/shared/seal"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

// staleFor is how long keys that were read once may be used when they cannot be read again:
// an outage of the seal's KMS must not lock every client out, and a revoked key must not live
// for ever on an instance that is cut off.
const staleFor = time.Hour

// retryEvery is how soon a failed refresh is tried again.
const retryEvery = 30 * time.Second

// sealContext binds the sealed ring to its place.
var sealContext = seal.Context{Scope: "system", Field: "signingKeys"}

// Sealer seals and opens secrets; *seal.Sealer is the one in use.
type Sealer interface {
	Seal(ctx context.Context, plaintext []byte, c seal.Context) (seal.Sealed, error)
	Open(ctx context.Context, s seal.Sealed, c seal.Context) ([]byte, error)
}

// Keyring gives out the ring, reading it from the table when that is due. It is safe for
// concurrent use; the zero values of its unexported fields are ready.
type Keyring struct {
	Table  store.Table
	Sealer Sealer
	Now    func() time.Time

	mu   sync.Mutex
	ring Ring
	read time.Time // when ring was read; zero if never
	next time.Time // when to read it again
}

// record is what the table holds. Whoever can read the table alone learns nothing.
type record struct {
	Sealed seal.Sealed `json:"sealed"`
}

// Ring returns the keys. On the first call of all it makes them; when instances race for
// that, one wins and the others read what it wrote.
func (k *Keyring) Ring(ctx context.Context) (Ring, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.Now()
	if !k.read.IsZero() && now.Before(k.next) {
		return k.ring, nil
	}
	ring, _, err := k.load(ctx)
	if errors.Is(err, store.ErrNotFound) {
		ring, err = k.create(ctx)
	}
	if err != nil {
		if k.read.IsZero() || now.Sub(k.read) > staleFor {
			return Ring{}, fmt.Errorf("signing keys: %w", err)
		}
		k.next = now.Add(retryEvery)
		return k.ring, nil
	}
	k.ring, k.read, k.next = ring, now, now.Add(refreshEvery)
	return ring, nil
}

// Rotate adds a new key, which takes over once every instance knows it, and drops those that
// nothing valid was signed with. It does nothing while the current key is younger than
// MinRotation, so that repeating it is harmless, nor before the first key was made. It reports
// whether it rotated.
func (k *Keyring) Rotate(ctx context.Context) (bool, error) {
	ring, version, err := k.load(ctx)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("signing keys: %w", err)
	}
	ring, due := ring.rotated(k.Now())
	if !due {
		return false, nil
	}
	err = k.save(ctx, ring, version)
	if errors.Is(err, store.ErrConflict) {
		return false, nil // another instance rotated them this moment
	}
	if err != nil {
		return false, fmt.Errorf("rotate signing keys: %w", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.next = time.Time{} // read it back at the next use
	return true, nil
}

func (k *Keyring) load(ctx context.Context) (Ring, int64, error) {
	rec, version, err := store.Load[record](ctx, k.Table, keys.SigningKeys())
	if err != nil {
		return Ring{}, 0, err
	}
	plain, err := k.Sealer.Open(ctx, rec.Sealed, sealContext)
	if err != nil {
		return Ring{}, 0, fmt.Errorf("open: %w", err)
	}
	var ring Ring
	if err := json.Unmarshal(plain, &ring); err != nil || len(ring.Keys) == 0 {
		return Ring{}, 0, errors.New("the record holds no keys") // never the text: it is secret
	}
	return ring, version, nil
}

func (k *Keyring) create(ctx context.Context) (Ring, error) {
	ring := Ring{Keys: []Key{newKey(k.Now())}}
	err := k.save(ctx, ring, 0)
	if errors.Is(err, store.ErrConflict) {
		ring, _, err = k.load(ctx)
	}
	return ring, err
}

func (k *Keyring) save(ctx context.Context, ring Ring, version int64) error {
	plain, err := json.Marshal(ring)
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	sealed, err := k.Sealer.Seal(ctx, plain, sealContext)
	if err != nil {
		return fmt.Errorf("seal: %w", err)
	}
	item, err := store.Encode(keys.SigningKeys(), version, record{Sealed: sealed})
	if err != nil {
		return err
	}
	return k.Table.Write(ctx, store.Put(item))
}
