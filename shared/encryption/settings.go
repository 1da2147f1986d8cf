// Package encryption is encryption at rest with customer-managed keys: which key each group
// uses at which provider, how it is reached, and whether it is valid.
//
// Its invariants: settings change as a whole or not at all; nothing is stored that was not
// validated exactly as it is stored; what the old settings sealed, the new ones can open.
package encryption

import (
	"maps"
	"time"

	"latchkey/shared/access"
	"latchkey/shared/atlas"
	"latchkey/shared/kms"
	"latchkey/shared/seal"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
	"latchkey/shared/verdict"
)

// Settings is a group's encryption-at-rest configuration. It exists from the creation of the
// group until the group is closed.
type Settings struct { //nolint:recvcheck // updates merge copies; what changes one in place says so by its pointer
	GroupID string `json:"groupId"`
	OrgID   string `json:"orgId"`
	// Revision counts the changes of the configuration. Storing a verdict leaves it alone, so
	// a check never makes a client's change fail.
	Revision    int64     `json:"revision"`
	Updated     time.Time `json:"updated,omitzero"`
	SearchNodes bool      `json:"searchNodes,omitempty"`

	AWS    *AWS    `json:"aws,omitempty"` // nil while disabled
	Azure  *Azure  `json:"azure,omitempty"`
	Google *Google `json:"google,omitempty"`

	// RoleOnly lists the providers at which the group has used role-based access. Static
	// credentials are refused there for ever: "you can't undo the role-based access
	// configuration" (private-endpoints document).
	RoleOnly []atlas.Provider `json:"roleOnly,omitempty"`

	// Fallbacks are the ways back from changes that are not finished.
	Fallbacks []Fallback `json:"fallbacks,omitempty"`

	// Regions are those in which multi-Region keys of AWS were last configured, by the keys' ids. What
	// such a key has wrapped is opened there ever after: the region of its ARN may be the one that it
	// was moved away from.
	Regions map[string]string `json:"regions,omitempty"`

	// Told is what alerts know of the keys, by provider.
	Told map[atlas.Provider]Told `json:"told,omitempty"`

	version  int64
	warnings []string // see Warnings
}

// AWS is the configuration of a key in AWS KMS. Strings are kept as the client sent them.
type AWS struct {
	KeyID  string `json:"keyId"`
	Region string `json:"region"`
	// RoleID names the access role. Without one, AccessKeyID and Secret are a user's keys.
	RoleID string `json:"roleId,omitempty"`
	// Role is the role as it is, see Settings.role.
	Role              *access.AWSRole `json:"role,omitempty"`
	AccessKeyID       string          `json:"accessKeyId,omitempty"`
	Secret            seal.Sealed     `json:"secret,omitempty"`
	PrivateNetworking bool            `json:"privateNetworking,omitempty"`
	Key               KeyState        `json:"key"`
}

// Azure is the configuration of a key in Azure Key Vault.
type Azure struct {
	Environment    string `json:"environment"`
	KeyIdentifier  string `json:"keyIdentifier"`
	VaultName      string `json:"vaultName"`
	ResourceGroup  string `json:"resourceGroup"`
	SubscriptionID string `json:"subscriptionId"`
	TenantID       string `json:"tenantId,omitempty"`
	// RoleID names the service principal. Without one, ClientID and Secret are the tenant's
	// application.
	RoleID   string            `json:"roleId,omitempty"`
	Role     *access.AzureRole `json:"role,omitempty"` // see Settings.role
	ClientID string            `json:"clientId,omitempty"`
	Secret   seal.Sealed       `json:"secret,omitempty"`
	// SecretExpires is when the secret ends, if the tenant said so: Azure tells nobody.
	SecretExpires     time.Time `json:"secretExpires,omitzero"`
	PrivateNetworking bool      `json:"privateNetworking,omitempty"`
	Key               KeyState  `json:"key"`
}

// Google is the configuration of a key in Google Cloud KMS.
type Google struct {
	KeyVersion string `json:"keyVersion"`
	// RoleID names the service account. Without one, Secret is the tenant's account key.
	RoleID string             `json:"roleId,omitempty"`
	Role   *access.GoogleRole `json:"role,omitempty"` // see Settings.role
	Secret seal.Sealed        `json:"secret,omitempty"`
	Key    KeyState           `json:"key"`
}

