package template_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/local/template"
)

const sample = `
Parameters:
  Bound: {Type: Number, Default: 5, MinValue: 1, MaxValue: 10, Description: A number.}
  Flag: {Type: String, Default: "true", AllowedValues: ["true", "false"]}
  Name: {Type: String, Default: p-a, AllowedPattern: "p-[a-z]+"}
Conditions:
  HasFlag: !Equals [!Ref Flag, "true"]
  NoFlag: !Not [!Condition HasFlag]
  Both: !And [!Condition HasFlag, !Equals [!Ref Name, p-a]]
  Either: !Or [!Condition NoFlag, !Equals [!Ref Name, p-b]]
Globals:
  Function:
    Timeout: 9
    Environment: {Variables: {TABLE: !Ref Table, LEVEL: info}}
Resources:
  Table:
    Type: AWS::DynamoDB::Table
    Properties: {Name: !Sub "${AWS::StackName}-${Name}-${!Literal}"}
  SweepKeysFunction:
    Type: AWS::Serverless::Function
    Properties:
      Environment: {Variables: {LEVEL: debug, BOUND: !Ref Bound}}
      MemorySize: 128
      Policies:
        - Statement:
            - {Sid: One, Effect: Allow, Action: a:B, Resource: !GetAtt Table.Arn}
            - !If [NoFlag, {Sid: Two, Effect: Deny, Action: [a:B, a:C], Resource: !Sub "${Table.Arn}/index/x"}, !Ref AWS::NoValue]
  Invoker: {Type: AWS::IAM::Role}
  SweepStateMachine:
    Type: AWS::Serverless::StateMachine
    Properties:
      Name: !Sub ${AWS::StackName}-sweep
      DefinitionUri: statemachines/sweep.asl.json
      DefinitionSubstitutions: {SweepKeysFunctionArn: !GetAtt SweepKeysFunction.Arn}
      Role: !GetAtt Invoker.Arn
      Logging: {Level: ERROR, Destinations: [{CloudWatchLogsLogGroup: {LogGroupArn: !GetAtt Rare.Arn}}]}
  CalledFunction:
    Type: AWS::Serverless::Function
    Properties:
      FunctionUrlConfig: {AuthType: NONE}
      Environment: {Variables: {MACHINES: !Sub '{"sweep":"${SweepStateMachine}"}'}}
  Rare:
    Type: AWS::Logs::LogGroup
    Condition: Either
    Properties: {A: !If [Both, yes it is, no], B: !Split [",", !Sub "${Name},b"]}
Outputs:
  Name: {Value: !Ref Name}
  Role: {Value: !GetAtt Invoker.Arn}
  Url: {Value: !GetAtt CalledFunctionUrl.FunctionUrl}
  Machine: {Value: !GetAtt SweepStateMachine.Arn}
`

func parse(t *testing.T, params map[string]string) *template.Template {
	t.Helper()
	tmpl, err := template.Parse([]byte(sample), template.Options{Parameters: params})
	if err != nil {
		t.Fatal(err)
	}
	return tmpl
}

func TestParse_resolvesReferencesAndConditions(t *testing.T) {
	tmpl := parse(t, nil)
	table, ok := tmpl.Resource("Table")
	if !ok || table.Properties["Name"] != "latchkey-p-a-${Literal}" {
		t.Errorf("Table = %v", table.Properties)
	}
	if _, ok := tmpl.Resource("Rare"); ok {
		t.Error("a resource whose condition is false is there")
	}
	tmpl = parse(t, map[string]string{"Flag": "false"})
	if rare, ok := tmpl.Resource("Rare"); !ok || rare.Properties["A"] != "no" || !cmp.Equal(rare.Properties["B"], []any{"p-a", "b"}) {
		t.Errorf("Rare = %v, %v", rare.Properties, ok)
	}
	if got := parse(t, map[string]string{"Name": "p-z"}).Outputs; got["Name"] != "p-z" || got["Role"] != "arn:aws:iam::123456789012:role/Invoker" {
		t.Errorf("outputs = %q", got)
	}
}

