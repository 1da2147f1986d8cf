package suite

import (
	"context"
	"log/slog"
	"time"

	"latchkey/shared/audit"
	"latchkey/shared/cluster"
	"latchkey/shared/encryption"
	"latchkey/shared/endpoint"
	"latchkey/shared/identity"
	"latchkey/shared/project"
	"latchkey/shared/store"
	"latchkey/shared/workflow"
)

// Starter starts workflows; awssfn.Starter is the one in use. Starting the same execution again
// is harmless.
type Starter interface {
	Start(ctx context.Context, x workflow.Execution) error
}

// Executions starts workflows and knows which have ended; awssfn.Starter is the one in use.
type Executions interface {
	Starter
	// Ensure starts an execution, unless one was started before under the same name, and reports
	// whether that one has ended.
	Ensure(ctx context.Context, x workflow.Execution) (ended bool, err error)
}

// ClusterDeps are what the cluster service needs. All fields but Gate and Log are required by
// every use of it; Gate by those that act for a client.
type ClusterDeps struct {
	Table    store.Table
	Journal  audit.Journal
	Projects *project.Service
	Gate     identity.Gate
	Start    Starter
	Now      func() time.Time
	Log      *slog.Logger
	// Domain is what the nodes' host names lie in.
	Domain string
}

// Clusters assembles the cluster service. What it asks of the tenants' keys is in the table, so
// that a function which may use no key has clusters too.
func Clusters(d ClusterDeps) *cluster.Service {
	return &cluster.Service{
		Table: d.Table, Journal: d.Journal, Projects: d.Projects, Keys: &encryption.Service{Table: d.Table}, Gate: d.Gate,
		Starter: d.Start, Now: d.Now, Log: d.Log, Domain: d.Domain,
		Networks: clusterNetworks{endpoint.Network{Table: d.Table}},
	}
}

// clusterNetworks tells clusters of the private endpoints.
type clusterNetworks struct{ endpoint.Network }

// CheckLocations implements cluster.Networks.
func (n clusterNetworks) CheckLocations(ctx context.Context, groupID string, added []cluster.Location) error {
	locations := make([]endpoint.Location, len(added))
	for i, l := range added {
		locations[i] = endpoint.Location(l)
	}
	return n.Network.CheckLocations(ctx, groupID, locations)
}
