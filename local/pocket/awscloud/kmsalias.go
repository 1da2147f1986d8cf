package awscloud

import (
	"encoding/json"
	"strings"
	"time"

	"latchkey/local/pocket/awscloud/policy"
	"latchkey/shared/atlas"
)

// alias is another name of a key in one region.
type alias struct {
	Name    string // "alias/…"
	KeyID   string
	Created time.Time
	Updated time.Time
}

func (c *Cloud) alias(account, region, name string) (alias, bool, error) {
	var a alias
	found, err := c.state.Get(kindAlias, keyKey(account, region, name), &a)
	return a, found, err
}

func (k *kmsCall) aliasARN(name string) string {
	return atlas.AWSKeyName{
		Partition: k.who.partition, Region: atlas.AWSRegion(k.region), Account: k.who.name.Account, Alias: name,
	}.String()
}

// findAlias is the key that an alias points to.
func (k *kmsCall) findAlias(name atlas.AWSKeyName) (*key, error) {
	a, found, err := k.alias(name.Account, k.region, name.Alias)
	if err != nil {
		return nil, err
	}
	missing := k.notFound(name.Account, fail("NotFoundException", "Alias %s is not found.", name))
	if !found {
		return nil, missing
	}
	target, err := k.loadKey(name.Account, k.region, a.KeyID)
	if err == nil && target == nil {
		err = missing
	}
	return target, err
}

type aliasIn struct {
	AliasName   string
	TargetKeyId string //nolint:revive // AWS's spelling
}

// aliasParams checks an alias's name and finds its target, on both of which the caller needs
// the permission.
func (k *kmsCall) aliasParams(in aliasIn) (*key, error) {
	parsed, err := atlas.ParseAWSKeyName(in.AliasName)
	if err != nil || !parsed.IsAlias() || parsed.IsARN() || strings.HasPrefix(in.AliasName, "alias/aws/") {
		return nil, fail("InvalidAliasNameException", "Alias must start with the prefix \"alias/\" and must not start with \"alias/aws/\".")
	}
	if err := k.allowAny(k.aliasARN(in.AliasName)); err != nil {
		return nil, err
	}
	target, err := k.ownKey(in.TargetKeyId)
	if err != nil {
		return nil, err
	}
	return target, target.mustBe(k.now, stateEnabled, stateDisabled, statePendingImport)
}

func (k *kmsCall) createAlias(in aliasIn) (any, error) {
	target, err := k.aliasParams(in)
	if err != nil {
		return nil, err
	}
	_, exists, err := k.alias(k.who.name.Account, k.region, in.AliasName)
	if err != nil {
		return nil, err
	}
	if exists {
		return nil, fail("AlreadyExistsException", "An alias with the name %s already exists", k.aliasARN(in.AliasName))
	}
	return nil, k.putAlias(alias{Name: in.AliasName, KeyID: target.ID, Created: k.now, Updated: k.now})
}

func (k *kmsCall) updateAlias(in aliasIn) (any, error) {
	target, err := k.aliasParams(in)
	if err != nil {
		return nil, err
	}
	a, exists, err := k.alias(k.who.name.Account, k.region, in.AliasName)
	if err != nil {
		return nil, err
	}
	if !exists {
		return nil, fail("NotFoundException", "Alias %s is not found.", k.aliasARN(in.AliasName))
	}
	a.KeyID, a.Updated = target.ID, k.now
	return nil, k.putAlias(a)
}

func (k *kmsCall) putAlias(a alias) error {
	return k.state.Put(kindAlias, keyKey(k.who.name.Account, k.region, a.Name), a)
}

func (k *kmsCall) deleteAlias(in aliasIn) (any, error) {
	a, exists, err := k.alias(k.who.name.Account, k.region, in.AliasName)
	if err != nil {
		return nil, err
	}
	if !exists {
		return nil, fail("NotFoundException", "Alias %s is not found.", k.aliasARN(in.AliasName))
	}
	if err := k.allowAny(k.aliasARN(in.AliasName)); err != nil {
		return nil, err
	}
	target, err := k.loadKey(k.who.name.Account, k.region, a.KeyID)
	if err != nil {
		return nil, err
	}
	if target != nil {
		if err := k.allowKey(target, k.action); err != nil {
			return nil, err
		}
	}
	return nil, k.state.Delete(kindAlias, keyKey(k.who.name.Account, k.region, in.AliasName))
}

