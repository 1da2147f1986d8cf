// Package clouds makes private endpoints in a deployment's networks.
package clouds

import (
	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"latchkey/functions/internal/deployment"
	"latchkey/functions/internal/deployment/azureapp"
	"latchkey/functions/internal/deployment/secrets"
	"latchkey/shared/atlas"
	"latchkey/shared/endpoint"
	"latchkey/shared/endpoint/awsvpc"
	"latchkey/shared/endpoint/azurepe"
)

// Connect returns the clouds in which there are networks: AWS as the function's own role, Azure as the
// deployment's application, whose secret is read when it is first needed. It does no I/O.
func Connect(env *deployment.Environment, n endpoint.Networks) (map[atlas.Provider]endpoint.Cloud, error) {
	clouds := map[atlas.Provider]endpoint.Cloud{}
	if len(n.AWS) > 0 {
		clouds[atlas.AWS] = awsvpc.New(awsvpc.Config{Credentials: env.AWS.Credentials, Transport: env.Transport, Networks: n.AWS})
	}
	if n.Azure == nil {
		return clouds, nil
	}
	app := azureapp.App{ClientID: env.Required("AZURE_APP_ID"), Secret: secrets.Text(env, env.Required("AZURE_APP_SECRET_ARN"))}
	home := env.Required("AZURE_HOME_TENANT_ID")
	if err := env.Err(); err != nil {
		return nil, err
	}
	azure, err := azurepe.New(azurepe.Config{
		Environment: n.Azure.Environment, SubscriptionID: n.Azure.SubscriptionID, Transport: env.Transport, Networks: n.Azure.Regions,
		App: azurepe.App{
			TenantID: home, ClientID: app.ClientID,
			Tokens: func(o azcore.ClientOptions) (azcore.TokenCredential, error) { return app.In(home, o), nil },
		},
	})
	if err != nil {
		return nil, err
	}
	clouds[atlas.Azure] = azure
	return clouds, nil
}
