// Package nodes assembles the function that serves the agents of nodes: it wraps and releases
// their master keys with the tenants' keys.
package nodes

import (
	"log/slog"
	"time"

	"latchkey/shared/cluster"
	"latchkey/shared/encryption"
	"latchkey/shared/endpoint"
	"latchkey/shared/httpapi"
	"latchkey/shared/identity"
	"latchkey/shared/kms/keyring"
	"latchkey/shared/node"
	"latchkey/shared/node/nodeapi"
	"latchkey/shared/store"
	"latchkey/shared/suite"
)

// Deps are what the function needs. All are required.
type Deps struct {
	Table  store.Table
	Sealer encryption.Sealer
	Now    func() time.Time
	Log    *slog.Logger
	Keys   *keyring.Keyring
}

// New assembles the function. Its callers are agents, who prove to the routes themselves who they
// are: the gate, which knows the callers of the API, has nobody to look up.
func New(d Deps) *httpapi.API {
	counted := suite.CountKeyCalls(d.Keys, d.Now, d.Log)
	service := &node.Service{
		Table: d.Table, Now: d.Now, Log: d.Log,
		Nodes: &cluster.Service{Table: d.Table, Now: d.Now},
		// It opens the keys of settings, through the private endpoints that lead to them, and changes none.
		Keys: &encryption.Service{
			Table: d.Table, Sealer: d.Sealer, Keys: counted, Endpoints: endpoint.Network{Table: d.Table}, Now: d.Now, Log: d.Log,
		},
		Recipients: &node.Recipients{Table: d.Table, Sealer: d.Sealer, Now: d.Now},
	}
	return httpapi.New(httpapi.Config{Gate: identity.Gate{}, Now: d.Now, Log: d.Log, Ended: counted.Write}, nodeapi.API{Nodes: service}.Routes())
}
