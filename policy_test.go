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

	"latchkey/local/pocket/awscloud/policy"
	"latchkey/local/template"
	"latchkey/shared/endpoint/awsvpc"
	"latchkey/shared/kms/awskms"
)

// wide are the statements whose resource cannot be one that the template names, with the reason.
var wide = map[string]string{
	"AssumeTenantRoles": "tenants' roles are in accounts and under names that only they choose",
	"SendMail":          "the sender may be an identity of its own or of its domain's; the condition names the address",
	"SendTextMessages":  "telephones have no ARN",
	"SeeExecutions":     "executions of state machines that are named, each named for what it carries out",
	"SeeEndpoints":      "descriptions have no resources",
	"MakeEndpoints":     "endpoints get their ids from AWS; they must bear the tag of Latchkey's",
	"UseNetworks":       "which networks is a parameter; the endpoint that is made in them must bear the tag",
	"TagEndpoints":      "endpoints get their ids from AWS; they are tagged only as they are made",
	"RemoveEndpoints":   "endpoints get their ids from AWS; they must bear the tag of Latchkey's",
}

// evidence is the code that needs a permission: without it in a function, the permission is too
// much.
var evidence = map[string]*regexp.Regexp{
	"dynamodb:ConditionCheckItem":   regexp.MustCompile(`types\.ConditionCheck\{`),
	"dynamodb:DeleteItem":           regexp.MustCompile(`types\.Delete\{`),
	"dynamodb:GetItem":              regexp.MustCompile(`dynamodb\.GetItemInput\{`),
	"dynamodb:PutItem":              regexp.MustCompile(`types\.Put\{|dynamodb\.PutItemInput\{`),
	"dynamodb:Query":                regexp.MustCompile(`dynamodb\.QueryInput\{`),
	"ec2:CreateTags":                regexp.MustCompile(`types\.TagSpecification\{`),
	"ec2:CreateVpcEndpoint":         regexp.MustCompile(`ec2\.CreateVpcEndpointInput\{`),
	"ec2:DeleteVpcEndpoints":        regexp.MustCompile(`ec2\.DeleteVpcEndpointsInput\{`),
	"ec2:DescribeVpcEndpoints":      regexp.MustCompile(`ec2\.DescribeVpcEndpointsInput\{`),
	"events:PutEvents":              regexp.MustCompile(`eventbridge\.PutEventsInput\{`),
	"kms:Decrypt":                   regexp.MustCompile(`package awsseal\b[\s\S]*kms\.DecryptInput\{`),
	"kms:GenerateDataKey":           regexp.MustCompile(`package awsseal\b[\s\S]*kms\.GenerateDataKeyInput\{`),
	"secretsmanager:GetSecretValue": regexp.MustCompile(`secretsmanager\.GetSecretValueInput\{`),
	"ses:SendEmail":                 regexp.MustCompile(`sesv2\.SendEmailInput\{`),
	"sns:Publish":                   regexp.MustCompile(`sns\.PublishInput\{`),
	"states:DescribeExecution":      regexp.MustCompile(`sfn\.DescribeExecutionInput\{`),
	"states:GetExecutionHistory":    regexp.MustCompile(`sfn\.GetExecutionHistoryInput\{`),
	"states:StartExecution":         regexp.MustCompile(`sfn\.StartExecutionInput\{`),
	"sts:AssumeRole":                regexp.MustCompile(`stscreds\.NewAssumeRoleProvider\(`),
}

// onItsBehalf are permissions that Lambda uses in a function's name, to read its stream and to keep what
// it could not handle. No code needs them.
var onItsBehalf = []string{
	"dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:ListStreams", "sqs:SendMessage",
}

// Permissions of which every function that has the code must have the permission too. Those
// of the table are left out: its adapter has the code for all, whoever uses it.
var mutual = []string{
	"ec2:CreateTags", "ec2:CreateVpcEndpoint", "ec2:DeleteVpcEndpoints", "ec2:DescribeVpcEndpoints", "kms:Decrypt", "kms:GenerateDataKey",
	"secretsmanager:GetSecretValue", "states:GetExecutionHistory", "states:StartExecution", "sts:AssumeRole", "events:PutEvents", "ses:SendEmail", "sns:Publish",
}

