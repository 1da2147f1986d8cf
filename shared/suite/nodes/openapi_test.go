package nodes_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"latchkey/shared/atlas"
	"latchkey/shared/identity"
	"latchkey/shared/node/protocol"
)

// description is what Latchkey says of itself.
var description = sync.OnceValues(func() (*openapi3.T, error) {
	return openapi3.NewLoader().LoadFromFile("../../../docs/openapi.yaml")
})

// operationOf is the description of what a request asks for.
func (w *world) operationOf(r *http.Request) (route *routers.Route, params map[string]string) {
	w.t.Helper()
	doc, err := description()
	w.must(err)
	for path, item := range doc.Paths.Map() {
		before, after, _ := strings.Cut(path, "{groupId}")
		id, isPrefix := strings.CutPrefix(r.URL.Path, before)
		id, isSuffix := strings.CutSuffix(id, after)
		if operation := item.GetOperation(r.Method); operation != nil && isPrefix && isSuffix && (path != before || id == "") {
			return &routers.Route{Spec: doc, Path: path, PathItem: item, Method: r.Method, Operation: operation}, map[string]string{"groupId": id}
		}
	}
	w.t.Fatalf("%s %s is not described", r.Method, r.URL.Path)
	return nil, nil
}

// conforms demands that an answer is as it is described, and so is a request that was not refused,
// unless it is a hostile one.
func (w *world) conforms(r *http.Request, body []byte, status int, header http.Header, answer string) {
	w.t.Helper()
	route, params := w.operationOf(r)
	request := r.Clone(w.t.Context())
	request.Body = io.NopCloser(bytes.NewReader(body))
	in := &openapi3filter.RequestValidationInput{
		Request: request, Route: route, PathParams: params,
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc},
	}
	if err := openapi3filter.ValidateRequest(w.t.Context(), in); err != nil && status < http.StatusBadRequest && !w.hostile {
		w.t.Errorf("a request that is not as described is answered %d: %v\n%s", status, err, body)
	}
	described := route.Operation.Responses.Status(status)
	if described == nil && status != http.StatusInternalServerError {
		w.t.Errorf("%s: the status %d is not described; it answers %s", route.Path, status, answer)
	}
	out := (&openapi3filter.ResponseValidationInput{RequestValidationInput: in, Status: status, Header: header}).SetBodyBytes([]byte(answer))
	if err := openapi3filter.ValidateResponse(w.t.Context(), out); err != nil {
		w.t.Errorf("%s answers %d not as described: %v\n%s", route.Path, status, err, answer)
	}
	if described == nil {
		return
	}
	for name := range described.Value.Headers {
		if header.Get(name) == "" {
			w.t.Errorf("%s answers %d without %s", route.Path, status, name)
		}
	}
	if code := header.Get("X-Error-Code"); code != "" && !tells(route.Spec, described.Value, code) {
		w.t.Errorf("%s: %d %s is not described", route.Path, status, code)
	}
}

// tells reports whether a response, or the one for what any operation may find wrong with a body,
// tells of an error code.
func tells(doc *openapi3.T, response *openapi3.Response, code string) bool {
	texts := []string{*response.Description, *doc.Components.Responses["Invalid"].Value.Description}
	return slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(text, "`"+code+"`") })
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
		validate(identity.Caller{}, nodeA.group, http.StatusUnauthorized)
	})
}
