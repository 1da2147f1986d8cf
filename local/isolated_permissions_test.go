package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"latchkey/local/pocket/awscloud/awssdk"
	"latchkey/local/stack"
	"latchkey/local/template"
)

// attempt is a test that may fail.
type attempt struct {
	testing.TB
	failure string
}

func (a *attempt) Fatal(args ...any)                 { a.fail(fmt.Sprint(args...)) }
func (a *attempt) Fatalf(format string, args ...any) { a.fail(fmt.Sprintf(format, args...)) }
func (a *attempt) Error(args ...any)                 { a.fail(fmt.Sprint(args...)) }
func (a *attempt) Errorf(format string, args ...any) { a.fail(fmt.Sprintf(format, args...)) }

func (a *attempt) fail(why string) {
	a.failure = why
	panic(a)
}

// fails does what needs a permission of a function and tells why it failed, "" if it did not.
func (i *isolated) fails(function, action string) (why string) {
	a := &attempt{TB: i.t}
	i.t = a
	defer func() {
		i.t = a.TB
		if p := recover(); p != nil && p != a {
			panic(p)
		}
		why = a.failure
	}()
	if function == "networktasks" {
		i.endpoints()
	} else if function == "notify" {
		i.told()
	} else if function == "remind" {
		i.reminders()
	} else if action == "secretsmanager:GetSecretValue" {
		i.elsewhere()
	} else if strings.HasPrefix(action, "states:") || slices.Contains([]string{"fleettasks", "keytasks", "nodes", "validate"}, function) {
		i.estate()
	} else {
		i.journey()
	}
	return ""
}

// permit replaces the policy of a function's role.
func (i *isolated) permit(spec template.Function, statements []template.Statement) {
	i.t.Helper()
	roles := iam.NewFromConfig(awssdk.Config(i.clouds, stack.Region, i.suite.secrets.OperatorRoot))
	if len(statements) == 0 {
		_, err := roles.DeleteRolePolicy(i.t.Context(), &iam.DeleteRolePolicyInput{
			RoleName: aws.String(spec.FunctionName), PolicyName: aws.String(stack.FunctionPolicy),
		})
		i.must(err)
		return
	}
	policy, err := stack.Policy(statements)
	i.must(err)
	_, err = roles.PutRolePolicy(i.t.Context(), &iam.PutRolePolicyInput{
		RoleName: aws.String(spec.FunctionName), PolicyName: aws.String(stack.FunctionPolicy), PolicyDocument: &policy,
	})
	i.must(err)
}

// without are the statements with one action less.
func without(statements []template.Statement, sid, action string) []template.Statement {
	var rest []template.Statement
	for _, s := range statements {
		if s.Sid == sid {
			s.Action = slices.DeleteFunc(slices.Clone(s.Action), func(a string) bool { return a == action })
		}
		if len(s.Action) > 0 {
			rest = append(rest, s)
		}
	}
	return rest
}

// spare are permissions that nothing in the journey needs, with the reason why they are there.
var spare = map[string]string{
	"operator dynamodb:ConditionCheckItem": "no code of the operator's function checks an item today",
	"operator dynamodb:DeleteItem":         "it removes what a purge left that was cut short, and none is here",
	// Lambda does this in the function's name, and the stand-in for it asks nobody.
	"notify dynamodb:DescribeStream":   "Lambda reads the stream",
	"notify dynamodb:GetRecords":       "Lambda reads the stream",
	"notify dynamodb:GetShardIterator": "Lambda reads the stream",
	"notify dynamodb:ListStreams":      "Lambda reads the stream",
	"notify sqs:SendMessage":           "Lambda keeps what the function can't handle",
	"notify TellAlertTopic":            "text messages may go to any topic, see SendTextMessages",
}

func TestIsolated_the_functions_need_each_permission(t *testing.T) {
	_, specs, err := stack.Resolve(map[string]string{
		"AzureAppSecretArn":          "arn:aws:secretsmanager:us-east-1:123456789012:secret:azure-AbCdEf",
		"GoogleCredentialsSecretArn": "arn:aws:secretsmanager:us-east-1:123456789012:secret:google-AbCdEf",
	})
	if err != nil {
		t.Fatal(err)
	}
	for n, spec := range specs {
		for _, s := range spec.Statements {
			for _, action := range s.Action {
				if s.Effect != "Allow" || spare[spec.Name+" "+action] != "" || spare[spec.Name+" "+s.Sid] != "" {
					continue
				}
				t.Run(spec.Name+" "+s.Sid+" "+action, func(t *testing.T) {
					t.Parallel()
					i := startIsolated(t)
					own := i.suite.specs[n]
					i.permit(own, without(own.Statements, s.Sid, action))
					if why := i.fails(spec.Name, action); why == "" {
						t.Error("it all works without")
					} else {
						t.Log(why)
					}
				})
			}
		}
	}
}