// opensOnly are functions that make no secrets, and so need not seal.
var opensOnly = map[string]string{
	"validate": "it checks keys with credentials that were stored before",
	"keytasks": "it uses keys with credentials that were stored before",
	"notify":   "it sends with secrets that were stored before",
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
		"AlertTopicArn":              "arn:aws:sns:us-east-1:123456789012:alerts", "EventBusName": "operators",
		"MailFrom": "alerts@example.com", "SmsNotifications": "true",
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
			if s.Sid == "" || len(s.Action) == 0 || (len(s.Resource) > 0) == (len(s.NotResource) > 0) || len(s.NotResource) > 0 && s.Effect == "Allow" {
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
				if slices.Contains(onItsBehalf, action) {
					continue
				}
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

// trustOf is the trust policy of the template's canary.
func trustOf(t *testing.T, tmpl *template.Template) (arn string, trust policy.Document) {
	t.Helper()
	canary, ok := tmpl.Resource("CanaryRole")
	if !ok {
		t.Fatal("there is no canary")
	}
	for name := range canary.Properties {
		if !slices.Contains([]string{"AssumeRolePolicyDocument", "Description", "RoleName"}, name) {
			t.Errorf("the canary has %s", name) // above all no policies
		}
	}
	text, err := json.Marshal(canary.Properties["AssumeRolePolicyDocument"])
	if err != nil {
		t.Fatal(err)
	}
	trust, err = policy.Parse(string(text), policy.Trust)
	if err != nil {
		t.Fatal(err)
	}
	return "arn:aws:iam::123456789012:role/" + fmt.Sprint(canary.Properties["RoleName"]), trust
}

// allowances is the policy of a function's role.
func allowances(t *testing.T, f template.Function) policy.Document {
	t.Helper()
	var statements []map[string]any
	for _, s := range f.Statements {
		one := map[string]any{"Effect": s.Effect, "Action": s.Action, "Resource": s.Resource, "NotResource": s.NotResource, "Condition": s.Condition}
		for name, value := range one {
			if fmt.Sprint(value) == "[]" || fmt.Sprint(value) == "map[]" {
				delete(one, name)
			}
		}
		statements = append(statements, one)
	}
	text, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": statements})
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := policy.Parse(string(text), policy.Identity)
	if err != nil {
		t.Fatalf("%s: %v", f.ID, err)
	}
	return parsed
}

// The canary is the one role of its own account that a function may assume, its external id is
// good for nothing else, and it says nothing about the function's permission if it can be assumed
// without.
func TestPolicies_spareTheCanaryAlone(t *testing.T) {
	tmpl, functions, _ := load(t)
	arn, trust := trustOf(t, tmpl)
	const tenantID = "0d3b1a52-0000-4000-8000-000000000001"
	for _, f := range functions {
		document, role := allowances(t, f), "arn:aws:iam::123456789012:role/"+f.FunctionName
		reaches := tenants[f.Name] != ""
		if got := f.Environment["CANARY_ROLE_ARN"]; reaches != (got == arn) || !reaches && got != "" {
			t.Errorf("%s is told of the canary %q", f.ID, got)
		}
		for _, c := range []struct {
			role, externalID string
			may              bool
		}{
			{"arn:aws:iam::111122223333:role/kms", tenantID, true},
			{"arn:aws:iam::111122223333:role/kms", awskms.CanaryExternalID, false},
			{"arn:aws:iam::111122223333:role/kms", "", false},
			{"arn:aws:iam::123456789012:role/admin", tenantID, false},
			{"arn:aws:iam::123456789012:role/admin", awskms.CanaryExternalID, false},
			{"arn:aws:iam::123456789012:role/admin", "", false},
			{arn, awskms.CanaryExternalID, true},
			{arn, tenantID, false},
			{arn, "", false},
		} {
			r := policy.Request{
				Caller: policy.Caller{Account: "123456789012", Root: "arn:aws:iam::123456789012:root", Identity: role},
				Action: "sts:AssumeRole", Resource: c.role, Context: map[string][]string{"aws:principalarn": {role}},
			}
			if c.externalID != "" {
				r.Context["sts:externalid"] = []string{c.externalID}
			}
			if got := document.Decide(r).Allowed(); got != (c.may && reaches) {
				t.Errorf("%s may assume %s with external id %q: %t", f.ID, c.role, c.externalID, got)
			}
			if c.role != arn {
				continue
			}
			want := policy.Silent
			if c.may && reaches {
				want = policy.ToAccount // so that the function's own policy counts too
			}
			if got := trust.Decide(r); got != want {
				t.Errorf("the canary says %v to %s with external id %q, want %v", got, f.ID, c.externalID, want)
			}
		}
	}
}

// What must be tagged, and with what, is the same in the policy and in the code.
func TestPolicies_letOnlyEndpointsOfLatchkeyBeMadeAndRemoved(t *testing.T) {
	conditions := map[string]string{
		"ec2:CreateTags":         `{"StringEquals":{"ec2:CreateAction":"CreateVpcEndpoint"}}`,
		"ec2:CreateVpcEndpoint":  `{"Null":{"aws:RequestTag/` + awsvpc.TagEndpoint + `":"false"}}`,
		"ec2:DeleteVpcEndpoints": `{"Null":{"aws:ResourceTag/` + awsvpc.TagEndpoint + `":"false"}}`,
	}
	bound := 0
	for _, f := range withSecrets(t) {
		for _, s := range f.Statements {
			for _, action := range s.Action {
				want := conditions[action]
				if want == "" || s.Sid == "UseNetworks" {
					continue
				}
				bound++
				if got, err := json.Marshal(s.Condition); err != nil || string(got) != want {
					t.Errorf("%s: %s on the condition %s, want %s", f.ID, action, got, want)
				}
			}
		}
	}
	if bound != len(conditions) {
		t.Errorf("%d statements are bound, want %d", bound, len(conditions))
	}
}

// Private endpoints are reached from within networks alone.
func TestPolicies_attachTheFunctionsThatUseKeysToTheVPCAndNoOthers(t *testing.T) {
	for _, parameters := range []map[string]string{nil, {"KeyVpcSubnetIds": "subnet-1,subnet-2", "KeyVpcSecurityGroupIds": "sg-1"}} {
		tmpl, err := template.Load("template.yaml", template.Options{Parameters: parameters})
		if err != nil {
			t.Fatal(err)
		}
		functions, err := tmpl.Functions()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range functions {
			var want []string
			if parameters != nil && tenants[f.Name] != "" {
				want = []string{"subnet-1", "subnet-2"}
			}
			if !slices.Equal(f.SubnetIDs, want) {
				t.Errorf("%s is attached to %q, want %q", f.ID, f.SubnetIDs, want)
			}
		}
	}
}

// A tenant's secrets, the keys that sign, and those that nodes seal to are opened by different
// functions.
func TestPolicies_openWhatTheFunctionHasBusinessWith(t *testing.T) {
	want := map[string][]string{
		"authorizer": {"apiKey/*", "system"},
		"adminapi":   {"system", "group/* notification.microsoftTeamsWebhookUrl,notification.webhookUrl"},
		"console":    {"console session"},
		"encryption": {"group/*"},
		"operator":   {"apiKey/*", "system"},
		"nodes":      {"group/*", "system recipientKeys"},
		"validate":   {"group/*"},
		"keytasks":   {"group/*"},
		"notify":     {"group/* notification.*"},
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
			for _, name := range slices.Concat(bound.StringLike[scope], bound.StringEquals[scope]) {
				fields := strings.Join(slices.Concat(bound.StringLike[field], bound.StringEquals[field]), ",")
				got[f.Name] = append(got[f.Name], strings.TrimSpace(name+" "+fields))
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
