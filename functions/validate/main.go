// Command validate checks tenants' keys once a minute and has nodes stopped and started. Its role
// may assume tenants' roles, open the tenants' sealed credentials and start one workflow.
package main

import (
	"context"

	"github.com/aws/aws-lambda-go/lambda"

	"latchkey/functions/internal/deployment"
	"latchkey/functions/internal/deployment/identities"
	"latchkey/functions/internal/deployment/sealing"
	"latchkey/functions/internal/deployment/table"
	"latchkey/functions/internal/deployment/workflows"
	"latchkey/shared/suite/validate"
)

func main() { deployment.Run(assemble) }

func assemble(ctx context.Context, env *deployment.Environment) (lambda.Handler, error) {
	own, err := identities.Open(ctx, env, identities.Many)
	if err != nil {
		return nil, err
	}
	return validate.Collecting{Handler: validate.New(validate.Deps{
		Table: table.Of(env), Sealer: sealing.Sealer(env), Now: env.Now, Log: env.Log, Keys: own.Keys,
		EventRetention: env.EventRetention(), Start: workflows.Starter(env),
	})}, nil
}
