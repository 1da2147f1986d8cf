package nodes_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"latchkey/local/pocket"
	"latchkey/shared/atlas"
	"latchkey/shared/cluster"
	domain "latchkey/shared/encryption"
	"latchkey/shared/ledger"
	"latchkey/shared/node/protocol"
	"latchkey/shared/snapshot"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

// Snapshots of the cluster of A and B, by whoever takes them, and one of the foreign cluster.
const (
	snapshotA       = "650000000000000000000050"
	snapshotB       = "650000000000000000000051"
	foreignSnapshot = "65000000000000000000005f"
	restoreID       = "650000000000000000000070"
)

// about is a command about a snapshot of p's cluster.
func about(p place, id string) cluster.Backup {
	return cluster.Backup{ClusterID: p.cluster, SnapshotID: id, PartID: id}
}

// tellAbout gives a node a command about a snapshot.
func (w *world) tellAbout(p place, c cluster.Command, b cluster.Backup) {
	w.t.Helper()
	put, err := w.node(p).Told(cluster.Order{Command: c, State: cluster.Run, Provider: atlas.AWS, Backup: b}).Put()
	w.must(err)
	w.must(w.table.Write(w.t.Context(), put))
}

// take tells a node to take a snapshot.
func (w *world) take(p place, id string) {
	w.t.Helper()
	w.put(keys.Snapshot(p.cluster, id), snapshot.Snapshot{
		ID: id, ClusterID: p.cluster, GroupID: p.group, Status: snapshot.InProgress, Created: time.Now(), Expires: time.Now().AddDate(0, 0, 7),
		Provider: atlas.AWS, Parts: []snapshot.Part{{ID: id, NodeID: p.node}},
	})
	w.tellAbout(p, cluster.SnapshotCommand, about(p, id))
}

func (w *world) snapshot(p place, id string) snapshot.Snapshot {
	w.t.Helper()
	x, _, err := store.Load[snapshot.Snapshot](w.t.Context(), w.table, keys.Snapshot(p.cluster, id))
	w.must(err)
	return x
}

// completed is a snapshot that a node has announced and taken.
func (m *member) completed(id, keyID string, wrapped protocol.WrappedKey) {
	m.w.t.Helper()
	m.w.take(m.place, id)
	if a := m.keep(id, keyID, wrapped); a.status != http.StatusNoContent {
		m.w.t.Fatalf("%d %s", a.status, a.body)
	}
	if a := m.ack(); a.status != http.StatusNoContent {
		m.w.t.Fatalf("%d %s", a.status, a.body)
	}
	x := m.w.snapshot(m.place, id)
	x.Status = snapshot.Completed
	m.w.put(keys.Snapshot(m.cluster, id), x)
}

// restore tells a node to restore a snapshot, or to prepare for that.
func (w *world) restore(p place, c cluster.Command, b cluster.Backup) {
	w.t.Helper()
	b.RestoreID = restoreID
	w.tellAbout(p, c, b)
}

func (m *member) keep(id, keyID string, wrapped protocol.WrappedKey) answer {
	m.w.t.Helper()
	return m.post(protocol.KeepPath, protocol.KeepRequest{SnapshotID: id, KeyID: keyID, Wrapped: wrapped})
}

// ack acknowledges the present command without a word about keys, so that none is struck out.
func (m *member) ack() answer {
	m.w.t.Helper()
	return m.post(protocol.AckPath, protocol.AckRequest{Command: m.w.node(m.place).Desired.Number, Outcome: protocol.Done, SnapshotBytes: 1})
}

// adopt asks for a snapshot's key as one of the member's own, and returns what it opens to.
func (m *member) adopt(id string) (a answer, secret []byte) {
	m.w.t.Helper()
	a = m.post(protocol.AdoptPath, protocol.AdoptRequest{SnapshotID: id})
	if a.status != http.StatusOK {
		return a, nil
	}
	var adopted protocol.AdoptResponse
	m.w.must(json.Unmarshal(a.body, &adopted))
	_, secret = m.w.release(m.bearer(m.place), m.place, adopted.KeyID, adopted.Wrapped)
	return a, secret
}

// entries is everything that the ledger has of two clusters.
func (w *world) entries() []ledger.Entry {
	w.t.Helper()
	var all []ledger.Entry
	for _, id := range []string{nodeA.cluster, foreign.cluster} {
		entries, err := ledger.OfCluster(w.t.Context(), w.table, id)
		w.must(err)
		all = append(all, entries...)
	}
	return all
}

