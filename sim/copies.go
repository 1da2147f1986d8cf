package sim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"latchkey/shared/ledger"
	"latchkey/shared/node/protocol"
	"latchkey/shared/store"
)

// onDisk is what an agent keeps of its wrapped keys.
type onDisk struct {
	Plain         bool // the data is not encrypted
	Current, Next *struct {
		KeyID   string              `json:"keyId"`
		Wrapped protocol.WrappedKey `json:"wrapped"`
	}
}

// ring reads the wrapped keys that a node has on disk.
func (h *host) ring() (r onDisk, err error) {
	framed, err := h.disk.ReadFile("keys.json")
	if err != nil {
		return r, err
	}
	_, content, _ := bytes.Cut(framed, []byte("\n")) // the first line is a checksum
	return r, json.Unmarshal(content, &r)
}

// needs is whether the node has a master key that a tenant's key opens.
func (h *host) needs(k *custody) bool {
	ring, err := h.ring()
	return err == nil && ring.Current != nil && ring.Current.Wrapped.Provider == k.provider()
}

// struckOut looks at a copy that is removed from the ledger: nobody may need it any more.
func (c *checks) struckOut(was store.Item) {
	entry, err := store.Decode[ledger.Entry](was)
	if err != nil {
		c.world.fail(err)
		return
	}
	if entry.SnapshotID != "" {
		if slices.ContainsFunc(c.world.promised(), func(s *snapshot) bool { return s.id == entry.SnapshotID }) {
			c.world.failf("I5: the copy that opens the snapshot %s is struck out of the ledger", entry.SnapshotID)
		}
		return
	}
	for _, h := range c.world.hosts {
		if h.NodeID != entry.NodeID || h.gone || h.has == nil || len(h.has) == 0 {
			continue
		}
		ring, err := h.ring()
		if err != nil || ring.Current == nil {
			continue // it has nothing that a key opens
		}
		if bytes.Equal(ring.Current.Wrapped.Blob, entry.Blob) {
			c.world.failf("I5: the only copy that opens %s is struck out of the ledger", h.name())
		}
	}
}

// accounted demands that the ledger has the copy that a node has, and no other.
func (c *checks) accounted(h *host) {
	ring, err := h.ring()
	if err != nil {
		c.world.failf("I5: %s has no keys: %w", h.name(), err)
		return
	}
	entries, err := ledger.OfNode(c.world.ctx, c.world.table, h.ClusterID, h.NodeID)
	switch {
	case err != nil:
		c.world.fail(err)
	case ring.Next != nil:
		c.world.failf("I6: a rotation of %s does not end", h.name())
	case ring.Current == nil && len(entries) > 0:
		c.world.failf("I5: %s has no key, and the ledger has %d", h.name(), len(entries))
	case ring.Current == nil:
	case !c.accounts(h, entries, ring.Current.KeyID, ring.Current.Wrapped):
		c.world.failf("I5: %s has %s, and the ledger %s", h.name(), copyOf(ring.Current.KeyID, ring.Current.Wrapped.CMK, ring.Current.Wrapped.Blob), listed(entries))
	}
	c.asWanted(h, ring)
}

// opens demands that a node has no data that the ledger's copies would not open, and what was acknowledged of it as
// long as it runs. Agents store a copy after the ledger did, and it goes from the ledger after it went from the agent.
func (c *checks) opens(h *host) {
	if h.gone {
		return
	}
	if h.runs() {
		if err := h.readable(); err != nil {
			c.world.fail(err)
		}
	}
	ring, err := h.ring()
	switch {
	case err != nil:
		return // it has no data yet
	case ring.Current == nil:
		if h.runs() && !ring.Plain {
			c.world.failf("I8: %s runs, and has not stored the key that its data is under", h.name())
		}
		return
	}
	entries, err := ledger.OfNode(c.world.ctx, c.world.table, h.ClusterID, h.NodeID)
	if err != nil {
		c.world.fail(err)
		return
	}
	if !holds(entries, ring.Current.KeyID, ring.Current.Wrapped) {
		c.world.failf("I5: %s has %s, and the ledger %s", h.name(), copyOf(ring.Current.KeyID, ring.Current.Wrapped.CMK, ring.Current.Wrapped.Blob), listed(entries))
	}
}

func holds(entries []ledger.Entry, keyID string, w protocol.WrappedKey) bool {
	return slices.ContainsFunc(entries, func(e ledger.Entry) bool {
		return e.KeyID == keyID && bytes.Equal(e.Blob, w.Blob) && e.CMK.Name == w.CMK && e.CMK.Version == w.Version
	})
}

// accounts is whether the ledger has a node's copy. It may have others under the same customer key, which were
// never stored: they go with the next rotation of master keys, and need nothing that the node does not.
func (c *checks) accounts(h *host, entries []ledger.Entry, keyID string, w protocol.WrappedKey) bool {
	k := c.tenantOf(h.GroupID).at(w.Provider)
	return holds(entries, keyID, w) && k != nil && !slices.ContainsFunc(entries, func(e ledger.Entry) bool {
		return e.CMK.Name != w.CMK || e.CMK.Version != w.Version && !k.moved
	})
}

// copyOf names a wrapped copy.
func copyOf(keyID, cmk string, blob []byte) string {
	return fmt.Sprintf("%s under %s (%x)", keyID, cmk, blob[max(0, len(blob)-4):])
}

func listed(entries []ledger.Entry) string {
	all := make([]string, len(entries))
	for i, e := range entries {
		all[i] = copyOf(e.KeyID, e.CMK.Name+" "+e.CMK.Version, e.Blob) + " of " + e.Wrapped.Format(time.DateTime)
	}
	return fmt.Sprint(all)
}
