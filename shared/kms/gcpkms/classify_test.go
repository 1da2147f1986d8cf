package gcpkms_test

import (
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"latchkey/shared/access/googleaccount"
	"latchkey/shared/kms"
	"latchkey/shared/kms/gcpkms"
	"latchkey/shared/verdict"
)

// script answers Cloud KMS with one answer and the token endpoints with a token.
type script struct {
	code int
	body string
	err  error
}

func (s script) RoundTrip(r *http.Request) (*http.Response, error) {
	code, body := s.code, s.body
	switch r.URL.Host {
	case "oauth2.googleapis.com":
		code, body = 200, `{"access_token":"t","expires_in":3599}`
	case "iamcredentials.googleapis.com":
		code, body = 200, `{"accessToken":"t","expireTime":"2100-01-01T00:00:00Z"}`
	default:
		if s.err != nil {
			return nil, s.err
		}
	}
	return &http.Response{StatusCode: code, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

// scripted opens a key as a tenant and as ours against a scripted Cloud KMS. The operator's
// project has the number 42.
func scripted(t testing.TB, s script, serviceAccountKey string) (asTenant, asOurs *kms.Key) {
	t.Helper()
	own := googleaccount.Own(oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "own"}), time.Now)
	ring, err := gcpkms.New(t.Context(), gcpkms.Config{Kept: 100, Transport: s, Now: time.Now, Own: own, OwnProjectNumber: "42"})
	if err != nil {
		t.Fatal(err)
	}
	return open(ring, kms.GoogleReference{ServiceAccountKey: serviceAccountKey})(t, versionOne),
		open(ring, kms.GoogleReference{ServiceAccount: "a@b.iam.gserviceaccount.com"})(t, versionOne)
}

// status is an error body as Google sends it.
func status(code int, name string, details ...string) script {
	return script{code: code, body: fmt.Sprintf(`{"error":{"code":%d,"message":"m","status":%q,"details":[%s]}}`, code, name, strings.Join(details, ","))}
}

func reason(reason, consumer string) string {
	return `{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"` + reason + `","domain":"googleapis.com","metadata":{"consumer":"` + consumer + `","uid":"u1"}}`
}

func violation(kind string) string {
	return `{"@type":"type.googleapis.com/google.rpc.PreconditionFailure","violations":[{"type":"` + kind + `"}]}`
}

