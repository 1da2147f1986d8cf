package cluster

import "context"

// OrderRewrap tells a node to have its master key wrapped by the key that its group uses now. Only a
// node that has done everything else is told, so that nothing that it was told before is lost. It
// reports whether the node was told; one that was and has not answered is not told again.
func (s *Service) OrderRewrap(ctx context.Context, clusterID, nodeID string) (ordered bool, err error) {
	_, err = s.changeNode(ctx, clusterID, nodeID, func(n Node) (Node, bool) {
		ordered = n.Acked() && !n.Leaving() && !n.mustResync()
		if !ordered {
			return n, false
		}
		return n.Told(Order{Command: RewrapCommand, State: n.Desired.State, Provider: n.Desired.Provider, KeyID: n.Desired.KeyID}), true
	})
	return ordered && err == nil, err
}
