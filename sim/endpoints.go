package sim

import (
	"context"
	"slices"
	"time"

	"go.mongodb.org/atlas-sdk/v20250312018/admin"
)

// private are the clouds in which private endpoints lead to keys.
type private interface {
	// require is the configuration by which the key is reached over private networks alone, or not.
	require(is bool) *admin.EncryptionAtRest
	// endpointRegion is where an endpoint can lead to the key.
	endpointRegion() string
}

// approver are the clouds that ask the tenant about every endpoint.
type approver interface {
	// decide answers the request of a connection, also one that was approved before; remove takes it away.
	decide(ctx context.Context, connection, status string) error
	sever(ctx context.Context, connection string) error
}

func (k *awsKey) require(is bool) *admin.EncryptionAtRest {
	return &admin.EncryptionAtRest{AwsKms: &admin.AWSKMSConfiguration{RequirePrivateNetworking: &is}}
}

func (k *awsKey) endpointRegion() string { return atlasName(k.region) }

func (k *azureKey) require(is bool) *admin.EncryptionAtRest {
	return &admin.EncryptionAtRest{AzureKeyVault: &admin.AzureKeyVault{RequirePrivateNetworking: &is}}
}

// azureRegion is where the vaults are.
const azureRegion = "US_EAST_2"

func (k *azureKey) endpointRegion() string { return azureRegion }

func (k *azureKey) connection(name string) string {
	return k.vault() + "/privateEndpointConnections/" + name + azureVersion
}

func (k *azureKey) decide(ctx context.Context, connection, status string) error {
	_, err := k.tenant.administer(ctx, "PUT", k.connection(connection),
		`{"properties":{"privateLinkServiceConnectionState":{"status":"`+status+`","description":"by the owner"}}}`)
	return err
}

func (k *azureKey) sever(ctx context.Context, connection string) error {
	if k.tenant.rng.IntN(2) == 0 {
		return k.decide(ctx, connection, "Rejected")
	}
	_, err := k.tenant.administer(ctx, "DELETE", k.connection(connection), "")
	return err
}

// The statuses of a private endpoint that somebody has to act on.
const (
	pendingAcceptance = "PENDING_ACCEPTANCE"
	active            = "ACTIVE"
	failed            = "FAILED"
)

// networking goes one step towards private endpoints, or back.
func (t *tenant) networking(ctx context.Context) {
	k := t.any(func(k *custody) bool { _, ok := k.customerKey.(private); return ok && k.brought })
	if k != nil && k.revoked.IsZero() {
		k.connect(ctx)
	}
}

// connect goes one step.
func (k *custody) connect(ctx context.Context) {
	t, way := k.tenant, k.customerKey.(private) //nolint:forcetypeassert // it was chosen for that
	if !k.private {
		t.update(ctx, way.require(true), "requires private networking "+k.provider())
		return
	}
	all, ok := k.endpoints(ctx)
	switch {
	case !ok:
	case len(all) > 0:
		k.attend(ctx, all[t.rng.IntN(len(all))])
	case t.rng.IntN(4) > 0:
		_, _, err := t.settings().CreateRestPrivateEndpoint(ctx, t.group, k.provider(), &admin.EARPrivateEndpoint{RegionName: new(way.endpointRegion())}).Execute()
		k.networked = t.how(err, "sets up a private endpoint "+k.provider()) != denied
		_, asks := way.(approver)
		k.asked = k.networked && asks
	default:
		t.update(ctx, way.require(false), "requires private networking no more")
	}
}

// endpoints are the private endpoints that lead to the key.
func (k *custody) endpoints(ctx context.Context) ([]admin.EARPrivateEndpoint, bool) {
	t := k.tenant
	page, _, err := t.settings().ListRestPrivateEndpoints(ctx, t.group, k.provider()).Execute()
	if err != nil {
		return nil, false
	}
	all := page.GetResults()
	k.networked = len(all) > 0
	k.asked = k.asked && k.networked
	if k.severed != "" && !slices.ContainsFunc(all, func(e admin.EARPrivateEndpoint) bool { return e.GetId() == k.severed || e.GetStatus() != active }) {
		k.severed, k.excusedUntil = "", time.Now()
		t.said("is reached again " + k.provider())
	}
	return all, true
}

// attend does what an endpoint calls for: the tenant approves it, or not; takes it away; has it removed.
func (k *custody) attend(ctx context.Context, e admin.EARPrivateEndpoint) {
	t := k.tenant
	asked, ok := k.customerKey.(approver)
	switch {
	case ok && e.GetStatus() == pendingAcceptance:
		status := "Approved"
		if t.rng.IntN(4) == 0 {
			status = "Rejected"
		}
		k.decided(ctx, asked, e, status)
	case ok && e.GetStatus() == active && t.rng.IntN(2) == 0:
		if asked.sever(ctx, e.GetPrivateEndpointConnectionName()) == nil {
			k.severed = e.GetId()
			t.said("takes its private endpoint away " + k.provider())
		}
	case e.GetStatus() == active || e.GetStatus() == failed:
		k.remove(ctx, e)
	}
}

func (k *custody) decided(ctx context.Context, by approver, e admin.EARPrivateEndpoint, status string) {
	if by.decide(ctx, e.GetPrivateEndpointConnectionName(), status) == nil {
		k.asked = false
		k.tenant.said("answers a private endpoint: " + status)
	}
}

func (k *custody) remove(ctx context.Context, e admin.EARPrivateEndpoint) {
	t := k.tenant
	_, err := t.settings().RequestPrivateEndpointDeletion(ctx, t.group, k.provider(), e.GetId()).Execute()
	t.how(err, "removes its private endpoint "+k.provider())
}

// approve approves what the cloud asks about, and clears away what failed.
func (k *custody) approve(ctx context.Context) {
	asked, ok := k.customerKey.(approver)
	all, read := k.endpoints(ctx)
	if !ok || !read {
		return
	}
	for _, e := range all {
		switch e.GetStatus() {
		case pendingAcceptance:
			k.decided(ctx, asked, e, "Approved")
		case failed:
			k.remove(ctx, e)
		}
	}
}

// disconnect removes one of the endpoints.
func (k *custody) disconnect(ctx context.Context) {
	if all, ok := k.endpoints(ctx); ok && len(all) > 0 {
		k.remove(ctx, all[0])
	}
}
