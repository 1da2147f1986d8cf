// Package secrets reads what a deployment keeps in Secrets Manager.
package secrets

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"latchkey/functions/internal/deployment"
)

// Value is what a secret holds as text.
func Value(ctx context.Context, env *deployment.Environment, arn string) (string, error) {
	out, err := secretsmanager.NewFromConfig(env.AWS).GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &arn})
	if err != nil {
		return "", fmt.Errorf("read secret %s: %w", arn, err)
	}
	return aws.ToString(out.SecretString), nil
}
