package suite

import (
	"time"

	"latchkey/shared/audit"
	"latchkey/shared/cluster"
	"latchkey/shared/encryption"
	"latchkey/shared/masterkey"
	"latchkey/shared/store"
)

// MasterKeyDeps are what the rotation of master keys needs. Fields without a comment are required.
type MasterKeyDeps struct {
	Table   store.Table
	Journal audit.Journal
	Start   Executions // only who rotates needs it
	Now     func() time.Time
}

// MasterKeys assembles the service that has master keys rotated. It uses no customer key.
func MasterKeys(d MasterKeyDeps) *masterkey.Service {
	return &masterkey.Service{
		Table: d.Table, Journal: d.Journal, Nodes: &cluster.Service{Table: d.Table}, Settings: &encryption.Service{Table: d.Table},
		Windows:    Maintenance(AlertDeps{Table: d.Table, Journal: d.Journal, Now: d.Now}),
		Executions: d.Start, Now: d.Now,
	}
}
