// Package awssfn starts workflows with AWS Step Functions.
//
// Its invariant: a start that was acknowledged happened exactly once, however often it is asked
// for. Functions' assemblies import it.
package awssfn

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"latchkey/shared/workflow"
)

// Client is the part of the Step Functions client that starts executions and looks at them.
type Client interface {
	StartExecution(ctx context.Context, in *sfn.StartExecutionInput, optFns ...func(*sfn.Options)) (*sfn.StartExecutionOutput, error)
	DescribeExecution(ctx context.Context, in *sfn.DescribeExecutionInput, optFns ...func(*sfn.Options)) (*sfn.DescribeExecutionOutput, error)
}

var _ Client = (*sfn.Client)(nil)

// Starter starts executions. It is safe for concurrent use.
type Starter struct {
	client Client
	arns   map[workflow.Kind]string
}

// NewStarter returns a starter for the state machines whose ARNs it is given.
func NewStarter(client Client, arns map[workflow.Kind]string) *Starter {
	return &Starter{client: client, arns: arns}
}

// Start starts an execution. One that was started before under the same name, whether it is
// running or has ended, counts as started.
func (s *Starter) Start(ctx context.Context, x workflow.Execution) error {
	_, err := s.start(ctx, x)
	return err
}

// start starts an execution and returns its ARN if Step Functions has one of this name that may
// have ended. The same name with the same input is the same execution while that runs, so an
// execution that is going on costs one call.
func (s *Starter) start(ctx context.Context, x workflow.Execution) (existing string, err error) {
	name, err := x.Name()
	if err != nil {
		return "", err
	}
	arn, ok := s.arns[x.Kind]
	if !ok {
		return "", fmt.Errorf("awssfn: the ARN of %s is not configured", x.Kind)
	}
	input, err := json.Marshal(x.Input)
	if err != nil {
		return "", fmt.Errorf("awssfn: encode the input of %s: %w", name, err)
	}
	_, err = s.client.StartExecution(ctx, &sfn.StartExecutionInput{
		StateMachineArn: aws.String(arn), Name: aws.String(name), Input: aws.String(string(input)),
	})
	if _, exists := errors.AsType[*types.ExecutionAlreadyExists](err); exists {
		return strings.Replace(arn, ":stateMachine:", ":execution:", 1) + ":" + name, nil
	}
	if err != nil {
		return "", fmt.Errorf("awssfn: start %s: %w", name, err)
	}
	return "", nil
}

// Ensure starts an execution, unless one was started before under the same name, and reports
// whether that one has ended.
func (s *Starter) Ensure(ctx context.Context, x workflow.Execution) (ended bool, err error) {
	arn, err := s.start(ctx, x)
	if err != nil || arn == "" {
		return false, err
	}
	// Almost always it has ended. It may also be running with another input, as an earlier release
	// of the suite made it.
	out, err := s.client.DescribeExecution(ctx, &sfn.DescribeExecutionInput{
		ExecutionArn: aws.String(arn), IncludedData: types.IncludedDataMetadataOnly,
	})
	if err != nil {
		return false, fmt.Errorf("awssfn: describe %s: %w", arn, err)
	}
	return out.Status != types.ExecutionStatusRunning && out.Status != types.ExecutionStatusPendingRedrive, nil
}
