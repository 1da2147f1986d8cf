package azurekv_test

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/shared/kms"
	"latchkey/shared/kms/azurekv"
	"latchkey/shared/verdict"
)

// forged answers some requests in place of the cloud.
type forged struct {
	base   http.RoundTripper
	part   string // of the URL of the requests that are forged
	status int
	header http.Header
	body   string
	err    error
}

func (f forged) RoundTrip(r *http.Request) (*http.Response, error) {
	// Challenges stay genuine, unless it is they that are forged.
	asksForToken := strings.Contains(r.URL.Host, "vault") && r.Header.Get("Authorization") == "" && f.status != http.StatusUnauthorized
	if !strings.Contains(r.URL.String(), f.part) || asksForToken {
		return f.base.RoundTrip(r)
	}
	if f.err != nil {
		return nil, f.err
	}
	header := f.header.Clone()
	if header == nil {
		header = http.Header{}
	}
	header.Set("X-Ms-Request-Id", "request-1")
	return &http.Response{
		StatusCode: f.status, Status: http.StatusText(f.status), Header: header, Request: r,
		Body: io.NopCloser(strings.NewReader(f.body)), ContentLength: int64(len(f.body)),
	}, nil
}

func kvError(code, inner string) string {
	return `{"error":{"code":"` + code + `","message":"m","innererror":{"code":"` + inner + `"}}}`
}

// decryptWith decrypts a genuine ciphertext through a cloud that answers as f says.
func decryptWith(t *testing.T, w *world, s kms.Sealed, f forged) error {
	t.Helper()
	f.base = w.transport
	c, err := azurekv.NewSecretCredential(customerTenant, w.app, w.secret, azurekv.Options{Transport: f, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	_, err = open(t, c, "atlas").Decrypt(t.Context(), s, use)
	return err
}

func TestAnswersOfTheVaultAreClassified(t *testing.T) {
	w := newWorld(t)
	s, err := open(t, w.asCustomer(t, w.secret), "atlas").Encrypt(t.Context(), []byte("x"), use)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		status int
		body   string
		want   verdict.Reason
		code   string
	}{
		"firewall":                {403, kvError("Forbidden", "ForbiddenByFirewall"), verdict.NetworkRefused, "ForbiddenByFirewall"},
		"connection":              {403, kvError("Forbidden", "ForbiddenByConnection"), verdict.NetworkRefused, "ForbiddenByConnection"},
		"role":                    {403, kvError("Forbidden", "ForbiddenByRbac"), verdict.AccessDenied, "ForbiddenByRbac"},
		"policy":                  {403, kvError("Forbidden", "ForbiddenByPolicy"), verdict.AccessDenied, "ForbiddenByPolicy"},
		"old policy":              {403, kvError("Forbidden", "AccessDenied"), verdict.AccessDenied, "AccessDenied"},
		"other spelling":          {403, `{"error":{"code":"Forbidden","innerError":{"code":"KeyDisabled"}}}`, verdict.KeyDisabled, "KeyDisabled"},
		"not found":               {404, `{"error":{"code":"KeyNotFound","message":"m"}}`, verdict.KeyNotFound, "KeyNotFound"},
		"being deleted":           {409, kvError("Conflict", "ObjectIsBeingDeleted"), verdict.KeyDeleted, "ObjectIsBeingDeleted"},
		"deleted":                 {409, kvError("Conflict", "ObjectIsDeletedButRecoverable"), verdict.KeyDeleted, "ObjectIsDeletedButRecoverable"},
		"throttled":               {429, `{"error":{"code":"Throttled"}}`, verdict.RateLimited, "Throttled"},
		"throttled without body":  {429, "", verdict.RateLimited, ""},
		"wrong key":               {400, `{"error":{"code":"BadParameter"}}`, verdict.KeyMismatch, "BadParameter"},
		"server error":            {500, `{"error":{"code":"InternalServerError"}}`, verdict.ProviderError, "InternalServerError"},
		"refusal with 5xx":        {503, kvError("Forbidden", "ForbiddenByRbac"), verdict.ProviderError, "ForbiddenByRbac"},
		"unknown refusal":         {403, kvError("Forbidden", "ForbiddenByMoon"), verdict.Internal, "ForbiddenByMoon"},
		"refusal without a code":  {403, "<html>blocked by proxy</html>", verdict.Internal, ""},
		"another not found":       {404, "<html>not found</html>", verdict.Internal, ""},
		"teapot":                  {418, "", verdict.Internal, ""},
		"redirect":                {302, "", verdict.Internal, ""},
		"an answer of nonsense":   {200, "nonsense", verdict.Internal, ""},
		"a token refused":         {401, `{"error":{"code":"Unauthorized"}}`, verdict.Internal, "Unauthorized"},
		"an answer without value": {200, `{}`, verdict.KeyMismatch, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := forged{part: "/decrypt", status: c.status, body: c.body}
			f.header = http.Header{"Retry-After": {"30"}} // no retries
			if c.status == http.StatusUnauthorized {
				f.header.Set("WWW-Authenticate", `Bearer authorization="https://login.microsoftonline.com/`+customerTenant+`", resource="https://vault.azure.net"`)
			}
			err := decryptWith(t, w, s, f)
			failure, _ := errors.AsType[*verdict.Failure](err)
			if failure == nil || failure.Reason != c.want || failure.ProviderCode != c.code {
				t.Fatalf("gives %v, want %s (%s)", err, c.want, c.code)
			}
			if c.status >= 300 && failure.RequestID != "request-1" {
				t.Errorf("the request id is lost: %v", err)
			}
		})
	}
}

