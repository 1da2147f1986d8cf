package sim

import (
	"context"
	"fmt"
	"time"

	"go.mongodb.org/atlas-sdk/v20250312018/admin"

	"latchkey/local/stack"
)

// azureKey is a key in Azure Key Vault.
type azureKey struct {
	tenant *tenant
	n      int
	static bool // by an application's secret
	// principals may use the vault: the tenant's application, and Latchkey's.
	principals []string
	roleID     string
	key        string // its identifier
	current    *admin.AzureKeyVault
	undo       func(context.Context) error
}

const (
	azureVersion      = "?api-version=2025-07-01"
	azureSubscription = "6f1b0000-0000-4000-8000-000000000003"
	graph             = "https://graph.microsoft.com/v1.0"
)

func (k *azureKey) provider() string { return "AZURE" }
func (k *azureKey) host() string     { return k.name() + ".vault.azure.net" }
func (k *azureKey) isStatic() bool   { return k.static }
func (k *azureKey) name() string     { return fmt.Sprintf("kv-%d", k.n) }
func (k *azureKey) vault() string {
	return "https://management.azure.com/subscriptions/" + azureSubscription + "/resourceGroups/rg/providers/Microsoft.KeyVault/vaults/" + k.name()
}

func (k *azureKey) adopt(e *admin.EncryptionAtRest) {
	if e.AzureKeyVault.GetEnabled() {
		k.key, k.static = e.AzureKeyVault.GetKeyIdentifier(), e.AzureKeyVault.GetRoleId() == ""
	}
}

func (k *azureKey) wrong() *admin.EncryptionAtRest {
	return &admin.EncryptionAtRest{AzureKeyVault: &admin.AzureKeyVault{
		KeyIdentifier: new("https://" + k.host() + "/keys/none/00000000000000000000000000000000"),
	}}
}

func (k *azureKey) makeKey(ctx context.Context) error {
	made, err := k.tenant.administer(ctx, "POST", "https://"+k.host()+"/keys/atlas/create"+azureVersion, `{"kty":"RSA","key_size":2048}`)
	if err == nil {
		k.key = fmt.Sprint(member(made, "key")["kid"])
	}
	return err
}

func (k *azureKey) bring(ctx context.Context) (*admin.EncryptionAtRest, error) {
	if k.current == nil {
		c, err := k.prepare(ctx)
		if err != nil {
			return nil, err
		}
		k.current = c
	}
	return &admin.EncryptionAtRest{AzureKeyVault: k.current}, nil
}

func (k *azureKey) prepare(ctx context.Context) (*admin.AzureKeyVault, error) {
	t := k.tenant
	if k.key == "" {
		if _, err := t.administer(ctx, "PUT", k.vault()+azureVersion, `{"location":"eastus2","properties":{"tenantId":"`+stack.TenantDirectory+
			`","sku":{"family":"A","name":"standard"},"accessPolicies":[]}}`); err != nil {
			return nil, err
		}
		if err := k.makeKey(ctx); err != nil {
			return nil, err
		}
	}
	c := &admin.AzureKeyVault{
		Enabled: new(true), AzureEnvironment: new("AZURE"), TenantID: new(stack.TenantDirectory), SubscriptionID: new(azureSubscription),
		ResourceGroupName: new("rg"), KeyVaultName: new(k.name()), KeyIdentifier: &k.key,
	}
	if !k.static {
		return c, k.letPrincipalIn(ctx, c)
	}
	return c, k.letSecretIn(ctx, c)
}

func (k *azureKey) letSecretIn(ctx context.Context, c *admin.AzureKeyVault) error {
	t := k.tenant
	app, err := t.administer(ctx, "POST", graph+"/applications", `{"displayName":"tenant"}`)
	if err != nil {
		return err
	}
	secret, err := t.administer(ctx, "POST", graph+"/applications/"+fmt.Sprint(app["id"])+"/addPassword", `{"passwordCredential":{}}`)
	if err != nil {
		return err
	}
	principal, err := t.administer(ctx, "POST", graph+"/servicePrincipals", `{"appId":"`+fmt.Sprint(app["appId"])+`"}`)
	if err != nil {
		return err
	}
	c.ClientID, c.Secret = new(fmt.Sprint(app["appId"])), new(fmt.Sprint(secret["secretText"]))
	t.world.book.hide(*c.Secret)
	k.principals = append(k.principals, fmt.Sprint(principal["id"]))
	return k.policy(ctx, "add")
}

