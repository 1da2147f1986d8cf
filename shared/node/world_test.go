package node_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/shared/atlas"
	"latchkey/shared/cluster"
	"latchkey/shared/httpapi"
	"latchkey/shared/identity"
	"latchkey/shared/identity/identitytest"
	"latchkey/shared/kms"
	"latchkey/shared/kms/kmstest"
	"latchkey/shared/ledger"
	"latchkey/shared/node"
	"latchkey/shared/node/nodeapi"
	"latchkey/shared/node/protocol"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

const (
	groupID   = "650000000000000000000001"
	clusterID = "650000000000000000000002"
	nodeA     = "65000000000000000000000a"
	nodeB     = "65000000000000000000000b"
)

// tenant is the keys of a group at its providers. The last one of a provider wraps.
type tenant struct {
	mu    sync.Mutex
	names map[atlas.Provider][]string
	keys  map[string]*kmstest.Memory
	// stale, if set, is what cached credentials reach instead.
	stale *kmstest.Memory
}

func newTenant(providers ...atlas.Provider) *tenant {
	k := &tenant{names: map[atlas.Provider][]string{}, keys: map[string]*kmstest.Memory{}}
	for _, p := range providers {
		k.rotate(p)
	}
	return k
}

// rotate makes the tenant use a new key.
func (k *tenant) rotate(p atlas.Provider) {
	k.mu.Lock()
	defer k.mu.Unlock()
	name := fmt.Sprintf("%s-key-%d", p, len(k.names[p]))
	k.names[p] = append(k.names[p], name)
	k.keys[name] = kmstest.NewMemory()
}

func (k *tenant) current(p atlas.Provider) *kmstest.Memory {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.keys[k.names[p][len(k.names[p])-1]]
}

func (k *tenant) KeyFor(_ context.Context, groupID string, p atlas.Provider, fresh bool) (*kms.Key, ledger.CMK, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.names[p]) == 0 {
		return nil, ledger.CMK{}, atlas.Fail(atlas.EARNotEnabled, groupID)
	}
	name := k.names[p][len(k.names[p])-1]
	return k.open(name, fresh), ledger.CMK{Provider: p, Name: name}, nil
}

func (k *tenant) KeyOf(_ context.Context, groupID string, cmk ledger.CMK, fresh bool) (*kms.Key, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.keys[cmk.Name] == nil {
		return nil, atlas.Fail(atlas.EARNotEnabled, groupID)
	}
	return k.open(cmk.Name, fresh), nil
}

func (k *tenant) open(name string, fresh bool) *kms.Key {
	if k.stale != nil && !fresh {
		return k.stale.Key(name)
	}
	return k.keys[name].Key(name)
}

// world is the routes over a real table, with memory keys.
type world struct {
	t        *testing.T
	table    *identitytest.FlakyTable
	sealer   *identitytest.Sealer
	clock    *identitytest.Clock
	now      func() time.Time // clock's, unless the test has another
	tenant   *tenant
	clusters *cluster.Service
	nodes    *node.Service
	api      *httpapi.API
	log      *bytes.Buffer
	header   http.Header // of the last answer
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return newWorldAt(t, nil)
}

// newWorldAt is a world with another clock than its own.
func newWorldAt(t *testing.T, now func() time.Time) *world {
	t.Helper()
	w := &world{
		now: now,
		t:   t, table: &identitytest.FlakyTable{Table: identitytest.Table(t)}, sealer: identitytest.NewSealer(t), clock: identitytest.NewClock(),
		tenant: newTenant(atlas.AWS, atlas.GCP), log: &bytes.Buffer{},
	}
	if now == nil {
		w.now = w.clock.Now
	}
	w.clusters = &cluster.Service{Table: w.table, Now: w.now}
	w.api = w.instance()
	w.put(keys.Cluster(clusterID), cluster.Cluster{ID: clusterID, GroupID: groupID})
	for _, id := range []string{nodeA, nodeB} {
		w.store(cluster.Node{ID: id, ClusterID: clusterID, GroupID: groupID}.Told(cluster.Order{
			Command: cluster.StartCommand, State: cluster.Run, Provider: atlas.AWS,
		}))
	}
	return w
}

// instance is one more process that serves the routes.
func (w *world) instance() *httpapi.API {
	log := slog.New(slog.NewJSONHandler(&lockedWriter{w: w.log}, nil))
	w.nodes = &node.Service{
		Table: w.table, Nodes: w.clusters, Keys: w.tenant, Now: w.now, Log: log,
		Recipients: &node.Recipients{Table: w.table, Sealer: w.sealer, Now: w.now},
	}
	return httpapi.New(httpapi.Config{Gate: identity.Gate{}, Now: w.now, Log: log}, nodeapi.API{Nodes: w.nodes}.Routes())
}

