package encryption

import (
	"context"
	"maps"
	"strings"

	"latchkey/shared/atlas"
	"latchkey/shared/kms"
	"latchkey/shared/ledger"
)

// KeyFor opens the key that a group uses now at a provider, and names it as the ledger does but
// for the version, which ledger.CMK.At adds. With fresh, nobody has used the credentials yet. It
// returns ENCRYPTION_AT_REST_NOT_ENABLED if the provider is not enabled.
func (s *Service) KeyFor(ctx context.Context, groupID string, p atlas.Provider, fresh bool) (*kms.Key, ledger.CMK, error) {
	settings, ref, err := s.currentReference(ctx, groupID, p)
	if err != nil {
		return nil, ledger.CMK{}, err
	}
	name, err := ledgerName(settings, ref)
	if err != nil {
		return nil, ledger.CMK{}, err
	}
	key, err := s.openKey(ref, fresh)
	return key, ledger.CMK{Provider: p, Name: name}, err
}

// KeyOf opens a key that the ledger names, whether the group still uses it or not, with the
// credentials of now. A multi-Region key of AWS is opened in the region that the group uses now,
// so that moving to another region rescues what was wrapped before. While a change of how keys are
// reached is not finished, what the new way may not open is opened the former way.
func (s *Service) KeyOf(ctx context.Context, groupID string, cmk ledger.CMK, fresh bool) (*kms.Key, error) {
	settings, err := s.loadEnabled(ctx, groupID, cmk.Provider)
	if err != nil {
		return nil, err
	}
	key, err := s.keyBy(ctx, settings, cmk, fresh)
	f, isHeld := settings.Fallback(cmk.Provider)
	if !isHeld {
		return key, err
	}
	former, formerErr := s.keyBy(ctx, settings.back(f), cmk, fresh)
	switch {
	case formerErr != nil:
		return key, err
	case err != nil:
		return former, nil //nolint:nilerr // the former way is there for that
	}
	return key.Or(former), nil
}

// keyBy opens a key of the ledger as settings reach it.
func (s *Service) keyBy(ctx context.Context, settings Settings, cmk ledger.CMK, fresh bool) (*kms.Key, error) {
	ref, err := s.wayTo(ctx, settings, cmk)
	if err != nil {
		return nil, err
	}
	return s.openKey(ref, fresh)
}

// loadEnabled reads settings at which a provider is enabled.
func (s *Service) loadEnabled(ctx context.Context, groupID string, p atlas.Provider) (Settings, error) {
	settings, err := s.Load(ctx, groupID)
	if err == nil && settings.Key(p) == nil {
		err = atlas.Fail(atlas.EARNotEnabled, groupID)
	}
	return settings, err
}

func (s *Service) currentReference(ctx context.Context, groupID string, p atlas.Provider) (Settings, kms.Reference, error) {
	settings, err := s.loadEnabled(ctx, groupID, p)
	if err != nil {
		return Settings{}, kms.Reference{}, err
	}
	ref, err := s.reference(ctx, settings, p, credential{})
	return settings, ref, err
}

func (s *Service) openKey(ref kms.Reference, fresh bool) (*kms.Key, error) {
	if fresh {
		return s.Keys.Renew(ref)
	}
	return s.Keys.Open(ref)
}

// ledgerName is the one name that the ledger has for a key, however the tenant spells it.
func ledgerName(settings Settings, ref kms.Reference) (string, error) {
	switch {
	case ref.AWS != nil:
		configured := ledger.CMK{Provider: atlas.AWS, Name: ref.AWS.KeyName}
		return configured.At(settings.AWS.Key.Version).Name, nil
	case ref.Azure != nil:
		id, err := atlas.ParseAzureKeyID(ref.Azure.KeyIdentifier)
		if err != nil {
			return "", err
		}
		return azureName(id), nil
	default:
		version, err := atlas.ParseGoogleKeyVersion(ref.Google.KeyVersion)
		if err != nil {
			return "", err
		}
		return version.CryptoKey(), nil
	}
}

func azureName(id atlas.AzureKeyID) string {
	return id.VaultURL() + "/keys/" + strings.ToLower(id.Name) // case says nothing there
}

