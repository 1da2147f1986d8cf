// Package protocol is what a node's agent and the control plane say to each other: paths and
// JSON bodies, the tokens by which an agent proves who it is, and the sealing of master keys on
// their way between the two.
//
// Its one invariant: a master key crosses the wire only sealed to one recipient, for one node,
// one key id and one direction, so a message that is replayed elsewhere opens to nothing. Agent
// and server import it; it does no I/O. docs/agent.md describes the protocol in prose.
package protocol

import (
	"time"

	"latchkey/shared/atlas"
)

// Where the agents' requests go. All are POST with a JSON body.
const (
	EnrolPath     = "/api/latchkey/v1/enrol"
	HeartbeatPath = "/api/latchkey/v1/nodes/heartbeat"
	WrapPath      = "/api/latchkey/v1/nodes/wrap"
	ReleasePath   = "/api/latchkey/v1/nodes/release"
	RewrapPath    = "/api/latchkey/v1/nodes/rewrap"
	AckPath       = "/api/latchkey/v1/nodes/ack"
	KeepPath      = "/api/latchkey/v1/nodes/keep"
	AdoptPath     = "/api/latchkey/v1/nodes/adopt"
)

// EnrolRequest introduces an agent. It is the only request without a bearer token.
type EnrolRequest struct {
	// Token is the one-time token in the form that the operator got it.
	Token string `json:"token"`
	// PublicKey is the agent's Ed25519 key, 32 bytes. Enrolling the same key again under the
	// same token answers the same node, so that a lost answer does no harm.
	PublicKey []byte `json:"publicKey"`
}

// EnrolResponse tells an agent who it is.
type EnrolResponse struct {
	NodeID    string `json:"nodeId"`
	ClusterID string `json:"clusterId"`
	GroupID   string `json:"groupId"`
	// ControlPlaneKey is the HPKE public key that master keys are sealed to for wrapping.
	ControlPlaneKey []byte `json:"controlPlaneHPKEKey"`
}

// HeartbeatRequest reports on a node.
type HeartbeatRequest struct {
	Report Report `json:"report"`
}

// HeartbeatResponse is what the node should be doing.
type HeartbeatResponse struct {
	Command Command `json:"command"`
	// NextInSeconds is when to call again.
	NextInSeconds int `json:"nextInSeconds"`
	// Acknowledge asks for the acknowledgement of the command once more: the agent reports it
	// as finished, and its acknowledgement is not here. It was lost, or the table was restored.
	Acknowledge bool `json:"acknowledge,omitempty"`
	// ControlPlaneKey replaces the one from enrolment where it differs; empty means the same.
	ControlPlaneKey []byte `json:"controlPlaneHPKEKey,omitempty"`
}

// Bounds of NextInSeconds, and what an absent one means: a minute when steady.
const (
	MinInterval     = time.Second
	MaxInterval     = 15 * time.Minute
	DefaultInterval = time.Minute
)

// Next is when to call again, within bounds: a mistaken answer neither makes an agent a flood
// nor puts it to sleep.
func (r HeartbeatResponse) Next() time.Duration {
	if r.NextInSeconds <= 0 {
		return DefaultInterval
	}
	// Bounded before it is multiplied, which could overflow.
	return max(MinInterval, time.Duration(min(r.NextInSeconds, int(MaxInterval/time.Second)))*time.Second)
}

// State is what a node is doing.
type State string

// The states that an agent reports.
const (
	StateStopped    State = "STOPPED"
	StateStarting   State = "STARTING"
	StateWaitingKMS State = "WAITING_FOR_KMS" // would start, but the KMS cannot be reached
	StateDisabled   State = "DISABLED"        // would start, but its key is not released
	StateSyncing    State = "SYNCING"         // copies its data from another node
	StateRunning    State = "RUNNING"
	StateStopping   State = "STOPPING"
	StateFailed     State = "FAILED" // Report.Reason says why; the agent goes on trying
	StateDeleted    State = "DELETED"
)

// Report is the state of a node as its agent sees it.
type Report struct {
	State State `json:"state"`
	// Reason explains a state that is not the desired one: an error code of the API, or one of
	// the Reasons below.
	Reason string `json:"reason,omitempty"`
	// KeyID is the master key that the data is under, empty when it is not encrypted.
	KeyID string `json:"keyId,omitempty"`
	// NextKeyID is the key of a rotation that is not finished; both keys are needed.
	NextKeyID string `json:"nextKeyId,omitempty"`
	// CommandAcked is the last command that the agent has finished. The server numbers its
	// next command above it, even after losing what it knew.
	CommandAcked int64 `json:"commandAcked"`
	// StartedAt is when the database process last started; zero when it does not run.
	StartedAt time.Time `json:"startedAt,omitzero"`
	// Addresses are where the node can be reached, as configured: ip:port. Others are not shown.
	Addresses []string `json:"addresses,omitempty"`
	// Version is the agent's.
	Version string `json:"version,omitempty"`
}

