package suite

import (
	"log/slog"
	"time"

	"latchkey/shared/cluster"
	"latchkey/shared/encryption"
	"latchkey/shared/endpoint"
	"latchkey/shared/progress"
	"latchkey/shared/store"
)

// Progress assembles what tells tenants how their clusters stand.
func Progress(table store.Table, clusters *cluster.Service, now func() time.Time) *progress.Reader {
	return &progress.Reader{Table: table, Clusters: clusters, Settings: &encryption.Service{Table: table}, Now: now}
}

// Workflows assembles what tells tenants of their workflows. Without runs no status is known.
func Workflows(table store.Table, runs progress.Runs, now func() time.Time, log *slog.Logger) *progress.Workflows {
	return &progress.Workflows{
		Table: table, Changes: &encryption.Service{Table: table}, Records: &cluster.Service{Table: table},
		Endpoints: endpoint.Network{Table: table}, Runs: runs, Now: now, Log: log,
	}
}
