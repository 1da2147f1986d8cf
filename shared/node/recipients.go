package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"latchkey/shared/node/protocol"
	"latchkey/shared/seal"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

const (
	// refreshEvery is how often an instance reads the record again.
	refreshEvery = 5 * time.Minute
	// settleFor is how long a new key only opens, so that every instance has read it before
	// the first agent is told to seal to it.
	settleFor = 2 * refreshEvery
	// staleFor is how long keys that were read once may be used when they can't be read again.
	staleFor = time.Hour
	// retryEvery is how soon a failed refresh is tried again.
	retryEvery = 30 * time.Second
	// MinRotation is the least age at which the current key may be replaced. Agents learn of a
	// new key by every heartbeat, and the key before goes on opening for as long again.
	MinRotation = 7 * 24 * time.Hour
)

// recipientContext binds the sealed keys to their place.
var recipientContext = seal.Context{Scope: "system", Field: "recipientKeys"}

// Sealer seals and opens secrets; *seal.Sealer is the one in use.
type Sealer interface {
	Seal(ctx context.Context, plaintext []byte, c seal.Context) (seal.Sealed, error)
	Open(ctx context.Context, s seal.Sealed, c seal.Context) ([]byte, error)
}

// Recipients holds the control plane's HPKE keys, which nodes seal new master keys to. They are
// made on first use, kept sealed in the table and shared by all instances. A key opens on every
// instance before any agent is told of it. It is safe for concurrent use; the zero values of its
// unexported fields are ready.
type Recipients struct {
	Table  store.Table
	Sealer Sealer
	Now    func() time.Time

	mu   sync.Mutex
	ring ring
	read time.Time // when ring was read; zero if never
	next time.Time // when to read it again
}

// recipientRecord is what the table holds. Whoever can read the table alone learns nothing.
type recipientRecord struct {
	Sealed seal.Sealed `json:"sealed"`
}

// recipientKey is one key pair.
type recipientKey struct {
	ActiveFrom time.Time `json:"activeFrom"` // when agents may be told of it
	Private    []byte    `json:"private"`

	pair *protocol.Recipient
}

// ring is the key pairs, newest first: at most one that is yet to become active, the current one
// and the one before.
type ring []recipientKey

func newRecipientKey(activeFrom time.Time) (recipientKey, error) {
	pair, err := protocol.NewRecipient()
	if err != nil {
		return recipientKey{}, err
	}
	private, err := pair.Bytes()
	return recipientKey{ActiveFrom: activeFrom, Private: private, pair: pair}, err
}

// current is the key that agents are told of.
func (r ring) current(now time.Time) recipientKey {
	for _, k := range r {
		if !k.ActiveFrom.After(now) {
			return k
		}
	}
	return r[len(r)-1] // only with a clock far behind; the oldest is known best
}

// Public is the key that agents shall seal to.
func (r *Recipients) Public(ctx context.Context) ([]byte, error) {
	keys, err := r.keys(ctx)
	if err != nil {
		return nil, err
	}
	return keys.current(r.Now()).pair.Public(), nil
}

// Open opens a master key that a node sealed to any of the keys. It returns
// protocol.ErrNotOpened; the caller clears what it returns.
func (r *Recipients) Open(ctx context.Context, nodeID, keyID string, sealed []byte) ([]byte, error) {
	keys, err := r.keys(ctx)
	if err != nil {
		return nil, err
	}
	for _, k := range keys {
		if secret, err := k.pair.Open(protocol.ToControlPlane, nodeID, keyID, sealed); err == nil {
			return secret, nil
		}
	}
	return nil, protocol.ErrNotOpened
}

// Rotate adds a new key, which takes over once every instance knows it, and drops those that no
// agent seals to any more. It does nothing while the current key is younger than MinRotation, nor
// before the first key was made, so that repeating it is harmless. It reports whether it rotated.
func (r *Recipients) Rotate(ctx context.Context) (bool, error) {
	keys, version, err := r.load(ctx)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("recipient keys: %w", err)
	}
	now := r.Now()
	if now.Sub(keys[0].ActiveFrom) < MinRotation {
		return false, nil
	}
	fresh, err := newRecipientKey(now.Add(settleFor))
	if err != nil {
		return false, err
	}
	err = r.save(ctx, append(ring{fresh}, keys[:min(len(keys), 2)]...), version)
	if errors.Is(err, store.ErrConflict) {
		return false, nil // another instance rotated them this moment
	}
	if err != nil {
		return false, fmt.Errorf("rotate recipient keys: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next = time.Time{} // read it back at the next use
	return true, nil
}

// keys gives out the ring, reading it when that is due. On the first call of all it makes the
// first key; when instances race for that, one wins and the others read what it wrote.
func (r *Recipients) keys(ctx context.Context) (ring, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.Now()
	if !r.read.IsZero() && now.Before(r.next) {
		return r.ring, nil
	}
	keys, _, err := r.load(ctx)
	if errors.Is(err, store.ErrNotFound) {
		keys, err = r.create(ctx)
	}
	if err != nil {
		if r.read.IsZero() || now.Sub(r.read) > staleFor {
			return nil, fmt.Errorf("recipient keys: %w", err)
		}
		r.next = now.Add(retryEvery)
		return r.ring, nil
	}
	r.ring, r.read, r.next = keys, now, now.Add(refreshEvery)
	return keys, nil
}

func (r *Recipients) load(ctx context.Context) (ring, int64, error) {
	rec, version, err := store.Load[recipientRecord](ctx, r.Table, keys.RecipientKeys())
	if err != nil {
		return nil, 0, err
	}
	plain, err := r.Sealer.Open(ctx, rec.Sealed, recipientContext)
	if err != nil {
		return nil, 0, fmt.Errorf("open: %w", err)
	}
	defer clear(plain)
	var keys ring
	if err := json.Unmarshal(plain, &keys); err != nil || len(keys) == 0 {
		return nil, 0, errors.New("the record holds no keys") // never the text: it is secret
	}
	for i := range keys {
		if keys[i].pair, err = protocol.ParseRecipient(keys[i].Private); err != nil {
			return nil, 0, err
		}
	}
	return keys, version, nil
}

func (r *Recipients) create(ctx context.Context) (ring, error) {
	first, err := newRecipientKey(r.Now())
	if err != nil {
		return nil, err
	}
	keys := ring{first}
	err = r.save(ctx, keys, 0)
	if errors.Is(err, store.ErrConflict) {
		keys, _, err = r.load(ctx)
	}
	return keys, err
}

func (r *Recipients) save(ctx context.Context, k ring, version int64) error {
	plain, err := json.Marshal(k)
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	defer clear(plain)
	sealed, err := r.Sealer.Seal(ctx, plain, recipientContext)
	if err != nil {
		return fmt.Errorf("seal: %w", err)
	}
	item, err := store.Encode(keys.RecipientKeys(), version, recipientRecord{Sealed: sealed})
	if err != nil {
		return err
	}
	return r.Table.Write(ctx, store.Put(item))
}
