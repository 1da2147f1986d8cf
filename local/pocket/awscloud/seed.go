package awscloud

import (
	"fmt"
	"maps"
	"strings"

	"latchkey/local/pocket/awscloud/policy"
	"latchkey/shared/atlas"
)

// seed creates what the accounts should have and do not. All users and roles come first,
// since policies may only name principals that exist.
func (c *Cloud) seed(accounts []Account) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, a := range accounts {
		if err := c.seedIdentities(c.accounts[a.ID]); err != nil {
			return fmt.Errorf("awscloud: account %s: %w", a.ID, err)
		}
	}
	for _, a := range accounts {
		if err := c.seedKeys(c.accounts[a.ID]); err != nil {
			return fmt.Errorf("awscloud: account %s: %w", a.ID, err)
		}
	}
	return nil
}

func (c *Cloud) seedIdentities(a Account) error {
	if a.Root.AccessKeyID != "" {
		if err := c.seedAccessKey(accessKey{Account: a.ID}, a.Root); err != nil {
			return err
		}
	}
	for _, u := range a.Users {
		if err := c.seedUser(a, u); err != nil {
			return fmt.Errorf("user %s: %w", u.Name, err)
		}
	}
	for _, r := range a.Roles {
		if err := c.seedRole(a, r); err != nil {
			return fmt.Errorf("role %s: %w", r.Name, err)
		}
	}
	return nil
}

// once creates something unless that was done before: what its owner deleted stays deleted.
func (c *Cloud) once(what string, create func() error) error {
	id := "seeded/" + what
	var done bool
	if _, err := c.state.Get(kindSystem, id, &done); err != nil || done {
		return err
	}
	if err := create(); err != nil {
		return err
	}
	return c.state.Put(kindSystem, id, true)
}

// seedAccessKey creates an access key, or gives it the secret that it should have now.
func (c *Cloud) seedAccessKey(k accessKey, keys Keys) error {
	var old accessKey
	found, err := c.state.Get(kindAccessKey, keys.AccessKeyID, &old)
	if err != nil {
		return err
	}
	if found && old.Secret != keys.SecretAccessKey {
		old.Secret = keys.SecretAccessKey
		return c.state.Put(kindAccessKey, old.ID, old)
	}
	return c.once("access-key/"+keys.AccessKeyID, func() error {
		now, active := c.cfg.Now(), statusActive
		k.ID, k.Secret, k.Created = keys.AccessKeyID, keys.SecretAccessKey, now
		k.Status = k.Status.with(&active, now, 0)
		return c.state.Put(kindAccessKey, k.ID, k)
	})
}

func (c *Cloud) seedUser(a Account, u User) error {
	for _, keys := range u.Keys {
		if err := c.seedAccessKey(accessKey{Account: a.ID, User: u.Name}, keys); err != nil {
			return err
		}
	}
	return c.once("user/"+entityKey(a.ID, u.Name), func() error {
		e, err := c.seedEntity("AIDA", u.Name, u.Path, u.Policies)
		if err != nil {
			return err
		}
		return c.state.Put(kindUser, entityKey(a.ID, u.Name), timeline[user]{}.with(&user{e}, c.cfg.Now(), 0))
	})
}

func (c *Cloud) seedRole(a Account, r Role) error {
	if r.Keys.AccessKeyID != "" {
		if err := c.seedAccessKey(accessKey{Account: a.ID, Role: r.Name, Session: r.Session}, r.Keys); err != nil {
			return err
		}
	}
	return c.once("role/"+entityKey(a.ID, r.Name), func() error {
		e, err := c.seedEntity("AROA", r.Name, r.Path, r.Policies)
		if err != nil {
			return err
		}
		if _, err := policy.Parse(r.Trust, policy.Trust); err != nil {
			return fmt.Errorf("trust policy: %w", err)
		}
		made := &role{entity: e, Trust: r.Trust, MaxSession: defaultMaxSession}
		return c.state.Put(kindRole, entityKey(a.ID, r.Name), timeline[role]{}.with(made, c.cfg.Now(), 0))
	})
}

