package gcpkms

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"

	"cloud.google.com/go/kms/apiv1/kmspb"
	"google.golang.org/api/googleapi"
	"google.golang.org/protobuf/proto"

	"latchkey/shared/access/googleaccount"
	"latchkey/shared/atlas"
	"latchkey/shared/verdict"
)

// operation is what was tried; the same answer means different things for different calls.
type operation int

const (
	encrypting operation = iota + 1
	decrypting
)

// callError is an SDK error together with what is known about the call it ended.
type callError struct {
	op    operation
	state verdict.Reason // what the version's state says, "" if it was not asked or says nothing
	err   error
}

// Error is the SDK's text.
func (e *callError) Error() string { return e.err.Error() }

// Unwrap returns the SDK's error.
func (e *callError) Unwrap() error { return e.err }

// states is what each state of a version means. ENABLED is not listed, states of the future
// are an answer that makes no sense to us.
var states = map[kmspb.CryptoKeyVersion_CryptoKeyVersionState]verdict.Reason{
	kmspb.CryptoKeyVersion_DISABLED:                     verdict.KeyDisabled,
	kmspb.CryptoKeyVersion_DESTROY_SCHEDULED:            verdict.KeyPendingDeletion,
	kmspb.CryptoKeyVersion_DESTROYED:                    verdict.KeyDeleted,
	kmspb.CryptoKeyVersion_PENDING_GENERATION:           verdict.KeyNotReady,
	kmspb.CryptoKeyVersion_PENDING_IMPORT:               verdict.KeyPendingImport,
	kmspb.CryptoKeyVersion_IMPORT_FAILED:                verdict.KeyUnsuitable,
	kmspb.CryptoKeyVersion_GENERATION_FAILED:            verdict.KeyUnsuitable,
	kmspb.CryptoKeyVersion_PENDING_EXTERNAL_DESTRUCTION: verdict.KeyPendingDeletion,
	kmspb.CryptoKeyVersion_EXTERNAL_DESTRUCTION_FAILED:  verdict.KeyDeleted,
}

// usable fails unless a version could encrypt and decrypt now.
func usable(v *kmspb.CryptoKeyVersion) error {
	switch a := v.GetAlgorithm(); a {
	case kmspb.CryptoKeyVersion_GOOGLE_SYMMETRIC_ENCRYPTION, kmspb.CryptoKeyVersion_EXTERNAL_SYMMETRIC_ENCRYPTION:
	default:
		return verdict.Failed(verdict.KeyUnsuitable, "gcpkms: the algorithm of the key is %s", a)
	}
	if v.GetState() == kmspb.CryptoKeyVersion_ENABLED {
		return nil
	}
	reason, ok := states[v.GetState()]
	if !ok {
		reason = verdict.ProviderError
	}
	return &verdict.Failure{
		Reason: reason, ProviderCode: v.GetState().String(),
		Err: errors.New("gcpkms: the key version is not enabled"),
	}
}

// explain adds to the error of a use what the version's state says, where the error itself
// leaves that open: Google may answer with a bare precondition, and a key of another purpose
// is refused as an invalid argument.
func (k *key) explain(ctx context.Context, op operation, err error, used atlas.GoogleKeyVersion) error {
	e := &callError{op: op, err: err}
	s, ok := statusOf(err)
	open := ok && (s.Name == "FAILED_PRECONDITION" && violations[s.Violation] == "" || s.Name == "INVALID_ARGUMENT" && op == encrypting)
	if !open {
		return e
	}
	v, getErr := k.client.GetCryptoKeyVersion(ctx, &kmspb.GetCryptoKeyVersionRequest{Name: used.String()})
	if getErr != nil {
		return e
	}
	if f, ok := errors.AsType[*verdict.Failure](usable(v)); ok {
		e.state = f.Reason
	}
	return e
}

// violations is what the type of a failed precondition means: Google writes the state.
var violations = func() map[string]verdict.Reason {
	m := map[string]verdict.Reason{}
	for state, reason := range states {
		m["KEY_"+state.String()] = reason
	}
	return m
}()

