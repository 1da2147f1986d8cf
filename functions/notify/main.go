// Command notify delivers notifications and e-mails, and publishes events for operators, as the
// table's stream tells of them. Its role may open the secrets of notifications, write the records of
// deliveries, and send; it may touch no tenant's key.
package main

import (
	"context"
	"math/rand/v2"

	"github.com/aws/aws-lambda-go/lambda"

	"latchkey/functions/internal/deployment"
	"latchkey/functions/internal/deployment/notifications"
	"latchkey/functions/internal/deployment/sealing"
	"latchkey/functions/internal/deployment/table"
	"latchkey/shared/suite/notify"
)

func main() { deployment.Run(assemble) }

func assemble(_ context.Context, env *deployment.Environment) (lambda.Handler, error) {
	return notify.New(notify.Deps{
		Table: table.Of(env), Opener: sealing.Sealer(env), Now: env.Now, Log: env.Log, API: env.Required("API_URL"),
		Channels: notifications.Channels(env), Topic: notifications.Topic(env), Bus: notifications.Bus(env),
		Jitter: rand.Float64,
	}), nil
}
