// Package deployed_test compares the template as CloudFormation deploys it, after SAM's own translator has expanded
// it, to what the suite on one machine reads in it; and it executes deployed state machines over the functions' own
// programs. integration/template.sh deploys it into moto and runs this.
package deployed_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"latchkey"
	"latchkey/local/states/asl"
	"latchkey/local/template"
	"latchkey/shared/store/dynamo"
)

const (
	// awsVariable is the URL of an AWS in which the template is deployed with the defaults of its parameters.
	awsVariable = "LATCHKEY_DEPLOYED"
	// functionsVariable is a file with what `aws lambda list-functions` answers there.
	functionsVariable = "LATCHKEY_DEPLOYED_FUNCTIONS"
)

// deployment is the template as it is deployed, and as it is read here.
type deployment struct {
	cfg       aws.Config
	functions map[string]function // by name
	template  *template.Template
	specs     []template.Function
}

// function is what Lambda says of one.
type function struct {
	FunctionName, Description, Role, Runtime, Handler string
	Timeout, MemorySize                               int
	Environment                                       struct{ Variables map[string]any }
}

func open(t *testing.T) *deployment {
	t.Helper()
	if os.Getenv(awsVariable) == "" {
		t.Skipf("%s is not set; integration/template.sh sets it and runs this", awsVariable)
	}
	d := &deployment{functions: map[string]function{}, cfg: aws.Config{
		Region: "us-east-1", BaseEndpoint: aws.String(os.Getenv(awsVariable)),
		Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", ""),
	}}
	data, err := os.ReadFile(os.Getenv(functionsVariable))
	if err != nil {
		t.Fatal(err)
	}
	var list struct{ Functions []function }
	if err := json.Unmarshal(data, &list); err != nil {
		t.Fatal(err)
	}
	for _, f := range list.Functions {
		d.functions[f.FunctionName] = f
	}
	if d.template, err = template.Parse(latchkey.Template(), template.Options{}); err != nil {
		t.Fatal(err)
	}
	if d.specs, err = d.template.Functions(); err != nil {
		t.Fatal(err)
	}
	return d
}

// made are the names that a deployment makes up, or that only it knows, and what stands for them here.
var made = []struct {
	pattern *regexp.Regexp
	here    string
}{
	{regexp.MustCompile(`key/[0-9a-f]{8}-[0-9a-f-]{27}`), "key/SealKey"},
	{regexp.MustCompile(`latchkey-Table-[0-9A-Za-z]+`), "Table"},
	{regexp.MustCompile(`https://[0-9a-z]{10}\.execute-api`), "https://Api.execute-api"},
	{regexp.MustCompile(`/stream/[0-9T:.-]+`), "/stream/since-then"},
	{regexp.MustCompile(`:latchkey-notify-dead-letters`), ":NotifyDeadLetters"},
	{regexp.MustCompile(`execute-api:([^:]+:[^:]+):[0-9a-z]{10}/`), "execute-api:$1:Api/"},
}

// comparable replaces the names that a deployment makes up.
func comparable(text string) string {
	for _, m := range made {
		text = m.pattern.ReplaceAllString(text, m.here)
	}
	return text
}

func comparables(texts template.Strings) template.Strings {
	texts = slices.Clone(texts)
	for i := range texts {
		texts[i] = comparable(texts[i])
	}
	return texts
}

func TestDeployed_functions_are_those_that_run_here(t *testing.T) {
	d := open(t)
	if len(d.functions) != len(d.specs) {
		t.Errorf("%d functions are deployed, %d are read here", len(d.functions), len(d.specs))
	}
	for _, spec := range d.specs {
		t.Run(spec.Name, func(t *testing.T) {
			got := d.functions[spec.FunctionName]
			want := function{
				FunctionName: spec.FunctionName, Description: spec.Description, Timeout: int(spec.Timeout / time.Second), MemorySize: spec.MemorySize,
				Runtime: "provided.al2023", Handler: "bootstrap",
			}
			want.Environment.Variables = map[string]any{}
			for name, value := range spec.Environment {
				want.Environment.Variables[name] = comparable(value)
			}
			for name, value := range got.Environment.Variables {
				got.Environment.Variables[name] = comparable(fmt.Sprint(value)) // moto keeps numbers
			}
			if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(function{}, "Role")); diff != "" {
				t.Errorf("read here (-) and deployed (+):\n%s", diff)
			}
			d.comparePolicies(t, spec, path.Base(got.Role))
		})
	}
}

