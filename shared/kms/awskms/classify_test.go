package awskms_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"pgregory.net/rapid"

	"latchkey/shared/atlas"
	"latchkey/shared/kms"
	"latchkey/shared/kms/awskms"
	"latchkey/shared/verdict"
)

// answer is what a scripted AWS answers to one operation.
type answer struct {
	status  int
	code    string
	message string
	body    string // instead of code and message
	err     error  // instead of an answer
}

func (a answer) response(contentType, body string) (*http.Response, error) {
	if a.err != nil {
		return nil, a.err
	}
	if a.body != "" {
		body = a.body
	}
	return &http.Response{
		StatusCode: a.status, Header: http.Header{"Content-Type": {contentType}, "X-Amzn-Requestid": {"request-1"}},
		Body: io.NopCloser(strings.NewReader(body)),
	}, nil
}

// script is AWS that answers as it is told: KMS by operation, STS always alike.
type script struct {
	kms   map[string]answer
	sts   answer
	asked *int // counts the requests to STS, if set
}

const keyID = "1234abcd-12ab-34cd-56ef-1234567890ab"

var (
	granted = answer{status: http.StatusOK, body: `<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIA</AccessKeyId>` +
		`<SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>2999-01-01T00:00:00Z</Expiration></Credentials>` +
		`</AssumeRoleResult></AssumeRoleResponse>`}
	decrypted = answer{status: http.StatusOK, body: `{"KeyId":"k","Plaintext":"c2VjcmV0"}`}
)

func described(state string) answer {
	return answer{status: http.StatusOK, body: fmt.Sprintf(
		`{"KeyMetadata":{"KeyId":"k","Arn":"arn:k","KeyState":%q,"KeyUsage":"ENCRYPT_DECRYPT","KeySpec":"SYMMETRIC_DEFAULT"}}`, state)}
}

func (s script) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasPrefix(r.URL.Host, "sts.") {
		if s.asked != nil {
			*s.asked++
		}
		return s.sts.response("text/xml", fmt.Sprintf(
			"<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error><RequestId>request-1</RequestId></ErrorResponse>",
			s.sts.code, s.sts.message))
	}
	a, ok := s.kms[strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "TrentService.")]
	if !ok {
		a = answer{status: http.StatusBadRequest, code: "AccessDeniedException"}
	}
	return a.response("application/x-amz-json-1.1", fmt.Sprintf(`{"__type":%q,"message":%q}`, a.code, a.message))
}

// keys are the same key reached with a tenant's access key and through a tenant's role.
func (s script) keys(t testing.TB) (user, role *kms.Key) {
	t.Helper()
	name, err := atlas.ParseAWSKeyName(keyID)
	if err != nil {
		t.Fatal(err)
	}
	o := awskms.Options{Transport: s}
	own := credentials.NewStaticCredentialsProvider("AKIA", "s", "")
	return awskms.Open(awskms.NewUserCredential("AKIA", "s", o), home, name),
		awskms.Open(awskms.NewRoleCredential(own, awskms.Role{ARN: roleARN, Session: "latchkey"}, o), home, name)
}

func bad(code, message string) answer {
	return answer{status: http.StatusBadRequest, code: code, message: message}
}

