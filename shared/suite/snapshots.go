package suite

import (
	"log/slog"
	"time"

	"latchkey/shared/audit"
	"latchkey/shared/cluster"
	"latchkey/shared/snapshot"
	"latchkey/shared/store"
)

// SnapshotDeps are what the snapshot service needs. All fields but Gate and Keys are required by
// every use of it; those by the one that restores for a client.
type SnapshotDeps struct {
	Table    store.Table
	Journal  audit.Journal
	Clusters *cluster.Service
	Gate     snapshot.Gate
	Keys     snapshot.Keys
	Now      func() time.Time
	Log      *slog.Logger
}

// Snapshots assembles the snapshot service.
func Snapshots(d SnapshotDeps) *snapshot.Service {
	return &snapshot.Service{
		Table: d.Table, Journal: d.Journal, Clusters: d.Clusters, Gate: d.Gate, Keys: d.Keys, Now: d.Now, Log: d.Log,
	}
}
