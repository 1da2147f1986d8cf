package azurekv

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"latchkey/shared/verdict"
)

// Classify explains an error of this driver.
func (k *key) Classify(err error) *verdict.Failure { return k.credential.classify(err) }

// failure is classify for calls that do not go through kms.Key, which looks at ctx first.
func (c *Credential) failure(ctx context.Context, err error) *verdict.Failure {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return &verdict.Failure{Reason: verdict.TimedOut, Err: err}
	}
	return c.classify(err)
}

func (c *Credential) classify(err error) *verdict.Failure {
	if f, ok := errors.AsType[*verdict.Failure](err); ok {
		return f
	}
	f := &verdict.Failure{Reason: verdict.Internal, Err: err}
	refused, isLogin := errors.AsType[*azidentity.AuthenticationFailedError](err)
	answered, isVault := errors.AsType[*azcore.ResponseError](err)
	switch {
	case errors.Is(err, context.Canceled):
		f.Reason = verdict.Cancelled
	case errors.Is(err, context.DeadlineExceeded):
		f.Reason = verdict.TimedOut
	case isLogin:
		c.classifyLogin(f, refused.RawResponse)
	case isVault:
		c.classifyVault(f, answered)
	default:
		f.Reason = transportReason(err)
	}
	return f
}

// transportReason explains a request that got no complete answer.
func transportReason(err error) verdict.Reason {
	_, isOurs := errors.AsType[*transportError](err)
	netErr, isNet := errors.AsType[net.Error](err)
	switch {
	case isNet && netErr.Timeout():
		return verdict.TimedOut
	case isOurs || isNet: // also a name that no longer resolves, which is how a deleted vault looks
		return verdict.ConnectFailed
	}
	return verdict.Internal
}

// Codes of Entra ID (AADSTS…).
const (
	badSecret        = 7000215
	expiredSecret    = 7000222
	badAssertion     = 700027 // certificate or key that is not registered
	expiredAssertion = 700024
	appNotFound      = 700016
	appNotInTenant   = 7000229 // no service principal in the tenant
	appDisabled      = 7000112
	tenantNotFound   = 90002
	blockedByPolicy  = 53003 // conditional access, which judges applications by their address
	tenantThrottled  = 90055
	transientError   = 90033
)

// loginReason says what a refusal by the authority means: for a tenant's own credentials, and
// for Latchkey's application, whose secret is our affair and whose admission is the tenant's.
type loginReason struct{ tenants, own verdict.Reason }

var loginReasons = map[int]loginReason{
	badSecret:        {verdict.CredentialsInvalid, verdict.OurCredentials},
	expiredSecret:    {verdict.CredentialsExpired, verdict.OurCredentials},
	badAssertion:     {verdict.CredentialsInvalid, verdict.OurCredentials},
	expiredAssertion: {verdict.CredentialsExpired, verdict.OurCredentials},
	appNotFound:      {verdict.CredentialsInvalid, verdict.RoleDenied},
	appNotInTenant:   {verdict.CredentialsInvalid, verdict.RoleDenied},
	appDisabled:      {verdict.CredentialsInvalid, verdict.RoleDenied},
	tenantNotFound:   {verdict.CredentialsInvalid, verdict.RoleDenied},
	blockedByPolicy:  {verdict.NetworkRefused, verdict.NetworkRefused},
	tenantThrottled:  {verdict.RateLimited, verdict.RateLimited},
	transientError:   {verdict.ProviderError, verdict.ProviderError},
}

// refusal is an error answer of the authority.
type refusal struct {
	Codes   []int  `json:"error_codes"`
	TraceID string `json:"trace_id"`
}

func readRefusal(resp *http.Response) refusal {
	var r refusal
	if body, err := runtime.Payload(resp); err == nil {
		json.Unmarshal(body, &r) //nolint:errcheck // what is no JSON has no codes
	}
	return r
}

