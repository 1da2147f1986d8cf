package encryption_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"latchkey/local/pocket/azurecloud"
	"latchkey/local/pocket/googlecloud"
	"latchkey/local/pocket/pockettest"
)

// What the tenant has in its clouds.
const (
	region   = "us-east-1"
	iamRole  = "atlas-kms"
	iamUser  = "atlas"
	roleARN  = "arn:aws:iam::" + pockettest.TenantAccount + ":role/" + iamRole
	useKeys  = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["kms:Decrypt","kms:Encrypt","kms:DescribeKey"],"Resource":"*"}]}`
	external = "atlasAssumedRoleExternalId"

	vaultURL = "https://kv-kms.vault.azure.net"
	groupURL = "https://management.azure.com/subscriptions/" + pockettest.Subscription + "/resourceGroups/rg-kms"
	vaultARM = groupURL + "/providers/Microsoft.KeyVault/vaults/kv-kms"
	graph    = "https://graph.microsoft.com/v1.0"

	googleRing  = "projects/" + pockettest.TenantProject + "/locations/us-east4/keyRings/kr"
	googleKey   = googleRing + "/cryptoKeys/atlas"
	googleOne   = googleKey + "/cryptoKeyVersions/1"
	googleKMS   = "https://cloudkms.googleapis.com/v1/"
	googleIAM   = "https://iam.googleapis.com/v1/projects/" + pockettest.TenantProject + "/serviceAccounts/"
	googleUsers = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
	googleViews = "roles/cloudkms.viewer"
)

// members of a JSON object.
type members map[string]any

// configure is a PATCH of one provider's block.
func configure(block string, m members) request {
	body, err := json.Marshal(map[string]members{block: m})
	if err != nil {
		panic(err) // strings, booleans and null
	}
	return patch(string(body))
}

// with returns the members with some replaced; nil removes one.
func (m members) with(changes members) members {
	out := maps.Clone(m)
	for name, v := range changes {
		if out[name] = v; v == nil {
			delete(out, name)
		}
	}
	return out
}

// awsKey makes a key in the tenant's account and returns its ARN.
func (w *world) awsKey(change ...func(*kms.CreateKeyInput)) string {
	w.t.Helper()
	in := &kms.CreateKeyInput{}
	for _, fn := range change {
		fn(in)
	}
	out, err := w.KMS(region).CreateKey(w.t.Context(), in)
	w.must(err)
	return *out.KeyMetadata.Arn
}

// newAWSRole begins an access role and returns it as the API does.
func (w *world) newAWSRole() (id, externalID string) {
	w.t.Helper()
	made := w.mustSend(request{http.MethodPost, roles, `{"providerName":"AWS"}`})
	return made.body["roleId"].(string), made.body[external].(string)
}

func trusting(externalID string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + pockettest.PrincipalARN + `"},` +
		`"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"` + externalID + `"}}}]}`
}

// makeIAMRole makes the tenant's IAM role.
func (w *world) makeIAMRole(externalID string) {
	w.t.Helper()
	_, err := w.IAM().CreateRole(w.t.Context(), &iam.CreateRoleInput{
		RoleName: aws.String(iamRole), AssumeRolePolicyDocument: aws.String(trusting(externalID)),
	})
	w.must(err)
	w.allowIAMRole(useKeys)
}

func (w *world) allowIAMRole(policy string) {
	w.t.Helper()
	_, err := w.IAM().PutRolePolicy(w.t.Context(), &iam.PutRolePolicyInput{
		RoleName: aws.String(iamRole), PolicyName: aws.String("use"), PolicyDocument: &policy,
	})
	w.must(err)
}

func (w *world) trust(policy string) {
	w.t.Helper()
	_, err := w.IAM().UpdateAssumeRolePolicy(w.t.Context(), &iam.UpdateAssumeRolePolicyInput{
		RoleName: aws.String(iamRole), PolicyDocument: &policy,
	})
	w.must(err)
}

func authorizeAWS(id string) request {
	return request{http.MethodPatch, roles + "/" + id, `{"providerName":"AWS","iamAssumedRoleArn":"` + roleARN + `"}`}
}

// awsRole makes an access role that is authorized and may use the tenant's keys.
func (w *world) awsRole() (id, externalID string) {
	w.t.Helper()
	id, externalID = w.newAWSRole()
	w.makeIAMRole(externalID)
	w.mustSend(authorizeAWS(id))
	return id, externalID
}

