package sim

import (
	"context"
	"slices"
	"time"

	"latchkey/agent"
	"latchkey/agent/memengine"
	"latchkey/agent/statedir/statedirtest"
	"latchkey/local/fleet"
)

// provision gives each node that waits a machine with an agent, as an operator's provisioning does.
func (w *World) provision(ctx context.Context) {
	operator := fleet.Operator{Function: w.functions["operator"]}
	for w.sleep(ctx, 30*time.Second) && w.awaitTurn(ctx, "looks for nodes") {
		waiting, err := operator.Waiting(ctx)
		if err != nil {
			continue
		}
		for _, node := range waiting {
			if slices.ContainsFunc(w.hosts, func(h *host) bool { return h.NodeID == node.NodeID }) {
				continue
			}
			token, err := operator.IssueToken(ctx, node.ClusterID, node.NodeID)
			if err != nil {
				continue
			}
			w.secrets.add("the enrolment token of "+node.NodeID, []byte(token))
			w.settle(node, token)
		}
	}
}

func (w *World) settle(node fleet.Waiting, token string) {
	h := &host{
		Waiting: node, world: w, token: token, rng: stream(w.cfg.Seed, 1000+uint64(len(w.hosts))), disk: &statedirtest.Disk{}, data: &memengine.Disk{},
		has: map[string]string{}, overheard: map[string]overheard{},
	}
	if !w.cfg.Quiet {
		h.skew.Store(int64(h.rng.NormFloat64() * float64(20*time.Second)))
	}
	w.hosts = append(w.hosts, h)
	h.boot()
}

func (w *World) forget(h *host) {
	w.hosts = slices.DeleteFunc(w.hosts, func(other *host) bool { return other == h })
}

// members are the machines of a replica set.
func (w *World) members(clusterID string, shard int) (all []*host) {
	for _, h := range w.hosts {
		if h.ClusterID == clusterID && h.Shard == shard && !h.gone {
			all = append(all, h)
		}
	}
	return all
}

// populated is whether another member has data that a new one would have to copy.
func (w *World) populated(clusterID string, shard int, but *host) bool {
	return slices.ContainsFunc(w.members(clusterID, shard), func(h *host) bool { return h != but && len(h.has) > 0 })
}

func (h *host) runs() bool { return !h.gone && h.engine.Status().Phase == agent.Running }
