// Command nodes serves the agents of nodes behind a function URL. Its role may use tenants' keys,
// and changes nothing of a tenant's configuration.
package main

import (
	"context"

	"github.com/aws/aws-lambda-go/lambda"

	"latchkey/functions/internal/deployment"
	"latchkey/functions/internal/deployment/identities"
	"latchkey/functions/internal/deployment/sealing"
	"latchkey/functions/internal/deployment/table"
	"latchkey/shared/httpapi/functionurl"
	"latchkey/shared/suite/nodes"
)

func main() { deployment.Run(assemble) }

func assemble(ctx context.Context, env *deployment.Environment) (lambda.Handler, error) {
	own, err := identities.Open(ctx, env, identities.Few)
	if err != nil {
		return nil, err
	}
	return functionurl.New(nodes.New(nodes.Deps{
		Table: table.Of(env), Sealer: sealing.Sealer(env), Now: env.Now, Log: env.Log, Keys: own.Keys,
	})), nil
}
