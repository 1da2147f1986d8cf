package latchkey_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"latchkey/local/template"
)

// wide are the statements whose resource cannot be one that the template names, with the reason.
var wide = map[string]string{
	"AssumeTenantRoles": "tenants' roles are in accounts and under names that only they choose",
	"SeeExecutions":     "executions of the one state machine, each named for the plan that it carries out",
}

// evidence is the code that needs a permission: without it in a function, the permission is too
// much.
var evidence = map[string]*regexp.Regexp{
	"dynamodb:ConditionCheckItem":   regexp.MustCompile(`types\.ConditionCheck\{`),
	"dynamodb:DeleteItem":           regexp.MustCompile(`types\.Delete\{`),
	"dynamodb:GetItem":              regexp.MustCompile(`dynamodb\.GetItemInput\{`),
	"dynamodb:PutItem":              regexp.MustCompile(`types\.Put\{|dynamodb\.PutItemInput\{`),
	"dynamodb:Query":                regexp.MustCompile(`dynamodb\.QueryInput\{`),
	"kms:Decrypt":                   regexp.MustCompile(`package awsseal\b[\s\S]*kms\.DecryptInput\{`),
	"kms:GenerateDataKey":           regexp.MustCompile(`package awsseal\b[\s\S]*kms\.GenerateDataKeyInput\{`),
	"secretsmanager:GetSecretValue": regexp.MustCompile(`secretsmanager\.GetSecretValueInput\{`),
	"states:DescribeExecution":      regexp.MustCompile(`sfn\.DescribeExecutionInput\{`),
	"states:StartExecution":         regexp.MustCompile(`sfn\.StartExecutionInput\{`),
	"sts:AssumeRole":                regexp.MustCompile(`stscreds\.NewAssumeRoleProvider\(`),
}

// Permissions of which every function that has the code must have the permission too. Those
// of the table are left out: its adapter has the code for all, whoever uses it.
var mutual = []string{"kms:Decrypt", "kms:GenerateDataKey", "secretsmanager:GetSecretValue", "states:StartExecution", "sts:AssumeRole"}

// opensOnly are functions that make no secrets, and so need not seal.
var opensOnly = map[string]string{
	"validate": "it checks keys with credentials that were stored before",
	"keytasks": "it uses keys with credentials that were stored before",
}

// takesSealer is how a main asks for what seals: the adapter's code is linked into every program.
var takesSealer = regexp.MustCompile(`\.Sealer\(\)`)

// isNeeded reports whether a function cannot do without a permission for which it has the code.
func isNeeded(t *testing.T, f template.Function, action string) bool {
	t.Helper()
	if !strings.HasPrefix(action, "kms:") {
		return true
	}
	source, err := os.ReadFile("functions/" + f.Name + "/main.go")
	if err != nil {
		t.Fatal(err)
	}
	return takesSealer.Match(source) && (action != "kms:GenerateDataKey" || opensOnly[f.Name] == "")
}

// withSecrets is the template with every optional statement in it.
func withSecrets(t *testing.T) []template.Function {
	t.Helper()
	tmpl, err := template.Load("template.yaml", template.Options{Parameters: map[string]string{
		"AzureAppSecretArn":          "arn:aws:secretsmanager:us-east-1:123456789012:secret:azure-AbCdEf",
		"GoogleCredentialsSecretArn": "arn:aws:secretsmanager:us-east-1:123456789012:secret:google-AbCdEf",
	}})
	if err != nil {
		t.Fatal(err)
	}
	functions, err := tmpl.Functions()
	if err != nil {
		t.Fatal(err)
	}
	return functions
}

func TestPolicies_nameWhatTheyAllow(t *testing.T) {
	used := map[string]bool{}
	for _, f := range withSecrets(t) {
		if len(f.Statements) == 0 {
			t.Errorf("%s has no policy of its own", f.ID)
		}
		for _, s := range f.Statements {
			if s.Sid == "" || len(s.Action) == 0 || len(s.Resource) == 0 {
				t.Errorf("%s: a statement is incomplete: %+v", f.ID, s)
			}
			for _, action := range s.Action {
				if strings.Contains(action, "*") {
					t.Errorf("%s: %s allows %s", f.ID, s.Sid, action)
				}
			}
			for _, resource := range s.Resource {
				if s.Effect != "Allow" || !strings.Contains(resource, "*") {
					continue
				}
				if wide[s.Sid] == "" {
					t.Errorf("%s: %s allows %s, without a reason in this test", f.ID, s.Sid, resource)
				}
				used[s.Sid] = true
			}
		}
	}
	for sid := range wide {
		if !used[sid] {
			t.Errorf("there is no wide statement %s any more", sid)
		}
	}
}

