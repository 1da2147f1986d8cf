package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"go.mongodb.org/atlas-sdk/v20250312018/admin"

	"latchkey/local/pocket/awscloud"
	"latchkey/local/pocket/awscloud/awssdk"
	"latchkey/local/stack"
)

// awsKey is a key in AWS KMS.
type awsKey struct {
	spares // by their ids, which replicas have too

	tenant *tenant
	static bool // by a user's keys
	user   *types.AccessKey
	cloud  aws.Config
	role   string
	trust  string
	roleID string
	key    string
	home   string // the region that keys are made in
	region string // the one that the present key is used in
	undo   func(context.Context) error
}

// The regions that keys of AWS are used in.
const (
	awsRegion   = "us-east-1"
	otherRegion = "eu-west-1"
)

// atlasName is how the API spells a region of AWS, awsName how AWS does.
func atlasName(region string) string { return strings.ToUpper(strings.ReplaceAll(region, "-", "_")) }

func awsName(region string) string { return strings.ToLower(strings.ReplaceAll(region, "_", "-")) }

// anAWSKey is a key in AWS that is not made yet.
func anAWSKey(t *tenant) *awsKey {
	keys := t.world.clouds.Secrets.TenantAWS
	return &awsKey{
		tenant: t, static: t.isStatic(), home: awsRegion, region: awsRegion, role: fmt.Sprintf("atlas-kms-%d", t.n),
		cloud: awssdk.Config(patient{t.world.inside, t.world}, awsRegion, awscloud.Keys{AccessKeyID: keys.AccessKeyID, SecretAccessKey: keys.SecretAccessKey}),
	}
}

func (k *awsKey) provider() string { return "AWS" }
func (k *awsKey) isStatic() bool   { return k.static }

// services implements customerKey. A user's key needs no token.
func (k *awsKey) services() (kms, tokens []service) {
	kms = []service{{host: "kms." + k.region + ".amazonaws.com"}, {host: "*.kms." + k.region + ".vpce.amazonaws.com"}}
	if !k.static {
		tokens = []service{{host: stsHost}}
	}
	return kms, tokens
}

// regions implements customerKey: keys have replicas in both.
func (k *awsKey) regions() (all []region) {
	for _, name := range []string{awsRegion, otherRegion} {
		all = append(all, region{name, []service{{host: "*." + name + ".amazonaws.com"}, {host: "*." + name + ".vpce.amazonaws.com"}}})
	}
	return all
}

func (k *awsKey) adopt(e *admin.EncryptionAtRest) {
	if !e.AwsKms.GetEnabled() {
		return
	}
	now := e.AwsKms.GetCustomerMasterKeyID()
	k.replace(bare(k.key), bare(now))
	k.key = now
	k.static = e.AwsKms.GetRoleId() == ""
	k.region = awsName(e.AwsKms.GetRegion())
}

func (k *awsKey) tells(e *admin.EncryptionAtRest) (enabled, private bool) {
	return e.AwsKms.GetEnabled(), e.AwsKms.GetRequirePrivateNetworking()
}

func (k *awsKey) away() *admin.EncryptionAtRest {
	return &admin.EncryptionAtRest{AwsKms: &admin.AWSKMSConfiguration{Enabled: new(false)}}
}

func (k *awsKey) present() string               { return bare(k.key) }
func (k *awsKey) spelled(name, _ string) string { return bare(name) }

func (k *awsKey) wrong() *admin.EncryptionAtRest {
	return &admin.EncryptionAtRest{AwsKms: &admin.AWSKMSConfiguration{
		CustomerMasterKeyID: new("arn:aws:kms:us-east-1:" + stack.TenantAccount + ":key/00000000-0000-4000-8000-000000000000"), Region: new("US_EAST_1"),
	}}
}

