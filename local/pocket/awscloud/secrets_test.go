package awscloud_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/smithy-go"

	"latchkey/local/pocket"
	"latchkey/local/pocket/awscloud"
	"latchkey/local/pocket/awscloud/awssdk"
)

func errorCode(err error) string {
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		return e.ErrorCode()
	}
	return fmt.Sprint(err)
}

// secretsClients are the root user, and a role that may read secrets whose ARN begins so.
func secretsClients(t *testing.T, readable string) (root, role *secretsmanager.Client) {
	t.Helper()
	owner := awscloud.Keys{AccessKeyID: "AKIAROOT", SecretAccessKey: "root-secret"}
	limited := awscloud.Keys{AccessKeyID: "AKIALIMITED", SecretAccessKey: "limited-secret"}
	cloud, err := awscloud.New(pocket.Memory(), awscloud.Config{Now: time.Now, Accounts: []awscloud.Account{{
		ID: "123456789012", Root: owner,
		Roles: []awscloud.Role{{
			Name: "r", Keys: limited, Session: "s",
			Trust: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}`,
			Policies: map[string]string{
				"p": `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"secretsmanager:GetSecretValue","Resource":"` + readable + `"}]}`,
			},
		}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	transport := pocket.Transport(pocket.New(&pocket.Faults{}, awscloud.Alias, cloud.Services()...))
	client := func(keys awscloud.Keys) *secretsmanager.Client {
		return secretsmanager.NewFromConfig(awssdk.Config(transport, "us-east-1", keys))
	}
	return client(owner), client(limited)
}

func TestSecrets_have_a_current_and_a_previous_value(t *testing.T) {
	root, _ := secretsClients(t, "*")
	made, err := root.CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: aws.String("a/b-c"), SecretString: aws.String("one")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := root.PutSecretValue(t.Context(), &secretsmanager.PutSecretValueInput{SecretId: made.ARN, SecretString: aws.String("two")}); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ id, stage, want string }{
		{*made.ARN, "", "two"},
		{"a/b-c", "AWSCURRENT", "two"},
		{"a/b-c", "AWSPREVIOUS", "one"},
		{strings.TrimSuffix(*made.ARN, (*made.ARN)[len(*made.ARN)-7:]), "", "two"}, // without the suffix
	} {
		in := &secretsmanager.GetSecretValueInput{SecretId: aws.String(test.id)}
		if test.stage != "" {
			in.VersionStage = aws.String(test.stage)
		}
		got, err := root.GetSecretValue(t.Context(), in)
		if err != nil || aws.ToString(got.SecretString) != test.want || aws.ToString(got.ARN) != *made.ARN {
			t.Errorf("%s %s: %v, want %s", test.id, test.stage, err, test.want)
		}
	}
	_, err = root.CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: aws.String("a/b-c"), SecretString: aws.String("x")})
	if got := errorCode(err); got != "ResourceExistsException" {
		t.Errorf("a second secret of the name: %s", got)
	}
}

func TestSecrets_are_told_only_to_whom_a_policy_allows_it(t *testing.T) {
	root, role := secretsClients(t, "arn:aws:secretsmanager:us-east-1:123456789012:secret:mine-??????")
	for name, want := range map[string]string{"mine": "<nil>", "other": "AccessDeniedException"} {
		if _, err := root.CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: aws.String(name), SecretString: aws.String("v")}); err != nil {
			t.Fatal(err)
		}
		_, err := role.GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: aws.String(name)})
		if got := errorCode(err); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	for _, id := range []string{"none", "arn:aws:secretsmanager:eu-west-1:123456789012:secret:other"} {
		if _, err := role.GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: aws.String(id)}); errorCode(err) != "AccessDeniedException" {
			t.Errorf("a stranger learns about %s: %v", id, err)
		}
		if _, err := root.GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: aws.String(id)}); errorCode(err) != "ResourceNotFoundException" {
			t.Errorf("the owner asks for %s: %v", id, err)
		}
	}
}
