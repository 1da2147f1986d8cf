package endpoint

import (
	"context"
	"errors"
)

// Cloud makes private endpoints in the operator's networks at one provider. Errors are *Failure.
// awsvpc and azurepe implement it; endpointtest says what an implementation must do.
type Cloud interface {
	// Create asks for an endpoint and returns without waiting for it. Asked again, for the same
	// endpoint, it makes no second one.
	Create(ctx context.Context, h Handle) (Observation, error)
	// Find looks at an endpoint. One that is not there is Missing and no error.
	Find(ctx context.Context, h Handle) (Observation, error)
	// Delete asks for the removal of all that was made for an endpoint and returns without
	// waiting. That there is nothing is no error.
	Delete(ctx context.Context, h Handle) error
}

// Handle names an endpoint to a cloud.
type Handle struct {
	GroupID    string
	EndpointID string
	Region     string // in the API's spelling
	Target     Target
	ResourceID string // "" if it is not known
}

// State is what a cloud says of an endpoint.
type State int

// The states.
const (
	Missing          State = iota + 1 // there is none, or none but in name
	Provisioning                      // being made
	AwaitingApproval                  // made; the tenant has to approve it
	Ready                             // made and approved
	Rejected                          // the tenant rejected it, or took its approval back
	Broken                            // could not be made
	Removing                          // being removed
)

// Observation is an endpoint as a cloud shows it.
type Observation struct {
	State      State
	ResourceID string
	Connection string
	Address    string // where the KMS is reached; set once it is Ready
	Message    string // what the cloud says, fit for the tenant
}

// FailureKind says what a caller can do about a cloud's refusal.
type FailureKind string

// The kinds of failure.
const (
	Unavailable FailureKind = "UNAVAILABLE" // busy, throttling or out of reach: try again
	Denied      FailureKind = "DENIED"      // the operator's own identity lacks a permission
	Refused     FailureKind = "REFUSED"     // what was asked for cannot be made; Message says why
)

// Failure is a cloud's refusal.
type Failure struct {
	Kind FailureKind
	// Message is for the tenant: it names nothing of the operator's.
	Message string
	// Code and RequestID are the provider's.
	Code, RequestID string
	Err             error // the SDK's error, for the log
}

// Error is for the log.
func (f *Failure) Error() string {
	s := "private endpoint " + string(f.Kind)
	if f.Code != "" {
		s += " (" + f.Code + ")"
	}
	if f.RequestID != "" {
		s += " request " + f.RequestID
	}
	if f.Err != nil {
		s += ": " + f.Err.Error()
	}
	return s
}

// Unwrap returns the SDK's error.
func (f *Failure) Unwrap() error { return f.Err }

// asRefused finds out whether a cloud refused for good, and why.
func asRefused(err error) (message string, ok bool) {
	f, isFailure := errors.AsType[*Failure](err)
	if !isFailure || f.Kind != Refused {
		return "", false
	}
	return f.Message, true
}
