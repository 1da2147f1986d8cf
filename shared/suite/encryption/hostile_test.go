package encryption_test

import (
	"net/http"
	"strings"
	"testing"

	"latchkey/local/pocket/pockettest"
)

// TestHostileNamesReachNobody sends names of keys, regions, tenants and roles that would lead
// requests elsewhere if they were put into addresses. Each is refused before anybody is asked.
func TestHostileNamesReachNobody(t *testing.T) {
	hosts := []string{
		"https://evil.example/keys/atlas", "https://kv-kms.vault.azure.net@evil.example/keys/atlas", "https://kv-kms.vault.azure.net:8443/keys/atlas",
		"http://kv-kms.vault.azure.net/keys/atlas", "https://kv-kms.vault.azure.net.evil.example/keys/atlas", "https://127.0.0.1/keys/atlas",
		"https://169.254.169.254/keys/atlas", "https://[::1]/keys/atlas", "https://kv-kms.vault.azure.net%2f@evil.example/keys/atlas",
		`https://kv-kms.vault.azure.net\\@evil.example/keys/atlas`, "https://evil.example#.vault.azure.net/keys/atlas", "https://evil.example?.vault.azure.net/keys/atlas",
		"https://kv-kms。vault.azure.net/keys/atlas", "https://a.b.vault.azure.net/keys/atlas", "https://.vault.azure.net/keys/atlas",
		"https://kv-kms.vault.azure.net/keys/../secrets/x", "https://kv-kms.vault.azure.net/keys/atlas/../..", "https://kv-kms.vault.azure.net/secrets/atlas",
		"//kv-kms.vault.azure.net/keys/atlas", "file:///etc/passwd", " https://kv-kms.vault.azure.net/keys/atlas", "https://kv-kms.vault.azure.net/keys/atlas\n",
	}
	keys := []string{
		"arn:aws:kms:us-east-1.evil.example:111122223333:key/x", "arn:aws:kms:us-east-1:evil.example/:key/x", "arn:evil:kms:us-east-1:111122223333:key/x",
		"arn:aws:s3:us-east-1:111122223333:key/x", "arn:aws:kms:us-east-1:111122223333:key/../x", "https://evil.example", "key/../../x", "alias/../x",
		"arn:aws-cn:kms:us-east-1:111122223333:key/x", "arn:aws:kms:us-east-1:111122223333:key/x\r\nHost: evil", strings.Repeat("a", 3000),
	}
	regions := []string{"us-east-1.evil.example", "us-east-1/@evil.example", "localhost", "us-east-1#", "evil.example/?", "../us-east-1", "ＵＳ_EAST_1", " US_EAST_1"}
	ids := []string{"evil.example", "../../x", "common", "organizations", "6f1b0000-0000-4000-8000-000000000002/../x", "6f1b0000-0000-4000-8000-000000000002@evil.example"}
	versions := []string{
		"https://evil.example/projects/p1/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1", "projects/../locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1",
		"projects/p1/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1:destroy", "projects/p1/locations/l/keyRings/r/cryptoKeys/k%2f/cryptoKeyVersions/1",
		"projects/p1/locations/@evil.example/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1", "projects/p1/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/-1",
	}
	inWorld(t, func(w *world) {
		aws := w.byAWSRole(w.awsKey())
		azure, _ := w.byAzureSecret(w.azureKey(""))
		google, _ := w.byGoogleKey(w.googleVersion())
		w.forget()
		try := func(block string, good members, member string, values []string) {
			t.Helper()
			for _, v := range values {
				if a := w.send(configure(block, good.with(members{member: v}))); a.status < 400 || a.status >= 500 || a.status == 409 {
					t.Errorf("%s %.80q answers %d %s", member, v, a.status, a.text)
				}
				w.wantNoRequest(member, v)
			}
		}
		try("awsKms", aws, "customerMasterKeyID", keys)
		try("awsKms", aws, "region", regions)
		try("awsKms", aws, "roleId", append(ids, "../"+groupID, "ROLE#x", strings.Repeat("a", 5000)))
		try("azureKeyVault", azure, "keyIdentifier", hosts)
		try("azureKeyVault", azure, "azureEnvironment", []string{"azure", "https://evil.example", "AZURE_GERMANY", "AZURE\x00"})
		try("azureKeyVault", azure, "keyVaultName", []string{"kv-kms.evil.example", "../x", "kv-other"})
		for _, member := range []string{"tenantID", "clientID", "subscriptionID"} {
			try("azureKeyVault", azure, member, ids)
		}
		try("azureKeyVault", azure, "resourceGroupName", []string{"..", ".", "a/../b", "a?x", "a#x", "a%2fb", strings.Repeat("a", 91), "x."})
		try("googleCloudKms", google, "keyVersionResourceID", versions)
		if n := len(w.stored()); w.stored()["ENCRYPTION"] == "" || strings.Contains(w.stored()["ENCRYPTION"], "evil") {
			t.Errorf("stored %d items: %s", n, w.stored()["ENCRYPTION"])
		}
	})
}

