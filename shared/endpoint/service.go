package endpoint

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/encryption"
	"latchkey/shared/identity"
	"latchkey/shared/kms"
	"latchkey/shared/project"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
	"latchkey/shared/workflow"
)

// Settings tells how a group's keys are configured; encryption.Service is the one in use.
type Settings interface {
	// Load returns GROUP_NOT_FOUND if the group is closed.
	Load(ctx context.Context, groupID string) (encryption.Settings, error)
}

// Projects counts what keeps a group from being closed; project.Service is the one in use.
type Projects interface {
	Occupy(ctx context.Context, groupID string, u project.Use, n int) (store.Op, error)
}

// Location is where nodes of a cluster are.
type Location struct {
	Provider atlas.Provider
	Region   string // in the API's spelling
}

// Clusters tells where the clusters of a group are.
type Clusters interface {
	Locations(ctx context.Context, groupID string) ([]Location, error)
}

// Starter starts workflows. Starting the same execution again is harmless.
type Starter interface {
	Start(ctx context.Context, x workflow.Execution) error
}

// Service performs the use cases. Table, Projects, Journal, Now and Log are required.
type Service struct {
	Table    store.Table
	Projects Projects
	Journal  audit.Journal
	Now      func() time.Time
	Log      *slog.Logger
	// Start starts the workflow that carries an endpoint on; what it fails to start, Watch does.
	Start Starter

	// Settings, Clusters and Regions are needed by Create, and Settings by List. Regions are those in which the operator
	// has a network for endpoints, in the API's spelling.
	Settings Settings
	Clusters Clusters
	Regions  map[atlas.Provider][]string

	// Clouds are needed by Advance and Watch.
	Clouds map[atlas.Provider]Cloud
	// Prover is needed by Try.
	Prover Prover
}

// load reads the endpoints of a group at a provider. There may be none.
func (s *Service) load(ctx context.Context, groupID string, p atlas.Provider) (Set, error) {
	set, version, err := store.Load[Set](ctx, s.Table, keys.PrivateEndpoints(groupID, string(p)))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return Set{}, fmt.Errorf("load %s private endpoints of %s: %w", p, groupID, err)
	}
	set.GroupID, set.Provider, set.version = groupID, p, version
	return set, nil
}

// List reads a group's endpoints at a provider, oldest first. It returns GROUP_NOT_FOUND if the group is
// closed: whoever still has a role there must not read that there are none.
func (s *Service) List(ctx context.Context, groupID string, p atlas.Provider) ([]Endpoint, error) {
	if _, err := s.Settings.Load(ctx, groupID); err != nil {
		return nil, err
	}
	set, err := s.load(ctx, groupID, p)
	return set.Endpoints, err
}

// Offered lists the regions in which endpoints can be made at a provider, as far as that is up to the
// operator. It returns GROUP_NOT_FOUND if the group is closed.
func (s *Service) Offered(ctx context.Context, groupID string, p atlas.Provider) ([]string, error) {
	if _, err := s.Settings.Load(ctx, groupID); err != nil {
		return nil, err
	}
	return slices.Clone(s.Regions[p]), nil
}

// Get reads one endpoint. It returns RESOURCE_NOT_FOUND if there is none.
func (s *Service) Get(ctx context.Context, groupID string, p atlas.Provider, id string) (Endpoint, error) {
	set, err := s.load(ctx, groupID, p)
	if err != nil {
		return Endpoint{}, err
	}
	e, ok := set.Find(id)
	if !ok {
		return Endpoint{}, atlas.Fail(atlas.ResourceNotFound, id)
	}
	return e, nil
}

// Create begins to make an endpoint in a region. The group must have enabled private networking
// for the provider, and all its clusters must be there.
func (s *Service) Create(ctx context.Context, c identity.Caller, groupID string, p atlas.Provider, region string) (Endpoint, error) {
	if err := s.checkRegion(p, region); err != nil {
		return Endpoint{}, err
	}
	var made Endpoint
	err := store.Again(attempts, func() error {
		settings, err := s.Settings.Load(ctx, groupID)
		if err != nil {
			return err
		}
		target, err := target(settings, p, region)
		if err != nil {
			return err
		}
		if err := s.checkClusters(ctx, groupID, p); err != nil {
			return err
		}
		before, err := s.load(ctx, groupID, p)
		if err != nil {
			return err
		}
		before.OrgID = settings.OrgID
		made = newEndpoint(atlas.NewID(s.Now()), region, target, s.Now())
		after, err := before.add(made)
		if err != nil {
			return err
		}
		return s.commit(ctx, before, after, []audit.Event{s.event(EventCreated, after, made, audit.By(c))}, settings.Unchanged())
	})
	if err != nil {
		return Endpoint{}, err
	}
	s.begin(ctx, groupID, p, made)
	return made, nil
}

