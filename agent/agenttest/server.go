// Package agenttest is a control plane for tests of agents: it enrols, commands, wraps and
// releases as the real one does, with a real cipher for a CMK, and a network that fails.
//
// Its one invariant: it never answers what the real one would refuse. Tests of the agent and of
// programs around it import it.
package agenttest

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/kms"
	"latchkey/shared/kms/kmstest"
	"latchkey/shared/node/protocol"
	"latchkey/shared/verdict"
)

const (
	groupID   = "650000000000000000000001"
	clusterID = "650000000000000000000002"
	// steady and pending are when agents are asked to call again, in seconds.
	steady  = 60
	pending = 5
	// retryAfter is what a KMS outage answers.
	retryAfter = 10 * time.Second
)

// Server is a control plane with one cluster. It is an http.Handler, safe for concurrent use.
type Server struct {
	now       func() time.Time
	recipient *protocol.Recipient

	mu       sync.Mutex
	nodes    map[string]*node
	kept     map[string]kept   // by snapshot
	cmks     []*kmstest.Memory // the last one wraps; all of them open
	disabled string            // why, "" when it is not
	heard    func()
	steady   int  // seconds between heartbeats when there is nothing to do
	confused bool // rewraps another key than was asked
}

type node struct {
	tokenHash string
	expires   time.Time
	publicKey ed25519.PublicKey
	command   protocol.Command
	ledger    map[string][]protocol.WrappedKey // by key id, oldest first
	reports   []protocol.Report
	acks      []protocol.AckRequest
}

// kept is what a snapshot needs.
type kept struct {
	nodeID, keyID string
	wrapped       protocol.WrappedKey
}

// NewServer returns a control plane whose clock is now.
func NewServer(now func() time.Time) *Server {
	recipient, err := protocol.NewRecipient()
	if err != nil {
		panic(err) // only a broken source of randomness
	}
	return &Server{now: now, recipient: recipient, nodes: map[string]*node{}, kept: map[string]kept{}, steady: steady, cmks: []*kmstest.Memory{kmstest.NewMemory()}}
}

// AddNode makes a node and the token to enrol its agent with.
func (s *Server) AddNode() (nodeID, token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	nodeID = fmt.Sprintf("6500000000000000000001%02x", len(s.nodes))
	token, hash := protocol.NewEnrolToken()
	s.nodes[nodeID] = &node{
		tokenHash: hash, expires: s.now().Add(protocol.EnrolTokenLife), ledger: map[string][]protocol.WrappedKey{},
	}
	return nodeID, token
}

// Command gives a node its next command and returns its number.
func (s *Server) Command(nodeID string, kind protocol.Kind, target protocol.Target, provider string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.nodes[nodeID].tell(protocol.Command{Kind: kind, Target: target, Provider: provider})
}

func (n *node) tell(c protocol.Command) int64 {
	c.Number = n.command.Number + 1
	n.command = c
	return c.Number
}

// Snapshot tells a node that shall run to take, or to remove, a snapshot.
func (s *Server) Snapshot(nodeID string, kind protocol.Kind, snapshotID string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.nodes[nodeID].tell(protocol.Command{Kind: kind, Target: protocol.Run, Provider: "AWS", SnapshotID: snapshotID})
}

// Restore tells a node to restore a snapshot under a provider's key.
func (s *Server) Restore(nodeID, snapshotID, restoreID, provider string) int64 {
	return s.aboutRestore(protocol.KindRestore, nodeID, snapshotID, restoreID, provider)
}

// Prepare tells a node to be ready for a Restore.
func (s *Server) Prepare(nodeID, snapshotID, restoreID, provider string) int64 {
	return s.aboutRestore(protocol.KindPrepare, nodeID, snapshotID, restoreID, provider)
}

func (s *Server) aboutRestore(kind protocol.Kind, nodeID, snapshotID, restoreID, provider string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.nodes[nodeID].tell(protocol.Command{
		Kind: kind, Target: protocol.Run, Provider: provider, SnapshotID: snapshotID, RestoreID: restoreID,
	})
}

// Kept is the copy that a snapshot needs; ok is false for a snapshot that nobody announced.
func (s *Server) Kept(snapshotID string) (keyID string, wrapped protocol.WrappedKey, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, ok := s.kept[snapshotID]
	return k.keyID, k.wrapped, ok
}

// Disable makes the server refuse to release keys, "" to release them again.
func (s *Server) Disable(reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.disabled = reason
}

