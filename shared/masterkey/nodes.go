package masterkey

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/cluster"
	"latchkey/shared/ledger"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
	"latchkey/shared/verdict"
)

const (
	// silence is after which a node counts as down: it is heard of every minute, and that is stored
	// every 15 at least.
	silence = 20 * time.Minute
	// patience is how long a shard waits for a node that is down or at work before the next one is told
	// all the same. A database serves while its master key is replaced, so that costs no majority.
	patience = time.Hour
	// endurance is how long a rotation waits for nodes that are there and can't do it now. After that it
	// ends, and they are caught up with.
	endurance = day
)

// Standing is where a node is in its group's rotation.
type Standing string

// The standings.
const (
	Current Standing = "CURRENT" // its key was made since the rotation began
	Ready   Standing = "READY"   // can be told
	Told    Standing = "TOLD"    // is at it
	Held    Standing = "HELD"    // is there, and can't be told now: it does something else, or the customer key is out of use
	Absent  Standing = "AWAY"    // is stopped or not heard of
	Refused Standing = "FAILED"  // its database can't replace its key
)

// subject is a node with a master key.
type subject struct {
	cluster.Node

	of       cluster.Deployment
	made     time.Time // of the master key in use
	standing Standing
}

func (n subject) isBehind() bool { return n.standing != Current }

// survey looks at all nodes of a group that have a master key.
func (s *Service) survey(ctx context.Context, r Rotation) ([]subject, error) {
	usable, err := s.usable(ctx, r.GroupID)
	if err != nil {
		return nil, err
	}
	clusters, err := s.clusters(ctx, r.GroupID)
	if err != nil {
		return nil, err
	}
	var all []subject
	for _, id := range clusters {
		d, err := s.Nodes.Load(ctx, id)
		if err != nil {
			return nil, err
		}
		isRestoring, err := s.isRestoring(ctx, id)
		if err != nil {
			return nil, err
		}
		for _, n := range d.Nodes {
			if n.Leaving() {
				continue
			}
			made, p, err := s.age(ctx, n)
			if err != nil {
				return nil, err
			}
			if made.IsZero() {
				continue
			}
			of := subject{Node: n, of: d, made: made}
			of.standing = r.standing(of, isRestoring || !usable[p], s.Now())
			all = append(all, of)
		}
	}
	return all, nil
}

// clusters lists the clusters of a group that use any key.
func (s *Service) clusters(ctx context.Context, groupID string) ([]string, error) {
	ids := map[string]bool{}
	for _, p := range atlas.Providers() {
		using, err := cluster.IDsUsing(ctx, s.Table, groupID, p)
		if err != nil {
			return nil, err
		}
		for _, id := range using {
			ids[id] = true
		}
	}
	return slices.Sorted(maps.Keys(ids)), nil
}

// usable tells at which providers the customer's key can be used for all that is known. Without it no new
// master key could be wrapped, and the node that was told would hold up its shard.
func (s *Service) usable(ctx context.Context, groupID string) (map[atlas.Provider]bool, error) {
	settings, err := s.Settings.Load(ctx, groupID)
	if err != nil {
		return nil, err
	}
	usable := map[atlas.Provider]bool{}
	for _, p := range atlas.Providers() {
		key := settings.Key(p)
		if key == nil {
			continue
		}
		switch key.Verdict.Class() {
		case verdict.Valid, verdict.Inconclusive: // what is our own fault says nothing
			usable[p] = true
		case verdict.Invalid, verdict.Unreachable, verdict.Throttled:
		}
	}
	return usable, nil
}

