package latchkey_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"latchkey/local/states/asl"
	"latchkey/local/template"
	"latchkey/shared/workflow"
)

func stateMachines(t *testing.T) (*template.Template, []template.StateMachine) {
	t.Helper()
	tmpl, _, _ := load(t)
	machines, err := tmpl.StateMachines()
	if err != nil {
		t.Fatal(err)
	}
	return tmpl, machines
}

// machineARN is what Ref makes of a state machine.
func machineARN(m template.StateMachine) string {
	return "arn:aws:states:us-east-1:123456789012:stateMachine:" + m.Name
}

func TestStateMachines_haveADefinitionEachAndTheReverse(t *testing.T) {
	_, machines := stateMachines(t)
	var want, got []string
	for _, m := range machines {
		if !slices.Contains(workflow.Kinds(), workflow.Kind(m.Kind)) {
			t.Errorf("line %d: %s is of no kind that anybody starts", m.Line, m.ID)
		}
		got = append(got, m.DefinitionURI)
		definition, err := os.ReadFile(m.DefinitionURI)
		if err != nil {
			t.Error(err)
			continue
		}
		var values []string
		for name := range m.Substitutions {
			values = append(values, name)
		}
		slices.Sort(values)
		if diff := cmp.Diff(asl.Substitutions(definition), values); diff != "" {
			t.Errorf("%s has (-) and the template fills in (+):\n%s", m.DefinitionURI, diff)
			continue
		}
		filled, err := asl.Substitute(definition, m.Substitutions)
		if err != nil {
			t.Error(err)
		} else if _, err := asl.Parse(m.DefinitionURI, filled); err != nil {
			t.Error(err)
		}
	}
	want, err := filepath.Glob("statemachines/*")
	if err != nil {
		t.Fatal(err)
	}
	want = slices.DeleteFunc(want, func(path string) bool { return !strings.HasSuffix(path, ".json") })
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("files (-) and state machines (+) differ:\n%s", diff)
	}
}

// A state machine acts with its role alone, so that is all that an execution can do.
func TestStateMachines_mayInvokeTheirTasksAndNothingElse(t *testing.T) {
	tmpl, machines := stateMachines(t)
	for _, m := range machines {
		r, ok := tmpl.Resource(m.Role[strings.LastIndex(m.Role, "/")+1:])
		if !ok || r.Type != "AWS::IAM::Role" {
			t.Errorf("%s has no role of its own", m.ID)
			continue
		}
		var p role
		if err := r.Decode(&p); err != nil {
			t.Fatal(err)
		}
		for _, s := range p.AssumeRolePolicyDocument.Statement {
			if s.Principal.Service != "states.amazonaws.com" || s.Condition.StringEquals["aws:SourceAccount"] == "" ||
				s.Condition.ArnLike["aws:SourceArn"] != machineARN(m) {
				t.Errorf("%s may be assumed by %+v", r.ID, s)
			}
		}
		var invokes, want []string
		for _, policy := range p.Policies {
			for _, s := range policy.PolicyDocument.Statement {
				switch {
				case s.Sid == "InvokeTasks" && s.Effect == "Allow" && slices.Equal(s.Action, []string{"lambda:InvokeFunction"}):
					invokes = append(invokes, s.Resource...)
				case s.Sid == "DeliverLogs" && s.Effect == "Allow":
					if slices.ContainsFunc(s.Action, func(a string) bool { return !strings.HasPrefix(a, "logs:") || strings.Contains(a, "*") }) {
						t.Errorf("%s delivers logs with %q", r.ID, s.Action)
					}
				default:
					t.Errorf("%s: %+v", r.ID, s)
				}
			}
		}
		for _, arn := range m.Substitutions {
			want = append(want, arn)
		}
		slices.Sort(want)
		slices.Sort(invokes)
		if diff := cmp.Diff(want, invokes); diff != "" {
			t.Errorf("%s: tasks (-) and what the role may invoke (+):\n%s", m.ID, diff)
		}
	}
}

func TestStateMachines_logErrorsWithoutData(t *testing.T) {
	tmpl, machines := stateMachines(t)
	for _, m := range machines {
		if m.Logging.Level != "ERROR" || m.Logging.IncludeExecutionData || len(m.Logging.Destinations) != 1 || m.Tracing.Enabled {
			t.Errorf("%s logs %+v", m.ID, m.Logging)
			continue
		}
		arn := m.Logging.Destinations[0].CloudWatchLogsLogGroup.LogGroupARN
		id, _ := strings.CutPrefix(arn, "arn:aws:logs:us-east-1:123456789012:log-group:")
		group, ok := tmpl.Resource(strings.TrimSuffix(id, ":*"))
		if !ok || group.Properties["RetentionInDays"] == nil || group.Properties["LogGroupName"] != "/aws/vendedlogs/states/"+m.Name {
			t.Errorf("%s: log group %s %v", m.ID, arn, group.Properties)
		}
	}
}