func (w *world) wantNoRequest(what, value string) {
	w.t.Helper()
	if hosts := w.wire.called(); len(hosts) > 0 {
		w.t.Errorf("%s %.80q: requests went to %v", what, value, hosts)
		w.wire.reset()
	}
}

// TestKeyFilesLeadNowhere changes a Google key file in the ways in which Google's own client
// libraries can be made to call an address, read a file or run a program of the file's choice.
func TestKeyFilesLeadNowhere(t *testing.T) {
	const evil = "https://evil.example/token"
	inWorld(t, func(w *world) {
		m, email := w.byGoogleKey(w.googleVersion())
		file := m["serviceAccountKey"].(string)
		replace := func(old, text string) string { return strings.Replace(file, old, text, 1) }
		w.forget()
		for name, hostile := range map[string]string{
			"external account": `{"type":"external_account","audience":"x","subject_token_type":"urn:ietf:params:oauth:token-type:jwt","token_url":"` + evil + `","credential_source":{"file":"/etc/passwd"}}`,
			"executable":       `{"type":"external_account","credential_source":{"executable":{"command":"/bin/sh"}},"token_url":"` + evil + `"}`,
			"impersonation":    `{"type":"impersonated_service_account","service_account_impersonation_url":"` + evil + `","source_credentials":` + file + `}`,
			"authorized user":  `{"type":"authorized_user","client_id":"x","client_secret":"y","refresh_token":"z"}`,
			"another universe": replace(`"googleapis.com"`, `"evil.example"`),
			"another account":  replace(email, "x@evil.example"),
			"an address":       evil,
			"an array":         `[` + file + `]`,
			"too large":        replace(`"type"`, `"padding":"`+strings.Repeat("x", 20_000)+`","type"`),
		} {
			a := w.send(configure("googleCloudKms", m.with(members{"serviceAccountKey": hostile})))
			if a.status != http.StatusBadRequest || a.code() != "INVALID_GOOGLE_CLOUD_CREDENTIALS" {
				t.Errorf("%s answers %d %s", name, a.status, a.text)
			}
			w.wantNoRequest("key file", name)
		}
		// A good key with the addresses of somebody else works, and they are not asked: inWorld
		// looks who was.
		elsewhere := replace("https://oauth2.googleapis.com/token", evil)
		if elsewhere == file {
			t.Fatal("the key file has no token_uri")
		}
		w.mustSend(configure("googleCloudKms", m.with(members{"serviceAccountKey": elsewhere})))
	})
}

// TestRolesOfOthersReachNobody authorizes roles by names that are none.
func TestRolesOfOthersReachNobody(t *testing.T) {
	inWorld(t, func(w *world) {
		id, _ := w.newAWSRole()
		w.forget()
		for _, arn := range []string{
			"", "x", "https://evil.example", "arn:aws:iam::111122223333:user/x", "arn:aws:iam::evil.example:role/x", "arn:aws:sts::111122223333:assumed-role/x/y",
			"arn:evil:iam::111122223333:role/x", "arn:aws:iam:us-east-1:111122223333:role/x", "arn:aws:iam::111122223333:role/x&Action=GetFederationToken",
			"arn:aws:iam::111122223333:role/x\n", strings.Repeat("a", 4000),
		} {
			body, _, _ := strings.Cut(authorizeAWS(id).body, `"iamAssumedRoleArn"`)
			r := request{http.MethodPatch, roles + "/" + id, body + `"iamAssumedRoleArn":"` + quoted(arn) + `"}`}
			if a := w.send(r); a.status != http.StatusBadRequest {
				t.Errorf("%.80q answers %d %s", arn, a.status, a.text)
			}
			w.wantNoRequest("role", arn)
		}
		for _, tenant := range []string{"common", "evil.example", "../x", pockettest.TenantDirectory + "/../x"} {
			body := strings.Replace(azureRole("6f1b0000-0000-4000-8000-00000000dead"), pockettest.TenantDirectory, tenant, 1)
			if a := w.send(request{http.MethodPost, roles, body}); a.status != http.StatusBadRequest {
				t.Errorf("the tenant %q answers %d", tenant, a.status)
			}
			w.wantNoRequest("tenant", tenant)
		}
	})
}
