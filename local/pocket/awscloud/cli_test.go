package awscloud_test

import (
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"latchkey/integration/clitest"
	"latchkey/local/pocket/awscloud"
)

// cli runs the real AWS CLI against the cloud over loopback.
type cli struct {
	t        *testing.T
	program  string
	endpoint string
	home     string
}

// run runs one command and returns what --query selects, as text.
func (c cli) run(keys awscloud.Keys, token, query string, args ...string) (string, error) {
	c.t.Helper()
	args = append(args, "--endpoint-url", c.endpoint, "--output", "text")
	if query != "" {
		args = append(args, "--query", query)
	}
	cmd := exec.CommandContext(c.t.Context(), c.program, args...)
	cmd.Dir = c.home
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + c.home, "AWS_PAGER=", "AWS_EC2_METADATA_DISABLED=true", "AWS_DEFAULT_REGION=" + home,
		"AWS_ACCESS_KEY_ID=" + keys.AccessKeyID, "AWS_SECRET_ACCESS_KEY=" + keys.SecretAccessKey, "AWS_MAX_ATTEMPTS=1",
	}
	if token != "" {
		cmd.Env = append(cmd.Env, "AWS_SESSION_TOKEN="+token)
	}
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// admin runs a command as the tenant's administrator and expects it to succeed.
func (c cli) admin(query string, args ...string) string {
	c.t.Helper()
	out, err := c.run(tenantRoot, "", query, args...)
	if err != nil {
		c.t.Fatalf("aws %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func (c cli) expect(want, query string, args ...string) {
	c.t.Helper()
	if got := c.admin(query, args...); got != want {
		c.t.Errorf("aws %s prints %q, want %q", strings.Join(args, " "), got, want)
	}
}

// file writes a file for the CLI to read.
func (c cli) file(name, text string) string {
	c.t.Helper()
	if err := os.WriteFile(filepath.Join(c.home, name), []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
	return "file://" + name
}

func newCLI(t *testing.T) cli {
	t.Helper()
	program := clitest.Program(t, "aws")
	server := httptest.NewServer(newWorld(t).handler)
	t.Cleanup(server.Close)
	return cli{t: t, program: program, endpoint: server.URL, home: t.TempDir()}
}

func TestCLI_administers_a_key(t *testing.T) {
	t.Parallel()
	c := newCLI(t)
	key := c.admin("KeyMetadata.KeyId", "kms", "create-key", "--multi-region", "--description", "latchkey")
	c.expect("Enabled\tlatchkey", "KeyMetadata.[KeyState,Description]", "kms", "describe-key", "--key-id", key)
	c.admin("", "kms", "disable-key", "--key-id", key)
	c.admin("", "kms", "enable-key", "--key-id", key)
	c.expect("PendingDeletion", "KeyState", "kms", "schedule-key-deletion", "--key-id", key, "--pending-window-in-days", "7")
	c.admin("", "kms", "cancel-key-deletion", "--key-id", key)
	c.expect("Disabled", "KeyMetadata.KeyState", "kms", "describe-key", "--key-id", key)
	c.admin("", "kms", "enable-key", "--key-id", key)
	policy := c.file("policy.json", keyPolicy(`{"Effect":"Allow","Principal":{"AWS":"`+latchkeyARN+`"},"Action":"kms:Decrypt","Resource":"*"}`))
	c.admin("", "kms", "put-key-policy", "--key-id", key, "--policy-name", "default", "--policy", policy)
	if got := c.admin("Policy", "kms", "get-key-policy", "--key-id", key, "--policy-name", "default"); !strings.Contains(got, latchkeyARN) {
		t.Errorf("the key policy is %s", got)
	}
	blob := c.admin("CiphertextBlob", "kms", "encrypt", "--key-id", key, "--plaintext", c.file("plain", "secret"))
	c.expect("eu-west-1", "ReplicaKeyMetadata.MultiRegionConfiguration.ReplicaKeys[0].Region", "kms", "replicate-key", "--key-id", key, "--replica-region", "eu-west-1")
	c.admin("", "kms", "rotate-key-on-demand", "--key-id", key)
	c.expect("ON_DEMAND", "Rotations[].RotationType", "kms", "list-key-rotations", "--key-id", key)
	c.file("blob", blob)
	decoded, err := exec.CommandContext(t.Context(), "base64", "-d", filepath.Join(c.home, "blob")).Output()
	if err != nil {
		t.Fatal(err)
	}
	c.file("blob.bin", string(decoded))
	c.expect("c2VjcmV0", "Plaintext", "kms", "decrypt", "--region", "eu-west-1", "--key-id", key, "--ciphertext-blob", "fileb://blob.bin")
}

func TestCLI_administers_roles_and_users(t *testing.T) {
	t.Parallel()
	c := newCLI(t)
	out, err := c.run(tenantRoot, "", "", "iam", "create-role", "--role-name", "atlas-kms", "--assume-role-policy-document",
		c.file("seed.json", strings.Replace(trust(latchkeyARN, withID), "2012-10-17", "2020-03-17", 1)))
	if err == nil || !strings.Contains(out, "MalformedPolicyDocument") || !strings.Contains(out, "2012-10-17") {
		t.Errorf("the documents' trust policy answers %q, %v", out, err)
	}
	role := c.admin("Role.Arn", "iam", "create-role", "--role-name", "atlas-kms", "--assume-role-policy-document", c.file("trust.json", trust(latchkeyARN, "")))
	c.admin("", "iam", "update-assume-role-policy", "--role-name", "atlas-kms", "--policy-document", c.file("trust2.json", trust(latchkeyARN, withID)))
	c.expect("tenant-1", "Role.AssumeRolePolicyDocument.Statement[0].Condition.StringEquals.\"sts:ExternalId\"", "iam", "get-role", "--role-name", "atlas-kms")
	c.admin("", "iam", "put-role-policy", "--role-name", "atlas-kms", "--policy-name", "kms", "--policy-document", c.file("kms.json", allow(useKeys, "*")))

	session, err := c.run(latchkeyKeys, "", "Credentials.[AccessKeyId,SecretAccessKey,SessionToken]",
		"sts", "assume-role", "--role-arn", role, "--role-session-name", "latchkey", "--external-id", "tenant-1")
	parts := strings.Fields(session)
	if err != nil || len(parts) != 3 {
		t.Fatalf("assume-role: %v\n%s", err, session)
	}
	arn, err := c.run(awscloud.Keys{AccessKeyID: parts[0], SecretAccessKey: parts[1]}, parts[2], "Arn", "sts", "get-caller-identity")
	if err != nil || arn != "arn:aws:sts::111122223333:assumed-role/atlas-kms/latchkey" {
		t.Errorf("the session is %s, %v", arn, err)
	}
	c.admin("", "iam", "delete-role-policy", "--role-name", "atlas-kms", "--policy-name", "kms")

	c.expect("arn:aws:iam::111122223333:user/atlas", "User.Arn", "iam", "create-user", "--user-name", "atlas")
	keys := strings.Fields(c.admin("AccessKey.[AccessKeyId,SecretAccessKey]", "iam", "create-access-key", "--user-name", "atlas"))
	mine := awscloud.Keys{AccessKeyID: keys[0], SecretAccessKey: keys[1]}
	if arn, err := c.run(mine, "", "Arn", "sts", "get-caller-identity"); err != nil || arn != "arn:aws:iam::111122223333:user/atlas" {
		t.Errorf("the user is %s, %v", arn, err)
	}
	c.admin("", "iam", "delete-access-key", "--user-name", "atlas", "--access-key-id", keys[0])
	if out, err := c.run(mine, "", "", "sts", "get-caller-identity"); err == nil || !strings.Contains(out, "InvalidClientTokenId") {
		t.Errorf("a deleted access key answers %q, %v", out, err)
	}
}
