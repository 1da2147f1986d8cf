// Package encryption assembles the function that serves encryption at rest and cloud provider
// access: the only one that may assume tenants' roles and use tenants' keys.
package encryption

import (
	"log/slog"
	"time"

	"latchkey/shared/access"
	"latchkey/shared/access/accessapi"
	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/consistency"
	"latchkey/shared/encryption"
	"latchkey/shared/encryption/encryptionapi"
	"latchkey/shared/endpoint/endpointapi"
	"latchkey/shared/httpapi"
	"latchkey/shared/identity"
	"latchkey/shared/kms/keyring"
	"latchkey/shared/project"
	"latchkey/shared/snapshot/snapshotapi"
	"latchkey/shared/store"
	"latchkey/shared/suite"
)

// Deps are what the function needs. Fields without a comment are required.
type Deps struct {
	Table  store.Table
	Sealer encryption.Sealer
	Now    func() time.Time
	Log    *slog.Logger
	Keys   *keyring.Keyring
	// EventRetention is how long events are kept; 0 keeps them for ever.
	EventRetention time.Duration
	// GrantPatience is how long to wait for a tenant's grant to take effect; 0 does not wait.
	GrantPatience time.Duration
	// AllowAWSUserKeys accepts the access keys of IAM users.
	AllowAWSUserKeys bool
	// AWSPrincipalARN is what tenants' trust policies name; "" if the deployment has no
	// identity in AWS.
	AWSPrincipalARN string
	// AzureAppID is the multi-tenant application; "" if there is none.
	AzureAppID string
	// Google makes service accounts; nil if the deployment has no Google project.
	Google access.GoogleAccounts
	// Start starts the workflows that finish changes of keys, and those that stop and start nodes at once
	// when a tenant asks for a validation or gives access back; nil leaves all that to schedules.
	Start suite.Starter
	// PrivateEndpointRegions are where the operator has networks for private endpoints, in the API's
	// spelling. Without any, private endpoints are not offered.
	PrivateEndpointRegions map[atlas.Provider][]string
}

// New assembles the function.
func New(d Deps) *httpapi.API {
	journal := audit.Journal{Table: d.Table, Now: d.Now, Retention: d.EventRetention}
	patience := consistency.Patience{Budget: d.GrantPatience}
	counted := suite.CountKeyCalls(d.Keys, d.Now, d.Log)
	settings := suite.Encryption(suite.EncryptionDeps{
		Table: d.Table, Journal: journal, Sealer: d.Sealer, Keys: counted, Start: d.Start, Patience: patience,
		Policy: encryption.Policy{AllowAWSUserKeys: d.AllowAWSUserKeys}, Now: d.Now, Log: d.Log,
	})
	roles := &access.Service{
		Table: d.Table, Journal: journal, Usage: settings, Google: d.Google, Patience: patience, Now: d.Now, Log: d.Log,
		AWSPrincipalARN: d.AWSPrincipalARN, AzureAppID: d.AzureAppID,
	}
	if d.AWSPrincipalARN != "" {
		roles.AWS = d.Keys
	}
	if d.AzureAppID != "" {
		roles.Azure = d.Keys
	}
	// The gate only looks groups up; it needs nothing else of a project.
	gate := identity.Gate{Groups: &project.Service{Table: d.Table}, Denials: journal}
	var endpoints []httpapi.Route
	if len(d.PrivateEndpointRegions) > 0 {
		endpoints = endpointapi.Routes(suite.Endpoints(suite.EndpointDeps{
			Table: d.Table, Journal: journal, Start: d.Start, Now: d.Now, Log: d.Log, Regions: d.PrivateEndpointRegions,
		}))
	}
	return httpapi.New(httpapi.Config{Gate: gate, Now: d.Now, Log: d.Log, Ended: counted.Write},
		encryptionapi.Routes(settings), endpoints, accessapi.Routes(roles), restores(d, journal, gate, settings))
}

// restores are the operations that put snapshots back: they ask the key of then.
func restores(d Deps, journal audit.Journal, gate identity.Gate, keys *encryption.Service) []httpapi.Route {
	clusters := suite.Clusters(suite.ClusterDeps{
		Table: d.Table, Journal: journal, Projects: &project.Service{Table: d.Table}, Gate: gate, Start: d.Start, Now: d.Now, Log: d.Log,
	})
	return snapshotapi.API{Snapshots: suite.Snapshots(suite.SnapshotDeps{
		Table: d.Table, Journal: journal, Clusters: clusters, Gate: gate, Keys: keys, Now: d.Now, Log: d.Log,
	})}.KeyRoutes()
}
