package kmstest

import (
	"errors"

	"latchkey/shared/verdict"
)

// reasonOf is the reason of an error from a kms.Key; OK for nil, "" for an error that is no
// *verdict.Failure, which is itself a violation.
func reasonOf(err error) verdict.Reason {
	if err == nil {
		return verdict.OK
	}
	if f, ok := errors.AsType[*verdict.Failure](err); ok {
		return f.Reason
	}
	return ""
}