// Functions know state machines by names, because references both ways could not be deployed.
func TestStateMachines_areStartedByTheFunctionsThatAreToldOfThem(t *testing.T) {
	_, machines := stateMachines(t)
	byKind := map[string]string{}
	for _, m := range machines {
		byKind[m.Kind] = machineARN(m)
	}
	started := map[string]bool{}
	for _, f := range withSecrets(t) {
		var told map[string]string
		if text, ok := f.Environment["STATE_MACHINE_ARNS"]; ok {
			if err := json.Unmarshal([]byte(text), &told); err != nil {
				t.Errorf("%s: %v", f.ID, err)
			}
		}
		var shown map[string]string
		if text, ok := f.Environment["SHOWN_STATE_MACHINE_ARNS"]; ok {
			if err := json.Unmarshal([]byte(text), &shown); err != nil {
				t.Errorf("%s: %v", f.ID, err)
			}
		}
		if len(shown) > 0 && !maps.Equal(shown, byKind) {
			t.Errorf("%s shows %v, want %v", f.ID, shown, byKind)
		}
		var want, may []string
		for kind, arn := range told {
			if byKind[kind] != arn {
				t.Errorf("%s starts %s as %s, which is %q", f.ID, kind, arn, byKind[kind])
			}
			want, started[kind] = append(want, arn), true
		}
		for _, s := range f.Statements {
			for _, action := range s.Action {
				switch action {
				case "states:StartExecution":
					may = append(may, s.Resource...)
				case "states:DescribeExecution", "states:GetExecutionHistory":
					known := slices.Collect(maps.Values(shown))
					if action == "states:DescribeExecution" {
						known = append(known, want...)
					}
					for _, resource := range s.Resource {
						name, all := strings.CutSuffix(resource, ":*")
						if !all || !slices.Contains(known, strings.Replace(name, ":execution:", ":stateMachine:", 1)) {
							t.Errorf("%s may look at %s by %s", f.ID, resource, action)
						}
					}
				}
			}
		}
		slices.Sort(want)
		slices.Sort(may)
		if diff := cmp.Diff(want, may); diff != "" {
			t.Errorf("%s is told of (-) and may start (+):\n%s", f.ID, diff)
		}
	}
	for kind := range byKind {
		if !started[kind] {
			t.Errorf("nobody starts %s", kind)
		}
	}
}

// tasks visits the Task states of a definition, however deep they are.
func tasks(v any, visit func(map[string]any)) {
	switch v := v.(type) {
	case map[string]any:
		if v["Type"] == "Task" {
			visit(v)
		}
		for _, inner := range v {
			tasks(inner, visit)
		}
	case []any:
		for _, inner := range v {
			tasks(inner, visit)
		}
	}
}

// A state machine that gives a function up while it is at work would do things twice at once.
func TestStateMachines_waitLongerThanTheirFunctionsTake(t *testing.T) {
	_, functions, _ := load(t)
	_, machines := stateMachines(t)
	for _, m := range machines {
		definition, err := os.ReadFile(m.DefinitionURI)
		if err != nil {
			t.Fatal(err)
		}
		filled, err := asl.Substitute(definition, m.Substitutions)
		if err != nil {
			t.Fatal(err)
		}
		var states any
		if err := json.Unmarshal(filled, &states); err != nil {
			t.Fatal(err)
		}
		found := 0
		tasks(states, func(state map[string]any) {
			parameters, _ := state["Parameters"].(map[string]any)
			name, _ := parameters["FunctionName"].(string)
			i := slices.IndexFunc(functions, func(f template.Function) bool { return strings.HasSuffix(name, ":function:"+f.ID) })
			if i < 0 {
				t.Errorf("%s: %v calls no function of the template", m.DefinitionURI, state["Comment"])
				return
			}
			found++
			if patience, _ := state["TimeoutSeconds"].(float64); patience <= functions[i].Timeout.Seconds() {
				t.Errorf("%s waits %v s for %s, which may take %s", m.DefinitionURI, patience, functions[i].ID, functions[i].Timeout)
			}
		})
		if found == 0 {
			t.Errorf("%s calls no function", m.DefinitionURI)
		}
	}
}