// checkRegion demands a region of the provider in which the operator has a network.
func (s *Service) checkRegion(p atlas.Provider, region string) error {
	offered := s.Regions[p]
	if len(offered) == 0 {
		return atlas.Fail(atlas.EARProviderNotSupported, p).Hinting("There is no network for private endpoints at this provider.")
	}
	if region == "" {
		return atlas.Fail(atlas.MissingAttribute, "regionName")
	}
	name := region
	if p == atlas.AWS {
		parsed, err := atlas.ParseAWSRegion(region)
		if err != nil {
			return err
		}
		name = parsed.Atlas()
	}
	if !atlas.IsClusterRegion(p, name) {
		return atlas.Fail(atlas.InvalidRegion, region, p)
	}
	if !slices.Contains(offered, name) {
		return atlas.Fail(atlas.InvalidRegion, region, p).
			Hinting("Private endpoints can be made in %s.", strings.Join(offered, ", "))
	}
	return nil
}

// target is what an endpoint in a region would lead to.
func target(settings encryption.Settings, p atlas.Provider, region string) (Target, error) {
	switch {
	case settings.Key(p) == nil:
		return Target{}, atlas.Fail(atlas.EARNotEnabled, settings.GroupID)
	case !settings.PrivateNetworking(p):
		return Target{}, atlas.Fail(atlas.PrivateNetworkingNotRequired, p).
			Hinting("Set requirePrivateNetworking to true with PATCH /groups/%s/encryptionAtRest first.", settings.GroupID)
	case p == atlas.AWS:
		return Target{}, checkReplica(*settings.AWS, region)
	}
	id, err := atlas.ParseAzureKeyID(settings.Azure.KeyIdentifier)
	return Target{
		Environment: id.Environment,
		VaultID: "/subscriptions/" + settings.Azure.SubscriptionID + "/resourceGroups/" + settings.Azure.ResourceGroup +
			"/providers/Microsoft.KeyVault/vaults/" + settings.Azure.VaultName,
		VaultHost: strings.TrimPrefix(id.VaultURL(), "https://"),
	}, err
}

// checkReplica demands that the key can be in a region: a single-Region key is in its own alone.
func checkReplica(a encryption.AWS, region string) error {
	wanted, err := atlas.ParseAWSRegion(region)
	if err != nil {
		return err
	}
	home, err := atlas.ParseAWSRegion(a.Region)
	if err != nil {
		return err
	}
	switch {
	case home == wanted:
		return nil
	case home.Partition() != wanted.Partition():
		return atlas.Fail(atlas.AWSRegionNotSupported, region).Hinting("The key is in another partition of AWS.")
	case !a.IsMultiRegion():
		return atlas.Fail(atlas.PrivateNetworkingNotSupported).
			Hinting("The key is in %s alone. In other regions private endpoints need a multi-Region key with a replica there.", a.Region)
	}
	return nil
}

// checkClusters demands that the group uses one cloud: "Atlas supports Encryption at Rest using
// AWS KMS over private networking only for single-cloud deployments".
func (s *Service) checkClusters(ctx context.Context, groupID string, p atlas.Provider) error {
	locations, err := s.Clusters.Locations(ctx, groupID)
	if err != nil {
		return err
	}
	for _, l := range locations {
		if l.Provider != p {
			return atlas.Fail(atlas.PrivateNetworkingNotSupported).
				Hinting("It needs clusters that are all at %s, and one has nodes at %s in %s.", p, l.Provider, l.Region)
		}
	}
	return nil
}

// Delete begins to remove an endpoint. Whoever asks sees it DELETING or gone from then on.
func (s *Service) Delete(ctx context.Context, c identity.Caller, groupID string, p atlas.Provider, id string) error {
	var started []Endpoint
	err := store.Again(attempts, func() error {
		started = nil
		before, err := s.load(ctx, groupID, p)
		if err != nil {
			return err
		}
		after, err := before.requestDeletion(id, audit.By(c), s.Now())
		if err != nil {
			return err
		}
		for _, e := range after.Endpoints {
			if old, _ := before.Find(e.ID); old.Status != e.Status {
				started = append(started, e)
			}
		}
		if len(started) == 0 {
			return nil
		}
		return s.commit(ctx, before, after, nil)
	})
	for _, e := range started {
		if err == nil {
			s.begin(ctx, groupID, p, e)
		}
	}
	return err
}

