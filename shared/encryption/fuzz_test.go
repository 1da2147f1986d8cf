package encryption_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/encryption"
	"latchkey/shared/httpapi"
	"latchkey/shared/httpapi/hostiletest"
)

// mergeStates are settings that updates are merged into.
func mergeStates() []encryption.Settings {
	all := onRole()
	all.Azure, all.Google, all.SearchNodes = onAzure().Azure, onGoogle().Google, true
	byRole := off()
	byRole.Azure, byRole.Google = onAzure().Azure, onGoogle().Google
	byRole.Azure.RoleID, byRole.Azure.ClientID, byRole.Azure.Secret = role2, "", nil
	byRole.Google.RoleID, byRole.Google.Secret = role2, nil
	byRole.RoleOnly = []atlas.Provider{atlas.Azure, atlas.GCP}
	switching := onAzure()
	switching.Azure.RoleID, switching.Azure.ClientID, switching.Azure.Secret = role2, "", nil
	expiring := onAzure()
	expiring.Azure.SecretExpires = time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	return []encryption.Settings{off(), onRole(), onUserKeys(), onAzure(), onGoogle(), all, byRole, switching, expiring}
}

// mergeBodies are updates that are worth to be changed.
func mergeBodies(keyFile string) []string {
	return []string{
		`{}`, `{"awsKms":null}`, `{"enabledForSearchNodes":true}`, `{"awsKms":{"enabled":false},"googleCloudKms":{"enabled":null}}`,
		`{"awsKms":{"enabled":true,"roleId":"` + role1 + `","customerMasterKeyID":"` + keyARN + `","region":"US_EAST_1","requirePrivateNetworking":true,"valid":false}}`,
		`{"awsKms":{"enabled":true,"accessKeyID":"AKIAI44QH8DHBEXAMPLE","secretAccessKey":"hush-secret-access-key","customerMasterKeyID":"` + keyID + `","region":"eu-west-1"}}`,
		`{"azureKeyVault":{"enabled":true,` + azureRest + `,"clientID":"6f1b0000-0000-4000-8000-000000000009","tenantID":"6f1b0000-0000-4000-8000-000000000002","secret":"hush-client-secret","secretExpiresAt":"2027-01-01"}}`,
		`{"azureKeyVault":{"secretExpiresAt":"9999-12-31T23:59:59-23:59"}}`,
		`{"azureKeyVault":{"enabled":true,` + azureRest + `,"roleId":"` + role1 + `","requirePrivateNetworking":false}}`,
		`{"googleCloudKms":{"enabled":true,"keyVersionResourceID":"` + gcpKey + `","serviceAccountKey":` + quote(keyFile) + `}}`,
		`{"googleCloudKms":{"roleId":"` + role1 + `"},"awsKms":{"roleId":"` + role1 + `"},"azureKeyVault":{"roleId":"` + role1 + `"}}`,
	}
}

func quote(s string) string {
	b, _ := json.Marshal(s) //nolint:errchkjson // a string
	return string(b)
}

// FuzzApply merges what a client may send into what may be stored. What is refused changes nothing, and is told
// by a code that is the client's fault; what is not sent stays; sending the same again, or what is
// shown, changes nothing; what is accepted can be stored; and no secret is in it or in an error.
func FuzzApply(f *testing.F) {
	states := mergeStates()
	for _, body := range mergeBodies(serviceAccountKey(f)) {
		for i := range states {
			f.Add(uint8(i), body, uint16(0), uint8(0), false, i%2 == 0)
		}
	}
	f.Fuzz(func(t *testing.T, state uint8, body string, part uint16, way uint8, twisted, userKeys bool) {
		if twisted {
			body = hostiletest.Twist(body, int(part), int(way))
		}
		tryMerge(t, mergeStates()[int(state)%len(states)], body, encryption.Policy{AllowAWSUserKeys: userKeys})
	})
}

// Every part of every body is changed in every way, on every state.
func TestApply_HoldsForEveryTwist(t *testing.T) {
	bodies := mergeBodies(serviceAccountKey(t))
	n, skip := 0, 61 // a run takes every so many
	for _, s := range mergeStates() {
		for _, body := range bodies {
			for part := range hostiletest.Parts(body) {
				for way := range hostiletest.Twists() {
					if n++; n%skip == 0 {
						tryMerge(t, s, hostiletest.Twist(body, part, way), encryption.Policy{AllowAWSUserKeys: true})
					}
				}
			}
		}
	}
}

