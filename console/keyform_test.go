package console_test

import (
	"net/url"
	"strings"
	"testing"
)

// fields is a form as a browser sends it.
func fields(pairs ...string) url.Values {
	v := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return v
}

func TestSetUp_sendsWhatTheProviderNeeds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		provider string
		form     url.Values
		sent     object
	}{
		"AWS": {
			"AWS", fields("roleId", awsRoleID, "customerMasterKeyID", " "+keyARN+" ", "region", "US_EAST_1", "access", "role"),
			object{"awsKms": object{"enabled": true, "roleId": awsRoleID, "customerMasterKeyID": keyARN, "region": "US_EAST_1"}},
		},
		"Azure by service principal, whose directory the API knows": {
			"AZURE", fields("roleId", "32b6e34b3d91647abb20e703", "azureEnvironment", "AZURE", "subscriptionID", "s",
				"resourceGroupName", "g", "keyVaultName", "kv-kms", "keyIdentifier", vaultKeyID, "access", "role", "secret", "not-asked-for"),
			object{"azureKeyVault": object{
				"enabled": true, "roleId": "32b6e34b3d91647abb20e703", "tenantID": "6f1b0000-0000-4000-8000-0000000000aa", "azureEnvironment": "AZURE",
				"subscriptionID": "s", "resourceGroupName": "g", "keyVaultName": "kv-kms", "keyIdentifier": vaultKeyID,
			}},
		},
		"Azure by secret": {
			"AZURE", fields("clientID", "c", "tenantID", "t", "secret", "s3cret", "secretExpiresAt", "2027-01-31", "azureEnvironment", "AZURE", "subscriptionID", "s",
				"resourceGroupName", "g", "keyVaultName", "kv-kms", "keyIdentifier", vaultKeyID, "access", "secret"),
			object{"azureKeyVault": object{
				"enabled": true, "clientID": "c", "tenantID": "t", "secret": "s3cret", "secretExpiresAt": "2027-01-31", "azureEnvironment": "AZURE",
				"subscriptionID": "s", "resourceGroupName": "g", "keyVaultName": "kv-kms", "keyIdentifier": vaultKeyID,
			}},
		},
		"Google by service account": {
			"GCP", fields("roleId", "32b6e34b3d91647abb20e704", "keyVersionResourceID", keyVersion, "access", "role"),
			object{"googleCloudKms": object{"enabled": true, "roleId": "32b6e34b3d91647abb20e704", "keyVersionResourceID": keyVersion}},
		},
		"Google by key file": {
			"GCP", fields("serviceAccountKey", `{"type":"service_account"}`, "keyVersionResourceID", keyVersion, "access", "secret"),
			object{"googleCloudKms": object{"enabled": true, "serviceAccountKey": `{"type":"service_account"}`, "keyVersionResourceID": keyVersion}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := keysWorld(t)
			w.api.set("PATCH "+settingsAPI, object{"warnings": []any{c.provider + ": This cannot be undone."}})
			c.form.Set("setup", "on")
			if a := w.post(advanced+"/"+c.provider, c.form); a.Header.Get("Location") != advanced {
				t.Fatalf("answer = %d %s", a.StatusCode, a.body)
			}
			equal(t, c.sent, w.sentJSON("PATCH "+settingsAPI))
			w.get(advanced).shows(t, "is on. Each cluster", "This cannot be undone.")
		})
	}
}

func TestSetUp_offersAuthorisedRolesAndTheWaysThereAre(t *testing.T) {
	t.Parallel()
	w := keysWorld(t)
	page := w.get(advanced + "/AWS")
	page.shows(t, "Set up AWS KMS", `<option value="`+awsRoleID+`" selected>arn:aws:iam::111122223333:role/latchkey`, `disabled>AWS IAM role 32b6e34b3d91647abb20e702 (not authorised yet)`)
	page.hides(t, "Secret access key")
	w.get(advanced+"/AWS").shows(t, advanced+"/AWS?access=secret")
	w.get(advanced+"/AWS?access=secret").shows(t, "Access key ID", "Secret access key", "AWS recommends roles",
		"Access policy of the IAM user", "aws iam put-user-policy", "USER_ARN")
	w.get(advanced+"/AWS").shows(t, "Access policy of the IAM role", "aws iam put-role-policy")
	w.get(advanced+"/AZURE").shows(t, principal, advanced+"/AZURE?access=secret", "cannot go back to static credentials")
	secret := w.get(advanced + "/AZURE?access=secret")
	secret.shows(t, "Client ID", `name="secret" type="password" autocomplete="new-password"`)
	secret.hides(t, `name="roleId"`)
	w.get(advanced+"/GCP?access=secret").shows(t, "Service account key")

	w.api.set("GET "+rolesAPI, object{})
	w.get(advanced+"/AWS").shows(t, "There is no access role that is authorised yet.", overview+"/roles/new?provider=AWS")
}