// byAWSRole are the members that enable a key through a role.
func (w *world) byAWSRole(key string) members {
	w.t.Helper()
	id, _ := w.awsRole()
	return members{"enabled": true, "roleId": id, "customerMasterKeyID": key, "region": "US_EAST_1"}
}

// byAWSUser are the members that enable a key with a user's access key.
func (w *world) byAWSUser(key string) members {
	w.t.Helper()
	client, ctx := w.IAM(), w.t.Context()
	_, err := client.CreateUser(ctx, &iam.CreateUserInput{UserName: aws.String(iamUser)})
	w.must(err)
	w.allowIAMUser()
	made, err := client.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: aws.String(iamUser)})
	w.must(err)
	w.secrets = append(w.secrets, *made.AccessKey.SecretAccessKey)
	return members{
		"enabled": true, "accessKeyID": *made.AccessKey.AccessKeyId, "secretAccessKey": *made.AccessKey.SecretAccessKey,
		"customerMasterKeyID": key, "region": "US_EAST_1",
	}
}

func (w *world) allowIAMUser() {
	w.t.Helper()
	_, err := w.IAM().PutUserPolicy(w.t.Context(), &iam.PutUserPolicyInput{
		UserName: aws.String(iamUser), PolicyName: aws.String("use"), PolicyDocument: aws.String(useKeys),
	})
	w.must(err)
}

// azureKey makes the vault with a key in it and returns the key's identifier. attributes are
// those of the key as JSON.
func (w *world) azureKey(attributes string) string {
	w.t.Helper()
	w.Admin(http.MethodPut, vaultARM, `{"location":"eastus2","properties":{"tenantId":"`+pockettest.TenantDirectory+`","accessPolicies":[]}}`)
	return w.moreAzureKey("atlas", attributes)
}

func (w *world) moreAzureKey(name, attributes string) string {
	w.t.Helper()
	made := w.Admin(http.MethodPost, vaultURL+"/keys/"+name+"/create", `{"kty":"RSA","key_size":2048,"attributes":{`+attributes+`}}`)
	return made["key"].(map[string]any)["kid"].(string)
}

// azureAttributes changes the attributes of the key's current version.
func (w *world) azureAttributes(attributes string) {
	w.t.Helper()
	w.Admin(http.MethodPatch, vaultURL+"/keys/atlas", `{"attributes":{`+attributes+`}}`)
}

// azurePolicy adds or removes what a principal may do with keys.
func (w *world) azurePolicy(kind, principal string) {
	w.t.Helper()
	w.Admin(http.MethodPut, vaultARM+"/accessPolicies/"+kind, fmt.Sprintf(
		`{"properties":{"accessPolicies":[{"tenantId":%q,"objectId":%q,"permissions":{"keys":["get","encrypt","decrypt"]}}]}}`,
		pockettest.TenantDirectory, principal))
}

// azureReader lets a principal see the resources of the subscription.
func (w *world) azureReader(principal string) {
	w.t.Helper()
	scope, _, _ := strings.Cut(groupURL, "/resourceGroups/")
	w.Admin(http.MethodPut, scope+"/providers/Microsoft.Authorization/roleAssignments/11111111-2222-4333-8444-555555555555",
		`{"properties":{"roleDefinitionId":"/x/`+azurecloud.RoleGeneralReader+`","principalId":"`+principal+`"}}`)
}

// azureApp is an application of the tenant's own.
type azureApp struct{ id, object, principal, secret, secretID string }

func (w *world) newAzureApp() azureApp {
	w.t.Helper()
	made := w.Admin(http.MethodPost, graph+"/applications", `{"displayName":"tenant"}`)
	app := azureApp{id: made["appId"].(string), object: made["id"].(string)}
	app.secret, app.secretID = w.newAzureSecret(app, "")
	app.principal = w.Admin(http.MethodPost, graph+"/servicePrincipals", `{"appId":"`+app.id+`"}`)["id"].(string)
	return app
}

// newAzureSecret adds a secret to an application. dates are members of the credential.
func (w *world) newAzureSecret(app azureApp, dates string) (text, id string) {
	w.t.Helper()
	made := w.Admin(http.MethodPost, graph+"/applications/"+app.object+"/addPassword", `{"passwordCredential":{"displayName":"s"`+dates+`}}`)
	w.secrets = append(w.secrets, made["secretText"].(string))
	return made["secretText"].(string), made["keyId"].(string)
}

