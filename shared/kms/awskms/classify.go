package awskms

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	ststypes "github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"latchkey/shared/verdict"
)

// Classify explains an error of this driver.
func (k *key) Classify(err error) *verdict.Failure { return k.credential.classify(err) }

func (c *Credential) classify(err error) *verdict.Failure {
	if c.own {
		return classify(err, sessionReason)
	}
	return classify(err, userReason)
}

// failure is classify for calls that do not go through kms.Key, which looks at ctx first. It
// returns nil for nil.
func (c *Credential) failure(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return &verdict.Failure{Reason: verdict.TimedOut, Err: err}
	}
	return c.classify(err)
}

// classify explains an error. reasonOf knows the codes of the API that answered; what comes
// before any answer, and what HTTP itself tells, is the same for all.
func classify(err error, reasonOf func(smithy.APIError) (verdict.Reason, bool)) *verdict.Failure {
	if f, ok := errors.AsType[*verdict.Failure](err); ok {
		return f
	}
	f := &verdict.Failure{Reason: verdict.Internal, RequestID: requestID(err), Err: err}
	status := statusOf(err)
	api, answered := errors.AsType[smithy.APIError](err)
	if answered {
		f.ProviderCode = api.ErrorCode()
		if reason, ok := reasonOf(api); ok {
			f.Reason = reason
			return f
		}
	}
	_, unreadable := errors.AsType[*smithy.DeserializationError](err)
	switch {
	case errors.Is(err, context.Canceled):
		f.Reason = verdict.Cancelled
	case errors.Is(err, context.DeadlineExceeded):
		f.Reason = verdict.TimedOut
	case status == http.StatusTooManyRequests:
		f.Reason = verdict.RateLimited
	case status >= http.StatusInternalServerError || unreadable:
		f.Reason = verdict.ProviderError
	case status == 0 && !answered:
		f.Reason = transportReason(err)
	}
	return f
}

// statusOf is the HTTP status of the answer; 0 if there was none.
func statusOf(err error) int {
	if r, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
		return r.HTTPStatusCode()
	}
	return 0
}

func requestID(err error) string {
	if r, ok := errors.AsType[interface {
		error
		ServiceRequestID() string
	}](err); ok {
		return r.ServiceRequestID()
	}
	return ""
}

// transportReason explains a request that got no answer.
func transportReason(err error) verdict.Reason {
	netErr, isNet := errors.AsType[net.Error](err)
	_, unsent := errors.AsType[*smithyhttp.RequestSendError](err)
	switch {
	case isNet && netErr.Timeout():
		return verdict.TimedOut
	case isNet || unsent:
		return verdict.ConnectFailed
	}
	return verdict.Internal
}

// kmsReasons are the codes of KMS that mean the same whoever asks.
var kmsReasons = map[string]verdict.Reason{
	(&types.DisabledException{}).ErrorCode():                   verdict.KeyDisabled,
	(&types.NotFoundException{}).ErrorCode():                   verdict.KeyNotFound,
	(&types.InvalidArnException{}).ErrorCode():                 verdict.KeyNotFound,
	(&types.InvalidKeyUsageException{}).ErrorCode():            verdict.KeyUnsuitable,
	(&types.InvalidCiphertextException{}).ErrorCode():          verdict.KeyMismatch,
	(&types.IncorrectKeyException{}).ErrorCode():               verdict.KeyMismatch,
	(&types.KMSInvalidStateException{}).ErrorCode():            verdict.KeyUnavailable, // explain finds out more
	(&types.KeyUnavailableException{}).ErrorCode():             verdict.KeyUnavailable,
	(&types.DependencyTimeoutException{}).ErrorCode():          verdict.ProviderError,
	(&types.KMSInternalException{}).ErrorCode():                verdict.ProviderError,
	(&types.CustomKeyStoreInvalidStateException{}).ErrorCode(): verdict.KeyUnavailable,
	(&types.CloudHsmClusterNotActiveException{}).ErrorCode():   verdict.KeyUnavailable,
	(&types.XksProxyUriUnreachableException{}).ErrorCode():     verdict.KeyUnavailable,
}

// commonReasons are the codes that every AWS service has.
var commonReasons = map[string]verdict.Reason{
	(&types.LimitExceededException{}).ErrorCode(): verdict.RateLimited,
	"LimitExceeded":               verdict.RateLimited,
	"Throttling":                  verdict.RateLimited,
	"ThrottlingException":         verdict.RateLimited,
	"ThrottledException":          verdict.RateLimited,
	"RequestThrottled":            verdict.RateLimited,
	"RequestThrottledException":   verdict.RateLimited,
	"RequestLimitExceeded":        verdict.RateLimited,
	"TooManyRequestsException":    verdict.RateLimited,
	"TooManyRequests":             verdict.RateLimited,
	"SlowDown":                    verdict.RateLimited,
	"PriorRequestNotComplete":     verdict.RateLimited,
	"InternalFailure":             verdict.ProviderError,
	"InternalServerError":         verdict.ProviderError,
	"InternalError":               verdict.ProviderError,
	"ServiceUnavailable":          verdict.ProviderError,
	"ServiceUnavailableException": verdict.ProviderError,
	"RequestTimeout":              verdict.TimedOut,
	"RequestTimeoutException":     verdict.TimedOut,
	(&ststypes.RegionDisabledException{}).ErrorCode(): verdict.NetworkRefused, // see assumeReason
}

