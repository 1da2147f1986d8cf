package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"go.mongodb.org/atlas-sdk/v20250312018/admin"
	"go.mongodb.org/atlas-sdk/v20250312018/auth"

	"latchkey/local/pocket"
	"latchkey/local/pocket/awscloud"
	"latchkey/local/pocket/awscloud/awssdk"
	"latchkey/local/stack"
	"latchkey/shared/validity"
)

// running is the suite as its users see it: over the network, with the official SDKs.
type running struct {
	t      testing.TB
	base   string
	owner  stack.Owner
	tenant aws.Config
	clouds http.RoundTripper // reaches the pocket clouds by their real names
	token  string            // administrator of Azure and Google
	ahead  *atomic.Int64     // by how many nanoseconds the suite's clock is ahead of ours
}

func startSuite(t *testing.T) *running {
	t.Helper()
	cfg := testConfig(t)
	cfg.owner = stack.Owner{
		OrgID: "650000000000000000000002", GroupID: "650000000000000000000001",
		PublicKey: "abcdefgh", PrivateKey: "00000000-0000-4000-8000-000000000060",
	}
	var ahead atomic.Int64
	cfg.now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	said, _ := launch(t, cfg)
	clouds := pocket.Redirect(strings.TrimPrefix(said["clouds"], "http://"))
	return &running{
		t: t, base: said["API"], owner: cfg.owner, clouds: clouds, token: said["CLOUD_TOKEN"], ahead: &ahead,
		tenant: awssdk.Config(clouds, "us-east-1", awscloud.Keys{
			AccessKeyID: said["AWS_ACCESS_KEY_ID"], SecretAccessKey: said["AWS_SECRET_ACCESS_KEY"],
		}),
	}
}

// byKey is a client that authenticates with the owner's API key, byAccount one with a new
// service account.
func (r *running) byKey() *admin.APIClient {
	return r.client(admin.UseDigestAuth(r.owner.PublicKey, r.owner.PrivateKey))
}

func (r *running) byAccount() *admin.APIClient {
	r.t.Helper()
	account, _, err := r.byKey().ServiceAccountsApi.CreateGroupServiceAccount(r.t.Context(), r.owner.GroupID, &admin.GroupServiceAccountRequest{
		Name: "ci", Description: "end to end", Roles: []string{"GROUP_OWNER"}, SecretExpiresAfterHours: 8,
	}).Execute()
	if err != nil {
		r.t.Fatal(err)
	}
	secret := (*account.Secrets)[0].GetSecret()
	// Without a client of its own the SDK changes http.DefaultClient for everybody.
	ctx := context.WithValue(r.t.Context(), auth.HTTPClient, &http.Client{})
	return r.client(admin.UseOAuthAuth(ctx, account.GetClientId(), secret))
}

func (r *running) client(auth admin.ClientModifier) *admin.APIClient {
	r.t.Helper()
	// The address comes first: the SDK asks it for tokens.
	client, err := admin.NewClient(admin.UseBaseURL(r.base), auth)
	if err != nil {
		r.t.Fatal(err)
	}
	return client
}

func TestTheOfficialSDKBringsAKey(t *testing.T) {
	for name, authenticate := range map[string]func(*running) *admin.APIClient{
		"with an API key": (*running).byKey, "with a service account": (*running).byAccount,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := startSuite(t)
			client := authenticate(r)
			for provider, bring := range map[string]func(*running, *admin.APIClient) journey{
				"AWS": (*running).bringAWS, "Azure": (*running).bringAzure, "Google": (*running).bringGoogle,
			} {
				t.Run(provider, func(t *testing.T) {
					inner := *r
					inner.t = t
					inner.follow(client, bring(&inner, client))
				})
			}
		})
	}
}