func (s *Service) isRestoring(ctx context.Context, clusterID string) (bool, error) {
	_, err := s.Table.Get(ctx, keys.Restoring(clusterID))
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// age is when the master key that a node uses was made, and whose key wraps it. As long as the node has
// not said which it uses, or in the middle of a rotation, that is the oldest. It is zero for a node
// without any.
func (s *Service) age(ctx context.Context, n cluster.Node) (made time.Time, p atlas.Provider, err error) {
	entries, err := ledger.OfNode(ctx, s.Table, n.ClusterID, n.ID)
	if err != nil {
		return time.Time{}, "", err
	}
	if i := slices.IndexFunc(entries, func(e ledger.Entry) bool { return e.KeyID == n.Reported.KeyID }); i >= 0 {
		return entries[i].MadeAt(), entries[i].CMK.Provider, nil
	}
	for _, e := range entries {
		if made.IsZero() || e.MadeAt().Before(made) {
			made, p = e.MadeAt(), e.CMK.Provider
		}
	}
	return made, p, nil
}

// standing is where a node is in the rotation. It is pure. isKept tells that a restore or a customer key
// keeps the node from being told.
func (r Rotation) standing(n subject, isKept bool, now time.Time) Standing {
	isOurs := n.Desired.Command == cluster.RotateCommand && n.Desired.Order == r.order()
	switch {
	case !n.made.Before(r.Began):
		return Current
	case isOurs && n.Failed():
		return Refused
	case n.Desired.State != cluster.Run || isSilent(n.Node, now):
		return Absent
	case isOurs && !n.Acked():
		return Told
	case isKept || isOurs || !n.Acked() || !n.Running() || n.of.Plan != nil || n.of.Disabled != nil:
		return Held // ours and acknowledged: it has yet to say which key it uses
	}
	return Ready
}

func isSilent(n cluster.Node, now time.Time) bool { return now.Sub(n.Reported.LastSeen) > silence }

// next chooses the nodes to be told: of every shard at most one, the primary last. It is pure.
func (r Rotation) next(all []subject, now time.Time) []subject {
	type shard struct{ cluster, id string }
	var chosen []subject
	done := map[shard]bool{}
	for _, n := range all {
		in := shard{n.ClusterID, n.ShardID}
		if done[in] {
			continue
		}
		done[in] = true
		if next, ok := r.nextOf(n.of, n.ShardID, all, now); ok {
			chosen = append(chosen, next)
		}
	}
	return chosen
}

func (r Rotation) nextOf(d cluster.Deployment, shardID string, all []subject, now time.Time) (next subject, ok bool) {
	if r.isBusy(d, shardID, now) {
		return subject{}, false
	}
	primary, _ := d.Primary(shardID)
	var ready []subject
	for _, n := range all {
		if n.ClusterID == d.ID && n.ShardID == shardID && n.standing == Ready && r.canSpare(d, n.Node, now) {
			ready = append(ready, n)
		}
	}
	if len(ready) == 0 {
		return subject{}, false
	}
	isPrimary := func(n subject) int {
		if n.ID == primary.ID {
			return 1
		}
		return 0
	}
	return slices.MinFunc(ready, func(a, b subject) int {
		return cmp.Or(isPrimary(a)-isPrimary(b), a.Index-b.Index, cmp.Compare(a.ID, b.ID))
	}), true
}

// isBusy reports whether a node of a shard is at work that should be waited for: one that was told, or
// that takes a snapshot, say.
func (r Rotation) isBusy(d cluster.Deployment, shardID string, now time.Time) bool {
	return slices.ContainsFunc(d.Nodes, func(n cluster.Node) bool {
		if n.ShardID != shardID || n.Leaving() || n.Acked() || isSilent(n, now) {
			return false
		}
		since, isTold := r.Told[n.ID]
		if !isTold {
			since = r.Began
		}
		return now.Sub(since) < patience
	})
}

// canSpare reports whether a majority of a shard's voters runs without a node, or has been waited for
// long enough. A shard of which none is down never has more than that.
func (r Rotation) canSpare(d cluster.Deployment, n cluster.Node, now time.Time) bool {
	voters, others, down := 0, 0, 0
	for _, m := range d.Nodes {
		switch {
		case m.ShardID != n.ShardID || m.Kind != cluster.Electable || m.Leaving():
			continue
		case !m.Running() || isSilent(m, now):
			down++
		case m.ID != n.ID:
			others++
		}
		voters++
	}
	return down == 0 || others > voters/2 || now.Sub(r.Began) >= patience
}

// tell gives a node the order and returns the record that says so, in one transaction: on the condition
// that neither of them, nor the cluster, has changed since the node was chosen, and that no restore to
// the cluster has begun.
func (s *Service) tell(ctx context.Context, r Rotation, n subject) (Rotation, error) {
	told, err := n.Node.Told(cluster.Order{
		ID: r.order(), Command: cluster.RotateCommand, State: n.Desired.State, Provider: n.Desired.Provider, KeyID: n.Desired.KeyID,
	}).Put()
	if err != nil {
		return r, err
	}
	next := r
	if next.Told = maps.Clone(r.Told); next.Told == nil {
		next.Told = map[string]time.Time{}
	}
	next.Told[n.ID] = s.Now().UTC()
	record, err := next.put()
	if err != nil {
		return r, err
	}
	err = s.Table.Write(ctx, record, told,
		store.Check(keys.Cluster(n.ClusterID), n.of.Version()), store.Check(keys.Restoring(n.ClusterID), 0))
	if err != nil {
		return r, err
	}
	next.version++
	return next, nil
}
