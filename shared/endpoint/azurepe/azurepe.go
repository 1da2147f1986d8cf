// Package azurepe makes private endpoints to tenants' key vaults in the operator's virtual networks
// at Azure. The tenant approves their connections.
//
// Its invariant: a private endpoint has the name that follows from its id, so that asking again
// makes no second one and nothing has to be searched for.
package azurepe

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v6"

	"latchkey/shared/atlas"
	"latchkey/shared/endpoint"
)

// How long one call tries; what fails is asked again by the workflow.
const (
	maxRetries      = 1
	retryDelay      = 200 * time.Millisecond
	maxRetryDelay   = time.Second
	attemptDuration = 10 * time.Second
)

// App is the operator's application and the tenant that it belongs to, which is that of the
// subscription.
type App struct {
	TenantID string
	ClientID string
	Secret   string
	// Tokens makes the application's credential from something else than Secret: a certificate, a federated
	// identity, or a secret that is read later. It does no I/O.
	Tokens func(o azcore.ClientOptions) (azcore.TokenCredential, error)
}

// Config is the operator's subscription. All fields but Environment are required.
type Config struct {
	Environment    atlas.AzureEnvironment // "" is AZURE
	SubscriptionID string
	App            App
	Transport      http.RoundTripper
	Networks       map[string]endpoint.AzureNetwork // by the region in the API's spelling
}

// Cloud implements endpoint.Cloud. It is safe for concurrent use.
type Cloud struct {
	cfg    Config
	client *armnetwork.PrivateEndpointsClient
}

// New returns a cloud. It does no I/O.
func New(cfg Config) (*Cloud, error) {
	if cfg.Environment == "" {
		cfg.Environment = atlas.AzurePublic
	}
	o := cfg.clientOptions()
	tokens, err := cfg.App.credential(o)
	if err != nil {
		return nil, err
	}
	client, err := armnetwork.NewPrivateEndpointsClient(cfg.SubscriptionID, tokens, &arm.ClientOptions{ClientOptions: o, DisableRPRegistration: true})
	return &Cloud{cfg: cfg, client: client}, err
}

