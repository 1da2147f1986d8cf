package awscloud

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"latchkey/shared/atlas"
)

// The states of a key that are decided here.
const (
	stateCreating               = "Creating"
	stateEnabled                = "Enabled"
	stateDisabled               = "Disabled"
	statePendingImport          = "PendingImport"
	statePendingDeletion        = "PendingDeletion"
	statePendingReplicaDeletion = "PendingReplicaDeletion"
)

// key is a KMS key in one region. Replicas of a multi-Region key are keys of their own that
// share a family.
type key struct {
	ID          string
	Account     string
	Partition   atlas.AWSPartition
	Region      string
	Description string `json:",omitempty"`
	Usage       string
	Spec        string
	Origin      string
	MultiRegion bool `json:",omitempty"`
	Tags        []tag
	Created     time.Time
	ReadyAt     time.Time // a replica is Creating until then
	Disabled    bool      `json:",omitempty"`
	// WindowDays is the waiting period of a scheduled deletion; 0 is none scheduled.
	WindowDays int `json:",omitempty"`
	// DeletionDate is when the key goes; zero while a primary key waits for its replicas to go.
	DeletionDate time.Time
	Policy       timeline[string]

	family *family
}

type tag struct{ TagKey, TagValue string }

// family is what the replicas of a multi-Region key share: its key material. A single-Region
// key is alone in its family.
type family struct {
	Account   string
	KeyID     string
	Primary   string     // region
	Regions   []string   // of all replicas, the primary too
	Materials []material // oldest first; the last one encrypts
	OnDemand  int        // rotations on demand so far
	// RotationDays is the period of automatic rotation; 0 is none.
	RotationDays int
	RotateFrom   time.Time // when the current period began
}

// material is one generation of key material.
type material struct {
	ID     string
	Secret []byte
	Since  time.Time
	Reason string `json:",omitempty"` // "AUTOMATIC", "ON_DEMAND"; "" for the first
}

func newMaterial(now time.Time, reason string) material {
	secret := random(32)
	sum := sha256.Sum256(append([]byte("key material id"), secret...))
	return material{ID: hex.EncodeToString(sum[:]), Secret: secret, Since: now, Reason: reason}
}

func (f *family) current() (material, bool) {
	if len(f.Materials) == 0 {
		return material{}, false
	}
	return f.Materials[len(f.Materials)-1], true
}

func (f *family) material(id string) (material, bool) {
	i := slices.IndexFunc(f.Materials, func(m material) bool { return m.ID == id })
	if i < 0 {
		return material{}, false
	}
	return f.Materials[i], true
}

func (k *key) arn() string { return k.arnIn(k.Region) }

// arnIn is the ARN of the replica in a region.
func (k *key) arnIn(region string) string {
	return atlas.AWSKeyName{Partition: k.Partition, Region: atlas.AWSRegion(region), Account: k.Account, ID: k.ID}.String()
}

func (k *key) state(now time.Time) string {
	switch {
	case !k.DeletionDate.IsZero():
		return statePendingDeletion
	case k.WindowDays > 0:
		return statePendingReplicaDeletion
	case now.Before(k.ReadyAt):
		return stateCreating
	case len(k.family.Materials) == 0:
		return statePendingImport
	case k.Disabled:
		return stateDisabled
	}
	return stateEnabled
}

// stateWords are how KMS speaks of the states in which a key cannot be used.
var stateWords = map[string]string{
	statePendingDeletion: "is pending deletion.", statePendingReplicaDeletion: "is pending replica deletion.",
	statePendingImport: "is pending import.", stateCreating: "is creating.",
}

// mustBe fails unless the key is in one of the states.
func (k *key) mustBe(now time.Time, states ...string) error {
	state := k.state(now)
	switch {
	case slices.Contains(states, state):
		return nil
	case state == stateDisabled:
		return fail("DisabledException", "%s is disabled.", k.arn())
	}
	return fail("KMSInvalidStateException", "%s %s", k.arn(), stateWords[state])
}

func keyKey(account, region, id string) string { return account + "/" + region + "/" + id }

// loadKey finds a key after everything that was due has been done to it; nil if there is none.
func (c *Cloud) loadKey(account, region, id string) (*key, error) {
	var f family
	found, err := c.state.Get(kindFamily, account+"/"+id, &f)
	if err != nil || !found {
		return nil, err
	}
	if err := c.settle(&f); err != nil {
		return nil, err
	}
	return c.readKey(&f, region)
}

func (c *Cloud) readKey(f *family, region string) (*key, error) {
	if !slices.Contains(f.Regions, region) {
		return nil, nil //nolint:nilnil // no key is an ordinary answer
	}
	k := &key{family: f}
	found, err := c.state.Get(kindKey, keyKey(f.Account, region, f.KeyID), k)
	if err != nil || !found {
		return nil, err
	}
	return k, nil
}

func (c *Cloud) saveKey(k *key) error {
	return c.state.Put(kindKey, keyKey(k.Account, k.Region, k.ID), k)
}

func (c *Cloud) saveFamily(f *family) error {
	return c.state.Put(kindFamily, f.Account+"/"+f.KeyID, f)
}

