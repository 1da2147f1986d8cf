// Package adminapi assembles the function that serves every operation which needs the table
// alone, and to start workflows: organisations, projects and what is read along with them,
// clusters and their snapshots, alerts, maintenance windows, identities, the activity feeds, and what clients ask the
// service about itself.
package adminapi

import (
	"log/slog"
	"time"

	"latchkey/shared/alert/alertapi"
	"latchkey/shared/audit"
	"latchkey/shared/audit/auditapi"
	"latchkey/shared/changeover/changeoverapi"
	"latchkey/shared/cluster/clusterapi"
	"latchkey/shared/httpapi"
	"latchkey/shared/identity"
	"latchkey/shared/identity/directory"
	"latchkey/shared/identity/identityapi"
	"latchkey/shared/identity/keyring"
	"latchkey/shared/maintenance/maintenanceapi"
	"latchkey/shared/masterkey/masterkeyapi"
	"latchkey/shared/progress"
	"latchkey/shared/progress/progressapi"
	"latchkey/shared/project/projectapi"
	"latchkey/shared/snapshot/snapshotapi"
	"latchkey/shared/store"
	"latchkey/shared/suite"
)

// Deps are what the function needs. Fields without a comment are required.
type Deps struct {
	Table  store.Table
	Sealer directory.Sealer
	Now    func() time.Time
	Log    *slog.Logger
	// EventRetention is how long events are kept; 0 keeps them for ever.
	EventRetention time.Duration
	// ControlPlane lists the addresses of this deployment; empty if they are not fixed.
	ControlPlane ControlPlane
	// Build is the commit that the program was built from; "" if that is unknown.
	Build string
	// Start starts the workflows that carry out what clients ask of clusters.
	Start suite.Starter
	// Runs tells what workflows went through; without it, nothing is known of those that run.
	Runs progress.Runs
	// Domain is what the host names of the clusters' nodes lie in.
	Domain string
	// More are routes of other packages that this function serves too.
	More []httpapi.Route
}

// New assembles the function.
func New(d Deps) *httpapi.API {
	journal := audit.Journal{Table: d.Table, Now: d.Now, Retention: d.EventRetention}
	identities := &directory.Directory{Table: d.Table, Sealer: d.Sealer, Journal: journal, Now: d.Now}
	projects := suite.Projects(d.Table, journal, identities, d.Now)
	gate := identity.Gate{Groups: projects, Denials: journal}
	clusters := suite.Clusters(suite.ClusterDeps{
		Table: d.Table, Journal: journal, Projects: projects, Gate: gate, Start: d.Start, Now: d.Now, Log: d.Log, Domain: d.Domain,
	})
	snapshots := suite.Snapshots(suite.SnapshotDeps{Table: d.Table, Journal: journal, Clusters: clusters, Gate: gate, Now: d.Now, Log: d.Log})
	warnings := suite.AlertDeps{Table: d.Table, Journal: journal, Sealer: d.Sealer, Now: d.Now}
	rotations := suite.MasterKeys(suite.MasterKeyDeps{Table: d.Table, Journal: journal, Now: d.Now}) // only read
	sys := system{controlPlane: d.ControlPlane, build: d.Build, identities: identities}
	served := [][]httpapi.Route{
		projectapi.API{Projects: projects, Addresses: clusterapi.Addresses{Clusters: clusters}}.Routes(),
		clusterapi.API{Clusters: clusters, Projects: projects}.Routes(),
		snapshotapi.API{Snapshots: snapshots}.Routes(),
		alertapi.API{Alerts: suite.Alerts(warnings)}.Routes(),
		maintenanceapi.API{Windows: suite.Maintenance(warnings)}.Routes(),
		auditapi.API{Journal: journal, Groups: projects}.Routes(),
		changeoverapi.API{Reports: suite.KeyReports(d.Table, d.Now)}.Routes(),
		masterkeyapi.API{Reports: rotations, Now: d.Now}.Routes(),
		progressapi.API{
			Clusters: suite.Progress(d.Table, clusters, d.Now), Workflows: suite.Workflows(d.Table, d.Runs, d.Now, d.Log),
		}.Routes(),
		identityapi.API{
			Directory: identities, Groups: projects, Now: d.Now,
			Keyring: &keyring.Keyring{Table: d.Table, Sealer: d.Sealer, Now: d.Now},
		}.Routes(),
		sys.routes(),
		companionRoutes(),
		d.More,
	}
	limits := &rateLimits{gate: gate, identities: identities, routes: elsewhere()}
	served = append(served, limits.endpoints())
	for _, routes := range served {
		limits.routes = append(limits.routes, routes...)
	}
	return httpapi.New(httpapi.Config{Gate: gate, Now: d.Now, Log: d.Log}, served...)
}
