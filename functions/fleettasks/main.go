// Command fleettasks works on clusters and nodes for workflows and schedules. Its role may use
// the table and start and describe executions; it reaches no tenant's key.
package main

import (
	"context"

	"github.com/aws/aws-lambda-go/lambda"

	"latchkey/functions/internal/deployment"
	"latchkey/functions/internal/deployment/table"
	"latchkey/functions/internal/deployment/workflows"
	"latchkey/shared/suite/fleettasks"
)

func main() { deployment.Run(assemble) }

func assemble(_ context.Context, env *deployment.Environment) (lambda.Handler, error) {
	return fleettasks.New(fleettasks.Deps{
		Table: table.Of(env), Now: env.Now, Log: env.Log, EventRetention: env.EventRetention(),
		Start: workflows.Starter(env), Domain: env.NodeDomain(),
	}), nil
}
