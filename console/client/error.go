package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"latchkey/shared/atlas"
)

// Error is a call that failed, as the API tells it.
type Error struct {
	Status     int
	Code       atlas.Code
	Detail     string // a sentence
	Fields     []atlas.FieldError
	RetryAfter time.Duration // 0 if the API did not say

	cause error // for the log; nil if the API answered
}

// Error is for the log.
func (e *Error) Error() string {
	s := fmt.Sprintf("%d %s: %s", e.Status, e.Code, e.Detail)
	if e.cause != nil {
		s += ": " + e.cause.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.cause }

// AsError finds the *Error in err's chain; anything else is unexpected.
func AsError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{
		Status: http.StatusInternalServerError, Code: atlas.UnexpectedError, Detail: atlas.Fail(atlas.UnexpectedError).Detail(), cause: err,
	}
}

// IsNotFound reports whether err says that there is no such thing.
func IsNotFound(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Status == http.StatusNotFound
}

// IsUnauthorized reports whether err says that nobody has authenticated. Whoever has, and may not do
// something, gets a 401 of this API too, with a code that says so.
func IsUnauthorized(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Status == http.StatusUnauthorized && (e.Code == atlas.UnexpectedError || e.Code == "")
}

// What the console says by itself, where there is no sentence of the API's.
const (
	sayTimeout     = "The API did not answer in time. A change may have happened; look before you repeat it."
	sayUnreachable = "The API cannot be reached right now."
)

// unreachable is a call that got no answer of the API's.
func unreachable(err error) *Error {
	e := &Error{Status: http.StatusBadGateway, Code: atlas.ServiceUnavailable, Detail: sayUnreachable, cause: err}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		e.Status, e.Detail = http.StatusGatewayTimeout, sayTimeout
	}
	return e
}

// failure reads an answer that is no success.
func failure(status int, header http.Header, body []byte) *Error {
	e := &Error{Status: status}
	var told struct {
		ErrorCode        atlas.Code              `json:"errorCode"`
		Detail           string                  `json:"detail"`
		BadRequestDetail *atlas.BadRequestDetail `json:"badRequestDetail"`
	}
	if err := json.Unmarshal(body, &told); err != nil || told.Detail == "" {
		e.Code, e.Detail = atlas.UnexpectedError, "The API answered "+strconv.Itoa(status)+" "+http.StatusText(status)+"."
	} else {
		e.Code, e.Detail = told.ErrorCode, told.Detail
	}
	if told.BadRequestDetail != nil {
		e.Fields = told.BadRequestDetail.Fields
	}
	if seconds, err := strconv.ParseUint(header.Get("Retry-After"), 10, 16); err == nil {
		e.RetryAfter = time.Duration(seconds) * time.Second
	}
	return e
}