func (k *kmsCall) listAliases(in listIn) (any, error) {
	if err := k.allowAny("*"); err != nil {
		return nil, err
	}
	target := ""
	if in.KeyId != "" {
		found, err := k.findKey(in.KeyId)
		if err != nil {
			return nil, err
		}
		target = found.ID
	}
	var all []alias
	err := k.eachAlias(k.who.name.Account, k.region, func(a alias) error {
		if target == "" || a.KeyID == target {
			all = append(all, a)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	part, next := page(all, func(a alias) string { return a.Name }, in.Marker, in.Limit)
	list := []map[string]any{}
	for _, a := range part {
		list = append(list, map[string]any{
			"AliasName": a.Name, "AliasArn": k.aliasARN(a.Name), "TargetKeyId": a.KeyID,
			"CreationDate": epoch(a.Created), "LastUpdatedDate": epoch(a.Updated),
		})
	}
	return listed("Aliases", list, next), nil
}

func (c *Cloud) eachAlias(account, region string, fn func(alias) error) error {
	return c.state.Each(kindAlias, func(id string, body []byte) error {
		if !strings.HasPrefix(id, account+"/"+region+"/") {
			return nil
		}
		var a alias
		if err := json.Unmarshal(body, &a); err != nil {
			return err
		}
		return fn(a)
	})
}

// purgeAliases removes the aliases of a key that goes.
func (c *Cloud) purgeAliases(k *key) error {
	return c.eachAlias(k.Account, k.Region, func(a alias) error {
		if a.KeyID != k.ID {
			return nil
		}
		return c.state.Delete(kindAlias, keyKey(k.Account, k.Region, a.Name))
	})
}

// defaultKeyPolicy leaves access to the account's IAM policies, as KMS does when a key is made
// without a policy.
func defaultKeyPolicy(partition atlas.AWSPartition, account string) string {
	root := atlas.AWSPrincipal{Partition: partition, Account: account, Kind: atlas.PrincipalRoot}.String()
	return `{"Version":"2012-10-17","Id":"key-default-1","Statement":[{"Sid":"Enable IAM User Permissions","Effect":"Allow",` +
		`"Principal":{"AWS":"` + root + `"},"Action":"kms:*","Resource":"*"}]}`
}

// checkKeyPolicy parses a key policy and checks that its principals exist.
func (c *Cloud) checkKeyPolicy(text string) (policy.Document, error) {
	doc, err := policy.Parse(text, policy.Key)
	if err != nil {
		return doc, fail("MalformedPolicyDocumentException", "%v", err)
	}
	unknown, err := c.strangers(doc)
	if err != nil {
		return doc, err
	}
	if len(unknown) > 0 {
		return doc, fail("MalformedPolicyDocumentException", "Policy contains a statement with one or more invalid principals: %s", unknown[0])
	}
	return doc, nil
}

// setPolicy gives a key a policy, "" for the default. Unless bypass is set, the caller must
// still be able to change it afterwards.
func (k *kmsCall) setPolicy(target *key, text string, bypass bool) error {
	if text == "" {
		text = defaultKeyPolicy(target.Partition, target.Account)
	}
	doc, err := k.checkKeyPolicy(text)
	if err != nil {
		return err
	}
	r := policy.Request{Caller: k.who.name, Action: "kms:PutKeyPolicy", Resource: target.arn(), Context: k.context}
	if !bypass && k.who.judge(r, doc, target.Account) != "" {
		return fail("MalformedPolicyDocumentException", "The new key policy will not allow you to update the key policy in the future.")
	}
	lag := k.cfg.Lag()
	if len(target.Policy) == 0 {
		lag = 0 // a key is never without a policy
	}
	target.Policy = target.Policy.with(&text, k.now, lag)
	return nil
}

type policyIn struct {
	keyIn
	PolicyName                     string
	Policy                         string
	BypassPolicyLockoutSafetyCheck bool
}

// keyPolicyName is the name of the one policy that a key has.
const keyPolicyName = "default"

func (in policyIn) check() error {
	if in.PolicyName != "" && in.PolicyName != keyPolicyName {
		return fail("NotFoundException", "No such policy exists")
	}
	return nil
}

func (k *kmsCall) getKeyPolicy(found *key, in policyIn) (any, error) {
	text, _ := found.Policy.latest()
	return map[string]string{"Policy": text, "PolicyName": keyPolicyName}, in.check()
}

func (k *kmsCall) putKeyPolicy(found *key, in policyIn) (any, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	if in.Policy == "" {
		return nil, invalidValue("Value null at 'policy' failed to satisfy constraint: Member must not be null")
	}
	if err := k.setPolicy(found, in.Policy, in.BypassPolicyLockoutSafetyCheck); err != nil {
		return nil, err
	}
	return nil, k.saveKey(found)
}

func (k *kmsCall) listKeyPolicies(*key, keyIn) (any, error) {
	return listed("PolicyNames", []string{keyPolicyName}, ""), nil
}
