package suite

import (
	"time"

	"latchkey/shared/changeover"
	"latchkey/shared/cluster"
	"latchkey/shared/encryption"
	"latchkey/shared/store"
)

// ChangeDeps are what carrying out changes of keys needs. All fields are required.
type ChangeDeps struct {
	Table    store.Table
	Settings *encryption.Service
	Clusters *cluster.Service
	Start    Executions
	Now      func() time.Time
}

// Changeover assembles the service that carries out changes of keys.
func Changeover(d ChangeDeps) *changeover.Service {
	return &changeover.Service{Table: d.Table, Settings: d.Settings, Nodes: d.Clusters, Executions: d.Start, Now: d.Now}
}
