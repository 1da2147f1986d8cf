package statestest

import (
	"context"
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"latchkey/local/states/engine"
)

// ExecuteOn executes a definition on a Step Functions made elsewhere, in earnest, until it has ended or ctx has. Of the
// result, Status, Path, Output, Error and Cause are known.
func ExecuteOn(ctx context.Context, endpoint, definition, input string) (Result, error) {
	client := stepFunctions(endpoint)
	machine, err := client.CreateStateMachine(ctx, &sfn.CreateStateMachineInput{
		Name: aws.String("machine-" + rand.Text()), Definition: &definition, RoleArn: aws.String("arn:aws:iam::123456789012:role/workflows"),
	})
	if err != nil {
		return Result{}, err
	}
	x, err := client.StartExecution(ctx, &sfn.StartExecutionInput{StateMachineArn: machine.StateMachineArn, Input: &input})
	if err != nil {
		return Result{}, err
	}
	const interval = time.Second
	end, err := client.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: x.ExecutionArn})
	for err == nil && end.Status == types.ExecutionStatusRunning {
		time.Sleep(interval)
		end, err = client.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: x.ExecutionArn})
	}
	if err != nil {
		return Result{}, err
	}
	path, err := Entered(ctx, client, aws.ToString(x.ExecutionArn))
	return Result{
		Status: engine.Status(end.Status), Path: path,
		Output: aws.ToString(end.Output), Error: aws.ToString(end.Error), Cause: aws.ToString(end.Cause),
	}, err
}

// Entered are the states that an execution has entered so far.
func Entered(ctx context.Context, client *sfn.Client, executionARN string) ([]string, error) {
	path := []string{}
	pages := sfn.NewGetExecutionHistoryPaginator(client, &sfn.GetExecutionHistoryInput{ExecutionArn: &executionARN, MaxResults: 1000})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, event := range page.Events {
			if d := event.StateEnteredEventDetails; d != nil && strings.HasSuffix(string(event.Type), "StateEntered") {
				path = append(path, aws.ToString(d.Name))
			}
		}
	}
	return path, nil
}

// stepFunctions is a client for an account of its own: moto copies all that an account has when an execution is
// started, and fails where another one was.
func stepFunctions(endpoint string) *sfn.Client {
	account := fmt.Sprintf("%012d", mathrand.Int64N(1e12)) //nolint:gosec // G404: no secret
	return sfn.New(sfn.Options{
		Region: "us-east-1", BaseEndpoint: &endpoint,
		Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", ""),
		APIOptions:  []func(*middleware.Stack) error{smithyhttp.AddHeaderValue("X-Moto-Account-Id", account)},
	})
}
