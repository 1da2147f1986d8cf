// Package keyring holds the service's own signing keys: those that sign Digest nonces and
// those that sign access tokens. They are made on first use, kept sealed in the table, shared
// by all instances and rotated without anybody noticing.
//
// Its one invariant: a key verifies on every instance before any instance signs with it, and
// goes on verifying for as long as anything it signed is valid.
package keyring

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"time"

	"latchkey/shared/seal/ring"
)

// MinRotation is the least age at which the current keys may be replaced: one before is kept, and
// the longest-lived thing it signed, an access token, lives for an hour.
const MinRotation = 2 * time.Hour

// Key is one signing key: an HMAC key for nonces and an Ed25519 key for tokens, under one id.
type Key struct {
	ID string `json:"id"`
	// ActiveFrom is when the key may start to sign. It verifies at any time.
	ActiveFrom time.Time `json:"activeFrom"`
	Nonce      []byte    `json:"nonce"`
	Seed       []byte    `json:"seed"` // of the Ed25519 key
}

func newKey(activeFrom time.Time) (Key, error) {
	k := Key{ActiveFrom: activeFrom, Nonce: make([]byte, 32), Seed: make([]byte, ed25519.SeedSize)}
	var id [8]byte
	rand.Read(id[:])
	rand.Read(k.Nonce)
	rand.Read(k.Seed)
	k.ID = hex.EncodeToString(id[:])
	return k, nil
}

func activeFrom(k Key) time.Time { return k.ActiveFrom }

// Private is the key that signs access tokens.
func (k Key) Private() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(k.Seed) }

// Public is the key that verifies access tokens.
func (k Key) Public() ed25519.PublicKey {
	return ed25519.PublicKey(k.Private()[ed25519.SeedSize:])
}

// Ring is a set of keys, newest first: at most one that is yet to become active, the current
// one and the one before.
type Ring struct{ Keys []Key }

// Current is the key that signs at this time.
func (r Ring) Current(now time.Time) Key { return ring.Current(r.Keys, activeFrom, now) }

// NonceKeys are the keys that verify nonces.
func (r Ring) NonceKeys() [][]byte {
	keys := make([][]byte, len(r.Keys))
	for i, k := range r.Keys {
		keys[i] = k.Nonce
	}
	return keys
}

// ByID finds the key that a token names.
func (r Ring) ByID(id string) (Key, bool) {
	for _, k := range r.Keys {
		if k.ID == id {
			return k, true
		}
	}
	return Key{}, false
}
