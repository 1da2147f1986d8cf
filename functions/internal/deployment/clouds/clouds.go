// Package clouds makes private endpoints in a deployment's networks.
package clouds

import (
	"context"
	"net/http"

	"latchkey/functions/internal/deployment"
	"latchkey/functions/internal/deployment/secrets"
	"latchkey/shared/atlas"
	"latchkey/shared/endpoint"
	"latchkey/shared/endpoint/awsvpc"
	"latchkey/shared/endpoint/azurepe"
)

// Connect returns the clouds in which there are networks: AWS as the function's own role, Azure as the
// deployment's application.
func Connect(ctx context.Context, env *deployment.Environment, n endpoint.Networks) (map[atlas.Provider]endpoint.Cloud, error) {
	clouds := map[atlas.Provider]endpoint.Cloud{}
	if len(n.AWS) > 0 {
		clouds[atlas.AWS] = awsvpc.New(awsvpc.Config{Credentials: env.AWS.Credentials, Transport: http.DefaultTransport, Networks: n.AWS})
	}
	if n.Azure == nil {
		return clouds, nil
	}
	app := azurepe.App{TenantID: env.Required("AZURE_HOME_TENANT_ID"), ClientID: env.Required("AZURE_APP_ID")}
	arn := env.Required("AZURE_APP_SECRET_ARN")
	if arn == "" { // the function does not start
		return clouds, nil
	}
	var err error
	if app.Secret, err = secrets.Value(ctx, env, arn); err != nil {
		return nil, err
	}
	clouds[atlas.Azure], err = azurepe.New(azurepe.Config{
		Environment: n.Azure.Environment, SubscriptionID: n.Azure.SubscriptionID, App: app, Transport: http.DefaultTransport, Networks: n.Azure.Regions,
	})
	return clouds, err
}
