package encryption

import "latchkey/shared/atlas"

// Wire is the settings as the API shows them: all three blocks, strings as they were sent, no
// secrets (CONTRACT 3.2, drift traps of CLIENTS.md).
func (s Settings) Wire() atlas.EncryptionAtRest {
	w := atlas.EncryptionAtRest{EnabledForSearchNodes: s.SearchNodes}
	if a := s.AWS; a != nil {
		w.AWSKMS = atlas.AWSKMS{
			Enabled: true, Valid: a.Key.Valid, CustomerMasterKeyID: &a.KeyID, Region: &a.Region,
			RequirePrivateNetworking: &a.PrivateNetworking, RoleID: optional(a.RoleID), AccessKeyID: optional(a.AccessKeyID),
		}
	}
	if a := s.Azure; a != nil {
		w.AzureKeyVault = atlas.AzureKeyVault{
			Enabled: true, Valid: a.Key.Valid, AzureEnvironment: &a.Environment, KeyIdentifier: &a.KeyIdentifier,
			KeyVaultName: &a.VaultName, ResourceGroupName: &a.ResourceGroup, SubscriptionID: &a.SubscriptionID,
			TenantID: optional(a.TenantID), ClientID: optional(a.ClientID), RoleID: optional(a.RoleID),
			RequirePrivateNetworking: &a.PrivateNetworking, SecretExpiresAt: a.secretExpiresAt(),
		}
	}
	if g := s.Google; g != nil {
		w.GoogleCloudKMS = atlas.GoogleCloudKMS{
			Enabled: true, Valid: g.Key.Valid, KeyVersionResourceID: &g.KeyVersion, RoleID: optional(g.RoleID),
		}
	}
	return w
}

// secretExpiresAt is when the client secret ends, nil if the tenant said nothing.
func (a Azure) secretExpiresAt() *string {
	if a.SecretExpires.IsZero() {
		return nil
	}
	at := atlas.Time(a.SecretExpires)
	return &at
}

// optional is nil for "": an empty string where none was sent makes clients see a difference.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
