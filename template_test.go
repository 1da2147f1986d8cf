package latchkey_test

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey"
	"latchkey/local/gateway"
	"latchkey/local/template"
	"latchkey/shared/atlas"
	"latchkey/shared/enforcement"
	"latchkey/shared/node"
	"latchkey/shared/suite/authorizer"
	"latchkey/shared/suite/remind"
	"latchkey/shared/verdict"
)

// gatewayPatience is how long API Gateway waits for a function.
const gatewayPatience = 29 * time.Second

func load(t *testing.T) (*template.Template, []template.Function, gateway.Spec) {
	t.Helper()
	tmpl, err := template.Parse(latchkey.Template(), template.Options{})
	if err != nil {
		t.Fatal(err)
	}
	functions, err := tmpl.Functions()
	if err != nil {
		t.Fatal(err)
	}
	spec, err := gateway.ReadSpec(tmpl)
	if err != nil {
		t.Fatal(err)
	}
	return tmpl, functions, spec
}

func TestTemplate_hasAFunctionForEveryDirectoryAndTheReverse(t *testing.T) {
	_, functions, _ := load(t)
	var got []string
	for _, f := range functions {
		got = append(got, f.Name)
	}
	mains, err := filepath.Glob("functions/*/main.go")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, path := range mains {
		want = append(want, filepath.Base(filepath.Dir(path)))
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("directories (-) and functions of the template (+) differ:\n%s", diff)
	}
}

// localenv is how the suite on one machine reads the variables of functions from the template.
var localenv = regexp.MustCompile(`env\["([A-Z_]+)"\]`)

// reader is a function of the code that reads the environment: which variables by itself, and
// which others it calls.
type reader struct{ variables, calls map[string]bool }

// readers finds the functions and methods in the packages of some folders, by their names.
func readers(t *testing.T, patterns ...string) map[string]reader {
	t.Helper()
	found := map[string]reader{}
	for _, pattern := range patterns {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range file.Decls {
				fn, ok := d.(*ast.FuncDecl)
				if !ok {
					continue
				}
				r := readerOf(t, path, fn)
				maps.Copy(r.variables, found[fn.Name.Name].variables) // of another type, or another package
				maps.Copy(r.calls, found[fn.Name.Name].calls)
				found[fn.Name.Name] = r
			}
		}
	}
	return found
}

func readerOf(t *testing.T, path string, fn *ast.FuncDecl) reader {
	t.Helper()
	r := reader{variables: map[string]bool{}, calls: map[string]bool{}}
	ast.Inspect(fn, func(n ast.Node) bool {
		selected, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if pkg, ok := selected.X.(*ast.Ident); ok && pkg.Name == "os" && !strings.HasPrefix(path, "functions/internal/deployment/") && selected.Sel.Name != "Exit" {
			t.Errorf("%s uses os.%s; the environment is read by functions/internal/deployment", path, selected.Sel.Name)
		}
		r.calls[selected.Sel.Name] = true
		return true
	})
	ast.Inspect(fn, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			if called, ok := n.Fun.(*ast.Ident); ok {
				r.calls[called.Name] = true
			}
			if called, ok := n.Fun.(*ast.SelectorExpr); ok && len(n.Args) > 0 && slices.Contains([]string{"Required", "Optional", "Count"}, called.Sel.Name) {
				name, ok := n.Args[0].(*ast.BasicLit)
				if !ok {
					t.Errorf("%s reads a variable whose name this test does not see", path)
					return true
				}
				r.variables[strings.Trim(name.Value, `"`)] = true
			}
		}
		return true
	})
	return r
}