func TestFunctions_mergesGlobalsAsSAMDoes(t *testing.T) {
	functions, err := parse(t, map[string]string{"Flag": "false"}).Functions()
	if err != nil {
		t.Fatal(err)
	}
	want := []template.Function{{
		ID: "SweepKeysFunction", Name: "sweepkeys", Timeout: 9 * time.Second, MemorySize: 128,
		Environment: map[string]string{"TABLE": "Table", "LEVEL": "debug", "BOUND": "5"},
		Statements: []template.Statement{
			{Sid: "One", Effect: "Allow", Action: template.Strings{"a:B"}, Resource: template.Strings{"arn:aws:dynamodb:us-east-1:123456789012:table/Table"}},
			{Sid: "Two", Effect: "Deny", Action: template.Strings{"a:B", "a:C"}, Resource: template.Strings{"arn:aws:dynamodb:us-east-1:123456789012:table/Table/index/x"}},
		},
	}, {
		ID: "CalledFunction", Name: "called", Timeout: 9 * time.Second, URL: &template.FunctionURL{AuthType: "NONE"},
		Environment: map[string]string{
			"TABLE": "Table", "LEVEL": "info", "MACHINES": `{"sweep":"arn:aws:states:us-east-1:123456789012:stateMachine:latchkey-sweep"}`,
		},
	}}
	if diff := cmp.Diff(want, functions); diff != "" {
		t.Error(diff)
	}
	bare, err := template.Parse([]byte("Resources:\n  AFunction: {Type: AWS::Serverless::Function, Properties: {Timeout: 1}}"), template.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if alone, err := bare.Functions(); err != nil || len(alone) != 1 || alone[0].Timeout != time.Second {
		t.Errorf("without globals: %v, %v", alone, err)
	}
	if functions, err = parse(t, nil).Functions(); err != nil || len(functions[0].Statements) != 1 {
		t.Errorf("AWS::NoValue stayed in a list: %v, %v", functions, err)
	}
}

func TestStateMachines_areReadAsTheyAreDeployed(t *testing.T) {
	tmpl := parse(t, nil)
	machines, err := tmpl.StateMachines()
	if err != nil || len(machines) != 1 {
		t.Fatal(machines, err)
	}
	m := machines[0]
	if m.Logging.Level != "ERROR" || m.Logging.Destinations[0].CloudWatchLogsLogGroup.LogGroupARN != "arn:aws:logs:us-east-1:123456789012:log-group:Rare:*" {
		t.Errorf("logging = %+v", m.Logging)
	}
	m.Logging = template.StateMachine{}.Logging
	want := template.StateMachine{
		ID: "SweepStateMachine", Kind: "sweep", Name: "latchkey-sweep", DefinitionURI: "statemachines/sweep.asl.json",
		Substitutions: map[string]string{"SweepKeysFunctionArn": "arn:aws:lambda:us-east-1:123456789012:function:SweepKeysFunction"},
		Role:          "arn:aws:iam::123456789012:role/Invoker", Line: m.Line,
	}
	if diff := cmp.Diff(want, m); diff != "" {
		t.Error(diff)
	}
	if got := tmpl.Outputs; got["Machine"] != "arn:aws:states:us-east-1:123456789012:stateMachine:latchkey-sweep" ||
		got["Url"] != "https://calledfunctionurl.lambda-url.us-east-1.on.aws/" {
		t.Errorf("outputs = %q", got)
	}
}

func TestStateMachinesAndURLs_thatCannotRunHereAreRefusedWithTheirLine(t *testing.T) {
	const good = "Name: n, Role: r, DefinitionUri: statemachines/a.asl.json"
	tests := map[string]struct{ id, kind, properties, want string }{
		"another id":               {"A", template.StateMachineType, good, "line 2: A: the id does not end in StateMachine"},
		"a definition in line":     {"AStateMachine", template.StateMachineType, "Name: n, Role: r, Definition: {}", "line 2: AStateMachine: the property Definition"},
		"a definition elsewhere":   {"AStateMachine", template.StateMachineType, "Name: n, Role: r, DefinitionUri: a.asl.json", `DefinitionUri is "a.asl.json"`},
		"another kind of file":     {"AStateMachine", template.StateMachineType, "Name: n, Role: r, DefinitionUri: statemachines/a.yaml", "not statemachines/<kind>.asl.json"},
		"no name":                  {"AStateMachine", template.StateMachineType, "Role: r, DefinitionUri: statemachines/a.asl.json", "there is no Name"},
		"no role":                  {"AStateMachine", template.StateMachineType, "Name: n, DefinitionUri: statemachines/a.asl.json", "there is no Role"},
		"an express machine":       {"AStateMachine", template.StateMachineType, good + ", Type: EXPRESS", "the Type EXPRESS"},
		"a list for substitutions": {"AStateMachine", template.StateMachineType, good + ", DefinitionSubstitutions: [1]", "line 2"},
		"a URL that AWS guards":    {"AFunction", template.FunctionType, "FunctionUrlConfig: {AuthType: AWS_IAM}", "line 2: AFunction: FunctionUrlConfig: the AuthType"},
		"a URL that streams":       {"AFunction", template.FunctionType, "FunctionUrlConfig: {AuthType: NONE, InvokeMode: RESPONSE_STREAM}", "the InvokeMode"},
		"a URL with CORS":          {"AFunction", template.FunctionType, "FunctionUrlConfig: {AuthType: NONE, Cors: true}", "the property Cors"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			tmpl, err := template.Parse([]byte("Resources:\n  "+tt.id+": {Type: "+tt.kind+", Properties: {"+tt.properties+"}}"), template.Options{})
			if err != nil {
				t.Fatal(err)
			}
			_, functionsErr := tmpl.Functions()
			_, machinesErr := tmpl.StateMachines()
			if err := errors.Join(functionsErr, machinesErr); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error = %v, want …%s…", err, tt.want)
			}
		})
	}
}

