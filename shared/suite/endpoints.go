package suite

import (
	"context"
	"log/slog"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/cluster"
	"latchkey/shared/encryption"
	"latchkey/shared/endpoint"
	"latchkey/shared/project"
	"latchkey/shared/store"
)

// EndpointDeps are what the service of private endpoints needs. Fields without a comment are
// required.
type EndpointDeps struct {
	Table   store.Table
	Journal audit.Journal
	// Start starts the workflows that make and remove endpoints; nil leaves that to the schedule
	// that watches them.
	Start Starter
	Now   func() time.Time
	Log   *slog.Logger
	// Regions are where the operator has networks, in the API's spelling; whoever creates endpoints
	// needs them.
	Regions map[atlas.Provider][]string
	// Clouds make endpoints; whoever carries them on or watches them needs them.
	Clouds map[atlas.Provider]endpoint.Cloud
	// Prover proves that keys open through endpoints; whoever makes them active needs it.
	Prover endpoint.Prover
}

// Endpoints assembles the service of private endpoints.
func Endpoints(d EndpointDeps) *endpoint.Service {
	s := &endpoint.Service{
		Table: d.Table, Projects: &project.Service{Table: d.Table, Journal: d.Journal, Now: d.Now}, Journal: d.Journal, Now: d.Now, Log: d.Log,
		Settings: &encryption.Service{Table: d.Table}, Clusters: clusterLocations{d.Table}, Regions: d.Regions,
		Clouds: d.Clouds, Prover: d.Prover,
	}
	if d.Start != nil {
		s.Start = d.Start
	}
	return s
}

// clusterLocations tells where the clusters of a group are, or are going to be.
type clusterLocations struct{ table store.Table }

// Locations implements endpoint.Clusters.
func (l clusterLocations) Locations(ctx context.Context, groupID string) ([]endpoint.Location, error) {
	clusters := &cluster.Service{Table: l.table}
	names, err := clusters.Names(ctx, groupID)
	if err != nil {
		return nil, err
	}
	var locations []endpoint.Location
	for _, name := range names {
		d, err := clusters.Get(ctx, groupID, name)
		if atlas.CodeOf(err) == atlas.ClusterNotFound {
			continue // ended since the names were read
		}
		if err != nil {
			return nil, err
		}
		for _, shard := range d.Spec.Shards {
			for _, r := range shard.Regions {
				locations = append(locations, endpoint.Location{Provider: r.Provider, Region: r.Name})
			}
		}
	}
	return locations, nil
}
