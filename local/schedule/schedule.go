// Package schedule runs the schedules of the template on one machine, as EventBridge Scheduler
// does when they are deployed.
//
// Its invariant: what it cannot run as it would be deployed it refuses to read. What came due
// while it did not run is not made up for; a schedule only says when to look, and the data say
// what is due.
package schedule

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"latchkey/local/template"
)

// Schedule is one event of type ScheduleV2.
type Schedule struct {
	// Name is the function's logical id and the event's name: "OperatorFunction/Purge".
	Name string
	// Function is the logical id of what is invoked.
	Function   string
	Expression Expression
	// Input is the JSON that it is invoked with.
	Input []byte
}

// eventType is the type of the events that Read reads.
const eventType = "ScheduleV2"

// understood are the properties that Read acts on, or that change nothing on one machine.
var understood = []string{
	"Description", "FlexibleTimeWindow", "Input", "Name", "RetryPolicy", "RoleArn", "ScheduleExpression", "State",
}

// properties are the properties that are read here.
type properties struct {
	FlexibleTimeWindow struct {
		Mode                   string
		MaximumWindowInMinutes int
	}
	Input              string
	ScheduleExpression string
	State              string
}

// Read reads the schedules of a template that are enabled.
func Read(t *template.Template) ([]Schedule, error) {
	functions, err := t.Functions()
	if err != nil {
		return nil, err
	}
	var schedules []Schedule
	for _, f := range functions {
		for _, e := range f.Events {
			if e.Type != eventType {
				continue
			}
			s := Schedule{Name: f.ID + "/" + e.Name, Function: f.ID}
			enabled, err := s.read(e)
			if err != nil {
				return nil, fmt.Errorf("schedule: %s: %w", s.Name, err)
			}
			if enabled {
				schedules = append(schedules, s)
			}
		}
	}
	return schedules, nil
}

func (s *Schedule) read(e template.Event) (enabled bool, err error) {
	for name := range e.Properties {
		if !slices.Contains(understood, name) {
			return false, fmt.Errorf("the property %s is not known here", name)
		}
	}
	var p properties
	if err := e.Decode(&p); err != nil {
		return false, err
	}
	// A window spreads invocations behind the instant; here they are all at its beginning.
	w := p.FlexibleTimeWindow
	if w.Mode != "OFF" && (w.Mode != "FLEXIBLE" || w.MaximumWindowInMinutes < 1 || w.MaximumWindowInMinutes > 24*60) {
		return false, errors.New("FlexibleTimeWindow is neither OFF nor FLEXIBLE with 1 to 1440 minutes")
	}
	if p.State != "" && p.State != "ENABLED" && p.State != "DISABLED" {
		return false, fmt.Errorf("there is no state %s", p.State)
	}
	if !json.Valid([]byte(p.Input)) {
		return false, errors.New("the input is no JSON")
	}
	s.Input = []byte(p.Input)
	s.Expression, err = Parse(p.ScheduleExpression)
	return p.State != "DISABLED", err
}
