package workflow

import (
	"errors"
	"time"
)

// Status is how an execution stands.
type Status string

// The statuses. The first five are Step Functions' own.
const (
	Running        Status = "RUNNING"
	Succeeded      Status = "SUCCEEDED"
	Failed         Status = "FAILED"
	TimedOut       Status = "TIMED_OUT"
	Aborted        Status = "ABORTED"
	PendingRedrive Status = "PENDING_REDRIVE"
	// NotStarted: it is to run, and there is none of its name yet. A schedule starts it within minutes.
	NotStarted Status = "NOT_STARTED"
	// Unknown: it could not be asked about now.
	Unknown Status = "UNKNOWN"
)

// Run is what an execution did, without anything that it was told or has answered.
type Run struct {
	Status           Status
	Started, Stopped time.Time
	// Error is the code that it failed with, "" if it did not.
	Error string
	// Steps are the states that it went through, oldest first. IsCut says that there were others before.
	Steps []Step
	IsCut bool
}

// Step is a state that an execution went through.
type Step struct {
	State   string
	Entered time.Time
	Exited  time.Time // zero while it is in it, or if it ended there
	// Attempts is how often its task was tried, 0 without one, and Error the code of the last that failed.
	Attempts int
	Error    string
}

// ErrNoExecution is returned for an execution that was never started, or is forgotten.
var ErrNoExecution = errors.New("workflow: no such execution")
