package engine

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"latchkey/local/states/asl"
	"latchkey/local/states/journal"
)

// maxExecutionName bounds the name of an execution, in characters.
const maxExecutionName = 80

// redrivable is how long after its end an execution can be redriven.
const redrivable = 14 * 24 * time.Hour

// forbiddenInName is what Step Functions accepts in no name.
var forbiddenInName = regexp.MustCompile("[\\s<>{}\\[\\]?*\"#%\\\\^|~`$&,;:/\\x00-\\x1f\\x7f-\\x9f]")

// MachineARN is the ARN of the state machine that has a name.
func (e *Engine) MachineARN(name string) string {
	return "arn:aws:states:" + e.cfg.Region + ":" + e.cfg.AccountID + ":stateMachine:" + name
}

func (e *Engine) executionARN(k key) string {
	return "arn:aws:states:" + e.cfg.Region + ":" + e.cfg.AccountID + ":execution:" + k.machine + ":" + k.name
}

// machineName finds the machine that an ARN names.
func (e *Engine) machineName(arn string) (string, error) {
	parts := strings.Split(arn, ":")
	if len(parts) != 7 || parts[0] != "arn" || parts[2] != "states" || parts[5] != "stateMachine" || parts[6] == "" {
		return "", refuse(InvalidArn, "Invalid Arn: 'Invalid ARN prefix: %s'", arn)
	}
	if _, ok := e.cfg.Machines[parts[6]]; !ok || arn != e.MachineARN(parts[6]) {
		return "", refuse(StateMachineDoesNotExist, "State Machine Does Not Exist: '%s'", arn)
	}
	return parts[6], nil
}

// executionKey finds the execution that an ARN names, whether there is one or not.
func (e *Engine) executionKey(arn string) (key, error) {
	parts := strings.Split(arn, ":")
	if len(parts) != 8 || parts[0] != "arn" || parts[2] != "states" || parts[5] != "execution" || strings.ContainsAny(arn, "\x00/") {
		return key{}, refuse(InvalidArn, "Invalid Arn: 'Invalid ARN prefix: %s'", arn)
	}
	k := key{parts[6], parts[7]}
	if arn != e.executionARN(k) {
		return key{}, refuse(ExecutionDoesNotExist, "Execution Does Not Exist: '%s'", arn)
	}
	return k, nil
}

// Start starts an execution and returns when it is durable. The same name with the same input
// is the same execution while that runs. Otherwise a name is used once and for all: Step
// Functions gives names back after 90 days, which nothing should count on.
//
// An empty name is replaced by a UUID, an empty input by {}.
func (e *Engine) Start(_ context.Context, machineARN, name, input string) (Execution, error) {
	machine, err := e.machineName(machineARN)
	if err != nil {
		return Execution{}, err
	}
	if input == "" {
		input = "{}"
	}
	if _, err := asl.Unmarshal([]byte(input)); err != nil || len(input) > maxData {
		return Execution{}, refuse(InvalidExecutionInput, "Invalid State Machine Execution Input: 'the input is not JSON of at most %d bytes'", maxData)
	}
	k := key{machine, name}
	if name == "" {
		k.name = e.freshName(machine, input)
	}
	if n := utf8.RuneCountInString(k.name); n > maxExecutionName || !utf8.ValidString(name) || forbiddenInName.MatchString(name) {
		return Execution{}, refuse(InvalidName, "Invalid Name: '%s'", name)
	}
	defer e.lockName(k)()
	old, err := e.record(k)
	switch {
	case err == nil && old.Status == Running && old.Input == input:
		return e.describe(old), nil
	case err == nil:
		return Execution{}, refuse(ExecutionAlreadyExists, "Execution Already Exists: '%s'", e.executionARN(k))
	case !isCode(err, ExecutionDoesNotExist):
		return Execution{}, err
	}
	return e.begin(k, input)
}

// freshName makes the name of an execution that was given none.
func (e *Engine) freshName(machine, input string) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.unnamed++
	return uuidFrom(e.randomFor(key{machine, input + e.cfg.Now().String()}, e.unnamed))
}

