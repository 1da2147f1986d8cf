package nodes_test

import (
	"bytes"
	"net/http"
	"testing"
	"time"

	"pgregory.net/rapid"

	"latchkey/shared/atlas"
	shared "latchkey/shared/kms"
	"latchkey/shared/ledger"
	"latchkey/shared/node/protocol"
)

func sealedOf(e ledger.Entry) shared.Sealed {
	return shared.Sealed{Blob: e.Blob, Version: e.CMK.Version}
}

func bindingOf(e ledger.Entry) shared.Binding {
	return shared.Binding{GroupID: e.GroupID, Use: "master-key/" + e.NodeID + "/" + e.KeyID}
}

func TestAMasterKeyIsReleasedToItsNodeAlone(t *testing.T) {
	inWorld(t, func(w *world) {
		a, b, c := w.enrol(nodeA), w.enrol(nodeB), w.enrol(foreign)
		wrapped := a.wrap("k1")
		for _, thief := range []*member{b, c} {
			thief.wrap("k1") // a key of its own with the same id
			for name, token := range map[string]string{
				"its own token": thief.bearer(thief.place), "a token for A that it signs": thief.bearer(nodeA),
				"a token for A in its cluster": thief.bearer(place{cluster: thief.cluster, node: nodeA.node}),
				"a token for itself in A's":    thief.bearer(place{cluster: nodeA.cluster, node: foreign.node}), "none": "",
			} {
				got, secret := w.release(token, nodeA, "k1", wrapped)
				if code := got.refusal.ErrorCode; secret != nil || code != atlas.NodeTokenRefused && code != atlas.MasterKeyNotFound {
					t.Errorf("%s with %s is answered %d %s", thief.node, name, got.status, got.body)
				}
				if again := w.post(protocol.RewrapPath, token, protocol.RewrapRequest{KeyID: "k1", Wrapped: wrapped}); again.status < 400 {
					t.Errorf("%s with %s rewraps A's key", thief.node, name)
				}
			}
		}
		if _, secret := w.release(a.bearer(nodeA), nodeA, "k1", wrapped); !bytes.Equal(secret, a.secret["k1"]) {
			t.Error("A does not get its own key")
		}
		w.ledgerIsTrue(nodeA, nodeB, foreign)
	})
}

func TestASealedKeyIsWorthNothingElsewhere(t *testing.T) {
	inWorld(t, func(w *world) {
		a, b, c := w.enrol(nodeA), w.enrol(nodeB), w.enrol(foreign)
		overheard := a.newKey("k1")
		for _, thief := range []*member{b, c} {
			if got := thief.post(protocol.WrapPath, overheard); got.refusal.ErrorCode != atlas.SealedKeyInvalid {
				t.Errorf("%s has A's sealed key wrapped: %d %s", thief.node, got.status, got.body)
			}
		}
		other := overheard
		other.KeyID = "k2"
		if got := a.post(protocol.WrapPath, other); got.refusal.ErrorCode != atlas.SealedKeyInvalid {
			t.Errorf("a sealed key is wrapped under another id: %d %s", got.status, got.body)
		}
		if len(w.copies(nodeA))+len(w.copies(nodeB))+len(w.copies(foreign)) != 0 {
			t.Error("the ledger has what nobody was given")
		}
	})
}

func TestATokenIsGoodForAMinute(t *testing.T) {
	inWorld(t, func(w *world) {
		a := w.enrol(nodeA)
		token, beat := a.bearer(nodeA), protocol.HeartbeatRequest{Report: protocol.Report{State: protocol.StateStopped}}
		if got := w.post(protocol.HeartbeatPath, token, beat); got.status != http.StatusOK {
			t.Fatalf("%d %s", got.status, got.body)
		}
		time.Sleep(protocol.TokenLife + protocol.Leeway + time.Second)
		got := w.post(protocol.HeartbeatPath, token, beat)
		if at, ok := protocol.ServerTime(got.refusal); got.status != http.StatusUnauthorized || !ok || time.Until(at).Abs() > time.Second {
			t.Errorf("an old token is answered %d %s", got.status, got.body)
		}
	})
}

// Whoever asks for whatever with whichever token gets a key only if it is its own, and only as it
// was when the ledger took it in.
func TestNoMixOfTokensAndCopiesReleasesAnothersKey(t *testing.T) {
	inWorld(t, func(w *world) {
		members := []*member{w.enrol(nodeA), w.enrol(nodeB), w.enrol(foreign)}
		type held struct {
			of      *member
			keyID   string
			wrapped protocol.WrappedKey
		}
		var all []held
		for _, m := range members {
			for _, id := range []string{"k1", "k2"} {
				all = append(all, held{m, id, m.wrap(id)})
			}
		}
		rapid.Check(t, func(rt *rapid.T) {
			signer := rapid.SampledFrom(members).Draw(rt, "signer")
			claimed := place{
				cluster: rapid.SampledFrom(members).Draw(rt, "cluster").cluster, node: rapid.SampledFrom(members).Draw(rt, "node").node,
			}
			keyID := rapid.SampledFrom([]string{"k1", "k2"}).Draw(rt, "key")
			// Any part of the copy may be of another one.
			wrapped := rapid.SampledFrom(all).Draw(rt, "copy").wrapped
			if rapid.Bool().Draw(rt, "mixed") {
				wrapped.Blob = rapid.SampledFrom(all).Draw(rt, "blob").wrapped.Blob
			}
			got, secret := w.release(signer.bearer(claimed), claimed, keyID, wrapped)
			mine := claimed.node == signer.node && claimed.cluster == signer.cluster
			var want []byte
			for _, h := range all {
				if mine && h.of == signer && h.keyID == keyID && bytes.Equal(h.wrapped.Blob, wrapped.Blob) && h.wrapped.CMK == wrapped.CMK {
					want = signer.secret[keyID]
				}
			}
			if !bytes.Equal(secret, want) {
				rt.Fatalf("answered %d %s, released: %t, want: %t", got.status, got.body, secret != nil, want != nil)
			}
			if got.status == http.StatusTooManyRequests {
				time.Sleep(time.Minute)
			}
		})
		w.ledgerIsTrue(nodeA, nodeB, foreign)
	})
}

// Everybody has 2^64 addresses of IPv6; strangers among them don't keep nodes from being heard.
func TestStrangersAreSlowedDownByTheirNetwork(t *testing.T) {
	inWorld(t, func(w *world) {
		a := w.enrol(nodeA)
		beat := protocol.HeartbeatRequest{Report: protocol.Report{State: protocol.StateStopped}}
		stranger := &member{place: nodeB, w: w, key: a.key}
		refusals := map[int]int{}
		const attempts = 320
		for i := range attempts {
			w.from = "2001:db8::" + string("0123456789abcdef"[i%16])
			refusals[stranger.post(protocol.HeartbeatPath, beat).status]++
		}
		if refusals[http.StatusUnauthorized] != 300 || refusals[http.StatusTooManyRequests] != attempts-300 {
			t.Errorf("answers %v", refusals)
		}
		w.from = "2001:db8:0:1::1"
		w.enrol(nodeB) // somewhere else
	})
}
