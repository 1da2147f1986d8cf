package awscloud_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"latchkey/local/pocket"
	"latchkey/local/pocket/awscloud"
	"latchkey/local/pocket/awscloud/awssdk"
)

const (
	tenant   = "111122223333"
	operator = "999900001111"
	home     = "us-east-1"

	latchkeyARN = "arn:aws:iam::999900001111:user/latchkey"
	mayAssume   = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*"}]}`
)

var (
	tenantRoot   = awscloud.Keys{AccessKeyID: "AKIATENANTROOT000000", SecretAccessKey: "tenant-root-secret"}
	operatorRoot = awscloud.Keys{AccessKeyID: "AKIAOPERATORROOT0000", SecretAccessKey: "operator-root-secret"}
	latchkeyKeys = awscloud.Keys{AccessKeyID: "AKIALATCHKEY00000000", SecretAccessKey: "latchkey-secret"}
)

// world is a pocket AWS with a tenant's and the operator's account, reached in process by the
// real SDK clients.
type world struct {
	t         testing.TB
	state     pocket.State
	cfg       awscloud.Config
	faults    *pocket.Faults
	handler   http.Handler
	transport http.RoundTripper
}

func newWorld(t testing.TB, change ...func(*awscloud.Config)) *world {
	t.Helper()
	w := &world{t: t, state: pocket.Memory(), cfg: awscloud.Config{
		Now: time.Now,
		Accounts: []awscloud.Account{
			{ID: tenant, Root: tenantRoot},
			{ID: operator, Root: operatorRoot, Users: []awscloud.User{
				{Name: "latchkey", Keys: []awscloud.Keys{latchkeyKeys}, Policies: map[string]string{"assume": mayAssume}},
			}},
		},
	}}
	for _, fn := range change {
		fn(&w.cfg)
	}
	w.restart()
	return w
}

// restart opens the cloud anew over the same state.
func (w *world) restart() {
	w.t.Helper()
	cloud, err := awscloud.New(w.state, w.cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	w.faults = &pocket.Faults{}
	w.handler = pocket.New(w.faults, awscloud.Alias, cloud.Services()...)
	w.transport = pocket.Transport(w.handler)
}

func (w *world) config(keys awscloud.Keys) aws.Config { return awssdk.Config(w.transport, home, keys) }

func (w *world) kms(keys awscloud.Keys, opts ...func(*kms.Options)) *kms.Client {
	return kms.NewFromConfig(w.config(keys), opts...)
}

func (w *world) kmsIn(region string, keys awscloud.Keys) *kms.Client {
	return w.kms(keys, func(o *kms.Options) { o.Region = region })
}

func (w *world) iam(keys awscloud.Keys) *iam.Client { return iam.NewFromConfig(w.config(keys)) }

func (w *world) sts(keys awscloud.Keys) *sts.Client { return sts.NewFromConfig(w.config(keys)) }

func (w *world) ctx() context.Context { return w.t.Context() }

// newKey makes a key in the tenant's account.
func (w *world) newKey(change ...func(*kms.CreateKeyInput)) string {
	w.t.Helper()
	in := &kms.CreateKeyInput{}
	for _, fn := range change {
		fn(in)
	}
	return *must(w.kms(tenantRoot).CreateKey(w.ctx(), in))(w.t).KeyMetadata.Arn
}

// newRole makes a role in the tenant's account that trusts as its policy says.
func (w *world) newRole(name, trust string, policies ...string) string {
	w.t.Helper()
	client := w.iam(tenantRoot)
	out := must(client.CreateRole(w.ctx(), &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: &trust}))(w.t)
	for _, text := range policies {
		must(client.PutRolePolicy(w.ctx(), &iam.PutRolePolicyInput{RoleName: &name, PolicyName: aws.String("inline"), PolicyDocument: &text}))(w.t)
	}
	return *out.Role.Arn
}

// newUser makes a user with an access key in an account.
func (w *world) newUser(admin awscloud.Keys, name string, policies ...string) awscloud.Keys {
	w.t.Helper()
	client := w.iam(admin)
	must(client.CreateUser(w.ctx(), &iam.CreateUserInput{UserName: &name}))(w.t)
	for _, text := range policies {
		must(client.PutUserPolicy(w.ctx(), &iam.PutUserPolicyInput{UserName: &name, PolicyName: aws.String("inline"), PolicyDocument: &text}))(w.t)
	}
	k := must(client.CreateAccessKey(w.ctx(), &iam.CreateAccessKeyInput{UserName: &name}))(w.t).AccessKey
	return awscloud.Keys{AccessKeyID: *k.AccessKeyId, SecretAccessKey: *k.SecretAccessKey}
}

// session is a KMS client with the credentials that AssumeRole gave.
func (w *world) session(out *sts.AssumeRoleOutput, opts ...func(*kms.Options)) *kms.Client {
	cfg := w.config(awscloud.Keys{})
	cfg.Credentials = credentials.NewStaticCredentialsProvider(
		*out.Credentials.AccessKeyId, *out.Credentials.SecretAccessKey, *out.Credentials.SessionToken)
	return kms.NewFromConfig(cfg, opts...)
}

func (w *world) assume(role string, change ...func(*sts.AssumeRoleInput)) (*sts.AssumeRoleOutput, error) {
	in := &sts.AssumeRoleInput{RoleArn: &role, RoleSessionName: aws.String("latchkey")}
	for _, fn := range change {
		fn(in)
	}
	return w.sts(latchkeyKeys).AssumeRole(w.ctx(), in)
}

// must returns a function that ends the test if there was an error.
func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// codeOf is the error code that the service answered with; "" for success.
func codeOf(err error) string {
	if err == nil {
		return ""
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode()
	}
	return "no API error: " + err.Error()
}

func wantCode(t testing.TB, what string, err error, want string) {
	t.Helper()
	if got := codeOf(err); got != want {
		t.Errorf("%s answers %q (%v), want %q", what, got, err, want)
	}
}

func allow(actions, resource string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":` + actions + `,"Resource":"` + resource + `"}]}`
}

func trust(principal, condition string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + principal + `"},"Action":"sts:AssumeRole"` + condition + `}]}`
}