// settle does what was due by now to a family of keys: deletions, replicas first, and
// automatic rotation.
func (c *Cloud) settle(f *family) error {
	regions := slices.DeleteFunc(slices.Clone(f.Regions), func(r string) bool { return r == f.Primary })
	if slices.Contains(f.Regions, f.Primary) {
		regions = append(regions, f.Primary)
	}
	for _, region := range regions {
		k, err := c.readKey(f, region)
		if err != nil {
			return err
		}
		if k == nil || k.DeletionDate.IsZero() || c.cfg.Now().Before(k.DeletionDate) {
			continue
		}
		if err := c.purge(k); err != nil {
			return err
		}
	}
	return c.rotateWhenDue(f)
}

// purge removes a key whose waiting period is over. When the last replica of a primary key
// that waits to be deleted goes, the primary's own waiting period begins. The family, which
// says that the key exists, is written first: what a crash leaves behind after that is
// unreachable.
func (c *Cloud) purge(k *key) error {
	f := k.family
	f.Regions = slices.DeleteFunc(slices.Clone(f.Regions), func(r string) bool { return r == k.Region })
	if len(f.Regions) == 1 && k.Region != f.Primary {
		if err := c.startWaiting(f, k.DeletionDate); err != nil {
			return err
		}
	}
	var err error
	if len(f.Regions) == 0 {
		err = c.state.Delete(kindFamily, f.Account+"/"+f.KeyID)
	} else {
		err = c.saveFamily(f)
	}
	if err != nil {
		return err
	}
	if err := c.purgeAliases(k); err != nil {
		return err
	}
	return c.state.Delete(kindKey, keyKey(k.Account, k.Region, k.ID))
}

// startWaiting begins the waiting period of a primary key whose last replica is gone.
func (c *Cloud) startWaiting(f *family, from time.Time) error {
	primary, err := c.readKey(f, f.Primary)
	if err != nil || primary == nil || primary.WindowDays == 0 || !primary.DeletionDate.IsZero() {
		return err
	}
	primary.DeletionDate = from.AddDate(0, 0, primary.WindowDays)
	return c.saveKey(primary)
}

// rotateWhenDue adds the key material of every period of automatic rotation that has passed.
func (c *Cloud) rotateWhenDue(f *family) error {
	if f.RotationDays == 0 || len(f.Regions) == 0 {
		return nil
	}
	changed := false
	for next := f.nextRotation(); !c.cfg.Now().Before(next); next = f.nextRotation() {
		f.Materials = append(f.Materials, newMaterial(next, "AUTOMATIC"))
		f.RotateFrom, changed = next, true
	}
	if !changed {
		return nil
	}
	return c.saveFamily(f)
}

func (f *family) nextRotation() time.Time { return f.RotateFrom.AddDate(0, 0, f.RotationDays) }

// findKey finds the key that a request names by id, alias name or the ARN of either. The
// account of a name without one is the caller's.
func (k *kmsCall) findKey(name string) (*key, error) {
	if name == "" {
		return nil, invalidValue("Value null at 'keyId' failed to satisfy constraint: Member must not be null")
	}
	parsed, err := atlas.ParseAWSKeyName(name)
	if err != nil && strings.HasPrefix(name, "arn:") {
		return nil, fail("InvalidArnException", "Invalid arn %s", name)
	}
	if err != nil {
		return nil, fail("NotFoundException", "Invalid keyId '%s'", name)
	}
	if !parsed.IsARN() {
		parsed.Partition, parsed.Region, parsed.Account = k.who.partition, atlas.AWSRegion(k.region), k.who.name.Account
	}
	if string(parsed.Region) != k.region {
		return nil, fail("NotFoundException", "Invalid arn %s", parsed.Region)
	}
	if parsed.IsAlias() {
		return k.findAlias(parsed)
	}
	found, err := k.loadKey(parsed.Account, k.region, parsed.ID)
	if err == nil && found == nil {
		err = k.notFound(parsed.Account, fail("NotFoundException", "Key '%s' does not exist", parsed))
	}
	return found, err
}

// notFound is the failure for what does not exist in an account: other accounts are not told.
func (k *kmsCall) notFound(account string, own error) error {
	if account != k.who.name.Account {
		return k.absent(k.action)
	}
	return own
}

// usableKey is the key that a request names, which the caller may perform action on.
func (k *kmsCall) usableKey(name, action string) (*key, error) {
	found, err := k.findKey(name)
	if err != nil {
		return nil, err
	}
	return found, k.allowKey(found, action)
}

// ownKey is the key that an administrative request names: by id or key ARN, in the caller's
// own account.
func (k *kmsCall) ownKey(name string) (*key, error) {
	if parsed, err := atlas.ParseAWSKeyName(name); err == nil && parsed.IsAlias() {
		if parsed.IsARN() {
			return nil, fail("InvalidArnException", "Invalid arn %s: this operation takes a key id or key ARN", name)
		}
		return nil, fail("NotFoundException", "Invalid keyId '%s'", name)
	}
	found, err := k.usableKey(name, k.action)
	if err != nil {
		return nil, err
	}
	if found.Account != k.who.name.Account {
		return nil, k.absent(k.action)
	}
	return found, nil
}
