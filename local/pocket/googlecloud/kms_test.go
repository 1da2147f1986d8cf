package googlecloud_test

import (
	"encoding/base64"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"latchkey/local/pocket"
	"latchkey/local/pocket/googlecloud"
)

func TestAVersionThatIsNotEnabledIsRefusedWithItsState(t *testing.T) {
	for state, wantType := range map[string]string{
		"DISABLED":           "KEY_DISABLED",
		"PENDING_GENERATION": "KEY_PENDING_GENERATION", "PENDING_IMPORT": "KEY_PENDING_IMPORT",
		"IMPORT_FAILED": "KEY_IMPORT_FAILED", "GENERATION_FAILED": "KEY_GENERATION_FAILED",
	} {
		w := withKey(t, 0)
		sealed := w.encrypted(t, version)
		w.must(t, "PATCH", kms+version+stateMask, `{"state":"`+state+`"}`, googlecloud.ControlHeader, "state")
		want := "FAILED_PRECONDITION/" + wantType
		for _, a := range []answer{
			w.as(t, adminToken, "POST", kms+version+":encrypt", encryptHello),
			w.as(t, adminToken, "POST", kms+key+":encrypt", encryptHello),
			w.as(t, adminToken, "POST", kms+key+":decrypt", decryptHello(sealed)),
		} {
			if a.code != 400 || a.status() != want || !strings.Contains(a.raw, version+" is not enabled, current state is: "+state+".") {
				t.Errorf("%s: %d %s", state, a.code, a.raw)
			}
		}
	}
}

func TestDestructionFollowsTheClock(t *testing.T) {
	w := withKey(t, 0)
	sealed := w.encrypted(t, version)
	v := w.must(t, "POST", kms+version+":destroy", "")
	if a := w.as(t, adminToken, "POST", kms+key+":decrypt", decryptHello(sealed)); a.status() != "FAILED_PRECONDITION/KEY_DESTROY_SCHEDULED" {
		t.Errorf("a version whose destruction is scheduled decrypts: %s", a.raw)
	}
	if v["state"] != "DESTROY_SCHEDULED" || v["destroyTime"] != "2026-03-31T12:00:00Z" {
		t.Errorf("destroy gives %v", v)
	}
	if a := w.as(t, adminToken, "POST", kms+version+":destroy", ""); a.status() != "FAILED_PRECONDITION/KEY_DESTROY_SCHEDULED" {
		t.Errorf("a second destroy gives %s", a.raw)
	}
	w.now = w.now.Add(30*24*time.Hour - time.Second)
	if v := w.must(t, "POST", kms+version+":restore", ""); v["state"] != "DISABLED" {
		t.Errorf("restore gives %v", v)
	}
	w.must(t, "PATCH", kms+version+stateMask, `{"state":"ENABLED"}`)
	w.must(t, "POST", kms+key+":decrypt", decryptHello(sealed))
	w.must(t, "POST", kms+version+":destroy", "")
	w.now = w.now.Add(30 * 24 * time.Hour)
	if v := w.must(t, "GET", kms+version, ""); v["state"] != "DESTROYED" || v["destroyEventTime"] == nil || v["destroyTime"] != nil {
		t.Errorf("after 30 days: %v", v)
	}
	if a := w.as(t, adminToken, "POST", kms+version+":restore", ""); a.status() != "FAILED_PRECONDITION/KEY_DESTROYED" {
		t.Errorf("restoring what is destroyed gives %s", a.raw)
	}
	if a := w.as(t, adminToken, "POST", kms+key+":decrypt", decryptHello(sealed)); a.status() != "FAILED_PRECONDITION/KEY_DESTROYED" {
		t.Errorf("a destroyed version decrypts: %s", a.raw)
	}
	if a := w.as(t, adminToken, "PATCH", kms+version+stateMask, `{"state":"ENABLED"}`, googlecloud.ControlHeader, "state"); a.status() != "FAILED_PRECONDITION/KEY_DESTROYED" {
		t.Errorf("a destroyed version comes back: %s", a.raw)
	}
}