func TestClassify_what_KMS_answers(t *testing.T) {
	cases := map[string]struct {
		answer     answer
		user, role verdict.Reason
	}{
		"disabled":                  {bad("DisabledException", "x is disabled."), verdict.KeyDisabled, verdict.KeyDisabled},
		"not found":                 {bad("NotFoundException", ""), verdict.KeyNotFound, verdict.KeyNotFound},
		"malformed ARN":             {bad("InvalidArnException", ""), verdict.KeyNotFound, verdict.KeyNotFound},
		"wrong usage":               {bad("InvalidKeyUsageException", ""), verdict.KeyUnsuitable, verdict.KeyUnsuitable},
		"denied":                    {bad("AccessDeniedException", "because no identity-based policy allows the kms:Decrypt action"), verdict.AccessDenied, verdict.AccessDenied},
		"denied by a VPC endpoint":  {bad("AccessDeniedException", "with an explicit deny in a VPC endpoint policy"), verdict.NetworkRefused, verdict.NetworkRefused},
		"not let through one":       {bad("AccessDeniedException", "because no VPC endpoint policy allows the kms:Decrypt action"), verdict.NetworkRefused, verdict.NetworkRefused},
		"denied by session policy":  {bad("AccessDeniedException", "because no session policy allows the kms:Decrypt action"), verdict.AccessDenied, verdict.Internal},
		"unknown access key":        {bad("UnrecognizedClientException", ""), verdict.CredentialsInvalid, verdict.OurCredentials},
		"bad signature":             {bad("InvalidSignatureException", "The request signature we calculated does not match"), verdict.CredentialsInvalid, verdict.OurCredentials},
		"bad clock":                 {bad("InvalidSignatureException", "Signature expired: 2026 is now earlier than 2027"), verdict.Internal, verdict.Internal},
		"bad clock the other way":   {bad("InvalidSignatureException", "Signature not yet current: 2027"), verdict.Internal, verdict.Internal},
		"expired token":             {bad("ExpiredTokenException", ""), verdict.CredentialsExpired, verdict.OurCredentials},
		"throttled":                 {bad("ThrottlingException", ""), verdict.RateLimited, verdict.RateLimited},
		"limit":                     {bad("LimitExceededException", ""), verdict.RateLimited, verdict.RateLimited},
		"request limit":             {answer{status: 503, code: "RequestLimitExceeded"}, verdict.RateLimited, verdict.RateLimited},
		"too many requests":         {answer{status: 429, body: "{}"}, verdict.RateLimited, verdict.RateLimited},
		"key unavailable":           {answer{status: 500, code: "KeyUnavailableException"}, verdict.KeyUnavailable, verdict.KeyUnavailable},
		"dependency":                {answer{status: 500, code: "DependencyTimeoutException"}, verdict.ProviderError, verdict.ProviderError},
		"internal":                  {answer{status: 500, code: "KMSInternalException"}, verdict.ProviderError, verdict.ProviderError},
		"502 of something between":  {answer{status: 502, body: "<html>bad gateway</html>"}, verdict.ProviderError, verdict.ProviderError},
		"403 of something between":  {answer{status: 403, body: "<html>blocked</html>"}, verdict.ProviderError, verdict.ProviderError},
		"a redirect":                {answer{status: 302, body: "{}"}, verdict.Internal, verdict.Internal},
		"success that is none":      {answer{status: 200, body: "<html>login</html>"}, verdict.ProviderError, verdict.ProviderError},
		"another key's ciphertext":  {bad("IncorrectKeyException", ""), verdict.KeyMismatch, verdict.KeyMismatch},
		"damaged ciphertext":        {bad("InvalidCiphertextException", ""), verdict.KeyMismatch, verdict.KeyMismatch},
		"a request that is invalid": {bad("ValidationException", ""), verdict.Internal, verdict.Internal},
		"a code of tomorrow":        {bad("NovelException", ""), verdict.Internal, verdict.Internal},
		"no such name":              {answer{err: &net.DNSError{Err: "no such host", Name: "kms", IsNotFound: true}}, verdict.ConnectFailed, verdict.ConnectFailed},
		"reset":                     {answer{err: io.ErrUnexpectedEOF}, verdict.ConnectFailed, verdict.ConnectFailed},
		"silence":                   {answer{err: timeout{}}, verdict.TimedOut, verdict.TimedOut},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				user, role := script{kms: map[string]answer{"Decrypt": c.answer}, sts: granted}.keys(t)
				for who, k := range map[string]*kms.Key{"user": user, "role": role} {
					want := c.user
					if who == "role" {
						want = c.role
					}
					err := open(t, k, kms.Sealed{Blob: []byte("x")})
					wantReason(t, who, err, want)
					f, _ := errors.AsType[*verdict.Failure](err)
					if c.answer.code != "" && (f.ProviderCode != c.answer.code || f.RequestID != "request-1") {
						t.Errorf("%s: the failure names %q, request %q", who, f.ProviderCode, f.RequestID)
					}
				}
			})
		})
	}
}

