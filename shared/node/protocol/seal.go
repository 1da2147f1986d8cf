package protocol

import (
	"crypto/ecdh"
	"crypto/hpke"
	"encoding/binary"
	"errors"
	"fmt"
)

// MasterKeySize is the length of a master key: 256 bit.
const MasterKeySize = 32

// Direction is where a sealed master key travels.
type Direction string

// The directions.
const (
	ToControlPlane Direction = "to-control-plane" // to be wrapped
	ToNode         Direction = "to-node"          // released, to start
)

// ErrNotOpened is returned for everything that was not sealed to this recipient, for this node,
// key and direction. It does not tell which of them was wrong.
var ErrNotOpened = errors.New("protocol: the sealed key cannot be opened")

// ErrRecipient is returned for bytes that are no HPKE public key.
var ErrRecipient = errors.New("protocol: not a public key to seal to")

// suite is DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM (RFC 9180).
func suite() (hpke.KEM, hpke.KDF, hpke.AEAD) {
	return hpke.DHKEM(ecdh.X25519()), hpke.HKDFSHA256(), hpke.AES256GCM()
}

// Recipient is a key pair that master keys are sealed to: one of the control plane's, or one
// that a node makes for a single release.
type Recipient struct{ private hpke.PrivateKey }

// NewRecipient makes a key pair.
func NewRecipient() (*Recipient, error) {
	kem, _, _ := suite()
	private, err := kem.GenerateKey()
	if err != nil {
		return nil, fmt.Errorf("make a recipient key: %w", err)
	}
	return &Recipient{private}, nil
}

// ParseRecipient reads what Bytes returned.
func ParseRecipient(private []byte) (*Recipient, error) {
	kem, _, _ := suite()
	key, err := kem.NewPrivateKey(private)
	if err != nil {
		return nil, errors.New("protocol: not a private key") // the cause could quote the key
	}
	return &Recipient{key}, nil
}

// Public is the key to seal to.
func (r *Recipient) Public() []byte { return r.private.PublicKey().Bytes() }

// Bytes is the private key, for the control plane to keep in its seal.
func (r *Recipient) Bytes() ([]byte, error) { return r.private.Bytes() }

// Open opens a master key that was sealed to r. The caller clears what it returns.
func (r *Recipient) Open(d Direction, nodeID, keyID string, sealed []byte) ([]byte, error) {
	_, kdf, aead := suite()
	key, err := hpke.Open(r.private, kdf, aead, info(d, nodeID, keyID), sealed)
	if err != nil {
		return nil, ErrNotOpened
	}
	if len(key) != MasterKeySize {
		clear(key)
		return nil, ErrNotOpened
	}
	return key, nil
}

// SealKey seals a master key to a recipient's public key.
func SealKey(recipient []byte, d Direction, nodeID, keyID string, key []byte) ([]byte, error) {
	if len(key) != MasterKeySize {
		return nil, fmt.Errorf("protocol: a master key has %d bytes, not %d", MasterKeySize, len(key))
	}
	kem, kdf, aead := suite()
	public, err := kem.NewPublicKey(recipient)
	if err != nil {
		return nil, ErrRecipient
	}
	sealed, err := hpke.Seal(public, kdf, aead, info(d, nodeID, keyID), key)
	if err != nil {
		return nil, ErrRecipient // a point of low order: X25519 refuses it only now
	}
	return sealed, nil
}

// info binds a sealed key to its use. Each part is preceded by its length, so no two uses share
// an info whatever their ids are.
func info(d Direction, nodeID, keyID string) []byte {
	b := []byte("latchkey master key v1")
	for _, part := range []string{string(d), nodeID, keyID} {
		b = binary.AppendUvarint(b, uint64(len(part)))
		b = append(b, part...)
	}
	return b
}