// letPrincipalIn makes a service principal of Latchkey's application, which only one organisation may do: the
// tenants share the directory, so it is the first one's alone.
func (k *azureKey) letPrincipalIn(ctx context.Context, c *admin.AzureKeyVault) error {
	t, roles := k.tenant, k.tenant.client.CloudProviderAccessApi
	if k.roleID == "" {
		found, err := t.administer(ctx, "POST", graph+"/servicePrincipals", `{"appId":"`+t.world.azureApp()+`"}`)
		if err != nil {
			return err
		}
		principal := fmt.Sprint(found["id"])
		access, _, err := roles.CreateCloudProviderAccess(ctx, t.group, &admin.CloudProviderAccessRoleRequest{
			ProviderName: "AZURE", TenantId: new(stack.TenantDirectory), ServicePrincipalId: &principal,
		}).Execute()
		if err != nil {
			return err
		}
		k.roleID, k.principals = access.GetId(), append(k.principals, principal)
		if err := k.policy(ctx, "add"); err != nil {
			return err
		}
	}
	_, _, err := roles.AuthorizeProviderAccessRole(ctx, t.group, k.roleID, &admin.CloudProviderAccessRoleRequestUpdate{
		ProviderName: "AZURE", TenantId: new(stack.TenantDirectory), ServicePrincipalId: &k.principals[len(k.principals)-1],
		AtlasAzureAppId: new(t.world.azureApp()),
	}).Execute()
	c.RoleId = &k.roleID
	return err
}

func (k *azureKey) byRole(ctx context.Context) (*admin.EncryptionAtRest, error) {
	c := &admin.AzureKeyVault{}
	return &admin.EncryptionAtRest{AzureKeyVault: c}, k.letPrincipalIn(ctx, c)
}

// policy adds or removes what lets the application use the vault's keys.
func (k *azureKey) policy(ctx context.Context, act string) error {
	for _, principal := range k.principals {
		if _, err := k.tenant.administer(ctx, "PUT", k.vault()+"/accessPolicies/"+act+azureVersion, `{"properties":{"accessPolicies":[{"tenantId":"`+
			stack.TenantDirectory+`","objectId":"`+principal+`","permissions":{"keys":["get","encrypt","decrypt"]}}]}}`); err != nil {
			return err
		}
	}
	return nil
}

func (k *azureKey) revoke(ctx context.Context, way int) error {
	if way == 0 {
		k.undo = func(ctx context.Context) error { return k.policy(ctx, "add") }
		return k.policy(ctx, "remove")
	}
	key := k.key
	enable := func(ctx context.Context, enabled string) error {
		_, err := k.tenant.administer(ctx, "PATCH", key+azureVersion, `{"attributes":{"enabled":`+enabled+`}}`)
		return err
	}
	k.undo = func(ctx context.Context) error { return enable(ctx, "true") }
	return enable(ctx, "false")
}

func (k *azureKey) lag(int) time.Duration { return 0 }

func (k *azureKey) restore(ctx context.Context) error { return k.undo(ctx) }

func (k *azureKey) next(ctx context.Context) (*admin.EncryptionAtRest, error) {
	made, err := k.tenant.administer(ctx, "POST", "https://"+k.host()+"/keys/atlas/create"+azureVersion, `{"kty":"RSA","key_size":2048}`)
	if err != nil {
		return nil, err
	}
	return &admin.EncryptionAtRest{AzureKeyVault: &admin.AzureKeyVault{KeyIdentifier: new(fmt.Sprint(member(made, "key")["kid"]))}}, nil
}
