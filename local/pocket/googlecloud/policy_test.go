package googlecloud_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"latchkey/local/pocket"
)

func TestRolesGiveWhatTheySayAndNothingElse(t *testing.T) {
	w := withKey(t, 0)
	email, _ := w.newAccount(t, "cmk-user")
	w.newAccount(t, "other-user")
	sealed, token := w.encrypted(t, version), w.token(t, email)
	calls := map[string]func() answer{
		"encrypt": func() answer { return w.as(t, token, "POST", kms+version+":encrypt", encryptHello) },
		"decrypt": func() answer { return w.as(t, token, "POST", kms+key+":decrypt", decryptHello(sealed)) },
		"get":     func() answer { return w.as(t, token, "GET", kms+version, "") },
		"disable": func() answer {
			return w.as(t, token, "PATCH", kms+version+stateMask, `{"state":"ENABLED"}`)
		},
		"policy": func() answer { return w.as(t, token, "GET", kms+key+":getIamPolicy", "") },
	}
	for role, allowed := range map[string]string{
		"roles/cloudkms.cryptoKeyEncrypterDecrypter": "encrypt decrypt", "roles/cloudkms.cryptoKeyEncrypter": "encrypt",
		"roles/cloudkms.cryptoKeyDecrypter": "decrypt", "roles/cloudkms.viewer": "get", "roles/cloudkms.publicKeyViewer": "",
		"roles/cloudkms.admin": "get disable policy", "roles/owner": "encrypt decrypt get disable policy",
	} {
		for _, resource := range []string{kms + key, kms + ring, projects + "projects/tenant-1"} {
			w.grant(t, resource, "serviceAccount:"+email, role)
			for name, call := range calls {
				a := call()
				if want := strings.Contains(" "+allowed+" ", " "+name+" "); (a.code == 200) != want {
					t.Errorf("%s on %s: %s gives %d %s", role, resource, name, a.code, a.raw)
				}
				if a.code != 200 && a.status() != "PERMISSION_DENIED/IAM_PERMISSION_DENIED" {
					t.Errorf("%s: %s gives %s", role, name, a.raw)
				}
			}
			w.grant(t, resource, "serviceAccount:"+email)
		}
	}
	w.grant(t, kms+key, "serviceAccount:other-user@tenant-1.iam.gserviceaccount.com", "roles/owner")
	if a := calls["get"](); a.code != 403 {
		t.Errorf("somebody else's grant gives %d", a.code)
	}
}

func TestAMissingKeyIsToldOnlyToThoseWhoMayKnow(t *testing.T) {
	w := withKey(t, 0)
	email, _ := w.newAccount(t, "cmk-user")
	token, none := w.token(t, email), kms+ring+"/cryptoKeys/none:encrypt"
	if a := w.as(t, token, "POST", none, encryptHello); a.status() != "PERMISSION_DENIED/IAM_PERMISSION_DENIED" {
		t.Errorf("without a grant: %s", a.raw)
	}
	w.grant(t, kms+ring, "serviceAccount:"+email, "roles/cloudkms.cryptoKeyEncrypter")
	if a := w.as(t, token, "POST", none, encryptHello); a.status() != "NOT_FOUND" {
		t.Errorf("with a grant: %s", a.raw)
	}
}

func TestPolicyChangesTakeEffectLate(t *testing.T) {
	w := withKey(t, time.Minute)
	email, _ := w.newAccount(t, "cmk-user")
	token := w.token(t, email)
	get := func() int { return w.as(t, token, "GET", kms+version, "").code }
	step := func(what string, d time.Duration, want int) {
		t.Helper()
		w.now = w.now.Add(d)
		if got := get(); got != want {
			t.Errorf("%s: %d, want %d", what, got, want)
		}
	}
	w.grant(t, kms+key, "serviceAccount:"+email, "roles/cloudkms.viewer")
	step("just granted", 59*time.Second, 403)
	step("granted a minute ago", time.Second, 200)
	w.grant(t, kms+key, "serviceAccount:"+email)
	step("just revoked", 59*time.Second, 200)
	w.grant(t, kms+key, "serviceAccount:"+email, "roles/cloudkms.viewer")
	step("revoked a minute ago, granted again a second ago", time.Second, 403)
	step("granted again a minute ago", time.Minute, 200)
}

