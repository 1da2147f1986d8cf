// Package ledger knows every wrapped master key: whose it is, which customer key and version
// wrapped it, since when, and which snapshot needs it.
//
// Its invariant: a wrapped key that a node or a snapshot may still have to open is in the
// ledger, under the customer key that opens it. So an entry is written before the node gets
// the copy, and removed only after the node has stored another one. What still needs a
// customer key is one query of the index.
package ledger

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/kms"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

// CMK names a customer master key: what opens a wrapped key.
type CMK struct {
	Provider atlas.Provider `json:"provider"`
	// Name is the key without its version: an ARN, a key identifier, a crypto key.
	Name string `json:"name"`
	// Version is the version that wrapped, as the provider names it.
	Version string `json:"version"`
}

// At is the CMK with the version that wrapped. AWS names as the version the key itself, by its
// ARN: that is right even if c is an alias that was pointed to another key a moment ago.
func (c CMK) At(version string) CMK {
	if arn, _, _ := strings.Cut(version, "#"); c.Provider == atlas.AWS && strings.HasPrefix(arn, "arn:") {
		c.Name = arn
	}
	c.Version = version
	return c
}

var uuidForm = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// UUIDOf is the id that the API names some customer keys by, whatever their versions; "" if there are none. It is
// the id of a key of AWS, where that is a UUID; of any other key, and of several, one that follows from the keys' names.
func UUIDOf(cmks ...CMK) string {
	var names []string
	for _, c := range cmks {
		names = append(names, string(c.Provider)+" "+c.Name)
	}
	if slices.Sort(names); len(names) == 0 {
		return ""
	}
	if names = slices.Compact(names); len(names) == 1 && strings.HasPrefix(names[0], string(atlas.AWS)+" ") {
		if id := uuidForm.FindString(strings.ToLower(names[0])); id != "" {
			return id
		}
	}
	// A UUID of version 8 (RFC 9562), whose bits are ours to choose.
	b := sha256.Sum256([]byte("latchkey master key " + strings.Join(names, "\n")))
	b[6], b[8] = b[6]&0x0f|0x80, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

// Entry is one wrapped copy of a node's master key.
type Entry struct {
	GroupID   string `json:"groupId"`
	ClusterID string `json:"clusterId"`
	NodeID    string `json:"nodeId"`
	KeyID     string `json:"keyId"` // of the master key
	CMK       CMK    `json:"cmk"`
	// Blob is the master key as the customer key wrapped it. The node has the same copy; this
	// one lets keys be proved and wrapped anew while the node is down.
	Blob    []byte    `json:"blob"`
	Wrapped time.Time `json:"wrapped"`
	// Made is when the master key was made; Wrapped is later where it was wrapped anew. Zero means
	// with Wrapped: see MadeAt.
	Made time.Time `json:"made,omitzero"`
	// SnapshotID is set for the copy that a snapshot needs, and Expires then says until when.
	SnapshotID string    `json:"snapshotId,omitempty"`
	Expires    time.Time `json:"expires,omitzero"`

	version int64
}

// Key is where the entry lives.
func (e Entry) Key() store.Key {
	return keys.WrappedKey(e.ClusterID, e.NodeID, e.KeyID, e.SnapshotID, digest(e.CMK.Provider, e.CMK.Name, e.CMK.Version))
}

// digest stands for a customer key in the table's keys, where its name could be too long.
func digest(provider atlas.Provider, parts ...string) string {
	sum := sha256.Sum256([]byte(string(provider) + "\x00" + strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:16])
}

// MadeAt is when the master key was made.
func (e Entry) MadeAt() time.Time {
	if e.Made.IsZero() {
		return e.Wrapped
	}
	return e.Made
}

// Put is the operation that enters a copy, or changes what is known of it.
func (e Entry) Put() (store.Op, error) {
	item, err := store.Encode(e.Key(), e.version, e)
	if err != nil {
		return store.Op{}, err
	}
	item.Index = keys.NeededBy(e.GroupID, digest(e.CMK.Provider, e.CMK.Name), e.CMK.Version, e.ClusterID+"/"+e.Key().SK)
	return store.Put(item), nil
}

// Delete is the operation that strikes a copy out. Add it to the transaction that records why
// nobody needs it any more.
func (e Entry) Delete() store.Op { return store.Delete(e.Key(), e.version) }

// Check is the condition that the copy is still there, as it was read.
func (e Entry) Check() store.Op { return store.Check(e.Key(), e.version) }

// Binding ties the wrapped key to its group, node and id. A snapshot's copy stays bound to the node
// that made the key.
func (e Entry) Binding() kms.Binding {
	return kms.Binding{GroupID: e.GroupID, Use: "master-key/" + e.NodeID + "/" + e.KeyID}
}

// Kept returns the entry as the copy that a snapshot needs, to be entered.
func (e Entry) Kept(snapshotID string, until time.Time) Entry {
	e.SnapshotID, e.Expires, e.version = snapshotID, until.UTC(), 0
	return e
}

// Until returns the entry with another time until when its snapshot needs it.
func (e Entry) Until(until time.Time) Entry {
	e.Expires = until.UTC()
	return e
}

// ErrNoEntry is returned for a wrapped key that the ledger does not know.
var ErrNoEntry = errors.New("ledger: no such wrapped key")

// Find reads the copy of a node's master key under one version of a customer key. It returns
// ErrNoEntry if there is none.
func Find(ctx context.Context, t store.Table, clusterID, nodeID, keyID string, cmk CMK) (Entry, error) {
	return find(ctx, t, Entry{ClusterID: clusterID, NodeID: nodeID, KeyID: keyID, CMK: cmk})
}

// FindKept reads the copy that a snapshot needs. It returns ErrNoEntry if there is none.
func FindKept(ctx context.Context, t store.Table, snapshotID, clusterID, nodeID, keyID string, cmk CMK) (Entry, error) {
	return find(ctx, t, Entry{ClusterID: clusterID, NodeID: nodeID, KeyID: keyID, CMK: cmk, SnapshotID: snapshotID})
}

func find(ctx context.Context, t store.Table, wanted Entry) (Entry, error) {
	e, version, err := store.Load[Entry](ctx, t, wanted.Key())
	if errors.Is(err, store.ErrNotFound) {
		return Entry{}, ErrNoEntry
	}
	if err != nil {
		return Entry{}, fmt.Errorf("read ledger of node %s: %w", wanted.NodeID, err)
	}
	e.version = version
	return e, nil
}

// OfNode reads every copy of a node's own master keys, leaving out those of snapshots.
func OfNode(ctx context.Context, t store.Table, clusterID, nodeID string) ([]Entry, error) {
	all, err := query(ctx, t, store.Query{PK: keys.Cluster(clusterID).PK, Prefix: keys.WrappedKeyPrefix(nodeID)})
	return slices.DeleteFunc(all, func(e Entry) bool { return e.SnapshotID != "" }), err
}

// OfCluster reads every copy that the nodes and the snapshots of a cluster have.
func OfCluster(ctx context.Context, t store.Table, clusterID string) ([]Entry, error) {
	return query(ctx, t, store.Query{PK: keys.Cluster(clusterID).PK, Prefix: keys.WrappedKeysPrefix})
}

// NeededBy reads what still needs any version of a customer key: one query of the index, which
// is eventually consistent. Nothing may be destroyed on the strength of an empty answer alone.
func NeededBy(ctx context.Context, t store.Table, groupID string, provider atlas.Provider, name string) ([]Entry, error) {
	place := keys.NeededBy(groupID, digest(provider, name), "", "")
	return query(ctx, t, store.Query{PK: place.PK, Index: true})
}

// LastExpiry is when the last of the snapshots among entries expires, zero without any.
func LastExpiry(entries []Entry) time.Time {
	var last time.Time
	for _, e := range entries {
		if e.SnapshotID != "" && e.Expires.After(last) {
			last = e.Expires
		}
	}
	return last
}

func query(ctx context.Context, t store.Table, q store.Query) ([]Entry, error) {
	items, err := store.All(ctx, t, q)
	if err != nil {
		return nil, fmt.Errorf("read ledger: %w", err)
	}
	entries := make([]Entry, 0, len(items))
	for _, item := range items {
		e, err := store.Decode[Entry](item)
		if err != nil {
			return nil, err
		}
		e.version = item.Version
		entries = append(entries, e)
	}
	return entries, nil
}
