package sim

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"go.mongodb.org/atlas-sdk/v20250312018/admin"

	"latchkey/local/pocket/awscloud"
	"latchkey/local/pocket/awscloud/awssdk"
	"latchkey/local/stack"
)

// awsKey is a key in AWS KMS.
type awsKey struct {
	tenant  *tenant
	n       int
	static  bool // by a user's keys
	user    bool // there is such a user
	cloud   aws.Config
	role    string
	trust   string
	roleID  string
	key     string
	former  []string // keys of before, which are not disabled yet
	region  string
	current *admin.AWSKMSConfiguration
	undo    func(context.Context) error
}

// The regions that keys of AWS are used in.
const (
	awsRegion   = "us-east-1"
	otherRegion = "eu-west-1"
)

func newAWSKey(t *tenant, n int, static bool) *awsKey {
	keys := t.world.clouds.Secrets.TenantAWS
	return &awsKey{
		tenant: t, n: n, static: static, region: awsRegion, role: fmt.Sprintf("atlas-kms-%d", n),
		cloud: awssdk.Config(patient{t.world.inside, t.world}, awsRegion, awscloud.Keys{AccessKeyID: keys.AccessKeyID, SecretAccessKey: keys.SecretAccessKey}),
	}
}

func (k *awsKey) provider() string { return "AWS" }
func (k *awsKey) host() string     { return "kms." + k.region + ".amazonaws.com" }
func (k *awsKey) isStatic() bool   { return k.static }
func (k *awsKey) adopt(e *admin.EncryptionAtRest) {
	if !e.AwsKms.GetEnabled() {
		return
	}
	if now := e.AwsKms.GetCustomerMasterKeyID(); now != k.key {
		k.former = append(slices.DeleteFunc(k.former, func(arn string) bool { return arn == now }), k.key)
		k.key = now
	}
	k.static = e.AwsKms.GetRoleId() == ""
	k.region = awsRegion
	if e.AwsKms.GetRegion() == "EU_WEST_1" {
		k.region = otherRegion
	}
}

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
	if k.user {
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
	made, err := kms.NewFromConfig(k.cloud).CreateKey(ctx, &kms.CreateKeyInput{MultiRegion: new(true)})
	if err != nil {
		return "", err
	}
	_, err = kms.NewFromConfig(k.cloud).ReplicateKey(ctx, &kms.ReplicateKeyInput{KeyId: made.KeyMetadata.Arn, ReplicaRegion: new(otherRegion)})
	return *made.KeyMetadata.Arn, err
}

func (k *awsKey) bring(ctx context.Context) (*admin.EncryptionAtRest, error) {
	if k.current == nil {
		if k.key == "" {
			arn, err := k.makeKey(ctx)
			if err != nil {
				return nil, err
			}
			k.key = arn
		}
		c := &admin.AWSKMSConfiguration{Enabled: new(true), CustomerMasterKeyID: &k.key, Region: new("US_EAST_1")}
		letIn := k.letRoleIn
		if k.static {
			letIn = k.letUserIn
		}
		if err := letIn(ctx, c); err != nil {
			return nil, err
		}
		k.current = c
	}
	return &admin.EncryptionAtRest{AwsKms: k.current}, nil
}

func (k *awsKey) letUserIn(ctx context.Context, c *admin.AWSKMSConfiguration) error {
	users := iam.NewFromConfig(k.cloud)
	if _, err := users.CreateUser(ctx, &iam.CreateUserInput{UserName: &k.role}); err != nil {
		return err
	}
	k.user = true
	made, err := users.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: &k.role})
	if err != nil {
		return err
	}
	c.AccessKeyID, c.SecretAccessKey = made.AccessKey.AccessKeyId, made.AccessKey.SecretAccessKey
	k.tenant.world.book.hide(*c.SecretAccessKey)
	return k.allow(ctx, anyKey)
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
		region, key := k.region, strings.Replace(k.key, awsRegion, k.region, 1)
		keys := kms.NewFromConfig(k.cloud, func(o *kms.Options) { o.Region = region })
		k.undo = func(ctx context.Context) error {
			_, err := keys.EnableKey(ctx, &kms.EnableKeyInput{KeyId: &key})
			return err
		}
		_, err := keys.DisableKey(ctx, &kms.DisableKeyInput{KeyId: &key})
		return err
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

// disable disables a key in both regions.
func (k *awsKey) disable(ctx context.Context, arn string) error {
	for _, region := range []string{awsRegion, otherRegion} {
		in := strings.Replace(arn, awsRegion, region, 1)
		if _, err := kms.NewFromConfig(k.cloud, func(o *kms.Options) { o.Region = region }).DisableKey(ctx, &kms.DisableKeyInput{KeyId: &in}); err != nil {
			return err
		}
	}
	return nil
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
