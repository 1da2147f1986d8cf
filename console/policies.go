package console

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"latchkey/shared/atlas"
)

// Document is what a tenant pastes into a console or a shell of the cloud, with where that is.
type Document struct {
	ID    string // of the element that shows it
	Label string
	Where string // a sentence
	Text  string
}

// What stands in a document for what is not known yet. None of it is valid where it stands.
const (
	placeAccount   = "ACCOUNT_ID"
	placeRegion    = "REGION"
	placeKey       = "KEY_ID"
	placeRole      = "ROLE_ARN"
	placePrincipal = "LATCHKEY_AWS_ACCOUNT_ARN"
	placeExternal  = "EXTERNAL_ID"
	placeRoleName  = "latchkey"
	placeUser      = "USER_ARN"
	placeUserName  = "USER_NAME"
)

// awsKeyActions are all that is done with a key.
var awsKeyActions = []string{"kms:Decrypt", "kms:Encrypt", "kms:DescribeKey"}

// AWSKeyUse is a key of AWS KMS, and the IAM role that uses it. What is not known yet is "".
type AWSKeyUse struct {
	RoleARN string
	ByUser  bool   // an IAM user's access keys are used instead, whose name nobody told
	Key     string // as the tenant names it
	Region  string // in either spelling
	// Others are keys that the role must go on using: the present one until another is in use, and former
	// ones. A policy that is pasted takes the place of the one that was there.
	Others []string
}

type awsPolicy struct {
	Version   string         `json:"Version"`
	Statement []awsStatement `json:"Statement"`
}

type awsStatement struct {
	Sid       string            `json:"Sid,omitempty"`
	Effect    string            `json:"Effect"`
	Principal map[string]string `json:"Principal,omitempty"`
	Action    any               `json:"Action"`
	Resource  any               `json:"Resource,omitempty"`
	Condition map[string]any    `json:"Condition,omitempty"`
}

// awsPolicyVersion is that of AWS's policy language, and no date of ours.
const awsPolicyVersion = "2012-10-17"

// AWSTrustPolicy lets Latchkey's AWS account, and nobody else, assume a role, and only on behalf of the
// project that the external id belongs to.
func AWSTrustPolicy(account, externalID string) Document {
	return Document{
		ID: "trust-policy", Label: "Trust policy of the IAM role",
		Where: "In the AWS console: IAM, Roles, the role, Trust relationships, Edit trust policy. Neither the account nor the external ID is secret.",
		Text: indented(awsPolicy{awsPolicyVersion, []awsStatement{{
			Effect: "Allow", Principal: map[string]string{"AWS": or(account, placePrincipal)}, Action: "sts:AssumeRole",
			Condition: map[string]any{"StringEquals": map[string]string{"sts:ExternalId": or(externalID, placeExternal)}},
		}}}),
	}
}

// AWSCreateRole makes a role with a trust policy that was saved as a file.
func AWSCreateRole(name string) Document {
	return Document{
		ID: "create-role", Label: "Create the IAM role with the AWS CLI",
		Where: "Save the trust policy as role-trust-policy.json first.",
		Text:  command("aws", "iam", "create-role", "--role-name", or(name, placeRoleName), "--assume-role-policy-document", "file://role-trust-policy.json"),
	}
}

// AWSPermissionPolicy lets a role use a key, and those that it has used so far. A multi-Region key is
// allowed in all Regions: where its own is down, it must be possible to move, and IAM may not take
// changes just then.
func AWSPermissionPolicy(use AWSKeyUse) Document {
	var resources []string
	var byAlias []awsStatement
	for _, key := range append([]string{use.Key}, use.Others...) {
		named := use
		named.Key = key
		resource, alias := named.resource()
		switch {
		case alias != "": // policies do not heed an alias's own ARN
			byAlias = append(byAlias, awsStatement{
				Effect: "Allow", Action: awsKeyActions, Resource: []string{resource},
				Condition: map[string]any{"ForAnyValue:StringEquals": map[string]string{"kms:ResourceAliases": alias}},
			})
		case !slices.Contains(resources, resource):
			resources = append(resources, resource)
		}
	}
	statements := byAlias
	if len(resources) > 0 {
		statements = append([]awsStatement{{Effect: "Allow", Action: awsKeyActions, Resource: resources}}, byAlias...)
	}
	where := "In the AWS console: IAM, " + use.pick("Roles, the role", "Users, the user") + ", Add permissions, Create inline policy, JSON. " +
		"With kms:ListKeyRotations too, the reminder to rotate the key counts from its last rotation."
	if slices.ContainsFunc(resources, func(r string) bool { return strings.Contains(r, ":kms:*:") }) {
		where += " The star stands for the Regions of the key's replicas, so that you can move there in an outage."
	}
	if len(resources)+len(byAlias) > 1 {
		where += " It keeps the keys that are still needed."
	}
	return Document{ID: "permission-policy", Label: "Access policy of the IAM " + use.pick("role", "user"), Where: where, Text: indented(awsPolicy{awsPolicyVersion, statements})}
}