func TestForms_keepWhatWasTypedButNoSecret(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		provider, code, detail string
		form                   url.Values
		member                 string
	}{
		{"AWS", "NO_PERMISSION_TO_ENCRYPT_DECRYPT", "No permission.", fields("customerMasterKeyID", "typed<1", "region", "US_EAST_1", "access", "role"), "customerMasterKeyID"},
		{"AWS", "CANNOT_ASSUME_ROLE", "No.", fields("customerMasterKeyID", "typed<1", "roleId", awsRoleID, "access", "role"), "roleId"},
		{"AWS", "INVALID_REGION", "No.", fields("customerMasterKeyID", "typed<1", "access", "role"), "region"},
		{"AZURE", "INVALID_ATTRIBUTE", "Invalid attribute subscriptionID specified.", fields("subscriptionID", "typed<1", "secret", "s3cret-typed", "access", "secret"), "subscriptionID"},
		{"AZURE", "MISSING_ATTRIBUTES", "The required attributes tenantID, secret were not specified.", fields("subscriptionID", "typed<1", "access", "secret"), "tenantID"},
		{"AZURE", "INVALID_AZURE_CREDENTIALS", "No.", fields("subscriptionID", "typed<1", "secret", "s3cret-typed", "access", "secret"), "secret"},
		{"GCP", "INVALID_GOOGLE_CLOUD_CREDENTIALS", "No.", fields("keyVersionResourceID", "typed<1", "serviceAccountKey", "s3cret-typed", "access", "secret"), "serviceAccountKey"},
		{"GCP", "INVALID_GOOGLE_CLOUD_CREDENTIALS", "No.", fields("keyVersionResourceID", "typed<1", "access", "role"), "roleId"},
	} {
		t.Run(c.code+" of "+c.member, func(t *testing.T) {
			t.Parallel()
			w := keysWorld(t)
			w.api.set("PATCH "+settingsAPI, refused{400, c.code, c.detail, ""})
			c.form.Set("setup", "on")
			page := w.post(advanced+"/"+c.provider, c.form)
			if page.StatusCode != 400 {
				t.Errorf("answer = %d", page.StatusCode)
			}
			page.shows(t, `value="typed&lt;1"`, c.detail, `id="f-`+c.member+`-error"`)
			page.hides(t, "s3cret-typed")
			_, after, _ := strings.Cut(page.body, `id="f-`+c.member+`-error"`)
			if said, _, _ := strings.Cut(after, "</p>"); !strings.Contains(said, c.code) {
				t.Errorf("beside the field stands %q", said)
			}
		})
	}
}

// Two people edit: what one of them did not touch is not sent back over what the other one has changed.
func TestEdit_sendsOnlyWhatWasChanged(t *testing.T) {
	t.Parallel()
	w := keysWorld(t)
	w.api.set("PATCH "+settingsAPI, object{})
	w.api.set("GET "+settingsAPI, configuration("azureKeyVault", object{
		"azureEnvironment": "AZURE", "clientID": "c", "tenantID": "t", "subscriptionID": "s", "resourceGroupName": "g", "keyVaultName": "kv-kms",
		"keyIdentifier": vaultKeyID, "secretExpiresAt": "2027-01-31T00:00:00Z",
	}))
	page := w.get(advanced + "/AZURE")
	page.shows(t, "Edit Azure Key Vault", `name="was-resourceGroupName" value="g"`, `value="2027-01-31"`, "Leave it empty to keep the one that is stored")
	page.hides(t, `name="setup"`)
	same := fields("access", "secret", "clientID", "c", "was-clientID", "c", "resourceGroupName", "other", "was-resourceGroupName", "g", "secret", "",
		"secretExpiresAt", "2027-01-31", "was-secretExpiresAt", "2027-01-31", "keyIdentifier", vaultKeyID, "was-keyIdentifier", vaultKeyID)
	w.post(advanced+"/AZURE", same)
	equal(t, object{"azureKeyVault": object{"resourceGroupName": "other"}}, w.sentJSON("PATCH "+settingsAPI))
	same.Set("secret", "new-secret")
	w.post(advanced+"/AZURE", same)
	equal(t, object{"azureKeyVault": object{"resourceGroupName": "other", "secret": "new-secret"}}, w.sentJSON("PATCH "+settingsAPI))

	w.api.asked()
	none := fields("access", "secret", "clientID", "c", "was-clientID", "c")
	if page := w.post(advanced+"/AZURE", none); page.StatusCode != 422 || !strings.Contains(page.body, "Nothing was changed") {
		t.Errorf("answer = %d", page.StatusCode)
	}
}

