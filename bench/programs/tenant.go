package programs

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"go.mongodb.org/atlas-sdk/v20250312018/admin"

	"latchkey/local/lambdasvc"
	"latchkey/local/pocket"
	"latchkey/local/pocket/awscloud/awssdk"
	"latchkey/local/runtimeapi"
	"latchkey/local/stack"
)

// tenant is an organization whose projects' keys are in AWS KMS, behind the gateway of the template.
type tenant struct {
	api     *admin.APIClient
	orgID   string
	account aws.Config
	// encryption is the encryption function; seen is the event that the gateway sent it last.
	encryption *runtimeapi.Function
	seen       *recorder
}

// recorder is a function that remembers its last event and answer.
type recorder struct {
	lambdasvc.Invoker

	event, answer []byte
}

// Invoke implements lambdasvc.Invoker.
func (r *recorder) Invoke(ctx context.Context, event []byte) ([]byte, error) {
	answer, err := r.Invoker.Invoke(ctx, event)
	r.event, r.answer = event, answer
	return answer, err
}

// settle makes an organization that is reached as tenants reach theirs: through the gateway and with the official client.
func (e *estate) settle(ctx context.Context) (*tenant, error) {
	t := &tenant{account: awssdk.Config(pocket.Transport(e.clouds.Served), stack.Region, e.clouds.Secrets.TenantAWS)}
	var functions []lambdasvc.Function
	for _, spec := range e.specs {
		made := stack.Lambda(spec, nil)
		switch spec.Name { // those that the tenant's requests lead to
		case "operator", "authorizer", "adminapi", "encryption":
			config, err := e.function(ctx, spec.Name)
			if err != nil {
				return nil, err
			}
			program := runtimeapi.New(config)
			e.lab.Defer(func() { program.Close() }) //nolint:errcheck // it never fails
			made.Handler, made.Timeout = program, patience
			if spec.Name == "encryption" {
				t.encryption, t.seen = program, &recorder{Invoker: program}
				made.Handler = t.seen
			}
		}
		functions = append(functions, made)
	}
	operator, err := stack.Named(functions, "operator")
	if err != nil {
		return nil, err
	}
	owner, err := stack.EnsureOwner(ctx, e.state, operator, stack.Owner{})
	if err != nil {
		return nil, err
	}
	gateway, err := stack.Gateway(e.template, functions, time.Now, e.log)
	if err != nil {
		return nil, err
	}
	server := httptest.NewServer(gateway)
	e.lab.Defer(server.Close)
	t.orgID = owner.OrgID
	t.api, err = admin.NewClient(admin.UseBaseURL(server.URL), admin.UseDigestAuth(owner.PublicKey, owner.PrivateKey))
	return t, err
}

// project makes a project that is encrypted with a key of its own, and returns the event that the function gets of
// who reads its configuration, with the answer that it gives.
func (t *tenant) project(ctx context.Context, name string) (event, answer []byte, err error) {
	made, _, err := t.api.ProjectsApi.CreateGroup(ctx, &admin.Group{Name: name, OrgId: t.orgID}).Execute()
	if err != nil {
		return nil, nil, err
	}
	if err := t.bringKey(ctx, made.GetId()); err != nil {
		return nil, nil, err
	}
	return t.get(ctx, made.GetId())
}

// bringKey makes a key and a role that may use it, and has a project encrypted with it.
func (t *tenant) bringKey(ctx context.Context, groupID string) error {
	key, err := kms.NewFromConfig(t.account).CreateKey(ctx, &kms.CreateKeyInput{})
	if err != nil {
		return err
	}
	access, _, err := t.api.CloudProviderAccessApi.CreateCloudProviderAccess(ctx, groupID,
		&admin.CloudProviderAccessRoleRequest{ProviderName: "AWS"}).Execute()
	if err != nil {
		return err
	}
	role, err := makeRole(ctx, iam.NewFromConfig(t.account), access, aws.ToString(key.KeyMetadata.Arn))
	if err != nil {
		return err
	}
	_, _, err = t.api.CloudProviderAccessApi.AuthorizeProviderAccessRole(ctx, groupID, access.GetRoleId(),
		&admin.CloudProviderAccessRoleRequestUpdate{ProviderName: "AWS", IamAssumedRoleArn: &role}).Execute()
	if err != nil {
		return err
	}
	_, _, err = t.api.EncryptionAtRestUsingCustomerKeyManagementApi.UpdateEncryptionAtRest(ctx, groupID, &admin.EncryptionAtRest{
		AwsKms: &admin.AWSKMSConfiguration{
			Enabled: aws.Bool(true), RoleId: access.RoleId, CustomerMasterKeyID: key.KeyMetadata.Arn, Region: aws.String("US_EAST_1"),
		},
	}).Execute()
	return err
}

// makeRole makes the role that a project may assume, and returns its ARN.
func makeRole(ctx context.Context, roles *iam.Client, access *admin.CloudProviderAccessRole, key string) (string, error) {
	role, err := roles.CreateRole(ctx, &iam.CreateRoleInput{
		RoleName: aws.String("atlas-kms-" + access.GetRoleId()),
		AssumeRolePolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` +
			access.GetAtlasAWSAccountArn() + `"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"` +
			access.GetAtlasAssumedRoleExternalId() + `"}}}]}`),
	})
	if err != nil {
		return "", err
	}
	_, err = roles.PutRolePolicy(ctx, &iam.PutRolePolicyInput{
		RoleName: role.Role.RoleName, PolicyName: aws.String("key"),
		PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow",` +
			`"Action":["kms:Decrypt","kms:Encrypt","kms:DescribeKey"],"Resource":"` + key + `"}]}`),
	})
	return aws.ToString(role.Role.Arn), err
}

// get reads a project's configuration through the gateway, and returns the event that the function got for it
// with the answer that it gave.
func (t *tenant) get(ctx context.Context, groupID string) (event, answer []byte, err error) {
	_, response, err := t.api.EncryptionAtRestUsingCustomerKeyManagementApi.GetEncryptionAtRest(ctx, groupID).Execute()
	if err != nil {
		return nil, nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, nil, fmt.Errorf("GET answers %s", response.Status)
	}
	return t.seen.event, t.seen.answer, nil
}

// status is the status of a function's answer to the gateway.
func status(answer []byte) (int, error) {
	var a struct {
		StatusCode int `json:"statusCode"`
	}
	err := json.Unmarshal(answer, &a)
	return a.StatusCode, err
}
