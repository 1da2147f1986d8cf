package node

import (
	"context"
	"encoding/json"
	"time"

	"latchkey/shared/node/protocol"
	"latchkey/shared/seal"
	"latchkey/shared/seal/ring"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

// MinRotation is the least age at which the current key may be replaced. Agents learn of a new
// key by every heartbeat, and the key before goes on opening for as long again.
const MinRotation = 7 * 24 * time.Hour

// Sealer seals and opens secrets; *seal.Sealer is the one in use.
type Sealer = ring.Sealer

// Recipients holds the control plane's HPKE keys, which nodes seal new master keys to. A key opens
// on every instance before any agent is told of it. It is safe for concurrent use; the zero value
// of its unexported field is ready.
type Recipients struct {
	Table  store.Table
	Sealer Sealer
	Now    func() time.Time

	kept ring.Ring[recipientKey]
}

func (r *Recipients) kind() ring.Kind[recipientKey] {
	return ring.Kind[recipientKey]{
		Name: "recipient keys", Table: r.Table, Sealer: r.Sealer, Now: r.Now,
		Place: keys.RecipientKeys(), Context: seal.Context{Scope: "system", Field: "recipientKeys"},
		New: newRecipientKey, ActiveFrom: activeFrom, MinRotation: MinRotation,
	}
}

// recipientKey is one key pair.
type recipientKey struct {
	activeFrom time.Time // when agents may be told of it
	pair       *protocol.Recipient
}

// keptKey is a key pair as it is kept, sealed.
type keptKey struct {
	ActiveFrom time.Time `json:"activeFrom"`
	Private    []byte    `json:"private"`
}

func newRecipientKey(activeFrom time.Time) (recipientKey, error) {
	pair, err := protocol.NewRecipient()
	return recipientKey{activeFrom: activeFrom, pair: pair}, err
}

func activeFrom(k recipientKey) time.Time { return k.activeFrom }

// MarshalJSON renders the key pair, private key and all, to be sealed.
func (k recipientKey) MarshalJSON() ([]byte, error) {
	private, err := k.pair.Bytes()
	if err != nil {
		return nil, err
	}
	defer clear(private)
	return json.Marshal(keptKey{ActiveFrom: k.activeFrom, Private: private})
}

// UnmarshalJSON reads what MarshalJSON rendered.
func (k *recipientKey) UnmarshalJSON(data []byte) error {
	var kept keptKey
	if err := json.Unmarshal(data, &kept); err != nil {
		return err
	}
	defer clear(kept.Private)
	var err error
	k.activeFrom = kept.ActiveFrom
	k.pair, err = protocol.ParseRecipient(kept.Private)
	return err
}

// Public is the key that agents shall seal to.
func (r *Recipients) Public(ctx context.Context) ([]byte, error) {
	all, err := r.kept.Get(ctx, r.kind())
	if err != nil {
		return nil, err
	}
	return ring.Current(all, activeFrom, r.Now()).pair.Public(), nil
}

// Open opens a master key that a node sealed to any of the keys. It returns
// protocol.ErrNotOpened; the caller clears what it returns.
func (r *Recipients) Open(ctx context.Context, nodeID, keyID string, sealed []byte) ([]byte, error) {
	all, err := r.kept.Get(ctx, r.kind())
	if err != nil {
		return nil, err
	}
	for _, k := range all {
		if secret, err := k.pair.Open(protocol.ToControlPlane, nodeID, keyID, sealed); err == nil {
			return secret, nil
		}
	}
	return nil, protocol.ErrNotOpened
}

// Rotate adds a new key, which takes over once every instance knows it, and drops those that no
// agent seals to any more. Repeating it is harmless. It reports whether it rotated.
func (r *Recipients) Rotate(ctx context.Context) (bool, error) { return r.kept.Rotate(ctx, r.kind()) }
