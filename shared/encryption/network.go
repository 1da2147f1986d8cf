package encryption

import (
	"context"
	"errors"
	"strings"

	"latchkey/shared/atlas"
	"latchkey/shared/kms"
	"latchkey/shared/ledger"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
	"latchkey/shared/verdict"
)

// Endpoints tells of the private endpoints through which groups' keys are reached;
// endpoint.Network is the one in use.
type Endpoints interface {
	// Present lists the regions of a group's endpoints at a provider, whatever their status, and an
	// operation that makes a transaction conflict with any that is created meanwhile. It must be
	// asked before the settings are read.
	Present(ctx context.Context, groupID string, p atlas.Provider) (regions []string, unchanged store.Op, err error)
	// Ways lists the endpoints that carry traffic. With inForce there is no other way to the key,
	// even if there is none of these.
	Ways(ctx context.Context, groupID string, p atlas.Provider) (ways []kms.PrivateEndpoint, inForce bool, err error)
}

// PrivateNetworking reports whether a provider's key may be reached over private networks only,
// once there is one.
func (s Settings) PrivateNetworking(p atlas.Provider) bool {
	switch {
	case p == atlas.AWS && s.AWS != nil:
		return s.AWS.PrivateNetworking
	case p == atlas.Azure && s.Azure != nil:
		return s.Azure.PrivateNetworking
	}
	return false
}

// Unchanged is the operation that makes a transaction conflict with any change of the settings
// since they were read, verdicts included.
func (s Settings) Unchanged() store.Op { return store.Check(keys.Encryption(s.GroupID), s.version) }

// IsMultiRegion reports whether the key can have replicas in other regions. What an alias points to
// is known from the last full check.
func (a AWS) IsMultiRegion() bool {
	for _, name := range []string{a.KeyID, ledger.CMK{Provider: atlas.AWS, Name: a.KeyID}.At(a.Key.Version).Name} {
		if parsed, err := atlas.ParseAWSKeyName(name); err == nil && parsed.IsMultiRegion() {
			return true
		}
	}
	return false
}

// direct sends what is for a key through the group's private endpoint. Where private networking is
// in force and no endpoint leads to the key, it cannot be reached: nothing is sent another
// way, and no node is stopped for it.
func (s *Service) direct(ctx context.Context, settings Settings, p atlas.Provider, ref *kms.Reference) error {
	if s.Endpoints == nil || !settings.PrivateNetworking(p) {
		return nil
	}
	ways, inForce, err := s.Endpoints.Ways(ctx, settings.GroupID, p)
	if err != nil || !inForce {
		return err
	}
	for _, way := range ways {
		if leads(ref, way) {
			through(ref, way)
			return nil
		}
	}
	for _, way := range ways {
		if replica(ref, way) {
			through(ref, way)
			return nil
		}
	}
	return &verdict.Failure{Reason: verdict.NetworkRefused, Err: errNoWay}
}

// errNoWay says that nothing but ourselves keeps us from a key.
var errNoWay = errors.New("private networking is in force and no active private endpoint leads to the key")

// leads reports whether an endpoint leads to where a key is.
func leads(ref *kms.Reference, way kms.PrivateEndpoint) bool {
	switch {
	case ref.AWS != nil:
		region, err := atlas.ParseAWSRegion(ref.AWS.Region)
		return err == nil && region.Atlas() == way.Region
	case ref.Azure != nil:
		id, err := atlas.ParseAzureKeyID(ref.Azure.KeyIdentifier)
		return err == nil && strings.TrimPrefix(id.VaultURL(), "https://") == way.Host
	}
	return false
}

// replica names, if a key is a multi-Region key, the one in an endpoint's region.
func replica(ref *kms.Reference, way kms.PrivateEndpoint) bool {
	if ref.AWS == nil {
		return false
	}
	name, err := atlas.ParseAWSKeyName(ref.AWS.KeyName)
	if err != nil || !name.IsMultiRegion() {
		return false
	}
	region, err := atlas.ParseAWSRegion(way.Region)
	if err != nil {
		return false
	}
	ref.AWS.KeyName, ref.AWS.Region = name.InRegion(region).String(), region.String()
	return true
}