func TestNoTenantReachesTheOperatorsOwnRole(t *testing.T) {
	t.Parallel()
	r := startSuite(t)
	roles := r.byKey().CloudProviderAccessApi
	for _, arn := range []string{"arn:aws:iam::" + stack.OperatorAccount + ":role/latchkey-encryption", stack.CanaryARN} {
		access, _, err := roles.CreateCloudProviderAccess(t.Context(), r.owner.GroupID, &admin.CloudProviderAccessRoleRequest{ProviderName: "AWS"}).Execute()
		r.must(err)
		_, _, err = roles.AuthorizeProviderAccessRole(t.Context(), r.owner.GroupID, access.GetRoleId(), &admin.CloudProviderAccessRoleRequestUpdate{
			ProviderName: "AWS", IamAssumedRoleArn: &arn,
		}).Execute()
		if !admin.IsErrorCode(err, "CANNOT_ASSUME_ROLE") {
			t.Errorf("%s: error = %v", arn, err)
		}
	}
}

// journey is a configured key and how its owner takes it away.
type journey struct {
	update     admin.EncryptionAtRest
	valid      func(*admin.EncryptionAtRest) bool
	take, give func()
	disable    admin.EncryptionAtRest
	roleID     string
	provider   string
}

// follow configures the key, takes it away, gives it back, and removes everything.
func (r *running) follow(client *admin.APIClient, j journey) {
	r.t.Helper()
	ctx, ear := r.t.Context(), client.EncryptionAtRestUsingCustomerKeyManagementApi
	updated, _, err := ear.UpdateEncryptionAtRest(ctx, r.owner.GroupID, &j.update).Execute()
	if err != nil || !j.valid(updated) {
		r.t.Fatalf("update: %v", err)
	}
	for _, step := range []struct {
		do    func()
		valid bool
	}{{func() {}, true}, {j.take, false}, {j.give, true}} {
		step.do()
		r.ahead.Add(int64(validity.Shared)) // until then, calls share the last check
		got, _, err := ear.GetEncryptionAtRest(ctx, r.owner.GroupID).Execute()
		if err != nil || j.valid(got) != step.valid {
			r.t.Fatalf("valid is %t, want %t (%v)", !step.valid, step.valid, err)
		}
	}
	_, err = client.CloudProviderAccessApi.DeauthorizeProviderAccessRole(ctx, r.owner.GroupID, j.provider, j.roleID).Execute()
	if err == nil {
		r.t.Error("a role in use was removed")
	}
	if _, _, err := ear.UpdateEncryptionAtRest(ctx, r.owner.GroupID, &j.disable).Execute(); err != nil {
		r.t.Errorf("disable: %v", err)
	}
	if _, err := client.CloudProviderAccessApi.DeauthorizeProviderAccessRole(ctx, r.owner.GroupID, j.provider, j.roleID).Execute(); err != nil {
		r.t.Errorf("remove the role: %v", err)
	}
}