func tryMerge(t *testing.T, s encryption.Settings, body string, p encryption.Policy) {
	t.Helper()
	var u atlas.EncryptionAtRestUpdate
	if httpapi.Decode([]byte(body), &u) != nil {
		return
	}
	before := document(t, s)
	next, changes, err := s.Apply(u, p)
	if got := document(t, s); got != before {
		t.Fatalf("%.500q changed the original: %s", body, got)
	}
	if err != nil {
		if e := atlas.AsError(err); e.Status() < 400 || e.Status() >= 500 || changes != nil || document(t, next) != before {
			t.Errorf("%.500q: %v, %+v", body, err, changes)
		}
		seeNoSecret(t, u, atlas.AsError(err).Error())
		return
	}
	after := document(t, next)
	seeNoSecret(t, u, after)
	if len(changes) == 0 && next.SearchNodes == s.SearchNodes && after != before {
		t.Errorf("%.500q: no change from %s to %s", body, before, after)
	}
	seeRest(t, u, s, next)
	sendAgain(t, u, next, p, after)
	sendBack(t, next, p, after)
	for _, was := range s.RoleOnly {
		if !slices.Contains(next.RoleOnly, was) {
			t.Errorf("%.500q takes back that only roles are accepted", body)
		}
	}
}

// document is what would be stored.
func document(t *testing.T, s encryption.Settings) string {
	t.Helper()
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatalf("the settings can't be stored: %v", err)
	}
	var loaded encryption.Settings
	if err := json.Unmarshal(b, &loaded); err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// seeNoSecret looks for secrets that could not have got there in another way.
func seeNoSecret(t *testing.T, u atlas.EncryptionAtRestUpdate, text string) {
	t.Helper()
	open := u // what was sent besides
	var secrets []*string
	if b := u.AWSKMS; b != nil {
		rest := *b
		rest.SecretAccessKey, open.AWSKMS = nil, &rest
		secrets = append(secrets, b.SecretAccessKey)
	}
	if b := u.AzureKeyVault; b != nil {
		rest := *b
		rest.Secret, open.AzureKeyVault = nil, &rest
		secrets = append(secrets, b.Secret)
	}
	if b := u.GoogleCloudKMS; b != nil {
		rest := *b
		rest.ServiceAccountKey, open.GoogleCloudKMS = nil, &rest
		secrets = append(secrets, b.ServiceAccountKey)
	}
	others, _ := json.Marshal(open) //nolint:errchkjson // it was JSON
	// Times that are not set look like that in every document.
	others = append(others, time.Time{}.Format(time.RFC3339)...)
	for _, secret := range secrets {
		if secret != nil && len(*secret) >= 12 && strings.Contains(text, *secret) && !strings.Contains(string(others), *secret) {
			t.Errorf("%.500q is shown: %.1000s", *secret, text)
		}
	}
}

