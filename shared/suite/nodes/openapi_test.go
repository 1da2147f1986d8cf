package nodes_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"latchkey/shared/atlas"
	"latchkey/shared/httpapi/openapitest"
	"latchkey/shared/identity"
	"latchkey/shared/node/protocol"
)

// description is what Latchkey says of itself.
var description = sync.OnceValues(func() (*openapitest.Description, error) {
	return openapitest.Load("../../../docs/openapi.yaml")
})

// conforms demands that an answer is as it is described, and so is a request that was not refused,
// unless it is a hostile one.
func (w *world) conforms(r *http.Request, body []byte, status int, header http.Header, answer string) {
	w.t.Helper()
	doc, err := description()
	w.must(err)
	err = doc.Check(openapitest.Exchange{Request: r, Sent: body, Status: status, Header: header, Answer: []byte(answer), Hostile: w.hostile})
	if err != nil {
		w.t.Error(err)
	}
}

func TestEveryRefusalOfAnAgentIsDescribed(t *testing.T) {
	inWorld(t, func(w *world) {
		a := w.enrol(nodeA)
		wrapped := a.wrap("k1")
		w.hostile = true
		unknown := wrapped
		unknown.Version = "7"
		for _, path := range []string{protocol.HeartbeatPath, protocol.WrapPath, protocol.ReleasePath, protocol.RewrapPath, protocol.KeepPath, protocol.AdoptPath, protocol.AckPath, protocol.EnrolPath} {
			for _, body := range []any{
				nil, 7, "x",
				[]int{},
				map[string]any{},
				map[string]any{"keyId": 7, "report": 7, "command": "x"},
				map[string]any{"keyId": "a#b", "report": map[string]any{"state": "TOMORROW"}, "outcome": "PERHAPS"},
				protocol.ReleaseRequest{KeyID: "k1", Wrapped: unknown},
				protocol.ReleaseRequest{KeyID: "k1", Wrapped: wrapped, Recipient: []byte("short")},
				protocol.WrapRequest{KeyID: "k9", SealedKey: []byte("not sealed")},
				protocol.KeepRequest{SnapshotID: nodeA.node, KeyID: "k1", Wrapped: wrapped},
				protocol.KeepRequest{SnapshotID: nodeA.node},
				map[string]any{"keyId": strings.Repeat("k", 1<<20)},
			} {
				a.post(path, body)
				w.post(path, "", body)
			}
		}
		w.configure(nodeA, w.newCMK())
		w.enableCMK(nodeA, false)
		for _, path := range []string{protocol.WrapPath, protocol.RewrapPath, protocol.ReleasePath} {
			a.post(path, map[string]any{"keyId": "k1", "wrapped": wrapped, "sealedKey": a.newKey("k2").SealedKey})
		}
		a.post(protocol.WrapPath, a.newKey("k2"))
		w.enableCMK(nodeA, true)
		off := []byte(`{"awsKms":{"enabled":false}}`)
		if rec := w.ask(owner(nodeA), http.MethodPatch, "/api/atlas/v2/groups/"+nodeA.group+"/encryptionAtRest", off); rec.Code != http.StatusOK {
			t.Fatalf("%d %s", rec.Code, rec.Body)
		}
		for _, path := range []string{protocol.WrapPath, protocol.RewrapPath, protocol.ReleasePath} {
			a.post(path, map[string]any{"keyId": "k1", "wrapped": wrapped, "recipient": a.sealTo})
		}
		if got := a.post(protocol.WrapPath, a.newKey("k2")); got.refusal.ErrorCode != atlas.EARNotEnabled {
			t.Errorf("a group without a key: %d %s", got.status, got.body)
		}
	})
}

func TestAValidationOnDemandIsAsDescribed(t *testing.T) {
	inWorld(t, func(w *world) {
		validate := func(caller identity.Caller, group string, want int) {
			t.Helper()
			path := "/api/latchkey/v1/groups/" + group + "/encryptionAtRest/validate"
			rec := w.ask(caller, http.MethodPost, path, nil)
			if rec.Code != want {
				t.Errorf("%s is answered %d %s", group, rec.Code, rec.Body)
			}
			w.conforms(httptest.NewRequestWithContext(w.t.Context(), http.MethodPost, path, nil), nil, rec.Code, rec.Header(), rec.Body.String())
		}
		reader := owner(nodeA)
		reader.GroupRoles = map[string][]identity.Role{nodeA.group: {identity.GroupReadOnly}}
		validate(owner(nodeA), nodeA.group, http.StatusOK)
		w.enableCMK(nodeA, false)
		validate(owner(nodeA), nodeA.group, http.StatusOK)
		validate(owner(nodeA), foreign.group, http.StatusUnauthorized)
		validate(owner(nodeA), "nonsense", atlas.InvalidGroupID.Status())
		validate(reader, nodeA.group, http.StatusUnauthorized)
	})
}
