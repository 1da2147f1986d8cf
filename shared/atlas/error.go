// Package atlas is the vocabulary of the MongoDB Atlas Administration API v2 as Latchkey
// speaks it: wire types, error codes with their HTTP status, versions and media types, ids,
// regions, and parsers for the names of keys in the three clouds.
//
// Its one invariant: what it accepts it can print again unchanged, and what it refuses never
// reaches a cloud. It imports the standard library only; every other package may import it.
package atlas

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Code is an errorCode of the API.
type Code string

// Error is a failure that a client is told about. Detail comes from the code's sentence and
// Params, unless a detail of its own is given; Err is logged and never shown.
type Error struct {
	Code       Code
	Params     []any         // the values interpolated in the detail, in order
	Hint       string        // one more sentence: what to do now; appended to the detail
	Fields     []FieldError  // per-field validation errors
	RetryAfter time.Duration // for 429 and 503: when to come back
	Err        error         // the cause, for the log
}

// FieldError describes one invalid member of a request body.
type FieldError struct {
	Field       string `json:"field"`
	Description string `json:"description"`
}

// Fail builds an Error whose detail is the code's sentence with params filled in.
func Fail(code Code, params ...any) *Error { return &Error{Code: code, Params: params} }

// Because returns the error with a cause for the log.
func (e *Error) Because(err error) *Error { e.Err = err; return e }

// Hinting returns the error with one more sentence that says what to do.
func (e *Error) Hinting(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

// Detail is the sentence that clients see.
func (e *Error) Detail() string {
	tmpl, ok := codes[e.Code]
	if !ok {
		tmpl = codes[UnexpectedError]
	}
	detail := tmpl.detail
	if strings.Contains(detail, "%") {
		detail = fmt.Sprintf(detail, e.Params...)
	}
	if e.Hint != "" {
		detail += " " + e.Hint
	}
	return detail
}

// Status is the HTTP status that goes with the code.
func (e *Error) Status() int { return e.Code.Status() }

// Error renders code, detail and cause for logs.
func (e *Error) Error() string {
	s := string(e.Code) + ": " + e.Detail()
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// AsError finds the *Error in err's chain; anything else becomes UNEXPECTED_ERROR with err as its cause.
func AsError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return Fail(UnexpectedError).Because(err)
}

// CodeOf is the code of err: "" for nil, UNEXPECTED_ERROR for an error without a code.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	return AsError(err).Code
}

// Status is the HTTP status of the code; 500 for one that is not in the table.
func (c Code) Status() int {
	if t, ok := codes[c]; ok {
		return t.status
	}
	return http.StatusInternalServerError
}

// Codes lists every code, for tests and the API description.
func Codes() []Code {
	all := make([]Code, 0, len(codes))
	for c := range codes {
		all = append(all, c)
	}
	return all
}

// ErrorBody is the API's error envelope (schema ApiError).
type ErrorBody struct {
	BadRequestDetail *BadRequestDetail `json:"badRequestDetail,omitempty"`
	Detail           string            `json:"detail"`
	Error            int               `json:"error"`
	ErrorCode        Code              `json:"errorCode"`
	Parameters       []any             `json:"parameters"`
	Reason           string            `json:"reason"`
}

// BadRequestDetail lists the invalid members of a request body.
type BadRequestDetail struct {
	Fields []FieldError `json:"fields"`
}

// Body is the error as it goes over the wire.
func (e *Error) Body() ErrorBody {
	b := ErrorBody{
		Detail: e.Detail(), Error: e.Status(), ErrorCode: e.Code,
		Parameters: e.Params, Reason: http.StatusText(e.Status()),
	}
	if b.Parameters == nil {
		b.Parameters = []any{}
	}
	if len(e.Fields) > 0 {
		b.BadRequestDetail = &BadRequestDetail{Fields: e.Fields}
	}
	return b
}
