package main

import (
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"latchkey/local/pocket"
	"latchkey/local/states/sfnapi"
	"latchkey/shared/workflow"
)

// steps is the operator's Step Functions client.
func (e *estate) steps() *sfn.Client {
	return sfn.New(sfn.Options{
		Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("any", "any", ""),
		HTTPClient: &http.Client{Transport: pocket.Transport(sfnapi.Handler(e.suite.workflows.Engine, slog.New(slog.DiscardHandler)))},
	})
}

// executions lists a workflow's executions of a status by name, a page of one at a time.
func (e *estate) executions(kind workflow.Kind, status types.ExecutionStatus) map[string]string {
	e.t.Helper()
	all := map[string]string{}
	pages := sfn.NewListExecutionsPaginator(e.steps(), &sfn.ListExecutionsInput{
		StateMachineArn: aws.String(e.suite.workflows.Engine.MachineARN("latchkey-" + string(kind))), StatusFilter: status, MaxResults: 1,
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(e.t.Context())
		e.must(err)
		for _, x := range page.Executions {
			all[*x.Name] = *x.ExecutionArn
		}
	}
	return all
}

// A plan waits for nodes that do not answer. The operator stops its execution and says why; the schedule carries the
// plan on. What is redriven after that finds out that another attempt acts, and does nothing.
func TestAnOperatorStopsAPlan(t *testing.T) {
	inEstate(t, func(e *estate) {
		e.create("A", "NONE")
		e.wrote("A", 40)
		e.net.Down(true)
		e.turn("AWS")
		var name, arn string
		e.until("an execution waits", func() bool {
			for name, arn = range e.executions(workflow.EncryptCluster, types.ExecutionStatusRunning) {
				return true
			}
			return false
		})
		if !strings.HasSuffix(name, "_1") || !strings.Contains(name, e.deployment("A").ID) {
			t.Errorf("the execution is %s", name)
		}
		time.Sleep(time.Minute)
		_, err := e.steps().StopExecution(e.t.Context(), &sfn.StopExecutionInput{
			ExecutionArn: &arn, Error: aws.String("OPERATOR"), Cause: aws.String("ticket 4711"),
		})
		e.must(err)
		x, err := e.steps().DescribeExecution(e.t.Context(), &sfn.DescribeExecutionInput{ExecutionArn: &arn})
		e.must(err)
		if x.Status != types.ExecutionStatusAborted || *x.Error != "OPERATOR" || *x.Cause != "ticket 4711" || x.RedriveStatus != types.ExecutionRedriveStatusRedrivable {
			t.Errorf("the execution is %s: %s, %s, %s", x.Status, *x.Error, *x.Cause, x.RedriveStatus)
		}
		if e.state("A") != "UPDATING" {
			t.Errorf("the cluster is %s", e.state("A"))
		}
		took := e.until("the next attempt runs", func() bool {
			return len(e.executions(workflow.EncryptCluster, types.ExecutionStatusRunning)) == 1
		})
		if took > 5*time.Minute+time.Second {
			t.Errorf("the plan stood still for %v", took)
		}
		_, err = e.steps().RedriveExecution(e.t.Context(), &sfn.RedriveExecutionInput{ExecutionArn: &arn})
		e.must(err)
		e.until("the redriven one ends", func() bool {
			return slices.Contains(slices.Collect(maps.Values(e.executions(workflow.EncryptCluster, types.ExecutionStatusSucceeded))), arn)
		})
		if got := e.executions(workflow.EncryptCluster, types.ExecutionStatusRunning); len(got) != 1 {
			t.Errorf("running are %q", got)
		}
		e.net.Down(false)
		e.idle("A")
		if e.inTheClear("A") {
			t.Error("the plan did not get on")
		}
	})
}
