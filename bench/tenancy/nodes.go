package tenancy

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"

	"latchkey/bench/clouds"
	"latchkey/shared/atlas"
	"latchkey/shared/cluster"
	"latchkey/shared/ledger"
	"latchkey/shared/node/protocol"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

// masterKeyID is the id of every node's master key.
const masterKeyID = "master-key-1"

// Node is a node of an estate's that runs, and its agent.
type Node struct {
	protocol.Identity

	KeyID   string
	Wrapped protocol.WrappedKey
	key     ed25519.PrivateKey
}

// Token is the agent's, for one request.
func (n Node) Token(e Estate) (string, error) { return protocol.SignToken(n.key, n.Identity, e.Now()) }

// FillNodes stores n nodes, each in a cluster and a group of its own, which Fill has stored.
func (e Estate) FillNodes(ctx context.Context, n int) ([]Node, error) {
	var nodes []Node
	var ops []store.Op
	for group := range n {
		node, puts, err := e.node(group)
		if err != nil {
			return nil, err
		}
		nodes, ops = append(nodes, node), append(ops, puts...)
	}
	return nodes, e.write(ctx, ops)
}

func (e Estate) node(group int) (Node, []store.Op, error) {
	entry := e.entry(group)
	seed := sha256.Sum256([]byte(entry.NodeID))
	n := Node{
		Identity: protocol.Identity{NodeID: entry.NodeID, ClusterID: entry.ClusterID}, KeyID: entry.KeyID, key: ed25519.NewKeyFromSeed(seed[:]),
		Wrapped: protocol.WrappedKey{Blob: entry.Blob, Provider: string(atlas.AWS), CMK: entry.CMK.Name, Version: entry.CMK.Version},
	}
	public, _ := n.key.Public().(ed25519.PublicKey) // what it always is
	running := cluster.Node{ID: entry.NodeID, ClusterID: entry.ClusterID, GroupID: entry.GroupID, PublicKey: public}
	node, err := running.Told(cluster.Order{Command: cluster.StartCommand, State: cluster.Run, Provider: atlas.AWS}).Put()
	if err != nil {
		return n, nil, err
	}
	copied, err := entry.Put()
	if err != nil {
		return n, nil, err
	}
	record, err := store.Encode(keys.Cluster(entry.ClusterID), 0, cluster.Cluster{ID: entry.ClusterID, GroupID: entry.GroupID, OrgID: e.orgID(group), Name: "c1"})
	return n, []store.Op{store.Put(record), node, copied}, err
}

// entry is the wrapped copy of a node's master key.
func (e Estate) entry(group int) ledger.Entry {
	arn := e.keyARN(group, 1)
	entry := ledger.Entry{
		GroupID: e.GroupID(group), ClusterID: fmt.Sprintf("68%022x", group), NodeID: fmt.Sprintf("69%022x", group), KeyID: masterKeyID,
		CMK: ledger.CMK{Provider: atlas.AWS, Name: arn, Version: arn}, Wrapped: clouds.AWSCreated(),
	}
	secret := sha256.Sum256([]byte("the master key of " + entry.NodeID))
	binding := entry.Binding()
	entry.Blob = clouds.SealAWS(arn, map[string]string{"latchkey:group": binding.GroupID, "latchkey:use": binding.Use}, secret[:])
	return entry
}

// Unwrap takes the copies away that other keys than the first have wrapped, as if no node had asked for them.
func (e Estate) Unwrap(ctx context.Context, nodes []Node) error {
	var ops []store.Op
	for _, n := range nodes {
		copies, err := ledger.OfNode(ctx, e.Table, n.ClusterID, n.NodeID)
		if err != nil {
			return err
		}
		for _, c := range copies {
			if c.CMK.Name != n.Wrapped.CMK {
				ops = append(ops, c.Delete())
			}
		}
	}
	return e.write(ctx, ops)
}
