package googlecloud_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"latchkey/local/pocket"
)

const tokenURL = "https://oauth2.googleapis.com/token"

type keyFile struct {
	Email      string `json:"client_email"`
	KeyID      string `json:"private_key_id"`
	PrivateKey string `json:"private_key"`
}

// assertion signs the usual claims, changed by edit, with the key of a file.
func (w *world) assertion(t testing.TB, file []byte, edit jwt.MapClaims) string {
	t.Helper()
	var f keyFile
	if err := json.Unmarshal(file, &f); err != nil {
		t.Fatal(err)
	}
	private, err := jwt.ParseRSAPrivateKeyFromPEM([]byte(f.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	claims := jwt.MapClaims{
		"iss": f.Email, "aud": tokenURL, "scope": "https://www.googleapis.com/auth/cloudkms",
		"iat": w.now.Unix(), "exp": w.now.Add(time.Hour).Unix(),
	}
	maps.Copy(claims, edit)
	token := jwt.NewWithClaims(jwt.SigningMethodRS256, claims)
	token.Header["kid"] = f.KeyID
	signed, err := token.SignedString(private)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func (w *world) exchange(t testing.TB, assertion string) answer {
	t.Helper()
	form := url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {assertion}}
	return w.as(t, "", "POST", tokenURL, form.Encode(), "Content-Type", "application/x-www-form-urlencoded")
}

func TestAnAssertionIsExchangedForATokenThatWorksUntilItExpires(t *testing.T) {
	w := withKey(t, 0)
	email, file := w.newAccount(t, "cmk-user")
	w.grant(t, kms+key, "serviceAccount:"+email, "roles/cloudkms.viewer")
	a := w.exchange(t, w.assertion(t, file, nil))
	if a.code != 200 || a.body["token_type"] != "Bearer" || a.body["expires_in"] != 3599.0 {
		t.Fatalf("%d %s", a.code, a.raw)
	}
	token := fmt.Sprint(a.body["access_token"])
	if got := w.as(t, token, "GET", kms+version, ""); got.code != 200 {
		t.Errorf("%d %s", got.code, got.raw)
	}
	if got := w.as(t, token, "GET", iam+"projects/tenant-1/serviceAccounts/"+email, ""); got.status() != "PERMISSION_DENIED/ACCESS_TOKEN_SCOPE_INSUFFICIENT" {
		t.Errorf("a token for Cloud KMS at IAM gives %s", got.raw)
	}
	w.must(t, "POST", iam+"projects/-/serviceAccounts/"+email+":disable", "")
	if got := w.as(t, token, "GET", kms+version, ""); got.status() != "UNAUTHENTICATED/ACCOUNT_STATE_INVALID" {
		t.Errorf("a token of a disabled account gives %s", got.raw)
	}
	w.must(t, "POST", iam+"projects/-/serviceAccounts/"+email+":enable", "")
	w.now = w.now.Add(time.Hour)
	if got := w.as(t, token, "GET", kms+version, ""); got.status() != "UNAUTHENTICATED/ACCESS_TOKEN_EXPIRED" {
		t.Errorf("an expired token gives %s", got.raw)
	}
	if got := w.as(t, "", "GET", kms+version, ""); got.status() != "UNAUTHENTICATED/CREDENTIALS_MISSING" {
		t.Errorf("no token gives %s", got.raw)
	}
}

func TestTheTokenEndpointRefusesAsGoogleDoes(t *testing.T) {
	const timeframe = "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. " +
		"Check your iat and exp values in the JWT claim."
	for name, tc := range map[string]struct {
		edit   jwt.MapClaims
		breaks func(t testing.TB, w *world, email, keyID string)
		want   string
	}{
		"another audience":     {edit: jwt.MapClaims{"aud": "https://evil.example/token"}, want: "invalid_grant: Invalid JWT: Failed audience check. The right audience is " + tokenURL},
		"another account":      {edit: jwt.MapClaims{"iss": "other-user@tenant-1.iam.gserviceaccount.com"}, want: "invalid_grant: Invalid JWT Signature."},
		"an unknown account":   {edit: jwt.MapClaims{"iss": "none@tenant-1.iam.gserviceaccount.com"}, want: "invalid_grant: Invalid grant: account not found"},
		"expired":              {edit: jwt.MapClaims{"exp": time.Date(2026, 3, 1, 11, 0, 0, 0, time.UTC).Unix()}, want: "invalid_grant: " + timeframe},
		"from the future":      {edit: jwt.MapClaims{"iat": time.Date(2026, 3, 1, 12, 10, 0, 0, time.UTC).Unix()}, want: "invalid_grant: " + timeframe},
		"valid for two hours":  {edit: jwt.MapClaims{"exp": time.Date(2026, 3, 1, 14, 0, 0, 0, time.UTC).Unix()}, want: "invalid_grant: " + timeframe},
		"no scope":             {edit: jwt.MapClaims{"scope": ""}, want: "invalid_scope: Empty or missing scope not allowed."},
		"on behalf of another": {edit: jwt.MapClaims{"sub": "ceo@example.com"}, want: "unauthorized_client: Client is unauthorized to retrieve access tokens using this method, or client not authorized for any of the scopes requested."},
		"a deleted account": {
			breaks: func(t testing.TB, w *world, email, _ string) {
				w.must(t, "DELETE", iam+"projects/tenant-1/serviceAccounts/"+email, "")
			},
			want: "invalid_grant: Invalid grant: account not found",
		},
		"a disabled account": {
			breaks: func(t testing.TB, w *world, email, _ string) {
				w.must(t, "POST", iam+"projects/tenant-1/serviceAccounts/"+email+":disable", "")
			},
			want: "invalid_grant: Invalid grant: account not found",
		},
		"a deleted key": {
			breaks: func(t testing.TB, w *world, email, keyID string) {
				w.must(t, "DELETE", iam+"projects/tenant-1/serviceAccounts/"+email+"/keys/"+keyID, "")
			},
			want: "invalid_grant: Invalid JWT Signature.",
		},
		"a disabled key": {
			breaks: func(t testing.TB, w *world, email, keyID string) {
				w.must(t, "POST", iam+"projects/tenant-1/serviceAccounts/"+email+"/keys/"+keyID+":disable", "")
			},
			want: "invalid_grant: Invalid JWT Signature.",
		},
		"throttled": {
			breaks: func(_ testing.TB, w *world, _, _ string) {
				w.faults.Set(pocket.Fault{Host: "oauth2.googleapis.com", Kind: pocket.Throttle, Operation: "Token"})
			},
			want: "rate_limit_exceeded: Rate limit exceeded.",
		},
	} {
		w := newWorld(t, pocket.Memory(), 0)
		email, file := w.newAccount(t, "cmk-user")
		w.newAccount(t, "other-user")
		var f keyFile
		if err := json.Unmarshal(file, &f); err != nil {
			t.Fatal(err)
		}
		if tc.breaks != nil {
			tc.breaks(t, w, email, f.KeyID)
		}
		a := w.exchange(t, w.assertion(t, file, tc.edit))
		if got := fmt.Sprintf("%v: %v", a.body["error"], a.body["error_description"]); got != tc.want {
			t.Errorf("%s gives %q, want %q", name, got, tc.want)
		}
	}
}

func TestATamperedOrUnsignedAssertionIsRefused(t *testing.T) {
	w := newWorld(t, pocket.Memory(), 0)
	_, file := w.newAccount(t, "cmk-user")
	good := w.assertion(t, file, nil)
	unsigned, err := jwt.NewWithClaims(jwt.SigningMethodNone, jwt.MapClaims{"iss": "cmk-user@tenant-1.iam.gserviceaccount.com"}).
		SignedString(jwt.UnsafeAllowNoneSignatureType)
	if err != nil {
		t.Fatal(err)
	}
	flipped := []byte(good)
	flipped[len(flipped)-20] ^= 1
	for name, assertion := range map[string]string{"flipped": string(flipped), "unsigned": unsigned, "empty": "", "truncated": good[:40]} {
		if a := w.exchange(t, assertion); a.code != 400 || a.body["error"] != "invalid_grant" {
			t.Errorf("%s gives %d %s", name, a.code, a.raw)
		}
	}
	if a := w.as(t, "", "POST", tokenURL, "grant_type=password"); a.body["error"] != "unsupported_grant_type" {
		t.Errorf("another grant gives %s", a.raw)
	}
}