// Reasons of the agent's own; others are error codes of the API.
const (
	ReasonStateDamaged   = "STATE_DAMAGED"    // a file of the state directory is unreadable
	ReasonStateNotStored = "STATE_NOT_STORED" // a file could not be written: disk full, read-only
	ReasonKeysLost       = "KEYS_LOST"        // no wrapped master key is left for the data: resync the node
	ReasonKeyMismatch    = "KEY_MISMATCH"     // the control plane released another key than the node made
	ReasonWrongKey       = "WRONG_KEY"        // the data is under a key that the node does not have
	ReasonEngine         = "ENGINE_FAILED"    // the database process does not start or stay up
	ReasonUnreachable    = "CONTROL_PLANE_UNREACHABLE"
	ReasonNotEncrypted   = "NOT_ENCRYPTED" // a command about a master key that the node has not
	ReasonUnsupported    = "UNSUPPORTED"   // the engine cannot do it
	ReasonNotRunning     = "NOT_RUNNING"   // the command needs the node to run, and it is to stop
	// The rest is about snapshots. Where they are reasons of a FAILED command, nothing was changed.
	ReasonNoSnapshot       = "SNAPSHOT_NOT_FOUND"    // the snapshot store does not have it
	ReasonSnapshotDamaged  = "SNAPSHOT_DAMAGED"      // a file of the snapshot is missing or altered
	ReasonSnapshotStore    = "SNAPSHOT_STORE_FAILED" // the snapshot store does not answer, or is full
	ReasonSnapshotMismatch = "INVALID_SNAPSHOT_RESTORE_ENCRYPTION"
)

// Kind is what a command does once, besides bringing the node to the desired state.
type Kind string

// The kinds of command.
const (
	KindNone   Kind = "NONE"
	KindStart  Kind = "START"
	KindStop   Kind = "STOP"
	KindRotate Kind = "ROTATE" // put the data under a new master key, without rewriting data
	KindRewrap Kind = "REWRAP" // have the wrapped copies wrapped again, under the CMK of now
	KindResync Kind = "RESYNC" // drop the data, take Provider, copy the data from other nodes
	KindDelete Kind = "DELETE" // drop the data and its keys, and end
	// The kinds that have a SnapshotID.
	KindSnapshot Kind = "SNAPSHOT" // copy the data, encrypted as it is, and its wrapped key to the snapshot store
	KindPrepare  Kind = "PREPARE"  // read a snapshot and adopt its key, so that RESTORE can't be refused; the data stays
	KindRestore  Kind = "RESTORE"  // put a snapshot in place of the data, once per RestoreID
	KindPurge    Kind = "PURGE"    // remove a snapshot from the snapshot store
)

// Target is the state that a node shall be in.
type Target string

// The targets.
const (
	Run  Target = "RUN"
	Stop Target = "STOP"
)

// NoProvider is the Provider of a node whose data is not encrypted.
const NoProvider = "NONE"

// Command is the desired state of a node and what to do on the way. Number 0 is no command:
// the node is left as it is.
type Command struct {
	// Number grows with every command. The agent carries each out once and ignores what is
	// older than the newest it has seen.
	Number int64  `json:"number"`
	Kind   Kind   `json:"kind"`
	Target Target `json:"state"`
	// Provider is whose CMK wraps the master key: NONE, AWS, AZURE, GCP. It counts when the
	// node has no data yet, and for RESYNC; data that exists stays as it is.
	Provider string `json:"provider"`
	// SnapshotID names the snapshot of SNAPSHOT, PREPARE, RESTORE and PURGE.
	SnapshotID string `json:"snapshotId,omitempty"`
	// RestoreID names what a PREPARE or a RESTORE is part of: a node that was restored for it is
	// not restored again, whatever number the command has this time.
	RestoreID string `json:"restoreId,omitempty"`
}

// Supersedes reports whether c replaces old. Commands arrive late, twice and out of order.
func (c Command) Supersedes(old Command) bool { return c.Number > old.Number }