func inVault(key string) members {
	return members{
		"enabled": true, "azureEnvironment": "AZURE", "subscriptionID": pockettest.Subscription, "resourceGroupName": "rg-kms",
		"keyVaultName": "kv-kms", "keyIdentifier": key, "tenantID": pockettest.TenantDirectory,
	}
}

// byAzureSecret are the members that enable a key with an application's secret.
func (w *world) byAzureSecret(key string) (members, azureApp) {
	w.t.Helper()
	app := w.newAzureApp()
	w.azurePolicy("add", app.principal)
	return inVault(key).with(members{"clientID": app.id, "secret": app.secret}), app
}

// admitAzure makes a service principal of Latchkey's application.
func (w *world) admitAzure() string {
	w.t.Helper()
	return w.Admin(http.MethodPost, graph+"/servicePrincipals", `{"appId":"`+pockettest.AppID+`"}`)["id"].(string)
}

func azureRole(principal string) string {
	return `{"providerName":"AZURE","atlasAzureAppId":"` + pockettest.AppID + `","servicePrincipalId":"` + principal +
		`","tenantId":"` + pockettest.TenantDirectory + `"}`
}

// byAzureRole are the members that enable a key through a service principal, and that principal.
func (w *world) byAzureRole(key string) (m members, principal string) {
	w.t.Helper()
	principal = w.admitAzure()
	w.azurePolicy("add", principal)
	made := w.mustSend(request{http.MethodPost, roles, azureRole(principal)})
	id := made.body["_id"].(string)
	w.mustSend(request{http.MethodPatch, roles + "/" + id, azureRole(principal)})
	return inVault(key).with(members{"roleId": id}), principal
}

// googleVersion makes a key ring with a key and returns the name of its first version.
func (w *world) googleVersion() string {
	w.t.Helper()
	w.Admin(http.MethodPost, googleKMS+strings.TrimSuffix(googleRing, "/kr")+"?keyRingId=kr", "")
	w.Admin(http.MethodPost, googleKMS+googleRing+"/cryptoKeys?cryptoKeyId=atlas", `{"purpose":"ENCRYPT_DECRYPT"}`)
	return googleOne
}

// googleGrant gives an account exactly these roles on the key ring.
func (w *world) googleGrant(email string, granted ...string) {
	w.t.Helper()
	w.googleGrants([]string{email}, granted...)
}

func (w *world) googleGrants(emails []string, granted ...string) {
	w.t.Helper()
	accounts := []string{}
	for _, email := range emails {
		accounts = append(accounts, "serviceAccount:"+email)
	}
	bindings := []map[string]any{}
	for _, role := range granted {
		bindings = append(bindings, map[string]any{"role": role, "members": accounts})
	}
	body, err := json.Marshal(map[string]any{"policy": map[string]any{"bindings": bindings}})
	w.must(err)
	w.Admin(http.MethodPost, googleKMS+googleRing+":setIamPolicy", string(body))
}

// googleState enables or disables the version, or puts it into a state that Google gives itself.
func (w *world) googleState(state string) {
	w.t.Helper()
	w.Admin(http.MethodPatch, googleKMS+googleOne+"?updateMask=state", `{"state":"`+state+`"}`, googlecloud.ControlHeader, "state")
}

// byGoogleKey are the members that enable a key with a service account's key, and the account.
func (w *world) byGoogleKey(version string) (m members, email string) {
	w.t.Helper()
	email, file := w.ServiceAccount(pockettest.TenantProject, "cmk-user")
	var parts struct {
		PrivateKey string `json:"private_key"`
	}
	w.must(json.Unmarshal([]byte(file), &parts))
	w.secrets = append(w.secrets, file, parts.PrivateKey)
	w.googleGrant(email, googleUsers, googleViews)
	return members{"enabled": true, "keyVersionResourceID": version, "serviceAccountKey": file}, email
}

// byGoogleRole are the members that enable a key through a service account of Latchkey's.
func (w *world) byGoogleRole(version string) (m members, email string) {
	w.t.Helper()
	made := w.mustSend(request{http.MethodPost, roles, `{"providerName":"GCP"}`})
	if made.body["status"] != "COMPLETE" {
		w.t.Fatalf("a new service account is %s", made.text)
	}
	email = made.body["gcpServiceAccountForAtlas"].(string)
	w.googleGrant(email, googleUsers, googleViews)
	return members{"enabled": true, "keyVersionResourceID": version, "roleId": made.body["roleId"]}, email
}
