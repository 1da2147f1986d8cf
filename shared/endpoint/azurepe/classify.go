package azurepe

import (
	"errors"
	"net/http"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"latchkey/shared/endpoint"
)

// isMissing reports whether Resource Manager says that there is no such endpoint. That its resource
// group is not there either is another matter: then the operator's network is gone.
func isMissing(err error) bool {
	answered, ok := errors.AsType[*azcore.ResponseError](err)
	return ok && (answered.ErrorCode == "ResourceNotFound" || answered.ErrorCode == "NotFound")
}

// refusals are what the tenant is told of codes with which Resource Manager will not make an endpoint
// however often it is asked.
var refusals = map[string]string{
	"ResourceGroupNotFound":            "The network for private endpoints in this region is not there.",
	"SubscriptionNotFound":             "The network for private endpoints in this region is not there.",
	"InvalidResourceReference":         "Azure found no such key vault, or not the network for private endpoints in this region.",
	"PrivateEndpointCountLimitReached": "The quota of private endpoints is used up.",
	"QuotaExceeded":                    "The quota of private endpoints is used up.",
	"SubnetIsFull":                     "There are no free addresses for private endpoints in this region.",
	"RequestDisallowedByPolicy":        "A policy forbids private endpoints in this region.",
}

// classify explains an error of the SDK. What is not known, or got no answer, is worth another try.
func classify(err error) *endpoint.Failure {
	f := &endpoint.Failure{Kind: endpoint.Unavailable, Err: err}
	if refused, ok := errors.AsType[*azidentity.AuthenticationFailedError](err); ok {
		if refused.RawResponse != nil && refused.RawResponse.StatusCode < http.StatusInternalServerError && refused.RawResponse.StatusCode != http.StatusTooManyRequests {
			f.Kind = endpoint.Denied
		}
		return f
	}
	answered, ok := errors.AsType[*azcore.ResponseError](err)
	if !ok {
		return f
	}
	f.Code = answered.ErrorCode
	if answered.RawResponse != nil {
		f.RequestID = answered.RawResponse.Header.Get("X-Ms-Request-Id")
	}
	message, isKnown := refusals[f.Code]
	switch status := answered.StatusCode; {
	case isKnown:
		f.Kind, f.Message = endpoint.Refused, message
	case status == http.StatusBadRequest:
		f.Kind, f.Message = endpoint.Refused, "Azure refused to make the private endpoint ("+f.Code+")."
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		f.Kind = endpoint.Denied
	}
	return f
}
