package keyring

import (
	"context"
	"time"

	"latchkey/shared/seal"
	"latchkey/shared/seal/ring"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

// Sealer seals and opens secrets; *seal.Sealer is the one in use.
type Sealer = ring.Sealer

// Keyring gives out the ring, reading it from the table when that is due. It is safe for
// concurrent use; the zero value of its unexported field is ready.
type Keyring struct {
	Table  store.Table
	Sealer Sealer
	Now    func() time.Time

	kept ring.Ring[Key]
}

func (k *Keyring) kind() ring.Kind[Key] {
	return ring.Kind[Key]{
		Name: "signing keys", Table: k.Table, Sealer: k.Sealer, Now: k.Now,
		Place: keys.SigningKeys(), Context: seal.Context{Scope: "system", Field: "signingKeys"},
		New: newKey, ActiveFrom: activeFrom, MinRotation: MinRotation,
	}
}

// Ring returns the keys, and makes them on the first call of all.
func (k *Keyring) Ring(ctx context.Context) (Ring, error) {
	all, err := k.kept.Get(ctx, k.kind())
	return Ring{Keys: all}, err
}

// Rotate adds a new key, which takes over once every instance knows it, and drops those that
// nothing valid was signed with. Repeating it is harmless. It reports whether it rotated.
func (k *Keyring) Rotate(ctx context.Context) (bool, error) { return k.kept.Rotate(ctx, k.kind()) }
