// Command encryption serves encryption at rest and cloud provider access. Its role may assume
// tenants' roles, and it holds Latchkey's own identities in Azure and Google.
package main

import (
	"context"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"latchkey/functions/internal/deployment"
	"latchkey/functions/internal/deployment/identities"
	"latchkey/functions/internal/deployment/networks"
	"latchkey/functions/internal/deployment/sealing"
	"latchkey/functions/internal/deployment/table"
	"latchkey/functions/internal/deployment/workflows"
	"latchkey/shared/httpapi/apigw"
	"latchkey/shared/suite/encryption"
)

func main() { deployment.Run(assemble) }

func assemble(ctx context.Context, env *deployment.Environment) (lambda.Handler, error) {
	own, err := identities.Open(ctx, env, identities.Few)
	if err != nil {
		return nil, err
	}
	deps := encryption.Deps{
		Table: table.Of(env), Sealer: sealing.Sealer(env), Now: env.Now, Log: env.Log, Keys: own.Keys, EventRetention: env.EventRetention(),
		GrantPatience:    time.Duration(env.Count("GRANT_PATIENCE_SECONDS")) * time.Second,
		AllowAWSUserKeys: env.Required("ALLOW_AWS_USER_KEYS") == "true",
		AWSPrincipalARN:  env.Required("AWS_PRINCIPAL_ARN"),
		AzureAppID:       own.AzureAppID,
		Start:            workflows.Starter(env),

		PrivateEndpointRegions: networks.Read(env).Regions(),
	}
	accounts, err := own.GoogleAccounts(env)
	if err != nil {
		return nil, err
	}
	if accounts != nil {
		deps.Google = accounts
	}
	return apigw.New(encryption.New(deps)), nil
}
