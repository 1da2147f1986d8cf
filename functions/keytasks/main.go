// Command keytasks uses tenants' keys for workflows. Its role may assume tenants' roles and read
// the table; it writes nothing.
package main

import (
	"context"

	"github.com/aws/aws-lambda-go/lambda"

	"latchkey/functions/internal/deployment"
	"latchkey/functions/internal/deployment/identities"
	"latchkey/functions/internal/deployment/sealing"
	"latchkey/functions/internal/deployment/table"
	"latchkey/shared/suite/keytasks"
)

func main() { deployment.Run(assemble) }

func assemble(ctx context.Context, env *deployment.Environment) (lambda.Handler, error) {
	own, err := identities.Open(ctx, env, identities.Few)
	if err != nil {
		return nil, err
	}
	return keytasks.New(keytasks.Deps{
		Table: table.Of(env), Sealer: sealing.Sealer(env), Now: env.Now, Log: env.Log, Keys: own.Keys,
	}), nil
}
