// Package due knows when the backups of a cluster need attention next.
//
// Its invariant: a cluster whose attention was asked for is found, by a query of the index and
// never by a scan, at that time or soon after. Whoever changes what its backups depend on adds
// Wake to the transaction of the change. Package cluster does, so this package imports nothing of it.
package due

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"time"

	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

// Slots is how many partitions of the index the clusters are spread over: backups of all clusters
// are due at full hours.
const Slots = 16

// record is when a cluster is due. The time is what the index sorts by.
type record struct {
	ClusterID string    `json:"clusterId"`
	At        time.Time `json:"at,omitzero"`
}

func slotOf(clusterID string) string {
	h := fnv.New32a()
	h.Write([]byte(clusterID))
	return slotName(int(h.Sum32() % Slots))
}

func slotName(slot int) string { return fmt.Sprintf("%02d", slot) }

// Wake is the operation that has a cluster looked at no later than at.
func Wake(ctx context.Context, t store.Table, clusterID string, at time.Time) (store.Op, error) {
	r, version, err := load(ctx, t, clusterID)
	if err != nil {
		return store.Op{}, err
	}
	if r.At.IsZero() || at.Before(r.At) {
		r.At = at.UTC()
	}
	return put(r, version)
}

// Look is what is known of a cluster that is being looked at. Done ends that.
type Look struct {
	record  record
	version int64
}

// Begin starts to look at a cluster.
func Begin(ctx context.Context, t store.Table, clusterID string) (Look, error) {
	r, version, err := load(ctx, t, clusterID)
	return Look{record: r, version: version}, err
}

// Done is the operation that has the cluster looked at again at next, and not before unless
// somebody asks; never if next is zero. It conflicts with a Wake since Begin, whose cause may not
// have been seen. ok is false if there is nothing to write.
func (l Look) Done(next time.Time) (op store.Op, ok bool, err error) {
	if next.Equal(l.record.At) {
		return store.Op{}, false, nil
	}
	l.record.At = next.UTC()
	if next.IsZero() {
		l.record.At = time.Time{}
	}
	op, err = put(l.record, l.version)
	return op, true, err
}

func load(ctx context.Context, t store.Table, clusterID string) (record, int64, error) {
	r, version, err := store.Load[record](ctx, t, keys.BackupDue(clusterID))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return record{}, 0, fmt.Errorf("load when backups of %s are due: %w", clusterID, err)
	}
	r.ClusterID = clusterID
	return r, version, nil
}

// put stores the record. It is never deleted, since an item that comes back counts its versions anew.
func put(r record, version int64) (store.Op, error) {
	item, err := store.Encode(keys.BackupDue(r.ClusterID), version, r)
	if !r.At.IsZero() {
		item.Index = keys.BackupsDue(slotOf(r.ClusterID), r.At, r.ClusterID)
	}
	return store.Put(item), err
}

// Each calls fn with every cluster that is due, the longest overdue of each slot first, until fn
// returns false.
func Each(ctx context.Context, t store.Table, now time.Time, fn func(clusterID string) bool) error {
	// Slots take turns in being the first, so that no slot starves when time runs out.
	first := int(now.Unix()/60) % Slots
	for i := range Slots {
		slot := keys.BackupsDue(slotName((first+i)%Slots), now.Add(time.Microsecond), "")
		items, err := store.All(ctx, t, store.Query{Index: true, PK: slot.PK, Prefix: keys.EventPrefix, Until: slot.SK})
		if err != nil {
			return fmt.Errorf("list clusters whose backups are due: %w", err)
		}
		for _, item := range items {
			r, err := store.Decode[record](item)
			if err != nil {
				return err
			}
			if !fn(r.ClusterID) {
				return nil
			}
		}
	}
	return nil
}
