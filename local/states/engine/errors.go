package engine

import (
	"encoding/json"
	"errors"
	"fmt"

	"latchkey/local/states/asl"
)

// Code is the name of an exception of the Step Functions API.
type Code string

// The exceptions that the engine raises.
const (
	ExecutionAlreadyExists   Code = "ExecutionAlreadyExists"
	ExecutionDoesNotExist    Code = "ExecutionDoesNotExist"
	ExecutionNotRedrivable   Code = "ExecutionNotRedrivable"
	InvalidArn               Code = "InvalidArn"
	InvalidExecutionInput    Code = "InvalidExecutionInput"
	InvalidName              Code = "InvalidName"
	InvalidOutput            Code = "InvalidOutput"
	InvalidToken             Code = "InvalidToken"
	StateMachineDoesNotExist Code = "StateMachineDoesNotExist"
	TaskDoesNotExist         Code = "TaskDoesNotExist"
	TaskTimedOut             Code = "TaskTimedOut"
	ValidationException      Code = "ValidationException"
)

// Error is a refusal of a request.
type Error struct {
	Code    Code
	Message string
}

// Error joins code and message.
func (e *Error) Error() string { return string(e.Code) + ": " + e.Message }

func refuse(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// FunctionError says that a function ran and failed.
type FunctionError struct {
	// Payload is what Lambda answers: {"errorType": …, "errorMessage": …}.
	Payload []byte
}

// Error shows the payload.
func (e *FunctionError) Error() string { return "the function failed: " + string(e.Payload) }

// ServiceError says that Lambda refused an invocation.
type ServiceError struct {
	Code    string // "ResourceNotFoundException", "TooManyRequestsException", "ServiceException", …
	Message string
}

// Error joins code and message.
func (e *ServiceError) Error() string { return e.Code + ": " + e.Message }

// failureOf names a failed invocation as Step Functions does.
func failureOf(err error) *asl.Failure {
	if f, ok := errors.AsType[*FunctionError](err); ok {
		var shape struct {
			Type string `json:"errorType"`
		}
		if json.Unmarshal(f.Payload, &shape) != nil || shape.Type == "" {
			return asl.Fails("Lambda.Unknown",
				"The cause could not be determined because Lambda did not return an error type. Returned payload: %s", f.Payload)
		}
		return &asl.Failure{Name: shape.Type, Cause: string(f.Payload)}
	}
	if s, ok := errors.AsType[*ServiceError](err); ok {
		if s.Code == "AccessDeniedException" {
			return &asl.Failure{Name: "Lambda.AccessDeniedException", Cause: s.Message, Also: asl.ErrPermissions}
		}
		return asl.Fails("Lambda."+s.Code, "%s (Service: AWSLambda; Error Code: %s)", s.Message, s.Code)
	}
	return asl.Fails("Lambda.SdkClientException", "%v", err)
}
