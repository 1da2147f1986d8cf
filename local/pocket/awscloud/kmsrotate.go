package awscloud

import (
	"slices"
	"time"

	"latchkey/shared/atlas"
)

// Limits of rotation.
const (
	maxOnDemand     = 25 // rotations on demand in a key's life
	minRotation     = 90 // days
	maxRotation     = 2560
	defaultRotation = 365
)

// mustRotate fails unless the key's material can be rotated: KMS must have made it, and only
// the primary of a multi-Region key decides.
func (k *key) mustRotate() error {
	if k.Spec != "SYMMETRIC_DEFAULT" || k.Origin != "AWS_KMS" {
		return fail("UnsupportedOperationException", "%s origin is %s and its key spec %s, which is not valid for this operation.", k.arn(), k.Origin, k.Spec)
	}
	if k.family.Primary != k.Region {
		return fail("UnsupportedOperationException", "%s is a multi-Region replica key. Call the operation on its primary key.", k.arn())
	}
	return nil
}

func (k *kmsCall) rotateKeyOnDemand(found *key, _ keyIn) (any, error) {
	if err := found.mustBe(k.now, stateEnabled); err != nil {
		return nil, err
	}
	if err := found.mustRotate(); err != nil {
		return nil, err
	}
	f := found.family
	if f.OnDemand >= maxOnDemand {
		return nil, fail("LimitExceededException", "%s has reached the limit of %d on-demand rotations.", found.arn(), maxOnDemand)
	}
	f.OnDemand++
	f.Materials = append(f.Materials, newMaterial(k.now, "ON_DEMAND"))
	return map[string]string{"KeyId": found.ID}, k.saveFamily(f)
}

type listRotationsIn struct {
	keyIn
	IncludeKeyMaterial string
	Limit              *int
	Marker             string
}

func (k *kmsCall) listKeyRotations(found *key, in listRotationsIn) (any, error) {
	if found.Spec != "SYMMETRIC_DEFAULT" {
		return nil, fail("UnsupportedOperationException", "%s key spec is %s, which is not valid for this operation.", found.arn(), found.Spec)
	}
	current, _ := found.family.current()
	var all []material
	for _, m := range found.family.Materials {
		if m.Reason != "" || in.IncludeKeyMaterial == "ALL_KEY_MATERIAL" {
			all = append(all, m)
		}
	}
	// A marker is the instant and id of the last rotation shown: rotations are in order of time.
	part, next := page(all, func(m material) string { return m.Since.UTC().Format(time.RFC3339Nano) + m.ID }, in.Marker, in.Limit)
	list := []map[string]any{}
	for _, m := range part {
		entry := map[string]any{"KeyId": found.ID, "KeyMaterialId": m.ID, "KeyMaterialState": "NON_CURRENT"}
		if m.ID == current.ID {
			entry["KeyMaterialState"] = "CURRENT"
		}
		if m.Reason != "" {
			entry["RotationDate"], entry["RotationType"] = epoch(m.Since), m.Reason
		}
		list = append(list, entry)
	}
	return listed("Rotations", list, next), nil
}

type enableRotationIn struct {
	keyIn
	RotationPeriodInDays *int
}

func (k *kmsCall) enableKeyRotation(found *key, in enableRotationIn) (any, error) {
	if err := found.mustBe(k.now, stateEnabled); err != nil {
		return nil, err
	}
	if err := found.mustRotate(); err != nil {
		return nil, err
	}
	days := defaultRotation
	if in.RotationPeriodInDays != nil {
		days = *in.RotationPeriodInDays
	}
	if days < minRotation || days > maxRotation {
		return nil, invalidValue("Value '%d' at 'rotationPeriodInDays' failed to satisfy constraint: Member must be between 90 and 2560", days)
	}
	if f := found.family; f.RotationDays != days {
		f.RotationDays, f.RotateFrom = days, k.now
	}
	return nil, k.saveFamily(found.family)
}

func (k *kmsCall) disableKeyRotation(found *key, _ keyIn) (any, error) {
	if err := found.mustBe(k.now, stateEnabled); err != nil {
		return nil, err
	}
	if err := found.mustRotate(); err != nil {
		return nil, err
	}
	found.family.RotationDays = 0
	return nil, k.saveFamily(found.family)
}

func (k *kmsCall) getKeyRotationStatus(in keyIn) (any, error) {
	found, err := k.usableKey(in.KeyId, k.action)
	if err != nil {
		return nil, err
	}
	if found.Spec != "SYMMETRIC_DEFAULT" {
		return nil, fail("UnsupportedOperationException", "%s key spec is %s, which is not valid for this operation.", found.arn(), found.Spec)
	}
	out := map[string]any{"KeyId": found.arn(), "KeyRotationEnabled": found.family.RotationDays > 0}
	if days := found.family.RotationDays; days > 0 {
		out["RotationPeriodInDays"], out["NextRotationDate"] = days, epoch(found.family.nextRotation())
	}
	return out, nil
}

type replicateIn struct {
	keyIn
	ReplicaRegion                  string
	Policy                         string
	Description                    string
	Tags                           []tag
	BypassPolicyLockoutSafetyCheck bool
}

func (k *kmsCall) replicateKey(found *key, in replicateIn) (any, error) {
	if err := found.mustBe(k.now, stateEnabled); err != nil {
		return nil, err
	}
	if err := found.mustBePrimary(in.ReplicaRegion); err != nil {
		return nil, err
	}
	if slices.Contains(found.family.Regions, in.ReplicaRegion) {
		return nil, fail("AlreadyExistsException", "Replica key %s already exists.", found.arnIn(in.ReplicaRegion))
	}
	replica := &key{
		ID: found.ID, Account: found.Account, Partition: found.Partition, Region: in.ReplicaRegion, Description: in.Description,
		Usage: found.Usage, Spec: found.Spec, Origin: found.Origin, MultiRegion: true, Tags: in.Tags, Created: k.now,
		ReadyAt: k.now.Add(k.cfg.Lag()),
	}
	if err := k.setPolicy(replica, in.Policy, in.BypassPolicyLockoutSafetyCheck); err != nil {
		return nil, err
	}
	if err := k.addKey(replica); err != nil {
		return nil, err
	}
	text, _ := replica.Policy.latest()
	return map[string]any{
		"ReplicaKeyMetadata": replica.metadata(k.now), "ReplicaPolicy": text, "ReplicaTags": append([]tag{}, in.Tags...),
	}, nil
}

// mustBePrimary fails unless the key is a multi-Region primary and other is another region of
// its partition.
func (k *key) mustBePrimary(other string) error {
	if !k.MultiRegion || k.family.Primary != k.Region {
		return fail("UnsupportedOperationException", "%s is not a multi-Region primary key.", k.arn())
	}
	if other == k.Region || atlas.AWSRegion(other).Partition() != k.Partition {
		return fail("ValidationException", "The region %s is not valid for this operation.", other)
	}
	return nil
}

type updatePrimaryIn struct {
	keyIn
	PrimaryRegion string
}

func (k *kmsCall) updatePrimaryRegion(found *key, in updatePrimaryIn) (any, error) {
	if err := found.mustBe(k.now, stateEnabled, stateDisabled); err != nil {
		return nil, err
	}
	if err := found.mustBePrimary(in.PrimaryRegion); err != nil {
		return nil, err
	}
	if !slices.Contains(found.family.Regions, in.PrimaryRegion) {
		return nil, fail("NotFoundException", "Key '%s' does not exist", found.arnIn(in.PrimaryRegion))
	}
	found.family.Primary = in.PrimaryRegion
	return nil, k.saveFamily(found.family)
}
