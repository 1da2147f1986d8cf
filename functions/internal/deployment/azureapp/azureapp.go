// Package azureapp signs in to Azure as the deployment's application.
package azureapp

import (
	"context"
	"sync"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"latchkey/functions/internal/deployment/secrets"
	"latchkey/shared/verdict"
)

// App is the deployment's application.
type App struct {
	ClientID string
	Secret   *secrets.Secret[string]
}

// In is a fresh credential of the application in a directory. It does no I/O: the secret is read when a token is
// first wanted. Instance discovery asks a fixed public host whether an authority is genuine; ours come from a fixed table.
func (a App) In(tenantID string, o azcore.ClientOptions) azcore.TokenCredential {
	return &credential{app: a, tenantID: tenantID, options: &azidentity.ClientSecretCredentialOptions{
		ClientOptions: o, DisableInstanceDiscovery: true,
	}}
}

// credential is the application's in one directory.
type credential struct {
	app      App
	tenantID string
	options  *azidentity.ClientSecretCredentialOptions

	mu     sync.Mutex
	opened *azidentity.ClientSecretCredential
}

// GetToken obtains a token. That the secret can't be read is a *verdict.Failure.
func (c *credential) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	secret, err := c.app.Secret.Value(ctx)
	if err != nil {
		return azcore.AccessToken{}, err
	}
	opened, err := c.open(secret)
	if err != nil {
		return azcore.AccessToken{}, &verdict.Failure{Reason: verdict.OurCredentials, Err: err}
	}
	return opened.GetToken(ctx, o)
}

// open makes the SDK's credential once, since that keeps the tokens.
func (c *credential) open(secret string) (*azidentity.ClientSecretCredential, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.opened != nil {
		return c.opened, nil
	}
	opened, err := azidentity.NewClientSecretCredential(c.tenantID, c.app.ClientID, secret, c.options)
	if err != nil {
		return nil, err
	}
	c.opened = opened
	return opened, nil
}
