package agent

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"

	"latchkey/shared/node/protocol"
)

// MasterKey is a master key in the clear. It never prints its secret, whatever it is formatted
// or marshalled with.
//
// Destroy overwrites the secret. That is as much as Go allows: the runtime may have copied it
// while it grew a stack, and ciphers keep key schedules of their own until they are collected.
// Built with GOEXPERIMENT=runtimesecret, the agent has such traces erased too.
type MasterKey struct {
	id     string
	secret []byte
}

// NewMasterKey takes over secret, which must have protocol.MasterKeySize bytes.
func NewMasterKey(id string, secret []byte) *MasterKey { return &MasterKey{id, secret} }

// makeMasterKey makes a key and its id together: another key never gets the same id.
func makeMasterKey(id string) *MasterKey {
	secret := make([]byte, protocol.MasterKeySize)
	rand.Read(secret) // never fails
	return NewMasterKey(id, secret)
}

// ID names the key in the ledger.
func (k *MasterKey) ID() string { return k.id }

// Bytes is the secret itself, not a copy: it becomes zeros with Destroy.
func (k *MasterKey) Bytes() []byte { return k.secret }

// Clone is a copy that is destroyed on its own.
func (k *MasterKey) Clone() *MasterKey {
	return NewMasterKey(k.id, append([]byte(nil), k.secret...))
}

// Destroy overwrites the secret. Destroying nil, or again, does nothing.
func (k *MasterKey) Destroy() {
	if k != nil {
		clear(k.secret)
	}
}

// check is a value by which the key is recognised later. It tells nothing about a secret of 256
// random bits.
func (k *MasterKey) check() []byte {
	mac := hmac.New(sha256.New, k.secret)
	mac.Write([]byte("latchkey master key check v1 " + k.id))
	return mac.Sum(nil)
}

// matches reports whether k is the key that the check value was taken of.
func (k *MasterKey) matches(check []byte) bool { return hmac.Equal(k.check(), check) }

// String names the key without its secret.
func (k *MasterKey) String() string { return "master key " + k.id }

// Format implements fmt.Formatter for every verb alike.
func (k *MasterKey) Format(f fmt.State, _ rune) { io.WriteString(f, k.String()) } //nolint:errcheck // fmt has nowhere to put it

// LogValue implements slog.LogValuer.
func (k *MasterKey) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalText implements encoding.TextMarshaler, and so json.Marshaler's purpose.
func (k *MasterKey) MarshalText() ([]byte, error) { return []byte(k.String()), nil }
