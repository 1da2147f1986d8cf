// Command operator creates organisations and their owners' keys, and keeps house when the
// deployment's schedules say so. No API leads here: whoever may invoke the function in the
// account is the operator.
package main

import (
	"context"

	"github.com/aws/aws-lambda-go/lambda"

	"latchkey/functions/internal/deployment"
	"latchkey/functions/internal/deployment/sealing"
	"latchkey/functions/internal/deployment/table"
	"latchkey/shared/suite/operator"
)

func main() { deployment.Run(assemble) }

func assemble(_ context.Context, env *deployment.Environment) (lambda.Handler, error) {
	return operator.New(operator.Deps{
		Table: table.Of(env), Sealer: sealing.Sealer(env), Now: env.Now, EventRetention: env.EventRetention(),
	}), nil
}
