package sim

import (
	"context"
	"fmt"
	"strings"
	"time"

	"go.mongodb.org/atlas-sdk/v20250312018/admin"

	"latchkey/local/stack"
)

// azureKey is a key in Azure Key Vault.
type azureKey struct {
	spares // their identifiers

	tenant *tenant
	static bool // by an application's secret
	// floating is that the configuration names no version of the key: whichever is the newest wraps.
	floating bool
	// principals may use the vault: the tenant's application, and Latchkey's, which is own.
	principals []string
	own        string
	roleID     string
	app        *application
	key        string // the identifier of the version that wraps
	undo       func(context.Context) error
}

// application is one of the tenant's, with its secret.
type application struct{ id, secret string }

const (
	vaultDomain       = ".vault.azure.net"
	azureVersion      = "?api-version=2025-07-01"
	azureSubscription = "6f1b0000-0000-4000-8000-000000000003"
	graph             = "https://graph.microsoft.com/v1.0"
)

func (k *azureKey) provider() string { return "AZURE" }
func (k *azureKey) host() string     { return k.name() + vaultDomain }
func (k *azureKey) isStatic() bool   { return k.static }
func (k *azureKey) name() string     { return fmt.Sprintf("kv-%d", k.tenant.n) }
func (k *azureKey) vault() string {
	return "https://management.azure.com/subscriptions/" + azureSubscription + "/resourceGroups/rg/providers/Microsoft.KeyVault/vaults/" + k.name()
}

// services implements customerKey.
func (k *azureKey) services() (kms, tokens []service) {
	return []service{{host: k.host()}}, []service{{host: entraHost}}
}

// regions implements customerKey. Private endpoints lead to the vaults' own names.
func (k *azureKey) regions() []region {
	return []region{{"eastus2", []service{{host: "*" + vaultDomain}, {host: "management.azure.com"}}}}
}

func (k *azureKey) adopt(e *admin.EncryptionAtRest) {
	if !e.AzureKeyVault.GetEnabled() {
		return
	}
	k.static = e.AzureKeyVault.GetRoleId() == ""
	if now := e.AzureKeyVault.GetKeyIdentifier(); now != k.identifier() {
		k.floating = false // tenants change to versions
		k.replace(k.key, now)
		k.key = now
	}
}

// identifier names the key as the configuration does.
func (k *azureKey) identifier() string {
	if k.floating {
		return k.key[:strings.LastIndexByte(k.key, '/')]
	}
	return k.key
}

func (k *azureKey) tells(e *admin.EncryptionAtRest) (enabled, private bool) {
	return e.AzureKeyVault.GetEnabled(), e.AzureKeyVault.GetRequirePrivateNetworking()
}

func (k *azureKey) away() *admin.EncryptionAtRest {
	return &admin.EncryptionAtRest{AzureKeyVault: &admin.AzureKeyVault{Enabled: new(false)}}
}

func (k *azureKey) present() string                     { return k.key }
func (k *azureKey) spelled(name, version string) string { return name + "/" + version }

func (k *azureKey) wrong() *admin.EncryptionAtRest {
	return &admin.EncryptionAtRest{AzureKeyVault: &admin.AzureKeyVault{
		KeyIdentifier: new("https://" + k.host() + "/keys/none/00000000000000000000000000000000"),
	}}
}

// makeVersion makes the key's newest version.
func (k *azureKey) makeVersion(ctx context.Context) (identifier string, err error) {
	made, err := k.tenant.administer(ctx, "POST", "https://"+k.host()+"/keys/atlas/create"+azureVersion, `{"kty":"RSA","key_size":2048}`)
	return fmt.Sprint(member(made, "key")["kid"]), err
}

func (k *azureKey) bring(ctx context.Context) (*admin.EncryptionAtRest, error) {
	t := k.tenant
	if k.key == "" {
		if _, err := t.administer(ctx, "PUT", k.vault()+azureVersion, `{"location":"eastus2","properties":{"tenantId":"`+stack.TenantDirectory+
			`","sku":{"family":"A","name":"standard"},"accessPolicies":[]}}`); err != nil {
			return nil, err
		}
		identifier, err := k.makeVersion(ctx)
		if err != nil {
			return nil, err
		}
		k.key = identifier
	}
	c := &admin.AzureKeyVault{
		Enabled: new(true), AzureEnvironment: new("AZURE"), TenantID: new(stack.TenantDirectory), SubscriptionID: new(azureSubscription),
		ResourceGroupName: new("rg"), KeyVaultName: new(k.name()), KeyIdentifier: new(k.identifier()),
	}
	letIn := k.letPrincipalIn
	if k.static && k.roleID == "" {
		letIn = k.letSecretIn
	}
	return &admin.EncryptionAtRest{AzureKeyVault: c}, letIn(ctx, c)
}

