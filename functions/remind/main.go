// Command remind does every minute what the passing of time calls for: notifications of alerts, and
// announcements of maintenance. Its role may use the table, in the partitions of groups and of their
// feeds, and nothing else.
package main

import (
	"context"

	"github.com/aws/aws-lambda-go/lambda"

	"latchkey/functions/internal/deployment"
	"latchkey/functions/internal/deployment/table"
	"latchkey/shared/suite/remind"
)

func main() { deployment.Run(assemble) }

func assemble(_ context.Context, env *deployment.Environment) (lambda.Handler, error) {
	return remind.New(remind.Deps{Table: table.Of(env), Now: env.Now, Log: env.Log, EventRetention: env.EventRetention()}), nil
}
