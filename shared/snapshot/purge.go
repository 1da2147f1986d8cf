package snapshot

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/cluster"
	"latchkey/shared/snapshot/due"
	"latchkey/shared/store"
)

const (
	// purgePatience is how long a node may take to remove files before another one is told to.
	purgePatience = time.Hour
	// maxTries is how many nodes try to remove the files of a part. After that they are the
	// operator's: the store is not where nodes look for it.
	maxTries = 5
	// orphanPatience is how long files wait for a node that could remove them, of whichever cluster
	// of the group, before they are the operator's.
	orphanPatience = 30 * 24 * time.Hour
	// orphanPoll is how soon such a node is looked for again where the cluster has none itself.
	orphanPoll = time.Hour
)

// purge has nodes remove the files of snapshots that are removed. Nodes do it because they alone
// reach the store, and they are told to, by name, because the alternative (removing what the
// control plane does not list) would remove everything that a table restored from a backup has
// forgotten.
func (v *visit) purge(ctx context.Context) error {
	for i, x := range v.snapshots {
		if x.Removed.IsZero() || len(x.Parts) == 0 {
			continue
		}
		if err := v.purgeParts(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

func (v *visit) purgeParts(ctx context.Context, i int) error {
	for k := range v.snapshots[i].Parts {
		x := v.snapshots[i]
		p := x.Parts[k]
		if p.Tries >= maxTries {
			return v.abandon(ctx, x, k)
		}
		if p.Purger.NodeID != "" && v.now.Sub(p.Purger.Since) < purgePatience {
			v.by(v.now.Add(poll))
			if err := v.tellPurger(ctx, x, p); err != nil {
				return err
			}
			continue
		}
		n, ok, err := v.purger(ctx, p.Purger.NodeID)
		switch {
		case err != nil:
			return err
		case !ok && v.now.Sub(x.Removed) > orphanPatience:
			return v.abandon(ctx, x, k)
		case !ok && len(v.d.Nodes) == 0:
			v.by(v.now.Add(orphanPoll))
			return nil
		}
		v.by(v.now.Add(poll))
		if !ok {
			return nil
		}
		x = x.with(k, func(p *Part) {
			if p.Purger.NodeID != "" {
				p.Tries++
			}
			p.Purger = Purger{ClusterID: n.ClusterID, NodeID: n.ID, Since: v.now}
		})
		if err := v.put(ctx, i, x, ""); err != nil {
			return err
		}
		if err := v.tellPurger(ctx, x, x.Parts[k]); err != nil {
			return err
		}
	}
	return nil
}

// tellPurger tells the node that was chosen, unless it knows or has something else to do.
func (v *visit) tellPurger(ctx context.Context, x Snapshot, p Part) error {
	d := v.d
	if p.Purger.ClusterID != d.ID {
		var err error
		if d, err = v.Clusters.Load(ctx, p.Purger.ClusterID); err != nil {
			return err
		}
		// Its own visits end the command if it fails.
		wake, err := due.Wake(ctx, v.Table, d.ID, v.now.Add(poll))
		if err != nil {
			return err
		}
		if err := v.Table.Write(ctx, wake); err != nil {
			return err
		}
	}
	i := slices.IndexFunc(d.Nodes, func(n cluster.Node) bool { return n.ID == p.Purger.NodeID })
	o := cluster.Order{
		ID: "purge-" + p.ID, Command: cluster.PurgeCommand, Backup: cluster.Backup{ClusterID: x.ClusterID, SnapshotID: x.ID, PartID: p.ID},
	}
	if i < 0 || d.Nodes[i].Desired.Order == o.ID || !d.Nodes[i].Settled() {
		return nil
	}
	return v.tell(ctx, d.Nodes[i], o)
}

// purger is a node that has nothing else to do: of the cluster, or, when it has no nodes, of
// another one of the group. ok is false while there is none. The one that was tried last is not
// chosen again if there is another.
func (v *visit) purger(ctx context.Context, last string) (n cluster.Node, ok bool, err error) {
	if n, ok := idle(v.d, last, v.taken()); ok || len(v.d.Nodes) > 0 {
		return n, ok, nil
	}
	names, err := v.Clusters.Names(ctx, v.d.GroupID)
	if err != nil {
		return cluster.Node{}, false, err
	}
	for _, name := range names {
		d, err := v.Clusters.Get(ctx, v.d.GroupID, name)
		if atlas.CodeOf(err) == atlas.ClusterNotFound {
			continue
		}
		if err != nil {
			return cluster.Node{}, false, err
		}
		if n, ok := idle(d, last, v.taken()); ok {
			return n, true, nil
		}
	}
	return cluster.Node{}, false, nil
}

// taken are the nodes that were chosen already.
func (v *visit) taken() map[string]bool {
	ids := map[string]bool{}
	for _, x := range v.snapshots {
		for _, p := range x.Parts {
			if p.Purger.NodeID != "" && v.now.Sub(p.Purger.Since) < purgePatience {
				ids[p.Purger.NodeID] = true
			}
		}
	}
	return ids
}

// idle is a node without anything to do.
func idle(d cluster.Deployment, last string, taken map[string]bool) (found cluster.Node, ok bool) {
	for _, n := range d.Nodes {
		if n.Leaving() || !n.Settled() || n.PublicKey == nil || taken[n.ID] {
			continue
		}
		if !ok || found.ID == last {
			found, ok = n, true
		}
	}
	return found, ok
}

// abandon gives up the files of a part.
func (v *visit) abandon(ctx context.Context, x Snapshot, k int) error {
	v.Log.LogAttrs(ctx, slog.LevelError, "files of a snapshot are not removed; remove them by hand", slog.String("snapshotId", x.ID),
		slog.String("partId", x.Parts[k].ID), slog.String("clusterId", x.ClusterID), slog.String("groupId", x.GroupID))
	ops, err := x.without(k)
	if err != nil {
		return err
	}
	if err := v.Table.Write(ctx, ops...); err != nil {
		return err
	}
	return store.ErrConflict // what was read is no longer so: look again
}
