package encryption

import (
	"context"
	"strings"

	"latchkey/shared/atlas"
	"latchkey/shared/store"
)

// restraints are what keeps parts of a configuration from being changed.
type restraints struct {
	uses      uses
	endpoints present
}

// restraintsBefore finds out what may restrain an update. It comes before the settings are read, so
// that what begins to restrain it after that makes its transaction conflict.
func (s *Service) restraintsBefore(ctx context.Context, groupID string, u atlas.EncryptionAtRestUpdate) (restraints, error) {
	uses, err := s.usesBefore(ctx, groupID, u)
	if err != nil {
		return restraints{}, err
	}
	endpoints, err := s.presentBefore(ctx, groupID, u)
	return restraints{uses, endpoints}, err
}

// check refuses what is restrained, in the documented order: private endpoints are removed first,
// then clusters do without the key. It returns the conditions under which nothing restrains.
func (r restraints) check(current, next Settings, changes []Change) ([]store.Op, error) {
	none, err := r.endpoints.check(current, next, changes)
	if err != nil {
		return nil, err
	}
	unused, err := r.uses.checkUnused(changes)
	return append(none, unused...), err
}

// uses is which clusters rely on the keys that an update wants to do without.
type uses map[atlas.Provider]use

type use struct {
	clusters  []string
	unchanged store.Op
}

// usesBefore asks which clusters rely on the providers that an update may disable. It comes
// before the settings are read: a cluster that begins to rely on a key after that makes the
// update's transaction conflict.
func (s *Service) usesBefore(ctx context.Context, groupID string, u atlas.EncryptionAtRestUpdate) (uses, error) {
	disabled := map[atlas.Provider]*bool{}
	if u.AWSKMS != nil {
		disabled[atlas.AWS] = u.AWSKMS.Enabled
	}
	if u.AzureKeyVault != nil {
		disabled[atlas.Azure] = u.AzureKeyVault.Enabled
	}
	if u.GoogleCloudKMS != nil {
		disabled[atlas.GCP] = u.GoogleCloudKMS.Enabled
	}
	all := uses{}
	for p, enabled := range disabled {
		if enabled == nil || *enabled {
			continue
		}
		clusters, unchanged, err := s.Clusters.UsedBy(ctx, groupID, p)
		if err != nil {
			return nil, err
		}
		all[p] = use{clusters, unchanged}
	}
	return all, nil
}

// checkUnused refuses to disable a provider whose key encrypts a cluster, and returns the
// conditions under which none does.
func (u uses) checkUnused(changes []Change) ([]store.Op, error) {
	var unchanged []store.Op
	for _, change := range changes {
		if change.Kind != Disable {
			continue
		}
		use := u[change.Provider]
		if len(use.clusters) > 0 {
			return nil, atlas.Fail(atlas.CannotDisableEAR).
				Hinting("Set encryptionAtRestProvider to NONE on %s first.", strings.Join(use.clusters, ", "))
		}
		unchanged = append(unchanged, use.unchanged)
	}
	return unchanged, nil
}
