// Package snapshot is about snapshots of clusters: when they are taken, how long they are kept,
// and how they come back.
//
// Its invariants: a snapshot is completed only when every shard's part of it is, and each part's
// master key is in the ledger for as long as the part can be restored; a part's files are removed
// by a node that was told to, never because something is missing from a list; and of a restore
// that was begun every node ends with the snapshot's data, or none does. Files and keys are the
// nodes' business: this package tells nodes what to do and keeps the books.
package snapshot

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/cluster"
	"latchkey/shared/ledger"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

// Status is how far a snapshot is.
type Status string

// The statuses (CONTRACT 6.6).
const (
	Queued     Status = "queued"
	InProgress Status = "inProgress"
	Completed  Status = "completed"
	Failed     Status = "failed"
)

// Snapshot is a snapshot of a cluster.
type Snapshot struct {
	ID          string `json:"id"`
	ClusterID   string `json:"clusterId"`
	ClusterName string `json:"clusterName"`
	GroupID     string `json:"groupId"`
	OrgID       string `json:"orgId"`

	Sharded   bool      `json:"sharded"`
	Status    Status    `json:"status"`
	Frequency Frequency `json:"frequency"`
	// PolicyItems are the items of the schedule that it was taken for.
	PolicyItems []string `json:"policyItems,omitempty"`
	Description string   `json:"description,omitempty"`
	Failure     string   `json:"failure,omitempty"`
	// Version is of the database when it was taken.
	Version string `json:"version,omitempty"`
	// Provider is whose key encrypted the cluster when it was taken, or cluster.None.
	Provider atlas.Provider `json:"provider,omitempty"`

	Requested time.Time `json:"requested"`
	Created   time.Time `json:"created,omitzero"` // when nodes were told
	Finished  time.Time `json:"finished,omitzero"`
	Retention Retention `json:"retention"`
	Expires   time.Time `json:"expires"`

	// Parts are one per shard, in the order of the shards' numbers; none while it is queued.
	Parts []Part `json:"parts,omitempty"`
	// Removed is when it ceased to be there for anybody. The record stays until the files of
	// its parts are removed too.
	Removed time.Time `json:"removed,omitzero"`

	version int64
}

// Part is a snapshot of one shard, as one of its nodes took it.
type Part struct {
	ID             string         `json:"id"`
	ShardID        string         `json:"shardId"`
	Shard          int            `json:"shard"` // its number
	ReplicaSetName string         `json:"replicaSetName"`
	CloudProvider  atlas.Provider `json:"cloudProvider"`
	NodeID         string         `json:"nodeId"` // that was told to take it
	// Announced: the node has said what the part needs. KeyID and CMK are zero where the part is
	// not encrypted.
	Announced bool       `json:"announced,omitempty"`
	KeyID     string     `json:"keyId,omitempty"`
	CMK       ledger.CMK `json:"cmk,omitzero"`
	Done      bool       `json:"done,omitempty"`
	Bytes     int64      `json:"bytes,omitempty"`
	Failure   string     `json:"failure,omitempty"`
	// Purger is the node that was told to remove the part's files, and since when; Tries counts
	// those that were told in vain.
	Purger Purger `json:"purger,omitzero"`
	Tries  int    `json:"tries,omitempty"`
}

// Purger is a node that was told to remove files.
type Purger struct {
	ClusterID string    `json:"clusterId"`
	NodeID    string    `json:"nodeId"`
	Since     time.Time `json:"since"`
}

// Encrypted reports whether the files are under a customer's key.
func (s Snapshot) Encrypted() bool { return s.Provider != "" && s.Provider != cluster.None }

// Bytes is what all parts take together.
func (s Snapshot) Bytes() int64 {
	var sum int64
	for _, p := range s.Parts {
		sum += p.Bytes
	}
	return sum
}

// Kind is the snapshot's snapshotType on the wire.
func (s Snapshot) Kind() string {
	if s.Frequency == OnDemand {
		return "onDemand"
	}
	return "scheduled"
}

// unfinished reports whether it is yet to be taken.
func (s Snapshot) unfinished() bool { return s.Status == Queued || s.Status == InProgress }

// MasterKeyUUID names the customer key that the snapshot needs, or several together; "" if it needs none.
func (s Snapshot) MasterKeyUUID() string {
	var cmks []ledger.CMK
	for _, p := range s.Parts {
		if p.KeyID != "" {
			cmks = append(cmks, p.CMK)
		}
	}
	return ledger.UUIDOf(cmks...)
}

func (s Snapshot) put() (store.Op, error) {
	item, err := store.Encode(keys.Snapshot(s.ClusterID, s.ID), s.version, s)
	return store.Put(item), err
}

func (s Snapshot) delete() store.Op {
	return store.Delete(keys.Snapshot(s.ClusterID, s.ID), s.version)
}

// part is the place of a part in Parts, -1 if it is none of the snapshot.
func (s Snapshot) part(id string) int {
	return slices.IndexFunc(s.Parts, func(p Part) bool { return p.ID == id })
}

// with returns the snapshot with a part changed.
func (s Snapshot) with(i int, change func(*Part)) Snapshot {
	s.Parts = slices.Clone(s.Parts)
	change(&s.Parts[i])
	return s
}

// errNone is returned for a snapshot that is not there.
var errNone = errors.New("snapshot: no such snapshot")

func load(ctx context.Context, t store.Table, clusterID, id string) (Snapshot, error) {
	s, version, err := store.Load[Snapshot](ctx, t, keys.Snapshot(clusterID, id))
	if errors.Is(err, store.ErrNotFound) {
		return Snapshot{}, errNone
	}
	if err != nil {
		return Snapshot{}, fmt.Errorf("load snapshot %s: %w", id, err)
	}
	s.version = version
	return s, nil
}

// all reads a cluster's snapshots, oldest first, with those that are removed.
func all(ctx context.Context, t store.Table, clusterID string) ([]Snapshot, error) {
	items, err := store.All(ctx, t, store.Query{PK: keys.Cluster(clusterID).PK, Prefix: keys.SnapshotPrefix})
	if err != nil {
		return nil, fmt.Errorf("list snapshots of %s: %w", clusterID, err)
	}
	list := make([]Snapshot, 0, len(items))
	for _, item := range items {
		s, err := store.Decode[Snapshot](item)
		if err != nil {
			return nil, err
		}
		s.version = item.Version
		list = append(list, s)
	}
	return list, nil
}

// entries are the ledger's copies for a snapshot's parts.
func (s Snapshot) entries(ctx context.Context, t store.Table) ([]ledger.Entry, error) {
	var list []ledger.Entry
	for _, p := range s.Parts {
		if p.KeyID == "" {
			continue
		}
		e, err := ledger.FindKept(ctx, t, p.ID, s.ClusterID, p.NodeID, p.KeyID, p.CMK)
		if errors.Is(err, ledger.ErrNoEntry) {
			continue
		}
		if err != nil {
			return nil, err
		}
		list = append(list, e)
	}
	return list, nil
}
