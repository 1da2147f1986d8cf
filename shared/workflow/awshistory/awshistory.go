// Package awshistory reads what executions of AWS Step Functions went through.
//
// Its invariant: of an execution it returns names of states, codes and times, and nothing that it was told
// or has answered. What has ended changes only where an operator redrives it, so it is hardly ever read again;
// what runs, every few seconds at most, since all tenants share the account's quota.
package awshistory

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"latchkey/shared/workflow"
)

// Client is the part of the Step Functions client that looks at executions.
type Client interface {
	DescribeExecution(ctx context.Context, in *sfn.DescribeExecutionInput, optFns ...func(*sfn.Options)) (*sfn.DescribeExecutionOutput, error)
	GetExecutionHistory(ctx context.Context, in *sfn.GetExecutionHistoryInput, optFns ...func(*sfn.Options)) (*sfn.GetExecutionHistoryOutput, error)
}

var _ Client = (*sfn.Client)(nil)

const (
	// maxEvents bounds what is read of a history, from its end, in pages of pageEvents: about 40 steps.
	maxEvents  = 200
	pageEvents = 100
	// freshFor is how long what was read of an execution that runs is good for, endedFor that of one that has ended.
	freshFor = 5 * time.Second
	endedFor = 10 * time.Minute
	// maxKept bounds how many executions are remembered. Each costs some kilobytes.
	maxKept = 500
)

// Reader reads executions. It is safe for concurrent use.
type Reader struct {
	client Client
	arns   map[workflow.Kind]string
	now    func() time.Time

	mu   sync.Mutex
	kept map[string]reading
}

// reading is what was read of an execution, and when.
type reading struct {
	run workflow.Run
	err error
	at  time.Time
}

// NewReader returns a reader of the executions of the state machines whose ARNs it is given.
func NewReader(client Client, arns map[workflow.Kind]string, now func() time.Time) *Reader {
	return &Reader{client: client, arns: arns, now: now, kept: map[string]reading{}}
}

// Read reads what an execution went through lately. It returns workflow.ErrNoExecution if there is none.
func (r *Reader) Read(ctx context.Context, x workflow.Execution) (workflow.Run, error) {
	name, err := x.Name()
	if err != nil {
		return workflow.Run{}, err
	}
	machine, ok := r.arns[x.Kind]
	if !ok {
		return workflow.Run{}, fmt.Errorf("awshistory: the ARN of %s is not configured", x.Kind)
	}
	if known, ok := r.known(name); ok {
		return known.run, known.err
	}
	run, err := r.read(ctx, strings.Replace(machine, ":stateMachine:", ":execution:", 1)+":"+name)
	if err == nil || errors.Is(err, workflow.ErrNoExecution) {
		r.keep(name, reading{run, err, r.now()})
	}
	return run, err
}

func (r *Reader) known(name string) (reading, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k, ok := r.kept[name]
	good := freshFor
	if !k.run.Stopped.IsZero() {
		good = endedFor
	}
	return k, ok && r.now().Sub(k.at) < good
}

func (r *Reader) keep(name string, k reading) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.kept) >= maxKept {
		clear(r.kept) // rare enough to begin anew
	}
	r.kept[name] = k
}

func (r *Reader) read(ctx context.Context, arn string) (workflow.Run, error) {
	out, err := r.client.DescribeExecution(ctx, &sfn.DescribeExecutionInput{
		ExecutionArn: aws.String(arn), IncludedData: types.IncludedDataMetadataOnly,
	})
	if _, missing := errors.AsType[*types.ExecutionDoesNotExist](err); missing {
		return workflow.Run{}, workflow.ErrNoExecution
	}
	if err != nil {
		return workflow.Run{}, fmt.Errorf("awshistory: describe %s: %w", arn, err)
	}
	run := workflow.Run{
		Status: workflow.Status(out.Status), Started: aws.ToTime(out.StartDate).UTC(), Error: code(aws.ToString(out.Error)),
	}
	if out.StopDate != nil {
		run.Stopped = out.StopDate.UTC()
	}
	events, isCut, err := r.events(ctx, arn)
	if err != nil {
		return workflow.Run{}, err
	}
	run.Steps, run.IsCut = steps(events), isCut
	return run, nil
}

// events reads the end of a history, oldest first.
func (r *Reader) events(ctx context.Context, arn string) (events []types.HistoryEvent, isCut bool, err error) {
	in := &sfn.GetExecutionHistoryInput{
		ExecutionArn: aws.String(arn), ReverseOrder: true, MaxResults: pageEvents, IncludeExecutionData: aws.Bool(false),
	}
	for {
		out, err := r.client.GetExecutionHistory(ctx, in)
		if err != nil {
			return nil, false, fmt.Errorf("awshistory: read the history of %s: %w", arn, err)
		}
		events = append(events, out.Events...)
		if in.NextToken = out.NextToken; in.NextToken == nil || len(events) >= maxEvents {
			slices.Reverse(events)
			return events, in.NextToken != nil, nil
		}
	}
}

// steps are the states that events tell of. It is pure. What comes before the first that is entered
// belongs to one that was cut off. The machines of this suite are in one state at a time.
func steps(events []types.HistoryEvent) []workflow.Step {
	var all []workflow.Step
	for _, e := range events {
		if entered := e.StateEnteredEventDetails; entered != nil {
			all = append(all, workflow.Step{State: aws.ToString(entered.Name), Entered: aws.ToTime(e.Timestamp).UTC()})
			continue
		}
		if len(all) == 0 {
			continue
		}
		last := &all[len(all)-1]
		switch e.Type {
		case types.HistoryEventTypeTaskScheduled, types.HistoryEventTypeLambdaFunctionScheduled:
			last.Attempts++
		default:
			if e.StateExitedEventDetails != nil {
				last.Exited = aws.ToTime(e.Timestamp).UTC()
			} else if failed := failureOf(e); failed != "" {
				last.Error = failed
			}
		}
	}
	return all
}

// failureOf is the code of a task that failed, "" for other events. Only codes are taken: a cause may hold what a
// function has answered.
func failureOf(e types.HistoryEvent) string {
	var said *string
	switch {
	case e.TaskFailedEventDetails != nil:
		said = e.TaskFailedEventDetails.Error
	case e.TaskTimedOutEventDetails != nil:
		said = e.TaskTimedOutEventDetails.Error
	case e.TaskStartFailedEventDetails != nil:
		said = e.TaskStartFailedEventDetails.Error
	case e.TaskSubmitFailedEventDetails != nil:
		said = e.TaskSubmitFailedEventDetails.Error
	case e.LambdaFunctionFailedEventDetails != nil:
		said = e.LambdaFunctionFailedEventDetails.Error
	case e.LambdaFunctionTimedOutEventDetails != nil:
		said = e.LambdaFunctionTimedOutEventDetails.Error
	default:
		return ""
	}
	if c := code(aws.ToString(said)); c != "" {
		return c
	}
	return unnamed
}

// unnamed stands for an error that is no code.
const unnamed = "UNKNOWN"

// codeForm is compiled when it is first needed, by one operation of many.
var codeForm = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.]{0,79}$`) })

func code(said string) string {
	if said == "" || codeForm().MatchString(said) {
		return said
	}
	return unnamed
}