// A variable that a program reads and the template does not set is empty when deployed; one
// that is set and not read is a setting that does nothing.
func TestTemplate_setsTheEnvironmentThatProgramsRead(t *testing.T) {
	_, functions, _ := load(t)
	for _, f := range functions {
		known := readers(t, "functions/internal/deployment/*.go", "functions/internal/deployment/*/*.go", "functions/"+f.Name+"/*.go")
		read, seen := map[string]bool{}, map[string]bool{}
		for next := []string{"main"}; len(next) > 0; {
			name := next[0]
			if next = next[1:]; seen[name] {
				continue
			}
			seen[name] = true
			maps.Copy(read, known[name].variables)
			next = slices.AppendSeq(next, maps.Keys(known[name].calls))
			if name == "main" { // which hands this over
				next = append(next, "assemble")
			}
		}
		set := map[string]bool{}
		for name := range f.Environment {
			set[name] = true
		}
		for _, name := range []string{"AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"} {
			delete(read, name) // Lambda sets it, and lets nobody else; or nobody does who deploys
		}
		if diff := cmp.Diff(read, set); diff != "" {
			t.Errorf("functions/%s reads (-) and the template sets (+):\n%s", f.Name, diff)
		}
	}
}

// The suite on one machine reads a function's variables from the template; those that it does
// not read are about AWS, or about the operator's identities, of which the pocket clouds have
// their own.
func TestTemplate_setsTheEnvironmentThatTheLocalSuiteReads(t *testing.T) {
	_, functions, _ := load(t)
	set := map[string]bool{}
	for _, f := range functions {
		for name := range f.Environment {
			set[name] = true
		}
	}
	var sources []string
	for _, folder := range []string{"local", "local/stack"} {
		found, err := filepath.Glob(folder + "/*.go")
		if err != nil {
			t.Fatal(err)
		}
		sources = append(sources, found...)
	}
	names := 0
	for _, path := range sources {
		source, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range localenv.FindAllStringSubmatch(string(source), -1) {
			if names++; !set[m[1]] {
				t.Errorf("%s reads %s, which the template sets for no function", path, m[1])
			}
		}
	}
	if names == 0 {
		t.Error("this test does not see what the suite reads")
	}
}

func TestTemplate_describesItsParameters(t *testing.T) {
	tmpl, _, _ := load(t)
	byName := func(a, b template.Parameter) int { return strings.Compare(a.Name, b.Name) }
	if !slices.IsSortedFunc(tmpl.Parameters, byName) {
		t.Error("parameters are not in alphabetical order")
	}
	for _, p := range tmpl.Parameters {
		if !strings.HasSuffix(p.Description, ".") {
			t.Errorf("line %d: %s has no description in sentences", p.Line, p.Name)
		}
		if p.AllowedPattern == "" && p.AllowedValues == nil && p.MinValue == nil {
			t.Errorf("line %d: %s accepts anything", p.Line, p.Name)
		}
		if p.Default == nil {
			t.Errorf("line %d: %s has no default, so sam deploy stops to ask", p.Line, p.Name)
		}
	}
}

func TestTemplate_answersBeforeTheGatewayDoes(t *testing.T) {
	tmpl, functions, spec := load(t)
	behind := map[string]bool{spec.Authorizer: true}
	for _, r := range spec.Routes {
		behind[r.Function] = true
	}
	for _, f := range functions {
		if f.Timeout <= 0 || f.MemorySize <= 0 || f.Description == "" {
			t.Errorf("%s lacks a time-out, memory or a description", f.ID)
		}
		if behind[f.ID] && f.Timeout >= gatewayPatience {
			t.Errorf("%s may take %s, and the gateway gives up after %s", f.ID, f.Timeout, gatewayPatience)
		}
	}
	i := slices.IndexFunc(tmpl.Parameters, func(p template.Parameter) bool { return p.Name == "GrantPatienceSeconds" })
	j := slices.IndexFunc(functions, func(f template.Function) bool { return f.Name == "encryption" })
	if i < 0 || j < 0 {
		t.Fatal("there is no GrantPatienceSeconds or no encryption")
	}
	patience, err := strconv.Atoi(tmpl.Parameters[i].MaxValue.String())
	if left := functions[j].Timeout - time.Duration(patience)*time.Second; err != nil || left < 5*time.Second {
		t.Errorf("the most patient configuration leaves %s for the work itself", left)
	}
}

func TestTemplate_keepsLogsForAWhile(t *testing.T) {
	tmpl, functions, _ := load(t)
	for _, f := range functions {
		group, ok := tmpl.Resource(f.LogGroup)
		if !ok || group.Type != "AWS::Logs::LogGroup" {
			t.Errorf("%s has no log group of its own", f.ID)
			continue
		}
		if group.Properties["RetentionInDays"] == nil || group.Properties["LogGroupName"] != "/aws/lambda/"+f.FunctionName {
			t.Errorf("%s: log group %v", f.ID, group.Properties)
		}
	}
}