func TestAnswersOfTheAuthorityAreClassified(t *testing.T) {
	w := newWorld(t)
	aad := func(code string) string {
		return `{"error":"e","error_description":"AADSTS7000215: misleading text","error_codes":[` + code + `],"trace_id":"t"}`
	}
	for name, c := range map[string]struct {
		status      int
		body        string
		tenant, own verdict.Reason
	}{
		"wrong secret":      {401, aad("7000215"), verdict.CredentialsInvalid, verdict.OurCredentials},
		"expired secret":    {401, aad("7000222"), verdict.CredentialsExpired, verdict.OurCredentials},
		"wrong certificate": {401, aad("700027"), verdict.CredentialsInvalid, verdict.OurCredentials},
		// What is the tenant's act is forged at home too, and then it is not.
		"no principal":         {401, aad("7000229"), verdict.CredentialsInvalid, verdict.OurCredentials},
		"no tenant":            {400, aad("90002"), verdict.CredentialsInvalid, verdict.OurCredentials},
		"no application":       {400, aad("700016"), verdict.CredentialsInvalid, verdict.OurCredentials},
		"disabled application": {400, aad("7000112"), verdict.CredentialsInvalid, verdict.OurCredentials},
		"conditional access":   {400, aad("53003"), verdict.NetworkRefused, verdict.NetworkRefused},
		"throttled":            {429, "", verdict.RateLimited, verdict.RateLimited},
		"server error":         {503, "<html>", verdict.ProviderError, verdict.ProviderError},
		"another refusal":      {400, aad("99999"), verdict.Internal, verdict.Internal},
		"a refusal in HTML":    {403, "<html>blocked by proxy</html>", verdict.Internal, verdict.Internal},
		"nonsense":             {200, "nonsense", verdict.ProviderError, verdict.ProviderError},
	} {
		t.Run(name, func(t *testing.T) {
			f := forged{base: w.transport, part: "/oauth2/v2.0/token", status: c.status, body: c.body, header: http.Header{"Retry-After": {"30"}}}
			o := azurekv.Options{Transport: f, Now: time.Now}
			theirs, err := azurekv.NewSecretCredential(customerTenant, w.app, w.secret, o)
			if err != nil {
				t.Fatal(err)
			}
			ours, err := azurekv.App{ClientID: latchkeyApp, HomeTenant: operatorTenant, Secret: latchkeySecret}.In(customerTenant, o)
			if err != nil {
				t.Fatal(err)
			}
			for credential, want := range map[*azurekv.Credential]verdict.Reason{theirs: c.tenant, ours: c.own} {
				if _, err := open(t, credential, "atlas").Describe(t.Context()); reasonOf(err) != want {
					t.Errorf("gives %v, want %s", err, want)
				}
				if _, err := credential.ObjectID(t.Context()); reasonOf(err) != want {
					t.Errorf("object id gives %v, want %s", err, want)
				}
			}
		})
	}
}

