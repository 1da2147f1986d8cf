// Command networktasks makes, watches and removes private endpoints for workflows and a schedule. Its
// role may change the operator's networks and start and describe executions; it reaches no tenant's key.
package main

import (
	"context"

	"github.com/aws/aws-lambda-go/lambda"

	"latchkey/functions/internal/deployment"
	"latchkey/functions/internal/deployment/clouds"
	"latchkey/functions/internal/deployment/networks"
	"latchkey/functions/internal/deployment/table"
	"latchkey/functions/internal/deployment/workflows"
	"latchkey/shared/suite/networktasks"
)

func main() { deployment.Run(assemble) }

func assemble(_ context.Context, env *deployment.Environment) (lambda.Handler, error) {
	connected, err := clouds.Connect(env, networks.Read(env))
	if err != nil {
		return nil, err
	}
	return networktasks.New(networktasks.Deps{
		Table: table.Of(env), Now: env.Now, Log: env.Log, EventRetention: env.EventRetention(),
		Executions: workflows.Starter(env), Clouds: connected,
	}), nil
}
