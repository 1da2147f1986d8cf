package latchkey_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"latchkey/local/template"
)

// wide are the statements whose resource cannot be one that the template names, with the reason.
var wide = map[string]string{
	"AssumeTenantRoles": "tenants' roles are in accounts and under names that only they choose",
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
	"sts:AssumeRole":                regexp.MustCompile(`stscreds\.NewAssumeRoleProvider\(`),
}

// Permissions of which every function that has the code must have the permission too. Those
// of the table are left out: its adapter has the code for all, whoever uses it.
var mutual = []string{"kms:Decrypt", "kms:GenerateDataKey", "secretsmanager:GetSecretValue", "sts:AssumeRole"}

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
			if evidence[action].Match(code) && !allowed[action] {
				t.Errorf("%s has code that does %s, and may not", f.ID, action)
			}
		}
	}
}

func TestPolicies_keepTenantsRolesToOneFunction(t *testing.T) {
	for _, f := range withSecrets(t) {
		for _, s := range f.Statements {
			for _, action := range s.Action {
				if strings.HasPrefix(action, "sts:") && f.Name != "encryption" {
					t.Errorf("%s: %s allows %s", f.ID, s.Sid, action)
				}
				if strings.HasPrefix(action, "kms:") && s.Condition == nil {
					t.Errorf("%s: %s opens whatever is sealed", f.ID, s.Sid)
				}
			}
		}
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