func (e *Engine) begin(k key, input string) (Execution, error) {
	m := e.cfg.Machines[k.machine]
	hash, definition := definitionChange(m)
	now := e.cfg.Now()
	rec := record{Machine: k.machine, Name: k.name, Status: Running, Definition: hash, Started: now, Input: input}
	if m.Timeout > 0 {
		rec.Deadline = now.Add(m.Timeout)
	}
	x := e.newExecution(rec, m)
	x.rand = e.randomFor(k, 0)
	b := &batch{touched: map[string]bool{}, record: true, changes: []journal.Change{definition}}
	x.event(b, &frame{}, "ExecutionStarted", "executionStartedEventDetails", details{
		"input": input, "inputDetails": whole, "roleArn": e.cfg.RoleARN,
	})
	root := &frame{ID: rootID, State: m.StartAt, Input: []byte(input)}
	x.frames[rootID] = root
	x.makeReady(b, root)
	if err := x.commit(b); err != nil {
		return Execution{}, err
	}
	e.adopt(x)
	return e.describe(rec), nil
}

// Stop aborts an execution and returns when it stopped. An execution that has closed stays as
// it is.
func (e *Engine) Stop(ctx context.Context, arn, name, cause string) (time.Time, error) {
	k, err := e.executionKey(arn)
	if err != nil {
		return time.Time{}, err
	}
	if x := e.find(k); x != nil {
		err := e.tell(ctx, x, func(b *batch) error {
			x.close(b, Aborted, &asl.Failure{Name: name, Cause: cause})
			return nil
		})
		if err != nil && !isCode(err, TaskTimedOut) { // that says that it has closed meanwhile
			return time.Time{}, err
		}
	}
	rec, err := e.record(k)
	return rec.Stopped, err
}

// Redrive continues an execution that has failed, timed out or was aborted, from the states that
// did not succeed, and returns when that is durable. A repeated clientToken is the same redrive.
func (e *Engine) Redrive(_ context.Context, arn, clientToken string) (time.Time, error) {
	k, err := e.executionKey(arn)
	if err != nil {
		return time.Time{}, err
	}
	defer e.lockName(k)()
	rec, err := e.record(k)
	if err != nil {
		return time.Time{}, err
	}
	if clientToken != "" && rec.RedriveToken == clientToken {
		return rec.Redriven, nil
	}
	if reason := rec.notRedrivable(e.cfg.Now()); reason != "" {
		return time.Time{}, refuse(ExecutionNotRedrivable, "Execution Not Redrivable: '%s'", reason)
	}
	x, err := e.load(k)
	if _, ok := errors.AsType[*unusable](err); ok {
		return time.Time{}, refuse(ExecutionNotRedrivable, "Execution Not Redrivable: '%v'", err)
	}
	if err != nil {
		return time.Time{}, err
	}
	b := &batch{touched: map[string]bool{}}
	x.redrive(b, clientToken)
	if err := x.commit(b); err != nil {
		return time.Time{}, err
	}
	e.adopt(x)
	return x.rec.Redriven, nil
}

// notRedrivable says why an execution cannot be redriven; "" if it can.
func (r record) notRedrivable(now time.Time) string {
	switch {
	case r.Status == Running:
		return "Execution is RUNNING and cannot be redriven"
	case r.Status == Succeeded:
		return "Execution is SUCCEEDED and cannot be redriven"
	case now.After(r.Stopped.Add(redrivable)):
		return "Execution has exceeded the redrivable period"
	}
	return ""
}

func (x *execution) redrive(b *batch, clientToken string) {
	r := &x.rec
	r.Status, r.Stopped, r.Error, r.Cause = Running, time.Time{}, "", ""
	r.Redriven, r.RedriveToken = x.e.cfg.Now(), clientToken
	r.RedriveCount++
	if x.machine.Timeout > 0 {
		r.Deadline = r.Redriven.Add(x.machine.Timeout)
	}
	b.record = true
	root := x.frames[rootID]
	last := &frame{Event: x.lastEvent}
	x.event(b, last, "ExecutionRedriven", "executionRedrivenEventDetails", details{"redriveCount": r.RedriveCount})
	root.Event = last.Event
	x.ready = nil
	x.revive(b, root)
}

// revive lets a flow do again what did not succeed. States that had succeeded stay so, and the
// count of retries begins anew.
func (x *execution) revive(b *batch, f *frame) {
	b.touch(f)
	f.Attempts, f.Retries, f.Call, f.WakeAt = nil, 0, nil, time.Time{}
	if f.Started == 0 || x.allDone(f) {
		x.drop(b, f)
		x.makeReady(b, f)
		return
	}
	f.Phase = joining
	for _, c := range x.children(f) {
		if c.Phase != done {
			x.revive(b, c)
		}
	}
}