// AWSPutRolePolicy attaches a permission policy that was saved as a file.
func AWSPutRolePolicy(use AWSKeyUse) Document {
	name := placeRoleName
	if role, err := atlas.ParseAWSRole(use.RoleARN); err == nil {
		name = role.Name
	}
	if use.ByUser {
		name = placeUserName
	}
	return Document{
		ID: "put-role-policy", Label: "Attach the access policy with the AWS CLI",
		Where: "Save the access policy as key-policy.json first.",
		Text:  command("aws", "iam", use.pick("put-role-policy", "put-user-policy"), use.pick("--role-name", "--user-name"), name, "--policy-name", "latchkey-key", "--policy-document", "file://key-policy.json"),
	}
}

// AWSKeyPolicyStatement is what the policy of the key itself needs where it does not leave access to
// IAM, and always where the key is in another account than the role.
func AWSKeyPolicyStatement(use AWSKeyUse) Document {
	where := "In the AWS console: KMS, the key, Key policy, Edit; add it to the list of statements. "
	if use.crossesAccounts() {
		where += "It is needed: the key is in another account than the role."
	} else {
		where += "It is needed only where the key policy does not leave access to IAM, as the default one does."
	}
	if name, err := atlas.ParseAWSKeyName(use.Key); err == nil && name.IsMultiRegion() {
		where += " Each replica of a multi-Region key has a policy of its own."
	}
	return Document{ID: "key-policy", Label: "Statement for the key policy", Where: where, Text: indented(awsStatement{
		Sid: "Latchkey", Effect: "Allow", Principal: map[string]string{"AWS": or(use.RoleARN, use.pick(placeRole, placeUser))}, Action: awsKeyActions, Resource: "*",
	})}
}

// resource is the key's ARN; of an alias all keys, beside the name for a condition.
func (u AWSKeyUse) resource() (arn, alias string) {
	partition, region, account := "aws", placeRegion, placeAccount
	if r, err := atlas.ParseAWSRegion(u.Region); err == nil {
		partition, region = string(r.Partition()), r.String()
	}
	if role, err := atlas.ParseAWSRole(u.RoleARN); err == nil {
		account = role.Account
	}
	name, err := atlas.ParseAWSKeyName(u.Key)
	if err != nil {
		return "arn:" + partition + ":kms:" + region + ":" + account + ":key/" + placeKey, ""
	}
	if name.IsARN() {
		partition, region, account = string(name.Partition), name.Region.String(), name.Account
	}
	id := name.ID
	switch {
	case name.IsAlias():
		id = "*"
	case name.IsMultiRegion():
		region = "*"
	}
	return "arn:" + partition + ":kms:" + region + ":" + account + ":key/" + id, name.Alias
}

func (u AWSKeyUse) crossesAccounts() bool {
	name, err := atlas.ParseAWSKeyName(u.Key)
	role, wrong := atlas.ParseAWSRole(u.RoleARN)
	return err == nil && wrong == nil && name.IsARN() && name.Account != role.Account
}

// pick chooses the words for whoever uses the key.
func (u AWSKeyUse) pick(role, user string) string {
	if u.ByUser {
		return user
	}
	return role
}

// AWSDocuments are all that the use of a key needs, but for the trust policy.
func AWSDocuments(use AWSKeyUse) []Document {
	return []Document{AWSPermissionPolicy(use), AWSPutRolePolicy(use), AWSKeyPolicyStatement(use)}
}