// seeRest demands that what was not sent is as it was.
func seeRest(t *testing.T, u atlas.EncryptionAtRestUpdate, s, next encryption.Settings) {
	t.Helper()
	if u.EnabledForSearchNodes == nil && next.SearchNodes != s.SearchNodes || u.AWSKMS == nil && !reflect.DeepEqual(next.AWS, s.AWS) ||
		u.AzureKeyVault == nil && !reflect.DeepEqual(next.Azure, s.Azure) || u.GoogleCloudKMS == nil && !reflect.DeepEqual(next.Google, s.Google) {
		t.Errorf("what was not sent has changed: %+v", next)
	}
	sent := func(m *string) bool { return m != nil && *m != "" }
	stays := func(name string, sent bool, was, is any) {
		t.Helper()
		if !sent && !reflect.DeepEqual(was, is) {
			t.Errorf("%s was not sent and has become %v", name, is)
		}
	}
	if b := u.AWSKMS; b != nil && s.AWS != nil && next.AWS != nil {
		stays("customerMasterKeyID", sent(b.CustomerMasterKeyID), s.AWS.KeyID, next.AWS.KeyID)
		stays("region", sent(b.Region), s.AWS.Region, next.AWS.Region)
		stays("roleId", sent(b.RoleID), s.AWS.RoleID, next.AWS.RoleID)
		stays("accessKeyID", sent(b.AccessKeyID) || sent(b.RoleID), s.AWS.AccessKeyID, next.AWS.AccessKeyID)
		stays("requirePrivateNetworking", b.RequirePrivateNetworking != nil, s.AWS.PrivateNetworking, next.AWS.PrivateNetworking)
	}
	if b := u.AzureKeyVault; b != nil && s.Azure != nil && next.Azure != nil {
		stays("keyIdentifier", sent(b.KeyIdentifier), s.Azure.KeyIdentifier, next.Azure.KeyIdentifier)
		stays("tenantID", sent(b.TenantID), s.Azure.TenantID, next.Azure.TenantID)
		stays("clientID", sent(b.ClientID) || sent(b.RoleID), s.Azure.ClientID, next.Azure.ClientID)
		stays("secret", sent(b.ClientID) || sent(b.RoleID), s.Azure.Secret, next.Azure.Secret)
		stays("secretExpiresAt", sent(b.SecretExpiresAt) || sent(b.Secret) || sent(b.ClientID) || sent(b.RoleID), s.Azure.SecretExpires, next.Azure.SecretExpires)
	}
	if b := u.GoogleCloudKMS; b != nil && s.Google != nil && next.Google != nil {
		stays("keyVersionResourceID", sent(b.KeyVersionResourceID), s.Google.KeyVersion, next.Google.KeyVersion)
		stays("serviceAccountKey", sent(b.RoleID), s.Google.Secret, next.Google.Secret)
	}
}

// sendAgain demands that the same update changes nothing but secrets, of which nobody can tell.
func sendAgain(t *testing.T, u atlas.EncryptionAtRestUpdate, next encryption.Settings, p encryption.Policy, after string) {
	t.Helper()
	again, changes, err := next.Apply(u, p)
	if err != nil && u.AzureKeyVault != nil && next.RoleID(atlas.Azure) == "" && next.Azure != nil && next.Azure.Secret == nil {
		return // the new secret is sealed and stored only after this
	}
	if err != nil {
		t.Errorf("sent again it is refused: %v", err)
		return
	}
	if got := document(t, again); got != after {
		t.Errorf("sent again it changes %s to %s", after, got)
	}
	for _, c := range changes {
		if c.Secret == "" && c.Kind != encryption.Disable {
			t.Errorf("sent again it is a change: %+v", c)
		}
	}
}

// sendBack demands that what is shown, sent back, changes nothing.
func sendBack(t *testing.T, next encryption.Settings, p encryption.Policy, after string) {
	t.Helper()
	seal := func(s encryption.Settings) encryption.Settings { // what was sent in the clear is stored sealed
		if a := s.AWS; a != nil && a.RoleID == "" && a.Secret == nil {
			a.Secret = []byte("sealed")
		}
		if a := s.Azure; a != nil && a.RoleID == "" && a.Secret == nil {
			a.Secret = []byte("sealed")
		}
		if g := s.Google; g != nil && g.RoleID == "" && g.Secret == nil {
			g.Secret = []byte("sealed")
		}
		return s
	}
	var stored encryption.Settings
	if err := json.Unmarshal([]byte(after), &stored); err != nil {
		t.Fatal(err)
	}
	stored = seal(stored)
	shown, err := json.Marshal(stored.Wire())
	if err != nil {
		t.Fatal(err)
	}
	var u atlas.EncryptionAtRestUpdate
	if err := httpapi.Decode(shown, &u); err != nil {
		t.Fatalf("%s: %v", shown, err)
	}
	// Static credentials of a configuration that has any are refused where the operator wants none.
	got, changes, err := stored.Apply(u, encryption.Policy{AllowAWSUserKeys: true})
	if err != nil || len(changes) > 0 || document(t, got) != document(t, stored) {
		t.Errorf("%s sent back: %+v, %v", shown, changes, err)
	}
}
