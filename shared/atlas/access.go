package atlas

// FeatureUsage says what an access role is used for. FeatureID is always null for encryption.
type FeatureUsage struct {
	FeatureID   *string `json:"featureId"`
	FeatureType string  `json:"featureType"`
}

// FeatureEncryptionAtRest is the feature type of encryption at rest.
const FeatureEncryptionAtRest = "ENCRYPTION_AT_REST"

// AWSRole is an AWS access role on the wire (CONTRACT 4).
type AWSRole struct {
	AtlasAWSAccountARN         string         `json:"atlasAWSAccountArn"`
	AtlasAssumedRoleExternalID string         `json:"atlasAssumedRoleExternalId"`
	AuthorizedDate             *string        `json:"authorizedDate"`
	CreatedDate                string         `json:"createdDate"`
	FeatureUsages              []FeatureUsage `json:"featureUsages"`
	IAMAssumedRoleARN          *string        `json:"iamAssumedRoleArn"`
	ProviderName               Provider       `json:"providerName"`
	RoleID                     string         `json:"roleId"`
}

// AzureRole is an Azure service principal on the wire. Its id is "_id", not "roleId".
type AzureRole struct {
	ID                 string         `json:"_id"`
	AtlasAzureAppID    string         `json:"atlasAzureAppId"`
	CreatedDate        string         `json:"createdDate"`
	FeatureUsages      []FeatureUsage `json:"featureUsages"`
	LastUpdatedDate    string         `json:"lastUpdatedDate"`
	ProviderName       Provider       `json:"providerName"`
	ServicePrincipalID string         `json:"servicePrincipalId"`
	TenantID           string         `json:"tenantId"`
}

// GoogleRole is a Google service account of Latchkey's for one group.
type GoogleRole struct {
	CreatedDate             string         `json:"createdDate"`
	FeatureUsages           []FeatureUsage `json:"featureUsages"`
	GCPServiceAccountForApp string         `json:"gcpServiceAccountForAtlas"`
	ProviderName            Provider       `json:"providerName"`
	RoleID                  string         `json:"roleId"`
	Status                  string         `json:"status"`
}

// CloudProviderAccess lists a group's access roles; it is not paginated.
type CloudProviderAccess struct {
	AWSIAMRoles            []AWSRole    `json:"awsIamRoles"`
	AzureServicePrincipals []AzureRole  `json:"azureServicePrincipals"`
	GCPServiceAccounts     []GoogleRole `json:"gcpServiceAccounts"`
}

// CloudProviderAccessRequest is the body of POST and PATCH for all three providers.
type CloudProviderAccessRequest struct {
	ProviderName       *string `json:"providerName"`
	IAMAssumedRoleARN  *string `json:"iamAssumedRoleArn"`
	AtlasAzureAppID    *string `json:"atlasAzureAppId"`
	ServicePrincipalID *string `json:"servicePrincipalId"`
	TenantID           *string `json:"tenantId"`
}