// Steady sets how many seconds lie between heartbeats when there is nothing to do.
func (s *Server) Steady(seconds int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.steady = seconds
}

// OnReport calls fn at each report. It must not call the server.
func (s *Server) OnReport(fn func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heard = fn
}

// Confuse makes rewrapping answer another key than was asked for, as a bad bug would.
func (s *Server) Confuse(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.confused = on
}

// CMK is the key that wraps now; break it to simulate an outage or a revocation.
func (s *Server) CMK() *kmstest.Memory {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cmks[len(s.cmks)-1]
}

// SwitchCMK makes a new key wrap. Older ones still open what they wrapped.
func (s *Server) SwitchCMK() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cmks = append(s.cmks, kmstest.NewMemory())
}

// Ledger is every wrapped copy of a node's keys, by key id.
func (s *Server) Ledger(nodeID string) map[string][]protocol.WrappedKey {
	s.mu.Lock()
	defer s.mu.Unlock()
	ledger := map[string][]protocol.WrappedKey{}
	for id, copies := range s.nodes[nodeID].ledger {
		ledger[id] = slices.Clone(copies)
	}
	return ledger
}

// Reports are all reports of a node, oldest first.
func (s *Server) Reports(nodeID string) []protocol.Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.nodes[nodeID].reports)
}

// Last is a node's latest report, the zero Report before the first.
func (s *Server) Last(nodeID string) protocol.Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	reports := s.nodes[nodeID].reports
	if len(reports) == 0 {
		return protocol.Report{}
	}
	return reports[len(reports)-1]
}

// Acks are all acknowledgements of a node as they came in, repetitions too.
func (s *Server) Acks(nodeID string) []protocol.AckRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.nodes[nodeID].acks)
}

// Forget drops what was collected of a node's reports.
func (s *Server) Forget(nodeID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nodes[nodeID].reports = nil
}

// Open opens a wrapped copy as only the CMK can.
func (s *Server) Open(ctx context.Context, nodeID string, w protocol.WrappedKey) ([]byte, error) {
	_, key, err := s.cmkOf(w)
	if err != nil {
		return nil, err
	}
	return key.Decrypt(ctx, kms.Sealed{Blob: w.Blob, Version: w.Version}, binding(nodeID))
}

func (s *Server) cmkOf(w protocol.WrappedKey) (int, *kms.Key, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, err := strconv.Atoi(strings.TrimPrefix(w.CMK, "cmk-"))
	if err != nil || i < 0 || i >= len(s.cmks) {
		return 0, nil, fmt.Errorf("no such CMK: %q", w.CMK)
	}
	return i, s.cmks[i].Key(w.CMK), nil
}

func binding(nodeID string) kms.Binding {
	return kms.Binding{GroupID: groupID, Use: "master-key/" + nodeID}
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var answer any
	var err error
	switch r.URL.Path {
	case protocol.EnrolPath:
		answer, err = handle(r, s.enrol)
	case protocol.HeartbeatPath:
		answer, err = authenticated(s, r, s.heartbeat)
	case protocol.WrapPath:
		answer, err = authenticated(s, r, s.wrap)
	case protocol.ReleasePath:
		answer, err = authenticated(s, r, s.release)
	case protocol.RewrapPath:
		answer, err = authenticated(s, r, s.rewrap)
	case protocol.KeepPath:
		answer, err = authenticated(s, r, s.keep)
	case protocol.AdoptPath:
		answer, err = authenticated(s, r, s.adopt)
	case protocol.AckPath:
		answer, err = authenticated(s, r, s.ack)
	default:
		err = atlas.Fail(atlas.ResourceNotFound, r.URL.Path)
	}
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		e := atlas.AsError(err)
		if e.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(e.RetryAfter.Seconds())))
		}
		w.WriteHeader(e.Status())
		answer = e.Body()
	}
	if answer != nil {
		json.NewEncoder(w).Encode(answer) //nolint:errcheck // the client is gone
	}
}

func handle[B, A any](r *http.Request, op func(context.Context, B) (A, error)) (any, error) {
	var body B
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		return nil, atlas.Fail(atlas.MalformedJSON).Because(err)
	}
	return op(r.Context(), body)
}

