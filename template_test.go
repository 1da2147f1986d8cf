package latchkey_test

import (
	"encoding/json"
	"fmt"
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
	"latchkey/shared/suite/authorizer"
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

var (
	// getenv is how programs read their environment, and anyenv all ways that there are.
	getenv = regexp.MustCompile(`os\.Getenv\("([A-Z_]+)"\)`)
	anyenv = regexp.MustCompile(`os\.(Getenv|LookupEnv|Environ|ExpandEnv|Expand)\b`)
	// localenv is how the suite on one machine reads the same variables from the template.
	localenv = regexp.MustCompile(`env\["([A-Z_]+)"\]`)
)

// A variable that a program reads and the template does not set is empty when deployed; one
// that is set and not read is a setting that does nothing.
func TestTemplate_setsTheEnvironmentThatProgramsRead(t *testing.T) {
	_, functions, _ := load(t)
	for _, f := range functions {
		sources, err := filepath.Glob("functions/" + f.Name + "/*.go")
		if err != nil {
			t.Fatal(err)
		}
		read := map[string]bool{}
		for _, path := range sources {
			source, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			found := getenv.FindAllStringSubmatch(string(source), -1)
			if all := anyenv.FindAll(source, -1); len(all) != len(found) {
				t.Errorf("%s reads its environment in a way that this test does not see", path)
			}
			for _, m := range found {
				if !strings.HasPrefix(m[1], "AWS_REGION") && !strings.HasPrefix(m[1], "AWS_LAMBDA_") { // set by Lambda
					read[m[1]] = true
				}
			}
		}
		set := map[string]bool{}
		for name := range f.Environment {
			set[name] = true
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
	sources, err := filepath.Glob("local/*.go")
	if err != nil {
		t.Fatal(err)
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
}

func TestTemplate_raisesAlarms(t *testing.T) {
	tmpl, functions, _ := load(t)
	thresholds := map[string]float64{} // by "metric of function"
	for _, r := range tmpl.OfType("AWS::CloudWatch::Alarm") {
		var a alarm
		if err := r.Decode(&a); err != nil {
			t.Fatal(err)
		}
		threshold, err := a.Threshold.Float64()
		if err != nil || a.AlarmDescription == "" || a.TreatMissingData != "notBreaching" || len(a.Dimensions) == 0 {
			t.Errorf("line %d: %s is incomplete", r.Line, r.ID)
			continue
		}
		thresholds[a.Namespace+" "+a.MetricName+" "+a.Dimensions[0].Value] = threshold
	}
	for _, f := range functions {
		for _, metric := range []string{"Errors", "Throttles", "Duration"} {
			if _, ok := thresholds["AWS/Lambda "+metric+" "+f.ID]; !ok {
				t.Errorf("%s has no alarm on %s", f.ID, metric)
			}
		}
		limit := float64(f.Timeout.Milliseconds())
		if d := thresholds["AWS/Lambda Duration "+f.ID]; d < limit/2 || d >= limit {
			t.Errorf("%s: the alarm on Duration is at %v ms of %v ms", f.ID, d, limit)
		}
	}
	if _, ok := thresholds["AWS/ApiGateway 5XXError latchkey"]; !ok {
		t.Error("there is no alarm on the API's failures")
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
	if want := "{true {true} {KMS} {NEW_AND_OLD_IMAGES} {expires} true}"; got != want {
		t.Errorf("table and key = %s, want %s", got, want)
	}
}
