// Package asl reads Amazon States Language (JSONPath dialect): definitions, paths, payload
// templates, intrinsic functions, choice rules, and the arithmetic of retries.
//
// Its invariant: a definition that Parse accepts holds nothing that is not executed exactly as
// written. What is unknown, unsupported, unreachable or ambiguous is refused when the file is
// loaded, in a sentence that names the file and the state. It evaluates and never executes;
// local/states/engine does.
package asl

import (
	"time"
)

// Machine is a definition that has been checked.
type Machine struct {
	Flow
	Comment string
	// Timeout ends an execution; 0 is never.
	Timeout time.Duration
	// Source is the text it was parsed from.
	Source string
}

// Flow is a set of states with a beginning: a machine, a branch of a Parallel state or the
// processor of a Map state.
type Flow struct {
	StartAt string
	States  map[string]*State
}

// Type is the type of a state.
type Type string

// The types of states.
const (
	Task     Type = "Task"
	Choice   Type = "Choice"
	Wait     Type = "Wait"
	Pass     Type = "Pass"
	Map      Type = "Map"
	Parallel Type = "Parallel"
	Succeed  Type = "Succeed"
	Fail     Type = "Fail"
)

// State is one state. Fields that its type does not have are zero.
type State struct {
	Name    string
	Type    Type
	Comment string
	// Next is the following state; "" ends the flow.
	Next string

	// InputPath and OutputPath filter; see Filter.
	InputPath, OutputPath Filter
	// ResultPath says where a result goes in the state's input.
	ResultPath Target
	// Parameters (of a Map state: ItemSelector) builds what the state works on; nil takes its input.
	Parameters *Template
	// ResultSelector reshapes a result; nil keeps it.
	ResultSelector *Template
	Retry          []Retrier
	Catch          []Catcher

	Resource  Resource  // Task
	Timeout   Seconds   // Task
	Heartbeat Seconds   // Task that waits for a token
	Choices   []Rule    // Choice
	Default   string    // Choice
	Until     WaitUntil // Wait
	Result    *any      // Pass; nil is none
	Error     Text      // Fail
	Cause     Text      // Fail
	Branches  []*Flow   // Parallel
	Processor *Flow     // Map
	ItemsPath *Path     // Map; nil is the input
	// MaxConcurrency bounds the iterations of a Map state that run at once; 0 leaves it to the engine.
	MaxConcurrency int
}

// Seconds is a duration that is fixed or found in the input. The zero value is none.
type Seconds struct {
	Fixed int64
	Path  *Path
}

// Text is a string that is fixed or computed. The zero value is "".
type Text struct {
	Fixed    string
	computed node
}

// WaitUntil says how long a Wait state waits; exactly one field is set.
type WaitUntil struct {
	Seconds       *int64
	SecondsPath   *Path
	Timestamp     time.Time
	TimestampPath *Path
}

// Resource is what a Task state calls.
type Resource struct {
	// Name is the resource as the definition spells it.
	Name string
	// Function is the Lambda function of a direct ARN; "" if Parameters name it.
	Function string
	// WaitForToken makes the task end when its token comes back.
	WaitForToken bool
}

// Kind and Action are the resource as the execution history names it: "lambda" and "invoke".
func (r Resource) Kind() string { return "lambda" }

// Action is the second half of the resource's name in the execution history.
func (r Resource) Action() string {
	if r.WaitForToken {
		return "invoke.waitForTaskToken"
	}
	return "invoke"
}

// The names of the language's own errors.
const (
	ErrAll                    = "States.ALL"
	ErrTimeout                = "States.Timeout"
	ErrHeartbeatTimeout       = "States.HeartbeatTimeout"
	ErrTaskFailed             = "States.TaskFailed"
	ErrPermissions            = "States.Permissions"
	ErrDataLimitExceeded      = "States.DataLimitExceeded"
	ErrRuntime                = "States.Runtime"
	ErrNoChoiceMatched        = "States.NoChoiceMatched"
	ErrParameterPathFailure   = "States.ParameterPathFailure"
	ErrResultPathMatchFailure = "States.ResultPathMatchFailure"
	ErrIntrinsicFailure       = "States.IntrinsicFailure"
	ErrBranchFailed           = "States.BranchFailed"
	ErrExceedToleratedFailure = "States.ExceedToleratedFailureThreshold"
	ErrItemReaderFailed       = "States.ItemReaderFailed"
	ErrResultWriterFailed     = "States.ResultWriterFailed"
)

var errorNames = map[string]bool{
	ErrAll: true, ErrTimeout: true, ErrHeartbeatTimeout: true, ErrTaskFailed: true, ErrPermissions: true,
	ErrDataLimitExceeded: true, ErrRuntime: true, ErrNoChoiceMatched: true, ErrParameterPathFailure: true,
	ErrResultPathMatchFailure: true, ErrIntrinsicFailure: true, ErrBranchFailed: true,
	ErrExceedToleratedFailure: true, ErrItemReaderFailed: true, ErrResultWriterFailed: true,
}