// authenticated runs an operation for the node that the token speaks for.
func authenticated[B, A any](s *Server, r *http.Request, op func(context.Context, string, B) (A, error)) (any, error) {
	bearer, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	token, err := protocol.VerifyToken(bearer, s.now(), func(who protocol.Identity) (ed25519.PublicKey, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		n, ok := s.nodes[who.NodeID]
		if !ok || who.ClusterID != clusterID {
			return nil, protocol.ErrToken
		}
		return n.publicKey, nil
	})
	if err != nil {
		return nil, protocol.Refuse(s.now())
	}
	return handle(r, func(ctx context.Context, body B) (A, error) { return op(ctx, token.NodeID, body) })
}

func (s *Server) enrol(_ context.Context, req protocol.EnrolRequest) (protocol.EnrolResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	hash, ok := protocol.EnrolTokenHash(req.Token)
	for id, n := range s.nodes {
		if !ok || n.tokenHash != hash || len(req.PublicKey) != ed25519.PublicKeySize || !s.now().Before(n.expires) {
			continue
		}
		if n.publicKey != nil && !n.publicKey.Equal(ed25519.PublicKey(req.PublicKey)) {
			break
		}
		n.publicKey = req.PublicKey
		return protocol.EnrolResponse{NodeID: id, ClusterID: clusterID, GroupID: groupID, ControlPlaneKey: s.recipient.Public()}, nil
	}
	return protocol.EnrolResponse{}, atlas.Fail(atlas.NodeEnrolmentRefused)
}

func (s *Server) heartbeat(_ context.Context, nodeID string, req protocol.HeartbeatRequest) (protocol.HeartbeatResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.nodes[nodeID]
	n.reports = append(n.reports, req.Report)
	if s.heard != nil {
		s.heard()
	}
	answer := protocol.HeartbeatResponse{Command: n.command, NextInSeconds: s.steady}
	if req.Report.CommandAcked < n.command.Number {
		answer.NextInSeconds = pending
	}
	return answer, nil
}

func (s *Server) ack(_ context.Context, nodeID string, req protocol.AckRequest) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nodes[nodeID].acks = append(s.nodes[nodeID].acks, req)
	return nil, nil //nolint:nilnil // an answer without a body
}

func (s *Server) wrap(ctx context.Context, nodeID string, req protocol.WrapRequest) (protocol.WrapResponse, error) {
	s.mu.Lock()
	known := s.nodes[nodeID].ledger[req.KeyID]
	s.mu.Unlock()
	if len(known) > 0 {
		return protocol.WrapResponse{Wrapped: known[len(known)-1]}, nil
	}
	secret, err := s.recipient.Open(protocol.ToControlPlane, nodeID, req.KeyID, req.SealedKey)
	if err != nil {
		return protocol.WrapResponse{}, atlas.Fail(atlas.SealedKeyInvalid, req.KeyID)
	}
	defer clear(secret)
	wrapped, err := s.seal(ctx, nodeID, req.KeyID, secret)
	return protocol.WrapResponse{Wrapped: wrapped}, err
}

// seal wraps a key under the CMK of now and enters the copy into the ledger.
func (s *Server) seal(ctx context.Context, nodeID, keyID string, secret []byte) (protocol.WrappedKey, error) {
	s.mu.Lock()
	name := "cmk-" + strconv.Itoa(len(s.cmks)-1)
	key := s.cmks[len(s.cmks)-1].Key(name)
	s.mu.Unlock()
	sealed, err := key.Encrypt(ctx, secret, binding(nodeID))
	if err != nil {
		return protocol.WrappedKey{}, failure(nodeID, keyID, err)
	}
	wrapped := protocol.WrappedKey{Blob: sealed.Blob, Provider: "AWS", CMK: name, Version: sealed.Version}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nodes[nodeID].ledger[keyID] = append(s.nodes[nodeID].ledger[keyID], wrapped)
	return wrapped, nil
}

func (s *Server) release(ctx context.Context, nodeID string, req protocol.ReleaseRequest) (protocol.ReleaseResponse, error) {
	s.mu.Lock()
	disabled := s.disabled
	s.mu.Unlock()
	if disabled != "" {
		return protocol.ReleaseResponse{}, atlas.Fail(atlas.NodeDisabled, nodeID, disabled)
	}
	secret, err := s.open(ctx, nodeID, req.KeyID, req.Wrapped)
	if err != nil {
		return protocol.ReleaseResponse{}, err
	}
	defer clear(secret)
	sealed, err := protocol.SealKey(req.Recipient, protocol.ToNode, nodeID, req.KeyID, secret)
	if err != nil {
		return protocol.ReleaseResponse{}, atlas.Fail(atlas.InvalidAttribute, "recipient")
	}
	return protocol.ReleaseResponse{Sealed: sealed}, nil
}