func TestParse_namesRolesAsTheyAreDeployed(t *testing.T) {
	tmpl, err := template.Parse([]byte(`Resources:
  AFunction: {Type: AWS::Serverless::Function, Properties: {FunctionName: !Sub "${AWS::StackName}-a"}}
  B: {Type: AWS::IAM::Role, Properties: {RoleName: !Sub "${AWS::StackName}-b"}}
  C: {Type: AWS::IAM::Role}
  All: {Type: T, Properties: {Arns: [!GetAtt AFunctionRole.Arn, !GetAtt B.Arn, !GetAtt C.Arn]}}
`), template.Options{})
	if err != nil {
		t.Fatal(err)
	}
	all, _ := tmpl.Resource("All")
	const role = "arn:aws:iam::123456789012:role/"
	if diff := cmp.Diff([]any{role + "latchkey-a", role + "latchkey-b", role + "C"}, all.Properties["Arns"]); diff != "" {
		t.Error(diff)
	}
}

func TestParse_saysWhereAMistakeIs(t *testing.T) {
	tests := map[string]struct {
		body   string
		params map[string]string
		want   string
	}{
		"an unknown name":             {body: "Resources:\n  A: {Type: T, Properties: {B: !Ref C}}", want: "line 2: nothing is named C"},
		"an unknown resource":         {body: "Resources:\n  A: {Type: T, Properties: {B: !GetAtt C.Arn}}", want: "line 2: there is no resource C"},
		"an unknown attribute":        {body: "Resources:\n  A: {Type: T, Properties: {B: !GetAtt A.Arn}}", want: "the attribute Arn of a T"},
		"an unknown function":         {body: "Resources:\n  A: {Type: T, Properties: {B: !Cidr [a]}}", want: "line 2: !Cidr"},
		"a machine without a name":    {body: "Resources:\n  A: {Type: T, Properties: {B: !Ref C}}\n  C: {Type: AWS::Serverless::StateMachine}", want: "line 2: the state machine C has no Name"},
		"a machine named for itself":  {body: "Resources:\n  C: {Type: AWS::Serverless::StateMachine, Properties: {Name: !Ref C}}", want: "line 2: the name of a state machine depends"},
		"a role named for itself":     {body: "Resources:\n  C: {Type: AWS::IAM::Role, Properties: {RoleName: !GetAtt C.Arn}}", want: "line 2: the name of a role depends"},
		"a text that is a list":       {body: "Resources:\n  A: {Type: T, Properties: {B: !Split [\",\", []]}}", want: "line 2: !Split takes a text"},
		"a split without a text":      {body: "Resources:\n  A: {Type: T, Properties: {B: !Split [\",\"]}}", want: "line 2: !Split takes a separator and a text"},
		"a URL that is not there":     {body: "Resources:\n  A: {Type: AWS::Serverless::Function}\n  B: {Type: T, Properties: {C: !GetAtt AUrl.FunctionUrl}}", want: "line 3: there is no resource AUrl"},
		"a long form":                 {body: "Resources:\n  A: {Type: T, Properties: {B: {Ref: A}}}", want: "write Ref in its short form"},
		"an alias":                    {body: "Resources:\n  A: {Type: T, Properties: {B: &x 1, C: *x}}", want: "no YAML aliases"},
		"a condition of itself":       {body: "Conditions:\n  A: !Not [!Condition A]\nResources:\n  B: {Type: T, Condition: A}", want: "depends on itself"},
		"a missing condition":         {body: "Resources:\n  B: {Type: T, Condition: A}", want: "no condition A"},
		"an octal number":             {body: "Resources:\n  A: {Type: T, Properties: {B: 010}}", want: "line 2: write the number"},
		"no default":                  {body: "Parameters:\n  A: {Type: String}", want: "A has no default"},
		"a value that does not match": {body: sample, params: map[string]string{"Name": "p-a\nb"}, want: "does not match"},
		"a value that is not allowed": {body: sample, params: map[string]string{"Flag": "maybe"}, want: "not one of"},
		"a number out of bounds":      {body: sample, params: map[string]string{"Bound": "11"}, want: "out of bounds"},
		"what is no number":           {body: sample, params: map[string]string{"Bound": "x"}, want: "no number"},
		"an unknown parameter":        {body: sample, params: map[string]string{"Other": "x"}, want: "no parameter Other"},
		"what is no YAML":             {body: "\t", want: "yaml"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := template.Parse([]byte(tt.body), template.Options{Parameters: tt.params})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error = %v, want …%s…", err, tt.want)
			}
		})
	}
}