const (
	anyKey = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["kms:Decrypt","kms:Encrypt","kms:DescribeKey"],"Resource":"*"}]}`
	noKey  = `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"kms:*","Resource":"*"}]}`
)

func (k *awsKey) allow(ctx context.Context, policy string) error {
	users := iam.NewFromConfig(k.cloud)
	if k.user != nil {
		if _, err := users.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: &k.role, PolicyName: new("key"), PolicyDocument: &policy}); err != nil {
			return err
		}
	}
	if k.trust == "" {
		return nil
	}
	_, err := users.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: &k.role, PolicyName: new("key"), PolicyDocument: &policy})
	return err
}

// makeKey makes a multi-Region key, with a replica.
func (k *awsKey) makeKey(ctx context.Context) (arn string, err error) {
	made, err := k.in(k.home).CreateKey(ctx, &kms.CreateKeyInput{MultiRegion: new(true)})
	if err != nil {
		return "", err
	}
	if k.home == otherRegion {
		return *made.KeyMetadata.Arn, nil
	}
	_, err = k.in(k.home).ReplicateKey(ctx, &kms.ReplicateKeyInput{KeyId: made.KeyMetadata.Arn, ReplicaRegion: new(otherRegion)})
	return *made.KeyMetadata.Arn, err
}

func (k *awsKey) bring(ctx context.Context) (*admin.EncryptionAtRest, error) {
	if k.key == "" {
		arn, err := k.makeKey(ctx)
		if err != nil {
			return nil, err
		}
		k.key = arn
	}
	c := &admin.AWSKMSConfiguration{Enabled: new(true), CustomerMasterKeyID: &k.key, Region: new(atlasName(k.region))}
	letIn := k.letRoleIn
	if k.static && k.roleID == "" {
		letIn = k.letUserIn
	}
	return &admin.EncryptionAtRest{AwsKms: c}, letIn(ctx, c)
}

func (k *awsKey) letUserIn(ctx context.Context, c *admin.AWSKMSConfiguration) error {
	if k.user == nil {
		users := iam.NewFromConfig(k.cloud)
		if _, err := users.CreateUser(ctx, &iam.CreateUserInput{UserName: &k.role}); err != nil {
			return err
		}
		made, err := users.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: &k.role})
		if err != nil {
			return err
		}
		k.user = made.AccessKey
		k.tenant.world.secrets.add("the access key of "+k.tenant.name, []byte(*k.user.SecretAccessKey))
		if err := k.allow(ctx, anyKey); err != nil {
			return err
		}
	}
	c.AccessKeyID, c.SecretAccessKey = k.user.AccessKeyId, k.user.SecretAccessKey
	return nil
}

func (k *awsKey) letRoleIn(ctx context.Context, c *admin.AWSKMSConfiguration) error {
	t, roles := k.tenant, k.tenant.client.CloudProviderAccessApi
	if k.trust == "" {
		access, _, err := roles.CreateCloudProviderAccess(ctx, t.group, &admin.CloudProviderAccessRoleRequest{ProviderName: "AWS"}).Execute()
		if err != nil {
			return err
		}
		k.roleID = access.GetRoleId()
		k.trust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + access.GetAtlasAWSAccountArn() +
			`"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"` + access.GetAtlasAssumedRoleExternalId() + `"}}}]}`
		if _, err := iam.NewFromConfig(k.cloud).CreateRole(ctx, &iam.CreateRoleInput{RoleName: &k.role, AssumeRolePolicyDocument: &k.trust}); err != nil {
			return err
		}
		if err := k.allow(ctx, anyKey); err != nil {
			return err
		}
	}
	_, _, err := roles.AuthorizeProviderAccessRole(ctx, t.group, k.roleID, &admin.CloudProviderAccessRoleRequestUpdate{
		ProviderName: "AWS", IamAssumedRoleArn: new("arn:aws:iam::" + stack.TenantAccount + ":role/" + k.role),
	}).Execute()
	c.RoleId = &k.roleID
	return err
}

func (k *awsKey) revoke(ctx context.Context, way int) error {
	switch {
	case way == 0:
		k.undo = func(ctx context.Context) error {
			return k.everywhere(func(keys *kms.Client, key string) error {
				_, err := keys.EnableKey(ctx, &kms.EnableKeyInput{KeyId: &key})
				return err
			})
		}
		return k.everywhere(func(keys *kms.Client, key string) error {
			_, err := keys.DisableKey(ctx, &kms.DisableKeyInput{KeyId: &key})
			return err
		})
	case way == 1 || k.static:
		k.undo = func(ctx context.Context) error { return k.allow(ctx, anyKey) }
		return k.allow(ctx, noKey)
	default:
		roles := iam.NewFromConfig(k.cloud)
		trust := func(ctx context.Context, policy string) error {
			_, err := roles.UpdateAssumeRolePolicy(ctx, &iam.UpdateAssumeRolePolicyInput{RoleName: &k.role, PolicyDocument: &policy})
			return err
		}
		k.undo = func(ctx context.Context) error { return trust(ctx, k.trust) }
		return trust(ctx, strings.Replace(k.trust, `"Effect":"Allow"`, `"Effect":"Deny"`, 1))
	}
}

// retire implements customerKey: it disables a key in both regions.
func (k *awsKey) retire(ctx context.Context) error {
	for _, region := range []string{awsRegion, otherRegion} {
		in := k.in(region)
		if _, err := in.DisableKey(ctx, &kms.DisableKeyInput{KeyId: &k.names[0]}); err != nil {
			return err
		}
	}
	k.names = k.names[1:]
	return nil
}

// in is KMS in a region.
// everywhere does something to the present key and to its replica, whose states are two: a key whose private endpoint is
// in the other region is used there, wherever it is configured.
func (k *awsKey) everywhere(do func(keys *kms.Client, key string) error) error {
	var failed []error
	for _, region := range slices.Compact([]string{k.home, otherRegion}) {
		failed = append(failed, do(k.in(region), bare(k.key)))
	}
	return errors.Join(failed...)
}

func (k *awsKey) in(region string) *kms.Client {
	return kms.NewFromConfig(k.cloud, func(o *kms.Options) { o.Region = region })
}

// renew implements customerKey: replicas follow their primary.
func (k *awsKey) renew(ctx context.Context) (moved bool, err error) {
	_, err = k.in(awsRegion).RotateKeyOnDemand(ctx, &kms.RotateKeyOnDemandInput{KeyId: new(bare(k.key))})
	return true, err
}

// lag implements customerKey: a session outlives the trust in its role.
func (k *awsKey) lag(way int) time.Duration {
	if way == 2 && !k.static {
		return time.Hour
	}
	return 0
}

func (k *awsKey) restore(ctx context.Context) error { return k.undo(ctx) }

func (k *awsKey) next(ctx context.Context) (*admin.EncryptionAtRest, error) {
	arn, err := k.makeKey(ctx)
	if err != nil {
		return nil, err
	}
	return &admin.EncryptionAtRest{AwsKms: &admin.AWSKMSConfiguration{CustomerMasterKeyID: &arn, Region: new("US_EAST_1")}}, nil
}

func (k *awsKey) byRole(ctx context.Context) (*admin.EncryptionAtRest, error) {
	c := &admin.AWSKMSConfiguration{}
	return &admin.EncryptionAtRest{AwsKms: c}, k.letRoleIn(ctx, c)
}
