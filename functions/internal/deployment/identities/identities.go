// Package identities reaches tenants' keys as who the deployment is in the three clouds.
package identities

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"

	"latchkey/functions/internal/deployment"
	"latchkey/functions/internal/deployment/azureapp"
	"latchkey/functions/internal/deployment/secrets"
	"latchkey/shared/access/googleaccount"
	"latchkey/shared/atlas"
	"latchkey/shared/kms/azurekv"
	"latchkey/shared/kms/keyring"
)

// Identities are who the deployment is, as far as it has an identity in each cloud.
type Identities struct {
	// Keys opens tenants' keys with them.
	Keys *keyring.Keyring
	// AzureAppID is the multi-tenant application; "" if there is none.
	AzureAppID string

	google *googleaccount.Identity
}

// How many of tenants' credentials a function keeps.
const (
	// Few are those of a function that uses a key when it is asked to: some 30 MB.
	Few = 4 << 10
	// Many are those of all groups, which one function goes through again and again: some hundreds of MB.
	Many = 128 << 10
)

// Open opens the deployment's identities. In AWS that is the function's own role; the secrets of the others are read
// when they are first needed. kept is how many of tenants' credentials are kept. It does no I/O; ctx is not kept.
func Open(ctx context.Context, env *deployment.Environment, kept int) (Identities, error) {
	ring := keyring.Config{
		Transport: env.Transport, Now: env.Now, AWS: env.AWS.Credentials, AWSRegion: atlas.AWSRegion(env.AWS.Region),
		AWSCanaryARN: canary(env), Kept: kept,
	}
	var ids Identities
	if arn := env.Optional("AZURE_APP_SECRET_ARN"); arn != "" {
		app := azureapp.App{ClientID: env.Required("AZURE_APP_ID"), Secret: secrets.Text(env, arn)}
		ids.AzureAppID = app.ClientID
		ring.Azure = azurekv.App{
			ClientID: app.ClientID, HomeTenant: env.Required("AZURE_HOME_TENANT_ID"),
			Tokens: func(tenantID string, o azcore.ClientOptions) (azcore.TokenCredential, error) {
				return app.In(tenantID, o), nil
			},
		}
	}
	if arn := env.Optional("GOOGLE_CREDENTIALS_SECRET_ARN"); arn != "" {
		own := secrets.New(env, arn, func(ctx context.Context, text string) (*googleaccount.Identity, error) {
			return googleIdentity(ctx, env, text)
		})
		ids.google = googleaccount.OwnLater(own.Value, env.Now)
		ring.Google, ring.GoogleProjectNumber = ids.google, env.Optional("GOOGLE_PROJECT_NUMBER")
	}
	var err error
	ids.Keys, err = keyring.New(ctx, ring)
	return ids, err
}

// canary is the role by which a permission that the deployment lost is told from a tenant's act;
// "" if there is none.
func canary(env *deployment.Environment) string {
	arn := env.Optional("CANARY_ROLE_ARN")
	if arn == "" {
		return ""
	}
	if _, err := atlas.ParseAWSRole(arn); err != nil {
		env.Fail("CANARY_ROLE_ARN", err)
	}
	return arn
}

// GoogleAccounts makes the service accounts that tenants admit; nil if the deployment has no
// identity in Google.
func (i Identities) GoogleAccounts(env *deployment.Environment) (*googleaccount.Accounts, error) {
	if i.google == nil {
		return nil, nil //nolint:nilnil // the documentation says so
	}
	return googleaccount.NewAccounts(i.google, env.Required("GOOGLE_PROJECT_ID"), env.Transport)
}

// googleIdentity reads the operator's Google credentials: the key of a service account, or the
// configuration of workload identity federation, with which the function's AWS role is enough
// and no key exists. The source of its tokens keeps the context, so that must not end.
func googleIdentity(ctx context.Context, env *deployment.Environment, secret string) (*googleaccount.Identity, error) {
	var kind struct {
		Type google.CredentialsType `json:"type"`
	}
	if err := json.Unmarshal([]byte(secret), &kind); err != nil {
		return nil, errors.New("the Google credentials are no JSON")
	}
	if kind.Type == google.ExternalAccount {
		ctx = context.WithValue(context.WithoutCancel(ctx), oauth2.HTTPClient, &http.Client{Transport: env.Transport})
		creds, err := google.CredentialsFromJSONWithType(ctx, []byte(secret), kind.Type, googleaccount.ScopePlatform)
		if err != nil {
			return nil, errors.New("the Google credentials are no usable configuration of workload identity federation")
		}
		return googleaccount.Own(creds.TokenSource, env.Now), nil
	}
	key, err := atlas.ParseGoogleServiceAccountKey(secret)
	if err != nil {
		return nil, fmt.Errorf("the Google credentials: %w", err)
	}
	return googleaccount.OwnKey(key, googleaccount.Options{
		Transport: env.Transport, Now: env.Now, Scope: googleaccount.ScopePlatform,
	}), nil
}