// alarm is what the tests read of an alarm.
type alarm struct {
	AlarmDescription string
	Namespace        string
	MetricName       string
	Dimensions       []struct{ Name, Value string }
	Threshold        json.Number
	TreatMissingData string
	Metrics          []struct { // in the place of the four above
		Expression string
		MetricStat struct {
			Metric struct {
				Namespace, MetricName string
				Dimensions            []struct{ Name, Value string }
			}
		}
	}
}

// names are the metrics that the alarm is about: "namespace metric value-of-its-dimension".
func (a alarm) names() []string {
	name := func(namespace, metric string, dimensions []struct{ Name, Value string }) string {
		if len(dimensions) > 0 {
			return namespace + " " + metric + " " + dimensions[0].Value
		}
		return namespace + " " + metric
	}
	if len(a.Metrics) == 0 {
		return []string{name(a.Namespace, a.MetricName, a.Dimensions)}
	}
	var names []string
	for _, m := range a.Metrics {
		if m.Expression == "" {
			names = append(names, name(m.MetricStat.Metric.Namespace, m.MetricStat.Metric.MetricName, m.MetricStat.Metric.Dimensions))
		}
	}
	return names
}

// silence are the alarms on what stops happening.
var silence = []string{"RemindSilentAlarm", "ValidateSilentAlarm"}

func thresholds(t *testing.T, tmpl *template.Template) map[string]float64 {
	t.Helper()
	found := map[string]float64{}
	for _, r := range tmpl.OfType("AWS::CloudWatch::Alarm") {
		var a alarm
		if err := r.Decode(&a); err != nil {
			t.Fatal(err)
		}
		missing := "notBreaching"
		if slices.Contains(silence, r.ID) {
			missing = "breaching"
		}
		threshold, err := a.Threshold.Float64()
		if err != nil || a.AlarmDescription == "" || a.TreatMissingData != missing {
			t.Errorf("line %d: %s is incomplete", r.Line, r.ID)
			continue
		}
		for _, name := range a.names() {
			found[name] = threshold
		}
	}
	return found
}

func TestTemplate_raisesAlarms(t *testing.T) {
	tmpl, functions, _ := load(t)
	found := thresholds(t, tmpl)
	for _, f := range functions {
		for _, metric := range []string{"Errors", "Throttles", "Duration"} {
			if _, ok := found["AWS/Lambda "+metric+" "+f.ID]; !ok {
				t.Errorf("%s has no alarm on %s", f.ID, metric)
			}
		}
		limit := float64(f.Timeout.Milliseconds())
		if d := found["AWS/Lambda Duration "+f.ID]; d < limit/2 || d >= limit {
			t.Errorf("%s: the alarm on Duration is at %v ms of %v ms", f.ID, d, limit)
		}
	}
	machines, err := tmpl.StateMachines()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range machines {
		for _, metric := range []string{"ExecutionsFailed", "ExecutionsTimedOut", "ExecutionsAborted"} {
			if _, ok := found["AWS/States "+metric+" "+machineARN(m)]; !ok {
				t.Errorf("%s has no alarm on %s", m.ID, metric)
			}
		}
	}
	for _, name := range []string{"AWS/ApiGateway 5XXError latchkey", "AWS/Lambda Invocations RemindFunction", "AWS/Lambda Invocations ValidateFunction", "Latchkey KeysLeft", "AWS/Lambda IteratorAge NotifyFunction", "AWS/SQS ApproximateNumberOfMessagesVisible NotifyDeadLetters"} {
		if _, ok := found[name]; !ok {
			t.Errorf("there is no alarm on %s", name)
		}
	}
}

