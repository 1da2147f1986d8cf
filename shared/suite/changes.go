package suite

import (
	"time"

	"latchkey/shared/changeover"
	"latchkey/shared/cluster"
	"latchkey/shared/encryption"
	"latchkey/shared/endpoint"
	"latchkey/shared/store"
	"latchkey/shared/validity/sweep"
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

// KeyReports assembles what tells tenants of their keys. It uses none.
func KeyReports(table store.Table, now func() time.Time) *changeover.Reporter {
	return &changeover.Reporter{
		Table: table, Settings: &encryption.Service{Table: table}, Nodes: &cluster.Service{Table: table},
		Networks: endpoint.Network{Table: table}, Checks: sweep.Turns{Table: table, Now: now}, Now: now,
	}
}