// referenceOf names a key of the ledger as its provider knows it, without a way to reach it.
func (s Settings) referenceOf(cmk ledger.CMK) (kms.Reference, error) {
	ref := kms.Reference{GroupID: s.GroupID}
	switch cmk.Provider {
	case atlas.AWS:
		name, err := atlas.ParseAWSKeyName(cmk.Name)
		if err != nil {
			return ref, err
		}
		name, region, err := s.locate(name)
		ref.AWS = &kms.AWSReference{KeyName: name.String(), Region: region.String()}
		return ref, err
	case atlas.Azure:
		id, err := atlas.ParseAzureKeyID(cmk.Name)
		if err != nil {
			return ref, err
		}
		ref.Azure = &kms.AzureReference{Environment: string(id.Environment), KeyIdentifier: id.At(cmk.Version).String()}
	case atlas.GCP:
		version, err := atlas.ParseGoogleKeyVersion(cmk.Name + "/cryptoKeyVersions/" + cmk.Version)
		if err != nil {
			return ref, err
		}
		ref.Google = &kms.GoogleReference{KeyVersion: version.String()}
	}
	return ref, nil
}

// locate finds out where a key of the ledger is: in the region of its ARN, unless it is a multi-Region
// key that is configured now, or was, which is wherever that is. A name without a region can only be
// in the one that is configured.
func (s Settings) locate(name atlas.AWSKeyName) (atlas.AWSKeyName, atlas.AWSRegion, error) {
	if !name.IsARN() {
		region, err := atlas.ParseAWSRegion(s.AWS.Region)
		return name, region, err
	}
	if at := s.regionOf(name); at != "" {
		region, err := atlas.ParseAWSRegion(at)
		return name.InRegion(region), region, err
	}
	return name, name.Region, nil
}

// regionOf is the region in which a multi-Region key is configured, or was last; "" for every other key.
func (s Settings) regionOf(name atlas.AWSKeyName) string {
	if !name.IsMultiRegion() {
		return ""
	}
	if s.AWS != nil {
		if configured, err := atlas.ParseAWSKeyName(s.AWS.arn()); err == nil && configured.ID == name.ID {
			return s.AWS.Region
		}
	}
	return s.Regions[name.ID]
}

// remember keeps where the key was that is about to be replaced, if it is a multi-Region key.
func (s *Settings) remember(former *AWS) {
	if former == nil {
		return
	}
	name, err := atlas.ParseAWSKeyName(former.arn())
	if err != nil || !name.IsMultiRegion() {
		return
	}
	s.Regions = maps.Clone(s.Regions)
	if s.Regions == nil {
		s.Regions = map[string]string{}
	}
	s.Regions[name.ID] = former.Region
}

// arn is the ARN of the configured key as of the last full check, or the name that the tenant gave.
func (a AWS) arn() string {
	return ledger.CMK{Provider: atlas.AWS, Name: a.KeyID}.At(a.Key.Version).Name
}

// isAlso reports whether a name is another one of the same multi-Region key, as it is called in this region
// or another one.
func (a AWS) isAlso(named string) bool {
	configured, err := atlas.ParseAWSKeyName(a.arn())
	if err != nil || !configured.IsMultiRegion() {
		return false
	}
	name, err := atlas.ParseAWSKeyName(named)
	return err == nil && name.ID == configured.ID && (!name.IsARN() || !configured.IsARN() || name.InRegion(configured.Region) == configured)
}

// Located names a key of the ledger as it is reached: a multi-Region key in the region that it was moved
// to, where it must be kept.
func (s Settings) Located(cmk ledger.CMK) ledger.CMK {
	name, err := atlas.ParseAWSKeyName(cmk.Name)
	if cmk.Provider != atlas.AWS || err != nil || !name.IsARN() {
		return cmk
	}
	at, _, err := s.locate(name)
	if err != nil {
		return cmk
	}
	if rest, isOf := strings.CutPrefix(cmk.Version, cmk.Name); isOf {
		cmk.Version = at.String() + rest
	}
	cmk.Name = at.String()
	return cmk
}