func TestRequestsWithoutAnAnswerAreClassified(t *testing.T) {
	s := kms.Sealed{Blob: []byte("x"), Version: strings.Repeat("a", 32)}
	for name, c := range map[string]struct {
		err  error
		want verdict.Reason
	}{
		"the name does not resolve": {&net.DNSError{Err: "no such host", Name: "kv-kms.vault.azure.net", IsNotFound: true}, verdict.ConnectFailed},
		"TLS fails":                 {x509.UnknownAuthorityError{}, verdict.ConnectFailed},
		"the transport times out":   {&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, verdict.TimedOut},
		"the answer ends early":     {io.ErrUnexpectedEOF, verdict.ConnectFailed},
	} {
		for _, part := range []string{"/decrypt", "/oauth2/v2.0/token", "/openid-configuration"} {
			synctest.Test(t, func(t *testing.T) { // the SDK waits before it tries again
				if err := decryptWith(t, newWorld(t), s, forged{part: part, err: c.err}); reasonOf(err) != c.want {
					t.Errorf("%s at %s: %v, want %s", name, part, err, c.want)
				}
			})
		}
	}
}

func TestAHostileChallengeDoesNoHarm(t *testing.T) {
	s := kms.Sealed{Blob: []byte("x"), Version: strings.Repeat("a", 32)}
	for _, challenge := range []string{
		`Bearer authorization="nothing", resource="https://vault.azure.net"`,
		`Bearer authorization=x resource="https://vault.azure.net"`,
		`authBearer orization=x resource="https://vault.azure.net"`,
		`Bearer authorization="https://a/b" authorization="x", resource="https://vault.azure.net"`,
		`Bearer authorization="https://login.microsoftonline.com/t", resource="https://example.com"`,
		`Bearer`, ``, `Negotiate`,
	} {
		synctest.Test(t, func(t *testing.T) {
			err := decryptWith(t, newWorld(t), s, forged{part: "/decrypt", status: http.StatusUnauthorized, header: http.Header{"Www-Authenticate": {challenge}}})
			if f, _ := errors.AsType[*verdict.Failure](err); f == nil || f.Class() == verdict.Invalid || f.Class() == verdict.Valid {
				t.Errorf("%s gives %v", challenge, err)
			}
		})
	}
}

func TestAnAnswerThatNamesAnotherKeyIsRefused(t *testing.T) {
	w := newWorld(t)
	version := strings.Repeat("a", 32)
	for _, kid := range []string{
		`"https://kv-kms.vault.azure.net/keys/other/` + version + `"`, `"https://elsewhere.vault.azure.net/keys/atlas/` + version + `"`,
		`"https://kv-kms.vault.azure.net/keys/atlas"`, `"../../x"`, `null`,
	} {
		f := forged{base: w.transport, part: "/encrypt", status: 200, body: `{"kid":` + kid + `,"value":"AAAA"}`}
		c, err := azurekv.NewSecretCredential(customerTenant, w.app, w.secret, azurekv.Options{Transport: f, Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := open(t, c, "atlas").Encrypt(t.Context(), []byte("x"), use); reasonOf(err) != verdict.ProviderError {
			t.Errorf("kid %s gives %v", kid, err)
		}
	}
}

func TestACiphertextWithoutVersionNeverLeaves(t *testing.T) {
	w := newWorld(t)
	k := open(t, w.asCustomer(t, w.secret), "atlas")
	for _, version := range []string{"", "../x", strings.Repeat("g", 32)} {
		if _, err := k.Decrypt(t.Context(), kms.Sealed{Blob: []byte("x"), Version: version}, use); reasonOf(err) != verdict.KeyMismatch {
			t.Errorf("version %q gives %v", version, err)
		}
	}
	if n := w.requests.Load(); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
}

func TestErrorsHoldNoSecret(t *testing.T) {
	w := newWorld(t)
	for _, c := range []*azurekv.Credential{w.asCustomer(t, "hunter2-of-the-customer"), w.asLatchkey(t, "hunter2-of-ours")} {
		_, err := open(t, c, "atlas").Describe(t.Context())
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error is %v", err)
		}
	}
	if text := fmt.Sprintf("%v %+v", azurekv.App{Secret: "hunter2"}, azurekv.App{Secret: "hunter2"}); strings.Contains(text, "hunter2") {
		t.Errorf("the application is printed as %s", text)
	}
}
