package statescloud_test

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/smithy-go"

	"latchkey/local/pocket"
	"latchkey/local/pocket/awscloud"
	"latchkey/local/pocket/awscloud/awssdk"
	"latchkey/local/pocket/statescloud"
	"latchkey/local/states/asl"
	"latchkey/local/states/engine"
	"latchkey/local/states/journal"
	"latchkey/local/states/sfnapi"
	"latchkey/local/states/statestest"
)

const (
	account  = "123456789012"
	machines = "arn:aws:states:us-east-1:" + account + ":stateMachine:"
	started  = "arn:aws:states:us-east-1:" + account + ":execution:one:x"
)

var (
	root     = awscloud.Keys{AccessKeyID: "AKIAROOT", SecretAccessKey: "root-secret"}
	limited  = awscloud.Keys{AccessKeyID: "AKIALIMITED", SecretAccessKey: "limited-secret"}
	stranger = awscloud.Keys{AccessKeyID: "AKIASTRANGER", SecretAccessKey: "strange-secret"}
)

// clients are what callers with keys of the account and of another reach a Step Functions with,
// which has the state machines "one" and "two" and an execution of "one".
func clients(t *testing.T, policy string) func(awscloud.Keys) *sfn.Client {
	t.Helper()
	cloud, err := awscloud.New(pocket.Memory(), awscloud.Config{Now: time.Now, Accounts: []awscloud.Account{
		{ID: account, Root: root, Users: []awscloud.User{{Name: "u", Keys: []awscloud.Keys{limited}, Policies: map[string]string{"p": policy}}}},
		{ID: "111122223333", Root: stranger},
	}})
	if err != nil {
		t.Fatal(err)
	}
	machine := statestest.Parse(t, "x", `{"StartAt": "A", "States": {"A": {"Type": "Wait", "Seconds": 60, "End": true}}}`)
	log := slog.New(slog.DiscardHandler)
	e := engine.New(engine.Config{
		Journal: journal.Memory(), Invoke: statestest.Invoker(nil), Now: time.Now, Rand: rand.NewPCG(1, 2), Log: log,
		Machines: map[string]*asl.Machine{"one": machine, "two": machine},
	})
	if _, err := e.Start(t.Context(), machines+"one", "x", "{}"); err != nil {
		t.Fatal(err)
	}
	transport := pocket.Transport(pocket.New(&pocket.Faults{}, awscloud.Alias, statescloud.New(sfnapi.New(e, log), account, cloud)))
	return func(keys awscloud.Keys) *sfn.Client {
		return sfn.NewFromConfig(awssdk.Config(transport, "us-east-1", keys), func(o *sfn.Options) { o.RetryMaxAttempts = 1 })
	}
}

func code(err error) string {
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		return e.ErrorCode()
	}
	return fmt.Sprint(err)
}

func TestCallersDoWhatTheirPoliciesAllow(t *testing.T) {
	as := clients(t, `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":"states:StartExecution","Resource":"`+machines+`one"},
		{"Effect":"Allow","Action":"states:DescribeExecution","Resource":"arn:aws:states:us-east-1:`+account+`:execution:one:*"}]}`)
	ctx := t.Context()
	start := func(name string) func(*sfn.Client) error {
		return func(c *sfn.Client) error {
			_, err := c.StartExecution(ctx, &sfn.StartExecutionInput{StateMachineArn: aws.String(machines + name), Name: aws.String("y")})
			return err
		}
	}
	describe := func(c *sfn.Client) error {
		out, err := c.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: aws.String(started)})
		if err == nil && aws.ToString(out.Name) != "x" {
			t.Errorf("described %+v", out)
		}
		return err
	}
	list := func(c *sfn.Client) error {
		_, err := c.ListStateMachines(ctx, &sfn.ListStateMachinesInput{})
		return err
	}
	stop := func(c *sfn.Client) error {
		_, err := c.StopExecution(ctx, &sfn.StopExecutionInput{ExecutionArn: aws.String(started + "-none")})
		return err
	}
	const denied = "AccessDeniedException"
	for name, tt := range map[string]struct {
		call                          func(*sfn.Client) error
		byRoot, byLimited, byStranger string
	}{
		"start what is allowed":    {start("one"), "<nil>", "<nil>", denied},
		"start another":            {start("two"), "<nil>", denied, denied},
		"start what there is not":  {start("three"), "StateMachineDoesNotExist", denied, denied},
		"describe what is allowed": {describe, "<nil>", "<nil>", denied},
		"list":                     {list, "<nil>", denied, denied},
		"stop":                     {stop, "ExecutionDoesNotExist", denied, denied},
	} {
		t.Run(name, func(t *testing.T) {
			got := [3]string{code(tt.call(as(root))), code(tt.call(as(limited))), code(tt.call(as(stranger)))}
			if want := [3]string{tt.byRoot, tt.byLimited, tt.byStranger}; got != want {
				t.Errorf("root, limited and stranger: %q, want %q", got, want)
			}
			wrong := root
			wrong.SecretAccessKey = "guessed"
			if got := code(tt.call(as(wrong))); got != "InvalidSignatureException" {
				t.Errorf("a forged signature: %s", got)
			}
		})
	}
}