func TestPolicies_allowWhatTheCodeCallsAndNoMore(t *testing.T) {
	for _, f := range withSecrets(t) {
		code := sources(t, "./functions/"+f.Name)
		allowed := map[string]bool{}
		for _, s := range f.Statements {
			for _, action := range s.Action {
				allowed[action] = allowed[action] || s.Effect == "Allow"
				pattern, known := evidence[action]
				if !known {
					t.Errorf("%s: nothing here tells what code needs %s", f.ID, action)
				} else if !pattern.Match(code) {
					t.Errorf("%s may %s, and has no code that does", f.ID, action)
				}
			}
		}
		for _, action := range mutual {
			if evidence[action].Match(code) && !allowed[action] && isNeeded(t, f, action) {
				t.Errorf("%s has code that does %s, and may not", f.ID, action)
			}
		}
	}
}

// tenants are the functions that touch tenants' keys, with the reason. No other may be anybody
// in a tenant's cloud.
var tenants = map[string]string{
	"encryption": "it proves a configuration before it stores it",
	"keytasks":   "it proves keys for workflows",
	"nodes":      "it wraps and releases master keys",
	"validate":   "it checks keys",
}

func TestPolicies_keepTenantsRolesToFewFunctions(t *testing.T) {
	var same string // what bounds the roles that may be assumed
	for _, f := range withSecrets(t) {
		var bounds []template.Statement
		for _, s := range f.Statements {
			for _, action := range s.Action {
				if strings.HasPrefix(action, "sts:") {
					bounds = append(bounds, s)
				}
				if strings.HasPrefix(action, "kms:") && s.Condition == nil {
					t.Errorf("%s: %s opens whatever is sealed", f.ID, s.Sid)
				}
			}
		}
		if reaches := len(bounds) > 0; reaches != (tenants[f.Name] != "") {
			t.Errorf("%s may assume roles: %v", f.ID, reaches)
		}
		if len(bounds) == 0 {
			continue
		}
		text := fmt.Sprint(bounds)
		if !strings.Contains(text, "sts:ExternalId") || !strings.Contains(text, "Deny") || same != "" && text != same {
			t.Errorf("%s may assume others than the functions before: %s", f.ID, text)
		}
		same = text
	}
}

// A tenant's secrets, the keys that sign, and those that nodes seal to are opened by different
// functions.
func TestPolicies_openWhatTheFunctionHasBusinessWith(t *testing.T) {
	want := map[string][]string{
		"authorizer": {"apiKey/*", "system"},
		"adminapi":   {"system"},
		"encryption": {"group/*"},
		"operator":   {"apiKey/*", "system"},
		"nodes":      {"group/*", "system recipientKeys"},
		"validate":   {"group/*"},
		"keytasks":   {"group/*"},
	}
	got := map[string][]string{}
	for _, f := range withSecrets(t) {
		for _, s := range f.Statements {
			if !slices.Contains(s.Action, "kms:Decrypt") {
				continue
			}
			var bound struct{ StringLike, StringEquals map[string]template.Strings }
			text, err := json.Marshal(s.Condition)
			if err == nil {
				err = json.Unmarshal(text, &bound)
			}
			if err != nil {
				t.Fatal(err)
			}
			const scope, field = "kms:EncryptionContext:latchkey:scope", "kms:EncryptionContext:latchkey:field"
			got[f.Name] = append(got[f.Name], bound.StringLike[scope]...)
			for _, name := range bound.StringEquals[scope] {
				got[f.Name] = append(got[f.Name], name+" "+strings.Join(bound.StringEquals[field], ","))
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("want (-) and template (+):\n%s", diff)
	}
}

// sources is the text of all packages of this module that a program is linked from, tests left
// out.
func sources(t *testing.T, program string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", `{{if and .Module .Module.Main}}{{.Dir}}{{end}}`, program)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %s: %v", program, err)
	}
	var code bytes.Buffer
	for dir := range strings.FieldsSeq(string(out)) {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range files {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			source, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			code.Write(source)
		}
	}
	return code.Bytes()
}
