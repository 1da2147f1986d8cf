package azurecloud

import (
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"latchkey/shared/atlas"
)

// vault is a key vault as Resource Manager knows it. Its id is its host name: vault names are
// unique in all of Azure.
type vault struct {
	Host         string                 `json:"host"`
	Environment  atlas.AzureEnvironment `json:"environment"`
	Subscription string                 `json:"subscription"`
	Group        string                 `json:"group"`
	Name         string                 `json:"name"`
	Location     string                 `json:"location"`
	Tags         map[string]string      `json:"tags"`
	Tenant       string                 `json:"tenant"`
	RBAC         bool                   `json:"rbac"`
	// NoSoftDelete is a vault from the time when soft delete could be declined.
	NoSoftDelete    bool                     `json:"noSoftDelete,omitempty"`
	PurgeProtection bool                     `json:"purgeProtection"`
	RetentionDays   int                      `json:"retentionDays"`
	PublicAccess    string                   `json:"publicAccess"` // "Enabled" or "Disabled"
	ACLs            networkACLs              `json:"acls"`
	Policies        settling[[]accessPolicy] `json:"policies"`
	DeletedAt       time.Time                `json:"deletedAt,omitzero"`
}

// networkACLs are a vault's firewall.
type networkACLs struct {
	Bypass        string   `json:"bypass"`        // "AzureServices" or "None"; Latchkey is no Azure service
	DefaultAction string   `json:"defaultAction"` // "Allow" or "Deny"
	IPRules       []ipRule `json:"ipRules"`
	NetworkRules  []any    `json:"virtualNetworkRules"` // kept, but nothing here is in a virtual network
}

type ipRule struct {
	Value string `json:"value"` // an address or a CIDR block
}

// accessPolicy gives a principal permissions in a vault that does not use RBAC.
type accessPolicy struct {
	TenantID    string `json:"tenantId"`
	ObjectID    string `json:"objectId"`
	Permissions struct {
		Keys         []string `json:"keys"`
		Secrets      []string `json:"secrets"`
		Certificates []string `json:"certificates"`
	} `json:"permissions"`
}

// defaultRetention is for how many days deleted vaults and keys can be recovered.
const defaultRetention = 90

// id is the vault's resource id.
func (v vault) id() string {
	return "/subscriptions/" + v.Subscription + "/resourceGroups/" + v.Group + "/providers/Microsoft.KeyVault/vaults/" + v.Name
}

// vaultInput is what clients send to create or change a vault; nil is "leave it".
type vaultInput struct {
	Location   string            `json:"location"`
	Tags       map[string]string `json:"tags"`
	Properties vaultProperties   `json:"properties"`
}

type vaultProperties struct {
	TenantID        *string         `json:"tenantId"`
	Policies        *[]accessPolicy `json:"accessPolicies"`
	RBAC            *bool           `json:"enableRbacAuthorization"`
	SoftDelete      *bool           `json:"enableSoftDelete"`
	PurgeProtection *bool           `json:"enablePurgeProtection"`
	RetentionDays   *int            `json:"softDeleteRetentionInDays"`
	ACLs            *networkACLs    `json:"networkAcls"`
	PublicAccess    *string         `json:"publicNetworkAccess"`
	CreateMode      string          `json:"createMode"`
}

// apply makes the changes that a request asks for.
func (in vaultInput) apply(v *vault, now time.Time, lag time.Duration) error {
	p := in.Properties
	if p.PurgeProtection != nil && !*p.PurgeProtection && v.PurgeProtection {
		return refuse(http.StatusBadRequest, "BadRequest", `The property "enablePurgeProtection" cannot be set to false. Enabling the purge protection for a vault is an irreversible action.`)
	}
	isNew := v.Location == ""
	if p.SoftDelete != nil && !*p.SoftDelete && !isNew && !v.NoSoftDelete {
		return refuse(http.StatusBadRequest, "BadRequest", `The property "enableSoftDelete" can be set to false only for creating new vault. Enabling the 'soft delete' functionality is an irreversible action.`)
	}
	if p.TenantID != nil {
		if !atlas.ValidUUID(*p.TenantID) {
			return refuse(http.StatusBadRequest, "BadRequest", "The parameter tenantId is not a valid GUID.")
		}
		v.Tenant = strings.ToLower(*p.TenantID)
	}
	if p.ACLs != nil {
		if err := p.ACLs.check(); err != nil {
			return err
		}
		v.ACLs = *p.ACLs
	}
	if p.SoftDelete != nil {
		v.NoSoftDelete = !*p.SoftDelete
	}
	set(&v.RBAC, p.RBAC)
	set(&v.PurgeProtection, p.PurgeProtection)
	set(&v.RetentionDays, p.RetentionDays)
	set(&v.PublicAccess, p.PublicAccess)
	if p.Policies != nil {
		v.Policies.set(*p.Policies, now, lag)
	}
	if in.Location != "" {
		v.Location = in.Location
	}
	if in.Tags != nil {
		v.Tags = maps.Clone(in.Tags)
	}
	return nil
}

