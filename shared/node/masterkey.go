package node

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/cluster"
	"latchkey/shared/kms"
	"latchkey/shared/ledger"
	"latchkey/shared/masterkey"
	"latchkey/shared/node/protocol"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
	"latchkey/shared/verdict"
)

const (
	// maxCopies bounds what one node may enter into the ledger. It needs four copies at most
	// (two keys in a rotation, each under two customer keys); the rest is for crashes.
	maxCopies = 64
	// kmsTimeout bounds one use of a tenant's KMS, and requestTimeout all that one request makes
	// (with cached credentials, rarely with fresh ones, with a second key). Agents wait for 30
	// seconds, and learn nothing of an answer that comes later.
	kmsTimeout     = 8 * time.Second
	requestTimeout = 25 * time.Second
	// retryAfter is when an agent should come back after a KMS could not be reached.
	retryAfter = 10 * time.Second
)

// keyIDForm is what ids of master keys look like.
var keyIDForm = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

func checkKeyID(id string) error {
	if !keyIDForm.MatchString(id) {
		return atlas.Fail(atlas.InvalidAttribute, "keyId")
	}
	return nil
}

// Wrap wraps a new master key of a node under the key of the provider that the node shall use,
// and enters the copy into the ledger. Asked again it answers the same copy.
func (s *Service) Wrap(ctx context.Context, n cluster.Node, req protocol.WrapRequest) (protocol.WrapResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if err := checkKeyID(req.KeyID); err != nil {
		return protocol.WrapResponse{}, err
	}
	if n.Desired.Provider == cluster.None || n.Desired.Provider == "" {
		return protocol.WrapResponse{}, atlas.Fail(atlas.NodeNotEncrypted, n.ID)
	}
	if err := s.checkEnabled(ctx, n); err != nil {
		return protocol.WrapResponse{}, err
	}
	copies, err := ledger.OfNode(ctx, s.Table, n.ClusterID, n.ID)
	if err != nil {
		return protocol.WrapResponse{}, err
	}
	if e, ok := latest(copies, req.KeyID, n.Desired.Provider); ok {
		return protocol.WrapResponse{Wrapped: wire(e)}, nil
	}
	if len(copies) >= maxCopies {
		return protocol.WrapResponse{}, atlas.Fail(atlas.TooManyMasterKeys, n.ID, len(copies))
	}
	secret, err := s.Recipients.Open(ctx, n.ID, req.KeyID, req.SealedKey)
	if errors.Is(err, protocol.ErrNotOpened) {
		return protocol.WrapResponse{}, atlas.Fail(atlas.SealedKeyInvalid, req.KeyID).Because(err)
	}
	if err != nil {
		return protocol.WrapResponse{}, err
	}
	defer clear(secret)
	e, err := s.wrap(ctx, n, req.KeyID, n.Desired.Provider, secret, s.Now())
	return protocol.WrapResponse{Wrapped: wire(e)}, err
}

// Release opens a node's master key and seals it to the recipient, who alone can open it. It
// returns NODE_DISABLED while the key must not be used, and NODE_KMS_UNREACHABLE when to retry.
func (s *Service) Release(ctx context.Context, n cluster.Node, req protocol.ReleaseRequest) (protocol.ReleaseResponse, error) {
	released, err := s.release(ctx, n, req)
	s.countRelease(ctx, err)
	return released, err
}

func (s *Service) release(ctx context.Context, n cluster.Node, req protocol.ReleaseRequest) (protocol.ReleaseResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if err := checkKeyID(req.KeyID); err != nil {
		return protocol.ReleaseResponse{}, err
	}
	if err := s.checkEnabled(ctx, n); err != nil {
		return protocol.ReleaseResponse{}, err
	}
	e, err := s.find(ctx, n, req.KeyID, req.Wrapped)
	if err != nil {
		return protocol.ReleaseResponse{}, err
	}
	secret, err := s.unwrap(ctx, n, e)
	if err != nil {
		return protocol.ReleaseResponse{}, err
	}
	defer clear(secret)
	sealed, err := protocol.SealKey(req.Recipient, protocol.ToNode, n.ID, req.KeyID, secret)
	if err != nil {
		return protocol.ReleaseResponse{}, atlas.Fail(atlas.InvalidAttribute, "recipient").Because(err)
	}
	s.Log.LogAttrs(ctx, slog.LevelInfo, "master key released", slog.String("nodeId", n.ID), slog.String("clusterId", n.ClusterID),
		slog.String("groupId", n.GroupID), slog.String("keyId", req.KeyID), slog.String("cmk", e.CMK.Name), slog.String("cmkVersion", e.CMK.Version))
	return protocol.ReleaseResponse{Sealed: sealed}, nil
}

