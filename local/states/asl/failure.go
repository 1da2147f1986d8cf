package asl

import (
	"fmt"
	"slices"
)

// Failure is how a state failed, as ErrorEquals sees it.
type Failure struct {
	Name  string `json:"error,omitempty"`
	Cause string `json:"cause,omitempty"`
	// Also is a second name that ErrorEquals may know the failure by.
	Also string `json:"also,omitempty"`
}

// Fails builds a Failure with a formatted cause.
func Fails(name, format string, args ...any) *Failure {
	return &Failure{Name: name, Cause: fmt.Sprintf(format, args...)}
}

// Error joins name and cause.
func (f *Failure) Error() string { return f.Name + ": " + f.Cause }

// Matches reports whether one of the names in an ErrorEquals names the failure.
//
// A States.Runtime failure is never matched. States.ALL does not match
// States.DataLimitExceeded, and States.TaskFailed matches everything but a time-out.
func (f *Failure) Matches(names []string) bool {
	if f.Name == ErrRuntime {
		return false
	}
	return slices.ContainsFunc(names, func(name string) bool {
		switch name {
		case ErrAll:
			return f.Name != ErrDataLimitExceeded
		case ErrTaskFailed:
			return f.Name != ErrTimeout && f.Name != ErrDataLimitExceeded
		}
		return name == f.Name || f.Also != "" && name == f.Also
	})
}

// Output is what a Catch hands on.
func (f *Failure) Output() any {
	return map[string]any{"Error": f.Name, "Cause": f.Cause}
}
