package cluster

import (
	"cmp"
	"context"
	"slices"

	"latchkey/shared/atlas"
)

// Location is where nodes are.
type Location struct {
	Provider atlas.Provider
	Region   string
}

// Networks tells what private networking means for the clusters of a group.
type Networks interface {
	// InForce lists the providers whose keys the group's clusters reach through private endpoints
	// alone.
	InForce(ctx context.Context, groupID string) ([]atlas.Provider, error)
	// CheckLocations refuses nodes that may not be added to a group where they shall be.
	CheckLocations(ctx context.Context, groupID string, added []Location) error
}

// checkLocations refuses a change that adds nodes where they may not be. Those that are there
// already may stay, and be changed.
func (s *Service) checkLocations(ctx context.Context, before, after Cluster) error {
	added := after.Spec.addedTo(before.Spec)
	if s.Networks == nil || len(added) == 0 {
		return nil
	}
	return s.Networks.CheckLocations(ctx, after.GroupID, added)
}

// PrivateNetworking lists the providers whose keys a group's clusters reach through private endpoints
// alone. One read tells it for all clusters of the group.
func (s *Service) PrivateNetworking(ctx context.Context, groupID string) ([]atlas.Provider, error) {
	if s.Networks == nil {
		return nil, nil
	}
	return s.Networks.InForce(ctx, groupID)
}

// addedTo lists where there are more nodes than before, in order.
func (s Spec) addedTo(before Spec) []Location {
	had := before.nodesByLocation()
	var added []Location
	for l, n := range s.nodesByLocation() {
		if n > had[l] {
			added = append(added, l)
		}
	}
	slices.SortFunc(added, func(a, b Location) int {
		return cmp.Or(cmp.Compare(a.Provider, b.Provider), cmp.Compare(a.Region, b.Region))
	})
	return added
}

func (s Spec) nodesByLocation() map[Location]int {
	nodes := map[Location]int{}
	for _, shard := range s.Shards {
		for _, r := range shard.Regions {
			nodes[Location{r.Provider, r.Name}] += r.Electable.NodeCount + r.ReadOnly.NodeCount + r.Analytics.NodeCount
		}
	}
	return nodes
}