// Rewrap wraps a node's master key under the key that the group uses now at the same provider.
// The old copy stays in the ledger until the node has acknowledged. It needs no enabled cluster:
// no key leaves in the clear, and the new copy may be what ends the trouble.
func (s *Service) Rewrap(ctx context.Context, n cluster.Node, req protocol.RewrapRequest) (protocol.RewrapResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if err := checkKeyID(req.KeyID); err != nil {
		return protocol.RewrapResponse{}, err
	}
	old, err := s.find(ctx, n, req.KeyID, req.Wrapped)
	if err != nil {
		return protocol.RewrapResponse{}, err
	}
	copies, err := ledger.OfNode(ctx, s.Table, n.ClusterID, n.ID)
	if err != nil {
		return protocol.RewrapResponse{}, err
	}
	if len(copies) >= maxCopies {
		return protocol.RewrapResponse{}, atlas.Fail(atlas.TooManyMasterKeys, n.ID, len(copies))
	}
	secret, err := s.unwrap(ctx, n, old)
	if err != nil {
		return protocol.RewrapResponse{}, err
	}
	defer clear(secret)
	e, err := s.wrap(ctx, n, req.KeyID, old.CMK.Provider, secret, old.MadeAt())
	return protocol.RewrapResponse{Wrapped: wire(e)}, err
}

// checkEnabled returns NODE_DISABLED while a node's cluster is disabled.
func (s *Service) checkEnabled(ctx context.Context, n cluster.Node) error {
	c, _, err := store.Load[cluster.Cluster](ctx, s.Table, keys.Cluster(n.ClusterID))
	if err != nil {
		return fmt.Errorf("load cluster %s: %w", n.ClusterID, err)
	}
	if c.Disabled != nil {
		return atlas.Fail(atlas.NodeDisabled, n.ID, c.Disabled.Reason)
	}
	return nil
}

// find reads the ledger's entry of the very copy that a node shows.
func (s *Service) find(ctx context.Context, n cluster.Node, keyID string, w protocol.WrappedKey) (ledger.Entry, error) {
	e, err := ledger.Find(ctx, s.Table, n.ClusterID, n.ID, keyID, cmkOf(w))
	if errors.Is(err, ledger.ErrNoEntry) || err == nil && subtle.ConstantTimeCompare(e.Blob, w.Blob) != 1 {
		return ledger.Entry{}, atlas.Fail(atlas.MasterKeyNotFound, n.ID, keyID)
	}
	return e, err
}

// unwrap opens a copy with the key that the ledger names; what the node says of it counts for
// nothing. The caller clears what it returns.
func (s *Service) unwrap(ctx context.Context, n cluster.Node, e ledger.Entry) (secret []byte, err error) {
	err = confirmed(ctx, func(ctx context.Context, fresh bool) error {
		key, err := s.Keys.KeyOf(ctx, e.GroupID, e.CMK, fresh)
		if err != nil {
			return err
		}
		secret, err = key.Decrypt(ctx, kms.Sealed{Blob: e.Blob, Version: e.CMK.Version}, e.Binding())
		return err
	})
	if err == nil && len(secret) != protocol.MasterKeySize {
		clear(secret)
		err = verdict.Failed(verdict.KeyMismatch, "it opens to %d bytes", len(secret))
	}
	if err != nil {
		return nil, s.failure(ctx, n, e.KeyID, err)
	}
	return secret, nil
}