func (r *running) bringAWS(client *admin.APIClient) journey {
	r.t.Helper()
	ctx := r.t.Context()
	keys, roles := kms.NewFromConfig(r.tenant), iam.NewFromConfig(r.tenant)
	key, err := keys.CreateKey(ctx, &kms.CreateKeyInput{})
	r.must(err)
	access, _, err := client.CloudProviderAccessApi.CreateCloudProviderAccess(ctx, r.owner.GroupID,
		&admin.CloudProviderAccessRoleRequest{ProviderName: "AWS"}).Execute()
	r.must(err)
	role, err := roles.CreateRole(ctx, &iam.CreateRoleInput{
		RoleName: aws.String("atlas-kms"),
		AssumeRolePolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` +
			access.GetAtlasAWSAccountArn() + `"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"` +
			access.GetAtlasAssumedRoleExternalId() + `"}}}]}`),
	})
	r.must(err)
	_, err = roles.PutRolePolicy(ctx, &iam.PutRolePolicyInput{
		RoleName: role.Role.RoleName, PolicyName: aws.String("key"),
		PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["kms:Decrypt","kms:Encrypt","kms:DescribeKey"],"Resource":"` +
			*key.KeyMetadata.Arn + `"}]}`),
	})
	r.must(err)
	_, _, err = client.CloudProviderAccessApi.AuthorizeProviderAccessRole(ctx, r.owner.GroupID, access.GetRoleId(),
		&admin.CloudProviderAccessRoleRequestUpdate{ProviderName: "AWS", IamAssumedRoleArn: role.Role.Arn}).Execute()
	r.must(err)
	return journey{
		update: admin.EncryptionAtRest{AwsKms: &admin.AWSKMSConfiguration{
			Enabled: aws.Bool(true), RoleId: access.RoleId, CustomerMasterKeyID: key.KeyMetadata.Arn, Region: aws.String("US_EAST_1"),
		}},
		valid:    func(e *admin.EncryptionAtRest) bool { return e.AwsKms.GetValid() },
		take:     func() { r.second(keys.DisableKey(ctx, &kms.DisableKeyInput{KeyId: key.KeyMetadata.KeyId})) },
		give:     func() { r.second(keys.EnableKey(ctx, &kms.EnableKeyInput{KeyId: key.KeyMetadata.KeyId})) },
		disable:  admin.EncryptionAtRest{AwsKms: &admin.AWSKMSConfiguration{Enabled: aws.Bool(false)}},
		provider: "AWS", roleID: access.GetRoleId(),
	}
}

func (r *running) bringAzure(client *admin.APIClient) journey {
	r.t.Helper()
	const version, subscription = "?api-version=2025-07-01", "6f1b0000-0000-4000-8000-000000000003"
	const vault = "https://management.azure.com/subscriptions/" + subscription + "/resourceGroups/rg-kms/providers/Microsoft.KeyVault/vaults/kv-kms"
	r.cloud("PUT", vault+version, `{"location":"eastus2","properties":{"tenantId":"`+stack.TenantDirectory+`","sku":{"family":"A","name":"standard"},"accessPolicies":[]}}`)
	key := r.cloud("POST", "https://kv-kms.vault.azure.net/keys/atlas/create"+version, `{"kty":"RSA","key_size":2048}`)
	access, _, err := client.CloudProviderAccessApi.CreateCloudProviderAccess(r.t.Context(), r.owner.GroupID, &admin.CloudProviderAccessRoleRequest{
		ProviderName: "AZURE", TenantId: aws.String(stack.TenantDirectory), ServicePrincipalId: aws.String(r.admit(vault + version)),
	}).Execute()
	r.must(err)
	_, _, err = client.CloudProviderAccessApi.AuthorizeProviderAccessRole(r.t.Context(), r.owner.GroupID, access.GetId(),
		&admin.CloudProviderAccessRoleRequestUpdate{
			ProviderName: "AZURE", TenantId: access.TenantId, ServicePrincipalId: access.ServicePrincipalId, AtlasAzureAppId: access.AtlasAzureAppId,
		}).Execute()
	r.must(err)
	set := func(enabled string) func() {
		return func() {
			r.cloud("PATCH", "https://kv-kms.vault.azure.net/keys/atlas"+version, `{"attributes":{"enabled":`+enabled+`}}`)
		}
	}
	return journey{
		update: admin.EncryptionAtRest{AzureKeyVault: &admin.AzureKeyVault{
			Enabled: aws.Bool(true), AzureEnvironment: aws.String("AZURE"), RoleId: access.Id, TenantID: access.TenantId,
			SubscriptionID: aws.String(subscription), ResourceGroupName: aws.String("rg-kms"), KeyVaultName: aws.String("kv-kms"),
			KeyIdentifier: aws.String(fmt.Sprint(member(key, "key")["kid"])),
		}},
		valid:    func(e *admin.EncryptionAtRest) bool { return e.AzureKeyVault.GetValid() },
		take:     set("false"),
		give:     set("true"),
		disable:  admin.EncryptionAtRest{AzureKeyVault: &admin.AzureKeyVault{Enabled: aws.Bool(false)}},
		provider: "AZURE", roleID: access.GetId(),
	}
}