func TestClassification(t *testing.T) {
	key := newWorld(t).accountKey
	for name, tc := range map[string]struct {
		answer       script
		tenant, ours verdict.Reason // ours is tenant where empty
		code         string
	}{
		"denied":                 {answer: status(403, "PERMISSION_DENIED", reason("IAM_PERMISSION_DENIED", "")), tenant: verdict.AccessDenied, code: "PERMISSION_DENIED/IAM_PERMISSION_DENIED"},
		"denied, no details":     {answer: status(403, "PERMISSION_DENIED"), tenant: verdict.AccessDenied, code: "PERMISSION_DENIED"},
		"denied, a new reason":   {answer: status(403, "PERMISSION_DENIED", reason("NEVER_HEARD_OF", "")), tenant: verdict.Internal},
		"a perimeter":            {answer: status(403, "PERMISSION_DENIED", violation("VPC_SERVICE_CONTROLS"), reason("SECURITY_POLICY_VIOLATED", "")), tenant: verdict.NetworkRefused},
		"a perimeter, old style": {answer: status(403, "PERMISSION_DENIED", violation("VPC_SERVICE_CONTROLS")), tenant: verdict.NetworkRefused},
		"a narrow scope":         {answer: status(403, "PERMISSION_DENIED", reason("ACCESS_TOKEN_SCOPE_INSUFFICIENT", "")), tenant: verdict.Internal},
		"suspended by Google":    {answer: status(403, "PERMISSION_DENIED", reason("CONSUMER_SUSPENDED", "")), tenant: verdict.KeyUnavailable},
		"the API is off":         {answer: status(403, "PERMISSION_DENIED", reason("SERVICE_DISABLED", "projects/7")), tenant: verdict.AccessDenied},
		"our API is off":         {answer: status(403, "PERMISSION_DENIED", reason("SERVICE_DISABLED", "projects/42")), tenant: verdict.AccessDenied, ours: verdict.OurCredentials},
		"nobody's API is off":    {answer: status(403, "PERMISSION_DENIED", reason("SERVICE_DISABLED", "")), tenant: verdict.AccessDenied, ours: verdict.OurCredentials},
		"their billing is off":   {answer: status(403, "PERMISSION_DENIED", reason("BILLING_DISABLED", "projects/tenant-1")), tenant: verdict.AccessDenied},
		"no such key":            {answer: status(404, "NOT_FOUND"), tenant: verdict.KeyNotFound},
		"not accepted":           {answer: status(401, "UNAUTHENTICATED", reason("ACCOUNT_STATE_INVALID", "")), tenant: verdict.CredentialsInvalid, ours: verdict.OurCredentials},
		"disabled":               {answer: status(400, "FAILED_PRECONDITION", violation("KEY_DISABLED")), tenant: verdict.KeyDisabled, code: "FAILED_PRECONDITION/KEY_DISABLED"},
		"to be destroyed":        {answer: status(400, "FAILED_PRECONDITION", violation("KEY_DESTROY_SCHEDULED")), tenant: verdict.KeyPendingDeletion},
		"destroyed":              {answer: status(400, "FAILED_PRECONDITION", violation("KEY_DESTROYED")), tenant: verdict.KeyDeleted},
		"a new precondition":     {answer: status(400, "FAILED_PRECONDITION", violation("KEY_ON_FIRE")), tenant: verdict.Internal},
		"a damaged ciphertext":   {answer: status(400, "INVALID_ARGUMENT"), tenant: verdict.KeyMismatch},
		"throttled":              {answer: status(429, "RESOURCE_EXHAUSTED", reason("RATE_LIMIT_EXCEEDED", "")), tenant: verdict.RateLimited},
		"internal":               {answer: status(500, "INTERNAL"), tenant: verdict.ProviderError},
		"their deadline":         {answer: status(504, "DEADLINE_EXCEEDED"), tenant: verdict.TimedOut},
		"a conflict":             {answer: status(409, "ABORTED"), tenant: verdict.ProviderError},
		"a new code":             {answer: status(418, "TEAPOT"), tenant: verdict.Internal},
		"a proxy's page":         {answer: script{code: 403, body: "<html>"}, tenant: verdict.NetworkRefused},
		"a proxy that asks":      {answer: script{code: 407, body: ""}, tenant: verdict.NetworkRefused},
		"a gateway's page":       {answer: script{code: 500, body: "<html>"}, tenant: verdict.ProviderError},
		"a redirect":             {answer: script{code: 302, body: ""}, tenant: verdict.ProviderError},
		"nonsense":               {answer: script{code: 200, body: "<html>"}, tenant: verdict.ProviderError},
		"an empty answer":        {answer: script{code: 200, body: "{}"}, tenant: verdict.ProviderError},
		"a broken connection":    {answer: script{err: io.ErrUnexpectedEOF}, tenant: verdict.ConnectFailed},
		"a strange certificate":  {answer: script{err: x509.UnknownAuthorityError{}}, tenant: verdict.ConnectFailed},
		"a silent connection":    {answer: script{err: timeout{}}, tenant: verdict.TimedOut},
	} {
		tenants, ours := scripted(t, tc.answer, key)
		if tc.ours == "" {
			tc.ours = tc.tenant
		}
		for who, c := range map[string]struct {
			key  *kms.Key
			want verdict.Reason
		}{"tenant": {tenants, tc.tenant}, "ours": {ours, tc.ours}} {
			_, err := c.key.Decrypt(t.Context(), kms.Sealed{Blob: []byte("x"), Version: "1"}, use)
			if f := failureOf(err); f.Reason != c.want || tc.code != "" && f.ProviderCode != tc.code {
				t.Errorf("%s as %s gives %s %s (%v), want %s %s", name, who, f.Reason, f.ProviderCode, err, c.want, tc.code)
			}
		}
	}
}