// KeyState is what Latchkey knows of a configured key.
type KeyState struct {
	// Revision is the settings' revision at which this configuration was validated. Verdicts
	// on other revisions don't apply to it.
	Revision int64     `json:"revision"`
	Probe    kms.Probe `json:"probe"`
	Version  string    `json:"version"`          // the key version that encrypted at the last full check
	Since    time.Time `json:"since"`            // when the group began to use this key
	Expires  time.Time `json:"expires,omitzero"` // the key's own expiry at the last full check
	// Dates are what the provider last told of the key's age and end, Rotated when it was seen here that
	// the material or the key was exchanged.
	Dates   kms.Dates `json:"dates,omitzero"`
	Rotated time.Time `json:"rotated,omitzero"`
	// CredentialsEnded is when it was found out that the credentials had expired.
	CredentialsEnded time.Time `json:"credentialsEnded,omitzero"`
	// Verdict is the newest verdict, Valid the newest conclusive one: an outage says nothing
	// about whether the key is valid.
	Verdict verdict.Verdict `json:"verdict"`
	Valid   bool            `json:"valid"`
	// Unreachable is whether the provider could not be reached when a check last found out anything
	// about that.
	Unreachable bool `json:"unreachable,omitempty"`
}

// New is the configuration of a new group: nothing is enabled.
func New(groupID, orgID string) Settings { return Settings{GroupID: groupID, OrgID: orgID} }

// Create is the operation that stores the configuration of a new group.
func Create(groupID, orgID string) (store.Op, error) { return New(groupID, orgID).put() }

// put is the operation that stores the settings if nobody changed them meanwhile. Those that are in the index are read
// by every check, a few times an hour, so that their bytes are what a key costs.
func (s Settings) put() (store.Op, error) {
	item, err := store.Encode(keys.Encryption(s.GroupID), s.version, s)
	item.Index = s.sweepPlace()
	item.Packed = item.Index != (store.Key{})
	return store.Put(item), err
}

// Key is the state of a provider's key; nil while the provider is disabled.
func (s *Settings) Key(p atlas.Provider) *KeyState {
	switch {
	case p == atlas.AWS && s.AWS != nil:
		return &s.AWS.Key
	case p == atlas.Azure && s.Azure != nil:
		return &s.Azure.Key
	case p == atlas.GCP && s.Google != nil:
		return &s.Google.Key
	}
	return nil
}

// RoleID is the access role that a provider's configuration uses, "" if none.
func (s Settings) RoleID(p atlas.Provider) string {
	switch {
	case p == atlas.AWS && s.AWS != nil:
		return s.AWS.RoleID
	case p == atlas.Azure && s.Azure != nil:
		return s.Azure.RoleID
	case p == atlas.GCP && s.Google != nil:
		return s.Google.RoleID
	}
	return ""
}

// role is the access role through which a provider's key is reached, nil if it must be read. The settings
// keep it so that a check, which is made of every key every few minutes, reads nothing besides them. It is
// never older than the role: whoever changes a role that is in use writes the settings in the same transaction.
func (s Settings) role(p atlas.Provider) *access.Role {
	role := &access.Role{ID: s.RoleID(p), GroupID: s.GroupID, Provider: p}
	switch {
	case p == atlas.AWS && s.AWS != nil && s.AWS.Role != nil:
		role.AWS = s.AWS.Role
	case p == atlas.Azure && s.Azure != nil && s.Azure.Role != nil:
		role.Azure = s.Azure.Role
	case p == atlas.GCP && s.Google != nil && s.Google.Role != nil:
		role.Google = s.Google.Role
	default:
		return nil
	}
	return role
}

// keepRole keeps the access role of a provider's configuration; nil has it read.
func (s *Settings) keepRole(p atlas.Provider, role *access.Role) {
	if role == nil {
		role = &access.Role{}
	}
	switch {
	case p == atlas.AWS && s.AWS != nil:
		s.AWS.Role = role.AWS
	case p == atlas.Azure && s.Azure != nil:
		s.Azure.Role = role.Azure
	case p == atlas.GCP && s.Google != nil:
		s.Google.Role = role.Google
	}
}

// clone copies the settings so that changing the copy's blocks leaves the original alone.
func (s Settings) clone() Settings {
	if s.AWS != nil {
		block := *s.AWS
		s.AWS = &block
	}
	if s.Azure != nil {
		block := *s.Azure
		s.Azure = &block
	}
	if s.Google != nil {
		block := *s.Google
		s.Google = &block
	}
	s.RoleOnly = append([]atlas.Provider(nil), s.RoleOnly...)
	s.Regions, s.Told = maps.Clone(s.Regions), maps.Clone(s.Told)
	return s
}
