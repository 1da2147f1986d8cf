package sim

import (
	"bytes"
	"context"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
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

// newKey is a customer key that is not made yet. Tenants differ in their clouds, and in how they let
// Latchkey in.
func newKey(t *tenant, n int) customerKey {
	static := t.rng.IntN(3) == 0
	switch n % 4 {
	case 0:
		return &azureKey{tenant: t, n: n, static: static}
	case 1:
		return &googleKey{tenant: t, n: n, static: static}
	default:
		return newAWSKey(t, n, static)
	}
}

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

// azureKey is a key in Azure Key Vault.
type azureKey struct {
	tenant *tenant
	n      int
	static bool // by an application's secret
	// principals may use the vault: the tenant's application, and Latchkey's.
	principals []string
	roleID     string
	key        string // its identifier
	current    *admin.AzureKeyVault
	undo       func(context.Context) error
}

const (
	azureVersion      = "?api-version=2025-07-01"
	azureSubscription = "6f1b0000-0000-4000-8000-000000000003"
	graph             = "https://graph.microsoft.com/v1.0"
)

func (k *azureKey) provider() string { return "AZURE" }
func (k *azureKey) host() string     { return k.name() + ".vault.azure.net" }
func (k *azureKey) isStatic() bool   { return k.static }
func (k *azureKey) name() string     { return fmt.Sprintf("kv-%d", k.n) }
func (k *azureKey) vault() string {
	return "https://management.azure.com/subscriptions/" + azureSubscription + "/resourceGroups/rg/providers/Microsoft.KeyVault/vaults/" + k.name()
}

func (k *azureKey) adopt(e *admin.EncryptionAtRest) {
	if e.AzureKeyVault.GetEnabled() {
		k.key, k.static = e.AzureKeyVault.GetKeyIdentifier(), e.AzureKeyVault.GetRoleId() == ""
	}
}

func (k *azureKey) wrong() *admin.EncryptionAtRest {
	return &admin.EncryptionAtRest{AzureKeyVault: &admin.AzureKeyVault{
		KeyIdentifier: new("https://" + k.host() + "/keys/none/00000000000000000000000000000000"),
	}}
}

func (k *azureKey) makeKey(ctx context.Context) error {
	made, err := k.tenant.administer(ctx, "POST", "https://"+k.host()+"/keys/atlas/create"+azureVersion, `{"kty":"RSA","key_size":2048}`)
	if err == nil {
		k.key = fmt.Sprint(member(made, "key")["kid"])
	}
	return err
}

func (k *azureKey) bring(ctx context.Context) (*admin.EncryptionAtRest, error) {
	if k.current == nil {
		c, err := k.prepare(ctx)
		if err != nil {
			return nil, err
		}
		k.current = c
	}
	return &admin.EncryptionAtRest{AzureKeyVault: k.current}, nil
}

func (k *azureKey) prepare(ctx context.Context) (*admin.AzureKeyVault, error) {
	t := k.tenant
	if k.key == "" {
		if _, err := t.administer(ctx, "PUT", k.vault()+azureVersion, `{"location":"eastus2","properties":{"tenantId":"`+stack.TenantDirectory+
			`","sku":{"family":"A","name":"standard"},"accessPolicies":[]}}`); err != nil {
			return nil, err
		}
		if err := k.makeKey(ctx); err != nil {
			return nil, err
		}
	}
	c := &admin.AzureKeyVault{
		Enabled: new(true), AzureEnvironment: new("AZURE"), TenantID: new(stack.TenantDirectory), SubscriptionID: new(azureSubscription),
		ResourceGroupName: new("rg"), KeyVaultName: new(k.name()), KeyIdentifier: &k.key,
	}
	if !k.static {
		return c, k.letPrincipalIn(ctx, c)
	}
	return c, k.letSecretIn(ctx, c)
}

func (k *azureKey) letSecretIn(ctx context.Context, c *admin.AzureKeyVault) error {
	t := k.tenant
	app, err := t.administer(ctx, "POST", graph+"/applications", `{"displayName":"tenant"}`)
	if err != nil {
		return err
	}
	secret, err := t.administer(ctx, "POST", graph+"/applications/"+fmt.Sprint(app["id"])+"/addPassword", `{"passwordCredential":{}}`)
	if err != nil {
		return err
	}
	principal, err := t.administer(ctx, "POST", graph+"/servicePrincipals", `{"appId":"`+fmt.Sprint(app["appId"])+`"}`)
	if err != nil {
		return err
	}
	c.ClientID, c.Secret = new(fmt.Sprint(app["appId"])), new(fmt.Sprint(secret["secretText"]))
	t.world.book.hide(*c.Secret)
	k.principals = append(k.principals, fmt.Sprint(principal["id"]))
	return k.policy(ctx, "add")
}

// letPrincipalIn makes a service principal of Latchkey's application, which only one organisation may do: the
// tenants share the directory, so it is the first one's alone.
func (k *azureKey) letPrincipalIn(ctx context.Context, c *admin.AzureKeyVault) error {
	t, roles := k.tenant, k.tenant.client.CloudProviderAccessApi
	if k.roleID == "" {
		found, err := t.administer(ctx, "POST", graph+"/servicePrincipals", `{"appId":"`+t.world.azureApp()+`"}`)
		if err != nil {
			return err
		}
		principal := fmt.Sprint(found["id"])
		access, _, err := roles.CreateCloudProviderAccess(ctx, t.group, &admin.CloudProviderAccessRoleRequest{
			ProviderName: "AZURE", TenantId: new(stack.TenantDirectory), ServicePrincipalId: &principal,
		}).Execute()
		if err != nil {
			return err
		}
		k.roleID, k.principals = access.GetId(), append(k.principals, principal)
		if err := k.policy(ctx, "add"); err != nil {
			return err
		}
	}
	_, _, err := roles.AuthorizeProviderAccessRole(ctx, t.group, k.roleID, &admin.CloudProviderAccessRoleRequestUpdate{
		ProviderName: "AZURE", TenantId: new(stack.TenantDirectory), ServicePrincipalId: &k.principals[len(k.principals)-1],
		AtlasAzureAppId: new(t.world.azureApp()),
	}).Execute()
	c.RoleId = &k.roleID
	return err
}

func (k *azureKey) byRole(ctx context.Context) (*admin.EncryptionAtRest, error) {
	c := &admin.AzureKeyVault{}
	return &admin.EncryptionAtRest{AzureKeyVault: c}, k.letPrincipalIn(ctx, c)
}

// policy adds or removes what lets the application use the vault's keys.
func (k *azureKey) policy(ctx context.Context, act string) error {
	for _, principal := range k.principals {
		if _, err := k.tenant.administer(ctx, "PUT", k.vault()+"/accessPolicies/"+act+azureVersion, `{"properties":{"accessPolicies":[{"tenantId":"`+
			stack.TenantDirectory+`","objectId":"`+principal+`","permissions":{"keys":["get","encrypt","decrypt"]}}]}}`); err != nil {
			return err
		}
	}
	return nil
}

func (k *azureKey) revoke(ctx context.Context, way int) error {
	if way == 0 {
		k.undo = func(ctx context.Context) error { return k.policy(ctx, "add") }
		return k.policy(ctx, "remove")
	}
	key := k.key
	enable := func(ctx context.Context, enabled string) error {
		_, err := k.tenant.administer(ctx, "PATCH", key+azureVersion, `{"attributes":{"enabled":`+enabled+`}}`)
		return err
	}
	k.undo = func(ctx context.Context) error { return enable(ctx, "true") }
	return enable(ctx, "false")
}

func (k *azureKey) lag(int) time.Duration { return 0 }

func (k *azureKey) restore(ctx context.Context) error { return k.undo(ctx) }

func (k *azureKey) next(ctx context.Context) (*admin.EncryptionAtRest, error) {
	made, err := k.tenant.administer(ctx, "POST", "https://"+k.host()+"/keys/atlas/create"+azureVersion, `{"kty":"RSA","key_size":2048}`)
	if err != nil {
		return nil, err
	}
	return &admin.EncryptionAtRest{AzureKeyVault: &admin.AzureKeyVault{KeyIdentifier: new(fmt.Sprint(member(made, "key")["kid"]))}}, nil
}

// googleKey is a key in Google Cloud KMS.
type googleKey struct {
	tenant *tenant
	n      int
	static bool // by the key of a service account
	// members are the service accounts that may use the key.
	members []string
	version string
	current *admin.GoogleCloudKMS
	roleID  string
	undo    func(context.Context) error
}

const (
	googleKMS = "https://cloudkms.googleapis.com/v1/"
	googleIAM = "https://iam.googleapis.com/v1/projects/tenant-project/serviceAccounts"
)

func (k *googleKey) provider() string { return "GCP" }
func (k *googleKey) host() string     { return "cloudkms.googleapis.com" }
func (k *googleKey) isStatic() bool   { return k.static }
func (k *googleKey) ring() string {
	return "projects/tenant-project/locations/us-east4/keyRings/kr" + strconv.Itoa(k.n)
}

func (k *googleKey) adopt(e *admin.EncryptionAtRest) {
	if e.GoogleCloudKms.GetEnabled() {
		k.version, k.static = e.GoogleCloudKms.GetKeyVersionResourceID(), e.GoogleCloudKms.GetRoleId() == ""
	}
}

func (k *googleKey) wrong() *admin.EncryptionAtRest {
	return &admin.EncryptionAtRest{GoogleCloudKms: &admin.GoogleCloudKMS{KeyVersionResourceID: new(k.ring() + "/cryptoKeys/none/cryptoKeyVersions/1")}}
}

func (k *googleKey) bring(ctx context.Context) (*admin.EncryptionAtRest, error) {
	if k.current == nil {
		c := &admin.GoogleCloudKMS{Enabled: new(true)}
		if err := k.prepare(ctx, c); err != nil {
			return nil, err
		}
		k.current = c
	}
	return &admin.EncryptionAtRest{GoogleCloudKms: k.current}, nil
}

func (k *googleKey) prepare(ctx context.Context, c *admin.GoogleCloudKMS) error {
	t := k.tenant
	if k.version == "" {
		ring, id, _ := strings.Cut(k.ring(), "/keyRings/")
		if _, err := t.administer(ctx, "POST", googleKMS+ring+"/keyRings?keyRingId="+id, `{}`); err != nil {
			return err
		}
		if _, err := t.administer(ctx, "POST", googleKMS+k.ring()+"/cryptoKeys?cryptoKeyId=k", `{"purpose":"ENCRYPT_DECRYPT"}`); err != nil {
			return err
		}
		k.version = k.ring() + "/cryptoKeys/k/cryptoKeyVersions/1"
	}
	letIn := k.letRoleIn
	if k.static {
		letIn = k.letKeyIn
	}
	if err := letIn(ctx, c); err != nil {
		return err
	}
	c.KeyVersionResourceID = &k.version
	return k.allow(ctx, k.members...)
}

func (k *googleKey) letRoleIn(ctx context.Context, c *admin.GoogleCloudKMS) error {
	if k.roleID == "" {
		access, _, err := k.tenant.client.CloudProviderAccessApi.CreateCloudProviderAccess(ctx, k.tenant.group,
			&admin.CloudProviderAccessRoleRequest{ProviderName: "GCP"}).Execute()
		if err != nil {
			return err
		}
		k.roleID, k.members = access.GetRoleId(), append(k.members, access.GetGcpServiceAccountForAtlas())
	}
	c.RoleId = &k.roleID
	return nil
}

func (k *googleKey) byRole(ctx context.Context) (*admin.EncryptionAtRest, error) {
	c := &admin.GoogleCloudKMS{}
	if err := k.letRoleIn(ctx, c); err != nil {
		return nil, err
	}
	return &admin.EncryptionAtRest{GoogleCloudKms: c}, k.allow(ctx, k.members...)
}

func (k *googleKey) letKeyIn(ctx context.Context, c *admin.GoogleCloudKMS) error {
	account := fmt.Sprintf("cmk-user-%d", k.n)
	if _, err := k.tenant.administer(ctx, "POST", googleIAM, `{"accountId":"`+account+`"}`); err != nil {
		return err
	}
	user := account + "@tenant-project.iam.gserviceaccount.com"
	k.members = append(k.members, user)
	made, err := k.tenant.administer(ctx, "POST", googleIAM+"/"+user+"/keys", "")
	if err != nil {
		return err
	}
	file, err := base64.StdEncoding.DecodeString(fmt.Sprint(made["privateKeyData"]))
	if err != nil {
		return err
	}
	var parsed struct {
		Key string `json:"private_key"`
	}
	if err := json.Unmarshal(file, &parsed); err != nil {
		return err
	}
	k.tenant.world.book.hide(strings.Split(parsed.Key, "\n")[5])
	c.ServiceAccountKey = new(string(file))
	return nil
}

func (k *googleKey) allow(ctx context.Context, accounts ...string) error {
	members := ""
	if len(accounts) > 0 {
		members = `"serviceAccount:` + strings.Join(accounts, `","serviceAccount:`) + `"`
	}
	_, err := k.tenant.administer(ctx, "POST", googleKMS+k.ring()+"/cryptoKeys/k:setIamPolicy",
		`{"policy":{"bindings":[{"role":"roles/cloudkms.cryptoKeyEncrypterDecrypter","members":[`+members+`]}]}}`)
	return err
}

func (k *googleKey) revoke(ctx context.Context, way int) error {
	if way == 0 {
		k.undo = func(ctx context.Context) error { return k.allow(ctx, k.members...) }
		return k.allow(ctx)
	}
	version := k.version
	set := func(ctx context.Context, state string) error {
		_, err := k.tenant.administer(ctx, "PATCH", googleKMS+version+"?updateMask=state", `{"state":"`+state+`"}`)
		return err
	}
	k.undo = func(ctx context.Context) error { return set(ctx, "ENABLED") }
	return set(ctx, "DISABLED")
}

func (k *googleKey) lag(int) time.Duration { return 0 }

func (k *googleKey) restore(ctx context.Context) error { return k.undo(ctx) }

func (k *googleKey) next(ctx context.Context) (*admin.EncryptionAtRest, error) {
	made, err := k.tenant.administer(ctx, "POST", googleKMS+k.ring()+"/cryptoKeys/k/cryptoKeyVersions", `{}`)
	if err != nil {
		return nil, err
	}
	return &admin.EncryptionAtRest{GoogleCloudKms: &admin.GoogleCloudKMS{KeyVersionResourceID: new(fmt.Sprint(made["name"]))}}, nil
}

// administer performs an administrator's request to Azure or Google.
func (t *tenant) administer(ctx context.Context, method, url, body string) (map[string]any, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader([]byte(body)))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+t.world.clouds.Secrets.Admin)
	req.Header.Set("Content-Type", "application/json")
	resp, err := patient{t.world.inside, t.world}.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	answer := map[string]any{}
	if err := json.Unmarshal(text, &answer); err != nil || resp.StatusCode >= http.StatusBadRequest {
		return nil, fmt.Errorf("%s %s answers %d %s", method, url, resp.StatusCode, text)
	}
	return answer, nil
}

func member(m map[string]any, name string) map[string]any {
	inner, _ := m[name].(map[string]any)
	return inner
}

// pool are the RSA keys of all worlds, which are slow to make.
type pool []*rsa.PrivateKey

// generateKey takes the world's next key out of the pool.
func (w *World) generateKey(int) (*rsa.PrivateKey, error) {
	w.rsaKeys++
	return w.pool[w.rsaKeys%len(w.pool)], nil
}

// azureApp is Latchkey's own application.
func (w *World) azureApp() string { return w.clouds.Ring.Azure.ClientID }
