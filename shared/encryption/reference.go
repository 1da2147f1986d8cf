package encryption

import (
	"context"
	"fmt"
	"strings"

	"latchkey/shared/access"
	"latchkey/shared/atlas"
	"latchkey/shared/kms"
	"latchkey/shared/seal"
	"latchkey/shared/verdict"
)

// credential overrides the stored way to reach a key: a static secret that is not sealed yet,
// or a role that is not stored yet. The zero value takes what is stored.
type credential struct {
	secret string
	role   *access.Role
}

// reference resolves how a provider's key is reached: it reads the access role or unseals the
// static secret. A role that is gone or not authorized is the client's error.
func (s *Service) reference(ctx context.Context, settings Settings, p atlas.Provider, c credential) (kms.Reference, error) {
	ref, err := s.publicReference(ctx, settings, p, c)
	if err == nil {
		err = s.direct(ctx, settings, p, &ref)
	}
	return ref, err
}

// publicReference is reference without regard to private endpoints.
func (s *Service) publicReference(ctx context.Context, settings Settings, p atlas.Provider, c credential) (kms.Reference, error) {
	ref := kms.Reference{GroupID: settings.GroupID}
	role, secret, err := s.resolve(ctx, settings, p, c)
	if err != nil {
		return ref, err
	}
	switch p {
	case atlas.AWS:
		ref.AWS, err = settings.AWS.reference(role, secret)
	case atlas.Azure:
		ref.Azure, err = settings.Azure.reference(role, secret)
	case atlas.GCP:
		ref.Google = settings.Google.reference(role, secret)
	}
	return ref, err
}

// resolve finds the role, or opens the secret, that the settings name.
func (s *Service) resolve(ctx context.Context, settings Settings, p atlas.Provider, c credential) (*access.Role, string, error) {
	roleID := settings.RoleID(p)
	if roleID == "" {
		if c.secret != "" {
			return nil, c.secret, nil
		}
		secret, err := s.Sealer.Open(ctx, settings.secret(p), secretContext(settings.GroupID, p))
		if err != nil {
			return nil, "", &verdict.Failure{Reason: verdict.SealFailed, Err: err}
		}
		return nil, string(secret), nil
	}
	if c.role != nil {
		return c.role, "", nil
	}
	if known := settings.role(p); known != nil {
		return known, "", nil
	}
	role, err := s.findRole(ctx, settings.GroupID, p, roleID)
	return role, "", err
}

// findRole reads an access role, which must be authorized.
func (s *Service) findRole(ctx context.Context, groupID string, p atlas.Provider, roleID string) (*access.Role, error) {
	role, err := access.Find(ctx, s.Table, groupID, roleID)
	if err != nil {
		return nil, err
	}
	if role.Provider != p {
		return nil, atlas.Fail(atlas.RoleNotFound, roleID).Hinting("The role's provider is %s.", role.Provider)
	}
	if !role.Authorized() {
		return nil, atlas.Fail(atlas.RoleNotAuthorized, roleID).
			Hinting("Authorize it with PATCH /groups/%s/cloudProviderAccess/%s.", groupID, roleID)
	}
	return &role, nil
}

// secret is a provider's sealed static secret.
func (s Settings) secret(p atlas.Provider) seal.Sealed {
	switch {
	case p == atlas.AWS && s.AWS != nil:
		return s.AWS.Secret
	case p == atlas.Azure && s.Azure != nil:
		return s.Azure.Secret
	case p == atlas.GCP && s.Google != nil:
		return s.Google.Secret
	}
	return nil
}

// setSecret stores a provider's sealed static secret.
func (s *Settings) setSecret(p atlas.Provider, sealed seal.Sealed) {
	switch p {
	case atlas.AWS:
		s.AWS.Secret = sealed
	case atlas.Azure:
		s.Azure.Secret = sealed
	case atlas.GCP:
		s.Google.Secret = sealed
	}
}

// secretContext binds a sealed secret to its group and field.
func secretContext(groupID string, p atlas.Provider) seal.Context {
	field := map[atlas.Provider]string{
		atlas.AWS: "awsKms.secretAccessKey", atlas.Azure: "azureKeyVault.secret", atlas.GCP: "googleCloudKms.serviceAccountKey",
	}[p]
	return seal.Context{Scope: "group/" + groupID, Field: field}
}

// reference names the key as KMS knows it in the configured region: the ARN of a multi-Region
// key is that of the region's replica.
func (a AWS) reference(role *access.Role, secret string) (*kms.AWSReference, error) {
	name, region, err := a.named()
	if err != nil {
		return nil, err
	}
	if name.IsMultiRegion() {
		name = name.InRegion(region)
	}
	ref := &kms.AWSReference{KeyName: name.String(), Region: region.String()}
	if role != nil {
		arn, err := atlas.ParseAWSRole(role.AWS.ARN)
		if err != nil {
			return nil, err
		}
		if arn.Partition != region.Partition() {
			return nil, atlas.Fail(atlas.AWSRegionNotSupported, a.Region).
				Hinting("The role %s is in another partition of AWS, whose accounts can't use keys there.", role.AWS.ARN)
		}
		ref.RoleARN, ref.ExternalID = role.AWS.ARN, role.AWS.ExternalID
	} else {
		ref.AccessKeyID, ref.SecretAccessKey = a.AccessKeyID, secret
	}
	return ref, nil
}

// named reads the configured names of the key and its region.
func (a AWS) named() (atlas.AWSKeyName, atlas.AWSRegion, error) {
	region, err := atlas.ParseAWSRegion(a.Region)
	if err != nil {
		return atlas.AWSKeyName{}, region, err
	}
	name, err := atlas.ParseAWSKeyName(a.KeyID)
	return name, region, err
}

func (a Azure) reference(role *access.Role, secret string) (*kms.AzureReference, error) {
	ref := &kms.AzureReference{
		Environment: a.Environment, KeyIdentifier: a.KeyIdentifier, TenantID: a.TenantID,
		SubscriptionID: a.SubscriptionID, ResourceGroup: a.ResourceGroup, VaultName: a.VaultName,
	}
	if role == nil {
		ref.ClientID, ref.Secret = a.ClientID, secret
		return ref, nil
	}
	if a.TenantID != "" && !strings.EqualFold(a.TenantID, role.Azure.TenantID) {
		return nil, atlas.Fail(atlas.InvalidAttribute, "tenantID").
			Hinting("The service principal %s belongs to the tenant %s.", role.ID, role.Azure.TenantID)
	}
	ref.TenantID, ref.AppID, ref.ServicePrincipalID = role.Azure.TenantID, role.Azure.AppID, role.Azure.ServicePrincipalID
	return ref, nil
}

func (g Google) reference(role *access.Role, secret string) *kms.GoogleReference {
	ref := &kms.GoogleReference{KeyVersion: g.KeyVersion}
	if role != nil {
		ref.ServiceAccount = role.Google.Email
	} else {
		ref.ServiceAccountKey = secret
	}
	return ref
}

// keyName is the key as the client named it, for error messages and events.
func (s Settings) keyName(p atlas.Provider) string {
	switch {
	case p == atlas.AWS && s.AWS != nil:
		return s.AWS.KeyID
	case p == atlas.Azure && s.Azure != nil:
		return s.Azure.KeyIdentifier
	case p == atlas.GCP && s.Google != nil:
		return s.Google.KeyVersion
	}
	return fmt.Sprintf("of %s", p)
}