// admit makes a service principal of Latchkey's application that may use the vault's keys.
func (r *running) admit(vault string) string {
	r.t.Helper()
	principal := fmt.Sprint(r.cloud("POST", "https://graph.microsoft.com/v1.0/servicePrincipals", `{"appId":"9efedfcc-2eca-4b27-a613-0cad1e114cb7"}`)["id"])
	r.cloud("PUT", strings.Replace(vault, "?", "/accessPolicies/add?", 1), `{"properties":{"accessPolicies":[{"tenantId":"`+stack.TenantDirectory+
		`","objectId":"`+principal+`","permissions":{"keys":["get","encrypt","decrypt"]}}]}}`)
	return principal
}

func (r *running) bringGoogle(client *admin.APIClient) journey {
	r.t.Helper()
	const ring = "https://cloudkms.googleapis.com/v1/projects/tenant-project/locations/us-east4/keyRings"
	r.cloud("POST", ring+"?keyRingId=kr", `{}`)
	r.cloud("POST", ring+"/kr/cryptoKeys?cryptoKeyId=k", `{"purpose":"ENCRYPT_DECRYPT"}`)
	access, _, err := client.CloudProviderAccessApi.CreateCloudProviderAccess(r.t.Context(), r.owner.GroupID,
		&admin.CloudProviderAccessRoleRequest{ProviderName: "GCP"}).Execute()
	r.must(err)
	r.cloud("POST", ring+"/kr/cryptoKeys/k:setIamPolicy", `{"policy":{"bindings":[{"role":"roles/cloudkms.cryptoKeyEncrypterDecrypter","members":["serviceAccount:`+
		access.GetGcpServiceAccountForAtlas()+`"]}]}}`)
	set := func(state string) func() {
		return func() {
			r.cloud("PATCH", ring+"/kr/cryptoKeys/k/cryptoKeyVersions/1?updateMask=state", `{"state":"`+state+`"}`)
		}
	}
	return journey{
		update: admin.EncryptionAtRest{GoogleCloudKms: &admin.GoogleCloudKMS{
			Enabled: aws.Bool(true), RoleId: access.RoleId,
			KeyVersionResourceID: aws.String(strings.TrimPrefix(ring, "https://cloudkms.googleapis.com/v1/") + "/kr/cryptoKeys/k/cryptoKeyVersions/1"),
		}},
		valid:    func(e *admin.EncryptionAtRest) bool { return e.GoogleCloudKms.GetValid() },
		take:     set("DISABLED"),
		give:     set("ENABLED"),
		disable:  admin.EncryptionAtRest{GoogleCloudKms: &admin.GoogleCloudKMS{Enabled: aws.Bool(false)}},
		provider: "GCP", roleID: access.GetRoleId(),
	}
}

// cloud performs an administrator's request to Azure or Google.
func (r *running) cloud(method, url, body string) map[string]any {
	r.t.Helper()
	req, err := http.NewRequestWithContext(context.WithoutCancel(r.t.Context()), method, url, bytes.NewReader([]byte(body)))
	r.must(err)
	req.Header.Set("Authorization", "Bearer "+r.token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := r.clouds.RoundTrip(req)
	r.must(err)
	defer resp.Body.Close() //nolint:errcheck // read below
	text, err := io.ReadAll(resp.Body)
	r.must(err)
	answer := map[string]any{}
	if err := json.Unmarshal(text, &answer); err != nil || resp.StatusCode >= http.StatusBadRequest {
		r.t.Fatalf("%s %s answers %d %s", method, url, resp.StatusCode, text)
	}
	return answer
}

func member(m map[string]any, name string) map[string]any {
	inner, _ := m[name].(map[string]any)
	return inner
}

func (r *running) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// second is must for calls whose answer says nothing.
func (r *running) second(_ any, err error) {
	r.t.Helper()
	r.must(err)
}
