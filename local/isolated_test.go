package main

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"go.mongodb.org/atlas-sdk/v20250312018/admin"

	"latchkey/local/pocket"
	"latchkey/local/pocket/awscloud/awssdk"
	"latchkey/local/template"
)

// functionsVariable names the folder of the functions' programs; integration/isolated.sh builds
// them, since that takes longer than all other tests of this package.
const functionsVariable = "LATCHKEY_FUNCTIONS"

// isolated is the suite over the functions' own programs. Each invocation has a process of its
// own, so nothing works because of what a process remembers.
type isolated struct {
	running
	suite *suite
	log   *bytes.Buffer
}

func startIsolated(t *testing.T) *isolated {
	t.Helper()
	programs := os.Getenv(functionsVariable)
	if programs == "" {
		t.Skipf("%s is not set; integration/isolated.sh sets it and runs this", functionsVariable)
	}
	cfg := testConfig(t)
	cfg.isolated, cfg.functions, cfg.invocations, cfg.data = true, programs, 1, t.TempDir()
	cfg.owner = owner{
		OrgID: "650000000000000000000002", GroupID: "650000000000000000000001",
		PublicKey: "abcdefgh", PrivateKey: "00000000-0000-4000-8000-000000000060",
	}
	i := &isolated{log: &bytes.Buffer{}}
	begin := time.Now()
	var err error
	if i.suite, err = open(t.Context(), cfg, addresses{}, slog.New(slog.NewJSONHandler(i.log, nil))); err != nil {
		t.Fatal(err)
	}
	t.Logf("ready after %s", time.Since(begin))
	api := httptest.NewServer(i.suite.gateway)
	t.Cleanup(func() {
		api.Close()
		if err := i.suite.close(); err != nil {
			t.Errorf("close: %v", err)
		}
		if t.Failed() {
			t.Log(i.log)
		}
	})
	clouds := pocket.Transport(i.suite.clouds)
	i.running = running{
		t: t, base: api.URL, owner: cfg.owner, clouds: clouds, token: i.suite.secrets.Admin, ahead: &atomic.Int64{},
		tenant: awssdk.Config(clouds, deployedRegion, i.suite.secrets.TenantAWS),
	}
	return i
}

// operate invokes the operator's function.
func (i *isolated) operate(request string) {
	i.t.Helper()
	r := httptest.NewRequestWithContext(i.t.Context(), http.MethodPost, "/2015-03-31/functions/operator/invocations", strings.NewReader(request))
	w := httptest.NewRecorder()
	i.suite.lambda.ServeHTTP(w, r)
	answer, _ := io.ReadAll(w.Body)
	if w.Code != http.StatusOK || w.Header().Get("X-Amz-Function-Error") != "" {
		i.t.Fatalf("%s answers %d %s", request, w.Code, answer)
	}
}