// What the suite counts and the alarms listen for have the same names.
func TestTemplate_listensToWhatIsCounted(t *testing.T) {
	want := []string{
		"Latchkey Checks " + string(verdict.Inconclusive), "Latchkey KeyChecksInconclusive", "Latchkey KeysLeft",
		"Latchkey NodesSilent " + string(enforcement.Start), "Latchkey NodesSilent " + string(enforcement.Stop), "Latchkey OldestPlanHours",
		"Latchkey OldestKeyChangeHours", "Latchkey OldestMasterKeyRotationHours", "Latchkey OldestEndpointHours",
		"Latchkey MasterKeyReleases " + string(node.Failed), "Latchkey OldestUncheckedSeconds", "Latchkey OldestWaitingNodeMinutes",
		"Latchkey OldestDeliverySeconds", "Latchkey DeadLetters", "Latchkey OwnDeliveryFailures", "Latchkey StreamRecordsDropped",
		"Latchkey OldestDueSeconds " + remind.Alerts, "Latchkey OldestDueSeconds " + remind.Maintenance,
	}
	for _, p := range atlas.Providers() {
		want = append(want, "Latchkey VerdictsHeld "+string(p))
	}
	tmpl, _, _ := load(t)
	var got []string
	for name := range thresholds(t, tmpl) {
		if strings.HasPrefix(name, "Latchkey ") {
			got = append(got, name)
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("counted (-) and listened to (+):\n%s", diff)
	}
	counted := regexp.MustCompile(`obs\.Count\{Name: "([A-Za-z]+)"`)
	names := map[string]bool{}
	for _, m := range counted.FindAllSubmatch(sources(t, "./functions/..."), -1) {
		names[string(m[1])] = true
	}
	for _, name := range got {
		if metric := strings.Fields(name)[1]; !names[metric] {
			t.Errorf("nothing counts %s", metric)
		}
	}
}

// The client sees these instead of an answer of a function, and must not see the difference.
func TestGatewayResponses_areErrorsOfTheAPI(t *testing.T) {
	_, _, spec := load(t)
	if got, want := spec.Responses["ACCESS_DENIED"].Headers["WWW-Authenticate"], "context.authorizer."+authorizer.ChallengeKey; got != want {
		t.Errorf("the challenge comes from %q, and the authorizer puts it into %q", got, want)
	}
	for kind, r := range spec.Responses {
		body := r.Templates["application/json"]
		var e atlas.ErrorBody
		if err := json.Unmarshal([]byte(body), &e); err != nil {
			t.Errorf("%s: %v: %s", kind, err, body)
			continue
		}
		if strconv.Itoa(e.Error) != r.Status || e.Reason != http.StatusText(e.Error) || e.Detail == "" {
			t.Errorf("%s answers %s with %+v", kind, r.Status, e)
		}
		if !slices.Contains(atlas.Codes(), e.ErrorCode) {
			t.Errorf("%s: there is no error code %s", kind, e.ErrorCode)
		}
		if strings.Contains(body, "$") {
			t.Errorf("%s pastes a variable into its body unescaped", kind)
		}
		for name, value := range r.Headers {
			if !strings.HasPrefix(value, "'") && !strings.HasPrefix(value, "context.authorizer.") {
				t.Errorf("%s: the header %s comes from %s", kind, name, value)
			}
		}
	}
	if len(spec.Responses) != 21 {
		t.Errorf("%d types of gateway response are listed; AWS has 21", len(spec.Responses))
	}
}

func TestTemplate_doesNotLoseData(t *testing.T) {
	tmpl, _, _ := load(t)
	table, _ := tmpl.Resource("Table")
	key, _ := tmpl.Resource("SealKey")
	for _, r := range []template.Resource{table, key} {
		if r.DeletionPolicy != "Retain" || r.UpdateReplacePolicy != "Retain" {
			t.Errorf("%s goes with the stack", r.ID)
		}
	}
	var p struct {
		DeletionProtectionEnabled        bool
		PointInTimeRecoverySpecification struct{ PointInTimeRecoveryEnabled bool }
		SSESpecification                 struct{ SSEType string }
		StreamSpecification              struct{ StreamViewType string }
		TimeToLiveSpecification          struct{ AttributeName string }
		EnableKeyRotation                bool
	}
	if err := table.Decode(&p); err != nil {
		t.Fatal(err)
	}
	if err := key.Decode(&p); err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(p)
	if want := "{true {true} {KMS} {NEW_IMAGE} {expires} true}"; got != want {
		t.Errorf("table and key = %s, want %s", got, want)
	}
}
