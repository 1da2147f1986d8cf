package encryption

import (
	"errors"
	"fmt"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/kms"
	"latchkey/shared/verdict"
)

// refusals is the one table from why a key could not be used to what the client is told, by
// provider (CONTRACT 3.6). Reasons that a provider does not know are left out.
var refusals = map[atlas.Provider]map[verdict.Reason]atlas.Code{
	atlas.AWS: {
		verdict.KeyDisabled: atlas.AWSKeyNotEnabled, verdict.KeyNotReady: atlas.AWSKeyNotEnabled,
		verdict.KeyPendingDeletion: atlas.AWSKeyPendingDeletion, verdict.KeyPendingImport: atlas.AWSKeyPendingImport,
		verdict.KeyNotFound: atlas.AWSKeyNotFound, verdict.KeyDeleted: atlas.AWSKeyNotFound,
		verdict.KeyUnsuitable: atlas.AWSKeyUnsuitable, verdict.AccessDenied: atlas.NoPermission,
		verdict.RoleDenied: atlas.CannotAssumeRole, verdict.CredentialsInvalid: atlas.InvalidAWSCredentials,
		verdict.CredentialsExpired: atlas.InvalidAWSCredentials,
	},
	atlas.Azure: {
		verdict.KeyDisabled: atlas.AzureKeyNotEnabled, verdict.KeyNotFound: atlas.AzureKeyNotFound,
		verdict.KeyDeleted: atlas.AzureKeyNotFound, verdict.KeyExpired: atlas.AzureKeyExpired,
		verdict.KeyExpiring: atlas.AzureKeyExpiring, verdict.KeyNotActive: atlas.AzureKeyNotActive,
		verdict.KeyUnsuitable: atlas.AzureKeyUnsuitable, verdict.AccessDenied: atlas.NoPermission,
		verdict.RoleDenied: atlas.CannotAuthenticateSP, verdict.CredentialsInvalid: atlas.InvalidAzureCredentials,
		verdict.CredentialsExpired: atlas.InvalidAzureCredentials, verdict.RequestInvalid: atlas.InvalidAzureAPIRequest,
	},
	atlas.GCP: {
		verdict.KeyDisabled: atlas.GoogleKeyDisabled, verdict.KeyPendingDeletion: atlas.GoogleKeyDestroyScheduled,
		verdict.KeyDeleted: atlas.GoogleKeyDestroyed, verdict.KeyNotFound: atlas.GoogleKeyNotFound,
		verdict.KeyNotReady: atlas.GoogleKeyPending, verdict.KeyPendingImport: atlas.GoogleKeyPending,
		verdict.KeyUnsuitable: atlas.GoogleKeyUnsuitable, verdict.AccessDenied: atlas.NoPermission,
		verdict.RoleDenied: atlas.InvalidGoogleCredentials, verdict.CredentialsInvalid: atlas.InvalidGoogleCredentials,
		verdict.CredentialsExpired: atlas.InvalidGoogleCredentials,
	},
}

// retryAfter is when a client should come back after a provider could not be reached.
const retryAfter = 30 * time.Second

// refusal turns a failure to use a key, as a reference reaches it, into the client's error. nil stays
// nil, and an error that is already the client's stays as it is.
func refusal(err error, s Settings, p atlas.Provider, ref kms.Reference) error {
	failure, ok := errors.AsType[*verdict.Failure](err)
	if !ok {
		return err
	}
	if code, ok := refusals[p][failure.Reason]; ok {
		return explain(code, failure, s, p, ref).Because(err)
	}
	switch failure.Class() {
	case verdict.Unreachable, verdict.Throttled:
		e := atlas.Fail(atlas.KMSUnreachable).Because(err)
		e.RetryAfter = retryAfter
		if hint := adviseUnreached(failure, s, p, ref); hint != "" {
			e = e.Hinting("%s", hint)
		}
		return e
	case verdict.Valid, verdict.Invalid, verdict.Inconclusive:
	}
	return atlas.Fail(atlas.UnexpectedError).Because(err)
}

// adviseUnreached says what the tenant can do about a key that could not be reached; "" is that it can
// only come back.
func adviseUnreached(f *verdict.Failure, s Settings, p atlas.Provider, ref kms.Reference) string {
	switch {
	case f.Class() == verdict.Throttled:
		return ""
	case errors.Is(f, errNoWay), isPrivate(ref):
		return advisePrivate(f, s, p, reachedIn(ref))
	case f.Reason == verdict.NetworkRefused:
		return "Its network rules refused the address of Latchkey's control plane; see GET /api/atlas/v2/unauth/controlPlaneIPAddresses."
	}
	return ""
}