func TestAnAccountMadeAnewInheritsNothing(t *testing.T) {
	w := withKey(t, 0)
	email, _ := w.newAccount(t, "cmk-user")
	w.grant(t, kms+key, "serviceAccount:"+email, "roles/cloudkms.viewer")
	w.must(t, "DELETE", iam+"projects/tenant-1/serviceAccounts/"+email, "")
	w.newAccount(t, "cmk-user")
	if a := w.as(t, w.token(t, email), "GET", kms+version, ""); a.code != 403 {
		t.Errorf("the new account may read the key: %d", a.code)
	}
	p := w.must(t, "GET", kms+key+":getIamPolicy", "")
	if shown := fmt.Sprint(p["bindings"]); !strings.Contains(shown, "deleted:serviceAccount:"+email+"?uid=") {
		t.Errorf("the policy shows %s", shown)
	}
}

func TestPoliciesThatAreRefused(t *testing.T) {
	w := withKey(t, 0)
	etag := w.must(t, "GET", kms+key+":getIamPolicy", "")["etag"]
	w.grant(t, kms+key, "user:someone@example.com", "roles/cloudkms.viewer")
	for name, tc := range map[string]struct{ policy, want string }{
		"a stale etag":       {fmt.Sprintf(`{"etag":"%v"}`, etag), "ABORTED"},
		"an unknown role":    {`{"bindings":[{"role":"roles/none","members":["allUsers"]}]}`, "INVALID_ARGUMENT"},
		"an unknown account": {`{"bindings":[{"role":"roles/owner","members":["serviceAccount:none@tenant-1.iam.gserviceaccount.com"]}]}`, "INVALID_ARGUMENT"},
		"a strange member":   {`{"bindings":[{"role":"roles/owner","members":["me"]}]}`, "INVALID_ARGUMENT"},
		"a condition":        {`{"bindings":[{"role":"roles/owner","members":["allUsers"],"condition":{"expression":"true"}}]}`, "INVALID_ARGUMENT"},
	} {
		if a := w.as(t, adminToken, "POST", kms+key+":setIamPolicy", `{"policy":`+tc.policy+`}`); a.status() != tc.want {
			t.Errorf("%s: %d %s", name, a.code, a.raw)
		}
	}
	if a := w.as(t, adminToken, "GET", kms+ring+"/cryptoKeys/none:getIamPolicy", ""); a.status() != "NOT_FOUND" {
		t.Errorf("the policy of a missing key: %s", a.raw)
	}
	got := w.must(t, "POST", kms+key+":testIamPermissions", `{"permissions":["cloudkms.cryptoKeys.get"]}`)
	if fmt.Sprint(got["permissions"]) != "[cloudkms.cryptoKeys.get]" {
		t.Errorf("the administrator's permissions are %v", got)
	}
}

func TestImpersonationNeedsTheTokenCreatorRole(t *testing.T) {
	w := newWorld(t, pocket.Memory(), 0)
	target, _ := w.newAccount(t, "target")
	caller, _ := w.newAccount(t, "caller")
	address := "http://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/" + target + ":generateAccessToken"
	body := `{"scope":["https://www.googleapis.com/auth/cloudkms"],"lifetime":"600s"}`
	token := w.token(t, caller)
	if a := w.as(t, token, "POST", address, body); a.status() != "PERMISSION_DENIED/IAM_PERMISSION_DENIED" {
		t.Errorf("without the role: %s", a.raw)
	}
	w.grant(t, iam+"projects/tenant-1/serviceAccounts/"+target, "serviceAccount:"+caller, "roles/iam.serviceAccountTokenCreator")
	a := w.as(t, token, "POST", address, body)
	if a.code != 200 || a.body["expireTime"] != "2026-03-01T12:10:00Z" {
		t.Errorf("with the role: %d %s", a.code, a.raw)
	}
	for name, bad := range map[string]string{
		"no scope": `{}`, "two hours": `{"scope":["x"],"lifetime":"7200s"}`, "delegates": `{"scope":["x"],"delegates":["y"]}`,
	} {
		if a := w.as(t, token, "POST", address, bad); a.status() != "INVALID_ARGUMENT" {
			t.Errorf("%s: %s", name, a.raw)
		}
	}
	w.must(t, "POST", iam+"projects/tenant-1/serviceAccounts/"+target+":disable", "")
	if a := w.as(t, token, "POST", address, body); a.status() != "FAILED_PRECONDITION" {
		t.Errorf("a disabled account: %s", a.raw)
	}
	w.must(t, "DELETE", iam+"projects/tenant-1/serviceAccounts/"+target, "")
	if a := w.as(t, token, "POST", address, body); a.status() != "NOT_FOUND" {
		t.Errorf("a deleted account: %s", a.raw)
	}
}