// open opens a copy that the ledger knows.
func (s *Server) open(ctx context.Context, nodeID, keyID string, w protocol.WrappedKey) ([]byte, error) {
	s.mu.Lock()
	known := slices.ContainsFunc(s.nodes[nodeID].ledger[keyID], func(k protocol.WrappedKey) bool {
		return string(k.Blob) == string(w.Blob) && k.CMK == w.CMK
	})
	s.mu.Unlock()
	if !known {
		return nil, atlas.Fail(atlas.MasterKeyNotFound, nodeID, keyID)
	}
	secret, err := s.Open(ctx, nodeID, w)
	if err != nil {
		return nil, failure(nodeID, keyID, err)
	}
	return secret, nil
}

func (s *Server) rewrap(ctx context.Context, nodeID string, req protocol.RewrapRequest) (protocol.RewrapResponse, error) {
	secret, err := s.open(ctx, nodeID, req.KeyID, req.Wrapped)
	if err != nil {
		return protocol.RewrapResponse{}, err
	}
	defer clear(secret)
	s.mu.Lock()
	if s.confused {
		secret[0] ^= 1
	}
	s.mu.Unlock()
	wrapped, err := s.seal(ctx, nodeID, req.KeyID, secret)
	return protocol.RewrapResponse{Wrapped: wrapped}, err
}

// keep takes in what a snapshot needs, of the node that was told to take it.
func (s *Server) keep(_ context.Context, nodeID string, req protocol.KeepRequest) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.nodes[nodeID]
	if n.command.Kind != protocol.KindSnapshot || n.command.SnapshotID != req.SnapshotID {
		return nil, atlas.Fail(atlas.SnapshotNotFound, req.SnapshotID, clusterID)
	}
	known := slices.ContainsFunc(n.ledger[req.KeyID], func(k protocol.WrappedKey) bool { return string(k.Blob) == string(req.Wrapped.Blob) })
	if req.KeyID != "" && !known {
		return nil, atlas.Fail(atlas.MasterKeyNotFound, nodeID, req.KeyID)
	}
	s.kept[req.SnapshotID] = kept{nodeID, req.KeyID, req.Wrapped}
	return nil, nil //nolint:nilnil // an answer without a body
}

// adopt wraps a snapshot's key anew for the node that was told to restore it.
func (s *Server) adopt(ctx context.Context, nodeID string, req protocol.AdoptRequest) (protocol.AdoptResponse, error) {
	s.mu.Lock()
	n, k, disabled := s.nodes[nodeID], s.kept[req.SnapshotID], s.disabled
	told := (n.command.Kind == protocol.KindRestore || n.command.Kind == protocol.KindPrepare) && n.command.SnapshotID == req.SnapshotID
	s.mu.Unlock()
	switch {
	case !told || k.keyID == "":
		return protocol.AdoptResponse{}, atlas.Fail(atlas.SnapshotNotFound, req.SnapshotID, clusterID)
	case disabled != "":
		return protocol.AdoptResponse{}, atlas.Fail(atlas.NodeDisabled, nodeID, disabled)
	}
	secret, err := s.Open(ctx, k.nodeID, k.wrapped)
	if f, ok := errors.AsType[*verdict.Failure](err); ok && f.Class() == verdict.Invalid {
		return protocol.AdoptResponse{}, atlas.Fail(atlas.InvalidSnapshotRestoreEncryption)
	}
	if err != nil {
		return protocol.AdoptResponse{}, failure(nodeID, k.keyID, err)
	}
	defer clear(secret)
	wrapped, err := s.seal(ctx, nodeID, k.keyID, secret)
	return protocol.AdoptResponse{KeyID: k.keyID, Wrapped: wrapped}, err
}

// failure is what agents are told of a failed operation on the CMK.
func failure(nodeID, keyID string, err error) error {
	f, ok := errors.AsType[*verdict.Failure](err)
	if !ok {
		return err
	}
	switch f.Class() {
	case verdict.Invalid:
		return atlas.Fail(atlas.NodeDisabled, nodeID, f.Reason).Because(err)
	case verdict.Unreachable, verdict.Throttled:
		e := atlas.Fail(atlas.NodeKMSUnreachable).Because(err)
		e.RetryAfter = retryAfter
		return e
	case verdict.Inconclusive, verdict.Valid:
	}
	if f.Reason == verdict.KeyMismatch {
		return atlas.Fail(atlas.WrappedKeyInvalid, keyID).Because(err)
	}
	return err
}
