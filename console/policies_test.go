package console_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"latchkey/console"
)

const (
	roleARN    = "arn:aws:iam::123456789012:role/latchkey"
	keyARN     = "arn:aws:kms:us-east-1:123456789012:key/0f0e0d0c-1111-2222-3333-444455556666"
	principal  = "6f1b0000-0000-4000-8000-000000000001"
	vaultKeyID = "https://kv-kms.vault.azure.net/keys/atlas/0123456789abcdef0123456789abcdef"
	keyVersion = "projects/tenant-project/locations/us-east4/keyRings/kr/cryptoKeys/k/cryptoKeyVersions/3"
)

func TestTheTrustPolicyAdmitsOneAccountForOneProject(t *testing.T) {
	got := decoded(t, console.AWSTrustPolicy("arn:aws:iam::999999999999:root", "ext-1").Text)
	want := map[string]any{"Version": "2012-10-17", "Statement": []any{map[string]any{
		"Effect": "Allow", "Principal": map[string]any{"AWS": "arn:aws:iam::999999999999:root"}, "Action": "sts:AssumeRole",
		"Condition": map[string]any{"StringEquals": map[string]any{"sts:ExternalId": "ext-1"}},
	}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestTheAccessPolicyNamesExactlyTheKey(t *testing.T) {
	for name, c := range map[string]struct {
		key, region, resource, alias string
	}{
		"an ARN":                       {keyARN, "EU_WEST_1", keyARN, ""},
		"an id":                        {"0f0e0d0c", "US_EAST_1", "arn:aws:kms:us-east-1:123456789012:key/0f0e0d0c", ""},
		"an id in another partition":   {"0f0e0d0c", "US_GOV_WEST_1", "arn:aws-us-gov:kms:us-gov-west-1:123456789012:key/0f0e0d0c", ""},
		"a multi-Region key":           {"mrk-0f0e", "US_EAST_1", "arn:aws:kms:*:123456789012:key/mrk-0f0e", ""},
		"an alias":                     {"alias/ours", "US_EAST_1", "arn:aws:kms:us-east-1:123456789012:key/*", "alias/ours"},
		"an alias's ARN":               {"arn:aws:kms:eu-west-1:210987654321:alias/a", "", "arn:aws:kms:eu-west-1:210987654321:key/*", "alias/a"},
		"nothing that is a key's name": {`key"],"x":["`, "", "arn:aws:kms:REGION:123456789012:key/KEY_ID", ""},
	} {
		t.Run(name, func(t *testing.T) {
			use := console.AWSKeyUse{RoleARN: roleARN, Key: c.key, Region: c.region}
			statement := map[string]any{
				"Effect": "Allow", "Action": []any{"kms:Decrypt", "kms:Encrypt", "kms:DescribeKey"}, "Resource": []any{c.resource},
			}
			if c.alias != "" {
				statement["Condition"] = map[string]any{"ForAnyValue:StringEquals": map[string]any{"kms:ResourceAliases": c.alias}}
			}
			want := map[string]any{"Version": "2012-10-17", "Statement": []any{statement}}
			if diff := cmp.Diff(want, decoded(t, console.AWSPermissionPolicy(use).Text)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A policy that is pasted takes the place of the one before: a rotation must not take the present key away.
func TestTheAccessPolicyKeepsTheKeysThatAreNeeded(t *testing.T) {
	use := console.AWSKeyUse{RoleARN: roleARN, Key: "new", Region: "US_EAST_1", Others: []string{keyARN, "alias/old", keyARN}}
	actions := []any{"kms:Decrypt", "kms:Encrypt", "kms:DescribeKey"}
	want := map[string]any{"Version": "2012-10-17", "Statement": []any{
		map[string]any{"Effect": "Allow", "Action": actions, "Resource": []any{"arn:aws:kms:us-east-1:123456789012:key/new", keyARN}},
		map[string]any{
			"Effect": "Allow", "Action": actions, "Resource": []any{"arn:aws:kms:us-east-1:123456789012:key/*"},
			"Condition": map[string]any{"ForAnyValue:StringEquals": map[string]any{"kms:ResourceAliases": "alias/old"}},
		},
	}}
	document := console.AWSPermissionPolicy(use)
	if diff := cmp.Diff(want, decoded(t, document.Text)); diff != "" {
		t.Error(diff)
	}
	if !strings.Contains(document.Where, "still needed") {
		t.Errorf("where: %q", document.Where)
	}
}

func TestTheKeyPolicyIsNeededWhereAccountsDiffer(t *testing.T) {
	other := strings.Replace(keyARN, "123456789012", "210987654321", 1)
	for key, needed := range map[string]bool{keyARN: false, "0f0e0d0c": false, other: true} {
		document := console.AWSKeyPolicyStatement(console.AWSKeyUse{RoleARN: roleARN, Key: key, Region: "US_EAST_1"})
		if strings.Contains(document.Where, "It is needed: ") != needed {
			t.Errorf("%s: %q", key, document.Where)
		}
		want := map[string]any{
			"Sid": "Latchkey", "Effect": "Allow", "Principal": map[string]any{"AWS": roleARN},
			"Action": []any{"kms:Decrypt", "kms:Encrypt", "kms:DescribeKey"}, "Resource": "*",
		}
		if diff := cmp.Diff(want, decoded(t, document.Text)); diff != "" {
			t.Error(diff)
		}
	}
}

func TestDocumentsOfAzureAreForThisVaultAndPrincipal(t *testing.T) {
	use := console.AzureKeyUse{
		ServicePrincipal: principal, Environment: "AZURE", Subscription: "sub-1", ResourceGroup: "rg-kms", Vault: "kv-kms", KeyIdentifier: vaultKeyID,
	}
	const vault = "/subscriptions/sub-1/resourceGroups/rg-kms/providers/Microsoft.KeyVault/vaults/kv-kms"
	for text, words := range map[string][]string{
		console.AzureRoleAssignment(use).Text: {
			"az", "role", "assignment", "create", "--role", "Key Vault Crypto User", "--assignee-object-id", principal,
			"--assignee-principal-type", "ServicePrincipal", "--scope", vault + "/keys/atlas",
		},
		console.AzureCustomAssignment(use).Text: {
			"az", "role", "assignment", "create", "--role", "Latchkey Key User", "--assignee-object-id", principal,
			"--assignee-principal-type", "ServicePrincipal", "--scope", vault,
		},
		console.AzureAccessPolicy(use).Text: {
			"az", "keyvault", "set-policy", "--name", "kv-kms", "--object-id", principal, "--key-permissions", "get", "encrypt", "decrypt",
		},
		console.AzureServicePrincipal("app-1").Text: {"az", "ad", "sp", "create", "--id", "app-1", "--query", "id", "--output", "tsv"},
	} {
		if diff := cmp.Diff(words, shellWords(t, text)); diff != "" {
			t.Error(diff)
		}
	}
	role := decoded(t, console.AzureRoleDefinition(use).Text)
	want := []any{
		"Microsoft.KeyVault/vaults/keys/read", "Microsoft.KeyVault/vaults/keys/encrypt/action", "Microsoft.KeyVault/vaults/keys/decrypt/action",
	}
	if diff := cmp.Diff(want, role["DataActions"]); diff != "" {
		t.Error(diff)
	}
	use.Environment = "AZURE_US_GOVERNMENT"
	for _, document := range []console.Document{console.AzureRoleAssignment(use), console.AzureAccessPolicy(use)} {
		if !strings.HasPrefix(document.Text, "az cloud set --name AzureUSGovernment\n") {
			t.Errorf("another environment is not led to: %q", document.Text)
		}
	}
}

func TestDocumentsOfGoogleAreForThisKeyAndAccount(t *testing.T) {
	var roles []string
	for _, document := range console.GoogleDocuments(console.GoogleKeyUse{ServiceAccount: "us@p.iam.gserviceaccount.com", KeyVersion: keyVersion}) {
		words := shellWords(t, document.Text)
		want := []string{
			"gcloud", "kms", "keys", "add-iam-policy-binding", "k", "--project", "tenant-project", "--location", "us-east4", "--keyring", "kr",
			"--member", "serviceAccount:us@p.iam.gserviceaccount.com", "--role",
		}
		if diff := cmp.Diff(want, words[:len(words)-1]); diff != "" {
			t.Error(diff)
		}
		roles = append(roles, words[len(words)-1])
	}
	if want := []string{"roles/cloudkms.cryptoKeyEncrypterDecrypter", "roles/cloudkms.viewer"}; !slices.Equal(roles, want) {
		t.Errorf("roles %v, want %v", roles, want)
	}
}

// What a tenant typed is pasted into a shell: it stays one word there, whatever is in it.
func TestNamesStayOneWordInAShell(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		name := rapid.StringMatching(`[ -~\n]{1,30}`).Draw(rt, "name")
		use := console.AzureKeyUse{ServicePrincipal: name, Subscription: name, ResourceGroup: name, Vault: name}
		words := shellWords(t, console.AzureAccessPolicy(use).Text)
		want := []string{"az", "keyvault", "set-policy", "--name", name, "--object-id", name, "--key-permissions", "get", "encrypt", "decrypt"}
		if diff := cmp.Diff(want, words); diff != "" {
			rt.Fatal(diff)
		}
		words = shellWords(t, console.GoogleBinding(console.GoogleKeyUse{ServiceAccount: name, KeyVersion: name}).Text)
		if !slices.Contains(words, "serviceAccount:"+name) || len(words) != 15 {
			rt.Fatalf("%q", words)
		}
	})
}

func TestWhatIsNotKnownYetHasAPlaceholder(t *testing.T) {
	all := slices.Concat(console.AWSDocuments(console.AWSKeyUse{}), console.AzureDocuments(console.AzureKeyUse{}),
		console.GoogleDocuments(console.GoogleKeyUse{}), []console.Document{console.AWSTrustPolicy("", ""), console.AWSCreateRole("")})
	ids := map[string]bool{}
	for _, d := range all {
		if d.Label == "" || d.Where == "" || d.Text == "" || strings.Contains(d.Text, `""`) || strings.Contains(d.Text, "//keys") {
			t.Errorf("%+v", d)
		}
		if ids[d.ID] {
			t.Errorf("two documents are called %s", d.ID)
		}
		ids[d.ID] = true
	}
}

func decoded(t *testing.T, text string) map[string]any {
	t.Helper()
	var got map[string]any
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return got
}

// shellWords splits a command as a shell does: single quotes, and a backslash before the next character.
func shellWords(t *testing.T, line string) []string {
	t.Helper()
	var words []string
	var word strings.Builder
	started, quoted := false, false
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case quoted && c != '\'':
			word.WriteByte(c)
		case c == '\'':
			quoted, started = !quoted, true
		case c == '\\' && line[i+1] == '\n':
			i++
		case c == '\\':
			i++
			word.WriteByte(line[i])
			started = true
		case c == ' ' || c == '\n':
			if started {
				words = append(words, word.String())
			}
			word.Reset()
			started = false
		case strings.IndexByte("$`\"&|;<>()*?[]#~!{}", c) >= 0:
			t.Fatalf("a shell would act on %q in %q", c, line)
		default:
			word.WriteByte(c)
			started = true
		}
	}
	if started {
		words = append(words, word.String())
	}
	return words
}