func TestClassify_what_STS_answers_to_our_identity(t *testing.T) {
	forbidden := func(code, message string) answer {
		return answer{status: http.StatusForbidden, code: code, message: message}
	}
	for name, c := range map[string]struct {
		answer answer
		want   verdict.Reason
	}{
		"denied":                       {forbidden("AccessDenied", "User: x is not authorized to perform: sts:AssumeRole on resource: y"), verdict.RoleDenied},
		"denied by the role":           {forbidden("AccessDenied", "because no resource-based policy allows the sts:AssumeRole action"), verdict.RoleDenied},
		"denied by our policies":       {forbidden("AccessDenied", "because no identity-based policy allows the sts:AssumeRole action"), verdict.OurCredentials},
		"denied by our organisation":   {forbidden("AccessDenied", "with an explicit deny in a service control policy"), verdict.OurCredentials},
		"unknown access key":           {forbidden("InvalidClientTokenId", ""), verdict.OurCredentials},
		"expired":                      {forbidden("ExpiredToken", ""), verdict.OurCredentials},
		"expired, as the SDK knows it": {bad("ExpiredTokenException", ""), verdict.OurCredentials},
		"bad signature":                {forbidden("SignatureDoesNotMatch", ""), verdict.OurCredentials},
		"bad clock":                    {bad("RequestExpired", ""), verdict.OurCredentials},
		"malformed policy":             {bad("MalformedPolicyDocument", ""), verdict.Internal},
		"policy too large":             {bad("PackedPolicyTooLarge", ""), verdict.Internal},
		"validation":                   {bad("ValidationError", ""), verdict.Internal},
		"region switched off":          {forbidden("RegionDisabledException", ""), verdict.NetworkRefused},
		"throttled":                    {bad("Throttling", ""), verdict.RateLimited},
		"failure":                      {answer{status: 500, code: "InternalFailure"}, verdict.ProviderError},
		"unavailable":                  {answer{status: 503, code: "ServiceUnavailable"}, verdict.ProviderError},
		"a code of tomorrow":           {bad("Novel", ""), verdict.Internal},
		"no such name":                 {answer{err: &net.DNSError{Err: "no such host", IsNotFound: true}}, verdict.ConnectFailed},
		"silence":                      {answer{err: timeout{}}, verdict.TimedOut},
		"credentials that are none":    {answer{status: 200, body: "<AssumeRoleResponse/>"}, verdict.ProviderError},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, role := script{sts: c.answer}.keys(t)
				err := open(t, role, kms.Sealed{Blob: []byte("x")})
				wantReason(t, "decrypt", err, c.want)
				f, _ := errors.AsType[*verdict.Failure](err)
				if c.answer.code != "" && (f.ProviderCode != c.answer.code || f.RequestID != "request-1") {
					t.Errorf("the failure names %q, request %q", f.ProviderCode, f.RequestID)
				}
			})
		})
	}
}

