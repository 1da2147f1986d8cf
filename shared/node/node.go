// Package node is what the agents of nodes ask of the control plane: who a node is, what it
// should be doing, and its master keys, which the tenant's key wraps and releases.
//
// Its invariants: no wrapped key leaves before it is in the ledger, and none is struck out while
// a node may still hold it alone; a master key is released to the node that made it, sealed to
// it, and never while its cluster is disabled. Master keys are in memory only between two lines
// of a function that clears them.
package node

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/cluster"
	"latchkey/shared/kms"
	"latchkey/shared/ledger"
	"latchkey/shared/node/protocol"
	"latchkey/shared/store"
)

// Nodes keeps the nodes' records; cluster.Service is the one in use. Both return
// cluster.ErrNoNode for a node that does not exist, Node together with the record of one that is
// gone.
type Nodes interface {
	Node(ctx context.Context, clusterID, nodeID string) (cluster.Node, error)
	ReportNode(ctx context.Context, clusterID, nodeID string, r cluster.Reported) (cluster.Node, error)
}

// Keys opens tenants' keys; encryption.Service is the one in use. Errors of a provider are
// *verdict.Failure. With fresh, nobody has used the credentials yet.
type Keys interface {
	// KeyFor opens the key that a group uses now. The name lacks the version that wraps.
	KeyFor(ctx context.Context, groupID string, p atlas.Provider, fresh bool) (*kms.Key, ledger.CMK, error)
	// KeyOf opens a key that the ledger names.
	KeyOf(ctx context.Context, groupID string, cmk ledger.CMK, fresh bool) (*kms.Key, error)
}

// Service performs the use cases. All fields are required.
type Service struct {
	Table      store.Table
	Nodes      Nodes
	Keys       Keys
	Recipients *Recipients
	Now        func() time.Time
	Log        *slog.Logger
}

// ErrGone is the cause of NODE_NOT_FOUND for a node that has destroyed itself, as it was told.
var ErrGone = errors.New("node: the node has destroyed itself")

// Authenticate finds the node that a bearer token speaks for: one read. It returns
// NODE_TOKEN_REFUSED, with the time, for everything that is no valid token.
func (s *Service) Authenticate(ctx context.Context, bearer string) (cluster.Node, error) {
	var n cluster.Node
	gone := false
	_, err := protocol.VerifyToken(bearer, s.Now(), func(who protocol.Identity) (key ed25519.PublicKey, err error) {
		if !atlas.ValidID(who.NodeID) || !atlas.ValidID(who.ClusterID) {
			return nil, protocol.ErrToken
		}
		n, err = s.Nodes.Node(ctx, who.ClusterID, who.NodeID)
		if gone = errors.Is(err, cluster.ErrNoNode); gone {
			err = nil // it has no key, unless it is remembered
		}
		return n.PublicKey, err
	})
	switch {
	case errors.Is(err, protocol.ErrToken):
		return cluster.Node{}, protocol.Refuse(s.Now())
	case err != nil:
		return cluster.Node{}, fmt.Errorf("authenticate an agent: %w", err)
	case gone:
		return cluster.Node{}, atlas.Fail(atlas.NodeNotFound, n.ID).Because(ErrGone)
	}
	return n, nil
}

// attempts bounds how often a change is made again because something else changed the node at
// the same time.
const attempts = 5

// change reads the node again and again until write has written on the condition that nobody
// else did. What write gets first is n itself. A node that another agent took over meanwhile is
// refused to the old one.
func (s *Service) change(ctx context.Context, n cluster.Node, write func(cluster.Node) error) error {
	owner := n.PublicKey
	var err error
	for range attempts {
		if err = write(n); !errors.Is(err, store.ErrConflict) {
			return err
		}
		n, err = s.Nodes.Node(ctx, n.ClusterID, n.ID)
		if errors.Is(err, cluster.ErrNoNode) || err == nil && !ed25519.PublicKey(owner).Equal(ed25519.PublicKey(n.PublicKey)) {
			return protocol.Refuse(s.Now())
		}
		if err != nil {
			return err
		}
	}
	return fmt.Errorf("change node %s: %w", n.ID, store.ErrConflict)
}