func TestAnUnknownErrorIsNeverHeldAgainstTheTenant(t *testing.T) {
	key, _ := scripted(t, script{err: errors.New("something else")}, newWorld(t).accountKey)
	_, err := key.Encrypt(t.Context(), []byte("x"), use)
	if class := failureOf(err).Class(); class == verdict.Invalid {
		t.Errorf("%v is held against the tenant", err)
	}
}

func TestThePerimetersIdentifierIsTheRequestID(t *testing.T) {
	key, _ := scripted(t, status(403, "PERMISSION_DENIED", reason("SECURITY_POLICY_VIOLATED", "projects/7")), newWorld(t).accountKey)
	_, err := key.Describe(t.Context())
	if f := failureOf(err); f.RequestID != "u1" || f.ProviderCode != "PERMISSION_DENIED/SECURITY_POLICY_VIOLATED" {
		t.Errorf("describe gives %+v", f)
	}
}

func TestDamageOnTheWayIsTheProvidersFault(t *testing.T) {
	key := newWorld(t).accountKey
	good := strconv.FormatUint(uint64(crc32.Checksum([]byte("data"), crc32.MakeTable(crc32.Castagnoli))), 10)
	data := base64.StdEncoding.EncodeToString([]byte("data"))
	encrypted := func(name, sum, plain, aad string) string {
		return `{"name":"` + name + `","ciphertext":"` + data + `","ciphertextCrc32c":"` + sum +
			`","verifiedPlaintextCrc32c":` + plain + `,"verifiedAdditionalAuthenticatedDataCrc32c":` + aad + `}`
	}
	for name, tc := range map[string]struct {
		body string
		want verdict.Reason
	}{
		"intact":                   {encrypted(versionOne, good, "true", "true"), verdict.OK},
		"the ciphertext":           {encrypted(versionOne, "1", "true", "true"), verdict.ProviderError},
		"the plaintext unverified": {encrypted(versionOne, good, "false", "true"), verdict.ProviderError},
		"the binding unverified":   {encrypted(versionOne, good, "true", "false"), verdict.ProviderError},
		"no version":               {encrypted("", good, "true", "true"), verdict.ProviderError},
		"a strange version":        {encrypted("x/y", good, "true", "true"), verdict.ProviderError},
	} {
		k, _ := scripted(t, script{code: 200, body: tc.body}, key)
		s, err := k.Encrypt(t.Context(), []byte("x"), use)
		if got := failureOf(err).Reason; err == nil && (tc.want != verdict.OK || s.Version != "1") || err != nil && got != tc.want {
			t.Errorf("encrypt, %s: %+v, %v", name, s, err)
		}
	}
	for sum, want := range map[string]bool{good: true, "1": false} {
		k, _ := scripted(t, script{code: 200, body: `{"plaintext":"` + data + `","plaintextCrc32c":"` + sum + `"}`}, key)
		got, err := k.Decrypt(t.Context(), kms.Sealed{Blob: []byte("x")}, use)
		if (err == nil) != want || err != nil && failureOf(err).Reason != verdict.ProviderError {
			t.Errorf("decrypt with checksum %s: %q, %v", sum, got, err)
		}
	}
}

func TestAStateOfTheFutureStopsNobody(t *testing.T) {
	k, _ := scripted(t, script{code: 200, body: `{"name":"` + versionOne + `","state":99,"algorithm":1}`}, newWorld(t).accountKey)
	if _, err := k.Describe(t.Context()); failureOf(err).Reason != verdict.ProviderError {
		t.Errorf("describe gives %v", err)
	}
}