// regionsOf lists where a group has endpoints, and the operation that keeps it so.
func (s *Service) regionsOf(ctx context.Context, groupID string, p atlas.Provider) ([]string, store.Op, error) {
	set, err := s.load(ctx, groupID, p)
	if err != nil {
		return nil, store.Op{}, err
	}
	unchanged, err := set.put()
	return set.regions(), unchanged, err
}

// Network reads how the keys of groups are reached. It implements encryption.Endpoints.
type Network struct{ Table store.Table }

// Present lists the regions of a group's endpoints at a provider, whatever their status, and an
// operation that makes a transaction conflict with any that is created or ends meanwhile.
func (n Network) Present(ctx context.Context, groupID string, p atlas.Provider) (regions []string, unchanged store.Op, err error) {
	return (&Service{Table: n.Table}).regionsOf(ctx, groupID, p)
}

// Ways lists the endpoints that carry the traffic of a group's key. With inForce there is no other
// way to it, even if there is none of these.
func (n Network) Ways(ctx context.Context, groupID string, p atlas.Provider) (ways []kms.PrivateEndpoint, inForce bool, err error) {
	set, err := (&Service{Table: n.Table}).load(ctx, groupID, p)
	return set.Ways(), set.InForce(), err
}

// InForce lists the providers to whose keys a group's traffic has private endpoints as its only way,
// in one read however many there are.
func (n Network) InForce(ctx context.Context, groupID string) ([]atlas.Provider, error) {
	sets, err := n.sets(ctx, groupID)
	var providers []atlas.Provider
	for _, set := range sets {
		if set.InForce() {
			providers = append(providers, set.Provider)
		}
	}
	return providers, err
}

func (n Network) sets(ctx context.Context, groupID string) ([]Set, error) {
	q := store.Query{PK: keys.PrivateEndpoints(groupID, "").PK, Prefix: keys.PrivateEndpointsPrefix}
	items, err := store.All(ctx, n.Table, q)
	if err != nil {
		return nil, fmt.Errorf("list private endpoints of %s: %w", groupID, err)
	}
	sets := make([]Set, len(items))
	for i, item := range items {
		if sets[i], err = store.Decode[Set](item); err != nil {
			return nil, err
		}
	}
	return sets, nil
}

// Work is a private endpoint and the execution that carries it on, or did last.
type Work struct {
	Endpoint

	Provider  atlas.Provider
	Execution workflow.Execution
	// IsUnderWay is whether there is work to be done, rather than the cloud to be watched.
	IsUnderWay bool
}

// Works lists the work on a group's private endpoints in one read.
func (n Network) Works(ctx context.Context, groupID string) ([]Work, error) {
	sets, err := n.sets(ctx, groupID)
	var all []Work
	for _, set := range sets {
		for _, e := range set.Endpoints {
			all = append(all, Work{Endpoint: e, Provider: set.Provider, Execution: execution(groupID, set.Provider, e), IsUnderWay: e.moves()})
		}
	}
	return all, err
}

// CheckLocations demands that nodes are where private networking lets them be: "Atlas creates all
// new clusters only in the regions with approved private endpoints". From the first endpoint on they
// must be at its provider, since all clusters must be at one.
func (n Network) CheckLocations(ctx context.Context, groupID string, locations []Location) error {
	for _, p := range []atlas.Provider{atlas.AWS, atlas.Azure} {
		set, err := (&Service{Table: n.Table}).load(ctx, groupID, p)
		if err != nil {
			return err
		}
		ways, inForce := set.Ways(), set.InForce()
		isStaying := slices.ContainsFunc(set.Endpoints, func(e Endpoint) bool { return e.Status != Deleting })
		for _, l := range locations {
			isThere := slices.ContainsFunc(ways, func(w kms.PrivateEndpoint) bool { return w.Region == l.Region })
			if l.Provider != p && isStaying {
				return atlas.Fail(atlas.PrivateNetworkingNotSupported).
					Hinting("It needs clusters that are all at %s, where the project has private endpoints.", p)
			}
			if inForce && !isThere {
				return atlas.Fail(atlas.PrivateNetworkingNotSupported).
					Hinting("Nodes can be added only in regions with an active private endpoint, which %s of %s is not.", l.Region, l.Provider)
			}
		}
	}
	return nil
}