// What stands for what is not known yet, at Azure and Google.
const (
	placePrincipalID  = "SERVICE_PRINCIPAL_ID"
	placeApp          = "APPLICATION_ID"
	placeSubscription = "SUBSCRIPTION_ID"
	placeGroup        = "RESOURCE_GROUP"
	placeVault        = "VAULT"
	placeKeyName      = "KEY"
	placeProject      = "PROJECT"
	placeLocation     = "LOCATION"
	placeRing         = "KEY_RING"
	placeEmail        = "SERVICE_ACCOUNT"
)

// AzureKeyUse is a key in Azure Key Vault, and the service principal that uses it. What is not known yet is "".
type AzureKeyUse struct {
	ServicePrincipal string // object id
	Environment      string
	Subscription     string
	ResourceGroup    string
	Vault            string
	KeyIdentifier    string
}

// The role of Azure's own that has what is done with a key, and more; and the least that is.
const (
	azureBuiltIn = "Key Vault Crypto User"
	azureCustom  = "Latchkey Key User"
)

// AzureServicePrincipal admits Latchkey's application to a directory.
func AzureServicePrincipal(app string) Document {
	return Document{
		ID: "create-principal", Label: "Admit the application to your directory",
		Where: "In a shell with the Azure CLI, signed in to the directory that the key vault belongs to. The id that it prints is the service principal's object ID.",
		Text:  command("az", "ad", "sp", "create", "--id", or(app, placeApp), "--query", "id", "--output", "tsv"),
	}
}

// AzureRoleAssignment gives the service principal a role of Azure's on the key, for vaults whose
// permission model is Azure role-based access control.
func AzureRoleAssignment(use AzureKeyUse) Document {
	return Document{
		ID: "role-assignment", Label: "Assign the role " + azureBuiltIn,
		Where: "For a vault whose permission model is Azure role-based access control. In the Azure portal: the key, Access control (IAM), Add role assignment.",
		Text: use.cloud() + command("az", "role", "assignment", "create", "--role", azureBuiltIn, "--assignee-object-id", or(use.ServicePrincipal, placePrincipalID),
			"--assignee-principal-type", "ServicePrincipal", "--scope", use.vaultScope()+"/keys/"+use.keyName()),
	}
}

// AzureRoleDefinition is a role with exactly what is done with keys.
func AzureRoleDefinition(use AzureKeyUse) Document {
	const vaults = "Microsoft.KeyVault/vaults/"
	role := struct {
		Name             string   `json:"Name"`
		Description      string   `json:"Description"`
		Actions          []string `json:"Actions"`
		DataActions      []string `json:"DataActions"`
		AssignableScopes []string `json:"AssignableScopes"`
	}{
		azureCustom, "Encrypts and decrypts with the keys of a vault.",
		[]string{vaults + "read", vaults + "keys/read"},
		[]string{vaults + "keys/read", vaults + "keys/encrypt/action", vaults + "keys/decrypt/action"},
		[]string{"/subscriptions/" + or(use.Subscription, placeSubscription)},
	}
	return Document{
		ID: "role-definition", Label: "Or a role of your own with the least that is needed",
		Where: "Save it as role.json, then: az role definition create --role-definition role.json",
		Text:  indented(role),
	}
}

// AzureCustomAssignment gives the service principal that role on the vault.
func AzureCustomAssignment(use AzureKeyUse) Document {
	return Document{
		ID: "custom-assignment", Label: "Assign that role",
		Where: "It is for the vault as a whole: that is where its properties are read.",
		Text: use.cloud() + command("az", "role", "assignment", "create", "--role", azureCustom, "--assignee-object-id", or(use.ServicePrincipal, placePrincipalID),
			"--assignee-principal-type", "ServicePrincipal", "--scope", use.vaultScope()),
	}
}

// AzureAccessPolicy lets the service principal use the keys of a vault whose permission model is vault
// access policies.
func AzureAccessPolicy(use AzureKeyUse) Document {
	return Document{
		ID: "access-policy", Label: "Or an access policy of the vault",
		Where: "For a vault whose permission model is vault access policy. In the Azure portal: the vault, Access policies, Create; key permissions Get, Encrypt and Decrypt.",
		Text: use.cloud() + command("az", "keyvault", "set-policy", "--name", or(use.vault(), placeVault), "--object-id", or(use.ServicePrincipal, placePrincipalID),
			"--key-permissions", "get", "encrypt", "decrypt"),
	}
}

// AzureDocuments are the ways to let the service principal use a key.
func AzureDocuments(use AzureKeyUse) []Document {
	return []Document{AzureRoleAssignment(use), AzureAccessPolicy(use), AzureRoleDefinition(use), AzureCustomAssignment(use)}
}