func (k *azureKey) letSecretIn(ctx context.Context, c *admin.AzureKeyVault) error {
	if k.app == nil {
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
		k.app = &application{fmt.Sprint(app["appId"]), fmt.Sprint(secret["secretText"])}
		t.world.secrets.add("the application's secret of "+t.name, []byte(k.app.secret))
		k.principals = append(k.principals, fmt.Sprint(principal["id"]))
	}
	c.ClientID, c.Secret = &k.app.id, &k.app.secret
	return k.policy(ctx, "add")
}

// letPrincipalIn makes a service principal of Latchkey's application, which only one organisation may do: the
// tenants share the directory, so it is the first one's alone.
func (k *azureKey) letPrincipalIn(ctx context.Context, c *admin.AzureKeyVault) error {
	t, roles := k.tenant, k.tenant.client.CloudProviderAccessApi
	if k.own == "" {
		found, err := t.administer(ctx, "POST", graph+"/servicePrincipals", `{"appId":"`+t.world.azureApp()+`"}`)
		if err != nil {
			return err
		}
		k.own = fmt.Sprint(found["id"])
		k.principals = append(k.principals, k.own)
	}
	if k.roleID == "" {
		access, _, err := roles.CreateCloudProviderAccess(ctx, t.group, &admin.CloudProviderAccessRoleRequest{
			ProviderName: "AZURE", TenantId: new(stack.TenantDirectory), ServicePrincipalId: &k.own,
		}).Execute()
		if err != nil {
			return err
		}
		k.roleID = access.GetId()
	}
	if err := k.policy(ctx, "add"); err != nil {
		return err
	}
	_, _, err := roles.AuthorizeProviderAccessRole(ctx, t.group, k.roleID, &admin.CloudProviderAccessRoleRequestUpdate{
		ProviderName: "AZURE", TenantId: new(stack.TenantDirectory), ServicePrincipalId: &k.own, AtlasAzureAppId: new(t.world.azureApp()),
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
	versions := []string{k.key}
	if k.floating { // each version opens what it has wrapped
		versions = append(versions, k.names...)
	}
	enable := func(ctx context.Context, enabled bool) error {
		for _, version := range versions {
			if err := k.enable(ctx, version, enabled); err != nil {
				return err
			}
		}
		return nil
	}
	k.undo = func(ctx context.Context) error { return enable(ctx, true) }
	return enable(ctx, false)
}

func (k *azureKey) enable(ctx context.Context, version string, enabled bool) error {
	_, err := k.tenant.administer(ctx, "PATCH", version+azureVersion, fmt.Sprintf(`{"attributes":{"enabled":%t}}`, enabled))
	return err
}

// retire implements customerKey.
func (k *azureKey) retire(ctx context.Context) error {
	if err := k.enable(ctx, k.names[0], false); err != nil {
		return err
	}
	k.names = k.names[1:]
	return nil
}

func (k *azureKey) lag(int) time.Duration { return 0 }

func (k *azureKey) restore(ctx context.Context) error { return k.undo(ctx) }

func (k *azureKey) next(ctx context.Context) (*admin.EncryptionAtRest, error) {
	identifier, err := k.makeVersion(ctx)
	if err != nil {
		return nil, err
	}
	if k.floating { // it wraps already
		k.replace(k.key, identifier)
		k.key, k.tenant.at(k.provider()).moved = identifier, true
	}
	return &admin.EncryptionAtRest{AzureKeyVault: &admin.AzureKeyVault{KeyIdentifier: &identifier}}, nil
}

// renew implements customerKey. A version that the configuration does not name is no business of anybody's.
func (k *azureKey) renew(ctx context.Context) (moved bool, err error) {
	identifier, err := k.makeVersion(ctx)
	switch {
	case err != nil:
	case k.floating:
		k.replace(k.key, identifier)
		k.key = identifier
	default:
		k.names = append(k.names, identifier)
	}
	return k.floating, err
}