// advisePrivate is for a key that has no way but private endpoints. at is where one was tried.
func advisePrivate(f *verdict.Failure, s Settings, p atlas.Provider, at atlas.AWSRegion) string {
	const only = "It is reached over private endpoints only"
	endpoints := "/api/atlas/v2/groups/" + s.GroupID + "/encryptionAtRest/" + string(p) + "/privateEndpoints"
	switch {
	case errors.Is(f, errNoWay) && p == atlas.AWS:
		return fmt.Sprintf("%s, of which none in %s is active; see GET %s. Create one there or, if the present key has no replica there, "+
			"remove the others before the change.", only, s.AWS.Region, endpoints)
	case errors.Is(f, errNoWay):
		return fmt.Sprintf("%s, and no active one leads to it; see GET %s.", only, endpoints)
	case p == atlas.AWS && !s.AWS.isIn(at):
		return fmt.Sprintf("%s, of which none in %s is active, and through the one in %s there was no answer. Create one in %s with POST %s.",
			only, s.AWS.Region, at.Atlas(), s.AWS.Region, endpoints)
	case p == atlas.AWS && s.AWS.IsMultiRegion():
		return fmt.Sprintf("%s, and through the one in %s there was no answer. Create one in another region where the key has a replica with POST %s, "+
			"and then change \"region\".", only, s.AWS.Region, endpoints)
	}
	return only + ", and through the active one there was no answer."
}

func isPrivate(ref kms.Reference) bool {
	return ref.AWS != nil && ref.AWS.Endpoint != "" || ref.Azure != nil && ref.Azure.PrivateAddress != ""
}

// reachedIn is the region in which a key of AWS is asked, which is not the configured one if a private
// endpoint leads to a replica of it.
func reachedIn(ref kms.Reference) atlas.AWSRegion {
	if ref.AWS == nil {
		return ""
	}
	return atlas.AWSRegion(ref.AWS.Region)
}

// isIn reports whether the key is configured in a region.
func (a AWS) isIn(region atlas.AWSRegion) bool {
	configured, err := atlas.ParseAWSRegion(a.Region)
	return err == nil && configured == region
}

// notFound says of which name and where there is no key.
func (a AWS) notFound(at atlas.AWSRegion) *atlas.Error {
	region := a.Region // as the client spells it
	if !a.isIn(at) {
		region = at.Atlas()
	}
	e := atlas.Fail(atlas.AWSKeyNotFound, a.KeyID, region)
	name, err := atlas.ParseAWSKeyName(a.KeyID)
	switch {
	case err != nil || name.IsARN() && (!name.IsMultiRegion() || name.Region == at):
		return e
	case name.IsARN():
		return e.Hinting("A multi-Region key needs a replica there: create one in %s.", region)
	case name.IsMultiRegion():
		return e.Hinting("A multi-Region key needs a replica in %s. A key of another AWS account must be given as its full ARN.", region)
	}
	return e.Hinting("A key of another AWS account must be given as its full ARN.")
}

// explain fills in what a code's sentence names and says what to do.
func explain(code atlas.Code, f *verdict.Failure, s Settings, p atlas.Provider, ref kms.Reference) *atlas.Error {
	name := s.keyName(p)
	switch code {
	case atlas.InvalidAzureAPIRequest:
		return atlas.Fail(code).Hinting("Azure Resource Manager has no key vault %s in the resource group %s of the subscription %s.",
			s.Azure.VaultName, s.Azure.ResourceGroup, s.Azure.SubscriptionID)
	case atlas.InvalidAWSCredentials, atlas.InvalidAzureCredentials, atlas.InvalidGoogleCredentials:
		e := atlas.Fail(code)
		if f.Reason == verdict.CredentialsExpired {
			e = e.Hinting("They have expired.")
		}
		return e
	case atlas.CannotAssumeRole, atlas.CannotAuthenticateSP:
		return atlas.Fail(code, s.RoleID(p))
	case atlas.AWSKeyNotFound:
		return s.AWS.notFound(reachedIn(ref))
	case atlas.NoPermission:
		return atlas.Fail(code, name).Hinting("%s", permissions[p])
	default:
		return atlas.Fail(code, name)
	}
}

// permissions says what the documents ask a customer to grant.
var permissions = map[atlas.Provider]string{
	atlas.AWS:   "Allow kms:DescribeKey, kms:Encrypt and kms:Decrypt in the role's policy and in the key policy.",
	atlas.Azure: "Allow Get, Encrypt and Decrypt on the vault's keys.",
	atlas.GCP:   "Grant roles/cloudkms.cryptoKeyEncrypterDecrypter on the key.",
}
