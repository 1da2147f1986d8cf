package template

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// EventSourceType is the type of the resources that EventSources returns.
const EventSourceType = "AWS::Lambda::EventSourceMapping"

// EventSource is an event source mapping: it invokes a function with what is written to a table.
type EventSource struct {
	// ID is the logical id: "NotifyStream".
	ID string
	// Function and Table are logical ids.
	Function, Table string
	// StreamARN is that of the table's stream.
	StreamARN string
	Enabled   bool
	BatchSize int
	// Window is how long records are gathered for a batch.
	Window time.Duration
	// Lanes is how many batches are handled at once.
	Lanes int
	// Bisect has a batch that failed come again in halves.
	Bisect bool
	// Partial says that the function answers which records failed.
	Partial bool
	// MaxAge and MaxRetries are when records are given up; -1 is never.
	MaxAge     time.Duration
	MaxRetries int
	// Patterns are of the records that the function gets; all without any.
	Patterns []string
	// OnFailure is the ARN of the queue that is told of records that were given up; "" is none.
	OnFailure string
	// Line is where the mapping stands in the file.
	Line int
}

// eventSourceProperties are the properties of an event source mapping that are known here. Another
// one would make it something else than what runs on one machine.
type eventSourceProperties struct {
	FunctionName                   string
	EventSourceArn                 string
	StartingPosition               string
	Enabled                        *bool
	BatchSize                      *int
	MaximumBatchingWindowInSeconds int
	ParallelizationFactor          *int
	BisectBatchOnFunctionError     bool
	FunctionResponseTypes          []string
	MaximumRecordAgeInSeconds      *int
	MaximumRetryAttempts           *int
	FilterCriteria                 struct{ Filters []struct{ Pattern string } }
	DestinationConfig              struct{ OnFailure struct{ Destination string } }
	Tags                           any
}

// Lambda's defaults and limits for streams.
const (
	defaultBatch = 100
	maxBatch     = 10_000
	maxWindow    = 300
	maxLanes     = 10
	maxRetries   = 10_000
	minAge       = 60
	maxAge       = 604_800
	forever      = -1
)

// EventSources returns the template's event source mappings in the order of the file.
func (t *Template) EventSources() ([]EventSource, error) {
	var sources []EventSource
	for _, r := range t.OfType(EventSourceType) {
		s, err := t.eventSource(r)
		if err != nil {
			return nil, fmt.Errorf("template: line %d: %s: %w", r.Line, r.ID, err)
		}
		sources = append(sources, s)
	}
	return sources, nil
}

func (t *Template) eventSource(r Resource) (EventSource, error) {
	var p eventSourceProperties
	if err := convertStrictly(r.Properties, &p); err != nil {
		return EventSource{}, err
	}
	s := EventSource{
		ID: r.ID, Line: r.Line, Function: p.FunctionName, StreamARN: p.EventSourceArn, Enabled: p.Enabled == nil || *p.Enabled,
		BatchSize: or(p.BatchSize, defaultBatch), Window: time.Duration(p.MaximumBatchingWindowInSeconds) * time.Second,
		Lanes: or(p.ParallelizationFactor, 1), Bisect: p.BisectBatchOnFunctionError, Partial: len(p.FunctionResponseTypes) > 0,
		MaxAge: forever, MaxRetries: or(p.MaximumRetryAttempts, forever), OnFailure: p.DestinationConfig.OnFailure.Destination,
	}
	if age := or(p.MaximumRecordAgeInSeconds, forever); age != forever {
		s.MaxAge = time.Duration(age) * time.Second
	}
	for _, f := range p.FilterCriteria.Filters {
		s.Patterns = append(s.Patterns, f.Pattern)
	}
	if err := t.findStream(&s); err != nil {
		return s, err
	}
	return s, p.check(s)
}

// check refuses what Lambda would, and what runs otherwise here.
func (p eventSourceProperties) check(s EventSource) error {
	switch {
	case p.StartingPosition != "TRIM_HORIZON":
		return fmt.Errorf("the StartingPosition %q is not known here; TRIM_HORIZON is", p.StartingPosition)
	case len(p.FunctionResponseTypes) > 0 && !slices.Equal(p.FunctionResponseTypes, []string{"ReportBatchItemFailures"}):
		return errors.New("of FunctionResponseTypes there is ReportBatchItemFailures only")
	case s.BatchSize < 1 || s.BatchSize > maxBatch:
		return errors.New("a BatchSize is 1 to 10000")
	case p.MaximumBatchingWindowInSeconds < 0 || p.MaximumBatchingWindowInSeconds > maxWindow:
		return errors.New("a MaximumBatchingWindowInSeconds is 0 to 300")
	case s.Lanes < 1 || s.Lanes > maxLanes:
		return errors.New("a ParallelizationFactor is 1 to 10")
	case s.MaxRetries < forever || s.MaxRetries > maxRetries:
		return errors.New("MaximumRetryAttempts is -1 to 10000")
	}
	if age := or(p.MaximumRecordAgeInSeconds, forever); age != forever && (age < minAge || age > maxAge) {
		return errors.New("a MaximumRecordAgeInSeconds is -1, or 60 to 604800")
	}
	return nil
}

// findStream finds the table whose stream it is, which must show what is stored.
func (t *Template) findStream(s *EventSource) error {
	if _, ok := t.Resource(s.Function); !ok {
		return fmt.Errorf("there is no function %s", s.Function)
	}
	for _, table := range t.OfType("AWS::DynamoDB::Table") {
		var p struct {
			StreamSpecification *struct{ StreamViewType string }
		}
		if err := table.Decode(&p); err != nil {
			return err
		}
		if !strings.Contains(s.StreamARN, ":table/"+table.ID+"/stream/") {
			continue
		}
		if p.StreamSpecification == nil || p.StreamSpecification.StreamViewType != "NEW_IMAGE" {
			return fmt.Errorf("the stream of %s is not known here; one with NEW_IMAGE is", table.ID)
		}
		s.Table = table.ID
		return nil
	}
	return fmt.Errorf("%s is not the stream of a table of the template", s.StreamARN)
}

func or(value *int, otherwise int) int {
	if value == nil {
		return otherwise
	}
	return *value
}

// convertStrictly is convert for properties that are all known.
func convertStrictly(plain, typed any) error {
	data, err := json.Marshal(plain)
	if err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	return dec.Decode(typed)
}
