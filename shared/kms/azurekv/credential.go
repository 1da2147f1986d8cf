package azurekv

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"

	"latchkey/shared/atlas"
	"latchkey/shared/verdict"
)

// How long the driver tries. Callers bound the whole call with their context; these bound
// what one hung attempt may take of it.
const (
	maxRetries      = 1
	retryDelay      = 200 * time.Millisecond
	maxRetryDelay   = time.Second // a longer Retry-After is an answer, not something to sit out
	attemptDuration = 4 * time.Second
)

// Options say how Azure is reached. Now is required.
type Options struct {
	Environment atlas.AzureEnvironment // "" is AZURE
	Transport   http.RoundTripper      // nil is http.DefaultTransport
	Now         func() time.Time
	// VaultAddress is where vaults are reached instead of the address that their names resolve to:
	// that of a private endpoint, which leads to one vault. The zero value is none.
	VaultAddress netip.Addr
}

func (o Options) withDefaults() Options {
	if o.Environment == "" {
		o.Environment = atlas.AzurePublic
	}
	if o.Transport == nil {
		o.Transport = http.DefaultTransport
	}
	return o
}

// clientOptions configure the SDK alike for credentials and for key clients: an environment
// that only one of the two knows sends tokens of one cloud to another.
func (o Options) clientOptions() azcore.ClientOptions {
	return azcore.ClientOptions{
		Cloud: cloud.Configuration{
			ActiveDirectoryAuthorityHost: "https://" + o.Environment.LoginHost() + "/",
			Services:                     map[cloud.ServiceName]cloud.ServiceConfiguration{},
		},
		Retry: policy.RetryOptions{
			MaxRetries: maxRetries, RetryDelay: retryDelay, MaxRetryDelay: maxRetryDelay, TryTimeout: attemptDuration,
		},
		Telemetry: policy.TelemetryOptions{ApplicationID: "latchkey"},
		Transport: transport{private(o)},
	}
}

// Credential reaches the vaults of one tenant. It keeps its tokens and connections to itself:
// two credentials never share a token, and a new one starts without any. It is safe for
// concurrent use.
type Credential struct {
	tenantID string
	clientID string
	own      bool // Latchkey's application rather than the tenant's
	tokens   azcore.TokenCredential
	options  Options

	mu      sync.Mutex
	clients map[string]*azkeys.Client // by vault URL; a client learns a vault's authority only once
}

// NewSecretCredential is the credential of a tenant's own application. It does no I/O.
func NewSecretCredential(tenantID, clientID, secret string, o Options) (*Credential, error) {
	o = o.withDefaults()
	tokens, err := secretTokens(tenantID, clientID, secret, o)
	if err != nil {
		return nil, &verdict.Failure{Reason: verdict.CredentialsInvalid, Err: err}
	}
	return newCredential(tenantID, clientID, tokens, o), nil
}

func newCredential(tenantID, clientID string, tokens azcore.TokenCredential, o Options) *Credential {
	return &Credential{
		tenantID: tenantID, clientID: clientID, options: o, clients: map[string]*azkeys.Client{},
		tokens: pinned{tokens: tokens},
	}
}

var errNotUUIDs = errors.New("azurekv: tenant and client ids must be UUIDs")

// secretTokens obtains tokens with a client secret. Instance discovery asks a fixed public
// host whether an authority is genuine; ours come from a fixed table.
func secretTokens(tenantID, clientID, secret string, o Options) (azcore.TokenCredential, error) {
	if !atlas.ValidUUID(tenantID) || !atlas.ValidUUID(clientID) {
		return nil, errNotUUIDs
	}
	return azidentity.NewClientSecretCredential(tenantID, clientID, secret, &azidentity.ClientSecretCredentialOptions{
		ClientOptions: o.clientOptions(), DisableInstanceDiscovery: true,
	})
}

func (c *Credential) now() time.Time { return c.options.Now() }

// client is the client of a key's vault.
func (c *Credential) client(id atlas.AzureKeyID) (*azkeys.Client, error) {
	if id.Environment != c.options.Environment {
		return nil, atlas.Fail(atlas.AzureEnvironmentNotSupported, c.options.Environment).
			Hinting("The key %s is in the environment %s.", id, id.Environment)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	url := id.VaultURL()
	if client, ok := c.clients[url]; ok {
		return client, nil
	}
	client, err := azkeys.NewClient(url, c.tokens, &azkeys.ClientOptions{ClientOptions: c.options.clientOptions()})
	if err != nil {
		return nil, &verdict.Failure{Reason: verdict.Internal, Err: err}
	}
	c.clients[url] = client
	return client, nil
}

// ObjectID obtains a token and returns the object id of the service principal that it was
// given to, which proves that the tenant admitted the application. Errors are *verdict.Failure.
func (c *Credential) ObjectID(ctx context.Context) (string, error) {
	scope := "https://" + c.options.Environment.VaultSuffix() + "/.default"
	token, err := c.tokens.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{scope}})
	if err != nil {
		return "", c.failure(ctx, err)
	}
	return c.objectID(token.Token)
}

// objectID reads a token's claims. The signature is not checked: the token came from the
// authority itself and is for Azure to check, not for us.
func (c *Credential) objectID(token string) (string, error) {
	var claims struct {
		Tenant   string `json:"tid"`
		AppID    string `json:"appid"`
		ObjectID string `json:"oid"`
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return "", verdict.Failed(verdict.ProviderError, "the access token is no JWT")
	}
	body, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err == nil {
		err = json.Unmarshal(body, &claims)
	}
	if err != nil || !atlas.ValidUUID(claims.ObjectID) {
		return "", verdict.Failed(verdict.ProviderError, "the access token names no service principal")
	}
	if !strings.EqualFold(claims.Tenant, c.tenantID) || !strings.EqualFold(claims.AppID, c.clientID) {
		return "", verdict.Failed(verdict.ProviderError, "the access token was issued for another tenant or application")
	}
	return strings.ToLower(claims.ObjectID), nil
}

// pinned obtains every token from the tenant that the credential is for. The SDK would follow
// the tenant that a vault's challenge names; the vault of another tenant shall refuse us in
// its own words instead.
type pinned struct{ tokens azcore.TokenCredential }

// GetToken obtains a token. The SDK's credentials drop the cause of an error that is no
// answer from the authority, so it is kept aside and put back.
func (p pinned) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	o.TenantID = ""
	var cause keptError
	token, err := p.tokens.GetToken(context.WithValue(ctx, keptErrorKey{}, &cause), o)
	if err == nil {
		return token, nil
	}
	if _, ours := errors.AsType[*verdict.Failure](err); ours {
		return azcore.AccessToken{}, err // whatever time is left
	}
	if ctx.Err() != nil {
		return azcore.AccessToken{}, ctx.Err()
	}
	if refused, ok := errors.AsType[*azidentity.AuthenticationFailedError](err); ok && refused.RawResponse == nil {
		if kept := cause.get(); kept != nil {
			return azcore.AccessToken{}, &loginError{kept}
		}
	}
	return azcore.AccessToken{}, err
}

// loginError is a transport error on the way to the authority. It is not retried once more by
// the key client, which would repeat the credential's own retries.
type loginError struct{ err error }

// Error is the text of the cause.
func (e *loginError) Error() string { return "obtain a token: " + e.err.Error() }

// Unwrap returns the cause.
func (e *loginError) Unwrap() error { return e.err }

// NonRetriable tells the SDK not to try again.
func (e *loginError) NonRetriable() {}