func through(ref *kms.Reference, way kms.PrivateEndpoint) {
	switch {
	case ref.AWS != nil:
		ref.AWS.Endpoint = way.Address
	case ref.Azure != nil:
		ref.Azure.PrivateAddress = way.Address
	}
}

// ProveWay opens the probe of a group's key through a private endpoint. A key that is invalid
// anyway counts as proved as soon as its provider says so through the endpoint: the way is there.
// But a key that is valid must open, since the first check through the endpoint
// would stop nodes otherwise.
func (s *Service) ProveWay(ctx context.Context, groupID string, p atlas.Provider, way kms.PrivateEndpoint) error {
	settings, err := s.Load(ctx, groupID)
	if err != nil {
		return err
	}
	state := settings.Key(p)
	if state == nil {
		return atlas.Fail(atlas.EARNotEnabled, groupID)
	}
	ref, err := s.publicReference(ctx, settings, p, credential{})
	if err != nil {
		return err
	}
	if !leads(&ref, way) && !replica(&ref, way) {
		return verdict.Failed(verdict.RequestInvalid, "the endpoint does not lead to the key")
	}
	through(&ref, way)
	err = s.checkProbe(ctx, ref, state.Probe)
	failure, ok := errors.AsType[*verdict.Failure](err)
	if ok && !state.Valid && failure.Class() == verdict.Invalid {
		return nil
	}
	return err
}

// present are the regions of the endpoints that an update may have to heed, by provider.
type present map[atlas.Provider]struct {
	regions   []string
	unchanged store.Op
}

// presentBefore asks which private endpoints there are at the providers that an update is about.
// It comes before the settings are read: an endpoint that is created after that makes the update's
// transaction conflict.
func (s *Service) presentBefore(ctx context.Context, groupID string, u atlas.EncryptionAtRestUpdate) (present, error) {
	all := present{}
	if s.Endpoints == nil {
		return all, nil
	}
	for p, isNamed := range map[atlas.Provider]bool{atlas.AWS: u.AWSKMS != nil, atlas.Azure: u.AzureKeyVault != nil} {
		if !isNamed {
			continue
		}
		regions, unchanged, err := s.Endpoints.Present(ctx, groupID, p)
		if err != nil {
			return nil, err
		}
		all[p] = struct {
			regions   []string
			unchanged store.Op
		}{regions, unchanged}
	}
	return all, nil
}

// check refuses what there must be no private endpoints for, in the documented order: they are
// removed before anything else is disabled. It returns the conditions under which there are none.
func (all present) check(current, next Settings, changes []Change) ([]store.Op, error) {
	var unchanged []store.Op
	for _, change := range changes {
		p := change.Provider
		known, ok := all[p]
		refused := forbidden(current, next, change, known.regions)
		if !ok || refused == nil {
			continue
		}
		if len(known.regions) > 0 {
			return nil, refused
		}
		unchanged = append(unchanged, known.unchanged)
	}
	return unchanged, nil
}

// forbidden is what a change is refused with while there are endpoints; nil if it may be made.
func forbidden(current, next Settings, change Change, regions []string) error {
	p := change.Provider
	switch {
	case change.Kind == Disable && current.PrivateNetworking(p):
		return atlas.Fail(atlas.CannotDisableEAREndpoints)
	case change.Kind == Modify && current.PrivateNetworking(p) && !next.PrivateNetworking(p):
		return atlas.Fail(atlas.CannotDisablePrivateNetworking, strings.Join(regions, ", "))
	case change.Kind == Modify && p == atlas.Azure && current.PrivateNetworking(p):
		if name := movedVault(*current.Azure, *next.Azure); name != "" {
			return atlas.Fail(atlas.AttributeReadOnly, name).
				Hinting("The key vault cannot be another one while there are private endpoints to it, in %s.", strings.Join(regions, ", "))
		}
	}
	return nil
}

// movedVault names a member by which a configuration is about another vault than before.
func movedVault(before, after Azure) string {
	for _, m := range []struct{ name, before, after string }{
		{"subscriptionID", before.SubscriptionID, after.SubscriptionID},
		{"resourceGroupName", before.ResourceGroup, after.ResourceGroup},
		{"keyVaultName", before.VaultName, after.VaultName},
		{"azureEnvironment", before.Environment, after.Environment},
	} {
		if !strings.EqualFold(m.before, m.after) {
			return m.name
		}
	}
	return ""
}
