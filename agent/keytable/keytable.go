// Package keytable is the middle of the chain CMK → master key → database key → files: the
// table of a node's database keys, each wrapped by the node's master key.
//
// Its one invariant: rotating the master key changes this table and nothing else, in one piece.
// Embedded engines import it and store it.
package keytable

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	"latchkey/agent"
)

// ErrDamaged is returned for a table that cannot be read, or an entry that was altered.
var ErrDamaged = errors.New("keytable: the table is damaged")

const (
	format = 1
	// KeySize is the length of a database key: AES-256.
	KeySize = 32
)

// Table is the databases of one node. It is a value: changes return another one, to be stored
// before it is used.
type Table struct {
	Format int `json:"format"`
	// MasterKeyID is the master key that wraps the entries, empty where nothing is encrypted.
	MasterKeyID string `json:"masterKeyId,omitempty"`
	// Check tells the right master key from another one before there is any database.
	Check     []byte           `json:"check,omitempty"`
	Databases map[string]Entry `json:"databases"`
	// Complete: the node has all data that it should start with. Without it the initial copy
	// was interrupted and begins anew.
	Complete bool `json:"complete"`
}

// Entry is one database.
type Entry struct {
	// ID names its files: database names come from clients.
	ID      string `json:"id"`
	Wrapped []byte `json:"wrapped,omitempty"`
}

// New returns the table of a node without databases. key nil means not encrypted.
func New(key *agent.MasterKey) (Table, error) {
	t := Table{Format: format, Databases: map[string]Entry{}}
	if key == nil {
		return t, nil
	}
	t.MasterKeyID = key.ID()
	check, err := wrap(key, checkUse, nil)
	t.Check = check
	return t, err
}

// Parse reads what Encode wrote.
func Parse(content []byte) (Table, error) {
	var t Table
	if err := json.Unmarshal(content, &t); err != nil || t.Format != format {
		return Table{}, ErrDamaged
	}
	if t.Databases == nil {
		t.Databases = map[string]Entry{}
	}
	return t, nil
}

// Encode renders the table for its file. It holds no secret in the clear.
func (t Table) Encode() ([]byte, error) { return json.MarshalIndent(t, "", "  ") }

// Opens returns agent.ErrWrongKey unless key is what the table is under.
func (t Table) Opens(key *agent.MasterKey) error {
	switch {
	case key == nil && t.MasterKeyID == "":
		return nil
	case key == nil || t.MasterKeyID != key.ID():
		return agent.ErrWrongKey
	}
	if _, err := unwrap(key, checkUse, t.Check); err != nil {
		return agent.ErrWrongKey
	}
	return nil
}

// With adds a database under a random key of its own.
func (t Table) With(name string, key *agent.MasterKey) (Table, error) {
	var id [12]byte
	rand.Read(id[:]) // never fails
	entry := Entry{ID: hex.EncodeToString(id[:])}
	if key != nil {
		secret := make([]byte, KeySize)
		defer clear(secret)
		rand.Read(secret) // never fails
		var err error
		if entry.Wrapped, err = wrap(key, useOf(name), secret); err != nil {
			return Table{}, err
		}
	}
	t.Databases = maps.Clone(t.Databases)
	t.Databases[name] = entry
	return t, nil
}

// Key is a database's key, nil where nothing is encrypted. The caller clears it.
func (t Table) Key(name string, key *agent.MasterKey) ([]byte, error) {
	if key == nil {
		return nil, nil
	}
	secret, err := unwrap(key, useOf(name), t.Databases[name].Wrapped)
	if err != nil || len(secret) != KeySize {
		return nil, fmt.Errorf("%w: database %q", ErrDamaged, name)
	}
	return secret, nil
}

// Rotated is the table under another master key.
func (t Table) Rotated(current, next *agent.MasterKey) (Table, error) {
	rotated, err := New(next)
	if err != nil {
		return Table{}, err
	}
	rotated.Complete = t.Complete
	for name, entry := range t.Databases {
		if entry.Wrapped, err = t.rewrapped(name, current, next); err != nil {
			return Table{}, err
		}
		rotated.Databases[name] = entry
	}
	return rotated, nil
}

// Turn puts the table under next, as agent.Engine's Rotate demands: store writes it in one step.
// It returns the table and the key that hold from then on, and destroys the key of before.
func (t Table) Turn(current, next *agent.MasterKey, store func(Table) error) (Table, *agent.MasterKey, error) {
	switch {
	case current == nil:
		return t, current, agent.ErrUnsupported
	case current.ID() == next.ID():
		return t, current, nil
	}
	rotated, err := t.Rotated(current, next)
	if err != nil {
		return t, current, err
	}
	if err := store(rotated); err != nil {
		return t, current, err
	}
	current.Destroy()
	return rotated, next.Clone(), nil
}

func (t Table) rewrapped(name string, current, next *agent.MasterKey) ([]byte, error) {
	secret, err := t.Key(name, current)
	if err != nil {
		return nil, err
	}
	defer clear(secret)
	return wrap(next, useOf(name), secret)
}

// checkUse cannot be the use of a database.
const checkUse = "check"

func useOf(database string) string { return "database " + database }

func wrap(key *agent.MasterKey, use string, secret []byte) ([]byte, error) {
	aead, err := newAEAD(key)
	if err != nil {
		return nil, err
	}
	return aead.Seal(nil, nil, secret, binding(key, use)), nil //nolint:gosec // the AEAD makes its nonces itself
}

func unwrap(key *agent.MasterKey, use string, wrapped []byte) ([]byte, error) {
	aead, err := newAEAD(key)
	if err != nil {
		return nil, err
	}
	return aead.Open(nil, nil, wrapped, binding(key, use))
}

// newAEAD is AES-256-GCM with random nonces: a master key wraps few database keys in its life
// of 90 days, far below the 2³² that random nonces allow.
func newAEAD(key *agent.MasterKey) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key.Bytes())
	if err != nil {
		return nil, fmt.Errorf("keytable: %w", err)
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// binding keeps an entry from being taken for another's, or for one of another master key.
func binding(key *agent.MasterKey, use string) []byte {
	b := []byte("latchkey key table v1")
	for _, part := range []string{key.ID(), use} {
		b = binary.AppendUvarint(b, uint64(len(part)))
		b = append(b, part...)
	}
	return b
}