func TestRotationFollowsTheClockAndOldCiphertextsStillOpen(t *testing.T) {
	w := withKey(t, 0)
	old := w.encrypted(t, key)
	w.must(t, "PATCH", kms+key+"?updateMask=rotation_period,nextRotationTime", `{"rotationPeriod":"86400s","nextRotationTime":"2026-03-02T00:00:00Z"}`)
	w.now = w.now.Add(48 * time.Hour)
	k := w.must(t, "GET", kms+key, "")
	if primary, _ := k["primary"].(map[string]any); primary["name"] != key+"/cryptoKeyVersions/3" || k["nextRotationTime"] != "2026-03-04T00:00:00Z" {
		t.Errorf("after two rotations: %v", k)
	}
	if a := w.must(t, "POST", kms+key+":decrypt", decryptHello(old)); a["plaintext"] != "aGVsbG8=" || a["usedPrimary"] == true {
		t.Errorf("decrypt gives %v", a)
	}
	for body, mask := range map[string]string{
		`{"rotationPeriod":"60s","nextRotationTime":"2027-01-01T00:00:00Z"}`: "rotationPeriod,nextRotationTime",
		`{"nextRotationTime":"2020-01-01T00:00:00Z"}`:                        "nextRotationTime",
		`{"purpose":"MAC"}`: "purpose",
		`{"porpoise":1}`:    "labels",
	} {
		if a := w.as(t, adminToken, "PATCH", kms+key+"?updateMask="+mask, body); a.status() != "INVALID_ARGUMENT" {
			t.Errorf("%s gives %s", body, a.raw)
		}
	}
}

func TestCiphertextsAreBoundToTheirKeyAndData(t *testing.T) {
	w := withKey(t, 0)
	w.must(t, "POST", kms+ring+"/cryptoKeys?cryptoKeyId=other", `{"purpose":"ENCRYPT_DECRYPT"}`)
	sealed := w.encrypted(t, version)
	raw, err := base64.StdEncoding.DecodeString(sealed)
	if err != nil {
		t.Fatal(err)
	}
	for name, body := range map[string]string{
		"other data": `{"ciphertext":"` + sealed + `","additionalAuthenticatedData":"eHh4"}`,
		"no data":    `{"ciphertext":"` + sealed + `"}`,
		"cut":        decryptHello(base64.StdEncoding.EncodeToString(raw[:30])),
		"garbage":    decryptHello("AAAA"),
		"a checksum": `{"ciphertext":"` + sealed + `","additionalAuthenticatedData":"YWFk","ciphertextCrc32c":"1"}`,
	} {
		if a := w.as(t, adminToken, "POST", kms+key+":decrypt", body); a.status() != "INVALID_ARGUMENT" {
			t.Errorf("%s: %d %s", name, a.code, a.raw)
		}
	}
	for i := range raw { // not one byte may be changed, the header's neither
		flipped := append([]byte{}, raw...)
		flipped[i] ^= 1
		if a := w.as(t, adminToken, "POST", kms+key+":decrypt", decryptHello(base64.StdEncoding.EncodeToString(flipped))); a.status() != "INVALID_ARGUMENT" {
			t.Errorf("byte %d: %d %s", i, a.code, a.raw)
		}
	}
	if a := w.as(t, adminToken, "POST", kms+ring+"/cryptoKeys/other:decrypt", decryptHello(sealed)); a.status() != "INVALID_ARGUMENT" ||
		!strings.Contains(a.raw, "verify that 'name' refers to the correct CryptoKey") {
		t.Errorf("another key: %d %s", a.code, a.raw)
	}
}

