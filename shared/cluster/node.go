package cluster

import (
	"slices"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

// Power is whether a node's database process runs.
type Power string

// The states that a node may be told to be in. A new node reports neither.
const (
	Run  Power = "run"
	Stop Power = "stop"
)

// Command is what a node has to do to become what is desired.
type Command string

// The commands.
const (
	NoCommand     Command = "none"
	StopCommand   Command = "stop"
	StartCommand  Command = "start"
	RotateCommand Command = "rotate" // make a new master key
	RewrapCommand Command = "rewrap" // have the master key wrapped by another customer key
	ResyncCommand Command = "resync" // rebuild the data from the other nodes, encrypted as desired
	DeleteCommand Command = "delete" // destroy the data; the node's record goes when it is done

	// The commands that are about a Backup.
	SnapshotCommand Command = "snapshot" // copy the data to where snapshots are kept
	PrepareCommand  Command = "prepare"  // find out whether a snapshot could be restored, and be ready to
	RestoreCommand  Command = "restore"  // put a snapshot in place of the data
	PurgeCommand    Command = "purge"    // remove a snapshot from where they are kept
)

// Backup is the snapshot that a command is about. The zero Backup is none.
type Backup struct {
	ClusterID  string `json:"clusterId"` // that the snapshot is of
	SnapshotID string `json:"snapshotId"`
	PartID     string `json:"partId"` // the snapshot of one shard, as nodes know it
	// RestoreID is the restore that a node is told of, "" for other commands.
	RestoreID string `json:"restoreId,omitempty"`
}

// Kind is what a node is for.
type Kind string

// The kinds of nodes.
const (
	Electable Kind = "electable"
	ReadOnly  Kind = "readOnly"
	Analytics Kind = "analytics"
)

// Node is one database process of a cluster and the agent beside it.
type Node struct {
	ID        string         `json:"id"`
	ClusterID string         `json:"clusterId"`
	GroupID   string         `json:"groupId"`
	ShardID   string         `json:"shardId"`
	Shard     int            `json:"shard"` // the shard's number
	Index     int            `json:"index"` // within the shard, in host names; never changes
	Kind      Kind           `json:"kind"`
	Provider  atlas.Provider `json:"provider"` // the cloud it runs in
	Region    string         `json:"region"`
	Priority  int            `json:"priority"`
	Created   time.Time      `json:"created"`

	Host  string `json:"host"`      // the internal name
	Alias string `json:"userAlias"` // the name that the tenant's clients use
	Port  int    `json:"port"`

	Desired  Desired  `json:"desired"`
	Reported Reported `json:"reported"`

	// PublicKey is the agent's, Ed25519; nil until it enrolled.
	PublicKey []byte    `json:"publicKey,omitempty"`
	Enrolment Enrolment `json:"enrolment,omitzero"`

	// Gone is when the node had destroyed itself, as it was told; zero for a node that exists.
	// The record stays for a while, so that its agent's last words can be told from a stranger's.
	Gone time.Time `json:"gone,omitzero"`

	version int64
}

// Desired is what a node should be.
type Desired struct {
	State    Power          `json:"state"`
	Provider atlas.Provider `json:"provider"` // of the key that encrypts it, or None
	KeyID    string         `json:"keyId,omitempty"`
	// Number counts the commands; a node acknowledges one by its number and ignores older ones.
	Number  int64   `json:"number"`
	Command Command `json:"command"`
	// Order names who gave the command, so that giving it again changes nothing.
	Order string `json:"order,omitempty"`
	// Backup is what the command is about, if it is about one.
	Backup Backup `json:"backup,omitzero"`
	// Unfinished is a restore that the node was stopped in, to be taken up again.
	Unfinished Backup `json:"unfinished,omitzero"`
}

// Reported is what a node last said of itself.
type Reported struct {
	State Power `json:"state,omitempty"`
	// Provider is that of the key that encrypts the node's data, or None; "" while it has none.
	Provider  atlas.Provider `json:"provider,omitempty"`
	KeyID     string         `json:"keyId,omitempty"`
	Acked     int64          `json:"commandAcked,omitempty"`
	StartedAt time.Time      `json:"startedAt,omitzero"`
	LastSeen  time.Time      `json:"lastSeen,omitzero"` // exact to seenResolution
	Addresses []string       `json:"addresses,omitempty"`
	// Failure is the command that the node acknowledged last, if it could not carry it out.
	Failure Failure `json:"failure,omitzero"`
}

// Failure is why a node can't carry out a command. Trying again would not help.
type Failure struct {
	Command int64  `json:"command"` // its number
	Reason  string `json:"reason"`
}

// Enrolment is the one-time token with which an agent registers its key.
type Enrolment struct {
	TokenHash []byte    `json:"tokenHash,omitempty"` // SHA-256
	Expires   time.Time `json:"expires,omitzero"`
	UsedAt    time.Time `json:"usedAt,omitzero"`
}

// goneFor is how long the last words of a node are understood.
const goneFor = 30 * 24 * time.Hour

// seenResolution is how old LastSeen may be: a steady node costs four writes an hour.
const seenResolution = 15 * time.Minute

// Version is the version of the stored record, for conditions on it.
func (n Node) Version() int64 { return n.version }

// Put is the operation that stores the node if nobody changed it meanwhile. A node is listed
// among those that wait for an agent until one has enrolled.
func (n Node) Put() (store.Op, error) {
	item, err := store.Encode(keys.Node(n.ClusterID, n.ID), n.version, n)
	switch {
	case !n.Gone.IsZero():
		item.Expires = n.Gone.Add(goneFor)
	case n.PublicKey == nil:
		item.Index = keys.WaitingNode(n.ClusterID, n.ID)
	}
	return store.Put(item), err
}

// Leaving reports whether the node has been told to destroy itself.
func (n Node) Leaving() bool { return n.Desired.Command == DeleteCommand }

// Acked reports whether the node has done what it was told last.
func (n Node) Acked() bool { return n.Reported.Acked >= n.Desired.Number }

// Failed reports whether the node can't do what it was told last.
func (n Node) Failed() bool {
	return n.Reported.Failure.Command != 0 && n.Reported.Failure.Command == n.Desired.Number
}

// Running reports whether the node said that its process runs.
func (n Node) Running() bool { return n.Reported.State == Run }

// Settled reports whether the node is what is desired.
func (n Node) Settled() bool {
	return n.Acked() && !n.Failed() && n.Reported.State == n.Desired.State && !n.mustResync()
}

// mustResync reports whether the node's data is not encrypted as desired.
func (n Node) mustResync() bool {
	return n.Reported.Provider != "" && n.Reported.Provider != n.Desired.Provider
}

// Order is something that a node is told to do.
type Order struct {
	// ID names the order, "" for one that is never repeated.
	ID       string
	Command  Command
	State    Power
	Provider atlas.Provider
	KeyID    string
	Backup   Backup
}

// Told returns the node with an order as its next command. An order that it was given last is
// not given again.
func (n Node) Told(o Order) Node {
	if o.ID != "" && o.ID == n.Desired.Order {
		return n
	}
	n.Desired = Desired{
		State: o.State, Provider: o.Provider, KeyID: o.KeyID, Number: n.Desired.Number + 1, Command: o.Command, Order: o.ID,
		Backup: o.Backup, Unfinished: n.unfinished(o.Command),
	}
	return n
}

// unfinished is the restore that a node still has to make after a next command. Data that is
// dropped, or is to be another snapshot's, needs none.
func (n Node) unfinished(next Command) Backup {
	switch {
	case next == RestoreCommand || next == ResyncCommand || next == DeleteCommand:
		return Backup{}
	case n.Desired.Command == RestoreCommand && !n.Acked():
		return n.Desired.Backup
	}
	return n.Desired.Unfinished
}

// powered returns the node told to run or to stop. One that was stopped in the middle of a
// resync or a restore takes it up again.
func (n Node) powered(p Power) Node {
	o := Order{Command: StartCommand, State: p, Provider: n.Desired.Provider, KeyID: n.Desired.KeyID}
	switch unfinished := n.unfinished(StartCommand); {
	case p == Stop:
		o.Command = StopCommand
	case n.mustResync():
		o.Command = ResyncCommand
	case unfinished != Backup{}:
		o.Command, o.Backup = RestoreCommand, unfinished
	}
	return n.Told(o)
}

// Report returns the node with what it says of itself now, and whether that has to be stored.
// An acknowledgement of a command that was never given counts as one of the last. A node that was
// told to destroy itself is gone once it says that it has.
func (n Node) Report(r Reported, now time.Time) (Node, bool) {
	before := n.Reported
	r.LastSeen = now.UTC()
	if r.Acked < before.Acked {
		r.Acked, r.Failure = before.Acked, before.Failure // a late one
	}
	r.Acked = min(r.Acked, max(before.Acked, n.Desired.Number))
	n.Reported = r
	if n.Leaving() && n.Acked() && !n.Failed() {
		n.Gone = r.LastSeen
	}
	changed := before.State != r.State || before.KeyID != r.KeyID || before.Provider != r.Provider || before.Acked != r.Acked ||
		before.Failure != r.Failure || !before.StartedAt.Equal(r.StartedAt) || !slices.Equal(before.Addresses, r.Addresses)
	return n, changed || now.Sub(before.LastSeen) >= seenResolution
}