// bringUser brings a key that is reached with the access keys of a user, which are sealed.
func (i *isolated) bringUser() {
	ctx, users := i.t.Context(), iam.NewFromConfig(i.tenant)
	key, err := kms.NewFromConfig(i.tenant).CreateKey(ctx, &kms.CreateKeyInput{})
	i.must(err)
	_, err = users.CreateUser(ctx, &iam.CreateUserInput{UserName: aws.String("atlas")})
	i.must(err)
	_, err = users.PutUserPolicy(ctx, &iam.PutUserPolicyInput{
		UserName: aws.String("atlas"), PolicyName: aws.String("key"),
		PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["kms:Decrypt","kms:Encrypt","kms:DescribeKey"],"Resource":"*"}]}`),
	})
	i.must(err)
	made, err := users.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: aws.String("atlas")})
	i.must(err)
	ear := i.byKey().EncryptionAtRestUsingCustomerKeyManagementApi
	_, _, err = ear.UpdateEncryptionAtRest(ctx, i.owner.GroupID, &admin.EncryptionAtRest{AwsKms: &admin.AWSKMSConfiguration{
		Enabled: aws.Bool(true), AccessKeyID: made.AccessKey.AccessKeyId, SecretAccessKey: made.AccessKey.SecretAccessKey,
		CustomerMasterKeyID: key.KeyMetadata.Arn, Region: aws.String("US_EAST_1"),
	}}).Execute()
	i.must(err)
	got, _, err := ear.GetEncryptionAtRest(ctx, i.owner.GroupID).Execute()
	i.must(err)
	if !got.AwsKms.GetValid() {
		i.t.Fatal("the user's key is not valid")
	}
	_, _, err = ear.UpdateEncryptionAtRest(ctx, i.owner.GroupID, &admin.EncryptionAtRest{
		AwsKms: &admin.AWSKMSConfiguration{Enabled: aws.Bool(false)},
	}).Execute()
	i.must(err)
}

// journey does what operators and tenants do, with every function.
func (i *isolated) journey() {
	i.operate(`{"operation":"createOrganization","name":"Second","ownerEmail":"second@example.com"}`)
	i.operate(`{"operation":"createOwnerKey","orgId":"` + i.owner.OrgID + `"}`)
	i.bringUser()
	client := i.byAccount()
	for _, bring := range []func(*running, *admin.APIClient) journey{
		(*running).bringAWS, (*running).bringAzure, (*running).bringGoogle,
	} {
		i.follow(client, bring(&i.running, client))
	}
	_, _, err := client.CloudProviderAccessApi.ListCloudProviderAccess(i.t.Context(), i.owner.GroupID).Execute()
	i.must(err)
	i.administer(i.byKey())
	i.operate(`{"operation":"purgeClosedProjects"}`)
	i.operate(`{"operation":"rotateSigningKeys"}`)
}

// administer opens a project with people and keys, and closes it.
func (i *isolated) administer(client *admin.APIClient) {
	ctx := i.t.Context()
	group, _, err := client.ProjectsApi.CreateGroup(ctx, &admin.Group{Name: "Project 1", OrgId: i.owner.OrgID}).Execute()
	i.must(err)
	key, _, err := client.ProgrammaticAPIKeysApi.CreateGroupApiKey(ctx, group.GetId(), &admin.CreateAtlasProjectApiKey{
		Desc: "ci", Roles: []string{"GROUP_OWNER"},
	}).Execute()
	i.must(err)
	_, err = client.ProgrammaticAPIKeysApi.AddGroupApiKey(ctx, i.owner.GroupID, key.GetId(), &[]admin.UserAccessRoleAssignment{
		{Roles: &[]string{"GROUP_READ_ONLY"}},
	}).Execute()
	i.must(err)
	_, _, err = client.ProjectsApi.UpdateGroupSettings(ctx, group.GetId(), &admin.GroupSettings{
		IsPerformanceAdvisorEnabled: aws.Bool(false),
	}).Execute()
	i.must(err)
	groups, _, err := client.ProjectsApi.ListGroups(ctx).Execute()
	i.must(err)
	if len(groups.GetResults()) != 2 {
		i.t.Fatal("there are not two projects")
	}
	_, err = client.ProjectsApi.DeleteGroup(ctx, group.GetId()).Execute()
	i.must(err)
	_, err = client.ProgrammaticAPIKeysApi.DeleteOrgApiKey(ctx, i.owner.OrgID, key.GetId()).Execute()
	i.must(err)
}

func TestIsolated_the_functions_need_no_more_than_the_template_gives_them(t *testing.T) {
	startIsolated(t).journey()
}

// attempt is a test that may fail.
type attempt struct {
	testing.TB
	failure string
}

func (a *attempt) Fatal(args ...any)                 { a.fail(fmt.Sprint(args...)) }
func (a *attempt) Fatalf(format string, args ...any) { a.fail(fmt.Sprintf(format, args...)) }
func (a *attempt) Error(args ...any)                 { a.fail(fmt.Sprint(args...)) }
func (a *attempt) Errorf(format string, args ...any) { a.fail(fmt.Sprintf(format, args...)) }

func (a *attempt) fail(why string) {
	a.failure = why
	panic(a)
}

// fails runs the journey and tells why it failed, "" if it did not.
func (i *isolated) fails() (why string) {
	a := &attempt{TB: i.t}
	i.t = a
	defer func() {
		i.t = a.TB
		if p := recover(); p != nil && p != a {
			panic(p)
		}
		why = a.failure
	}()
	i.journey()
	return ""
}

// permit replaces the policy of a function's role.
func (i *isolated) permit(spec template.Function, statements []template.Statement) {
	i.t.Helper()
	roles := iam.NewFromConfig(awssdk.Config(i.clouds, deployedRegion, i.suite.secrets.OperatorRoot))
	if len(statements) == 0 {
		_, err := roles.DeleteRolePolicy(i.t.Context(), &iam.DeleteRolePolicyInput{
			RoleName: aws.String(spec.FunctionName), PolicyName: aws.String(functionPolicy),
		})
		i.must(err)
		return
	}
	policy, err := policyOf(statements)
	i.must(err)
	_, err = roles.PutRolePolicy(i.t.Context(), &iam.PutRolePolicyInput{
		RoleName: aws.String(spec.FunctionName), PolicyName: aws.String(functionPolicy), PolicyDocument: &policy,
	})
	i.must(err)
}

// without are the statements with one action less.
func without(statements []template.Statement, sid, action string) []template.Statement {
	var rest []template.Statement
	for _, s := range statements {
		if s.Sid == sid {
			s.Action = slices.DeleteFunc(slices.Clone(s.Action), func(a string) bool { return a == action })
		}
		if len(s.Action) > 0 {
			rest = append(rest, s)
		}
	}
	return rest
}

// spare are permissions that nothing in the journey needs, with the reason why they are there.
var spare = map[string]string{
	"operator dynamodb:ConditionCheckItem": "no code of the operator's function checks an item today",
	"operator dynamodb:DeleteItem":         "it removes what a purge left that was cut short, and none is here",
}

func TestIsolated_the_functions_need_each_permission(t *testing.T) {
	_, specs, err := resolve(map[string]string{
		"AzureAppSecretArn":          "arn:aws:secretsmanager:us-east-1:123456789012:secret:azure-AbCdEf",
		"GoogleCredentialsSecretArn": "arn:aws:secretsmanager:us-east-1:123456789012:secret:google-AbCdEf",
	})
	if err != nil {
		t.Fatal(err)
	}
	for n, spec := range specs {
		for _, s := range spec.Statements {
			for _, action := range s.Action {
				if s.Effect != "Allow" || spare[spec.Name+" "+action] != "" {
					continue
				}
				t.Run(spec.Name+" "+s.Sid+" "+action, func(t *testing.T) {
					t.Parallel()
					i := startIsolated(t)
					own := i.suite.specs[n]
					i.permit(own, without(own.Statements, s.Sid, action))
					if why := i.fails(); why == "" {
						t.Error("it all works without")
					} else {
						t.Log(why)
					}
				})
			}
		}
	}
}
