// Command console serves the web page of the product. Its role may seal and open sessions and
// nothing else: what people do in it, the API does for them.
package main

import (
	"context"

	"github.com/aws/aws-lambda-go/lambda"

	"latchkey/console"
	"latchkey/functions/internal/deployment"
	"latchkey/functions/internal/deployment/sealing"
	"latchkey/shared/httpapi/apigw"
)

func main() { deployment.Run(assemble) }

func assemble(_ context.Context, env *deployment.Environment) (lambda.Handler, error) {
	return apigw.New(console.New(console.Deps{Sealer: sealing.Sealer(env), Now: env.Now, Log: env.Log})), nil
}
