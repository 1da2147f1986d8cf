package suite

import (
	"context"
	"log/slog"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/cluster"
	"latchkey/shared/consistency"
	"latchkey/shared/encryption"
	"latchkey/shared/endpoint"
	"latchkey/shared/enforcement"
	"latchkey/shared/store"
	"latchkey/shared/validity"
)

// Keyring reaches tenants' keys; keyring.Keyring is the one in use.
type Keyring interface {
	validity.Keyring
	encryption.Vaults
}

// EncryptionDeps are what the service of encryption settings needs. Fields without a comment are
// required.
type EncryptionDeps struct {
	Table   store.Table
	Journal audit.Journal
	Sealer  encryption.Sealer
	Keys    Keyring
	// Start starts the workflows that enforce at once what is found of keys, and those that finish
	// changes of keys; nil leaves that to schedules.
	Start Starter
	// Patience waits for grants to take effect; the zero value does not.
	Patience consistency.Patience
	Policy   encryption.Policy
	Now      func() time.Time
	Log      *slog.Logger
}

// Encryption assembles the service of encryption settings, for functions that may use tenants'
// keys.
func Encryption(d EncryptionDeps) *encryption.Service {
	s := &encryption.Service{
		Table: d.Table, Journal: d.Journal, Sealer: d.Sealer, Keys: d.Keys, Vaults: d.Keys, Checker: validity.New(d.Keys, d.Now),
		Clusters: clusterUsage{d.Table}, Endpoints: endpoint.Network{Table: d.Table}, Patience: d.Patience, Policy: d.Policy, Now: d.Now, Log: d.Log,
		Alerts: Alerts(AlertDeps{Table: d.Table, Journal: d.Journal, Now: d.Now}),
	}
	if d.Start != nil {
		s.Start = d.Start
		s.Enforcer = &enforcement.Enforcer{
			Table: d.Table, Settings: s, Clusters: &cluster.Service{Table: d.Table}, Start: d.Start, Now: d.Now,
		}
	}
	return s
}

// clusterUsage tells which clusters rely on a key.
type clusterUsage struct{ table store.Table }

// UsedBy implements encryption.Clusters.
func (u clusterUsage) UsedBy(ctx context.Context, groupID string, p atlas.Provider) ([]string, store.Op, error) {
	return cluster.UsedBy(ctx, u.table, groupID, p)
}
