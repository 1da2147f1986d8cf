package azurekv

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"latchkey/shared/atlas"
	"latchkey/shared/verdict"
)

// App is Latchkey's own multi-tenant application, which tenants admit by making a service
// principal of it. The zero value is an application that is not configured.
type App struct {
	ClientID string
	// HomeTenant is where the application is registered and has a service principal too. With
	// it, a tenant that seems to have removed us is told apart from an application that is
	// gone or disabled altogether, which is our fault and must stop nobody's nodes.
	HomeTenant string
	// Secret authenticates the application, unless Tokens does.
	Secret string
	// Tokens makes a fresh credential of the application for one tenant: from a certificate, a
	// federated identity, or a secret that is read later. It does no I/O. That there is no token
	// for a reason of our own is a *verdict.Failure.
	Tokens func(tenantID string, o azcore.ClientOptions) (azcore.TokenCredential, error)
}

// String names the application without its secret, so that it can't be logged by mistake.
func (a App) String() string { return "application " + a.ClientID }

// In is the application's credential in a tenant that admitted it. It does no I/O. It fails
// with OUR_CREDENTIALS if the application is not configured.
func (a App) In(tenantID string, o Options) (*Credential, error) {
	o = o.withDefaults()
	if !atlas.ValidUUID(tenantID) {
		return nil, verdict.Failed(verdict.RoleDenied, "the tenant id %q is no UUID", tenantID)
	}
	tokens, err := a.fresh(tenantID, o)
	if err != nil {
		return nil, &verdict.Failure{Reason: verdict.OurCredentials, Err: err}
	}
	if a.HomeTenant != "" && !strings.EqualFold(a.HomeTenant, tenantID) {
		home := func() (azcore.TokenCredential, error) { return a.fresh(a.HomeTenant, o) }
		tokens = doubting{tokens: tokens, home: home}
	}
	c := newCredential(tenantID, a.ClientID, tokens, o)
	c.own = true
	return c, nil
}

// fresh makes a credential that has no tokens yet.
func (a App) fresh(tenantID string, o Options) (azcore.TokenCredential, error) {
	switch {
	case !atlas.ValidUUID(a.ClientID):
		return nil, errors.New("azurekv: no application is configured")
	case a.Tokens != nil:
		return a.Tokens(tenantID, o.clientOptions())
	case a.Secret == "":
		return nil, errors.New("azurekv: the application has no credential")
	}
	return secretTokens(tenantID, a.ClientID, a.Secret, o)
}

// doubting believes that a tenant removed the application only if the application works at home.
type doubting struct {
	tokens azcore.TokenCredential
	home   func() (azcore.TokenCredential, error) // without tokens from better days
}

// GetToken obtains a token for the tenant.
func (d doubting) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	token, err := d.tokens.GetToken(ctx, o)
	if err == nil || !doubtful(err) {
		return token, err
	}
	home, homeErr := d.home()
	if homeErr == nil {
		_, homeErr = home.GetToken(ctx, policy.TokenRequestOptions{Scopes: o.Scopes, EnableCAE: o.EnableCAE})
	}
	if homeErr != nil {
		return azcore.AccessToken{}, &homeError{homeErr}
	}
	return token, err
}

// doubtful reports whether a refusal would be the tenant's act, if the application works at home.
func doubtful(err error) bool {
	refused, ok := errors.AsType[*azidentity.AuthenticationFailedError](err)
	if !ok || refused.RawResponse == nil {
		return false
	}
	return slices.ContainsFunc(readRefusal(refused.RawResponse).Codes, func(code int) bool {
		return loginReasons[code].own.Class() == verdict.Invalid
	})
}

// homeError says that the application does not work in its home tenant.
type homeError struct{ err error }

// Error is the text of the cause.
func (e *homeError) Error() string { return "in the application's home tenant: " + e.err.Error() }

// Unwrap returns the cause.
func (e *homeError) Unwrap() error { return e.err }
