package azurekv

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"latchkey/shared/atlas"
	"latchkey/shared/verdict"
)

// Vault is where Azure Resource Manager knows a key vault.
type Vault struct {
	SubscriptionID string
	ResourceGroup  string
	Name           string
}

// path is the vault's resource id.
func (v Vault) path() string {
	return "/subscriptions/" + v.SubscriptionID + "/resourceGroups/" + url.PathEscape(v.ResourceGroup) +
		"/providers/Microsoft.KeyVault/vaults/" + v.Name
}

// vaultsAPI is the version of Resource Manager's vaults that is asked.
const vaultsAPI = "2023-07-01"

// What names us to Resource Manager, besides the application id of the options.
const (
	moduleName    = "latchkey/azurekv"
	moduleVersion = "v1.0.0"
)

// missing are Resource Manager's codes for a vault that is not where it was said to be.
var missing = map[string]bool{
	"ResourceNotFound": true, "ResourceGroupNotFound": true, "SubscriptionNotFound": true, "InvalidSubscriptionId": true,
}

// CheckVault asks Resource Manager whether the key's vault is where v says. It fails with
// REQUEST_INVALID if it is not. Not being allowed to ask is no failure: the documents have
// tenants grant access to the keys, and many grant nothing else.
func (c *Credential) CheckVault(ctx context.Context, v Vault, id atlas.AzureKeyID) error {
	if !atlas.ValidUUID(v.SubscriptionID) || !atlas.ValidAzureResourceGroup(v.ResourceGroup) || !atlas.ValidAzureVault(v.Name) {
		return verdict.Failed(verdict.RequestInvalid, "azurekv: %q is no vault's resource id", v.path())
	}
	if id.Environment != c.options.Environment {
		return verdict.Failed(verdict.RequestInvalid, "azurekv: the key is in the environment %s", id.Environment)
	}
	uri, err := c.vaultURI(ctx, v)
	switch {
	case err == nil && strings.EqualFold(strings.TrimSuffix(uri, "/"), id.VaultURL()):
		return nil
	case err == nil:
		return verdict.Failed(verdict.RequestInvalid, "azurekv: the vault %s has the address %q", v.path(), uri)
	}
	return c.vaultFailure(ctx, err)
}

// vaultURI is the address that Resource Manager knows for a vault.
func (c *Credential) vaultURI(ctx context.Context, v Vault) (string, error) {
	client, err := c.manager()
	if err != nil {
		return "", err
	}
	r, err := runtime.NewRequest(ctx, http.MethodGet, runtime.JoinPaths(client.Endpoint(), v.path())+"?api-version="+vaultsAPI)
	if err != nil {
		return "", err
	}
	resp, err := client.Pipeline().Do(r)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	if !runtime.HasStatusCode(resp, http.StatusOK) {
		return "", runtime.NewResponseError(resp)
	}
	var out struct {
		Properties struct {
			URI string `json:"vaultUri"`
		} `json:"properties"`
	}
	if err := runtime.UnmarshalAsJSON(resp, &out); err != nil || out.Properties.URI == "" {
		return "", verdict.Failed(verdict.ProviderError, "azurekv: the answer to get describes no vault")
	}
	return out.Properties.URI, nil
}

// manager is the client of the environment's Resource Manager.
func (c *Credential) manager() (*arm.Client, error) {
	o := c.options.clientOptions()
	endpoint := "https://" + c.options.Environment.ManagementHost()
	o.Cloud.Services[cloud.ResourceManager] = cloud.ServiceConfiguration{Endpoint: endpoint, Audience: endpoint}
	return arm.NewClient(moduleName, moduleVersion, c.tokens, &arm.ClientOptions{ClientOptions: o, DisableRPRegistration: true})
}

// vaultFailure explains why Resource Manager could not be asked; nil if it was not for us to ask.
func (c *Credential) vaultFailure(ctx context.Context, err error) error {
	f := c.failure(ctx, err)
	if answered, ok := errors.AsType[*azcore.ResponseError](err); ok {
		switch status := answered.StatusCode; {
		case missing[answered.ErrorCode]:
			f.Reason = verdict.RequestInvalid
		case status == http.StatusUnauthorized, status == http.StatusForbidden:
			return nil
		case f.Class() == verdict.Invalid: // codes of Key Vault's that mean nothing here
			f.Reason = verdict.Internal
		}
		return f
	}
	if refused, ok := errors.AsType[*azidentity.AuthenticationFailedError](err); ok && answersFinally(refused.RawResponse) {
		return nil // no token for this audience, as conditional access can demand
	}
	return f
}

// answersFinally reports whether the authority refused, rather than failed.
func answersFinally(resp *http.Response) bool {
	if resp == nil || resp.StatusCode < http.StatusBadRequest {
		return false
	}
	_, transient := statusReasons(resp.StatusCode)
	return !transient
}
