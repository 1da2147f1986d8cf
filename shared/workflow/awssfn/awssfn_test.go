package awssfn_test

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"latchkey/local/pocket"
	"latchkey/local/states/asl"
	"latchkey/local/states/engine"
	"latchkey/local/states/journal"
	"latchkey/local/states/sfnapi"
	"latchkey/local/states/statestest"
	"latchkey/shared/workflow"
	"latchkey/shared/workflow/awssfn"
)

const group = "5f1a0c8e9b3d4f2a6c7e8d90"

type client struct {
	in  *sfn.StartExecutionInput
	err error

	described string
	status    types.ExecutionStatus
}

func (c *client) DescribeExecution(_ context.Context, in *sfn.DescribeExecutionInput, _ ...func(*sfn.Options)) (*sfn.DescribeExecutionOutput, error) {
	c.described = aws.ToString(in.ExecutionArn)
	return &sfn.DescribeExecutionOutput{Status: c.status}, nil
}

func (c *client) StartExecution(_ context.Context, in *sfn.StartExecutionInput, _ ...func(*sfn.Options)) (*sfn.StartExecutionOutput, error) {
	c.in = in
	return &sfn.StartExecutionOutput{}, c.err
}

func TestStart(t *testing.T) {
	x := workflow.Execution{Kind: workflow.SwitchRole, GroupID: group, Subject: "AZURE", Version: []int64{3}, Input: map[string]string{"groupId": group}}
	arns := map[workflow.Kind]string{workflow.SwitchRole: "arn:switch-role"}

	t.Run("an execution that exists counts as started", func(t *testing.T) {
		c := &client{err: &types.ExecutionAlreadyExists{}}
		if err := awssfn.NewStarter(c, arns).Start(t.Context(), x); err != nil {
			t.Error(err)
		}
		if aws.ToString(c.in.Name) != "switch-role-"+group+"-AZURE-3" || aws.ToString(c.in.StateMachineArn) != "arn:switch-role" ||
			aws.ToString(c.in.Input) != `{"groupId":"`+group+`"}` {
			t.Errorf("sent %v %v %v", *c.in.Name, *c.in.StateMachineArn, *c.in.Input)
		}
	})
	t.Run("any other refusal is reported", func(t *testing.T) {
		c := &client{err: &types.StateMachineDoesNotExist{}}
		err := awssfn.NewStarter(c, arns).Start(t.Context(), x)
		if _, ok := errors.AsType[*types.StateMachineDoesNotExist](err); !ok {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a state machine that is not configured is reported", func(t *testing.T) {
		c := &client{}
		if err := awssfn.NewStarter(c, nil).Start(t.Context(), x); err == nil || c.in != nil {
			t.Errorf("got %v, sent %v", err, c.in)
		}
	})
}

func TestEnsure(t *testing.T) {
	x := workflow.Execution{Kind: workflow.SwitchRole, GroupID: group, Subject: "AZURE", Version: []int64{3}}
	arns := map[workflow.Kind]string{workflow.SwitchRole: "arn:aws:states:us-east-1:123456789012:stateMachine:Switch"}
	tests := map[string]struct {
		client    client
		wantEnded bool
		wantAsked bool
	}{
		"one that is started, or runs, costs one call":   {},
		"one that has succeeded has ended":               {client: client{err: &types.ExecutionAlreadyExists{}, status: types.ExecutionStatusSucceeded}, wantEnded: true, wantAsked: true},
		"one that has failed has ended":                  {client: client{err: &types.ExecutionAlreadyExists{}, status: types.ExecutionStatusFailed}, wantEnded: true, wantAsked: true},
		"one that runs with another input has not ended": {client: client{err: &types.ExecutionAlreadyExists{}, status: types.ExecutionStatusRunning}, wantAsked: true},
		"one that is about to be redriven has not ended": {client: client{err: &types.ExecutionAlreadyExists{}, status: types.ExecutionStatusPendingRedrive}, wantAsked: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			ended, err := awssfn.NewStarter(&tt.client, arns).Ensure(t.Context(), x)
			if err != nil || ended != tt.wantEnded {
				t.Errorf("ended = %t, %v", ended, err)
			}
			want := ""
			if tt.wantAsked {
				want = "arn:aws:states:us-east-1:123456789012:execution:Switch:switch-role-" + group + "-AZURE-3"
			}
			if tt.client.described != want {
				t.Errorf("asked about %q, want %q", tt.client.described, want)
			}
		})
	}
	t.Run("a refusal says nothing", func(t *testing.T) {
		if ended, err := awssfn.NewStarter(&client{err: &types.StateMachineDoesNotExist{}}, arns).Ensure(t.Context(), x); ended || err == nil {
			t.Errorf("ended = %t, %v", ended, err)
		}
	})
}

func TestStart_is_harmless_when_repeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := slog.New(slog.DiscardHandler)
		e := engine.New(engine.Config{
			Journal: journal.Memory(), Invoke: statestest.Invoker(nil), Now: time.Now, Rand: rand.NewPCG(1, 2), Log: log,
			Machines: map[string]*asl.Machine{
				"switch-role": statestest.Parse(t, "x", `{"StartAt": "A", "States": {"A": {"Type": "Wait", "Seconds": 60, "End": true}}}`),
			},
		})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- e.Run(ctx) }()
		client := sfn.New(sfn.Options{
			Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", ""),
			HTTPClient: &http.Client{Transport: pocket.Transport(sfnapi.Handler(e, log))},
		})
		s := awssfn.NewStarter(client, map[workflow.Kind]string{workflow.SwitchRole: e.MachineARN("switch-role")})
		x := workflow.Execution{Kind: workflow.SwitchRole, GroupID: group, Subject: "AZURE", Version: []int64{3}, Input: map[string]string{"groupId": group}}
		begin := time.Now()
		for range 3 { // while it runs, and after its end
			if err := s.Start(ctx, x); err != nil {
				t.Error(err)
			}
			if ended, err := s.Ensure(ctx, x); err != nil || ended != (time.Since(begin) > time.Minute) {
				t.Errorf("after %s it has ended: %t, %v", time.Since(begin), ended, err)
			}
			time.Sleep(40 * time.Second)
		}
		x.Input = map[string]string{"groupId": group, "attempt": "2"}
		if err := s.Start(ctx, x); err != nil {
			t.Error(err)
		}
		list, _, err := e.List(e.MachineARN("switch-role"), "", engine.Page{})
		if err != nil || len(list) != 1 {
			t.Errorf("%d executions, %v", len(list), err)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