func TestServiceAccountsOfAProject(t *testing.T) {
	w := newWorld(t, pocket.Memory(), 0)
	email, _ := w.newAccount(t, "cmk-user")
	a := w.as(t, adminToken, "POST", iam+"projects/tenant-1/serviceAccounts", `{"accountId":"cmk-user"}`)
	if a.code != 409 || a.status() != "ALREADY_EXISTS" {
		t.Errorf("a second one: %d %s", a.code, a.raw)
	}
	if a := w.as(t, adminToken, "POST", iam+"projects/tenant-1/serviceAccounts", `{"accountId":"x"}`); a.status() != "INVALID_ARGUMENT" {
		t.Errorf("a short id: %s", a.raw)
	}
	shown := w.must(t, "GET", iam+"projects/tenant-1/serviceAccounts/"+email, "")
	byUID := w.must(t, "GET", iam+"projects/-/serviceAccounts/"+fmt.Sprint(shown["uniqueId"]), "")
	if byUID["email"] != email {
		t.Errorf("by unique id: %v", byUID)
	}
	if a := w.as(t, adminToken, "GET", iam+"projects/other/serviceAccounts/"+email, ""); a.status() != "NOT_FOUND" {
		t.Errorf("in another project: %s", a.raw)
	}
	made := w.must(t, "POST", iam+"projects/example.com:old/serviceAccounts", `{"accountId":"cmk-user"}`)
	if made["email"] != "cmk-user@old.example.com.iam.gserviceaccount.com" {
		t.Errorf("in a domain-scoped project: %v", made["email"])
	}
	keys := iam + "projects/tenant-1/serviceAccounts/" + email + "/keys"
	for range 9 {
		w.must(t, "POST", keys, "")
	}
	if a := w.as(t, adminToken, "POST", keys, ""); a.status() != "FAILED_PRECONDITION" {
		t.Errorf("an eleventh key: %s", a.raw)
	}
	if a := w.as(t, adminToken, "DELETE", keys+"/none", ""); a.status() != "NOT_FOUND" {
		t.Errorf("an unknown key: %s", a.raw)
	}
}

func TestAProjectWithoutTheAPIOrBillingLosesItsKeys(t *testing.T) {
	w := withKey(t, 0)
	email, _ := w.newAccount(t, "cmk-user")
	w.grant(t, kms+key, "serviceAccount:"+email, "roles/cloudkms.viewer")
	token := w.token(t, email)
	get := func() answer { return w.as(t, token, "GET", kms+version, "") }
	service := "http://serviceusage.googleapis.com/v1/projects/tenant-1/services/cloudkms.googleapis.com"
	w.must(t, "POST", service+":disable", "")
	if a := get(); a.code != 403 || a.status() != "PERMISSION_DENIED/SERVICE_DISABLED" {
		t.Errorf("without the API: %s", a.raw)
	}
	w.must(t, "POST", service+":enable", "")
	billing := "http://cloudbilling.googleapis.com/v1/projects/tenant-1/billingInfo"
	w.must(t, "PUT", billing, `{"billingAccountName":""}`)
	if a := get(); a.code != 403 || a.status() != "PERMISSION_DENIED/BILLING_DISABLED" {
		t.Errorf("without billing: %s", a.raw)
	}
	w.must(t, "PUT", billing, `{"billingAccountName":"billingAccounts/012345-567890-ABCDEF"}`)
	if a := get(); a.code != 200 {
		t.Errorf("with everything: %s", a.raw)
	}
}

func TestFaultsAreAnsweredAsGoogleDoes(t *testing.T) {
	w := withKey(t, 0)
	for kind, want := range map[pocket.FaultKind]string{
		pocket.Deny: "PERMISSION_DENIED/IAM_PERMISSION_DENIED", pocket.Throttle: "RESOURCE_EXHAUSTED/RATE_LIMIT_EXCEEDED",
		pocket.Firewall: "PERMISSION_DENIED/VPC_SERVICE_CONTROLS/SECURITY_POLICY_VIOLATED", pocket.ServerError: "UNAVAILABLE",
	} {
		w.faults.Set(pocket.Fault{Host: "cloudkms.googleapis.com", Kind: kind, Operation: "GetCryptoKeyVersion", Count: 1})
		w.must(t, "GET", kms+key, "") // another operation
		if a := w.as(t, adminToken, "GET", kms+version, ""); a.status() != want {
			t.Errorf("%s: %d %s", kind, a.code, a.raw)
		}
	}
	for kind, want := range map[pocket.FaultKind]int{pocket.Deny: 400, pocket.Throttle: 429, pocket.Firewall: 403, pocket.ServerError: 503} {
		w.faults.Set(pocket.Fault{Host: "oauth2.googleapis.com", Kind: kind, Count: 1})
		if a := w.exchange(t, ""); a.code != want {
			t.Errorf("%s at the token endpoint: %d %s", kind, a.code, a.raw)
		}
	}
}
