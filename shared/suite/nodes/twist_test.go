package nodes_test

import (
	"encoding/json"
	"flag"
	"net/http"
	"reflect"
	"testing"
	"time"

	"latchkey/shared/httpapi/hostiletest"
	"latchkey/shared/node/protocol"
)

var everyTwist = flag.Bool("every-twist", false, "make every twist of every body")

// Every part of every body of an agent is changed in every way. What is answered is described, and never 500; what
// is refused leaves the ledger as it is; and after all of it the node still gets orders that it takes, and
// its key.
func TestNodes_EveryTwistOfEveryBodyIsAnswered(t *testing.T) {
	inWorld(t, func(w *world) {
		a := w.enrol(nodeA)
		wrapped := a.wrap("k1")
		w.hostile = true
		recipient, err := protocol.NewRecipient()
		w.must(err)
		n, skip := 0, 61 // a run takes every so many
		for _, r := range []struct {
			path string
			body any
		}{
			{protocol.EnrolPath, protocol.EnrolRequest{Token: w.token(nodeB), PublicKey: a.key[32:]}},
			{protocol.HeartbeatPath, protocol.HeartbeatRequest{Report: protocol.Report{
				State: protocol.StateFailed, Reason: protocol.ReasonEngine, KeyID: "k1", NextKeyID: "k2", CommandAcked: 1, StartedAt: time.Now(),
				Addresses: []string{"203.0.113.1:27017"}, Version: "1.2.3",
			}}},
			{protocol.WrapPath, a.newKey("k2")},
			{protocol.ReleasePath, protocol.ReleaseRequest{KeyID: "k1", Wrapped: wrapped, Recipient: recipient.Public()}},
			{protocol.RewrapPath, protocol.RewrapRequest{KeyID: "k1", Wrapped: wrapped}},
			{protocol.KeepPath, protocol.KeepRequest{SnapshotID: nodeA.cluster, KeyID: "k1", Wrapped: wrapped}},
			{protocol.AdoptPath, protocol.AdoptRequest{SnapshotID: nodeA.cluster}},
			{protocol.AckPath, protocol.AckRequest{Command: 1, Outcome: protocol.Done, Reason: "x", KeyID: "k1", Wrapped: wrapped, NextKeyID: "k2", NextWrapped: wrapped, SnapshotBytes: 1}},
		} {
			good, err := json.Marshal(r.body)
			w.must(err)
			for part := range hostiletest.Parts(string(good)) {
				for way := range hostiletest.Twists() {
					if n++; n%skip != 0 && !*everyTwist {
						continue
					}
					w.twisted(a, r.path, hostiletest.Twist(string(good), part, way))
				}
			}
		}
		order := w.node(nodeA).Desired.Number
		if order < 1 || order > 1<<60 {
			t.Errorf("the node's next order has the number %d", order)
		}
		// What it has acknowledged may have struck out its former keys.
		if got, secret := w.release(a.bearer(nodeA), nodeA, "k9", a.wrap("k9")); secret == nil {
			t.Errorf("the node does not get its key any more: %d %s", got.status, got.body)
		}
		w.ledgerIsTrue(nodeA, nodeB, foreign)
	})
}

// twisted sends a body as the node itself.
func (w *world) twisted(a *member, path, body string) {
	w.t.Helper()
	if body == "" || len(body) > 1<<20 {
		return
	}
	before := w.copies(nodeA)
	got := a.post(path, json.RawMessage(body))
	switch {
	case got.status >= http.StatusInternalServerError:
		w.t.Errorf("%s with %.700q is answered %d %s\n%s", path, body, got.status, got.body, w.log)
	case got.status >= http.StatusBadRequest && !reflect.DeepEqual(before, w.copies(nodeA)):
		w.t.Errorf("%s with %.700q is answered %d, and has changed the ledger", path, body, got.status)
	}
}
