package awscloud

import (
	"encoding/hex"
	"slices"
	"strings"
	"time"
)

// specs says what keys of each kind are for; the first usage is the default, where KMS has one.
var specs = map[string][]string{
	"SYMMETRIC_DEFAULT": {"ENCRYPT_DECRYPT"},
	"RSA_2048":          {"", "ENCRYPT_DECRYPT", "SIGN_VERIFY"}, "RSA_3072": {"", "ENCRYPT_DECRYPT", "SIGN_VERIFY"},
	"RSA_4096":      {"", "ENCRYPT_DECRYPT", "SIGN_VERIFY"},
	"ECC_NIST_P256": {"", "SIGN_VERIFY", "KEY_AGREEMENT"}, "ECC_NIST_P384": {"", "SIGN_VERIFY", "KEY_AGREEMENT"},
	"ECC_NIST_P521": {"", "SIGN_VERIFY", "KEY_AGREEMENT"}, "ECC_SECG_P256K1": {"", "SIGN_VERIFY"},
	"HMAC_224": {"", "GENERATE_VERIFY_MAC"}, "HMAC_256": {"", "GENERATE_VERIFY_MAC"},
	"HMAC_384": {"", "GENERATE_VERIFY_MAC"}, "HMAC_512": {"", "GENERATE_VERIFY_MAC"},
}

type createKeyIn struct {
	Policy                         string
	Description                    string
	KeyUsage                       string
	KeySpec                        string
	CustomerMasterKeySpec          string
	Origin                         string
	MultiRegion                    bool
	Tags                           []tag
	BypassPolicyLockoutSafetyCheck bool
}

func (k *kmsCall) createKey(in createKeyIn) (any, error) {
	if err := k.allowAny("*"); err != nil {
		return nil, err
	}
	made := &key{
		ID: newUUID(), Account: k.who.name.Account, Partition: k.who.partition, Region: k.region, Description: in.Description,
		Usage: in.KeyUsage, Spec: in.KeySpec, Origin: in.Origin, MultiRegion: in.MultiRegion, Tags: in.Tags, Created: k.now,
	}
	if in.MultiRegion {
		made.ID = "mrk-" + hex.EncodeToString(random(16))
	}
	if made.Spec == "" {
		made.Spec = in.CustomerMasterKeySpec
	}
	if err := made.complete(); err != nil {
		return nil, err
	}
	if err := k.setPolicy(made, in.Policy, in.BypassPolicyLockoutSafetyCheck); err != nil {
		return nil, err
	}
	if err := k.addKey(made); err != nil {
		return nil, err
	}
	return map[string]any{"KeyMetadata": made.metadata(k.now)}, nil
}

// complete fills in the defaults of a new key and refuses combinations that KMS does not have.
func (k *key) complete() error {
	if k.Spec == "" {
		k.Spec = "SYMMETRIC_DEFAULT"
	}
	usages, ok := specs[k.Spec]
	if !ok {
		return invalidValue("Value '%s' at 'keySpec' failed to satisfy constraint: Member must satisfy enum value set", k.Spec)
	}
	if k.Usage == "" {
		k.Usage = usages[0]
	}
	if k.Usage == "" {
		return fail("ValidationException", "You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys.")
	}
	if !slices.Contains(usages, k.Usage) {
		return fail("ValidationException", "KeyUsage %s is not compatible with KeySpec %s", k.Usage, k.Spec)
	}
	switch k.Origin {
	case "":
		k.Origin = "AWS_KMS"
	case "AWS_KMS", "EXTERNAL":
	default:
		return fail("UnsupportedOperationException", "Origin %s is not supported.", k.Origin)
	}
	return nil
}

// addKey stores a new key with its first key material, which an EXTERNAL key has none of yet.
// A key whose family exists in another region joins it as a replica.
func (c *Cloud) addKey(k *key) error {
	f := &family{Account: k.Account, KeyID: k.ID, Primary: k.Region}
	found, err := c.state.Get(kindFamily, f.Account+"/"+f.KeyID, f)
	if err != nil {
		return err
	}
	if !found && k.Origin != "EXTERNAL" {
		f.Materials = []material{newMaterial(k.Created, "")}
	}
	if !slices.Contains(f.Regions, k.Region) {
		f.Regions = append(f.Regions, k.Region)
	}
	k.family = f
	if err := c.saveKey(k); err != nil {
		return err
	}
	return c.saveFamily(f) // last: a key that its family does not name does not exist
}

func (k *kmsCall) describeKey(in keyIn) (any, error) {
	found, err := k.usableKey(in.KeyId, k.action)
	if err != nil {
		return nil, err
	}
	return map[string]any{"KeyMetadata": found.metadata(k.now)}, nil
}

type listIn struct {
	KeyId  string //nolint:revive // AWS's spelling
	Limit  *int
	Marker string
}

