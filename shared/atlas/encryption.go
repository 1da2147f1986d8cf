package atlas

// EncryptionAtRest is the answer of GET and PATCH /encryptionAtRest (CONTRACT 3.1). All three
// blocks are always there: the Terraform provider panics without one.
type EncryptionAtRest struct {
	AWSKMS                AWSKMS         `json:"awsKms"`
	AzureKeyVault         AzureKeyVault  `json:"azureKeyVault"`
	EnabledForSearchNodes bool           `json:"enabledForSearchNodes"`
	GoogleCloudKMS        GoogleCloudKMS `json:"googleCloudKms"`
}

// AWSKMS is the AWS block. Strings are echoed exactly as they were sent. Members without
// omitempty are null while the provider is disabled. No secret is ever in it.
type AWSKMS struct {
	AccessKeyID              *string `json:"accessKeyID,omitempty"`
	CustomerMasterKeyID      *string `json:"customerMasterKeyID"`
	Enabled                  bool    `json:"enabled"`
	Region                   *string `json:"region"`
	RequirePrivateNetworking *bool   `json:"requirePrivateNetworking,omitempty"`
	RoleID                   *string `json:"roleId,omitempty"`
	Valid                    bool    `json:"valid"`
}

// AzureKeyVault is the Azure block. roleId is absent, never "", while none is set.
//
// SecretExpiresAt is Latchkey's own: when the client secret ends, as the tenant said. It is absent
// while nothing was said, so that clients that don't know it never see it.
type AzureKeyVault struct {
	AzureEnvironment         *string `json:"azureEnvironment"`
	ClientID                 *string `json:"clientID"`
	Enabled                  bool    `json:"enabled"`
	KeyIdentifier            *string `json:"keyIdentifier"`
	KeyVaultName             *string `json:"keyVaultName"`
	RequirePrivateNetworking *bool   `json:"requirePrivateNetworking,omitempty"`
	ResourceGroupName        *string `json:"resourceGroupName"`
	RoleID                   *string `json:"roleId,omitempty"`
	SecretExpiresAt          *string `json:"secretExpiresAt,omitempty"`
	SubscriptionID           *string `json:"subscriptionID"`
	TenantID                 *string `json:"tenantID"`
	Valid                    bool    `json:"valid"`
}

// GoogleCloudKMS is the Google block.
type GoogleCloudKMS struct {
	Enabled              bool    `json:"enabled"`
	KeyVersionResourceID *string `json:"keyVersionResourceID"`
	RoleID               *string `json:"roleId,omitempty"`
	Valid                bool    `json:"valid"`
}

// EncryptionAtRestUpdate is the body of PATCH /encryptionAtRest. A nil member was absent or
// null, both of which leave the stored value alone. Read-only members (valid) are ignored.
type EncryptionAtRestUpdate struct {
	AWSKMS                *AWSKMSUpdate         `json:"awsKms"`
	AzureKeyVault         *AzureKeyVaultUpdate  `json:"azureKeyVault"`
	GoogleCloudKMS        *GoogleCloudKMSUpdate `json:"googleCloudKms"`
	EnabledForSearchNodes *bool                 `json:"enabledForSearchNodes"`
}

// AWSKMSUpdate is the AWS block of an update.
type AWSKMSUpdate struct {
	AccessKeyID              *string `json:"accessKeyID"`
	CustomerMasterKeyID      *string `json:"customerMasterKeyID"`
	Enabled                  *bool   `json:"enabled"`
	Region                   *string `json:"region"`
	RequirePrivateNetworking *bool   `json:"requirePrivateNetworking"`
	RoleID                   *string `json:"roleId"`
	SecretAccessKey          *string `json:"secretAccessKey"`
}

// AzureKeyVaultUpdate is the Azure block of an update.
type AzureKeyVaultUpdate struct {
	AzureEnvironment         *string `json:"azureEnvironment"`
	ClientID                 *string `json:"clientID"`
	Enabled                  *bool   `json:"enabled"`
	KeyIdentifier            *string `json:"keyIdentifier"`
	KeyVaultName             *string `json:"keyVaultName"`
	RequirePrivateNetworking *bool   `json:"requirePrivateNetworking"`
	ResourceGroupName        *string `json:"resourceGroupName"`
	RoleID                   *string `json:"roleId"`
	Secret                   *string `json:"secret"`
	SecretExpiresAt          *string `json:"secretExpiresAt"`
	SubscriptionID           *string `json:"subscriptionID"`
	TenantID                 *string `json:"tenantID"`
}

// GoogleCloudKMSUpdate is the Google block of an update.
type GoogleCloudKMSUpdate struct {
	Enabled              *bool   `json:"enabled"`
	KeyVersionResourceID *string `json:"keyVersionResourceID"`
	RoleID               *string `json:"roleId"`
	ServiceAccountKey    *string `json:"serviceAccountKey"`
}
