package encryption_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"latchkey/shared/atlas"
	"latchkey/shared/encryption"
	"latchkey/shared/httpapi"
)

const (
	role1    = "650000000000000000000010"
	role2    = "650000000000000000000011"
	keyARN   = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
	keyID    = "1234abcd-12ab-34cd-56ef-1234567890ab"
	azureKey = "https://kv-kms.vault.azure.net/keys/atlas/0123456789abcdef0123456789abcdef"
	gcpKey   = "projects/p1/locations/us-east4/keyRings/kr/cryptoKeys/k/cryptoKeyVersions/1"

	azureRest = `"azureEnvironment":"AZURE","subscriptionID":"6f1b0000-0000-4000-8000-000000000003","resourceGroupName":"rg-kms","keyVaultName":"kv-kms","keyIdentifier":"` + azureKey + `"`
)

// serviceAccountKey is the key file of a Google service account.
func serviceAccountKey(t testing.TB) string {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	block := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(private)})
	file, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": "p1", "private_key_id": "k1", "private_key": string(block),
		"client_email": "cmk@p1.iam.gserviceaccount.com",
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(file)
}

func off() encryption.Settings {
	return encryption.New("650000000000000000000001", "650000000000000000000002")
}

func withAWS(a encryption.AWS) encryption.Settings {
	s := off()
	s.AWS = &a
	if a.RoleID != "" {
		s.RoleOnly = []atlas.Provider{atlas.AWS}
	}
	return s
}

func onRole() encryption.Settings {
	return withAWS(encryption.AWS{KeyID: keyARN, Region: "US_EAST_1", RoleID: role1})
}

func onUserKeys() encryption.Settings {
	return withAWS(encryption.AWS{KeyID: keyID, Region: "US_EAST_1", AccessKeyID: "AKIAIOSFODNN7EXAMPLE", Secret: []byte("sealed")})
}

func onAzure() encryption.Settings {
	s := off()
	s.Azure = &encryption.Azure{
		Environment: "AZURE", KeyIdentifier: azureKey, VaultName: "kv-kms", ResourceGroup: "rg-kms",
		SubscriptionID: "6f1b0000-0000-4000-8000-000000000003", TenantID: "6f1b0000-0000-4000-8000-000000000002",
		ClientID: "6f1b0000-0000-4000-8000-000000000001", Secret: []byte("sealed"),
	}
	return s
}

func onGoogle() encryption.Settings {
	s := off()
	s.Google = &encryption.Google{KeyVersion: gcpKey, Secret: []byte("sealed")}
	return s
}

type outcome struct {
	code    atlas.Code
	changes []encryption.Change
}

func awsChange(kind encryption.Kind, key, access bool, secret string, fields ...string) outcome {
	return outcome{changes: []encryption.Change{{
		Provider: atlas.AWS, Kind: kind, KeyChanged: key, AccessChanged: access, Secret: secret, Fields: fields,
	}}}
}