// azureClouds are the environments as the Azure CLI calls them.
var azureClouds = map[atlas.AzureEnvironment]string{atlas.AzureChina: "AzureChinaCloud", atlas.AzureUSGovernment: "AzureUSGovernment"}

// cloud leads the CLI to another environment than the public one.
func (u AzureKeyUse) cloud() string {
	name, other := azureClouds[atlas.AzureEnvironment(u.Environment)]
	if !other {
		return ""
	}
	return command("az", "cloud", "set", "--name", name) + "\n"
}

func (u AzureKeyUse) vault() string {
	if id, err := atlas.ParseAzureKeyID(u.KeyIdentifier); err == nil && u.Vault == "" {
		return id.Vault
	}
	return u.Vault
}

func (u AzureKeyUse) keyName() string {
	if id, err := atlas.ParseAzureKeyID(u.KeyIdentifier); err == nil {
		return id.Name
	}
	return placeKeyName
}

func (u AzureKeyUse) vaultScope() string {
	return "/subscriptions/" + or(u.Subscription, placeSubscription) + "/resourceGroups/" + or(u.ResourceGroup, placeGroup) +
		"/providers/Microsoft.KeyVault/vaults/" + or(u.vault(), placeVault)
}

// GoogleKeyUse is a key in Google Cloud KMS, and the service account that uses it. What is not known yet is "".
type GoogleKeyUse struct {
	ServiceAccount string // e-mail address
	KeyVersion     string // resource name
}

// The roles that Google needs on the key.
const (
	googleUser   = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
	googleViewer = "roles/cloudkms.viewer"
)

// GoogleBinding lets the service account use a key.
func GoogleBinding(use GoogleKeyUse) Document {
	return Document{
		ID: "key-binding", Label: "Let the service account use the key",
		Where: "In a shell with the gcloud CLI, or in Cloud Shell. In the Google Cloud console: the key, Permissions, Grant access, Cloud KMS CryptoKey Encrypter/Decrypter.",
		Text:  use.bind(googleUser),
	}
}

// GoogleViewerBinding lets the service account read how old a key is.
func GoogleViewerBinding(use GoogleKeyUse) Document {
	return Document{
		ID: "viewer-binding", Label: "Optional: let it read the key's dates",
		Where: "The reminder to rotate the key then counts from the version's creation, and you are told before a version is destroyed.",
		Text:  use.bind(googleViewer),
	}
}

// GoogleDocuments are what the use of a key needs.
func GoogleDocuments(use GoogleKeyUse) []Document {
	return []Document{GoogleBinding(use), GoogleViewerBinding(use)}
}

func (u GoogleKeyUse) bind(role string) string {
	key := atlas.GoogleKeyVersion{Project: placeProject, Location: placeLocation, Ring: placeRing, Key: placeKeyName}
	if named, err := atlas.ParseGoogleKeyVersion(strings.TrimSpace(u.KeyVersion)); err == nil {
		key = named
	}
	return command("gcloud", "kms", "keys", "add-iam-policy-binding", key.Key, "--project", key.Project, "--location", key.Location,
		"--keyring", key.Ring, "--member", "serviceAccount:"+or(u.ServiceAccount, placeEmail), "--role", role)
}

// indented is JSON as people write it.
func indented(value any) string {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false) // it is shown as text, and pasted elsewhere
	e.SetIndent("", "  ")
	must(e.Encode(value))
	return strings.TrimSpace(text.String())
}

func or(value, placeholder string) string {
	if value == "" {
		return placeholder
	}
	return value
}

// bare are the words that a shell takes as they are.
var bare = regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./-]+$`).MatchString

// command is a line for a shell; a long one has each option on a line of its own. Names come from
// tenants: each is one word, whatever is in it.
func command(words ...string) string {
	quoted := make([]string, len(words))
	length := 0
	for i, word := range words {
		quoted[i] = word
		if !bare(word) {
			quoted[i] = `'` + strings.ReplaceAll(word, `'`, `'\''`) + `'`
		}
		length += len(quoted[i]) + 1
	}
	if length <= 80 {
		return strings.Join(quoted, " ")
	}
	for i, word := range quoted {
		if strings.HasPrefix(word, "--") {
			quoted[i] = "\\\n  " + word
		}
	}
	return strings.Join(quoted, " ")
}