func (c *Credential) classifyLogin(f *verdict.Failure, resp *http.Response) {
	if resp == nil { // an answer that the SDK could not read
		f.Reason = verdict.ProviderError
		return
	}
	r := readRefusal(resp)
	if f.RequestID = resp.Header.Get("X-Ms-Request-Id"); f.RequestID == "" {
		f.RequestID = r.TraceID
	}
	if len(r.Codes) > 0 {
		f.ProviderCode = "AADSTS" + strconv.Itoa(r.Codes[0])
	}
	if reason, ok := statusReasons(resp.StatusCode); ok {
		f.Reason = reason
		return
	}
	for _, code := range r.Codes {
		if reason, ok := loginReasons[code]; ok {
			f.Reason = reason.tenants
			if c.own {
				f.Reason = reason.own
			}
			break
		}
	}
	if _, atHome := errors.AsType[*homeError](f.Err); atHome && f.Reason == verdict.RoleDenied {
		f.Reason = verdict.OurCredentials
	}
}

// statusReasons are the statuses that mean the same from every service.
func statusReasons(status int) (verdict.Reason, bool) {
	switch {
	case status == http.StatusTooManyRequests:
		return verdict.RateLimited, true
	case status == http.StatusRequestTimeout:
		return verdict.TimedOut, true
	case status >= http.StatusInternalServerError:
		return verdict.ProviderError, true
	}
	return "", false
}

// vaultReasons are Key Vault's codes: the inner one where there is one. Anything that is not
// here is INTERNAL, so that what we do not know stops nothing.
var vaultReasons = map[string]verdict.Reason{
	"ForbiddenByFirewall":           verdict.NetworkRefused,
	"ForbiddenByConnection":         verdict.NetworkRefused,
	"ForbiddenByRbac":               verdict.AccessDenied,
	"ForbiddenByPolicy":             verdict.AccessDenied,
	"AccessDenied":                  verdict.AccessDenied, // what older regions send for ForbiddenByPolicy
	"KeyDisabled":                   verdict.KeyDisabled,
	"KeyExpired":                    verdict.KeyExpired,
	"KeyNotYetValid":                verdict.KeyNotActive,
	"KeyOperationForbidden":         verdict.KeyUnsuitable, // key_ops lack the operation
	"KeyNotFound":                   verdict.KeyNotFound,
	"ObjectIsDeletedButRecoverable": verdict.KeyDeleted,
	"ObjectIsBeingDeleted":          verdict.KeyDeleted,
}

func (c *Credential) classifyVault(f *verdict.Failure, answered *azcore.ResponseError) {
	f.ProviderCode = answered.ErrorCode
	resp := answered.RawResponse
	if resp != nil {
		f.RequestID = resp.Header.Get("X-Ms-Request-Id")
		if inner := innerCode(resp); inner != "" {
			f.ProviderCode = inner
		}
	}
	if reason, ok := statusReasons(answered.StatusCode); ok {
		f.Reason = reason
		return
	}
	switch reason, known := vaultReasons[f.ProviderCode]; {
	case known:
		f.Reason = reason
	case answered.StatusCode == http.StatusUnauthorized && c.isForeign(resp):
		f.Reason = verdict.AccessDenied
	case answered.StatusCode == http.StatusBadRequest && f.ProviderCode == "BadParameter" && isDecrypt(resp):
		f.Reason = verdict.KeyMismatch // "Error occurred while decoding OAEP padding."
	}
}

func innerCode(resp *http.Response) string {
	var body struct {
		Error struct {
			Inner struct {
				Code string `json:"code"`
			} `json:"innererror"`
		} `json:"error"`
	}
	payload, err := runtime.Payload(resp)
	if err != nil || json.Unmarshal(payload, &body) != nil {
		return ""
	}
	return body.Error.Inner.Code
}

// isForeign reports whether a vault that refused our token belongs to another tenant. It is
// what the vault's challenge says (AKV10032 in the message says the same).
func (c *Credential) isForeign(resp *http.Response) bool {
	if resp == nil {
		return false
	}
	tenant := challengedTenant(resp.Header.Get("WWW-Authenticate"))
	return tenant != "" && !strings.EqualFold(tenant, c.tenantID)
}

func isDecrypt(resp *http.Response) bool {
	return resp != nil && resp.Request != nil && strings.HasSuffix(resp.Request.URL.Path, "/decrypt")
}