// reasons is what the reason of an ErrorInfo means, whatever the status.
var reasons = map[string]verdict.Reason{
	"SECURITY_POLICY_VIOLATED": verdict.NetworkRefused, // VPC Service Controls
	"LOCATION_POLICY_VIOLATED": verdict.NetworkRefused,
	"IAM_PERMISSION_DENIED":    verdict.AccessDenied,

	"RESOURCE_USAGE_RESTRICTION_VIOLATED": verdict.AccessDenied, // an organisation policy of the customer's
	"RESOURCE_PROJECT_INVALID":            verdict.AccessDenied, // the key's project is deleted

	"CONSUMER_SUSPENDED": verdict.KeyUnavailable, // Google's act, not the customer's
	"GCP_SUSPENDED":      verdict.KeyUnavailable,

	"ACCESS_TOKEN_SCOPE_INSUFFICIENT": verdict.Internal, // we ask for the scope
	"RATE_LIMIT_EXCEEDED":             verdict.RateLimited,
	"RESOURCE_QUOTA_EXCEEDED":         verdict.RateLimited,
}

// consumerReasons concern the project that pays for the call. Turning the API or the billing
// of one's own project off takes the key away as surely as revoking a grant does; in the
// operator's project it is the operator's mistake.
var consumerReasons = map[string]bool{"SERVICE_DISABLED": true, "BILLING_DISABLED": true, "CONSUMER_INVALID": true}

// Classify explains an error of this driver.
func (k *key) Classify(err error) *verdict.Failure {
	if f, ok := errors.AsType[*verdict.Failure](err); ok {
		return f
	}
	switch {
	case errors.Is(err, context.Canceled):
		return &verdict.Failure{Reason: verdict.Cancelled, Err: err}
	case errors.Is(err, context.DeadlineExceeded):
		return &verdict.Failure{Reason: verdict.TimedOut, Err: err}
	}
	if s, ok := statusOf(err); ok {
		return &verdict.Failure{Reason: k.reason(s, err), ProviderCode: s.Code(), RequestID: s.RequestID, Err: err}
	}
	f := &verdict.Failure{Reason: verdict.Internal, Err: err}
	if n, ok := errors.AsType[net.Error](err); ok && n.Timeout() {
		f.Reason = verdict.TimedOut
	} else if _, ok := errors.AsType[*url.Error](err); ok {
		f.Reason = verdict.ConnectFailed // a transport's error, not an answer
	} else if errors.Is(err, proto.Error) {
		f.Reason = verdict.ProviderError // an answer that can't be decoded
	}
	return f
}

// statusOf is the status in an SDK error.
func statusOf(err error) (googleaccount.Status, bool) {
	e, ok := errors.AsType[*googleapi.Error](err)
	if !ok {
		return googleaccount.Status{}, false
	}
	return googleaccount.ParseStatus(e.Code, []byte(e.Body)), true
}

// reason is the table from Google's answers to reasons.
func (k *key) reason(s googleaccount.Status, err error) verdict.Reason {
	if r := s.Trouble(); r != "" {
		return r
	}
	if r := reasons[s.Reason]; r != "" {
		return r
	}
	call, _ := errors.AsType[*callError](err)
	switch {
	case consumerReasons[s.Reason]:
		return k.consumerReason(s)
	case s.Violation == "VPC_SERVICE_CONTROLS":
		return verdict.NetworkRefused
	case violations[s.Violation] != "":
		return violations[s.Violation]
	case call != nil && call.state != "":
		return call.state
	}
	switch s.Name {
	case "PERMISSION_DENIED":
		if s.Reason == "" {
			return verdict.AccessDenied
		}
	case "UNAUTHENTICATED":
		return k.identity.Refused() // the token was renewed before this was believed
	case "NOT_FOUND":
		return verdict.KeyNotFound
	case "INVALID_ARGUMENT":
		if call != nil && call.op == decrypting {
			return verdict.KeyMismatch // a damaged ciphertext or another binding
		}
	case "":
		if s.HTTP == http.StatusForbidden || s.HTTP == http.StatusProxyAuthRequired {
			return verdict.NetworkRefused // not Google's words: something on the way answered
		}
	}
	return verdict.Internal
}

// consumerReason tells the customer's act from ours. A tenant's account lives with the tenant;
// an account of ours makes calls on behalf of two projects.
func (k *key) consumerReason(s googleaccount.Status) verdict.Reason {
	switch {
	case k.identity.Refused() == verdict.CredentialsInvalid, s.Consumer == "projects/"+k.version.Project:
		return verdict.AccessDenied
	case k.cfg.OwnProjectNumber == "" || s.Consumer == "" || s.Consumer == "projects/"+k.cfg.OwnProjectNumber:
		return verdict.OurCredentials
	}
	return verdict.AccessDenied
}
