package measure

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"latchkey/local/pocket"
	"latchkey/local/pocket/awscloud/awssdk"
	"latchkey/local/stack"
)

// customer is the tenant's administrator in AWS.
func (w *World) customer() aws.Config {
	return awssdk.Config(pocket.Transport(w.clouds.Served), stack.Region, w.clouds.Secrets.TenantAWS)
}

// makeKey makes a key of the tenant's, {key}.
func (w *World) makeKey(ctx context.Context) error {
	key, err := kms.NewFromConfig(w.customer()).CreateKey(ctx, &kms.CreateKeyInput{})
	if err != nil {
		return err
	}
	w.known["key"], w.known["keyId"] = aws.ToString(key.KeyMetadata.Arn), aws.ToString(key.KeyMetadata.KeyId)
	return nil
}

// allow makes {arn}, a role that Latchkey may assume with the external id {external}, and that may use {key}.
func (w *World) allow(ctx context.Context, name string) error {
	roles := iam.NewFromConfig(w.customer())
	trust := w.fill(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"{principal}"},"Action":"sts:AssumeRole",` +
		`"Condition":{"StringEquals":{"sts:ExternalId":"{external}"}}}]}`)
	role, err := roles.CreateRole(ctx, &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: &trust})
	if err != nil {
		return err
	}
	w.known["arn"] = aws.ToString(role.Role.Arn)
	return w.permit(ctx, name)
}

// permit lets a role of the tenant's use {key} besides the one before.
func (w *World) permit(ctx context.Context, name string) error {
	w.known["keys"] += `,"` + w.known["key"] + `"`
	_, err := iam.NewFromConfig(w.customer()).PutRolePolicy(ctx, &iam.PutRolePolicyInput{
		RoleName: &name, PolicyName: aws.String("key"),
		PolicyDocument: aws.String(w.fill(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["kms:Decrypt","kms:Encrypt","kms:DescribeKey"],` +
			`"Resource":["arn:aws:kms:us-east-1:000000000000:key/none"{keys}]}]}`)),
	})
	return err
}

// The steps by which a project brings a key.
var (
	askRole = step{
		"POST", "2023-01-01", inGroup + "/cloudProviderAccess", `{"providerName":"AWS"}`,
		"role=roleId,external=atlasAssumedRoleExternalId,principal=atlasAWSAccountArn",
	}
	authorizeRole = step{"PATCH", "2023-01-01", inGroup + "/cloudProviderAccess/{role}", `{"providerName":"AWS","iamAssumedRoleArn":"{arn}"}`, ""}
	useKey        = step{
		"PATCH", "2023-01-01", inGroup + "/encryptionAtRest",
		`{"awsKms":{"enabled":true,"roleId":"{role}","customerMasterKeyID":"{key}","region":"US_EAST_1"}}`, "",
	}
)

// bringKey has a project use a key of its own, through a role of its own.
func (w *World) bringKey(ctx context.Context, group string) error {
	w.known["group"], w.known["keys"] = group, ""
	name := fmt.Sprintf("latchkey-%.24s", group)
	if err := w.makeKey(ctx); err != nil {
		return err
	}
	if _, err := w.take(ctx, w.account(), askRole); err != nil {
		return err
	}
	if err := w.allow(ctx, name); err != nil {
		return err
	}
	for _, s := range []step{authorizeRole, useKey} {
		if _, err := w.take(ctx, w.account(), s); err != nil {
			return err
		}
	}
	return nil
}
