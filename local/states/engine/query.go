package engine

import (
	"encoding/base64"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"latchkey/local/states/asl"
	"latchkey/local/states/journal"
)

// Execution is what the API tells about an execution.
type Execution struct {
	ARN, MachineARN, Name string
	Status                Status
	Started               time.Time
	Stopped               time.Time // zero while it runs
	Input, Output         string
	Error, Cause          string
	RedriveCount          int
	Redriven              time.Time // zero if it never was
	// NotRedrivable says why it cannot be redriven; "" if it can.
	NotRedrivable string
}

// Machine is what the API tells about a state machine.
type Machine struct {
	ARN, Name, Definition, RoleARN string
	Created                        time.Time
}

func isCode(err error, code Code) bool {
	refusal, ok := errors.AsType[*Error](err)
	return ok && refusal.Code == code
}

func (e *Engine) describe(r record) Execution {
	return Execution{
		ARN: e.executionARN(r.key()), MachineARN: e.MachineARN(r.Machine), Name: r.Name, Status: r.Status,
		Started: r.Started, Stopped: r.Stopped, Input: r.Input, Output: r.Output, Error: r.Error, Cause: r.Cause,
		RedriveCount: r.RedriveCount, Redriven: r.Redriven, NotRedrivable: r.notRedrivable(e.cfg.Now()),
	}
}

// Describe returns an execution as it stands in the journal.
func (e *Engine) Describe(arn string) (Execution, error) {
	k, err := e.executionKey(arn)
	if err != nil {
		return Execution{}, err
	}
	rec, err := e.record(k)
	if err != nil {
		return Execution{}, err
	}
	return e.describe(rec), nil
}

// Machines are the state machines in the order of their names.
func (e *Engine) Machines() []Machine {
	var all []Machine
	for _, name := range slices.Sorted(maps.Keys(e.cfg.Machines)) {
		all = append(all, e.machine(name, e.cfg.Machines[name].Source))
	}
	return all
}

func (e *Engine) machine(name, source string) Machine {
	return Machine{ARN: e.MachineARN(name), Name: name, Definition: source, RoleARN: e.cfg.RoleARN, Created: e.created}
}

// DescribeMachine returns a state machine.
func (e *Engine) DescribeMachine(arn string) (Machine, error) {
	name, err := e.machineName(arn)
	if err != nil {
		return Machine{}, err
	}
	return e.machine(name, e.cfg.Machines[name].Source), nil
}

// MachineForExecution returns the state machine with the definition that an execution runs.
func (e *Engine) MachineForExecution(arn string) (Machine, error) {
	k, err := e.executionKey(arn)
	if err != nil {
		return Machine{}, err
	}
	rec, err := e.record(k)
	if err != nil {
		return Machine{}, err
	}
	source, err := e.cfg.Journal.Get(journal.Key{Part: partDefinition, Sort: rec.Definition})
	return e.machine(k.machine, string(source)), err
}

// Page says which part of a list is asked for.
type Page struct {
	// Limit is how many; 0 is 100, which is also the default of the service.
	Limit int
	// Token is the Next of the page before; "" begins.
	Token   string
	Reverse bool
}

// maxPage is the largest page that the service gives out.
const maxPage = 1000

// read collects a page of a part of the journal; next is its token, "" after the last page.
func (e *Engine) read(part string, page Page, take func(value []byte) (bool, error)) (next string, err error) {
	limit := page.Limit
	if limit == 0 {
		limit = 100
	}
	if limit < 0 || limit > maxPage {
		return "", refuse(ValidationException, "maxResults is not from 0 to %d", maxPage)
	}
	from, err := base64.RawURLEncoding.DecodeString(page.Token)
	if err != nil || strings.ContainsRune(string(from), 0) {
		return "", refuse(InvalidToken, "Invalid Token: 'Invalid token'")
	}
	taken, last := 0, ""
	var takeErr error
	err = e.cfg.Journal.Scan(part, string(from), page.Reverse, func(sort string, value []byte) bool {
		if taken == limit {
			next = base64.RawURLEncoding.EncodeToString([]byte(last))
			return false
		}
		ok, err := take(value)
		if ok {
			taken++
		}
		last, takeErr = sort, err
		return err == nil
	})
	return next, errors.Join(err, takeErr)
}

// List returns a machine's executions, the youngest first; an empty status is any. Inputs,
// outputs and errors are left out.
func (e *Engine) List(machineARN string, status Status, page Page) ([]Execution, string, error) {
	name, err := e.machineName(machineARN)
	if err != nil {
		return nil, "", err
	}
	page.Reverse = true
	list := []Execution{}
	next, err := e.read(partStarted(name), page, func(value []byte) (bool, error) {
		var r record
		if err := decode(value, &r); err != nil {
			return false, err
		}
		if status != "" && status != r.Status {
			return false, nil
		}
		list = append(list, e.describe(r))
		return true, nil
	})
	return list, next, err
}

// History returns a page of an execution's events.
func (e *Engine) History(arn string, page Page) ([]Event, string, error) {
	if _, err := e.Describe(arn); err != nil {
		return nil, "", err
	}
	k, err := e.executionKey(arn)
	if err != nil {
		return nil, "", err
	}
	events := []Event{}
	next, err := e.read(partHistory(k), page, func(value []byte) (bool, error) {
		var ev Event
		err := decode(value, &ev)
		events = append(events, ev)
		return true, err
	})
	return events, next, err
}

// Validate says what is wrong with a definition; nil is nothing.
func Validate(definition string) error {
	_, err := asl.Parse("definition", []byte(definition))
	return err
}