// FuzzParse reads anything in no time. What it accepts is JSON, and the same each time; every resource has a type and a name of its own.
func FuzzParse(f *testing.F) {
	f.Add(sample)
	f.Add("Resources: {A: {Type: T, Properties: {B: !Sub '${A}'}}}")
	f.Add("Conditions: {A: !And [!Condition A, !Condition A]}\nResources: {B: {Type: T, Condition: A}}")
	f.Add("Resources: {A: &a {Type: T, Properties: {B: *a}}}")
	f.Add(laughs)
	f.Fuzz(func(t *testing.T, body string) {
		begun := time.Now()
		got, err := template.Parse([]byte(body), template.Options{})
		if took := time.Since(begun); took > 3*time.Second {
			t.Errorf("%d bytes took %s", len(body), took)
		}
		if err != nil {
			return
		}
		seen := map[string]bool{}
		for _, r := range got.Resources {
			if r.Type == "" || seen[r.ID] {
				t.Errorf("%q has a resource %q of type %q", body, r.ID, r.Type)
			}
			seen[r.ID] = true
			var properties map[string]any
			if err := r.Decode(&properties); err != nil {
				t.Errorf("%q: the properties of %s are no JSON: %v", body, r.ID, err)
			}
		}
		again, err := template.Parse([]byte(body), template.Options{})
		if diff := cmp.Diff(got.Resources, again.Resources); err != nil || diff != "" {
			t.Errorf("%q is read in two ways: %v\n%s", body, err, diff)
		}
	})
}

// laughs doubles with every line.
var laughs = func() string {
	var b strings.Builder
	b.WriteString("Resources:\n  A:\n    Type: T\n    Properties:\n      a0: &a0 [x, x, x, x, x, x, x, x]\n")
	for i := range 30 {
		fmt.Fprintf(&b, "      a%d: &a%d [*a%d, *a%d, *a%d, *a%d]\n", i+1, i+1, i, i, i, i)
	}
	return b.String()
}()