func (k *kmsCall) listKeys(in listIn) (any, error) {
	if err := k.allowAny("*"); err != nil {
		return nil, err
	}
	var ids []string
	err := k.state.Each(kindKey, func(id string, _ []byte) error {
		if own, ok := strings.CutPrefix(id, k.who.name.Account+"/"+k.region+"/"); ok {
			ids = append(ids, own)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	part, next := page(ids, func(s string) string { return s }, in.Marker, in.Limit)
	list := []map[string]string{}
	for _, id := range part {
		found, err := k.loadKey(k.who.name.Account, k.region, id)
		if err != nil {
			return nil, err
		}
		if found != nil {
			list = append(list, map[string]string{"KeyId": id, "KeyArn": found.arn()})
		}
	}
	return listed("Keys", list, next), nil
}

// listed is a page of a list as KMS returns it.
func listed(name string, items any, next string) map[string]any {
	out := map[string]any{name: items, "Truncated": next != ""}
	if next != "" {
		out["NextMarker"] = next
	}
	return out
}

func (k *kmsCall) listResourceTags(found *key, _ keyIn) (any, error) {
	return listed("Tags", append([]tag{}, found.Tags...), ""), nil
}

func (k *kmsCall) enableKey(found *key, _ keyIn) (any, error) {
	if err := found.mustBe(k.now, stateEnabled, stateDisabled); err != nil {
		return nil, err
	}
	found.Disabled = false
	return nil, k.saveKey(found)
}

func (k *kmsCall) disableKey(found *key, _ keyIn) (any, error) {
	if err := found.mustBe(k.now, stateEnabled, stateDisabled); err != nil {
		return nil, err
	}
	found.Disabled = true
	return nil, k.saveKey(found)
}

// The waiting period before a key is deleted, in days.
const (
	minWindow     = 7
	maxWindow     = 30
	defaultWindow = 30
)

type scheduleIn struct {
	keyIn
	PendingWindowInDays *int
}

func (k *kmsCall) scheduleKeyDeletion(found *key, in scheduleIn) (any, error) {
	if err := found.mustBe(k.now, stateEnabled, stateDisabled, statePendingImport); err != nil {
		return nil, err
	}
	days := defaultWindow
	if in.PendingWindowInDays != nil {
		days = *in.PendingWindowInDays
	}
	if days < minWindow || days > maxWindow {
		return nil, invalidValue("Value '%d' at 'pendingWindowInDays' failed to satisfy constraint: Member must be between 7 and 30", days)
	}
	found.WindowDays = days
	if found.family.Primary != found.Region || len(found.family.Regions) == 1 {
		found.DeletionDate = k.now.AddDate(0, 0, days)
	}
	out := map[string]any{"KeyId": found.arn(), "KeyState": found.state(k.now), "PendingWindowInDays": days}
	if at := epoch(found.DeletionDate); at != nil {
		out["DeletionDate"] = at
	}
	return out, k.saveKey(found)
}

func (k *kmsCall) cancelKeyDeletion(found *key, _ keyIn) (any, error) {
	if found.WindowDays == 0 {
		return nil, fail("KMSInvalidStateException", "%s is not pending deletion.", found.arn())
	}
	found.WindowDays, found.DeletionDate, found.Disabled = 0, time.Time{}, true
	return map[string]any{"KeyId": found.arn()}, k.saveKey(found)
}

// metadata is what DescribeKey tells of a key.
type metadata struct {
	AWSAccountId                string //nolint:revive // AWS's spelling, as all that follow
	KeyId                       string //nolint:revive // AWS's spelling
	Arn                         string
	CreationDate                *float64
	Enabled                     bool
	Description                 string
	KeyUsage                    string
	KeyState                    string
	DeletionDate                *float64 `json:",omitempty"`
	PendingDeletionWindowInDays int      `json:",omitempty"`
	Origin                      string
	KeyManager                  string
	CustomerMasterKeySpec       string
	KeySpec                     string
	EncryptionAlgorithms        []string `json:",omitempty"`
	MultiRegion                 bool
	MultiRegionConfiguration    *multiRegion `json:",omitempty"`
	CurrentKeyMaterialId        string       `json:",omitempty"` //nolint:revive // AWS's spelling
}

type multiRegion struct {
	MultiRegionKeyType string
	PrimaryKey         regionalKey
	ReplicaKeys        []regionalKey
}

type regionalKey struct{ Arn, Region string }

func (k *key) metadata(now time.Time) metadata {
	state := k.state(now)
	m := metadata{
		AWSAccountId: k.Account, KeyId: k.ID, Arn: k.arn(), CreationDate: epoch(k.Created), Enabled: state == stateEnabled,
		Description: k.Description, KeyUsage: k.Usage, KeyState: state, DeletionDate: epoch(k.DeletionDate), Origin: k.Origin,
		KeyManager: "CUSTOMER", CustomerMasterKeySpec: k.Spec, KeySpec: k.Spec, MultiRegion: k.MultiRegion,
	}
	if state == statePendingReplicaDeletion {
		m.PendingDeletionWindowInDays = k.WindowDays
	}
	if k.Spec == "SYMMETRIC_DEFAULT" {
		m.EncryptionAlgorithms = []string{"SYMMETRIC_DEFAULT"}
		if current, ok := k.family.current(); ok {
			m.CurrentKeyMaterialId = current.ID
		}
	}
	if k.MultiRegion {
		m.MultiRegionConfiguration = k.regions()
	}
	return m
}

func (k *key) regions() *multiRegion {
	primary := k.family.Primary
	m := &multiRegion{
		MultiRegionKeyType: "REPLICA", PrimaryKey: regionalKey{k.arnIn(primary), primary}, ReplicaKeys: []regionalKey{},
	}
	if k.Region == primary {
		m.MultiRegionKeyType = "PRIMARY"
	}
	for _, region := range k.family.Regions {
		if region != primary {
			m.ReplicaKeys = append(m.ReplicaKeys, regionalKey{k.arnIn(region), region})
		}
	}
	return m
}