// unchanged demands that the ledger has what it had, and that all of it opens.
func (w *world) unchanged(what string, before []ledger.Entry) {
	w.t.Helper()
	if diff := cmp.Diff(before, w.entries(), cmpopts.IgnoreUnexported(ledger.Entry{})); diff != "" {
		w.t.Errorf("%s changed the ledger:\n%s", what, diff)
	}
	w.allOpens()
}

// allOpens demands that every copy in the ledger opens, those of snapshots too.
func (w *world) allOpens() {
	w.t.Helper()
	settings := &domain.Service{Table: w.table, Sealer: w.deps.Sealer, Keys: w.deps.Keys, Now: time.Now, Log: w.deps.Log}
	for _, e := range w.entries() {
		if err := opens(w.t.Context(), settings, e); err != nil {
			w.t.Errorf("the ledger's copy %s of %s for snapshot %q does not open: %v", e.KeyID, e.NodeID, e.SnapshotID, err)
		}
	}
}

// switchCMK takes a customer's key, or gives it back.
func (w *world) switchCMK(id string, enabled bool) {
	w.t.Helper()
	var err error
	if client, ctx := w.KMS("us-east-1"), w.t.Context(); enabled {
		_, err = client.EnableKey(ctx, &kms.EnableKeyInput{KeyId: &id})
	} else {
		_, err = client.DisableKey(ctx, &kms.DisableKeyInput{KeyId: &id})
	}
	w.must(err)
}

// refused demands a code, and a ledger that stayed as it was.
func (w *world) refused(what string, code atlas.Code, ask func() answer) {
	w.t.Helper()
	before := w.entries()
	if got := ask(); got.refusal.ErrorCode != code || got.status != code.Status() {
		w.t.Errorf("%s is answered %d %s, want %s", what, got.status, got.body, code)
	}
	if w.t.Failed() {
		return
	}
	w.unchanged(what, before)
}

func TestASnapshotIsAnnouncedByTheNodeThatWasToldToTakeIt(t *testing.T) {
	inWorld(t, func(w *world) {
		a, b, c := w.enrol(nodeA), w.enrol(nodeB), w.enrol(foreign)
		keyA, keyB, keyC := a.wrap("k1"), b.wrap("k1"), c.wrap("k1")
		w.refused("a snapshot before its command", atlas.SnapshotNotFound, func() answer { return a.keep(snapshotA, "k1", keyA) })
		w.take(nodeA, snapshotA)
		w.take(foreign, foreignSnapshot)
		for what, ask := range map[string]func() answer{
			"another node of the cluster":  func() answer { return b.keep(snapshotA, "k1", keyB) },
			"a node of another tenant":     func() answer { return c.keep(snapshotA, "k1", keyC) },
			"another tenant's snapshot":    func() answer { return a.keep(foreignSnapshot, "k1", keyA) },
			"a snapshot that there is not": func() answer { return a.keep(snapshotB, "k1", keyA) },
			"no key, by another node":      func() answer { return b.keep(snapshotA, "", protocol.WrappedKey{}) },
			"a token that the thief signed": func() answer {
				return w.post(protocol.KeepPath, b.bearer(nodeB), protocol.KeepRequest{SnapshotID: snapshotA})
			},
		} {
			w.refused(what, atlas.SnapshotNotFound, ask)
		}
		forged := func() answer {
			return w.post(protocol.KeepPath, b.bearer(nodeA), protocol.KeepRequest{SnapshotID: snapshotA, KeyID: "k1", Wrapped: keyA})
		}
		w.refused("a token for A that B signed", atlas.NodeTokenRefused, forged)
		w.refused("a copy of B's", atlas.MasterKeyNotFound, func() answer { return a.keep(snapshotA, "k1", keyB) })
		w.refused("a key that A has not", atlas.MasterKeyNotFound, func() answer { return a.keep(snapshotA, "k2", keyA) })
		w.refused("an id that is none", atlas.InvalidAttribute, func() answer { return a.keep("../"+snapshotA, "k1", keyA) })

		w.enableCMK(nodeA, false) // it needs no customer key, and no enabled cluster
		w.disable(nodeA, "KEY_DISABLED")
		for range 2 {
			if got := a.keep(snapshotA, "k1", keyA); got.status != http.StatusNoContent {
				t.Errorf("%d %s", got.status, got.body)
			}
		}
		w.disable(nodeA, "")
		w.enableCMK(nodeA, true)
		w.allOpens()
		if p := w.snapshot(nodeA, snapshotA).Parts[0]; !p.Announced || p.KeyID != "k1" || len(w.entries()) != 4 {
			t.Errorf("part %+v, and the ledger has %d copies", p, len(w.entries()))
		}
		if got := a.ack(); got.status != http.StatusNoContent {
			t.Fatalf("%d %s", got.status, got.body)
		}
		w.refused("after the acknowledgement", atlas.SnapshotNotFound, func() answer { return a.keep(snapshotA, "k1", keyA) })
	})
}

