package kms

import "latchkey/shared/atlas"

// Reference names a CMK and how to reach it: everything that is needed to open it, secrets
// included, so it is never stored or logged. Exactly one of the provider members is set.
type Reference struct {
	GroupID string // whose key it is; names our sessions in the tenant's audit trail
	AWS     *AWSReference
	Azure   *AzureReference
	Google  *GoogleReference
}

// AWSReference is a key in AWS KMS, reached through a role or with a user's access key.
type AWSReference struct {
	KeyName string // key id, key ARN, alias: as KMS takes it in Region
	Region  string // the AWS name: "us-east-1"

	// Endpoint is the host name of the VPC endpoint through which KMS is reached; "" is its public
	// address.
	Endpoint string

	RoleARN    string // access through a role; then ExternalID is set too
	ExternalID string

	AccessKeyID     string // access with a user's keys
	SecretAccessKey string
}

// AzureReference is a key in Azure Key Vault, reached as Latchkey's own multi-tenant
// application or with a tenant application's secret.
type AzureReference struct {
	Environment   string // AZURE, AZURE_CHINA or AZURE_US_GOVERNMENT
	KeyIdentifier string // the key's URL
	TenantID      string

	// Where Azure Resource Manager knows the vault.
	SubscriptionID, ResourceGroup, VaultName string

	// PrivateAddress is the IP address of the private endpoint through which the vault is reached;
	// "" is its public address.
	PrivateAddress string

	ServicePrincipalID string // access as Latchkey's application; AppID is that application
	AppID              string

	ClientID string // access with the tenant's application
	Secret   string
}

// GoogleReference is a key version in Google Cloud KMS, reached as a service account of
// Latchkey's that the tenant admitted or with a tenant's service account key.
type GoogleReference struct {
	KeyVersion string // projects/…/cryptoKeyVersions/N

	ServiceAccount string // e-mail of Latchkey's account for the group

	ServiceAccountKey string // the tenant's key file: JSON
}

// PrivateEndpoint is a private way to a provider's KMS.
type PrivateEndpoint struct {
	Region string // in the API's spelling
	Host   string // Azure: the vault that it leads to
	// Address is where the KMS is reached: at AWS a host name, at Azure an IP address.
	Address string
}

// Provider tells whose key it is.
func (r Reference) Provider() atlas.Provider {
	switch {
	case r.AWS != nil:
		return atlas.AWS
	case r.Azure != nil:
		return atlas.Azure
	case r.Google != nil:
		return atlas.GCP
	}
	return ""
}

// Equal reports whether two references lead to the same key in the same way.
func (r Reference) Equal(other Reference) bool {
	return r.GroupID == other.GroupID && equal(r.AWS, other.AWS) && equal(r.Azure, other.Azure) && equal(r.Google, other.Google)
}

func equal[T comparable](a, b *T) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

// String hides everything but the provider and the group, so that a reference that is logged
// by mistake gives no secret away.
func (r Reference) String() string { return string(r.Provider()) + " key of group " + r.GroupID }

// GoString hides the same from %#v.
func (r Reference) GoString() string { return r.String() }