func TestAnInvalidStateIsLookedInto(t *testing.T) {
	for state, want := range map[string]struct{ decrypt, describe verdict.Reason }{
		"Disabled":               {verdict.KeyDisabled, verdict.KeyDisabled},
		"PendingDeletion":        {verdict.KeyPendingDeletion, verdict.KeyPendingDeletion},
		"PendingReplicaDeletion": {verdict.KeyPendingDeletion, verdict.KeyPendingDeletion},
		"PendingImport":          {verdict.KeyPendingImport, verdict.KeyPendingImport},
		"Creating":               {verdict.KeyNotReady, verdict.KeyNotReady},
		"Unavailable":            {verdict.KeyUnavailable, verdict.KeyUnavailable},
		"Tomorrow":               {verdict.KeyUnavailable, verdict.KeyUnavailable},
		"Updating":               {verdict.KeyUnavailable, verdict.OK},
		"Enabled":                {verdict.KeyUnavailable, verdict.OK}, // changed in between
	} {
		refused := bad("KMSInvalidStateException", "the state is not valid")
		user, _ := script{kms: map[string]answer{"Decrypt": refused, "DescribeKey": described(state)}}.keys(t)
		err := open(t, user, kms.Sealed{Blob: []byte("x")})
		wantReason(t, "decrypt when "+state, err, want.decrypt)
		if f, _ := errors.AsType[*verdict.Failure](err); f.ProviderCode != "KMSInvalidStateException" || f.RequestID != "request-1" {
			t.Errorf("%s: the failure names %q, request %q", state, f.ProviderCode, f.RequestID)
		}
		_, err = user.Describe(t.Context())
		wantReason(t, "describe when "+state, err, want.describe)
	}
	user, _ := script{kms: map[string]answer{"Decrypt": bad("KMSInvalidStateException", "")}}.keys(t)
	wantReason(t, "decrypt when we may not look", open(t, user, kms.Sealed{Blob: []byte("x")}), verdict.KeyUnavailable)
}

func TestASessionThatKMSRefusesIsReplaced(t *testing.T) {
	asked := 0
	s := script{kms: map[string]answer{"Decrypt": bad("ExpiredTokenException", "")}, sts: granted, asked: &asked}
	_, role := s.keys(t)
	wantReason(t, "decrypt", open(t, role, kms.Sealed{Blob: []byte("x")}), verdict.OurCredentials)
	s.kms["Decrypt"] = decrypted
	wantReason(t, "decrypt again", open(t, role, kms.Sealed{Blob: []byte("x")}), verdict.OK)
	if asked != 2 {
		t.Errorf("STS was asked %d times, want 2", asked)
	}
}

// customers are the codes with which AWS says that the customer took the key or the access
// away. Everything else must never stop a database.
var customers = map[string]bool{
	"DisabledException": true, "NotFoundException": true, "InvalidArnException": true, "InvalidKeyUsageException": true,
	"AccessDenied": true, "AccessDeniedException": true, "UnauthorizedOperation": true, "NotAuthorized": true,
	"UnrecognizedClientException": true, "InvalidClientTokenId": true, "InvalidAccessKeyId": true, "AuthFailure": true,
	"InvalidSignatureException": true, "SignatureDoesNotMatch": true, "InvalidSignature": true, "ExpiredToken": true,
	"ExpiredTokenException": true, "TokenRefreshRequired": true, "MissingAuthenticationToken": true,
	"MissingAuthenticationTokenException": true, "IncompleteSignature": true, "IncompleteSignatureException": true,
}

func TestClassify_nothing_unknown_is_the_customers_fault(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		a := answer{
			status: rapid.SampledFrom([]int{400, 401, 403, 404, 409, 413, 429}).Draw(rt, "status"),
			code:   rapid.StringMatching(`[A-Z][A-Za-z]{0,30}`).Filter(func(s string) bool { return !customers[s] }).Draw(rt, "code"),
		}
		user, role := script{kms: map[string]answer{"Decrypt": a}, sts: granted}.keys(t)
		_, denied := script{sts: a}.keys(t)
		for _, k := range []*kms.Key{user, role, denied} {
			err := open(t, k, kms.Sealed{Blob: []byte("x")})
			if f, ok := errors.AsType[*verdict.Failure](err); !ok || f.Class() == verdict.Invalid {
				rt.Fatalf("%d %s gives %v", a.status, a.code, err)
			}
		}
	})
}
