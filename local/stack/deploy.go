package stack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"latchkey/local/pocket/awscloud"
	"latchkey/local/template"
	"latchkey/shared/kms/awskms"
	"latchkey/shared/store/dynamo"
)

// awsConfig is the tenant's account, which is empty, and the operator's.
func (c *Clouds) awsConfig() awscloud.Config {
	return awscloud.Config{
		Now: c.cfg.Now, EndpointDelay: c.cfg.EndpointDelay,
		Accounts: []awscloud.Account{{ID: TenantAccount, Root: c.Secrets.TenantAWS}, c.operatorsAccount()},
	}
}

// KeysRole is the role that the functions of one process use tenants' keys as.
const KeysRole = "latchkey-encryption"

// operatorsAccount has the role that the encryption function runs as, and the canary. As in the
// template, the role assumes other roles with an external id only, and none of its own account
// but the canary.
func (c *Clouds) operatorsAccount() awscloud.Account {
	const root, function = "arn:aws:iam::" + OperatorAccount + ":root", KeysRole
	const own = "arn:aws:iam::" + OperatorAccount + ":role/"
	const trust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + root + `"},"Action":"sts:AssumeRole"}]}`
	const canaryTrust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + root + `"},"Action":"sts:AssumeRole",
		"Condition":{"StringEquals":{"aws:PrincipalArn":"` + own + function + `","sts:ExternalId":"` + awskms.CanaryExternalID + `"}}}]}`
	const policy = `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"arn:aws:iam::*:role/*","Condition":{"Null":{"sts:ExternalId":"false"}}},
		{"Effect":"Deny","Action":"sts:AssumeRole","Resource":"` + own + `*","Condition":{"StringNotEquals":{"sts:ExternalId":"` + awskms.CanaryExternalID + `"}}},
		{"Effect":"Deny","Action":"sts:AssumeRole","NotResource":"` + CanaryARN + `","Condition":{"StringEquals":{"sts:ExternalId":"` + awskms.CanaryExternalID + `"}}}]}`
	return awscloud.Account{ID: OperatorAccount, Root: c.Secrets.OperatorRoot, Roles: []awscloud.Role{{
		Name: function, Trust: trust, Policies: map[string]string{FunctionPolicy: policy}, Keys: c.Secrets.OperatorAWS, Session: "encryption",
	}, {
		Name: canaryName, Trust: canaryTrust,
	}}}
}

// Deploy gives the functions of this process the roles that they act as in AWS: those that the
// operator's account begins with, whose policies may be an earlier version's, and the one of the template's
// that makes private endpoints.
func (c *Clouds) Deploy(specs []template.Function) error {
	account := c.operatorsAccount()
	for _, spec := range specs {
		if spec.Name != "networktasks" {
			continue
		}
		if err := c.functionKeys([]template.Function{spec}); err != nil {
			return err
		}
		role, err := functionRole(spec, c.Secrets.Functions[spec.Name])
		if err != nil {
			return err
		}
		account.Roles = append(account.Roles, role)
	}
	return c.AWS.Deploy(account)
}

// Parameters puts Latchkey's identities into secrets of the pocket AWS, and names them as parameters of the
// template, which functions in processes of their own need.
func (c *Clouds) Parameters(ctx context.Context) (map[string]string, error) {
	client := secretsmanager.NewFromConfig(c.Operator())
	azure, err := putSecret(ctx, client, "latchkey/azure-app", c.Secrets.AzureApp)
	if err != nil {
		return nil, err
	}
	google, err := putSecret(ctx, client, "latchkey/google-credentials", c.Secrets.GoogleKey)
	return map[string]string{
		"AzureAppSecretArn": azure, "AzureHomeTenantId": OperatorDirectory, "GoogleCredentialsSecretArn": google,
		// The pocket clouds' grants take effect at once, so nobody waits for them here.
		"GrantPatienceSeconds": "0",
	}, err
}

// putSecret sees to it that a secret has a value, and returns its ARN.
func putSecret(ctx context.Context, client *secretsmanager.Client, name, value string) (string, error) {
	made, err := client.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: &name, SecretString: &value})
	if err == nil {
		return aws.ToString(made.ARN), nil
	}
	if _, exists := errors.AsType[*types.ResourceExistsException](err); !exists {
		return "", err
	}
	put, err := client.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: &name, SecretString: &value})
	if err != nil {
		return "", err
	}
	return aws.ToString(put.ARN), nil
}

// DeployAll creates the resources of the template that functions in processes of their own use: roles,
// keys and tables.
func (c *Clouds) DeployAll(ctx context.Context, tmpl *template.Template, specs []template.Function) error {
	if err := c.functionKeys(specs); err != nil {
		return err
	}
	account := awscloud.Account{ID: OperatorAccount}
	for _, spec := range specs {
		role, err := functionRole(spec, c.Secrets.Functions[spec.Name])
		if err != nil {
			return err
		}
		account.Roles = append(account.Roles, role)
	}
	canary, err := canaryRole(tmpl)
	if err != nil {
		return err
	}
	account.Roles = append(account.Roles, canary)
	for _, r := range tmpl.OfType("AWS::KMS::Key") {
		policy, err := json.Marshal(r.Properties["KeyPolicy"])
		if err != nil {
			return err
		}
		account.Keys = append(account.Keys, awscloud.KMSKey{ID: r.ID, Region: Region, Policy: string(policy)})
	}
	if err := c.AWS.Deploy(account); err != nil {
		return err
	}
	for _, r := range tmpl.OfType("AWS::DynamoDB::Table") {
		if err := dynamo.CreateTable(ctx, dynamodb.NewFromConfig(c.Operator()), r.ID); err != nil {
			return err
		}
	}
	return nil
}

// FunctionPolicy is the name of the one policy of each function's role.
const FunctionPolicy = "template"

// functionRole is the role that the template gives a function.
func functionRole(spec template.Function, keys awscloud.Keys) (awscloud.Role, error) {
	const trust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}`
	policy, err := Policy(spec.Statements)
	return awscloud.Role{
		Name: spec.FunctionName, Trust: trust, Policies: map[string]string{FunctionPolicy: policy}, Keys: keys, Session: spec.FunctionName,
	}, err
}

// canaryRole is the template's role that tells whether functions may assume roles at all.
func canaryRole(tmpl *template.Template) (awscloud.Role, error) {
	r, ok := tmpl.Resource("CanaryRole")
	if !ok {
		return awscloud.Role{}, errors.New("the template has no CanaryRole")
	}
	trust, err := json.Marshal(r.Properties["AssumeRolePolicyDocument"])
	return awscloud.Role{Name: fmt.Sprint(r.Properties["RoleName"]), Trust: string(trust)}, err
}

// Policy is the IAM policy of a function's statements.
func Policy(statements []template.Statement) (string, error) {
	var all []map[string]any
	for _, s := range statements {
		one := map[string]any{"Sid": s.Sid, "Effect": s.Effect, "Action": s.Action}
		if s.NotResource != nil {
			one["NotResource"] = s.NotResource
		} else {
			one["Resource"] = s.Resource
		}
		if s.Condition != nil {
			one["Condition"] = s.Condition
		}
		all = append(all, one)
	}
	text, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": all})
	return string(text), err
}
