package sim

import (
	"context"
	"errors"
	"time"

	"latchkey/shared/ledger"
	"latchkey/shared/masterkey"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

// age makes all master keys of a tenant older, as they would be had the world begun earlier. It returns false without
// any, and while they are replaced.
func (t *tenant) age(ctx context.Context, by time.Duration) bool {
	table := t.world.table
	item, err := table.Get(ctx, keys.MasterKeys(t.group))
	if errors.Is(err, store.ErrNotFound) {
		return false
	}
	r, decoded := store.Decode[masterkey.Rotation](item)
	if err = errors.Join(err, decoded); r.State == masterkey.UnderWay {
		return false
	}
	clusters, listed := ledger.Clusters(ctx, table, t.group)
	err = errors.Join(err, listed)
	for _, id := range clusters {
		entries, read := ledger.OfCluster(ctx, table, id)
		err = errors.Join(err, read)
		for _, e := range entries {
			e.Made = e.MadeAt().Add(-by)
			op, encoded := e.Put()
			err = errors.Join(err, encoded, table.Write(ctx, op))
		}
	}
	r.At = time.Now().UTC()
	again, encoded := store.Encode(item.Key, item.Version, r)
	again.Index = keys.MasterKeysDue(r.At, t.group)
	if err = errors.Join(err, encoded, table.Write(ctx, store.Put(again))); err != nil {
		t.world.fail(err)
	}
	return err == nil
}

// replacing is whether the tenant's master keys are being replaced, or about to be; also if nobody says.
func (t *tenant) replacing(ctx context.Context) bool {
	var report struct {
		Rotation struct {
			State masterkey.State `json:"state"`
		} `json:"rotation"`
		Maintenance *struct {
			Start   time.Time  `json:"start"`
			BeganAt *time.Time `json:"beganAt"`
		} `json:"maintenance"`
	}
	if !t.read(ctx, "masterKeys", &report) {
		return true
	}
	m := report.Maintenance
	return report.Rotation.State == masterkey.UnderWay || report.Rotation.State == masterkey.CatchingUp ||
		m != nil && (m.BeganAt != nil || !m.Start.After(time.Now()))
}
