package agent

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"

	"latchkey/agent/statedir"
	"latchkey/shared/node/protocol"
)

// The files of the state directory. They are apart so that the wrapped keys are rewritten only
// when they change, never by what happens often.
const (
	identityFile = "identity.json" // the agent's private key
	nodeFile     = "node.json"     // which node it is
	keysFile     = "keys.json"     // the wrapped master keys
	commandsFile = "commands.json" // what it was last told, and last finished
)

// ErrKeysLost means that the node is enrolled and its file of wrapped keys is gone. A node that
// took that for a first start would encrypt under a new key what it can't read any more.
var ErrKeysLost = errors.New("agent: " + keysFile + " is missing: restore it from a backup of the state directory, or resync the node")

// identity is who the agent is, for good.
type identity struct {
	PrivateKey []byte `json:"privateKey"` // Ed25519 seed
}

func (i identity) key() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(i.PrivateKey) }

// node is what enrolment answered.
type node struct {
	NodeID          string `json:"nodeId"`
	ClusterID       string `json:"clusterId"`
	GroupID         string `json:"groupId"`
	ControlPlaneKey []byte `json:"controlPlaneHPKEKey"`
}

// wrappedKey is a master key as the node keeps it.
type wrappedKey struct {
	KeyID   string              `json:"keyId"`
	MadeFor int64               `json:"madeFor"` // the command that asked for it
	Check   []byte              `json:"check"`   // recognises the key when it is released
	Wrapped protocol.WrappedKey `json:"wrapped"`
}

// ring is every key that the node's data may be under.
type ring struct {
	// Plain: the data is not encrypted. Without it and without Current there is no data.
	Plain   bool        `json:"plain,omitempty"`
	Current *wrappedKey `json:"current,omitempty"`
	// Next is there while a rotation is not finished. The data is under either of both, and
	// only opening it tells, so Next goes only when the engine is known not to have it.
	Next *wrappedKey `json:"next,omitempty"`
	// Dropping is the command for which the data is being dropped, 0 for none.
	Dropping int64 `json:"dropping,omitempty"`
	// ResyncedFor is the last command for which the data was dropped.
	ResyncedFor int64 `json:"resyncedFor,omitempty"`
	// Restoring is there while a snapshot takes the place of the data. Neither the old data nor
	// a part of the new is opened then: whatever starts the node finishes the restore first.
	Restoring *restoring `json:"restoring,omitempty"`
	// RestoredFor is the last restore that was finished.
	RestoredFor string `json:"restoredFor,omitempty"`
}

// restoring is a restore that must be finished.
type restoring struct {
	SnapshotID string `json:"snapshotId"`
	RestoreID  string `json:"restoreId"`
	// Key is the snapshot's master key, wrapped as the node's own; nil where the snapshot is not
	// encrypted.
	Key *wrappedKey `json:"key,omitempty"`
	// Lost: the ring was lost, so the data that there is must not pass for none.
	Lost bool `json:"lost,omitempty"`
}

// commands is what the agent was told.
type commands struct {
	Accepted protocol.Command    `json:"accepted"`
	Finished protocol.AckRequest `json:"finished"`
}

// load reads a file; one that is not there leaves v as it is and reports false.
func load(dir *statedir.Dir, name string, v any) (found bool, err error) {
	content, _, err := dir.Read(name)
	if errors.Is(err, statedir.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := json.Unmarshal(content, v); err != nil {
		return false, fmt.Errorf("%s: %w", name, statedir.ErrDamaged) // the cause could quote a key
	}
	return true, nil
}

func save(dir *statedir.Dir, name string, v any) error {
	content, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	return dir.Write(name, append(content, '\n'))
}