func set[T any](field *T, v *T) {
	if v != nil {
		*field = *v
	}
}

func (a networkACLs) check() error {
	for _, r := range a.IPRules {
		if _, err := r.prefix(); err != nil {
			return refuse(http.StatusBadRequest, "BadRequest", "The IP rule %q is neither an address nor a CIDR block.", r.Value)
		}
	}
	if a.DefaultAction != "" && a.DefaultAction != "Allow" && a.DefaultAction != "Deny" {
		return refuse(http.StatusBadRequest, "BadRequest", "networkAcls.defaultAction must be Allow or Deny.")
	}
	return nil
}

func (r ipRule) prefix() (netip.Prefix, error) {
	if p, err := netip.ParsePrefix(r.Value); err == nil {
		return p.Masked(), nil
	}
	addr, err := netip.ParseAddr(r.Value)
	if err != nil {
		return netip.Prefix{}, err
	}
	return netip.PrefixFrom(addr, addr.BitLen()), nil
}

// admits checks the vault's firewall.
func (v vault) admits(from netip.Addr) error {
	if v.PublicAccess == "Disabled" {
		return refuse(http.StatusForbidden, "Forbidden", "Public network access is disabled and request is not from a trusted service nor via an approved private link.\r\nCaller: %s\r\nVault: %s;location=%s",
			from, v.Name, v.Location).because("ForbiddenByConnection")
	}
	if v.ACLs.DefaultAction != "Deny" {
		return nil
	}
	inside := func(r ipRule) bool {
		p, err := r.prefix()
		return err == nil && p.Contains(from)
	}
	if slices.ContainsFunc(v.ACLs.IPRules, inside) {
		return nil
	}
	return refuse(http.StatusForbidden, "Forbidden", "Client address is not authorized and caller is not a trusted service.\r\nClient address: %s\r\nCaller: name=/\r\nVault: %s;location=%s",
		from, v.Name, v.Location).because("ForbiddenByFirewall")
}

// recoveryLevel is what becomes of a key that is deleted, as its attributes tell.
func (v vault) recoveryLevel() (level string, days int) {
	if v.NoSoftDelete {
		return "Purgeable", 0
	}
	level = "Recoverable"
	if v.RetentionDays < defaultRetention {
		level = "CustomizedRecoverable"
	}
	if !v.PurgeProtection {
		level += "+Purgeable"
	}
	return level, v.RetentionDays
}

// body is the vault as Resource Manager shows it.
func (v vault) body() map[string]any {
	orEmpty := func(p []accessPolicy) []accessPolicy { return append([]accessPolicy{}, p...) }
	acls := v.ACLs
	acls.IPRules, acls.NetworkRules = append([]ipRule{}, acls.IPRules...), append([]any{}, acls.NetworkRules...)
	return map[string]any{
		"id": v.id(), "name": v.Name, "type": "Microsoft.KeyVault/vaults", "location": v.Location, "tags": v.Tags,
		"properties": map[string]any{
			"sku": map[string]string{"family": "A", "name": "standard"}, "tenantId": v.Tenant,
			"accessPolicies": orEmpty(v.Policies.Now), "enableRbacAuthorization": v.RBAC, "enableSoftDelete": !v.NoSoftDelete,
			"enablePurgeProtection": v.PurgeProtection, "softDeleteRetentionInDays": v.RetentionDays,
			"networkAcls": acls, "publicNetworkAccess": v.PublicAccess,
			"vaultUri": "https://" + v.Host + "/", "provisioningState": "Succeeded",
		},
	}
}

// vault finds a vault by host; deleted ones count as well.
func (c *Cloud) vault(host string) (vault, bool, error) {
	var v vault
	found, err := c.cfg.State.Get(kindVault, host, &v)
	return v, found, err
}