// What was saved before the encryption of its cluster changed would be taken for what is announced after it.
func TestASnapshotIsOfTheKeyThatItBeganWith(t *testing.T) {
	for what, c := range map[string]struct {
		began atlas.Provider
		keyID string
	}{
		"encrypted meanwhile": {cluster.None, "k1"},
		"decrypted meanwhile": {atlas.AWS, ""},
		"another provider's":  {atlas.GCP, "k1"},
	} {
		t.Run(what, func(t *testing.T) {
			inWorld(t, func(w *world) {
				a := w.enrol(nodeA)
				wrapped := a.wrap("k1")
				if c.keyID == "" {
					wrapped = protocol.WrappedKey{}
				}
				w.take(nodeA, snapshotA)
				x := w.snapshot(nodeA, snapshotA)
				x.Provider = c.began
				w.put(keys.Snapshot(nodeA.cluster, snapshotA), x)
				w.refused(what, atlas.SnapshotNotFound, func() answer { return a.keep(snapshotA, c.keyID, wrapped) })
			})
		})
	}
}

func TestAReplayedAnnouncementCountsForNothingLater(t *testing.T) {
	inWorld(t, func(w *world) {
		a := w.enrol(nodeA)
		first, second := a.wrap("k1"), a.wrap("k2")
		w.take(nodeA, snapshotA)
		token, overheard := a.bearer(nodeA), protocol.KeepRequest{SnapshotID: snapshotA, KeyID: "k1", Wrapped: first}
		if got := w.post(protocol.KeepPath, token, overheard); got.status != http.StatusNoContent {
			t.Fatalf("%d %s", got.status, got.body)
		}
		w.refused("another key", atlas.SnapshotNotFound, func() answer { return a.keep(snapshotA, "k2", second) }) // it rotated meanwhile
		w.allOpens()
		if got := a.ack(); got.status != http.StatusNoContent {
			t.Fatalf("%d %s", got.status, got.body)
		}
		w.refused("a replay", atlas.SnapshotNotFound, func() answer { return w.post(protocol.KeepPath, token, overheard) })
		w.take(nodeA, snapshotB)
		w.refused("a replay while another one is taken", atlas.SnapshotNotFound, func() answer { return w.post(protocol.KeepPath, token, overheard) })
		time.Sleep(2 * time.Minute)
		w.refused("a replay with an old token", atlas.NodeTokenRefused, func() answer { return w.post(protocol.KeepPath, token, overheard) })
		if p := w.snapshot(nodeA, snapshotA).Parts[0]; p.KeyID != "k1" {
			t.Errorf("part %+v", p)
		}
	})
}

func TestTheKeyOfASnapshotIsAdoptedByTheNodeThatRestoresItAlone(t *testing.T) {
	for _, told := range []cluster.Command{cluster.PrepareCommand, cluster.RestoreCommand} {
		t.Run(string(told), func(t *testing.T) {
			inWorld(t, func(w *world) {
				a, b, c := w.enrol(nodeA), w.enrol(nodeB), w.enrol(foreign)
				wrapped := a.wrap("k1")
				a.completed(snapshotA, "k1", wrapped)
				c.completed(foreignSnapshot, "k1", c.wrap("k1"))
				adopts := func(m *member, id string) func() answer {
					return func() answer { got, _ := m.adopt(id); return got }
				}
				for what, thief := range map[string]*member{"its own node": a, "another node": b, "another tenant's node": c} {
					w.refused(what+" without a command", atlas.SnapshotNotFound, adopts(thief, snapshotA))
				}
				w.restore(nodeB, told, about(nodeA, snapshotA))
				for what, ask := range map[string]func() answer{
					"the node that took it": adopts(a, snapshotA), "another tenant's node": adopts(c, snapshotA),
					"another snapshot": adopts(b, snapshotB), "another tenant's snapshot": adopts(b, foreignSnapshot),
				} {
					w.refused(what, atlas.SnapshotNotFound, ask)
				}
				w.refused("a token for B that A signed", atlas.NodeTokenRefused, func() answer {
					return w.post(protocol.AdoptPath, a.bearer(nodeB), protocol.AdoptRequest{SnapshotID: snapshotA})
				})
				w.disable(nodeB, "KEY_DISABLED")
				w.refused("a disabled cluster", atlas.NodeDisabled, adopts(b, snapshotA))
				w.disable(nodeB, "")
				w.Faults.Set(pocket.Fault{Host: kmsAPI, Kind: pocket.Down})
				before := w.entries()
				if got, _ := b.adopt(snapshotA); got.refusal.ErrorCode != atlas.NodeKMSUnreachable || got.header.Get("Retry-After") == "" {
					t.Errorf("while KMS is down: %d %s", got.status, got.body)
				}
				w.Faults.Clear()
				w.unchanged("a KMS that is down", before)

				got, secret := b.adopt(snapshotA)
				if !bytes.Equal(secret, a.secret["k1"]) {
					t.Fatalf("B is not restored: %d %s", got.status, got.body)
				}
				w.allOpens()
				count := len(w.entries())
				if again, secret := b.adopt(snapshotA); !bytes.Equal(secret, a.secret["k1"]) || len(w.entries()) != count {
					t.Errorf("again it answers %d %s, and the ledger has %d copies, before %d", again.status, again.body, len(w.entries()), count)
				}
				if ack := b.ack(); ack.status != http.StatusNoContent {
					t.Fatalf("%d %s", ack.status, ack.body)
				}
				w.refused("after the acknowledgement", atlas.SnapshotNotFound, adopts(b, snapshotA))
			})
		})
	}
}