// unproven are the codes of a request whose signature proves nobody. Services and protocols
// spell them differently.
var unproven = map[string]bool{
	"UnrecognizedClientException": true, "InvalidClientTokenId": true, "InvalidAccessKeyId": true,
	"InvalidSignatureException": true, "SignatureDoesNotMatch": true, "InvalidSignature": true,
	"AuthFailure":                true,
	"MissingAuthenticationToken": true, "MissingAuthenticationTokenException": true,
	"IncompleteSignature": true, "IncompleteSignatureException": true,
}

// expired are the codes of a session whose time is over.
var expired = map[string]bool{"ExpiredToken": true, "ExpiredTokenException": true, "TokenRefreshRequired": true}

// skewed are the codes of a request whose date is wrong: our clock.
var skewed = map[string]bool{"RequestExpired": true, "RequestTimeTooSkewed": true, "RequestInTheFuture": true}

// isSkewed reports whether a signature was refused for its date alone. Most services have no
// code for that.
func isSkewed(api smithy.APIError) bool {
	return skewed[api.ErrorCode()] || unproven[api.ErrorCode()] &&
		(strings.HasPrefix(api.ErrorMessage(), "Signature expired") || strings.HasPrefix(api.ErrorMessage(), "Signature not yet current"))
}

// denied are the codes of a caller who is known and may not.
var denied = map[string]bool{"AccessDenied": true, "AccessDeniedException": true, "UnauthorizedOperation": true, "NotAuthorized": true}

// says reports whether AWS names a kind of policy as what refused the request. Its messages
// end in "because no … policy allows the … action" or "with an explicit deny in a … policy";
// the wording is documented (IAM User Guide, "Troubleshoot access denied error messages").
func says(api smithy.APIError, kinds ...string) bool {
	for _, kind := range kinds {
		if strings.Contains(api.ErrorMessage(), "no "+kind+" allows") || strings.Contains(api.ErrorMessage(), "explicit deny in a "+kind) ||
			strings.Contains(api.ErrorMessage(), "explicit deny in an "+kind) {
			return true
		}
	}
	return false
}

// kmsReason is what a code of KMS means whoever asks.
func kmsReason(api smithy.APIError) (verdict.Reason, bool) {
	if reason, ok := kmsReasons[api.ErrorCode()]; ok {
		return reason, true
	}
	if reason, ok := commonReasons[api.ErrorCode()]; ok {
		return reason, true
	}
	switch {
	case isSkewed(api):
		return verdict.Internal, true
	case !denied[api.ErrorCode()]:
		return "", false
	case says(api, "VPC endpoint policy"): // the way to KMS, not the key
		return verdict.NetworkRefused, true
	}
	return verdict.AccessDenied, true
}

// userReason explains what KMS or STS answers to a tenant's own access key.
func userReason(api smithy.APIError) (verdict.Reason, bool) {
	if reason, ok := kmsReason(api); ok {
		return reason, true
	}
	switch {
	case unproven[api.ErrorCode()]:
		return verdict.CredentialsInvalid, true
	case expired[api.ErrorCode()]:
		return verdict.CredentialsExpired, true
	}
	return "", false
}

// sessionReason explains what KMS answers to a session that Latchkey made: the session is
// ours, and so is what its policy does not allow.
func sessionReason(api smithy.APIError) (verdict.Reason, bool) {
	if denied[api.ErrorCode()] && says(api, "session policy") {
		return verdict.Internal, true
	}
	if reason, ok := kmsReason(api); ok {
		return reason, true
	}
	if unproven[api.ErrorCode()] || expired[api.ErrorCode()] {
		return verdict.OurCredentials, true
	}
	return "", false
}

// assumeReason explains what STS answers to Latchkey's own identity when it asks for a
// tenant's role. Only a plain denial can be the tenant's, and it need not be: STS does not tell
// cross-account callers which policy it was, so the canary decides. Where STS names a policy that
// can only be ours (a service control policy may spare the canary), it is ours.
//
// RegionDisabledException says that the tenant's account has STS switched off in the region
// where we ask: the region is of our choosing, so this is a closed way, not a closed door.
func assumeReason(api smithy.APIError) (verdict.Reason, bool) {
	code := api.ErrorCode()
	if reason, ok := commonReasons[code]; ok {
		return reason, true
	}
	switch {
	case unproven[code] || expired[code] || skewed[code]:
		return verdict.OurCredentials, true
	case denied[code] && says(api, "identity-based policy", "permissions boundary", "service control policy", "session policy", "VPC endpoint policy"):
		return verdict.OurCredentials, true
	case denied[code]:
		return verdict.RoleDenied, true
	}
	return "", false // also MalformedPolicyDocument and PackedPolicyTooLarge: our request is wrong
}
