package node

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/cluster"
	"latchkey/shared/node/protocol"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

// pointer is the record behind a token's hash.
type pointer struct {
	ClusterID string `json:"clusterId"`
	NodeID    string `json:"nodeId"`
}

// repeatFor is how long an agent may repeat its enrolment because the answer was lost.
const repeatFor = 7 * 24 * time.Hour

// IssueToken makes the one-time token with which an agent enrols, for a new node or for one
// whose agent has lost its identity. It takes the place of any token issued before; an agent
// that is enrolled stays so until another one uses the token. It returns NODE_NOT_FOUND.
func (s *Service) IssueToken(ctx context.Context, clusterID, nodeID string) (token string, expires time.Time, err error) {
	for range attempts {
		n, err := s.Nodes.Node(ctx, clusterID, nodeID)
		if errors.Is(err, cluster.ErrNoNode) {
			return "", time.Time{}, atlas.Fail(atlas.NodeNotFound, nodeID).Because(err)
		}
		if err != nil {
			return "", time.Time{}, err
		}
		token, expires, err = s.issue(ctx, n)
		if !errors.Is(err, store.ErrConflict) {
			return token, expires, err
		}
	}
	return "", time.Time{}, fmt.Errorf("issue a token for node %s: %w", nodeID, store.ErrConflict)
}

func (s *Service) issue(ctx context.Context, n cluster.Node) (string, time.Time, error) {
	token, hash := protocol.NewEnrolToken()
	raw, err := hex.DecodeString(hash)
	if err != nil {
		return "", time.Time{}, err
	}
	expires := s.Now().UTC().Add(protocol.EnrolTokenLife)
	n.Enrolment = cluster.Enrolment{TokenHash: raw, Expires: expires}
	put, err := n.Put()
	if err != nil {
		return "", time.Time{}, err
	}
	item, err := store.Encode(keys.EnrolToken(hash), 0, pointer{ClusterID: n.ClusterID, NodeID: n.ID})
	if err != nil {
		return "", time.Time{}, err
	}
	item.Expires = expires.Add(repeatFor)
	if err := s.Table.Write(ctx, put, store.Put(item)); err != nil {
		return "", time.Time{}, fmt.Errorf("issue a token for node %s: %w", n.ID, err)
	}
	return token, expires, nil
}

// Enrol registers an agent's public key under a one-time token. The same key under the same
// token gets the same answer again, also after the token expired: its agent may have been down
// since the answer was lost. Everything else is NODE_ENROLMENT_REFUSED, whatever was wrong.
func (s *Service) Enrol(ctx context.Context, req protocol.EnrolRequest) (protocol.EnrolResponse, error) {
	if len(req.PublicKey) != ed25519.PublicKeySize {
		return protocol.EnrolResponse{}, atlas.Fail(atlas.InvalidAttribute, "publicKey")
	}
	var n cluster.Node
	var err error
	for range attempts {
		n, err = s.register(ctx, req)
		if !errors.Is(err, store.ErrConflict) {
			break
		}
	}
	if err != nil {
		return protocol.EnrolResponse{}, err
	}
	sealTo, err := s.Recipients.Public(ctx)
	if err != nil {
		return protocol.EnrolResponse{}, err
	}
	return protocol.EnrolResponse{NodeID: n.ID, ClusterID: n.ClusterID, GroupID: n.GroupID, ControlPlaneKey: sealTo}, nil
}

// register writes the key into the node's record if the token is the node's latest and unused.
func (s *Service) register(ctx context.Context, req protocol.EnrolRequest) (cluster.Node, error) {
	n, err := s.nodeOf(ctx, req.Token)
	if err != nil {
		return cluster.Node{}, err
	}
	now := s.Now()
	if !n.Enrolment.UsedAt.IsZero() {
		if !bytes.Equal(n.PublicKey, req.PublicKey) {
			return cluster.Node{}, atlas.Fail(atlas.NodeEnrolmentRefused)
		}
		return n, nil
	}
	if !now.Before(n.Enrolment.Expires) {
		return cluster.Node{}, atlas.Fail(atlas.NodeEnrolmentRefused)
	}
	again := n.PublicKey != nil
	if !bytes.Equal(n.PublicKey, req.PublicKey) {
		n.Reported = cluster.Reported{} // nothing is known of a new agent
	}
	n.PublicKey, n.Enrolment.UsedAt = req.PublicKey, now.UTC()
	put, err := n.Put()
	if err != nil {
		return cluster.Node{}, err
	}
	if err := s.Table.Write(ctx, put); err != nil {
		return cluster.Node{}, fmt.Errorf("enrol node %s: %w", n.ID, err)
	}
	s.Log.LogAttrs(ctx, slog.LevelInfo, "agent enrolled", slog.String("nodeId", n.ID), slog.String("clusterId", n.ClusterID),
		slog.String("groupId", n.GroupID), slog.Bool("again", again))
	return n, nil
}

// nodeOf finds the node that a token is for, if the token is the latest that was issued for it.
func (s *Service) nodeOf(ctx context.Context, token string) (cluster.Node, error) {
	hash, ok := protocol.EnrolTokenHash(token)
	if !ok {
		return cluster.Node{}, atlas.Fail(atlas.NodeEnrolmentRefused)
	}
	p, _, err := store.Load[pointer](ctx, s.Table, keys.EnrolToken(hash))
	if errors.Is(err, store.ErrNotFound) {
		return cluster.Node{}, atlas.Fail(atlas.NodeEnrolmentRefused)
	}
	if err != nil {
		return cluster.Node{}, fmt.Errorf("find an enrolment token: %w", err)
	}
	n, err := s.Nodes.Node(ctx, p.ClusterID, p.NodeID)
	if errors.Is(err, cluster.ErrNoNode) || err == nil && !isLatest(n, hash) {
		return cluster.Node{}, atlas.Fail(atlas.NodeEnrolmentRefused)
	}
	return n, err
}

// isLatest reports whether a node's latest token has this hash.
func isLatest(n cluster.Node, hash string) bool {
	return subtle.ConstantTimeCompare([]byte(hex.EncodeToString(n.Enrolment.TokenHash)), []byte(hash)) == 1
}