// wrap wraps a master key, which was made at a time, under a provider's current key and enters the copy
// into the ledger.
func (s *Service) wrap(
	ctx context.Context, n cluster.Node, keyID string, p atlas.Provider, secret []byte, made time.Time,
) (ledger.Entry, error) {
	e := ledger.Entry{
		GroupID: n.GroupID, ClusterID: n.ClusterID, NodeID: n.ID, KeyID: keyID, Wrapped: s.Now().UTC(), Made: made.UTC(),
	}
	err := confirmed(ctx, func(ctx context.Context, fresh bool) error {
		key, cmk, err := s.Keys.KeyFor(ctx, n.GroupID, p, fresh)
		if err != nil {
			return err
		}
		sealed, err := key.Encrypt(ctx, secret, e.Binding())
		e.CMK, e.Blob = cmk.At(sealed.Version), sealed.Blob
		return err
	})
	if err != nil {
		return ledger.Entry{}, s.failure(ctx, n, keyID, err)
	}
	return s.enter(ctx, n, e)
}

// enter puts a copy into the ledger while its node exists. A copy that is there already, under
// the same version of the same key, is as good and is returned instead. From then on the group is
// found when its master keys come of age.
func (s *Service) enter(ctx context.Context, n cluster.Node, e ledger.Entry) (ledger.Entry, error) {
	put, err := e.Put()
	if err != nil {
		return ledger.Entry{}, err
	}
	err = s.change(ctx, n, func(n cluster.Node) error {
		there, err := ledger.Find(ctx, s.Table, n.ClusterID, n.ID, e.KeyID, e.CMK)
		if err == nil {
			e = there
			return nil
		}
		if !errors.Is(err, ledger.ErrNoEntry) {
			return err
		}
		watch, err := masterkey.Watch(ctx, s.Table, n.GroupID, s.Now())
		if err != nil {
			return err
		}
		return s.Table.Write(ctx, append(watch, put, store.Check(keys.Node(n.ClusterID, n.ID), n.Version()))...)
	})
	if err != nil {
		return ledger.Entry{}, err
	}
	return e, nil
}

// latest is the newest copy of a master key under any key of a provider.
func latest(copies []ledger.Entry, keyID string, p atlas.Provider) (found ledger.Entry, ok bool) {
	for _, e := range copies {
		if e.KeyID == keyID && e.CMK.Provider == p && (!ok || e.Wrapped.After(found.Wrapped)) {
			found, ok = e, true
		}
	}
	return found, ok
}

func wire(e ledger.Entry) protocol.WrappedKey {
	return protocol.WrappedKey{Blob: e.Blob, Provider: string(e.CMK.Provider), CMK: e.CMK.Name, Version: e.CMK.Version}
}

// confirmed uses a key with cached credentials, and once more with fresh ones if those say that
// the customer took it away: nodes are not kept from starting by a session of yesterday.
func confirmed(ctx context.Context, use func(ctx context.Context, fresh bool) error) error {
	within := func(fresh bool) error {
		ctx, cancel := context.WithTimeout(ctx, kmsTimeout)
		defer cancel()
		return use(ctx, fresh)
	}
	err := within(false)
	if f, ok := errors.AsType[*verdict.Failure](err); ok && f.Class() == verdict.Invalid {
		return within(true)
	}
	return err
}

// failure is what an agent is told of a failed use of a tenant's key. An error that is not the
// provider's stays as it is.
func (s *Service) failure(ctx context.Context, n cluster.Node, keyID string, err error) error {
	f, ok := errors.AsType[*verdict.Failure](err)
	if !ok {
		return err
	}
	s.Log.LogAttrs(ctx, slog.LevelWarn, "customer key not usable", slog.String("nodeId", n.ID), slog.String("groupId", n.GroupID),
		slog.String("keyId", keyID), slog.String("class", string(f.Class())), slog.String("reason", string(f.Reason)),
		slog.String("providerCode", f.ProviderCode), slog.String("providerRequestId", f.RequestID))
	switch f.Class() {
	case verdict.Invalid:
		return atlas.Fail(atlas.NodeDisabled, n.ID, f.Reason).Because(err)
	case verdict.Unreachable, verdict.Throttled:
		e := atlas.Fail(atlas.NodeKMSUnreachable).Because(err)
		e.RetryAfter = retryAfter
		return e
	case verdict.Valid, verdict.Inconclusive:
	}
	if f.Reason == verdict.KeyMismatch {
		return atlas.Fail(atlas.WrappedKeyInvalid, keyID).Because(err)
	}
	return fmt.Errorf("use the key of group %s: %w", n.GroupID, err)
}
