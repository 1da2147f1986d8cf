package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"latchkey/shared/atlas"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

// usage is the record of the clusters that a provider's key encrypts. It is written by whoever
// begins or ends to rely on the key, and by whoever disables the provider; so of a cluster that
// begins to rely on a key and a request that disables it, only one succeeds. Each reads this
// record before anything else that it decides on. The settings' own item would not do: every
// verdict on a key changes it.
//
// The record is never deleted, since an item that comes back counts its versions anew.
type usage struct {
	Clusters map[string]string `json:"clusters"` // names by id

	key     store.Key
	version int64
}

func loadUsage(ctx context.Context, table store.Table, groupID string, p atlas.Provider) (usage, error) {
	key := keys.EncryptionUse(groupID, string(p))
	u, version, err := store.Load[usage](ctx, table, key)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return usage{}, fmt.Errorf("load uses of the %s key of %s: %w", p, groupID, err)
	}
	if u.Clusters == nil {
		u.Clusters = map[string]string{}
	}
	u.key, u.version = key, version
	return u, nil
}

func (u usage) put() (store.Op, error) {
	item, err := store.Encode(u.key, u.version, u)
	return store.Put(item), err
}

// UsedBy lists the names of the clusters that a provider's key encrypts, or will or did until
// the work in progress on them ends. unchanged belongs in the transaction that disables the
// provider, and UsedBy must be called before the settings are read: the transaction then
// conflicts with every cluster that begins to rely on the key meanwhile.
func UsedBy(ctx context.Context, table store.Table, groupID string, p atlas.Provider) (clusterNames []string, unchanged store.Op, err error) {
	u, err := loadUsage(ctx, table, groupID, p)
	if err != nil {
		return nil, store.Op{}, err
	}
	unchanged, err = u.put()
	return slices.Sorted(maps.Values(u.Clusters)), unchanged, err
}

// IDsUsing lists the ids of the clusters that UsedBy names, sorted.
func IDsUsing(ctx context.Context, table store.Table, groupID string, p atlas.Provider) ([]string, error) {
	u, err := loadUsage(ctx, table, groupID, p)
	return slices.Sorted(maps.Keys(u.Clusters)), err
}

// claims are the operations that make the records of use right for a cluster that changes from
// before to after.
func (s *Service) claims(ctx context.Context, before, after Cluster) ([]store.Op, error) {
	var ops []store.Op
	for _, p := range atlas.Providers() {
		if before.Uses(p) == after.Uses(p) {
			continue
		}
		u, err := loadUsage(ctx, s.Table, after.GroupID, p)
		if err != nil {
			return nil, err
		}
		if after.Uses(p) {
			u.Clusters[after.ID] = after.Name
		} else {
			delete(u.Clusters, after.ID)
		}
		op, err := u.put()
		if err != nil {
			return nil, err
		}
		ops = append(ops, op)
	}
	return ops, nil
}