func TestEdit_keepsUserKeysWhereAProjectHasThem(t *testing.T) {
	t.Parallel()
	w := keysWorld(t)
	w.api.set("PATCH "+settingsAPI, object{})
	w.api.set("GET "+settingsAPI, configuration("awsKms", object{"customerMasterKeyID": "k", "region": "us-east-1", "accessKeyID": "AKIAEXAMPLE"}))
	w.get(advanced).shows(t, "Access key ID of an IAM user", "AKIAEXAMPLE", "Switch to role-based access")
	page := w.get(advanced + "/AWS")
	page.shows(t, `value="AKIAEXAMPLE"`, `name="secretAccessKey" type="password"`, `<option value="US_EAST_1" selected>`)
	w.post(advanced+"/AWS", fields("access", "secret", "accessKeyID", "AKIAOTHER", "was-accessKeyID", "AKIAEXAMPLE", "secretAccessKey", "abc"))
	equal(t, object{"awsKms": object{"accessKeyID": "AKIAOTHER", "secretAccessKey": "abc"}}, w.sentJSON("PATCH "+settingsAPI))
}

func TestSwitch_mustBeUnderstood(t *testing.T) {
	t.Parallel()
	w := keysWorld(t)
	w.api.set("PATCH "+settingsAPI, object{"warnings": []any{"AWS: Switching to role-based access."}})
	w.api.set("GET "+settingsAPI, configuration("awsKms", object{"customerMasterKeyID": "k", "region": "US_EAST_1", "accessKeyID": "AKIAEXAMPLE"}))
	w.get(advanced+"/AWS/role").shows(t, "This cannot be undone.", "I understand that this cannot be undone", `name="final"`, "Access policy of the IAM role")
	form := fields("roleId", awsRoleID)
	page := w.post(advanced+"/AWS/role", form)
	if page.StatusCode != 422 || w.api.sent("PATCH "+settingsAPI) != "" {
		t.Errorf("answer = %d, sent %q", page.StatusCode, w.api.sent("PATCH "+settingsAPI))
	}
	page.shows(t, "Tick the box to go on.", `<option value="`+awsRoleID+`" selected>`, "external-7")
	form.Set("final", "on")
	w.post(advanced+"/AWS/role", form)
	equal(t, object{"awsKms": object{"roleId": awsRoleID}}, w.sentJSON("PATCH "+settingsAPI))
	w.get(advanced).shows(t, "The switch is under way", "Switching to role-based access.")
}

func TestRotation_namesTheKeyAlone(t *testing.T) {
	t.Parallel()
	w := keysWorld(t)
	w.api.set("PATCH "+settingsAPI, object{})
	w.api.set("GET "+settingsAPI, awsConfiguration(multiRegion))
	w.keys(report("AWS", "VALID", "OK", nil))
	page := w.get(advanced + "/AWS/key")
	page.shows(t, "There are 3 nodes under the present key", "Snapshots stay under the key of their time", `name="customerMasterKeyID"`)
	page.hides(t, `name="roleId"`)
	w.post(advanced+"/AWS/key", fields("customerMasterKeyID", keyARN, "was-customerMasterKeyID", multiRegion, "region", "US_EAST_1", "was-region", "US_EAST_1"))
	equal(t, object{"awsKms": object{"customerMasterKeyID": keyARN}}, w.sentJSON("PATCH "+settingsAPI))
	w.get(advanced).shows(t, "are being wrapped by the new key")
}

func TestMove_isForMultiRegionKeys(t *testing.T) {
	t.Parallel()
	w := keysWorld(t)
	w.api.set("PATCH "+settingsAPI, object{})
	w.api.set("GET "+settingsAPI, awsConfiguration(keyARN))
	w.get(advanced).hides(t, "Change the Region")
	page := w.get(advanced + "/AWS/region")
	page.shows(t, "single-Region key")
	page.hides(t, `<form class="card"`)

	w.api.set("GET "+settingsAPI, awsConfiguration(multiRegion))
	w.get(advanced+"/AWS/region").shows(t, "only nodes that are unavailable", `<option value="US_EAST_1" selected>`)
	w.post(advanced+"/AWS/region", fields("region", "EU_WEST_1", "was-region", "US_EAST_1"))
	equal(t, object{"awsKms": object{"region": "EU_WEST_1"}}, w.sentJSON("PATCH "+settingsAPI))
}

