// Package awsfailure classifies what AWS answers when something is sent through it.
//
// Its invariant: an answer counts against the receiver only if it is one of the codes that a service
// has for that; everything else is the operator's to mend, and is tried again.
package awsfailure

import (
	"errors"
	"net/http"
	"slices"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"latchkey/shared/notification"
)

// Of turns a client's error into the failure that it is; nil stays nil. refusals are the codes that
// blame the address.
func Of(err error, refusals ...string) error {
	if err == nil {
		return nil
	}
	f := &notification.Failure{Reason: notification.Ours}
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		f.Code = e.ErrorCode()
	}
	if e, ok := errors.AsType[*awshttp.ResponseError](err); ok {
		f.Status = e.HTTPStatusCode()
	}
	isAnswer := f.Status >= http.StatusBadRequest && f.Status < http.StatusInternalServerError && f.Status != http.StatusTooManyRequests
	if isAnswer && slices.Contains(refusals, f.Code) {
		f.Reason, f.Permanent = notification.Refused, true
	}
	return f
}