// Validate refuses commands that this version does not know, so that an agent never guesses.
func (c Command) Validate() error {
	switch c.Kind {
	case KindNone, KindStart, KindStop, KindRotate, KindRewrap, KindResync, KindDelete:
	case KindSnapshot, KindPrepare, KindRestore, KindPurge:
		if !atlas.ValidID(c.SnapshotID) {
			return atlas.Fail(atlas.InvalidAttribute, "snapshotId")
		}
		if (c.Kind == KindPrepare || c.Kind == KindRestore) && !atlas.ValidID(c.RestoreID) {
			return atlas.Fail(atlas.InvalidAttribute, "restoreId")
		}
	default:
		return atlas.Fail(atlas.InvalidEnumValue, string(c.Kind))
	}
	if c.Target != Run && c.Target != Stop {
		return atlas.Fail(atlas.InvalidEnumValue, string(c.Target))
	}
	if c.Provider != NoProvider {
		if _, err := atlas.ParseProvider(c.Provider); err != nil {
			return err
		}
	}
	if c.Number < 0 {
		return atlas.Fail(atlas.InvalidAttribute, "number")
	}
	return nil
}

// WrapRequest asks to wrap a master key that the node has just made.
type WrapRequest struct {
	// KeyID is made together with the key. Asking again answers the same wrapped copy.
	KeyID string `json:"keyId"`
	// SealedKey is the key sealed to the control plane, ToControlPlane.
	SealedKey []byte `json:"sealedKey"`
}

// WrappedKey is a master key under a CMK, as the node keeps it and the ledger knows it.
type WrappedKey struct {
	Blob     []byte `json:"blob"`
	Provider string `json:"provider"`
	CMK      string `json:"cmk"`     // the key's name without its version
	Version  string `json:"version"` // the version that wrapped it
}

// WrapResponse carries the copy to store. The node encrypts nothing before it has.
type WrapResponse struct {
	Wrapped WrappedKey `json:"wrapped"`
}

// ReleaseRequest asks for a master key, to start.
type ReleaseRequest struct {
	KeyID   string     `json:"keyId"`
	Wrapped WrappedKey `json:"wrapped"`
	// Recipient is an HPKE public key that is used for this one answer.
	Recipient []byte `json:"recipient"`
}

// ReleaseResponse carries the key, sealed to the recipient, ToNode.
type ReleaseResponse struct {
	Sealed []byte `json:"sealed"`
}

// RewrapRequest asks to wrap a key under the CMK that the project uses now. The ledger keeps
// both copies until the command is acknowledged.
type RewrapRequest struct {
	KeyID   string     `json:"keyId"`
	Wrapped WrappedKey `json:"wrapped"`
}

// RewrapResponse carries the new copy.
type RewrapResponse struct {
	Wrapped WrappedKey `json:"wrapped"`
}

// KeepRequest says which copy of which master key will open a snapshot. A node asks before it
// takes the snapshot, so that the ledger knows what a snapshot needs before there is one. Asking
// again answers the same.
type KeepRequest struct {
	SnapshotID string `json:"snapshotId"`
	// KeyID is empty where the data is not encrypted.
	KeyID   string     `json:"keyId,omitempty"`
	Wrapped WrappedKey `json:"wrapped,omitzero"`
}

// AdoptRequest asks for the master key of the snapshot that the node was told to prepare for or to restore. The
// key does not travel: the control plane wraps it anew, as one of the node's own, and the node
// has it released like any other.
type AdoptRequest struct {
	SnapshotID string `json:"snapshotId"`
}

// AdoptResponse is the key as the node's own.
type AdoptResponse struct {
	KeyID   string     `json:"keyId"`
	Wrapped WrappedKey `json:"wrapped"`
}

// Outcome is how a command ended.
type Outcome string

// The outcomes.
const (
	Done   Outcome = "DONE"
	Failed Outcome = "FAILED" // and trying again would not help; Reason says why
)

// AckRequest says that a command is finished. Acknowledging again, or late, changes nothing.
// The answer has no body.
type AckRequest struct {
	Command int64   `json:"command"`
	Outcome Outcome `json:"outcome"`
	Reason  string  `json:"reason,omitempty"`
	// KeyID is the master key that the data is under now, empty when it is not encrypted.
	KeyID string `json:"keyId,omitempty"`
	// Wrapped is the copy that the node now holds of it, without its Blob.
	Wrapped WrappedKey `json:"wrapped,omitzero"`
	// NextKeyID and NextWrapped are the key of a rotation that is not finished, in the same way:
	// the data may be under it already. The ledger forgets other copies of the keys that are
	// mentioned and, after ROTATE and RESYNC, all other keys.
	NextKeyID   string     `json:"nextKeyId,omitempty"`
	NextWrapped WrappedKey `json:"nextWrapped,omitzero"`
	// SnapshotBytes is how much a SNAPSHOT takes in the snapshot store.
	SnapshotBytes int64 `json:"snapshotBytes,omitempty"`
}
