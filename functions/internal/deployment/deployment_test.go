package deployment_test

import (
	"log/slog"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/google/go-cmp/cmp"

	"latchkey/functions/internal/deployment"
	"latchkey/functions/internal/deployment/identities"
	"latchkey/functions/internal/deployment/sealing"
	"latchkey/functions/internal/deployment/table"
	"latchkey/functions/internal/deployment/workflows"
)

func environment(variables map[string]string) *deployment.Environment {
	return deployment.New(aws.Config{Region: "us-east-1"}, func(name string) string { return variables[name] },
		time.Now, slog.New(slog.DiscardHandler))
}

func TestEnvironment_readsWhatTheTemplateSets(t *testing.T) {
	env := environment(map[string]string{
		"TABLE_NAME": "latchkey", "SEAL_KEY_ARN": "arn:aws:kms:us-east-1:123456789012:key/1", "EVENT_RETENTION_DAYS": "365",
		"NODE_DOMAIN": "nodes.example.com", "STATE_MACHINE_ARNS": `{"encrypt-cluster": "arn:aws:states:us-east-1:123456789012:stateMachine:x"}`,
	})
	if table.Of(env) == nil || sealing.Sealer(env) == nil || workflows.Starter(env) == nil {
		t.Error("something was not made")
	}
	if got, want := env.EventRetention(), 365*24*time.Hour; got != want {
		t.Errorf("retention = %s, want %s", got, want)
	}
	if got := env.NodeDomain(); got != "nodes.example.com" {
		t.Errorf("domain = %q", got)
	}
	if err := env.Err(); err != nil {
		t.Error(err)
	}
}

func TestEnvironment_saysEveryVariableThatIsWrongAtOnce(t *testing.T) {
	env := environment(map[string]string{"EVENT_RETENTION_DAYS": "-1", "STATE_MACHINE_ARNS": `[]`})
	table.Of(env)
	sealing.Sealer(env)
	env.EventRetention()
	env.NodeDomain()
	workflows.Starter(env)
	if env.Err() == nil {
		t.Fatal("all is well")
	}
	var named []string
	for line := range strings.Lines(env.Err().Error()) {
		name, _, _ := strings.Cut(line, ":")
		named = append(named, name)
	}
	want := []string{"TABLE_NAME", "SEAL_KEY_ARN", "EVENT_RETENTION_DAYS", "NODE_DOMAIN", "STATE_MACHINE_ARNS"}
	if diff := cmp.Diff(want, named); diff != "" {
		t.Errorf("want (-) and named (+):\n%s", diff)
	}
}

func TestRole_isWhatLambdaPutsIntoTheEnvironment(t *testing.T) {
	env := environment(map[string]string{
		"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "ASIA1", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "token",
	})
	role := env.Role()
	got, err := role.Credentials.Retrieve(t.Context())
	if err != nil || env.Err() != nil {
		t.Fatal(err, env.Err())
	}
	want := []string{"eu-west-1", "ASIA1", "secret", "token"}
	if diff := cmp.Diff(want, []string{role.Region, got.AccessKeyID, got.SecretAccessKey, got.SessionToken}); diff != "" {
		t.Error(diff)
	}
	if role.BaseEndpoint != nil {
		t.Errorf("AWS is asked at %s", *role.BaseEndpoint)
	}
	if elsewhere := environment(map[string]string{"AWS_ENDPOINT_URL": "http://127.0.0.1:5000"}).Role(); elsewhere.BaseEndpoint == nil || *elsewhere.BaseEndpoint != "http://127.0.0.1:5000" {
		t.Error("AWS_ENDPOINT_URL is not heeded")
	}
	bare := environment(nil)
	if bare.Role(); bare.Err() == nil {
		t.Error("a function starts without a role")
	}
}

func TestCollectLate_leavesAQuarterOfTheMemory(t *testing.T) {
	limit, growth := debug.SetMemoryLimit(-1), debug.SetGCPercent(100)
	t.Cleanup(func() {
		debug.SetMemoryLimit(limit)
		debug.SetGCPercent(growth)
	})
	for _, unknown := range []string{"", "much"} {
		deployment.CollectLate(unknown)
		if got := debug.SetMemoryLimit(-1); got != limit {
			t.Errorf("a function of %q MB is limited to %d bytes", unknown, got)
		}
	}
	deployment.CollectLate("256")
	if got, want := debug.SetMemoryLimit(-1), int64(192<<20); got != want {
		t.Errorf("the limit is %d bytes, want %d", got, want)
	}
	if got := debug.SetGCPercent(100); got <= 100 {
		t.Errorf("garbage is collected at %d%%", got)
	}
}

func TestStarter_needsAStateMachine(t *testing.T) {
	for _, arns := range []string{"", "{}", "null", "arn:aws:states:…"} {
		env := environment(map[string]string{"STATE_MACHINE_ARNS": arns})
		if workflows.Starter(env); env.Err() == nil {
			t.Errorf("%q is taken", arns)
		}
	}
}

func TestOpen_hasNoIdentitiesThatTheDeploymentDoesNotHave(t *testing.T) {
	env := environment(nil)
	own, err := identities.Open(t.Context(), env, identities.Few)
	if err != nil || own.Keys == nil || own.AzureAppID != "" {
		t.Errorf("%+v, %v", own, err)
	}
	accounts, err := own.GoogleAccounts(env)
	if err != nil || accounts != nil || env.Err() != nil {
		t.Errorf("%v, %v, %v", accounts, err, env.Err())
	}
}
