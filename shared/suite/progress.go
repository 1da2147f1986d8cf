package suite

import (
	"time"

	"latchkey/shared/cluster"
	"latchkey/shared/encryption"
	"latchkey/shared/progress"
	"latchkey/shared/store"
)

// Progress assembles what tells tenants how their clusters stand.
func Progress(table store.Table, clusters *cluster.Service, now func() time.Time) *progress.Reader {
	return &progress.Reader{Table: table, Clusters: clusters, Settings: &encryption.Service{Table: table}, Now: now}
}