func TestApply(t *testing.T) {
	keyFile := serviceAccountKey(t)
	for name, c := range map[string]struct {
		from encryption.Settings
		body string
		want outcome
	}{
		"an empty body names no provider":           {off(), `{}`, outcome{code: "MISSING_ENCRYPTION_AT_REST_PROVIDER"}},
		"null blocks name no provider":              {off(), `{"awsKms":null}`, outcome{code: "MISSING_ENCRYPTION_AT_REST_PROVIDER"}},
		"an empty block changes nothing":            {onRole(), `{"awsKms":{}}`, outcome{}},
		"search nodes alone are no provider change": {onRole(), `{"enabledForSearchNodes":true}`, outcome{}},
		"a role enables AWS": {
			off(), `{"awsKms":{"enabled":true,"roleId":"` + role1 + `","customerMasterKeyID":"` + keyARN + `","region":"US_EAST_1"}}`,
			awsChange(encryption.Enable, true, true, "", "customerMasterKeyID", "region", "roleId"),
		},
		"user keys enable AWS": {
			off(), `{"awsKms":{"enabled":true,"accessKeyID":"AKIAIOSFODNN7EXAMPLE","secretAccessKey":"s3cret","customerMasterKeyID":"` + keyID + `","region":"us-east-1"}}`,
			awsChange(encryption.Enable, true, true, "s3cret", "customerMasterKeyID", "region", "accessKeyID"),
		},
		"the role wins over user keys sent with it": {
			off(), `{"awsKms":{"enabled":true,"roleId":"` + role1 + `","accessKeyID":"019dd98d94b4bb778e7552e4","secretAccessKey":"string","customerMasterKeyID":"` + keyARN + `","region":"US_EAST_1","requirePrivateNetworking":true}}`,
			awsChange(encryption.Enable, true, true, "", "customerMasterKeyID", "region", "requirePrivateNetworking", "roleId"),
		},
		"a missing member is named":                     {off(), `{"awsKms":{"enabled":true,"roleId":"` + role1 + `","region":"US_EAST_1"}}`, outcome{code: "MISSING_ATTRIBUTE"}},
		"missing members are named":                     {off(), `{"awsKms":{"enabled":true}}`, outcome{code: "MISSING_ATTRIBUTES"}},
		"user keys need their secret":                   {off(), `{"awsKms":{"enabled":true,"accessKeyID":"AKIAIOSFODNN7EXAMPLE","customerMasterKeyID":"` + keyID + `","region":"US_EAST_1"}}`, outcome{code: "MISSING_ATTRIBUTE"}},
		"GLOBAL has no KMS":                             {off(), `{"awsKms":{"enabled":true,"roleId":"` + role1 + `","customerMasterKeyID":"` + keyID + `","region":"GLOBAL"}}`, outcome{code: "AWS_KMS_REGION_NOT_SUPPORTED"}},
		"an unknown region":                             {off(), `{"awsKms":{"enabled":true,"roleId":"` + role1 + `","customerMasterKeyID":"` + keyID + `","region":"MARS_1"}}`, outcome{code: "INVALID_REGION"}},
		"an ARN of another region":                      {off(), `{"awsKms":{"enabled":true,"roleId":"` + role1 + `","customerMasterKeyID":"` + keyARN + `","region":"EU_WEST_1"}}`, outcome{code: "AWS_CUSTOMER_MASTER_KEY_NOT_FOUND"}},
		"a provider that is off is not changed in part": {off(), `{"awsKms":{"customerMasterKeyID":"` + keyID + `"}}`, outcome{code: "CANNOT_ROTATE_KEY_ENCRYPTION_DISABLED"}},
		"a new key is a rotation": {
			onRole(), `{"awsKms":{"customerMasterKeyID":"` + keyID + `"}}`, awsChange(encryption.Modify, true, false, "", "customerMasterKeyID"),
		},
		"another role is another access": {
			onRole(), `{"awsKms":{"roleId":"` + role2 + `"}}`, awsChange(encryption.Modify, false, true, "", "roleId"),
		},
		"private networking alone needs no validation": {
			onRole(), `{"awsKms":{"requirePrivateNetworking":true}}`, awsChange(encryption.Modify, false, false, "", "requirePrivateNetworking"),
		},
		"private networking alone is also switched off": {
			withAWS(encryption.AWS{KeyID: keyARN, Region: "US_EAST_1", RoleID: role1, PrivateNetworking: true}), `{"awsKms":{"requirePrivateNetworking":false}}`,
			awsChange(encryption.Modify, false, false, "", "requirePrivateNetworking"),
		},
		"switching off what is off changes nothing": {off(), `{"awsKms":{"requirePrivateNetworking":false},"azureKeyVault":{"requirePrivateNetworking":false}}`, outcome{}},
		"sending GET's answer back changes nothing": {
			onRole(), `{"awsKms":{"customerMasterKeyID":"` + keyARN + `","enabled":true,"region":"US_EAST_1","requirePrivateNetworking":false,"roleId":"` + role1 + `","valid":true},"azureKeyVault":{"enabled":false,"valid":false,"keyIdentifier":null},"googleCloudKms":{"enabled":false},"enabledForSearchNodes":false}`,
			outcome{},
		},
		"enabled:false removes the configuration": {onRole(), `{"awsKms":{"enabled":false}}`, awsChange(encryption.Disable, false, false, "", "enabled")},
		"enabled:false wins over the rest":        {onRole(), `{"awsKms":{"enabled":false,"roleId":"` + role1 + `","customerMasterKeyID":"` + keyARN + `","region":"US_EAST_1"}}`, awsChange(encryption.Disable, false, false, "", "enabled")},
		"disabling twice changes nothing":         {off(), `{"awsKms":{"enabled":false},"azureKeyVault":{"enabled":false},"googleCloudKms":{"enabled":false}}`, outcome{}},
		"user keys after a role are refused for ever": {
			onRole(), `{"awsKms":{"accessKeyID":"AKIAIOSFODNN7EXAMPLE","secretAccessKey":"x"}}`, outcome{code: "AWS_KMS_CREDENTIALS_AUTH_DEPRECATED"},
		},
		"user keys give way to a role": {
			onUserKeys(), `{"awsKms":{"roleId":"` + role1 + `"}}`, awsChange(encryption.Modify, false, true, "", "roleId"),
		},
		"a new secret for the same user": {
			onUserKeys(), `{"awsKms":{"secretAccessKey":"n3w"}}`, awsChange(encryption.Modify, false, true, "n3w"),
		},
		"another user needs a secret of its own": {onUserKeys(), `{"awsKms":{"accessKeyID":"AKIAI44QH8DHBEXAMPLE"}}`, outcome{code: "MISSING_ATTRIBUTE"}},
		"another case of the same secret":        {onUserKeys(), `{"awsKms":{"secretAccessKey":""}}`, outcome{}},

		"Azure: another vault than the identifier's":         {off(), `{"azureKeyVault":{"enabled":true,"roleId":"` + role1 + `","azureEnvironment":"AZURE","subscriptionID":"6f1b0000-0000-4000-8000-000000000003","resourceGroupName":"rg","keyVaultName":"other","keyIdentifier":"` + azureKey + `"}}`, outcome{code: "AZURE_KEY_VAULT_KEY_IDENTIFIER_INVALID_FORMAT"}},
		"Azure: an unknown environment":                      {onAzure(), `{"azureKeyVault":{"azureEnvironment":"AZURE_MOON"}}`, outcome{code: "AZURE_KEY_VAULT_ENVIRONMENT_NOT_SUPPORTED"}},
		"Azure: an environment that is not the identifier's": {onAzure(), `{"azureKeyVault":{"azureEnvironment":"AZURE_CHINA"}}`, outcome{code: "AZURE_KEY_VAULT_KEY_IDENTIFIER_INVALID_FORMAT"}},
		"Azure: an identifier that is none":                  {onAzure(), `{"azureKeyVault":{"keyIdentifier":"https://evil.example/keys/a/0123456789abcdef0123456789abcdef"}}`, outcome{code: "AZURE_KEY_VAULT_KEY_IDENTIFIER_INVALID_FORMAT"}},
		"Azure: an id that is no UUID":                       {onAzure(), `{"azureKeyVault":{"subscriptionID":"x"}}`, outcome{code: "INVALID_ATTRIBUTE"}},
		"Azure: neither role nor application":                {off(), `{"azureKeyVault":{"enabled":true,` + azureRest + `}}`, outcome{code: "MISSING_ATTRIBUTE"}},
		"Azure: a new version": {
			onAzure(), `{"azureKeyVault":{"keyIdentifier":"https://kv-kms.vault.azure.net/keys/atlas/ffffffffffffffffffffffffffffffff"}}`,
			outcome{changes: []encryption.Change{{Provider: atlas.Azure, Kind: encryption.Modify, KeyChanged: true, Fields: []string{"keyIdentifier"}}}},
		},
		"Azure: the application gives way to a service principal": {
			onAzure(), `{"azureKeyVault":{"roleId":"` + role1 + `"}}`,
			outcome{changes: []encryption.Change{{Provider: atlas.Azure, Kind: encryption.Modify, AccessChanged: true, Fields: []string{"roleId"}}}},
		},
		"Azure: private networking alone needs no validation": {
			onAzure(), `{"azureKeyVault":{"requirePrivateNetworking":true}}`,
			outcome{changes: []encryption.Change{{Provider: atlas.Azure, Kind: encryption.Modify, Fields: []string{"requirePrivateNetworking"}}}},
		},

		"Google: a new version": {
			onGoogle(), `{"googleCloudKms":{"keyVersionResourceID":"` + gcpKey + `2"}}`,
			outcome{changes: []encryption.Change{{Provider: atlas.GCP, Kind: encryption.Modify, KeyChanged: true, Fields: []string{"keyVersionResourceID"}}}},
		},
		"Google: a key file that is already stored counts as new": {
			onGoogle(), `{"googleCloudKms":{"serviceAccountKey":` + strconv.Quote(keyFile) + `}}`,
			outcome{changes: []encryption.Change{{Provider: atlas.GCP, Kind: encryption.Modify, AccessChanged: true, Secret: keyFile}}},
		},
		"Google: a key file of another type": {
			onGoogle(), `{"googleCloudKms":{"serviceAccountKey":"{\"type\":\"external_account\"}"}}`, outcome{code: "INVALID_GOOGLE_CLOUD_CREDENTIALS"},
		},
		"Azure: a resource group that is a path": {
			onAzure(), `{"azureKeyVault":{"resourceGroupName":".."}}`, outcome{code: "INVALID_ATTRIBUTE"},
		},
		"Google: a hostile name": {onGoogle(), `{"googleCloudKms":{"keyVersionResourceID":"projects/../locations/x"}}`, outcome{code: "INVALID_ATTRIBUTE"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, changes, err := c.from.Apply(update(t, c.body), encryption.Policy{AllowAWSUserKeys: true})
			got := outcome{code: atlas.CodeOf(err), changes: changes}
			if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(outcome{})); diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}

func TestAnOperatorMayRefuseUserKeys(t *testing.T) {
	body := `{"awsKms":{"enabled":true,"accessKeyID":"AKIAIOSFODNN7EXAMPLE","secretAccessKey":"s","customerMasterKeyID":"` + keyID + `","region":"US_EAST_1"}}`
	_, _, err := off().Apply(update(t, body), encryption.Policy{})
	if got := atlas.CodeOf(err); got != atlas.AWSCredentialsDeprecated {
		t.Errorf("got %v", err)
	}
}

func TestApplyDropsStaticCredentialsForARole(t *testing.T) {
	next, _, err := onUserKeys().Apply(update(t, `{"awsKms":{"roleId":"`+role1+`"}}`), encryption.Policy{AllowAWSUserKeys: true})
	if err != nil {
		t.Fatal(err)
	}
	if next.AWS.Secret != nil || next.AWS.AccessKeyID != "" {
		t.Errorf("the user's keys are still there: %+v", next.AWS)
	}
	if diff := cmp.Diff([]atlas.Provider{atlas.AWS}, next.RoleOnly); diff != "" {
		t.Error(diff)
	}
	gone, _, err := next.Apply(update(t, `{"awsKms":{"enabled":false}}`), encryption.Policy{})
	if err != nil || len(gone.RoleOnly) != 1 {
		t.Errorf("disabling undoes that only roles are accepted: %+v, %v", gone, err)
	}
}

func TestApplyLeavesTheOriginalAlone(t *testing.T) {
	from := onRole()
	before, err := json.Marshal(from)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := from.Apply(update(t, `{"awsKms":{"roleId":"`+role2+`","requirePrivateNetworking":true},"enabledForSearchNodes":true}`), encryption.Policy{}); err != nil {
		t.Fatal(err)
	}
	after, err := json.Marshal(from)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(before), string(after)); diff != "" {
		t.Error(diff)
	}
}

func TestWireShowsNullsForWhatIsOff(t *testing.T) {
	got, err := json.Marshal(off().Wire())
	if err != nil {
		t.Fatal(err)
	}
	want := `{"awsKms":{"customerMasterKeyID":null,"enabled":false,"region":null,"valid":false},` +
		`"azureKeyVault":{"azureEnvironment":null,"clientID":null,"enabled":false,"keyIdentifier":null,"keyVaultName":null,"resourceGroupName":null,"subscriptionID":null,"tenantID":null,"valid":false},` +
		`"enabledForSearchNodes":false,"googleCloudKms":{"enabled":false,"keyVersionResourceID":null,"valid":false}}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
}

func update(t *testing.T, body string) atlas.EncryptionAtRestUpdate {
	t.Helper()
	var u atlas.EncryptionAtRestUpdate
	if err := httpapi.Decode([]byte(body), &u); err != nil {
		t.Fatal(err)
	}
	return u
}