func TestRequestsThatCloudKMSRefuses(t *testing.T) {
	w := withKey(t, 0)
	w.must(t, "POST", kms+ring+"/cryptoKeys?cryptoKeyId=signer",
		`{"purpose":"ASYMMETRIC_SIGN","versionTemplate":{"algorithm":"EC_SIGN_P256_SHA256"}}`)
	for name, tc := range map[string]struct{ method, path, body, want string }{
		"the ring exists":        {"POST", "projects/tenant-1/locations/us-east4/keyRings?keyRingId=kr", "", "ALREADY_EXISTS"},
		"the key exists":         {"POST", ring + "/cryptoKeys?cryptoKeyId=atlas", `{"purpose":"ENCRYPT_DECRYPT"}`, "ALREADY_EXISTS"},
		"a bad key id":           {"POST", ring + "/cryptoKeys?cryptoKeyId=a/b", `{"purpose":"ENCRYPT_DECRYPT"}`, "INVALID_ARGUMENT"},
		"no purpose":             {"POST", ring + "/cryptoKeys?cryptoKeyId=x", `{}`, "INVALID_ARGUMENT"},
		"an algorithm that errs": {"POST", ring + "/cryptoKeys?cryptoKeyId=x", `{"purpose":"ENCRYPT_DECRYPT","versionTemplate":{"algorithm":"HMAC_SHA256"}}`, "INVALID_ARGUMENT"},
		"too short a grace":      {"POST", ring + "/cryptoKeys?cryptoKeyId=x", `{"purpose":"ENCRYPT_DECRYPT","destroyScheduledDuration":"60s"}`, "INVALID_ARGUMENT"},
		"an unknown ring":        {"POST", "projects/tenant-1/locations/us-east4/keyRings/none/cryptoKeys?cryptoKeyId=x", `{"purpose":"ENCRYPT_DECRYPT"}`, "NOT_FOUND"},
		"an unknown key":         {"POST", ring + "/cryptoKeys/none:encrypt", encryptHello, "NOT_FOUND"},
		"an unknown version":     {"POST", key + "/cryptoKeyVersions/9:encrypt", encryptHello, "NOT_FOUND"},
		"a strange version":      {"GET", key + "/cryptoKeyVersions/01", "", "NOT_FOUND"},
		"a state from the cloud": {"PATCH", version + stateMask, `{"state":"PENDING_IMPORT"}`, "INVALID_ARGUMENT"},
		"no mask":                {"PATCH", version, `{"state":"DISABLED"}`, "INVALID_ARGUMENT"},
		"another purpose":        {"POST", ring + "/cryptoKeys/signer/cryptoKeyVersions/1:encrypt", encryptHello, "INVALID_ARGUMENT"},
		"an unknown method":      {"POST", key + ":explode", "", "NOT_FOUND"},
		"no JSON":                {"POST", key + ":encrypt", `{`, "INVALID_ARGUMENT"},
	} {
		if a := w.as(t, adminToken, tc.method, kms+tc.path, tc.body); a.status() != tc.want {
			t.Errorf("%s: %d %s, want %s", name, a.code, a.raw, tc.want)
		}
	}
}

func TestWhatWasAcknowledgedSurvivesARestart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state")
	open := func() (*bbolt.DB, *world) {
		db, err := bbolt.Open(file, 0o600, nil)
		if err != nil {
			t.Fatal(err)
		}
		return db, newWorld(t, pocket.Bolt(db), 0)
	}
	db, w := open()
	w.must(t, "POST", kms+"projects/tenant-1/locations/us-east4/keyRings?keyRingId=kr", "")
	w.must(t, "POST", kms+ring+"/cryptoKeys?cryptoKeyId=atlas", `{"purpose":"ENCRYPT_DECRYPT"}`)
	email, _ := w.newAccount(t, "cmk-user")
	w.grant(t, kms+ring, "serviceAccount:"+email, "roles/cloudkms.cryptoKeyDecrypter")
	sealed, token := w.encrypted(t, version), w.token(t, email)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db, w = open()
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	if a := w.as(t, token, "POST", kms+key+":decrypt", decryptHello(sealed)); a.code != 200 || a.body["plaintext"] != "aGVsbG8=" {
		t.Errorf("after the restart: %d %s", a.code, a.raw)
	}
}

func TestListsShowWhatIsThere(t *testing.T) {
	w := withKey(t, 0)
	for path, want := range map[string]string{
		"projects/tenant-1/locations/us-east4/keyRings": "keyRings", ring + "/cryptoKeys": "cryptoKeys", key + "/cryptoKeyVersions": "cryptoKeyVersions",
	} {
		if a := w.must(t, "GET", kms+path, ""); a["totalSize"] != 1.0 || fmt.Sprint(a[want]) == "" {
			t.Errorf("%s: %v", path, a)
		}
	}
	if r := w.must(t, "GET", kms+ring, ""); r["name"] != ring || r["createTime"] != "2026-03-01T12:00:00Z" {
		t.Errorf("the ring is %v", r)
	}
}