type lockedWriter struct {
	mu sync.Mutex
	w  *bytes.Buffer
}

func (l *lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

// put stores a record, whatever is there.
func (w *world) put(key store.Key, value any) {
	w.t.Helper()
	version := int64(0)
	if item, err := w.table.Get(w.t.Context(), key); err == nil {
		version = item.Version
	}
	item, err := store.Encode(key, version, value)
	if err == nil {
		err = w.table.Write(w.t.Context(), store.Put(item))
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) store(n cluster.Node) { w.t.Helper(); w.put(keys.Node(n.ClusterID, n.ID), n) }

func (w *world) node(id string) cluster.Node {
	w.t.Helper()
	n, err := w.clusters.Node(w.t.Context(), clusterID, id)
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

// tell gives a node an order.
func (w *world) tell(id string, c cluster.Command, p atlas.Provider) int64 {
	w.t.Helper()
	n := w.node(id)
	state := cluster.Run
	if c == cluster.StopCommand || c == cluster.DeleteCommand {
		state = cluster.Stop
	}
	n = n.Told(cluster.Order{Command: c, State: state, Provider: p})
	w.store(n)
	return n.Desired.Number
}

func (w *world) disable(reason string) {
	w.t.Helper()
	c := cluster.Cluster{ID: clusterID, GroupID: groupID}
	if reason != "" {
		c.Disabled = &cluster.Disabled{Provider: atlas.AWS, Reason: reason, Since: w.clock.Now()}
	}
	w.put(keys.Cluster(clusterID), c)
}

// copies are what the ledger has of a node.
func (w *world) copies(id string) []ledger.Entry {
	w.t.Helper()
	entries, err := ledger.OfNode(w.t.Context(), w.table, clusterID, id)
	if err != nil {
		w.t.Fatal(err)
	}
	return entries
}

// wantCopies complains unless the ledger has so many copies of a node's keys.
func (w *world) wantCopies(id string, n int) {
	w.t.Helper()
	if got := w.copies(id); len(got) != n {
		w.t.Errorf("the ledger has %d copies of node %s, want %d: %v", len(got), id, n, got)
	}
}

// wantKeys complains unless the ledger has these copies of a node's keys: each a key, and by what
// it is wrapped.
func (w *world) wantKeys(id string, want []string) {
	w.t.Helper()
	var got []string
	for _, e := range w.copies(id) {
		got = append(got, e.KeyID+" "+e.CMK.Name)
	}
	if diff := cmp.Diff(want, slices.Sorted(slices.Values(got))); diff != "" {
		w.t.Error(diff)
	}
}

// post sends a request and decodes what comes back into answer, unless it is an error.
func (w *world) post(path, authorization string, body, answer any) (status int, refusal atlas.ErrorBody) {
	w.t.Helper()
	content, isText := body.(string)
	if !isText {
		raw, err := json.Marshal(body)
		if err != nil {
			w.t.Fatal(err)
		}
		content = string(raw)
	}
	r := httptest.NewRequestWithContext(w.t.Context(), http.MethodPost, "https://latchkey.test"+path, strings.NewReader(content))
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	rec := httptest.NewRecorder()
	w.api.ServeHTTP(rec, r)
	w.header = rec.Header()
	into := answer
	if rec.Code >= http.StatusBadRequest {
		into = &refusal
	}
	if rec.Body.Len() > 0 && into != nil {
		if err := json.Unmarshal(rec.Body.Bytes(), into); err != nil {
			w.t.Fatalf("%s answers %q", path, rec.Body)
		}
	}
	return rec.Code, refusal
}

// member is an enrolled agent.
type member struct {
	w      *world
	id     string
	key    ed25519.PrivateKey
	sealTo []byte
}

func newKey() ed25519.PrivateKey {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
}

func public(k ed25519.PrivateKey) []byte { return k.Public().(ed25519.PublicKey) }

func (w *world) token(id string) string {
	w.t.Helper()
	token, _, err := w.nodes.IssueToken(w.t.Context(), clusterID, id)
	if err != nil {
		w.t.Fatal(err)
	}
	return token
}

// enrol makes an agent for a node.
func (w *world) enrol(id string) *member {
	w.t.Helper()
	m := &member{w: w, id: id, key: newKey()}
	var answer protocol.EnrolResponse
	if status, refusal := w.post(protocol.EnrolPath, "", protocol.EnrolRequest{Token: w.token(id), PublicKey: public(m.key)}, &answer); status != http.StatusOK {
		w.t.Fatalf("enrol answers %d %+v", status, refusal)
	}
	if answer.NodeID != id || answer.ClusterID != clusterID || answer.GroupID != groupID {
		w.t.Fatalf("enrolled as %+v", answer)
	}
	m.sealTo = answer.ControlPlaneKey
	return m
}

func (m *member) bearer() string {
	m.w.t.Helper()
	token, err := protocol.SignToken(m.key, protocol.Identity{NodeID: m.id, ClusterID: clusterID}, m.w.clock.Now())
	if err != nil {
		m.w.t.Fatal(err)
	}
	return "Bearer " + token
}

func (m *member) try(path string, body, answer any) (int, atlas.ErrorBody) {
	m.w.t.Helper()
	return m.w.post(path, m.bearer(), body, answer)
}

// must is a request that has to succeed.
func (m *member) must(path string, body, answer any) {
	m.w.t.Helper()
	if status, refusal := m.try(path, body, answer); status >= http.StatusMultipleChoices {
		m.w.t.Fatalf("%s answers %d %+v", path, status, refusal)
	}
}

// refused is a request that has to fail with a code.
func (m *member) refused(path string, body any, code atlas.Code) {
	m.w.t.Helper()
	if status, refusal := m.try(path, body, nil); status != code.Status() || refusal.ErrorCode != code {
		m.w.t.Errorf("%s answers %d %+v, want %s", path, status, refusal, code)
	}
}

func masterKey() []byte {
	b := make([]byte, protocol.MasterKeySize)
	rand.Read(b) // never fails since Go 1.24
	return b
}

func (m *member) sealed(keyID string, key []byte) []byte {
	m.w.t.Helper()
	sealed, err := protocol.SealKey(m.sealTo, protocol.ToControlPlane, m.id, keyID, key)
	if err != nil {
		m.w.t.Fatal(err)
	}
	return sealed
}

// wrapping is a request for the wrapping of a key.
func (m *member) wrapping(keyID string, key []byte) protocol.WrapRequest {
	m.w.t.Helper()
	return protocol.WrapRequest{KeyID: keyID, SealedKey: m.sealed(keyID, key)}
}

func (m *member) wrap(keyID string, key []byte) protocol.WrappedKey {
	m.w.t.Helper()
	var answer protocol.WrapResponse
	m.must(protocol.WrapPath, m.wrapping(keyID, key), &answer)
	return answer.Wrapped
}

// release has a key released and opens it.
func (m *member) release(keyID string, wrapped protocol.WrappedKey) []byte {
	m.w.t.Helper()
	recipient, err := protocol.NewRecipient()
	if err != nil {
		m.w.t.Fatal(err)
	}
	var answer protocol.ReleaseResponse
	m.must(protocol.ReleasePath, protocol.ReleaseRequest{KeyID: keyID, Wrapped: wrapped, Recipient: recipient.Public()}, &answer)
	key, err := recipient.Open(protocol.ToNode, m.id, keyID, answer.Sealed)
	if err != nil {
		m.w.t.Fatal(err)
	}
	return key
}

// opens complains unless a copy opens to a key.
func (m *member) opens(keyID string, wrapped protocol.WrappedKey, key []byte) {
	m.w.t.Helper()
	if got := m.release(keyID, wrapped); !bytes.Equal(got, key) {
		m.w.t.Errorf("the copy of %s under %s opens to another key", keyID, wrapped.CMK)
	}
}

func (m *member) rewrap(keyID string, wrapped protocol.WrappedKey) protocol.WrappedKey {
	m.w.t.Helper()
	var answer protocol.RewrapResponse
	m.must(protocol.RewrapPath, protocol.RewrapRequest{KeyID: keyID, Wrapped: wrapped}, &answer)
	return answer.Wrapped
}

// asking is a request for the release of a key to somebody.
func asking(keyID string, wrapped protocol.WrappedKey) protocol.ReleaseRequest {
	recipient, err := protocol.NewRecipient()
	if err != nil {
		panic(err)
	}
	return protocol.ReleaseRequest{KeyID: keyID, Wrapped: wrapped, Recipient: recipient.Public()}
}

func (m *member) beat(r protocol.Report) protocol.HeartbeatResponse {
	m.w.t.Helper()
	var answer protocol.HeartbeatResponse
	m.must(protocol.HeartbeatPath, protocol.HeartbeatRequest{Report: r}, &answer)
	return answer
}

// done acknowledges a command with the copy that the node has now.
func done(number int64, keyID string, wrapped protocol.WrappedKey) protocol.AckRequest {
	wrapped.Blob = nil
	return protocol.AckRequest{Command: number, Outcome: protocol.Done, KeyID: keyID, Wrapped: wrapped}
}
