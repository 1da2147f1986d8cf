package encryption

import (
	"strings"
	"time"

	"latchkey/shared/atlas"
)

// applyAzure merges the Azure block.
func (s Settings) applyAzure(u *atlas.AzureKeyVaultUpdate) (*Azure, *Change, error) {
	if u == nil {
		return s.Azure, nil, nil
	}
	what, err := intend(atlas.Azure, s.Azure != nil, u.Enabled, sent(u.AzureEnvironment, u.ClientID, u.KeyIdentifier,
		u.KeyVaultName, u.ResourceGroupName, u.RoleID, u.Secret, u.SecretExpiresAt, u.SubscriptionID, u.TenantID) ||
		asksFor(u.RequirePrivateNetworking, s.Azure != nil))
	switch {
	case err != nil || what == leave:
		return s.Azure, nil, err
	case what == remove:
		return nil, &Change{Provider: atlas.Azure, Kind: Disable, Fields: []string{"enabled"}}, nil
	}
	next := Azure{Environment: string(atlas.AzurePublic)}
	if s.Azure != nil {
		next = *s.Azure
	}
	m := merger{}
	accessChanged := m.set("azureEnvironment", &next.Environment, u.AzureEnvironment)
	keyChanged := m.set("keyIdentifier", &next.KeyIdentifier, u.KeyIdentifier)
	m.set("keyVaultName", &next.VaultName, u.KeyVaultName)
	accessChanged = m.set("resourceGroupName", &next.ResourceGroup, u.ResourceGroupName) || accessChanged
	accessChanged = m.set("subscriptionID", &next.SubscriptionID, u.SubscriptionID) || accessChanged
	accessChanged = m.set("tenantID", &next.TenantID, u.TenantID) || accessChanged
	m.flag("requirePrivateNetworking", &next.PrivateNetworking, u.RequirePrivateNetworking)
	secret, err := s.mergeAzureAccess(&next, &m, u)
	if err == nil {
		err = mergeSecretExpiry(&next, &m, secret, u.SecretExpiresAt)
	}
	if err != nil {
		return nil, nil, err
	}
	accessChanged = accessChanged || s.Azure != nil && (next.RoleID != s.Azure.RoleID || next.ClientID != s.Azure.ClientID)
	change := m.change(atlas.Azure, s.Azure != nil, keyChanged, accessChanged, secret)
	if change == nil {
		return s.Azure, nil, nil
	}
	return &next, change, next.check(secret)
}

// mergeAzureAccess merges service principal and application and returns a new client secret,
// if one counts. "On success static credentials are dropped" (CONTRACT 3.3).
func (s Settings) mergeAzureAccess(next *Azure, m *merger, u *atlas.AzureKeyVaultUpdate) (secret string, err error) {
	m.set("roleId", &next.RoleID, u.RoleID)
	if sent(u.RoleID) {
		next.ClientID, next.Secret = "", nil
		return "", nil
	}
	if s.isSwitching(atlas.Azure) && sent(u.ClientID, u.Secret) {
		return "", atlas.Fail(atlas.AzureCredentialsDeprecated).Hinting(switching)
	}
	if s.roleOnly(atlas.Azure) || s.RoleID(atlas.Azure) != "" {
		if sent(u.ClientID, u.Secret) {
			return "", atlas.Fail(atlas.AzureCredentialsDeprecated).
				Hinting("This project has switched to role-based access, which cannot be undone. Send \"roleId\".")
		}
		return "", nil
	}
	if m.set("clientID", &next.ClientID, u.ClientID) {
		next.Secret = nil // a secret belongs to one application
	}
	return value(u.Secret), nil
}

// mergeSecretExpiry merges when the client secret ends. It belongs to one secret: another one, or a service
// principal, which has none, forgets it.
func mergeSecretExpiry(a *Azure, m *merger, secret string, sent *string) error {
	if secret != "" || a.RoleID != "" || a.Secret == nil {
		a.SecretExpires = time.Time{}
	}
	if a.RoleID != "" || value(sent) == "" {
		return nil
	}
	at, err := atlas.ParseTime(*sent, time.RFC3339, time.DateOnly)
	if err != nil {
		return atlas.Fail(atlas.InvalidAttribute, "secretExpiresAt").Hinting("It must be a date, or a date and time, as of ISO 8601.")
	}
	at = at.Truncate(time.Second)
	if !at.Equal(a.SecretExpires) {
		a.SecretExpires = at
		m.fields = append(m.fields, "secretExpiresAt")
	}
	return nil
}

// check demands a complete configuration whose parts fit together.
func (a Azure) check(secret string) error {
	members := []member{
		{"azureEnvironment", a.Environment},
		{"keyIdentifier", a.KeyIdentifier},
		{"keyVaultName", a.VaultName},
		{"resourceGroupName", a.ResourceGroup},
		{"subscriptionID", a.SubscriptionID},
	}
	switch {
	case a.RoleID != "":
	case a.ClientID == "" && a.TenantID == "" && secret == "":
		members = append(members, member{"roleId", ""})
	default:
		members = append(members, member{"clientID", a.ClientID}, member{"tenantID", a.TenantID}, member{"secret", either(secret, a.Secret)})
	}
	if err := require(members...); err != nil {
		return err
	}
	for _, m := range []member{{"subscriptionID", a.SubscriptionID}, {"tenantID", a.TenantID}, {"clientID", a.ClientID}} {
		if m.value != "" && !atlas.ValidUUID(m.value) {
			return atlas.Fail(atlas.InvalidAttribute, m.name).Hinting("It must be a UUID.")
		}
	}
	if !atlas.ValidAzureResourceGroup(a.ResourceGroup) {
		return atlas.Fail(atlas.InvalidAttribute, "resourceGroupName").Hinting("It must be the name of a resource group.")
	}
	environment, err := atlas.ParseAzureEnvironment(a.Environment)
	if err != nil {
		return err
	}
	id, err := atlas.ParseAzureKeyID(a.KeyIdentifier)
	if err != nil {
		return err
	}
	switch {
	case id.Environment != environment:
		return atlas.Fail(atlas.AzureKeyIdentifierInvalid, a.KeyIdentifier).Hinting("Its host does not belong to the environment %s.", environment)
	case !strings.EqualFold(id.Vault, a.VaultName):
		return atlas.Fail(atlas.AzureKeyIdentifierInvalid, a.KeyIdentifier).Hinting("Its host does not belong to the key vault %s.", a.VaultName)
	}
	return nil
}