// Deploy does to an account of the cloud what a deployment does: it creates the users, roles
// and keys that are not there, and gives the roles their policies and the trust whatever they had.
func (c *Cloud) Deploy(a Account) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	known, ok := c.accounts[a.ID]
	if !ok {
		return fmt.Errorf("awscloud: there is no account %s", a.ID)
	}
	a.Partition = known.Partition
	if err := c.seedIdentities(a); err != nil {
		return fmt.Errorf("awscloud: account %s: %w", a.ID, err)
	}
	for _, r := range a.Roles {
		if err := c.redeploy(a, r); err != nil {
			return fmt.Errorf("awscloud: role %s: %w", r.Name, err)
		}
	}
	return c.seedKeys(a)
}

// redeploy gives a role the policies and the trust that it should have now, unless somebody
// deleted it.
func (c *Cloud) redeploy(a Account, r Role) error {
	t, err := c.role(a.ID, r.Name)
	if err != nil {
		return err
	}
	made, ok := t.latest()
	if !ok || maps.Equal(made.Policies, r.Policies) && made.Trust == r.Trust {
		return nil
	}
	if _, err := parseAll(r.Policies); err != nil {
		return err
	}
	if _, err := policy.Parse(r.Trust, policy.Trust); err != nil {
		return fmt.Errorf("trust policy: %w", err)
	}
	made.Policies, made.Trust = r.Policies, r.Trust
	return c.state.Put(kindRole, entityKey(a.ID, r.Name), t.with(&made, c.cfg.Now(), 0))
}

func (c *Cloud) seedEntity(prefix, name, path string, policies map[string]string) (entity, error) {
	if path == "" {
		path = "/"
	}
	if !entityName.MatchString(name) || !entityPath.MatchString(path) {
		return entity{}, fmt.Errorf("name %q or path %q is not one that IAM gives", name, path)
	}
	_, err := parseAll(policies)
	return entity{Name: name, Path: path, ID: uniqueID(prefix, 17), Created: c.cfg.Now(), Policies: policies}, err
}

func (c *Cloud) seedKeys(a Account) error {
	for _, k := range a.Keys {
		err := c.once("kms-key/"+keyKey(a.ID, k.Region, k.ID), func() error { return c.seedKey(a, k) })
		if err != nil {
			return fmt.Errorf("key %s: %w", k.ID, err)
		}
	}
	return nil
}

// maxSeedID bounds the ids of configured keys: longer than any that KMS makes, and short
// enough for the header of a ciphertext.
const maxSeedID = 64

func (c *Cloud) seedKey(a Account, k KMSKey) error {
	partition := atlas.AWSPartition(a.Partition)
	name, err := atlas.ParseAWSKeyName(k.ID)
	if err != nil || name.IsARN() || name.IsAlias() || len(k.ID) > maxSeedID || atlas.AWSRegion(k.Region).Partition() != partition {
		return fmt.Errorf("it is no key id, or the region %q is not one of the account's partition", k.Region)
	}
	text := k.Policy
	if text == "" {
		text = defaultKeyPolicy(partition, a.ID)
	}
	if _, err := c.checkKeyPolicy(text); err != nil {
		return err
	}
	made := &key{
		ID: k.ID, Account: a.ID, Partition: partition, Region: k.Region, Description: k.Description,
		MultiRegion: name.IsMultiRegion(), Created: c.cfg.Now(), Policy: timeline[string]{}.with(&text, c.cfg.Now(), 0),
	}
	if err := made.complete(); err != nil {
		return err
	}
	if err := c.addKey(made); err != nil || k.Alias == "" {
		return err
	}
	if !strings.HasPrefix(k.Alias, "alias/") {
		return fmt.Errorf("alias %q does not start with alias/", k.Alias)
	}
	return c.state.Put(kindAlias, keyKey(a.ID, k.Region, k.Alias), alias{Name: k.Alias, KeyID: k.ID, Created: made.Created, Updated: made.Created})
}
