package ledger

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

// Clusters lists the ids of a group's clusters that may have entries, sorted: those that exist, those
// that are gone and of which snapshots are kept, and those of what still needs some customer keys,
// which are also there while a cluster goes.
func Clusters(ctx context.Context, t store.Table, groupID string, cmks ...CMK) ([]string, error) {
	ids := map[string]bool{}
	for _, prefix := range []string{keys.ClusterNamePrefix, keys.RetainedBackupsPrefix} {
		items, err := store.All(ctx, t, store.Query{PK: keys.Group(groupID).PK, Prefix: prefix})
		if err != nil {
			return nil, fmt.Errorf("list clusters of %s: %w", groupID, err)
		}
		for _, item := range items {
			pointer, err := store.Decode[struct {
				ClusterID string `json:"clusterId"`
			}](item)
			if err != nil {
				return nil, err
			}
			ids[pointer.ClusterID] = true
		}
	}
	for _, cmk := range cmks {
		entries, err := NeededBy(ctx, t, groupID, cmk.Provider, cmk.Name)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			ids[e.ClusterID] = true
		}
	}
	return slices.Sorted(maps.Keys(ids)), nil
}

// After reads at most limit entries of the given clusters, which are sorted, behind a cursor; the
// empty cursor is before all. next is the cursor behind them, and more tells whether there are others.
// Entries that are made or struck out meanwhile neither repeat nor hide others.
func After(ctx context.Context, t store.Table, clusters []string, cursor string, limit int) (entries []Entry, next string, more bool, err error) {
	at, sk, _ := strings.Cut(cursor, "/")
	next = cursor
	for _, id := range clusters {
		if id < at {
			continue
		}
		from := ""
		if id == at && sk != "" {
			from = sk + "\x00"
		}
		found, err := ofClusterFrom(ctx, t, id, from, limit-len(entries))
		if err != nil {
			return nil, "", false, err
		}
		if entries = append(entries, found...); len(found) > 0 {
			next = id + "/" + found[len(found)-1].Key().SK
		}
		if len(entries) == limit {
			return entries, next, true, nil
		}
	}
	return entries, next, false, nil
}

// ofClusterFrom reads at most limit entries of a cluster, from a sort key on.
func ofClusterFrom(ctx context.Context, t store.Table, clusterID, from string, limit int) ([]Entry, error) {
	var entries []Entry
	q := store.Query{PK: keys.Cluster(clusterID).PK, Prefix: keys.WrappedKeysPrefix, From: from, Limit: limit}
	for {
		page, err := t.Query(ctx, q)
		if err != nil {
			return nil, fmt.Errorf("read ledger of cluster %s: %w", clusterID, err)
		}
		for _, item := range page.Items {
			e, err := store.Decode[Entry](item)
			if err != nil {
				return nil, err
			}
			e.version = item.Version
			entries = append(entries, e)
		}
		if len(entries) >= limit || page.Next == "" {
			return entries[:min(len(entries), limit)], nil
		}
		q.After = page.Next
	}
}