func TestDocuments_followTheFormAndTheStoredRole(t *testing.T) {
	t.Parallel()
	w := keysWorld(t)
	page := w.get(advanced + "/AWS")
	page.shows(t, `hx-post="`+advanced+`/AWS/documents"`, "input from:#key-form", "external-7", "arn:aws:iam::999999999999:root")
	part := w.post(advanced+"/AWS/documents", fields("roleId", awsRoleID, "customerMasterKeyID", keyARN, "region", "US_EAST_1"))
	part.shows(t, keyARN, "external-7", "--role-name latchkey")
	part.hides(t, "<html")
	// A form that names a key alone is about the role that is stored.
	w.api.set("GET "+settingsAPI, awsConfiguration(multiRegion))
	w.post(advanced+"/AWS/documents", fields("customerMasterKeyID", keyARN)).shows(t, "arn:aws:iam::111122223333:role/latchkey", keyARN, "arn:aws:kms:*:111122223333:key/mrk-0f0e0d0c")
	_, params, _ := strings.Cut(page.body, `hx-include="#key-form" hx-params="`)
	params, _, _ = strings.Cut(params, `"`)
	for _, secret := range []string{"secret", "secretAccessKey", "serviceAccountKey"} {
		for sent := range strings.SplitSeq(params, ",") {
			if sent == secret {
				t.Errorf("%s is sent for documents", secret)
			}
		}
	}
}

func TestChecks_speakAsOneTypes(t *testing.T) {
	t.Parallel()
	w := keysWorld(t)
	for _, c := range []struct {
		provider, member string
		form             url.Values
		says             string // "" for nothing
	}{
		{"AWS", "customerMasterKeyID", fields("customerMasterKeyID", keyARN, "region", "EU_WEST_1"), "The ARN is of the Region us-east-1."},
		{"AWS", "region", fields("customerMasterKeyID", keyARN, "region", "EU_WEST_1"), "The ARN is of the Region us-east-1."},
		{"AWS", "region", fields("customerMasterKeyID", keyARN, "region", "US_EAST_1"), ""},
		{"AWS", "region", fields("region", "US_EAST_1"), ""},
		{"AWS", "customerMasterKeyID", fields("customerMasterKeyID", keyARN, "region", "US_EAST_1"), "A single-Region key"},
		{"AWS", "customerMasterKeyID", fields("customerMasterKeyID", keyARN), "Its Region is us-east-1."},
		{"AWS", "customerMasterKeyID", fields("customerMasterKeyID", multiRegion, "region", "US_EAST_1"), "A multi-Region key"},
		{"AWS", "customerMasterKeyID", fields("customerMasterKeyID", multiRegion, "region", "EU_WEST_1"), "needs a replica in eu-west-1"},
		{"AWS", "customerMasterKeyID", fields("customerMasterKeyID", "alias/a"), "An alias may lead to another key"},
		{"AWS", "customerMasterKeyID", fields("customerMasterKeyID", "arn:aws:s3:::b"), "ARN"},
		{"AWS", "customerMasterKeyID", fields("customerMasterKeyID", ""), ""},
		{"AZURE", "keyIdentifier", fields("keyIdentifier", vaultKeyID, "keyVaultName", "KV-KMS", "azureEnvironment", "AZURE"), "A version of the key atlas."},
		{"AZURE", "keyIdentifier", fields("keyIdentifier", vaultKeyID, "keyVaultName", "other"), "belongs to the key vault kv-kms"},
		{"AZURE", "keyIdentifier", fields("keyIdentifier", vaultKeyID, "azureEnvironment", "AZURE_CHINA"), "belongs to the environment Azure."},
		{"AZURE", "keyIdentifier", fields("keyIdentifier", "https://kv-kms.vault.azure.net/keys/atlas"), "It names no version"},
		{"AZURE", "keyIdentifier", fields("keyIdentifier", "http://kv"), "It must start with https://."},
		{"AZURE", "keyVaultName", fields("keyVaultName", "1"), "3 to 24"},
		{"AZURE", "keyVaultName", fields("keyVaultName", "other", "keyIdentifier", vaultKeyID), "names the key vault kv-kms"},
		{"AZURE", "subscriptionID", fields("subscriptionID", "x"), "It must be a UUID"},
		{"AZURE", "subscriptionID", fields("subscriptionID", principal), ""},
		{"AZURE", "resourceGroupName", fields("resourceGroupName", "a/b"), "cannot be the name"},
		{"GCP", "keyVersionResourceID", fields("keyVersionResourceID", keyVersion), "Version 3 of the key k in us-east4."},
		{"GCP", "keyVersionResourceID", fields("keyVersionResourceID", strings.TrimSuffix(keyVersion, "/cryptoKeyVersions/3")), "The version is missing"},
		{"GCP", "keyVersionResourceID", fields("keyVersionResourceID", "x"), "It must have the form"},
		{"AWS", "secretAccessKey", fields("secretAccessKey", "x"), ""},
	} {
		got := strings.TrimSpace(w.post(advanced+"/"+c.provider+"/check/"+c.member, c.form).body)
		if c.says == "" && got != "" || !strings.Contains(got, c.says) {
			t.Errorf("%s %v: says %q, want %q", c.member, c.form, got, c.says)
		}
	}
}
