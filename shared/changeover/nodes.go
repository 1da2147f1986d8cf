package changeover

import (
	"context"
	"errors"
	"slices"
	"time"

	"latchkey/shared/cluster"
	"latchkey/shared/encryption"
	"latchkey/shared/ledger"
	"latchkey/shared/verdict"
)

// silence is after which a node counts as down: it is heard of every minute, and that is stored every
// 15 at least.
const silence = 20 * time.Minute

// startTime is how long the nodes of a key that moved are waited for. Starting may replay a journal.
const startTime = 45 * time.Minute

// maxListed bounds the lists of nodes.
const maxListed = 50

// rewrap has the master keys of all nodes wrapped by the new key, one node after the other. Next is ""
// once all are. Nothing that runs is touched by that: the master keys stay the same.
//
// A node that is down is told all the same, so that it is done first thing when it returns, and holds
// nobody up. The records of the ledger tell who is done, and no acknowledgement: whatever other orders
// came between, a node whose key is wrapped as it should is done.
func (v *visit) rewrap(ctx context.Context) (Progress, error) {
	clusters, err := cluster.IDsUsing(ctx, v.Table, v.change.GroupID, v.change.Provider)
	if err != nil {
		return Progress{}, err
	}
	var behind []cluster.Node
	isUsed := false
	for _, id := range clusters {
		d, err := v.Nodes.Load(ctx, id)
		if err != nil {
			return Progress{}, err
		}
		for _, n := range d.Nodes {
			isBehind, has, err := v.isBehind(ctx, n)
			if err != nil {
				return Progress{}, err
			}
			if isUsed = isUsed || has; isBehind {
				behind = append(behind, n)
			}
		}
	}
	if reason := v.hopeless(); len(behind) > 0 && !isUsed && reason != "" {
		return v.rolledBack(ctx, reason)
	}
	next := v.change
	next.NodesLeft = len(behind)
	if err := v.note(ctx, next); err != nil {
		return Progress{}, err
	}
	if len(behind) == 0 && v.Now().Sub(v.change.Began) <= encryption.CommitTime {
		return Progress{Next: Waits}, nil // who has read the former settings may be about to enter a key
	}
	if len(behind) == 0 {
		return Progress{}, nil
	}
	return v.order(ctx, behind)
}

// order tells the next node to have its key wrapped, once the one before is done, and every node that
// is down. One that can't do it comes last, so that it holds nobody up.
func (v *visit) order(ctx context.Context, behind []cluster.Node) (Progress, error) {
	slices.SortStableFunc(behind, func(a, b cluster.Node) int { return rank(a) - rank(b) })
	waiting := Progress{Next: Waits}
	isBusy := slices.ContainsFunc(behind, func(n cluster.Node) bool {
		return n.Desired.Command == cluster.RewrapCommand && !n.Acked() && !v.isSilent(n)
	})
	for _, n := range behind {
		waiting.Nodes = append(waiting.Nodes, n.ID)
		if v.isSilent(n) {
			waiting.Silent = append(waiting.Silent, n.ID)
		} else if isBusy {
			continue
		}
		ordered, err := v.Nodes.OrderRewrap(ctx, n.ClusterID, n.ID)
		if err != nil && !errors.Is(err, cluster.ErrNoNode) { // gone meanwhile
			return Progress{}, err
		}
		isBusy = isBusy || ordered && !v.isSilent(n)
	}
	waiting.Nodes = waiting.Nodes[:min(len(waiting.Nodes), maxListed)]
	waiting.Silent = waiting.Silent[:min(len(waiting.Silent), maxListed)]
	return waiting, nil
}

func rank(n cluster.Node) int {
	if n.Failed() {
		return 1
	}
	return 0
}

// isSilent reports whether a node counts as down.
func (v *visit) isSilent(n cluster.Node) bool { return isSilent(n, v.Now()) }

func isSilent(n cluster.Node, now time.Time) bool { return now.Sub(n.Reported.LastSeen) > silence }

// isDown reports whether a node that should run doesn't.
func isDown(n cluster.Node) bool {
	return !n.Leaving() && n.Desired.State == cluster.Run && !n.Running()
}

// hopeless is why the new key should not be rotated to, "" if nothing is known against it: as long as it
// has wrapped nothing, the former key can stay.
func (v *visit) hopeless() verdict.Reason {
	if !v.settings.LeadsToAnotherKey(v.change.Provider) {
		return "" // the rotation was called off: this is the former key
	}
	last := v.settings.Key(v.change.Provider).Verdict
	switch last.Class() {
	case verdict.Invalid:
		return last.Reason
	case verdict.Unreachable, verdict.Throttled:
		if v.Now().Sub(last.Since) >= Patience {
			return last.Reason
		}
	case verdict.Valid, verdict.Inconclusive:
	}
	return ""
}

// isBehind reports whether a node's master key has yet to be wrapped by the new key, and whether the
// node has any that is. A key that the node does not use, while it has the one that it does, may be the
// remains of a crash: what needs it is listed, and it goes with the next rotation of master keys.
func (v *visit) isBehind(ctx context.Context, n cluster.Node) (behind, has bool, err error) {
	if n.Leaving() {
		return false, false, nil
	}
	entries, err := ledger.OfNode(ctx, v.Table, n.ClusterID, n.ID)
	if err != nil {
		return false, false, err
	}
	return isBehind(v.settings, v.change, n, entries)
}

// isBehind is the decision of visit.isBehind, given the copies of the node's own master keys. It is pure.
func isBehind(settings encryption.Settings, c encryption.Changeover, n cluster.Node, entries []ledger.Entry) (behind, has bool, err error) {
	// A node tells which key it uses a moment after it has acknowledged that it has another one.
	isKnown := slices.ContainsFunc(entries, func(e ledger.Entry) bool { return e.KeyID == n.Reported.KeyID })
	for _, e := range entries {
		if e.CMK.Provider != c.Provider {
			continue
		}
		isNew, err := settings.Wraps(e, c.Began)
		if err != nil {
			return false, false, err
		}
		has = has || isNew
		behind = behind || !isNew && (!isKnown || n.Reported.KeyID == e.KeyID)
	}
	return behind, has, nil
}

// awaitRunning waits for the nodes that were unavailable while their key was. They ask for it by
// themselves, again and again. Next is "" once all run, or time is up.
func (v *visit) awaitRunning(ctx context.Context) (Progress, error) {
	clusters, err := cluster.IDsUsing(ctx, v.Table, v.change.GroupID, v.change.Provider)
	if err != nil {
		return Progress{}, err
	}
	var down []string
	for _, id := range clusters {
		d, err := v.Nodes.Load(ctx, id)
		if err != nil {
			return Progress{}, err
		}
		for _, n := range d.Nodes {
			if isDown(n) {
				down = append(down, n.ID)
			}
		}
	}
	slices.Sort(down)
	next := v.change
	next.NodesLeft = len(down)
	if err := v.note(ctx, next); err != nil || len(down) == 0 || v.Now().Sub(v.change.Began) >= startTime {
		return Progress{}, err
	}
	return Progress{Next: Waits, Nodes: down[:min(len(down), maxListed)]}, nil
}