func (c Config) clientOptions() azcore.ClientOptions {
	manager := "https://" + c.Environment.ManagementHost()
	return azcore.ClientOptions{
		Cloud: cloud.Configuration{
			ActiveDirectoryAuthorityHost: "https://" + c.Environment.LoginHost() + "/",
			Services:                     map[cloud.ServiceName]cloud.ServiceConfiguration{cloud.ResourceManager: {Endpoint: manager, Audience: manager}},
		},
		Retry: policy.RetryOptions{
			MaxRetries: maxRetries, RetryDelay: retryDelay, MaxRetryDelay: maxRetryDelay, TryTimeout: attemptDuration,
		},
		Telemetry: policy.TelemetryOptions{ApplicationID: "latchkey"},
		// No service of Azure's redirects, and a token must not travel.
		Transport: &http.Client{
			Transport:     c.Transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

func (a App) credential(o azcore.ClientOptions) (azcore.TokenCredential, error) {
	if !atlas.ValidUUID(a.TenantID) || !atlas.ValidUUID(a.ClientID) {
		return nil, errors.New("azurepe: tenant and client ids must be UUIDs")
	}
	if a.Tokens != nil {
		return a.Tokens(o)
	}
	return azidentity.NewClientSecretCredential(a.TenantID, a.ClientID, a.Secret, &azidentity.ClientSecretCredentialOptions{
		ClientOptions: o, DisableInstanceDiscovery: true,
	})
}

// Regions are those with a network, in the API's spelling, sorted.
func (c *Cloud) Regions() []string {
	regions := make([]string, 0, len(c.cfg.Networks))
	for r := range c.cfg.Networks {
		regions = append(regions, r)
	}
	slices.Sort(regions)
	return regions
}

// nameOf is the name of an endpoint and of its connection, by which the tenant knows it: the name
// that the vault gives the connection is made of these.
func nameOf(h endpoint.Handle) string { return "pec-" + h.EndpointID }

// network is where an endpoint is, or would be.
func (c *Cloud) network(h endpoint.Handle) (endpoint.AzureNetwork, error) {
	network, ok := c.cfg.Networks[h.Region]
	switch {
	case !ok:
		return endpoint.AzureNetwork{}, &endpoint.Failure{Kind: endpoint.Refused, Message: "Private endpoints cannot be made in " + h.Region + "."}
	case h.Target.Environment != c.cfg.Environment:
		return endpoint.AzureNetwork{}, &endpoint.Failure{
			Kind: endpoint.Refused, Message: "Private endpoints cannot lead to the Azure environment " + string(h.Target.Environment) + ".",
		}
	}
	return network, nil
}

// Create implements endpoint.Cloud.
func (c *Cloud) Create(ctx context.Context, h endpoint.Handle) (endpoint.Observation, error) {
	network, err := c.network(h)
	if err != nil {
		return endpoint.Observation{}, err
	}
	// Writing it again could ask a tenant anew that has answered.
	if found, err := c.Find(ctx, h); err != nil || found.State != endpoint.Missing {
		return found, err
	}
	name := nameOf(h)
	_, err = c.client.BeginCreateOrUpdate(ctx, network.ResourceGroup, name, armnetwork.PrivateEndpoint{
		Location: &network.Location,
		Tags:     map[string]*string{"latchkey-endpoint": &h.EndpointID, "latchkey-group": &h.GroupID},
		Properties: &armnetwork.PrivateEndpointProperties{
			Subnet: &armnetwork.Subnet{ID: &network.SubnetID},
			ManualPrivateLinkServiceConnections: []*armnetwork.PrivateLinkServiceConnection{{
				Name: &name,
				Properties: &armnetwork.PrivateLinkServiceConnectionProperties{
					PrivateLinkServiceID: &h.Target.VaultID, GroupIDs: []*string{new("vault")},
					RequestMessage: new("Encryption at rest of project " + h.GroupID + ", private endpoint " + h.EndpointID + "."),
				},
			}},
		},
	}, nil)
	if err != nil {
		return endpoint.Observation{}, classify(err)
	}
	return c.Find(ctx, h)
}

// Find implements endpoint.Cloud.
func (c *Cloud) Find(ctx context.Context, h endpoint.Handle) (endpoint.Observation, error) {
	network, ok := c.cfg.Networks[h.Region]
	if !ok {
		return endpoint.Observation{State: endpoint.Missing}, nil
	}
	out, err := c.client.Get(ctx, network.ResourceGroup, nameOf(h), nil)
	if isMissing(err) {
		return endpoint.Observation{State: endpoint.Missing}, nil
	}
	if err != nil {
		return endpoint.Observation{}, classify(err)
	}
	return observe(out.PrivateEndpoint, h.Target.VaultHost), nil
}

// Delete implements endpoint.Cloud.
func (c *Cloud) Delete(ctx context.Context, h endpoint.Handle) error {
	network, ok := c.cfg.Networks[h.Region]
	if !ok {
		return nil
	}
	_, err := c.client.BeginDelete(ctx, network.ResourceGroup, nameOf(h), nil)
	if err == nil || isMissing(err) {
		return nil
	}
	return classify(err)
}

// observe is an endpoint as Azure shows it. Whether its connection is approved counts once it is
// provisioned; that it is rejected counts at once.
func observe(e armnetwork.PrivateEndpoint, host string) endpoint.Observation {
	o := endpoint.Observation{State: endpoint.Provisioning, ResourceID: value(e.ID), Connection: value(e.Name)}
	if e.Properties == nil {
		return o
	}
	provisioning, status := armnetwork.ProvisioningStateUpdating, ""
	if e.Properties.ProvisioningState != nil {
		provisioning = *e.Properties.ProvisioningState
	}
	for _, c := range slices.Concat(e.Properties.ManualPrivateLinkServiceConnections, e.Properties.PrivateLinkServiceConnections) {
		if c == nil || c.Properties == nil || c.Properties.PrivateLinkServiceConnectionState == nil {
			continue
		}
		o.Connection = value(c.Name)
		status, o.Message = value(c.Properties.PrivateLinkServiceConnectionState.Status), value(c.Properties.PrivateLinkServiceConnectionState.Description)
	}
	isDone := provisioning == armnetwork.ProvisioningStateSucceeded
	switch {
	case provisioning == armnetwork.ProvisioningStateDeleting:
		o.State = endpoint.Removing
	case provisioning == armnetwork.ProvisioningStateFailed:
		o.State = endpoint.Broken
	case isAny(status, "Rejected", "Disconnected", "Removed"):
		o.State = endpoint.Rejected
	case isDone && isAny(status, "Pending"):
		o.State = endpoint.AwaitingApproval
	case isDone && isAny(status, "Approved"):
		if o.Address = address(e.Properties.CustomDNSConfigs, host); o.Address != "" {
			o.State = endpoint.Ready
		}
	}
	return o
}

func isAny(status string, names ...string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, status) })
}

// address is where the endpoint answers for the vault.
func address(configs []*armnetwork.CustomDNSConfigPropertiesFormat, host string) string {
	for _, c := range configs {
		if c == nil || !strings.EqualFold(value(c.Fqdn), host) {
			continue
		}
		for _, ip := range c.IPAddresses {
			if parsed, err := netip.ParseAddr(value(ip)); err == nil {
				return parsed.String()
			}
		}
	}
	return ""
}

func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