func TestACustomerKeyThatIsTakenKeepsItsSnapshotsShut(t *testing.T) {
	inWorld(t, func(w *world) {
		a, b := w.enrol(nodeA), w.enrol(nodeB)
		a.completed(snapshotA, "k1", a.wrap("k1"))
		old := w.cmk(nodeA)
		w.configure(nodeA, w.newCMK())
		w.restore(nodeB, cluster.PrepareCommand, about(nodeA, snapshotA))
		now := w.cmk(nodeA)
		if now == old {
			t.Fatal("the key is the same")
		}
		w.switchCMK(old, false)
		before := w.entries()
		if got, _ := b.adopt(snapshotA); got.refusal.ErrorCode != atlas.InvalidSnapshotRestoreEncryption {
			t.Errorf("%d %s", got.status, got.body)
		}
		w.switchCMK(old, true)
		w.unchanged("a key that was taken", before)
		if _, secret := b.adopt(snapshotA); !bytes.Equal(secret, a.secret["k1"]) {
			t.Error("B does not get ready")
		}
		// From here on the restore does not depend on the old key.
		if ack := b.ack(); ack.status != http.StatusNoContent {
			t.Fatalf("%d %s", ack.status, ack.body)
		}
		w.switchCMK(old, false)
		w.restore(nodeB, cluster.RestoreCommand, about(nodeA, snapshotA))
		if got, secret := b.adopt(snapshotA); !bytes.Equal(secret, a.secret["k1"]) {
			t.Errorf("a node that was ready cannot restore: %d %s", got.status, got.body)
		}
		w.switchCMK(old, true)
		w.allOpens()
	})
}

// Whoever asks for whichever snapshot's key under whatever command gets it only if it was told to.
func TestNoMixOfCommandsReleasesASnapshotsKey(t *testing.T) {
	inWorld(t, func(w *world) {
		members := []*member{w.enrol(nodeA), w.enrol(nodeB), w.enrol(foreign)}
		ids := map[string]*member{snapshotA: members[0], snapshotB: members[1], foreignSnapshot: members[2]}
		for id, m := range ids {
			m.completed(id, "key-of-"+m.node, m.wrap("key-of-"+m.node))
		}
		commands := []cluster.Command{cluster.PrepareCommand, cluster.RestoreCommand, cluster.StartCommand, cluster.SnapshotCommand, cluster.PurgeCommand}
		rapid.Check(t, func(rt *rapid.T) {
			who := rapid.SampledFrom(members).Draw(rt, "who")
			named := rapid.SampledFrom([]string{snapshotA, snapshotB, foreignSnapshot}).Draw(rt, "named")
			asked := rapid.SampledFrom([]string{snapshotA, snapshotB, foreignSnapshot}).Draw(rt, "asked")
			command := rapid.SampledFrom(commands).Draw(rt, "command")
			w.restore(who.place, command, about(ids[named].place, named))
			acked := rapid.Bool().Draw(rt, "acked")
			if acked {
				who.ack()
			}
			got, secret := who.adopt(asked)
			may := named == asked && !acked && (command == cluster.PrepareCommand || command == cluster.RestoreCommand)
			if owner := ids[asked]; may != (got.status == http.StatusOK) || may && !bytes.Equal(secret, owner.secret["key-of-"+owner.node]) {
				rt.Fatalf("answered %d %s, allowed: %t", got.status, got.body, may)
			}
			if !may && got.refusal.ErrorCode != atlas.SnapshotNotFound {
				rt.Fatalf("answered %d %s", got.status, got.body)
			}
		})
		w.allOpens()
	})
}
