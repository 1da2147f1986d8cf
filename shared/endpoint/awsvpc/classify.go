package awsvpc

import (
	"errors"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/smithy-go"

	"latchkey/shared/endpoint"
)

// refusals are EC2's codes for what it will not make however often it is asked, and what the tenant
// is told. They are the operator's to mend, so that no identifier of the operator's is in them.
var refusals = map[string]string{
	"VpcEndpointLimitExceeded":          "The quota of private endpoints in this region is used up.",
	"VpcEndpointPerVpcLimitExceeded":    "The quota of private endpoints in this region is used up.",
	"InsufficientFreeAddressesInSubnet": "There are no free addresses for private endpoints in this region.",
	"NetworkInterfaceLimitExceeded":     "The quota of network interfaces in this region is used up.",
	"InvalidServiceName":                "AWS KMS offers no private endpoints in this region.",
	"InvalidVpcID.NotFound":             "The network for private endpoints in this region is not there.",
	"InvalidVpcId.NotFound":             "The network for private endpoints in this region is not there.",
	"InvalidSubnetID.NotFound":          "The network for private endpoints in this region is not there.",
	"InvalidSubnetId.NotFound":          "The network for private endpoints in this region is not there.",
	"InvalidGroup.NotFound":             "The network for private endpoints in this region is not there.",
	"InvalidSecurityGroupID.NotFound":   "The network for private endpoints in this region is not there.",
	"InvalidParameter":                  "AWS refused to make the private endpoint.",
	"InvalidParameterValue":             "AWS refused to make the private endpoint.",
	"InvalidParameterCombination":       "AWS refused to make the private endpoint.",
	"IdempotentParameterMismatch":       "AWS refused to make the private endpoint.",
	"OptInRequired":                     "This region is not enabled for private endpoints.",
	"DnsNameAlreadyInUse":               "AWS refused to make the private endpoint.",
}

// denials are codes for what the operator's identity may not do, or is not.
var denials = map[string]bool{
	"UnauthorizedOperation": true, "AuthFailure": true, "AccessDenied": true, "AccessDeniedException": true, "InvalidClientTokenId": true,
	"SignatureDoesNotMatch": true, "ExpiredToken": true, "RequestExpired": true, "UnrecognizedClientException": true, "Blocked": true,
}

// isMissing reports whether EC2 says that there is no such endpoint.
func isMissing(err error) bool {
	answered, ok := errors.AsType[smithy.APIError](err)
	return ok && missing(answered.ErrorCode())
}

func missing(code string) bool {
	return strings.EqualFold(code, "InvalidVpcEndpointId.NotFound") || strings.EqualFold(code, "InvalidVpcEndpoint.NotFound")
}

// classify explains an error of the SDK. What is not known, or got no answer, is worth another try.
func classify(err error) *endpoint.Failure {
	f := &endpoint.Failure{Kind: endpoint.Unavailable, Err: err}
	isServers := false
	if response, ok := errors.AsType[*awshttp.ResponseError](err); ok {
		f.RequestID = response.ServiceRequestID()
		isServers = response.HTTPStatusCode() >= http.StatusInternalServerError
	}
	if answered, ok := errors.AsType[smithy.APIError](err); ok {
		f.Code = answered.ErrorCode()
		if !isServers {
			f.Kind, f.Message = kindOf(f.Code)
		}
	}
	return f
}

func kindOf(code string) (kind endpoint.FailureKind, message string) {
	if message, ok := refusals[code]; ok {
		return endpoint.Refused, message
	}
	if denials[code] {
		return endpoint.Denied, ""
	}
	return endpoint.Unavailable, ""
}

// unsuccessful explains why one endpoint of several was not deleted; nil if it is not there.
func unsuccessful(u types.UnsuccessfulItem) error {
	if u.Error == nil || missing(aws.ToString(u.Error.Code)) {
		return nil
	}
	f := &endpoint.Failure{Code: aws.ToString(u.Error.Code), Err: errors.New(aws.ToString(u.Error.Message))}
	f.Kind, f.Message = kindOf(f.Code)
	return f
}

// nonsense is an answer that cannot be.
func nonsense(what string) *endpoint.Failure {
	return &endpoint.Failure{Kind: endpoint.Unavailable, Err: errors.New("awsvpc: " + what)}
}