// comparePolicies compares what a function is allowed.
func (d *deployment) comparePolicies(t *testing.T, spec template.Function, role string) {
	t.Helper()
	client := iam.NewFromConfig(d.cfg)
	names, err := client.ListRolePolicies(t.Context(), &iam.ListRolePoliciesInput{RoleName: &role})
	if err != nil {
		t.Fatal(err)
	}
	var got []template.Statement
	for _, name := range names.PolicyNames {
		out, err := client.GetRolePolicy(t.Context(), &iam.GetRolePolicyInput{RoleName: &role, PolicyName: aws.String(name)})
		if err != nil {
			t.Fatal(err)
		}
		document, err := url.QueryUnescape(aws.ToString(out.PolicyDocument))
		if err != nil {
			t.Fatal(err)
		}
		// moto keeps what CloudFormation gives it as Python prints it, and what is left out on a condition as None.
		document = strings.NewReplacer("'", `"`, "None", "null").Replace(document)
		var policy struct{ Statement []template.Statement }
		if err := json.Unmarshal([]byte(comparable(document)), &policy); err != nil {
			t.Fatalf("%v: %s", err, document)
		}
		got = append(got, slices.DeleteFunc(policy.Statement, func(s template.Statement) bool { return s.Effect == "" })...)
	}
	want := slices.Clone(spec.Statements)
	for i := range want {
		want[i].Resource, want[i].NotResource = comparables(want[i].Resource), comparables(want[i].NotResource)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("policies, read here (-) and deployed (+):\n%s", diff)
	}
}

func TestDeployed_state_machines_are_those_that_run_here(t *testing.T) {
	d := open(t)
	machines, err := d.template.StateMachines()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range machines {
		t.Run(m.Kind, func(t *testing.T) {
			text, err := latchkey.StateMachine(m.DefinitionURI)
			if err != nil {
				t.Fatal(err)
			}
			if text, err = asl.Substitute(text, m.Substitutions); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(object(t, d.named(string(text))), object(t, d.definition(t, m.Name))); diff != "" {
				t.Errorf("read here (-) and deployed (+):\n%s", diff)
			}
		})
	}
}

// named is a text with the names under which functions are deployed. Here their ARNs end in their logical ids.
func (d *deployment) named(text string) string {
	for _, spec := range d.specs {
		text = strings.ReplaceAll(text, ":function:"+spec.ID, ":function:"+spec.FunctionName)
	}
	return text
}

// definition is that of a deployed state machine.
func (d *deployment) definition(t *testing.T, name string) string {
	t.Helper()
	out, err := sfn.NewFromConfig(d.cfg).DescribeStateMachine(t.Context(), &sfn.DescribeStateMachineInput{
		StateMachineArn: aws.String("arn:aws:states:us-east-1:123456789012:stateMachine:" + name),
	})
	if err != nil {
		t.Fatal(err)
	}
	return aws.ToString(out.Definition)
}

func object(t *testing.T, text string) (o map[string]any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		t.Fatal(err)
	}
	return o
}

// moto's CloudFormation overlooks the time to live.
func TestDeployed_table_is_the_one_that_tests_make(t *testing.T) {
	d := open(t)
	client := dynamodb.NewFromConfig(d.cfg)
	const name = "as-tests-make-it"
	if err := dynamo.CreateTable(t.Context(), client, name); err != nil {
		t.Fatal(err)
	}
	describe := func(table string) map[string]any {
		out, err := client.DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: &table})
		if err != nil {
			t.Fatal(err)
		}
		v := out.Table
		index := v.GlobalSecondaryIndexes[0]
		text, err := json.Marshal(map[string]any{
			"Attributes": v.AttributeDefinitions, "Keys": v.KeySchema, "Indexes": len(v.GlobalSecondaryIndexes),
			"Index": []any{index.IndexName, index.KeySchema, index.Projection}, "Stream": v.StreamSpecification,
			"Billing": v.BillingModeSummary.BillingMode,
		})
		if err != nil {
			t.Fatal(err)
		}
		return object(t, string(text))
	}
	deployed := fmt.Sprint(d.functions[d.specs[0].FunctionName].Environment.Variables["TABLE_NAME"])
	if diff := cmp.Diff(describe(name), describe(deployed)); diff != "" {
		t.Errorf("in tests (-) and deployed (+):\n%s", diff)
	}
}
